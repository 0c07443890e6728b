"""The generalized Rayleigh quotient: what changes a region and leaves the rest alone.

With region weights m, `A = Jᵀ diag(m) J` and `B = Jᵀ diag(1 - m) J`, directions maximise
`nᵀA n / nᵀ(B + aI) n` with `a = λ tr(B)` (Eq. 7, 10, 11).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .directions import CONFINED, Directions
from .errors import JacobianError, ParameterError, RegionError
from .jacobian import (
    TYPICAL_PASSES,
    DenseJacobian,
    Jacobian,
    MatrixFreeJacobian,
    Progress,
    analysis_mode,
    orthonormal,
)
from .precision import solver_device, wide
from .regions import Region

Solver = Literal["auto", "cholesky", "woodbury"]

STEP_CHANGE = 0.1
"""Root-mean-square change inside the region, on the [-1, 1] scale, that one step makes to first order."""

REGULARIZATION = 1e-4
"""λ, a fraction of tr(B). Where each layer or style channel moves by itself, edits are two to three times
more local than at the paper's 0.001, and go further for the same change (docs/evaluation.md)."""

_NEGLIGIBLE = 1e-9
_ROW_BYTES = 256 << 20
_SINGULAR = (
    "B + aI is singular: some directions change nothing outside the region; "
    "use a regularization above 0, such as 1e-4"
)
_BLOCK_EXTRA = 4
_SMALL = 256
_SURELY_REGULAR = 1e-6
_CONVERGED = 1e-6


def factorize(
    jacobian: Jacobian | Sequence[Jacobian],
    region: Region,
    num_directions: int = 8,
    regularization: float = REGULARIZATION,
    *,
    solver: Solver = "auto",
    max_passes: int | None = None,
    progress: Progress | None = None,
) -> Directions:
    """Directions that change a region and leave the rest of the image alone, best first.

    Args:
        jacobian: of one image, or of several images of one generator in one space: then A and B are
            summed over them (each divided by its own tr(JᵀJ)) and the directions hold for all.
        region: where to change the image.
        num_directions: k, in [1, 512]; fewer are returned where d is smaller, or where only fewer
            change the region at all.
        regularization: λ >= 0, a fraction of tr(B).
        solver: `cholesky` (Eq. 9, 11) or `woodbury` (Eq. 12), or for `auto` the former, unless there is one
            Jacobian that was prepared: then in its spectrum, in less time. They agree. Matrix-free Jacobians
            are solved by conjugate gradients on blocks (LOBPCG) instead.
        max_passes: for matrix-free Jacobians, the forward-mode products to spend on each image
            (those of its sketch included); by default a third of d, and at least 320. The sketch and
            the first block are computed in any case.
        progress: for matrix-free Jacobians, called with (passes done, passes allowed) after each
            step; dense ones are solved at once.

    Returns:
        Unit vectors with their quotients, mean squared change inside and outside the region per
        squared unit of distance, and steps; the entry of largest magnitude of each is positive. Of Jacobians
        of confined edits, all of that is of confined edits, and the directions are `confined`.

    Raises:
        RegionError: the image does not respond inside the region, or nothing is left outside, or
            `B + aI` is singular.
        JacobianError: the Jacobians do not belong together.
        ParameterError: a number is out of range.
    """
    jacobians = [jacobian] if isinstance(jacobian, Jacobian) else list(jacobian)
    check_options(num_directions, regularization, solver)
    _check(jacobians)
    first = jacobians[0]
    mask = region.mask(first.height, first.width)
    if first.confined_to is not None and not _same(first, region):
        raise JacobianError("the analysis is of edits that are confined to another region")
    count = min(num_directions, first.dimension)
    with analysis_mode():
        if all(isinstance(each, DenseJacobian) for each in jacobians):
            dense = [each for each in jacobians if isinstance(each, DenseJacobian)]
            solution = _solve_dense(dense, mask, count, regularization, solver)
        else:
            free = _MatrixFreePencil(jacobians, mask, regularization, progress)
            limit = max(first.dimension // 3, TYPICAL_PASSES)
            solution = free.solve(count, limit if max_passes is None else max_passes)
    return _directions(jacobians, region, mask, solution.responding(), regularization)


@dataclass(frozen=True)
class _Solution:
    """k directions `(k, d)`, quotients `(k,)`, each image's nᵀA n and nᵀB n `(images, k)`, and a."""

    vectors: Tensor
    quotients: Tensor
    inside: Tensor
    outside: Tensor
    damping: float

    def responding(self) -> _Solution:
        """Without directions that change nothing inside but for rounding; the first stays."""
        total = self.inside.sum(dim=0)
        kept = total > _NEGLIGIBLE * total.max()
        kept[0] = True
        return _Solution(
            self.vectors[kept],
            self.quotients[kept],
            self.inside[:, kept],
            self.outside[:, kept],
            self.damping,
        )


@analysis_mode()
def _directions(
    jacobians: list[Jacobian], region: Region, mask: Tensor, solution: _Solution, regularization: float
) -> Directions:
    """A solution in the terms that users see: change per pixel, steps, and where it comes from."""
    first = jacobians[0]
    inside_pixels = 3.0 * float(mask.sum())
    outside_pixels = 3.0 * float((1.0 - mask).sum())
    inside, outside = solution.inside / inside_pixels, solution.outside / outside_pixels
    steps = steps_of(inside)
    vectors = solution.vectors.reshape(-1, *first.shape)
    seeds = [each.latent.seed for each in jacobians]
    return Directions(
        vectors=vectors.float().cpu(),
        eigenvalues=solution.quotients.float().cpu(),
        inside=inside.mean(dim=0).float().cpu(),
        outside=outside.mean(dim=0).float().cpu(),
        steps=steps.float().cpu(),
        steps_confined=None if first.confined_to is None else steps.float().cpu(),
        method="resefa" if first.confined_to is None else CONFINED,
        space=first.space,
        layers=first.layers,
        layer_sizes=first.layer_sizes,
        region=region,
        generator=first.described,
        regularization=regularization,
        damping=solution.damping,
        truncation=first.latent.truncation,
        seeds=None if None in seeds else tuple(s for seed in seeds for s in seed or ()),
        num_samples=len(jacobians),
        base_codes=first.latent.codes[0].float().cpu() if len(jacobians) == 1 else None,
    )


def steps_of(inside: Tensor) -> Tensor:
    """The distances that strength 1 moves: medians over images of mean squared changes inside the region per
    squared unit of distance, `(images, k)`."""
    return (STEP_CHANGE / inside.clamp_min(1e-30).sqrt()).quantile(0.5, dim=0)


def check_options(num_directions: int, regularization: float, solver: str) -> None:
    """Raise ParameterError unless `factorize` takes these."""
    if not 1 <= num_directions <= 512:
        raise ParameterError(f"num_directions {num_directions} is out of range: expected 1 to 512")
    if not (math.isfinite(regularization) and regularization >= 0):
        raise ParameterError(f"regularization {regularization} is out of range: expected 0 or more")
    if solver not in ("auto", "cholesky", "woodbury"):
        raise ParameterError(f"solver {solver!r} is unknown: expected 'auto', 'cholesky' or 'woodbury'")


def _check(jacobians: list[Jacobian]) -> None:
    if not jacobians:
        raise JacobianError("no Jacobians were given")
    first = jacobians[0]
    for other in jacobians[1:]:
        for what in ("space", "layers", "shape", "height"):
            if getattr(other, what) != getattr(first, what):
                raise JacobianError(
                    f"Jacobians of different {what} were given: {getattr(first, what)} and "
                    f"{getattr(other, what)}"
                )
        if not _same(first, other.confined_to):
            raise JacobianError("Jacobians of edits that are confined differently were given")
        if other.device != first.device:
            raise JacobianError(f"Jacobians on {first.device} and on {other.device} were given")
        if other.described.get("fingerprint") != first.described.get("fingerprint"):
            raise JacobianError(
                f"Jacobians of different generators were given: {first.described.get('name')!r} and "
                f"{other.described.get('name')!r}"
            )
    for each in jacobians:
        each.check_response()


def _same(jacobian: Jacobian, region: Region | None) -> bool:
    """Whether a Jacobian is of edits that are confined to a region; to nothing for None."""
    confined_to = jacobian.confined_to
    if confined_to is None or region is None:
        return confined_to is region
    size = (jacobian.height, jacobian.width)
    return torch.equal(confined_to.mask(*size, check=False), region.mask(*size, check=False))


def _check_split(inside: float, outside: float, total: float) -> None:
    if not inside > _NEGLIGIBLE * total:
        raise RegionError("the image does not respond here: no direction changes this region")
    if not outside > _NEGLIGIBLE * total:
        raise RegionError("nothing is left outside: all that changes lies in the region")


def _solve_dense(
    jacobians: list[DenseJacobian], mask: Tensor, count: int, regularization: float, solver: Solver
) -> _Solution:
    alone = solver == "auto" and regularization >= _SURELY_REGULAR and len(jacobians) == 1
    spectrum = jacobians[0].spectrum if alone else None
    pencil = _DensePencil(jacobians if spectrum is None else [spectrum.rotated], mask)
    _check_split(pencil.trace_inside, pencil.trace_outside, float(len(jacobians)))
    damping = regularization * pencil.trace_outside
    if spectrum is not None:
        vectors = _solve_in_spectrum(pencil, damping, count)
    elif solver == "woodbury":
        vectors = _solve_woodbury(pencil, damping, count)
    else:
        vectors = _solve_cholesky(pencil, damping, count)
    vectors = vectors / vectors.norm(dim=0)
    inside, outside = pencil.energies(vectors)
    if spectrum is not None:
        vectors = spectrum.basis @ vectors
    vectors = vectors * _signs(vectors)
    weights = torch.tensor(pencil.weights, dtype=inside.dtype, device=inside.device)
    quotients = (weights @ inside) / (weights @ outside + damping)
    order = quotients.argsort(descending=True)
    return _Solution(
        vectors.T[order],
        quotients[order],
        inside[:, order],
        outside[:, order],
        damping / float(weights.mean()),
    )


class _DensePencil:
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
        self.products = [_RowProduct(each, side) for each in jacobians]
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


class _RowProduct:
    """`R Rᵀ` for the rows of a Jacobian under weights, applied by rows or as a matrix."""

    def __init__(self, jacobian: DenseJacobian, weights: Tensor) -> None:
        pixels = int((weights > 0).sum())
        self._rows: Tensor | None = None
        self._gram: Tensor | None = None
        if 8 * 3 * pixels * jacobian.dimension <= _ROW_BYTES:
            self._rows = wide(jacobian.rows(weights))
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


def _signs(vectors: Tensor) -> Tensor:
    """What makes the entry of largest magnitude of each column positive."""
    index = vectors.abs().argmax(dim=0, keepdim=True)
    return torch.where(vectors.gather(0, index) < 0, -1.0, 1.0).to(vectors)


def _solve_cholesky(pencil: _DensePencil, damping: float, count: int) -> Tensor:
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
        raise RegionError(_SINGULAR)
    transposed = factor.T.contiguous()

    def whitened(block: Tensor) -> Tensor:
        lowered = torch.linalg.solve_triangular(transposed, block, upper=True)
        return torch.linalg.solve_triangular(factor, pencil.inside(lowered), upper=False)

    values, top = _top_eigenvectors(whitened, pencil.total, count)
    if float(values[0]) >= 1.0 - 1e-12:
        raise RegionError(_SINGULAR)
    return torch.linalg.solve_triangular(transposed, top, upper=True)


def _solve_in_spectrum(pencil: _DensePencil, damping: float, count: int) -> Tensor:
    """As `_solve_cholesky`, in coordinates where T is diagonal: `(T + aI)^(-1/2)` only scales the rows of J,
    each by itself, so that what float32 keeps of them does."""
    squares = pencil.total.diagonal()[:, None]
    scale = (squares + damping).rsqrt()
    own = pencil.products[0].scaled(scale * math.sqrt(pencil.weights[0]))
    share = squares * scale.square()

    def whitened(block: Tensor) -> Tensor:
        return share * block - own(block) if pencil.complement else own(block)

    return scale * _top_eigenvectors(whitened, pencil.total, count)[1]


def _solve_woodbury(pencil: _DensePencil, damping: float, count: int) -> Tensor:
    """Eq. 12: `S = (I - V diag(1 - sqrt(a / (a + D²))) Vᵀ) / sqrt(a)` is the inverse root of `B + aI`,
    V and D the right singular vectors and values of `sqrt(1 - m) J`; eigenvectors of `S A S`, by S."""
    identity = torch.eye(pencil.total.shape[0], dtype=torch.float64, device=pencil.total.device)
    squares, basis = torch.linalg.eigh(_symmetric(pencil.total - pencil.inside(identity)))
    squares = squares.clamp_min(0.0)
    if damping > 0:
        shrink = 1.0 - (damping / (damping + squares)).sqrt()
        root = (identity - (basis * shrink) @ basis.T) / math.sqrt(damping)
    elif float(squares[0]) <= 1e-13 * float(squares[-1]):
        raise RegionError(_SINGULAR)
    else:
        root = (basis * squares.rsqrt()) @ basis.T
    return root @ _top_eigenvectors(lambda block: root @ pencil.inside(root @ block), pencil.total, count)[1]


def _top_eigenvectors(apply: Callable[[Tensor], Tensor], like: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues `(count,)` of a symmetric positive operator, and their vectors `(d, count)`.

    Small operators are formed and decomposed. For others a block Krylov space (Lanczos with full
    orthogonalization) is grown until the residuals of the wanted pairs vanish next to the width of the
    spectrum; one that does not get there is decomposed after all.
    """
    size = like.shape[0]
    if size <= _SMALL or count > size // 8:
        return _eigenvectors_of(apply(torch.eye(size, dtype=like.dtype, device=like.device)), count)
    noise = torch.Generator().manual_seed(0)
    width = count + _BLOCK_EXTRA
    block = torch.randn(size, width, generator=noise, dtype=torch.float64).to(like)
    newest = torch.linalg.qr(block)[0]
    basis, images = newest[:, :0], newest[:, :0]
    projected = newest.new_zeros(0, 0)
    while basis.shape[1] + width <= size // 2:
        image = apply(newest)
        across, own = basis.T @ image, newest.T @ image
        projected = torch.cat([torch.cat([projected, across], 1), torch.cat([across.T, own], 1)])
        basis, images = torch.cat([basis, newest], dim=1), torch.cat([images, image], dim=1)
        values, coordinates = torch.linalg.eigh(_symmetric(projected))
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
    values, vectors = torch.linalg.eigh(_symmetric(matrix))
    return values[-count:].flip(0), vectors[:, -count:].flip(1)


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2


class _MatrixFreePencil:
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
        self.free: list[MatrixFreeJacobian] = []
        for each in jacobians:
            if not isinstance(each, MatrixFreeJacobian):
                raise JacobianError("dense and matrix-free Jacobians can't be solved together")
            self.free.append(each)
        sketches = [each.sketch for each in self.free]
        self.traces = [each.trace for each in jacobians]
        probes = sketches[0]["probe_images"].shape[0]
        if len(jacobians) == 1:
            self.basis = sketches[0]["basis"]
            self.basis_images = [self._scaled(0, sketches[0]["basis_images"])]
        else:
            pulled = [s["probe_latents"] / t for s, t in zip(sketches, self.traces, strict=True)]
            self.basis = orthonormal(torch.stack([p.to(self.device) for p in pulled]).sum(0))
            self.basis_images = self.images(self.basis)
        self.spent += 4 * probes
        scaled = [self._scaled(i, s["probe_images"]) for i, s in enumerate(sketches)]
        inside = sum(float((s.square() @ self.mask).mean()) for s in scaled)
        outside = sum(float((s.square() @ (1.0 - self.mask)).mean()) for s in scaled)
        _check_split(inside, outside, inside + outside)
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
        for index, each in enumerate(self.free):
            pushed = each.jvp(vectors.to(self.device, torch.float32), self._beat)
            images.append(self._scaled(index, pushed))
            self._release(each)
        return images

    def _release(self, jacobian: MatrixFreeJacobian) -> None:
        """Of several images, only the one at hand keeps its states: they are large."""
        if len(self.free) > 1:
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
        for each, image, trace in zip(self.free, images, self.traces, strict=True):
            pulled = each.vjp(image.reshape(shape).to(self.device, torch.float32), self._beat)
            total = total + wide(pulled) / math.sqrt(trace)
            self._release(each)
        return total

    def solve(self, count: int, max_passes: int) -> _Solution:
        """LOBPCG from a start inside the region, the sketch's basis in every Rayleigh-Ritz step.

        Preconditioning by the Woodbury inverse of B on the sketch would change nothing: it differs from
        the identity only within the sketch's span, which every step contains anyway.
        """
        width = min(count + _BLOCK_EXTRA, self.jacobians[0].dimension)
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
        outside = _symmetric(outside)
        outside.diagonal().add_(self.damping)
        factor = torch.linalg.cholesky(outside)
        half = torch.linalg.solve_triangular(factor, _symmetric(inside), upper=False)
        whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
        theta, coordinates = torch.linalg.eigh(_symmetric(whitened))
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

    def _solution(self, block: _Block, count: int) -> _Solution:
        block = block.first(count)
        signs = _signs(block.vectors.T).T
        inside = torch.stack([image.square() @ self.mask for image in block.images])
        outside = torch.stack([image.square() @ (1.0 - self.mask) for image in block.images])
        quotients = inside.sum(0) / (outside.sum(0) + self.damping)
        scale = torch.tensor(self.traces, dtype=torch.float64, device=self.work_device)[:, None]
        mean_weight = sum(1.0 / trace for trace in self.traces) / len(self.traces)
        return _Solution(
            block.vectors * signs, quotients, inside * scale, outside * scale, self.damping / mean_weight
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
