"""The pencil of Jacobians that are only applied: block Davidson, which keeps all that it has searched."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..analysis import Jacobian, orthonormal
from ..errors import RegionError
from ..precision import solver_device, wide
from ..progress import Progress
from .eigen import BLOCK_EXTRA, symmetric
from .pencil import check_split
from .solution import Solution, signs
from .terms import Terms

TYPICAL_BLOCKS = 8
"""How many blocks a search mostly takes; for its progress alone."""

_ROUGH_REGULARIZATION = 1e-4
"""The least λ for which a percent of rounding in an image's change is far below `a`."""
_ROWS = 32
_NOTHING_NEW = 1e-7


class AppliedPencil:
    """The pencil (A, B + aI) of Jacobians that are only applied, on a growing space of latent vectors.

    The space is spanned by orthonormal vectors `(n, d)`, kept with their images under every Jacobian,
    `(n, 3hw)` in float32, divided by the root of its tr(JᵀJ), so that sums over images are sums over rows.
    Both Gram matrices of the images, `(images, n, n)`, are summed in float64 and only extended, so that no
    product is taken twice. So are the images' mean colours in the region and their jumps at its edge, where
    the objective asks for them, `(n, 3)` and `(n, 3e)` of each image.
    """

    def __init__(
        self,
        jacobians: list[Jacobian],
        terms: Sequence[Terms],
        regularization: float,
        progress: Progress | None,
    ) -> None:
        self.jacobians = jacobians
        self.terms = terms
        self.progress = progress
        self.device = jacobians[0].device
        self.work_device = solver_device(self.device)
        self.masks = [each.mask.flatten().repeat(3).to(self.work_device, torch.float64) for each in terms]
        self.spent = 0
        self._reported = (0, 1)
        sketches = [each.sketch for each in jacobians]
        self.traces = [each.trace for each in jacobians]
        self.spent += 4 * sketches[0].probe_images.shape[0]
        self.damping = self._damping([sketch.probe_images for sketch in sketches], regularization)
        self.vectors = torch.zeros(0, jacobians[0].dimension, dtype=torch.float64, device=self.work_device)
        self.images = [
            torch.zeros(0, each.num_outputs, device=self.device) for each in jacobians
        ]  # float32: as products give them
        self.inside = torch.zeros(len(jacobians), 0, 0, dtype=torch.float64, device=self.work_device)
        self.outside = self.inside
        blank = torch.zeros(0, 3, *terms[0].mask.shape, dtype=torch.float64, device=self.work_device)
        self.colours = [each.colours(blank) for each in terms]
        self.jumps = [each.jumps(blank) for each in terms]
        roughly = any(each.searched is not each for each in jacobians)
        self.exact = not roughly or regularization < _ROUGH_REGULARIZATION
        if len(jacobians) == 1 and roughly and self.exact:
            self._extend(sketches[0].basis, self._pushed(sketches[0].basis))
        elif len(jacobians) == 1:
            self._extend(sketches[0].basis, [self._scaled(0, sketches[0].basis_images)])
        else:
            pulled = [s.probe_latents / t for s, t in zip(sketches, self.traces, strict=True)]
            basis = orthonormal(torch.stack([p.to(self.device) for p in pulled]).sum(0))
            self._extend(basis, self._pushed(basis))

    def _damping(self, probes: list[Tensor], regularization: float) -> float:
        """a, from what the sketch says of tr(B)."""
        scaled = [wide(self._scaled(index, images)) for index, images in enumerate(probes)]
        energies = [each.square().mean(dim=0) for each in scaled]
        inside = sum(float(e @ mask) for e, mask in zip(energies, self.masks, strict=True))
        outside = sum(float(e @ (1.0 - mask)) for e, mask in zip(energies, self.masks, strict=True))
        own = list(zip(self.terms, scaled, strict=True))
        tint = sum(float(terms.colours(each).square().sum()) / len(each) for terms, each in own)
        check_split(inside, inside - tint, outside, inside + outside)
        outside += sum(float(terms.jumps(each).square().sum()) / len(each) for terms, each in own)
        if not regularization * outside > 0:
            raise RegionError(
                "a regularization of 0 needs a dense Jacobian: use method='dense' or a value such as 1e-4"
            )
        return regularization * outside

    def begin_with(self, vectors: Tensor) -> None:
        """Take vectors `(n, d)` into the space that are likely to be near what is searched for."""
        found = self._new(wide(vectors.to(self.device)))
        if found.shape[0]:
            self._extend(found, self._pushed(found))

    def solve(self, count: int, accuracy: float, max_passes: int) -> Solution:
        """Grow the space by the residuals of its best vectors, until a block raises none of the wanted
        quotients by more than `1 - accuracy` of it: later blocks raise them less.

        Preconditioning by the Woodbury inverse of B on the sketch would change nothing: it differs from
        the identity only within the sketch's span, which the space contains.
        """
        width = min(count + BLOCK_EXTRA, self.jacobians[0].dimension)
        expected = min(max_passes, self.spent + 3 * TYPICAL_BLOCKS * width) - self.spent
        start = self.spent
        quotients, coordinates = self._ritz(width)
        while self.spent + 3 * width <= max_passes:
            found = self._new(self._residuals(quotients, coordinates))
            if found.shape[0] == 0:
                break
            before = torch.zeros_like(quotients[:count])
            before[: len(quotients)] = quotients[:count]
            self._extend(found, self._pushed(found))
            quotients, coordinates = self._ritz(width)
            self._report(self.spent - start, expected)
            wanted = quotients[:count]
            settled = len(before) == len(wanted) and bool((wanted - before <= (1 - accuracy) * wanted).all())
            if settled:
                break
        self._report(expected, expected)
        return self._solution(coordinates[:count])

    def _scaled(self, index: int, images: Tensor) -> Tensor:
        return images.flatten(1) / math.sqrt(self.traces[index])

    def _pushed(self, vectors: Tensor, exact: bool = False) -> list[Tensor]:
        """J x of each Jacobian."""
        exact = exact or self.exact
        self.spent += vectors.shape[0]
        images = []
        for index, each in enumerate(self.jacobians):
            operator = each if exact else each.searched
            pushed = operator.jvp(vectors.to(self.device, torch.float32), self._beat)
            images.append(self._scaled(index, pushed))
            self._release(each)
        return images

    def _pulled(self, images: list[Tensor]) -> Tensor:
        """Σ Jᵀ y, `(n, d)`."""
        self.spent += 2 * images[0].shape[0]
        shape = (-1, 3, self.jacobians[0].height, self.jacobians[0].width)
        total = torch.zeros(1, dtype=torch.float64, device=self.work_device)
        for each, image, trace in zip(self.jacobians, images, self.traces, strict=True):
            operator = each if self.exact else each.searched
            pulled = operator.vjp(image.reshape(shape).to(self.device, torch.float32), self._beat)
            total = total + wide(pulled) / math.sqrt(trace)
            self._release(each)
        return total

    def _release(self, jacobian: Jacobian) -> None:
        """Of several images, only the one at hand keeps its states: they are large."""
        if len(self.jacobians) > 1:
            jacobian.release()

    def _beat(self, done: int, total: int) -> None:
        """Let the caller stop the work in the middle of a block."""
        if self.progress is not None:
            self.progress(*self._reported)

    def _report(self, done: int, total: int) -> None:
        total = max(total, 1)
        self._reported = (min(max(done, 0), total), total)
        if self.progress is not None:
            self.progress(*self._reported)

    def _extend(self, vectors: Tensor, images: list[Tensor]) -> None:
        """Take orthonormal vectors, which are orthogonal to the space, and their images into it."""
        known, count = self.vectors.shape[0], vectors.shape[0]
        self.vectors = torch.cat([self.vectors, wide(vectors)])
        self.images = [torch.cat(pair) for pair in zip(self.images, images, strict=True)]
        for index, new in enumerate(images):
            terms = self.terms[index]
            self.colours[index] = torch.cat([self.colours[index], terms.colours(wide(new))])
            self.jumps[index] = torch.cat([self.jumps[index], terms.jumps(wide(new))])
        before, size = torch.stack([self.inside, self.outside]), known + count
        grams = before.new_zeros(2, len(images), size, size)
        grams[:, :, :known, :known] = before
        for index, new in enumerate(images):
            mask, new = self.masks[index], wide(new)
            weighted = torch.cat([new * mask, new * (1.0 - mask)]).T
            rows = torch.cat([wide(part) @ weighted for part in self.images[index].split(_ROWS)])
            for gram, own in zip(grams[:, index], rows.split(count, dim=1), strict=True):
                gram[:, known:] = own
                gram[known:, :] = own.T
        self.inside, self.outside = grams

    def _restart(self, vectors: Tensor) -> None:
        """Go on with nothing but some vectors and their images, computed anew in float32."""
        self.vectors = self.vectors[:0]
        self.images = [images[:0] for images in self.images]
        self.colours = [colours[:0] for colours in self.colours]
        self.jumps = [jumps[:0] for jumps in self.jumps]
        self.inside = self.outside = self.inside[:, :0, :0]
        self._extend(vectors, self._pushed(vectors, exact=True))

    def _counted(self) -> tuple[Tensor, Tensor]:
        """A and B on the space, `(n, n)` each, as the objective counts changes."""
        inside, outside = self.inside.sum(dim=0), self.outside.sum(dim=0)
        for colours, jumps in zip(self.colours, self.jumps, strict=True):
            inside = inside - colours @ colours.T
            outside = outside + jumps @ jumps.T
        return inside, outside

    def _ritz(self, width: int) -> tuple[Tensor, Tensor]:
        """The largest quotients of the space `(n,)`, and their unit vectors' coordinates `(n, size)`."""
        inside, outside = (symmetric(gram) for gram in self._counted())
        outside.diagonal().add_(self.damping)
        factor = torch.linalg.cholesky(outside)
        half = torch.linalg.solve_triangular(factor, inside, upper=False)
        whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
        quotients, coordinates = torch.linalg.eigh(symmetric(whitened))
        width = min(width, len(quotients))
        top = torch.linalg.solve_triangular(factor.T, coordinates[:, -width:].flip(1), upper=True).T
        return quotients[-width:].flip(0), top / top.norm(dim=1, keepdim=True)

    def _residuals(self, quotients: Tensor, coordinates: Tensor) -> Tensor:
        """`rᵢ = Jᵀ[(m - θᵢ(1 - m)) ⊙ J xᵢ] - θᵢ a xᵢ`, `(n, d)`; in brackets also what the objective takes
        from A, and θᵢ times what it adds to B."""
        changed = coordinates.to(self.device, torch.float32)
        images = []
        for known, mask, terms in zip(self.images, self.masks, self.terms, strict=True):
            weights = (mask - quotients[:, None] * (1.0 - mask)).to(self.device, torch.float32)
            image = changed @ known
            taken, added = terms.without_colour(image), terms.across(image)
            images.append(weights * image - taken - quotients[:, None].to(image) * added)
        return self._pulled(images) - quotients[:, None] * self.damping * (coordinates @ self.vectors)

    def _new(self, vectors: Tensor) -> Tensor:
        """An orthonormal basis of what vectors add to the space."""
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-300)
        for _ in range(2):
            vectors = vectors - (vectors @ self.vectors.T) @ self.vectors
        sizes = vectors.norm(dim=1)
        new = sizes > _NOTHING_NEW
        return orthonormal(vectors[new]) if bool(new.any()) else vectors[:0]

    def _solution(self, coordinates: Tensor) -> Solution:
        if not self.exact:
            self._restart(orthonormal(coordinates @ self.vectors))
            coordinates = self._ritz(len(coordinates))[1]
        vectors = coordinates @ self.vectors
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        inside, outside = (
            torch.einsum("ki,pij,kj->pk", coordinates, gram, coordinates)
            for gram in (self.inside, self.outside)
        )
        counted = [((coordinates @ gram) * coordinates).sum(dim=1) for gram in self._counted()]
        quotients = counted[0].clamp_min(0.0) / (counted[1] + self.damping)
        scale = torch.tensor(self.traces, dtype=torch.float64, device=self.work_device)[:, None]
        mean_weight = sum(1.0 / trace for trace in self.traces) / len(self.traces)
        return Solution(
            vectors * signs(vectors.T).T,
            quotients,
            inside * scale,
            outside.clamp_min(0.0) * scale,
            self.damping / mean_weight,
        )
