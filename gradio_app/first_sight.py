"""What a visitor sees while the scripts of the page are still on their way: the first face."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from gradio_app.payloads import data_url
from resefa_core.session import Session

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCRIPT = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
_BEFORE = b"</head>"


class FirstSight:
    """Middleware that puts a session's face into the page itself. Gradio would hand it to its own scripts,
    which are what one waits for."""

    def __init__(self, app: ASGIApp, session: Session) -> None:
        picture = json.dumps(data_url(session.picture))
        words = json.dumps(f"A face that {session.generator.name} drew").replace("<", "\\u003c")
        self.app = app
        self._script = _SCRIPT.substitute(picture=picture, words=words).encode("utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
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
            whole = bytes(body).replace(_BEFORE, self._script + _BEFORE, 1)
            others = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            length = (b"content-length", str(len(whole)).encode("ascii"))
            await send({**start, "headers": [*others, length]})
            await send({**message, "body": whole})

        await self.app(scope, receive, held)
