"""A file in the wrong place is told what it is and where it goes; codes that may be read in two ways say
so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from models import tiny_stylegan2, tiny_stylegan3
from test_imported_directions import VECTORS, ganspace, noise, pack
from torch import Tensor

import resefa_core as resefa
from resefa_core import (
    CheckpointError,
    DirectionFileError,
    Directions,
    Latent,
    LatentError,
    StyleGAN3,
    load_generator,
)
from resefa_core.cli import main
from resefa_core.kinds import Kind, kind_of_file

GENERATOR = tiny_stylegan2(16, channels=2)
SIZE, LAYERS = GENERATOR.latent_dim, GENERATOR.num_layers


def save_directions(file: Path) -> None:
    Directions.from_vectors(torch.eye(2, SIZE), "w", GENERATOR).save(file)


def save_analysis(file: Path) -> None:
    resefa.compute_jacobian(GENERATOR, GENERATOR.sample(0), "w").save(file)


FILES: dict[str, tuple[Kind, Callable[[Path], object]]] = {
    "own.safetensors": (Kind.DIRECTIONS, save_directions),
    "pack.safetensors": (Kind.DIRECTIONS, pack),
    "components.npz": (Kind.DIRECTIONS, ganspace),
    "age.pt": (Kind.DIRECTIONS, lambda file: torch.save(VECTORS[:1], file)),
    "age.npy": (Kind.DIRECTIONS, lambda file: np.save(file, VECTORS[:1].numpy())),
    "factor.pt": (Kind.DIRECTIONS, lambda file: torch.save({"eigvec": torch.eye(4)}, file)),
    "latent.safetensors": (Kind.LATENT, lambda file: GENERATOR.sample(0).save(file)),
    "w.safetensors": (Kind.LATENT, lambda file: safetensors.torch.save_file({"w": noise(1, 1, SIZE)}, file)),
    "dlatents.npz": (Kind.LATENT, lambda file: np.savez(file, dlatents=noise(1, LAYERS, SIZE).numpy())),
    "w.npy": (Kind.VECTORS, lambda file: np.save(file, noise(1, LAYERS, SIZE).numpy())),
    "analysis.safetensors": (Kind.ANALYSIS, save_analysis),
    "generator.safetensors": (Kind.WEIGHTS, GENERATOR.save),
    "generator.pt": (Kind.WEIGHTS, lambda file: torch.save({"g_ema": dict(GENERATOR.state_dict())}, file)),
}
PLACES = {
    "directions": (Directions.load, DirectionFileError, (Kind.DIRECTIONS, Kind.VECTORS)),
    "a latent": (Latent.load, LatentError, (Kind.LATENT, Kind.VECTORS)),
    "a generator": (load_generator, CheckpointError, (Kind.WEIGHTS,)),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", PLACES)
def test_a_file_in_the_wrong_place_is_told_where_it_goes(name: str, place: str, tmp_path: Path) -> None:
    kind, write = FILES[name]
    write(tmp_path / name)
    assert kind_of_file(tmp_path / name) == kind
    load, error, taken = PLACES[place]
    if kind in taken:
        return
    with pytest.raises(error) as caught:
        load(tmp_path / name)
    assert kind.value in str(caught.value)


def test_stylegan3_without_metadata_is_told_what_it_lacks(tmp_path: Path) -> None:
    safetensors.torch.save_file(tiny_stylegan3().state_dict(), tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match=r"write them, as JSON, .*, as init_kwargs"):
        load_generator(tmp_path / "bare.safetensors")


@pytest.mark.parametrize("radial", [False, True])
def test_stylegan3_without_metadata_opens_where_its_arguments_are_nvidias(
    radial: bool, tmp_path: Path
) -> None:
    kernel = {"conv_kernel": 1, "use_radial_filters": True} if radial else {}
    made = StyleGAN3(z_dim=8, w_dim=8, img_resolution=32, channel_base=128, channel_max=8, **kernel).eval()
    safetensors.torch.save_file(made.state_dict(), tmp_path / "bare.safetensors")
    found = load_generator(tmp_path / "bare.safetensors")
    assert found.arguments == made.arguments


def write_nested(file: Path, codes: Tensor) -> None:
    content = {
        f"{index}.png": {"img": noise(3, 2, 2), "latent": code, "noise": [noise(1, 1, 2, 2)]}
        for index, code in enumerate(codes)
    }
    torch.save(content, file)


CODES: dict[str, tuple[str, Callable[[Path, Tensor], object]]] = {
    "a batch": ("w.pt", lambda file, codes: torch.save(codes, file)),
    "of StyleGAN2-ADA for TensorFlow": (
        "dlatents.npz",
        lambda file, codes: np.savez(file, dlatents=codes.numpy()),
    ),
    "safetensors": (
        "w.safetensors",
        lambda file, codes: safetensors.torch.save_file({"w": codes.clone()}, file),
    ),
    "of rosinality's projector": ("anna.pt", write_nested),
    "a list": ("list.pt", lambda file, codes: torch.save([code[None] for code in codes], file)),
    "a list in a dictionary": ("some.pt", lambda file, codes: torch.save({"latents": list(codes)}, file)),
    "PyTorch's older format": (
        "older.pt",
        lambda file, codes: torch.save(list(codes), file, _use_new_zipfile_serialization=False),
    ),
}


@pytest.mark.parametrize("name", CODES)
def test_codes_of_projectors_are_read_as_a_batch(name: str, tmp_path: Path) -> None:
    file, write = CODES[name]
    codes = noise(3, LAYERS, SIZE)
    write(tmp_path / file, codes)
    opened = resefa.open_latent(tmp_path / file, GENERATOR)
    assert torch.equal(opened.edited.latent.codes, codes)
    assert opened.note == ""
    if name != "a batch":
        write(tmp_path / f"one_{file}", codes[:, 0])
        if name.startswith(("of rosinality", "a list", "PyTorch")):
            assert torch.equal(Latent.load(tmp_path / f"one_{file}").codes, codes[:, :1])


def test_an_array_of_as_many_codes_as_layers_is_one_latent_and_says_so(tmp_path: Path) -> None:
    codes = noise(LAYERS, SIZE)
    file = tmp_path / "w.npy"
    np.save(file, codes.numpy())
    latent, note = resefa.open_latent(file, GENERATOR)
    assert torch.equal(latent.latent.codes, codes[None])
    assert f"they might be {LAYERS} images in w" in note
    for rows, expected in (("layers", codes[None]), ("images", codes[:, None].expand(-1, LAYERS, -1))):
        latent, note = resefa.open_latent(file, GENERATOR, rows)
        assert torch.equal(latent.latent.codes, expected)
        assert note == ""
    np.save(file, codes[:1].repeat(LAYERS, 1).numpy())
    assert resefa.open_latent(file, GENERATOR).note == ""


def test_an_array_of_another_number_of_codes_is_a_batch_and_says_so(tmp_path: Path) -> None:
    codes = noise(LAYERS + 1, SIZE)
    file = tmp_path / "w.npy"
    np.save(file, codes.numpy())
    latent, note = resefa.open_latent(file, GENERATOR)
    assert torch.equal(latent.latent.codes, codes[:, None].expand(-1, LAYERS, -1))
    assert f"{LAYERS + 1} vectors were read as {LAYERS + 1} images in w" in note
    with pytest.raises(LatentError, match="codes have shape"):
        resefa.open_latent(file, GENERATOR, "layers")


def test_a_pickled_dictionary_is_called_one(tmp_path: Path) -> None:
    held: object = {"anna": [np.ones((4, 8))], "bert": [np.ones((4, 8))]}
    np.save(tmp_path / "latents.npy", np.array(held, dtype=object))
    for load in (Latent.load, Directions.load):
        with pytest.raises(resefa.ReSeFaError, match="a dictionary with 'anna', 'bert' that numpy"):
            load(tmp_path / "latents.npy")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_commands_take_other_projects_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator, output = tmp_path / "g.safetensors", tmp_path / "x.png"
    GENERATOR.save(generator)
    direction, codes = tmp_path / "age.pt", tmp_path / "w.npy"
    torch.save(2.5 * torch.eye(1, SIZE), direction)
    np.save(codes, noise(LAYERS + 1, SIZE).numpy())
    edit = ("edit", direction, "-g", generator, "--move", "0=1", "-o", output, "--force")
    assert run(*edit) == 1
    assert "give a space" in capsys.readouterr().err
    assert run(*edit, "--space", "w", "--latent", codes) == 0
    assert "the first is taken: see --latent-index" in capsys.readouterr().err
    first = output.read_bytes()
    assert run(*edit, "--space", "w", "--latent", codes, "--latent-index", 2, "--rows", "images") == 0
    assert capsys.readouterr().err == ""
    assert output.read_bytes() != first
    assert run(*edit, "--space", "w", "--latent", codes, "--latent-index", LAYERS + 1) == 1
    assert f"0 to {LAYERS}" in capsys.readouterr().err
    kept = tmp_path / "age.safetensors"
    assert run("convert", direction, kept, "-g", generator, "--space", "w") == 0
    found = Directions.load(kept)
    assert (found.layers, found.steps.tolist()) == (tuple(range(LAYERS)), [2.5])
    assert found.matches(GENERATOR)


def test_info_looks_at_the_shape_of_an_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(name: str, array: Tensor) -> dict[str, object]:
        np.save(tmp_path / name, array.numpy())
        assert run("info", tmp_path / name, "--json") == 0
        return dict(json.loads(capsys.readouterr().out))

    assert told("age.npy", VECTORS[:1])["kind"] == "directions"
    table = told("w.npy", noise(4, 8))
    assert str(table["kind"]).startswith("latents, or directions")
    assert "one of 4 layers, or 4 images in w" in str(table["as latents"])
    assert "one of 4 layers (--space w+), or 4" in str(table["as directions"])
    assert "2, of 4 layers" in str(told("batch.npy", noise(2, 4, 8))["as latents"])
