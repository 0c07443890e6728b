"""What a solver finds, and the conventions of sign and step that all directions share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..regions import Region

STEP_CHANGE = 0.1
"""Root-mean-square change inside the region, on the [-1, 1] scale, that one step makes to first order."""

NEGLIGIBLE = 1e-9
"""The share of a change that counts as none."""


@dataclass(frozen=True)
class Solution:
    """k directions `(k, d)`, quotients `(k,)`, each image's nᵀA n and nᵀB n `(images, k)`, and a."""

    vectors: Tensor
    quotients: Tensor
    inside: Tensor
    outside: Tensor
    damping: float

    def responding(self) -> Solution:
        """Without directions that change nothing inside but for rounding; the first stays."""
        total = self.inside.sum(dim=0)
        kept = total > NEGLIGIBLE * total.max()
        kept[0] = True
        return Solution(
            self.vectors[kept],
            self.quotients[kept],
            self.inside[:, kept],
            self.outside[:, kept],
            self.damping,
        )


def steps_of(inside: Tensor) -> Tensor:
    """The distances that strength 1 moves: medians over images of mean squared changes inside the region per
    squared unit of distance, `(images, k)`."""
    return (STEP_CHANGE / inside.clamp_min(1e-30).sqrt()).quantile(0.5, dim=0)


def pixels_of(regions: Sequence[Region], height: int, width: int) -> tuple[Tensor, Tensor]:
    """How many values of an image lie inside each region, and outside it, three colours each, `(n, 1)`."""
    masks = [region.mask(height, width) for region in regions]
    inside = torch.tensor([3.0 * float(mask.sum()) for mask in masks], dtype=torch.float64)
    outside = torch.tensor([3.0 * float((1.0 - mask).sum()) for mask in masks], dtype=torch.float64)
    return inside[:, None], outside[:, None]


def signs(vectors: Tensor) -> Tensor:
    """What makes the entry of largest magnitude of each column positive."""
    index = vectors.abs().argmax(dim=0, keepdim=True)
    return torch.where(vectors.gather(0, index) < 0, -1.0, 1.0).to(vectors)
