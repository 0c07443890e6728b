"""The demo's page in a real browser, with a real server, and nothing else within reach."""

from __future__ import annotations

import base64
import io
import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch
from demo_browser import DESKTOP, PHONE, READY, find_axe, find_chromium, keep_offline, launch
from models import tiny_stylegan2
from PIL import Image

import resefa_core as resefa
from resefa_core.defaults import NUM_DIRECTIONS
from resefa_core.sheets import FILM_SUFFIXES

pytest.importorskip("gradio", reason="gradio is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if find_chromium() is None:
    pytest.skip(
        "no browser: set RESEFA_CHROMIUM, or install chromium or google-chrome", allow_module_level=True
    )

Page = Any
Box = tuple[float, float, float, float]

MOUTH: Box = (0.31, 0.59, 0.38, 0.19)
pytestmark = pytest.mark.flaky(reruns=2)  # a browser on a busy machine

FIRST_SEED = 29
MOST_ROWS = 4
PATIENCE = 90_000
THOROUGH = "Move a slider"
TOLD = """() => JSON.stringify({
  address: location.href,
  lines: ["#status", "#background", "#history"].map((part) => document.querySelector(part)?.innerText),
  rows: { ...document.querySelector(".rows")?.dataset },
  sent: window.resefa?.directions,
  sliders: [...document.querySelectorAll(".rows [type=range]")].map((slider) => slider.value),
})"""
"""What the page says of itself."""
LOOK = """() => JSON.stringify([
  location.href, scrollX, scrollY, innerWidth, innerHeight, document.activeElement.tagName,
  ["#status", "#background", "#history"].map((part) => document.querySelector(part)?.innerText),
  [...document.querySelectorAll("input, textarea")].map((each) => [each.value, each.checked]),
  [...document.querySelectorAll("[aria-selected], [aria-pressed], [aria-expanded]")].map((each) =>
    ["selected", "pressed", "expanded"].map((state) => each.getAttribute(`aria-${state}`))),
  ["#others img", "#compared li", "#card dt", ".resefa-before", ".resefa-film", ".row"].map((part) =>
    [...document.querySelectorAll(part)].filter((each) => each.checkVisibility()).length),
  document.querySelector(".rows").dataset.version,
])"""
"""How it looks."""
EVIL = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'


@dataclass
class Demo:
    """What people do on the page, and what they see."""

    page: Page
    errors: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.wait("() => document.querySelectorAll(`" + READY + "`).length > 0")

    def wait(self, condition: str, argument: object = None) -> None:
        try:
            self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE)
        except sync_api.TimeoutError as error:
            raise AssertionError(f"{condition} did not become true of {self.page.evaluate(TOLD)}") from error

    @property
    def version(self) -> int:
        return int(self.page.locator(".rows").get_attribute("data-version"))

    @property
    def status(self) -> str:
        return str(self.page.locator("#status .text").inner_text())

    @property
    def background(self) -> str:
        return str(self.page.locator("#background .text").inner_text())

    @property
    def query(self) -> dict[str, str]:
        return {key: value[0] for key, value in parse_qs(urlsplit(self.page.url).query).items()}

    @property
    def box(self) -> Box | None:
        """The box of the address bar, which is the one that the server knows."""
        numbers = [float(part) for part in self.query["box"].split(",")] if "box" in self.query else None
        return None if numbers is None else (numbers[0], numbers[1], numbers[2], numbers[3])

    def settle(self, action: Callable[[], object]) -> None:
        """Do something that new directions follow, and wait for all of them."""
        before = self.version
        action()
        self.wait(
            "(v) => { const rows = document.querySelector('.rows');"
            " return Number(rows.dataset.version) > v && rows.dataset.more === 'false'"
            " && document.querySelector('#status .line').dataset.kind === 'done'; }",
            before,
        )

    def starts_over(self, action: Callable[[], object]) -> None:
        """Do something after which the page loads once more; what that cuts off is no error of its own."""
        errors = [*self.errors]
        self.page.evaluate("window.before = true")
        action()
        self.wait("() => !window.before && document.querySelectorAll(`" + READY + "`).length > 0")
        self.errors[:] = errors

    def said(self, text: str) -> None:
        self.wait("(t) => document.querySelector('#status .text').textContent.includes(t)", text)

    def thorough(self) -> None:
        self.said(THOROUGH)
        self.wait("() => document.querySelectorAll(`" + READY + "`).length > 0")
        self.page.wait_for_timeout(100)

    def tidy(self, size: dict[str, int]) -> None:
        """Put back what can be put back: sliders, the tab, the window, the pointer and the focus."""
        self.page.set_viewport_size(size)
        moved = "all => all.some((each) => Number(each.value))"
        if self.page.eval_on_selector_all(".rows [type=range]", moved):
            self.after(lambda: self.page.get_by_role("button", name="Reset sliders").click())
        self.page.locator("[role=tab]").first.click()
        self.page.mouse.move(0, 0)
        self.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        self.page.wait_for_timeout(300)

    def strips(self) -> list[str]:
        return list(self.page.eval_on_selector_all(".strip", "all => all.map((each) => each.src)"))

    def place(self, x: float, y: float) -> tuple[float, float]:
        self.page.locator(".stage").scroll_into_view_if_needed()
        frame = self.page.locator(".stage").bounding_box()
        return frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]

    def drag(self, box: Box) -> None:
        x, y, width, height = box
        self.page.mouse.move(*self.place(x, y))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(x + width / 2, y + height / 2))
        self.page.mouse.move(*self.place(x + width, y + height))
        self.page.mouse.up()

    def pixels(self, picture: str = ".after") -> np.ndarray:
        """The picture as the page decodes it, in its own size."""
        url = self.page.eval_on_selector(
            picture,
            """async (image) => {
              await image.decode();
              const canvas = document.createElement("canvas");
              [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
              canvas.getContext("2d").drawImage(image, 0, 0);
              return canvas.toDataURL("image/png");
            }""",
        )
        picture = Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB")
        return np.asarray(picture, dtype=np.float64)

    def after(self, action: Callable[[], object]) -> np.ndarray:
        """The picture that follows something that changes it."""
        before = self.page.eval_on_selector(".after", "(image) => image.src")
        action()
        self.wait("(src) => document.querySelector('.after').src !== src", before)
        self.wait("() => document.querySelector('.after').complete")
        return self.pixels()

    def slide(self, index: int, value: float) -> None:
        self.page.evaluate(
            """([index, value]) => {
              const slider = document.querySelectorAll(".rows [type=range]")[index];
              slider.value = value;
              slider.dispatchEvent(new Event("input", { bubbles: true }));
              slider.dispatchEvent(new Event("change", { bubbles: true }));
            }""",
            [index, value],
        )

    def touch(self, *steps: tuple[str, list[tuple[float, float]]]) -> None:
        """Fingers on the screen: kinds of touch events, and where the fingers are then."""
        session = self.page.context.new_cdp_session(self.page)
        for kind, fingers in steps:
            points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(fingers)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            self.page.wait_for_timeout(20)
        session.detach()

    def make_files(self) -> None:
        """Press the button at the end of the page, and wait for the line that follows."""
        self.tab("Save")
        self.page.locator("#save").click()
        self.said("ready to download")

    def titles(self) -> list[str]:
        """What the rows say that they change."""
        return [str(each) for each in self.page.locator(".rows .title").all_inner_texts()]

    def chip(self, name: str) -> Any:
        """The button that takes an edit back."""
        return self.page.locator("#history").get_by_role("button", name=f"Take back: {name}")

    def moves(self) -> list[str]:
        """The edits of the face."""
        return list(self.page.locator(".moves li").all_text_contents())

    def values(self) -> list[str]:
        """Where the sliders are."""
        return list(self.page.eval_on_selector_all(".rows [type=range]", "all => all.map((e) => e.value)"))

    def edited_twice(self) -> np.ndarray:
        """The picture with an edit of the mouth, and one of the eyes whose slider is there."""
        self.after(lambda: self.slide(0, 4))
        self.settle(lambda: self.page.locator("[data-preset=eyes]").click())
        picture = self.after(lambda: self.slide(1, 3))
        self.wait("() => document.querySelectorAll('.moves li').length === 2")
        return picture

    def slider(self, index: int = 0) -> Any:
        return self.page.locator(".rows [type=range]").nth(index)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def upload(self, file: Path) -> None:
        self.tab("Open")
        self.page.get_by_role("tabpanel").locator("input[type=file]").set_input_files(file)

    def card(self) -> dict[str, str]:
        """What the card of an opened file says."""
        self.page.locator("#card dt").first.wait_for(timeout=PATIENCE)
        terms = self.page.locator("#card dt").all_inner_texts()
        return dict(zip(terms, self.page.locator("#card dd").all_inner_texts(), strict=True))


class Visitors:
    """Pages in a browser, and nothing else within their reach.

    A context's window stays open, and what a page kept in it is gone with the page. Pages of one visit are in
    contexts of their own.

    Attributes:
        kept: a page that stays open for the next test, how it looked, and the context's options.
    """

    def __init__(self, browser: Any, address: str) -> None:
        self.browser, self.address = browser, address
        self.contexts: dict[str, list[tuple[Any, list[str]]]] = {}
        self.open: list[tuple[Any, Demo]] = []
        self.kept: tuple[Demo, str, dict[str, Any]] | None = None

    def come(self, query: str, options: dict[str, Any]) -> Demo:
        self.clear()
        context, refused = self._context(options)
        context.set_default_timeout(PATIENCE)
        demo = Demo(context.new_page(), refused=refused)
        self.open.append((context, demo))
        demo.page.on("pageerror", lambda error: demo.errors.append(str(error)))
        demo.page.on("console", lambda line: demo.errors.append(line.text) if line.type == "error" else None)
        demo.open(self.address + query)
        return demo

    def _context(self, options: dict[str, Any]) -> tuple[Any, list[str]]:
        options = {**DESKTOP, **options}
        alike = self.contexts.setdefault(repr(options), [])
        taken = [context for context, _ in self.open]
        for context, refused in alike:
            if context not in taken:
                return context, refused
        context, refused = self.browser.new_context(**options), []
        keep_offline(context, refused)
        context.new_page()
        alike.append((context, refused))
        return context, refused

    def clear(self) -> None:
        """Close the page that stayed open: one that nobody looks at works on."""
        if self.kept is not None:
            demo, self.kept = self.kept[0], None
            self.leave(demo)

    def leave(self, demo: Demo) -> None:
        """Close a page, and those it opened; nothing may have gone wrong in it."""
        (context,) = (context for context, each in self.open if each is demo)
        self.open.remove((context, demo))
        window, *pages = context.pages
        for page in pages:
            page.close()
        session = context.new_cdp_session(window)
        session.send("Storage.clearDataForOrigin", {"origin": self.address, "storageTypes": "all"})
        session.detach()
        context.clear_cookies()
        context.clear_permissions()
        errors, refused = [*demo.errors], [*demo.refused]
        demo.refused.clear()
        assert errors == []
        assert refused == []


@pytest.fixture(scope="module")
def visitors(address: str) -> Iterator[Visitors]:
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield Visitors(browser, address)
        browser.close()


@pytest.fixture
def visit(visitors: Visitors) -> Iterator[Callable[..., Demo]]:
    """Opens the page; at the end, nothing may have gone wrong in any."""
    demos: list[Demo] = []

    def visit(query: str = "", **options: Any) -> Demo:
        demos.append(visitors.come(query, options))
        return demos[-1]

    yield visit
    for demo in demos:
        visitors.leave(demo)


@pytest.fixture
def demo(visit: Callable[..., Demo]) -> Demo:
    """The page with the first face, once every layer of it is analysed."""
    opened = visit()
    opened.thorough()
    return opened


@pytest.fixture
def still(visitors: Visitors, request: pytest.FixtureRequest) -> Iterator[Callable[..., Demo]]:
    """Gives the page with the first face, as who has just come sees it, to those who leave it like that."""

    def still(**options: Any) -> Demo:
        options = {**DESKTOP, "color_scheme": "light", **options}
        if (
            visitors.kept is None
            or visitors.kept[2] != options
            or getattr(request.node, "execution_count", 1) > 1
        ):
            demo = visitors.come("", options)
            demo.thorough()
            demo.tidy(options["viewport"])
            visitors.kept = demo, demo.page.evaluate(LOOK), options
        return visitors.kept[0]

    yield still
    if visitors.kept is not None:
        demo, look, options = visitors.kept
        demo.tidy(options["viewport"])
        if demo.errors or demo.refused or demo.page.evaluate(LOOK) != look:
            visitors.clear()


def changes(before: np.ndarray, after: np.ndarray, box: Box, margin: int = 0) -> tuple[float, float]:
    """Mean squared change inside a box, and outside of it at a distance of `margin` pixels."""
    height, width = before.shape[:2]
    square = ((after - before) ** 2).mean(axis=2)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    x, y, wide, high = box

    def within(grown: int) -> np.ndarray:
        return (
            (columns >= x * width - grown)
            & (columns < (x + wide) * width + grown)
            & (rows >= y * height - grown)
            & (rows < (y + high) * height + grown)
        )

    return float(square[within(0)].mean()), float(square[~within(margin)].mean())


def test_it_opens_with_a_face_a_region_and_strips(still: Callable[..., Demo]) -> None:
    demo = still()
    assert demo.page.title() == "ReSeFa"
    assert len(demo.strips()) == MOST_ROWS  # of those worth offering
    assert len(set(demo.strips())) == MOST_ROWS
    assert demo.status.startswith(f"{MOST_ROWS} ways to change the mouth")
    assert demo.page.get_by_role("heading", name=f"{MOST_ROWS} ways to change the mouth").is_visible()
    assert len(set(demo.titles())) == MOST_ROWS
    assert not any("direction" in title for title in demo.titles())
    assert any("opens" in title.lower() for title in demo.titles())
    assert demo.pixels().std() > 20
    overlay = demo.page.eval_on_selector(
        ".overlay", "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)"
    )
    assert overlay
    assert f"number {FIRST_SEED}" in demo.page.locator(".after").get_attribute("alt")
    words = demo.page.locator(".words").all_inner_texts()
    assert all("effect" in each for each in words)


def test_a_press_without_a_drag_changes_nothing(still: Callable[..., Demo]) -> None:
    demo = still()
    version, query = demo.version, demo.query
    demo.page.mouse.click(*demo.place(0.5, 0.5))
    demo.page.mouse.click(*demo.place(0.2, 0.5), button="right")
    demo.page.wait_for_timeout(500)
    assert (demo.version, demo.query) == (version, query)


def test_more_ways_are_shown_to_those_who_ask(demo: Demo) -> None:
    few = demo.titles()
    demo.after(lambda: demo.slide(0, 3))
    more = demo.page.get_by_role("button", name="More ways")
    demo.settle(more.click)
    assert len(demo.strips()) == NUM_DIRECTIONS > len(few)
    assert not more.is_visible()
    assert demo.page.locator("#history li").count() == 1  # what the sliders did stays
    demo.settle(lambda: demo.page.get_by_role("button", name="eyes", exact=True).click())
    assert len(demo.strips()) <= MOST_ROWS


def test_a_box_on_the_mouth_gives_new_strips(demo: Demo) -> None:
    before, version = demo.strips(), demo.version
    demo.settle(lambda: demo.drag((0.3, 0.6, 0.4, 0.2)))
    assert demo.version > version
    assert demo.strips() != before
    assert re.match(r"[1-4] ways? to change this part", demo.status)
    assert demo.box == pytest.approx((0.3, 0.6, 0.4, 0.2), abs=0.02)


def test_sliders_change_the_region_and_hardly_the_rest_and_confined_ones_less(demo: Demo) -> None:
    demo.settle(lambda: demo.drag(MOUTH))
    before, box = demo.pixels(), demo.box
    assert box is not None
    by_script = demo.after(lambda: demo.slide(0, 4))
    free = changes(before, by_script, box, margin=8)
    confine = demo.page.get_by_label("Confine edits to the region")
    demo.settle(confine.check)
    assert demo.slider().input_value() == "4"
    inside, outside = changes(before, demo.pixels(), box, margin=8)
    assert inside > 100
    assert outside < 4  # of 255 squared: what can't be seen
    assert inside / outside > 1.5 * free[0] / free[1]
    demo.settle(confine.uncheck)
    assert demo.slider().input_value() == "4"
    demo.slider().focus()
    demo.after(lambda: demo.page.keyboard.press("ArrowRight"))
    demo.after(lambda: demo.page.keyboard.press("End"))
    most = float(demo.slider().get_attribute("max"))
    assert demo.page.locator(".rows output").first.inner_text() == f"+{most:.1f}"
    demo.page.wait_for_timeout(300)
    for after in (by_script, demo.pixels()):
        inside, outside = changes(before, after, box)
        assert inside > 100
        assert inside > 15 * outside


def test_a_painted_mask_gives_directions_until_all_is_erased(demo: Demo) -> None:
    demo.page.get_by_role("button", name="Brush").click()
    assert demo.page.get_by_role("button", name="Brush").get_attribute("aria-pressed") == "true"
    demo.settle(lambda: demo.drag((0.35, 0.65, 0.3, 0.05)))
    assert 1 <= len(demo.strips()) <= MOST_ROWS
    painted = _orange(demo.page)
    assert painted > 500
    assert "box" not in demo.query
    before = demo.pixels()
    inside, outside = changes(before, demo.after(lambda: demo.slide(0, 4)), (0.3, 0.6, 0.4, 0.15))
    assert inside > 5 * outside
    demo.page.get_by_role("button", name="Erase").click()
    demo.settle(lambda: demo.drag((0.5, 0.65, 0.2, 0.05)))
    assert 0 < _orange(demo.page) < painted
    version = demo.version
    demo.page.get_by_label("Size of the brush").fill("20")
    demo.drag((0.3, 0.67, 0.4, 0.02))
    demo.wait("() => document.querySelector('#status .line').dataset.kind === 'problem'")
    assert demo.version == version
    assert "region" in demo.status or "mask" in demo.status
    refused, values = demo.pixels(), demo.values()
    cell = demo.page.locator(".rows .cell").first.bounding_box()
    demo.page.mouse.click(cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)
    demo.page.wait_for_timeout(500)
    assert demo.values() == values  # the strips are of a region that is not there any more
    assert np.array_equal(demo.pixels(), refused)
    demo.settle(lambda: demo.page.locator("[data-preset=nose]").click())
    demo.after(lambda: demo.page.locator(".rows .cell").first.click())


def test_strokes_during_answers_stay(demo: Demo) -> None:
    """The first stroke's answer comes when there are two, and the second's when there are three."""
    held: list[Any] = []
    came = 0

    def hold(route: Any) -> None:
        nonlocal came
        if "mask" not in (route.request.post_data or ""):
            route.continue_()
            return
        came += 1
        held.append(route)

    demo.page.route("**/queue/join**", hold)
    demo.page.get_by_role("button", name="Brush").click()
    spots = [(0.2, 0.3), (0.5, 0.3), (0.8, 0.3)]

    def paint(spot: tuple[float, float]) -> None:
        x, y = demo.place(*spot)
        demo.page.mouse.move(x, y)
        demo.page.mouse.down()
        demo.page.mouse.move(x + 8, y + 8)
        demo.page.mouse.up()

    def asked(count: int) -> None:
        for _ in range(600):
            if came >= count:
                return
            demo.page.wait_for_timeout(100)
        raise AssertionError(f"{came} requests came, not {count}")

    def answer() -> None:
        while held:
            held.pop().continue_()

    paint(spots[0])
    asked(1)
    paint(spots[1])
    answer()
    asked(2)
    assert [_is_painted(demo.page, spot) for spot in spots] == [True, True, False]
    paint(spots[2])
    answer()
    asked(3)
    assert [_is_painted(demo.page, spot) for spot in spots] == [True, True, True]
    demo.settle(answer)
    demo.page.unroute("**/queue/join**")
    demo.page.wait_for_timeout(300)
    assert [_is_painted(demo.page, spot) for spot in spots] == [True, True, True]
    before = demo.pixels()
    moved = demo.after(lambda: demo.slide(0, 5))
    assert np.abs(moved - before).max() > 3


def test_answers_that_arrive_at_once_are_all_seen(
    visit: Callable[..., Demo], avatars: resefa.Generator, tmp_path: Path
) -> None:
    """What a page asks for while it listens already may be told in whole before it knows of it."""
    session = resefa.Session(avatars, seed=FIRST_SEED)
    session.find(MOUTH, count=2, space="w").save(tmp_path / "mouth.safetensors")
    demo = visit()

    def hold(route: Any) -> None:
        answer = route.fetch()
        time.sleep(1.0)
        route.fulfill(response=answer)

    demo.page.route("**/queue/join**", hold)
    demo.upload(tmp_path / "mouth.safetensors")
    assert demo.card()["Fits"] == "yes"
    demo.settle(lambda: demo.page.locator("#use").click())
    demo.said("These are the 2 directions of the file.")
    assert len(demo.titles()) == 2
    before = demo.pixels()
    assert np.abs(demo.after(lambda: demo.slide(0, 4)) - before).max() > 3
    demo.page.unroute_all(behavior="ignoreErrors")


def _is_painted(page: Page, spot: tuple[float, float]) -> bool:
    return bool(
        page.eval_on_selector(
            ".overlay",
            """(c, [x, y]) => {
              const [left, top] = [x * c.width, y * c.height].map((place) => Math.round(place) + 4);
              return c.getContext("2d").getImageData(left, top, 1, 1).data[3] > 60;
            }""",
            list(spot),
        )
    )


def _orange(page: Page) -> int:
    """How many pixels of the overlay are painted."""
    return int(
        page.eval_on_selector(
            ".overlay",
            """(c) => {
              const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
              let count = 0;
              for (let i = 0; i < data.length; i += 4) {
                count += data[i + 3] > 60 && data[i] > data[i + 2] + 60;
              }
              return count;
            }""",
        )
    )


def test_a_finger_drags_a_box(visit: Callable[..., Demo]) -> None:
    demo = visit(**PHONE)
    demo.thorough()
    first, second, last = (demo.place(*at) for at in ((0.3, 0.3), (0.4, 0.35), (0.7, 0.5)))
    scrolled = demo.page.evaluate("scrollY")
    demo.settle(
        lambda: demo.touch(
            ("touchStart", [first]), ("touchMove", [second]), ("touchMove", [last]), ("touchEnd", [])
        )
    )
    assert demo.page.evaluate("scrollY") == scrolled
    assert demo.box == pytest.approx((0.3, 0.3, 0.4, 0.2), abs=0.02)


def test_two_fingers_scroll_and_draw_nothing(still: Callable[..., Demo]) -> None:
    demo = still(**PHONE)
    (x, y), version = demo.place(0.4, 0.9), demo.version
    overlay = demo.page.eval_on_selector(".overlay", "(c) => c.toDataURL()")
    scrolled = demo.page.evaluate("scrollY")
    demo.touch(
        ("touchStart", [(x, y)]),
        ("touchStart", [(x, y), (x + 80, y)]),
        *(("touchMove", [(x, y - up), (x + 80, y - up)]) for up in range(10, 200, 10)),
        ("touchEnd", []),
    )
    demo.wait("(before) => scrollY > before + 50", scrolled)
    assert demo.page.eval_on_selector(".overlay", "(c) => c.toDataURL()") == overlay
    assert demo.version == version


def test_a_swipe_that_scrolls_moves_no_slider(still: Callable[..., Demo]) -> None:
    demo = still(**PHONE)
    before = demo.pixels()
    slider = demo.slider(2)
    slider.evaluate("(each) => each.scrollIntoView({ block: 'center' })")
    frame = slider.bounding_box()
    middle, scrolled = frame["y"] + frame["height"] / 2, demo.page.evaluate("scrollY")
    values = slider.evaluate_handle(
        "(each) => { const all = []; each.oninput = () => all.push(each.value); return all; }"
    )
    x = frame["x"] + 0.8 * frame["width"]
    demo.touch(
        ("touchStart", [(x, middle)]),
        *(("touchMove", [(x, middle - up)]) for up in range(10, 200, 10)),
        ("touchEnd", []),
    )
    demo.wait("(before) => scrollY > before + 50", scrolled)
    assert slider.input_value() == "0"
    assert demo.page.locator(".rows output").nth(2).inner_text() == "0.0"
    if values.json_value():  # it was moved for a moment: so must be the picture
        demo.page.wait_for_timeout(1000)
    assert np.array_equal(demo.pixels(), before)
    slider.evaluate("(each) => each.scrollIntoView({ block: 'center' })")
    frame = slider.bounding_box()
    middle, x = frame["y"] + frame["height"] / 2, frame["x"] + 0.5 * frame["width"]
    demo.after(
        lambda: demo.touch(
            ("touchStart", [(x, middle)]),
            *(("touchMove", [(x + right, middle)]) for right in range(5, 50, 5)),
            ("touchEnd", []),
        )
    )
    assert float(slider.input_value()) > 1


def test_on_a_phone_the_picture_stays_in_sight_while_sliders_move(still: Callable[..., Demo]) -> None:
    demo = still(**PHONE)
    demo.slider(3).scroll_into_view_if_needed()
    demo.page.mouse.wheel(0, 200)
    demo.page.wait_for_timeout(300)
    assert demo.page.locator(".stage").bounding_box()["y"] < -200
    small = demo.page.locator(".now").bounding_box()
    assert 0 <= small["y"] < 60
    before = demo.pixels(".now")
    after = demo.after(lambda: demo.slide(3, 4))
    assert np.array_equal(demo.pixels(".now"), after)
    assert np.abs(after - before).mean() > 0.5


def test_a_box_may_start_outside_the_picture_or_at_its_corner(demo: Demo) -> None:
    frame = demo.page.locator(".stage").bounding_box()
    x, y, side = frame["x"], frame["y"], frame["width"]

    def drag(left: float, top: float) -> None:
        demo.page.mouse.move(x + left, y + top)
        demo.page.mouse.down()
        demo.page.mouse.move(x + 0.2 * side, y + 0.1 * side)
        demo.page.mouse.move(x + 0.4 * side, y + 0.3 * side)
        demo.page.mouse.up()

    demo.settle(lambda: drag(-6, -6))
    assert demo.box == pytest.approx((0, 0, 0.4, 0.3), abs=0.01)
    demo.settle(lambda: drag(1, 1))
    assert demo.box == pytest.approx((0, 0, 0.4, 0.3), abs=0.01)


def test_the_keyboard_alone_moves_resizes_and_takes_the_box_which_stays_where_it_is_moved(
    visit: Callable[..., Demo],
) -> None:
    demo = visit(f"?seed={FIRST_SEED}&box=0.3,0.5,0.2,0.2")
    demo.thorough()
    for _ in range(20):
        demo.page.keyboard.press("Tab")
        if demo.page.evaluate("document.activeElement.className") == "stage":
            break
    assert demo.page.evaluate("document.activeElement.className") == "stage"

    def keys() -> None:
        for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowUp", "Enter"):
            demo.page.keyboard.press(key)

    demo.settle(keys)
    assert demo.box == pytest.approx((0.32, 0.54, 0.22, 0.18), abs=1e-3)
    demo.settle(lambda: demo.page.keyboard.press("ArrowLeft"))
    assert demo.box == pytest.approx((0.30, 0.54, 0.22, 0.18), abs=1e-3)
    _stays_while_keys_move_it(demo)


def _stays_while_keys_move_it(demo: Demo) -> None:
    overlay = "(c) => c.toDataURL()"
    version = demo.version
    demo.page.get_by_label("Confine edits to the region").check()
    demo.page.locator(".stage").focus()
    moved = ""
    for _ in range(100):
        answered = demo.version > version and demo.page.locator(READY).count() > 0
        assert demo.page.eval_on_selector(".overlay", overlay) == moved or not moved
        if answered:
            break
        demo.page.keyboard.press("ArrowRight")
        moved = demo.page.eval_on_selector(".overlay", overlay)
        demo.page.wait_for_timeout(200)
    assert answered


def test_the_keyboard_alone_paints_and_erases(visit: Callable[..., Demo]) -> None:
    demo = visit(f"?seed={FIRST_SEED}&box=0.3,0.3,0.4,0.2")
    demo.thorough()

    def press(tool: str, *keys: str) -> None:
        demo.page.get_by_role("button", name=tool, exact=True).press("Enter")
        demo.page.locator(".stage").focus()
        for key in keys:
            demo.page.keyboard.press(key)

    def painted() -> np.ndarray:
        mask = demo.page.eval_on_selector(
            "#picker",
            "() => fetch(window.resefa.picker.region.mask).then((r) => r.blob()).then(createImageBitmap)"
            ".then((b) => { const c = new OffscreenCanvas(b.width, b.height).getContext('2d');"
            " c.drawImage(b, 0, 0); return [...c.getImageData(0, 0, b.width, b.height).data]; })",
        )
        return np.asarray(mask, dtype=np.uint8).reshape(128, 128, 4)[:, :, 0] > 127

    def settled() -> np.ndarray:
        """What is painted once the keys rest."""
        demo.page.wait_for_timeout(1500)
        return painted()

    demo.settle(lambda: press("Brush", *["ArrowDown"] * 5, *["Shift+ArrowRight"] * 8))
    stroke = settled()
    rows, columns = np.nonzero(stroke)
    assert rows.mean() == pytest.approx(0.6 * 128, abs=2.5)
    assert columns.mean() == pytest.approx(0.58 * 128, abs=2.5)
    assert np.ptp(columns) > np.ptp(rows)
    demo.settle(lambda: press("Erase", *["ArrowDown"] * 5, " "))
    assert 0 < settled().sum() < stroke.sum()


def test_one_click_edits_the_part_that_is_chosen(demo: Demo) -> None:
    def offered() -> list[str]:
        return demo.page.locator("#one-click .ways > button").all_inner_texts()

    assert offered()[:2] == ["smiles", "opens"]
    before = demo.pixels()
    demo.settle(lambda: demo.page.get_by_role("button", name="mouth opens", exact=True).click())
    inside, outside = changes(before, demo.pixels(), MOUTH, margin=2)
    assert inside > 20 * outside
    assert demo.page.locator(".moves li").inner_text().split() == ["mouth", "opens", "×"]
    demo.settle(lambda: demo.page.locator(".presets").get_by_role("button", name="eyebrows").click())
    assert offered()[:2] == ["angry", "worried"]
    demo.settle(lambda: demo.page.get_by_role("button", name="eyebrows angry", exact=True).click())
    assert len(demo.page.locator(".moves li").all_inner_texts()) == 2


def test_a_way_that_is_kept_is_there_on_the_next_visit(visit: Callable[..., Demo]) -> None:
    demo = visit(f"?seed={FIRST_SEED}&box=0.31,0.59,0.38,0.19")
    demo.thorough()
    star = demo.page.locator(".star").first
    words = demo.page.locator(".title").first.inner_text()
    star.click()
    demo.said("Kept for one click")
    kept = demo.page.locator("#one-click .kept button").first
    assert kept.inner_text().startswith("★ ")
    assert kept.inner_text().split()[-1].lower() in words.lower()
    demo.open(demo.page.url.partition("?")[0])
    demo.thorough()
    before = demo.pixels()
    demo.settle(lambda: demo.page.locator("#one-click .kept button").first.click())
    assert not np.array_equal(before, demo.pixels())
    demo.page.get_by_role("button", name=re.compile("Keep no longer")).click()
    assert demo.page.locator("#one-click .kept").count() == 0
    demo.open(demo.page.url)
    assert demo.page.locator("#one-click .kept").count() == 0


def test_presets_and_rows_that_are_marked_until_new_ones_come(demo: Demo) -> None:
    names = [each.replace(" ", "_") for each in demo.page.locator(".presets button").all_inner_texts()]
    assert names == list(resefa.PRESETS["avatars"])
    pressed = demo.page.locator(".presets [aria-pressed=true]")
    assert pressed.all_inner_texts() == ["mouth"]
    strips = demo.strips()
    demo.settle(lambda: demo.page.get_by_role("button", name="eyes", exact=True).click())
    assert demo.query["part"] == "part:eyes"
    assert demo.strips() != strips
    assert pressed.all_inner_texts() == ["eyes"]
    demo.settle(lambda: demo.page.get_by_role("button", name="nose", exact=True).click())
    assert demo.query["region"] == "nose"
    assert pressed.all_inner_texts() == ["nose"]
    demo.settle(lambda: demo.drag(MOUTH))
    assert pressed.count() == 0
    busy = "() => document.querySelector('.rows').getAttribute('aria-busy')"
    assert demo.page.evaluate(busy) == "false"

    def press() -> None:
        demo.page.evaluate("document.querySelector('[data-preset=hair]').click()")
        assert demo.page.evaluate(busy) == "true"

    demo.settle(press)
    assert demo.page.evaluate(busy) == "false"
    demo.page.get_by_role("button", name="Erase").click()
    demo.page.get_by_label("Size of the brush").fill("20")
    for height in (0.1, 0.3, 0.5, 0.7, 0.9):
        demo.drag((0, height, 1, 0.01))
    demo.wait("() => document.querySelector('#status .line').dataset.kind === 'problem'")
    demo.wait(f"() => ({busy})() === 'false'")


def lit(demo: Demo) -> float:
    """The share of the picture that is painted over or outlined."""
    share = demo.page.evaluate(
        """() => {
          const canvas = document.querySelector(".overlay"), { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          let count = 0;
          for (let at = 3; at < data.length; at += 4) count += data[at] > 20;
          return count / (width * height);
        }"""
    )
    return float(share)


def middle(region: resefa.Region) -> tuple[float, float]:
    """A point that a part holds, with what is around it."""
    inside = torch.nn.functional.avg_pool2d(region.mask(64, 64)[None], 3, 1, 1)[0]
    row, column = divmod(int(inside.argmax()), 64)
    return (column + 0.5) / 64, (row + 0.5) / 64


def test_parts_are_outlined_under_the_pointer_and_taken_by_clicks_and_keys(
    visit: Callable[..., Demo], avatars: resefa.Generator
) -> None:
    demo = visit(f"?seed={FIRST_SEED}&box=0.3,0.5,0.2,0.2")
    demo.thorough()
    here = resefa.Session(avatars, seed=FIRST_SEED).choices_here()
    demo.wait("() => document.querySelector('.stage').dataset.choices")
    demo.page.get_by_role("button", name="Part", exact=True).click()
    named = demo.page.locator(".named")
    seen = {}
    for name in ("mouth", "clothes", "background"):
        demo.page.mouse.move(*demo.place(*middle(here[name])))
        assert named.inner_text() == name
        seen[name] = lit(demo)
    assert len(set(seen.values())) == 3
    demo.page.mouse.move(*demo.place(*middle(here["mouth"])))
    demo.settle(lambda: demo.page.mouse.click(*demo.place(*middle(here["mouth"]))))
    assert demo.query["part"] == "part:mouth"
    assert "change the mouth" in demo.status
    alone = lit(demo)
    demo.page.keyboard.down("Shift")
    demo.settle(lambda: demo.page.mouse.click(*demo.place(*middle(here["clothes"]))))
    demo.page.keyboard.up("Shift")
    assert lit(demo) > alone + 0.5 * float(here["clothes"].mask(64, 64).mean())
    assert "part" not in demo.query
    demo.page.mouse.move(0, 0)
    assert named.inner_text() == ""
    demo.page.locator(".stage").focus()
    told = []
    for _ in range(3):
        demo.page.keyboard.press("ArrowRight")
        told.append(named.inner_text())
    assert len(set(told)) == 3
    demo.page.keyboard.press("ArrowLeft")
    assert named.inner_text() == told[1]
    demo.settle(lambda: demo.page.keyboard.press("Enter"))
    assert demo.query["part"] == f"part:{told[1]}"
    demo.settle(lambda: demo.page.get_by_label("Parts of this picture").select_option(label="mouth"))
    assert demo.query["part"] == "part:mouth"


def test_parts_follow_from_the_pointer_to_the_next_face(
    visit: Callable[..., Demo], avatars: resefa.Generator
) -> None:
    demo = visit(f"?seed={FIRST_SEED}")
    assert demo.query["part"] == "part:mouth"
    here = resefa.Session(avatars, seed=FIRST_SEED).choices_here()
    demo.wait("() => document.querySelector('.stage').dataset.choices")
    demo.page.get_by_role("button", name="Part", exact=True).click()
    strips, shown = [demo.strips()], []

    def take(action: Callable[[], object], part: str) -> None:
        demo.settle(action)
        demo.wait("(part) => (new URLSearchParams(location.search).get('part') ?? '') === part", part)
        demo.page.mouse.move(0, 0)
        strips.append(demo.strips())
        shown.append(lit(demo))

    hair = demo.place(*middle(here["hair"]))
    demo.page.mouse.move(*hair)
    assert demo.page.locator(".named").inner_text() == "hair"
    take(lambda: demo.page.mouse.click(*hair), "part:hair")
    amount = demo.page.get_by_label("How much belongs to the part")
    take(lambda: amount.fill("90"), "part:hair size:0.9")
    take(lambda: amount.fill("10"), "part:hair size:0.1")
    assert shown[2] < shown[0] < shown[1]
    take(lambda: amount.fill("50"), "part:hair")
    demo.page.keyboard.down("Shift")
    take(lambda: demo.page.mouse.click(*demo.place(*middle(here["clothes"]))), "")
    demo.page.keyboard.up("Shift")
    assert shown[-1] > shown[0]
    take(lambda: demo.drag(MOUTH), "")
    assert demo.box == pytest.approx(MOUTH, abs=0.01)
    x, y = demo.place(*middle(here["mouth"]))
    take(lambda: demo.touch(("touchStart", [(x, y)]), ("touchEnd", [])), "part:mouth")
    take(lambda: demo.page.get_by_label("Parts of this picture").select_option(label="hair"), "part:hair")
    assert all(one != other for one, other in itertools.pairwise(strips))
    demo.settle(lambda: _type_seed(demo, "13"))
    assert demo.query["part"] == "part:hair"
    there = resefa.Session(avatars, seed=13).region("hair").mask(64, 64)
    assert lit(demo) == pytest.approx(float((there > 0.05).float().mean()), abs=0.06)


def test_first_visitors_are_invited_to_draw(demo: Demo, address: str) -> None:
    invitation = demo.page.locator(".invitation")
    assert invitation.is_visible()
    demo.settle(lambda: demo.drag(MOUTH))
    assert not invitation.is_visible()
    shown, errors = [], []
    for script in (
        "",
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('none'); } })",
    ):
        page = demo.page.context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.add_init_script(script)
        page.goto(address)
        page.wait_for_function("() => document.querySelector('.after')?.src", timeout=PATIENCE)
        shown.append(page.locator(".invitation").is_visible())
    assert shown == [False, True]
    assert errors == []


def test_the_link_can_be_copied_with_and_without_a_clipboard_for_scripts(visit: Callable[..., Demo]) -> None:
    demo = visit(f"?seed={FIRST_SEED}&box=0.3,0.5,0.2,0.2")
    demo.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    demo.tab("Save")
    field = demo.page.get_by_label("Name of direction 1", exact=True)

    def copy() -> None:
        demo.page.get_by_role("button", name="Copy link").click()
        demo.page.get_by_role("button", name="Copied").wait_for()
        field.fill("")
        field.press("Control+V")
        assert field.input_value() == demo.page.url[:80]
        demo.page.get_by_role("button", name="Copy link").wait_for()

    copy()
    demo.page.evaluate("navigator.clipboard.writeText('something else')")
    demo.page.context.clear_permissions()
    demo.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    copy()


def test_a_random_face_another_truncation_and_a_surprise(demo: Demo) -> None:
    first = demo.pixels()
    demo.settle(lambda: demo.page.locator("#random").click())
    seed = demo.page.locator("#seed input").input_value()
    assert demo.query["seed"] == seed != str(FIRST_SEED)
    second = demo.pixels()
    assert np.abs(second - first).mean() > 3
    demo.settle(lambda: _type_seed(demo, "11"))
    third = demo.pixels()
    demo.page.get_by_role("button", name="Advanced").click()
    demo.page.get_by_role("slider", name="Variety").focus()
    demo.settle(lambda: demo.page.keyboard.press("Home"))
    assert demo.query == {**demo.query, "seed": "11", "truncation": "0"}
    assert np.abs(demo.pixels() - third).mean() > 3
    seed = demo.query["seed"]
    demo.settle(lambda: demo.page.get_by_role("button", name="Surprise me").click())
    demo.wait("() => document.querySelectorAll('#history li').length === 1")
    assert demo.query["seed"] != seed
    assert "edit" in demo.query


def test_a_face_of_the_gallery_and_other_ones(demo: Demo) -> None:
    faces = demo.page.locator("#faces .faces button")
    sync_api.expect(faces).to_have_count(12)
    demo.settle(lambda: faces.nth(1).click())
    shown = faces.nth(1).locator("img").get_attribute("alt")
    assert shown == f"Picture number {demo.query['seed']}"
    before = faces.nth(0).locator("img").get_attribute("src")
    demo.page.get_by_role("button", name="More pictures").click()
    demo.wait("(src) => document.querySelector('#faces .faces img').src !== src", before)


def test_edits_add_up_and_are_taken_back(demo: Demo) -> None:
    plain = demo.pixels()
    edited = demo.after(lambda: demo.slide(0, 5))
    demo.settle(lambda: demo.page.get_by_role("button", name="eyes", exact=True).click())
    assert np.abs(demo.pixels() - edited).max() <= 2
    demo.settle(demo.chip("mouth").click)
    assert np.abs(demo.pixels() - plain).max() <= 2
    assert demo.page.locator("#history li").count() == 0
    undo = demo.page.get_by_role("button", name="Undo")
    demo.settle(undo.click)
    assert np.abs(demo.pixels() - edited).max() <= 2
    assert demo.chip("mouth").is_visible()


def _type_seed(demo: Demo, seed: str) -> None:
    demo.page.locator("#seed input").fill(seed)
    demo.page.locator("#seed input").press("Enter")


def test_before_and_after(still: Callable[..., Demo]) -> None:
    demo = still()
    demo.after(lambda: demo.slide(0, 5))
    original = demo.pixels(".before")
    assert np.abs(demo.pixels() - original).mean() > 0.5
    shown = "() => document.querySelector('.stage .sharp').toDataURL()"
    demo.page.wait_for_timeout(300)
    edited = demo.page.evaluate(shown)
    hold, before = (
        demo.page.get_by_role("button", name="Hold to compare"),
        demo.page.locator(".resefa-before"),
    )
    for press, release in (
        (lambda: (hold.hover(), demo.page.mouse.down()), demo.page.mouse.up),
        (lambda: demo.page.keyboard.down("b"), lambda: demo.page.keyboard.up("b")),
    ):
        assert not before.is_visible()
        press()
        before.wait_for()
        demo.wait(f"(edited) => ({shown})() !== edited", edited)
        release()
        demo.wait(f"(edited) => ({shown})() === edited", edited)
    demo.after(lambda: demo.slide(0, 2))
    demo.wait(f"(edited) => ({shown})() !== edited", edited)


def test_the_picture_is_enlarged_sharply_and_downloaded(still: Callable[..., Demo], tmp_path: Path) -> None:
    demo = still()
    demo.after(lambda: demo.slide(0, 4))
    small = {name: demo.pixels(name) for name in (".after", ".before")}
    for button, names in (("Download", [".after"]), ("Before | after", [".before", ".after"])):
        with demo.page.expect_download() as download:
            demo.page.get_by_role("button", name=button, exact=True).click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        picture = np.asarray(Image.open(file).convert("RGB"), dtype=np.float64)
        assert picture.shape == (1024, 1024 * len(names), 3)
        for at, name in enumerate(names):
            part = Image.fromarray(small[name].astype(np.uint8))
            sharp = np.asarray(part.resize((1024, 1024), Image.Resampling.LANCZOS), dtype=np.float64)
            assert np.abs(picture[:, 1024 * at : 1024 * (at + 1)] - sharp).mean() < 1.0


def test_a_video_shows_the_way_to_the_edit(still: Callable[..., Demo], tmp_path: Path) -> None:
    demo = still()
    av = pytest.importorskip("av", reason="PyAV is not installed")
    button = demo.page.get_by_role("button", name="Video", exact=True)
    assert button.is_disabled()
    demo.after(lambda: demo.slide(0, 4))
    small = [demo.pixels(name).astype(np.uint8) for name in (".before", ".after")]
    demo.wait("() => !document.querySelector('#viewer .save-film').disabled")
    for _ in range(2):  # the same film comes a second time
        with demo.page.expect_download() as download:
            button.click()
        assert download.value.suggested_filename == f"picture-{FIRST_SEED}.mp4"
    download.value.save_as(tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in video.decode(video=0)]
    side = frames[0].shape[0]
    before, after = (
        np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.LANCZOS), dtype=float)
        for each in small
    )
    edited = np.abs(after - before).max(axis=2) > 24

    def far(frame: np.ndarray, picture: np.ndarray) -> float:
        return float(np.abs(frame - picture)[edited].mean())

    assert max(far(frames[at], before) for at in (0, -1)) < far(before, after) / 2
    assert min(far(frame, after) for frame in frames) < far(before, after) / 2
    demo.after(lambda: demo.page.get_by_role("button", name="Reset sliders").click())
    demo.wait("() => document.querySelector('#viewer .save-film').disabled")


def test_who_clicks_compare_sees_the_face_before_for_a_moment(still: Callable[..., Demo]) -> None:
    demo = still()
    demo.after(lambda: demo.slide(0, 5))
    demo.page.get_by_role("button", name="Hold to compare").click()
    demo.page.locator(".resefa-before").wait_for()
    demo.page.locator(".resefa-before").wait_for(state="hidden")


def test_a_strip_plays_on_the_face(still: Callable[..., Demo]) -> None:
    demo = still()
    film = demo.page.locator(".resefa-film")
    play = demo.page.get_by_role("button", name="Play ").first
    play.click()
    film.wait_for()
    place = "() => document.querySelector('.resefa-film').style.backgroundPosition"
    first = demo.page.evaluate(place)
    demo.wait(f"(first) => ({place})() !== first", first)
    stage, shown = demo.page.locator(".stage").bounding_box(), film.bounding_box()
    mouth = resefa.Region.preset("mouth").to_json()["box"]
    assert shown["x"] <= stage["x"] + mouth[0] * stage["width"] + 1
    assert shown["y"] + shown["height"] >= stage["y"] + (mouth[1] + mouth[3]) * stage["height"] - 1
    play.click()
    film.wait_for(state="hidden")
    demo.page.locator(".rows .cell").first.hover()
    film.wait_for()
    demo.page.mouse.move(0, 0)
    film.wait_for(state="hidden")


def test_the_outline_does_not_cover_the_edit(still: Callable[..., Demo]) -> None:
    demo = still()
    opacity = "() => Number(getComputedStyle(document.querySelector('.overlay')).opacity)"
    assert demo.page.evaluate(opacity) == 1
    demo.after(lambda: demo.slide(0, 4))
    demo.wait(f"() => ({opacity})() < 0.2")
    demo.page.mouse.move(*demo.place(0.5, 0.5))
    demo.wait(f"() => ({opacity})() === 1")
    demo.page.mouse.move(0, 0)
    demo.wait(f"() => ({opacity})() < 0.2")
    demo.page.get_by_role("button", name="Reset sliders").click()
    demo.wait(f"() => ({opacity})() === 1")


def test_reset(still: Callable[..., Demo]) -> None:
    demo = still()
    before = demo.pixels()
    demo.after(lambda: demo.slide(1, 4))
    after = demo.after(lambda: demo.page.get_by_role("button", name="Reset sliders").click())
    assert demo.slider(1).input_value() == "0"
    assert np.abs(after - before).max() < 3
    demo.after(lambda: demo.slide(0, 3))
    demo.after(lambda: demo.slide(1, 4))
    demo.after(lambda: demo.page.locator(".rows .zero").nth(1).click())
    assert [demo.slider(i).input_value() for i in range(2)] == ["3", "0"]
    assert demo.page.locator(".rows output").all_inner_texts()[:2] == ["+3.0", "0.0"]


def test_a_strips_picture_is_a_setting_of_its_slider(still: Callable[..., Demo]) -> None:
    demo = still()
    row = demo.page.locator(".rows .row").nth(1)
    cells = row.locator(".cell")
    assert cells.all_inner_texts() == ["−4", "−2", "0", "+2", "+4"]
    does = [cell.get_attribute("data-does") for cell in cells.all()]
    title = row.locator(".title").inner_text().lower()
    assert does[::-1] == [title.split(" / ")[0], None, None, None, title.split(" / ")[1]]
    assert row.locator(".near").all_inner_texts() == ["0"]
    by_slider = demo.after(lambda: demo.slide(1, -4))
    demo.after(lambda: cells.nth(2).click())
    assert demo.slider(1).input_value() == "0"
    by_click = demo.after(lambda: cells.nth(0).click())
    assert demo.slider(1).input_value() == "-4"
    assert np.array_equal(by_slider, by_click)
    assert row.locator(".near").all_inner_texts() == ["−4"]
    demo.after(lambda: demo.page.keyboard.press("ArrowRight"))
    assert demo.slider(1).input_value() == "-3.9"
    demo.after(lambda: demo.slide(1, 3.2))
    assert row.locator(".near").all_inner_texts() == ["+4"]
    strip = row.locator(".strip").bounding_box()
    places = [cell.bounding_box() for cell in cells.all()]
    for index, place in enumerate(places):
        assert place["x"] == pytest.approx(strip["x"] + index * strip["width"] / 5, abs=1)
        assert place["y"] <= strip["y"] + 1
        assert place["y"] + place["height"] >= strip["y"] + strip["height"]


@pytest.mark.parametrize("width", [320, 640, 768, 1024, 1152, 1280])
def test_controls_are_in_reach(still: Callable[..., Demo], width: int) -> None:
    demo = still()
    demo.page.set_viewport_size({"width": width, "height": 900})
    demo.after(lambda: demo.slide(0, -4))
    cut = demo.page.evaluate(
        """() => [...document.querySelectorAll("#picker, .rows .row")].flatMap((part) => {
          const whole = part.getBoundingClientRect();
          return [...part.querySelectorAll("button, input, output, img, .cell")].filter((each) => {
            const place = each.getBoundingClientRect();
            return place.width && (place.right > Math.min(whole.right, document.documentElement.clientWidth)
              || place.left < Math.max(whole.left, 0));
          }).map((each) => each.outerHTML.slice(0, 100));
        })"""
    )
    assert cut == []
    assert min(each.bounding_box()["width"] for each in demo.page.locator(".rows [type=range]").all()) > 80
    assert demo.page.evaluate("document.documentElement.scrollWidth") == width


def test_no_empty_line_stands_above_the_strips(still: Callable[..., Demo]) -> None:
    demo = still()
    assert demo.background == ""
    assert demo.page.locator("#background").bounding_box() is None
    status, head = (
        demo.page.locator(part).bounding_box() for part in ("#status .line", "#directions .heading")
    )
    assert 0 < head["y"] - (status["y"] + status["height"]) < 40


def test_what_is_said_out_of_sight_is_shown_below_and_the_same_line_again(demo: Demo) -> None:
    demo.page.set_viewport_size({"width": 1280, "height": 600})
    line, close = demo.page.locator("#status .line"), demo.page.locator("#status .close")
    assert not close.is_visible()
    demo.make_files()
    close.wait_for()
    place = line.bounding_box()
    assert 400 < place["y"] < place["y"] + place["height"] <= 600
    said = demo.page.get_by_text("ready to download")
    assert said.count() == 1
    assert demo.page.get_by_role("status").filter(has_text="ready to download").count() == 1
    close.click()
    assert not close.is_visible()
    demo.page.locator("#save").click()
    close.wait_for()
    demo.page.evaluate("scrollTo(0, 0)")
    close.wait_for(state="hidden")
    assert 0 < line.bounding_box()["y"] < 300
    demo.page.locator("#save").scroll_into_view_if_needed()
    close.wait_for()
    close.wait_for(state="hidden")  # after some time
    text = demo.status
    demo.page.wait_for_timeout(1500)  # what comes sooner is taken for the same answer
    said = _watch_status(demo)
    demo.page.locator("#save").click()
    demo.wait("(text) => window.said.at(-1) === text", text)
    demo.page.wait_for_timeout(500)
    texts = [each for each, _ in itertools.groupby([text, *demo.page.evaluate(said)])]
    assert texts == [text, "", text]


def test_other_faces_move_along(demo: Demo) -> None:
    demo.tab("Other pictures")
    demo.page.get_by_label("Move other pictures along").check()
    demo.wait("() => document.querySelectorAll('#others figure').length === 6")
    captions = demo.page.locator("#others figcaption").all_inner_texts()
    assert captions == [f"picture {seed}" for seed in range(FIRST_SEED + 1, FIRST_SEED + 7)]
    first = demo.page.eval_on_selector_all("#others .edited", "all => all.map((each) => each.src)")
    demo.slide(0, 4)
    demo.wait(
        "(was) => [...document.querySelectorAll('#others .edited')].every((one, i) => one.src !== was[i])",
        first,
    )
    demo.wait("() => document.querySelectorAll('#others .edited').length === 6")
    second = demo.page.locator("#others button").nth(1)
    demo.settle(second.click)
    assert demo.query["seed"] == str(FIRST_SEED + 2)
    assert demo.page.locator("#history li").count() == 1
    assert demo.slider().input_value() == "4"
    demo.page.get_by_label("Move other pictures along").uncheck()
    demo.wait("() => document.querySelectorAll('#others img').length === 0")


def test_generalizing_shows_progress_and_how_well_it_carries_over(demo: Demo) -> None:
    demo.tab("Other pictures")
    demo.page.get_by_role("spinbutton", name="Pictures").fill("2")
    demo.page.get_by_role("spinbutton", name="Pictures").blur()
    demo.page.evaluate(
        """() => {
          window.fractions = [];
          new MutationObserver(() => {
            const bar = document.querySelector("#status progress");
            if (!bar.hidden && bar.hasAttribute("value")) window.fractions.push(bar.value);
          }).observe(document.querySelector("#status"), { subtree: true, childList: true, attributes: true });
        }"""
    )
    demo.settle(lambda: demo.page.get_by_role("button", name="Find ways that hold on all of them").click())
    demo.said("Solved over 2 pictures together")
    assert re.search(r"changes the region \d+(\.\d)? times as much", demo.status)
    fractions = demo.page.evaluate("window.fractions")
    assert len({round(value, 3) for value in fractions}) > 2
    assert fractions == sorted(fractions)
    assert len(demo.strips()) >= 1


def test_files_go_out_and_come_back_in(visit: Callable[..., Demo], tmp_path: Path) -> None:
    demo = visit()
    demo.thorough()
    demo.settle(lambda: demo.drag(MOUTH))
    box = demo.box
    demo.after(lambda: demo.slide(0, 4))
    shown = demo.pixels()
    given = [title.lower() for title in demo.titles()]
    demo.tab("Save")
    demo.page.get_by_label("Name of direction 1", exact=True).fill("open mouth")
    demo.page.get_by_label(f"Keep direction {len(given)} in the file").uncheck()
    kept = ("open mouth", *given[1:-1])
    demo.page.locator("#file-title input, #file-title textarea").first.fill("Mouths of avatars")
    demo.page.get_by_label("Author").fill("Ada")
    demo.page.locator("#save").click()
    assert len(kept) > 1
    demo.said(f"The {len(kept)} directions and the picture are ready")
    links = demo.page.get_by_role("tabpanel").locator("a[download]")
    links.nth(4).wait_for()
    files = {}
    for index in range(links.count()):
        with demo.page.expect_download() as download:
            links.nth(index).click()
        target = tmp_path / download.value.suggested_filename
        download.value.save_as(target)
        files[target.name.removeprefix("Mouths-of-avatars")] = target
    assert set(files) == {".safetensors", ".png", "-before-after.png", *FILM_SUFFIXES}
    directions = resefa.Directions.load(files[".safetensors"])
    assert directions.title == "Mouths of avatars"
    assert directions.author == "Ada"
    assert directions.names == kept
    assert directions.region is not None
    assert directions.region.to_json()["box"] == pytest.approx(box, abs=1e-3)
    saved = np.asarray(Image.open(files[".png"]).convert("RGB"), dtype=np.float64)
    assert np.array_equal(saved, shown)

    other = visit("?seed=21&box=0.1,0.1,0.3,0.3")
    other.upload(files[".safetensors"])
    card = other.card()
    assert card["Title"] == "Mouths of avatars"
    assert card["Author"] == "Ada"
    assert card["Fits"] == "yes"
    assert card["Directions"].startswith(f"{len(kept)}: open mouth, {kept[1]}")
    other.settle(lambda: other.page.locator("#use").click())
    other.said(f"These are the {len(kept)} directions of the file.")
    assert tuple(title.lower() for title in other.titles()) == directions.names
    before = other.pixels()
    inside, outside = changes(before, other.after(lambda: other.slide(0, 4)), MOUTH)
    assert inside > 3 * outside


def test_a_file_for_another_generator_is_refused(demo: Demo, tmp_path: Path) -> None:
    generator = tiny_stylegan2()
    vectors = torch.randn_like(generator.sample(0).codes)
    file = tmp_path / "foreign.safetensors"
    resefa.Directions.from_vectors(vectors, "w+", generator, title="foreign").save(file)
    version = demo.version
    demo.upload(file)
    card = demo.card()
    assert card["Fits"] == "no"
    assert "does not fit" in card["Note"]
    demo.said("does not fit")
    assert demo.page.locator("#use").count() == 0 or not demo.page.locator("#use").is_visible()
    assert demo.version == version


def test_a_file_that_is_none_is_refused(demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "nonsense.safetensors"
    file.write_bytes(b"nonsense" * 100)
    demo.upload(file)
    demo.wait("() => document.querySelector('#status .line').dataset.kind === 'problem'")
    assert demo.status == (
        "nonsense.safetensors can't be used: it is damaged, or of a kind that is not known here."
    )
    detail = demo.page.locator("#status .detail")
    assert not detail.is_visible()
    demo.page.locator("#status summary").click()
    assert "nonsense.safetensors" in detail.inner_text()
    assert "/" not in detail.inner_text()


def test_texts_of_strangers_are_shown_and_do_not_run(
    demo: Demo, avatars: resefa.Generator, tmp_path: Path
) -> None:
    made = resefa.Directions.from_vectors(
        torch.randn(2, avatars.sample(0).codes.shape[-1]), "w", avatars, region=resefa.Region.from_box(*MOUTH)
    )
    evil = replace(made, title=EVIL, author=EVIL, names=(EVIL, "plain"), description=EVIL, license=EVIL[:60])
    evil.save(tmp_path / "evil.safetensors")
    demo.upload(tmp_path / "evil.safetensors")
    card = demo.card()
    assert card["Title"] == card["Author"] == card["About"] == EVIL
    assert EVIL in card["Directions"]
    demo.settle(lambda: demo.page.locator("#use").click())
    assert demo.page.locator(".rows .title").first.text_content() == EVIL
    demo.tab("Save")
    assert demo.page.get_by_label("Name of direction 1", exact=True).input_value() == EVIL
    demo.page.locator("#file-title input, #file-title textarea").first.fill(EVIL)
    demo.page.locator("#save").click()
    demo.said("ready to download")
    demo.page.get_by_role("tabpanel").locator("a[download]").first.wait_for()
    assert demo.page.evaluate("window.ran") is None
    assert demo.page.locator("img[src='x']").count() == 0


def test_a_link_restores_the_state_and_the_address_follows(visit: Callable[..., Demo]) -> None:
    first = visit("?seed=42&truncation=0.5&box=0.2,0.3,0.4,0.25")
    assert first.page.locator("#seed input").input_value() == "42"
    first.page.get_by_role("button", name="Advanced").click()
    assert first.page.get_by_role("spinbutton", name="Variety").input_value() == "0.5"
    assert first.query == {"seed": "42", "truncation": "0.5", "box": "0.2,0.3,0.4,0.25"}
    first.settle(lambda: first.drag((0.3, 0.6, 0.4, 0.2)))
    first.settle(lambda: _type_seed(first, "43"))
    assert first.query["seed"] == "43"
    second = visit("?" + urlsplit(first.page.url).query)
    assert second.query == first.query
    assert np.abs(second.pixels() - first.pixels()).max() == 0


@pytest.mark.parametrize(
    ("query", "notes"),
    [
        ("?seed=-1&truncation=x&box=1,2", ["link's seed '-1'", "link's truncation 'x'", "link's box '1,2'"]),
        ("?box=0,0,0,0&seed=99999999999999", ["link's region", "link's seed '99999999999999'"]),
        ("?edit=x&method=y&region=w", ["link is damaged", "link's method 'y'", "link's region"]),
    ],
)
def test_nonsense_in_a_link_is_left_out_and_said(
    visit: Callable[..., Demo], query: str, notes: list[str]
) -> None:
    demo = visit(query)
    assert demo.query["seed"] == str(FIRST_SEED)
    assert len(demo.strips()) == MOST_ROWS
    assert [note for note in notes if note not in demo.status] == []


def test_a_link_opens_alike_with_what_was_painted_and_edited(visit: Callable[..., Demo]) -> None:
    demo = visit()
    demo.thorough()
    demo.page.locator("[data-tool=brush]").click()
    demo.settle(lambda: demo.drag((0.35, 0.65, 0.3, 0.05)))
    edited = demo.after(lambda: demo.slide(0, 4))
    demo.wait("() => new URLSearchParams(location.search).has('edit')")
    other = visit("?" + urlsplit(demo.page.url).query)
    assert np.abs(other.pixels() - edited).max() <= 2
    assert _orange(other.page) == _orange(demo.page) > 0
    assert (other.moves(), other.values(), other.query) == (demo.moves(), demo.values(), demo.query)


def test_edits_and_undo_outlive_a_new_face_and_a_reload(visit: Callable[..., Demo]) -> None:
    demo = visit()
    demo.thorough()
    plain, edited = demo.pixels(), demo.edited_twice()
    moves, values = demo.moves(), demo.values()

    def press(keys: str, seed: int, number: int) -> None:
        demo.settle(lambda: demo.page.keyboard.press(keys))
        assert demo.query["seed"] == demo.page.locator("#seed input").input_value() == str(seed)
        assert demo.moves() == moves[:number]

    demo.settle(lambda: _type_seed(demo, "11"))
    assert demo.moves() == []
    another = demo.pixels()
    demo.page.locator("#title h1").click()  # keys are the field's own while one types there
    press("Control+z", FIRST_SEED, 2)
    assert demo.values() == values
    assert np.array_equal(demo.pixels(), edited)
    press("Control+Shift+z", 11, 0)
    assert np.array_equal(demo.pixels(), another)
    press("Control+z", FIRST_SEED, 2)
    demo.starts_over(demo.page.reload)
    assert (demo.moves(), demo.values()) == (moves, values)
    assert np.array_equal(demo.pixels(), edited)
    press("Control+z", FIRST_SEED, 1)
    press("Control+z", FIRST_SEED, 0)
    assert np.array_equal(demo.pixels(), plain)
    press("Control+Shift+z", FIRST_SEED, 1)
    press("Control+Shift+z", FIRST_SEED, 2)
    assert np.array_equal(demo.pixels(), edited)
    press("Control+Shift+z", 11, 0)
    assert np.array_equal(demo.pixels(), another)


def test_the_page_goes_on_with_its_edits_after_a_lost_connection(visit: Callable[..., Demo]) -> None:
    demo = visit()
    demo.thorough()
    edited = demo.edited_twice()
    moves, values = demo.moves(), demo.values()

    def drop() -> None:
        demo.page.context.set_offline(True)
        demo.page.locator("[data-preset=nose]").click()
        demo.page.wait_for_timeout(6000)
        demo.page.context.set_offline(False)

    demo.starts_over(drop)
    assert (demo.moves(), demo.values()) == (moves, values)
    assert np.array_equal(demo.pixels(), edited)
    demo.settle(lambda: demo.page.locator("#history [data-go=undo]").click())
    assert demo.moves() == moves[:1]
    demo.after(lambda: demo.slide(1, -3))


def test_slow_methods_keep_no_newcomer_waiting_and_are_stopped(visit: Callable[..., Demo]) -> None:
    """By the button, and by choosing something else; the one who waits in line then begins."""
    first, second = (visit(f"?seed={FIRST_SEED}&region={part}") for part in ("mouth", "eyes"))
    kind = "() => document.querySelector('#status .line').dataset.kind"
    begun = "() => document.querySelector('#status progress').hasAttribute('value')"

    def choose(demo: Demo, method: str) -> None:
        demo.page.locator("#method input").click()
        demo.page.get_by_role("option", name=method, exact=True).click()

    for demo in (first, second):
        demo.thorough()
        demo.page.locator("#advanced button").first.click()
    versions = first.version, second.version
    for demo in (first, second):
        choose(demo, "StyleSpace")
        demo.wait(f"() => ({kind})() === 'working'")
    newcomer = visit("?seed=79&region=mouth")
    assert len(newcomer.strips()) > 0
    assert [demo.page.evaluate(kind) for demo in (first, second)] == ["working", "working"]
    assert not second.page.evaluate(begun)
    first.page.locator("#status .stop").click()
    second.wait(begun)
    assert (first.page.evaluate(kind), first.version) == ("done", versions[0])
    second.settle(lambda: choose(second, "SeFa"))
    assert second.version == versions[1] + 1
    assert [demo.page.evaluate("document.querySelector('.rows').inert") for demo in (first, second)] == [
        True,
        False,
    ]


def test_other_methods_are_a_choice_and_say_what_they_are(visit: Callable[..., Demo]) -> None:
    demo = visit(f"?seed={FIRST_SEED}&region=mouth")
    demo.thorough()
    strips = demo.strips()
    panel = demo.page.locator("#method input")
    assert not panel.is_visible()
    demo.page.get_by_role("button", name="Advanced").click()
    panel.click()
    names = demo.page.get_by_role("option").all_inner_texts()
    titles = [method.title for key, method in resefa.METHODS.items() if key != resefa.CONFINED]
    assert [name.replace("✓", "").strip() for name in names] == titles
    demo.settle(lambda: demo.page.get_by_role("option", name="SeFa", exact=True).click())
    demo.said("by SeFa")
    assert demo.strips() != strips
    assert "Closed-Form Factorization" in demo.page.locator("#about-method").inner_text()
    assert demo.query["method"] == "sefa"
    demo.settle(lambda: demo.page.get_by_role("button", name="eyes", exact=True).click())
    assert "by SeFa" in demo.status
    again = visit("?" + urlsplit(demo.page.url).query)
    assert "by SeFa" in again.status
    panel.click()
    demo.settle(lambda: demo.page.get_by_role("option", name="ReSeFa", exact=True).click())
    demo.thorough()
    assert "method" not in demo.query


def test_parameters_of_a_method_are_fields_beside_it(visit: Callable[..., Demo]) -> None:
    demo = visit(f"?seed={FIRST_SEED}&region=mouth")
    demo.thorough()
    strips = demo.strips()

    def labels() -> list[str]:
        return list(demo.page.locator("#parameters label").all_inner_texts())

    field = demo.page.get_by_label("regularization")
    assert not field.is_visible()
    demo.page.get_by_role("button", name="Advanced").click()
    field.wait_for()
    assert labels() == ["regularization", "colour", "edge"]
    assert (field.input_value(), field.get_attribute("placeholder")) == ("", "0.001")
    field.fill("0.5")
    demo.settle(lambda: field.press("Enter"))
    assert demo.strips() != strips
    assert demo.query["parameters"] == "regularization=0.5"
    strips = demo.strips()
    field.fill("much")
    field.blur()
    demo.said("regularization 'much' is out of range: expected a number from 0 to 1000")
    assert (demo.strips(), demo.query["parameters"]) == (strips, "regularization=0.5")
    demo.page.locator("#method input").click()
    demo.settle(lambda: demo.page.get_by_role("option", name="SeFa", exact=True).click())
    assert labels() == ["candidates"]
    assert "parameters" not in demo.query
    demo.page.locator("#method input").click()
    demo.settle(lambda: demo.page.get_by_role("option", name="ReSeFa", exact=True).click())
    assert field.input_value() == "0.5"
    demo.wait("() => location.search.includes('regularization%3D0.5')")
    again = visit("?" + urlsplit(demo.page.url).query)
    again.page.get_by_role("button", name="Advanced").click()
    assert again.page.get_by_label("regularization").input_value() == "0.5"


def test_methods_side_by_side(demo: Demo) -> None:
    rows, status = demo.strips(), demo.status
    demo.tab("Compare methods")
    demo.page.get_by_role("button", name="Compare methods on this part").click()
    titles = [method.title for key, method in resefa.METHODS.items() if key != resefa.CONFINED]
    for many in (1, 2, 3):
        demo.wait("(many) => document.querySelectorAll('#compared li').length >= many", many)
    shown = demo.page.evaluate(
        "[...document.querySelectorAll('#compared li')].map((each) =>"
        " [each.querySelector('h3').innerText, each.querySelectorAll('img').length])"
    )
    assert shown == [[title, 4] for title in titles[: len(shown)]]
    assert (demo.strips(), demo.status) == (rows, status)


def test_quick_directions_first_and_finer_ones_in_their_place(visit: Callable[..., Demo]) -> None:
    demo = visit()
    demo.thorough()
    seen = _watch_status(demo)
    _type_seed(demo, "1001")
    demo.wait("() => document.querySelector('#background .text').textContent.startsWith('Analysing')")
    assert demo.page.locator("#background").bounding_box()["height"] >= 18
    demo.wait("() => window.said.some((text) => text.includes('better ones follow'))")
    demo.wait("() => document.querySelector('#background .text').textContent.includes('stay closer')")
    demo.thorough()
    assert len(demo.strips()) >= 1
    texts = demo.page.evaluate(seen)
    quick = next(i for i, text in enumerate(texts) if "better ones follow" in text)
    assert any(THOROUGH in text for text in texts[quick:])


def test_finer_directions_are_offered_where_a_slider_was_moved(visit: Callable[..., Demo]) -> None:
    demo = visit()
    demo.thorough()
    _type_seed(demo, "1002")
    demo.said("better ones follow")
    demo.wait("() => document.querySelector('.rows').dataset.more === 'false'")
    demo.after(lambda: demo.slide(0, 3))
    offer = demo.page.get_by_role("button", name="Use the new directions")
    offer.wait_for()
    assert "ready" in demo.background
    assert demo.slider().input_value() == "3"
    assert "better ones follow" in demo.status
    demo.settle(offer.click)
    assert THOROUGH in demo.status
    assert not offer.is_visible()
    assert demo.slider().input_value() == "0"


def test_what_is_being_focused_is_not_replaced(visit: Callable[..., Demo]) -> None:
    demo = visit()
    demo.thorough()
    _type_seed(demo, "1006")
    demo.said("better ones follow")
    demo.wait("() => document.querySelector('.rows').dataset.more === 'false'")
    demo.slider().evaluate("(each) => each.focus({ focusVisible: true })")
    version = demo.version
    offer = demo.page.get_by_role("button", name="Use the new directions")
    offer.wait_for()
    assert demo.version == version
    assert demo.page.evaluate("document.activeElement === document.querySelector('.rows [type=range]')")
    demo.settle(offer.click)
    assert demo.version > version


def test_what_is_being_named_ticked_or_focused_is_told_and_kept_until_others_are_asked_for(
    demo: Demo,
) -> None:
    demo.tab("Save")
    name = demo.page.get_by_label("Name of direction 1", exact=True)
    kept = demo.page.get_by_label("Keep direction 1 in the file")
    touches: tuple[tuple[str, Callable[[], object]], ...] = (
        ("eyes", lambda: name.fill("lips")),
        ("nose", kept.uncheck),
        ("hair", lambda: demo.slider().evaluate("(each) => each.focus({ focusVisible: true })")),
    )
    for part, touch in touches:
        demo.settle(demo.page.locator(f"[data-preset={part}]").click)
        given = name.input_value()
        assert given != "lips"
        assert kept.is_checked()
        assert demo.page.evaluate("resefa.directions.touched") is False
        with demo.page.expect_request(lambda request: '"touched":true' in (request.post_data or "")):
            touch()
        assert demo.page.evaluate("resefa.directions.touched") is True
        assert name.input_value() == ("lips" if part == "eyes" else given)
        assert kept.is_checked() == (part != "nose")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_where_the_keyboard_is_can_be_seen(still: Callable[..., Demo], scheme: str) -> None:
    demo = still(color_scheme=scheme)
    demo.tab("Save")  # names are typed there
    demo.page.locator("#title h1").click()
    seen = set()
    for _ in range(90):
        demo.page.keyboard.press("Tab")
        name, outline = demo.page.evaluate(
            """() => {
              const each = document.activeElement, style = getComputedStyle(each);
              const kind = each.type || each.getAttribute("role") || each.tagName;
              return [kind, style.outlineStyle === "none" ? "0px" : style.outlineWidth];
            }"""
        )
        if name != "BODY":
            assert (name, outline) == (name, "3px")
            seen.add(name)
    assert {"checkbox", "range", "button", "text", "application", "number"} <= seen


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_shortcuts_lead_to_the_picture_the_sliders_and_saving(
    still: Callable[..., Demo], screen: dict[str, Any]
) -> None:
    demo = still(**screen)
    shortcuts = demo.page.get_by_role("navigation", name="Shortcuts").get_by_role("link")
    for index, place in enumerate((".stage", ".rows [type=range]", "#save")):
        demo.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        shortcuts.nth(index).focus()
        assert shortcuts.nth(index).bounding_box()["height"] >= 24
        demo.page.keyboard.press("Enter")
        demo.wait("(place) => document.activeElement === document.querySelector(place)", place)


def _watch_status(demo: Demo) -> str:
    demo.page.evaluate(
        """() => {
          window.said = [];
          new MutationObserver(() => {
            window.said.push(document.querySelector("#status .text").textContent);
          }).observe(document.querySelector("#status"), { subtree: true, childList: true });
        }"""
    )
    return "window.said"


def _open_tab(demo: Demo, name: str) -> None:
    """Also those that a narrow screen keeps in a menu."""
    tab = demo.page.get_by_role("tab", name=name, exact=True)
    if tab.count() and tab.first.is_visible():
        tab.first.click()
    else:
        demo.page.locator(".overflow-menu > button").click()
        demo.page.locator(".overflow-dropdown button", has_text=name).click()
    demo.page.wait_for_timeout(300)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_tab_fits_the_screen_and_nothing_keeps_people_out(
    still: Callable[..., Demo], screen: dict[str, Any], scheme: str
) -> None:
    """By the rules of axe-core, where it is installed."""
    demo, axe = still(color_scheme=scheme, **screen), find_axe()
    dark = demo.page.evaluate("document.body.classList.contains('dark')")
    assert dark == (scheme == "dark")
    if axe is not None:
        demo.page.add_script_tag(path=axe)
    demo.after(lambda: demo.slide(0, 3))
    found = {}
    for name in ("Other pictures", "Compare methods", "Save", "Open", "Browse the Hub", "Publish"):
        _open_tab(demo, name)
        assert demo.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        if name == "Other pictures":
            demo.page.get_by_label("Move other pictures along").check()
            demo.wait("() => document.querySelectorAll('#others figure').length === 6")
        if axe is not None:
            report = demo.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            for broken in report["violations"]:
                found[name, broken["id"]] = [node["html"][:200] for node in broken["nodes"]]
    if screen is PHONE:
        small = demo.page.eval_on_selector_all(
            "#picker button, #directions button, .rows [type=range], .cell",
            "all => all.filter((e) => e.offsetParent && e.getBoundingClientRect().height < 40)"
            ".map((e) => e.outerHTML)",
        )
        assert small == []
    assert found == {}
    if axe is None:
        pytest.skip("no axe-core: install axe-playwright-python, or set RESEFA_AXE to an axe.min.js")


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_is_in_the_visitors_language(visit: Callable[..., Demo], screen: dict[str, Any]) -> None:
    demo = visit(locale="de-DE", **screen)
    demo.said("Einen Regler bewegen")
    page = demo.page
    assert page.locator("html").get_attribute("lang") == "de"
    assert "Einen Teil des Bildes wählen" in page.locator("#title").inner_text()
    assert page.locator("#random").inner_text() == "Zufälliges Bild"
    assert page.get_by_label("Nummer des Bildes").input_value() == str(FIRST_SEED)
    assert f"Bild Nummer {FIRST_SEED}" in page.locator(".after").get_attribute("alt")
    assert demo.status.startswith("Mund: ")
    names, titles = page.evaluate("resefa.named.names"), page.locator(".rows .title").all_text_contents()
    assert set(names) & set(titles) == set()
    assert re.search(r"opens|lighter|wider|up|right", " ".join(names))
    assert not re.search(r"open|light|wide|up|right", " ".join(titles))
    demo.after(lambda: demo.slide(0, 3))
    assert re.match("Mund: ", page.locator(".moves li").first.inner_text())
    assert page.evaluate("document.documentElement.scrollWidth") == screen["viewport"]["width"]
    axe = find_axe()
    if axe is not None:
        page.add_script_tag(path=axe)
        report = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert [broken["id"] for broken in report["violations"]] == []


def test_a_language_may_be_asked_for_and_others_get_english(visit: Callable[..., Demo]) -> None:
    assert "画像の一部" in visit("?lang=ja").page.locator("#title").inner_text()
    other = visit(locale="pt-PT").page
    assert "Point at a part" in other.locator("#title").inner_text()
    assert other.locator("html").get_attribute("lang") == "en"
