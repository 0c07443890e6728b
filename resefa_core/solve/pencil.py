"""The pencil (A, T) of Jacobians that were formed, T = A + B."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..analysis import DenseJacobian
from ..errors import RegionError
from ..memory import if_it_fits
from ..precision import wide
from .solution import NEGLIGIBLE
from .terms import Terms

_ROW_BYTES = 256 << 20
SINGULAR = (
    "B + aI is singular: some directions change nothing outside the region; "
    "use a regularization above 0, such as 1e-4"
)


class Pencil(Protocol):
    """(A, T) as solvers need them, T = A + B.

    Attributes:
        total: JᵀJ summed over images, whatever an objective counts, `(d, d)`, in float64.
    """

    total: Tensor

    def both(self) -> Tensor:
        """T, `(d, d)`, as the objective counts changes; the caller's own."""
        ...

    def inside(self, block: Tensor) -> Tensor:
        """A times a block `(d, n)`, as the objective counts changes."""
        ...


def weight_of(jacobian: DenseJacobian) -> float:
    """What an image counts among several that are solved together: one over its tr(JᵀJ), so that none counts
    for more because it changes more."""
    return 1.0 / jacobian.trace


def check_split(inside: float, shape: float, outside: float, total: float) -> None:
    """Raise RegionError where nothing is to be found.

    Args:
        inside: tr(A), all of it.
        shape: what of it an objective counts.
        outside: tr(B).
        total: tr(JᵀJ).
    """
    if not inside > NEGLIGIBLE * total:
        raise RegionError("the image does not respond here: no direction changes this region")
    if not shape > NEGLIGIBLE * total:
        raise RegionError(
            "nothing but the mean colour of this region changes: let it count (the parameter colour=1)"
        )
    if not outside > NEGLIGIBLE * total:
        raise RegionError("nothing is left outside: all that changes lies in the region")


class DensePencil:
    """A and T = A + B of Jacobians that were formed, summed over images, each over its tr(JᵀJ), and each with
    its own terms.

    JᵀJ is the same for every region. A is applied through the rows of J on the smaller side of the
    region's edge, `A = R Rᵀ` or `A = T - R Rᵀ`, and only formed where these rows are very many. Of an
    objective's terms A and T lose `colour colourᵀ`, and T gains `edge`.

    Attributes:
        colour: `(d, 3 * images)`, of no columns where colour counts.
        edge: `(d, d)`, None where edges don't count.
    """

    def __init__(self, jacobians: list[DenseJacobian], terms: Sequence[Terms]) -> None:
        self.totals = [each.gram() for each in jacobians]
        traces = [each.trace for each in jacobians]
        self.weights = [weight_of(each) for each in jacobians]
        self.total = self.totals[0] * self.weights[0]
        for weight, total in zip(self.weights[1:], self.totals[1:], strict=True):
            self.total = self.total + weight * total
        masks = [each.mask for each in terms]
        self.complement = sum(int((each > 0).sum()) - int((each < 1).sum()) for each in masks) > 0
        self.products = [
            RowProduct(each, 1.0 - mask if self.complement else mask)
            for each, mask in zip(jacobians, masks, strict=True)
        ]
        own = sum(w * p.trace for w, p in zip(self.weights, self.products, strict=True))
        both = sum(w * t for w, t in zip(self.weights, traces, strict=True))
        inside, outside = (both - own, own) if self.complement else (own, both - own)
        self.colour, self.edge = self._terms(jacobians, terms)
        shape = inside - float(self.colour.square().sum())
        check_split(inside, shape, outside, float(len(jacobians)))
        self.trace_outside = outside + (0.0 if self.edge is None else float(self.edge.trace()))

    def _terms(self, jacobians: list[DenseJacobian], terms: Sequence[Terms]) -> tuple[Tensor, Tensor | None]:
        colours, edge = [], None
        for jacobian, weight, each in zip(jacobians, self.weights, terms, strict=True):
            colours.append(math.sqrt(weight) * each.colour_rows(jacobian))
            own = each.edge_gram(jacobian)
            if own is not None:
                edge = weight * own if edge is None else edge + weight * own
        return torch.cat(colours, dim=1), edge

    def both(self) -> Tensor:
        """T = A + B, `(d, d)`, as the objective counts changes."""
        both = self.total - self.colour @ self.colour.T
        return both if self.edge is None else both + self.edge

    def inside(self, block: Tensor) -> Tensor:
        """A times a block `(d, n)`, as the objective counts changes."""
        product = torch.zeros_like(block)
        for weight, rows in zip(self.weights, self.products, strict=True):
            product.add_(rows.apply(block), alpha=weight)
        counted = self.total @ block - product if self.complement else product
        return counted - self.colour @ (self.colour.T @ block)

    def quotients(self, vectors: Tensor, inside: Tensor, outside: Tensor, damping: float) -> Tensor:
        """nᵀA n / nᵀ(B + aI) n of each unit column, as the objective counts changes, from `energies`."""
        weights = torch.tensor(self.weights, dtype=inside.dtype, device=inside.device)
        counted = weights @ inside - (self.colour.T @ vectors).square().sum(dim=0)
        against = weights @ outside + damping
        if self.edge is not None:
            against = against + (vectors * (self.edge @ vectors)).sum(dim=0)
        return counted.clamp_min(0.0) / against

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
