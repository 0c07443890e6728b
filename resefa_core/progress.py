"""How long calls report how far they are, and are stopped: the reporter raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Progress = Callable[[int, int], None]
"""Called with (done, total). The work stops if it raises."""

_T = TypeVar("_T")


class Stages:
    """One count over several stages of known sizes.

    Args:
        progress: what is reported to; nothing is reported for None.
        total: the sum of the stages' sizes.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress = progress
        self.total = total
        self.before = 0

    def stage(self, size: int) -> Progress | None:
        """The progress of the next stage."""
        if self.progress is None:
            return None
        before, report, total = self.before, self.progress, self.total
        self.before += size

        def advance(done: int, count: int) -> None:
            report(min(before + round(size * done / count), total), total)

        return advance


def stage(progress: Progress | None, index: int, count: int) -> Progress | None:
    """The progress of one of several equal stages, as part of the whole."""
    if progress is None:
        return None

    def report(done: int, total: int) -> None:
        progress(1000 * index + 1000 * done // max(total, 1), 1000 * count)

    return report


def counted(items: Iterable[_T], total: int, progress: Progress | None) -> Iterator[_T]:
    """The items, with a report after each one's work."""
    for index, item in enumerate(items):
        yield item
        if progress is not None:
            progress(index + 1, total)
