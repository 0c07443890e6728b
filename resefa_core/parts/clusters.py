"""Which pixels move together: spherical k-means on rows of Jacobians, over one or many images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .responses import Responses

FACTORS = 8
_FEATURES = 256
_MOST_PIXELS = 20_000
_ROUNDS = 40


def centres_of(images: Sequence[Responses], count: int) -> Tensor:
    """The parts that pixels of images fall into, as centres `(count, FACTORS, r)`: a pixel of rows G belongs
    to a centre C the more, the larger `|G Cᵀ|`. The same input gives the same centres.

    Clusters are found on random features of `GᵀG` (products of two random projections), whose cosines are
    those of `GᵀG`; each centre is the mean of its members' `GᵀG` in its leading eigenvectors."""
    rows = torch.cat([each.rows for each in images])
    noise = torch.Generator().manual_seed(0)
    if len(rows) > _MOST_PIXELS:
        rows = rows[torch.randperm(len(rows), generator=noise)[:_MOST_PIXELS]]
    rows = rows[rows.flatten(1).any(dim=1)]
    labels = _labels(_features(rows, noise), count, noise)
    return torch.stack([_centre(rows[labels == index]) for index in range(count)])


def likeness_to(image: Responses, centres: Tensor) -> Tensor:
    """How much each pixel moves like each centre, `(h * w, count)` in [0, 1]."""
    count, factors, _ = centres.shape
    products = image.rows.flatten(0, 1) @ centres.flatten(0, 1).T
    return products.view(-1, 3, count, factors).square().sum(dim=(1, 3)).clamp(0.0, 1.0)


def _features(rows: Tensor, noise: torch.Generator) -> Tensor:
    first, second = (torch.randn(rows.shape[2], _FEATURES, generator=noise) for _ in range(2))
    return F.normalize(((rows @ first) * (rows @ second)).sum(dim=1), dim=1)


def _labels(points: Tensor, count: int, noise: torch.Generator) -> Tensor:
    """Spherical k-means: each centre starts at a point, the likelier the less it is like those before."""
    centres = points[torch.randint(len(points), (1,), generator=noise)]
    while len(centres) < count:
        far = (1.0 - (points @ centres.T).amax(dim=1)).clamp_min(1e-9)
        centres = torch.cat([centres, points[torch.multinomial(far, 1, generator=noise)]])
    labels = (points @ centres.T).argmax(dim=1)
    for _ in range(_ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, labels, points)
        held = torch.bincount(labels, minlength=count) > 0
        centres = torch.where(held[:, None], F.normalize(sums, dim=1), centres)
        before, labels = labels, (points @ centres.T).argmax(dim=1)
        if torch.equal(before, labels):
            break
    return labels


def _centre(rows: Tensor) -> Tensor:
    """The mean of `GᵀG` over pixels, of norm 1, as the square root's leading rows `(FACTORS, r)`."""
    rank = rows.shape[2]
    flat = rows.flatten(0, 1).double()
    energies, vectors = torch.linalg.eigh(flat.T @ flat)
    energies, vectors = energies.flip(0)[:FACTORS].clamp_min(0.0), vectors.flip(1)[:, :FACTORS]
    scale = (energies / energies.norm().clamp_min(1e-30)).sqrt()
    centre = torch.zeros(FACTORS, rank)
    centre[: len(scale)] = (vectors * scale).T.float()
    return centre
