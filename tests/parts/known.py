"""Images whose parts are known: each moves with latent entries of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resefa_core import Latent
from resefa_core.analysis import DenseJacobian, Subject

SIDE = 16
ENTRIES = 4
PARTS = 4


def places(shift: int = 0) -> Tensor:
    """Which part each pixel belongs to, `(16, 16)`: 0 around, 1 two eyes, 2 a mouth, 3 a hat."""
    place = torch.zeros(SIDE, SIDE, dtype=torch.long)
    place[5 + shift : 8 + shift, 3:6] = place[5 + shift : 8 + shift, 10:13] = 1
    place[11:14, 5 + shift : 12] = 2
    place[: 3 + shift] = 3
    return place


def analysis_of(
    place: Tensor, brightness: Sequence[float] = (1.0, 1.0, 1.0, 1.0), seed: int = 0
) -> DenseJacobian:
    """The analysis of an image whose parts move with four latent entries each, in every colour differently,
    some more and some less, and all with a little noise."""
    noise = torch.Generator().manual_seed(seed)
    dimension = PARTS * ENTRIES
    colours = torch.randn(PARTS, 3, ENTRIES, generator=torch.Generator().manual_seed(5))
    rows = torch.zeros(SIDE, SIDE, 3, dimension)
    for part in range(PARTS):
        inside = place == part
        own = slice(part * ENTRIES, (part + 1) * ENTRIES)
        signs = torch.randint(0, 2, (int(inside.sum()), 1, 1), generator=noise) * 2.0 - 1.0
        block = torch.zeros(int(inside.sum()), 3, dimension)
        block[:, :, own] = brightness[part] * signs * colours[part]
        rows[inside] = block + 0.01 * brightness[part] * torch.randn(block.shape, generator=noise)
    return DenseJacobian(
        rows.permute(3, 2, 0, 1).contiguous(),
        Subject(
            space="w",
            layers=(0, 1),
            shape=(dimension,),
            latent=Latent(torch.ones(1, 2, dimension), seed=(seed,)),
            described={
                "architecture": "stylegan2",
                "resolution": SIDE,
                "fingerprint": "ab",
                "name": "known",
                "has_mapping": True,
            },
            image_size=(SIDE, SIDE),
        ),
    )


def overlap(mask: Tensor, inside: Tensor) -> float:
    """Intersection over union of a soft mask, cut at a half, and the truth."""
    chosen = mask >= 0.5
    return float((chosen & inside).sum() / (chosen | inside).sum())
