"""What a visitor sees while the scripts of the page are still on their way: the first face, and what can be
done to it. The words of the visitor's language come with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from gradio_app.languages import LANGUAGES, Language, asked, in_script
from gradio_app.payloads import data_url
from gradio_app.rewriting import rewritten
from resefa_core.directions.about import credit_of
from resefa_core.session import Session

if TYPE_CHECKING:
    from starlette.datastructures import MutableHeaders
    from starlette.types import ASGIApp, Receive, Scope, Send

_SCRIPT = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
_TRANSLATE = Path(__file__).with_name("translate.js").read_text(encoding="utf-8")
_BEFORE = b"</head>"
_LOADING = "ReSeFa is loading: point at a part of a picture, and change it."
_DRAWN = "A picture that {name} drew"
_CREDIT = "Credit: {whom}"


class Sight:
    """A session's face, and strips of its directions once they are known, as scripts that begin a page."""

    def __init__(self, session: Session) -> None:
        self._picture, self._name = data_url(session.picture), session.generator.name
        self._whom = credit_of(session.generator)
        self._scripts: dict[str, bytes] = {}
        self.show([])

    def show(self, ways: Sequence[tuple[str, str]]) -> None:
        """Have strips of directions beside the face.

        Args:
            ways: the name and the strip of each, a picture's address.
        """
        self._scripts = {code: self._script(language, ways) for code, language in LANGUAGES.items()}

    def script(self, language: Language) -> bytes:
        """What a page in a language begins with."""
        return self._scripts[language.code]

    def _script(self, language: Language, ways: Sequence[tuple[str, str]]) -> bytes:
        told = {
            "words": in_script(dict(language.words)),
            "translate": _TRANSLATE,
            "loading": in_script(language.say(_LOADING)),
            "drawn": in_script(language.say(_DRAWN, name=self._name)),
            "picture": in_script(self._picture),
            "credit": in_script(language.say(_CREDIT, whom=self._whom) if self._whom else ""),
            "ways": in_script(ways),
        }
        return _SCRIPT.substitute(told).encode("utf-8")


class FirstSight:
    """Middleware that puts the first sight into the page itself, and has the page in the visitor's language.
    Gradio would hand the face to its own scripts, which are what one waits for."""

    def __init__(self, app: ASGIApp, sight: Sight) -> None:
        self.app, self._sight = app, sight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-language")
        language = asked(accepted.decode("latin-1"), scope["query_string"].decode("latin-1"))

        def begun(page: bytes, headers: MutableHeaders) -> bytes:
            headers.add_vary_header("Accept-Language")
            return language.page(page).replace(_BEFORE, self._sight.script(language) + _BEFORE, 1)

        await rewritten(self.app, scope, receive, send, begun)
