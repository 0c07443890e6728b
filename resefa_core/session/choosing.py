"""Which of the directions found are worth offering, in which order, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from ..defaults import STRENGTHS
from ..directions import Directions
from ..directions.looks import Look, look_of, names_of
from ..evaluation.attributes import REGION_ATTRIBUTES, AttributeClassifier, value_words
from ..evaluation.image_text import Namer
from ..generators.base import Generator
from ..latents import Latent
from ..latents.editing import move
from ..latents.reach import steps_within_reach
from ..regions.presets import preset_family

_STRENGTH = 2.0
_LEAST_REACH = 3.0


def worth_offering(
    generator: Generator,
    latent: Latent,
    directions: Directions,
    draw: Callable[[Sequence[Latent]], Sequence[Tensor]],
    colour: bool | None = None,
    namer: Namer | None = None,
) -> Directions:
    """The directions that change the region visibly, stay there, are no mere tint and no seam, halfway and as
    far as strips show them, don't go too far and don't look like a nearer one: the nearest first, named by
    what they change. At least one. Changes of the region's own colour, of edits that act everywhere, come
    last.

    Args:
        latent: of the image that they were found for, a batch of one.
        draw: the images `(3, H, W)` of some latents.
        colour: False for no changes of colour, True for them first.
        namer: says what changes, before all that is measured; the classifier of drawn faces for None.
    """
    if directions.region is None:
        return directions
    reaches = steps_within_reach(generator, directions)
    halfway = _looks(latent, directions, [_STRENGTH] * len(directions), draw)
    far = [min(max(STRENGTHS), max(reach, _STRENGTH)) for reach in reaches]
    ends = _looks(latent, directions, far, draw)
    shapes = _kept(halfway, reaches, directions, ends)
    recolouring = [] if colour is False or directions.confined else _recolouring(halfway, ends, reaches)
    first = shapes[0]
    if recolouring and (_flaws(halfway[first], directions) or reaches[first] < _LEAST_REACH):
        shapes = []
    order = [*recolouring, *shapes] if colour else [*shapes, *recolouring]
    kept = list(dict.fromkeys(order))
    named = [replace(halfway[index], openings=ends[index].openings) for index in kept]
    values = _values(generator, latent, directions, [(index, far[index]) for index in kept], draw, namer)
    named = [look.called(words, namer is not None) for look, words in zip(named, values, strict=True)]
    return replace(directions[kept], names=names_of(named))


def _looks(
    latent: Latent,
    directions: Directions,
    strengths: Sequence[float],
    draw: Callable[[Sequence[Latent]], Sequence[Tensor]],
) -> list[Look]:
    """What each direction does, as far as said to both sides."""
    assert directions.region is not None
    moved = [
        move(latent, directions, {index: side * strength})
        for index, strength in enumerate(strengths)
        for side in (-1.0, 1.0)
    ]
    before, *after = draw([latent, *moved])
    return [
        look_of(before, backwards, forwards, directions.region)
        for backwards, forwards in zip(after[::2], after[1::2], strict=True)
    ]


def _values(
    generator: Generator,
    latent: Latent,
    directions: Directions,
    ends: Sequence[tuple[int, float]],
    draw: Callable[[Sequence[Latent]], Sequence[Tensor]],
    namer: Namer | None,
) -> list[str]:
    """What a namer says of each direction, forwards and backwards, as far as said; for None, between which
    values of the region's attribute it leads; empty where no classifier of drawings applies, or it isn't sure
    of two values."""
    assert directions.region is not None
    family = preset_family(generator)
    shown = REGION_ATTRIBUTES.get(family, {}).get(directions.region.name, ())
    if namer is None and not shown:
        return [""] * len(ends)
    moved = [move(latent, directions, {index: side * far}) for index, far in ends for side in (1.0, -1.0)]
    pairs = torch.stack(list(draw(moved)))
    if namer is not None:
        return list(namer(pairs, directions.region.name))
    return value_words(_classifier(family), pairs, shown[0])


@cache
def _classifier(family: str) -> AttributeClassifier:
    return AttributeClassifier.load(family)


def _flaws(look: Look, directions: Directions) -> tuple[str, ...]:
    return look.flaws(directions.confined, directions.objective.colour)


def _kept(
    looks: Sequence[Look],
    reaches: Sequence[float],
    directions: Directions,
    ends: Sequence[Look] | None = None,
) -> list[int]:
    """The indices of those that are kept, in their new order: without flaws halfway and, if any are, at the
    ends; of none, the one that tints least, then of the fewest flaws, then the nearest."""
    ends = looks if ends is None else ends
    flaws = [_flaws(look, directions) for look in looks]
    tints = [look.tint if "tint" in own else 0.0 for look, own in zip(looks, flaws, strict=True)]
    nearest_first = sorted(range(len(looks)), key=lambda index: -reaches[index])
    good = [index for index in nearest_first if not flaws[index] and reaches[index] >= _LEAST_REACH]
    best = [index for index in good if not _flaws(ends[index], directions)] or good[:1]
    return _distinct(best, looks) or [min(nearest_first, key=lambda index: (tints[index], len(flaws[index])))]


def _recolouring(halfway: Sequence[Look], ends: Sequence[Look], reaches: Sequence[float]) -> list[int]:
    """The indices of changes of colour that are worth offering, the nearest first."""
    nearest_first = sorted(range(len(halfway)), key=lambda index: -reaches[index])
    found = [
        index
        for index in nearest_first
        if reaches[index] >= max(STRENGTHS)
        and halfway[index].recolours
        and ends[index].recolours
        and not halfway[index].effect.is_faint
    ]
    return _distinct(found, halfway)


def _distinct(indices: Sequence[int], looks: Sequence[Look]) -> list[int]:
    """Those that don't look like an earlier one."""
    kept: list[int] = []
    for index in indices:
        if not any(looks[index].is_like(looks[other]) for other in kept):
            kept.append(index)
    return kept
