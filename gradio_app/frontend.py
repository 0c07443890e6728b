"""Gradio's own scripts and styles on their way to a browser.

Gradio's page names one script, which asks for a few others, which ask for the next: on a phone's line each of
these rounds takes as long as the bytes. This has the page name all of them, puts the small style sheets into
one, sends them compressed well, and lets browsers keep them, since their names change with what they hold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import brotli
import gradio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from gradio_app.rewriting import rewritten

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(gradio.__file__).parent / "templates" / "frontend"
_ASSETS = "/assets/"
_KEPT = "public, max-age=31536000, immutable"
_MEDIA = {".js": "text/javascript", ".css": "text/css"}
_QUICK, _BEST = 5, 11
_LARGE = 4096

_LINKED = re.compile(r'(?:src|href)="\./assets/([\w.-]+)"')
_LISTED = re.compile(r"m\.f=\[([^\]]*)\]")
_NAMED = re.compile(r'"\./([\w.-]+)"')
_COMPONENT = re.compile(r"\b([a-z]\w*):\{[^{}]*?\bcomponent:[^{}]*?__vite__mapDeps\(\[([\d,]*)\]\)")
_PAGE = re.compile(r"import\(`\./Blocks-[\w-]+\.js`\).{0,60}?__vite__mapDeps\(\[([\d,]*)\]\)")
_STYLE = re.compile(rb'<link rel="stylesheet"[^>]* href="\./assets/[\w.-]+">')
_BEFORE = b"</head>"
_THEME = re.compile(rb'"theme_hash":\s*"([0-9a-f]+)"')


def needed(types: Collection[str], folder: Path = FOLDER) -> list[str]:
    """The scripts and styles that a page of components of these types asks for, in Gradio's own order; those
    of its first script alone where another version of Gradio tells the rest in another way.

    Args:
        types: names of components as Gradio's configuration has them, such as `html`.
        folder: of Gradio's frontend.
    """
    linked = _LINKED.findall((folder / "index.html").read_text(encoding="utf-8"))
    first = [name for script in linked if script.endswith(".js") for name in _listed(folder, script)[1]]
    names = dict.fromkeys([*linked, *first])
    for script in [name for name in names if name.endswith(".js")]:
        text, listed = _listed(folder, script)
        for numbers in _wanted(text, types):
            names.update(dict.fromkeys(listed[int(number)] for number in numbers.split(",")))
    return [name for name in names if (folder / "assets" / name).is_file()]


def _listed(folder: Path, script: str) -> tuple[str, list[str]]:
    """A script's text, and the files that it names by their numbers."""
    text = (folder / "assets" / script).read_text(encoding="utf-8")
    listed = _LISTED.search(text)
    return text, [] if listed is None else _NAMED.findall(listed[1])


def _wanted(text: str, types: Collection[str]) -> Iterator[str]:
    """The numbers of the files that a script asks for when it shows a page of these components."""
    yield from _PAGE.findall(text)
    for component in _COMPONENT.finditer(text):
        if component[1] in types:
            yield component[2]


@dataclass
class _File:
    """One file as it is sent."""

    plain: bytes
    packed: bytes
    media: str

    @classmethod
    def of(cls, plain: bytes, suffix: str) -> _File:
        return cls(plain, _packed(plain, _QUICK), _MEDIA[suffix])


class Assets:
    """The scripts and styles that a page needs.

    Args:
        types: of the page's components; see `needed`.
        folder: of Gradio's frontend.

    Attributes:
        links: what names them in the page.
    """

    def __init__(self, types: Collection[str], folder: Path = FOLDER) -> None:
        names = [name for name in needed(types, folder) if Path(name).suffix in _MEDIA]
        contents = {name: (folder / "assets" / name).read_bytes() for name in names}
        styles = [name for name in names if name.endswith(".css")]
        together = b"\n".join(contents[name] for name in styles)
        bundle = f"together-{hashlib.sha256(together).hexdigest()[:12]}.css"
        self._files = {name: _File.of(content, Path(name).suffix) for name, content in contents.items()}
        self._files[bundle] = _File.of(together, ".css")
        self.links = _links(self._in_order(names), styles, bundle)

    def _in_order(self, names: list[str]) -> list[str]:
        """The scripts as they are best asked for: browsers have a few connections, and while small ones wait
        for their answers, large ones use the line."""
        scripts = [name for name in names if name.endswith(".js")]
        large = [name for name in scripts if len(self._files[name].packed) >= _LARGE]
        small = [name for name in scripts if name not in large]
        for at, name in enumerate(small):
            large.insert(min(len(large), at // 2 * 3 + at % 2 + 1), name)
        return large

    def pack(self) -> None:
        """Pack them as well as can be, which takes seconds."""
        for file in self._files.values():
            file.packed = _packed(file.plain, _BEST)

    def response(self, path: str, packs: bool) -> Response | None:
        """The answer to a request for one of them; None for other paths.

        Args:
            packs: whether the browser takes what is compressed.
        """
        file = self._files.get(path.removeprefix(_ASSETS)) if path.startswith(_ASSETS) else None
        if file is None:
            return None
        headers = {"cache-control": _KEPT, "vary": "Accept-Encoding"}
        if packs:
            headers["content-encoding"] = "br"
        return Response(file.packed if packs else file.plain, headers=headers, media_type=file.media)


class Frontend:
    """Middleware that answers for the scripts and styles that the page needs, and names them in the page."""

    def __init__(self, app: ASGIApp, assets: Assets) -> None:
        self.app, self._assets = app, assets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        response = self._assets.response(scope["path"], _takes_brotli(scope))
        if response is not None:
            await response(scope, receive, send)
        elif scope["path"] == "/":
            await self._page(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page, with links to what it needs."""

        def linked(page: bytes, headers: MutableHeaders) -> bytes:
            if not headers.get("content-type", "").startswith("text/html"):
                return page
            page = self._linked(page)
            headers.add_vary_header("Accept-Encoding")
            if not _takes_brotli(scope):
                return page
            headers["content-encoding"] = "br"
            return _packed(page, _QUICK)

        accepted = [each for each in scope["headers"] if each[0] != b"accept-encoding"]
        await rewritten(self.app, {**scope, "headers": accepted}, receive, send, linked)

    def _linked(self, page: bytes) -> bytes:
        links, theme = self._assets.links, _THEME.search(page)
        if theme is not None:
            links += b'<link rel="preload" as="style" href="./theme.css?v=%b">' % theme[1]
        return _STYLE.sub(b"", page).replace(_BEFORE, links + _BEFORE, 1)


def _links(scripts: list[str], styles: list[str], bundle: str) -> bytes:
    """What names the files in the page, at the end of its head, as the first sight is to arrive before them:
    scripts to fetch before they are asked for, and the styles, which Gradio takes for loaded where there is a
    link. The one that has them all is added by a script, so that what is there is shown before."""
    lines = [f'<link rel="modulepreload" crossorigin href=".{_ASSETS}{name}">' for name in scripts]
    lines += [f'<link rel="stylesheet" crossorigin href=".{_ASSETS}{name}" disabled>' for name in styles]
    link = (
        f'Object.assign(document.createElement("link"), {{ rel: "stylesheet", href: ".{_ASSETS}{bundle}" }})'
    )
    return "".join([*lines, f"<script>document.head.append({link});</script>"]).encode("ascii")


def _packed(plain: bytes, quality: int) -> bytes:
    return brotli.compress(plain, mode=brotli.MODE_TEXT, quality=quality)


def _takes_brotli(scope: Scope) -> bool:
    accepted = Headers(scope=scope).get("accept-encoding", "")
    return any(each.split(";")[0].strip() == "br" for each in accepted.split(","))
