"""ComfyUI's page in a real browser: opened, run, dragged on and photographed.

`RESEFA_SCREENSHOTS` names a folder for the screenshots that the README shows.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from comfy_server import ComfyUI

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
SCREENSHOTS = os.environ.get("RESEFA_SCREENSHOTS")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.VueNodes.AutoScaleLayout": False,
    "Comfy.RightSidePanel.IsOpen": False,
}
SIZE = {"width": 1720, "height": 900}
RUN_MILLISECONDS = 600_000
WAIT_MILLISECONDS = 180_000


def open_template(page: Any, name: str) -> None:
    """Open an example as users do: from the template browser."""
    page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_text("resefa", exact=True).click()
    page.get_by_test_id(f"template-workflow-{name}").click()
    page.wait_for_function("() => app.graph.nodes.some((node) => node.type === 'ReSeFa_LoadGAN')")
    page.wait_for_timeout(1000)


def fit(page: Any) -> None:
    page.evaluate("app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.wait_for_timeout(1200)


def run(page: Any, comfyui: ComfyUI) -> dict[str, Any]:
    """Press Run and wait; the outputs by node."""
    before = set(comfyui.get("/history"))
    page.get_by_test_id("queue-button").or_(page.get_by_role("button", name="Run")).first.click()
    for _ in range(RUN_MILLISECONDS // 250):
        new = set(comfyui.get("/history")) - before
        if new:
            done = comfyui.get("/history")[new.pop()]
            assert done["status"]["status_str"] == "success", done["status"]
            page.wait_for_timeout(1500)
            return done["outputs"]
        page.wait_for_timeout(250)
    raise TimeoutError(comfyui.log()[-2000:])


def drag(page: Any, start: tuple[float, float], stop: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    for part in (0.3, 0.6, 1.0):
        page.mouse.move(*(a + part * (b - a) for a, b in zip(start, stop, strict=True)))
        page.wait_for_timeout(60)
    page.mouse.up()
    page.wait_for_timeout(400)


def keep(page: Any, name: str, clip: dict[str, float] | None = None) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"comfyui-{page.interface}-{name}.png", clip=clip)
