"""Memory: which Jacobians are formed, and how many images pass at once.

What is computed follows from sizes and settings; the memory that happens to be free only decides in how many
pieces.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from ..generators.base import Generator
from ..spaces import vector_shape

ANALYSIS_SIDE = 256
"""The largest side of an analysed image, in pixels; larger images are averaged over areas."""

DEFAULT_BUDGET = 2 << 30
"""The memory that an analysis may take, in bytes, where nobody says otherwise."""

DENSE_DIMENSION = 4096
"""The largest d at which a Jacobian is formed where the choice is free: solving takes d³."""

Kind = Literal["dense", "matrix-free"]
"""A Jacobian is formed, or only applied."""

KindChoice = Literal["auto"] | Kind
"""A kind that is asked for, or `auto` for the one that `kind_for` names."""


def analysis_size(generator: Generator) -> tuple[int, int]:
    """Height and width of a generator's image as it is analysed, in pixels."""
    return shrunk(*generator.image_size)


def shrunk(height: int, width: int, longest: int = ANALYSIS_SIDE) -> tuple[int, int]:
    """Height and width with the longer side brought down to at most `longest`, the shape kept.

    Example:
        >>> shrunk(1024, 512), shrunk(64, 64)
        ((256, 128), (64, 64))
    """
    larger = max(height, width)
    if larger <= longest:
        return height, width
    return max(1, round(height * longest / larger)), max(1, round(width * longest / larger))


def kind_for(dimension: int, num_outputs: int, memory_budget: int | None = None) -> Kind:
    """Whether a Jacobian is formed where the choice is free: where d is at most 4096 and its float32 matrix
    takes at most half of the memory budget.

    Sizes alone decide, never a clock or the memory that is free at the moment, so that the same input gives
    the same numbers on any machine.

    Args:
        dimension: d, its columns.
        num_outputs: its rows, three for each analysed pixel.
        memory_budget: bytes; 2 GiB for None, on every device.
    """
    budget = DEFAULT_BUDGET if memory_budget is None else memory_budget
    fits = 4 * dimension * num_outputs <= budget // 2
    return "dense" if fits and dimension <= DENSE_DIMENSION else "matrix-free"


def chosen_kind(
    generator: Generator,
    space: str,
    layers: tuple[int, ...],
    choice: KindChoice = "auto",
    memory_budget: int | None = None,
) -> Kind:
    """The kind of an analysis of a generator's images, before any work is done.

    Args:
        memory_budget: as for `kind_for`.
    """
    if choice != "auto":
        return choice
    outputs = 3 * math.prod(analysis_size(generator))
    return kind_for(math.prod(vector_shape(generator, space, layers)), outputs, memory_budget)


def budget_of_each(images: int) -> int:
    """The memory budget of each of several analyses that are held together: all of them get twice that of
    one."""
    return min(DEFAULT_BUDGET, 2 * DEFAULT_BUDGET // images)


def memory_for(device: torch.device) -> int:
    """The memory that passes may take on a device, in bytes: 2 GiB, or on a CUDA device half of what is free
    there, what PyTorch holds in reserve included."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (int(torch.cuda.mem_get_info(device)[0]) + reserve) // 2
    return DEFAULT_BUDGET


def images_at_once(generator: Generator, budget: int) -> int:
    """How many images pass together within a memory budget in bytes; more gain nothing past a point."""
    most = 32 if generator.device.type == "cpu" else 256
    return max(1, min(most, budget // (4 * generator.activation_floats())))
