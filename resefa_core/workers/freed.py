"""Memory that was freed goes back to the system, also what long runs and many threads have left in pieces."""

from __future__ import annotations

import ctypes
import threading

_ARENA_MAX = -8  # of glibc's malloc.h
_begun: list[threading.Thread] = []


def keep_returning(seconds: float = 5.0) -> bool:
    """From now on all threads allocate from one arena, and every few seconds all that is free in it is
    returned, which takes milliseconds. To be called before there are threads, by programs that go on for
    long; further calls change nothing. False without glibc.

    Left alone, glibc gives each thread an arena, and keeps what is freed there in pieces: a server with many
    threads grows for hours, and sums over images hold a hundred megabytes and more that nobody uses.
    """
    try:
        library = ctypes.CDLL(None)
        trim, tune = library.malloc_trim, library.mallopt
    except (OSError, AttributeError, TypeError):  # Windows wants a name
        return False
    if _begun and _begun[0].is_alive():
        return True
    trim.argtypes, tune.argtypes = [ctypes.c_size_t], [ctypes.c_int, ctypes.c_int]
    tune(_ARENA_MAX, 1)

    def work() -> None:
        pause = threading.Event()
        while not pause.wait(seconds):
            trim(0)

    _begun[:] = [threading.Thread(target=work, daemon=True, name="resefa-freed")]
    _begun[0].start()
    return True
