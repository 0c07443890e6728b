"""How pixels answer to the latent, in few numbers that compare across pixels, images and colours.

Row p of the Jacobian says how pixel p moves with the latent. Pixels of one part move together, so their rows
span the same directions, whatever their colour and however bright they are. Rows live in the latent space, so
they also compare across images of one generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..analysis import Jacobian
from ..errors import JacobianError
from ..precision import analysis_mode

RANK = 48
_POWER = 0.25
_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Responses:
    """The rows of an image's Jacobian, each pixel's over the size of what it does.

    Attributes:
        rows: `(h * w, 3, r)`, float32: each pixel's three colours along r axes; the Frobenius norm of
            `rows[p]ᵀ rows[p]` is 1, or 0 where a pixel does not move.
        height, width: of the analysed image.
    """

    rows: Tensor
    height: int
    width: int

    def likeness(self, rows: Tensor) -> Tensor:
        """How much each pixel moves like others: the cosine between `GᵀG` of its rows G and of theirs, which
        knows no sign and no colour.

        Args:
            rows: `(n, 3, r)`, of pixels of this image or of another one.

        Returns:
            `(h * w, n)` in [0, 1].
        """
        count = len(rows)
        products = self.rows.flatten(0, 1) @ rows.flatten(0, 1).T
        return products.view(-1, 3, count, 3).square().sum(dim=(1, 3)).clamp(0.0, 1.0)

    def around(self, x: float, y: float) -> Tensor:
        """The rows of the 3 x 3 pixels around a point, in fractions of the image, `(n, 3, r)`."""
        column, row = min(int(x * self.width), self.width - 1), min(int(y * self.height), self.height - 1)
        grid = self.rows.view(self.height, self.width, *self.rows.shape[1:])
        window = grid[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        return window.flatten(0, 1)


@analysis_mode()
def axes_of(jacobians: Sequence[Jacobian], rank: int = RANK) -> Tensor:
    """The axes along which rows are compared, `(d, r)`, float32: the leading eigenvectors of the images'
    `JᵀJ`, each over its trace, divided by the fourth root of their eigenvalues, so that what moves little
    counts too.

    Raises:
        JacobianError: the analyses do not belong together.
        LatentError: an image does not respond to the latent at all.
    """
    if not jacobians:
        raise JacobianError("no analyses were given")
    first = jacobians[0]
    total = None
    for each in jacobians:
        check_same(first, each)
        each.check_response()
        gram = each.leading_gram() / each.trace
        total = gram if total is None else total + gram
    assert total is not None
    energies, vectors = torch.linalg.eigh((total + total.T) / 2)
    energies, vectors = energies.flip(0)[:rank], vectors.flip(1)[:, :rank]
    kept = energies > _FLOOR * energies[0]
    return (vectors[:, kept] / energies[kept] ** _POWER).float().cpu()


@analysis_mode()
def responses_of(jacobian: Jacobian, axes: Tensor) -> Responses:
    """The rows of an image along axes `(d, r)`.

    Raises:
        JacobianError: the axes are of another space.
    """
    if axes.shape[0] != jacobian.dimension:
        raise JacobianError(f"axes of {axes.shape[0]} entries, an analysis of {jacobian.dimension}")
    images, basis = jacobian.leading()
    rows = torch.einsum("dchw,dr->hwcr", images, basis @ axes.to(images)).flatten(0, 1).float().cpu()
    size = torch.einsum("pcr,per->pce", rows, rows).flatten(1).norm(dim=1).sqrt()
    small = size <= 1e-6 * size.max()
    rows = torch.where(small[:, None, None], 0.0, rows / size.clamp_min(1e-30)[:, None, None])
    return Responses(rows, jacobian.height, jacobian.width)


def check_same(first: Jacobian, other: Jacobian) -> None:
    """Raise JacobianError unless two analyses are of one generator, in one space, on the same layers."""
    mine, theirs = (
        (each.described.fingerprint, each.space, each.layers, each.shape) for each in (first, other)
    )
    if mine != theirs:
        raise JacobianError(
            f"analyses that do not belong together were given: in {first.space} of "
            f"{first.described.name!r}, and in {other.space} of {other.described.name!r}"
        )
