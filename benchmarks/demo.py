"""How long do people wait in the demo? From the browser, in a browser.

    python benchmarks/demo.py [--repetitions N] [--faces N] [--generators NAME ...] [--other FOLDER]

Needs `playwright` and a Chromium (RESEFA_CHROMIUM, or on the path). The demo runs in a process of its own.
With the face analysed, a box is dragged and let go: the time until the first strip of the new directions is
decoded in the page. A slider is moved: the time until the edited picture is decoded. Both on the page's own
clock. New faces: from the press of a key to the first strip, which the quick analysis of W precedes, and to
the strips of every layer. Last, what the server's process holds in memory.

Several generators, and with `--other` the demo of another checkout, are measured in turns, each by a server
of its own, so that ratios hold whatever else the machine does.

The pure work (to factorize, to edit, to make and encode a strip) is timed between the others, in this
process, so that ratios hold on a machine that others use too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "gradio_app")]

from demo_browser import DESKTOP, READY, launch, server  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

import resefa_core as resefa  # noqa: E402
from gradio_app import payloads  # noqa: E402
from gradio_app.studio import Studio  # noqa: E402

Result = TypeVar("Result")

PATIENCE = 120_000
SEED, TRUNCATION = 3, 0.7

_TIMERS = """() => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  window.untilStrips = (version) => new Promise((done) => {
    const rows = document.querySelector(".rows");
    const look = async () => {
      const strip = rows.querySelector(".strip");
      if (!strip || Number(rows.dataset.version) <= version) return;
      watching.disconnect();
      await strip.decode();
      await frame();
      done(performance.now());
    };
    const watching = new MutationObserver(look);
    watching.observe(rows, { attributes: true, childList: true });
  });
  window.untilPicture = () => new Promise((done) => {
    const picture = document.querySelector(".after");
    const watching = new MutationObserver(async () => {
      watching.disconnect();
      await picture.decode();
      await frame();
      done(performance.now());
    });
    watching.observe(picture, { attributes: true, attributeFilter: ["src"] });
  });
  document.addEventListener(
    "pointerup", () => { window.from = performance.now(); }, true);
}"""


class Clock:
    """Times of one thing, in milliseconds."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def measure(self, work: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = work()
        self.times.append(1000.0 * (time.perf_counter() - start))
        return result

    def row(self) -> str:
        """Median and 95th percentile."""
        if len(self.times) < 2:
            return "– | –"
        return f"{statistics.median(self.times):.0f} | {statistics.quantiles(self.times, n=20)[18]:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--faces", type=int, default=8)
    parser.add_argument(
        "--generators", nargs="+", default=["avatars-128"], help="bundled ones (default: avatars-128)"
    )
    parser.add_argument("--other", type=Path, help="another checkout, to compare with")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clocks: dict[str, Clock] = {}

    def clock(name: str) -> Clock:
        return clocks.setdefault(name, Clock())

    roots = {"": ROOT} if options.other is None else {"": ROOT, "other, ": options.other.resolve()}
    sessions = {name: _analysed(name) for name in options.generators}
    with ExitStack() as stack:
        browser = launch(stack.enter_context(sync_playwright()))
        stack.callback(browser.close)
        servers = {
            f"{label}{generator}: ": stack.enter_context(server("--generator", generator, root=root))
            for label, root in roots.items()
            for generator in options.generators
        }
        pages = {name: _opened(browser, each.url) for name, each in servers.items()}
        for index in range(options.repetitions):
            box = (0.3 + 0.002 * index, 0.56 + 0.001 * index, 0.36, 0.2)
            region = resefa.Region.from_box(*box)
            for name, page in pages.items():
                page.bring_to_front()
                clock(f"{name}release to first strip").times.append(_release(page, box))
                clock(f"{name}slider to picture").times.append(_slide(page, 1.0 + 0.05 * index))
                _slide(page, 0.0)  # else the edit would be kept, and the next ones made on top of it
            for name, session in sessions.items():
                directions = clock(f"{name}: factorize").measure(partial(session.find, region))
                clock(f"{name}: edit and encode").measure(partial(_edit, session, directions))
                clock(f"{name}: make and encode a strip").measure(partial(_strip, session, directions))
        for index in range(options.faces):
            for name, page in pages.items():
                page.bring_to_front()
                first, every = _new_face(page, 5000 + index)
                clock(f"{name}new face to first strip").times.append(first)
                clock(f"{name}new face to strips of every layer").times.append(every)
        held = {name: each.resident_mb() for name, each in servers.items()}
    print("| what | median, ms | 95th percentile, ms |\n| --- | --- | --- |")
    for name, measured in clocks.items():
        print(f"| {name} | {measured.row()} |")
    print("\n" + ", ".join(f"{name}{megabytes:.0f} MB" for name, megabytes in held.items()))
    for name in options.generators:
        middle = {what: statistics.median(clocks[f"{name}: {what}"].times) for what in _WAITS + _PURE}
        release, slider = (middle[what] for what in _WAITS)
        factorize, edit, strip = (middle[what] for what in _PURE)
        print(
            f"{name}: release / pure {release / (factorize + strip):.1f}, slider / pure {slider / edit:.1f}"
        )


_WAITS = ("release to first strip", "slider to picture")
_PURE = ("factorize", "edit and encode", "make and encode a strip")


def _analysed(name: str) -> resefa.Session:
    """The face that pages are opened with, in this process."""
    session = Studio({name: resefa.load_generator(name)}).session(name, SEED, TRUNCATION)
    session.analyse(prepared=True)
    return session


def _opened(browser: Any, address: str) -> Any:
    """The page with the face analysed, in a context of its own."""
    page = browser.new_context(**DESKTOP).new_page()
    page.goto(f"{address}/?seed={SEED}&truncation={TRUNCATION}", timeout=PATIENCE)
    page.wait_for_selector(READY, timeout=PATIENCE)
    _wait_for_status(page, "Move a slider")
    page.evaluate(_TIMERS)
    return page


def _edit(session: resefa.Session, directions: resefa.Directions) -> str:
    moved = resefa.move(session.original, directions, {0: 2.0})
    return payloads.data_url(resefa.to_pil(session.generator.synthesize(moved)[0]))


def _strip(session: resefa.Session, directions: resefa.Directions) -> str:
    return payloads.data_url(next(session.strips(directions)).picture())


def _wait_for_status(page: Any, text: str) -> None:
    page.wait_for_function(
        "(t) => document.querySelector('#status .text').textContent.includes(t)", arg=text, timeout=PATIENCE
    )


def _settle(page: Any) -> None:
    page.wait_for_function(
        "() => document.querySelector('.rows').dataset.more === 'false'"
        " && document.querySelector('#status .line').dataset.kind === 'done'",
        timeout=PATIENCE,
    )
    page.wait_for_timeout(200)


def _version(page: Any) -> int:
    return int(page.locator(".rows").get_attribute("data-version"))


def _release(page: Any, box: tuple[float, float, float, float]) -> float:
    frame = page.locator(".stage").bounding_box()
    x, y, width, height = box

    def at(across: float, down: float) -> tuple[float, float]:
        return frame["x"] + across * frame["width"], frame["y"] + down * frame["height"]

    page.mouse.move(*at(x, y))
    page.mouse.down()
    page.mouse.move(*at(x + width, y + height))
    page.evaluate("(version) => { window.waited = window.untilStrips(version); }", _version(page))
    page.mouse.up()
    milliseconds = page.evaluate("window.waited.then((then) => then - window.from)")
    _settle(page)
    return float(milliseconds)


def _slide(page: Any, value: float) -> float:
    milliseconds = page.evaluate(
        """async (value) => {
          const slider = document.querySelector(".rows [type=range]"), waited = window.untilPicture();
          const from = performance.now();
          slider.value = value;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
          return (await waited) - from;
        }""",
        value,
    )
    page.wait_for_timeout(100)
    return float(milliseconds)


def _new_face(page: Any, seed: int) -> tuple[float, float]:
    """Milliseconds to the first strip, of the quick analysis, and to the strips of every layer."""
    page.locator("#seed input").fill(str(seed))
    page.evaluate(
        """(version) => {
          window.waited = window.untilStrips(version);
          window.from = performance.now();
        }""",
        _version(page),
    )
    page.locator("#seed input").press("Enter")
    first = page.evaluate("window.waited.then((then) => then - window.from)")
    _wait_for_status(page, "Move a slider")
    every = page.evaluate("performance.now() - window.from")
    _settle(page)
    return float(first), float(every)


if __name__ == "__main__":
    main()
