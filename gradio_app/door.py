"""Who may work at a moment: short steps do not queue, but not everybody's at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Door:
    """Lets a few in at a time; some wait, and more are turned away.

    Args:
        inside: how many may be inside.
        waiting: how many may wait.
    """

    def __init__(self, inside: int, waiting: int) -> None:
        self._inside = threading.Semaphore(inside)
        self._here = threading.Semaphore(inside + waiting)

    @contextmanager
    def entered(self) -> Iterator[bool]:
        """Enter, perhaps after a while; gives False if that is refused."""
        if not self._here.acquire(blocking=False):
            yield False
            return
        try:
            with self._inside:
                yield True
        finally:
            self._here.release()
