"""What stands before Gradio, asked as a server asks it."""

from __future__ import annotations

import asyncio
import errno
import logging
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")

from gradio_app.guard import MAX_BODY_BYTES, Guard
from gradio_app.presence import Presence
from gradio_app.quota import Quota


def ask(guard: Guard, path: str, body: bytes = b"", query: bytes = b"") -> tuple[int, str]:
    """The status and the text that a request is answered with."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query,
        "headers": [],
        "client": ("127.0.0.1", 1),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode()


def reading(error: Exception | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if error is not None:
            raise error
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    return app


def guarded(app: Any, folder: Path, each: int = 1 << 20) -> Guard:
    return Guard(app, Presence(), Quota(folder, each, least_free=0))


def test_requests_pass(tmp_path: Path) -> None:
    assert ask(guarded(reading(), tmp_path), "/queue/join", b"x" * MAX_BODY_BYTES) == (200, "fine")


def test_requests_that_are_too_large_do_not(tmp_path: Path) -> None:
    status, _ = ask(guarded(reading(), tmp_path), "/queue/join", b"x" * (MAX_BODY_BYTES + 1))
    assert status == 413


def test_forged_requests_take_a_short_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    payload = "\n\x1b[31mforged" * 100_000
    with caplog.at_level(logging.WARNING, "resefa.demo"):
        status, words = ask(guarded(reading(ValueError(payload)), tmp_path), "/x" + payload)
    assert status == 400
    assert "forged" not in words
    assert len(caplog.text) < 500
    assert len(caplog.text.splitlines()) == 1
    assert "\x1b" not in caplog.text


def test_a_full_disk_is_told_to_the_operator_and_politely_to_the_visitor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path))
    with caplog.at_level(logging.ERROR, "resefa.demo"):
        status, words = ask(guarded(reading(error), tmp_path), "/upload", b"x")
    assert (status, words) == (507, "the server has no room for files now: try again later.")
    assert "the disk is full" in caplog.text


def test_pages_listen_while_their_stream_is_open(tmp_path: Path) -> None:
    presence = Presence()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(presence.is_here("abc"))
        await reading()(scope, receive, send)

    guard = Guard(app, presence, Quota(tmp_path, least_free=0))
    ask(guard, "/gradio_api/queue/data", query=b"session_hash=abc")
    ask(guard, "/gradio_api/queue/join", query=b"session_hash=abc")
    assert seen == [True, False]
    assert not presence.is_here("abc")
    assert asyncio.run(presence.comes("abc", 0.05)) is False


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (rb'{"data": ["\ud83d\ude00"]}', 200),
        (rb'{"data": ["\ud83d"]}', 400),
        (rb'{"data": ["\uDC00x"]}', 400),
        (rb'{"data": ["\ud83d"', 200),
        (b"[" * 50_000 + rb"\ud83d", 200),
    ],
)
def test_text_that_can_not_be_sent_back_is_refused(tmp_path: Path, body: bytes, status: int) -> None:
    assert ask(guarded(reading(), tmp_path), "/queue/join", body)[0] == status


def test_a_page_is_awaited_and_known_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    presence = Presence()

    async def arrive() -> bool:
        waiting = asyncio.create_task(presence.comes("abc", 30.0))
        await asyncio.sleep(0.0)
        assert not presence.was_here("abc")
        with presence.listening("abc"):
            assert presence.was_here("abc")
        return await waiting

    assert asyncio.run(arrive())
    assert presence.was_here("abc")
    assert not presence.was_here("other")
    assert not presence.is_here("abc")
    monkeypatch.setattr("gradio_app.presence._TRUSTED_SECONDS", 0.0)
    assert not presence.was_here("abc")


def test_few_of_the_pages_that_left_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradio_app.presence._MOST_TRUSTED", 2)
    presence = Presence()
    for page in ("first", "second", "third"):
        with presence.listening(page):
            pass
    assert [presence.was_here(page) for page in ("first", "second", "third")] == [False, True, True]
