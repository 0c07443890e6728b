from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from comfy_server import DIRECTORY, ComfyUI
from hub_server import HubServer

import resefa_core as resefa


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DIRECTORY is None:
        skip = pytest.mark.skip(reason="COMFYUI_DIR does not name a ComfyUI")
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> Iterator[ComfyUI]:
    base = tmp_path_factory.mktemp("comfyui")
    (base / "input").mkdir()
    generator = resefa.load_generator("avatars")
    face = resefa.to_pil(generator.synthesize(generator.sample(77, 0.7))[0]).resize((256, 256))
    face.save(base / "input" / "example.png")  # what Load Image has in an installation
    server = ComfyUI(base, {"HF_ENDPOINT": hub.url})
    yield server
    server.stop()


@pytest.fixture(scope="session")
def schemas(comfyui: ComfyUI) -> dict[str, dict]:
    return comfyui.get("/object_info")
