"""What visitors may keep on the server's disk: each so many bytes, and all together, until they are old."""

from __future__ import annotations

import errno
import logging
import shutil
import stat
import threading
import time
from collections import deque
from pathlib import Path

import resefa_core as resefa

KEPT_SECONDS = 3600.0
"""How long files of visitors are kept."""

_LEAST_FREE = 128 << 20
_LOOK_SECONDS = 5.0
_GRACE_SECONDS = 600.0
_log = logging.getLogger("resefa.demo")


class NoRoomError(resefa.ReSeFaError):
    """There is no room for a visitor's file."""


class Quota:
    """Counts what visitors write into a folder, which is the demo's own.

    Args:
        folder: what visitors cause to be written is in there.
        each, together: bytes, of one address and of all.
        least_free: bytes of the disk that are left to others.
    """

    def __init__(
        self, folder: Path, each: int = 256 << 20, together: int = 2 << 30, least_free: int = _LEAST_FREE
    ) -> None:
        self.folder, self._each, self._together, self._least_free = folder, each, together, least_free
        self._written: dict[str, deque[tuple[float, int]]] = {}
        self._lock = threading.Lock()
        self._held = 0
        self._looked = float("-inf")

    def charge(self, address: str, size: int) -> None:
        """Take note of bytes that are about to be written, or that arrive.

        Raises:
            NoRoomError: they are too many, for this address or for the disk. Nothing is noted then.
        """
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            own = sum(each for _, each in self._written.get(address, ()))
            if own + size > self._each:
                raise NoRoomError(
                    f"your files of the last hour take {own >> 20} MB here, of {self._each >> 20}: "
                    "try again later"
                )
            self._look(now)
            if self._held + size > self._together:
                _log.error("visitors' files fill their quota of %d MB", self._together >> 20)
                raise NoRoomError("the server keeps as many files as it can: try again later")
            if shutil.disk_usage(self.folder).free - size < self._least_free:
                report_full(self.folder)
                raise NoRoomError(FULL)
            self._held += size
            self._written.setdefault(address, deque()).append((now, size))

    def _forget(self, now: float) -> None:
        for address in list(self._written):
            written = self._written[address]
            while written and written[0][0] < now - KEPT_SECONDS:
                written.popleft()
            if not written:
                del self._written[address]

    def _look(self, now: float) -> None:
        """Count what is there, now and then, and remove what is old, such as uploads that broke off; between
        that, what is charged is added."""
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked, self._held = now, 0
        oldest = time.time() - KEPT_SECONDS - _GRACE_SECONDS
        for file in self.folder.rglob("*"):
            try:
                found = file.lstat()
                if stat.S_ISREG(found.st_mode) and found.st_mtime < oldest:
                    file.unlink()
                else:
                    self._held += found.st_size
            except OSError:  # it has just been removed
                continue


FULL = "the server has no room for files now: try again later"


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that a disk is full."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def report_full(folder: Path | None = None) -> None:
    """Tell the operator."""
    _log.error("the disk is full%s", "" if folder is None else f": {folder}")
