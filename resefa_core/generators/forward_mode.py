"""Forward mode for a process of several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from torch import Tensor
from torch.func import jvp, vmap

_one_at_a_time = threading.RLock()


def push_forward(function: Callable[..., Tensor], at: Sequence[Tensor], tangents: Sequence[Tensor]) -> Tensor:
    """The derivative of a function, applied to tangents; from any number of threads.

    PyTorch keeps one level of dual numbers for the whole process, and whichever thread began it ends it,
    also while another computes in it, which fails then. So one thread has it at a time.

    Args:
        function: of as many tensors as `at` holds, to a tensor.
        at: where the derivative is taken.
        tangents: of each of them, `(n, *shape)`.

    Returns:
        The tangents of what the function returns, `(n, *shape)`.
    """

    def one(*tangent: Tensor) -> Tensor:
        moved: Tensor = jvp(function, tuple(at), tangent)[1]
        return moved

    with _one_at_a_time:
        pushed: Tensor = vmap(one)(*tangents)
    return pushed
