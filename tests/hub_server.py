"""A stand-in for the Hub, on this machine: as much of its API as the client library calls for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_secretOfAda0123456789"
OTHER_TOKEN = "hf_secretOfBob0123456789"


@dataclass
class Repo:
    """A repository of models and its only commit."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    stored: dict[str, str] = field(default_factory=dict)
    commit: int = 1
    likes: int = 3
    downloads: int = 14
    modified: str = "2026-03-04T05:06:07.000Z"
    renamed: str = ""

    @property
    def sha(self) -> str:
        return f"{self.commit:040x}"

    @property
    def card(self) -> dict[str, Any]:
        return front_matter(self.files.get("README.md", b"").decode())

    @property
    def tags(self) -> list[str]:
        return [*self.card.get("tags", []), "region:us"]


@dataclass
class Seen:
    """A request: what was asked, by whom, and with which cookies."""

    method: str
    path: str
    authorization: str
    cookie: str
    host: str


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: HubServer

    def handle_any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        self.asked = parse_qs(parts.query)
        self.route = unquote(parts.path)
        authorization = self.headers.get("Authorization", "")
        self.server.seen.append(
            Seen(
                self.command,
                self.route,
                authorization,
                self.headers.get("Cookie", ""),
                self.headers.get("Host", ""),
            )
        )
        self.account = self.server.tokens.get(authorization.removeprefix("Bearer "), "")
        if self.server.intercept is not None and self.server.intercept(self):
            return
        for method, pattern, respond in ROUTES:
            match = re.fullmatch(pattern, self.route)
            if match and method == self.command:
                respond(self, *match.groups())
                return
        self.error(404, "EntryNotFound")

    do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def error(self, status: int, code: str = "") -> None:
        self.answer(status, b'{"error": "no"}', X_Error_Code=code, X_Error_Message=f"no {code}")

    def log_message(self, format: str, *args: object) -> None:
        pass

    def repo(self, repo_id: str, write: bool = False) -> Repo | None:
        """The repository, if whoever asks may see it, or write to it; else it answers."""
        repo = self.server.repos.get(repo_id)
        if repo is None or (repo.private and repo_id.split("/")[0] != self.account):
            self.error(404 if self.account else 401, "RepoNotFound")
            return None
        if write and repo_id.split("/")[0] != self.account:
            self.error(403)
            return None
        return repo


class HubServer(ThreadingHTTPServer):
    """Start with `with HubServer() as hub`; ask at `hub.url`.

    Attributes:
        tokens: whose each token is.
        repos: by their ids.
        lfs: whether binary files go to the large-file store.
        part_bytes: the largest upload to that store in one part, or 0.
        seen: the requests so far.
        intercept: answers in the server's place where it returns True.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.tokens: dict[str, str] = {}
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.lfs = False
        self.part_bytes = 0
        self.seen: list[Seen] = []
        self.intercept: Callable[[Handler], bool] | None = None

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def describe(self, repo_id: str, expand: list[str]) -> dict[str, Any]:
        repo = self.repos[repo_id]
        known = {
            "author": repo_id.split("/")[0],
            "cardData": repo.card,
            "downloads": repo.downloads,
            "lastModified": repo.modified,
            "likes": repo.likes,
            "private": repo.private,
            "sha": repo.sha,
            "siblings": [{"rfilename": name, "size": len(repo.files[name])} for name in repo.files],
            "tags": repo.tags,
        }
        return {"_id": "0", "id": repo.renamed or repo_id} | {key: known[key] for key in expand or known}


def front_matter(text: str) -> dict[str, Any]:
    """The metadata of a card, as the Hub reads them: the first block."""
    match = re.match(r"\s*---[\r\n]+(.*?)[\r\n]+---(\r\n|\n|$)", text, re.DOTALL)
    found = yaml.safe_load(match[1]) if match else {}
    return found if isinstance(found, dict) else {}


def _whoami(handler: Handler) -> None:
    if handler.account:
        handler.json({"type": "user", "name": handler.account, "fullname": "<b>Ada</b>"})
    else:
        handler.error(401)


def _validate(handler: Handler) -> None:
    try:
        front_matter(json.loads(handler.body)["content"])
    except yaml.YAMLError as problem:
        errors = [{"message": str(problem)}]
        handler.answer(400, json.dumps({"errors": errors, "warnings": []}).encode())
    else:
        handler.json({"errors": [], "warnings": []})


def _create(handler: Handler) -> None:
    asked = json.loads(handler.body)
    owner = asked.get("organization") or handler.account
    repo_id = f"{owner}/{asked['name']}"
    if not handler.account or owner != handler.account:
        handler.error(403)
    elif repo_id in handler.server.repos:
        handler.error(409)
    else:
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        handler.server.repos[repo_id] = Repo(private=private)
        handler.json({"url": f"{handler.server.url}/{repo_id}", "name": repo_id})


def _list(handler: Handler) -> None:
    wanted, words = set(handler.asked.get("filter", [])), handler.asked.get("search", [""])[0].lower()
    found = [
        handler.server.describe(repo_id, handler.asked.get("expand", []))
        for repo_id, repo in handler.server.repos.items()
        if not repo.private and wanted <= set(repo.tags) and words in repo_id.lower()
    ]
    handler.json(found[: int(handler.asked.get("limit", ["1000"])[0])])


def _info(handler: Handler, repo_id: str) -> None:
    if handler.repo(repo_id) is not None:
        handler.json(handler.server.describe(repo_id, handler.asked.get("expand", [])))


def _tree(handler: Handler, repo_id: str) -> None:
    repo = handler.repo(repo_id)
    if repo is None:
        return
    files: list[dict[str, Any]] = []
    for name, data in repo.files.items():
        stored = repo.stored.get(name)
        size = len(handler.server.blobs[stored]) if stored else len(data)
        files.append({"type": "file", "path": name, "size": size, "oid": "0" * 40})
    folders = {name.rpartition("/")[0] for name in repo.files} - {""}
    handler.json([{"type": "directory", "path": name, "oid": "0" * 40} for name in folders] + files)


def _preupload(handler: Handler, repo_id: str) -> None:
    if handler.repo(repo_id, write=True) is None:
        return
    modes = []
    for file in json.loads(handler.body)["files"]:
        binary = not file["path"].endswith(".md")
        mode = "lfs" if binary and handler.server.lfs else "regular"
        modes.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None})
    handler.json({"files": modes})


def _batch(handler: Handler, repo_id: str) -> None:
    if handler.repo(repo_id, write=True) is None:
        return
    objects = []
    for asked in json.loads(handler.body)["objects"]:
        target = f"{handler.server.url}/upload/{asked['oid']}"
        upload: dict[str, Any] = {"href": target}
        limit = handler.server.part_bytes
        if limit and asked["size"] > limit:
            parts = range(1, 1 - (-asked["size"] // limit))
            upload["header"] = {"chunk_size": str(limit)} | {f"{n:05}": f"{target}/{n}" for n in parts}
        verify = {"href": f"{handler.server.url}/verify"}
        objects.append({**asked, "actions": {"upload": upload, "verify": verify}})
    handler.json({"transfer": "basic", "objects": objects})


def _upload(handler: Handler, oid: str) -> None:
    if hashlib.sha256(handler.body).hexdigest() != oid:
        handler.error(400)
        return
    handler.server.blobs[oid] = handler.body
    handler.answer(200, b"")


def _upload_part(handler: Handler, oid: str, number: str) -> None:
    handler.server.parts.setdefault(oid, {})[int(number)] = handler.body
    handler.answer(200, b"", ETag=f'"{number}"')


def _complete(handler: Handler, oid: str) -> None:
    parts = handler.server.parts.pop(oid)
    handler.body = b"".join(parts[part["partNumber"]] for part in json.loads(handler.body)["parts"])
    _upload(handler, oid)


def _verify(handler: Handler) -> None:
    asked = json.loads(handler.body)
    handler.answer(200 if len(handler.server.blobs.get(asked["oid"], b"")) == asked["size"] else 400, b"{}")


def _commit(handler: Handler, repo_id: str) -> None:
    repo = handler.repo(repo_id, write=True)
    if repo is None:
        return
    lines = [json.loads(line) for line in handler.body.splitlines()]
    expected = lines[0]["value"].get("parentCommit")
    if expected not in (None, repo.sha):
        handler.error(412)
        return
    for line in lines[1:]:
        kind, value = line["key"], line["value"]
        path = value["path"]
        repo.stored.pop(path, None)
        if kind == "file":
            repo.files[path] = base64.b64decode(value["content"])
        elif kind == "lfsFile":
            repo.files[path], repo.stored[path] = b"pointer", value["oid"]
        elif kind == "deletedFile":
            del repo.files[path]
    repo.commit += 1
    address = f"{handler.server.url}/{repo_id}/commit/{repo.sha}"
    handler.json({"commitUrl": address, "commitOid": repo.sha, "hookOutput": ""})


def _resolve(handler: Handler, repo_id: str, path: str) -> None:
    repo = handler.repo(repo_id)
    if repo is None:
        return
    if path not in repo.files:
        handler.error(404, "EntryNotFound")
    elif path in repo.stored:
        elsewhere = f"http://localhost:{handler.server.server_port}/blob/{repo.stored[path]}"
        told = {"X_Linked_Etag": f'"{repo.stored[path]}"', "X_Repo_Commit": repo.sha}
        size = len(handler.server.blobs[repo.stored[path]])
        handler.answer(302, b"", Location=elsewhere, X_Linked_Size=str(size), **told)
    else:
        data = repo.files[path]
        handler.answer(200, data, ETag=f'"{hashlib.sha1(data).hexdigest()}"', X_Repo_Commit=repo.sha)


def _blob(handler: Handler, oid: str) -> None:
    handler.answer(200, handler.server.blobs[oid])


_ID = "([^/]+/[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/api/whoami-v2", _whoami),
    ("POST", "/api/validate-yaml", _validate),
    ("POST", "/api/repos/create", _create),
    ("GET", "/api/models", _list),
    ("GET", f"/api/models/{_ID}", _info),
    ("GET", f"/api/models/{_ID}/revision/[^/]+", _info),
    ("GET", f"/api/models/{_ID}/tree/main", _tree),
    ("POST", f"/api/models/{_ID}/preupload/main", _preupload),
    ("POST", f"/api/models/{_ID}/commit/main", _commit),
    ("POST", rf"/{_ID}\.git/info/lfs/objects/batch", _batch),
    ("PUT", "/upload/([0-9a-f]{64})", _upload),
    ("PUT", "/upload/([0-9a-f]{64})/([0-9]+)", _upload_part),
    ("POST", "/upload/([0-9a-f]{64})", _complete),
    ("POST", "/verify", _verify),
    ("HEAD", f"/{_ID}/resolve/main/(.+)", _resolve),
    ("GET", f"/{_ID}/resolve/main/(.+)", _resolve),
    ("GET", "/blob/([0-9a-f]{64})", _blob),
]
