"""Which of the directions found are worth offering, in which order, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from ..directions import Directions
from ..directions.looks import Look, distinct, look_of
from ..generators.base import Generator
from ..latents import Latent
from ..latents.editing import move
from ..latents.reach import steps_within_reach

_STRENGTH = 2.0
_LEAST_REACH = 2.5


def worth_offering(
    generator: Generator,
    latent: Latent,
    directions: Directions,
    draw: Callable[[Sequence[Latent]], Sequence[Tensor]],
) -> Directions:
    """The directions that change the region visibly, stay there, are no mere tint and no seam, don't go too
    far and don't look like a nearer one: the nearest first, named by what they change. At least one.

    Args:
        latent: of the image that they were found for, a batch of one.
        draw: the images `(3, H, W)` of some latents.
    """
    if directions.region is None:
        return directions
    strengths = (-_STRENGTH, _STRENGTH)
    moved = [move(latent, directions, {i: s}) for i in range(len(directions)) for s in strengths]
    before, *after = draw([latent, *moved])
    looks = [
        look_of(before, backwards, forwards, directions.region)
        for backwards, forwards in zip(after[::2], after[1::2], strict=True)
    ]
    reaches = steps_within_reach(generator, directions)
    kept = _kept(looks, reaches, directions)
    chosen = directions[kept]
    return replace(chosen, names=distinct([looks[index].words for index in kept]))


def _kept(looks: Sequence[Look], reaches: Sequence[float], directions: Directions) -> list[int]:
    """The indices of those that are kept, in their new order; of none, the one that tints least, then of
    the fewest flaws, then the nearest."""
    flaws = [look.flaws(directions.confined, directions.objective.colour) for look in looks]
    tints = [look.tint if "tint" in own else 0.0 for look, own in zip(looks, flaws, strict=True)]
    nearest_first = sorted(range(len(looks)), key=lambda index: -reaches[index])
    kept: list[int] = []
    for index in nearest_first:
        near = not flaws[index] and reaches[index] >= _LEAST_REACH
        if near and not any(looks[index].is_like(looks[other]) for other in kept):
            kept.append(index)
    return kept or [min(nearest_first, key=lambda index: (tints[index], len(flaws[index])))]
