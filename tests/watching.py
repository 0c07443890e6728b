"""What the interpreter does while a file is read, as an audit hook sees it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

FORBIDDEN = (
    "exec",
    "compile",
    "import",
    "code.__new__",
    "function.__new__",
    "pickle.find_class",
    "marshal.",
    "os.",
    "subprocess.",
    "socket.",
    "shutil.",
    "ctypes.",
    "object.__setattr__",
    "object.__delattr__",
    "sys._getframe",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SEEN: list[str] = []
WATCHED: list[Path] = []
ALLOWED: list[str] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not WATCHED:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = isinstance(mode, str) and set(mode) & set("wax+")
        writes = writes or (isinstance(flags, int) and flags & _WRITING)
        if writes or str(path) not in (str(WATCHED[0]), *ALLOWED):
            SEEN.append(f"open {str(path)[:80]} {mode}")
    elif event.startswith(FORBIDDEN) and event not in ALLOWED:
        SEEN.append(f"{event} {str(arguments)[:120]}")


sys.addaudithook(_hook)


def watched(
    file: Path, action: Callable[[Path], object], allowed: tuple[str, ...] = ()
) -> tuple[object, list[str]]:
    """What an action gave or raised, and what it did that it must not.

    Args:
        file: what it may open, for reading.
        action: gets the file.
        allowed: audit events, and other files, that are not counted.
    """
    SEEN.clear()
    ALLOWED[:] = allowed
    WATCHED.append(file)
    try:
        given = action(file)
    except Exception as problem:
        given = problem
    finally:
        WATCHED.clear()
    return given, list(SEEN)
