"""Updates of the page cost what they change, and say what Gradio's own say."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

gr = pytest.importorskip("gradio", reason="gradio is not installed")

from gradio.state_holder import SessionState  # noqa: E402

import resefa_core as resefa  # noqa: E402
from gradio_app.blocks import Page  # noqa: E402
from gradio_app.page import Settings, build  # noqa: E402
from gradio_app.presence import Presence  # noqa: E402
from gradio_app.quota import Quota  # noqa: E402
from gradio_app.studio import Studio  # noqa: E402

Parts = dict[str, Any]


def page_of(kind: type[Any]) -> tuple[Any, Any, Parts]:
    """A page, its one event, which may change all parts, and these."""
    with kind() as page:
        parts: Parts = {
            "visit": gr.State(None),
            "text": gr.Textbox("before"),
            "number": gr.Number(1),
            "choice": gr.Dropdown(["a", "b"], value="a"),
            "html": gr.HTML("x"),
        }
        page.load(lambda: None, outputs=list(parts.values()))
    return page, next(iter(page.fns.values())), parts


UPDATES: list[Parts] = [
    {"visit": "someone", "text": "after"},
    {"visit": "someone"},
    {"html": {"a": 1}},
    {"choice": gr.update(choices=["c"], value="c"), "number": 5},
    {"text": gr.update(visible=False)},
]


@pytest.mark.parametrize("update", UPDATES)
def test_an_update_says_what_gradios_own_says(update: Parts) -> None:
    told = []
    for kind in (gr.Blocks, Page):
        page, event, parts = page_of(kind)
        state = SessionState(page)
        named = {parts[name]: copy.deepcopy(value) for name, value in update.items()}
        values = asyncio.run(page.postprocess_data(event, named, state))
        if "html" not in update:
            assert values[-1].pop("props", None) in (None, gr.skip())  # of HTML, Gradio says nothing twice
        told.append((values, state[parts["visit"]._id]))
    assert told[0] == told[1]
    assert len(told[1][0]) == 5


def test_lists_and_ends_are_left_to_gradio() -> None:
    page, event, _ = page_of(Page)
    state = SessionState(page)
    values = asyncio.run(page.postprocess_data(event, [None, "a", 2, "b", "y"], state))
    assert values == [None, "a", 2, "b", "y"]


def test_parts_that_an_update_does_not_name_are_not_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    built: dict[str, int] = {}
    for kind in (gr.Blocks, Page):
        page, event, parts = page_of(kind)
        state = SessionState(page)
        count = 0
        config_for_block = type(state.blocks_config).config_for_block

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            return config_for_block(*args, **kwargs)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(type(state.blocks_config), "config_for_block", staticmethod(counted))
            asyncio.run(page.postprocess_data(event, {parts["html"]: "z"}, state))
        built[kind.__name__] = count
    assert built["Page"] < built["Blocks"]
    assert built["Page"] <= 1


def test_every_step_of_the_page_can_say_what_went_wrong(avatars: resefa.Generator, tmp_path: Path) -> None:
    page = build(Studio({"avatars": avatars}), Settings(tmp_path, Presence(), Quota(tmp_path)))
    steps = [each.outputs for each in page.fns.values() if any(part.stateful for part in each.outputs)]
    assert len(steps) > 20
    for outputs in steps:
        assert "status" in [part.elem_id for part in outputs]
        assert len(outputs) == len(set(outputs))
