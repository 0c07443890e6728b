"""Whether what edits draw inside a region looks like what a generator draws there by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ParameterError
from ..regions import Region

REFERENCES = 512
"""How many unedited images edits are compared with."""
FIRST_REFERENCE = 9000
"""The first of their seeds, which nothing else in this package draws by itself."""
LEAST = 16
"""Fewer tell nothing."""

_COMPONENTS = 64
_COMPARED = 16
_PERMUTATIONS = 999


class NaturalDistance(NamedTuple):
    """How far the insides of edited images are from those of unedited ones.

    Attributes:
        distance: the squared maximum mean discrepancy, without bias: about 0 where they look alike, and at
            most 2.
        p: the share of random exchanges of edited and unedited images that are as far apart: the p value of
            the hypothesis that they look alike.
    """

    distance: float
    p: float


@dataclass(frozen=True, eq=False)
class Inside:
    """What a generator's unedited images show inside a region, by their principal components there.

    Edited images are looked at with what is outside the region put back as it was, so that what leaks, which
    the ratio tells, doesn't count again. Components are those of half of the unedited images, and edited
    images are compared with the other half.

    Attributes:
        weights: of the region's pixels, `(h, w)`.
        rows, columns: the box around the region.
        mean: `(p,)`, p the numbers of the box.
        basis: principal components, `(c, p)`, orthonormal.
        centre, scale: the mean and standard deviation of the features of the first half, `(f,)`.
        references: the features of the other half, `(n, f)`.
    """

    weights: Tensor
    rows: slice
    columns: slice
    mean: Tensor
    basis: Tensor
    centre: Tensor
    scale: Tensor
    references: Tensor

    @staticmethod
    def of(images: Tensor, region: Region) -> Inside:
        """Learned from unedited images `(n, 3, H, W)`, at least 16.

        Raises:
            ParameterError: fewer.
        """
        if images.ndim != 4 or len(images) < LEAST:
            raise ParameterError(
                f"images of shape {tuple(images.shape)}: expected at least {LEAST}, (n, 3, H, W)"
            )
        mask = region.mask(*images.shape[2:])
        where = [(mask > 0).any(dim=side).nonzero()[:, 0] for side in (1, 0)]
        rows, columns = (slice(int(at[0]), int(at[-1]) + 1) for at in where)
        weights = mask[rows, columns].double()
        boxes = (images[:, :, rows, columns].double() * weights.sqrt()).flatten(1)
        half = len(images) // 2
        mean = boxes[:half].mean(dim=0)
        basis = torch.linalg.svd(boxes[:half] - mean, full_matrices=False).Vh[: min(_COMPONENTS, half // 2)]
        bare = Inside(weights, rows, columns, mean, basis, mean[:0], mean[:0], mean[:0])
        raw = bare._raw(boxes - mean)
        centre, scale = raw[:half].mean(dim=0), raw[:half].std(dim=0).clamp_min(1e-9)
        return replace(bare, centre=centre, scale=scale, references=(raw[half:] - centre) / scale)

    def _raw(self, boxes: Tensor) -> Tensor:
        kept = boxes @ self.basis[:_COMPARED].T
        return torch.cat([kept, self._left(boxes).clamp_min(1e-12).log()[:, None]], dim=1)

    def _left(self, boxes: Tensor) -> Tensor:
        """The energy outside the components, `(n,)`."""
        return (boxes - boxes @ self.basis.T @ self.basis).square().sum(dim=1)

    def _boxes(self, before: Tensor, after: Tensor) -> Tensor:
        """The boxes of edited images, what was outside the region put back, `(n, p)`."""
        first, second = (images[:, :, self.rows, self.columns].double() for images in (before, after))
        return ((first + self.weights * (second - first)) * self.weights.sqrt()).flatten(1) - self.mean

    def features(self, before: Tensor, after: Tensor) -> Tensor:
        """Of edited images `(n, 3, H, W)`, `(n, f)`: the first coefficients, and the logarithm of the energy
        outside all components, all standardized."""
        return (self._raw(self._boxes(before, after)) - self.centre) / self.scale

    def texture(self, before: Tensor, after: Tensor) -> Tensor:
        """The energy outside the components of edited images `(n, 3, H, W)`, over that of the images before,
        `(n,)`: above 1 where an edit draws what the generator doesn't."""
        left = [self._left(self._boxes(before, images)) for images in (before, after)]
        return left[1] / left[0].clamp_min(1e-12)

    def distance(self, features: Tensor, owners: Tensor, seed: int = 0) -> NaturalDistance:
        """How far edited images are from unedited ones, and the two-sample test of it (Gretton et al., A
        Kernel Two-Sample Test, JMLR 2012), with a Gaussian kernel as wide as the median distance of unedited
        images.

        Args:
            features: of edited images, `(n, f)`.
            owners: which image each is an edit of, `(n,)`, at least two: edits of one image are no
                independent draws, so they count as one, and are exchanged together.
            seed: of the exchanges.

        Raises:
            ParameterError: edits of a single image.
        """
        _, place = owners.unique(return_inverse=True)
        count = int(place.max()) + 1
        if count < 2:
            raise ParameterError("edits of a single image were given: expected those of two or more")
        share = torch.zeros(count, len(features), dtype=torch.float64)
        share[place, torch.arange(len(features))] = 1.0
        share /= share.sum(dim=1, keepdim=True)
        points = torch.cat([features.double(), self.references])
        squares = torch.cdist(points, points).square()
        others = squares[len(features) :, len(features) :]
        kernel = torch.exp(-squares / others[others > 0].median())
        among = torch.block_diag(share, torch.eye(len(self.references), dtype=torch.float64))
        blocks = among @ kernel @ among.T
        blocks.fill_diagonal_(0.0)
        generator = torch.Generator().manual_seed(seed)
        edited = torch.zeros(1 + _PERMUTATIONS, len(blocks), dtype=torch.float64)
        edited[0, :count] = 1.0
        for row in edited[1:]:
            row[torch.randperm(len(blocks), generator=generator)[:count]] = 1.0
        rest = 1.0 - edited
        other = len(blocks) - count
        within = ((edited @ blocks) * edited).sum(dim=1) / (count * (count - 1))
        without = ((rest @ blocks) * rest).sum(dim=1) / (other * (other - 1))
        across = ((edited @ blocks) * rest).sum(dim=1) / (count * other)
        distances = within + without - 2.0 * across
        return NaturalDistance(float(distances[0]), float((distances >= distances[0]).double().mean()))
