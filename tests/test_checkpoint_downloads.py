"""Downloads from a server on this machine: whole, broken off, gone on with, refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from resefa_core import CheckpointError
from resefa_core.checkpoints.downloads import Entry, catalogue, download, find_entry
from resefa_core.cli import main

ROOT = Path(__file__).resolve().parents[1]
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
    pause: float = 0.0
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
            sent = state.data[start : start + stop]
            for first in range(0, len(sent), 1 << 18):
                time.sleep(state.pause)
                self.wfile.write(sent[first : first + (1 << 18)])

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
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.pkl", "m.pkl.sha256"]


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


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def unpublished(server: Server) -> Entry:
    """An entry without size and checksum, as those of the catalogue are."""
    return entry(server, bytes=None, sha256=None)


def test_the_checksum_is_told_and_remembered_beside_the_file(server: Server, tmp_path: Path) -> None:
    assert download(unpublished(server), tmp_path / "m.pkl") == sha256(DATA)
    assert (tmp_path / "m.pkl.sha256").read_text() == f"{sha256(DATA)}  m.pkl\n"
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "m.pkl.sha256"], cwd=tmp_path, check=True)


def test_other_bytes_under_the_same_name_are_complained_of(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "m.pkl"
    download(unpublished(server), file)
    server.data, server.etag = DATA[::-1], '"two"'
    for _ in range(2):
        with pytest.raises(CheckpointError, match="other bytes arrived than before") as caught:
            download(unpublished(server), file, overwrite=True)
        assert sha256(DATA) in str(caught.value)
        assert f"--sha256 {sha256(server.data)}" in str(caught.value)
        assert file.read_bytes() == DATA
    server.asked.clear()
    assert download(unpublished(server), file, overwrite=True, sha256=sha256(server.data)) == sha256(
        server.data
    )
    assert server.asked == [f"bytes={len(DATA)}-"]
    assert file.read_bytes() == server.data
    assert sha256(server.data) in (tmp_path / "m.pkl.sha256").read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.pkl", "m.pkl.sha256"]


def test_a_file_that_was_deleted_is_still_remembered(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "m.pkl"
    download(unpublished(server), file)
    file.unlink()
    server.data, server.etag = DATA[::-1], '"two"'
    with pytest.raises(CheckpointError, match="other bytes"):
        download(unpublished(server), file)
    assert not file.exists()


@pytest.mark.parametrize("given", [sha256(b"other"), "xyz", "", "0" * 63])
def test_a_given_checksum_is_asked_for(server: Server, tmp_path: Path, given: str) -> None:
    with pytest.raises(CheckpointError, match=r"not the given one|is no SHA-256"):
        download(unpublished(server), tmp_path / "m.pkl", sha256=given)
    assert list(tmp_path.iterdir()) == []
    digest = f" {sha256(DATA).upper()}"
    assert download(unpublished(server), tmp_path / "m.pkl", sha256=digest) == sha256(DATA)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"nothing", b"0" * 65])
def test_a_memory_that_is_none_is_told(server: Server, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.pkl.sha256").write_bytes(content)
    with pytest.raises(CheckpointError, match="holds no SHA-256"):
        download(unpublished(server), tmp_path / "m.pkl")
    assert not (tmp_path / "m.pkl").exists()


DOWNLOADER = """
import sys
from pathlib import Path
from resefa_core.checkpoints.downloads import Entry, download

entry = Entry("m", "a model", sys.argv[1], "a page", "CC0", "pickle", None, None)
print("ready", flush=True)
sys.stdin.readline()
print(download(entry, Path(sys.argv[2]), overwrite=sys.argv[3] == "overwrite"))
"""


def start_downloads(
    server: Server, file: Path, count: int = 1, how: str = "new"
) -> list[subprocess.Popen[str]]:
    """Other processes, which begin at the same time."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DOWNLOADER, server.address, str(file), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return processes


@pytest.mark.parametrize("how", ["new", "overwrite"])
def test_downloads_of_one_file_at_once_all_end_with_it(server: Server, tmp_path: Path, how: str) -> None:
    server.pause = 0.1
    for process in start_downloads(server, tmp_path / "m.pkl", 3, how):
        output, problem = process.communicate(timeout=120)
        assert (process.returncode, output.strip()) == (0, sha256(DATA)), problem
    assert (tmp_path / "m.pkl").read_bytes() == DATA
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.pkl", "m.pkl.sha256"]


def test_a_download_goes_on_with_what_one_that_was_killed_left(server: Server, tmp_path: Path) -> None:
    server.pause = 0.05
    (first,) = start_downloads(server, tmp_path / "m.pkl")
    part = tmp_path / "m.pkl.part"
    while not (part.exists() and part.stat().st_size > 1 << 20):
        assert first.poll() is None
        time.sleep(0.01)
    waited: list[int] = []

    def kill_once_waited_for(there: int, total: int) -> None:
        waited.append(there)
        if len(waited) == 2:
            first.kill()
            first.communicate()
            server.pause = 0.0

    assert download(unpublished(server), tmp_path / "m.pkl", progress=kill_once_waited_for) == sha256(DATA)
    assert server.asked[0] == ""
    assert server.asked[-1].startswith("bytes=")
    assert (tmp_path / "m.pkl").read_bytes() == DATA


def test_the_command_tells_the_checksum(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resefa_core.cli.download.find_entry", lambda name: unpublished(server))
    file = tmp_path / "m.pkl"
    assert main(["download", "m", "-o", str(file)]) == 0
    assert f"SHA-256 {sha256(DATA)}" in capsys.readouterr().out
    server.data, server.etag = DATA[::-1], '"two"'
    assert main(["download", "m", "-o", str(file), "--force"]) == 1
    assert "other bytes" in capsys.readouterr().err
    assert main(["download", "m", "-o", str(file), "--force", "--sha256", sha256(server.data)]) == 0


def test_a_full_disk_is_told_and_what_arrived_is_kept(server: Server, full_disk: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the disk is full.* m\.pkl\.part holds what arrived"):
        download(unpublished(server), full_disk / "m.pkl")
    assert sorted(file.name for file in full_disk.iterdir()) == ["filling", "m.pkl.part", "m.pkl.part.json"]
    (full_disk / "filling").unlink()
    server.data = DATA[:40_000]
    assert download(unpublished(server), full_disk / "m.pkl") == sha256(server.data)
