"""The pencil by the inverse root of B + aI (Eq. 12)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import RegionError
from .eigen import symmetric, top_eigenvectors
from .pencil import SINGULAR, DensePencil


def solve_woodbury(pencil: DensePencil, damping: float, count: int) -> Tensor:
    """Eq. 12: `S = (I - V diag(1 - sqrt(a / (a + D²))) Vᵀ) / sqrt(a)` is the inverse root of `B + aI`,
    V and D the right singular vectors and values of `sqrt(1 - m) J`; eigenvectors of `S A S`, by S."""
    identity = torch.eye(pencil.total.shape[0], dtype=torch.float64, device=pencil.total.device)
    squares, basis = torch.linalg.eigh(symmetric(pencil.both() - pencil.inside(identity)))
    squares = squares.clamp_min(0.0)
    if damping > 0:
        shrink = 1.0 - (damping / (damping + squares)).sqrt()
        root = (identity - (basis * shrink) @ basis.T) / math.sqrt(damping)
    elif float(squares[0]) <= 1e-13 * float(squares[-1]):
        raise RegionError(SINGULAR)
    else:
        root = (basis * squares.rsqrt()) @ basis.T
    return root @ top_eigenvectors(lambda block: root @ pencil.inside(root @ block), pencil.total, count)[1]
