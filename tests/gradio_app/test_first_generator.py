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
from resefa_core.directions.about import credit_of

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
    assert (shown["generator"], shown["seed"]) == (SHOWN_FIRST, FIRST_SEED)
    assert set(shown["picker"]["presets"]) == set(resefa.PRESETS["avatars"])


@pytest.mark.parametrize("link", [{"generator": "avatars"}, {"seed": "29", "region": "mouth"}, {"seed": "5"}])
def test_older_links_open_the_smaller_faces(steps: Steps, link: dict[str, str]) -> None:
    shown = first(steps.arrive(Visit(), link))
    assert shown["generator"] == "avatars"
    assert "generator" not in shown["history"]["link"]


def test_a_link_to_it_names_it(steps: Steps) -> None:
    link = first(steps.arrive(Visit(), {}))["history"]["link"]
    query = dict(parse_qsl(link[1:]))
    assert query["generator"] == SHOWN_FIRST
    assert first(steps.arrive(Visit(), query))["generator"] == SHOWN_FIRST


def test_an_operators_first_generator_needs_no_name() -> None:
    avatars, cats = (resefa.load_generator(name) for name in ("avatars", "cats"))
    assert Studio({"cats": cats, "avatars": avatars}).unnamed == "cats"
    assert Studio({SHOWN_FIRST: cats}).unnamed == SHOWN_FIRST


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """The page as somebody with a phone sees it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if find_chromium() is None:
        pytest.skip("no browser: set RESEFA_CHROMIUM, or install chromium or google-chrome")
    with serve() as address, sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(**PHONE, base_url=address)
        context.set_default_timeout(PATIENCE)
        keep_offline(context, [])
        yield context.new_page()
        browser.close()


def go(page: Any, query: str = "") -> None:
    page.goto(f"/{query}")
    page.wait_for_selector(READY)


def test_the_page_opens_with_it(page: Any) -> None:
    go(page)
    assert page.get_attribute("img.after", "alt") == f"Picture number {FIRST_SEED}, drawn by {SHOWN_FIRST}"
    assert page.eval_on_selector("img.after", "(image) => image.naturalWidth") == 128
    assert page.get_by_label("Generator", exact=True).input_value() == SHOWN_FIRST
    go(page, f"?seed={FIRST_SEED}&region=mouth")
    assert page.eval_on_selector("img.after", "(image) => image.naturalWidth") == 64
    assert page.get_by_label("Generator", exact=True).input_value() == "avatars"


def credited(name: str) -> str:
    return f"Credit: {credit_of(resefa.load_generator(name))}"


@pytest.mark.parametrize(
    "size", [PHONE["viewport"], {"width": 1280, "height": 800}], ids=["phone", "desktop"]
)
def test_whom_to_credit_is_in_view_beneath_the_picture(page: Any, size: dict[str, int]) -> None:
    page.set_viewport_size(size)
    go(page, "?generator=cats")
    line, choice = page.locator("#picker .credit"), page.get_by_label("Generator", exact=True)
    for name, expected in (("cats", credited("cats")), ("avatars", ""), (SHOWN_FIRST, credited(SHOWN_FIRST))):
        if choice.input_value() != name:
            choice.click()
            page.get_by_role("option", name=name, exact=True).click()
            page.wait_for_function(
                "(name) => document.querySelector('img.after').alt.endsWith(`by ${name}`)", arg=name
            )
        assert line.inner_text() == expected
        page.evaluate("scrollTo(0, 0)")
        picture, place = page.locator("#picker .stage").bounding_box(), line.bounding_box()
        assert 0 <= place["y"] - (picture["y"] + picture["height"]) <= 16
        assert 16 <= place["height"] <= size["height"] - place["y"]
    assert page.get_by_text(expected).count() == 1


def test_whom_to_credit_is_seen_before_the_pages_scripts(page: Any) -> None:
    early = page.context.new_page()
    early.route("**/assets/*.js", lambda route: route.abort())
    early.goto("/")
    line = early.locator("#first-sight").get_by_text(credited(SHOWN_FIRST), exact=True)
    line.wait_for()
    place = line.bounding_box()
    assert place["y"] + place["height"] <= early.viewport_size["height"]
    early.close()
