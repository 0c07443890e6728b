"""Where the nodes find and put files, without ComfyUI: plain folders stand in for its `folder_paths`."""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from packs import modules_of_pack

import resefa_core as resefa
from resefa_core.defaults import SHOWN_FIRST
from resefa_core.directions.bundled import bundled_directions, bundled_sets

NOT_NAMES = [None, 7, 10**400, ["x"], "x\0y", "x" * 5000]
BAD_SAVES = [None, 10**400, "", "..", "a/../../b", "~/b", "<b>", "a\nb", "a\ud800b", "x" * 300, "/tmp/b"]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    kinds = ("stylegan", "stylegan_directions", "stylegan_parts", "stylegan_atlases")
    for name in ("input", "output", *(f"models/{kind}" for kind in kinds)):
        (tmp_path / name).mkdir(parents=True)

    def full_path(kind: str, name: str) -> str | None:
        file = tmp_path / "models" / kind / name
        return str(file) if file.is_file() else None

    def save_image_path(prefix: str, output: str, width: int, height: int) -> tuple[str, str, int, str, str]:
        subfolder, name = os.path.split(prefix.replace("%width%", str(width)))
        folder = Path(output, subfolder)
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder), name, 1, subfolder, prefix

    paths = types.ModuleType("folder_paths")
    paths.__dict__.update(
        models_dir=str(tmp_path / "models"),
        get_input_directory=lambda: str(tmp_path / "input"),
        get_output_directory=lambda: str(tmp_path / "output"),
        get_folder_paths=lambda kind: [str(tmp_path / "models" / kind)],
        get_filename_list=lambda kind: sorted(each.name for each in (tmp_path / "models" / kind).iterdir()),
        get_full_path=full_path,
        get_save_image_path=save_image_path,
    )
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    for name, module in modules_of_pack("a_pack_with_folders").items():
        monkeypatch.setitem(sys.modules, name, module)
    yield importlib.import_module("a_pack_with_folders.nodes.folders")
    for name in ("nodes", "nodes.folders"):
        del sys.modules[f"a_pack_with_folders.{name}"]


def latent() -> resefa.Latent:
    return resefa.Latent(codes=torch.zeros(1, 10, 8))


def test_latents_in_subfolders_are_listed_and_found(folders: types.ModuleType, tmp_path: Path) -> None:
    file = folders.free_file(folders.latents_folder(), "faces/anna", ".safetensors")
    latent().save(file)
    (tmp_path / "input" / "a" / "b").mkdir(parents=True)
    latent().save(tmp_path / "input" / "a" / "b" / "deep.safetensors")
    latent().save(tmp_path / "input" / "flat.safetensors")
    picture = resefa.to_pil(torch.zeros(3, 8, 8))
    resefa.save_png(
        picture, tmp_path / "input" / "a" / "with.png", texts={resefa.PNG_KEY: latent().to_text()}
    )
    resefa.save_png(picture, tmp_path / "input" / "a" / "without.png")
    assert folders.latent_names() == [
        "a/b/deep.safetensors",
        "a/with.png",
        "flat.safetensors",
        "gan_latents/faces/anna.safetensors [output]",
    ]
    for name in folders.latent_names():
        assert len(resefa.Latent.load(folders.latent_file(name))) == 1


def test_links_out_of_the_folder_are_neither_listed_nor_followed(
    folders: types.ModuleType, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    latent().save(outside / "secret.safetensors")
    latent().save(tmp_path / "input" / "mine.safetensors")
    (tmp_path / "input" / "folder").symlink_to(outside)
    (tmp_path / "input" / "file.safetensors").symlink_to(outside / "secret.safetensors")
    (tmp_path / "input" / "inside.safetensors").symlink_to(tmp_path / "input" / "mine.safetensors")
    (tmp_path / "input" / "circle").symlink_to(tmp_path / "input")
    assert folders.latent_names() == ["inside.safetensors", "mine.safetensors"]
    for name in ("folder/secret.safetensors", "file.safetensors", "../outside/secret.safetensors"):
        with pytest.raises(resefa.LatentError, match="no latent file"):
            folders.latent_file(name)


def test_a_name_that_is_not_utf8_is_listed_and_found(folders: types.ModuleType, tmp_path: Path) -> None:
    name = "gut\udce9.safetensors"
    latent().save(tmp_path / "input" / "plain.safetensors")
    (tmp_path / "input" / "plain.safetensors").rename(tmp_path / "input" / name)
    assert folders.latent_names() == [name]
    assert len(resefa.Latent.load(folders.latent_file(name))) == 1


def test_bundled_directions_stand_after_the_files(folders: types.ModuleType, tmp_path: Path) -> None:
    names = folders.direction_names()
    assert sorted(names) == sorted(bundled_sets())
    fits = bundled_directions(resefa.load_generator(SHOWN_FIRST))
    assert names[: len(fits)] == list(fits)
    (tmp_path / "models" / "stylegan_directions" / "mine.safetensors").touch()
    assert folders.direction_names() == ["mine.safetensors", *names]
    found = folders.directions_file("avatars-mouth")
    assert resefa.Directions.load(found).names == bundled_sets()["avatars-mouth"].names


def test_atlases_are_listed_or_the_list_says_where_they_belong(
    folders: types.ModuleType, tmp_path: Path
) -> None:
    assert folders.atlas_names() == ["(no file in models/stylegan_atlases)"]
    file = tmp_path / "models" / "stylegan_atlases" / "mine.safetensors"
    file.touch()
    assert folders.atlas_names() == ["mine.safetensors"]
    assert folders.atlas_file("mine.safetensors") == file
    with pytest.raises(resefa.AtlasError, match="put the file there"):
        folders.atlas_file("other.safetensors")


@pytest.mark.parametrize("name", NOT_NAMES, ids=lambda name: str(name)[:10].encode("ascii", "replace"))
@pytest.mark.parametrize("find", ["generator_file", "directions_file", "atlas_file", "latent_file"])
def test_what_names_no_file_is_refused_in_words(folders: types.ModuleType, find: str, name: object) -> None:
    with pytest.raises(resefa.ReSeFaError, match=r"not text|names no file"):
        getattr(folders, find)(name)
    if name is not None:
        assert isinstance(folders.validated(getattr(folders, find), name), str)


@pytest.mark.parametrize("name", BAD_SAVES, ids=lambda name: ascii(name)[:10])
@pytest.mark.parametrize(
    "place",
    [
        lambda folders, name: folders.free_file(folders.latents_folder(), name, ".safetensors"),
        lambda folders, name: folders.numbered_images(name, 2, 64, 64),
    ],
    ids=["file", "images"],
)
def test_what_can_name_no_new_file_is_refused_in_words(
    folders: types.ModuleType, tmp_path: Path, place: Callable[..., object], name: object
) -> None:
    before = sorted(tmp_path.rglob("*"))
    folders.latents_folder()
    with pytest.raises(resefa.ReSeFaError, match=r"name a file|leads out") as caught:
        place(folders, name)
    str(caught.value).encode("utf-8")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "output" / "gan_latents"])


def test_new_files_lead_nowhere_else_by_a_link(folders: types.ModuleType, tmp_path: Path) -> None:
    (tmp_path / "output" / "away").symlink_to(tmp_path / "models")
    with pytest.raises(resefa.ReSeFaError, match="leads out"):
        folders.numbered_images("away/x", 1, 64, 64)


def test_images_are_numbered_on(folders: types.ModuleType, tmp_path: Path) -> None:
    files, subfolder = folders.numbered_images("faces/%width%_%batch_num%", 2, 48, 64)
    assert subfolder == "faces"
    assert [file.name for file in files] == ["64_0_00001_.png", "64_1_00002_.png"]
    files[1].touch()
    files, _ = folders.numbered_images(str(tmp_path / "output" / "faces" / "64_%batch_num%"), 2, 48, 64)
    assert [file.name for file in files] == ["64_0_00002_.png", "64_1_00003_.png"]
