"""A generator tuned to a photo: closer there, as before elsewhere, and known for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models import tiny_stylegan2
from older_gans import tiny_dcgan
from torch import Tensor

import resefa_core as resefa
from resefa_core.checkpoints import describe
from resefa_core.generators.base import Generator


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """Another generator's image, which the one that is tuned can't draw."""
    other = tiny_stylegan2(seed=5)
    return other.synthesize(other.sample(3, 0.7))[0].clamp(-1, 1)


@pytest.fixture(scope="module")
def found(photo: Tensor) -> resefa.Inversion:
    return resefa.invert(tiny_stylegan2(), photo, steps=60)


def error(generator: Generator, found: resefa.Inversion) -> float:
    return float((generator.synthesize(found.latent)[0] - found.target).square().mean())


def change(tuned: Generator, generator: Generator) -> float:
    others = generator.sample(list(range(1000, 1016)), 0.7)
    return float((tuned.synthesize(others) - generator.synthesize(others)).square().mean())


def test_the_photo_comes_closer_and_others_stay(photo: Tensor, found: resefa.Inversion) -> None:
    generator = tiny_stylegan2()
    before = [tensor.clone() for tensor in generator.parameters()]
    tuned, loose = (resefa.tune(generator, found.latent, photo, locality=weight) for weight in (1.0, 0.0))
    assert error(tuned, found) < 0.7 * found.error
    assert change(tuned, generator) < 0.8 * change(loose, generator)
    assert all(torch.equal(*pair) for pair in zip(before, generator.parameters(), strict=True))
    assert torch.equal(tuned.sample(4, 0.7).codes, generator.sample(4, 0.7).codes)
    assert not any(tensor.requires_grad for tensor in tuned._tensors().values())
    again = resefa.tune(generator, found.latent, photo)
    assert again.fingerprint == tuned.fingerprint


@pytest.mark.parametrize("seed", [3, 8])
def test_the_bundled_generator_comes_closer(avatars: Generator, seed: int) -> None:
    """Its image under other light, which it can't draw."""
    lit = torch.linspace(0.6, 1.3, avatars.resolution)
    photo = (avatars.synthesize(avatars.sample(seed, 1.0))[0] * lit).clamp(-1, 1)
    found = resefa.invert(avatars, photo, steps=60)
    tuned = resefa.tune(avatars, found.latent, photo, steps=60)
    assert error(tuned, found) < 0.8 * found.error
    assert change(tuned, avatars) < 0.5 * found.error


def test_noise_maps_alone(photo: Tensor, found: resefa.Inversion) -> None:
    generator = tiny_stylegan2()
    tuned = resefa.tune(generator, found.latent, photo, steps=80, noise_only=True)
    assert error(tuned, found) < 0.95 * found.error
    own = dict(generator.named_parameters())
    assert all(torch.equal(tensor, own[name]) for name, tensor in tuned.named_parameters())
    with pytest.raises(resefa.LatentError, match="no noise maps"):
        resefa.tune(tiny_dcgan(), tiny_dcgan().sample(1), photo, noise_only=True)


def test_what_is_ignored_is_not_drawn(photo: Tensor, found: resefa.Inversion) -> None:
    generator = tiny_stylegan2()
    left, right = (resefa.Region.from_box(x, 0.0, 0.5, 1.0) for x in (0.0, 0.5))
    tuned, whole = (
        resefa.tune(generator, found.latent, photo, steps=60, ignore=ignore) for ignore in (left, None)
    )
    half = photo.shape[2] // 2
    missed, drawn = (
        (each.synthesize(found.latent)[0] - found.target)[..., :half].square().mean()
        for each in (tuned, whole)
    )
    assert missed > drawn
    with pytest.raises(resefa.PhotoError, match="nothing of the photo counts"):
        resefa.tune(generator, found.latent, photo, ignore=left | right)


def test_its_file_says_what_it_was_tuned_from(photo: Tensor, found: resefa.Inversion, tmp_path: Path) -> None:
    generator = tiny_stylegan2()
    generator.name = "faces"
    tuned = resefa.tune(generator, found.latent, photo, steps=5)
    tuned.save(tmp_path / "tuned.safetensors")
    opened = resefa.load_generator(tmp_path / "tuned.safetensors")
    assert tuned.name == "faces-tuned"
    assert opened.tuned_from == generator.fingerprint
    assert opened.fingerprint == tuned.fingerprint != generator.fingerprint
    assert describe(tmp_path / "tuned.safetensors")["tuned from"] == generator.fingerprint
    resefa.convert(tmp_path / "tuned.safetensors", tmp_path / "again.safetensors")
    assert resefa.load_generator(tmp_path / "again.safetensors").tuned_from == generator.fingerprint
    session = resefa.Session(generator, seed=1)
    directions = session.find(resefa.Region.from_box(0.2, 0.2, 0.4, 0.4), quick=True, count=1)
    assert directions.origin_note(opened) == ""
    assert "other weights" in directions.origin_note(tiny_stylegan2(seed=9))
    moved = resefa.edit(opened, found.latent, directions, {0: 1.0})
    assert torch.isfinite(moved).all()


def test_progress_stops_it_and_numbers_are_checked(photo: Tensor, found: resefa.Inversion) -> None:
    generator = tiny_stylegan2()
    told: list[tuple[int, int]] = []
    shown: list[Tensor] = []
    resefa.tune(
        generator,
        found.latent,
        photo,
        steps=6,
        progress=lambda *done: told.append(done),
        show=shown.append,
    )
    assert told == [(step + 1, 6) for step in range(6)]
    assert len(shown) == 2

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resefa.tune(generator, found.latent, photo, progress=stop)
    assert generator.fingerprint == tiny_stylegan2().fingerprint
    for wrong in ({"steps": 0}, {"locality": -1.0}, {"perceptual_weight": -1.0}):
        with pytest.raises(resefa.ParameterError):
            resefa.tune(generator, found.latent, photo, **wrong)  # type: ignore[arg-type]
    with pytest.raises(resefa.PhotoError, match="another photo"):
        resefa.tune(generator, found.latent, -photo)
