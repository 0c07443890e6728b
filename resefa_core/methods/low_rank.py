"""LowRankGAN: the low-rank part of what a region responds to, where the rest does not respond."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from ..analysis import DenseJacobian
from ..directions import Directions
from ..errors import ParameterError, RegionError
from ..memo import Memo
from ..progress import Progress, stage
from ..spaces import ONE_VECTOR_FIRST, vector_shape
from .base import Parameter, Request, measured, register_method
from .robust_pca import robust_pca

_LARGEST = 2048
_PUBLISHED_WEIGHT = math.sqrt(512.0) / 60.0
_NEGLIGIBLE = 1e-6
_NO_RESPONSE = 1e-9
_known: Memo[Tensor] = Memo(4)


@register_method(
    key="lowrankgan",
    title="LowRankGAN",
    citation="Zhu, Feng, Shen, Zhao, Zha, Zhou and Chen: Low-Rank Subspaces in GANs. NeurIPS 2021",
    summary="The low-rank part of what changes the region, projected to where the rest's low-rank part is "
    "blind.",
    spaces=ONE_VECTOR_FIRST,
    uses_region=True,
    uses_analyses=True,
    parameters=(
        Parameter(
            name="lambda",
            default=_PUBLISHED_WEIGHT,
            minimum=0.01,
            maximum=100.0,
            help="the price of the sparse part, times the root of the space's dimension: lower values leave "
            "fewer directions, and a larger null space",
            published="1/60 in 512 dimensions, which is 0.377 here",
        ),
        Parameter(
            name="relaxation",
            default=0,
            minimum=0,
            maximum=_LARGEST,
            help="how many of the weakest directions of the rest's low-rank part may be moved along",
            published="0",
            whole=True,
        ),
        Parameter(
            name="fuse_channels",
            default=0,
            minimum=0,
            maximum=1,
            help="1: analyse the mean of the colour channels, which is blind to hue",
            published="1",
            whole=True,
        ),
        Parameter(
            name="max_iterations",
            default=1000,
            minimum=1,
            maximum=10_000,
            help="of the alternating directions; they mostly take a few hundred",
            published="10,000",
            whole=True,
        ),
    ),
)
def find(request: Request) -> Directions:
    """The principal space of the region, projected to the null space of the rest."""
    size = math.prod(vector_shape(request.generator, request.space, request.layers))
    if size > _LARGEST:
        raise ParameterError(
            f"LowRankGAN decomposes matrices of {size} x {size} here, hundreds of times: expected at most "
            f"{_LARGEST}; take fewer layers, or a smaller space"
        )
    inside, outside = _grams(request, stage(request.progress, 0, 4))
    weight = request.parameters["lambda"] / math.sqrt(size)
    iterations = int(request.parameters["max_iterations"])
    region = _principal(inside, weight, iterations, stage(request.progress, 1, 4))
    rest = _principal(outside, weight, iterations, stage(request.progress, 2, 4))
    vectors = projected(region, rest, int(request.parameters["relaxation"]))
    if len(vectors) == 0:
        raise RegionError(
            "LowRankGAN found no low-rank part of this region outside the rest's: raise lambda, or relaxation"
        )
    return measured(request, vectors[: request.num_directions], stage(request.progress, 3, 4))


def _principal(gram: Tensor, weight: float, iterations: int, progress: Progress | None) -> Tensor:
    """The vectors of a matrix's low-rank part, `(d, r)`."""
    key = (hashlib.sha256(gram.numpy().tobytes()).digest(), weight, iterations)
    return _known.get(key, lambda: robust_pca(gram, weight, iterations, progress).vectors)


def projected(region: Tensor, rest: Tensor, relaxation: int) -> Tensor:
    """The region's principal directions within the null space of the rest.

    Args:
        region: orthonormal columns `(d, r)`, the region's principal space.
        rest: the same for the rest; an orthogonal complement of its first `rank - relaxation` columns, of
            which at least one and at most d - 1 are taken, is the null space.
        relaxation: how many of the rest's weakest directions may change all the same.

    Returns:
        Unit vectors `(n, d)` in the region's order, without those that have nothing in the null space.
    """
    kept = min(max(1, rest.shape[1] - relaxation), len(rest) - 1)
    basis = rest[:, :kept]
    vectors = (region - basis @ (basis.T @ region)).T
    norms = vectors.norm(dim=1)
    left = norms > _NEGLIGIBLE
    return vectors[left] / norms[left, None]


def _grams(request: Request, progress: Progress | None) -> tuple[Tensor, Tensor]:
    """Jᵀ diag(m) J and Jᵀ diag(1 - m) J, each over tr(JᵀJ), summed over images."""
    parts = []
    for jacobian, region in zip(request.analyses(progress, kind="dense"), request.regions, strict=True):
        mask = region.mask(jacobian.height, jacobian.width)
        dense = jacobian.formed()
        if request.parameters["fuse_channels"]:
            fused = dense.matrix.mean(dim=1, keepdim=True).expand_as(dense.matrix)
            dense = DenseJacobian(fused, dense.subject)
        dense.check_response()
        both = dense.gram().cpu()
        inside = dense.gram(mask).cpu()
        parts.append(torch.stack([inside, both - inside]) / both.trace())
    inside, outside = torch.stack(parts).sum(dim=0)
    for gram, where in ((inside, "inside"), (outside, "outside")):
        if not float(gram.trace()) > _NO_RESPONSE * len(parts):
            raise RegionError(f"the image does not respond {where} the region")
    return inside, outside
