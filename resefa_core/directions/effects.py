"""What an edit did to an image, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..regions import Region

MUCH_ELSEWHERE = "much elsewhere too"
_STRENGTHS = ((0.25, "strong"), (0.12, "clear"), (0.0, "faint"))
_LEAKS = (
    (300.0, "the rest stays"),
    (60.0, "the rest hardly moves"),
    (15.0, "some elsewhere too"),
    (0.0, MUCH_ELSEWHERE),
)
_NOTICEABLE = 0.04


@dataclass(frozen=True)
class Effect:
    """What an edit did: root-mean-square change inside and outside its region, on the [-1, 1] scale."""

    inside: float
    outside: float

    @property
    def ratio(self) -> float:
        """How many times the mean squared change inside is that outside."""
        return (self.inside / max(self.outside, 1e-6)) ** 2

    @property
    def words(self) -> str:
        """The effect inside and the leak outside, in plain words."""
        if self.is_faint:
            return "little effect here"
        effect = next(word for limit, word in _STRENGTHS if self.inside >= limit)
        leak = next(word for limit, word in _LEAKS if self.ratio >= limit)
        return f"{effect} effect, {leak}"

    @property
    def is_faint(self) -> bool:
        """Whether the region hardly changed."""
        return self.inside < _NOTICEABLE

    @property
    def spills(self) -> bool:
        """Whether it also changed much outside the region."""
        return self.words.endswith(MUCH_ELSEWHERE)


def effect_of(before: Tensor, after: Sequence[Tensor], region: Region | None) -> Effect:
    """The mean effect of some edits of one image.

    Args:
        before: `(3, H, W)`.
        after: images of the same size.
        region: None for edits of the whole image: nothing is outside then.
    """
    change = torch.stack([(image - before).square().mean(dim=0) for image in after]).mean(dim=0)
    if region is None:
        return Effect(float(change.mean().sqrt()), 0.0)
    mask = region.mask(change.shape[0], change.shape[1], check=False).to(change)
    inside = (change * mask).sum() / mask.sum().clamp_min(1e-6)
    outside = (change * (1.0 - mask)).sum() / (1.0 - mask).sum().clamp_min(1e-6)
    return Effect(float(inside.sqrt()), float(outside.sqrt()))


def tint_share(changes: Tensor, mask: Tensor) -> Tensor:
    """The share `(...)` of squared changes `(..., 3, H, W)` under a mask `(H, W)` that is one uniform colour.

    Example:
        >>> changes = torch.stack([torch.ones(3, 4, 4), torch.eye(4).expand(3, 4, 4)])
        >>> tint_share(changes, torch.ones(4, 4))
        tensor([1.0000, 0.2500])
    """
    total = (changes.square() * mask).sum(dim=(-3, -2, -1))
    mean = (changes * mask).sum(dim=(-2, -1)) / mask.sum()
    return mean.square().sum(dim=-1) * mask.sum() / total.clamp_min(1e-12)


def edge_energy(images: Tensor, mask: Tensor) -> Tensor:
    """Squared jumps `(...)` of images `(..., 3, H, W)` between neighbouring pixels, each times how much the
    mask `(H, W)` differs there."""
    across = (images[..., 1:] - images[..., :-1]).square().sum(dim=-3) * (mask[:, 1:] - mask[:, :-1]).abs()
    down = (images[..., 1:, :] - images[..., :-1, :]).square().sum(dim=-3) * (mask[1:] - mask[:-1]).abs()
    return across.sum(dim=(-2, -1)) + down.sum(dim=(-2, -1))
