"""A good file of every format that the product reads, and what reads it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import checkpoint_files
import numpy as np
import older_gans
import safetensors.torch
import test_biggan_bottleneck
import test_fastgan
import test_lightweight_gan
import test_lucidrains
import test_shapes
import test_stylegan1
import test_stylegan_xl
import torch
from full_study import FULL_STUDY
from models import tiny_stylegan2, tiny_stylegan3, two_directions
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import resefa_core as resefa
from resefa_core import Directions, Generator, Latent, Region
from resefa_core.atlas import Atlas, Plan, build_atlas
from resefa_core.checkpoints import convert_generator, describe, is_generator
from resefa_core.evaluation.attributes import AttributeClassifier
from resefa_core.evaluation.config import Row, read_study
from resefa_core.evaluation.results import Evaluation, Record
from resefa_core.evaluation.results import Found as FoundBy
from resefa_core.latents import PNG_KEY, ConfinedMove

_MOST_FLOATS = 1 << 22
BOX = Region.from_box(0.25, 0.5, 0.5, 0.25)


@dataclass(frozen=True)
class Seed:
    """A good file: its name, its bytes, and what reads such files."""

    name: str
    data: bytes
    read: Callable[[Path], object]


def use_generator(file: Path) -> None:
    """Load a generator, describe it, and draw an image where that is small."""
    if is_generator(file):
        describe(file)
    generator = resefa.load_generator(file)
    if generator.activation_floats() < _MOST_FLOATS:
        label = 0 if generator.num_classes else None
        assert generator.synthesize(generator.sample(0, 0.5, label)).shape[1] == 3


def use_directions(file: Path) -> None:
    directions = Directions.load(file)
    assert len(directions[:1]) == 1


def use_photo(file: Path) -> None:
    photo = resefa.Photo.open(file)
    crop = resefa.Crop.middle(photo.width, photo.height, (8, 8))
    shown, counted = photo.image(crop, 8, 8)
    assert torch.isfinite(shown).all()
    assert torch.isfinite(counted).all()


def use_latent(file: Path) -> None:
    latent = Latent.load(file)
    assert len(latent.expand(4)) == len(latent)
    assert latent.digest


def use_array(file: Path) -> None:
    Directions.from_npy(file, "w", (0, 1))


def use_imported(file: Path) -> None:
    assert len(Directions.load(file, "w", num_layers=4)) > 0


def use_jacobian(file: Path) -> None:
    resefa.load_jacobian(file, tiny())


def use_region(file: Path) -> None:
    try:
        data = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return
    Region.from_json(data, torch.ones(4, 4, dtype=torch.uint8)).mask(16, 16, check=False)


@cache
def tiny() -> resefa.StyleGAN2:
    return tiny_stylegan2(4, channels=2)


def seeds(folder: Path) -> list[Seed]:
    """All good files; `folder` is for writing them."""
    return [*_generators(folder), *_latents(folder), *_directions(folder), *_others(folder), *_photos()]


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    path.unlink()
    return data


def _generators(folder: Path) -> list[Seed]:
    found = {}
    file = folder / "generator"
    for name, write in checkpoint_files.LAYOUTS.items():
        write(file, checkpoint_files.tiny())
        found[f"{name}.pkl"] = _bytes(file)
    checkpoint_files.nvidia_pickle(file, checkpoint_files.tiny(c_dim=3, clamp=256.0), clamp=256.0)
    found["nvidia with classes.pkl"] = _bytes(file)
    for radial in (False, True):
        made: Generator = tiny_stylegan3(radial, resolution=8, channels=2)
        arguments = {"num_layers": 4, "first_cutoff": 1.0, "first_stopband": 2.0, "margin_size": 4}
        arguments |= {"channel_base": 16, "channel_max": 4, "num_critical": 2}
        arguments |= {"conv_kernel": 1, "use_radial_filters": True} if radial else {}
        checkpoint_files.nvidia_pickle(file, made, **arguments)
        convert_generator(file, folder / "converted.safetensors")
        found[f"stylegan3 {radial}.pkl"] = _bytes(file)
        found[f"stylegan3 {radial}.safetensors"] = _bytes(folder / "converted.safetensors")
    for name, make in older_gans.TINY.items():
        source = older_gans.save(folder, make())
        original = source / "pytorch_model.bin" if source.is_dir() else source
        convert_generator(original, folder / "converted.safetensors")
        found[f"{name}.pth"] = original.read_bytes()
        found[f"{name}.safetensors"] = _bytes(folder / "converted.safetensors")
        torch.save(torch.load(original, weights_only=True), file, _use_new_zipfile_serialization=False)
        found[f"{name} older.pth"] = _bytes(file)
    for name, save in _LATER.items():
        save(file)
        convert_generator(file, folder / "converted.safetensors")
        found[f"{name}.pt"] = _bytes(file)
        found[f"{name}.safetensors"] = _bytes(folder / "converted.safetensors")
    state = {f"decoder.{n}": t for n, t in checkpoint_files.rosinality_state(checkpoint_files.tiny()).items()}
    torch.save({"state_dict": state, "latent_avg": torch.ones(6, 8)}, file)
    found["an encoder's.pt"] = _bytes(file)
    return [Seed(name, data, use_generator) for name, data in found.items()]


_LATER: dict[str, Callable[[Path], object]] = {
    "stylegan of genforce": lambda file: test_stylegan1.save_genforce(file, test_stylegan1.tiny()),
    "stylegan of tensorflow": lambda file: test_stylegan1.tensorflow(file, test_stylegan1.tiny()),
    "lucidrains": lambda file: test_lucidrains.save(file, test_lucidrains.tiny()),
    "stylegan-xl": lambda file: test_stylegan_xl.save(
        file, test_stylegan_xl.network(test_stylegan_xl.tiny())
    ),
    "fastgan": lambda file: test_fastgan.save(file, test_fastgan.original(True)),
    "lightweight-gan": lambda file: test_lightweight_gan.save(
        file, test_lightweight_gan.tiny((4,), (False,))
    ),
    "biggan bottleneck": lambda file: older_gans.save_biggan(file, test_biggan_bottleneck.tiny()),
    "not square": lambda file: torch.save({"G_ema": test_shapes.shaped(4, (4, 2), 8).state_dict()}, file),
}


def _latents(folder: Path) -> list[Seed]:
    codes = torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(0))
    move = ConfinedMove(BOX | ~Region.from_mask(np.eye(8, dtype=np.float32)), 0.5, codes=codes)
    latent = Latent(codes, seed=(1,), z=torch.ones(1, 3), z_offset=torch.ones(1, 3), confined=(move,))
    file = folder / "latent.safetensors"
    latent.save(file)
    found = {"latent.safetensors": _bytes(file)}
    text = PngInfo()
    text.add_text(PNG_KEY, latent.to_text())
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG", pnginfo=text)
    found["latent.png"] = picture.getvalue()
    for name, content in {"tensor": codes, "dictionary": {"w": torch.nn.Parameter(codes), "n": 3}}.items():
        for older in (False, True):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=not older)
            found[f"{name} {older}.pt"] = buffer.getvalue()
    for name, write in {"packed": np.savez_compressed, "plain": np.savez}.items():
        buffer = io.BytesIO()
        write(buffer, w=codes.numpy(), noise=np.ones(3))
        found[f"{name}.npz"] = buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, codes.numpy())
    found["codes.npy"] = buffer.getvalue()
    crop = resefa.Crop(300, 200, 150.0, 90.0, 120.0, 120.0, 3.0, "0" * 64)
    Latent(codes, crop=crop).save(folder / "photo.safetensors")
    found["photo.safetensors"] = _bytes(folder / "photo.safetensors")
    return [Seed(name, data, use_latent) for name, data in found.items()]


def _photos() -> list[Seed]:
    pixels = np.random.RandomState(0).randint(0, 256, (12, 16, 4), dtype=np.uint8)
    found = []
    for form, mode in (("PNG", "RGBA"), ("PNG", "L"), ("JPEG", "RGB"), ("WEBP", "RGB")):
        exif = Image.Exif()
        exif[0x0112] = 6
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, form, exif=exif)
        found.append(Seed(f"photo {mode}.{form.lower()}", buffer.getvalue(), use_photo))
    return found


def _directions(folder: Path) -> list[Seed]:
    made = two_directions(BOX | Region.from_mask(np.eye(8, dtype=np.float32)).feather(0.1))
    made.save(folder / "directions.safetensors")
    array = io.BytesIO()
    np.save(array, np.eye(4, dtype=np.float32)[:2])
    return [
        Seed("directions.safetensors", _bytes(folder / "directions.safetensors"), use_directions),
        Seed("directions.npy", array.getvalue(), use_array),
        *_imported(folder),
    ]


def _imported(folder: Path) -> list[Seed]:
    vectors = torch.eye(4)[:2]
    pt, npz = io.BytesIO(), io.BytesIO()
    torch.save({"mean": vectors[:1], "comp": vectors[:, None], "std": torch.ones(2)}, pt)
    np.savez_compressed(npz, lat_comp=vectors[:, None].numpy(), lat_stdev=np.ones(2, dtype=np.float32))
    tensors = {"component_00": vectors[0].clone(), "component_01": vectors[1].clone()}
    order = json.dumps(sorted(tensors))
    safetensors.torch.save_file(tensors, folder / "pack.safetensors", {"component_order": order})
    return [
        Seed("components.pt", pt.getvalue(), use_imported),
        Seed("components.npz", npz.getvalue(), use_imported),
        Seed("pack.safetensors", _bytes(folder / "pack.safetensors"), use_imported),
    ]


def _others(folder: Path) -> list[Seed]:
    found = []
    latent = tiny().sample(1)
    for method in ("dense", "matrix-free"):
        resefa.compute_jacobian(tiny(), latent, "w", kind=method).save(folder / "j.safetensors")
        found.append(Seed(f"{method}.safetensors", _bytes(folder / "j.safetensors"), use_jacobian))
    region = (BOX | ~Region.from_mask(np.eye(4, dtype=np.float32))).feather(0.1).to_json()
    found.append(Seed("region.json", json.dumps(region).encode(), use_region))
    found.append(Seed("study.json", json.dumps(FULL_STUDY).encode(), read_study))
    record = Record(1, "mouth", "mouth", 0, (2,), FoundBy(0.25, 9), {"inside": [0.1, None]}, (0.5,))
    Evaluation(
        setup={"generator": "mine", "truncation": 0.7, "target": 0.02, "directions": 2, "variations": None},
        rows=(Row("resefa", "w+"), Row("stylespace", "s", label="a | b")),
        unavailable={1: "it needs one of the spaces s"},
        areas={"mouth": 0.1},
        seeds=(1, 2),
        records=[record],
        analysis_seconds={"w+": [3.0, 5.0]},
    ).save(folder / "results.json")
    found.append(Seed("results.json", _bytes(folder / "results.json"), Evaluation.load))
    plan = Plan.of(tiny(), [1, 2], ["0.2,0.2,0.5,0.5"])
    build_atlas(tiny(), plan, count=2, measured=1).save(folder / "atlas.safetensors")
    found.append(Seed("atlas.safetensors", _bytes(folder / "atlas.safetensors"), Atlas.load))
    classifier = Path(resefa.__file__).parent / "evaluation" / "avatars.safetensors"
    found.append(Seed("classifier.safetensors", classifier.read_bytes(), AttributeClassifier.load))
    return found
