"""Who is there: where visitors come from, and which pages take their answers. A page that has gone, or never
listened, is not worked for."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

_PATIENCE = 20.0
_TRUSTED_SECONDS = 60.0
_MOST_TRUSTED = 4096


class Presence:
    """Counts the streams by which pages take their answers."""

    def __init__(self) -> None:
        self._streams: Counter[str] = Counter()
        self._arrivals: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._left: OrderedDict[str, float] = OrderedDict()

    @contextmanager
    def listening(self, page: str) -> Iterator[None]:
        """While a page's stream is open."""
        self._streams[page] += 1
        arrival = self._arrivals.pop(page, None)
        if arrival is not None:
            arrival.set()
        try:
            yield
        finally:
            self._streams[page] -= 1
            if not self._streams[page]:
                del self._streams[page]
            self._left[page] = time.monotonic()
            self._left.move_to_end(page)
            if len(self._left) > _MOST_TRUSTED:
                self._left.popitem(last=False)

    def is_here(self, page: str) -> bool:
        """Whether a page listens now."""
        return page in self._streams

    def was_here(self, page: str) -> bool:
        """Whether a page listens now, or did a moment ago: pages open a stream anew for each thing they ask
        for, and work for one that is known need not wait for that."""
        left = self._left.get(page)
        return self.is_here(page) or (left is not None and time.monotonic() - left < _TRUSTED_SECONDS)

    async def comes(self, page: str, patience: float = _PATIENCE) -> bool:
        """Whether a page listens now, or begins to within so many seconds."""
        if self.is_here(page):
            return True
        arrival = self._arrivals.setdefault(page, asyncio.Event())
        try:
            await asyncio.wait_for(arrival.wait(), patience)
        except asyncio.TimeoutError:
            return False
        return True


def address_of(host: str, forwarded: str) -> str:
    """The address of a visitor: the peer's, or that which a proxy near by says it has seen.

    Args:
        host: the peer's address.
        forwarded: the header `X-Forwarded-For`, of which only what proxies have added last can be trusted.

    Example:
        >>> address_of("10.0.0.7", "1.2.3.4, 203.0.113.9, 8.8.8.8, 10.0.0.1")
        '8.8.8.8'
        >>> address_of("8.8.4.4", "1.2.3.4")
        '8.8.4.4'
    """
    if _is_public(host):
        return host
    seen = [part.strip() for part in forwarded[-500:].split(",")]
    return next((part for part in reversed(seen) if _is_public(part)), host)


def address_from(request: Any) -> str:
    """The address of a request of Gradio's or Starlette's."""
    host = "" if request.client is None else str(request.client.host)
    return address_of(host, str(request.headers.get("x-forwarded-for", "")))


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False
