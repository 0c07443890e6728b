"""How far directions may go before images stop being such images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from ..directions import Directions
from ..generators.base import Generator
from ..memo import Memo
from ..spaces import SPACES

MOST_DISTANCE = 0.16
"""How far an edit may move, in typical distances of a code from the mean, where layers move by themselves."""
MOST_DISTANCE_TOGETHER = 0.4
"""The same where one vector moves all layers, which leads to other codes of the generator for longer."""
MOST_STEPS, LEAST_STEPS = 6.0, 1.0
"""However near or far that is."""

_DRAWN = 64
_distances: Memo[float] = Memo(256)


def typical_distance(
    generator: Generator, space: str, layers: Iterable[int], label: int | None = None
) -> float:
    """The root-mean-square distance of samples from their mean, in a space on some layers, untruncated.

    Args:
        label: the class of the samples, where there are classes.
    """
    if label is None and generator.num_classes:
        label = 0
    chosen = tuple(layers)
    key = (generator.fingerprint, space, chosen, label)
    return _distances.get(key, lambda: _measured_distance(generator, space, chosen, label))


def _measured_distance(generator: Generator, space: str, chosen: tuple[int, ...], label: int | None) -> float:
    drawn, known = generator.sample(list(range(_DRAWN)), 1.0, label), SPACES[space]
    rows: Tensor
    with torch.inference_mode(False), torch.no_grad():
        if known.channels:
            styles = generator.styles(drawn)
            rows = torch.cat([styles[layer].base for layer in chosen], dim=1)
        elif known.maps_noise(generator) and drawn.z is not None:
            rows = drawn.z
        else:
            rows = drawn.codes[:, chosen].flatten(1) if known.layered else drawn.codes[:, chosen[0]]
        rows = rows.double()
        return float((rows - rows.mean(dim=0)).square().sum(dim=1).mean().sqrt())


def most_distance(space: str) -> float:
    """How far an edit may move in a space, in its typical distances."""
    return MOST_DISTANCE_TOGETHER if SPACES[space].shared else MOST_DISTANCE


def steps_within_reach(generator: Generator, directions: Directions) -> list[float]:
    """How many steps of each direction lead as far as edits may move, confined where they are for such."""
    steps = directions.steps_confined if directions.confined else directions.steps
    assert steps is not None
    limit = most_distance(directions.space) * typical_distance(generator, directions.space, directions.layers)
    return [limit / step for step in steps.tolist()]


def within_reach(generator: Generator, directions: Directions) -> Directions:
    """The directions with the `strength_range` in which all of them stay within reach, to half a step."""
    most = min(steps_within_reach(generator, directions))
    bound = math.floor(2 * min(max(most, LEAST_STEPS), MOST_STEPS)) / 2
    return replace(directions, strength_range=(-bound, bound))
