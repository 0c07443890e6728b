"""The demo opens with the larger faces; what was made while the smaller ones came first still means those."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

pytest.importorskip("gradio", reason="gradio is not installed")

from demo_browser import PHONE, READY, find_chromium, keep_offline, launch, serve

import resefa_core as resefa
from gradio_app.app import _options
from gradio_app.steps import FIRST_SEED, Steps
from gradio_app.studio import Studio
from gradio_app.visit import Visit
from resefa_core.defaults import SHOWN_FIRST

PATIENCE = 120_000


@pytest.fixture(scope="module")
def steps() -> Steps:
    return Steps(Studio({name: resefa.load_generator(name) for name in _options([]).generator}))


def first(updates: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """What is shown before any analysis."""
    return next(updates)


def test_it_comes_first_and_the_others_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESEFA_GENERATORS", raising=False)
    assert _options([]).generator == [SHOWN_FIRST, "avatars", "cats"]
    assert sorted(_options([]).generator) == resefa.bundled_names()
    assert _options(["--generator", "cats"]).generator == ["cats"]


def test_who_comes_without_a_link_sees_it(steps: Steps) -> None:
    shown = first(steps.arrive(Visit(), {}))
    assert (shown["generator"]["value"], shown["seed"]) == (SHOWN_FIRST, FIRST_SEED)
    assert set(shown["picker"]["presets"]) == set(resefa.PRESETS["avatars"])


@pytest.mark.parametrize("link", [{"generator": "avatars"}, {"seed": "29", "region": "mouth"}, {"seed": "5"}])
def test_older_links_open_the_smaller_faces(steps: Steps, link: dict[str, str]) -> None:
    shown = first(steps.arrive(Visit(), link))
    assert shown["generator"]["value"] == "avatars"
    assert "generator" not in shown["history"]["link"]


def test_a_link_to_it_names_it(steps: Steps) -> None:
    link = first(steps.arrive(Visit(), {}))["history"]["link"]
    query = dict(parse_qsl(link[1:]))
    assert query["generator"] == SHOWN_FIRST
    assert first(steps.arrive(Visit(), query))["generator"]["value"] == SHOWN_FIRST


def test_an_operators_first_generator_needs_no_name() -> None:
    avatars, cats = (resefa.load_generator(name) for name in ("avatars", "cats"))
    assert Studio({"cats": cats, "avatars": avatars}).unnamed == "cats"
    assert Studio({SHOWN_FIRST: cats}).unnamed == SHOWN_FIRST


def test_the_page_opens_with_it() -> None:
    """In a browser, as somebody with a phone sees it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if find_chromium() is None:
        pytest.skip("no browser: set RESEFA_CHROMIUM, or install chromium or google-chrome")
    with serve() as address, sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(**PHONE)
        keep_offline(context, [])
        page = context.new_page()
        page.goto(address, timeout=PATIENCE)
        page.wait_for_selector(READY, timeout=PATIENCE)
        alt = page.get_attribute("img.after", "alt")
        assert alt == f"Picture number {FIRST_SEED}, drawn by {SHOWN_FIRST}"
        assert page.eval_on_selector("img.after", "(image) => image.naturalWidth") == 128
        assert page.get_by_label("Generator", exact=True).input_value() == SHOWN_FIRST
        page.goto(f"{address}?seed={FIRST_SEED}&region=mouth", timeout=PATIENCE)
        page.wait_for_selector(READY, timeout=PATIENCE)
        assert page.eval_on_selector("img.after", "(image) => image.naturalWidth") == 64
        assert page.get_by_label("Generator", exact=True).input_value() == "avatars"
        browser.close()
