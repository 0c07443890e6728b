"""Generators on a stand-in for the Hub, by the names of its mixin, through the real client library."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
from hub_server import OTHER_TOKEN, TOKEN, Handler, HubServer, Repo
from models import tiny_stylegan2

huggingface_hub = pytest.importorskip("huggingface_hub")

import resefa_core as resefa  # noqa: E402
from resefa_core.generators.pretrained import WEIGHTS_FILE, Pretrained  # noqa: E402


@pytest.fixture
def hub(server: HubServer) -> HubServer:
    """Answers at every commit as at the last one."""

    def of_a_commit(handler: Handler) -> bool:
        for repo in server.repos.values():
            handler.route = handler.route.replace(f"/resolve/{repo.sha}/", "/resolve/main/")
        return False

    server.intercept = of_a_commit
    return server


@pytest.mark.parametrize("lfs", [False, True])
def test_a_generator_goes_to_the_hub_and_comes_back(hub: HubServer, lfs: bool) -> None:
    hub.lfs = lfs
    generator = tiny_stylegan2(16)
    assert generator.push_to_hub("faces", token=TOKEN, license="cc0-1.0") == f"{hub.url}/ada/faces"
    repo = hub.repos["ada/faces"]
    assert set(repo.files) == {".gitattributes", "README.md", WEIGHTS_FILE}
    assert repo.card["license"] == "cc0-1.0"
    assert {"resefa-generator", "stylegan2"} <= set(repo.tags)
    assert generator.fingerprint in repo.files["README.md"].decode()
    for source in (resefa.Generator, resefa.StyleGAN2):
        again = source.from_pretrained("ada/faces")
        assert type(again) is resefa.StyleGAN2
        assert again.fingerprint == generator.fingerprint
    assert resefa.load_generator("hf://ada/faces").fingerprint == generator.fingerprint
    with pytest.raises(resefa.CheckpointError, match=r"is a StyleGAN2, not a DCGAN: use StyleGAN2\.from"):
        resefa.DCGAN.from_pretrained("ada/faces")


def test_what_was_fetched_is_there_without_the_hub(hub: HubServer, tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    generator.push_to_hub("ada/faces", token=TOKEN)
    other = tmp_path / "elsewhere"
    with pytest.raises(resefa.CheckpointError, match="not fetched yet"):
        resefa.Generator.from_pretrained("ada/faces", local_files_only=True, cache_dir=other)
    revision = hub.repos["ada/faces"].sha
    resefa.Generator.from_pretrained("ada/faces", revision=revision, cache_dir=other)
    asked = len(hub.seen)
    again = resefa.Generator.from_pretrained(
        "ada/faces", revision=revision, cache_dir=other, local_files_only=True
    )
    assert again.fingerprint == generator.fingerprint
    assert len(hub.seen) == asked


def test_publishing_again_updates_and_leaves_others_alone(hub: HubServer) -> None:
    tiny_stylegan2(16).push_to_hub("faces", token=TOKEN)
    newer = tiny_stylegan2(32)
    newer.push_to_hub("faces", token=TOKEN, commit_message="Larger ones")
    assert resefa.Generator.from_pretrained("ada/faces").fingerprint == newer.fingerprint
    hub.repos["ada/notes"] = Repo(files={"notes.txt": b"mine"})
    with pytest.raises(resefa.HubError, match=r"holds no generator \(it lacks the tag resefa-generator\)"):
        newer.push_to_hub("notes", token=TOKEN)
    assert set(hub.repos["ada/notes"].files) == {"notes.txt"}
    with pytest.raises(resefa.HubError, match="publishes as bob"):
        newer.push_to_hub("ada/faces", token=OTHER_TOKEN)
    with pytest.raises(resefa.HubError, match="licence"):
        newer.push_to_hub("faces", token=TOKEN, license="<b>mine</b>")


def test_a_private_one_takes_the_token(hub: HubServer) -> None:
    generator = tiny_stylegan2(16)
    generator.push_to_hub("faces", token=TOKEN, private=True)
    assert hub.repos["ada/faces"].private
    with pytest.raises(resefa.HubError):
        resefa.Generator.from_pretrained("ada/faces", token=False)
    assert resefa.Generator.from_pretrained("ada/faces", token=TOKEN).fingerprint == generator.fingerprint


def test_a_folder_is_written_and_read(tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    folder = tmp_path / "faces"
    generator.save_pretrained(folder)
    generator.save_pretrained(folder)
    for source in (folder, str(folder), folder / WEIGHTS_FILE):
        assert resefa.Generator.from_pretrained(source).fingerprint == generator.fingerprint
    assert resefa.load_generator(folder).fingerprint == generator.fingerprint


def test_the_names_are_those_of_the_mixin() -> None:
    for name in ("from_pretrained", "save_pretrained", "push_to_hub"):
        ours, theirs = (
            inspect.signature(getattr(owner, name)).parameters
            for owner in (Pretrained, huggingface_hub.ModelHubMixin)
        )
        assert set(ours) - {"device", "dtype", "license"} <= set(theirs)
        assert next(iter(ours)) == next(iter(theirs))


def test_without_the_hubs_library_the_errors_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("resefa_core.hub")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(resefa, "hub", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(resefa.ReSeFaError, match=r'pip install "resefa\[hub\]"'):
        resefa.Generator.from_pretrained("ada/faces")
    with pytest.raises(resefa.HubError, match=r'pip install "resefa\[hub\]"'):
        tiny_stylegan2(16).push_to_hub("faces", token=TOKEN)
