"""Direction sets in repositories of the Hub: find, fetch and publish them.

What people type and what the Hub answers is checked.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    get_session,
    hf_hub_url,
)
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile
from PIL import Image

from .._version import __version__
from ..checkpoints.remote import SCHEME
from ..directions import MAX_FILE_BYTES, Directions
from ..errors import HubError, ReSeFaError, named
from ..files import write_bytes
from .card import DIRECTIONS_FILE, PREVIEW_FILE, TAG, model_card, one_line
from .client import (
    MAX_ANSWER_BYTES,
    REQUESTS,
    TRANSFER_SECONDS,
    check_token,
    client_of,
    endpoint,
    own_token,
    refused,
    talking,
)

Opened = TypeVar("Opened")
Content = bytes | Path
"""Of a file: its bytes, or the file that has them."""
LICENSES = ("cc-by-4.0", "cc0-1.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "apache-2.0", "mit", "other")

_MAX_ENTRIES = 2000
_MAX_FILES = 100
_MAX_LISTINGS = 100
_MAX_QUERY = 100
_PIECE = 1 << 16
_LEAST_RATE = 1 << 18
"""Bytes in a second that the network takes, or an upload is given up."""
_LEAST_PART = 1 << 20
_PREVIEW_SIDES = (2048, 4096)
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"{_PART}/{_PART}")
_NAME = re.compile(_PART)
_FOLDER = r"[A-Za-z0-9_][A-Za-z0-9 _.+=-]*/"
_FILENAME = re.compile(rf"(?:{_FOLDER}){{0,4}}[A-Za-z0-9_][A-Za-z0-9 _.+=-]*\.safetensors")


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
class Kind:
    """What repositories hold: the tag that tells them, its name, and files that go where none is given."""

    tag: str
    noun: str
    optional: tuple[str, ...] = ()


DIRECTION_SETS = Kind(TAG, "direction set", (PREVIEW_FILE,))


@dataclass(frozen=True)
class Published:
    """Where something was published, and whether that replaced what was there."""

    url: str
    repo_id: str
    updated: bool


def search(query: str = "", limit: int = 30) -> list[Listing]:
    """Public direction sets, the most recent first.

    Args:
        query: words of their names; empty for all.
        limit: at most so many, up to 100.
    """
    with talking():
        found = client_of().list_models(
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
    with talking():
        tree = client_of(token).list_repo_tree(repo_id, recursive=True)
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


def load(repo_id: str, filename: str = "", token: str | None = None) -> Directions:
    """A set of a repository.

    Args:
        repo_id: `author/name`; or an address, `hf://author/name` or `hf://author/name/file`.
        filename: the one that `publish` writes for "", or else the first direction file there is.
        token: for a private repository.

    Raises:
        HubError: it can't be fetched, or there is none.
        DirectionFileError: what was fetched is no direction file.
    """
    repo_id, filename = address(repo_id, filename)
    if not filename:
        files = direction_files(repo_id, token)
        if not files:
            raise HubError(f"{repo_id} holds no direction file")
        filename = DIRECTIONS_FILE if DIRECTIONS_FILE in files else files[0]
    return load_file(Directions.load, repo_id, filename, DIRECTIONS_FILE, token)


def address(text: str, filename: str = "") -> tuple[str, str]:
    """The repository and the file, "" for none, that an address `hf://author/name/file` means; a repository's
    name as it is."""
    if not text.startswith(SCHEME):
        return text, filename
    author, _, rest = text.removeprefix(SCHEME).partition("/")
    name, _, filename = rest.partition("/")
    return f"{author}/{name}", filename


def whoami(token: str) -> str:
    """The account that a token belongs to."""
    check_token(token)
    with talking():
        name = client_of(token).whoami()["name"]
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
    check_token(token)
    _check_license_of(directions, license)
    if base_model is not None:
        _check_repo_id(base_model)
    preview = None if strips is None else png(strips)

    def files(repo_id: str) -> dict[str, Content]:
        author = directions.author or repo_id.split("/")[0]
        filled = replace(directions, author=author, license=directions.license or license)
        picture = None if preview is None else f"{endpoint()}/{repo_id}/resolve/main/{PREVIEW_FILE}"
        made: dict[str, Content] = {
            "README.md": model_card(filled, repo_id, license, base_model, picture).encode(),
            DIRECTIONS_FILE: _packed(filled),
        }
        return made if preview is None else {**made, PREVIEW_FILE: preview}

    return put(name, token, DIRECTION_SETS, files, private=private)


def put(
    name: str,
    token: str,
    kind: Kind,
    files: Callable[[str], Mapping[str, Content]],
    *,
    private: bool = False,
    message: str = "",
) -> Published:
    """Commit files to a repository of the token's account: a new one, or one that holds what they are, or
    nothing yet; others are left alone.

    Args:
        name: of the repository, with or without the account.
        files: gives their contents, or where these are, for the repository's full name.
        private: make a new repository private; one that is there must be so already.
        message: of the commit.
    """
    check_token(token)
    repo_id = _own_repo_id(whoami(token), name)
    contents = files(repo_id)
    size = sum(len(each) if isinstance(each, bytes) else each.stat().st_size for each in contents.values())
    with talking():
        there = _existing(client_of(token), repo_id, private, kind)
        if there is None:
            _create(client_of(token), repo_id, private)
    try:
        with talking(
            TRANSFER_SECONDS + size / _LEAST_RATE, patience=4.0, requests=REQUESTS + size // _LEAST_PART
        ):
            _commit(client_of(token), repo_id, contents, there, kind, message)
    except HubError as problem:
        if there is not None and there.updated:
            raise
        raise HubError(
            f"{problem}. The repository {repo_id} was made and may still be empty: "
            "publishing again under the same name completes it"
        ) from None
    return Published(f"{endpoint()}/{repo_id}", repo_id, there is not None and there.updated)


def put_file(
    save: Callable[[Path], None],
    filename: str,
    name: str,
    token: str | None,
    kind: Kind,
    card: Callable[[str, bool], str],
    *,
    sheet: Image.Image | None,
    private: bool,
    license: str,
) -> Published:
    """Publish one file with its card and a picture, as one commit; see `put`.

    Args:
        save: writes the file.
        filename: in the repository.
        token: the one that this machine has for None.
        card: of a repository's id, and of whether there is a picture.
    """
    token = own_token(token)
    check_license(license)
    picture = {} if sheet is None else {PREVIEW_FILE: png(sheet)}
    with TemporaryDirectory() as folder:
        file = Path(folder) / filename
        save(file)
        return put(
            name,
            token,
            kind,
            lambda repo_id: {
                "README.md": card(repo_id, bool(picture)).encode(),
                filename: file.read_bytes(),
                **picture,
            },
            private=private,
        )


def load_file(
    open_file: Callable[[Path], Opened], repo_id: str, filename: str, usual: str, token: str | None
) -> Opened:
    """What a repository's file holds; errors name it by its address.

    Args:
        repo_id: `author/name`; or an address, `hf://author/name` or `hf://author/name/file`.
        usual: the file's name for "".

    Raises:
        HubError: it can't be fetched.
        ReSeFaError: what was fetched is something else; see what opens it.
    """
    repo_id, filename = address(repo_id, filename)
    filename = filename or usual
    with TemporaryDirectory() as folder:
        path = fetch(repo_id, filename, Path(folder), token)
        with named(path, f"{repo_id}/{filename}"):
            return open_file(path)


@dataclass(frozen=True)
class _Existing:
    commit: str
    updated: bool
    files: tuple[str, ...]


def _existing(api: HfApi, repo_id: str, private: bool, kind: Kind) -> _Existing | None:
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
    updated = kind.tag in (info.tags or [])
    if not updated and set(files) - {".gitattributes"}:
        raise HubError(
            f"{repo_id} exists and holds no {kind.noun} (it lacks the tag {kind.tag}): choose another name"
        )
    return _Existing(str(info.sha), updated, files)


def _create(api: HfApi, repo_id: str, private: bool) -> None:
    try:
        api.create_repo(repo_id, private=private)
    except HfHubHTTPError as problem:
        if problem.response.status_code == 409:
            raise HubError(f"{repo_id} exists already: choose another name") from None
        raise


def _commit(
    api: HfApi,
    repo_id: str,
    files: Mapping[str, Content],
    there: _Existing | None,
    kind: Kind,
    message: str,
) -> None:
    """Upload and commit. The files are given as streams, so that they go over HTTP, and are uploaded one by
    one, so that no thread is started: the bounds hold for neither of the alternatives."""
    with ExitStack() as opened:
        additions = [
            CommitOperationAdd(
                path, io.BytesIO(data) if isinstance(data, bytes) else opened.enter_context(data.open("rb"))
            )
            for path, data in files.items()
        ]
        operations: list[CommitOperationAdd | CommitOperationDelete] = [*additions]
        if there is not None:
            gone = (path for path in kind.optional if path in there.files and path not in files)
            operations += [CommitOperationDelete(path) for path in gone]
        for addition in additions:
            api.preupload_lfs_files(repo_id, [addition], free_memory=False)
        done = f"Update the {kind.noun}" if there and there.updated else f"Add a {kind.noun}"
        api.create_commit(
            repo_id,
            cast(Any, operations),
            commit_message=message or done,
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


def png(picture: Image.Image) -> bytes:
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


def check_license(license: str) -> None:
    """Raise HubError unless it is one of `LICENSES`."""
    if license not in LICENSES:
        raise HubError(f"the licence {one_line(license, 40)!r} is not one of {', '.join(LICENSES)}")


def _check_license_of(directions: Directions, license: str) -> None:
    check_license(license)
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


def _pieces(repo_id: str, filename: str, token: str | None) -> Generator[bytes, None, None]:
    """A file's content as it arrives, up to the size that is accepted."""
    headers = {"accept-encoding": "identity", "user-agent": f"resefa/{__version__}"}
    if token is not None:
        check_token(token)
        headers["authorization"] = f"Bearer {token}"
    too_large = HubError(f"{filename} is larger than a direction file may be, {MAX_FILE_BYTES >> 20} MB")
    with talking(TRANSFER_SECONDS, MAX_FILE_BYTES + MAX_ANSWER_BYTES):
        url = hf_hub_url(repo_id, filename, endpoint=endpoint())
        with get_session().stream("GET", url, headers=headers) as response:
            if response.status_code != 200:
                raise refused(response.status_code)
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
