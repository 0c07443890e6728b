"""A few products with a Jacobian that serve every region: what it does to random vectors, and its range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..precision import wide
from ..progress import Progress, Stages
from .operator import LinearOperator

SKETCH_SIZE = 32


@dataclass(frozen=True)
class Sketch:
    """Products of a Jacobian J with `p` Gaussian vectors, and what follows from them.

    Attributes:
        probe_images: the vectors' images, `(p, 3, h, w)`.
        probe_latents: the images pulled back, `Jᵀ J Ω`, `(p, d)`.
        basis: an orthonormal basis of the latter, `(r, d)`.
        basis_images: the basis' images, `(r, 3, h, w)`.
    """

    probe_images: Tensor
    probe_latents: Tensor
    basis: Tensor
    basis_images: Tensor

    @property
    def trace(self) -> float:
        """An estimate of tr(JᵀJ)."""
        return _mean_energy(self.probe_images)

    @property
    def nbytes(self) -> int:
        """The memory that it takes, in bytes."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device) -> Sketch:
        """The same on a device."""
        return Sketch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})


def sketch_of(
    operator: LinearOperator,
    progress: Progress | None = None,
    check_trace: Callable[[float], None] | None = None,
) -> Sketch:
    """A sketch of 32 seeded Gaussian vectors; it takes four passes for each, a reverse-mode product
    counted as two.

    Args:
        check_trace: called with the estimate of tr(JᵀJ), as soon as there is one; stops the work by raising.
    """
    count = min(SKETCH_SIZE, operator.dimension)
    noise = torch.Generator().manual_seed(0)
    probes = torch.randn(count, operator.dimension, generator=noise).to(operator.device)
    report = Stages(progress, 4 * count)
    images = operator.jvp(probes, report.stage(count))
    if check_trace is not None:
        check_trace(_mean_energy(images))
    latents = operator.vjp(images, report.stage(2 * count))
    basis = orthonormal(latents)
    return Sketch(images, latents, basis, operator.jvp(basis, report.stage(count)))


def orthonormal(vectors: Tensor) -> Tensor:
    """An orthonormal basis `(r, d)` of the span of `(n, d)`, r the numerical rank."""
    rows = wide(vectors)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
    _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis[sizes > 1e-7 * sizes[0]].to(vectors.dtype).to(vectors.device)


def _mean_energy(images: Tensor) -> float:
    """The mean squared norm of images `(n, 3, h, w)`: for Gaussian probes, an estimate of tr(JᵀJ)."""
    return float(wide(images).square().sum()) / images.shape[0]
