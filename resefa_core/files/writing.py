"""Atomic writing, with the caller's error type."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from ..errors import ReSeFaError
from .reading import reason


def write_bytes(
    path: str | PathLike[str],
    data: bytes | Iterable[bytes | memoryview],
    error: type[ReSeFaError],
    overwrite: bool,
) -> None:
    """Write a file atomically, whole or in parts that are made as they are written; see `write_tensors`."""
    file = Path(path)
    temporary = file.parent / f".resefa-{secrets.token_hex(8)}.part"
    try:
        if not overwrite and file.exists():
            raise FileExistsError(file)
        with temporary.open("xb") as stream:
            for part in [data] if isinstance(data, bytes) else data:
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
        if overwrite:
            temporary.replace(file)
        else:
            _rename_new(temporary, file)
    except FileExistsError as problem:
        raise error(f"{file} exists: choose another name, or ask to overwrite it") from problem
    except (OSError, ValueError) as problem:
        raise error(f"{file}: can't be written: {reason(problem)}") from problem
    finally:
        with contextlib.suppress(OSError, ValueError):
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
