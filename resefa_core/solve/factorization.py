"""The generalized Rayleigh quotient: what changes a region and leaves the rest alone.

With region weights m, `A = Jᵀ diag(m) J` and `B = Jᵀ diag(1 - m) J`, directions maximise
`nᵀA n / nᵀ(B + aI) n` with `a = λ tr(B)` (Eq. 7, 10, 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from ..analysis import DenseJacobian, Jacobian
from ..bounds import CHANGE, number, whole
from ..defaults import MAX_DIRECTIONS, NUM_DIRECTIONS
from ..directions import CONFINED, Directions
from ..directions.objective import PAPER, Objective
from ..errors import JacobianError, ParameterError
from ..memory import if_it_fits
from ..precision import analysis_mode
from ..progress import Progress
from ..regions import Region
from .cholesky import solve_cholesky, solve_in_spectrum
from .iterative import AppliedPencil
from .pencil import DensePencil
from .solution import Solution, pixels_of, signs, steps_of
from .terms import Terms
from .woodbury import solve_woodbury

Solver = Literal["auto", "cholesky", "woodbury"]

REGULARIZATION = 1e-3
"""λ, a fraction of tr(B), as in the paper. With less, edits are more local, and move several times as
far for the same change, where images stop being such images (docs/evaluation.md)."""

_SURELY_REGULAR = 1e-6
_LEAST_LIMIT = 640
_ACCURACIES = (0.5, 0.999999)


def factorize(
    jacobian: Jacobian | Sequence[Jacobian],
    region: Region | Sequence[Region],
    num_directions: int = NUM_DIRECTIONS,
    regularization: float = REGULARIZATION,
    *,
    objective: Objective = PAPER,
    solver: Solver = "auto",
    accuracy: float = 0.99,
    max_passes: int | None = None,
    start: Directions | None = None,
    progress: Progress | None = None,
) -> Directions:
    """Directions that change a region and leave the rest of the image alone, best first.

    Args:
        jacobian: of one image, or of several images of one generator in one space, a batch or a list: then A
            and B are summed over them (each divided by its own tr(JᵀJ)) and the directions hold for all.
        region: where to change the image; of several images, one for all, or one for each, such as a part
            that each has in its own place.
        num_directions: k, in [1, 512]; fewer are returned where d is smaller, or where only fewer
            change the region at all.
        regularization: λ >= 0, a fraction of tr(B).
        objective: what of a change counts: for `PAPER` all of it; `SHAPE` and `SHAPE_ALONE` are what methods
            take for edits that act everywhere and for confined ones.
        solver: `cholesky` (Eq. 9, 11) or `woodbury` (Eq. 12), or for `auto` the former, unless there is one
            Jacobian that was prepared: then in its spectrum, in less time. They agree. Matrix-free Jacobians
            are solved by block Davidson instead.
        accuracy: for matrix-free Jacobians, the share of its optimum that each quotient is to reach,
            from 0.5 to 0.999999; more takes more passes. Dense ones are solved exactly.
        max_passes: for matrix-free Jacobians, the most forward-mode products to spend on each image (those of
            its sketch included); by default d, which is what forming it takes, and at least 640.
        start: for matrix-free Jacobians, directions to begin the search with, such as those of a similar
            image or region: it takes fewer passes then. What is found is as accurate, if not the same.
        progress: for matrix-free Jacobians, called with (passes done, passes expected) after each
            step; dense ones are solved at once.

    Returns:
        Unit vectors with their quotients, mean squared change inside and outside the region per
        squared unit of distance, all of it, whatever the objective counts, and steps; the entry of largest
        magnitude of each is positive. Of Jacobians
        of confined edits, all of that is of confined edits, and the directions are `confined`.

    Raises:
        RegionError: the image does not respond inside the region, or nothing is left outside, or
            `B + aI` is singular.
        JacobianError: the Jacobians do not belong together.
        ParameterError: a number is out of range, or there are not as many regions as Jacobians.
    """
    given = [jacobian] if isinstance(jacobian, Jacobian) else jacobian
    jacobians = [part for each in given for part in each.parts]
    check_options(num_directions, regularization, solver)
    number(accuracy, "accuracy", *_ACCURACIES)
    regions = [region] * len(jacobians) if isinstance(region, Region) else list(region)
    _check(jacobians, regions)
    first = jacobians[0]
    if first.confined_to is not None and not all(map(_same, jacobians, regions)):
        raise JacobianError("the analysis is of edits that are confined to another region")
    if start is not None and (start.space, start.layers, start.vectors[0].shape) != (
        first.space,
        first.layers,
        first.shape,
    ):
        raise JacobianError(
            f"a start in {start.space} on layers {list(start.layers)} was given: expected {first.space} on "
            f"layers {list(first.layers)}"
        )
    count = min(num_directions, first.dimension)
    known = {id(each): Terms(objective, each.mask(first.height, first.width)) for each in regions}
    terms = [known[id(each)] for each in regions]
    with analysis_mode():
        if first.kind == "dense":
            formed = [each.formed() for each in jacobians]
            found = if_it_fits(lambda: solve_dense(formed, terms, count, regularization, solver))
            if found is None:
                formed = [each.to("cpu") for each in formed]
                found = solve_dense(formed, terms, count, regularization, solver)
            solution = found
        else:
            free = AppliedPencil(jacobians, terms, regularization, progress)
            if start is not None:
                free.begin_with(start.vectors.flatten(1))
            limit = max(first.dimension, _LEAST_LIMIT) if max_passes is None else max_passes
            solution = free.solve(count, accuracy, limit)
    return _directions(jacobians, regions, solution.responding(), regularization, objective)


@analysis_mode()
def _directions(
    jacobians: list[Jacobian],
    regions: Sequence[Region],
    solution: Solution,
    regularization: float,
    objective: Objective,
) -> Directions:
    """A solution in the terms that users see: change per pixel, steps, and where it comes from."""
    first = jacobians[0]
    inside_pixels, outside_pixels = pixels_of(regions, first.height, first.width)
    inside = solution.inside / inside_pixels.to(solution.inside)
    outside = solution.outside / outside_pixels.to(solution.outside)
    steps = steps_of(inside)
    vectors = solution.vectors.reshape(-1, *first.shape)
    seeds = [each.latent.seed for each in jacobians]
    return Directions(
        vectors=vectors.float().cpu(),
        eigenvalues=solution.quotients.float().cpu(),
        inside=inside.mean(dim=0).float().cpu(),
        outside=outside.mean(dim=0).float().cpu(),
        steps=steps.float().cpu(),
        steps_confined=None if first.confined_to is None else steps.float().cpu(),
        method="resefa" if first.confined_to is None else CONFINED,
        space=first.space,
        layers=first.layers,
        layer_sizes=first.layer_sizes,
        region=regions[0],
        generator=first.described,
        regularization=regularization,
        damping=solution.damping,
        objective=objective,
        truncation=first.latent.truncation,
        seeds=None if None in seeds else tuple(s for seed in seeds for s in seed or ()),
        num_samples=len(jacobians),
        base_codes=first.latent.codes_to_tell if len(jacobians) == 1 else None,
    )


def check_options(num_directions: int, regularization: float, solver: str) -> None:
    """Raise ParameterError unless `factorize` takes these."""
    whole(num_directions, "num_directions", 1, MAX_DIRECTIONS)
    number(regularization, "regularization", *CHANGE)
    if solver not in ("auto", "cholesky", "woodbury"):
        raise ParameterError(f"solver {solver!r} is unknown: expected 'auto', 'cholesky' or 'woodbury'")


def _check(jacobians: list[Jacobian], regions: list[Region]) -> None:
    if not jacobians:
        raise JacobianError("no Jacobians were given")
    if len(regions) != len(jacobians):
        raise ParameterError(f"{len(regions)} regions were given for {len(jacobians)} Jacobians")
    first = jacobians[0]
    for other, region in zip(jacobians[1:], regions[1:], strict=True):
        for what in ("space", "layers", "shape", "height"):
            if getattr(other, what) != getattr(first, what):
                raise JacobianError(
                    f"Jacobians of different {what} were given: {getattr(first, what)} and "
                    f"{getattr(other, what)}"
                )
        if other.kind != first.kind:
            raise JacobianError("dense and matrix-free Jacobians can't be solved together")
        alike = region is regions[0]
        if (other.confined_to is None) != (first.confined_to is None) or (
            alike and not _same(first, other.confined_to)
        ):
            raise JacobianError("Jacobians of edits that are confined differently were given")
        if other.device != first.device:
            raise JacobianError(f"Jacobians on {first.device} and on {other.device} were given")
        if other.described.fingerprint != first.described.fingerprint:
            raise JacobianError(
                f"Jacobians of different generators were given: {first.described.name!r} and "
                f"{other.described.name!r}"
            )
    for each in jacobians:
        each.check_response()


def _same(jacobian: Jacobian, region: Region | None) -> bool:
    """Whether a Jacobian is of edits that are confined to a region; to nothing for None."""
    confined_to = jacobian.confined_to
    if confined_to is None or region is None:
        return confined_to is region
    size = (jacobian.height, jacobian.width)
    return torch.equal(confined_to.mask(*size, check=False), region.mask(*size, check=False))


def solve_dense(
    jacobians: list[DenseJacobian],
    terms: Sequence[Terms],
    count: int,
    regularization: float,
    solver: Solver,
) -> Solution:
    alone = solver == "auto" and regularization >= _SURELY_REGULAR and len(jacobians) == 1
    spectrum = jacobians[0].spectrum if alone and len(terms[0].first) == 0 else None
    pencil = DensePencil(jacobians if spectrum is None else [spectrum.rotated], terms)
    damping = regularization * pencil.trace_outside
    if spectrum is not None:
        vectors = solve_in_spectrum(pencil, damping, count)
    elif solver == "woodbury":
        vectors = solve_woodbury(pencil, damping, count)
    else:
        vectors = solve_cholesky(pencil, damping, count)
    vectors = vectors / vectors.norm(dim=0)
    inside, outside = pencil.energies(vectors)
    quotients = pencil.quotients(vectors, inside, outside, damping)
    if spectrum is not None:
        vectors = spectrum.basis @ vectors
    vectors = vectors * signs(vectors)
    weights = torch.tensor(pencil.weights, dtype=inside.dtype, device=inside.device)
    order = quotients.argsort(descending=True)
    return Solution(
        vectors.T[order],
        quotients[order],
        inside[:, order],
        outside[:, order],
        damping / float(weights.mean()),
    )
