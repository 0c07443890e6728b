"""Styles: what drives a layer, possibly varying over the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from torch import Tensor

from ..regions import Region

State: TypeAlias = "tuple[Tensor, ...]"


@dataclass(frozen=True)
class Gate:
    """How strongly a move acts at each place: `(1 - confine) + confine * mask`.

    `confine` is in [0, 1]: 0 acts everywhere alike, 1 acts inside the region only.
    """

    region: Region
    confine: float

    def at(self, height: int, width: int, like: Tensor) -> Tensor:
        """The gate over a `height` x `width` feature map, `(1, 1, H, W)`, as `like`'s type and device."""
        mask = self.region.mask(height, width, check=False)
        gate = (1.0 - self.confine) + self.confine * mask
        return gate.to(device=like.device, dtype=like.dtype)[None, None]


class Style(NamedTuple):
    """A layer's style, `(B, S)`, and the moves added to it where their gates are open, each `(B, S)`."""

    base: Tensor
    moves: tuple[tuple[Gate, Tensor], ...] = ()
