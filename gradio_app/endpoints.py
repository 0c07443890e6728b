"""The demo's steps for programs: `gradio_client`, plain HTTP, and agents that use MCP tools."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
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
from gradio_app.studio import DIRECTIONS_FOR_VISITORS, Studio
from gradio_app.updates import explained
from resefa_core.defaults import CONFINED_FEATHER, FEATHERS, NUM_DIRECTIONS, TRUNCATION
from resefa_core.directions import about
from resefa_core.errors import named
from resefa_core.kinds import DIRECTION_SUFFIXES
from resefa_core.latents.samples import SEEDS
from resefa_core.progress import Progress
from resefa_core.session import Session
from resefa_core.session.finding import OURS

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


def add_endpoints(studio: Studio, folder: Path, presence: Presence, quota: Quota) -> None:
    """Add them to the page, where nothing of them is seen."""

    def draw_face(
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
        return picture(request, opened_face(seed, truncation, generator, class_name).before)

    def find_directions(
        request: gr.Request,
        seed: float = 0,
        truncation: float = TRUNCATION,
        region: str = "mouth",
        layered: bool = True,
        count: float = NUM_DIRECTIONS,
        generator: str = "",
        class_name: str = "",
        method: str = OURS,
    ) -> tuple[str, dict[str, Any]]:
        """Find directions that change a region of an image and leave the rest alone.

        Args:
            seed: of the image, a whole number from 0 to 4294967295.
            truncation: of the image, from 0 to 1.
            region: a part or preset by name, "box:NAME", or "x,y,width,height" in fractions of the image.
            layered: let resefa analyse every layer by itself: slower, and edits stay closer in place.
            count: how many directions, from 1 to 32.
            generator: a generator's name; for nothing the first, of those that come along avatars.
            class_name: a class's name or number, for generators that have classes.
            method: resefa, resefa-confined, paper, published, sefa, ganspace, lowrankgan, or stylespace.

        Returns:
            A direction file (safetensors), each direction's mean squared change inside and outside, and a
            link to the page that shows them.
        """
        session = opened_face(seed, truncation, generator, class_name)
        part = resefa.Selection.meant(str(region), session.part_names)
        place = session.region(str(region)) if part is None else part  # parts are looked for in turn
        number = int(payloads.read_number(count, 1, DIRECTIONS_FOR_VISITORS, "count"))
        quick = not layered and method in (OURS, resefa.CONFINED)

        def find(report: Progress) -> resefa.Directions:
            steady = report if quick else studio.giving_way(report)
            return session.find(place, method=str(method), count=number, quick=quick, progress=steady)

        line = studio.lines.methods if method not in (OURS, resefa.CONFINED) else studio.lines.layers
        line = studio.lines.faces if quick else line
        directions = jobs.finished(jobs.run_in_turn(line, address_from(request), find))
        quota.charge(address_from(request), directions.vectors.nbytes)
        file = fresh_folder(folder) / "directions.safetensors"
        directions.save(file)
        squares = (
            directions.steps.square() * directions.inside,
            directions.steps.square() * directions.outside,
        )
        table = [
            {"name": name, "inside": float(inside), "outside": float(outside)}
            for name, inside, outside in zip(directions.names, *squares, strict=True)
        ]
        report = {"space": directions.space, "method": directions.method, "directions": table}
        return str(file), report | {"link": link(request, session, generator, class_name, str(method))}

    def apply_directions(
        request: gr.Request,
        file: str,
        strengths: str,
        seed: float = 0,
        truncation: float = TRUNCATION,
        confine: bool = False,
        feather: float = CONFINED_FEATHER,
        generator: str = "",
        class_name: str = "",
    ) -> Image.Image:
        """Edit an image along the directions of a file.

        Args:
            file: a direction file; of another project, one that says its space.
            strengths: JSON: a list of numbers from -6 to 6, one for each direction, or an object from names.
            seed: of the image, a whole number from 0 to 4294967295.
            truncation: of the image, from 0 to 1.
            confine: let the codes move inside the directions' region only, as resefa-confined always does.
            feather: softness of a confined edit's edge, from 0 to 0.2.
            generator: a generator's name; for nothing the first, of those that come along avatars.
            class_name: a class's name or number, for generators that have classes.

        Returns:
            The edited image.
        """
        directions = opened(file, generator)
        session = opened_face(seed, truncation, generator, class_name)
        softness = payloads.read_number(feather, *FEATHERS, "feather")
        asked = (None, None) if directions.confined else (float(confine), softness)
        moved = _read_strengths(strengths, directions.strength_range)
        session.edit(directions, moved, confine=asked[0], feather=asked[1])
        return picture(request, session.image)

    def show_directions(
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
        directions = opened(file, generator)
        session = opened_face(seed, truncation, generator, class_name)
        directions.check(session.generator)
        sheet = strips_of(session, directions)
        quota.charge(address_from(request), 3 * sheet.width * sheet.height)
        return sheet

    def describe_directions(request: gr.Request, file: str, generator: str = "") -> dict[str, str]:
        """Tell what a direction file holds, and whether it fits a generator.

        Args:
            file: a direction file; of another project, one that says its space.
            generator: a generator's name; for nothing the first, of those that come along avatars.

        Returns:
            Its title, author, licence, what it was made for, the directions' names, and whether it fits.
        """
        directions = opened(file, generator)
        fit = about.fit(directions, studio.generator(generator or studio.unnamed))
        return dict(about.rows(directions, fitting=fit))

    def link(request: gr.Request, session: Session, generator: str, class_name: str, method: str) -> str:
        """The address of the page that shows a session."""
        others = {"class": class_name, "method": "" if method in (OURS, resefa.CONFINED) else method}
        if generator and generator != studio.unnamed:
            others["generator"] = generator
        if method == resefa.CONFINED:
            others["confine"] = f"{CONFINED_FEATHER:g}"
        query, _ = links.write(session, True, **others)
        page = "" if request.request is None else str(request.request.base_url)
        return f"{page}{query}"

    def picture(request: gr.Request, pixels: Tensor) -> Image.Image:
        quota.charge(address_from(request), pixels.nbytes)  # more than the file has
        return resefa.to_pil(pixels)

    def opened_face(seed: object, truncation: object, generator: object, class_name: object) -> Session:
        number = int(payloads.read_number(seed, 0, SEEDS - 1, "seed"))
        psi = payloads.read_number(truncation, 0.0, 1.0, "truncation")
        return studio.session(str(generator or studio.unnamed), number, psi, str(class_name or ""))

    def opened(file: object, generator: str) -> resefa.Directions:
        if not isinstance(file, str):
            raise resefa.ParameterError("a direction file was expected")
        num_layers = studio.generator(generator or studio.unnamed).num_layers
        with named(file):
            return resefa.Directions.load(file, num_layers=num_layers)

    def number(label: str, value: float) -> gr.Number:
        return gr.Number(value, label=label)

    def text(label: str, value: str = "") -> gr.Textbox:
        return gr.Textbox(value, label=label)

    def add(
        endpoint: Callable[..., Outcome],
        inputs: list[Any],
        outputs: list[Any],
    ) -> None:
        gr.Button(visible=False).click(
            _plainly(endpoint, presence),
            inputs,
            outputs,
            api_name=endpoint.__name__,
            concurrency_id="programs",
            concurrency_limit=_AT_ONCE,
        )

    with gr.Row(visible=False):
        seed, truncation = number("seed", 0), number("truncation", TRUNCATION)
        generator, class_name = text("generator"), text("class_name")
        file = _file_field(folder)
        image, table = gr.Image(label="image", type="pil", format="png"), gr.JSON(label="report")
        made = gr.File(label="directions")
        add(draw_face, [seed, truncation, generator, class_name], [image])
        region, layered = text("region", "mouth"), gr.Checkbox(True, label="layered")
        count = number("count", NUM_DIRECTIONS)
        add(
            find_directions,
            [seed, truncation, region, layered, count, generator, class_name, text("method", OURS)],
            [made, table],
        )
        confine, feather = gr.Checkbox(False, label="confine"), number("feather", CONFINED_FEATHER)
        add(
            apply_directions,
            [file, text("strengths"), seed, truncation, confine, feather, generator, class_name],
            [image],
        )
        add(show_directions, [file, seed, truncation, generator, class_name], [image])
        add(describe_directions, [file, generator], [table])


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
