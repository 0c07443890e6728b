"""A visitor's own picture, in a real browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_browser import DESKTOP, find_chromium, keep_offline, launch
from PIL import Image

import resefa_core as resefa
from resefa_core.inversion import edited_mark


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if find_chromium() is None:
        pytest.skip("no browser: set RESEFA_CHROMIUM, or install chromium or google-chrome")
    with sync_api.sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.mark.flaky(reruns=2)  # a browser on a busy machine
def test_a_picture_is_dropped_found_edited_and_taken_away(
    browser: Any, address: str, avatars: resefa.Generator, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (260, 192), (30, 90, 60))
    face = resefa.to_pil(avatars.synthesize(avatars.sample(77, 0.7))[0])
    picture.paste(face.resize((192, 192)), (34, 0))
    photo = tmp_path / "me.png"
    picture.save(photo)
    before = np.asarray(picture)
    context = browser.new_context(**DESKTOP)
    context.set_default_timeout(120_000)
    refused: list[str] = []
    keep_offline(context, refused)
    page = context.new_page()
    page.goto(address)
    said = "(text) => document.querySelector('#status .text')?.textContent.includes(text)"
    page.wait_for_function(said, arg="Move a slider")
    first = page.eval_on_selector(".after", "(image) => image.src")
    with page.expect_download() as download:
        page.locator(".save-one").click()
    with Image.open(download.value.path()) as taken:
        taken.load()
        assert not set(edited_mark()) & set(taken.info)
    page.get_by_role("tab", name="Your picture").click()
    assert page.get_by_text("without their consent").is_visible()
    page.get_by_role("tabpanel").locator("input[type=file]").set_input_files(photo)
    page.wait_for_function(said, arg="Finding your picture")
    page.wait_for_function("(src) => document.querySelector('.after').src !== src", arg=first)
    page.wait_for_function(said, arg="your picture as avatars draws it")
    page.evaluate(
        """() => {
          const slider = document.querySelector(".rows [type=range]");
          slider.value = 3;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
          slider.dispatchEvent(new Event("change", { bubbles: true }));
        }"""
    )
    for button in (".save-one", ".save-both"):
        with page.expect_download() as download:
            page.locator(button).click()
        with Image.open(download.value.path()) as taken:
            taken.load()
            assert set(edited_mark().items()) <= set(taken.info.items())
    page.locator("#paste").click()
    page.wait_for_function(said, arg="is ready")
    page.locator("#pasted figure").nth(1).wait_for()
    shown = page.eval_on_selector("#pasted figure:nth-child(2) img", "(image) => image.src")
    pasted = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.split(",", 1)[1]))).convert("RGB"))
    assert pasted.shape == before.shape
    assert np.abs(pasted[60:190, 60:200].astype(int) - before[60:190, 60:200]).max() > 30
    assert "edit" not in page.url
    assert "seed" not in page.url
    page.screenshot(path=tmp_path / "photo.png", full_page=True)
    clicked = page.locator("#points img")
    frame = clicked.bounding_box()
    assert frame is not None
    for x, y in ((0.4, 0.44), (0.55, 0.44), (0.5, 0.66)):
        clicked.click(position={"x": x * frame["width"], "y": y * frame["height"]})
    page.wait_for_function(said, arg="Finding your picture")
    page.wait_for_function(said, arg="your picture as avatars draws it")
    page.get_by_text("Click the eye at the left (1 of 3)").wait_for()
    assert page.locator("#points .point").count() == 0
    page.screenshot(path=tmp_path / "points.png", full_page=True)
    context.close()
    assert refused == []
