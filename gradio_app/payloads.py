"""What goes to browsers and comes back from them. Nothing that comes is trusted."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard
from urllib.parse import urlencode

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

import resefa_core as resefa

LARGEST_SEED = 2**32 - 1

_PICTURE_SIDE = 512
_EXACT_SIDE = 128
_EDITED_SIDE = 512
_MASK_SIDE = 512
_MASK_TEXT = 200_000
_PNG_URL = "data:image/png;base64,"
_SHOWN_MASK_SIDE = 128
_DRAW = "draw a box on the picture, or paint over it"


def read_region(payload: object, presets: Mapping[str, resefa.Region]) -> resefa.Region:
    """The region that a browser sent: `{"box": [x, y, width, height]}` in fractions, `{"preset": name}`,
    or `{"mask": "data:image/png;base64,…"}`.

    Raises:
        RegionError: it is anything else, or no region.
    """
    if not isinstance(payload, Mapping):
        raise resefa.RegionError(_DRAW)
    box, preset, mask = payload.get("box"), payload.get("preset"), payload.get("mask")
    if isinstance(box, list) and len(box) == 4 and all(_is_number(each) for each in box):
        return resefa.Region.from_box(*box)
    if isinstance(preset, str):
        if preset not in presets:
            raise resefa.RegionError(f"there is no preset {preset[:40]!r} for this generator: {_DRAW}")
        return presets[preset]
    if isinstance(mask, str):
        return resefa.Region.from_mask(_read_mask(mask))
    raise resefa.RegionError(_DRAW)


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
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return {"mask": _PNG_URL + base64.b64encode(buffer.getvalue()).decode("ascii")}


def read_strengths(payload: object, version: int, count: int, largest: float) -> dict[int, float] | None:
    """The sliders that a browser sent, as strengths by direction; None if they are not of this version of the
    directions, or make no sense."""
    if not _is_of(payload, version):
        return None
    sent = payload.get("strengths")
    if not isinstance(sent, list) or len(sent) > count:
        return None
    strengths = {}
    for index, value in enumerate(sent):
        if not _is_number(value) or value in (math.inf, -math.inf) or value != value:
            return None
        if value:
            strengths[index] = float(max(-largest, min(largest, value)))
    return strengths


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
        shown = repr(value)[:40] if isinstance(value, (int, float, str)) else type(value).__name__
        raise resefa.ParameterError(f"{what} {shown}: expected a number from {low:.10g} to {high:.10g}")
    return float(value)


def read_turn(payload: object, before: int) -> int:
    """The count of the regions that a browser has sent, to tell it later which one an answer is to; the one
    before if it is none."""
    sent = payload.get("turn") if isinstance(payload, Mapping) else None
    return sent if type(sent) is int and 0 <= sent <= LARGEST_SEED else before


def read_link(query: Mapping[str, str]) -> dict[str, Any]:
    """What a link asks for; whatever makes no sense in it is left out.

    Example:
        >>> read_link({"seed": "7", "truncation": "2000", "box": "0.2,0.5,0.3,0.1"})
        {'seed': 7, 'region': {'box': [0.2, 0.5, 0.3, 0.1]}}
    """
    asked: dict[str, Any] = {}
    seed, truncation, box = (query.get(key, "")[:100] for key in ("seed", "truncation", "box"))
    if seed.isascii() and seed.isdigit() and int(seed) <= LARGEST_SEED:
        asked["seed"] = int(seed)
    psi = _float(truncation)
    if psi is not None and 0.0 <= psi <= 1.0:
        asked["truncation"] = psi
    numbers = [_float(part) for part in box.split(",")]
    if len(numbers) == 4 and None not in numbers:
        asked["region"] = {"box": numbers}
    elif query.get("region"):
        asked["region"] = {"preset": query["region"][:40]}
    for key in ("generator", "class", "method"):
        if query.get(key):
            asked[key] = query[key][:100]
    return asked


def write_link(seed: int, truncation: float, drawn: Mapping[str, Any] | None, **others: str) -> str:
    """The query of a link to this state; painted masks are too long for one."""
    query = {"seed": str(seed), "truncation": f"{truncation:g}"}
    if drawn and isinstance(drawn.get("box"), list):
        query["box"] = ",".join(f"{number:.4g}" for number in drawn["box"])
    elif drawn and isinstance(drawn.get("preset"), str):
        query["region"] = drawn["preset"]
    query.update({key: value for key, value in others.items() if value})
    return "?" + urlencode(query, safe=",")


def data_url(picture: Image.Image) -> str:
    """A picture as text for a browser; large ones are made smaller, small ones are kept to the pixel."""
    if max(picture.size) > _PICTURE_SIDE and picture.width <= 2 * picture.height:
        picture = picture.copy()
        picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    buffer = io.BytesIO()
    if max(picture.size) <= _EXACT_SIDE:
        picture.save(buffer, "WEBP", lossless=True, method=0, quality=20)
    else:
        picture.save(buffer, "WEBP", quality=92, method=0)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


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


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read_mask(text: str) -> Image.Image:
    unreadable = "the painted mask can't be read: paint it again"
    if len(text) > _MASK_TEXT or not text.startswith(_PNG_URL):
        raise resefa.RegionError(unreadable)
    try:
        data = base64.b64decode(text[len(_PNG_URL) :], validate=True)
        picture = Image.open(io.BytesIO(data), formats=["PNG"])
        if max(picture.size) > _MASK_SIDE:
            raise resefa.RegionError(
                f"the painted mask has {picture.size} pixels: at most {_MASK_SIDE} a side"
            )
        return picture.convert("L")
    except (ValueError, OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise resefa.RegionError(unreadable) from error
