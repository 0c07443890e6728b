"""Answers requests that Gradio fails on, since strangers send any."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("resefa.demo")


class Guard:
    """Middleware: a request that raises is answered as a bad one, and takes a line of the log, not a page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = scope["type"] != "http"

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            _log.warning("%.80r: %.200r", scope.get("path"), error)
            if not started:
                await PlainTextResponse("This request makes no sense here.", 400)(scope, receive, send)
            elif scope["type"] == "http":
                with contextlib.suppress(Exception):
                    await send({"type": "http.response.body", "body": b""})
