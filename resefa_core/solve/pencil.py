"""The pencil (A, T) of Jacobians that were formed, T = A + B."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..analysis import DenseJacobian
from ..errors import RegionError
from ..memory import if_it_fits
from ..precision import wide
from .solution import NEGLIGIBLE

_ROW_BYTES = 256 << 20
SINGULAR = (
    "B + aI is singular: some directions change nothing outside the region; "
    "use a regularization above 0, such as 1e-4"
)


def check_split(inside: float, outside: float, total: float) -> None:
    if not inside > NEGLIGIBLE * total:
        raise RegionError("the image does not respond here: no direction changes this region")
    if not outside > NEGLIGIBLE * total:
        raise RegionError("nothing is left outside: all that changes lies in the region")


class DensePencil:
    """A and T = A + B of Jacobians that were formed, summed over images, each over its tr(JᵀJ).

    T is the same for every region. A is applied through the rows of J on the smaller side of the
    region's edge, `A = R Rᵀ` or `A = T - R Rᵀ`, and only formed where these rows are very many.
    """

    def __init__(self, jacobians: list[DenseJacobian], mask: Tensor) -> None:
        self.totals = [each.gram() for each in jacobians]
        traces = [each.trace for each in jacobians]
        self.weights = [1.0 / trace for trace in traces]
        self.total = self.totals[0] * self.weights[0]
        for weight, total in zip(self.weights[1:], self.totals[1:], strict=True):
            self.total = self.total + weight * total
        self.complement = int((mask > 0).sum()) > int((mask < 1).sum())
        side = 1.0 - mask if self.complement else mask
        self.products = [RowProduct(each, side) for each in jacobians]
        own = sum(w * p.trace for w, p in zip(self.weights, self.products, strict=True))
        both = sum(w * t for w, t in zip(self.weights, traces, strict=True))
        self.trace_inside = both - own if self.complement else own
        self.trace_outside = own if self.complement else both - own

    def inside(self, block: Tensor) -> Tensor:
        """A times a block `(d, n)`."""
        product = torch.zeros_like(block)
        for weight, rows in zip(self.weights, self.products, strict=True):
            product.add_(rows.apply(block), alpha=weight)
        return self.total @ block - product if self.complement else product

    def energies(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Each image's nᵀA n and nᵀB n of each column, `(images, n)`."""
        own = torch.stack([(vectors * rows.apply(vectors)).sum(dim=0) for rows in self.products])
        both = torch.stack([(vectors * (total @ vectors)).sum(dim=0) for total in self.totals])
        other = (both - own).clamp_min(0.0)
        return (other, own) if self.complement else (own, other)


class RowProduct:
    """`R Rᵀ` for the rows of a Jacobian under weights, applied by rows or as a matrix."""

    def __init__(self, jacobian: DenseJacobian, weights: Tensor) -> None:
        pixels = int((weights > 0).sum())
        self._rows: Tensor | None = None
        self._gram: Tensor | None = None
        if 8 * 3 * pixels * jacobian.dimension <= _ROW_BYTES:
            self._rows = if_it_fits(lambda: wide(jacobian.rows(weights)))
        if self._rows is not None:
            self.trace = float(torch.linalg.vector_norm(self._rows)) ** 2
        else:
            self._gram = jacobian.gram(weights)
            self.trace = float(self._gram.trace())

    def apply(self, block: Tensor) -> Tensor:
        if self._gram is not None:
            return self._gram @ block
        assert self._rows is not None
        return ((block.T @ self._rows) @ self._rows.T).T

    def scaled(self, scale: Tensor) -> Callable[[Tensor], Tensor]:
        """The product with latent entries scaled, by `(d, 1)`, on both sides, as accurate as float32."""
        if self._gram is not None:
            return lambda block: scale * self.apply(scale * block)
        assert self._rows is not None
        rows = (self._rows * scale).float()
        return lambda block: ((block.T.float() @ rows) @ rows.T).T.to(block)
