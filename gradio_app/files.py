"""Files of visitors: what errors call them, and folders for downloads, of which old ones are removed."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resefa_core import ReSeFaError

_KEPT_SECONDS = 1800
_PATH = re.compile(r"(?<![\w.:/\\~-])(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\"]+)+[/\\]([^\s/\\'\"]+)")


@contextmanager
def named(file: str | Path, name: str = "") -> Iterator[None]:
    """Errors of the project call a file by this name, or else its own, instead of its path on the server."""
    try:
        yield
    except ReSeFaError as error:
        raise type(error)(str(error).replace(str(file), name or Path(file).name)) from error


def without_paths(text: str) -> str:
    """A text for visitors: of each absolute path only the last part is left.

    Example:
        >>> without_paths("can't write /srv/files/made-1/mouth.safetensors: the disk is full")
        "can't write mouth.safetensors: the disk is full"
    """
    return _PATH.sub(r"\1", text)


def fresh_folder(parent: Path) -> Path:
    """A new folder in a folder that holds nothing but such folders."""
    limit = time.time() - _KEPT_SECONDS
    for old in list(parent.iterdir()):
        if old.lstat().st_mtime < limit:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=parent))
