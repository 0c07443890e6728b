"""The pencil by a factor of T + aI (Eq. 9, 11): by Cholesky, or in coordinates where T is diagonal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import RegionError
from .eigen import top_eigenvectors
from .pencil import SINGULAR, DensePencil


def solve_cholesky(pencil: DensePencil, damping: float, count: int) -> Tensor:
    """Eq. 9, on A against T + aI instead of B + aI.

    `A n = θ (B + aI) n` is `A n = μ (T + aI) n` with `μ = θ / (1 + θ)`: the same vectors in the same order,
    and T needs no product per region. With `T + aI = L Lᵀ`: the eigenvectors of `L⁻¹ A L⁻ᵀ`, taken back
    by `L⁻ᵀ`.
    """
    damped = pencil.total.clone()
    damped.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(damped)
    diagonal = factor.diagonal()
    if bool(failed) or float(diagonal.min()) <= 1e-7 * float(diagonal.max()):
        raise RegionError(SINGULAR)
    transposed = factor.T.contiguous()

    def whitened(block: Tensor) -> Tensor:
        lowered = torch.linalg.solve_triangular(transposed, block, upper=True)
        return torch.linalg.solve_triangular(factor, pencil.inside(lowered), upper=False)

    values, top = top_eigenvectors(whitened, pencil.total, count)
    if float(values[0]) >= 1.0 - 1e-12:
        raise RegionError(SINGULAR)
    return torch.linalg.solve_triangular(transposed, top, upper=True)


def solve_in_spectrum(pencil: DensePencil, damping: float, count: int) -> Tensor:
    """As `solve_cholesky`, in coordinates where T is diagonal: `(T + aI)^(-1/2)` only scales the rows of J,
    each by itself, so that what float32 keeps of them does."""
    squares = pencil.total.diagonal()[:, None]
    scale = (squares + damping).rsqrt()
    own = pencil.products[0].scaled(scale * math.sqrt(pencil.weights[0]))
    share = squares * scale.square()

    def whitened(block: Tensor) -> Tensor:
        return share * block - own(block) if pencil.complement else own(block)

    return scale * top_eigenvectors(whitened, pencil.total, count)[1]
