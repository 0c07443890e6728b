"""The page: what stands where, and which step each event takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import anyio
import gradio as gr
from anyio.to_thread import run_sync

from gradio_app import photos
from gradio_app.blocks import Page
from gradio_app.door import Door
from gradio_app.endpoints import add_endpoints, fetch_nothing
from gradio_app.methods import about_method, fields_of
from gradio_app.presence import Presence, address_from
from gradio_app.quota import KEPT_SECONDS, Quota
from gradio_app.sharing import add_sharing
from gradio_app.steps import FIRST_SEED, NUM_OTHERS, Steps
from gradio_app.studio import JOINT_FOR_VISITORS, Studio
from gradio_app.updates import problem, said
from gradio_app.visit import Visit
from gradio_app.widgets import widget
from resefa_core.defaults import CONFINED_FEATHER, FEATHERS, SAMPLES_TO_SHARE, TRUNCATION
from resefa_core.directions.about import credit_of, method_title
from resefa_core.kinds import DIRECTION_SUFFIXES
from resefa_core.latents.samples import SEEDS
from resefa_core.session.finding import OURS
from resefa_core.spaces import SPACES

CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")

_NAMED_BY_THEIR_TEXT = """() => {
  const mend = () => document.querySelectorAll(".upload-container[aria-label]").forEach((button) => {
    button.removeAttribute("aria-label");
  });
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  mend();
}"""
"""Upload areas say one thing to the eye and another to screen readers: let both have what is seen."""

_KEPT = """() => {
  try {
    const kept = JSON.parse(sessionStorage.getItem("resefa"));
    return [kept && kept.link === location.search ? kept.stored : null];
  } catch {
    return [null];
  }
}"""
"""What the browser has kept of the page before it started over, unless another link was followed since."""

_TITLE = """# ReSeFa
Point at a part of the picture, and change it: the rest stays as it is.
A GAN, a network that makes pictures from numbers, drew it.
[Paper](https://arxiv.org/abs/2202.09649), [how to](https://github.com/resefa/resefa#readme),
[code](https://github.com/resefa/resefa)
"""

_SEED_TYPED = "(window.resefa ??= {}).seed = values[2];"
_SEED_LEFT = "if (window.resefa?.seed === values[2]) values[2] = null; else " + _SEED_TYPED
"""Who leaves the field without a change asks for nothing: another picture may be on its way."""

_IDLE_SECONDS = 3600
_AT_ONCE, _WAITING = 4, 16
_STEPS_AT_ONCE = 12
_THREADS = 200
_END: Any = object()
_SENT = (
    "picker",
    "directions",
    "faces",
    "others",
    "back",
    "kept",
    "points",
    "one_click",
    "row",
    "parameters",
)
"""What scripts of the page send. They keep it to themselves, and it is read when an event is on its way: what
the server shows meanwhile can't take its place."""


@dataclass(frozen=True)
class Settings:
    """What the operator allows.

    Attributes:
        folder: where files for visitors are written; Gradio removes them when they are old.
        presence: tells which pages listen.
        quota: of what visitors cause to be written.
        checkpoints: whether visitors may upload generators.
        on_space: whether this runs on the Hub, where visitors sign in to publish.
        photos: whether visitors may bring pictures of their own.
    """

    folder: Path
    presence: Presence
    quota: Quota
    checkpoints: bool = False
    on_space: bool = False
    photos: bool = True


class Parts(dict[str, Any]):
    """The parts of the page by name, and how steps change them. Events are wired once all parts are there,
    since a step may change any of them.

    Steps do not wait in Gradio's queue: they begin at once, and slow work within them waits in a line of its
    kind, so that what is quick is never behind what is slow.
    """

    def __init__(self, presence: Presence) -> None:
        super().__init__()
        self._door = Door(inside=_AT_ONCE, waiting=_WAITING)
        self._presence = presence
        self._under_way: Counter[str] = Counter()
        self._threads: anyio.CapacityLimiter | None = None
        self._orders: WeakKeyDictionary[Visit, asyncio.Lock] = WeakKeyDictionary()

    def show(self, update: dict[str, Any]) -> dict[Any, Any]:
        """An update of the page, as Gradio wants it."""
        return {self[name]: _fit(name, value) for name, value in update.items()}

    def step(
        self,
        listen: Callable[..., Any],
        step: Callable[..., Iterator[dict[str, Any]]],
        *inputs: str,
        changes: Sequence[str] = (),
        ordered: bool = True,
        script: str = "",
        **options: Any,
    ) -> Any:
        """Take a step on an event.

        Args:
            inputs: the parts whose values the step is given.
            changes: the parts that it may change beside the status, which tells what went wrong; any for
                none. The fewer, the sooner they are shown.
            ordered: whether it is to begin after those that were asked for before have begun.
            script: JavaScript that runs on the `values` before they are sent.
        """

        async def handler(
            request: gr.Request, visit: Visit | None, *values: Any
        ) -> AsyncIterator[dict[Any, Any]]:
            is_new, visit = visit is None, visit or Visit()
            kept = {self["visit"]: visit}
            if is_new:
                yield kept
            told = kept  # with the first update, so that its time to live starts anew
            async for update in self.taken(request, visit, step, *values, ordered=ordered):
                yield {**told, **self.show(update)}
                told = {}
            yield kept  # Gradio sends the last of a step's updates twice: so that is a small one

        return listen(
            handler,
            **self.inputs("visit", *inputs, script=script),
            outputs=self._of(*changes) if changes else self.shown,
            **self.options(),
            **options,
        )

    @property
    def shown(self) -> list[Any]:
        """The parts that a step may change."""
        return [part for name, part in self.items() if name != "sent"]

    def inputs(self, *names: str, script: str = "") -> dict[str, Any]:
        """The parts whose values an event sends, and the script that reads what scripts keep."""
        parts = [self["sent" if name in _SENT else name] for name in names]
        sent = {index: name for index, name in enumerate(names) if name in _SENT}
        if not sent and not script:
            return {"inputs": parts}
        reads = "".join(f"values[{at}] = window.resefa?.{name} ?? null; " for at, name in sent.items())
        return {"inputs": parts, "js": f"(...values) => {{ {reads}{script} return values; }}"}

    async def taken(
        self,
        request: gr.Request,
        visit: Visit,
        step: Callable[..., Iterator[dict[str, Any]]],
        *values: Any,
        ordered: bool = True,
    ) -> AsyncIterator[dict[str, Any]]:
        """The updates of a step, each worked out in a thread; none for a page that does not listen, or that
        asks for very many things at once. For a page that listened a moment ago the work begins before its
        stream is open."""
        page = str(request.session_hash)
        visit.address = address_from(request)
        if self._under_way[page] >= _STEPS_AT_ONCE:
            return
        self._under_way[page] += 1
        updates = step(visit, *values)
        try:
            if not self._presence.was_here(page) and not await self._presence.comes(page):
                return
            self._threads = self._threads or anyio.CapacityLimiter(_THREADS)
            order = self._orders.setdefault(visit, asyncio.Lock()) if ordered else nullcontext()
            async with order:
                update = await run_sync(next, updates, _END, limiter=self._threads)
            if not await self._presence.comes(page):
                return
            while update is not _END:
                yield update
                update = await run_sync(next, updates, _END, limiter=self._threads)
        finally:
            self._under_way[page] -= 1
            if not self._under_way[page]:
                del self._under_way[page]
            await run_sync(_close, updates)

    def step_at_once(
        self,
        listen: Callable[..., Any],
        step: Callable[..., Iterator[dict[str, Any]]],
        *inputs: str,
        changes: Sequence[str],
    ) -> Any:
        """Take a short step without queueing: that saves a way to the server and back. A few run at a time, a
        few wait, and more are turned away."""

        def handler(visit: Visit | None, *values: Any) -> dict[Any, Any]:
            visit = visit or Visit()
            update: dict[str, Any] = {}
            with self._door.entered() as entered:
                if entered:
                    for each in step(visit, *values):
                        update |= each
                else:
                    update = {"status": problem("many people are here at this moment: try that once more")}
            return {self["visit"]: visit, **self.show(update)}

        return listen(
            handler,
            **self.inputs("visit", *inputs),
            outputs=self._of(*changes),
            queue=False,
            **{**self.options(), "trigger_mode": "always_last"},
        )

    def _of(self, *names: str) -> list[Any]:
        return [self[name] for name in ("visit", "status", *names)]

    def options(self) -> dict[str, Any]:
        """How the events run: each at once. Gradio keeps a status of each part that shows progress, and
        copies all that these parts hold whenever an event begins, goes on or ends: so one small part is
        named for all."""
        return {
            "show_progress": "hidden",
            "show_progress_on": [self["status"]],
            "api_visibility": "private",
            "concurrency_id": "page",
            "concurrency_limit": None,
            "trigger_mode": "multiple",
        }


def _close(updates: Iterator[Any]) -> None:
    """Let a step end."""
    close = getattr(updates, "close", None)
    if close is not None:
        close()


def theme() -> gr.themes.Base:
    """Fonts that are there without a network, and colors that can be read in light and dark."""
    return gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        body_background_fill="*neutral_50",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_background_fill="none",
        block_label_background_fill_dark="none",
        block_label_text_color="*neutral_800",
        block_label_text_color_dark="*neutral_100",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_padding="0",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        button_secondary_background_fill_hover_dark="*neutral_700",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
        color_accent="*primary_600",
        input_border_width="1px",
        input_border_color="*neutral_400",
        input_border_color_dark="*neutral_500",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        link_text_color_visited="*secondary_700",
        link_text_color_dark="*secondary_300",
        link_text_color_active_dark="*secondary_200",
        link_text_color_hover_dark="*secondary_200",
        link_text_color_visited_dark="*secondary_200",
    )


def build(studio: Studio, settings: Settings) -> gr.Blocks:
    """The whole demo."""
    steps = Steps(studio, settings.quota)
    parts = Parts(settings.presence)
    with Page(title="ReSeFa", delete_cache=(600, int(KEPT_SECONDS))) as page:
        parts["sent"] = gr.JSON(visible=False)
        parts["visit"] = gr.State(None, time_to_live=_IDLE_SECONDS)
        widget("skip", elem_id="skip")
        gr.Markdown(_TITLE, elem_id="title")
        with gr.Row(elem_id="work"):
            with gr.Column(scale=9, min_width=320, elem_id="left"):
                first = studio.generator(studio.names[0])
                parts["picker"] = widget("picker", {"credit": credit_of(first)}, elem_id="picker")
                parts["one_click"] = widget("one_click", elem_id="one-click")
                parts["viewer"] = widget("viewer", elem_id="viewer")
                parts["history"] = widget("history", elem_id="history")
            with gr.Column(scale=14, min_width=320, elem_id="right"):
                parts["status"] = widget("status", said("Drawing a picture"), elem_id="status")
                parts["background"] = widget("status", said(""), elem_id="background")
                parts["offer"] = gr.Button(
                    "Use the new directions", visible="hidden", size="sm", elem_id="offer"
                )
                parts["directions"] = widget("directions", elem_id="directions")
                parts["faces"] = widget("faces", elem_id="faces")
                _face_controls(parts, studio, settings)
                _confine_controls(parts)
                _advanced(parts, studio)
        with gr.Tabs():
            with gr.Tab("Other pictures"):
                parts["others_shown"] = gr.Checkbox(
                    False,
                    label="Move other pictures along",
                    info=f"The next {NUM_OTHERS}, before and with the same edit. Click one to go on there",
                )
                parts["others"] = widget("pictures", {"images": []}, elem_id="others")
                gr.Markdown(
                    "What is found on one picture may not suit others; what is found on several together "
                    "does."
                )
                with gr.Row():
                    parts["joint"] = gr.Slider(
                        2,
                        JOINT_FOR_VISITORS,
                        SAMPLES_TO_SHARE,
                        step=1,
                        label="Pictures",
                        info="This one and the next. More of them take longer, and carry over better",
                    )
                    generalize = gr.Button(
                        "Find ways that hold on all of them", elem_id="generalize", min_width=360, scale=0
                    )
            with gr.Tab("Compare methods"):
                gr.Markdown(
                    "The first direction that each method finds for the part that is chosen, and what it "
                    "changes: the darker, the more."
                )
                compare = gr.Button("Compare methods on this part", elem_id="compare", scale=0, min_width=310)
                parts["compared_status"] = widget("status", said(""), elem_id="compared-status")
                parts["compared"] = widget("compared", elem_id="compared")
            with gr.Tab("Save"):
                save = _save(parts)
            with gr.Tab("Open"):
                parts["upload"] = gr.File(
                    label="Direction file",
                    file_types=list(DIRECTION_SUFFIXES),
                    type="filepath",
                    height=170,
                )
                fetch_nothing(parts["upload"])
                with gr.Row():
                    parts["file_space"] = gr.Dropdown(
                        [("as the file says", ""), *SPACES],
                        value="",
                        label="Space",
                        info="Of another project's file that does not say it, mostly w",
                    )
                    parts["file_layers"] = gr.Textbox(
                        label="Layers", placeholder="all", info="That it moves, such as 0-7"
                    )
            paste = photos.add_photos(parts) if settings.photos else None
            sharing = add_sharing(parts, settings.on_space)
        with gr.Group():
            parts["card"] = widget("details", elem_id="card", visible="hidden", padding=True)
            parts["usable"] = gr.Button(
                "Use these directions", visible="hidden", variant="primary", elem_id="use"
            )
        add_endpoints(studio, settings.folder, settings.presence, settings.quota)
        _listen(page, parts, steps, generalize)
        parts.step(parts["viewer"].input, steps.film, changes=("viewer",), ordered=False)
        compared = ("compared", "compared_status")
        parts.step(compare.click, steps.compare, changes=compared, ordered=False)
        parts.step(parts["compared_status"].input, steps.stop_comparing, changes=compared)
        parts.step(
            save.click,
            partial(steps.save, folder=settings.folder),
            "directions",
            "title",
            "author",
            "license",
        )
        sharing.listen(parts, steps)
        if paste is not None:
            photos.listen(parts, paste, steps, settings.folder)
    return page


def _face_controls(parts: Parts, studio: Studio, settings: Settings) -> None:
    with gr.Row(elem_id="face"):
        parts["seed"] = gr.Number(
            FIRST_SEED,
            label="Number of the picture",
            precision=0,
            minimum=0,
            maximum=SEEDS - 1,
            min_width=100,
            elem_id="seed",
        )
        parts["random"] = gr.Button("Random picture", min_width=110, elem_id="random")
        parts["surprise"] = gr.Button("Surprise me", min_width=110, elem_id="surprise")
    parts["generator"] = _choice(
        studio.names,
        value=studio.names[0],
        label="Generator",
        visible=len(studio.names) > 1 or settings.checkpoints,
        allow_custom_value=settings.checkpoints,
    )
    parts["class"] = gr.Textbox("", label="Class", visible="hidden", max_length=100)
    if settings.checkpoints:
        parts["checkpoint"] = gr.File(label="Generator's file", type="filepath", height=120)
        fetch_nothing(parts["checkpoint"])


def _confine_controls(parts: Parts) -> None:
    with gr.Group():
        parts["confine"] = gr.Checkbox(
            False,
            label="Confine edits to the region",
            info="Ways to change it that leave the rest alone almost perfectly; takes a second",
            elem_id="confine",
        )
        parts["feather"] = gr.Slider(
            *FEATHERS, CONFINED_FEATHER, step=0.01, label="Soft edge", info="Of the region", elem_id="feather"
        )


def _advanced(parts: Parts, studio: Studio) -> None:
    first = studio.generator(studio.names[0])
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        parts["truncation"] = gr.Slider(
            0.0,
            1.0,
            TRUNCATION,
            step=0.05,
            label="Variety (truncation)",
            info="How far pictures go from the average of all, which is 0",
        )
        parts["method"] = _choice(
            [(method_title(key), key) for key in studio.methods(first)],
            value=OURS,
            label="Method",
            info="How directions are found: ours, or those of others to compare with",
            elem_id="method",
        )
        parts["about_method"] = widget("details", about_method(OURS), elem_id="about-method")
        parts["parameters"] = widget("parameters", fields_of(OURS, {}), elem_id="parameters")


def _choice(*args: Any, **options: Any) -> gr.Dropdown:
    """A choice that steps check: Gradio would answer others than it offers with what was sent."""
    field = gr.Dropdown(*args, **options)
    field.preprocess = lambda payload: payload  # type: ignore[method-assign]
    return field


def _save(parts: Parts) -> gr.Button:
    gr.Markdown("The ticked directions, under these names, and the picture as it is.")
    widget("keeping", elem_id="keeping")
    with gr.Row():
        parts["title"] = gr.Textbox("", label="Title", max_length=100, elem_id="file-title")
        parts["author"] = gr.Textbox("", label="Author", max_length=100)
        parts["license"] = gr.Textbox("", label="License", max_length=60, placeholder="cc-by-4.0")
    save = gr.Button("Make the files", variant="primary", elem_id="save")
    parts["files"] = gr.File(label="Files", file_count="multiple", interactive=False, visible="hidden")
    return save


def _listen(page: gr.Blocks, parts: Parts, steps: Steps, generalize: gr.Button) -> None:
    async def arrive(request: gr.Request, kept: object) -> AsyncIterator[dict[Any, Any]]:
        visit = Visit()
        yield {parts["visit"]: visit}
        async for update in parts.taken(request, visit, steps.arrive, dict(request.query_params), kept):
            yield parts.show(update)
        yield {parts["visit"]: visit}

    script = f"() => {{ ({_NAMED_BY_THEIR_TEXT})(); return ({_KEPT})(); }}"
    loaded = page.load(arrive, inputs=parts["sent"], js=script, outputs=parts.shown, **parts.options())
    face = ("generator", "seed", "truncation", "class")
    shown = ("directions", "picker", "offer", "background", "history")
    drawn = [
        parts.step(parts["seed"].submit, steps.draw, *face, script=_SEED_TYPED),
        parts.step(parts["seed"].blur, steps.leave_seed, *face, script=_SEED_LEFT),
    ]
    drawn += [
        parts.step(listen, steps.draw, *face)
        for listen in (
            parts["truncation"].input,
            parts["generator"].input,
            parts["class"].submit,
        )
    ]
    drawn.append(parts.step(parts["random"].click, steps.draw_random, *face))
    drawn.append(parts.step(parts["surprise"].click, steps.surprise, *face))
    travelled = parts.step(parts["history"].input, steps.travel, "back")
    chosen = ("faces", "generator", "truncation", "class")
    drawn.append(parts.step(parts["faces"].input, steps.choose_face, *chosen))
    drawn.append(parts.step(parts["others"].select, steps.carry_to, "others"))
    if "checkpoint" in parts:
        drawn.append(parts.step(parts["checkpoint"].upload, steps.open_checkpoint, "checkpoint"))
    if "photo" in parts:
        drawn.append(parts.step(parts["photo"].upload, steps.find_photo, "photo", "photo_face"))
        drawn.append(parts.step(parts["points"].input, steps.place_face, "points"))
    method = parts.step(
        parts["method"].input, steps.choose_method, "method", changes=("about_method", "parameters", *shown)
    )
    tuned = parts.step(parts["parameters"].input, steps.choose_parameters, "parameters", changes=shown)
    parts.step(parts["status"].input, steps.stop, changes=("directions",))
    parts.step(parts["background"].input, steps.stop_behind, changes=("background",))
    picked = parts.step(parts["picker"].release, steps.pick, "picker", changes=shown)
    confined = [
        parts.step(listen, steps.confine, "confine", "feather", changes=("parameters", *shown))
        for listen in (parts["confine"].input, parts["feather"].input)
    ]
    for event in (loaded, *drawn, travelled, method, tuned, *confined):
        parts.step(event.then, steps.analyse, ordered=False)
    parts.step_at_once(parts["directions"].input, steps.slide, "directions", changes=("picker",))
    rest = parts.step(parts["directions"].select, steps.show_rest, changes=shown)
    parts.step(parts["directions"].release, steps.rest, "directions", changes=("history",))
    moved: dict[str, Any] = {"changes": ("others",), "ordered": False}
    for listen in (parts["directions"].release, parts["others_shown"].input):
        parts.step(listen, steps.others, "others_shown", "directions", **moved)
    taken = parts.step(parts["offer"].click, steps.take_finer)
    clicked = parts.step(parts["one_click"].input, steps.edit_at_once, "one_click", changes=shown)
    parts.step(parts["one_click"].select, steps.keep_for_one_click, "row", changes=("one_click",))
    joint = parts.step(generalize.click, steps.generalize, "joint")
    read = ("upload", "file_space", "file_layers")
    for event in (parts["upload"].upload, parts["file_space"].input, parts["file_layers"].submit):
        parts.step(event, steps.open_file, *read)
    used = parts.step(parts["usable"].click, steps.use)
    for event in (*drawn, travelled, method, tuned, picked, rest, *confined, taken, clicked, joint, used):
        parts.step(event.then, steps.others, "others_shown", **moved)


def _fit(name: str, value: Any) -> Any:
    """What a step says of a part, as Gradio wants it."""
    if name == "picker" and value.get("image") == value.get("before"):
        return {key: each for key, each in value.items() if key != "image"}
    if name in ("offer", "usable"):
        return gr.update(visible=_seen(value))
    if name == "confine":
        return gr.update(**{**value, "visible": _seen(value["visible"])})
    if name == "card":
        return gr.update(value=value, visible=_seen(value is not None))
    if name == "class":
        return gr.update(visible=_seen(value["visible"]), placeholder=value["hint"])
    if name == "files":
        return gr.update(value=value, visible=True)
    if name == "photo_files":
        return gr.update(value=value, visible=_seen(value is not None))
    if name in ("method", "generator") and isinstance(value, dict):
        return gr.update(**value)
    if name == "found":
        return gr.update(choices=value, value=value[0][1] if value else None)
    return value


def _seen(wanted: object) -> Literal[True, "hidden"]:
    """Whether a part is seen. It stays on the page either way: while Gradio puts one there or takes it away,
    updates of others may be lost."""
    return True if wanted else "hidden"
