"""What one image adds to an atlas: a pure function of the generator, the plan and the image's place in it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..analysis import DenseJacobian
from ..errors import LatentError, RegionError
from ..evaluation.analyses import Analyses
from ..generators.base import Generator
from ..latents import Latent
from ..methods import METHODS
from ..precision import analysis_mode
from ..regions import Region, Selection
from ..session.finding import OURS
from ..solve.sums import Sums
from .plan import OWN, Plan
from .tree import Node, Tree


class Shared(NamedTuple):
    """What all tasks need."""

    generator: Generator
    plan: Plan
    alone: frozenset[int]


class Block(NamedTuple):
    """What some images that follow each other add.

    Attributes:
        nodes: their sums.
        own: the regions' directions of some images alone, `(r, k, d)`, zeros where there are none, by the
            images' places.
    """

    nodes: tuple[Node, ...]
    own: dict[int, Tensor]


def block_sums(shared: Shared, places: tuple[int, int]) -> Block:
    """What the images from the first place up to the second, less one, add."""
    tree, own = Tree(), {}
    for place in range(*places):
        sums = image_sums(shared.generator, shared.plan, place)
        tree.add([Node(0, place, sums)])
        if place in shared.alone:
            own[place] = _directions(sums, shared.plan)
    return Block(tuple(tree.nodes), own)


def image_sums(generator: Generator, plan: Plan, place: int) -> Sums:
    """What the image of a place among the plan's seeds adds to the sums."""
    with analysis_mode():
        try:
            jacobian, regions = analysed(generator, plan, sample(generator, plan, place))
        except LatentError:
            return Sums.of_collapsed(len(plan.regions), plan.dimension)
        return Sums.of(jacobian, regions)


def sample(generator: Generator, plan: Plan, place: int) -> Latent:
    """The latent of a place among the plan's seeds."""
    return generator.sample(plan.seeds[place], plan.truncation, plan.label)


def analysed(generator: Generator, plan: Plan, latent: Latent) -> tuple[DenseJacobian, list[Region | None]]:
    """An image's analysis, and where each region is on it; None for one that it lacks.

    Raises:
        LatentError: the image does not respond to its latent at all.
    """
    spaces = {plan.space} if plan.parts is None else {plan.space, plan.parts.space}
    analyses = Analyses(generator, spaces)
    analyses.prepare(latent)
    jacobian = analyses(latent, plan.space, plan.layers).formed()
    found = {name: each for name, each in plan.regions.items() if isinstance(each, Region)}
    named = {name: each for name, each in plan.regions.items() if isinstance(each, Selection)}
    if plan.parts is not None:
        known = analyses(latent, plan.parts.space, plan.parts.layers)
        picture = generator.synthesize(latent)[0].cpu()
        here = plan.parts.chosen(known, list(named.values()), picture)
        found |= {name: each for name, each in zip(named, here, strict=True) if each is not None}
    return jacobian, [found.get(name) for name in plan.regions]


def _directions(sums: Sums, plan: Plan) -> Tensor:
    """The directions of one image, as those of all are found."""
    found = torch.zeros(len(plan.regions), OWN, plan.dimension)
    regularization = METHODS[OURS].check_parameters(None)["regularization"]
    for index in range(len(plan.regions)):
        if not int(sums.images[index]):
            continue
        try:
            vectors = sums.pencil(index).solve(OWN, regularization).vectors.float()
        except RegionError:
            continue
        found[index, : len(vectors)] = vectors
    return found
