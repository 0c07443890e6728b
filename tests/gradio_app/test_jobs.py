"""Work in a thread of its own: its progress, its end, and that it stops when nobody waits."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator

import pytest

from gradio_app import jobs
from gradio_app.jobs import Progress, Result, Stopped
from gradio_app.line import Line


def endless(steps: list[int], stopped: threading.Event) -> Callable[[Progress], None]:
    """Work that only `Stopped` ends."""

    def work(progress: Progress) -> None:
        try:
            while True:
                steps.append(1)
                progress(len(steps) % 10, 10)
                stopped.wait(0.01)
        except Stopped:
            stopped.set()
            raise

    return work


def drained(job: Generator[float, None, Result]) -> tuple[list[float], Result]:
    """The fractions that are left, and the result."""
    fractions = []
    while True:
        try:
            fractions.append(next(job))
        except StopIteration as finished:
            return fractions, finished.value


def test_the_result_comes_after_fractions() -> None:
    going_on = threading.Event()

    def work(progress: Progress) -> str:
        progress(1, 4)
        going_on.wait(10)
        progress(4, 4)
        return "done"

    job = jobs.run(work)
    assert next(job) == 0.25
    going_on.set()
    fractions, result = drained(job)
    assert set(fractions) <= {0.25, 1.0}
    assert result == "done"


def test_work_with_nothing_to_do() -> None:
    with pytest.raises(StopIteration) as finished:
        next(jobs.run(lambda progress: progress(0, 0)))
    assert finished.value.value is None


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), KeyboardInterrupt(), SystemExit(2)])
def test_errors_are_passed_on(error: BaseException) -> None:
    def work(_: Progress) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        next(jobs.run(work))
    assert raised.value is error


def test_work_stops_when_the_generator_is_closed() -> None:
    steps: list[int] = []
    stopped = threading.Event()
    job = jobs.run(endless(steps, stopped))
    next(job)
    job.close()
    assert stopped.wait(10)


def test_work_stops_when_the_generator_is_dropped() -> None:
    steps: list[int] = []
    stopped = threading.Event()
    job = jobs.run(endless(steps, stopped))
    next(job)
    del job
    assert stopped.wait(10)


def test_work_stops_when_it_is_not_wanted_any_more() -> None:
    stopped = threading.Event()
    wanted = [True]
    job = jobs.run(endless([], stopped), lambda: wanted[0])
    next(job)
    wanted[0] = False
    with pytest.raises(Stopped):
        for _ in job:
            pass
    assert stopped.is_set()


def test_work_that_nobody_started_does_not_run() -> None:
    ran = threading.Event()
    jobs.run(lambda _: ran.set()).close()
    assert not ran.wait(0.3)


def test_threads_end() -> None:
    for _ in range(20):
        with pytest.raises(StopIteration):
            next(jobs.run(lambda _: None))
    assert sum(thread.name == "resefa-job" for thread in threading.enumerate()) <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no niceness of their own")
def test_slow_work_lets_the_other_threads_go_first() -> None:
    def own(_: object = None) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = own()
    assert jobs.finished(jobs.run(own, niceness=7)) == min(19, before + 7)
    assert jobs.finished(jobs.run(own)) == own() == before
    line = Line(places=1, seconds=1.0, longest=10.0, niceness=9)
    assert jobs.finished(jobs.run_in_turn(line, "", own)) == min(19, before + 9)
