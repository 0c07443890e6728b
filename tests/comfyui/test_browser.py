"""The pack in a real browser, in both of ComfyUI's interfaces."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from browsing import (
    REGION,
    RUN_MILLISECONDS,
    drag_box,
    fit,
    keep,
    load,
    on_canvas,
    open_template,
    picture_sizes,
    put_between,
    run,
    sent,
    set_widget,
    shown_box,
    widgets,
)
from comfy_server import ROOT, ComfyUI
from PIL import Image
from places import side, within

from resefa_core.defaults import SHOWN_FIRST

LOAD, FACTORIZE, APPLY = "ReSeFa_LoadGAN", "ReSeFa_FactorizeRegion", 5
SIDE = side(SHOWN_FIRST)


def mean_change(comfyui: ComfyUI, outputs: dict[str, Any], preset: str) -> float:
    """How much Apply Direction has changed the image in a preset of the faces."""
    pictures = []
    for node in ("2", str(APPLY)):
        with Image.open(comfyui.picture(outputs[node]["images"][0])) as picture:
            pictures.append(np.asarray(picture.convert("RGB")).astype(np.float32))
    return float(np.abs(pictures[1] - pictures[0])[within(preset, pictures[0])].mean())


def test_a_box_is_dragged_and_the_edit_follows(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "edit_a_face_part")
    fit(page)
    outputs = run(page, comfyui)
    assert mean_change(comfyui, outputs, "mouth") > 2 * mean_change(comfyui, outputs, "eyes")
    fit(page)
    keep(page, "mouth")

    before = shown_box(page)
    drag_box(page)
    after = shown_box(page)
    assert (after["x"], after["width"], after["height"]) == pytest.approx(
        (before["x"], before["width"], before["height"]), abs=1
    )
    assert 8 / 64 <= (before["y"] - after["y"]) / SIDE <= 20 / 64
    if page.interface == "classic":
        for pixel in ((2.0, 2.0), (after["x"] + 2.0, after["y"] + 2.0), (SIDE + 2.0, SIDE / 2)):
            page.mouse.click(*on_canvas(page, *pixel))
            page.wait_for_timeout(200)
        assert shown_box(page) == after
    outputs = run(page, comfyui)
    assert mean_change(comfyui, outputs, "eyes") > 2 * mean_change(comfyui, outputs, "mouth")
    fit(page)
    keep(page, "eyes")
    assert page.problems == []

    saved = page.evaluate("() => JSON.stringify(app.graph.serialize())")
    load(page, saved)
    assert shown_box(page) == after
    shown = list(widgets(page, REGION).values())
    assert shown[1:5] == [after["x"], after["y"], after["width"], after["height"]]


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
    put_between(page, REGION, "image")
    fit(page)
    run(page, comfyui)
    assert picture_sizes(page) == [(SIDE, SIDE)]
    if page.interface == "nodes2":
        page.get_by_test_id("crop-overlay").wait_for(state="visible")
    before = shown_box(page)
    drag_box(page)
    assert 8 / 64 <= (before["y"] - shown_box(page)["y"]) / SIDE <= 20 / 64
    keep(page, "reroute")
    assert page.problems == []


@pytest.mark.parametrize(
    ("kind", "name", "value", "words"),
    [
        ("ReSeFa_ApplyDirection", "direction", "99", "direction 99 is out of range"),
        (
            REGION,
            "box",
            {"x": SIDE + 16, "y": 9, "width": 4, "height": 4},
            f"lies outside the image of {SIDE} x {SIDE}",
        ),
        (
            LOAD,
            "name",
            "cats.safetensors",
            "put the file there and refresh (R), or choose avatars or avatars-128 or cats as *generator*",
        ),
    ],
    ids=["direction", "box", "generator"],
)
def test_a_failure_is_told_in_a_toast(
    kind: str, name: str, value: Any, words: str, page: Any, comfyui: ComfyUI
) -> None:
    open_template(page, "edit_a_face_part")
    set_widget(page, kind, name, value)
    page.get_by_test_id("queue-button").or_(page.get_by_role("button", name="Run")).first.click()
    toast = page.locator(".resefa-error").filter(has_text=words)
    toast.wait_for(state="visible", timeout=RUN_MILLISECONDS)
    title = page.evaluate("(kind) => app.graph.nodes.find((node) => node.type === kind).title", kind)
    assert toast.inner_text().startswith(title)
    keep(page, f"toast-{name}")


def test_missing_generators_are_told_when_a_graph_is_opened(page: Any, comfyui: ComfyUI) -> None:
    graph = json.loads((ROOT / "example_workflows" / "edit_a_face_part.json").read_text())
    (loader,) = (node for node in graph["nodes"] if node["type"] == LOAD)
    for name in (
        "cats.safetensors",
        "stylegan2-ffhq-256x256.pkl",
    ):  # ComfyUI tells of one, the pack of the other
        model = {"name": name, "url": f"https://example.org/{name}", "directory": "stylegan"}
        loader["widgets_values"], loader["properties"]["models"] = [name], [model]
        load(page, json.dumps(graph))
        page.get_by_text(f"{name} is missing").first.wait_for(state="visible")
        if name.endswith(".pkl"):
            page.get_by_text(f"It is at {model['url']}").wait_for(state="visible")
        keep(page, f"missing{name[-4:]}")


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


def test_a_graph_saved_before_keeps_its_directions(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "edit_a_face_part")
    inputs = sent(page, FACTORIZE)
    assert (inputs["only_good"], inputs["colour"], inputs["parameters"]) == (True, False, "")
    assert inputs["confine_feather"] == 0.03
    older = json.loads((ROOT / "tests" / "older" / "workflows" / "edit_a_face_part.json").read_text())
    page.evaluate("(graph) => app.loadGraphData(graph)", older)
    page.wait_for_function("() => app.graph.nodes.some((node) => node.type === 'ReSeFa_FactorizeRegion')")
    inputs = sent(page, FACTORIZE)
    assert inputs["only_good"] is False
    assert inputs["confine_feather"] == 0
    assert inputs["parameters"] == "colour=1, edge=0, regularization=0.0001"
    assert page.problems == []


def test_help_is_shown(page: Any, comfyui: ComfyUI) -> None:
    for name in ("ReSeFa_LoadGAN", "ReSeFa_FactorizeRegion"):
        answer = page.request.get(f"{comfyui.url}/extensions/resefa/docs/{name}.md")
        assert answer.ok
        assert len(answer.text()) > 400
