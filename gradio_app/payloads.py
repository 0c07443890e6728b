"""What goes to browsers and comes back from them. Nothing that comes is trusted."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import resefa_core as resefa
from resefa_core.latents.samples import SEEDS
from resefa_core.regions import MOST_CLICKS
from resefa_core.sheets import differences, png_chunks, png_of

_PICTURE_SIDE = 512
_EXACT_SIDE = 128
_QUALITY = 92
_EDITED_SIDE = 512
_SHOWN_MASK_SIDE = 128
_LONGEST_PART = 1000

Picks = tuple[tuple[resefa.Selection, bool], ...]
"""Parts that are yet to be found, and whether each is added or taken away; the first is added."""


def read_region(payload: object, family: str = "") -> resefa.Region | Picks:
    """The region that a browser sent: `{"box": [x, y, width, height]}` in fractions, `{"preset": name}`,
    or `{"mask": "data:image/png;base64,…"}`; or the parts that `{"part": text}` or
    `{"parts": [[text, whether it is added], …]}` select, which are yet to be found.

    Args:
        family: whose presets there are.

    Raises:
        RegionError: it is anything else, or no region.
    """
    part, parts = (payload.get(key) if isinstance(payload, Mapping) else None for key in ("part", "parts"))
    if isinstance(part, str):
        return ((resefa.Selection.from_text(part[:_LONGEST_PART]), True),)
    if isinstance(parts, list):
        return _picks(parts)
    kinds = ("box", "preset", "mask")
    drawn = {kind: payload[kind] for kind in kinds if kind in payload} if isinstance(payload, Mapping) else {}
    if not drawn:
        raise resefa.RegionError("draw a box on the picture, paint over it, or click a part")
    return resefa.Region.from_json(drawn, family=family)


def _picks(parts: list[object]) -> Picks:
    picks = []
    for each in parts[:MOST_CLICKS]:
        if not (isinstance(each, list) and len(each) == 2):
            raise resefa.RegionError(f"a part {shown(each)}: expected its text, and whether it is added")
        text, add = each
        if not isinstance(text, str) or not isinstance(add, bool):
            raise resefa.RegionError(f"a part {shown(text)}: expected its text, and whether it is added")
        picks.append((resefa.Selection.from_text(text[:_LONGEST_PART]), add))
    if not picks or not picks[0][1]:
        raise resefa.RegionError("click a part first, then take others away from it")
    return tuple(picks)


def show_choices(choices: Mapping[str, resefa.Region]) -> dict[str, Any]:
    """What can be pointed at on a face: names, the texts that select them, and a picture of all masks, one
    below the other."""
    side = _SHOWN_MASK_SIDE
    masks = [region.mask(side, side, check=False).numpy() >= 0.5 for region in choices.values()]
    picture = Image.fromarray(np.concatenate([*masks, np.zeros((1, side), dtype=bool)]))
    return {
        "names": list(choices),
        "texts": [region.selections[0].to_text() for region in choices.values()],
        "masks": png_url(png_of(picture)),
    }


def show_presets(presets: Mapping[str, resefa.Region], parts: Collection[str]) -> dict[str, Any]:
    """What a page takes for each preset: the text of the part that its name is, or else its box.

    Args:
        parts: the names of the generator's parts.
    """
    meant = {name: resefa.Selection.meant(name, parts) for name in presets}
    return {
        name: show_region(region) if (part := meant[name]) is None else {"part": part.to_text()}
        for name, region in presets.items()
    }


def show_region(region: resefa.Region | None) -> dict[str, Any] | None:
    """A region as the page draws it: its box, or else its mask."""
    if region is None:
        return None
    parts = region.to_json()
    if set(parts) == {"box"}:
        return {"box": parts["box"]}
    mask = region.mask(_SHOWN_MASK_SIDE, _SHOWN_MASK_SIDE, check=False)
    weights = (mask * 255.0).round().to(torch.uint8).numpy()
    white = np.full_like(weights, 255)
    picture = Image.fromarray(np.stack([white, white, white, weights], axis=2), "RGBA")
    return {"mask": png_url(png_of(picture))}


def read_strengths(
    payload: object, version: int, count: int, within: tuple[float, float]
) -> dict[int | str, float] | None:
    """The sliders that a browser sent, as strengths of a range by direction; None if they are not of this
    version of the directions, or make no sense."""
    low, high = within
    if not _is_of(payload, version):
        return None
    sent = payload.get("strengths")
    if not isinstance(sent, list) or len(sent) > count:
        return None
    strengths: dict[int | str, float] = {}
    for index, value in enumerate(sent):
        if not _is_number(value) or value in (math.inf, -math.inf) or value != value:
            return None
        if value:
            strengths[index] = float(max(low, min(high, value)))
    return strengths


def read_row(payload: object, version: int, directions: resefa.Directions) -> tuple[int, float]:
    """Which of the directions a browser means, and where its slider is.

    Raises:
        ParameterError: it means none of this version of the directions.
    """
    if _is_of(payload, version):
        index, strength = payload.get("index"), payload.get("strength")
        low, high = directions.strength_range
        if type(index) is int and 0 <= index < len(directions) and _is_number(strength):
            return index, read_number(strength, min(0.0, low), max(0.0, high), "strength")
    raise resefa.ParameterError("these directions are not shown any more: try that again")


def read_touched(payload: object) -> bool:
    """Whether a browser says that the visitor named, ticked or otherwise touched directions."""
    return isinstance(payload, Mapping) and payload.get("touched") is True


def read_choice(payload: object, version: int, directions: resefa.Directions) -> resefa.Directions:
    """The directions that a visitor keeps, under the names that they were given.

    Raises:
        ParameterError: none is kept, or a name is too long or used twice.
    """
    if not _is_of(payload, version):
        return directions
    names, kept = payload.get("names"), payload.get("kept")
    if isinstance(names, list):
        given = {
            i: " ".join(name.split())
            for i, name in enumerate(names[: len(directions)])
            if isinstance(name, str)
        }
        directions = directions.renamed({i: name for i, name in given.items() if name})
    if isinstance(kept, list):
        shown = len(kept)
        chosen = [i for i in range(len(directions)) if i >= shown or kept[i] is True]
        if not chosen:
            raise resefa.ParameterError("no direction is ticked: tick those to keep")
        directions = directions[chosen]
    return directions


def read_number(value: object, low: float, high: float, what: str) -> float:
    """A finite number of a range.

    Raises:
        ParameterError: it is something else.
    """
    if not _is_number(value) or not low <= value <= high:
        raise resefa.ParameterError(
            f"{what} {shown(value)}: expected a number from {low:.10g} to {high:.10g}"
        )
    return float(value)


def read_parameters(payload: object) -> tuple[str, dict[str, object]]:
    """The method whose fields a browser sent, and what stands in those that are not empty: numbers, or what
    is none, which the method refuses."""
    sent = payload if isinstance(payload, Mapping) else {}
    values = sent.get("values")
    given = values if isinstance(values, Mapping) else {}
    filled = {name: value for name, value in given.items() if not isinstance(value, str) or value.strip()}
    return str(sent.get("method")), {str(name): _as_number(value) for name, value in filled.items()}


def _as_number(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def shown(value: object) -> str:
    """A value that was sent, as messages quote it."""
    return repr(value)[:40] if isinstance(value, (int, float, str)) else type(value).__name__


def read_turn(payload: object, before: int) -> int:
    """The count of the regions that a browser has sent, to tell it later which one an answer is to; the one
    before if it is none."""
    sent = payload.get("turn") if isinstance(payload, Mapping) else None
    return sent if type(sent) is int and 0 <= sent < SEEDS else before


def read_index(payload: object, count: int) -> int | None:
    """Which of so many edits a browser asks to remove; None if it asks for none of them."""
    sent = payload.get("remove") if isinstance(payload, Mapping) else None
    return sent if type(sent) is int and 0 <= sent < count else None


def png_url(data: bytes) -> str:
    """A PNG as text for a browser."""
    return file_url(data, "image/png")


def file_url(data: bytes, kind: str) -> str:
    """A file's content as text for a browser.

    Args:
        kind: such as `image/png`.
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def mark(texts: Mapping[str, str]) -> str:
    """What a browser puts into PNGs that it makes itself, after their header; see `png_chunks`."""
    return base64.b64encode(png_chunks(texts)).decode("ascii")


def data_url(picture: Image.Image, quality: int | None = None) -> str:
    """A picture as text for a browser; large ones are made smaller, small ones are kept to the pixel.

    Args:
        quality: of WEBP, for pictures that need not be exact.
    """
    if max(picture.size) > _PICTURE_SIDE and picture.width <= 2 * picture.height:
        picture = picture.copy()
        picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    buffer = io.BytesIO()
    if quality is not None:
        picture.save(buffer, "WEBP", quality=quality, method=6)
    elif max(picture.size) <= _EXACT_SIDE:
        picture.save(buffer, "WEBP", lossless=True, method=0, quality=20)
    else:
        picture.save(buffer, "WEBP", quality=_QUALITY, method=0)
    return file_url(buffer.getvalue(), "image/webp")


def change_map(before: Tensor, after: Tensor) -> Image.Image:
    """Where one image `(3, H, W)` differs from another: white where it does not, dark where it does much."""
    shades = 255.0 * (1.0 - differences(before[None], after[None])[0].cpu())
    return Image.fromarray(shades.round().to(torch.uint8).numpy(), "L").convert("RGB")


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of equal size in a row, small ones enlarged."""
    width, height = pictures[0].size
    scale = max(1, -(-_EDITED_SIDE // max(width, height)))
    row = Image.new("RGB", (width * scale * len(pictures), height * scale))
    for index, picture in enumerate(pictures):
        large = picture.resize((width * scale, height * scale), Image.Resampling.BICUBIC)
        row.paste(large, (index * width * scale, 0))
    return row


def _is_of(payload: object, version: int) -> TypeGuard[Mapping[str, Any]]:
    """Whether a browser sent it of this version of the directions."""
    if not isinstance(payload, Mapping):
        return False
    sent = payload.get("version")
    return _is_number(sent) and sent == version


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
