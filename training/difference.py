"""How far images are from the drawings that they stand for."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

_DETAIL_WEIGHT = 4.0
_SQUARE_WEIGHT = 4.0
_SIZES = 3


class Difference(NamedTuple):
    """Squares and absolutes of the colours' differences and absolutes of the edges', at three sizes.

    Attributes:
        detail: the box where pixels count four times: top, bottom, left, right, as fractions of the picture.
        symmetry: what the difference between an image's and its drawing's asymmetry counts beside them.
    """

    detail: tuple[float, ...]
    symmetry: float = 0.0

    def __call__(self, images: Tensor, drawings: Tensor) -> Tensor:
        """Of images `(B, 3, H, W)` from drawings, one number."""
        side = images.shape[2]
        top, bottom, left, right = (round(bound * side) for bound in self.detail)
        weight = images.new_ones(side, side)
        weight[top:bottom, left:right] = _DETAIL_WEIGHT
        delta, total = (images - drawings) * (weight / weight.mean()), images.new_zeros(())
        for _ in range(_SIZES):
            edges = delta.diff(dim=2).abs().mean() + delta.diff(dim=3).abs().mean()
            total = total + _SQUARE_WEIGHT * delta.square().mean() + delta.abs().mean() + edges
            if self.symmetry:
                total = total + self.symmetry * (delta - delta.flip(3)).abs().mean()
            delta = F.avg_pool2d(delta, 2)
        return total
