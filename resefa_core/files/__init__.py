"""Files as data: safetensors, .npy, archives and pickles, read within bounds; atomic writing."""

from __future__ import annotations

from .names import check_save_name, check_text, is_file
from .npy import parse_npy
from .reading import DAMAGE, open_regular, read_bytes
from .tensors import (
    DTYPES,
    HASH_KEY,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    hash_tensors,
    pack_tensors,
    parse_tensors,
    read_header,
    read_tensors,
    write_tensors,
)
from .writing import make_folder, unwritten, write_bytes

__all__ = [
    "DAMAGE",
    "DTYPES",
    "HASH_KEY",
    "MAX_HEADER_BYTES",
    "MAX_TENSORS",
    "check_save_name",
    "check_text",
    "hash_tensors",
    "is_file",
    "make_folder",
    "open_regular",
    "pack_tensors",
    "parse_npy",
    "parse_tensors",
    "read_bytes",
    "read_header",
    "read_tensors",
    "unwritten",
    "write_bytes",
    "write_tensors",
]
