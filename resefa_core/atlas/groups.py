"""What single images can do and joint directions can't: groups of their own directions that are left over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..solve.sums import SummedPencil

MISSED = 0.5
"""The share of a direction's change that joint directions have, below which they miss it."""
ALIKE = 0.7
"""The cosine from which two directions' changes belong to one group."""
FEWEST = 3
LEAST_SHARE = 0.02
"""A group has at least so many images, and that share of those that have the region."""
MOST_GROUPS = 4


class Groups(NamedTuple):
    """Groups of single images' directions that joint directions miss, the largest first.

    Attributes:
        vectors: one unit vector for each, `(g, d)`, in float64.
        places: the images of each.
        missed: the share of all single directions that are missed.
    """

    vectors: Tensor
    places: tuple[tuple[int, ...], ...]
    missed: float


def groups_of(pencil: SummedPencil, damping: float, joint: Tensor, own: Mapping[int, Tensor]) -> Groups:
    """Groups of what joint directions miss.

    Directions are compared by what they change on all images: by the inner product `xᵀ (T + aI) y`, for which
    joint directions are at right angles. Of the directions that are left, the one with the most like it
    begins a group, which is what its members have in common; and so on with those that remain.

    Args:
        damping: `a` of the joint directions, as the pencil's sums count it.
        joint: them, `(k, d)`, in float64.
        own: each image's directions, `(m, d)`, by its place; zeros count as none.
    """
    places = [place for place, vectors in own.items() for vector in vectors if bool(vector.any())]
    size = joint.shape[1]
    if not places:
        return Groups(joint.new_zeros(0, size), (), 0.0)
    rows = torch.cat([vectors[vectors.any(dim=1)] for vectors in own.values()]).double()
    factor = torch.linalg.cholesky(pencil.both() + damping * torch.eye(size, dtype=torch.float64))
    lifted = _unit(rows @ factor)
    basis = torch.linalg.qr((joint @ factor).T)[0]
    captured = (lifted @ basis).square().sum(dim=1)
    left = captured < MISSED
    missed = float(left.double().mean())
    least = max(FEWEST, LEAST_SHARE * len(set(places)))
    vectors: list[Tensor] = []
    members: list[tuple[int, ...]] = []
    alike = (lifted @ lifted.T).abs() >= ALIKE
    while len(vectors) < MOST_GROUPS:
        near = alike & left[:, None] & left[None, :]
        first = int(near.sum(dim=1).argmax())
        chosen = near[first].nonzero()[:, 0].tolist()
        images = tuple(sorted({places[index] for index in chosen}))
        if len(images) < least:
            break
        common = torch.linalg.svd(lifted[chosen], full_matrices=False)[2][0]
        vectors.append(torch.linalg.solve_triangular(factor.T, common[:, None], upper=True)[:, 0])
        members.append(images)
        left = left & ~near[first]
    found = torch.stack(vectors) if vectors else joint.new_zeros(0, size)
    return Groups(_unit(found), tuple(members), missed)


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
