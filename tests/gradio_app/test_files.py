"""Folders of files for visitors."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gradio_app.files import fresh_folder


def test_old_folders_go_and_new_ones_stay(tmp_path: Path) -> None:
    old, new = fresh_folder(tmp_path), fresh_folder(tmp_path)
    (old / "face.png").write_bytes(b"x")
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    made = fresh_folder(tmp_path)
    assert not old.exists()
    assert new.is_dir()
    assert made.is_dir()
    assert made != new
