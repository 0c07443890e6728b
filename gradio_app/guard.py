"""Stands before Gradio, since strangers send anything: knows who listens, bounds what is sent, and answers
requests that Gradio fails on."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import traceback
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from gradio import queueing, routes
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from gradio_app.presence import Presence, address_from
from gradio_app.quota import FULL, NoRoomError, Quota, is_full, report_full

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2 << 20
"""What a request that uploads no file may hold."""

_NO_ROOM = "resefa.no_room"
_log = logging.getLogger("resefa.demo")


class _TooLargeError(Exception):
    """A request holds more than it may."""


class _Brief:
    """Stands in for `traceback` where Gradio prints one of each event that fails, with all that was sent."""

    def print_exc(self, *_: object, **__: object) -> None:
        """Write a line."""
        _log.warning("an event failed: %.200r", sys.exc_info()[1])

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)


def keep_log_short() -> None:
    """From now on each event that fails takes a line of the log."""
    for module in (queueing, routes):
        module.traceback = _Brief()  # type: ignore[attr-defined]


class Guard:
    """Middleware. A request that raises is answered as a bad one, and takes a line of the log, not a page.

    Args:
        presence: is told which pages listen.
        quota: of what visitors upload.
    """

    def __init__(self, app: ASGIApp, presence: Presence, quota: Quota) -> None:
        self.app, self._presence, self._quota = app, presence, quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._answered(scope, receive, send)
            return
        page = _listener(scope)
        with nullcontext() if page is None else self._presence.listening(page):
            await self._answered(scope, self._bounded(scope, receive), send)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """A request's body as it arrives, within its bounds."""
        whole = bytearray()
        uploads, address = scope["path"].endswith("/upload"), address_from(Request(scope))
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            if not uploads and received > MAX_BODY_BYTES:
                raise _TooLargeError
            if not uploads:
                whole.extend(message.get("body", b""))
                if not message.get("more_body") and not _can_be_answered(whole):
                    raise ValueError("characters that are none")
            if uploads and size:
                try:
                    self._quota.charge(address, size)
                except NoRoomError as error:
                    scope[_NO_ROOM] = True
                    raise MultiPartException(f"{error}.") from error  # then what has arrived is removed
            return message

        return bounded

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = scope["type"] != "http"

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start" and scope.get(_NO_ROOM):
                message["status"] = 507
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            status, words = _refusal(error)
            if status == 400:
                _log.warning("%.80r: %.200r", scope.get("path"), error)
            if not started:
                await PlainTextResponse(words, status)(scope, receive, send)
            elif scope["type"] == "http":
                with contextlib.suppress(Exception):
                    await send({"type": "http.response.body", "body": b""})


def _can_be_answered(body: bytes | bytearray) -> bool:
    """Whether all text in a request can be sent back: half a character of two can't, and an answer that
    quotes it would end the asker's stream."""
    if b"\\ud" not in body.lower():
        return True
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    except (ValueError, RecursionError):
        return True  # it is no JSON, and refused as such
    return True


def _refusal(error: Exception) -> tuple[int, str]:
    """The status and the words that answer a request which failed."""
    if isinstance(error, _TooLargeError):
        return 413, "This request is too large."
    if is_full(error):
        report_full()
        return 507, f"{FULL}."
    return 400, "This request makes no sense here."


def _listener(scope: Scope) -> str | None:
    """The page, or the program's call, that a request's answer is streamed to, if it is such a request."""
    path = scope["path"]
    if path.endswith("/queue/data"):
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return query.get("session_hash", [""])[0]
    if scope["method"] == "GET" and "/call/" in path:
        return str(path.rsplit("/", 1)[1])
    return None
