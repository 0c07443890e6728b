"""How torch's threads wait for each other, and how many compute. Nothing else in the project decides that.

Threads that share a product spin by default until the last of them is done. Where other programs, or a
container's quota, leave them less than a processor each, they spin away the time that the last one needs: an
image takes 24 times as long (`benchmarks/busy.py`). Threads that sleep while they wait cost 6 to 8 ms more on
an idle machine: a third of a small image, a twelfth of a region in a large space. That is how they wait here.

The OpenMP runtime reads the policy once, when torch is imported: the package imports this module first. Where
torch is there already, as in ComfyUI, the policy is the program's own, and `considerate` is what is left.
What the user has set in the environment always holds.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Variables by which a user says how threads wait; any of them set leaves all as they are."""
COUNTING = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which a user says how many threads there are."""

if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import torch  # noqa: E402  (after the policy)

_CGROUPS = Path("/sys/fs/cgroup")


def settle(most: int | None = None) -> None:
    """Compute with no more threads than this process has processors, for the rest of the process.

    Args:
        most: an upper bound of the caller's own.
    """
    if not any(name in os.environ for name in COUNTING):
        count = min(torch.get_num_threads(), processors(), most or sys.maxsize)
        torch.set_num_threads(count)


@contextlib.contextmanager
def considerate() -> Iterator[None]:
    """Compute with one thread where threads may spin and others keep the processors busy.

    For programs that imported torch before this package. They are busy where more than twice as many threads
    are ready to run as there are processors: this process's own are at most half of these.
    """
    count = torch.get_num_threads()
    asked = any(name in os.environ for name in (*WAITING, *COUNTING))
    if asked or count == 1 or load() <= 2 * processors():
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread whatever is set: sums come out the same wherever and beside whatever they are
    made, and one process for each processor does more than threads do."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def load() -> float:
    """How many threads of all programs were ready to run in the last minute; 0 where nobody counts."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def processors(cgroups: Path = _CGROUPS) -> int:
    """How many processors this process may use: those it is bound to, within its container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, round(_quota(cgroups) or bound)))


def _quota(cgroups: Path) -> float | None:
    """A Linux container's share of the processors, e.g. 1.5, or None."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = (cgroups / "cpu.max").read_text("ascii").split()
        return None if allowed == "max" else int(allowed) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, each = (
            int((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii")) for name in ("quota", "period")
        )
        return quota / each if quota > 0 else None
    return None
