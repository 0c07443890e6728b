"""Who chooses again before the answer came gets what was chosen last, in a real browser, slowly served."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from demo_browser import DESKTOP, READY, find_chromium, launch

pytest.importorskip("gradio", reason="gradio is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if find_chromium() is None:
    pytest.skip("no browser: set RESEFA_CHROMIUM, or install chromium", allow_module_level=True)

PATIENCE = 120_000
ROUNDS = int(os.environ.get("RESEFA_ROUNDS", "3"))
PRESETS = ("mouth", "eyes", "nose", "hair")


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    """The page, with each request held back for a while, as by a slow server."""
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_context(**DESKTOP).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}?seed=29&region=mouth")
        page.wait_for_function("() => document.querySelectorAll(`" + READY + "`).length > 0")
        rng = random.Random(1)

        def hold(route: Any) -> None:
            page.wait_for_timeout(rng.uniform(0, 300))
            route.continue_()

        page.route("**/queue/join**", hold)
        yield page
        browser.close()


def settled(page: Any, is_there: str, argument: object) -> None:
    """Wait until what was chosen last is there, and for a while longer: nothing else may come."""
    done = """document.querySelector("#status .line").dataset.kind === "done"
      && document.querySelector(".rows").dataset.more === "false" && !document.querySelector(".rows").inert"""
    page.wait_for_function(f"(wanted) => {done} && ({is_there})(wanted)", arg=argument)
    page.wait_for_timeout(1500)
    assert page.evaluate(f"(wanted) => ({is_there})(wanted)", argument), argument


def test_presets(page: Any) -> None:
    rng = random.Random(2)
    told = "(name) => document.querySelector('#status .text').textContent.includes(`the ${name}`)"
    for number in range(ROUNDS):
        chosen = rng.sample(PRESETS, 4)
        for name in chosen:
            page.evaluate(f"document.querySelector('[data-preset={name}]').click()")
            page.wait_for_timeout(rng.uniform(50, 500))
        settled(page, told, chosen[-1])
        assert page.locator(".presets [aria-pressed=true]").all_inner_texts() == [chosen[-1]], number
        assert unquote(page.url).endswith((f"part=part:{chosen[-1]}", f"region={chosen[-1]}"))


def test_boxes(page: Any) -> None:
    rng = random.Random(3)
    told = """(box) => (new URLSearchParams(location.search).get("box") || "").split(",")
      .every((part, at) => Math.abs(Number(part) - box[at]) < 0.02)"""
    page.locator("[data-tool=box]").click()
    for _ in range(ROUNDS):
        frame = page.locator(".stage").bounding_box()
        for _ in range(3):
            x, y = rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.5)
            page.mouse.move(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])
            page.mouse.down()
            page.mouse.move(
                frame["x"] + (x + 0.3) * frame["width"], frame["y"] + (y + 0.3) * frame["height"], steps=2
            )
            page.mouse.up()
            page.wait_for_timeout(rng.uniform(100, 600))
        settled(page, told, [x, y, 0.3, 0.3])
