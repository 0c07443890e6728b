"""Files of visitors: what errors call them, and folders for downloads, of which old ones are removed."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from pathlib import Path

_KEPT_SECONDS = 1800
_PATH = re.compile(r"(?<![\w.:/\\~-])(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\"]+)+[/\\]([^\s/\\'\"]+)")


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
