"""Clean edges of soft maps: they follow the picture's own, and pieces can be told apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_RADIUS = 1 / 32
_SMOOTHNESS = 1e-3


def guided(values: Tensor, picture: Tensor) -> Tensor:
    """Maps with the edges of a picture, by the guided filter in colour (He, Sun and Tang, 2013), their
    coefficients found at the maps' resolution and applied at the picture's (He and Sun, 2015).

    Args:
        values: `(n, h, w)`.
        picture: `(3, H, W)` in [-1, 1], at least as large.

    Returns:
        `(n, H, W)`.
    """
    count, height, width = values.shape
    picture = (picture.float().clamp(-1.0, 1.0) + 1.0) / 2.0
    guide = F.interpolate(picture[None], size=(height, width), mode="area")[0]
    radius = max(1, round(min(height, width) * _RADIUS))
    mean = _boxed(guide, radius)
    pairs = (guide[:, None] * guide[None]).flatten(0, 1)
    covariance = _boxed(pairs, radius).view(3, 3, height, width) - mean[:, None] * mean[None]
    level = _boxed(values, radius)
    across = _boxed((values[:, None] * guide[None]).flatten(0, 1), radius).view(count, 3, height, width)
    across = across - level[:, None] * mean[None]
    damped = covariance.permute(2, 3, 0, 1) + _SMOOTHNESS * torch.eye(3)
    slopes = torch.linalg.solve(damped, across.permute(2, 3, 1, 0)).permute(3, 2, 0, 1)
    offset = level - (slopes * mean[None]).sum(dim=1)
    smooth = _boxed(torch.cat([slopes.flatten(0, 1), offset]), radius)
    if smooth.shape[1:] != picture.shape[1:]:
        smooth = F.interpolate(smooth[None], size=picture.shape[1:], mode="bilinear", align_corners=False)[0]
    slopes, offset = smooth[: 3 * count].view(count, 3, *picture.shape[1:]), smooth[3 * count :]
    return (slopes * picture[None]).sum(dim=1) + offset


def _boxed(maps: Tensor, radius: int) -> Tensor:
    """The mean of maps `(n, h, w)` over squares of `2 * radius + 1` pixels; the border goes on."""
    size = 2 * radius + 1
    padded = F.pad(maps[None], (radius, radius, radius, radius), mode="replicate")
    return F.avg_pool2d(padded, size, stride=1)[0]


def connected(inside: Tensor, seeds: Tensor) -> Tensor:
    """What hangs together with some pixels, sideways or up and down.

    Args:
        inside, seeds: `(h, w)`, bool.

    Returns:
        `(h, w)`, bool: the pieces of `inside` that hold a seed.
    """
    reached = inside & seeds
    while True:
        grown = _spread(_spread(reached, inside).T, inside.T).T
        if torch.equal(grown, reached):
            return reached
        reached = grown


def largest_piece(weights: Tensor) -> Tensor:
    """The piece of a map `(h, w)` in [0, 1] with the most weight, `(h, w)`, bool; pieces are where it is at
    least a half."""
    left = weights >= 0.5
    best, most = left, -1.0
    while bool(left.any()) and float(weights[left].sum()) > most:
        seed = torch.zeros_like(left)
        seed.view(-1)[(weights * left).argmax()] = True
        piece = connected(left, seed)
        weight = float(weights[piece].sum())
        if weight > most:
            best, most = piece, weight
        left = left & ~piece
    return best


def _spread(reached: Tensor, inside: Tensor) -> Tensor:
    """The runs of each row of `inside` that hold a reached pixel."""
    height, width = inside.shape
    runs = (~inside).long().cumsum(dim=1)
    held = torch.zeros(height, width + 1, dtype=torch.long)
    held.scatter_add_(1, runs, (reached & inside).long())
    return inside & (held.gather(1, runs) > 0)
