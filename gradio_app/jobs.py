"""Long work whose progress a page can show, and which stops when nobody waits for it."""

from __future__ import annotations

import contextlib
import contextvars
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from gradio_app.line import Line, Place
from resefa_core.progress import Progress

Result = TypeVar("Result")

_PAUSE = 0.2
_LINE_PAUSE = 1.0
_LAST_PAUSE = 1.0


class Stopped(Exception):  # noqa: N818
    """Raised inside work that nobody waits for any more."""


def run_in_turn(
    line: Line,
    address: str,
    work: Callable[[Progress], Result],
    wanted: Callable[[], bool] = lambda: True,
) -> Generator[float | Place, None, Result]:
    """As `run`, but in line; yields one's place in it first, about once a second.

    Raises:
        CrowdedError: the line is too long.
    """
    ticket, started = line.join(address), False

    def in_turn(progress: Progress) -> Result:
        finished = False
        try:
            result = work(progress)
            finished = True
            return result
        finally:
            ticket.leave(finished)

    try:
        while (place := ticket.wait(_LINE_PAUSE)) is not None:
            yield place
            if not wanted():
                raise Stopped
        started = True
        return (yield from run(in_turn, wanted, line.niceness))
    finally:
        if not started:
            ticket.leave(finished=False)


def run(
    work: Callable[[Progress], Result], wanted: Callable[[], bool] = lambda: True, niceness: int = 0
) -> Generator[float, None, Result]:
    """Do work in a thread of its own, in the caller's context; yields the fraction that is done, a few times
    a second.

    Args:
        work: is given a function to call with (done, total); that raises `Stopped` once the generator is
            closed or `wanted` says no.
        niceness: how far it lets other threads go first, from 0 to 19.

    Returns:
        What `work` returned.

    Raises:
        Stopped: it isn't wanted any more. Whatever else `work` raises.
    """
    closed = threading.Event()
    outcome: queue.Queue[tuple[Result | None, BaseException | None]] = queue.Queue()
    fraction = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal fraction
        if closed.is_set() or not wanted():
            raise Stopped
        fraction = done / max(total, 1)

    def worker() -> None:
        _let_others_first(niceness)
        try:
            outcome.put((work(progress), None))
        except BaseException as error:
            outcome.put((None, error))

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(worker,), daemon=True, name="resefa-job").start()
    try:
        while True:
            try:
                result, error = outcome.get(timeout=_PAUSE if wanted() else _LAST_PAUSE)
                break
            except queue.Empty:
                if not wanted():
                    raise Stopped from None
                yield fraction
    finally:
        closed.set()
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _let_others_first(niceness: int) -> None:
    """Give the processors to this process's other threads where both want them; Linux tells threads apart."""
    if niceness and sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(19, own + niceness))


def finished(job: Generator[object, None, Result]) -> Result:
    """Wait for a job; returns what it returned."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value
