"""Memory: how much an analysis may take, how many images fit, and what to do when they don't."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..generators.base import Generator
from ..progress import Progress

_DEFAULT_BUDGET = 2 << 30


def memory_for(device: torch.device) -> int:
    """The memory budget on a device, in bytes, where the caller gives none."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 2
    return _DEFAULT_BUDGET


def images_at_once(generator: Generator, budget: int) -> int:
    """How many images pass together within a memory budget in bytes; more gain nothing past a point."""
    most = 32 if generator.device.type == "cpu" else 256
    return max(1, min(most, budget // (4 * generator.activation_floats())))


def in_chunks(
    function: Callable[[slice], Tensor], into: Tensor, chunk: int, progress: Progress | None
) -> int:
    """Fill a tensor by applying a function to slices of its rows, to smaller ones where memory runs out.

    Returns:
        The size of slice that worked, for the next time.
    """
    done, count = 0, into.shape[0]
    while done < count:
        rows = slice(done, min(done + chunk, count))
        try:
            into[rows] = function(rows)
        except torch.cuda.OutOfMemoryError:
            if chunk == 1:
                raise
            chunk = max(1, chunk // 2)
            torch.cuda.empty_cache()
            continue
        done = rows.stop
        if progress is not None:
            progress(done, count)
    return chunk
