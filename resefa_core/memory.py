"""Work in pieces, in smaller ones where a device runs out of memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from .progress import Progress

_T = TypeVar("_T")
_NO_MEMORY = ("_STATUS_ALLOC_FAILED", "out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left: PyTorch's own, and those that CUDA's libraries
    (cuBLAS, cuSOLVER, cuDNN), Metal and the CPU's allocator raise as a plain RuntimeError."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def fits(function: Callable[[], None]) -> bool:
    """Call a function, and say whether memory sufficed. Where it did not, what it held is free by then: the
    error and its traceback, which keep tensors alive, are gone before unused memory is given back."""
    try:
        function()
        return True
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    give_back()
    return False


def if_it_fits(function: Callable[[], _T]) -> _T | None:
    """What a function gives, or None where it ran out of memory."""
    given: list[_T] = []
    return given[0] if fits(lambda: given.append(function())) else None


def give_back() -> None:
    """Give memory back that PyTorch holds in reserve and does not use."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def for_chunks(
    function: Callable[[slice], None], count: int, chunk: int, progress: Progress | None = None
) -> int:
    """Apply a function to slices of `range(count)`, to halves of them where memory runs out.

    Args:
        function: may be called again for what it failed at.
        chunk: the size of slice to begin with.
        progress: called with (done, count) after each slice.

    Returns:
        The size of slice that worked, for the next time.

    Raises:
        RuntimeError: memory ran out at a single one.
    """
    done = 0
    while done < count:
        rows = slice(done, min(done + chunk, count))
        size = rows.stop - rows.start
        if size == 1:
            function(rows)
        elif not fits(partial(function, rows)):
            chunk = size // 2
            continue
        done = rows.stop
        if progress is not None:
            progress(done, count)
    return chunk


def in_chunks(
    function: Callable[[slice], Tensor], into: Tensor, chunk: int, progress: Progress | None
) -> int:
    """Fill a tensor by applying a function to slices of its rows, as `for_chunks` does.

    Returns:
        The size of slice that worked, for the next time.
    """

    def fill(rows: slice) -> None:
        into[rows] = function(rows)

    return for_chunks(fill, into.shape[0], chunk, progress)


def joined(function: Callable[[slice], Tensor], count: int) -> Tensor:
    """What a function gives for `range(count)`, at once if memory suffices, else of slices one after the
    other."""
    parts: list[Tensor] = []
    for_chunks(lambda rows: parts.append(function(rows)), count, max(1, count))
    return parts[0] if len(parts) == 1 else torch.cat(parts)
