"""Parts by clicks: what moves like what was pointed at."""

from __future__ import annotations

from dataclasses import replace

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
_ABOUT_EQUAL = 0.9


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
            is found by how it moves, wherever it is, and the region's clicks are there.

    Raises:
        RegionError: as for `part_at`, or this image has nothing of the part.
        JacobianError: the two analyses do not belong together.
    """
    own = responses_of(analysis, axes_of([analysis]))
    if chosen_on is not None and chosen_on is not analysis:
        axes = axes_of([chosen_on])
        selection = carried(responses_of(analysis, axes), responses_of(chosen_on, axes), selection)
    return choose(own, selection, picture)


def choose(here: Responses, selection: Selection, picture: Tensor | None) -> Region:
    """The part of an image that is like what was clicked on it."""
    wanted = torch.stack([_likeness(here, here, each) for each in selection.clicks if each.add]).amax(dim=0)
    away = [_likeness(here, here, each) for each in selection.clicks if not each.add]
    if away:
        wanted = torch.where(wanted > torch.stack(away).amax(dim=0), wanted, 0.0)
    values = refined(wanted.view(1, here.height, here.width), picture)[0]
    peak = float(values.max())
    if not peak > 0.0:
        raise RegionError("nothing of this image moves like what was chosen: choose another point")
    threshold = min(_threshold(selection), _HIGHEST * peak)
    edge = _SOFTNESS * threshold
    weights = ((values - threshold + edge) / (2.0 * edge)).clamp(0.0, 1.0)
    return as_region(weights, selection)


def carried(here: Responses, clicked: Responses, selection: Selection) -> Selection:
    """A selection on one image as one on another: each click where that moves most like what was clicked, of
    places that are about equally alike at the nearest. Clicks on what it doesn't have are left out.

    Args:
        here, clicked: the other image and the one that was clicked on, along the same axes.

    Raises:
        RegionError: it has nothing of what was chosen.
    """
    clicks: list[Click] = []
    for click in selection.clicks:
        likeness = _likeness(here, clicked, click).view(1, here.height, here.width)
        around = F.avg_pool2d(likeness, 3, stride=1, padding=1, count_include_pad=False)[0]
        peak = float(around.max())
        if peak > min(_threshold(selection), _HIGHEST) and (click.add or clicks):
            places = (around >= _ABOUT_EQUAL * peak).nonzero()
            points = (places.flip(1) + 0.5) / torch.tensor([here.width, here.height])
            nearest = points[(points - torch.tensor([click.x, click.y])).square().sum(dim=1).argmin()]
            x, y = nearest.tolist()
            clicks.append(Click(x, y, click.add))
    if not clicks:
        raise RegionError("nothing of this image moves like what was chosen: choose another point")
    return replace(selection, clicks=tuple(clicks))


def _threshold(selection: Selection) -> float:
    """How much alike pixels must move to belong to a selection."""
    return float(_LEAST**selection.size)


def _likeness(here: Responses, clicked: Responses, click: Click) -> Tensor:
    """How much each pixel moves like what lies at a click on another image, or on this one, `(h * w,)`."""
    rows = clicked.around(click.x, click.y)
    own = _among(rows)
    if not own > 0.0:
        raise RegionError(
            f"the image does not move with the latent at ({click.x:.3g}, {click.y:.3g}): choose another point"
        )
    return (here.likeness(rows).mean(dim=1) / own**0.5).clamp_max(1.0)


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


def as_region(weights: Tensor, selection: Selection) -> Region:
    """Weights `(h, w)` in [0, 1] as the region of a selection, in few levels, its islands dropped where they
    are not wanted.

    Raises:
        RegionError: nothing is inside, or nothing outside.
    """
    if not selection.islands:
        inside = weights >= 0.5
        piece = connected(inside, _around(selection, inside) & inside)
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
