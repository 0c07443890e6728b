"""How far codes lie from those that a generator draws: distances in whitened code space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..generators.base import Generator
from ..precision import analysis_mode, wide

_LEAST_DRAWN = 1024
_DRAWN_PER_NUMBER = 4
_FLOOR = 1e-3


@dataclass(frozen=True, eq=False)
class CodePrior:
    """The distribution of a generator's untruncated codes as a Gaussian, and coordinates in which it is
    standard normal.

    Attributes:
        mean: `(L, D)`.
        bases: `(L, D, D)`: the covariance's eigenvectors as columns, times the roots of their eigenvalues.
        inverses: `(L, D, D)`.
        shared: whether the codes of all layers are the same when they are drawn.
    """

    mean: Tensor
    bases: Tensor
    inverses: Tensor
    shared: bool

    @staticmethod
    def of(generator: Generator, label: int | None = None) -> CodePrior:
        """The distribution of codes, of a class where there are classes, from seeded draws.

        Eigenvalues are at least a thousandth of their mean, so that what never varies hardly may.
        """
        count = max(_LEAST_DRAWN, _DRAWN_PER_NUMBER * generator.latent_dim)
        with analysis_mode():
            noise = generator.draw(range(count)).to(generator.device, generator.dtype)
            labels = None if label is None else torch.full((count,), label, device=generator.device)
            codes = wide(generator.map(noise, labels))
            shared = bool((codes == codes[:, :1]).all())
            drawn = codes[:, :1] if shared else codes
            mean = drawn.mean(dim=0)
            apart = (drawn - mean).transpose(0, 1)
            values, vectors = torch.linalg.eigh(apart.mT @ apart / (count - 1))
            floor = (_FLOOR * values.mean(dim=1, keepdim=True)).clamp_min(1e-12)
            scales = torch.maximum(values, floor).sqrt()
            expand = (generator.num_layers, -1, -1)
            place = (generator.device, torch.float32)
            return CodePrior(
                mean=mean.expand(generator.num_layers, -1).to(*place),
                bases=(vectors * scales[:, None]).expand(*expand).to(*place),
                inverses=(vectors / scales[:, None]).mT.expand(*expand).to(*place),
                shared=shared,
            )

    def codes(self, coordinates: Tensor) -> Tensor:
        """The codes `(B, L, D)` at whitened coordinates `(B, L, D)`."""
        return self.mean + torch.einsum("lij,blj->bli", self.bases, coordinates)

    def coordinates(self, codes: Tensor) -> Tensor:
        """The whitened coordinates `(B, L, D)` of codes `(B, L, D)`."""
        return torch.einsum("lij,blj->bli", self.inverses, codes - self.mean)


def squared_distance(coordinates: Tensor) -> Tensor:
    """The mean square `(B,)` of whitened coordinates `(B, L, D)`: 0 at the mean, about 1 for a code drawn."""
    return coordinates.square().mean(dim=(1, 2))


def squared_spread(coordinates: Tensor) -> Tensor:
    """The mean square `(B,)` of what layers' whitened coordinates `(B, L, D)` differ by from their mean: 0
    where all layers have the same code."""
    return (coordinates - coordinates.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2))
