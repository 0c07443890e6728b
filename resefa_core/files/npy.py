"""Arrays in numpy's .npy format, as data."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np


def parse_npy(data: bytes) -> np.ndarray[Any, Any]:
    """The floating-point array in the bytes of an .npy file, as float32.

    Raises:
        ValueError: anything else, or a shape that does not fit the number of bytes.
    """
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"version {version} of the format")
    if dtype.kind != "f":
        raise ValueError(f"it holds {dtype}, expected floating-point numbers")
    start = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"{len(data) - start} bytes of data do not make an array of shape {shape}")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if by_columns else "C")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)
