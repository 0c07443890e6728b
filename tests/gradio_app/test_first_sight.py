"""The page brings the first face with it, before any script."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("gradio", reason="gradio is not installed")

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import resefa_core as resefa
from gradio_app.app import _options
from gradio_app.first_sight import FirstSight, Sight
from gradio_app.payloads import data_url
from gradio_app.steps import Steps
from gradio_app.studio import Studio
from gradio_app.visit import Visit

PAGE = "<html><head><title>ä</title></head><body></body></html>"


def page(_: Request) -> Response:
    return HTMLResponse(PAGE)


def other(_: Request) -> Response:
    return PlainTextResponse("</head>")


def test_the_page_brings_a_face_and_nothing_else_does(
    avatars: resefa.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = resefa.Session(avatars, seed=29)
    monkeypatch.setattr(avatars, "name", "$picture </script>")
    monkeypatch.setattr(avatars, "author", "{0} </script>")
    app = Starlette(
        routes=[Route("/", page), Route("/other", other)],
        middleware=[Middleware(GZipMiddleware, minimum_size=100), Middleware(FirstSight, Sight(session))],
    )
    with TestClient(app) as client:
        shown = client.get("/")
        assert shown.headers["content-encoding"] == "gzip"
        head = shown.text.partition("</head>")[0]
        assert head.startswith("<html><head><title>ä</title><script>")
        assert head.rstrip().endswith("</script>")
        found = re.search(r"face\.src = (\".*?\");", head)
        assert found is not None
        assert json.loads(found[1]) == data_url(session.picture)
        words = re.search(r"face\.alt = (\".*?\");", head)
        assert words is not None
        assert json.loads(words[1]) == "A picture that $picture </script> drew"
        whom = re.search(r"\"figcaption\", \{ textContent: (\".*?\") \}", head)
        assert whom is not None
        assert json.loads(whom[1]) == "Credit: {0} </script>"
        assert client.get("/other").text == "</head>"
        assert client.head("/").text == ""


def test_strips_come_with_the_face_once_they_are_known(avatars: resefa.Generator) -> None:
    sight = Sight(resefa.Session(avatars, seed=29))
    app = Starlette(routes=[Route("/", page)], middleware=[Middleware(FirstSight, sight)])

    def ways(client: TestClient) -> list[list[str]]:
        found = re.search(r"\.\.\.(\[.*?\])\.map\(way\)", client.get("/").text)
        assert found is not None
        return list(json.loads(found[1]))

    with TestClient(app) as client:
        assert ways(client) == []
        shown = [("opens / </script>", "data:image/webp;base64,AA"), ("up", "data:image/webp;base64,BB")]
        sight.show(shown)
        assert ways(client) == [list(way) for way in shown]
        assert client.get("/").text.count("</script>") == 1


def test_who_arrives_finds_what_was_seen_first(avatars: resefa.Generator) -> None:
    steps = Steps(Studio({"avatars": avatars}))
    ways = steps.first_ways()
    assert all(strip.startswith("data:image/webp;base64,") for _, strip in ways)
    told = [update["directions"] for update in steps.arrive(Visit(), {}) if "directions" in update]
    assert [item["name"] for item in told[-1]["items"]] == [name for name, _ in ways]


def test_the_operator_decides_whether_the_first_face_is_looked_at_before_anybody_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RESEFA_WARM", raising=False)
    assert _options([]).warm is True
    assert _options(["--no-warm"]).warm is False
    monkeypatch.setenv("RESEFA_WARM", "0")
    assert _options([]).warm is False
    assert _options(["--warm"]).warm is True
