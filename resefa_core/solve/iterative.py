"""The pencil of Jacobians that are only applied: conjugate gradients on blocks (LOBPCG)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..analysis import Jacobian, orthonormal
from ..errors import RegionError
from ..precision import solver_device, wide
from ..progress import Progress
from .eigen import BLOCK_EXTRA, symmetric
from .pencil import check_split
from .solution import Solution, signs


class AppliedPencil:
    """The pencil (A, B + aI) of Jacobians that are only applied.

    Blocks of latent vectors `(n, d)` travel with their images: for every Jacobian `(n, 3hw)`, divided by
    the root of its tr(JᵀJ), so that sums over images are sums over rows.
    """

    def __init__(
        self, jacobians: list[Jacobian], mask: Tensor, regularization: float, progress: Progress | None
    ) -> None:
        self.jacobians = jacobians
        self.progress = progress
        self.device = jacobians[0].device
        self.work_device = solver_device(self.device)
        self.mask = mask.flatten().repeat(3).to(self.work_device, torch.float64)
        self.spent = 0
        self._reported = (0, 1)
        sketches = [each.sketch for each in jacobians]
        self.traces = [each.trace for each in jacobians]
        probes = sketches[0].probe_images.shape[0]
        if len(jacobians) == 1:
            self.basis = sketches[0].basis
            self.basis_images = [self._scaled(0, sketches[0].basis_images)]
        else:
            pulled = [s.probe_latents / t for s, t in zip(sketches, self.traces, strict=True)]
            self.basis = orthonormal(torch.stack([p.to(self.device) for p in pulled]).sum(0))
            self.basis_images = self.images(self.basis)
        self.spent += 4 * probes
        scaled = [self._scaled(i, s.probe_images) for i, s in enumerate(sketches)]
        inside = sum(float((s.square() @ self.mask).mean()) for s in scaled)
        outside = sum(float((s.square() @ (1.0 - self.mask)).mean()) for s in scaled)
        check_split(inside, outside, inside + outside)
        self.damping = regularization * outside
        if not self.damping > 0:
            raise RegionError(
                "a regularization of 0 needs a dense Jacobian: use method='dense' or a value such as 1e-4"
            )

    def _scaled(self, index: int, images: Tensor) -> Tensor:
        return wide(images).flatten(1) / math.sqrt(self.traces[index])

    def images(self, vectors: Tensor) -> list[Tensor]:
        """J x of each Jacobian."""
        self.spent += vectors.shape[0]
        images = []
        for index, each in enumerate(self.jacobians):
            pushed = each.jvp(vectors.to(self.device, torch.float32), self._beat)
            images.append(self._scaled(index, pushed))
            self._release(each)
        return images

    def _release(self, jacobian: Jacobian) -> None:
        """Of several images, only the one at hand keeps its states: they are large."""
        if len(self.jacobians) > 1:
            jacobian.release()

    def _beat(self, done: int, total: int) -> None:
        """Let the caller stop the work in the middle of a block."""
        if self.progress is not None:
            self.progress(*self._reported)

    def pulled(self, images: list[Tensor]) -> Tensor:
        """Σ Jᵀ y, `(n, d)`."""
        self.spent += 2 * images[0].shape[0]
        shape = (-1, 3, self.jacobians[0].height, self.jacobians[0].width)
        total = torch.zeros(1, dtype=torch.float64, device=self.work_device)
        for each, image, trace in zip(self.jacobians, images, self.traces, strict=True):
            pulled = each.vjp(image.reshape(shape).to(self.device, torch.float32), self._beat)
            total = total + wide(pulled) / math.sqrt(trace)
            self._release(each)
        return total

    def solve(self, count: int, max_passes: int) -> Solution:
        """LOBPCG from a start inside the region, the sketch's basis in every Rayleigh-Ritz step.

        Preconditioning by the Woodbury inverse of B on the sketch would change nothing: it differs from
        the identity only within the sketch's span, which every step contains anyway.
        """
        width = min(count + BLOCK_EXTRA, self.jacobians[0].dimension)
        x = self._start(width)
        block = _Block(x, self.images(x))
        sketch = _Block(wide(self.basis), self.basis_images)
        theta, block, momentum = self._ritz([block, sketch], block, width)
        start = self.spent
        while self.spent + 3 * width <= max_passes:
            weights = [(self.mask - t * (1.0 - self.mask)) for t in theta]
            weighted = [image * torch.stack(weights) for image in block.images]
            residual = self.pulled(weighted) - theta[:, None] * self.damping * block.vectors
            known = [block, sketch] + ([] if momentum is None else [momentum])
            z = _orthogonal_to(residual, torch.cat([b.vectors for b in known]))
            if z.shape[0] == 0:
                break
            previous = theta
            fresh = _Block(z, self.images(z))
            theta, block, momentum = self._ritz([*known, fresh], block, width)
            self._report(self.spent - start, max_passes - start)
            if bool(((theta - previous)[:count] <= 1e-4 * theta[:count]).all()):
                break
        self._report(max_passes - start, max_passes - start)
        return self._solution(block, count)

    def _report(self, done: int, total: int) -> None:
        self._reported = (min(done, total), total)
        if self.progress is not None:
            self.progress(*self._reported)

    def _start(self, width: int) -> Tensor:
        """The span of `Jᵀ diag(m) J` applied to Gaussian vectors."""
        noise = torch.Generator().manual_seed(1)
        probes = torch.randn(width, self.jacobians[0].dimension, generator=noise)
        pulled = self.pulled([image * self.mask for image in self.images(probes)])
        return orthonormal(pulled)

    def _ritz(
        self, blocks: list[_Block], current: _Block, width: int
    ) -> tuple[Tensor, _Block, _Block | None]:
        """The best `width` pairs in the span of the blocks, and the part of them that is new."""
        span = _Block(
            torch.cat([b.vectors for b in blocks]),
            [torch.cat(parts) for parts in zip(*(b.images for b in blocks), strict=True)],
        )
        gram = span.vectors @ span.vectors.T
        sizes, axes = torch.linalg.eigh(gram)
        kept = sizes > 1e-10 * sizes[-1]
        change = (axes[:, kept] / sizes[kept].sqrt()).T
        span = span.combined(change)
        inside = sum((image * self.mask) @ image.T for image in span.images)
        outside = sum((image * (1.0 - self.mask)) @ image.T for image in span.images)
        assert isinstance(inside, Tensor)
        assert isinstance(outside, Tensor)
        outside = symmetric(outside)
        outside.diagonal().add_(self.damping)
        factor = torch.linalg.cholesky(outside)
        half = torch.linalg.solve_triangular(factor, symmetric(inside), upper=False)
        whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
        theta, coordinates = torch.linalg.eigh(symmetric(whitened))
        width = min(width, theta.numel())
        top = torch.linalg.solve_triangular(factor.T, coordinates[:, -width:].flip(1), upper=True).T
        top = top / top.norm(dim=1, keepdim=True)
        best = span.combined(top)
        overlap = best.vectors @ torch.linalg.pinv(current.vectors)
        momentum = _Block(
            best.vectors - overlap @ current.vectors,
            [new - overlap @ old for new, old in zip(best.images, current.images, strict=True)],
        )
        return theta[-width:].flip(0), best, momentum.normalized()

    def _solution(self, block: _Block, count: int) -> Solution:
        block = block.first(count)
        inside = torch.stack([image.square() @ self.mask for image in block.images])
        outside = torch.stack([image.square() @ (1.0 - self.mask) for image in block.images])
        quotients = inside.sum(0) / (outside.sum(0) + self.damping)
        scale = torch.tensor(self.traces, dtype=torch.float64, device=self.work_device)[:, None]
        mean_weight = sum(1.0 / trace for trace in self.traces) / len(self.traces)
        return Solution(
            block.vectors * signs(block.vectors.T).T,
            quotients,
            inside * scale,
            outside * scale,
            self.damping / mean_weight,
        )


@dataclass(frozen=True)
class _Block:
    """Latent vectors `(n, d)` and their images under each Jacobian, `(n, 3hw)`."""

    vectors: Tensor
    images: list[Tensor]

    def combined(self, change: Tensor) -> _Block:
        return _Block(change @ self.vectors, [change @ image for image in self.images])

    def first(self, count: int) -> _Block:
        return _Block(self.vectors[:count], [image[:count] for image in self.images])

    def normalized(self) -> _Block | None:
        """Unit vectors, without those that vanish; None if all do."""
        norms = self.vectors.norm(dim=1, keepdim=True)
        kept = norms[:, 0] > 1e-8
        if not bool(kept.any()):
            return None
        return _Block(self.vectors[kept] / norms[kept], [image[kept] / norms[kept] for image in self.images])


def _orthogonal_to(vectors: Tensor, known: Tensor) -> Tensor:
    """An orthonormal basis of what the vectors add to the span of the known ones."""
    basis = orthonormal(known)
    vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-300)
    for _ in range(2):
        vectors = vectors - (vectors @ basis.T) @ basis
    sizes = vectors.norm(dim=1)
    return orthonormal(vectors[sizes > 1e-7]) if bool((sizes > 1e-7).any()) else vectors[:0]
