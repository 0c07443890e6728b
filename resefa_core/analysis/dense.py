"""Jacobians that are formed and kept: any region is then a matter of small matrix products."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..generators.base import Generator
from ..precision import solver_device, wide
from ..progress import Progress
from .jacobian import Jacobian, Subject
from .sketch import Sketch, sketch_of

_MAX_PREPARED = 2048
_NO_CHANGE = 1e-13


class DenseJacobian(Jacobian):
    """A Jacobian that was formed.

    Args:
        matrix: `(d, 3, h, w)`, float32, row i the change of the image along latent entry i.
        subject: what it is of.
        total: JᵀJ, `(d, d)`, in float64, where it is known; computed when it is first needed for None.
        rough: whether the matrix is off by a percent: then its products are summed by parts in float32.
    """

    kind = "dense"

    def __init__(
        self, matrix: Tensor, subject: Subject, total: Tensor | None = None, rough: bool = False
    ) -> None:
        super().__init__(subject)
        self.matrix = matrix
        self._total = total
        self._rough = rough
        self._spectrum: Spectrum | None = None
        self._sketch: Sketch | None = None

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        return torch.tensordot(vectors.to(self.matrix), self.matrix, dims=1)

    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        return images.to(self.matrix).flatten(1) @ self.matrix.flatten(1).T

    def columns(self, progress: Progress | None = None) -> Tensor:
        return self.matrix

    def formed(self, progress: Progress | None = None) -> DenseJacobian:
        return self

    def leading(self) -> tuple[Tensor, Tensor]:
        return self.matrix, torch.eye(self.dimension, dtype=self.matrix.dtype, device=self.device)

    def leading_gram(self) -> Tensor:
        return self.gram()

    def gram(self, weights: Tensor | None = None, beat: Callable[[], None] | None = None) -> Tensor:
        """`Jᵀ diag(weights) J`, `(d, d)`, in float64.

        Args:
            weights: `(h, w)`, at least 0; all ones for None, which is computed once and kept.
            beat: called now and then; the work stops if it raises.
        """
        if weights is None:
            if self._total is None:
                self._total = self._product(self.matrix.flatten(1), beat)
            return self._total
        return self._product(self.rows(weights), beat)

    def rows(self, weights: Tensor) -> Tensor:
        """`Jᵀ diag(sqrt(weights))` without the pixels of no weight, `(d, 3 * pixels)`, float32."""
        mask = weights.flatten().to(self.device)
        used = mask.nonzero()[:, 0]
        return (self.matrix.flatten(2)[:, :, used] * mask[used].sqrt()).flatten(1)

    def _product(self, rows: Tensor, beat: Callable[[], None] | None = None) -> Tensor:
        """`rows rowsᵀ` in float64: the lower triangle in blocks, then its mirror image."""
        size, device = self.dimension, solver_device(self.device)
        total = torch.zeros(size, size, dtype=torch.float64, device=device)
        block = max(64, -(-size // 8))
        for part in rows.split(max(1, (64 << 20) // (8 * size)), dim=1):
            factor = part.to(device) if self._rough else wide(part)
            for start in range(0, size, block):
                stop = start + block
                sums, left, right = total[start:, start:stop], factor[start:], factor[start:stop].T
                if self._rough:
                    sums += left @ right
                else:
                    sums.addmm_(left, right)
                if beat is not None:
                    beat()
        lower = total.tril(-1)
        return total.tril() + lower.T

    def prepare(self, progress: Progress | None = None) -> None:
        """Compute the `spectrum`, unless it is there. It takes as long as some ten regions do without it, and
        a region takes a third of the time with it. Nothing is done where d is above 2048."""
        if self._spectrum is not None or self.dimension > _MAX_PREPARED:
            return
        squares, basis = torch.linalg.eigh(self.gram())
        changing = squares > _NO_CHANGE * squares[-1]
        squares, basis = squares[changing], basis[:, changing]
        images = self.matrix.new_empty(squares.shape[0], self.num_outputs)
        rows = self.matrix.flatten(1)
        width = max(1, (64 << 20) // (8 * self.dimension))
        for start in range(0, self.num_outputs, width):
            images[:, start : start + width] = basis.T @ wide(rows[:, start : start + width])
            if progress is not None:
                progress(min(start + width, self.num_outputs), self.num_outputs)
        rotated = DenseJacobian(
            images.reshape(-1, *self.matrix.shape[1:]),
            replace(self.subject, shape=(squares.shape[0],), layer_sizes=(), confined_to=None),
            squares.diag(),
        )
        self._spectrum = Spectrum(squares, basis, rotated)

    @property
    def spectrum(self) -> Spectrum | None:
        """The eigenvectors of JᵀJ, once `prepare` has computed them."""
        return self._spectrum

    @property
    def trace(self) -> float:
        return float(self.gram().trace())

    @property
    def sketch(self) -> Sketch:
        if self._sketch is None:
            self._sketch = sketch_of(self)
        return self._sketch

    @property
    def nbytes(self) -> int:
        extras = sum(each.nbytes for each in (self._spectrum, self._sketch) if each is not None)
        return self.matrix.nbytes + self.gram().nbytes + extras

    def to(self, device: torch.device | str) -> DenseJacobian:
        """The same Jacobian with its matrix on a device; itself if it is there."""
        if self.matrix.device == torch.device(device):
            return self
        moved = copy.copy(self)
        moved.matrix = self.matrix.to(device)
        moved._total = self.gram().to(solver_device(moved.matrix.device))
        moved._spectrum = None if self._spectrum is None else self._spectrum.to(moved.matrix.device)
        moved._sketch = None
        return moved

    def release(self) -> None:
        """Nothing: what is kept is dear."""

    def detached(self) -> DenseJacobian:
        return self.to("cpu")

    def _on(self, generator: Generator) -> DenseJacobian:
        return self.to(generator.device)

    def file_tensors(self) -> dict[str, Tensor]:
        return {"matrix": self.matrix}


@dataclass(frozen=True)
class Spectrum:
    """`JᵀJ = V diag(D²) Vᵀ`, without the directions that change nothing.

    Attributes:
        squares: D², `(r,)`, in float64, ascending.
        basis: V, `(d, r)`, in float64.
        rotated: JV as a Jacobian with respect to coordinates in V, whose JᵀJ is diagonal.
    """

    squares: Tensor
    basis: Tensor
    rotated: DenseJacobian

    @property
    def nbytes(self) -> int:
        """The memory that it takes, in bytes."""
        return self.squares.nbytes + self.basis.nbytes + self.rotated.nbytes

    def to(self, device: torch.device) -> Spectrum:
        """The same with its tensors on a device, or next to one that has no float64."""
        solver = solver_device(device)
        return Spectrum(self.squares.to(solver), self.basis.to(solver), self.rotated.to(device))
