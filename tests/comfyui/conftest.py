from __future__ import annotations

from collections.abc import Iterator

import pytest
from comfy import DIRECTORY, ComfyUI


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DIRECTORY is None:
        skip = pytest.mark.skip(reason="COMFYUI_DIR does not name a ComfyUI")
        for item in items:
            if "comfyui" in item.path.parts:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyUI]:
    server = ComfyUI(tmp_path_factory.mktemp("comfyui"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def schemas(comfyui: ComfyUI) -> dict[str, dict]:
    return comfyui.get("/object_info")
