"""Direction sets on the Hugging Face Hub: find, fetch and publish them. Knows nothing of Gradio.

What visitors type and what the Hub answers is checked; every call ends within bounded time and size; whatever
goes wrong is a `HubError` in plain words, in which no token and nothing that a server wrote occurs.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from http.cookiejar import DefaultCookiePolicy
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from urllib.parse import urlsplit

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    get_session,
    hf_hub_url,
    is_offline_mode,
    set_client_factory,
)
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile
from PIL import Image

from gradio_app.card import DIRECTIONS_FILE, PREVIEW_FILE, TAG, model_card, one_line
from resefa_core._version import __version__
from resefa_core.directions import MAX_FILE_BYTES, Directions
from resefa_core.errors import ReSeFaError
from resefa_core.files import write_bytes

try:
    import httpx2 as httpx

    if not issubclass(HfHubHTTPError, httpx.HTTPError):
        raise ImportError
except ImportError:  # the client library is of version 1
    import httpx  # type: ignore[no-redef]

LICENSES = ("cc-by-4.0", "cc0-1.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "apache-2.0", "mit", "other")
WAIT = 8.0
"""Seconds that the Hub may be silent."""

_ANSWER_SECONDS = 20.0
_TRANSFER_SECONDS = 300.0
_MAX_ANSWER_BYTES = 16 << 20
_MAX_ENTRIES = 2000
_MAX_FILES = 100
_MAX_LISTINGS = 100
_MAX_QUERY = 100
_PIECE = 1 << 16
_PREVIEW_SIDES = (2048, 4096)
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"{_PART}/{_PART}")
_NAME = re.compile(_PART)
_FOLDER = r"[A-Za-z0-9_][A-Za-z0-9 _.+=-]*/"
_FILENAME = re.compile(rf"(?:{_FOLDER}){{0,4}}[A-Za-z0-9_][A-Za-z0-9 _.+=-]*\.safetensors")
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


class HubError(ReSeFaError):
    """The Hub can't be reached, refuses, or answers nonsense; or what was asked of it is not allowed."""


@dataclass(frozen=True)
class Listing:
    """A direction set, as the Hub describes it; texts are bounded and plain, and still to be escaped.

    Attributes:
        repo_id: `author/name`.
        author, title: for people.
        architecture, fingerprint: of the generator it was made for, if known; 40 digits of the fingerprint.
        likes, downloads: as counted by the Hub.
        updated: ISO date, or empty.
        files: those that may be direction files.
    """

    repo_id: str
    author: str
    title: str
    architecture: str
    fingerprint: str
    likes: int
    downloads: int
    updated: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """Where a set was published, and whether that replaced one which was there."""

    url: str
    repo_id: str
    updated: bool


def search(query: str = "", limit: int = 30) -> list[Listing]:
    """Public direction sets, the most recent first.

    Args:
        query: words of their names; empty for all.
        limit: at most so many, up to 100.
    """
    with _talking():
        found = _api().list_models(
            filter=TAG,
            search=one_line(query, _MAX_QUERY) or None,
            sort="last_modified",
            limit=max(1, min(limit, _MAX_LISTINGS)),
            expand=["downloads", "lastModified", "likes", "siblings", "tags"],
        )
        return [_listing(info) for info in found if _is_repo_id(info.id) and TAG in (info.tags or [])]


def direction_files(repo_id: str, token: str | None = None) -> list[str]:
    """The files in a repository that may be direction files: named plainly, and not too large."""
    _check_repo_id(repo_id)
    with _talking():
        tree = _api(token).list_repo_tree(repo_id, recursive=True)
        files = [entry for entry in islice(tree, _MAX_ENTRIES) if isinstance(entry, RepoFile)]
        names = [file.path for file in files if _is_filename(file.path) and file.size <= MAX_FILE_BYTES]
    return names[:_MAX_FILES]


def fetch(repo_id: str, filename: str, folder: Path, token: str | None = None) -> Path:
    """Download a file into a folder. It is a stranger's: `Directions.load` is what reads it.

    Args:
        repo_id: `author/name`.
        filename: one that `direction_files` gave.
        folder: made if it is not there; the file of that name from that repository is replaced.
        token: for a private repository.

    Returns:
        The file in `folder`, with a name made of the repository's and its own.
    """
    _check_repo_id(repo_id)
    if not _is_filename(filename):
        raise HubError(
            f"{one_line(filename, 80)!r} is no direction file: expected a plain name ending in .safetensors"
        )
    target = folder / f"{repo_id}/{filename}".replace("/", "--")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise HubError("the folder for downloads can't be made") from None
    try:
        with closing(_pieces(repo_id, filename, token)) as pieces:
            write_bytes(target, pieces, _LocalError, overwrite=True)
    except _LocalError:
        raise HubError(f"{filename} can't be written on this side") from None
    return target


def whoami(token: str) -> str:
    """The account that a token belongs to."""
    _check_token(token)
    with _talking():
        name = _api(token).whoami()["name"]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(name)
    return name


def publish(
    directions: Directions,
    name: str,
    token: str,
    *,
    strips: Image.Image | None = None,
    private: bool = False,
    license: str = LICENSES[0],
    base_model: str | None = None,
) -> Published:
    """Publish a set in a repository of the token's account, as one commit: the file, a model card, a preview.

    A repository of that name is updated if it holds a direction set, or nothing yet; others are left alone.

    Args:
        directions: the set; an author or a licence that it lacks is filled in.
        name: of the repository, with or without the account.
        token: of whoever publishes, with the right to write.
        strips: a picture of what the directions do.
        private: make a new repository private; one that is there must be so already.
        license: one of `LICENSES`; that of the set, if it has one.
        base_model: the generator's repository on the Hub, if it has one.
    """
    _check_token(token)
    _check_license(directions, license)
    if base_model is not None:
        _check_repo_id(base_model)
    preview = None if strips is None else _png(strips)
    account = whoami(token)
    repo_id = _own_repo_id(account, name)
    filled = replace(directions, author=directions.author or account, license=directions.license or license)
    address = f"{_endpoint()}/{repo_id}"
    picture = None if preview is None else f"{address}/resolve/main/{PREVIEW_FILE}"
    files = {
        "README.md": model_card(filled, repo_id, license, base_model, picture).encode(),
        DIRECTIONS_FILE: _packed(filled),
    }
    if preview is not None:
        files[PREVIEW_FILE] = preview
    with _talking():
        there = _existing(_api(token), repo_id, private)
        if there is None:
            _create(_api(token), repo_id, private)
    try:
        with _talking(_TRANSFER_SECONDS, patience=4.0):
            _commit(_api(token), repo_id, files, there)
    except HubError as problem:
        if there is not None and there.updated:
            raise
        raise HubError(
            f"{problem}. The repository {repo_id} was made and may still be empty: "
            "publishing again under the same name completes it"
        ) from None
    return Published(address, repo_id, there is not None and there.updated)


@dataclass(frozen=True)
class _Existing:
    commit: str
    updated: bool
    files: tuple[str, ...]


def _existing(api: HfApi, repo_id: str, private: bool) -> _Existing | None:
    """The visitor's repository of that name, which it must be right to write to; None if there is none."""
    try:
        info = api.model_info(repo_id, expand=["private", "sha", "tags"])
    except HfHubHTTPError as problem:
        if problem.response.status_code == 404:
            return None
        raise
    if info.id != repo_id:
        raise HubError(f"{repo_id} was renamed or moved on the Hub: choose another name")
    if private and not info.private:
        raise HubError(f"{repo_id} exists and is public: choose another name, or publish publicly")
    files = tuple(entry.path for entry in islice(api.list_repo_tree(repo_id), _MAX_ENTRIES))
    updated = TAG in (info.tags or [])
    if not updated and set(files) - {".gitattributes"}:
        raise HubError(
            f"{repo_id} exists and holds no direction set (it lacks the tag {TAG}): choose another name"
        )
    return _Existing(str(info.sha), updated, files)


def _create(api: HfApi, repo_id: str, private: bool) -> None:
    try:
        api.create_repo(repo_id, private=private)
    except HfHubHTTPError as problem:
        if problem.response.status_code == 409:
            raise HubError(f"{repo_id} exists already: choose another name") from None
        raise


def _commit(api: HfApi, repo_id: str, files: dict[str, bytes], there: _Existing | None) -> None:
    """Upload and commit. The files are given as streams, so that they go over HTTP, and are uploaded one by
    one, so that no thread is started: the bounds hold for neither of the alternatives."""
    additions = [CommitOperationAdd(path, io.BytesIO(data)) for path, data in files.items()]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [*additions]
    if there is not None and PREVIEW_FILE in there.files and PREVIEW_FILE not in files:
        operations.append(CommitOperationDelete(PREVIEW_FILE))
    for addition in additions:
        api.preupload_lfs_files(repo_id, [addition], free_memory=False)
    api.create_commit(
        repo_id,
        cast(Any, operations),
        commit_message="Update the direction set" if there and there.updated else "Add a direction set",
        parent_commit=None if there is None else there.commit,
    )


def _packed(directions: Directions) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / DIRECTIONS_FILE
        try:
            directions.save(file)
            return file.read_bytes()
        except (ReSeFaError, OSError) as problem:
            words = str(problem).replace(str(file), DIRECTIONS_FILE)
            raise HubError(f"the set can't be packed: {words}") from None


def _png(picture: Image.Image) -> bytes:
    """The pixels alone, of bounded size."""
    small = picture.convert("RGB")
    small.info = {}
    small.thumbnail(_PREVIEW_SIDES)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _listing(info: ModelInfo) -> Listing:
    author, name = info.id.split("/")
    tags = [tag for tag in info.tags or [] if isinstance(tag, str)]
    files = [sibling.rfilename for sibling in info.siblings or []]
    return Listing(
        repo_id=info.id,
        author=author,
        title=name.replace("-", " ").replace("_", " "),
        architecture=_tagged(tags, "generator"),
        fingerprint=_tagged(tags, "fingerprint"),
        likes=_count(info.likes),
        downloads=_count(info.downloads),
        updated="" if info.last_modified is None else info.last_modified.date().isoformat(),
        files=tuple(file for file in files if _is_filename(file))[:_MAX_FILES],
    )


def _tagged(tags: list[str], kind: str) -> str:
    return next((one_line(tag.partition(":")[2], 40) for tag in tags if tag.startswith(f"{kind}:")), "")


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _is_repo_id(text: object) -> bool:
    if not isinstance(text, str) or len(text) > 96 or not _REPO_ID.fullmatch(text):
        return False
    return not any(part in text for part in ("--", "..")) and not text.endswith((".git", ".ipynb"))


def _is_filename(text: object) -> bool:
    return isinstance(text, str) and len(text) <= 120 and ".." not in text and bool(_FILENAME.fullmatch(text))


def _check_repo_id(repo_id: str) -> None:
    if not _is_repo_id(repo_id):
        raise HubError(
            f"{one_line(repo_id, 80)!r} is no repository of the Hub: expected author/name, at most 96 "
            "letters, digits, '-', '_' and '.'"
        )


def _check_token(token: str) -> None:
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise HubError("sign in to the Hub first: this is no token")


def _check_license(directions: Directions, license: str) -> None:
    if license not in LICENSES:
        raise HubError(f"the licence {one_line(license, 40)!r} is not one of {', '.join(LICENSES)}")
    own = "-".join(directions.license.lower().split())
    if own and own != license and not (license == "other" and own not in LICENSES):
        expected = own if own in LICENSES else "other"
        raise HubError(
            f"the set is under the licence {one_line(directions.license, 80)!r} and can't be published "
            f"under {license}: choose {expected}"
        )


def _own_repo_id(account: str, name: str) -> str:
    owner, slash, rest = name.strip().rpartition("/")
    if slash and owner != account:
        raise HubError(f"this token publishes as {account}, not as {one_line(owner, 60)!r}")
    repo_id = f"{account}/{rest}"
    if not _is_repo_id(repo_id):
        raise HubError(
            f"{one_line(name, 80)!r} is no name for a repository: expected at most {95 - len(account)} "
            "letters, digits, '-', '_' and '.', no '--' or '..'"
        )
    return repo_id


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _api(token: str | None = None) -> HfApi:
    """The client library, never with the token that this machine may have stored."""
    if token is not None:
        _check_token(token)
    return HfApi(_endpoint(), token or False, library_name="resefa", library_version=__version__)


def _pieces(repo_id: str, filename: str, token: str | None) -> Generator[bytes, None, None]:
    """A file's content as it arrives, up to the size that is accepted."""
    headers = {"accept-encoding": "identity", "user-agent": f"resefa/{__version__}"}
    if token is not None:
        _check_token(token)
        headers["authorization"] = f"Bearer {token}"
    too_large = HubError(f"{filename} is larger than a direction file may be, {MAX_FILE_BYTES >> 20} MB")
    with _talking(_TRANSFER_SECONDS, MAX_FILE_BYTES + _MAX_ANSWER_BYTES):
        url = hf_hub_url(repo_id, filename, endpoint=_endpoint())
        with get_session().stream("GET", url, headers=headers) as response:
            if response.status_code != 200:
                raise _refused(response.status_code)
            if int(response.headers.get("content-length", "0")) > MAX_FILE_BYTES:
                raise too_large
            received = 0
            for piece in response.iter_bytes(_PIECE):
                received += len(piece)
                if received > MAX_FILE_BYTES:
                    raise too_large
                yield piece


class _LocalError(ReSeFaError):
    """A file can't be written on this side."""


@dataclass
class _Call:
    """What is left to the requests that belong together."""

    until: float
    bytes_left: int
    wait: float
    requests_left: int = 100

    def request(self) -> None:
        self.requests_left -= 1
        self.receive(0)

    def receive(self, size: int) -> None:
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise HubError(f"{_host()} gave an answer that is too large")
        if self.requests_left < 0 or time.monotonic() > self.until:
            raise HubError(f"{_host()} takes too long: try again later")


_CALL: ContextVar[_Call | None] = ContextVar("call", default=None)
_INSTALLING = threading.Lock()


@contextmanager
def _talking(
    seconds: float = _ANSWER_SECONDS, max_bytes: int = _MAX_ANSWER_BYTES, patience: float = 1.0
) -> Iterator[None]:
    """Requests of the client library in here end within bounds, are not repeated, and raise HubError only."""
    if is_offline_mode():
        raise HubError("the Hub is not used: offline mode is on (HF_HUB_OFFLINE)")
    _install()
    mark = _CALL.set(_Call(time.monotonic() + seconds, max_bytes, patience * WAIT))
    try:
        yield
    except Exception as problem:  # the client library raises many kinds on odd answers
        raise _explained(problem) from None
    finally:
        _CALL.reset(mark)


def _install() -> None:
    """Let the client library send through `_Client`, with the hooks that it has now."""
    with _INSTALLING:
        present = get_session()
        if not isinstance(present, _Client):
            hooks, timeout = present.event_hooks, present.timeout
            set_client_factory(lambda: _Client(event_hooks=hooks, follow_redirects=True, timeout=timeout))


class _Client(httpx.Client):
    """Within `_talking`, it bounds answers, and fails where the client library would wait and try again. It
    keeps no cookies: visitors have the client in common."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        call = _CALL.get()
        if call is None:
            return super().send(request, stream=stream, **options)
        call.request()
        asked = request.extensions.get("timeout", {})
        waits = {
            kind: min(asked.get(kind) or call.wait, call.wait)
            for kind in ("connect", "read", "write", "pool")
        }
        request.extensions = {**request.extensions, "timeout": waits}
        try:
            response = super().send(request, stream=True, **options)
        except httpx.TransportError:
            raise _unreachable() from None
        response.stream = _BoundedStream(cast(httpx.SyncByteStream, response.stream), call)
        try:
            if response.status_code == 429 or response.status_code >= 500:
                raise _refused(response.status_code)
            if not stream:
                response.read()
        except BaseException:
            response.close()
            raise
        return response


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, call: _Call) -> None:
        self._stream = stream
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                self._call.receive(len(piece))
                yield piece
        except httpx.TransportError:
            raise _unreachable() from None

    def close(self) -> None:
        self._stream.close()


def _explained(problem: BaseException) -> HubError:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, HubError):
            return cause
        if isinstance(cause, HfHubHTTPError):
            return _refused(cause.response.status_code)
        if isinstance(cause, (httpx.TransportError, ConnectionError, TimeoutError)):
            return _unreachable()
        cause = cause.__cause__
    return HubError(f"{_host()} gave an answer that is not understood: try again later")


def _unreachable() -> HubError:
    return HubError(f"{_host()} can't be reached: sharing needs a connection, everything else works without")


def _refused(status: int) -> HubError:
    words = {
        401: "not found, or not public, or the sign-in has expired",
        402: "the account has reached a limit of the Hub",
        403: "not allowed: the sign-in lacks the right, or access has to be asked for",
        404: "not found",
        409: "in conflict with what is there: try again, or choose another name",
        412: "changed by someone else in the meantime: try again",
        413: "too large for the Hub",
        429: "too many requests: wait some minutes",
    }
    if status >= 500:
        return HubError(f"{_host()} has trouble of its own ({status}): try again later")
    return HubError(f"{_host()} answers: {words.get(status, 'not possible')} ({status})")


def _host() -> str:
    try:
        return urlsplit(_endpoint()).hostname or "the Hub"
    except ValueError:
        return "the Hub"
