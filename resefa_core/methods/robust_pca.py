"""Robust principal component analysis of a symmetric matrix (Candès, Li, Ma and Wright, 2011)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..progress import Progress

_RELAXATION = 1.6
_TOLERANCE = 1e-5


class LowRankSparse(NamedTuple):
    """What a symmetric matrix was split into.

    Attributes:
        values, vectors: the eigenvalues of the low-rank part that are not zero, by descending magnitude,
            `(r,)`, and their vectors `(d, r)`.
        sparse: the other part, `(d, d)`.
        multiplier: Y, `(d, d)`, which at the optimum is a subgradient both of the low-rank part's nuclear
            norm and of λ times the sparse part's sum of magnitudes.
        iterations: how many it took.
    """

    values: Tensor
    vectors: Tensor
    sparse: Tensor
    multiplier: Tensor
    iterations: int

    @property
    def low_rank(self) -> Tensor:
        return (self.vectors * self.values) @ self.vectors.T


def robust_pca(
    matrix: Tensor,
    weight: float,
    max_iterations: int = 1000,
    progress: Progress | None = None,
) -> LowRankSparse:
    """Minimise `‖L‖_* + λ ‖S‖_1` with `L + S = M`, by over-relaxed alternating directions (ADMM).

    It stops when `‖M − L − S‖ / ‖M‖`, and what `S` last changed by, against the multiplier, are below
    1e-5, or after so many iterations, each of which takes an eigendecomposition.

    Args:
        matrix: M, symmetric, `(d, d)`, float64, not zero.
        weight: λ, above 0.
        max_iterations: at least 1.
        progress: called with (iterations done, iterations allowed); the work stops if it raises.
    """
    scale = matrix.norm()
    given = matrix / scale
    penalty = given.numel() / float(given.abs().sum())
    sparse, multiplier = torch.zeros_like(given), torch.zeros_like(given)
    iterations, converged = 0, False
    while not converged and iterations < max_iterations:
        values, vectors = _thresholded(given - sparse + multiplier / penalty, 1.0 / penalty)
        low = (vectors * values) @ vectors.T
        relaxed = _RELAXATION * low + (1.0 - _RELAXATION) * (given - sparse)
        before, sparse = sparse, _shrunk(given - relaxed + multiplier / penalty, weight / penalty)
        multiplier = multiplier + penalty * (given - relaxed - sparse)
        gap = float((given - low - sparse).norm())
        change = penalty * float((sparse - before).norm() / multiplier.norm())
        converged = max(gap, change) <= _TOLERANCE
        iterations += 1
        if progress is not None:
            progress(max_iterations if converged else iterations, max_iterations)
    order = values.abs().argsort(descending=True)
    return LowRankSparse(values[order] * scale, vectors[:, order], sparse * scale, multiplier, iterations)


def _thresholded(matrix: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The eigenvalues of a symmetric matrix, shrunk towards zero, and the vectors of those that are left."""
    values, vectors = torch.linalg.eigh(matrix)
    shrunk = _shrunk(values, threshold)
    kept = shrunk != 0
    return shrunk[kept], vectors[:, kept]


def _shrunk(values: Tensor, threshold: float) -> Tensor:
    return values.sign() * (values.abs() - threshold).clamp_min(0.0)
