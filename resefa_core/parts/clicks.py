"""Parts by clicks: what moves like what was pointed at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..analysis import Jacobian
from ..errors import RegionError
from ..regions import Click, Region, Selection
from .edges import connected, guided, largest_piece
from .responses import Responses, axes_of, responses_of

LARGEST_SIDE = 512
"""Of the masks of parts; edges of larger images are drawn at this one."""

_LEAST = 1 / 25
_SOFTNESS = 0.25
_HIGHEST = 0.8
_LEVELS = 16


def part_at(
    analysis: Jacobian,
    x: float,
    y: float,
    size: float = 0.5,
    *,
    islands: bool = True,
    picture: Tensor | None = None,
) -> Region:
    """The part of an image that moves like what lies at a point.

    Args:
        analysis: of the image, in any space; w serves well and is cheap.
        x, y: in fractions of the image.
        size: how much belongs to it, from 0 to 1.
        islands: whether it may be in several places, as eyes are.
        picture: the image, `(3, H, W)` in [-1, 1], whose edges the part is given.

    Raises:
        RegionError: the point is outside, does not move with the latent, or all of the image moves like it.
    """
    return part_by_clicks(analysis, Selection("", (Click(x, y),), size, islands), picture=picture)


def part_by_clicks(
    analysis: Jacobian,
    selection: Selection,
    *,
    picture: Tensor | None = None,
    chosen_on: Jacobian | None = None,
) -> Region:
    """The part that a selection's clicks tell.

    Args:
        analysis, picture: as for `part_at`.
        chosen_on: the analysis of the image that was clicked on; this one for None. On another one the part
        is
            found by how it moves, wherever it is.

    Raises:
        RegionError: as for `part_at`.
        JacobianError: the two analyses do not belong together.
    """
    source = analysis if chosen_on is None else chosen_on
    axes = axes_of([source])
    clicked = responses_of(source, axes)
    here = clicked if source is analysis else responses_of(analysis, axes)
    return choose(here, clicked, selection, picture, anchored=source is analysis)


def choose(
    here: Responses, clicked: Responses, selection: Selection, picture: Tensor | None, anchored: bool = True
) -> Region:
    """The part of the image `here` that is like what was clicked; both along the same axes.

    Args:
        anchored: whether the clicks are points of this image.
    """
    wanted = _likeness(here, clicked, [each for each in selection.clicks if each.add])
    away = [each for each in selection.clicks if not each.add]
    if away:
        other = _likeness(here, clicked, away)
        wanted = torch.where(wanted > other, wanted, 0.0)
    values = refined(wanted.view(1, here.height, here.width), picture)[0]
    peak, threshold = float(values.max()), _LEAST**selection.size
    if not peak > (0.0 if anchored else min(threshold, _HIGHEST)):
        raise RegionError("nothing of this image moves like what was chosen: choose another point")
    threshold = min(threshold, _HIGHEST * peak)
    edge = _SOFTNESS * threshold
    weights = ((values - threshold + edge) / (2.0 * edge)).clamp(0.0, 1.0)
    return as_region(weights, selection, anchored)


def _likeness(here: Responses, clicked: Responses, clicks: Sequence[Click]) -> Tensor:
    """How much each pixel moves like what lies at any of some clicks, `(h * w,)`."""
    found = []
    for click in clicks:
        rows = clicked.around(click.x, click.y)
        own = _among(rows)
        if not own > 0.0:
            raise RegionError(
                f"the image does not move with the latent at ({click.x:.3g}, {click.y:.3g}): "
                "choose another point"
            )
        found.append(here.likeness(rows).mean(dim=1) / own**0.5)
    return torch.stack(found).amax(dim=0).clamp_max(1.0)


def _among(rows: Tensor) -> float:
    """The mean likeness of rows `(n, 3, r)` among themselves."""
    count = len(rows)
    products = rows.flatten(0, 1) @ rows.flatten(0, 1).T
    return float(products.view(count, 3, count, 3).square().sum(dim=(1, 3)).mean())


def refined(values: Tensor, picture: Tensor | None) -> Tensor:
    """Maps `(n, h, w)` with the edges of a picture, at its resolution or at `LARGEST_SIDE`."""
    if picture is None:
        return values
    largest = max(picture.shape[1:])
    if largest > LARGEST_SIDE:
        sides = [round(side * LARGEST_SIDE / largest) for side in picture.shape[1:]]
        picture = F.interpolate(picture[None].float(), size=sides, mode="area")[0]
    return guided(values, picture.cpu())


def as_region(weights: Tensor, selection: Selection, anchored: bool = True) -> Region:
    """Weights `(h, w)` in [0, 1] as the region of a selection, in few levels, its islands dropped where they
    are not wanted.

    Raises:
        RegionError: nothing is inside, or nothing outside.
    """
    if not selection.islands:
        inside = weights >= 0.5
        piece = connected(inside, _around(selection, inside) & inside) if anchored else inside & False
        piece = piece if bool(piece.any()) else largest_piece(weights)
        weights = weights * F.max_pool2d(piece[None, None].float(), 5, stride=1, padding=2)[0, 0]
    levels = (weights * (_LEVELS - 1)).round() / (_LEVELS - 1)
    return Region.of_part(Region.from_mask(levels), selection)


def _around(selection: Selection, like: Tensor) -> Tensor:
    """The pixels next to the clicks that add, `(h, w)`, bool."""
    height, width = like.shape
    near = torch.zeros_like(like)
    for click in selection.clicks:
        if click.add:
            row, column = min(int(click.y * height), height - 1), min(int(click.x * width), width - 1)
            near[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    return near
