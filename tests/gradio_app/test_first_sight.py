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
from gradio_app.first_sight import FirstSight
from gradio_app.payloads import data_url

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
    app = Starlette(
        routes=[Route("/", page), Route("/other", other)],
        middleware=[Middleware(GZipMiddleware, minimum_size=100), Middleware(FirstSight, session)],
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
        assert json.loads(words[1]) == "A face that $picture </script> drew"
        assert client.get("/other").text == "</head>"
        assert client.head("/").text == ""
