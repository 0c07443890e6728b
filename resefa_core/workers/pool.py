"""A pool of processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..bounds import whole
from ..errors import WorkerError
from ..threads import one_thread
from . import freed
from .base import AHEAD, Result, Shared, Task, Workers

_MOST = 1024
_LOSSES = 5
"""How often in a row the pool may break without a task being done in between."""

_shared: Any = None


class Pool(Workers):
    """Processes of this machine. One that is lost is replaced, and what it did is done again.

    Args:
        count: of processes, from 1 to 1024.
    """

    def __init__(self, count: int) -> None:
        self.count = whole(count, "workers", 1, _MOST)

    def run(
        self, function: Callable[[Shared, Task], Result], shared: Shared, tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        folder, file = _written(packed_for_workers(shared))
        waiting: dict[Future[bytes], Task] = {}
        left = iter(tasks)
        losses = 0
        ends, end = multiprocessing.Pipe(duplex=False)
        pool = self._started(file, ends)
        try:
            while True:
                for task in islice(left, AHEAD * self.count - len(waiting)):
                    waiting[_submitted(pool, function, task)] = task
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                whole_ones = [future for future in done if not _was_lost(future)]
                for future in whole_ones:
                    losses = 0
                    yield waiting.pop(future), pickle.loads(future.result())
                if len(whole_ones) == len(done):
                    continue
                losses += 1
                if losses > _LOSSES:
                    raise WorkerError(
                        f"workers were lost {losses} times in a row: they may lack memory; use fewer, or "
                        "smaller tasks"
                    )
                wait(waiting)  # a pool that has lost one process ends them all
                pool.shutdown(wait=False)
                pool = self._started(file, ends)
                waiting = {
                    _submitted(pool, function, task) if _was_lost(future) else future: task
                    for future, task in waiting.items()
                }
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            end.close()
            ends.close()
            folder.cleanup()

    def _started(self, file: Path, ends: Connection) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.count, context, _begin, (file, ends))


def packed_for_workers(shared: object) -> bytes:
    """What tasks share, as other processes take it.

    Raises:
        WorkerError: it can't leave this process, as a module of one's own that was defined in a function.
    """
    try:
        return pickle.dumps(shared, pickle.HIGHEST_PROTOCOL)
    except Exception as problem:  # as objects' own methods raise
        raise WorkerError(
            f"this can't be sent to other processes: {problem}; compute in one process instead"
        ) from problem


def _written(packed: bytes) -> tuple[TemporaryDirectory[str], Path]:
    """A file that workers read: what is sent to a process as it starts stops the sender for ever if that
    process ends before it has read it."""
    try:
        folder = TemporaryDirectory(prefix="resefa-", ignore_cleanup_errors=True)
        file = Path(folder.name) / "shared"
        file.write_bytes(packed)
    except OSError as problem:
        raise WorkerError(f"what workers share can't be written: {problem}") from problem
    return folder, file


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[[Any, Task], Result], task: Task
) -> Future[bytes]:
    """A future of bytes: tensors that are sent as such lie in memory that is lost with a worker."""
    try:
        return pool.submit(_do, function, task)
    except BrokenProcessPool as lost:  # while tasks are handed out; told when its turn comes
        failed: Future[bytes] = Future()
        failed.set_exception(lost)
        return failed


def _was_lost(future: Future[bytes]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _begin(file: Path, ends: Connection) -> None:
    global _shared
    freed.keep_returning()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which a terminal interrupts too, ends it
    threading.Thread(target=_end_in_time, args=(ends,), daemon=True).start()
    with one_thread():
        _shared = pickle.loads(file.read_bytes())


def _end_in_time(ends: Connection) -> None:
    """End when the parent closes its side, or is gone: whoever stops does not wait for tasks that nobody
    wants, and no process waits for tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([ends, parent.sentinel])
    os._exit(1)


def _do(function: Callable[[Any, Task], Result], task: Task) -> bytes:
    with one_thread():
        return pickle.dumps(function(_shared, task), pickle.HIGHEST_PROTOCOL)
