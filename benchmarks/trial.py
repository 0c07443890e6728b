"""How many clicks and seconds do five tasks take on the demo's page?

    python benchmarks/trial.py [--screens 1440 1280 phone] [--rounds N]

Needs `playwright`, a Chromium (RESEFA_CHROMIUM, or on the path) and PyAV. The demo runs in a process of its
own, and the page is used as people use it: a mouse that moves, presses and scrolls (a finger on the phone) on
what can be seen, waiting for what the eye waits for. Each task starts on a fresh page, once its strips are
there; what is edited before the task begins is not counted. A task is over when its outcome is seen, and the
outcome is checked: by the picture's pixels, by the picture on another device, by the frames of the video.
Printed are clicks, scrolls, and the median of the seconds, of which a hand takes a third for each movement.
"""

from __future__ import annotations

import argparse
import base64
import io
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "gradio_app")]

from demo_browser import PHONE, SCREENS, launch, serve  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

PATIENCE = 120_000
MOVE_SECONDS, MOVE_STEPS = 0.33, 12
SETTLED = """() => {
  const rows = document.querySelector(".rows");
  return rows?.dataset.more === "false" && document.querySelector("#status .line")?.dataset.kind === "done";
}"""
"""That all strips are there, and the page says so."""
_DECODED = """async (image) => {
  for (let tries = 0; tries < 20; tries++) { // another picture may come meanwhile
    const decoded = await image.decode().then(() => true, () => false);
    if (decoded) break;
  }
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/png");
}"""
HAIR, MOUTH, CHEEK = np.s_[2:11, 18:46], np.s_[36:52, 23:42], np.s_[30:35, 18:26]
"""Rows and columns of the first face's picture, which has 64 of each."""


class Hand:
    """A hand on a page, which counts what it does."""

    def __init__(self, page: Any, touches: bool) -> None:
        self.page, self.touches = page, touches
        self.clicks = self.scrolls = 0

    def click(self, target: Any) -> None:
        """Go to something and press it, scrolling where it is out of sight."""
        target.wait_for(timeout=PATIENCE)
        for _ in range(20):
            frame, height = target.bounding_box(), self.page.viewport_size["height"]
            if frame["y"] >= 0 and frame["y"] + frame["height"] <= height:
                break
            self.scrolls += 1
            self._scroll(0.6 * height if frame["y"] > 0 else -0.6 * height)
        x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
        self.clicks += 1
        if self.touches:
            self.page.wait_for_timeout(1000 * MOVE_SECONDS)
            self.page.touchscreen.tap(x, y)
            return
        start = time.monotonic()
        self.page.mouse.move(x, y, steps=MOVE_STEPS)
        self.page.wait_for_timeout(max(0.0, 1000 * (MOVE_SECONDS - (time.monotonic() - start))))
        self.page.mouse.click(x, y)

    def _scroll(self, by: float) -> None:
        if self.touches:
            self.page.evaluate("(by) => scrollBy(0, by)", by)
        else:
            self.page.mouse.wheel(0, by)
        self.page.wait_for_timeout(1000 * MOVE_SECONDS)

    def button(self, name: str, within: str = "body") -> Any:
        return self.page.locator(within).get_by_role("button", name=name, exact=True)


@dataclass
class Trial:
    """A fresh page, and what its tasks leave behind."""

    browser: Any
    address: str
    screen: str
    folder: Path
    began: float = 0.0

    def __post_init__(self) -> None:
        context = self.browser.new_context(
            **SCREENS[self.screen], permissions=["clipboard-read", "clipboard-write"], accept_downloads=True
        )
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(self.address)
        self.page.wait_for_function(SETTLED, timeout=PATIENCE)
        self.page.wait_for_selector(".rows .strip", timeout=PATIENCE)
        self.hand = Hand(self.page, self.screen == "phone")
        self.before = picture(self.page)

    def changed(self, before: np.ndarray) -> np.ndarray:
        """The picture, once it is another one and the page rests."""
        deadline = time.monotonic() + PATIENCE / 1000
        while np.array_equal(after := picture(self.page), before) or not self.page.evaluate(SETTLED):
            if time.monotonic() > deadline:
                raise AssertionError("the picture did not change")
            self.page.wait_for_timeout(20)
        return after

    def edit(self) -> np.ndarray:
        """An edit at one click, before a task begins."""
        Hand(self.page, self.hand.touches).click(self.hand.button("mouth opens", "#one-click"))
        return self.changed(self.before)


def picture(page: Any, which: str = "#picker .after") -> np.ndarray:
    """The face as the page decodes it, in its own size."""
    url = page.eval_on_selector(which, _DECODED)
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB")
    return np.asarray(image, dtype=np.float64)


def part(pixels: np.ndarray, where: tuple[slice, slice]) -> np.ndarray:
    """What lies in a box that is told in 64ths of the face's sides."""
    scale = len(pixels) // 64
    rows, columns = (slice(scale * each.start, scale * each.stop) for each in where)
    return pixels[rows, columns]


def opened(before: np.ndarray, after: np.ndarray) -> None:
    """The mouth takes more of the face than before, and the hair hardly changes."""
    areas = []
    for pixels in (before, after):
        mouth, skin = part(pixels, MOUTH), np.median(part(pixels, CHEEK).reshape(-1, 3), axis=0)
        areas.append(int((np.abs(mouth - skin).max(axis=2) > 64).sum()))
    require(areas[1] > 1.2 * areas[0], f"the mouth has {areas} pixels")
    changes = [float(part(np.abs(after - before), where).mean()) for where in (MOUTH, HAIR)]
    require(changes[1] < 0.3 * changes[0], f"the mouth and the hair change by {changes}")


def lightened(before: np.ndarray, after: np.ndarray) -> None:
    """The hair is lighter than before, and the mouth hardly changes."""
    shades = [float(part(pixels, HAIR).mean()) for pixels in (before, after)]
    require(shades[1] > shades[0] + 10.0, f"the hair's shades are {shades}")
    changes = [float(part(np.abs(after - before), where).mean()) for where in (HAIR, MOUTH)]
    require(changes[1] < 0.3 * changes[0], f"the hair and the mouth change by {changes}")


def same(one: np.ndarray, other: np.ndarray, least: float = 0.0) -> None:
    """Two pictures are alike."""
    far = float(np.abs(one - other).mean())
    require(far <= least, f"the pictures differ by {far:.2f}")


def films(file: Path, before: np.ndarray, after: np.ndarray) -> None:
    """A video, or an animation, begins with the face before and comes to the edited one."""
    with av.open(str(file)) as video:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in video.decode(video=0)]
    height, width = frames[0].shape[:2]
    large = [
        np.asarray(Image.fromarray(each.astype(np.uint8)).resize((width, height), Image.Resampling.LANCZOS))
        for each in (before, after)
    ]
    ends = [picture.astype(float) for picture in large]
    edited = np.abs(ends[1] - ends[0]).max(axis=2) > 24

    def far(frame: np.ndarray, end: np.ndarray) -> float:
        return float(np.abs(frame - end)[edited].mean())

    told = (far(frames[0], ends[0]), min(far(frame, ends[1]) for frame in frames), far(*ends))
    require(max(told[:2]) < told[2] / 2, f"the video is {told[:2]} from the two faces, {told[2]} apart")


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def open_a_mouth(trial: Trial) -> Callable[[], None]:
    trial.hand.click(trial.hand.button("mouth opens", "#one-click"))
    after = trial.changed(trial.before)
    return lambda: opened(trial.before, after)


def lighten_hair(trial: Trial) -> Callable[[], None]:
    trial.hand.click(trial.hand.button("hair", "#picker"))
    trial.hand.click(trial.hand.button("hair silver", "#one-click"))
    after = trial.changed(trial.before)
    return lambda: lightened(trial.before, after)


def undo(trial: Trial) -> Callable[[], None]:
    edited = trial.edit()
    trial.began = time.monotonic()
    trial.hand.click(trial.page.locator("#history [data-go=undo]"))
    after = trial.changed(edited)
    return lambda: same(after, trial.before)


def send(trial: Trial) -> Callable[[], None]:
    edited = trial.edit()
    trial.began = time.monotonic()
    trial.hand.click(trial.page.locator("#viewer .copy"))
    trial.page.wait_for_function("() => document.querySelector('#viewer .copy').textContent !== 'Copy link'")
    link = trial.page.evaluate("() => navigator.clipboard.readText()")
    other = trial.browser.new_context(**PHONE).new_page()
    other.goto(link)
    other.wait_for_function(SETTLED, timeout=PATIENCE)
    there = picture(other)
    other.context.close()
    return lambda: same(there, edited)


def save_a_video(trial: Trial) -> Callable[[], None]:
    edited = trial.edit()
    trial.began = time.monotonic()
    with trial.page.expect_download(timeout=PATIENCE) as download:
        trial.hand.click(trial.hand.button("Video", "#viewer"))
    file = trial.folder / download.value.suggested_filename
    download.value.save_as(file)
    require(file.suffix == ".mp4", f"{file.name} is no video")
    return lambda: films(file, trial.before, edited)


TASKS: dict[str, Callable[[Trial], Callable[[], None]]] = {
    "open a mouth": open_a_mouth,
    "lighten hair": lighten_hair,
    "undo": undo,
    "send the edit to another device": send,
    "save a video": save_a_video,
}


def report(
    address: str, screens: list[str], rounds: int, tasks: dict[str, Callable[[Trial], Callable[[], None]]]
) -> None:
    """Do the tasks, and print a table."""
    print("| screen | task | clicks | scrolls | seconds |\n|---|---|---:|---:|---:|")
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        browser = launch(playwright)
        Trial(browser, address, "1440", Path(folder)).page.context.close()  # the server's first visitor
        for screen in screens:
            for name, task in tasks.items():
                trials, seconds = [], []
                for _ in range(rounds):
                    trial = Trial(browser, address, screen, Path(folder))
                    trial.began = time.monotonic()
                    check = task(trial)
                    seconds.append(time.monotonic() - trial.began)
                    check()
                    trials.append(trial)
                    trial.page.context.close()
                hand = trials[0].hand
                told = f"{hand.clicks} | {hand.scrolls} | {statistics.median(seconds):.1f}"
                print(f"| {screen} | {name} | {told} |", flush=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--screens", nargs="+", choices=list(SCREENS), default=list(SCREENS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with serve() as address:
        report(address, options.screens, options.rounds, TASKS)


if __name__ == "__main__":
    main()
