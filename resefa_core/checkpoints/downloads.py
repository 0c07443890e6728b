"""Public generators by name: a catalogue, and downloads that go on where they stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from ..errors import CheckpointError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Progress = Callable[[int, int], None]
_CATALOGUE = Path(__file__).with_name("catalogue.json")
_PIECE = 1 << 20
_MAX_REDIRECTS = 5
_ATTEMPTS = 5
_MAX_BYTES = 16 << 30


@dataclass(frozen=True)
class Entry:
    """A public generator.

    Attributes:
        name: what it is called here.
        what: architecture, data and size, in words.
        url: the file, or None where its page has to be visited.
        page: the publisher's page.
        license: as the page states it.
        format: the layout of the file.
        bytes: its size, or None where none is published.
        sha256: its checksum, or None where none is published.
    """

    name: str
    what: str
    url: str | None
    page: str
    license: str
    format: str
    bytes: int | None
    sha256: str | None


@cache
def catalogue() -> dict[str, Entry]:
    """The public generators that are known here, by name."""
    entries = [Entry(**fields) for fields in json.loads(_CATALOGUE.read_text("utf-8"))]
    return {entry.name: entry for entry in entries}


def find_entry(name: str) -> Entry:
    """A generator of the catalogue.

    Raises:
        CheckpointError: there is none of that name; it names similar ones.
    """
    known = catalogue()
    if name not in known:
        words = {word for word in re.split(r"\W+", name.lower()) if len(word) > 2} - {
            "stylegan2",
            "stylegan3",
        }
        similar = [other for other in known if words & set(other.split("-"))][:6]
        raise CheckpointError(
            f"{name[:80]!r} is not in the catalogue; "
            + (f"similar: {', '.join(similar)}; " if similar else "")
            + "`resefa download --list` shows all"
        )
    return known[name]


def download(entry: Entry, file: Path, overwrite: bool = False, progress: Progress | None = None) -> None:
    """Fetch a generator of the catalogue.

    What has arrived is kept beside the file, in `FILE.part`, so that a further call goes on from there.
    The file appears under its name once it is complete, and its checksum is right where one is published.

    Args:
        entry: which.
        file: where to.
        overwrite: whether a file that exists is replaced.
        progress: called with bytes that are there and in total (0 where that is not known).

    Raises:
        CheckpointError: no file to fetch, no connection after some attempts, refused by the server, cut
            off, a checksum that does not fit, or the file exists.
    """
    if entry.url is None:
        raise CheckpointError(f"{entry.name}: has to be downloaded from its page: {entry.page}")
    if file.exists() and not overwrite:
        raise CheckpointError(f"{file} exists: choose another name, or ask to overwrite it")
    part = file.with_name(f"{file.name}.part")
    try:
        for attempt in range(_ATTEMPTS):
            before = part.stat().st_size if part.exists() else 0
            if _fetch(entry.url, part, entry.bytes, progress):
                break
            if attempt == _ATTEMPTS - 1 or (part.exists() and part.stat().st_size <= before):
                raise CheckpointError(
                    f"{entry.name}: the connection broke; {part} holds what arrived, and the same "
                    "command goes on from there"
                )
        _check(entry, part)
        part.replace(file)
        _origin(part).unlink(missing_ok=True)
    except OSError as problem:
        raise CheckpointError(f"{file}: can't be written: {problem.strerror or problem}") from problem


def _check(entry: Entry, part: Path) -> None:
    size = part.stat().st_size
    if entry.bytes is not None and size != entry.bytes:
        _drop(part)
        raise CheckpointError(f"{entry.name}: {size} bytes arrived, expected {entry.bytes}")
    if entry.sha256 is None:
        return
    digest = hashlib.sha256()
    with part.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != entry.sha256:
        _drop(part)
        raise CheckpointError(
            f"{entry.name}: the checksum of what arrived is not the published one; it was deleted"
        )


def _fetch(url: str, part: Path, size: int | None, progress: Progress | None) -> bool:
    """Fetch what is missing of a file; whether it is complete now."""
    try:
        import urllib3
    except ImportError as missing:
        raise CheckpointError(
            'downloading needs urllib3: pip install "resefa[download]", or fetch the file with a browser'
        ) from missing
    validator = _validator(part, url)
    there = part.stat().st_size if part.exists() and validator else 0
    headers = {"Accept-Encoding": "identity"}
    if there:
        headers |= {"Range": f"bytes={there}-", "If-Range": validator}
    waits = urllib3.Retry(connect=3, read=0, redirect=0, other=0, backoff_factor=0.2)
    address = url
    try:
        with urllib3.PoolManager(timeout=urllib3.Timeout(connect=20, read=60), retries=waits) as pool:
            for _ in range(_MAX_REDIRECTS):
                _check_address(address)
                response = pool.request(
                    "GET", address, headers=headers, preload_content=False, redirect=False
                )
                try:
                    target = response.get_redirect_location()
                    if not target:
                        return _receive(url, response, part, there, size, progress)
                    address = urljoin(address, target)
                finally:
                    response.close()
        raise CheckpointError(f"{url[:200]}: more than {_MAX_REDIRECTS} redirections")
    except urllib3.exceptions.HTTPError as problem:
        if part.exists() and part.stat().st_size > there:
            return False
        raise CheckpointError(f"{url[:200]}: can't be fetched: {str(problem)[:300]}") from problem


def _check_address(url: str) -> None:
    if urlsplit(url).scheme != "https" and urlsplit(url).hostname != "127.0.0.1":
        raise CheckpointError(f"{url[:200]}: not an https address")


def _origin(part: Path) -> Path:
    """Where it is noted which address and which version of the file a part is of."""
    return part.with_name(f"{part.name}.json")


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _origin(part).unlink(missing_ok=True)


def _validator(part: Path, url: str) -> str:
    """What tells the server which version a part is of; empty where the part can't be gone on with."""
    try:
        kept = json.loads(_origin(part).read_text(encoding="utf-8"))
        return str(kept["validator"]) if kept["url"] == url else ""
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _note_origin(part: Path, url: str, response: BaseHTTPResponse) -> None:
    etag = response.headers.get("ETag", "")
    validator = response.headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag
    _origin(part).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _receive(
    url: str, response: BaseHTTPResponse, part: Path, there: int, size: int | None, progress: Progress | None
) -> bool:
    if response.status == 416 and there:
        if response.headers.get("Content-Range", "").rpartition("/")[2] == str(there):
            return True
        _drop(part)
        return False
    if response.status not in (200, 206):
        raise CheckpointError(f"{url[:200]}: the server answered {response.status}")
    start, total = _span(response)
    if start > there:
        raise CheckpointError(f"{url[:200]}: the server began at byte {start}, asked for {there}")
    if total > _MAX_BYTES or (size is not None and total not in (0, size)):
        raise CheckpointError(f"{url[:200]}: the server says {total} bytes, expected {size}")
    if start == 0:
        _note_origin(part, url, response)
    with part.open("r+b" if part.exists() else "wb") as stream:
        stream.truncate(start)
        stream.seek(start)
        done = start
        for piece in response.stream(_PIECE):
            stream.write(piece)
            done += len(piece)
            if done > _MAX_BYTES:
                raise CheckpointError(f"{url[:200]}: more than {_MAX_BYTES >> 30} GB arrived")
            if progress is not None:
                progress(done, max(total, done))
        stream.flush()
        with contextlib.suppress(OSError):
            os.fsync(stream.fileno())
    return total in (0, done)


def _span(response: BaseHTTPResponse) -> tuple[int, int]:
    """Where the answer begins, and the size of the whole file (0 where the server does not say)."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None:
            raise CheckpointError("the server sends a part and does not say which")
        return int(match[1]), 0 if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "0")
    return 0, int(length) if length.isdecimal() else 0
