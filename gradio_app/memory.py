"""Memory that was freed goes back to the system, also what many threads have left in pieces."""

from __future__ import annotations

import ctypes
import threading

_ARENA_MAX = -8  # of glibc's malloc.h


def keep_returning(seconds: float = 5.0) -> bool:
    """From now on all threads allocate from one arena, and every few seconds all that is free in it is
    returned, which takes milliseconds. To be called before there are threads. False without glibc.

    Left alone, glibc gives each thread an arena, and keeps what is freed there: a server with many threads
    grows for hours.
    """
    try:
        library = ctypes.CDLL(None)
        trim, tune = library.malloc_trim, library.mallopt
    except (OSError, AttributeError, TypeError):  # Windows wants a name
        return False
    trim.argtypes, tune.argtypes = [ctypes.c_size_t], [ctypes.c_int, ctypes.c_int]
    tune(_ARENA_MAX, 1)

    def work() -> None:
        pause = threading.Event()
        while not pause.wait(seconds):
            trim(0)

    threading.Thread(target=work, daemon=True, name="resefa-memory").start()
    return True
