"""Public generators by name: a catalogue, and downloads that go on where they stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urljoin, urlsplit

from ..errors import CheckpointError
from ..files import read_bytes, unwritten, write_bytes
from ..files.locks import HELD_WHILE_RENAMED, try_lock
from ..files.names import check_written
from ..files.writing import is_at, rename

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Progress = Callable[[int, int], None]
_CATALOGUE = Path(__file__).with_name("catalogue.json")
_PIECE = 1 << 20
_MAX_REDIRECTS = 5
_ATTEMPTS = 5
_MAX_BYTES = 16 << 30
_MAX_MEMORY = 1 << 16
_WAIT_SECONDS = 0.2
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


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

    @property
    def file(self) -> Path:
        """Where it is downloaded to unless another place is named: its own name, in the current folder."""
        return Path(Path(urlsplit(self.url or self.name).path).name)


@cache
def catalogue() -> dict[str, Entry]:
    """The public generators that are known here, by name."""
    entries = [Entry(**fields) for fields in json.loads(_CATALOGUE.read_text("utf-8"))]
    return {entry.name: entry for entry in entries}


def entry_of(file: Path) -> Entry | None:
    """The generator of the catalogue whose file has that name; None if there is none.

    Example:
        >>> entry_of(Path("models/stylegan3-t-ffhq-1024x1024.pkl")).name
        'stylegan3-t-ffhq-1024x1024'
    """
    return next((entry for entry in catalogue().values() if entry.url and entry.file.name == file.name), None)


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


def download(
    entry: Entry | str,
    file: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    sha256: str | None = None,
) -> str:
    """Fetch a generator of the catalogue.

    What has arrived is kept beside the file, in `FILE.part`, so that a further call goes on from there; one
    that runs at the same time waits for the other's file. The file appears under its name once it is complete
    and its checksum is right: the given one, the published one, or else the one in `FILE.sha256`, where the
    first download of that name leaves it.

    Args:
        entry: which, or its name.
        file: where to; `Entry.file` by default.
        overwrite: whether a file that exists is replaced.
        progress: called with bytes that are there and in total (0 where that is not known).
        sha256: what the file's checksum has to be, 64 hexadecimal digits.

    Returns:
        The file's SHA-256.

    Raises:
        CheckpointError: no file to fetch, no connection after some attempts, refused by the server, cut
            off, a checksum that does not fit, or the file exists.
    """
    entry = find_entry(entry) if isinstance(entry, str) else entry
    file = entry.file if file is None else Path(file)
    if entry.url is None:
        raise CheckpointError(f"{entry.name}: has to be downloaded from its page: {entry.page}")
    expected = None if sha256 is None else sha256.strip().lower()
    if expected is not None and not _SHA256.fullmatch(expected):
        raise CheckpointError(f"{expected[:80]!r} is no SHA-256: expected 64 hexadecimal digits")
    check_written(file, CheckpointError)
    if file.exists() and not overwrite:
        raise CheckpointError(f"{file} exists: choose another name, or ask to overwrite it")
    before = _version_of(file)
    try:
        with _Part.of(file, lambda there: progress(there, entry.bytes or 0) if progress else None) as part:
            if _version_of(file) == before:
                _fetch_all(entry, part, progress)
                digest = _checked(entry, part.path, file, expected, part.discard)
                part.rename(file, overwrite)
            else:
                part.discard()
                digest = _checked(entry, file, file, expected)
        if entry.sha256 is None and digest != _remembered(file):
            text = f"{digest}  {file.name}\n"
            write_bytes(_memory(file), text.encode("utf-8"), CheckpointError, overwrite=True)
    except FileExistsError as problem:
        raise CheckpointError(f"{file} exists: choose another name, or ask to overwrite it") from problem
    except OSError as problem:
        raise CheckpointError(f"{unwritten(file, problem)}; {file.name}.part holds what arrived") from problem
    return digest


class _Part:
    """What has arrived of a file, open and locked, so that one process at a time writes it."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self.stream = path, stream

    @classmethod
    @contextlib.contextmanager
    def of(cls, file: Path, waiting: Callable[[int], object]) -> Iterator[_Part]:
        """The part of a file; while another process has it, `waiting` is called with the bytes in it."""
        path = file.with_name(f"{file.name}.part")
        while True:
            with open(path, "r+b", opener=_open_or_make) as stream:
                if try_lock(stream.fileno()) is not False and is_at(path, stream):
                    part = cls(path, stream)
                    try:
                        yield part
                    finally:
                        if part.size == 0:
                            part.discard()
                    return
                waiting(os.fstat(stream.fileno()).st_size)
            time.sleep(_WAIT_SECONDS)

    @property
    def size(self) -> int:
        return 0 if self.stream.closed else os.fstat(self.stream.fileno()).st_size

    def empty(self) -> None:
        """Begin anew."""
        self.stream.truncate(0)
        _origin(self.path).unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what has arrived, unless it has its name by now."""
        if self.stream.closed or not is_at(self.path, self.stream):
            return
        if not HELD_WHILE_RENAMED:
            self.stream.close()
        self.path.unlink(missing_ok=True)
        _origin(self.path).unlink(missing_ok=True)

    def rename(self, file: Path, overwrite: bool) -> None:
        """Give the file its name."""
        self.stream.flush()
        if not HELD_WHILE_RENAMED:
            self.stream.close()
        rename(self.path, file, overwrite)
        _origin(self.path).unlink(missing_ok=True)


def _open_or_make(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o666)


def _version_of(file: Path) -> tuple[int, int] | None:
    try:
        about = file.stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns


def _fetch_all(entry: Entry, part: _Part, progress: Progress | None) -> None:
    assert entry.url is not None
    for attempt in range(_ATTEMPTS):
        before = part.size
        if _fetch(entry.url, part, entry.bytes, progress):
            return
        if attempt == _ATTEMPTS - 1 or 0 < part.size <= before:
            raise CheckpointError(
                f"{entry.name}: the connection broke; {part.path} holds what arrived, and the same "
                "command goes on from there"
            )


def _checked(
    entry: Entry, arrived: Path, file: Path, expected: str | None, discard: Callable[[], None] | None = None
) -> str:
    """The SHA-256 of what arrived, which is to become `file`, if that is as it should be."""
    size = arrived.stat().st_size
    if entry.bytes is not None and size != entry.bytes:
        if discard is not None:
            discard()
        raise CheckpointError(f"{entry.name}: {size} bytes arrived, expected {entry.bytes}")
    digest = _digest(arrived)
    for known, whose in ((expected, "given"), (entry.sha256, "published")):
        if known is not None and digest != known:
            if discard is not None:
                discard()
            raise CheckpointError(
                f"{entry.name}: the checksum of what arrived is not the {whose} one; it was deleted"
                if discard is not None
                else f"{file}: its checksum is not the {whose} one"
            )
    remembered = None if expected or entry.sha256 else _remembered(file)
    if remembered is not None and digest != remembered:
        raise CheckpointError(
            f"{entry.name}: other bytes arrived than before: their SHA-256 is {digest}, and "
            f"{_memory(file)} remembers {remembered}. The publisher replaced the file, or someone else did. "
            f"If you trust it: the same command with --sha256 {digest}"
        )
    return digest


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _memory(file: Path) -> Path:
    """Where the checksum is kept, as `sha256sum --check` reads it."""
    return file.with_name(f"{file.name}.sha256")


def _remembered(file: Path) -> str | None:
    """The checksum of the first download of that name; None before that.

    Raises:
        CheckpointError: the file is there, and holds none.
    """
    memory = _memory(file)
    if not memory.exists():
        return None
    found = _SHA256.search(
        read_bytes(memory, CheckpointError, _MAX_MEMORY).decode("utf-8", "replace").lower()
    )
    if found is None:
        raise CheckpointError(f"{memory}: holds no SHA-256: delete it, or write the one that you expect")
    return found[0]


def _fetch(url: str, part: _Part, size: int | None, progress: Progress | None) -> bool:
    """Fetch what is missing of a file; whether it is complete now."""
    try:
        import urllib3
    except ImportError as missing:
        raise CheckpointError(
            'downloading needs urllib3: pip install "resefa[download]", or fetch the file with a browser'
        ) from missing
    validator = _validator(part.path, url)
    there = part.size if validator else 0
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
        if part.size > there:
            return False
        raise CheckpointError(f"{url[:200]}: can't be fetched: {str(problem)[:300]}") from problem


def _check_address(url: str) -> None:
    if urlsplit(url).scheme != "https" and urlsplit(url).hostname != "127.0.0.1":
        raise CheckpointError(f"{url[:200]}: not an https address")


def _origin(part: Path) -> Path:
    """Where it is noted which address and which version of the file a part is of."""
    return part.with_name(f"{part.name}.json")


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
    text = json.dumps({"url": url, "validator": validator})
    write_bytes(_origin(part), text.encode("utf-8"), CheckpointError, overwrite=True)


def _receive(
    url: str, response: BaseHTTPResponse, part: _Part, there: int, size: int | None, progress: Progress | None
) -> bool:
    if response.status == 416 and there:
        if response.headers.get("Content-Range", "").rpartition("/")[2] == str(there):
            return True
        part.empty()
        return False
    if response.status not in (200, 206):
        raise CheckpointError(f"{url[:200]}: the server answered {response.status}")
    start, total = _span(response)
    if start > there:
        raise CheckpointError(f"{url[:200]}: the server began at byte {start}, asked for {there}")
    if total > _MAX_BYTES or (size is not None and total not in (0, size)):
        raise CheckpointError(f"{url[:200]}: the server says {total} bytes, expected {size}")
    if start == 0:
        _note_origin(part.path, url, response)
    part.stream.truncate(start)
    part.stream.seek(start)
    done = start
    for piece in response.stream(_PIECE):
        part.stream.write(piece)
        done += len(piece)
        if done > _MAX_BYTES:
            raise CheckpointError(f"{url[:200]}: more than {_MAX_BYTES >> 30} GB arrived")
        if progress is not None:
            progress(done, max(total, done))
    part.stream.flush()
    with contextlib.suppress(OSError):
        os.fsync(part.stream.fileno())
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
