"""Forged requests to the running demo: none is answered with an error of the server's own, none with what is
not the asker's, and the demo draws the same faces afterwards."""

from __future__ import annotations

import io
import json
import os
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")
httpx = pytest.importorskip("httpx")

from demo_forging import API, JSON, MARK, SCRIPT, Stranger, file_data, junk, near  # noqa: E402

import resefa_core as resefa  # noqa: E402
from benchmarks.demo_sessions import ROOT, Page, Server, Session  # noqa: E402

SEED = 20_240_601
HUGE = "9" * 400
NAMES = (
    "../../../x.safetensors",
    "..\\..\\x",
    "/etc/cron.d/x",
    "a\0b.safetensors",
    f"{SCRIPT}.html",
    "x.svg",
    "x.pkl",
    "x.html",
    "",
    ".",
    "..",
    "CON",
    "x" * 300,
    "\u202egpj.exe",
    "%2e%2e%2fx",
    "x.safetensors/",
    "~/.bashrc",
    "-rf",
)
PATHS = (
    "/etc/passwd",
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "/proc/self/environ",
    "/proc/self/cmdline",
    "%00",
    "a%00b",
    "file:///etc/passwd",
    "C:\\Windows\\win.ini",
    "%ff%fe",
    "a" * 3000,
    ".",
    "..",
    "",
    "/",
    "/tmp",
    "~",
    "gradio_app/app.py",
    "http://127.0.0.1:1/",
    "http://169.254.169.254/latest/meta-data",
    "\\\\host\\share",
    "/etc/./passwd",
    "/etc/passwd%00.png",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("--no-warm") as running:
        yield running


@pytest.fixture(scope="module")
def page(server: Server) -> Page:
    return Page(server.url)


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("operator") / "secret.safetensors"
    file.write_text(MARK)
    return file


@pytest.fixture
def stranger(server: Server) -> Stranger:
    return Stranger(server.url)


def test_events_with_anything_in_them(server: Server, page: Page, stranger: Stranger) -> None:
    rng = random.Random(SEED)
    visitor = Session(server.url, page)
    visitor.take(page.loaded(), query="?seed=5")
    version = visitor.seen["directions"]["version"]
    private = [event for event in page.events if event["backend_fn"]]
    bodies = []
    for event in private:
        for _ in range(5 if len(event["inputs"]) > 1 else 1):  # a step that takes nothing is the same again
            values = [rng.choice([junk, lambda r: near(r, version)])(rng) for _ in event["inputs"]]
            bodies.append({"fn_index": event["id"], "data": values, "event_data": junk(rng), "trigger_id": 1})
        wrong = rng.choice([[], [None] * (len(event["inputs"]) + 3), [[]]])
        bodies.append({"fn_index": event["id"], "data": wrong})
    for event in (
        page.event("picker", "release"),
        page.event("directions", "input"),
        page.event("save", "click"),
    ):
        for _ in range(15):
            values = [None, near(rng, version), *[junk(rng) for _ in event["inputs"][2:]]]
            bodies.append({"fn_index": event["id"], "data": values})
    rng.shuffle(bodies)
    half = len(bodies) // 2
    stranger.events(visitor.hash, bodies[:half])
    stranger.events("nobody", bodies[half:])
    assert stranger.count > 200


def test_steps_that_do_not_queue_with_anything_in_them(
    server: Server, page: Page, stranger: Stranger
) -> None:
    rng = random.Random(SEED)
    visitor = Session(server.url, page)
    visitor.take(page.loaded(), query="?seed=5")
    version = visitor.seen["directions"]["version"]
    unqueued = [event for event in page.events if event["backend_fn"] and not event["queue"]]
    assert page.event("directions", "input") in unqueued
    answers = set()
    for event in unqueued:
        for _ in range(40):
            value = rng.choice([junk, lambda r: near(r, version)])(rng)
            body = {"fn_index": event["id"], "data": [junk(rng), value], "event_data": junk(rng)}
            for session in (visitor.hash, "nobody"):
                answers.add(stranger.direct({**body, "session_hash": session}))
        for data in ([], [[]], None, "x", [None] * 9):
            answers.add(stranger.direct({"fn_index": event["id"], "data": data, "session_hash": "nobody"}))
    assert 200 in answers
    shown = visitor.take(page.event("directions", "input"), {"version": version, "strengths": [2.0]})
    assert shown[0]["picker"]["of"] == version


def test_events_that_are_not_there(stranger: Stranger) -> None:
    for number in (9999, -1, 10**30, "x", None, 1.5, True, [1], {}, "\ud800", float("nan")):
        for session in ("s", None, 3, "x" * 10_000, "\ud800", [], float("inf"), "../x"):
            data = json.dumps({"data": [], "fn_index": number, "session_hash": session}).encode()
            stranger.send("POST", f"{API}/queue/join", content=data, headers=JSON)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"NaN",
        b'{"data":[' + b"[" * 50_000,
        b"[" * 50_000 + b"]" * 50_000,
        b'{"data":[' + b"9" * 5000 + b'],"fn_index":5,"session_hash":"a"}',
        b'{"data":{}}',
        b"x" * 100_000,
        b'{"data":[],"fn_index":5,"session_hash":"a","data":[1]}',
        b'{"data":"' + b"\\u0000" * 1000 + b'"}',
    ],
)
def test_bodies_that_are_no_requests(stranger: Stranger, body: bytes) -> None:
    for address in ("queue/join", "call/draw_face", "call/v2/draw_face", "run/draw_face", "cancel", "reset"):
        for headers in (JSON, {"content-type": "text/plain"}):
            stranger.send("POST", f"{API}/{address}", content=body, headers=headers)


def test_addresses_that_lead_nowhere(stranger: Stranger, secret: Path) -> None:
    for path in (*PATHS, str(ROOT / "gradio_app" / "app.py"), str(secret), quote(str(secret), safe="")):
        for start in ("file=", "file/", "proxy=", "stream/", "call/", "call/v2/", "custom_component/"):
            answer = stranger.send("GET", f"{API}/{start}{path}")
            assert start != "file=" or answer.status_code in (400, 403, 404), (path, answer.text[:200])
        stranger.send("GET", f"/static/{path}")
        stranger.send("GET", f"/assets/{path}")


def test_nobody_skips_the_queue(stranger: Stranger) -> None:
    answer = stranger.send("POST", f"{API}/run/draw_face", json={"data": [1, 0.7, "", ""]})
    assert answer.status_code == 404


def test_uploads_that_are_malformed(stranger: Stranger) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nabc'
    for body in (
        b"",
        b"garbage",
        part,
        part + b"\r\n--x--",
        b"--x--",
        b"--x\r\n\r\n\r\n--x--\r\n",
        part * 100,
        b"\0" * 999,
    ):
        for kind in (
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "a/b",
            "x" * 999,
        ):
            stranger.send("POST", f"{API}/upload", content=body, headers={"content-type": kind})
    stranger.send("POST", f"{API}/upload", data={"files": "abc"})


@pytest.mark.parametrize("name", NAMES)
def test_uploads_stay_where_they_belong(server: Server, stranger: Stranger, name: str) -> None:
    data = f"{SCRIPT}{name}".encode()
    answer = stranger.send("POST", f"{API}/upload", files={"files": (name, data)})
    files = Path(os.path.realpath(server.files))
    if answer.status_code == 200:
        for kept in answer.json():
            assert Path(os.path.realpath(kept)).is_relative_to(files)
            served = stranger.send("GET", f"{API}/file={quote(kept)}")
            if served.status_code == 200:
                assert served.headers.get("content-disposition", "").startswith("attachment"), kept
    assert not [
        file
        for file in files.parent.rglob("*")
        if file.is_file() and not file.is_relative_to(files) and file != server.log
    ]


def test_uploads_that_are_too_large(stranger: Stranger) -> None:
    answer = stranger.send("POST", f"{API}/upload", files={"files": ("x.safetensors", b"\0" * (65 << 20))})
    assert answer.status_code == 413


def test_files_that_nobody_uploaded(server: Server, page: Page, stranger: Stranger, secret: Path) -> None:
    asked = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        inside = f"http://127.0.0.1:{listener.getsockname()[1]}/x.safetensors"
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                asked.append(1)
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        paths = [
            "/etc/passwd",
            str(secret),
            "../secret",
            str(ROOT / "README.md"),
            inside,
            "",
            "\0",
            "/",
            str(server.files),
            "file:///etc/passwd",
        ]
        events = [page.event("Direction file", "upload")]
        events += [
            event for event in page.events if event["api_name"] in ("apply_directions", "describe_directions")
        ]
        bodies = []
        for event in events:
            at = page.inputs(event).index("file") if "file" in page.inputs(event) else 1
            for path in paths:
                for sent in (file_data(path), file_data(path, url=inside), path, [file_data(path)]):
                    values: list[Any] = page.defaults(event)
                    values[at] = sent
                    bodies.append({"fn_index": event["id"], "data": values})
        ends = stranger.events("forger", bodies)
        over.set()
        thread.join()
    assert len(ends) == len(bodies)
    assert not asked, "the server fetched an address inside its own network"


def hostile_files(folder: Path, avatars: resefa.Generator) -> dict[str, bytes]:
    """Direction files that are damaged, or hold what a page must not run."""
    ones = torch.ones(2)
    good = resefa.Directions(
        vectors=torch.eye(2, 128),
        eigenvalues=ones,
        inside=ones,
        outside=ones,
        steps=ones,
        space="w",
        layers=tuple(range(avatars.num_layers)),
        generator={"architecture": SCRIPT, "name": SCRIPT},
    )
    good = replace(
        good,
        names=(SCRIPT, "${alert(1)}"),
        title=SCRIPT,
        author=f"[x](javascript:{SCRIPT})",
        license="{{7*7}}",
        description=SCRIPT * 20,
    )
    good.save(folder / "good.safetensors")
    data = (folder / "good.safetensors").read_bytes()
    return {
        "good": data,
        "empty": b"",
        "cut": data[: len(data) // 2],
        "long header": (1 << 60).to_bytes(8, "little") + data[8:],
        "no header": (0).to_bytes(8, "little"),
        "large header": (50 << 20).to_bytes(8, "little") + b"{" + b" " * 1000,
        "nested": (40_000).to_bytes(8, "little") + b"[" * 40_000,
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "flipped": bytes(byte ^ 0x20 if 100 < i < 140 else byte for i, byte in enumerate(data)),
        "generator": Path(resefa.__file__)
        .parent.joinpath("bundled", "avatars.safetensors")
        .read_bytes()[:500_000],
        "html": f"<html>{SCRIPT}</html>".encode(),
        "zip": b"PK\x03\x04" + bytes(200),
    }


def test_direction_files_of_any_kind(
    page: Page, stranger: Stranger, tmp_path: Path, avatars: resefa.Generator, server: Server
) -> None:
    visitor = Session(server.url, page)
    visitor.take(page.loaded(), query="?seed=5")
    bodies = []
    for name, data in hostile_files(tmp_path, avatars).items():
        path = stranger.send("POST", f"{API}/upload", files={"files": (f"{name}.safetensors", data)}).json()[
            0
        ]
        opened = page.event("Direction file", "upload")
        bodies.append({"fn_index": opened["id"], "data": [None, file_data(path)]})
        for endpoint in ("apply_directions", "describe_directions"):
            event = next(each for each in page.events if each["api_name"] == endpoint)
            values = page.defaults(event)
            values[page.inputs(event).index("file")] = file_data(path)
            if "strengths" in page.inputs(event):
                values[page.inputs(event).index("strengths")] = "[" * 10_000
            bodies.append({"fn_index": event["id"], "data": values})
    ends = stranger.events(visitor.hash, bodies)
    assert len(ends) == len(bodies)


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": "x"},
        {"seed": -1},
        {"seed": 10**400},
        {"truncation": float("nan")},
        {"truncation": [0.7]},
        {"generator": "../../etc/passwd"},
        {"generator": SCRIPT},
        {"region": "0,0,1,1"},
        {"region": None},
        {"region": SCRIPT},
        {"count": 33},
        {"count": 0},
        {"samples": 9},
        {"samples": "x"},
        {"confine": "x"},
        {"confine": 1.5},
        {"parameters": SCRIPT},
        {"parameters": "regularization=" + "9" * 5000},
        {"strengths": "[" * 19_000},
        {"strengths": "[" + HUGE + "]"},
        {"strengths": "[" + "9" * 5000 + "]"},
        {"strengths": '{"\\ud800": 1}'},
        {"strengths": "[NaN]"},
        {"strengths": None},
        {"feather": "x"},
    ],
)
def test_arguments_that_make_no_sense(
    page: Page, stranger: Stranger, arguments: dict[str, Any], tmp_path: Path, avatars: resefa.Generator
) -> None:
    name = next(iter(arguments))
    data = hostile_files(tmp_path, avatars)["good"]
    path = stranger.send("POST", f"{API}/upload", files={"files": ("good.safetensors", data)}).json()[0]
    bodies = []
    for event in page.events:
        inputs = page.inputs(event)
        if event["api_visibility"] != "public" or name not in inputs:
            continue
        values = page.defaults(event)
        if "layered" in inputs:
            values[inputs.index("layered")] = False
        if "file" in inputs:
            values[inputs.index("file")] = file_data(path)
        if "strengths" in inputs:
            values[inputs.index("strengths")] = "[1]"
        if "confine" in inputs:
            values[inputs.index("confine")] = True
        values[inputs.index(name)] = arguments[name]
        bodies.append({"fn_index": event["id"], "data": values})
    ends = stranger.events("caller", bodies)
    assert len(ends) == len(bodies) > 0
    for end in ends:
        assert end["success"] is False
        assert end["output"].get("error") is not None, "an error of the server's own, not said in plain words"


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "a/b/../../c",
        f"a/{SCRIPT}",
        "http://evil.example/x",
        "a/b : ../../../x",
        "a" * 500,
        "a/b@x",
        "a/b : /etc/passwd",
        " : x",
        "\ud800/\ud800",
        "%2e%2e/x",
        "a/b\nHost: evil.example",
    ],
)
def test_names_on_the_hub_with_tricks(page: Page, stranger: Stranger, name: str) -> None:
    search, get, publish = (
        page.event("search", "click"),
        page.event("Look at it", "click"),
        page.event("Publish", "click"),
    )
    values = page.defaults(publish)
    values[page.inputs(publish).index("Repository")] = name
    bodies = [
        {"fn_index": search["id"], "data": [None, name]},
        {"fn_index": get["id"], "data": [None, name]},
        {"fn_index": publish["id"], "data": values},
    ]
    refused = any("\ud800" <= character <= "\udfff" for character in name)
    assert len(stranger.events("sharer", bodies)) == (0 if refused else 3)


def test_the_demo_draws_the_same_faces_afterwards(
    server: Server, page: Page, stranger: Stranger, avatars: resefa.Generator
) -> None:
    """Keep this the last one."""
    event = next(event for event in page.events if event["api_name"] == "draw_face")
    (end,) = stranger.events("friend", [{"fn_index": event["id"], "data": [13, 0.7, "", ""]}])
    drawn = stranger.http.get(end["output"]["data"][0]["url"])
    picture = np.asarray(Image.open(io.BytesIO(drawn.content)).convert("RGB")).astype(int)
    expected = np.asarray(resefa.to_pil(avatars.synthesize(avatars.sample(13, 0.7))[0])).astype(int)
    assert np.abs(picture - expected).max() <= 2
    visitor = Session(server.url, page)
    visitor.take(page.loaded(), query="?seed=13")
    assert visitor.seen["status"]["kind"] == "done"
    assert server.process.poll() is None
