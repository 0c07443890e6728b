"""The demo's steps for programs: `gradio_client`, plain HTTP, and agents that use MCP tools."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from anyio.to_thread import run_sync
from gradio_client.utils import is_http_url_like
from PIL import Image
from torch import Tensor

import resefa_core as resefa
from gradio_app import jobs, links, payloads
from gradio_app.files import fresh_folder
from gradio_app.presence import Presence, address_from
from gradio_app.quota import Quota
from gradio_app.steps.showing import strips_of
from gradio_app.studio import DIRECTIONS_FOR_VISITORS, JOINT_FOR_VISITORS, Studio
from gradio_app.updates import explained
from resefa_core.defaults import CONFINED_FEATHER, FEATHERS, NUM_DIRECTIONS, TRUNCATION
from resefa_core.directions import about
from resefa_core.errors import named
from resefa_core.kinds import DIRECTION_SUFFIXES
from resefa_core.latents.samples import SEEDS
from resefa_core.parsing import parse_confine, parse_parameters
from resefa_core.progress import Progress
from resefa_core.session import Session
from resefa_core.session.finding import OURS, method_for

Outcome = Any

_AT_ONCE = 16
_PATIENCE = 30.0
_SERVED = "/gradio_api/file="


def _plainly(endpoint: Callable[..., Outcome], presence: Presence) -> Callable[..., Awaitable[Outcome]]:
    """Work for callers who listen; tell them the project's own errors; others go to the log alone."""

    @functools.wraps(endpoint)
    async def plainly(request: gr.Request, *args: Any) -> Outcome:
        if not await presence.comes(str(request.session_hash), _PATIENCE):
            raise gr.Error("nobody listens to the answer", print_exception=False)
        try:
            return await run_sync(endpoint, request, *args)
        except Exception as error:
            words = explained(error, endpoint.__name__)
            raise gr.Error(words[:500], print_exception=False) from None

    return plainly


def own_file(address: str, folder: Path) -> str | None:
    """The path of a file in a folder, from the address at which the demo serves it; None for other ones."""
    if not address.startswith(("http://", "https://")) or _SERVED not in address:
        return None
    try:
        path = Path(unquote(address.split(_SERVED, 1)[1])).resolve(strict=True)
    except (OSError, ValueError):
        return None
    return str(path) if path.is_relative_to(folder.resolve()) and path.is_file() else None


def _file_field(folder: Path) -> gr.File:
    """A direction file, also by its address if this demo made it: agents pass on addresses."""
    field = gr.File(label="file", type="filepath", file_types=list(DIRECTION_SUFFIXES))
    fetch_nothing(field, folder)
    return field


def fetch_nothing(field: gr.File, folder: Path | None = None) -> None:
    """Let a field take files that are here, by their address if they are in a folder. Gradio would fetch
    those of any public address, however large."""
    take = field.async_move_resource_to_block_cache

    async def take_own(address: str | Path | None) -> str | None:
        own = None if folder is None else own_file(str(address), folder)
        if own is None and is_http_url_like(str(address)):
            raise gr.Error("send the file itself, not an address of it", print_exception=False)
        return await take(own or address)

    field.async_move_resource_to_block_cache = take_own  # type: ignore[assignment, method-assign]


class Endpoints:
    """What programs may ask for: each public method is an endpoint under its name, with its parameters in
    their order, and described by its docstring.

    Args:
        folder: where files are written; see `Settings`.
        quota: of what callers cause to be written.
    """

    def __init__(self, studio: Studio, folder: Path, quota: Quota) -> None:
        self._studio, self._folder, self._quota = studio, folder, quota

    def draw_face(
        self,
        request: gr.Request,
        seed: float = 0,
        truncation: float = TRUNCATION,
        generator: str = "",
        class_name: str = "",
    ) -> Image.Image:
        """Draw an image of a generator.

        Args:
            seed: a whole number from 0 to 4294967295.
            truncation: from 0 (the average image) to 1 (the most varied).
            generator: a generator's name; for nothing the first, of those that come along avatars.
            class_name: a class's name or number, for generators that have classes.

        Returns:
            The image.
        """
        return self._picture(request, self._session(seed, truncation, generator, class_name).before)

    def find_directions(
        self,
        request: gr.Request,
        seed: float = 0,
        truncation: float = TRUNCATION,
        region: str = "mouth",
        layered: bool = True,
        count: float = NUM_DIRECTIONS,
        generator: str = "",
        class_name: str = "",
        method: str = "",
        samples: float = 1,
        confine: float = 0.0,
        parameters: str = "",
        only_good: bool = True,
    ) -> tuple[str, dict[str, Any]]:
        """Find directions that change a region of an image and leave the rest alone.

        Args:
            seed: of the image, a whole number from 0 to 4294967295.
            truncation: of the image, from 0 to 1.
            region: a part or preset by name, "box:NAME", or "x,y,width,height" in fractions of the image.
            layered: let resefa analyse every layer by itself: slower, and edits stay closer in place.
            count: how many directions to look for, from 1 to 32.
            generator: a generator's name; for nothing the first, of those that come along avatars.
            class_name: a class's name or number, for generators that have classes.
            method: resefa, resefa-confined, paper, published, sefa, ganspace, lowrankgan, or stylespace.
            samples: images to solve together, from 1 to 8: 1 for this one, 6 or more to hold on others, too.
            confine: how far edits are to stay inside the region, from 0 to 1; above 0 for resefa-confined.
            parameters: of the method, as NAME=VALUE, separated by commas; for nothing its own.
            only_good: give those of resefa that are worth offering, named by what they change; or else all.

        Returns:
            A direction file (safetensors), each direction's mean squared change inside and outside, the range
            of strengths worth offering, and a link to the page that shows them.
        """
        session = self._session(seed, truncation, generator, class_name)
        studio, address = self._studio, address_from(request)
        part = resefa.Selection.meant(str(region), session.part_names)
        place = session.region(str(region)) if part is None else part  # parts are looked for in turn
        number = int(payloads.read_number(count, 1, DIRECTIONS_FOR_VISITORS, "count"))
        total = int(payloads.read_number(samples, 1, JOINT_FOR_VISITORS, "samples"))
        amount, given = parse_confine(confine), parse_parameters(str(parameters or ""))
        key = method_for(str(method or "") or None, amount)
        ours = key in (OURS, resefa.CONFINED)
        quick = ours and not layered

        def find(report: Progress) -> resefa.Directions:
            steady = report if quick else studio.giving_way(report, bounded=bool(given))
            return session.find(
                place,
                method=key,
                count=number,
                samples=total,
                confine=amount,
                parameters=given,
                quick=quick,
                only_good=only_good is True,
                progress=steady,
            )

        lines = studio.lines
        alone = lines.faces if quick else lines.layers if ours else lines.methods
        line = lines.joint if total > 1 else alone
        directions = jobs.finished(jobs.run_in_turn(line, address, find))
        self._quota.charge(address, directions.vectors.nbytes)
        file = fresh_folder(self._folder) / "directions.safetensors"
        directions.save(file)
        settings = links.settings(
            OURS if ours else key, amount or float(key == resefa.CONFINED), CONFINED_FEATHER, given
        )
        link = self._link(request, session, generator, class_name, settings)
        return str(file), _report(directions) | {"link": link}

    def apply_directions(
        self,
        request: gr.Request,
        file: str,
        strengths: str,
        seed: float = 0,
        truncation: float = TRUNCATION,
        confine: float = 0.0,
        feather: float = CONFINED_FEATHER,
        generator: str = "",
        class_name: str = "",
    ) -> Image.Image:
        """Edit an image along the directions of a file.

        Args:
            file: a direction file; of another project, one that says its space.
            strengths: JSON: a list of numbers of the file's range, for all directions, or an object of names.
            seed: of the image, a whole number from 0 to 4294967295.
            truncation: of the image, from 0 to 1.
            confine: how far edits stay inside the region, from 0 to 1; those of resefa-confined always do.
            feather: softness of a confined edit's edge, from 0 to 0.2.
            generator: a generator's name; for nothing the first, of those that come along avatars.
            class_name: a class's name or number, for generators that have classes.

        Returns:
            The edited image.
        """
        directions = self._opened(file, generator)
        session = self._session(seed, truncation, generator, class_name)
        amount, softness = parse_confine(confine), payloads.read_number(feather, *FEATHERS, "feather")
        asked = (None, None) if directions.confined else (amount, softness)
        moved = _read_strengths(strengths, directions.strength_range)
        session.edit(directions, moved, confine=asked[0], feather=asked[1])
        return self._picture(request, session.image)

    def show_directions(
        self,
        request: gr.Request,
        file: str,
        seed: float = 0,
        truncation: float = TRUNCATION,
        generator: str = "",
        class_name: str = "",
    ) -> Image.Image:
        """Show what the directions of a file do to an image.

        Args:
            file: a direction file; of another project, one that says its space.
            seed: of the image, a whole number from 0 to 4294967295.
            truncation: of the image, from 0 to 1.
            generator: a generator's name; for nothing the first, of those that come along avatars.
            class_name: a class's name or number, for generators that have classes.

        Returns:
            A picture with a strip for each direction, the first at the top.
        """
        directions = self._opened(file, generator)
        session = self._session(seed, truncation, generator, class_name)
        directions.check(session.generator)
        sheet = strips_of(session, directions)
        self._quota.charge(address_from(request), 3 * sheet.width * sheet.height)
        return sheet

    def describe_directions(self, request: gr.Request, file: str, generator: str = "") -> dict[str, str]:
        """Tell what a direction file holds, and whether it fits a generator.

        Args:
            file: a direction file; of another project, one that says its space.
            generator: a generator's name; for nothing the first, of those that come along avatars.

        Returns:
            Its title, author, licence, what it was made for, the directions' names, and whether it fits.
        """
        directions = self._opened(file, generator)
        fit = about.fit(directions, self._generator(generator))
        return dict(about.rows(directions, fitting=fit))

    def _generator(self, name: str) -> resefa.Generator:
        return self._studio.generator(name or self._studio.unnamed)

    def _session(self, seed: object, truncation: object, generator: object, class_name: object) -> Session:
        number = int(payloads.read_number(seed, 0, SEEDS - 1, "seed"))
        psi = payloads.read_number(truncation, 0.0, 1.0, "truncation")
        name = str(generator or self._studio.unnamed)
        return self._studio.session(name, number, psi, str(class_name or ""))

    def _opened(self, file: object, generator: str) -> resefa.Directions:
        if not isinstance(file, str):
            raise resefa.ParameterError("a direction file was expected")
        num_layers = self._generator(generator).num_layers
        with named(file):
            return resefa.Directions.load(file, num_layers=num_layers)

    def _picture(self, request: gr.Request, pixels: Tensor) -> Image.Image:
        self._quota.charge(address_from(request), pixels.nbytes)  # more than the file has
        return resefa.to_pil(pixels)

    def _link(
        self,
        request: gr.Request,
        session: Session,
        generator: str,
        class_name: str,
        settings: Mapping[str, str],
    ) -> str:
        """The address of the page that shows a session."""
        other = generator if generator != self._studio.unnamed else ""
        query, _ = links.write(session, True, **{"class": class_name, "generator": other, **settings})
        page = "" if request.request is None else str(request.request.base_url)
        return f"{page}{query}"


def add_endpoints(studio: Studio, folder: Path, presence: Presence, quota: Quota) -> None:
    """Add them to the page, where nothing of them is seen."""
    endpoints = Endpoints(studio, folder, quota)
    with gr.Row(visible=False):
        fields, outcomes = _fields(folder), _outcomes()
        _add(endpoints.draw_face, presence, fields, outcomes["image"])
        _add(endpoints.find_directions, presence, fields, outcomes["made"], outcomes["report"])
        _add(endpoints.apply_directions, presence, fields, outcomes["image"])
        _add(endpoints.show_directions, presence, fields, outcomes["image"])
        _add(endpoints.describe_directions, presence, fields, outcomes["report"])


def _fields(folder: Path) -> dict[str, gr.components.Component]:
    """What endpoints take, by the names of their parameters."""
    numbers = {"seed": 0, "truncation": TRUNCATION, "count": NUM_DIRECTIONS, "samples": 1}
    numbers |= {"confine": 0.0, "feather": CONFINED_FEATHER}
    texts = {"generator": "", "class_name": "", "region": "mouth", "method": "", "parameters": ""}
    ticks = {"layered": True, "only_good": True}
    fields: dict[str, gr.components.Component] = {
        **{name: gr.Number(value, label=name) for name, value in numbers.items()},
        **{name: gr.Textbox(value, label=name) for name, value in texts.items()},
        **{name: gr.Checkbox(value, label=name) for name, value in ticks.items()},
        "strengths": gr.Textbox("", label="strengths"),
        "file": _file_field(folder),
    }
    either = {"anyOf": [{"type": "number"}, {"type": "boolean"}]}  # earlier callers say whether, not how far
    fields["confine"].api_info = lambda: either  # type: ignore[method-assign]
    return fields


def _outcomes() -> dict[str, gr.components.Component]:
    """What endpoints give."""
    return {
        "image": gr.Image(label="image", type="pil", format="png"),
        "report": gr.JSON(label="report"),
        "made": gr.File(label="directions"),
    }


def _add(
    endpoint: Callable[..., Outcome],
    presence: Presence,
    fields: Mapping[str, gr.components.Component],
    *outcomes: gr.components.Component,
) -> None:
    taken = [name for name in inspect.signature(endpoint).parameters if name != "request"]
    gr.Button(visible=False).click(
        _plainly(endpoint, presence),
        [fields[name] for name in taken],
        list(outcomes),
        api_name=endpoint.__name__,
        concurrency_id="programs",
        concurrency_limit=_AT_ONCE,
    )


def _report(directions: resefa.Directions) -> dict[str, Any]:
    """What directions do, for programs."""
    squares = directions.steps.square()
    changes = (squares * directions.inside, squares * directions.outside)
    table = [
        {"name": name, "inside": float(inside), "outside": float(outside)}
        for name, inside, outside in zip(directions.names, *changes, strict=True)
    ]
    return {
        "space": directions.space,
        "method": directions.method,
        "range": list(directions.strength_range),
        "directions": table,
    }


def _read_strengths(text: object, within: tuple[float, float]) -> dict[int | str, float]:
    """Strengths of a JSON list or object, of a range.

    Raises:
        ParameterError: it is neither, or holds anything but numbers of the range.
    """
    try:
        sent = json.loads(str(text)[:20_000])
    except (ValueError, RecursionError):
        sent = None
    if isinstance(sent, list):
        sent = dict(enumerate(sent))
    if not isinstance(sent, dict):
        raise resefa.ParameterError(
            "strengths: expected a JSON list of numbers, or an object from directions' names to numbers"
        )
    return {key: payloads.read_number(value, *within, "strength") for key, value in sent.items()}
