"""Directions of other projects, in files of their layouts: what is read, how long, on which layers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from models import tiny_stylegan2
from test_directions import OFFICIAL
from torch import Tensor
from watching import watched

import resefa_core as resefa
from resefa_core import DirectionFileError, Directions
from resefa_core.generators import PUBLISHED
from resefa_core.generators.base import Published

SIZE, LAYERS, COUNT = 8, 4, 3
ALL = tuple(range(LAYERS))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


VECTORS = unit(noise(COUNT, SIZE))
LENGTHS = torch.tensor([3.0, 2.0, 0.5])
LAYERED = noise(LAYERS, SIZE, seed=1)


def ganspace(file: Path) -> None:
    components, scales = VECTORS[:, None].numpy(), LENGTHS.numpy()
    np.savez_compressed(
        file,
        act_comp=noise(COUNT, 1, 5).numpy(),
        act_stdev=scales,
        lat_comp=components,
        lat_mean=noise(1, SIZE).numpy(),
        lat_stdev=scales,
        var_ratio=scales,
    )


def pack(file: Path) -> None:
    order = [f"component_{index:02d}" for index in range(COUNT)]
    metadata = {"method": "sefa", "num_components": str(COUNT), "w_dim": str(SIZE)}
    tensors = {name: VECTORS[index].clone() for index, name in enumerate(order)}
    safetensors.torch.save_file(tensors, file, metadata | {"component_order": json.dumps(order)})


def older(file: Path) -> None:
    torch.save(VECTORS[:1], file, _use_new_zipfile_serialization=False)


SAYING_ALL: dict[str, tuple[str, Callable[[Path], None], Tensor, str]] = {
    "GANSpace": ("ffhq_style_ipca_c3_n10_w.npz", ganspace, LENGTHS[:, None] * VECTORS, "ganspace"),
    "GANSpace's components in PyTorch": (
        "ffhq_pca.pt",
        lambda file: torch.save({"mean": noise(1, SIZE), "comp": VECTORS[:, None], "std": LENGTHS}, file),
        LENGTHS[:, None] * VECTORS,
        "ganspace",
    ),
    "a factorization": (
        "factor.pt",
        lambda file: torch.save({"ckpt": "550000.pt", "eigvec": VECTORS.T.contiguous()}, file),
        VECTORS,
        "sefa",
    ),
    "a pack": ("ffhq_sefa.safetensors", pack, VECTORS, "sefa"),
    "the same for each layer": (
        "pose.pt",
        lambda file: torch.save(VECTORS[:1, None].repeat(1, LAYERS, 1), file),
        VECTORS[:1],
        "imported",
    ),
    "the same for each layer, an array": (
        "bald.npy",
        lambda file: np.save(file, 73.6 * VECTORS[:1].repeat(LAYERS, 1).numpy()),
        73.6 * VECTORS[:1],
        "imported",
    ),
}
SAYING_NOTHING: dict[str, tuple[str, Callable[[Path], None], Tensor]] = {
    "a tensor": ("age.pt", lambda file: torch.save(VECTORS[:1], file), VECTORS[:1]),
    "a tensor, older format": ("age.pt", older, VECTORS[:1]),
    "part of a matrix": ("length.pt", lambda file: torch.save(VECTORS.T[:, 1][None], file), VECTORS[1:2]),
    "a boundary": ("age.npy", lambda file: np.save(file, VECTORS[:1].double().numpy()), VECTORS[:1]),
    "one vector": ("age.npy", lambda file: np.save(file, 5.0 * VECTORS[0].numpy()), 5.0 * VECTORS[:1]),
    "components": ("parts.npy", lambda file: np.save(file, VECTORS[:, None].numpy()), VECTORS),
    "by name": (
        "all.pt",
        lambda file: torch.save({"age": VECTORS[:1], "pose": 2.0 * VECTORS[1:2]}, file),
        torch.stack([VECTORS[0], 2.0 * VECTORS[1]]),
    ),
}


def as_given(directions: Directions) -> Tensor:
    """What strength 1 adds."""
    return directions.vectors * directions.steps.reshape(-1, *[1] * (directions.vectors.ndim - 1))


@pytest.mark.parametrize("name", SAYING_ALL)
def test_files_that_say_their_space_open_with_the_generators_layers(name: str, tmp_path: Path) -> None:
    file, write, expected, method = SAYING_ALL[name]
    write(tmp_path / file)
    arrays = ("compile",) if file.endswith((".npy", ".npz")) else ()  # numpy parses its headers so
    found, done = watched(tmp_path / file, lambda path: Directions.load(path, num_layers=LAYERS), arrays)
    assert done == []
    assert isinstance(found, Directions)
    assert (found.space, found.layers, found.method) == ("w", ALL, method)
    torch.testing.assert_close(as_given(found), expected)
    assert Directions.load(tmp_path / file, layers=[1, 2]).layers == (1, 2)
    found.save(tmp_path / "kept.safetensors")
    torch.testing.assert_close(as_given(Directions.load(tmp_path / "kept.safetensors")), expected)


@pytest.mark.parametrize("name", SAYING_NOTHING)
def test_files_that_say_nothing_ask_for_a_space_and_take_all_layers(name: str, tmp_path: Path) -> None:
    file, write, expected = SAYING_NOTHING[name]
    write(tmp_path / file)
    with pytest.raises(DirectionFileError, match="give a space"):
        Directions.load(tmp_path / file, num_layers=LAYERS)
    with pytest.raises(DirectionFileError, match="give the layers"):
        Directions.load(tmp_path / file, "w")
    found = Directions.load(tmp_path / file, "w", num_layers=LAYERS)
    assert (found.space, found.layers) == ("w", ALL)
    torch.testing.assert_close(as_given(found), expected)
    assert found.names == (("age", "pose") if name == "by name" else found.names)
    assert Directions.load(tmp_path / file, "w", [0, 2], LAYERS).layers == (0, 2)
    layered = Directions.load(tmp_path / file, "w+", num_layers=LAYERS)
    torch.testing.assert_close(as_given(layered), expected[:, None].expand(-1, LAYERS, -1))


def test_strength_one_adds_a_vector_as_it_was_in_the_file(tmp_path: Path) -> None:
    generator = tiny_stylegan2(16, channels=2)
    vector = 73.6 * unit(noise(1, generator.latent_dim))
    torch.save(vector, tmp_path / "bald.pt")
    found = Directions.load(tmp_path / "bald.pt", "w", [1, 3], generator.num_layers)
    latent = generator.sample(0)
    added = resefa.move(latent, found, {0: 1.0}).codes - latent.codes
    expected = torch.zeros_like(added)
    expected[:, [1, 3]] = vector
    torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-4)
    assert found.strength_range == (-3.0, 3.0)


def test_an_array_of_as_many_vectors_as_layers_is_not_read_without_a_word(tmp_path: Path) -> None:
    file = tmp_path / "colour.npy"
    np.save(file, LAYERED.numpy())
    with pytest.raises(DirectionFileError, match=rf"w\+ for one direction with .* each of {LAYERS} layers"):
        Directions.load(file, num_layers=LAYERS)
    several = Directions.load(file, "w", num_layers=LAYERS)
    assert several.vectors.shape == (LAYERS, SIZE)
    assert f"read as {LAYERS} directions in w" in several.description
    assert "give the space w+" in several.description
    one = Directions.load(file, "w+", num_layers=LAYERS)
    assert (one.vectors.shape, one.layers, one.description) == ((1, LAYERS, SIZE), ALL, "")
    torch.testing.assert_close(as_given(one), LAYERED[None])
    some = Directions.load(file, "w+", [1, 2], LAYERS)
    torch.testing.assert_close(as_given(some), LAYERED[None, 1:3])
    assert some.layers == (1, 2)
    with pytest.raises(DirectionFileError, match="expected layers among 0 to 3"):
        Directions.load(file, "w+", [3, 4], 8)


def test_what_may_be_latents_as_well_says_so(tmp_path: Path) -> None:
    torch.save(noise(2, LAYERS, SIZE), tmp_path / "latents.pt")
    found = Directions.load(tmp_path / "latents.pt", num_layers=LAYERS)
    assert (len(found), found.space) == (2, "w+")
    assert "--latent" in found.description
    with pytest.raises(DirectionFileError, match=r"expected w\+, not w"):
        Directions.load(tmp_path / "latents.pt", "w", num_layers=LAYERS)


def test_published_directions_are_known_by_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index, which in enumerate(("faces", "cats")):
        digest = hashlib.sha256(VECTORS[index].numpy().tobytes()).hexdigest()
        known = Published("stylegan3-r", 8 << index, (1, 2), digest)
        monkeypatch.setitem(PUBLISHED, f"{which}_eyes-r", known)
        (tmp_path / which).mkdir()
        np.save(tmp_path / which / "eyes-r.npy", VECTORS[index : index + 1].numpy())
        found = Directions.load(tmp_path / which / "eyes-r.npy")
        assert (found.title, found.names, found.layers) == (f"{which}_eyes-r", ("eyes-r",), (1, 2))
        assert found.generator["resolution"] == 8 << index
        assert found.method == "published"
        found.to_npy(tmp_path / f"{which}.npy")
        assert Directions.load(tmp_path / f"{which}.npy").title == f"{which}_eyes-r"
    np.save(tmp_path / "eyes-r.npy", VECTORS[2:].numpy())
    with pytest.raises(DirectionFileError, match="give a space"):
        Directions.load(tmp_path / "eyes-r.npy")


@pytest.mark.parametrize("stem", PUBLISHED)
def test_the_papers_directions_are_known_under_the_names_that_they_were_published_by(
    stem: str, tmp_path: Path
) -> None:
    source = OFFICIAL / f"{stem}.npy"
    if not source.is_file():
        pytest.skip(f"the published directions are not there: {source.name} in {OFFICIAL.name}")
    file = tmp_path / f"{stem.split('_', 2)[2]}.npy"
    file.write_bytes(source.read_bytes())
    found = Directions.load(file)
    known = Directions.from_npy(source)
    assert found.names == (file.stem,)
    assert (found.layers, found.generator, found.title) == (known.layers, known.generator, stem)
    assert np.array_equal(found.vectors.numpy(), np.load(source))
    assert found.steps.tolist() == [1.0]


def test_a_direction_that_ganspaces_viewer_saved_says_its_layers(tmp_path: Path) -> None:
    import pickle

    saved = {
        "name": "Light direction",
        "lat_comp": VECTORS[:1].numpy(),
        "lat_stdev": 1.5,
        "latent_space": "W",
        "model_name": "StyleGAN2",
        "output_class": "ffhq",
        "edit_start": 1,
        "edit_end": 3,
    }
    (tmp_path / "light.pkl").write_bytes(pickle.dumps(saved))
    found = Directions.load(tmp_path / "light.pkl")
    assert (found.names, found.space, found.layers) == (("Light direction",), "w", (1, 2))
    assert found.generator == {"name": "StyleGAN2 ffhq"}
    torch.testing.assert_close(as_given(found), 1.5 * VECTORS[:1])


@pytest.mark.parametrize(
    "content",
    [
        {"eigvec": noise(3)},
        {"eigvec": "text"},
        {"comp": noise(3, 1, 4), "std": noise(2).abs()},
        {"comp": noise(3, 1, 4), "std": torch.tensor([1.0, 1.0, torch.inf])},
        {"lat_comp": noise(3, 1, 4), "lat_stdev": "far"},
        {"age": noise(1, 4), "pose": noise(1, 5)},
        {"age": noise(1, 4), 3: noise(1, 4)},
        {"age": noise(2, 3, 4)},
        {"age": [1.0, 2.0]},
        {},
        [],
        "text",
        torch.zeros(1, 4),
        torch.ones(4).expand(1 << 20, 1 << 20, 4),
    ],
    ids=lambda content: type(content).__name__,
)
def test_contents_that_are_no_directions_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "d.pt")
    with pytest.raises(DirectionFileError):
        Directions.load(tmp_path / "d.pt", "w", [0, 1])


@pytest.mark.parametrize("order", ["{}", "[1]", '["component_00"]', "[[", '["component_00", "other"]'])
def test_packs_that_contradict_themselves_are_refused(order: str, tmp_path: Path) -> None:
    tensors = {f"component_{index:02d}": VECTORS[index].clone() for index in range(2)}
    safetensors.torch.save_file(tensors, tmp_path / "p.safetensors", {"component_order": order})
    with pytest.raises(DirectionFileError):
        Directions.load(tmp_path / "p.safetensors", num_layers=LAYERS)


def test_names_in_files_are_plain_text(tmp_path: Path) -> None:
    names = ("\x1b[2Jage\u202e", "\x1b", "x" * 999)
    torch.save({name: VECTORS[index] for index, name in enumerate(names)}, tmp_path / "d.pt")
    found = Directions.load(tmp_path / "d.pt", "w", [0])
    assert found.names == ("[2Jage", "direction", "x" * 200)
