"""Direction sets on a stand-in for the Hub, through the real client library."""

from __future__ import annotations

import logging
import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import OTHER_TOKEN, TOKEN, Handler, HubServer, Repo
from models import tiny_stylegan2
from PIL import Image
from torch import Tensor

huggingface_hub = pytest.importorskip("huggingface_hub")

import resefa_core  # noqa: E402
from resefa_core import DirectionFileError, Directions, Parts, Region, hub  # noqa: E402
from resefa_core.atlas import Plan, build_atlas  # noqa: E402
from resefa_core.cli import main  # noqa: E402
from resefa_core.directions import MAX_FILE_BYTES  # noqa: E402
from resefa_core.hub import (  # noqa: E402
    TAG,
    HubError,
    Published,
    client,
    load_parts,
    publish_atlas,
    publish_parts,
    repositories,
)
from resefa_core.hub.card import model_card, ranges  # noqa: E402

EVIL = '"]\n---\n<script>alert(1)</script>[x](http://evil.example)![y](http://evil.example/y.png)`|*b*'
LINES = ["# Big", "---", "```", "<script>alert(2)</script>", "~~~", "www.evil.example"]


def make(count: int = 3, **changes: object) -> Directions:
    noise = torch.Generator().manual_seed(0)
    vectors = torch.randn(count, 16, generator=noise)
    numbers = torch.rand(4, count, generator=noise) + 0.1
    made = Directions(
        vectors=vectors / vectors.norm(dim=1, keepdim=True),
        eigenvalues=numbers[0],
        inside=numbers[1],
        outside=numbers[2],
        steps=numbers[3],
        space="w",
        layers=(2, 3, 4, 7),
        names=tuple(f"name {i}" for i in range(count)),
        region=Region.from_box(0.31, 0.59, 0.38, 0.19),
        generator={
            "architecture": "stylegan2",
            "resolution": 64,
            "fingerprint": "0123456789abcdef" * 4,
            "name": "avatars",
        },
        num_samples=6,
        title="Mouths",
        description="Opens it.",
        author="Ada",
        license="cc0-1.0",
        tags=("mouth",),
        date="2024-05-06T07:08:09Z",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def same(found: Directions, expected: Directions) -> bool:
    for field in fields(Directions):
        value, wanted = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(wanted, Tensor):
            if not torch.equal(value, wanted):
                return False
        elif not isinstance(wanted, Region) and value != wanted:
            return False
    return True


def strips() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (30, 90, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def publish(directions: Directions | None = None, name: str = "mouths", token: str = TOKEN) -> Published:
    return hub.publish(directions or make(), name, token, strips=strips(), license="cc0-1.0")


ACTIONS: dict[str, Callable[[Path], object]] = {
    "search": lambda folder: hub.search("mouth"),
    "files": lambda folder: hub.direction_files("ada/mouths", TOKEN),
    "fetch": lambda folder: hub.fetch("ada/mouths", "directions.safetensors", folder, TOKEN),
    "whoami": lambda folder: hub.whoami(TOKEN),
    "publish": lambda folder: publish(),
}
each_action = pytest.mark.parametrize("action", ACTIONS.values(), ids=list(ACTIONS))


@pytest.mark.parametrize(("lfs", "part_bytes"), [(False, 0), (True, 0), (True, 20_000)])
def test_what_is_published_is_found_and_fetched(
    server: HubServer, tmp_path: Path, lfs: bool, part_bytes: int
) -> None:
    server.lfs, server.part_bytes = lfs, part_bytes
    assert publish() == Published(f"{server.url}/ada/mouths", "ada/mouths", False)
    assert server.repos["ada/mouths"].commit == 2, "the files came in more than one commit"
    assert set(server.repos["ada/mouths"].stored) == (
        {"directions.safetensors", "preview.png"} if lfs else set()
    )
    (found,) = hub.search("mouth")
    assert (found.repo_id, found.author, found.title) == ("ada/mouths", "ada", "mouths")
    assert (found.architecture, found.fingerprint) == ("stylegan2", ("0123456789abcdef" * 4)[:40])
    assert (found.likes, found.downloads, found.updated) == (3, 14, "2026-03-04")
    assert found.files == ("directions.safetensors",) == tuple(hub.direction_files("ada/mouths"))
    path = hub.fetch("ada/mouths", "directions.safetensors", tmp_path / "new")
    assert path == tmp_path / "new" / "ada--mouths--directions.safetensors"
    assert same(Directions.load(path), make())
    assert hub.fetch("ada/mouths", "directions.safetensors", tmp_path / "new") == path
    assert [file.name for file in (tmp_path / "new").iterdir()] == [path.name]


def test_an_unfinished_set_gets_author_and_licence(server: HubServer, tmp_path: Path) -> None:
    hub.publish(make(author="", license=""), "mouths", TOKEN, license="mit")
    found = Directions.load(hub.fetch("ada/mouths", "directions.safetensors", tmp_path))
    assert (found.author, found.license) == ("ada", "mit")
    assert server.repos["ada/mouths"].card["license"] == "mit"
    assert "preview.png" not in server.repos["ada/mouths"].files


def test_search_is_by_tag_and_words_and_skips_odd_answers(server: HubServer) -> None:
    publish()
    publish(name="eyes")
    server.repos["bob/mouths"] = Repo(files={"README.md": b"---\ntags: [gan]\n---\n"})
    tagged = f"---\ntags: [{TAG}, 'generator:a\\u202eb{'x' * 90}', 5]\n---\n".replace("'", '"').encode()
    server.repos["bob/nose"] = Repo(files={"README.md": tagged, "../x.safetensors": b"", "a.bin": b""})
    server.repos["bob/<b>nose"] = Repo(files={"README.md": tagged})
    assert [found.repo_id for found in hub.search("mouth")] == ["ada/mouths"]
    assert [found.repo_id for found in hub.search()] == ["ada/mouths", "ada/eyes", "bob/nose"]
    assert len(hub.search(limit=2)) == 2
    (odd,) = hub.search("nose\x00 ")
    assert odd.architecture == "ab" + "x" * 38
    assert odd.files == ()


def test_publishing_again_updates(server: HubServer, tmp_path: Path) -> None:
    publish()
    assert "preview.png" in server.repos["ada/mouths"].files
    changed = make(count=5, title="More mouths")
    assert hub.publish(changed, "ada/mouths", TOKEN, license="cc0-1.0").updated
    found = hub.fetch("ada/mouths", "directions.safetensors", tmp_path)
    assert same(Directions.load(found), changed)
    assert "preview.png" not in server.repos["ada/mouths"].files, "the picture shows other directions"


def test_publishing_refuses_what_is_not_its_own(server: HubServer) -> None:
    mine = {"README.md": b"---\ntags: [gan]\n---\n", "model.safetensors": b"weights"}
    server.repos["ada/weights"] = Repo(files=dict(mine))
    server.repos["ada/renamed"] = Repo(renamed="bob/mouths")
    publish(name="open")
    for name, words in (
        ("weights", "lacks the tag"),
        ("renamed", "renamed or moved"),
        ("bob/mouths", "publishes as ada, not as 'bob'"),
    ):
        with pytest.raises(HubError, match=words):
            publish(name=name)
    with pytest.raises(HubError, match="exists and is public"):
        hub.publish(make(), "open", TOKEN, license="cc0-1.0", private=True)
    assert server.repos["ada/weights"] == Repo(files=mine)
    assert set(server.repos) == {"ada/weights", "ada/renamed", "ada/open"}


def test_a_change_in_between_is_not_overwritten(server: HubServer) -> None:
    publish()
    before = dict(server.repos["ada/mouths"].files)

    def change(handler: Handler) -> bool:
        if handler.route.endswith("/preupload/main"):
            server.repos["ada/mouths"].commit = 77
        return False

    server.intercept = change
    with pytest.raises(HubError, match="changed by someone else"):
        publish(make(count=4))
    assert server.repos["ada/mouths"].files == before


def test_a_broken_off_first_publication_is_completed(server: HubServer) -> None:
    def fail(handler: Handler) -> bool:
        broken = handler.route.endswith("/commit/main")
        if broken:
            handler.error(500)
        return broken

    server.intercept = fail
    with pytest.raises(HubError, match="publishing again under the same name completes it"):
        publish()
    server.intercept = None
    assert publish() == Published(f"{server.url}/ada/mouths", "ada/mouths", False)
    assert "directions.safetensors" in server.repos["ada/mouths"].files


def test_private_sets_are_for_their_owner(server: HubServer, tmp_path: Path) -> None:
    hub.publish(make(), "mouths", TOKEN, license="cc0-1.0", private=True)
    assert hub.search() == []
    for token in (None, OTHER_TOKEN):
        with pytest.raises(HubError, match="not found"):
            hub.direction_files("ada/mouths", token)
        with pytest.raises(HubError, match="not found"):
            hub.fetch("ada/mouths", "directions.safetensors", tmp_path, token)
    assert hub.direction_files("ada/mouths", TOKEN) == ["directions.safetensors"]
    assert same(Directions.load(hub.fetch("ada/mouths", "directions.safetensors", tmp_path, TOKEN)), make())


def test_tokens_go_to_the_hub_only(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HF_TOKEN", "hf_ofThisMachine")
    server.lfs = True
    publish()
    hub.fetch("ada/mouths", "directions.safetensors", tmp_path, TOKEN)
    blobs = [seen for seen in server.seen if seen.path.startswith("/blob/")]
    assert [seen.authorization for seen in blobs] == [""], "the token followed a redirection elsewhere"
    assert blobs[0].host.startswith("localhost")
    asked = len(server.seen)
    hub.search()
    hub.direction_files("ada/mouths")
    hub.fetch("ada/mouths", "directions.safetensors", tmp_path)
    assert {seen.authorization for seen in server.seen[asked:]} == {""}
    assert "hf_" not in "".join(record.getMessage() for record in caplog.records)


def test_visitors_do_not_share_cookies(server: HubServer) -> None:
    def sign_in(handler: Handler) -> bool:
        handler.answer(200, b'{"name": "ada"}', Set_Cookie="session=of-ada; Path=/")
        return True

    server.intercept = sign_in
    hub.whoami(TOKEN)
    hub.whoami(OTHER_TOKEN)
    assert [seen.cookie for seen in server.seen] == ["", ""]


@pytest.mark.parametrize(
    "repo_id",
    [
        "",
        "mouths",
        "ada/mouths/more",
        "../mouths",
        "ada/..",
        "ada/a..b",
        "ada/a--b",
        "ada/m.git",
        "ada/-m",
        "ada/m\n",
        "ada/mouths?x=1",
        "ada/mouths#x",
        "ada/%2e%2e",
        "áda/mouths",
        "ada/" + "m" * 93,
        "http://127.0.0.1/ada/mouths",
        "ada/<script>",
    ],
)
def test_repository_names_are_checked_before_anything_is_asked(
    server: HubServer, tmp_path: Path, repo_id: str
) -> None:
    with pytest.raises(HubError, match="no repository"):
        hub.direction_files(repo_id)
    with pytest.raises(HubError, match="no repository"):
        hub.fetch(repo_id, "directions.safetensors", tmp_path)
    with pytest.raises(HubError, match="no repository"):
        hub.publish(make(), "mouths", TOKEN, license="cc0-1.0", base_model=repo_id)
    assert server.seen == []


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "x.bin",
        ".safetensors",
        "../x.safetensors",
        "a/../x.safetensors",
        "/etc/x.safetensors",
        "a//x.safetensors",
        ".git/x.safetensors",
        "a\\x.safetensors",
        "C:x.safetensors",
        "x.safetensors\n",
        "x\x00.safetensors",
        "x?.safetensors",
        "<b>.safetensors",
        "x" * 120 + ".safetensors",
    ],
)
def test_file_names_are_checked_and_not_offered(server: HubServer, tmp_path: Path, filename: str) -> None:
    server.repos["ada/odd"] = Repo(files={filename: b"x", "deep/er/y.safetensors": b"y"})
    assert hub.direction_files("ada/odd") == ["deep/er/y.safetensors"]
    asked = len(server.seen)
    with pytest.raises(HubError, match="no direction file"):
        hub.fetch("ada/odd", filename, tmp_path)
    assert len(server.seen) == asked
    assert list(tmp_path.iterdir()) == []
    path = hub.fetch("ada/odd", "deep/er/y.safetensors", tmp_path)
    assert path == tmp_path / "ada--odd--deep--er--y.safetensors"


@pytest.mark.parametrize(
    "name", ["", "a/", "..", "a..b", "a--b", "a b", "x" * 93, "m\n---", "<b>", "é", ".git"]
)
def test_names_to_publish_under_are_checked(server: HubServer, name: str) -> None:
    with pytest.raises(HubError):
        publish(name=name)
    assert [seen.path for seen in server.seen] == ["/api/whoami-v2"]
    assert server.repos == {}


def test_licences_are_known_and_kept(server: HubServer) -> None:
    for directions, chosen, words in (
        (make(), "mine", "not one of"),
        (make(license="CC BY NC 4.0"), "cc0-1.0", "choose cc-by-nc-4.0"),
        (make(license="Ask me <b>"), "cc0-1.0", "choose other"),
    ):
        with pytest.raises(HubError, match=words):
            hub.publish(directions, "mouths", TOKEN, license=chosen)
    assert server.seen == []
    hub.publish(make(license="Ask me <b>"), "mouths", TOKEN, license="other")
    assert server.repos["ada/mouths"].card["license"] == "other"
    assert b"| licence | `Ask me <b>` |" in server.repos["ada/mouths"].files["README.md"]


@pytest.mark.parametrize("announced", [True, False])
def test_files_that_are_too_large_are_not_kept(server: HubServer, tmp_path: Path, announced: bool) -> None:
    sent = 0

    def send(handler: Handler) -> bool:
        nonlocal sent
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(MAX_FILE_BYTES + 1))
        else:
            handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in range(80):
            sent += handler.wfile.write(bytes(1 << 20))
        return True

    server.intercept = send
    with pytest.raises(HubError, match="larger than a direction file may be, 64 MB"):
        hub.fetch("ada/large", "x.safetensors", tmp_path)
    assert list(tmp_path.iterdir()) == []
    if announced:
        assert sent < 16 << 20, "it was read although its size was known"


def test_large_files_are_not_offered(server: HubServer) -> None:
    server.repos["ada/large"] = Repo(
        files={"x.safetensors": b"", "y.safetensors": b""}, stored={"x.safetensors": "0"}
    )
    server.blobs["0"] = bytes(MAX_FILE_BYTES + 1)
    assert hub.direction_files("ada/large") == ["y.safetensors"]


def test_a_file_that_breaks_off_leaves_nothing(server: HubServer, tmp_path: Path) -> None:
    def send(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(bytes(10))
        handler.close_connection = True
        return True

    server.intercept = send
    with pytest.raises(HubError, match="can't be reached"):
        hub.fetch("ada/mouths", "x.safetensors", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_written_is_no_fault_of_the_hub(server: HubServer, tmp_path: Path) -> None:
    publish()
    (tmp_path / "file").touch()
    (tmp_path / "ada--mouths--directions.safetensors").mkdir()
    with pytest.raises(HubError, match="folder for downloads"):
        hub.fetch("ada/mouths", "directions.safetensors", tmp_path / "file")
    with pytest.raises(HubError, match="on this side"):
        hub.fetch("ada/mouths", "directions.safetensors", tmp_path)
    assert len(hub.search()) == 1


def test_a_full_disk_leaves_nothing(server: HubServer, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    server.repos["ada/big"] = Repo(files={"x.safetensors": bytes(1 << 20)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, limits[1]))
    try:
        with pytest.raises(HubError, match="on this side") as caught:
            hub.fetch("ada/big", "x.safetensors", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(huggingface_hub.errors.RepositoryNotFoundError):
        huggingface_hub.HfApi(server.url, token=TOKEN).model_info("ada/none", timeout=5)
    assert client._CALL.get() is None, f"the bounds outlive {caught.value}"


@each_action
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 418, 429, 500, 503])
def test_refusals_are_told_in_plain_words_at_once(
    server: HubServer, tmp_path: Path, action: Callable[[Path], object], status: int
) -> None:
    def refuse(handler: Handler) -> bool:
        words = handler.headers.get("Authorization", "") + "<b>"
        handler.answer(status, words.encode(), X_Error_Message=words, Retry_After="60")
        return True

    server.intercept = refuse
    began = time.monotonic()
    with pytest.raises(HubError, match=f"127.0.0.1 .*{status}") as caught:
        action(tmp_path)
    assert time.monotonic() - began < 1.0
    assert len(server.seen) == 1, "it was tried again"
    assert TOKEN not in str(caught.value)
    assert "<b>" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("place", ["preupload", "objects/batch", "/upload/", "/verify", "/commit/"])
def test_trouble_half_way_is_not_waited_for(server: HubServer, place: str) -> None:
    server.lfs = True
    failed = 0

    def fail(handler: Handler) -> bool:
        nonlocal failed
        if place in handler.route:
            failed += 1
            handler.error(503)
        return place in handler.route

    server.intercept = fail
    began = time.monotonic()
    with pytest.raises(HubError, match="trouble of its own"):
        publish()
    assert time.monotonic() - began < 1.0
    assert failed == 1


def test_a_hub_that_is_always_busy_is_given_up(server: HubServer) -> None:
    def busy(handler: Handler) -> bool:
        if handler.route != "/api/repos/create":
            return False
        handler.answer(409, b"Cannot create repo: another conflicting operation is in progress")
        return True

    server.intercept = busy
    with pytest.raises(HubError, match="takes too long"):
        publish()
    assert len(server.seen) < 120


@each_action
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"[1]", b'{"name": 5}', b'{"name": "../x"}', b'[{"id": []}]', b"\xff"]
)
def test_nonsense_is_not_understood(
    server: HubServer, tmp_path: Path, action: Callable[[Path], object], body: bytes
) -> None:
    def babble(handler: Handler) -> bool:
        handler.answer(200, body)
        return True

    server.intercept = babble
    if action is ACTIONS["fetch"]:
        with pytest.raises(DirectionFileError):
            Directions.load(str(action(tmp_path)))
    elif action is ACTIONS["search"] and body == b'[{"id": []}]':
        assert action(tmp_path) == []
    else:
        with pytest.raises(
            HubError, match=r"^127.0.0.1 gave an answer that is not understood: try again later$"
        ):
            action(tmp_path)


@each_action
def test_a_hub_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path, action: Callable[[Path], object]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://user:{TOKEN}@127.0.0.1:{unused.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(HubError, match=r"127.0.0.1 can't be reached: .* everything else works") as caught:
            action(tmp_path)
    assert time.monotonic() - began < 1.0
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://127.0.0.1", "http://[", "http://127.0.0.1:99999999"])
@each_action
def test_addresses_that_are_none(
    monkeypatch: pytest.MonkeyPatch,
    server: HubServer,
    tmp_path: Path,
    action: Callable[[Path], object],
    endpoint: str,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(HubError):
        action(tmp_path)


@each_action
def test_a_hub_that_is_silent(
    monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path, action: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(client, "WAIT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(HubError, match="can't be reached"):
            action(tmp_path)
    assert time.monotonic() - began < 1.0


def test_a_hub_that_trickles(monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path) -> None:
    monkeypatch.setattr(repositories, "TRANSFER_SECONDS", 0.3)

    def trickle(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)
        return True

    server.intercept = trickle
    began = time.monotonic()
    with pytest.raises(HubError, match="takes too long"):
        hub.fetch("ada/mouths", "x.safetensors", tmp_path)
    assert time.monotonic() - began < 1.0
    assert list(tmp_path.iterdir()) == []


def test_answers_are_bounded(server: HubServer) -> None:
    def flood(handler: Handler) -> bool:
        handler.answer(200, b"[" + bytes(17 << 20) + b"]")
        return True

    server.intercept = flood
    with pytest.raises(HubError, match="too large"):
        hub.search()


@each_action
def test_offline_mode_is_respected(
    monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path, action: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="offline mode is on"):
        action(tmp_path)
    assert server.seen == []


@pytest.mark.parametrize("token", ["", "hf_a\nX-Evil: 1", "hf_\u00e9", " hf_a", "x" * 9000])
def test_odd_tokens_are_refused_unseen(server: HubServer, tmp_path: Path, token: str) -> None:
    for action in (
        lambda: hub.whoami(token),
        lambda: publish(token=token),
        lambda: hub.direction_files("ada/mouths", token),
        lambda: hub.fetch("ada/mouths", "x.safetensors", tmp_path, token),
    ):
        with pytest.raises(HubError, match=r"^sign in to the Hub first: this is no token$"):
            action()
    assert server.seen == []


def test_other_users_of_the_client_library_keep_its_ways(server: HubServer) -> None:
    hub.search()
    api = huggingface_hub.HfApi(server.url, token=TOKEN)
    assert api.whoami()["name"] == "ada"
    with pytest.raises(huggingface_hub.errors.RepositoryNotFoundError):
        api.model_info("ada/none")


def test_previews_are_pixels_alone(server: HubServer) -> None:
    picture = Image.new("RGBA", (5000, 100), "red")
    picture.info["icc_profile"] = b"of Ada's screen"
    hub.publish(make(), "mouths", TOKEN, license="cc0-1.0", strips=picture)
    kept = server.repos["ada/mouths"].files["preview.png"]
    assert b"iCCP" not in kept
    assert int.from_bytes(kept[16:20], "big") == 2048


def test_the_card_says_what_the_set_is(server: HubServer) -> None:
    hub.publish(make(), "mouths", TOKEN, strips=strips(), license="cc0-1.0", base_model="ada/faces-64")
    text = server.repos["ada/mouths"].files["README.md"].decode()
    assert server.repos["ada/mouths"].card == {
        "license": "cc0-1.0",
        "library_name": "resefa",
        "base_model": "ada/faces-64",
        "tags": [
            TAG,
            "resefa",
            "gan",
            "image-editing",
            "generator:stylegan2",
            f"fingerprint:{('0123456789abcdef' * 4)[:40]}",
            "mouth",
        ],
        "thumbnail": f"{server.url}/ada/mouths/resolve/main/preview.png",
    }
    for words in (
        "# `Mouths`",
        "![What the directions do](preview.png)",
        "`stylegan2` 64 × 64 (`avatars`)",
        "| latent space | `w` |",
        "| layers moved | `2-4, 7` |",
        "a box at x 0.31, y 0.59, 0.38 wide, 0.19 high",
        "| samples solved jointly | 6 |",
        "| 1 | `name 1` | 0.",
        'hf_hub_download("ada/mouths", "directions.safetensors")',
        'load_generator("avatars")',
        "models/stylegan_directions",
        "Zhu et al.",
        "6 images jointly",
    ):
        assert words in text
    assert "$" not in text


def test_little_is_said_of_little() -> None:
    bare = make(
        count=1,
        generator={},
        region=None,
        inside=torch.zeros(1),
        description="",
        title="",
        num_samples=1,
        author="",
    )
    text = model_card(bare, "ada/one", "mit", None, None)
    assert "base_model" not in text
    assert "thumbnail" not in text
    assert "preview" not in text
    assert "| 0 | `name 0` | unknown | unknown |" in text
    assert "One direction for an unknown generator, in" in text
    assert "\n\n\n" not in text
    many = model_card(make(count=500), "ada/many", "mit", None, None)
    assert "The file has 436 more." in many
    assert many.count("| `name ") == 64
    assert ranges((0, 2, 3, 4)) == "0, 2-4"


def test_nothing_of_a_set_is_rendered() -> None:
    markdown_it = pytest.importorskip("markdown_it")
    plain = EVIL.replace("\n", " ")
    hostile = make(
        names=(plain, "a\\", "|`|`<img src=x>"),
        title=EVIL,
        description="\n".join([EVIL, *LINES]),
        author=EVIL,
        license=EVIL,
        tags=("license:mit", "<b>", "$repo", "Mouth shape", "a" * 50),
        generator={"architecture": EVIL, "resolution": 64, "fingerprint": EVIL, "name": EVIL},
    )
    text = model_card(hostile, "ada/mouths", "other", None, None)
    data = huggingface_hub.ModelCard(text).data.to_dict()
    assert data["tags"] == [TAG, "resefa", "gan", "image-editing", "mouth shape"]
    assert data["license"] == "other"
    assert set(data) == {"license", "library_name", "tags"}
    body = huggingface_hub.ModelCard(text).text
    html = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    tags = set(re.findall(r"<(/?[a-z0-9]+)", html))
    known = {"h1", "h2", "p", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "em", "a"}
    assert {tag.lstrip("/") for tag in tags} == known
    assert re.findall(r'(?:href|src)="([^"]*)"', html) == ["https://arxiv.org/abs/2202.09649"]
    assert html.count("<h1>") == 1
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    assert html.count("<tr>") == (1 + 8) + (1 + 3)


def test_the_command_line_publishes_finds_and_fetches(
    monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    file, fetched = tmp_path / "mouth.safetensors", tmp_path / "fetched.safetensors"
    factorize = ["factorize", "--region", "mouth", "--space", "w", "-k", "2", "--all", "-o", str(file)]
    assert main(factorize) == 0
    assert main(["publish", str(file), "my-mouths", "--title", "Mouths", "--license", "mit"]) == 0
    assert f"published {server.url}/ada/my-mouths" in capsys.readouterr().out
    assert server.repos["ada/my-mouths"].card["license"] == "mit"
    assert main(["browse", "mouths"]) == 0
    assert "ada/my-mouths/directions.safetensors  stylegan2" in capsys.readouterr().out
    assert main(["browse", "ada/my-mouths", "-o", str(fetched)]) == 0
    assert "Mouths" in capsys.readouterr().out
    found, made = Directions.load(fetched), Directions.load(file)
    assert (found.title, found.author) == ("Mouths", made.author or "ada")
    assert torch.equal(found.vectors, made.vectors)
    assert main(["browse", "ada/my-mouths", "-o", str(fetched)]) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["browse", "ada/none", "-o", str(tmp_path / "none.safetensors")]) == 1
    assert "not found" in capsys.readouterr().err


def test_parts_go_to_the_hub_and_come_back(
    monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    generator = tiny_stylegan2()
    generator.save(tmp_path / "tiny.safetensors")
    file, own = tmp_path / "parts.safetensors", ["-g", str(tmp_path / "tiny.safetensors")]
    find = ["parts", *own, "--find", "--seeds", "0-2", "--count", "3", "-o", str(file)]
    assert main([*find, "--name", "0=wheel|<script>"]) == 0
    assert main(["parts", *own, "--parts", str(file), "--publish", "my-parts"]) == 0
    assert f"published {server.url}/ada/my-parts" in capsys.readouterr().out
    repo = server.repos["ada/my-parts"]
    assert set(repo.files) >= {"README.md", "parts.safetensors", "preview.png"}
    assert "resefa-parts" in repo.card["tags"]
    assert re.search(r"`[^`]*wheel¦<script>[^`]*`", repo.files["README.md"].decode())
    made = Parts.load(file)
    assert load_parts("ada/my-parts").digest == load_parts("hf://ada/my-parts").digest == made.digest
    assert main(["parts", *own, "--parts", "hf://ada/my-parts"]) == 0
    assert "wheel" in capsys.readouterr().out
    assert main(["parts", *own, "--parts", "hf://ada/my-parts", "--publish", "my-parts"]) == 0
    assert "updated" in capsys.readouterr().out
    publish()
    with pytest.raises(HubError, match="holds no set of parts"):
        publish_parts(made, "mouths", TOKEN)
    with pytest.raises(HubError, match="not found"):
        load_parts("ada/mouths")


def test_atlases_go_to_the_hub_and_come_back(
    monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    generator = tiny_stylegan2()
    generator.save(tmp_path / "tiny.safetensors")
    plan = Plan.of(generator, range(3), ["0.2,0.2,0.5,0.4"])
    made = build_atlas(generator, plan, count=2, measured=1)
    named = replace(made, entries=(replace(made.entries[0], name="wheel|<script>"),))
    file, own = tmp_path / "atlas.safetensors", ["-g", str(tmp_path / "tiny.safetensors")]
    named.save(file)
    assert main(["publish", str(file), "my-atlas", *own, "--license", "mit"]) == 0
    assert f"published {server.url}/ada/my-atlas" in capsys.readouterr().out
    repo = server.repos["ada/my-atlas"]
    assert set(repo.files) >= {"README.md", "atlas.safetensors", "preview.png"}
    assert repo.card["license"] == "mit"
    assert "resefa-atlas" in repo.card["tags"]
    assert "| `wheel¦<script>` | 100% | 2 | `" in repo.files["README.md"].decode()
    assert repo.files["atlas.safetensors"] == file.read_bytes()
    assert main(["atlas", "show", "hf://ada/my-atlas", *own, "-o", str(tmp_path / "page.html")]) == 0
    assert "wheel|<script>" in capsys.readouterr().out
    assert main(["atlas", "export", "hf://ada/my-atlas", "-o", str(tmp_path / "directions")]) == 0
    (exported,) = (tmp_path / "directions").iterdir()
    joint = made.entries[0].joint
    assert joint is not None
    assert torch.equal(Directions.load(exported).vectors, joint.directions.vectors)
    capsys.readouterr()
    assert main(["publish", str(file), "my-atlas", "--no-picture"]) == 0
    assert "updated" in capsys.readouterr().out
    assert main(["publish", str(file), "my-atlas", "--title", "Wheels"]) == 1
    assert "--title is for direction files" in capsys.readouterr().err
    repo.files["atlas.safetensors"] = file.read_bytes()[:-9]
    assert main(["atlas", "show", "hf://ada/my-atlas"]) == 1
    assert "ada/my-atlas/atlas.safetensors" in capsys.readouterr().err
    publish()
    with pytest.raises(HubError, match="holds no atlas"):
        publish_atlas(made, "mouths", TOKEN)


def test_the_command_line_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    make().save(tmp_path / "set.safetensors")
    assert main(["publish", str(tmp_path / "set.safetensors"), "set"]) == 1
    assert "hf auth login" in capsys.readouterr().err
    with pytest.raises(HubError, match="publishing needs an account"):
        hub.publish_generator(tiny_stylegan2(), "faces")
    assert main(["browse", "mouth", "-o", str(tmp_path / "x.safetensors")]) == 1
    assert "expected author/name" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "resefa_core.hub", None)
    monkeypatch.delattr(resefa_core, "hub")
    assert main(["browse", "mouth"]) == 1
    assert "pip install" in capsys.readouterr().err
