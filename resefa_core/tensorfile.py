"""Safetensors files: bounded, checked reading and atomic writing, with the caller's error type."""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from os import PathLike
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from .errors import ReSeFaError

MAX_HEADER_BYTES = 1 << 20
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8)
_HASH = "modelspec.hash_sha256"


def read_tensors(
    path: str | PathLike[str], error: type[ReSeFaError], max_bytes: int
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a small safetensors file that may come from a stranger.

    Args:
        path: the file.
        error: the exception to raise for anything that is wrong with it.
        max_bytes: the largest file that is accepted; headers may have up to 1 MB.

    Returns:
        The tensors, all finite and of a known type, and the metadata.
    """
    file = Path(path)
    data = read_bytes(file, error, max_bytes)
    metadata = _metadata(file, error)
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError, RuntimeError) as problem:
        raise error(f"{file}: damaged safetensors file: {problem}") from problem
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise error(f"{file}: tensor {name!r} has type {tensor.dtype}, expected one of {DTYPES}")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise error(f"{file}: tensor {name!r} has values that are not finite")
    expected = metadata.get(_HASH)
    if expected is not None and expected != hash_tensors(tensors):
        raise error(f"{file}: the tensors do not match the file's SHA-256: it was damaged or altered")
    return tensors, metadata


def read_bytes(file: Path, error: type[ReSeFaError], max_bytes: int) -> bytes:
    """A safetensors file's bytes, after checking its size and its header's size."""
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > max_bytes:
                raise error(f"{file}: {size} bytes, more than the {max_bytes >> 20} MB that are accepted")
            data = stream.read(max_bytes + 1)
    except OSError as problem:
        raise error(f"{file}: can't be read: {problem.strerror or problem}") from problem
    if len(data) < 8:
        raise error(f"{file}: {len(data)} bytes, too short for a safetensors file")
    (header,) = struct.unpack("<Q", data[:8])
    if header > MAX_HEADER_BYTES or header > len(data) - 8:
        raise error(
            f"{file}: not a safetensors file, or cut off: its header claims {header} bytes, "
            f"the file has {len(data)} and at most {MAX_HEADER_BYTES} are accepted"
        )
    return data


def _metadata(file: Path, error: type[ReSeFaError]) -> dict[str, str]:
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError, ValueError, TypeError) as problem:
        raise error(f"{file}: damaged safetensors file: {problem}") from problem


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the tensors, independent of their order in a file."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode("utf-8", "surrogatepass"))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_tensors(
    path: str | PathLike[str],
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    error: type[ReSeFaError],
    overwrite: bool = False,
) -> None:
    """Write a safetensors file so that a crash leaves either the old file or the new one, whole.

    The tensors' SHA-256 is added to the metadata. An existing file is kept unless `overwrite`.
    """
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    metadata = {**metadata, _HASH: hash_tensors(tensors)}
    write_bytes(path, safetensors.torch.save(tensors, metadata), error, overwrite)


def write_bytes(path: str | PathLike[str], data: bytes, error: type[ReSeFaError], overwrite: bool) -> None:
    """Write a file atomically; see `write_tensors`."""
    file = Path(path)
    if file.exists() and not overwrite:
        raise error(f"{file} exists: choose another name, or ask to overwrite it")
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=file.parent, prefix=f".{file.name[:64]}.", suffix=".part", delete=False
        ) as stream:
            temporary = Path(stream.name)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        if overwrite:
            temporary.replace(file)
        else:
            _rename_new(temporary, file)
    except FileExistsError as problem:
        raise error(f"{file} exists: choose another name, or ask to overwrite it") from problem
    except OSError as problem:
        raise error(f"{file}: can't be written: {problem.strerror or problem}") from problem
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _rename_new(temporary: Path, file: Path) -> None:
    """Give a file its name unless that name is taken, without a moment in between where links exist."""
    try:
        os.link(temporary, file)
    except FileExistsError:
        raise
    except OSError:
        if file.exists():
            raise FileExistsError(file) from None
        temporary.replace(file)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
