"""A Ray cluster, or Ray on this machine."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import ModuleType
from typing import Any

from ..bounds import number
from ..errors import WorkerError
from ..threads import one_thread
from . import freed
from .base import AHEAD, Result, Shared, Task, Workers
from .pool import packed_for_workers

_RETRIES = 16
"""How often a task is begun again that loses its worker."""

_held: dict[str, Any] = {}


class Cluster(Workers):
    """Tasks of Ray, each with processors or cards of its own. Ray begins a task again that lost its worker.

    A running Ray is used, else that of the address, else Ray is started on this machine.

    Args:
        address: of a cluster, as `ray.init` takes it; None for this machine.
        processors: for each task.
        cards: GPUs for each task, a fraction where several share one.

    Raises:
        WorkerError: Ray is not installed or does not answer, or it has no room for a task.
    """

    def __init__(self, address: str | None = None, processors: float = 1.0, cards: float = 0.0) -> None:
        number(processors, "processors", 0.01, 1024.0)
        number(cards, "cards", 0.0, 64.0)
        ray = the_ray()
        if not ray.is_initialized():
            try:
                ray.init(address=address, log_to_driver=False)
            except Exception as problem:  # of many types
                raise WorkerError(
                    f"Ray does not answer at {address or 'this machine'}: {problem}"
                ) from problem
        self._ray = ray
        self._options = {"num_cpus": processors, "num_gpus": cards, "max_retries": _RETRIES}
        have = ray.cluster_resources()
        rooms = [have.get("CPU", 0.0) / processors] + ([have.get("GPU", 0.0) / cards] if cards else [])
        self.count = int(min(rooms))
        if not self.count:
            raise WorkerError(
                f"Ray has {have.get('CPU', 0.0):g} processors and {have.get('GPU', 0.0):g} cards: expected "
                f"{processors:g} and {cards:g} for a task"
            )

    def run(
        self, function: Callable[[Shared, Task], Result], shared: Shared, tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        ray = self._ray
        handle = ray.put(packed_for_workers(shared))
        do = ray.remote(**self._options)(_do)
        left = iter(tasks)
        waiting: dict[Any, Task] = {}
        try:
            while True:
                for task in islice(left, AHEAD * self.count - len(waiting)):
                    named = do.options(name=f"{function.__name__} {task}"[:80])
                    waiting[named.remote(function, [handle], task)] = task
                if not waiting:
                    return
                (done, *_), _ = ray.wait(list(waiting), num_returns=1)
                task = waiting.pop(done)
                try:
                    result: Result = ray.get(done)
                except ray.exceptions.RayTaskError as problem:
                    raise problem.cause from problem
                except ray.exceptions.RayError as problem:
                    raise WorkerError(f"Ray gave up a task: {problem}") from problem
                yield task, result
        finally:
            for each in waiting:
                ray.cancel(each, force=True)


def the_ray() -> ModuleType:
    """The package `ray`.

    Raises:
        WorkerError: it is not installed.
    """
    try:
        import ray
    except ImportError as missing:
        raise WorkerError('a cluster needs Ray: pip install "resefa[cluster]"') from missing
    return ray


def _do(function: Callable[[Any, Task], Result], handles: Sequence[Any], task: Task) -> Result:
    """A task. The handle is in a list so that Ray does not fetch what it stands for with every task."""
    key = handles[0].hex()
    if key not in _held:
        freed.keep_returning()
        _held.clear()
        packed = the_ray().get(handles[0])
        with one_thread():
            _held[key] = pickle.loads(packed)
    with one_thread():
        return function(_held[key], task)
