"""Jacobians that are only applied, for latent spaces too large to form them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..errors import JacobianError
from ..generators.base import Generator
from ..latents import Latent
from ..precision import analysis_mode, rough_type
from ..progress import Progress
from ..regions import Region
from .budget import memory_for
from .dense import DenseJacobian
from .derivative import ImageDerivative, derivative_at
from .jacobian import Jacobian, Subject
from .operator import LinearOperator
from .sketch import Sketch, sketch_of


class MatrixFreeJacobian(Jacobian):
    """A Jacobian that is only applied; it keeps a sketch that serves every region.

    Args:
        generator: whose image it is of; None where it was detached.
        subject: what it is of.
        derivative: what products are taken with; made from the generator when it is first needed for None.
        sketch: one that is known already.
        rough: whether searches for directions take products in bfloat16; where that is fast for None.
    """

    kind = "matrix-free"

    def __init__(
        self,
        generator: Generator | None,
        subject: Subject,
        derivative: ImageDerivative | None = None,
        sketch: Sketch | None = None,
        rough: bool | None = None,
    ) -> None:
        super().__init__(subject)
        self._rough = rough
        self._rough_derivative: ImageDerivative | None = None
        self._generator = generator
        self._derivative = derivative
        self._sketch = sketch

    def _applied(self) -> ImageDerivative:
        if self._derivative is None:
            if self._generator is None:
                raise JacobianError("this analysis was detached from its generator: attach it to one")
            budget = memory_for(self._generator.device) // 2
            self._derivative = derivative_at(
                self._generator, self.latent, self.space, self.layers, budget, self.confined_to
            )
        return self._derivative

    @property
    def device(self) -> torch.device:
        if self._generator is None:
            return torch.device("cpu")
        return self._generator.device

    @property
    def searched(self) -> LinearOperator:
        dtype = torch.bfloat16 if self._rough else None
        if self._rough is None:
            dtype = rough_type(self.device)
        return self if dtype is None else _Rough(self, dtype)

    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        self.passes += vectors.shape[0]
        return self._applied().jvp(vectors, progress)

    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        self.passes += 2 * images.shape[0]
        return self._applied().vjp(images, progress)

    def columns(self, progress: Progress | None = None) -> Tensor:
        self.passes += self.dimension
        return self._applied().columns(progress)

    def formed(self, progress: Progress | None = None) -> DenseJacobian:
        with analysis_mode():
            return DenseJacobian(self.columns(progress), self.subject)

    def prepare(self, progress: Progress | None = None) -> None:
        """Compute the sketch, unless it is there."""
        if self._sketch is None:
            self._sketch = sketch_of(self.searched, progress, self._check_trace)

    @property
    def sketch(self) -> Sketch:
        self.prepare()
        assert self._sketch is not None
        return self._sketch

    @property
    def trace(self) -> float:
        return self.sketch.trace

    @property
    def nbytes(self) -> int:
        states = [each for each in (self._derivative, self._rough_derivative) if each is not None]
        return sum(each.nbytes for each in states) + self.sketch.nbytes

    def release(self) -> None:
        if self._generator is not None:
            self._derivative = self._rough_derivative = None

    def detached(self) -> MatrixFreeJacobian:
        return self._with(None, torch.device("cpu"))

    def _on(self, generator: Generator) -> MatrixFreeJacobian:
        return self._with(generator, generator.device)

    def _with(self, generator: Generator | None, device: torch.device) -> MatrixFreeJacobian:
        other = copy.copy(self)
        other._generator = generator
        other._derivative = other._rough_derivative = None
        other._sketch = self.sketch.to(device)
        return other

    def file_tensors(self) -> dict[str, Tensor]:
        return self.sketch.tensors()


class _Rough(LinearOperator):
    """A Jacobian's products in a narrower type, off by a percent; they count as its own."""

    def __init__(self, jacobian: MatrixFreeJacobian, dtype: torch.dtype) -> None:
        self._jacobian = jacobian
        self._dtype = dtype

    @property
    def dimension(self) -> int:
        return self._jacobian.dimension

    @property
    def image_size(self) -> tuple[int, int]:
        return self._jacobian.image_size

    @property
    def device(self) -> torch.device:
        return self._jacobian.device

    def _applied(self) -> ImageDerivative:
        known = self._jacobian._rough_derivative
        if known is None:
            known = self._jacobian._rough_derivative = self._jacobian._applied().rough(self._dtype)
        return known

    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        self._jacobian.passes += vectors.shape[0]
        return self._applied().jvp(vectors, progress)

    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        self._jacobian.passes += 2 * images.shape[0]
        return self._applied().vjp(images, progress)

    def columns(self, progress: Progress | None = None) -> Tensor:
        self._jacobian.passes += self.dimension
        return self._applied().columns(progress)


def applied(
    generator: Generator,
    latent: Latent,
    space: str,
    layers: tuple[int, ...],
    confine_to: Region | None = None,
) -> MatrixFreeJacobian:
    """A Jacobian to take a few products with: nothing is computed before the first one.

    Args:
        latent: a batch of one.
        confine_to: as in `compute_jacobian`.
    """
    return MatrixFreeJacobian(generator, Subject.of(generator, latent, space, layers, confine_to))
