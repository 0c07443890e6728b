"""Folders for the files that visitors download; old ones are removed as new ones are made."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

_KEPT_SECONDS = 1800


def fresh_folder(parent: Path) -> Path:
    """A new folder in a folder that holds nothing but such folders."""
    limit = time.time() - _KEPT_SECONDS
    for old in list(parent.iterdir()):
        if old.lstat().st_mtime < limit:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=parent))
