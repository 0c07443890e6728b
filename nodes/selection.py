"""From what a node's widgets say to a region: a box in pixels, a mask, a preset, and how they combine."""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from .core import resefa

NO_PRESET = "none"
REPLACE, ADD, INTERSECT, SUBTRACT = "replace", "add", "intersect", "subtract"
COMBINE = (REPLACE, ADD, INTERSECT, SUBTRACT)
HERE = "here"
"""What is written in place of a part's name for what lies in the middle of the box."""


def preset_names() -> list[str]:
    """`none`, and every preset as `family/name`."""
    names = [f"{family}/{name}" for family, boxes in resefa.PRESETS.items() for name in boxes]
    return [NO_PRESET, *names]


def region_of_box(box: Mapping[str, Any], width: int, height: int) -> tuple[resefa.Region, str]:
    """A box in pixels of an image as a region, and a note where it had to be cut to fit ("" otherwise).

    Args:
        box: `x`, `y`, `width`, `height`.
        width, height: of the image.

    Raises:
        RegionError: not a box, or one that holds no pixel of the image, or all of them.
    """
    try:
        x, y, wide, high = (box[name] for name in ("x", "y", "width", "height"))
    except (KeyError, TypeError) as error:
        raise resefa.RegionError(
            f"the box {reprlib.repr(box)} is not one: expected x, y, width and height in pixels"
        ) from error
    return resefa.Region.from_pixels(x, y, wide, high, width, height)


def chosen_part(text: str, size: float, box: Mapping[str, Any], width: int, height: int) -> resefa.Selection:
    """What a node's widgets say of a part of the image: its name, or `here` for what lies in the middle of
    the box.

    Raises:
        RegionError: no name, or no box within the image.
    """
    if text != HERE:
        return resefa.Selection(name=text, size=size)
    region_of_box(box, width, height)
    x = (float(box["x"]) + float(box["width"]) / 2) / width
    y = (float(box["y"]) + float(box["height"]) / 2) / height
    click = resefa.Click(min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0))
    return resefa.Selection(clicks=(click,), size=size)


def select(
    box: Mapping[str, Any],
    width: int,
    height: int,
    mask: Tensor | None = None,
    preset: str = NO_PRESET,
    combine: str = REPLACE,
    invert: bool = False,
    feather: float = 0.0,
    part: resefa.Region | None = None,
) -> tuple[resefa.Region, str]:
    """The region that a Select Region node describes, and a note where its box is not what is used.

    Args:
        box: in pixels of the image; see `region_of_box`.
        mask: `(H, W)` or `(1, H, W)` in [0, 1], of any size.
        preset: `family/name`, or `none`.
        combine: `replace` takes the part if there is one, else the mask if there is one, else the preset if
            one is chosen, else the box; `add` all that are given; `intersect` what they have in common;
            `subtract` the box without the others.
        invert: everything but that.
        feather: softens the edge; a fraction of the image's height.
        part: of the image; see `chosen_part`.

    Raises:
        RegionError: nothing is left of the region, or nothing outside it.
    """
    others = [] if part is None else [part]
    if mask is not None:
        others.append(resefa.Region.from_mask(mask.detach().float().cpu().clone()))
    if preset != NO_PRESET:
        others.append(resefa.Region.preset(preset))
    note = ""
    if combine == REPLACE and others:
        region = others[0]
        used = "part" if part is not None else "preset" if mask is None else "mask"
        note = f"the {used} is used, not the box"
    else:
        region, note = region_of_box(box, width, height)
        joined: dict[str, Callable[[resefa.Region, resefa.Region], resefa.Region]] = {
            REPLACE: lambda first, _: first,
            ADD: lambda first, second: first | second,
            INTERSECT: lambda first, second: first & second,
            SUBTRACT: lambda first, second: first & ~second,
        }
        if combine not in joined:
            raise resefa.RegionError(f"combine {combine!r} is unknown: expected {', '.join(COMBINE)}")
        region = functools.reduce(joined[combine], others, region)
    if invert:
        region = ~region
    region = region.feather(feather)
    region.mask(height, width)
    return region, note
