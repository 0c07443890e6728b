"""The page names the scripts and styles that it needs, and they arrive compressed and stay in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="gradio is not installed")

import brotli
from demo_browser import DESKTOP, find_axe, find_chromium, keep_offline, launch
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from gradio_app.frontend import FOLDER, Assets, Frontend, needed

INDEX = (FOLDER / "index.html").read_text(encoding="utf-8")
PAGE = (
    '<html><head><base href="./" /><script>window.gradio_config = {"theme_hash": "0a1b"};</script>'
    '<link rel="stylesheet" crossorigin href="./assets/index-0.css">'
    "</head><body>" + "ä" * 200 + "</body></html>"
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    def page(_: Request) -> Response:
        return HTMLResponse(PAGE)

    def other(_: Request) -> Response:
        return PlainTextResponse("elsewhere")

    routes = [Route("/", page), Route("/{path:path}", other)]
    middleware = [
        Middleware(Frontend, Assets({"html", "button"})),
        Middleware(GZipMiddleware, minimum_size=100),
    ]
    with TestClient(Starlette(routes=routes, middleware=middleware)) as client:
        yield client


def linked(page: str, rel: str) -> list[str]:
    return re.findall(rf'<link rel="{rel}"[^>]* href="\./assets/([^"]+)"', page)


def test_components_bring_their_scripts_and_no_others() -> None:
    few, more = needed({"html"}), needed({"html", "chatbot"})
    assert set(few) < set(more)
    assert set(re.findall(r'="\./assets/([^"]+)"', INDEX)) <= set(few)
    assert any(name.startswith("Blocks-") for name in few)
    assert all((FOLDER / "assets" / name).is_file() for name in more)
    assert needed(set()) == [name for name in few if name in set(needed(set()))]


def test_another_frontend_is_served_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text('<script src="./assets/main-1.js"></script>', encoding="utf-8")
    (tmp_path / "assets" / "main-1.js").write_text('import("./gone.js")', encoding="utf-8")
    assert needed({"html"}, tmp_path) == ["main-1.js"]
    (tmp_path / "index.html").write_text("<p>none</p>", encoding="utf-8")
    assert needed({"html"}, tmp_path) == []
    assert b"modulepreload" not in Assets({"html"}, tmp_path).links


@pytest.mark.parametrize("encoding", ["br", "gzip, br;q=0.9", "gzip", "identity", ""])
def test_files_are_what_gradio_has(client: TestClient, encoding: str) -> None:
    page = client.get("/").text
    for name in linked(page, "modulepreload"):
        answer = client.get(f"/assets/{name}", headers={"accept-encoding": encoding})
        assert answer.content == (FOLDER / "assets" / name).read_bytes()
        assert answer.headers.get("content-encoding") == ("br" if "br" in encoding else None)
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]
        assert "Accept-Encoding" in answer.headers["vary"]


def test_all_styles_come_in_one(client: TestClient) -> None:
    page = client.get("/").text
    styles = linked(page, "stylesheet")
    assert styles
    assert all("disabled" in each for each in re.findall(r'<link rel="stylesheet"[^>]*>', page))
    bundle = re.search(r'href: "\./assets/(together-\w+\.css)"', page)
    assert bundle is not None
    together = client.get(f"/assets/{bundle[1]}").content
    assert together == b"\n".join((FOLDER / "assets" / name).read_bytes() for name in styles)


def test_the_page_is_whole(client: TestClient) -> None:
    answer = client.get("/", headers={"accept-encoding": "gzip, br"})
    assert answer.headers["content-encoding"] == "br"
    page = answer.text
    added = r"<link [^>]*>|<script>document[^<]*</script>"
    assert re.sub(added, "", page) == re.sub(added, "", PAGE)
    assert "index-0.css" not in page
    assert page.index("</script>") < page.index("<link")
    assert '<link rel="preload" as="style" href="./theme.css?v=0a1b">' in page
    assert client.get("/", headers={"accept-encoding": "gzip"}).text == page
    assert client.get("/elsewhere").text == "elsewhere"
    assert client.get("/assets/../pyproject.toml").text == "elsewhere"
    assert client.get("/assets/none.js").text == "elsewhere"
    assert client.head("/").text == ""


def test_files_can_be_packed_better() -> None:
    assets = Assets({"html"})
    name = next(name for name in needed({"html"}) if name.startswith("HTML-"))

    def packed() -> bytes:
        response = assets.response(f"/assets/{name}", packs=True)
        assert response is not None
        return bytes(response.body)

    before = packed()
    assets.pack()
    assert len(packed()) < len(before)
    assert brotli.decompress(packed()) == brotli.decompress(before)


@pytest.mark.skipif(find_chromium() is None, reason="no browser")
def test_a_browser_asks_for_nothing_that_the_page_does_not_name(address: str) -> None:
    """Gradio's scripts are named as long as this version of Gradio is understood; and before they are there,
    the page shows a face, keeps nobody out, and has what it shows replaced by what can be used."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(**DESKTOP)
        keep_offline(context, [])
        page = context.new_page()
        page.set_default_timeout(90_000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(address)))
        page.goto(address)
        page.wait_for_selector(".rows .strip")
        assert page.locator("#first-sight, .first-ways").count() == 0
        html = str(page.evaluate("fetch(location.href).then((answer) => answer.text())"))

        early = context.new_page()
        early.route("**/assets/*.js", lambda route: route.abort())
        early.goto(address)
        early.locator("#first-sight img").first.wait_for()
        axe, found = find_axe(), list[Any]()
        if axe is not None:
            early.add_script_tag(path=axe)
            found = early.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        browser.close()
    assert [broken["id"] for broken in found] == []
    scripts = [url.removeprefix("assets/") for url in asked if url.startswith("assets/")]
    assert {name for name in scripts if name.endswith(".js")} == set(linked(html, "modulepreload"))
    assert [name.partition("-")[0] for name in scripts if name.endswith(".css")] == ["together"]
    assert len(scripts) == len(set(scripts))
    assert len([url for url in asked if url.startswith("theme.css")]) == 1
