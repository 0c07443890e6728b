"""What does a first visitor see, and when? In a browser, on a fast line and on a phone's.

    python benchmarks/first_visit.py OUT [--visits N] [--against FOLDER]

Needs `playwright` and a Chromium (RESEFA_CHROMIUM, or on the path). The demo runs in a process of its own;
each visit is one of a browser that has seen nothing yet. Printed are medians of N visits for each screen, on
the page's own clock from the start of the navigation: until a face is seen, and a strip; until they are the
page's own, which can be pointed at and moved; and until the strips of every layer. FOLDER has another version
of this repository, whose demo is visited in turns with this one's. OUT gets a film strip for each screen and
scheme: the page after 1, 2, 4, 8 and 16 seconds.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "gradio_app")]

from demo_browser import SCREENS, launch, serve  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

_SLOW = {"latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
LINES = {"fast": None, "400 kbit/s, 400 ms": _SLOW}
SEEN = {
    "a face": "#first-sight img, #picker .after[src]",
    "a strip": ".first-ways li, .rows .strip",
    "its own face": "body:not(:has(#first-sight)) #picker .after[src]",
    "its own strip": ".rows .strip",
    "every layer": "",
}
SECONDS = (1, 2, 4, 8, 16)
HEIGHT = 360
PATIENCE = 120_000

_WATCH = """(seen) => {
  window.times = {};
  const look = () => {
    for (const [name, selector] of Object.entries(seen)) {
      if (!(name in times) && selector && document.querySelector(selector)) times[name] = performance.now();
    }
    const told = document.querySelector("#status .text")?.textContent ?? "";
    if (!("every layer" in times) && told.includes("Move a slider")) times["every layer"] = performance.now();
  };
  const all = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(look).observe(document, all);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--visits", type=int, default=3)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    roots = {"this": ROOT} | ({"other": options.against} if options.against else {})
    print("| demo | screen | line | " + " | ".join(SEEN) + " |\n|---|---|---|" + "---:|" * len(SEEN))
    with ExitStack() as stack, sync_playwright() as playwright:
        addresses = {name: stack.enter_context(serve(root=root)) for name, root in roots.items()}
        browser = launch(playwright)
        for address in addresses.values():  # its analysis of the first face is over then
            visit(browser, address, "1440", "fast")
        for screen, line in product(SCREENS, LINES):
            times: dict[str, list[dict[str, float]]] = {name: [] for name in roots}
            for name in list(roots) * options.visits:
                times[name].append(visit(browser, addresses[name], screen, line))
            for name, visits in times.items():
                told = (f"{statistics.median(each[what] for each in visits) / 1000:.1f} s" for what in SEEN)
                print(f"| {name} | {screen} | {line} | " + " | ".join(told) + " |", flush=True)
        for screen, scheme in product(SCREENS, ("light", "dark")):
            film(browser, addresses["this"], screen, scheme).save(options.output / f"{screen}-{scheme}.png")
        browser.close()


def opened(browser: Any, screen: str, **options: Any) -> Any:
    """A page of a browser that has seen nothing yet."""
    page = browser.new_context(**SCREENS[screen], **options).new_page()
    page.set_default_timeout(PATIENCE)
    return page


def visit(browser: Any, address: str, screen: str, line: str) -> dict[str, float]:
    """When things are seen, in milliseconds from the start."""
    page = opened(browser, screen)
    session = page.context.new_cdp_session(page)
    limits = LINES[line]
    if limits is not None:
        session.send("Network.emulateNetworkConditions", {"offline": False, **limits})
    page.add_init_script(f"({_WATCH})({SEEN!r})")
    page.goto(address, wait_until="commit")
    page.wait_for_function("(count) => Object.keys(window.times ?? {}).length === count", arg=len(SEEN))
    times: dict[str, float] = page.evaluate("() => window.times")
    page.context.close()
    return times


def film(browser: Any, address: str, screen: str, scheme: str) -> Image.Image:
    """The page as it comes, side by side."""
    page = opened(browser, screen, color_scheme=scheme)
    page.goto(address, wait_until="commit")
    pictures, passed = [], 0
    for second in SECONDS:
        page.wait_for_timeout(1000 * (second - passed))
        passed = second
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        pictures.append(picture.resize((round(HEIGHT * picture.width / picture.height), HEIGHT)))
    page.context.close()
    strip = Image.new("RGB", (sum(each.width for each in pictures), HEIGHT))
    left = 0
    for picture in pictures:
        strip.paste(picture, (left, 0))
        left += picture.width
    return strip


if __name__ == "__main__":
    main()
