"""The registry's archive, unpacked into a ComfyUI that has nothing else of this repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from comfy_server import ComfyUI, graph
from packed import write_archive


def test_a_graph_runs_from_the_archive(tmp_path: Path) -> None:
    pack = tmp_path / "unpacked"
    shutil.unpack_archive(write_archive(tmp_path / "node.zip"), pack)
    server = ComfyUI(tmp_path / "comfyui", pack=pack)
    try:
        assert server.run(graph())["image"]["images"]
        assert "IMPORT FAILED" not in server.log()
    finally:
        server.stop()
