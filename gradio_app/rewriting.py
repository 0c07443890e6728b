"""Answers that middleware changes as a whole before they are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Change = Callable[[bytes, MutableHeaders], bytes]
"""From a body and its headers, which may be changed, to another body."""


async def rewritten(app: ASGIApp, scope: Scope, receive: Receive, send: Send, change: Change) -> None:
    """Answer as an application does, with another body of another length."""
    start: Message = {}
    body = bytearray()

    async def held(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        headers = MutableHeaders(raw=list(start["headers"]))
        whole = change(bytes(body), headers)
        headers["content-length"] = str(len(whole))
        await send({**start, "headers": headers.raw})
        await send({**message, "body": whole})

    await app(scope, receive, held)
