"""Sliders, lists of names and the picture under the box, in a real browser and both of its interfaces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from browsing import (
    REGION,
    SLIDERS,
    drag,
    drag_box,
    drag_slider,
    fit,
    go_into_subgraph,
    keep,
    load,
    open_template,
    pack,
    picture_sizes,
    put_between,
    run,
    sent,
    set_widget,
    strengths,
    switch,
    widgets,
)
from comfy_server import ComfyUI
from places import side

from resefa_core.defaults import SHOWN_FIRST

SIDE = side(SHOWN_FIRST)


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
    name, _, told = sent(page, SLIDERS)["strengths"].rpartition("=")
    assert (name, float(told)) == (names[1], pytest.approx(value, abs=0.01))
    keep(page, "sliders")

    load(page, page.evaluate("() => JSON.stringify(app.graph.serialize())"))
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


def test_a_long_name_leaves_sliders_room(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "many_sliders")
    fit(page)
    run(page, comfyui)
    graph = json.loads(page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    (node,) = (each for each in graph["nodes"] if each["type"] == SLIDERS)
    offered = node["properties"]["resefa_directions"]
    name = offered["names"][0] = "up, lighter in the middle / down, darker in the middle"
    load(page, json.dumps(graph))
    fit(page)
    assert name in strengths(page)
    if page.interface == "nodes2":
        slider = page.locator(f'[data-slot=slider][aria-label="strength of {name}"]').bounding_box()
        assert slider["width"] > 4 * slider["height"]
    drag_slider(page, 0)
    assert strengths(page)[name] > 0.4
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
    load(page, saved)
    fit(page)
    assert picture_sizes(page) == [(SIDE, SIDE)]
    if page.interface == "nodes2":
        page.get_by_test_id("crop-overlay").first.wait_for(state="visible")
    keep(page, "opened")
    assert page.problems == []


def numbers(page: Any) -> tuple[dict[str, float], str]:
    """The box and the strengths that are sent; everything that shows them says the same."""
    shown, told = widgets(page, REGION), sent(page, SLIDERS)["strengths"]
    box = sent(page, REGION)["box"]
    assert shown["box"] == box
    if page.interface == "classic":
        assert {edge: shown[edge] for edge in box} == box
    names = list(strengths(page))
    lines = [line.rsplit("=", 1) for line in told.splitlines()]
    lines = {names[int(name)] if name.isdigit() else name: value for name, value in lines}
    moved = {name: value for name, value in strengths(page).items() if value}
    assert moved == {name: pytest.approx(float(value), abs=0.01) for name, value in lines.items()}
    if page.interface == "nodes2":
        fields = [page.get_by_test_id("crop-overlay").locator("xpath=ancestor::*[@data-node-id][1]//input")]
        typed = [int(field) for field in fields[0].evaluate_all("(all) => all.map((each) => each.value)")[:4]]
        assert dict(zip(box, typed, strict=True)) == box
    return box, told


def test_numbers_stay_when_the_interface_is_switched(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "many_sliders")
    fit(page)
    run(page, comfyui)
    fit(page)
    box, told = numbers(page)
    for step in range(3):
        drag_slider(page, step)
        drag_box(page, down=(-14, 6, -3)[step] / 64)
        assert numbers(page)[0] != box
        assert numbers(page)[1] != told
        box, told = numbers(page)
        switch(page)
        assert numbers(page) == (box, told)
        keep(page, f"switched-{step}")
    run(page, comfyui)
    assert sent(page, REGION)["box"] == box
    assert page.problems == []


def test_box_and_sliders_work_in_a_subgraph(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "many_sliders")
    pack(page, REGION, "ReSeFa_FactorizeRegion", SLIDERS)
    run(page, comfyui)
    go_into_subgraph(page)
    assert picture_sizes(page) == [(SIDE, SIDE)]
    assert len(strengths(page)) >= 4
    box, told = numbers(page)
    drag_slider(page, 1)
    drag_box(page, down=-12 / 64)
    keep(page, "subgraph")
    assert numbers(page)[0] != box
    assert numbers(page)[1] != told
    box, told = numbers(page)
    switch(page)
    assert numbers(page) == (box, told)
    load(page, page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    go_into_subgraph(page)
    assert numbers(page) == (box, told)
    keep(page, "subgraph-opened")
    assert page.problems == []


def test_sliders_work_behind_a_reroute(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "many_sliders")
    put_between(page, SLIDERS, "directions")
    put_between(page, REGION, "image")
    run(page, comfyui)
    fit(page)
    box, told = numbers(page)
    drag_slider(page, 0)
    drag_box(page)
    keep(page, "sliders-reroute")
    assert numbers(page)[0] != box
    assert numbers(page)[1] != told
    assert page.problems == []


def test_strengths_from_a_text_take_the_place_of_the_sliders(page: Any, comfyui: ComfyUI) -> None:
    open_template(page, "many_sliders")
    fit(page)
    start, stop = page.evaluate(
        """(kind) => {
            const node = app.graph.nodes.find((each) => each.type === kind);
            const text = LiteGraph.createNode("PrimitiveStringMultiline");
            app.graph.add(text);
            text.pos = [node.pos[0] - 100, node.pos[1] + node.size[1] + 100];
            text.widgets[0].value = "0=2";
            const slot = node.inputs.findIndex((input) => input.name === "strengths");
            const { ds, canvas } = app.canvas, rect = canvas.getBoundingClientRect();
            const place = ([x, y]) => [
              rect.x + (x + ds.offset[0]) * ds.scale, rect.y + (y + ds.offset[1]) * ds.scale
            ];
            return new Promise((resolve) =>
              setTimeout(() => resolve([place(text.getOutputPos(0)), place(node.getInputPos(slot))]), 1000)
            );
        }""",
        SLIDERS,
    )
    drag(page, start, stop)
    page.wait_for_timeout(500)
    assert strengths(page) == {}
    assert isinstance(sent(page, SLIDERS)["strengths"], list)
    run(page, comfyui)
    assert strengths(page) == {}
    keep(page, "linked")
    assert page.problems == []
