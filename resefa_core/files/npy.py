"""Arrays in numpy's .npy format, as data."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from .described import StoredArray, kind_of
from .unpickling import read_pickle

NPY_START = b"\x93NUMPY"


def parse_npy(data: bytes) -> np.ndarray[Any, Any]:
    """The floating-point array in the bytes of an .npy file, as float32.

    Raises:
        ValueError: anything else, or a shape that does not fit the number of bytes.
    """
    stream = io.BytesIO(data)
    try:
        shape, by_columns, dtype = _header(stream)
    except Exception as problem:  # numpy raises many kinds on damaged headers
        raise ValueError(f"its header is damaged: {problem or type(problem).__name__}") from problem
    if dtype.hasobject:
        raise ValueError(
            f"it holds {_pickled(data, stream.tell())} that numpy pickled, and not an array of numbers: save "
            "the array in it alone, with np.save"
        )
    if dtype.kind != "f":
        raise ValueError(f"it holds {dtype}, expected floating-point numbers")
    start = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"{len(data) - start} bytes of data do not make an array of shape {shape}")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if by_columns else "C")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of the format")


def _pickled(data: bytes, start: int) -> str:
    """What an array of objects holds, in words; nothing in it is run."""
    try:
        found, _ = read_pickle(memoryview(data), start)
    except Exception:  # it is refused anyhow
        return "Python objects"
    objects = found.objects if isinstance(found, StoredArray) else []
    if len(objects) != 1:
        return f"{len(objects)} Python objects" if objects else "Python objects"
    held = objects[0]
    if not isinstance(held, dict) or not held:
        return kind_of(held)
    keys = ", ".join(kind_of(key) if not isinstance(key, str) else repr(key[:40]) for key in list(held)[:3])
    return f"a dictionary with {keys}" + (f" and {len(held) - 3} more" if len(held) > 3 else "")
