"""Redo the pictures of the demo in docs/.

python tests/gradio_app/screenshots.py [FOLDER]
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from demo_browser import DESKTOP, PHONE, READY, keep_offline, launch, serve
from PIL import Image
from playwright.sync_api import sync_playwright
from serving import ROOT

PATIENCE = 120_000
LARGEST = 150_000
PICTURES: dict[str, dict[str, Any]] = {
    "demo-desktop-light": DESKTOP,
    "demo-desktop-dark": {**DESKTOP, "color_scheme": "dark"},
    "demo-phone": PHONE,
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    with serve() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        for name, options in PICTURES.items():
            context = browser.new_context(**options)
            keep_offline(context, [])
            page = context.new_page()
            page.goto(address, timeout=PATIENCE)
            page.wait_for_selector(READY, timeout=PATIENCE)
            page.wait_for_function(
                "() => document.querySelector('#status .text').textContent.includes('Move a slider')",
                timeout=PATIENCE,
            )
            before = page.eval_on_selector(".after", "(image) => image.src")
            page.eval_on_selector(
                ".rows [type=range]",
                """(slider) => {
                  slider.value = 4;
                  slider.dispatchEvent(new Event("input", { bubbles: true }));
                }""",
            )
            page.wait_for_function(
                "(src) => document.querySelector('.after').src !== src", arg=before, timeout=PATIENCE
            )
            if name != "demo-phone":
                page.get_by_label("Move other pictures along").check()
                page.wait_for_function(
                    "() => document.querySelectorAll('#others figure').length === 6", timeout=PATIENCE
                )
            page.evaluate("() => window.scrollTo(0, 0)")  # where the line that tells what was found is
            page.wait_for_timeout(1500)
            picture = Image.open(io.BytesIO(page.screenshot(full_page=name != "demo-phone"))).convert("RGB")
            save(picture, folder / f"{name}.jpg")
            context.close()
        browser.close()


def save(picture: Image.Image, file: Path) -> None:
    """As a JPEG of at most `LARGEST` bytes."""
    for quality in range(80, 30, -5):
        picture.save(file, quality=quality, optimize=True)
        if file.stat().st_size <= LARGEST:
            return


if __name__ == "__main__":
    main()
