"""Requests to the Hub within bounds of time and size, through the client library.

Every call ends within bounds, is not repeated, and raises `HubError` in plain words, in which no token and
nothing that a server wrote occurs.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import urlsplit

from huggingface_hub import HfApi, get_session, get_token, is_offline_mode, set_client_factory
from huggingface_hub.errors import HfHubHTTPError

from .._version import __version__
from ..errors import HubError

try:
    import httpx2 as httpx

    if not issubclass(HfHubHTTPError, httpx.HTTPError):
        raise ImportError
except ImportError:  # the client library is of version 1
    import httpx  # type: ignore[no-redef]

WAIT = 8.0
"""Seconds that the Hub may be silent."""
TRANSFER_SECONDS = 300.0
REQUESTS = 100
"""Of the client library for one thing that is asked of it."""
MAX_ANSWER_BYTES = 16 << 20

_ANSWER_SECONDS = 20.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


def check_token(token: str) -> None:
    """Raise HubError unless it may be a token."""
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise HubError("sign in to the Hub first: this is no token")


def own_token(token: str | None = None) -> str:
    """The token to publish with: the given one, or for None the one that this machine has.

    Raises:
        HubError: there is none.
    """
    token = token or get_token()
    if not token:
        raise HubError("publishing needs an account: sign in with `hf auth login`, or set HF_TOKEN")
    return token


def endpoint() -> str:
    """The Hub's address: `HF_ENDPOINT`, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def client_of(token: str | None = None) -> HfApi:
    """The client library, never with the token that this machine may have stored."""
    if token is not None:
        check_token(token)
    return HfApi(endpoint(), token or False, library_name="resefa", library_version=__version__)


@dataclass
class _Call:
    """What is left to the requests that belong together."""

    until: float
    bytes_left: int
    wait: float
    requests_left: int

    def request(self) -> None:
        self.requests_left -= 1
        self.receive(0)

    def receive(self, size: int) -> None:
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise HubError(f"{_host()} gave an answer that is too large")
        if self.requests_left < 0 or time.monotonic() > self.until:
            raise HubError(f"{_host()} takes too long: try again later")


_CALL: ContextVar[_Call | None] = ContextVar("call", default=None)
_INSTALLING = threading.Lock()


@contextmanager
def talking(
    seconds: float = _ANSWER_SECONDS,
    max_bytes: int = MAX_ANSWER_BYTES,
    patience: float = 1.0,
    requests: int = REQUESTS,
) -> Iterator[None]:
    """Requests of the client library in here end within bounds, are not repeated, and raise HubError only."""
    if is_offline_mode():
        raise HubError("the Hub is not used: offline mode is on (HF_HUB_OFFLINE)")
    _install()
    mark = _CALL.set(_Call(time.monotonic() + seconds, max_bytes, patience * WAIT, requests))
    try:
        yield
    except Exception as problem:  # the client library raises many kinds on odd answers
        raise _explained(problem) from None
    finally:
        _CALL.reset(mark)


def _install() -> None:
    """Let the client library send through `_Client`, with the hooks that it has now."""
    with _INSTALLING:
        present = get_session()
        if not isinstance(present, _Client):
            hooks, timeout = present.event_hooks, present.timeout
            set_client_factory(lambda: _Client(event_hooks=hooks, follow_redirects=True, timeout=timeout))


class _Client(httpx.Client):
    """Within `talking`, it bounds answers, and fails where the client library would wait and try again. It
    keeps no cookies: visitors have the client in common."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        call = _CALL.get()
        if call is None:
            return super().send(request, stream=stream, **options)
        call.request()
        asked = request.extensions.get("timeout", {})
        waits = {
            kind: min(asked.get(kind) or call.wait, call.wait)
            for kind in ("connect", "read", "write", "pool")
        }
        request.extensions = {**request.extensions, "timeout": waits}
        try:
            response = super().send(request, stream=True, **options)
        except httpx.TransportError:
            raise _unreachable() from None
        response.stream = _BoundedStream(cast(httpx.SyncByteStream, response.stream), call)
        try:
            if response.status_code == 429 or response.status_code >= 500:
                raise refused(response.status_code)
            if not stream:
                response.read()
        except BaseException:
            response.close()
            raise
        return response


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, call: _Call) -> None:
        self._stream = stream
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                self._call.receive(len(piece))
                yield piece
        except httpx.TransportError:
            raise _unreachable() from None

    def close(self) -> None:
        self._stream.close()


def _explained(problem: BaseException) -> HubError:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, HubError):
            return cause
        if isinstance(cause, HfHubHTTPError):
            return refused(cause.response.status_code)
        if isinstance(cause, (httpx.TransportError, ConnectionError, TimeoutError)):
            return _unreachable()
        cause = cause.__cause__
    return HubError(f"{_host()} gave an answer that is not understood: try again later")


def _unreachable() -> HubError:
    return HubError(f"{_host()} can't be reached: sharing needs a connection, everything else works without")


def refused(status: int) -> HubError:
    """What an HTTP status means, in words."""
    words = {
        401: "not found, or not public, or the sign-in has expired",
        402: "the account has reached a limit of the Hub",
        403: "not allowed: the sign-in lacks the right, or access has to be asked for",
        404: "not found",
        409: "in conflict with what is there: try again, or choose another name",
        412: "changed by someone else in the meantime: try again",
        413: "too large for the Hub",
        429: "too many requests: wait some minutes",
    }
    if status >= 500:
        return HubError(f"{_host()} has trouble of its own ({status}): try again later")
    return HubError(f"{_host()} answers: {words.get(status, 'not possible')} ({status})")


def _host() -> str:
    try:
        return urlsplit(endpoint()).hostname or "the Hub"
    except ValueError:
        return "the Hub"
