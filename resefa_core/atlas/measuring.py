"""What directions do on one image after another: the second pass over some of an atlas's images."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..directions import Directions
from ..directions.looks import look_of
from ..errors import LatentError
from ..evaluation.equal_change import TARGET, edits_of, equal_change
from ..generators.base import Generator
from ..latents.editing import draw_all, move
from ..latents.reach import steps_within_reach
from ..precision import analysis_mode
from ..regions import Region
from ..solve import pixels_of, steps_of
from ..spaces import channel_sizes, vector_shape
from .images import analysed, sample
from .plan import Plan

_STRENGTH = 2.0
"""How many of an image's own steps its words are of, to both sides."""


class ToMeasure(NamedTuple):
    """What all tasks need: unit vectors `(k, d)`, float32, by region."""

    generator: Generator
    plan: Plan
    vectors: dict[str, Tensor]


class Measured(NamedTuple):
    """What k directions do to a region on one image.

    Attributes:
        region: where it is, as JSON, so that what was kept is the same as what is new.
        inside, outside: mean squared change per pixel and channel for a move of length 1, to first order,
            `(k,)`, in float64.
        ratios: of squared changes inside and outside where that inside is `TARGET`, backwards and forwards,
            `(k, 2)`, in float64; NaN where it is out of reach.
        told: all that can be said of what each changes, what says most first.
    """

    region: dict[str, Any]
    inside: Tensor
    outside: Tensor
    ratios: Tensor
    told: tuple[tuple[str, ...], ...]


def measure(shared: ToMeasure, task: tuple[int, tuple[str, ...]]) -> dict[str, Measured]:
    """What directions do on the image of a place, for each region of a task that it has."""
    generator, plan, vectors = shared
    place, names = task
    latent = sample(generator, plan, place)
    found: dict[str, Measured] = {}
    with analysis_mode():
        try:
            jacobian, regions = analysed(generator, plan, latent)
        except LatentError:
            return {}
        here = dict(zip(plan.names, regions, strict=True))
        for name in names:
            region = here[name]
            if region is None:
                continue
            mask = region.mask(jacobian.height, jacobian.width, check=False).to(jacobian.device)
            squares = jacobian.jvp(vectors[name]).double().square().sum(dim=1)
            inside_pixels, outside_pixels = pixels_of([region], jacobian.height, jacobian.width)
            inside = ((squares * mask).sum(dim=(1, 2)).cpu() / inside_pixels[0]).clamp_min(1e-30)
            outside = (squares * (1.0 - mask)).sum(dim=(1, 2)).cpu() / outside_pixels[0]
            directions = bare(generator, plan, vectors[name], region, inside[None])
            limits = torch.tensor(steps_within_reach(generator, directions), dtype=torch.float64)
            limits = limits * directions.steps.double()
            changed = equal_change(generator, edits_of(latent, directions), region, TARGET)
            within = changed.distance.reshape(-1, 2) <= limits[:, None]
            ratios = torch.where(within, changed.ratio.reshape(-1, 2), torch.nan)
            moved = [
                move(latent, directions, {index: side * min(_STRENGTH, float(limit / step))})
                for index, (limit, step) in enumerate(zip(limits, directions.steps, strict=True))
                for side in (-1.0, 1.0)
            ]
            before, *after = (image.cpu() for image in draw_all(generator, [latent, *moved]))
            told = tuple(
                look_of(before, backwards, forwards, region).told
                for backwards, forwards in zip(after[::2], after[1::2], strict=True)
            )
            found[name] = Measured(region.to_json(embed=True), inside, outside, ratios, told)
    return found


def bare(generator: Generator, plan: Plan, vectors: Tensor, region: Region, inside: Tensor) -> Directions:
    """Vectors `(k, d)` as directions, with steps from what they change inside, `(images, k)`, and nothing
    else that is measured."""
    zeros = torch.zeros(len(vectors))
    return Directions(
        vectors=vectors.float().reshape(-1, *vector_shape(generator, plan.space, plan.layers)),
        eigenvalues=zeros,
        inside=inside.mean(dim=0).float(),
        outside=zeros,
        steps=steps_of(inside).float(),
        space=plan.space,
        layers=plan.layers,
        layer_sizes=channel_sizes(generator, plan.space),
        region=region,
        generator=plan.generator,
        truncation=plan.truncation,
    )


def voted(told: list[tuple[str, ...]]) -> tuple[str, ...]:
    """What is said of a direction on several images as one list: what is said first on most of them first."""
    votes: dict[str, float] = {}
    for words in told:
        for place, each in enumerate(words):
            votes[each] = votes.get(each, 0.0) + 1.0 / (1 + place)
    return tuple(sorted(votes, key=lambda each: -votes[each]))
