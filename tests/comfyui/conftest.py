from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import ARGUMENTS, CHROMIUM, SETTINGS, SIZE, WAIT_MILLISECONDS
from comfy_server import DIRECTORY, ComfyUI
from hub_server import HubServer

import resefa_core as resefa
from resefa_core.defaults import SHOWN_FIRST


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
    generator = resefa.load_generator(SHOWN_FIRST)
    face = resefa.to_pil(generator.synthesize(generator.sample(77, 0.7))[0]).resize((256, 256))
    face.save(base / "input" / "example.png")  # what Load Image has in an installation
    server = ComfyUI(base, {"HF_ENDPOINT": hub.url})
    yield server
    server.stop()


@pytest.fixture(scope="session")
def schemas(comfyui: ComfyUI) -> dict[str, dict]:
    return comfyui.get("/object_info")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(params=["nodes2", "classic"])
def page(request: pytest.FixtureRequest, browser: Any, comfyui: ComfyUI) -> Iterator[Any]:
    comfyui.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": request.param == "nodes2"})
    opened = browser.new_page(viewport=SIZE)
    opened.set_default_timeout(WAIT_MILLISECONDS)
    opened.problems = []
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.interface = request.param
    opened.goto(comfyui.url, wait_until="domcontentloaded")
    opened.wait_for_function("() => window.app?.canvas && window.app.graph && window.app.extensionManager")
    opened.wait_for_timeout(2000)
    yield opened
    opened.close()
