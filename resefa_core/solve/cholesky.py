"""The pencil by a factor of T + aI (Eq. 9, 11): by Cholesky, or in coordinates where T is diagonal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import RegionError
from .eigen import top_eigenvectors
from .pencil import SINGULAR, DensePencil, Pencil


def solve_cholesky(pencil: Pencil, damping: float, count: int) -> Tensor:
    """Eq. 9, on A against T + aI instead of B + aI.

    `A n = θ (B + aI) n` is `A n = μ (T + aI) n` with `μ = θ / (1 + θ)`: the same vectors in the same order,
    and JᵀJ, most of T, needs no product per region. With `T + aI = L Lᵀ`: the eigenvectors of `L⁻¹ A L⁻ᵀ`,
    taken back by `L⁻ᵀ`.
    """
    damped = pencil.both()
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
    each by itself, so that what float32 keeps of them does. Edges don't count here; the region's mean colour
    is taken from T by a matrix of three columns, `I - U Uᵀ` once T is scaled, whose inverse root is known."""
    assert pencil.edge is None
    squares = pencil.total.diagonal()[:, None]
    scale = (squares + damping).rsqrt()
    own = pencil.products[0].scaled(scale * math.sqrt(pencil.weights[0]))
    share = squares * scale.square()
    colour = scale * pencil.colour
    basis, sizes, _ = torch.linalg.svd(colour, full_matrices=False)
    growth = (1.0 - sizes.square()).clamp_min(1e-12).rsqrt() - 1.0

    def restored(block: Tensor) -> Tensor:
        """`(I - U Uᵀ)^(-1/2)` times a block."""
        return block + basis @ (growth[:, None] * (basis.T @ block))

    def whitened(block: Tensor) -> Tensor:
        block = restored(block)
        counted = share * block - own(block) if pencil.complement else own(block)
        return restored(counted - colour @ (colour.T @ block))

    return scale * restored(top_eigenvectors(whitened, pencil.total, count)[1])
