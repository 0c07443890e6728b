"""SeFa: what moves the first step of a generator most."""

from __future__ import annotations

import torch
from torch import Tensor

from ..directions import Directions
from ..spaces import ONE_VECTOR, SPACES
from .base import Request, candidates, ranked, register_method
from .entry import entry_maps, unknown_layers


@register_method(
    key="sefa",
    title="SeFa",
    citation="Shen and Zhou: Closed-Form Factorization of Latent Semantics in GANs. CVPR 2021",
    summary="Eigenvectors of the weights that a code meets first: no images, no region; those most local to "
    "the region are kept.",
    spaces=ONE_VECTOR,
    one_space=True,
    uses_region=False,
    parameters=(candidates("eigenvectors", "none: the region plays no part (0)"),),
    refuses=unknown_layers,
)
def find(request: Request) -> Directions:
    """The eigenvectors of AᵀA, A the weights of the chosen layers, that are most local to the region."""
    maps = entry_maps(request.generator)
    gram = weight_gram([maps[layer] for layer in request.layers], stacked=SPACES[request.space].layered)
    vectors = torch.linalg.eigh(gram).eigenvectors.flip(1).T
    return ranked(request, vectors, request.progress)


def weight_gram(maps: list[Tensor], stacked: bool) -> Tensor:
    """AᵀA of weights whose rows, one for each output, were brought to unit length.

    Args:
        maps: `(outputs, D)` for each layer.
        stacked: whether each layer has entries of its own in a direction; else one vector moves all.

    Returns:
        `(D, D)`, or `(layers * D, layers * D)`.
    """
    grams = []
    for matrix in maps:
        rows = matrix / matrix.norm(dim=1, keepdim=True).clamp_min(1e-30)
        grams.append(rows.T @ rows)
    return torch.block_diag(*grams) if stacked else torch.stack(grams).sum(dim=0)
