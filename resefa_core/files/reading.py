"""Bounded reading of regular files, with the caller's error type."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ..errors import ReSeFaError

DAMAGE = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What reading a file's content raises where the content is not what it should be."""


def read_bytes(file: Path, error: type[ReSeFaError], max_bytes: int) -> bytes:
    """All of a regular file, which must not be larger than `max_bytes`."""
    try:
        with open_regular(file, error) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > max_bytes:
                raise error(f"{file}: {size} bytes, more than the {max_bytes >> 20} MB that are accepted")
            return stream.read(size)
    except (OSError, ValueError, MemoryError) as problem:
        raise error(f"{file}: can't be read: {reason(problem)}") from problem


def open_regular(file: Path, error: type[ReSeFaError]) -> BinaryIO:
    """Open a regular file; a pipe is refused without waiting for its writer."""

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

    stream = open(file, "rb", opener=opener)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise error(f"{file}: not a regular file")
    return stream


def reason(problem: Exception) -> str:
    """What went wrong, in the system's words, without the file's name."""
    return str(getattr(problem, "strerror", None) or problem) or "there is not enough memory"
