"""From a photo to its latent: found, preferred where the generator draws, the same every time, stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_biggan_bottleneck
import test_lightweight_gan
import test_lucidrains
import test_stylegan1
import test_stylegan_xl
import torch
from models import tiny_stylegan2, tiny_stylegan3
from older_gans import tiny_biggan, tiny_dcgan, tiny_deep, tiny_pggan
from PIL import Image
from torch import Tensor

import resefa_core as resefa
from resefa_core.generators import GENERATORS
from resefa_core.generators.base import Generator
from resefa_core.generators.fastgan import FastGAN
from resefa_core.inversion.losses import ImageDistance
from resefa_core.inversion.prior import CodePrior, squared_distance, squared_spread
from resefa_core.session import Session

MOUTH = resefa.Region.preset("mouth")


@pytest.fixture(scope="module")
def drawn(avatars: Generator) -> Tensor:
    """A face that no seed below a thousand draws."""
    return avatars.synthesize(avatars.sample(123_456, 0.8))[0]


@pytest.fixture(scope="module")
def found(avatars: Generator, drawn: Tensor) -> resefa.Inversion:
    return resefa.invert(avatars, drawn, steps=60)


def test_a_drawn_face_is_found(avatars: Generator, drawn: Tensor, found: resefa.Inversion) -> None:
    others = avatars.synthesize(avatars.sample(list(range(20)), 0.8))
    nearest = float((others - drawn).square().mean(dim=(1, 2, 3)).min())
    assert found.error < nearest / 4
    assert found.error < found.history[0] / 10
    assert len(found.history) == 60
    assert torch.equal(found.image, avatars.synthesize(found.latent)[0])
    assert found.error == pytest.approx(float((found.image - found.target).square().mean()))
    assert (found.target - drawn.clamp(-1, 1)).abs().max() <= 0.5 / 127.5 + 1e-6
    assert found.distance < 1.5
    assert found.latent.seed is None
    assert found.latent.generator == avatars.fingerprint


def test_the_same_call_gives_the_same_bytes(
    avatars: Generator, drawn: Tensor, found: resefa.Inversion
) -> None:
    again = resefa.invert(avatars, drawn, steps=60)
    assert torch.equal(again.latent.codes, found.latent.codes)
    assert again.history == found.history


def test_the_prior_keeps_codes_near(avatars: Generator, drawn: Tensor, found: resefa.Inversion) -> None:
    near = resefa.invert(avatars, drawn, steps=60, prior=0.1)
    free = resefa.invert(avatars, drawn, steps=60, prior=0.0)
    assert near.distance < found.distance < free.distance
    assert near.spread < found.spread < free.spread
    assert near.error > free.error


def tiny_fastgan() -> FastGAN:
    torch.manual_seed(0)
    generator = FastGAN(5, (8, 6, 6, 4, 4), (True,)).eval()
    generator.to_image.weight.data.mul_(30.0)
    generator.init.weight.data.mul_(5.0)
    return generator


TINY: dict[str, Callable[[], Generator]] = {
    "stylegan2": tiny_stylegan2,
    "stylegan2, classes": lambda: tiny_stylegan2(c_dim=3),
    "stylegan3": tiny_stylegan3,
    "biggan": tiny_biggan,
    "biggan, one noise": lambda: tiny_biggan(hierarchical=False),
    "biggan-deep": tiny_deep,
    "dcgan": tiny_dcgan,
    "dcgan, grey": lambda: tiny_dcgan(grey=True),
    "pggan": tiny_pggan,
    "stylegan1": test_stylegan1.tiny,
    "stylegan2 of lucidrains": test_lucidrains.tiny,
    "stylegan-xl": test_stylegan_xl.tiny,
    "biggan, bottlenecks": test_biggan_bottleneck.tiny,
    "lightweight-gan": test_lightweight_gan.tiny,
    "fastgan": tiny_fastgan,
    "wrapped": lambda: resefa.WrappedGenerator(
        lambda z: z.reshape(-1, 3, 1, 1).tanh().expand(-1, 3, 16, 16), latent_dim=3
    ),
}


def test_every_architecture_is_tried() -> None:
    assert {make().architecture for make in TINY.values()} >= set(GENERATORS)


@pytest.mark.parametrize("name", TINY)
def test_every_architecture_finds_its_own_image(name: str) -> None:
    generator = TINY[name]()
    label = 1 if generator.num_classes else None
    own = generator.sample(5, 1.0, label)
    image = generator.synthesize(own)[0].clamp(-1, 1)
    found = resefa.invert(generator, image, label=label, steps=80, prior=1e-4)
    responds = (
        1.0 if name == "lightweight-gan" else 0.5
    )  # with random weights its noise changes next to nothing
    assert found.error < responds * found.history[0]
    assert found.latent.codes.dtype == generator.dtype
    assert (found.latent.label is None) == (label is None)
    generator.check_latent(found.latent)


def test_a_mean_code_that_does_not_move_is_left() -> None:
    generator = resefa.WrappedGenerator(
        lambda z: z.square().tanh().reshape(-1, 3, 1, 1).expand(-1, 3, 16, 16), latent_dim=3
    )
    image = generator.synthesize(generator.sample(5, 1.0))[0]
    counted: list[int] = []
    found = resefa.invert(
        generator, image, steps=40, prior=0.0, progress=lambda done, steps: counted.append(done)
    )
    assert found.error < 1e-4 < found.history[0]
    assert len(found.history) <= 40
    assert counted == sorted(counted)


def test_a_class_is_chosen_or_given_by_name() -> None:
    generator = tiny_stylegan2(c_dim=3)
    images = [generator.synthesize(generator.sample(0, 0.0, each))[0] for each in range(3)]
    means = [generator.sample(0, 0.0, each) for each in range(3)]
    found = resefa.invert(generator, images[2], steps=1)
    apart = [float((generator.synthesize(mean)[0] - found.target).square().mean()) for mean in means]
    assert found.latent.label is not None
    assert apart[int(found.latent.label[0])] == min(apart)
    told = resefa.invert(generator, images[2], label="1", steps=1)
    assert told.latent.label is not None
    assert told.latent.label.tolist() == [1]
    with pytest.raises(resefa.LatentError, match="class"):
        resefa.invert(generator, images[2], label=7, steps=1)


def test_what_is_ignored_does_not_count(avatars: Generator, drawn: Tensor) -> None:
    region = resefa.Region.from_box(0.0, 0.5, 1.0, 0.5)
    hidden = drawn.clone()
    hidden[:, 32:] = torch.tensor([1.0, -1.0, 1.0])[:, None, None]
    plain = resefa.invert(avatars, hidden, steps=40)
    found = resefa.invert(avatars, hidden, steps=40, ignore=region)
    upper = [float((each.image - drawn)[:, :30].square().mean()) for each in (plain, found)]
    assert upper[1] < upper[0]
    other = hidden.clone()
    other[:, 32:] = 0.3
    again = resefa.invert(avatars, other, steps=40, ignore=region)
    assert torch.equal(again.latent.codes, found.latent.codes)
    with pytest.raises(resefa.PhotoError, match="nothing of the photo counts"):
        resefa.invert(avatars, drawn, ignore=~resefa.Region.from_box(0.5, 0.5, 0.001, 0.001), steps=1)


def test_a_perceptual_distance_is_followed(avatars: Generator, drawn: Tensor) -> None:
    seen: list[tuple[int, ...]] = []

    def darkness(images: Tensor, photo: Tensor) -> Tensor:
        seen.append(tuple(images.shape))
        return (images - photo + 0.4).mean(dim=(1, 2, 3)).square()

    found = resefa.invert(avatars, drawn, steps=30, perceptual=darkness, perceptual_weight=20.0)
    plain = resefa.invert(avatars, drawn, steps=30)
    assert seen == [(1, 3, 64, 64)] * 30
    assert found.image.mean() < plain.image.mean() - 0.1
    with pytest.raises(resefa.ParameterError, match="one number for each image"):
        resefa.invert(avatars, drawn, steps=1, perceptual=lambda images, photo: images)


def test_progress_and_pictures_come_and_stop_it(avatars: Generator, drawn: Tensor) -> None:
    told: list[tuple[int, int]] = []
    shown: list[Tensor] = []
    resefa.invert(avatars, drawn, steps=12, progress=lambda *done: told.append(done), show=shown.append)
    assert told == [(step + 1, 12) for step in range(12)]
    assert len(shown) == 3
    assert shown[0].shape == (3, 64, 64)
    assert not shown[0].requires_grad
    session = Session(avatars, seed=3)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.set_photo(resefa.Photo.of(drawn), progress=stop)
    assert session.seed == 3
    assert session.photo is None


def test_a_generator_in_half_precision_and_in_inference_mode(avatars: Generator, drawn: Tensor) -> None:
    with torch.inference_mode():
        found = resefa.invert(avatars, drawn.clone(), steps=10)
    assert found.error < found.history[0]
    half = tiny_stylegan2().half()
    image = half.synthesize(half.sample(3, 1.0))[0]
    assert resefa.invert(half, image, steps=10).latent.codes.dtype == torch.float16


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": 10_001},
        {"steps": 2.5},
        {"prior": -1.0},
        {"prior": float("nan")},
        {"perceptual_weight": float("inf")},
    ],
)
def test_numbers_out_of_range_are_refused(avatars: Generator, drawn: Tensor, wrong: dict[str, float]) -> None:
    with pytest.raises(resefa.ParameterError, match=next(iter(wrong))):
        resefa.invert(avatars, drawn, **wrong)  # type: ignore[arg-type]


def test_damaged_weights_are_named(drawn: Tensor) -> None:
    generator = tiny_stylegan2()
    generator.synthesis.block(16).torgb.bias.fill_(float("nan"))
    with pytest.raises(resefa.LatentError, match="not finite"):
        resefa.invert(generator, drawn, steps=3)


def test_whitened_codes_are_standard_normal() -> None:
    generator = tiny_stylegan2()
    prior = CodePrior.of(generator)
    codes = generator.sample(list(range(5000, 6000)), 1.0).codes
    coordinates = prior.coordinates(codes)
    assert torch.allclose(prior.codes(coordinates), codes, atol=1e-4)
    assert prior.shared
    assert float(squared_distance(coordinates).mean()) == pytest.approx(1.0, abs=0.15)
    assert float(squared_spread(coordinates).max()) < 1e-6
    apart = CodePrior.of(tiny_biggan(), 0)
    assert not apart.shared
    assert apart.mean.abs().max() < 0.2


def test_distances_leave_out_what_does_not_count() -> None:
    torch.manual_seed(0)
    target, image = torch.randn(3, 32, 32), torch.randn(3, 32, 32)
    weight = torch.ones(32, 32)
    weight[:, 11:] = 0.0
    distance = ImageDistance(target, weight)
    other = image.clone()
    other[:, :, 11:] = 5.0
    assert torch.equal(distance(image[None]), distance(other[None]))
    kept = (image - target)[:, :, :11].square().mean()
    assert torch.allclose(distance.error(image[None])[0], kept)
    assert float(distance(target[None])[0]) == 0.0


def test_a_picture_an_array_and_a_tensor_are_the_same_photo(avatars: Generator, drawn: Tensor) -> None:
    picture = resefa.to_pil(drawn)
    array = np.asarray(picture)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 127.5 - 1
    latents = [resefa.invert(avatars, each, steps=2).latent for each in (picture, array, tensor)]
    assert torch.equal(latents[0].codes, latents[1].codes)
    assert torch.equal(latents[0].codes, latents[2].codes)
    assert latents[0].crop == latents[1].crop == latents[2].crop


def test_the_latent_remembers_the_photo_in_its_file(avatars: Generator, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("latents")
    photo = resefa.Photo.of(Image.new("RGB", (200, 100), (120, 80, 60)))
    found = resefa.invert(avatars, photo, steps=1)
    crop = found.latent.crop
    assert crop is not None
    assert (crop.width, crop.height, crop.x, crop.y, crop.high) == (200, 100, 100.0, 50.0, 100.0)
    assert crop.digest == photo.digest
    found.latent.save(folder / "photo.safetensors")
    assert resefa.Latent.load(folder / "photo.safetensors").crop == crop
    assert resefa.Latent.from_text(found.latent.to_text()).crop == crop
    assert found.latent[0].crop == crop
    assert resefa.stack([found.latent, found.latent]).crop is None
    assert resefa.mix(avatars, found.latent, found.latent, 0.5).crop is None
    without = dataclasses.replace(found.latent, crop=None)
    assert without.digest == found.latent.digest


def test_what_was_found_is_kept_by_the_photos_content(avatars: Generator, drawn: Tensor) -> None:
    cache = resefa.InversionCache(most=2)
    steps: list[int] = []
    photo = resefa.Photo.of(drawn)

    def find(photo: resefa.Photo, **options: Any) -> resefa.Inversion:
        return cache.invert(
            avatars, photo, **{"steps": 3, **options}, progress=lambda done, total: steps.append(done)
        )

    first = find(photo)
    assert find(resefa.Photo.of(drawn.clone())) is first
    assert steps == [1, 2, 3]
    other = dataclasses.replace(photo, ignored=torch.eye(64))
    assert find(other) is not first
    assert find(photo, prior=0.5) is not first
    assert len(cache) == 2
    assert len(steps) == 9


def test_what_is_painted_on_the_photo_does_not_count(avatars: Generator, drawn: Tensor) -> None:
    picture = Image.new("RGB", (128, 100))
    picture.paste(resefa.to_pil(drawn), (20, 30))
    mask = torch.zeros(100, 128)
    mask[62:] = 1.0
    photo = dataclasses.replace(resefa.Photo.of(picture).aligned(avatars, box=(20, 30, 64, 64)), ignored=mask)
    _, counted = photo.image(photo.crop_for(avatars), 64, 64)
    assert counted[:31].min() > 0.99
    assert counted[33:].max() < 0.01
    found = resefa.invert(avatars, photo, steps=20)
    picture.paste((9, 99, 199), (20, 64, 84, 94))
    again = dataclasses.replace(photo, colours=resefa.Photo.of(picture).colours)
    assert torch.allclose(resefa.invert(avatars, again, steps=20).latent.codes, found.latent.codes, atol=1e-4)
    with pytest.raises(resefa.PhotoError, match="height and width"):
        dataclasses.replace(photo, ignored=mask.T)
