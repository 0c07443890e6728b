"""What steps tell the page, and how they tell that something went wrong or takes a while."""

from __future__ import annotations

import functools
import logging
import math
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
_TOLD_EVERY, _TOLD_AGAIN, _SEEN = 0.5, 2.0, 0.02
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
            words = explained(error, step.__name__)
            yield {"status": problem(words, _briefly(error, words))}

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


def _briefly(error: Exception, words: str) -> str:
    """What is wrong with a file, for people who don't care how; nothing for other errors."""
    if not isinstance(error, (resefa.DirectionFileError, resefa.CheckpointError)):
        return ""
    name, colon, _ = words.partition(": ")
    whose = name if colon and "." in name and len(name) < 100 else "This file"
    return f"{whose} can't be used: it is damaged, or of a kind that is not known here."


def said(text: str) -> Update:
    """A line for the visitor."""
    return {"text": text, "kind": "done"}


def problem(text: str, brief: str = "") -> Update:
    """A line on what went wrong; where there is a brief one, the other is for those who ask for details."""
    return {"text": text[:500], "kind": "problem"} | ({"brief": brief[:200]} if brief else {})


def working(text: str, fraction: float | None = None, wait: str = "") -> Update:
    """A line on what goes on, with the fraction done where it is known, and how long it takes."""
    return {"text": text, "kind": "working", "fraction": fraction, "wait": wait}


def progress(
    work: Generator[float | Place, None, Any], text: str, part: str = "status"
) -> Generator[Update, None, Any]:
    """Show the progress of a job, and how long it still takes; returns what it returned. What changes little
    is not told again for a while, as each update is work for the server."""
    start, shown = time.monotonic(), -math.inf
    fraction = -1.0
    try:
        while True:
            told = next(work)
            now = time.monotonic()
            if isinstance(told, Place):
                start = now
                yield {part: working(text, None, told.words)}
                continue
            since = now - shown
            if since < _TOLD_EVERY or (since < _TOLD_AGAIN and told - fraction < _SEEN):
                continue
            shown, fraction = now, told
            took = now - start
            known = took > _LEAST_TIMED and told > 0.0
            left = f"about {duration(took * (1.0 - told) / told)} left" if known else ""
            yield {part: working(text, told, left)}
    except StopIteration as finished:
        return finished.value
    finally:
        work.close()
