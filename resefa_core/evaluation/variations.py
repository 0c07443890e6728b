"""Regions drawn otherwise, and how far apart the directions are that are found for them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from ..analysis import orthonormal
from ..directions import Directions
from ..precision import wide
from ..regions import Region
from .config import Variations

SIDE = 256
"""The resolution that varied regions are drawn at."""

_SIDES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_POINTS = (9, 14)
_BRUSHES = (0.3, 0.5)
_REACH = 0.1


def varied(region: Region, variations: Variations) -> dict[str, Region]:
    """The region drawn otherwise, by what was done to it, e.g. `shifted 25 % left` or `scribble 3`.

    What leaves the image is cut off.

    Raises:
        RegionError: the region is empty, or one that was grown leaves nothing outside.
    """
    mask = region.mask(SIDE, SIDE)
    left, top, right, bottom = _extent(mask)
    width, height = right - left, bottom - top
    found: dict[str, Region] = {}
    for amount in variations.shifted:
        for side, (across, down) in _SIDES.items():
            shift = across * amount * width, down * amount * height
            found[f"shifted {100 * amount:g} % {side}"] = Region.from_mask(_moved(mask, 1.0, shift))
    for name, sign, amounts in (("grown", 1, variations.grown), ("shrunk", -1, variations.shrunk)):
        for amount in amounts:
            found[f"{name} {100 * amount:g} %"] = Region.from_mask(_moved(mask, 1.0 + sign * amount))
    for index in range(variations.scribbles):
        random = np.random.RandomState([variations.seed, index])
        found[f"scribble {index + 1}"] = _scribble((left, top, right, bottom), random)
    return found


def principal_angles(first: Directions, second: Directions) -> Tensor:
    """The angles between the subspaces that two sets of directions span, in degrees, ascending, `(k,)`, k the
    smaller number of directions; in float64.

    0 for all: the smaller subspace lies in the other.
    """
    bases = [wide(orthonormal(each.vectors.flatten(1).double())).cpu() for each in (first, second)]
    cosines = torch.linalg.svdvals(bases[0] @ bases[1].T)
    return torch.rad2deg(cosines.clamp(0.0, 1.0).acos())


def _extent(mask: Tensor) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of where a mask is at least one half of its largest value, as fractions."""
    inside = mask >= 0.5 * mask.max()
    rows, columns = inside.any(dim=1).nonzero()[:, 0], inside.any(dim=0).nonzero()[:, 0]
    height, width = mask.shape
    return (
        float(columns[0]) / width,
        float(rows[0]) / height,
        float(columns[-1] + 1) / width,
        float(rows[-1] + 1) / height,
    )


def _moved(mask: Tensor, scale: float, shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """A mask scaled about the middle of what it covers, and shifted by fractions of the image."""
    left, top, right, bottom = _extent(mask)
    middle = torch.tensor([left + right - 1.0, top + bottom - 1.0])
    offset = middle - (middle + 2.0 * torch.tensor(shift)) / scale
    matrix = torch.cat([torch.eye(2) / scale, offset[:, None]], dim=1)
    grid = F.affine_grid(matrix[None], [1, 1, *mask.shape], align_corners=False)
    return F.grid_sample(mask[None, None], grid, align_corners=False)[0, 0].clamp(0.0, 1.0)


def _scribble(extent: tuple[float, float, float, float], random: np.random.RandomState) -> Region:
    """A stroke of a round brush through random points of about the same place."""
    left, top, right, bottom = (SIDE * value for value in extent)
    width, height = right - left, bottom - top
    count = random.randint(_POINTS[0], _POINTS[1] + 1)
    brush = random.uniform(*_BRUSHES) * min(width, height)
    inset = brush / 2 - _REACH * min(width, height)
    x = random.uniform(left + inset, right - inset, count)
    y = random.uniform(top + inset, bottom - inset, count)
    if width > height:
        x.sort()
    else:
        y.sort()
    picture = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(picture)
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    draw.line(points, fill=255, width=max(1, round(brush)), joint="curve")
    for across, down in points:
        draw.ellipse([across - brush / 2, down - brush / 2, across + brush / 2, down + brush / 2], fill=255)
    return Region.from_mask(picture)
