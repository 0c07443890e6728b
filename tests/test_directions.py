from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from models import tiny_stylegan2
from PIL import Image
from safetensors import safe_open
from torch import Tensor

import resefa_core as resefa
from resefa_core import DirectionFileError, Directions, Generator, LatentError, ParameterError, Region
from resefa_core.directions import encode_thumbnail
from resefa_core.files import hash_tensors, read_tensors, write_tensors
from resefa_core.generators import PUBLISHED
from resefa_core.spaces import vector_shape

ROOT = Path(__file__).resolve().parents[1]
OFFICIAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "official_directions"


def picture(width: int = 40, height: int = 30) -> Image.Image:
    colours = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(colours)


def make(generator: Generator, space: str = "w+", count: int = 3) -> Directions:
    """A set with every field in use, and vectors of no meaning."""
    noise = torch.Generator().manual_seed(0)
    layers = tuple(range(1, generator.num_layers, 2))
    vectors = torch.randn(count, *vector_shape(generator, space, layers), generator=noise)
    numbers = torch.rand(5, count, generator=noise) + 0.1
    return Directions(
        vectors=vectors / vectors.flatten(1).norm(dim=1).reshape(-1, *[1] * (vectors.ndim - 1)),
        eigenvalues=numbers[0],
        inside=numbers[1],
        outside=numbers[2],
        steps=numbers[3],
        steps_confined=numbers[4],
        space=space,
        layers=layers,
        layer_sizes=generator.layer_sizes if space == "s" else (),
        names=("smile", "口 を開ける", "<b>wide</b>")[:count],
        region=Region.from_box(0.1, 0.2, 1 / 3, 0.25),
        generator=generator.describe(),
        regularization=1e-3,
        damping=12.5,
        truncation=0.7,
        seeds=(4, 2**32 - 1),
        num_samples=2,
        base_codes=torch.randn(generator.num_layers, generator.latent_dim, generator=noise),
        strength_range=(-4.0, 5.5),
        title="Mouths",
        description="Opens it.\nAnd closes it.",
        author="Ada",
        license="CC0-1.0",
        tags=("mouth", "face"),
        date="2024-05-06T07:08:09Z",
        thumbnail=encode_thumbnail(picture()),
        method="lowrankgan",
    )


def assert_same(found: Directions, expected: Directions) -> None:
    for field in fields(Directions):
        value, wanted = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(wanted, Tensor):
            assert torch.equal(value, wanted), field.name
        elif not isinstance(wanted, Region):
            assert value == wanted, field.name


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
def test_every_field_comes_back_from_a_file(space: str, avatars: Generator, tmp_path: Path) -> None:
    directions = make(avatars, space)
    directions.save(tmp_path / "d.safetensors")
    found = Directions.load(tmp_path / "d.safetensors")
    assert_same(found, directions)
    assert found.region is not None
    assert found.region.to_json() == {"box": [0.1, 0.2, 1 / 3, 0.25]}
    found.check(avatars)
    assert found.matches(avatars)


def test_directions_with_the_least_there_is_come_back_too(tmp_path: Path) -> None:
    one = torch.ones(1)
    least = Directions(torch.eye(4)[:1], one, one, one, one, space="z", layers=(0,))
    least.save(tmp_path / "d.safetensors")
    found = Directions.load(tmp_path / "d.safetensors")
    assert_same(replace(found, title="", date=""), least)
    assert found.names == ("direction 0",)
    assert (found.title, found.region, found.thumbnail) == ("direction 0", None, None)


def painted() -> Region:
    mask = torch.zeros(256, 256)
    mask[40:90, 100:200] = 0.5
    mask[60:80, 120:160] = 1.0
    return Region.from_mask(mask)


BOX = Region.from_box(0.0, 0.5, 0.25, 0.5)


@pytest.mark.parametrize(
    "region",
    [
        BOX,
        BOX | Region.from_box(0.5, 0.5, 0.1, 0.1),
        BOX & Region.from_box(0.1, 0.6, 0.5, 0.1),
        ~BOX,
        BOX.feather(0.07),
        Region.preset("biggan/center_80"),
        painted(),
        ~painted(),
        painted().feather(0.05),
        ~(painted() | BOX).feather(0.02),
    ],
    ids=lambda region: str(region.to_json())[:40],
)
def test_the_region_comes_back_from_a_file(region: Region, avatars: Generator, tmp_path: Path) -> None:
    replace(make(avatars), region=region).save(tmp_path / "d.safetensors")
    found = Directions.load(tmp_path / "d.safetensors").region
    assert found is not None
    torch.testing.assert_close(found.mask(256, 256), region.mask(256, 256), atol=1 / 255, rtol=0)
    torch.testing.assert_close(found.mask(64, 64), region.mask(64, 64), atol=0.05, rtol=0)


def test_a_painted_region_that_the_stored_mask_would_lose_is_refused(
    avatars: Generator, tmp_path: Path
) -> None:
    mask = torch.zeros(8192, 8192, dtype=torch.bool)
    mask[4000, 4000] = True
    with pytest.raises(resefa.RegionError, match="empty"):
        replace(make(avatars), region=Region.from_mask(mask)).save(tmp_path / "d.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_file_holds_what_the_format_promises(avatars: Generator, tmp_path: Path) -> None:
    directions = make(avatars, "w")
    directions.save(tmp_path / "d.safetensors")
    with safe_open(tmp_path / "d.safetensors", framework="pt") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    size = avatars.latent_dim
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()} == {
        **{f"component_{i:02d}": (torch.float32, (size,)) for i in range(3)},
        **dict.fromkeys(
            ("eigenvalues", "inside", "outside", "steps", "steps_confined"), (torch.float32, (3,))
        ),
        "region_mask": (torch.uint8, (256, 256)),
        "base_codes": (torch.float32, (avatars.num_layers, size)),
    }
    for i in range(3):
        assert float(tensors[f"component_{i:02d}"].norm()) == pytest.approx(1.0)
    assert metadata["method"] == "resefa"
    assert metadata["num_components"] == "3"
    assert metadata["w_dim"] == str(size)
    assert json.loads(metadata["component_order"]) == ["component_00", "component_01", "component_02"]
    spec = {key.removeprefix("modelspec."): v for key, v in metadata.items() if key.startswith("modelspec.")}
    assert spec.pop("thumbnail").startswith("data:image/png;base64,")
    assert spec == {
        "sai_model_spec": "1.0.1",
        "architecture": f"{avatars.architecture}/local-direction",
        "implementation": "https://github.com/zhujiapeng/resefa",
        "title": "Mouths",
        "description": "Opens it.\nAnd closes it.",
        "author": "Ada",
        "date": "2024-05-06T07:08:09Z",
        "license": "CC0-1.0",
        "tags": "mouth, face",
        "resolution": f"{avatars.resolution}x{avatars.resolution}",
        "hash_sha256": hash_tensors(tensors),
    }
    ours = {key.removeprefix("resefa."): v for key, v in metadata.items() if key.startswith("resefa.")}
    assert ours.pop("space") == "w"
    assert ours.pop("method") == "lowrankgan"
    assert ours.pop("version") == resefa.__version__
    assert {key: json.loads(value) for key, value in ours.items()} == {
        "format_version": 1,
        "generator": avatars.describe(),
        "layers": list(directions.layers),
        "layer_sizes": [],
        "region": {"box": [0.1, 0.2, 1 / 3, 0.25]},
        "names": list(directions.names),
        "strength_range": [-4.0, 5.5],
        "regularization": 1e-3,
        "damping": 12.5,
        "truncation": 0.7,
        "seeds": [4, 2**32 - 1],
        "num_samples": 2,
    }


def test_a_file_that_names_no_method_is_from_before_there_were_several(
    avatars: Generator, tmp_path: Path
) -> None:
    make(avatars).save(tmp_path / "d.safetensors")
    tensors, metadata = read_tensors(tmp_path / "d.safetensors", DirectionFileError, 1 << 20)
    del metadata["resefa.method"]
    write_tensors(tmp_path / "old.safetensors", tensors, metadata, DirectionFileError, False, 1 << 20)
    assert Directions.load(tmp_path / "old.safetensors").method == "resefa"


@pytest.mark.parametrize("name", ["", "Smile", "a b", "a\nb", "<b>", "x" * 41, "-x"])
def test_a_method_that_is_no_name_is_refused(name: str, avatars: Generator, tmp_path: Path) -> None:
    directions = make(avatars)
    with pytest.raises(ParameterError, match="method"):
        replace(directions, method=name)
    directions.save(tmp_path / "d.safetensors")
    tensors, metadata = read_tensors(tmp_path / "d.safetensors", DirectionFileError, 1 << 20)
    metadata["resefa.method"] = name
    write_tensors(tmp_path / "bad.safetensors", tensors, metadata, DirectionFileError, False, 1 << 20)
    with pytest.raises(DirectionFileError, match="method"):
        Directions.load(tmp_path / "bad.safetensors")


def test_thumbnails_are_encoded_again_when_written_and_when_read(avatars: Generator, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture(900, 300).save(buffer, "JPEG", comment=b"<script>alert(1)</script>")
    directions = replace(make(avatars), thumbnail=buffer.getvalue() + b"trailing")
    directions.save(tmp_path / "d.safetensors")
    with safe_open(tmp_path / "d.safetensors", framework="pt") as opened:
        stored = base64.b64decode(opened.metadata()["modelspec.thumbnail"].split(",")[1])
    found = Directions.load(tmp_path / "d.safetensors").thumbnail
    assert found is not None
    for data in (stored, found):
        assert b"script" not in data
        assert b"trailing" not in data
        with Image.open(io.BytesIO(data)) as small:
            assert (small.format, small.mode, small.size) == ("PNG", "RGB", (256, 85))


def test_a_thumbnail_that_is_no_picture_is_not_written(avatars: Generator, tmp_path: Path) -> None:
    with pytest.raises(DirectionFileError, match="thumbnail"):
        replace(make(avatars), thumbnail=b"<svg onload='alert(1)'/>").save(tmp_path / "d.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_directions_are_chosen_by_index_name_slice_and_list(avatars: Generator) -> None:
    directions = make(avatars)
    assert torch.equal(directions[1].vectors, directions.vectors[1:2])
    assert directions[-1].names == ("<b>wide</b>",)
    assert directions["smile"].names == ("smile",)
    assert directions[np.int64(2)].names == directions[2].names
    assert directions[1:].names == directions.names[1:]
    assert directions[::-1].names == directions.names[::-1]
    some = directions[[2, 0]]
    assert some.names == ("<b>wide</b>", "smile")
    assert some.steps_confined is not None
    assert directions.steps_confined is not None
    assert torch.equal(some.steps_confined, directions.steps_confined[[2, 0]])
    assert [each.names[0] for each in directions] == list(directions.names)
    for wrong in (3, -4, "frown"):
        with pytest.raises(ParameterError):
            directions[wrong]
    with pytest.raises(ParameterError, match="no directions are left"):
        directions[3:]


def test_renamed_changes_some_names_by_index_or_name(avatars: Generator) -> None:
    renamed = make(avatars).renamed({0: "grin", "<b>wide</b>": "wide"})
    assert renamed.names == ("grin", "口 を開ける", "wide")


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[31mb", "a\u202eb", "\ud800", "x" * 201])
def test_names_that_could_deceive_a_reader_are_refused(name: str, avatars: Generator) -> None:
    with pytest.raises(ParameterError, match="names"):
        make(avatars).renamed({0: name})


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": 2.0 * torch.eye(8)[:3]},
        {"vectors": torch.eye(8, dtype=torch.float64)[:3]},
        {"space": "q"},
        {"layers": ()},
        {"layers": (2, 1)},
        {"layers": (1000,)},
        {"steps": torch.zeros(3)},
        {"steps": torch.ones(2)},
        {"inside": torch.tensor([1.0, -1.0, 1.0])},
        {"outside": torch.tensor([1.0, float("nan"), 1.0])},
        {"damping": float("nan")},
        {"strength_range": (1.0, 1.0)},
        {"strength_range": (0.0, float("inf"))},
        {"seeds": (-1,)},
        {"num_samples": 0},
        {"base_codes": torch.ones(2, 3)},
        {"tags": ("a, b",)},
        {"title": "a\x00b"},
        {"description": "x" * 5000},
        {"layer_sizes": (1 << 40,)},
        {"generator": {"resolution": "large"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_sets_whose_parts_contradict_each_other_are_refused(changes: dict[str, object]) -> None:
    ones = torch.ones(3)
    good = Directions(torch.eye(8)[:3], ones, ones, ones, ones, space="w", layers=(0, 2))
    with pytest.raises(ParameterError):
        replace(good, **changes)  # type: ignore[arg-type]


def test_check_refuses_a_generator_of_other_sizes(avatars: Generator) -> None:
    other = tiny_stylegan2(8)
    assert (other.latent_dim, other.num_layers) != (avatars.latent_dim, avatars.num_layers)
    for space in ("w", "w+", "s", "z"):
        with pytest.raises(LatentError, match="made for stylegan2 avatars"):
            make(avatars, space).check(other)
        make(other, space).check(other)
        assert not make(avatars, space).matches(other)
    plain = resefa.WrappedGenerator(lambda z: z.reshape(-1, 3, 1, 1).expand(-1, 3, 8, 8), 3)
    with pytest.raises(LatentError, match="space"):
        make(avatars, "w").check(plain)


def test_saving_never_replaces_a_file_unasked(avatars: Generator, tmp_path: Path) -> None:
    file = tmp_path / "d.safetensors"
    file.write_bytes(b"precious")
    for save in (make(avatars).save, make(avatars).to_npy):
        with pytest.raises(DirectionFileError, match="exists"):
            save(file)
    assert file.read_bytes() == b"precious"
    make(avatars).save(file, overwrite=True)
    assert Directions.load(file).title == "Mouths"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_could_not_be_read_again_is_not_written(avatars: Generator, tmp_path: Path) -> None:
    ones = torch.ones(512)
    wordy = Directions(
        torch.eye(512), ones, ones, ones, ones, space="w", layers=(0,), names=("\N{MOUTH}" * 200,) * 512
    )
    huge = replace(make(avatars, "z"), base_codes=torch.zeros(avatars.num_layers, 2 << 20))
    for directions in (wordy, huge):
        with pytest.raises(DirectionFileError, match="more than"):
            directions.save(tmp_path / "d.safetensors")
    assert list(tmp_path.iterdir()) == []


def fail(*_: object, **__: object) -> NoReturn:
    raise OSError(28, "No space left on device")


def break_fsync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", fail)


def break_rename(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "link", fail)
    patch.setattr(Path, "replace", fail)


@pytest.mark.parametrize("breaking", [break_fsync, break_rename])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interrupted_save_leaves_what_was_there(
    breaking: Callable[[pytest.MonkeyPatch], None],
    overwrite: bool,
    avatars: Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = tmp_path / "old.safetensors"
    make(avatars, "w").save(old)
    before = old.read_bytes()
    target = old if overwrite else tmp_path / "new.safetensors"
    with monkeypatch.context() as patch:
        breaking(patch)
        with pytest.raises(DirectionFileError, match="No space left on device"):
            make(avatars).save(target, overwrite=overwrite)
    assert old.read_bytes() == before
    assert list(tmp_path.iterdir()) == [old]


def test_saving_works_where_files_have_no_hard_links(
    avatars: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", fail)
    make(avatars).save(tmp_path / "d.safetensors")
    with pytest.raises(DirectionFileError, match="exists"):
        make(avatars).save(tmp_path / "d.safetensors")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_killed_while_writing_leaves_the_old_file_whole(avatars: Generator, tmp_path: Path) -> None:
    file = tmp_path / "d.safetensors"
    make(avatars).save(file)
    before = file.read_bytes()
    script = (
        "import os, sys\n"
        "from resefa_core import Directions\n"
        "directions = Directions.load(sys.argv[1])\n"
        "os.fsync = lambda handle: (os.ftruncate(handle, 100), os._exit(9))\n"
        "directions.renamed({0: 'other'}).save(sys.argv[1], overwrite=True)\n"
    )
    died = subprocess.run([sys.executable, "-c", script, str(file)], cwd=ROOT, check=False, timeout=120)
    assert died.returncode == 9
    assert file.read_bytes() == before
    assert Directions.load(file).names == make(avatars).names


def test_saving_where_nothing_can_be_written_is_a_typed_error(avatars: Generator, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("missing/d.safetensors", "file/d.safetensors", "x" * 300, "a\0b"):
        with pytest.raises(DirectionFileError):
            make(avatars).save(tmp_path / place)
    with pytest.raises(DirectionFileError):
        make(avatars).save(tmp_path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("stem", PUBLISHED)
def test_published_directions_are_imported_as_they_are(stem: str) -> None:
    file = OFFICIAL / f"{stem}.npy"
    if not file.is_file():
        pytest.skip(f"the published directions are not there: {file.name} in {OFFICIAL.name}")
    found = Directions.from_npy(file)
    array = np.load(file)
    assert np.allclose(found.vectors.numpy(), array, atol=1e-6)
    assert (found.space, found.names, found.strength_range) == ("w", (stem,), (-10.0, 10.0))
    assert found.layers == ((8, 9, 10, 11) if "eyebrows" in stem or "lipstick" in stem else (4, 5, 6, 7))
    assert found.generator["architecture"] == ("stylegan3-r" if "stylegan3" in stem else "stylegan2")
    assert found.generator["resolution"] == (512 if "afhq" in stem else 1024)
    assert found.steps.tolist() == [1.0]


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
def test_vectors_come_back_from_npy(space: str, avatars: Generator, tmp_path: Path) -> None:
    directions = make(avatars, space)
    directions.to_npy(tmp_path / "d.npy")
    assert np.array_equal(np.load(tmp_path / "d.npy"), directions.vectors.numpy())
    found = Directions.from_npy(tmp_path / "d.npy", space, directions.layers, avatars)
    torch.testing.assert_close(found.vectors, directions.vectors)
    found.check(avatars)
    found.save(tmp_path / "d.safetensors")
    assert Directions.load(tmp_path / "d.safetensors").names == ("d 0", "d 1", "d 2")


@pytest.mark.parametrize(
    "array",
    [
        np.float32(3.0),
        np.zeros((1, 4), dtype=np.float32),
        np.zeros((0, 4), dtype=np.float32),
        np.full((1, 4), np.nan),
        np.full((1, 4), 1e300),
        np.ones((1, 4), dtype=np.int64),
        np.ones((1, 1, 1, 4)),
        np.ones((2, 2, 4)),
        np.ones((513, 4)),
        np.array(["a"]),
        np.array([{}], dtype=object),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_that_are_no_directions_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", array)
    with pytest.raises(DirectionFileError):
        Directions.from_npy(tmp_path / "d.npy", "w", (0, 1))


def test_an_npy_file_of_unknown_name_needs_its_space_and_layers(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.ones((1, 4), dtype=">f8"))
    with pytest.raises(DirectionFileError, match="give a space"):
        Directions.from_npy(tmp_path / "d.npy")
    assert Directions.from_npy(tmp_path / "d.npy", "w", (1, 0)).layers == (0, 1)


def test_an_npy_file_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + "\n"
    (tmp_path / "d.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    )
    with pytest.raises(DirectionFileError, match="do not make an array"):
        Directions.from_npy(tmp_path / "d.npy", "w", (0,))
