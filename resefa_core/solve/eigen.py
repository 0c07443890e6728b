"""The largest eigenvalues of symmetric operators, and their vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_EXTRA = 4
"""Vectors that a block has beyond those that are wanted: the wanted ones then settle sooner."""

_SMALL = 256
_CONVERGED = 1e-6


def top_eigenvectors(apply: Callable[[Tensor], Tensor], like: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues `(count,)` of a symmetric positive operator, and their vectors `(d, count)`.

    Small operators are formed and decomposed. For others a block Krylov space (Lanczos with full
    orthogonalization) is grown until the residuals of the wanted pairs vanish next to the width of the
    spectrum; one that does not get there is decomposed after all.
    """
    size = like.shape[0]
    if size <= _SMALL or count > size // 8:
        return _eigenvectors_of(apply(torch.eye(size, dtype=like.dtype, device=like.device)), count)
    noise = torch.Generator().manual_seed(0)
    width = count + BLOCK_EXTRA
    block = torch.randn(size, width, generator=noise, dtype=torch.float64).to(like)
    newest = torch.linalg.qr(block)[0]
    basis, images = newest[:, :0], newest[:, :0]
    projected = newest.new_zeros(0, 0)
    while basis.shape[1] + width <= size // 2:
        image = apply(newest)
        across, own = basis.T @ image, newest.T @ image
        projected = torch.cat([torch.cat([projected, across], 1), torch.cat([across.T, own], 1)])
        basis, images = torch.cat([basis, newest], dim=1), torch.cat([images, image], dim=1)
        values, coordinates = torch.linalg.eigh(symmetric(projected))
        top = coordinates[:, -count:].flip(1)
        vectors = basis @ top
        residual = (images @ top - vectors * values[-count:].flip(0)).norm(dim=0)
        if bool((residual <= _CONVERGED * (values[-1] - values[0])).all()):
            return values[-count:].flip(0), vectors
        newest = image
        for _ in range(2):
            newest = newest - basis @ (basis.T @ newest)
            newest = torch.linalg.qr(newest)[0]
    return _eigenvectors_of(apply(torch.eye(size, dtype=like.dtype, device=like.device)), count)


def _eigenvectors_of(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(symmetric(matrix))
    return values[-count:].flip(0), vectors[:, -count:].flip(1)


def symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2
