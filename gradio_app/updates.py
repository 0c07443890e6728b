"""What steps tell the page, and how they tell that something went wrong or takes a while."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import resefa_core as resefa
from gradio_app import jobs
from gradio_app.files import without_paths
from gradio_app.line import Place, duration
from gradio_app.quota import FULL, is_full, report_full

Update = dict[str, Any]
"""From a part of the page to its new value."""
Updates = Iterator[Update]

_LEAST_TIMED = 2.0
_log = logging.getLogger("resefa.demo")


def told(step: Callable[..., Updates]) -> Callable[..., Updates]:
    """Say what went wrong on the page: the words of the project's own errors; others go to the log alone."""

    @functools.wraps(step)
    def told(*args: Any, **kwargs: Any) -> Updates:
        try:
            yield from step(*args, **kwargs)
        except jobs.Stopped:
            return
        except Exception as error:
            for visit in args:
                if hasattr(visit, "troubled"):
                    visit.troubled = True
            yield {"status": problem(explained(error, step.__name__))}

    return told


def explained(error: Exception, step: str) -> str:
    """What a visitor is told of an error: the words of the project's own; others go to the log alone. No path
    of the server is told."""
    if is_full(error):
        report_full()
        return FULL
    if isinstance(error, resefa.ReSeFaError):
        return without_paths(str(error))
    _log.exception("%s failed", step)
    return "that did not work; the server's log says why. Try something else"


def said(text: str) -> Update:
    """A line for the visitor."""
    return {"text": text, "kind": "done"}


def problem(text: str) -> Update:
    """A line on what went wrong."""
    return {"text": text[:500], "kind": "problem"}


def working(text: str, fraction: float | None = None, wait: str = "") -> Update:
    """A line on what goes on, with the fraction done where it is known, and how long it takes."""
    return {"text": text, "kind": "working", "fraction": fraction, "wait": wait}


def progress(
    work: Generator[float | Place, None, Any], text: str, part: str = "status"
) -> Generator[Update, None, Any]:
    """Show the progress of a job, and how long it still takes; returns what it returned."""
    start = time.monotonic()
    try:
        while True:
            told = next(work)
            if isinstance(told, Place):
                start = time.monotonic()
                yield {part: working(text, None, told.words)}
                continue
            took = time.monotonic() - start
            known = took > _LEAST_TIMED and told > 0.0
            left = f"about {duration(took * (1.0 - told) / told)} left" if known else ""
            yield {part: working(text, told, left)}
    except StopIteration as finished:
        return finished.value
    finally:
        work.close()
