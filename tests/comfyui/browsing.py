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
SLIDERS, REGION = "ReSeFa_DirectionSliders", "ReSeFa_SelectRegion"


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


def widgets(page: Any, kind: str) -> dict[str, Any]:
    """The values by name of the widgets of a node of the graph that is shown."""
    return dict(
        page.evaluate(
            "(kind) => app.canvas.graph.nodes.find((node) => node.type === kind)"
            ".widgets.map((widget) => [widget.name, widget.value])",
            kind,
        )
    )


def strengths(page: Any) -> dict[str, float]:
    """The sliders by the names of their directions."""
    prefix = "strength of "
    shown = widgets(page, SLIDERS)
    return {name[len(prefix) :]: value for name, value in shown.items() if name.startswith(prefix)}


def sent(page: Any, kind: str) -> dict[str, Any]:
    """What a node is sent with."""
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (inputs,) = (node["inputs"] for node in prompt.values() if node["class_type"] == kind)
    return dict(inputs)


def shown_box(page: Any) -> dict[str, float]:
    return dict(widgets(page, REGION)["box"])


def on_canvas(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the image in the classic canvas' editor is on the screen."""
    place = page.evaluate(
        """([kind, x, y]) => {
            const { ds, canvas, graph } = app.canvas;
            const node = graph.nodes.find((each) => each.type === kind);
            const editor = node.widgets.find((widget) => widget.name === "box_editor");
            const rect = canvas.getBoundingClientRect(), height = editor.computedHeight - 8;
            const { naturalWidth: wide, naturalHeight: high } = node.getInputNode(0).imgs[0];
            const scale = Math.min((node.size[0] - 24) / wide, height / high);
            const left = (node.size[0] - wide * scale) / 2, top = editor.y + (height - high * scale) / 2;
            return [
              rect.x + (node.pos[0] + left + scale * x + ds.offset[0]) * ds.scale,
              rect.y + (node.pos[1] + top + scale * y + ds.offset[1]) * ds.scale,
            ];
        }""",
        [REGION, x, y],
    )
    return place[0], place[1]


def drag_box(page: Any, down: float = -14 / 64) -> None:
    """Drag the box of Select Region by its middle, by that share of the image's height."""
    box = shown_box(page)
    ((_, height),) = picture_sizes(page)
    rows = down * height
    if page.interface == "nodes2":
        overlay = page.get_by_test_id("crop-overlay").bounding_box()
        start = (overlay["x"] + overlay["width"] / 2, overlay["y"] + overlay["height"] / 2)
        drag(page, start, (start[0], start[1] + rows / box["height"] * overlay["height"]))
        return
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    drag(page, on_canvas(page, *middle), on_canvas(page, middle[0], middle[1] + rows))


def drag_slider(page: Any, index: int) -> None:
    """Drag a slider to the right by its knob."""
    if page.interface == "nodes2":
        name = list(strengths(page))[index]
        slider = page.get_by_label(f"strength of {name}", exact=True)
        knob = slider.locator("[role=slider]").or_(slider).first.bounding_box()
        x, y = knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2
    else:
        x, y = page.evaluate(
            """([kind, index]) => {
                const { ds, canvas, graph } = app.canvas, rect = canvas.getBoundingClientRect();
                const node = graph.nodes.find((each) => each.type === kind);
                const slider = node.widgets.filter((widget) => widget.resefaDirection !== undefined)[index];
                const x = rect.x + (node.pos[0] + node.size[0] / 2 + ds.offset[0]) * ds.scale;
                return [x, rect.y + (node.pos[1] + slider.y + 10 + ds.offset[1]) * ds.scale];
            }""",
            [SLIDERS, index],
        )
    drag(page, (x, y), (x + 20, y))


def set_widget(page: Any, kind: str, name: str, value: Any) -> None:
    page.evaluate(
        """([kind, name, value]) => {
            const node = app.canvas.graph.nodes.find((each) => each.type === kind);
            const widget = node.widgets.find((each) => each.name === name);
            widget.value = value;
            widget.callback?.(value);
        }""",
        [kind, name, value],
    )


def switch(page: Any) -> None:
    """Go on in the other interface, as its setting does."""
    page.interface = "classic" if page.interface == "nodes2" else "nodes2"
    on = page.interface == "nodes2"
    page.evaluate("(on) => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", on)
    page.wait_for_timeout(1500)
    fit(page)


def load(page: Any, saved: str) -> None:
    """Open a saved graph."""
    page.evaluate("async (graph) => { await app.loadGraphData(JSON.parse(graph)); }", saved)
    page.wait_for_timeout(1500)


def put_between(page: Any, kind: str, name: str) -> None:
    """Put a Reroute into the link to an input of a node."""
    page.evaluate(
        """([kind, name]) => {
            const node = app.graph.nodes.find((each) => each.type === kind);
            const slot = node.inputs.findIndex((input) => input.name === name);
            const { origin_id: id, origin_slot: from } = node.getInputLink(slot);
            const between = LiteGraph.createNode("Reroute");
            app.graph.add(between);
            between.pos = [node.pos[0] - 60, node.pos[1] - 80];
            app.graph.getNodeById(id).connect(from, between, 0);
            between.connect(0, node, slot);
        }""",
        [kind, name],
    )


def pack(page: Any, *kinds: str) -> None:
    """Make a subgraph of nodes, as the menu of the selection does."""
    page.evaluate(
        """(kinds) => {
            const inside = app.graph.nodes.filter((node) => kinds.includes(node.type));
            app.graph.convertToSubgraph(new Set(inside));
        }""",
        list(kinds),
    )


def go_into_subgraph(page: Any) -> None:
    page.evaluate(
        """() => {
            const node = app.graph.nodes.find((each) => each.isSubgraphNode?.());
            app.canvas.openSubgraph(node.subgraph, node);
        }"""
    )
    page.wait_for_timeout(1500)
    fit(page)


def picture_sizes(page: Any) -> list[tuple[int, int]]:
    """The widths and heights of what the box editor shows."""
    sizes = page.evaluate(
        """(kind) => app.canvas.graph.nodes.find((node) => node.type === kind).getInputNode(0)
            .imgs.map((image) => [image.naturalWidth, image.naturalHeight])""",
        REGION,
    )
    return [(width, height) for width, height in sizes]
