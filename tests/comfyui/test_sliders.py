"""Sliders, lists of names and the picture under the box, in a real browser and both of its interfaces."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import drag, fit, keep, open_template, run
from comfy_server import ComfyUI

SLIDERS, REGION = "ReSeFa_DirectionSliders", "ReSeFa_SelectRegion"


def widgets(page: Any, kind: str = SLIDERS) -> dict[str, Any]:
    """The values of a node's widgets by name."""
    return dict(
        page.evaluate(
            "(kind) => app.graph.nodes.find((node) => node.type === kind)"
            ".widgets.map((widget) => [widget.name, widget.value])",
            kind,
        )
    )


def strengths(page: Any) -> dict[str, float]:
    """The sliders by the names of their directions."""
    prefix = "strength of "
    return {name[len(prefix) :]: value for name, value in widgets(page).items() if name.startswith(prefix)}


def sent(page: Any, kind: str = SLIDERS) -> dict[str, Any]:
    """What a node is sent with."""
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (inputs,) = (node["inputs"] for node in prompt.values() if node["class_type"] == kind)
    return dict(inputs)


def drag_slider(page: Any, index: int) -> None:
    """Drag a slider to the right by its knob."""
    place = page.evaluate(
        """([kind, index]) => {
            const node = app.graph.nodes.find((each) => each.type === kind);
            const slider = node.widgets.filter((widget) => widget.resefaDirection !== undefined)[index];
            const { ds, canvas } = app.canvas, rect = canvas.getBoundingClientRect();
            const x = rect.x + (node.pos[0] + node.size[0] / 2 + ds.offset[0]) * ds.scale;
            return [x, rect.y + (node.pos[1] + slider.y + 10 + ds.offset[1]) * ds.scale, node.id];
        }""",
        [SLIDERS, index],
    )
    x, y, node = place
    if page.interface == "nodes2":
        name = list(strengths(page))[index]
        sliders = page.locator(f'[data-node-id="{node}"]').get_by_label(f"strength of {name}", exact=True)
        knob = sliders.locator("[role=slider]").or_(sliders).first.bounding_box()
        x, y = knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2
    drag(page, (x, y), (x + 20, y))


def set_widget(page: Any, kind: str, name: str, value: Any) -> None:
    page.evaluate(
        """([kind, name, value]) => {
            const node = app.graph.nodes.find((each) => each.type === kind);
            const widget = node.widgets.find((each) => each.name === name);
            widget.value = value;
            widget.callback?.(value);
        }""",
        [kind, name, value],
    )


def reopen(page: Any) -> None:
    saved = page.evaluate("() => JSON.stringify(app.graph.serialize())")
    page.evaluate("async (graph) => { await app.loadGraphData(JSON.parse(graph)); }", saved)
    page.wait_for_timeout(1500)


def test_there_is_a_slider_for_each_direction_and_its_value_stays_with_its_name(
    page: Any, comfyui: ComfyUI
) -> None:
    open_template(page, "many_sliders")
    fit(page)
    run(page, comfyui)
    fit(page)
    names = list(strengths(page))
    assert len(names) >= 4
    for name in names:
        set_widget(page, SLIDERS, f"strength of {name}", 0)
    run(page, comfyui)
    drag_slider(page, 1)
    value = strengths(page)[names[1]]
    assert value > 0.4
    name, _, told = sent(page)["strengths"].rpartition("=")
    assert (name, float(told)) == (names[1], pytest.approx(value, abs=0.01))
    keep(page, "sliders")

    reopen(page)
    value = float(told)
    assert strengths(page) == {**dict.fromkeys(names, 0), names[1]: value}

    set_widget(page, "ReSeFa_FactorizeRegion", "num_directions", 3)
    run(page, comfyui)
    fewer = strengths(page)
    assert 1 <= len(fewer) <= 3
    if names[1] in fewer:
        assert fewer[names[1]] == value
    set_widget(page, "ReSeFa_FactorizeRegion", "num_directions", 8)
    run(page, comfyui)
    assert strengths(page)[names[1]] == value
    assert page.problems == []


def test_a_direction_is_chosen_by_its_name(page: Any, comfyui: ComfyUI) -> None:
    apply = "ReSeFa_ApplyDirection"
    open_template(page, "edit_a_face_part")
    fit(page)
    assert sent(page, apply)["direction"] == "0"
    run(page, comfyui)
    fit(page)
    offered = page.evaluate(
        """(kind) => {
            const list = app.graph.nodes.find((node) => node.type === kind)
              .widgets.find((widget) => widget.name === "direction");
            return list.options.values().map((value) => list.options.getOptionLabel(value));
        }""",
        apply,
    )
    assert len(offered) >= 2
    assert all(label.startswith(f"{index}: ") for index, label in enumerate(offered))
    node, x, y = page.evaluate(
        """(kind) => {
            const node = app.graph.nodes.find((each) => each.type === kind);
            const list = node.widgets.find((widget) => widget.name === "direction");
            const { ds, canvas } = app.canvas, rect = canvas.getBoundingClientRect();
            return [
              node.id,
              rect.x + (node.pos[0] + 0.6 * node.size[0] + ds.offset[0]) * ds.scale,
              rect.y + (node.pos[1] + list.y + 10 + ds.offset[1]) * ds.scale,
            ];
        }""",
        apply,
    )
    if page.interface == "nodes2":
        page.locator(f'[data-node-id="{node}"]').get_by_role("combobox", name="direction").click()
        keep(page, "names")
        page.get_by_role("option", name=offered[1], exact=True).click()
    else:
        page.mouse.click(x, y)
        keep(page, "names")
        page.locator(".litemenu-entry", has_text=offered[1]).first.click()
    page.wait_for_timeout(500)
    assert sent(page, apply)["direction"] == offered[1]
    run(page, comfyui)
    assert page.problems == []


def test_the_box_has_its_picture_before_a_run(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "edit_a_face_part")
    run(page, comfyui)
    page.wait_for_function(
        "(kind) => app.graph.nodes.find((node) => node.type === kind).properties.resefa_picture", arg=REGION
    )
    saved = page.evaluate("() => JSON.stringify(app.graph.serialize())")
    assert len(saved) < 60_000
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(comfyui.url, wait_until="domcontentloaded")
    page.wait_for_function("() => window.app?.canvas && window.app.graph && window.app.extensionManager")
    page.wait_for_timeout(2000)
    page.evaluate("async (graph) => { await app.loadGraphData(JSON.parse(graph)); }", saved)
    page.wait_for_timeout(1500)
    fit(page)
    sizes = page.evaluate(
        """(kind) => app.graph.nodes.find((node) => node.type === kind).getInputNode(0)
            .imgs.map((image) => image.naturalWidth)""",
        REGION,
    )
    assert sizes == [64]
    if page.interface == "nodes2":
        page.get_by_test_id("crop-overlay").first.wait_for(state="visible")
    keep(page, "opened")
    assert page.problems == []
