"""What the interpreter does while a file is read, as an audit hook sees it."""

from __future__ import annotations

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
SEEN: list[str] = []
WATCHED: list[Path] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not WATCHED:
        return
    if event == "open":
        path, mode, _ = arguments
        if str(path) != str(WATCHED[0]) or (isinstance(mode, str) and set(mode) & set("wax+")):
            SEEN.append(f"open {str(path)[:80]} {mode}")
    elif event.startswith(FORBIDDEN):
        SEEN.append(f"{event} {str(arguments)[:120]}")


sys.addaudithook(_hook)


def watched(file: Path, action: Callable[[Path], object]) -> tuple[object, list[str]]:
    """What an action gave or raised, and what it did that it must not."""
    SEEN.clear()
    WATCHED.append(file)
    try:
        given = action(file)
    except Exception as problem:
        given = problem
    finally:
        WATCHED.clear()
    return given, list(SEEN)
