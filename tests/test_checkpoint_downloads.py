"""Downloads from a server on this machine: whole, broken off, gone on with, refused."""

from __future__ import annotations

import hashlib
import json
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
    etag: str = '"one"'
    location: str = ""
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
            if state.location and self.path != "/model.pkl":
                self.send_error(404)
                return
            if state.location:
                self.send_response(302)
                self.send_header("Location", state.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            same = self.headers.get("If-Range") == state.etag
            start = int(wanted[6:-1]) if wanted and state.ranges and same else 0
            if start >= len(state.data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.data) - 1}/{len(state.data)}")
            if state.etag:
                self.send_header("ETag", state.etag)
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


def leave_part(server: Server, folder: Path, data: bytes) -> None:
    """What an earlier call has left of the server's file."""
    (folder / "m.pkl.part").write_bytes(data)
    origin = {"url": server.address, "validator": server.etag}
    (folder / "m.pkl.part.json").write_text(json.dumps(origin))


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
    leave_part(server, tmp_path, DATA[:2_000_000])
    download(entry(server), tmp_path / "m.pkl")
    assert server.asked == ["bytes=2000000-"]
    assert (tmp_path / "m.pkl").read_bytes() == DATA
    (tmp_path / "n.pkl.part").write_bytes(DATA)
    download(entry(server, bytes=None), tmp_path / "n.pkl")
    assert (tmp_path / "n.pkl").read_bytes() == DATA


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    leave_part(server, tmp_path, b"old" * 1000)
    download(entry(server), tmp_path / "m.pkl")
    assert (tmp_path / "m.pkl").read_bytes() == DATA


def test_what_is_not_the_published_file_is_deleted(server: Server, tmp_path: Path) -> None:
    server.data = DATA[:-1] + b"x"
    with pytest.raises(CheckpointError, match="checksum"):
        download(entry(server), tmp_path / "m.pkl")
    leave_part(server, tmp_path, b"wrong" * 1000)
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


def broken_off(server: Server, file: Path, **changes: object) -> None:
    """A download that ends after two million bytes, however often it is tried again."""
    server.break_after = [2_000_000] + [0] * 20
    with pytest.raises(CheckpointError):
        download(entry(server, **changes), file)
    server.break_after = []


def test_a_file_that_changed_in_between_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "m.pkl"
    broken_off(server, file, bytes=None, sha256=None)
    server.data, server.etag = DATA[::-1], '"two"'
    download(entry(server, bytes=None, sha256=None), file)
    assert file.read_bytes() == server.data
    assert [each.name for each in tmp_path.iterdir()] == ["m.pkl"]


def test_a_part_of_another_file_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "m.pkl"
    broken_off(server, file, bytes=None, sha256=None)
    server.data = DATA[::-1]
    download(entry(server, bytes=None, sha256=None, url=server.address + "?other"), file)
    assert file.read_bytes() == server.data


def test_without_a_version_a_part_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.etag = ""
    file = tmp_path / "m.pkl"
    broken_off(server, file)
    server.asked.clear()
    download(entry(server), file)
    assert server.asked == [""]


def test_a_part_that_is_too_long_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "m.pkl"
    broken_off(server, file)
    part = file.with_name("m.pkl.part")
    part.write_bytes(DATA + b"more")
    download(entry(server), file)
    assert file.read_bytes() == DATA


def test_redirections_are_held_to_https_too(server: Server, tmp_path: Path) -> None:
    server.location = server.address.replace("127.0.0.1", "localhost")
    with pytest.raises(CheckpointError, match="not an https address"):
        download(entry(server), tmp_path / "m.pkl")
    server.location = server.address
    with pytest.raises(CheckpointError, match="redirections"):
        download(entry(server), tmp_path / "m.pkl")
