"""Directions of other images, adapted to one image: what they change there stays, what they leak goes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..analysis import Jacobian
from ..bounds import CHANGE, number
from ..directions import Directions
from ..directions.objective import PAPER
from ..errors import JacobianError, ParameterError, RegionError
from ..precision import analysis_mode
from .factorization import REGULARIZATION
from .pencil import SINGULAR, DensePencil
from .solution import NEGLIGIBLE, pixels_of
from .terms import Terms


@analysis_mode()
def adapt(jacobian: Jacobian, directions: Directions, regularization: float = REGULARIZATION) -> Directions:
    """Directions that change their region of an image as the given ones do, and the rest of it less.

    Of all v whose change inside has as much of n's, the one that leaks least: `v = (B + aI)⁻¹ A n`, with
    `a = λ tr(B)` (A and B as in Eq. 7). A strength changes as much of it as before. Directions that don't
    change the region of this image stay as they are.

    Args:
        jacobian: of the one image, in the directions' space and on their layers.
        directions: of a region, for edits that act everywhere.
        regularization: λ >= 0.

    Raises:
        JacobianError: the Jacobian is in another space or on other layers, or of several images.
        ParameterError: the directions are for confined edits, or λ is out of range.
        RegionError: they have no region, or nothing is left outside it, or `B + aI` is singular.
    """
    number(regularization, "regularization", *CHANGE)
    _check(jacobian, directions)
    assert directions.region is not None
    formed = jacobian.formed()
    terms = Terms(PAPER, directions.region.mask(jacobian.height, jacobian.width))
    pencil = DensePencil([formed], [terms])
    device = pencil.total.device
    given = directions.vectors.flatten(1).double().to(device).T
    pulled = pencil.inside(given)
    damping = regularization * pencil.trace_outside
    leak = pencil.total - pencil.inside(torch.eye(len(given), dtype=given.dtype, device=device))
    leak.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex((leak + leak.T) / 2)
    if bool(failed):
        raise RegionError(SINGULAR)
    found = torch.cholesky_solve(pulled, factor)
    inside, _ = pencil.energies(given)
    kept = inside[0] <= NEGLIGIBLE * formed.trace
    found[:, kept] = given[:, kept]
    found = found / found.norm(dim=0)
    shares = (given * pulled).sum(dim=0) / (found * pulled).sum(dim=0)
    shares[kept] = 1.0
    return _measured(pencil, jacobian, directions, found, shares, regularization, damping)


def _measured(
    pencil: DensePencil,
    jacobian: Jacobian,
    directions: Directions,
    found: Tensor,
    shares: Tensor,
    regularization: float,
    damping: float,
) -> Directions:
    """What was found, with what it changes at this image."""
    inside, outside = pencil.energies(found)
    quotients = pencil.quotients(found, inside, outside, damping)
    assert directions.region is not None
    inside_pixels, outside_pixels = pixels_of([directions.region], jacobian.height, jacobian.width)
    return replace(
        directions,
        vectors=found.T.float().cpu().reshape(directions.vectors.shape),
        eigenvalues=quotients.float().cpu(),
        inside=(inside[0].cpu() / inside_pixels[0]).float(),
        outside=(outside[0].clamp_min(0.0).cpu() / outside_pixels[0]).float(),
        steps=(directions.steps.double() * shares.cpu()).float(),
        regularization=regularization,
        damping=damping / pencil.weights[0],
        recipe=None,
    )


def _check(jacobian: Jacobian, directions: Directions) -> None:
    if directions.region is None:
        raise RegionError("these directions have no region that they could be kept to: give them one")
    if directions.confined or jacobian.confined_to is not None:
        raise ParameterError("directions for confined edits leak little: adapt those that act everywhere")
    if len(jacobian.parts) != 1:
        raise JacobianError(f"the analysis is of {len(jacobian.parts)} images: expected one")
    told = (directions.space, directions.layers, tuple(directions.vectors.shape[1:]))
    if told != (jacobian.space, jacobian.layers, jacobian.shape):
        raise JacobianError(
            f"an analysis in {jacobian.space} on layers {list(jacobian.layers)} was given: expected "
            f"{directions.space} on layers {list(directions.layers)}, of the same generator"
        )
