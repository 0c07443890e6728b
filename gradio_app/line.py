"""Slow work of a kind is done for a few visitors at a time. The others wait in line and know their place;
where it is too long, they are refused politely."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

import resefa_core as resefa

_SMOOTHING = 0.2


class CrowdedError(resefa.ReSeFaError):
    """So many people are here that what was asked for would take too long to begin."""


@dataclass(frozen=True)
class Place:
    """How many are before one in line, and how many seconds are left until one's turn, estimated."""

    ahead: int
    seconds: float

    @property
    def words(self) -> str:
        """For people."""
        before = "Next in line" if self.ahead == 0 else f"{self.ahead} before you in line"
        return f"{before}: about {duration(self.seconds)}"


class Line:
    """Turns at one kind of slow work.

    Addresses take turns: who asks for much at once waits behind those who ask for their first.

    Args:
        places: how many may work at once.
        seconds: how long a piece of work takes, as a first estimate; what is measured takes its place, and
            work that goes on for longer counts at once.
        longest: how many seconds of waiting are accepted.
        niceness: how far the work lets other threads go first, from 0 to 19.
    """

    def __init__(self, places: int, seconds: float, longest: float, niceness: int = 0) -> None:
        self.niceness = niceness
        self._places, self._seconds, self._longest = places, seconds, longest
        self._waiting: list[Ticket] = []
        self._inside: list[Ticket] = []
        self._changed = threading.Condition()

    @property
    def is_idle(self) -> bool:
        """Whether nobody works or waits."""
        return not self._inside and not self._waiting

    def join(self, address: str = "") -> Ticket:
        """Get in line.

        Raises:
            CrowdedError: it would take too long.
        """
        with self._changed:
            ticket = Ticket(self, address)
            self._waiting.append(ticket)
            seconds = self._place(ticket).seconds
            if seconds > self._longest:
                self._waiting.remove(ticket)
                raise CrowdedError(
                    f"many people are here: this would start in about {duration(seconds)}. "
                    "Try again later; sliders and parts of this picture go on working"
                )
            return ticket

    def _order(self) -> list[Ticket]:
        turns = Counter(ticket.address for ticket in self._inside)
        keyed: list[tuple[int, Ticket]] = []
        for ticket in self._waiting:
            keyed.append((turns[ticket.address], ticket))
            turns[ticket.address] += 1
        return [ticket for _, ticket in sorted(keyed, key=lambda pair: pair[0])]

    def _place(self, ticket: Ticket) -> Place:
        ahead = self._order().index(ticket)
        before = max(0, ahead + 1 + len(self._inside) - self._places)
        now = time.monotonic()
        going = (now - each._since for each in self._inside if each._since is not None)
        return Place(ahead, before * max([self._seconds, *going]) / self._places)


@dataclass(frozen=True)
class Lines:
    """The kinds of slow work, by what they cost."""

    faces: Line
    layers: Line
    methods: Line
    joint: Line


class Ticket:
    """A place in a line, and then at work; `leave` gives it up."""

    def __init__(self, line: Line, address: str) -> None:
        self.address = address
        self._line = line
        self._since: float | None = None

    def wait(self, seconds: float) -> Place | None:
        """Wait for one's turn, for so long at most; None once it has come."""
        line, until = self._line, time.monotonic() + seconds
        with line._changed:
            while True:
                if self._since is not None:
                    return None
                if len(line._inside) < line._places and line._order()[0] is self:
                    line._waiting.remove(self)
                    line._inside.append(self)
                    self._since = time.monotonic()
                    return None
                left = until - time.monotonic()
                if left <= 0.0:
                    return line._place(self)
                line._changed.wait(left)

    def leave(self, finished: bool = True) -> None:
        """End the work, or give up waiting; what was `finished` tells how long such work takes."""
        line = self._line
        with line._changed:
            if self in line._waiting:
                line._waiting.remove(self)
            elif self in line._inside:
                line._inside.remove(self)
                if finished and self._since is not None:
                    took = time.monotonic() - self._since
                    line._seconds += _SMOOTHING * (took - line._seconds)
            line._changed.notify_all()


def duration(seconds: float) -> str:
    """Seconds or minutes, in words."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} minutes"
