"""What goes wrong where people are quick, slow, or lose their connection? The demo's faults, in a browser.

    git worktree add OTHER COMMIT
    python benchmarks/faults.py [--against OTHER] [--rounds N] [--only FAULT ...]

Needs `playwright` and a Chromium (RESEFA_CHROMIUM, or on the path). The demo of this checkout, and that of
another one, each in a process of its own with the faces of 64 pixels, go through the same in turns; a row for
each fault says what happened. They are asked by what has stayed the same: boxes, parts, sliders, the address
bar and the lines that are said.
"""

from __future__ import annotations

import argparse
import base64
import io
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "gradio_app")]

from demo_browser import DESKTOP, READY, launch, serve  # noqa: E402
from playwright.sync_api import Error, sync_playwright  # noqa: E402

PATIENCE = 180_000
FIRST = "?seed=29&region=mouth"
PARTS = ("mouth", "eyes", "nose", "hair")
CORNERS = ("0.1,0.1", "0.4,0.1", "0.1,0.5", "0.4,0.5", "0.3,0.3")
WEIGHTS = ROOT / "resefa_core" / "bundled" / "avatars.safetensors"
_KIND = "document.querySelector('#status .line')?.dataset.kind"
_DONE = f"() => !!document.querySelector('.rows[data-more=false][aria-busy=false]') && {_KIND} === 'done'"
_SLIDE = """([index, value]) => {
  const slider = document.querySelectorAll(".rows [type=range]")[index];
  slider.value = value;
  for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind, { bubbles: true }));
}"""
_PAINTED = """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
  .filter((value, at) => at % 4 === 3 && value > 60).length"""


@dataclass
class Demo:
    """A demo, and a browser to look at it."""

    browser: Any
    address: str
    rounds: int

    def come(self, query: str = FIRST, rests: bool = True) -> Any:
        """A page of a browser that has seen nothing yet, once its strips are there."""
        page = self.browser.new_context(**DESKTOP).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(self.address + query)
        page.wait_for_selector(READY)
        if rests:
            rest(page)
        return page

    def edited(self) -> tuple[Any, np.ndarray]:
        """A page with an edit of the mouth and one of the eyes, whose slider is there."""
        page = self.come()
        for index, value in enumerate((4.0, 3.0)):
            before = page.locator(".after").get_attribute("src")
            page.evaluate(_SLIDE, [index, value])
            page.wait_for_function("(src) => document.querySelector('.after').src !== src", arg=before)
            if index == 0:
                press(page, "[data-preset=eyes]")
            rest(page)
        return page, picture(page)


def rest(page: Any) -> None:
    """Wait until a page is done, and nothing else comes for two seconds."""
    since, seen = time.monotonic(), ""
    while time.monotonic() - since < 2.0:
        page.wait_for_function(_DONE)
        now = page.url + str(page.locator(".rows").get_attribute("data-version"))
        if now != seen:
            since, seen = time.monotonic(), now
        page.wait_for_timeout(50)


def asked(page: Any) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(page.url).query))


def analysed(page: Any) -> str:
    """The part, or the corner of the box, that the server has put into the address bar."""
    link = asked(page)
    if "box" in link:
        return ",".join(f"{float(number):.1f}" for number in link["box"].split(",")[:2])
    return link.get("region", link.get("part", "")).removeprefix("part:")


def picture(page: Any) -> np.ndarray:
    text = page.locator(".after").get_attribute("src").split(",", 1)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"), dtype=np.float64)


def is_alike(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.abs(one - other).max()) <= 2.0


def press(page: Any, selector: str) -> None:
    page.evaluate("(selector) => document.querySelector(selector).click()", selector)


def drag(page: Any, x: float, y: float, width: float, height: float) -> None:
    frame = page.locator(".stage").bounding_box()
    left, top, side = frame["x"], frame["y"], frame["width"]
    page.mouse.move(left + x * side, top + y * side)
    page.mouse.down()
    page.mouse.move(left + (x + width) * side, top + (y + height) * side, steps=2)
    page.mouse.up()


def choose_method(page: Any, name: str) -> None:
    if not page.locator("#method input").is_visible():
        page.locator("#advanced button").first.click()
    page.locator("#method input").click()
    page.get_by_role("option", name=name, exact=True).click()


def chosen_last(demo: Demo, choices: Sequence[str], count: int) -> str:
    """How often what is analysed is not what was chosen last; requests are held back for a while."""
    rng, wrong, page = random.Random(3), 0, demo.come()

    def hold(route: Any) -> None:
        page.wait_for_timeout(rng.uniform(0, 300))
        route.continue_()

    page.route("**/queue/join**", hold)
    for _ in range(demo.rounds):
        chosen = rng.sample(choices, count)
        for choice in chosen:
            if choice in PARTS:
                press(page, f"[data-preset={choice}]")
            else:
                x, y = (float(number) for number in choice.split(","))
                drag(page, x, y, 0.3, 0.3)
            page.wait_for_timeout(rng.uniform(100, 500))
        rest(page)
        wrong += analysed(page) != chosen[-1]
    return f"{wrong} of {demo.rounds} wrong"


def newcomer(demo: Demo) -> str:
    """Faces that are new to the demo."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    page = demo.come()
    for number in range(6):
        beside = number % 2 == 1
        choose_method(page, "StyleSpace" if beside else "SeFa")
        if beside:
            page.wait_for_function(f"() => {_KIND} === 'working'")
        else:
            page.wait_for_function("() => location.search.includes('method=sefa')")
            rest(page)
        began = time.monotonic()
        other = demo.come(f"?seed={700 + number}&region=mouth", rests=False)
        seconds[beside].append(time.monotonic() - began)
        other.context.close()
    alone, beside_one = (statistics.median(each) for each in seconds.values())
    return f"strips after {beside_one:.1f} s, {alone:.1f} s alone"


def kept(page: Any, before: np.ndarray) -> str:
    rest(page)
    values = page.eval_on_selector_all(".rows [type=range]", "all => all.map((each) => Number(each.value))")
    undo = page.locator("#history [data-go=undo]:enabled, #undo:visible").count()
    told = {"picture": is_alike(picture(page), before), "slider": 3 in values, "undo": undo > 0}
    return ", ".join(f"{what} {'kept' if is_kept else 'lost'}" for what, is_kept in told.items())


def new_face(demo: Demo) -> str:
    page, before = demo.edited()
    page.locator("#seed input").fill("11")
    page.locator("#seed input").press("Enter")
    page.wait_for_function("() => location.search.includes('seed=11')")
    rest(page)
    other = picture(page)
    page.locator("#title h1").click()
    page.keyboard.press("Control+z")
    page.wait_for_timeout(1000)
    told = kept(page, before)
    was = asked(page)["seed"]
    page.keyboard.press("Control+Shift+z")
    page.wait_for_timeout(1000)
    rest(page)
    forth = (was, asked(page)["seed"]) == ("29", "11") and is_alike(picture(page), other)
    return f"Ctrl+Z: {told}; Ctrl+Shift+Z {'leads' if forth else 'does not lead'} on again"


def started_over(demo: Demo, offline_seconds: float = 0.0) -> str:
    page, before = demo.edited()
    if offline_seconds:
        page.evaluate("window.before = true")
        page.context.set_offline(True)
        press(page, "[data-preset=nose]")
        page.wait_for_timeout(1000 * offline_seconds)
        page.context.set_offline(False)
        page.wait_for_function("() => !window.before")
    else:
        page.reload()
    page.wait_for_selector(READY)
    return kept(page, before)


def edit_link(demo: Demo) -> str:
    page, before = demo.edited()
    there = picture(demo.come("?" + urlsplit(page.url).query))
    return "opens with it" if is_alike(there, before) else "opens without it"


def brush_link(demo: Demo) -> str:
    page = demo.come()
    press(page, "[data-tool=brush]")
    drag(page, 0.35, 0.65, 0.3, 0.05)
    rest(page)
    there = demo.come("?" + urlsplit(page.url).query)
    areas = [each.eval_on_selector(".overlay", _PAINTED) for each in (page, there)]
    return "opens with it" if abs(areas[1] - areas[0]) < 0.05 * areas[0] else "opens with another region"


def bad_link(demo: Demo) -> str:
    said = demo.come("?seed=-1&truncation=x&box=1,2").locator("#status .text").inner_text()
    told = [value for value in ("'-1'", "'x'", "'1,2'") if value in said]
    return f"{len(told)} of 3 said"


def uploaded_link(demo: Demo) -> str:
    page = demo.come()
    page.locator("#work input[type=file]").first.set_input_files(WEIGHTS)
    page.wait_for_function("() => document.querySelector('.after').alt.includes('(')")
    rest(page)
    press(page, ".copy")
    page.wait_for_function("() => document.querySelector('.copy').textContent !== 'Copy link'")
    return f"“{page.locator('.copy').inner_text()}”"


def refused(demo: Demo) -> str:
    page = demo.come()
    press(page, "[data-tool=erase]")
    page.locator("[data-part=size]").fill("20")
    for height in (0.1, 0.3, 0.5, 0.7, 0.9):
        drag(page, 0.0, height, 1.0, 0.01)
    page.wait_for_function(f"() => {_KIND} === 'problem'")
    page.wait_for_timeout(1000)
    before, cell = picture(page), page.locator(".rows .cell").first.bounding_box()
    page.mouse.click(cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)
    page.wait_for_timeout(2000)
    return "nothing moves" if is_alike(picture(page), before) else "edits the region before"


FAULTS: dict[str, tuple[str, Callable[[Demo], str]]] = {
    "boxes": ("three boxes within 2 s: the one analysed", lambda demo: chosen_last(demo, CORNERS, 3)),
    "parts": ("four parts within 2 s, the same", lambda demo: chosen_last(demo, PARTS, 4)),
    "newcomer": ("a newcomer, while somebody tries StyleSpace", newcomer),
    "face": ("two edits, then a new face", new_face),
    "reload": ("two edits, then a reload", started_over),
    "drop": ("two edits, then no network for 6 s", lambda demo: started_over(demo, 6.0)),
    "edit": ("a link with an edit", edit_link),
    "brush": ("a link with a painted region", brush_link),
    "values": ("a link with three values that make no sense", bad_link),
    "upload": ("*Copy link*, of an uploaded generator", uploaded_link),
    "refused": ("a click on a strip beside a refused region", refused),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    options = parser.parse_args()
    roots = ({"before": options.against.resolve()} if options.against else {}) | {"now": ROOT}
    print("| fault | " + " | ".join(roots) + " |\n|---|" + "---|" * len(roots))
    with ExitStack() as stack, sync_playwright() as playwright:
        browser = launch(playwright)
        served = [serve("--generator", "avatars", "--uploads", root=root) for root in roots.values()]
        demos = [Demo(browser, stack.enter_context(each), options.rounds) for each in served]
        for words, fault in (FAULTS[key] for key in options.only):
            told = []
            for demo in demos:
                try:
                    told.append(fault(demo))
                except Error as error:
                    told.append(f"not seen: {error.message.splitlines()[0]}")
                for context in browser.contexts:
                    context.close()
            print(f"| {words} | " + " | ".join(told) + " |", flush=True)


if __name__ == "__main__":
    main()
