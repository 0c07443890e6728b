"""Downloads from a server on this machine: whole, broken off, gone on with, refused."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from resefa_core import CheckpointError
from resefa_core.checkpoints.downloads import Entry, catalogue, download, find_entry
from resefa_core.cli import main

DATA = bytes(range(256)) * 20_000


@dataclass
class Server:
    """What the server does, and what it was asked."""

    address: str = ""
    data: bytes = DATA
    ranges: bool = True
    status: int = 200
    break_after: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append(wanted)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(wanted[6:-1]) if wanted and state.ranges else 0
            if start >= len(state.data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.data) - 1}/{len(state.data)}")
            self.send_header("Content-Length", str(len(state.data) - start))
            self.end_headers()
            stop = state.break_after.pop(0) if state.break_after else len(state.data)
            self.wfile.write(state.data[start : start + stop])

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing on standard error."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.address = f"http://127.0.0.1:{listener.server_port}/model.pkl"
    yield state
    listener.shutdown()
    thread.join()
    listener.server_close()


def entry(server: Server, **changes: object) -> Entry:
    digest = hashlib.sha256(DATA).hexdigest()
    plain = Entry("m", "a model", server.address, "a page", "CC0", "pickle", len(DATA), digest)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_file_arrives_whole_and_is_reported(server: Server, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    download(entry(server), tmp_path / "m.pkl", progress=lambda *now: calls.append(now))
    assert (tmp_path / "m.pkl").read_bytes() == DATA
    assert calls[-1] == (len(DATA), len(DATA))
    assert len(calls) > 3
    assert [f.name for f in tmp_path.iterdir()] == ["m.pkl"]


def test_a_broken_connection_is_taken_up_again(server: Server, tmp_path: Path) -> None:
    server.break_after = [1_500_000, 2_000_000]
    download(entry(server), tmp_path / "m.pkl")
    assert (tmp_path / "m.pkl").read_bytes() == DATA
    assert server.asked[0] == ""
    assert all(asked.startswith("bytes=") and asked != "bytes=0-" for asked in server.asked[1:])
    assert len(server.asked) == 3


def test_a_later_call_goes_on(server: Server, tmp_path: Path) -> None:
    (tmp_path / "m.pkl.part").write_bytes(DATA[:2_000_000])
    download(entry(server), tmp_path / "m.pkl")
    assert server.asked == ["bytes=2000000-"]
    assert (tmp_path / "m.pkl").read_bytes() == DATA
    (tmp_path / "n.pkl.part").write_bytes(DATA)
    download(entry(server, bytes=None), tmp_path / "n.pkl")
    assert (tmp_path / "n.pkl").read_bytes() == DATA


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "m.pkl.part").write_bytes(b"old" * 1000)
    download(entry(server), tmp_path / "m.pkl")
    assert (tmp_path / "m.pkl").read_bytes() == DATA


def test_what_is_not_the_published_file_is_deleted(server: Server, tmp_path: Path) -> None:
    server.data = DATA[:-1] + b"x"
    with pytest.raises(CheckpointError, match="checksum"):
        download(entry(server), tmp_path / "m.pkl")
    (tmp_path / "m.pkl.part").write_bytes(b"wrong" * 1000)
    server.data = DATA
    with pytest.raises(CheckpointError, match="checksum"):
        download(entry(server), tmp_path / "m.pkl")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CheckpointError, match="expected 7"):
        download(entry(server, bytes=7), tmp_path / "m.pkl")


def test_refusals_are_said(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(CheckpointError, match="answered 404"):
        download(entry(server), tmp_path / "m.pkl")
    with pytest.raises(CheckpointError, match="its page: a page"):
        download(entry(server, url=None), tmp_path / "m.pkl")
    with pytest.raises(CheckpointError, match="not an https address"):
        download(entry(server, url="ftp://example.org/m.pkl"), tmp_path / "m.pkl")
    (tmp_path / "m.pkl").write_text("mine")
    with pytest.raises(CheckpointError, match="exists"):
        download(entry(server), tmp_path / "m.pkl")
    assert (tmp_path / "m.pkl").read_text() == "mine"


def test_no_connection_is_said(tmp_path: Path) -> None:
    nobody = Entry("m", "a model", "http://127.0.0.1:9/m.pkl", "a page", "CC0", "pickle", None, None)
    with pytest.raises(CheckpointError, match="can't be fetched"):
        download(nobody, tmp_path / "m.pkl")


def test_the_library_is_asked_for_where_it_is_missing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(CheckpointError, match=r"resefa\[download\]"):
        download(entry(server), tmp_path / "m.pkl")


def test_the_catalogue_is_sound() -> None:
    for name, found in catalogue().items():
        assert found.name == name
        assert found.page.startswith("https://")
        assert found.url is None or urlsplit(found.url).scheme == "https"
        assert found.license
    with pytest.raises(CheckpointError, match="stylegan3-t-metfaces-1024x1024"):
        find_entry("metfaces")


def test_the_command_lists_and_fetches(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", "--list"]) == 0
    assert "stylegan2-ffhq-config-f" in capsys.readouterr().out
    assert main(["download", "nothing"]) == 1
    monkeypatch.setitem(catalogue(), "m", entry(server))
    monkeypatch.chdir(tmp_path)
    assert main(["download", "m"]) == 0
    assert "CC0" in capsys.readouterr().out
    assert (tmp_path / "model.pkl").read_bytes() == DATA
    assert main(["download", "m"]) == 1
