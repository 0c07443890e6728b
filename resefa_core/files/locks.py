"""Locks that a process holds on a file that it writes; the system frees them when the process ends."""

from __future__ import annotations

import errno
import sys

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}

if sys.platform == "win32":
    import msvcrt
    import os

    HELD_WHILE_RENAMED = False
    _FAR = 1 << 40

    def try_lock(descriptor: int) -> bool | None:
        """Lock a file that is open for writing; see below."""
        try:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as problem:
            return False if problem.errno in _BUSY else None
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    HELD_WHILE_RENAMED = True
    """Whether an open, locked file can be given another name."""

    def try_lock(descriptor: int) -> bool | None:
        """Lock a file that is open for writing, until it is closed.

        Returns:
            Whether it is locked now; None where this folder knows no locks.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            return False if problem.errno in _BUSY else None
        return True
