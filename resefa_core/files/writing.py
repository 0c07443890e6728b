"""Atomic writing, with the caller's error type.

A file is written as `.resefa-HOST-RANDOM.part` beside its place, and renamed once it is complete. Its
writer holds a lock on it. So whoever writes to the same folder later knows which parts belong to no one any
more, because a process was killed or the power failed, and removes them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from functools import cache
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from ..errors import ReSeFaError
from .locks import HELD_WHILE_RENAMED, try_lock
from .names import check_written
from .reading import reason

_PART = re.compile(r"\.resefa-(?:(?P<host>[0-9a-f]{8})-)?[0-9a-f]{16}\.part")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UNTOUCHED_SECONDS = 86_400.0
_NO_ROOM = {errno.ENOSPC: "the disk is full", errno.EFBIG: "it is larger than a file may be there"}
if hasattr(errno, "EDQUOT"):
    _NO_ROOM[errno.EDQUOT] = "the quota of the disk is used up"


def write_bytes(
    path: str | PathLike[str],
    data: bytes | Iterable[bytes | memoryview],
    error: type[ReSeFaError],
    overwrite: bool,
) -> None:
    """Write a file so that a crash leaves either the old file or the new one, whole.

    Args:
        path: the file; its folder must exist.
        data: its content, whole or in parts that are made as they are written.
        error: the exception to raise where it can't be written, or exists and `overwrite` is false.
        overwrite: whether a file that exists is replaced.
    """
    file = Path(path)
    check_written(file, error)
    try:
        if not overwrite and file.exists():
            raise FileExistsError(errno.EEXIST, "exists", str(file))
        remove_abandoned_parts(file.parent)
        with _new_part(file.parent) as (part, stream):
            for piece in [data] if isinstance(data, bytes) else data:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
            if not HELD_WHILE_RENAMED:
                stream.close()
            rename(part, file, overwrite)
    except FileExistsError as problem:
        raise error(f"{file} exists: choose another name, or ask to overwrite it") from problem
    except (OSError, ValueError) as problem:
        raise error(unwritten(file, problem)) from problem


def make_folder(folder: Path, error: type[ReSeFaError]) -> Path:
    """A folder, with those above it, made unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as problem:
        raise error(unwritten(folder, problem)) from problem
    return folder


def unwritten(file: Path, problem: OSError | ValueError) -> str:
    """What to tell people of a file or a folder that can't be written; a full disk by that name."""
    short = _NO_ROOM.get(getattr(problem, "errno", None) or 0)
    if short is None:
        return f"{file}: can't be written: {reason(problem)}"
    return (
        f"{file}: can't be written: {short} ({reason(problem)}): make room in {file.absolute().parent}, or "
        "choose another folder"
    )


def rename(part: Path, file: Path, overwrite: bool) -> None:
    """Give a complete file its name; unless `overwrite`, where the folder has links, without a moment in
    which another's file could be replaced.

    Raises:
        FileExistsError: the name is taken and `overwrite` is false.
    """
    if overwrite:
        part.replace(file)
        return
    try:
        os.link(part, file)
    except FileExistsError:
        raise
    except OSError:
        if file.exists():
            raise FileExistsError(errno.EEXIST, "exists", str(file)) from None
        part.replace(file)
    else:
        part.unlink(missing_ok=True)


def remove_abandoned_parts(folder: Path) -> None:
    """Remove the parts that nobody writes any more.

    One that this machine left is abandoned if its lock is free. One of another machine, of an earlier
    version, or where there are no locks, is so if it has not been written to for a day: a lock need not be
    seen across a network.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        parts = [(Path(entry.path), _PART.fullmatch(entry.name)) for entry in entries]
        for part, named in parts:
            if named is not None:
                with contextlib.suppress(OSError):
                    _remove_abandoned(part, HELD_WHILE_RENAMED and named["host"] == _host())


def _remove_abandoned(part: Path, lock_decides: bool) -> None:
    about = part.lstat()
    if not stat.S_ISREG(about.st_mode):
        return
    untouched = time.time() - about.st_mtime > _UNTOUCHED_SECONDS
    with open(part, "rb+", opener=_open_itself) as stream:
        locked = try_lock(stream.fileno())
        if locked is False or not (untouched or (locked and lock_decides)):
            return
        if HELD_WHILE_RENAMED:
            part.unlink()
            return
    part.unlink()


def _open_itself(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


@contextlib.contextmanager
def _new_part(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new, locked file in a folder; what is left of it at the end is removed."""
    while True:
        part = folder / f".resefa-{_host()}-{secrets.token_hex(8)}.part"
        with part.open("xb") as stream:
            try:
                # Another process may have taken the file for abandoned before it was locked.
                if try_lock(stream.fileno()) is not False and is_at(part, stream):
                    yield part, stream
                    return
            finally:
                if not HELD_WHILE_RENAMED:
                    stream.close()
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)


def is_at(part: Path, stream: BinaryIO) -> bool:
    """Whether an open file still has that name: another process may have renamed or removed it."""
    try:
        return os.path.samestat(part.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


@cache
def _host() -> str:
    """What tells this machine, since it was started, from others that share a folder with it."""
    try:
        start = _BOOT_ID.read_text("ascii")
    except (OSError, ValueError):
        start = ""
    return hashlib.sha256(f"{platform.node()}\n{start}".encode("utf-8", "replace")).hexdigest()[:8]
