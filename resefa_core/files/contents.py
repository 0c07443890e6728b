"""What a file holds, by its first bytes and not by its name: arrays, tensors, and what a pickle describes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ReSeFaError
from .described import StoredArray, StoredTensor, kind_of
from .npy import NPY_START, parse_npy
from .reading import read_bytes, reason
from .tensors import parse_tensors
from .torch_files import PICKLE_START, ZIP_START, read_torch_or_pickle
from .zipped import Entry, read_directory

PNG_START = b"\x89PNG\r\n\x1a\n"
_STARTS = (NPY_START, ZIP_START, PICKLE_START)
_ARRAY = ".npy"

SAFETENSORS, NPY, NPZ = "safetensors file", ".npy file", ".npz file"
TORCH, PICKLE, PNG = "PyTorch file", "pickle", "PNG"


@dataclass(frozen=True, eq=False)
class Packed:
    """An array of an .npz file, still packed."""

    entry: Entry

    def tensor(self) -> Tensor:
        """The array, float32; raises ValueError where it is damaged, or none of floating-point numbers."""
        return torch.from_numpy(parse_npy(self.entry.unpacked()))


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds; nothing in it was run.

    Attributes:
        root: an array or a tensor; a dictionary of them by name; or whatever a pickle describes.
        metadata: of a safetensors file.
        form: `SAFETENSORS`, `NPY`, `NPZ`, `TORCH`, `PICKLE` or `PNG`; a PNG's root is None.
    """

    file: Path
    root: object
    form: str
    metadata: dict[str, str] = field(default_factory=dict)


def open_contents(file: Path, error: type[ReSeFaError], max_bytes: int) -> Contents:
    """Read what a file holds, which may come from a stranger.

    Args:
        file: in any of the formats above, whatever its name; one that is named `.safetensors` has to be one.
        error: the exception to raise for anything that is wrong with it.
        max_bytes: the largest file that is accepted, and what an archive may unpack to.
    """
    data = read_bytes(file, error, max_bytes)
    if is_safetensors(data) or file.suffix.lower() == ".safetensors":
        tensors, metadata = parse_tensors(file, data, error)
        return Contents(file, tensors, SAFETENSORS, metadata)
    if data.startswith(PNG_START):
        return Contents(file, None, PNG)
    if not data.startswith(_STARTS):
        raise error(f"{file}: {guess(data)}: expected safetensors, .npy, .npz or a PyTorch file")
    try:
        return _parsed(file, data, max_bytes)
    except Exception as problem:  # numpy raises many kinds on damaged files
        raise error(f"{file}: not readable: {reason(problem) or type(problem).__name__}") from problem


def _parsed(file: Path, data: bytes, max_bytes: int) -> Contents:
    if data.startswith(NPY_START):
        return Contents(file, torch.from_numpy(parse_npy(data)), NPY)
    view = memoryview(bytearray(data))
    if data.startswith(ZIP_START):
        entries = read_directory(view, max_bytes)
        if entries and all(name.endswith(_ARRAY) for name in entries):
            arrays = {name.removesuffix(_ARRAY): Packed(entry) for name, entry in entries.items()}
            return Contents(file, arrays, NPZ)
    root, is_torch = read_torch_or_pickle(view, max_bytes)
    return Contents(file, root, TORCH if is_torch else PICKLE)


def numbers_of(value: object, max_bytes: int) -> Tensor:
    """An array or tensor of a file's contents, float32.

    Raises:
        ValueError: it is none, or not of floating-point numbers, damaged, or larger than `max_bytes`.
    """
    if isinstance(value, Tensor):
        tensor = value
    elif isinstance(value, Packed):
        tensor = value.tensor()
    elif isinstance(value, (StoredTensor, StoredArray)):
        if math.prod(value.shape) * 4 > max_bytes:
            raise ValueError(f"numbers of shape {value.shape} are over {max_bytes >> 20} MB")
        tensor = value.tensor() if value.dtype.is_floating_point else torch.empty(0, dtype=value.dtype)
    else:
        raise ValueError(f"expected a dense tensor, found {kind_of(value)}")
    if not tensor.dtype.is_floating_point:
        raise ValueError(f"expected floating-point numbers, found {tensor.dtype}")
    if tensor.numel() * 4 > max_bytes:
        raise ValueError(f"numbers of shape {tuple(tensor.shape)} are over {max_bytes >> 20} MB")
    return tensor.float()


def is_safetensors(data: bytes | memoryview) -> bool:
    """Whether bytes begin as a safetensors file does: with the length of a header, then the header."""
    if len(data) < 9 or data[8] != ord("{"):
        return False
    known = bytes(data[:8]).startswith(_STARTS)
    return not known or bool(struct.unpack("<Q", data[:8])[0] < len(data))


def guess(start: bytes) -> str:
    """What a file is whose first bytes are of no format that is read here."""
    if not start:
        return "empty"
    if start.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer instead of the file itself (run `git lfs pull`)"
    if start.lstrip()[:1] == b"<":
        return "a web page instead of the file itself (download it again)"
    return "a file of no format that is known here, or damaged"
