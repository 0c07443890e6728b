"""The analyses of a batch of images, as one Jacobian."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from ..errors import JacobianError
from ..generators.base import Generator
from ..latents import Latent
from ..progress import Progress, Stages
from .dense import DenseJacobian
from .jacobian import Jacobian
from .sketch import Sketch, sketch_of


class JointJacobian(Jacobian):
    """The Jacobians of several images, one below the other: a vector moves all images, `(3, images * h, w)`.

    Args:
        parts: of one generator, in one space and of one kind.
        latent: the images' latents, a batch.
    """

    def __init__(self, parts: Sequence[Jacobian], latent: Latent) -> None:
        self._parts = tuple(parts)
        first = self.parts[0]
        self.kind = first.kind
        super().__init__(
            replace(
                first.subject,
                latent=latent,
                image_size=(sum(part.height for part in self.parts), first.width),
            )
        )
        self.passes = sum(part.passes for part in self.parts)
        self._sketch: Sketch | None = None

    @property
    def parts(self) -> tuple[Jacobian, ...]:
        return self._parts

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        report = Stages(progress, len(vectors) * len(self))
        return torch.cat([part.jvp(vectors, report.stage(len(vectors))) for part in self.parts], dim=2)

    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        report = Stages(progress, len(images) * len(self))
        stops = list(accumulate(part.height for part in self.parts))
        pulled = [
            part.vjp(images[:, :, stop - part.height : stop], report.stage(len(images)))
            for part, stop in zip(self.parts, stops, strict=True)
        ]
        return torch.stack(pulled).sum(dim=0)

    def columns(self, progress: Progress | None = None) -> Tensor:
        report = Stages(progress, self.dimension * len(self))
        return torch.cat([part.columns(report.stage(self.dimension)) for part in self.parts], dim=2)

    def formed(self, progress: Progress | None = None) -> DenseJacobian:
        return DenseJacobian(self.columns(progress), self.subject)

    def prepare(self, progress: Progress | None = None) -> None:
        report = Stages(progress, len(self))
        for part in self.parts:
            part.prepare(report.stage(1))

    @property
    def trace(self) -> float:
        return sum(part.trace for part in self.parts)

    @property
    def sketch(self) -> Sketch:
        if self._sketch is None:
            self._sketch = sketch_of(self)
        return self._sketch

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def release(self) -> None:
        for part in self.parts:
            part.release()

    def detached(self) -> JointJacobian:
        return self._of([part.detached() for part in self.parts])

    def _on(self, generator: Generator) -> JointJacobian:
        return self._of([part.attached(generator) for part in self.parts])

    def _of(self, parts: Sequence[Jacobian]) -> JointJacobian:
        other = copy.copy(self)
        other._parts, other._sketch = tuple(parts), None
        return other

    def check_response(self) -> None:
        for part in self.parts:
            part.check_response()

    def file_tensors(self) -> dict[str, Tensor]:
        raise JacobianError(
            f"a file holds the analysis of one image: save each of these {len(self)}, jacobian[i]"
        )
