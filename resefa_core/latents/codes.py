"""Codes that projectors write: .npz, .npy, and what `torch.save` makes of a tensor."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from ..bounds import CODE, check_values
from ..errors import LatentError
from ..files import parse_npy, read_bytes
from ..files.described import StoredArray, StoredTensor, kind_of
from ..files.torch_files import read_torch_or_pickle
from ..files.zipped import read_directory

CODE_SUFFIXES = (".npz", ".npy", ".pt", ".pth")
_KEYS = ("w", "latent", "codes")


def read_codes(file: Path, max_bytes: int) -> Tensor:
    """The codes in a file whose suffix is one of `CODE_SUFFIXES`, `(B, L, D)`, float32, finite.

    Nothing in the file is run: a `.pt` file's pickle is read as data, in either format of `torch.save`.

    Args:
        file: `.npz` with an array `w`; `.npy`; `.pt` or `.pth` with a tensor, or a dictionary with `w`,
            `latent` or `codes`. Each may hold `(D,)`, `(L, D)` or `(B, L, D)`; `(D,)` and `(1, D)` are one
            code for all layers, `(1, 1, D)`.
        max_bytes: of the file, of what it unpacks to, and of the codes.

    Raises:
        LatentError: the file is missing, damaged, or holds something else.
    """
    data = read_bytes(file, LatentError, max_bytes)
    try:
        if file.suffix.lower() == ".npz":
            codes = torch.from_numpy(parse_npy(_unpack_npz(data, max_bytes)))
        elif file.suffix.lower() == ".npy":
            codes = torch.from_numpy(parse_npy(data))
        else:
            codes = _read_pt(memoryview(bytearray(data)), max_bytes)
    except Exception as error:  # numpy raises many kinds on damaged files
        raise LatentError(f"{file}: not readable as codes: {error or type(error).__name__}") from error
    if codes.numel() * 4 > max_bytes:
        raise LatentError(f"{file}: codes of shape {tuple(codes.shape)} are over {max_bytes >> 20} MB")
    if codes.ndim == 1:
        codes = codes[None, None]
    elif codes.ndim == 2:
        codes = codes[:, None] if codes.shape[0] == 1 else codes[None]
    if codes.ndim != 3 or codes.numel() == 0:
        raise LatentError(
            f"{file}: codes have shape {tuple(codes.shape)}: expected (D,), (L, D) or (B, L, D)"
        )
    codes = codes.float().contiguous()
    check_values(codes, f"{file}: the codes", CODE, LatentError)
    return codes


def _unpack_npz(data: bytes, max_bytes: int) -> bytes:
    entries = read_directory(memoryview(data), max_bytes)
    if "w.npy" not in entries:
        raise ValueError(f"expected an array named 'w', found {str(list(entries))[:200]}")
    return entries["w.npy"].unpacked()


def _read_pt(data: memoryview, max_bytes: int) -> Tensor:
    found, _ = read_torch_or_pickle(data, max_bytes)
    if isinstance(found, dict):
        named = [found[key] for key in _KEYS if key in found]
        if not named:
            keys = ", ".join(kind_of(key) for key in list(found)[:8])
            raise ValueError(f"expected 'w', 'latent' or 'codes', found {keys or 'an empty dictionary'}")
        found = named[0]
    if not isinstance(found, (StoredTensor, StoredArray)):
        raise ValueError(f"expected a dense tensor, found {kind_of(found)}")
    if not found.dtype.is_floating_point:
        raise ValueError(f"expected floating-point numbers, found {found.dtype}")
    if math.prod(found.shape) * 4 > max_bytes:
        raise ValueError(f"codes of shape {found.shape} are over {max_bytes >> 20} MB")
    return found.tensor()
