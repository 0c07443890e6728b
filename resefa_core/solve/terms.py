"""The mean colour of a region and the jumps across its edge, as linear functions of a change."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..analysis import DenseJacobian
from ..directions.objective import Objective
from ..precision import wide

_SINGLE_PIXEL = 1.5
_ROWS = 64
_CHUNK_BYTES = 64 << 20


class Terms:
    """What an objective takes from A and adds to B, for one region: C and E in `A − C` and `B + E`.

    With u = m / sqrt(Σ m) for each channel, `C = Jᵀ u uᵀ J`; with D the differences of neighbouring pixels
    times `sqrt(|m(p) − m(q)|)`, `E = Jᵀ Dᵀ D J`.

    Args:
        objective: which of them there are. A region of a single pixel has nothing but its colour, which then
            counts whatever the objective says.
        mask: m, `(h, w)` in [0, 1].

    Attributes:
        mask: m.
    """

    def __init__(self, objective: Objective, mask: Tensor) -> None:
        self.mask = mask
        mask = mask.double().cpu()
        self.pixels = mask.numel()
        total = float(mask.sum())
        effective = total**2 / max(float(mask.square().sum()), 1e-300)
        self.tint = None
        if not objective.colour and effective >= _SINGLE_PIXEL:
            self.tint = (mask / math.sqrt(total)).flatten()
        self.first = self.second = torch.zeros(0, dtype=torch.long)
        self.heights = torch.zeros(0, dtype=torch.float64)
        if objective.edge:
            at = torch.arange(mask.numel()).reshape(mask.shape)
            self.first = torch.cat([at[:, :-1].flatten(), at[:-1].flatten()])
            self.second = torch.cat([at[:, 1:].flatten(), at[1:].flatten()])
            steps = (mask.flatten()[self.first] - mask.flatten()[self.second]).abs()
            used = steps > 0
            self.first, self.second = self.first[used], self.second[used]
            self.heights = steps[used].sqrt()

    def _flat(self, images: Tensor) -> Tensor:
        return images.reshape(len(images), 3, self.pixels)

    def colours(self, images: Tensor) -> Tensor:
        """uᵀx of changes `(n, 3, h, w)` or `(n, 3hw)`: `(n, 3)`, or `(n, 0)` where colour counts."""
        if self.tint is None:
            return images.new_zeros(len(images), 0)
        return self._flat(images) @ self.tint.to(images)

    def jumps(self, images: Tensor, edges: slice = slice(None)) -> Tensor:
        """Dx of changes `(n, 3, h, w)` or `(n, 3hw)`: `(n, 3e)`, e the edges."""
        flat = self._flat(images)
        first, second = (side[edges].to(images.device) for side in (self.first, self.second))
        jumps = (flat[:, :, first] - flat[:, :, second]) * self.heights[edges].to(images)
        return jumps.flatten(1)

    def without_colour(self, images: Tensor) -> Tensor:
        """uuᵀx, `(n, 3hw)`: what of changes is their mean colour under the mask."""
        if self.tint is None:
            return torch.zeros_like(images).flatten(1)
        return (self.colours(images)[:, :, None] * self.tint.to(images)).flatten(1)

    def across(self, images: Tensor) -> Tensor:
        """DᵀDx, `(n, 3hw)`."""
        total = torch.zeros_like(self._flat(images))
        jumps = self.jumps(images).reshape(len(images), 3, len(self.first)) * self.heights.to(images)
        total.index_add_(2, self.first.to(images.device), jumps)
        total.index_add_(2, self.second.to(images.device), -jumps)
        return total.flatten(1)

    def edge_gram(self, jacobian: DenseJacobian) -> Tensor | None:
        """E, `(d, d)` in float64; None without edges."""
        if len(self.first) == 0:
            return None
        size = jacobian.dimension
        width = max(1, _CHUNK_BYTES // (24 * size))
        gram: Tensor | None = None
        for start in range(0, len(self.first), width):
            rows = wide(self.jumps(jacobian.matrix, slice(start, start + width)))
            part = rows @ rows.T
            gram = part if gram is None else gram.add_(part)
        return gram

    def colour_rows(self, jacobian: DenseJacobian) -> Tensor:
        """Jᵀu, `(d, 3)` or `(d, 0)`, in float64."""
        return torch.cat([self.colours(wide(rows)) for rows in jacobian.matrix.split(_ROWS)])
