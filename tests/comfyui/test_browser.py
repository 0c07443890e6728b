"""The pack in a real browser, in both of ComfyUI's interfaces."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from browsing import RUN_MILLISECONDS, drag, fit, keep, open_template, run
from comfy_server import ROOT, ComfyUI
from PIL import Image

REGION, FACTORIZE, APPLY = 3, 4, 5


def drag_box_up(page: Any) -> None:
    """Drag the box of Select Region by its middle, from the mouth up to the eyes."""
    if page.interface == "nodes2":
        overlay = page.locator(f'[data-node-id="{REGION}"] [data-testid=crop-overlay]').bounding_box()
        start = (overlay["x"] + overlay["width"] / 2, overlay["y"] + overlay["height"] / 2)
        drag(page, start, (start[0], start[1] - 1.2 * overlay["height"]))
        return
    box = box_of(page)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    drag(page, on_canvas(page, *middle), on_canvas(page, middle[0], middle[1] - 14))


def on_canvas(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the image in the classic canvas' editor is on the screen."""
    place = page.evaluate(
        """([id, x, y]) => {
            const node = app.graph.getNodeById(id), { ds, canvas } = app.canvas;
            const editor = node.widgets.find((widget) => widget.name === "box_editor");
            const rect = canvas.getBoundingClientRect(), height = editor.computedHeight - 8;
            const scale = Math.min(node.size[0] - 24, height) / 64;
            const left = (node.size[0] - 64 * scale) / 2, top = editor.y + (height - 64 * scale) / 2;
            return [
              rect.x + (node.pos[0] + left + scale * x + ds.offset[0]) * ds.scale,
              rect.y + (node.pos[1] + top + scale * y + ds.offset[1]) * ds.scale,
            ];
        }""",
        [REGION, x, y],
    )
    return place[0], place[1]


def box_of(page: Any) -> dict[str, float]:
    return page.evaluate(
        "(id) => app.graph.getNodeById(id).widgets.find((widget) => widget.name === 'box').value", REGION
    )


def mean_change(comfyui: ComfyUI, outputs: dict[str, Any], rows: slice) -> float:
    """How much Apply Direction has changed the image in some rows."""
    pictures = []
    for node in ("2", str(APPLY)):
        with Image.open(comfyui.picture(outputs[node]["images"][0])) as picture:
            pictures.append(np.asarray(picture.convert("RGB")).astype(np.float32))
    return float(np.abs(pictures[1] - pictures[0])[rows, 16:48].mean())


def test_a_box_is_dragged_and_the_edit_follows(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "edit_a_face_part")
    fit(page)
    outputs = run(page, comfyui)
    mouth, eyes = slice(38, 50), slice(22, 36)
    assert mean_change(comfyui, outputs, mouth) > 2 * mean_change(comfyui, outputs, eyes)
    fit(page)
    keep(page, "mouth")

    before = box_of(page)
    drag_box_up(page)
    after = box_of(page)
    assert (after["x"], after["width"], after["height"]) == pytest.approx(
        (before["x"], before["width"], before["height"]), abs=1
    )
    assert 8 <= before["y"] - after["y"] <= 20
    if page.interface == "classic":
        for pixel in ((2.0, 2.0), (after["x"] + 2.0, after["y"] + 2.0), (66.0, 30.0)):
            page.mouse.click(*on_canvas(page, *pixel))
            page.wait_for_timeout(200)
        assert box_of(page) == after
    outputs = run(page, comfyui)
    assert mean_change(comfyui, outputs, eyes) > 2 * mean_change(comfyui, outputs, mouth)
    fit(page)
    keep(page, "eyes")
    assert page.problems == []

    saved = page.evaluate("() => JSON.stringify(app.graph.serialize())")
    page.evaluate("async (graph) => { await app.loadGraphData(JSON.parse(graph)); }", saved)
    page.wait_for_timeout(1000)
    assert box_of(page) == after
    shown = page.evaluate(
        "(id) => app.graph.getNodeById(id).widgets.slice(0, 5).map((widget) => widget.value)", REGION
    )
    assert shown[1:] == [after["x"], after["y"], after["width"], after["height"]]


def test_an_own_picture_is_found_edited_and_put_back(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "edit_your_own_picture")
    outputs = run(page, comfyui)
    fit(page)
    keep(page, "photo")
    with Image.open(comfyui.base / "input" / "example.png") as picture:
        before = np.asarray(picture.convert("RGB")).astype(int)
    with Image.open(comfyui.picture(outputs["8"]["images"][0])) as picture:
        change = np.abs(np.asarray(picture.convert("RGB")) - before).max(axis=2)
    height, width = change.shape
    assert change[int(0.6 * height) : int(0.78 * height), int(0.31 * width) : int(0.69 * width)].mean() > 5
    assert not change[: height // 2].any()
    assert page.problems == []


def test_the_box_is_drawn_behind_a_reroute_too(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "edit_a_face_part")
    page.evaluate(
        """(id) => {
            const node = app.graph.getNodeById(id), source = node.getInputNode(0);
            const { origin_slot: slot } = node.getInputLink(0);
            const between = LiteGraph.createNode("Reroute");
            app.graph.add(between);
            source.connect(slot, between, 0);
            between.connect(0, node, 0);
        }""",
        REGION,
    )
    fit(page)
    run(page, comfyui)
    sizes = page.evaluate(
        "(id) => app.graph.getNodeById(id).getInputNode(0).imgs.map((image) => image.naturalWidth)", REGION
    )
    assert sizes == [64]
    if page.interface == "nodes2":
        page.locator(f'[data-node-id="{REGION}"] [data-testid=crop-overlay]').wait_for(state="visible")
    before = box_of(page)
    drag_box_up(page)
    assert 8 <= before["y"] - box_of(page)["y"] <= 20
    keep(page, "reroute")
    assert page.problems == []


def test_a_failure_is_told_in_a_toast(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "edit_a_face_part")
    page.evaluate(
        """(id) => {
            const { widgets } = app.graph.getNodeById(id);
            widgets.find((widget) => widget.name === "direction").value = "99";
        }""",
        APPLY,
    )
    page.get_by_test_id("queue-button").or_(page.get_by_role("button", name="Run")).first.click()
    page.get_by_text("direction 99 is out of range").first.wait_for(state="visible", timeout=RUN_MILLISECONDS)
    keep(page, "toast")


def test_a_direction_file_is_built_and_its_node_says_where_it_is(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "build_a_direction_file")
    fit(page)
    outputs = run(page, comfyui)
    assert len(outputs["8"]["images"]) == 9
    said = page.evaluate(
        "() => app.graph.nodes.map((node) => node.widgets?.find((w) => w.name === 'resefa_text'))"
        ".filter(Boolean).map((widget) => widget.element.textContent)"
    )
    assert any("models/stylegan_directions/eyes" in text for text in said)
    assert any("architecture: stylegan2" in text for text in said)
    fit(page)
    keep(page, "build")
    assert page.problems == []


def factorize_inputs(page: Any) -> dict[str, Any]:
    """What Factorize Region is sent with."""
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (inputs,) = (n["inputs"] for n in prompt.values() if n["class_type"] == "ReSeFa_FactorizeRegion")
    return dict(inputs)


def test_a_graph_saved_before_keeps_its_directions(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "edit_a_face_part")
    sent = factorize_inputs(page)
    assert (sent["only_good"], sent["colour"], sent["parameters"]) == (True, False, "")
    older = json.loads((ROOT / "tests" / "older" / "workflows" / "edit_a_face_part.json").read_text())
    page.evaluate("(graph) => app.loadGraphData(graph)", older)
    page.wait_for_function("() => app.graph.nodes.some((node) => node.type === 'ReSeFa_FactorizeRegion')")
    sent = factorize_inputs(page)
    assert sent["only_good"] is False
    assert sent["parameters"] == "colour=1, edge=0, regularization=0.0001"
    assert page.problems == []


def test_help_is_shown(page: Any, comfyui: ComfyUI) -> None:
    for name in ("ReSeFa_LoadGAN", "ReSeFa_FactorizeRegion"):
        answer = page.request.get(f"{comfyui.url}/extensions/resefa/docs/{name}.md")
        assert answer.ok
        assert len(answer.text()) > 400
