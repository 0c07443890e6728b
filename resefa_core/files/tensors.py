"""Safetensors files: bounded, checked reading and atomic writing, with the caller's error type."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import struct
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import ReSeFaError
from .reading import open_regular, read_bytes, reason
from .writing import write_bytes

MAX_HEADER_BYTES = 1 << 20
MAX_TENSORS = 4096
DTYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "U8": torch.uint8,
}
HASH_KEY = "modelspec.hash_sha256"


class Place(NamedTuple):
    """Where a safetensors file has a tensor: `[start, end)` in bytes of the file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    start: int
    end: int


def read_tensors(
    path: str | PathLike[str], error: type[ReSeFaError], max_bytes: int
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file that may come from a stranger.

    Args:
        path: the file.
        error: the exception to raise for anything that is wrong with it.
        max_bytes: the largest file that is accepted; headers may have up to 1 MB.

    Returns:
        The tensors, none empty, all finite and of a known type, and the metadata.
    """
    file = Path(path)
    return parse_tensors(file, read_bytes(file, error, max_bytes), error)


def parse_tensors(
    file: Path, data: bytes, error: type[ReSeFaError]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata in the bytes of a safetensors file, checked as `read_tensors` says; `file`
    is for the errors."""
    _, metadata = _parse_header(file, io.BytesIO(data), len(data), error)
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as problem:
        raise error(f"{file}: damaged safetensors file: {problem}") from problem
    _check_tensors(file, tensors, error)
    expected = metadata.get(HASH_KEY)
    if expected is not None and expected != hash_tensors(tensors):
        raise error(f"{file}: the tensors do not match the file's SHA-256: it was damaged or altered")
    return tensors, metadata


def read_header(
    path: str | PathLike[str], error: type[ReSeFaError]
) -> tuple[dict[str, Place], dict[str, str]]:
    """Where a safetensors file has its tensors, and its metadata, without reading the tensors."""
    file = Path(path)
    try:
        with open_regular(file, error) as stream:
            return _parse_header(file, stream, os.fstat(stream.fileno()).st_size, error)
    except (OSError, ValueError) as problem:
        raise error(f"{file}: can't be read: {reason(problem)}") from problem


def _parse_header(
    file: Path, stream: BinaryIO | io.BytesIO, size: int, error: type[ReSeFaError]
) -> tuple[dict[str, Place], dict[str, str]]:
    """The tensors' places and the metadata; all is checked before anything is allocated."""
    if size < 8:
        raise error(f"{file}: {size} bytes, too short for a safetensors file")
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > MAX_HEADER_BYTES or length > size - 8:
        raise error(
            f"{file}: not a safetensors file, or cut off: its header claims {length} bytes, "
            f"the file has {size} and at most {MAX_HEADER_BYTES} are accepted"
        )
    try:
        header = json.loads(stream.read(length).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as problem:
        raise error(f"{file}: not a safetensors file, or damaged: its header: {problem}") from problem
    if not isinstance(header, dict):
        raise error(f"{file}: not a safetensors file: its header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise error(f"{file}: damaged safetensors file: its metadata are not all text")
    if len(header) > MAX_TENSORS:
        raise error(f"{file}: {len(header)} tensors, more than the {MAX_TENSORS} that are accepted")
    places: dict[str, Place] = {}
    for name, entry in header.items():
        known = entry if isinstance(entry, dict) else {}
        shape = known.get("shape")
        if known.get("dtype") not in list(DTYPES) or not isinstance(shape, list):
            raise error(f"{file}: tensor {name[:80]!r} is {str(entry)[:80]}, expected one of {list(DTYPES)}")
        if not all(type(side) is int and side > 0 for side in shape):
            raise error(f"{file}: tensor {name[:80]!r} has the shape {str(shape)[:80]}")
        offsets = known.get("data_offsets")
        if not isinstance(offsets, list) or [type(each) for each in offsets] != [int, int]:
            raise error(f"{file}: tensor {name[:80]!r} lies at {str(offsets)[:80]}: expected two offsets")
        start, end = (8 + length + each for each in offsets)
        places[name] = Place(tuple(shape), DTYPES[known["dtype"]], start, end)
    _check_places(file, places, 8 + length, size, error)
    return places, metadata


def _check_places(
    file: Path, places: Mapping[str, Place], start: int, size: int, error: type[ReSeFaError]
) -> None:
    """The tensors must fill the file from `start` to its end, one after the other, each of its own size."""
    for name, place in sorted(places.items(), key=lambda item: item[1].start):
        if place.start != start or place.end - start != math.prod(place.shape) * place.dtype.itemsize:
            raise error(
                f"{file}: damaged safetensors file: tensor {name[:80]!r} of shape {str(place.shape)[:80]} is "
                f"said to lie from {str(place.start)[:20]} to {str(place.end)[:20]}, the one before ends at "
                f"{start}"
            )
        start = place.end
    if start != size:
        raise error(
            f"{file}: damaged safetensors file, or cut off: its tensors end at {start}, the file at {size}"
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _check_tensors(file: Path, tensors: dict[str, Tensor], error: type[ReSeFaError]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values() or tensor.numel() == 0:
            raise error(
                f"{file}: tensor {name[:80]!r} has type {tensor.dtype} and shape {tuple(tensor.shape)}: "
                f"expected one of {list(DTYPES)}, and not empty"
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise error(f"{file}: tensor {name[:80]!r} has values that are not finite")


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the tensors, independent of their order in a file."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode("utf-8", "surrogatepass"))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(
    path: str | PathLike[str],
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    error: type[ReSeFaError],
    overwrite: bool = False,
    max_bytes: int | None = None,
) -> None:
    """Write a safetensors file so that a crash leaves either the old file or the new one, whole.

    The tensors' SHA-256 is added to the metadata. An existing file is kept unless `overwrite`. What
    `read_tensors` would not accept (with the same `max_bytes`) is not written. The same tensors and metadata
    make the same bytes.
    """
    file = Path(path)
    write_bytes(file, _packed(file, tensors, metadata, error, max_bytes), error, overwrite)


def pack_tensors(
    file: Path,
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    error: type[ReSeFaError],
    max_bytes: int | None = None,
) -> bytes:
    """The bytes that `write_tensors` writes."""
    return b"".join(_packed(file, tensors, metadata, error, max_bytes))


def _packed(
    file: Path,
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    error: type[ReSeFaError],
    max_bytes: int | None,
) -> tuple[bytes, memoryview]:
    """A file's header and its tensors. The library writes metadata in an order that differs from run to run:
    they are put in order."""
    tensors = _unshared(tensors)
    _check_tensors(file, tensors, error)
    data = safetensors.torch.save(tensors, {**metadata, HASH_KEY: hash_tensors(tensors)})
    (length,) = struct.unpack("<Q", data[:8])
    if length > MAX_HEADER_BYTES:
        raise error(f"{file}: {length} bytes of names, texts and pictures, more than {MAX_HEADER_BYTES}")
    if max_bytes is not None and len(data) > max_bytes:
        raise error(f"{file}: it would have {len(data)} bytes, more than the {max_bytes >> 20} MB accepted")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, memoryview(data)[8 + length :]


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors, copied where two have their memory in common."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        separate[name] = tensor.contiguous()
        memory = separate[name].untyped_storage().data_ptr()
        if memory in seen:
            separate[name] = separate[name].clone()
        seen.add(memory)
    return separate
