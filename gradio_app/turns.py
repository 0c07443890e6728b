"""Whose pictures are drawn next, where one is drawn at a time."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TypeVar

_T = TypeVar("_T")


class Rank(IntEnum):
    """What is drawn first: what a visitor waits for before what they may look at later."""

    FIRST = 0
    STRIP = 1
    FACES = 2


class Turns:
    """Work of which one piece is done at a time: by rank, and within a rank as it was asked for."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int]] = []
        self._counter = itertools.count()
        self._busy = False
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, rank: Rank) -> Iterator[None]:
        """Wait for a turn, and have it."""
        with self._changed:
            mine = (int(rank), next(self._counter))
            heapq.heappush(self._waiting, mine)
            self._changed.wait_for(lambda: not self._busy and self._waiting[0] == mine)
            heapq.heappop(self._waiting)
            self._busy = True
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def each(self, drawn: Iterable[_T], rank: Rank) -> Iterator[_T]:
        """Pictures as they are drawn, a turn for each; of strips, the first one ranks first."""
        pictures = iter(drawn)
        own: Rank = Rank.FIRST if rank is Rank.STRIP else rank
        while True:
            with self.turn(own):
                try:
                    picture = next(pictures)
                except StopIteration:
                    return
            own = rank
            yield picture
