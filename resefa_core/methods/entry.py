"""The linear maps that a generator's codes meet first, as methods read them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..generators import Generator


def entry_maps(generator: Generator) -> list[Tensor]:
    """`Generator.entry_map` of each layer, `(outputs, D)`, on the CPU in float64; empty where the layers are
    not known."""
    maps = (generator.entry_map(layer) for layer in range(generator.num_layers))
    return [matrix.detach().to("cpu", torch.float64) for matrix in maps if matrix is not None]


def unknown_layers(generator: Generator) -> str:
    """Why a method that reads these maps isn't defined for a generator; empty where it is."""
    known = generator.entry_map(0) is not None
    return "" if known else f"the layers of this {generator.architecture} are not known"
