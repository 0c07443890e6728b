"""A and B of any number of images as sums: a few matrices, however many images there are.

An image's part of them depends on nothing but the image, so sums may be made anywhere and put together later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import torch
from torch import Tensor

from ..analysis import DenseJacobian
from ..directions.objective import SHAPE, Objective
from ..errors import RegionError
from ..regions import Region
from .cholesky import solve_cholesky
from .pencil import check_split, weight_of
from .solution import signs
from .terms import Terms


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over images, for each of r regions, in float64. An image that lacks a region adds nothing to it.

    Attributes:
        inside: Σ A / tr(JᵀJ), `(r, d, d)`, every change counted.
        total: Σ JᵀJ / tr(JᵀJ) over the images that have the region, `(r, d, d)`.
        colour: what of `inside` is the region's mean colour, `(r, d, d)`.
        weights: Σ 1 / tr(JᵀJ), `(r,)`.
        areas: Σ of the regions' shares of the image, `(r,)`.
        images: how many images have the region, `(r,)`, whole numbers.
        seen: how many images there are, `(1,)`, whole numbers.
        collapsed: how many of them do not respond to their latent at all, `(1,)`, whole numbers.
    """

    inside: Tensor
    total: Tensor
    colour: Tensor
    weights: Tensor
    areas: Tensor
    images: Tensor
    seen: Tensor
    collapsed: Tensor

    @staticmethod
    def none(regions: int, dimension: int) -> Sums:
        """The sums over no image."""
        zeros = partial(torch.zeros, dtype=torch.float64)
        return Sums(
            inside=zeros(regions, dimension, dimension),
            total=zeros(regions, dimension, dimension),
            colour=zeros(regions, dimension, dimension),
            weights=zeros(regions),
            areas=zeros(regions),
            images=torch.zeros(regions, dtype=torch.int64),
            seen=torch.zeros(1, dtype=torch.int64),
            collapsed=torch.zeros(1, dtype=torch.int64),
        )

    @staticmethod
    def of_collapsed(regions: int, dimension: int) -> Sums:
        """Those of one image that does not respond to its latent at all."""
        one = torch.ones(1, dtype=torch.int64)
        return replace(Sums.none(regions, dimension), seen=one, collapsed=one)

    @staticmethod
    def of(jacobian: DenseJacobian, regions: Sequence[Region | None]) -> Sums:
        """Those of one image.

        Args:
            regions: where each is on it; None for one that it lacks. One in which nothing responds, or
                nothing but its mean colour, or which leaves nothing outside, is lacking too.
        """
        sums = replace(Sums.none(len(regions), jacobian.dimension), seen=torch.ones(1, dtype=torch.int64))
        for index, region in enumerate(regions):
            if region is not None:
                sums._take(index, jacobian, region)
        return sums

    def _take(self, index: int, jacobian: DenseJacobian, region: Region) -> None:
        weight, total = weight_of(jacobian), jacobian.gram()
        mask = region.mask(jacobian.height, jacobian.width, check=False)
        inside = jacobian.gram(mask)
        colours = Terms(SHAPE, mask).colour_rows(jacobian)
        tint = colours @ colours.T
        own, whole = float(inside.trace()), jacobian.trace
        try:
            check_split(own, own - float(tint.trace()), whole - own, whole)
        except RegionError:
            return
        self.inside[index] = (weight * inside).cpu()
        self.total[index] = (weight * total).cpu()
        self.colour[index] = (weight * tint).cpu()
        self.weights[index] = weight
        self.areas[index] = float(mask.double().mean())
        self.images[index] = 1

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(mine + theirs for mine, theirs in zip(self.tensors(), other.tensors(), strict=True)))

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in the order of the attributes."""
        return tuple(getattr(self, each.name) for each in fields(self))

    def named(self, prefix: str) -> dict[str, Tensor]:
        """All of them by name, for a file."""
        return {f"{prefix}{each.name}": getattr(self, each.name) for each in fields(self)}

    @staticmethod
    def from_named(tensors: Mapping[str, Tensor], prefix: str) -> Sums:
        """Undo `named`; raises KeyError where one is missing."""
        return Sums(*(tensors[f"{prefix}{each.name}"] for each in fields(Sums)))

    def pencil(self, region: int, objective: Objective = SHAPE) -> SummedPencil:
        """A and T of a region."""
        return SummedPencil(self, region, objective)


class SummedPencil:
    """A and T = A + B of sums over images, as an objective without edges counts changes.

    Raises:
        RegionError: no image has the region, or nothing is to be found.
    """

    def __init__(self, sums: Sums, region: int, objective: Objective) -> None:
        count = int(sums.images[region])
        if not count:
            raise RegionError("none of the images responds there: no directions can be found")
        self.total = sums.total[region]
        self.weight = float(sums.weights[region]) / count
        self._taken = torch.zeros_like(self.total) if objective.colour else sums.colour[region]
        self._inside = sums.inside[region] - self._taken
        inside = float(sums.inside[region].trace())
        self.trace_outside = float(self.total.trace()) - inside
        check_split(inside, float(self._inside.trace()), self.trace_outside, float(self.total.trace()))

    def both(self) -> Tensor:
        return self.total - self._taken

    def inside(self, block: Tensor) -> Tensor:
        return self._inside @ block

    def solve(self, count: int, regularization: float) -> SummedDirections:
        """The `count` best directions.

        Args:
            regularization: λ, a fraction of tr(B).

        Raises:
            RegionError: `B + aI` is singular.
        """
        damping = regularization * self.trace_outside
        vectors = solve_cholesky(self, damping, min(count, len(self.total)))
        vectors = vectors / vectors.norm(dim=0)
        inside = (vectors * self.inside(vectors)).sum(dim=0).clamp_min(0.0)
        both = (vectors * (self.both() @ vectors)).sum(dim=0)
        quotients = inside / ((both - inside).clamp_min(0.0) + damping)
        order = quotients.argsort(descending=True)
        vectors = vectors * signs(vectors)
        return SummedDirections(vectors.T[order], quotients[order], damping / self.weight)


@dataclass(frozen=True, eq=False)
class SummedDirections:
    """Unit vectors `(k, d)` with their quotients `(k,)`, best first, in float64, and a (Eq. 10)."""

    vectors: Tensor
    quotients: Tensor
    damping: float
