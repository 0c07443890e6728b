"""Walks between latents, edits over frames, and what batches are made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.latents.sequences import average, join, move_each, pick, slerp, split, walk

REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)


@pytest.fixture(scope="module")
def generator() -> resefa.Generator:
    return tiny_stylegan2(16)


@pytest.fixture(scope="module")
def keys(generator: resefa.Generator) -> resefa.Latent:
    return generator.sample([1, 2, 3], 0.7)


def directions_of(generator: resefa.Generator, latent: resefa.Latent, space: str) -> resefa.Directions:
    found = resefa.factorize(resefa.compute_jacobian(generator, latent, space), REGION, 3)
    return resefa.with_confined_steps(generator, latent, found)


@pytest.mark.parametrize("spherical", [False, True])
def test_a_walk_passes_through_its_latents(
    generator: resefa.Generator, keys: resefa.Latent, spherical: bool
) -> None:
    walked = walk(generator, keys, 5, spherical=spherical)
    torch.testing.assert_close(walked.codes[[0, 2, 4]], keys.codes, atol=1e-5, rtol=1e-4)
    middle = (keys.codes[0] + keys.codes[1]) / 2
    assert torch.allclose(walked.codes[1], middle, atol=1e-5) is not spherical
    images = generator.synthesize(walked)
    torch.testing.assert_close(images[2], generator.synthesize(keys[1])[0], atol=1e-4, rtol=1e-3)


def test_a_spherical_walk_moves_the_noise_on_great_circles(
    generator: resefa.Generator, keys: resefa.Latent
) -> None:
    walked = walk(generator, keys[:2], 3, spherical=True)
    assert keys.z is not None
    z = slerp(keys.z[:1], keys.z[1:2], torch.tensor([[0.5]]))
    torch.testing.assert_close(
        walked.codes[1:2], generator.codes_of_noise(z, None, 0.7), atol=1e-5, rtol=1e-4
    )
    assert z.norm() == pytest.approx(float(keys.z[:2].norm(dim=1).mean()), rel=1e-4)


def test_a_loop_repeats_without_a_jump(generator: resefa.Generator, keys: resefa.Latent) -> None:
    looped = walk(generator, keys, 12, loop=True).codes
    steps = (looped.roll(-1, 0) - looped).flatten(1).norm(dim=1)
    torch.testing.assert_close(looped[[0, 4, 8]], keys.codes, atol=1e-5, rtol=1e-4)
    assert steps.max() < 2 * steps.min()


def test_a_walk_on_some_layers_leaves_the_others(generator: resefa.Generator, keys: resefa.Latent) -> None:
    walked = walk(generator, keys, 5, layers=[1, 2])
    others = [layer for layer in range(generator.num_layers) if layer not in (1, 2)]
    torch.testing.assert_close(walked.codes[4, others], keys.codes[0, others])
    torch.testing.assert_close(walked.codes[4, [1, 2]], keys.codes[2, [1, 2]])


def test_a_walk_keeps_edits(generator: resefa.Generator, keys: resefa.Latent) -> None:
    found = directions_of(generator, keys[:1], "w+")
    edited = resefa.move(resefa.move(keys, found, {0: 2.0}), found, {1: 2.0}, confine=1.0)
    for spherical in (False, True):
        walked = walk(generator, edited, 3, spherical=spherical)
        torch.testing.assert_close(
            generator.synthesize(walked)[2], generator.synthesize(edited[2])[0], atol=1e-4, rtol=1e-3
        )


def test_what_can_not_be_walked_is_refused(generator: resefa.Generator, keys: resefa.Latent) -> None:
    with pytest.raises(resefa.LatentError, match="two or more"):
        walk(generator, keys[0], 5)
    with pytest.raises(resefa.LatentError, match="noise"):
        walk(generator, replace(keys, z=None), 5, spherical=True)
    with pytest.raises(resefa.ParameterError, match="frames"):
        walk(generator, keys, 1)


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
@pytest.mark.parametrize("confine", [0.0, 1.0])
def test_each_latent_moves_by_its_own_strengths(
    generator: resefa.Generator, keys: resefa.Latent, space: str, confine: float
) -> None:
    found = directions_of(generator, keys[:1], space)
    moved = move_each(keys, found, {0: [0.0, 1.0, -2.0], 1: [1.0, 0.0, 3.0]}, confine)
    for place, strengths in enumerate(({1: 1.0}, {0: 1.0}, {0: -2.0, 1: 3.0})):
        alone = resefa.move(keys[place], found, strengths, confine)
        torch.testing.assert_close(
            generator.synthesize(moved[place]), generator.synthesize(alone), atol=1e-4, rtol=1e-3
        )


def test_one_latent_is_taken_for_every_frame(generator: resefa.Generator, keys: resefa.Latent) -> None:
    found = directions_of(generator, keys[:1], "w+")
    moved = move_each(keys[:1], found, {0: [0.0, 1.0, 2.0, 3.0]})
    assert len(moved) == 4
    torch.testing.assert_close(moved.codes[3], resefa.move(keys[:1], found, {0: 3.0}).codes[0])
    with pytest.raises(resefa.LatentError, match="4 strengths for 3"):
        move_each(keys, found, {0: [0.0] * 4})
    with pytest.raises(resefa.ParameterError, match="as many"):
        move_each(keys, found, {0: [0.0] * 3, 1: [0.0]})


def test_latents_are_picked_joined_and_averaged(generator: resefa.Generator, keys: resefa.Latent) -> None:
    chosen = pick(keys, [2, 0, 2])
    assert chosen.seed == (3, 1, 3)
    torch.testing.assert_close(chosen.codes, keys.codes[[2, 0, 2]])
    for places in ([], [3], [-1]):
        with pytest.raises(resefa.LatentError):
            pick(keys, places)
    assert join(generator, list(split(keys, 1))).seed == keys.seed
    for at in (0, 3):
        with pytest.raises(resefa.LatentError, match="split"):
            split(keys, at)
    mixed = resefa.mix(generator, keys[0], keys[1])
    joined = join(generator, [keys, mixed])
    assert len(joined) == 4
    assert joined.z is None
    torch.testing.assert_close(joined.codes, torch.cat([keys.codes, mixed.codes]))
    torch.testing.assert_close(average(generator, keys).codes, keys.codes.mean(dim=0, keepdim=True))


def test_latents_with_edits_in_styles_or_noise_are_joined_as_the_images_that_they_are(
    generator: resefa.Generator, keys: resefa.Latent
) -> None:
    edits = [resefa.move(keys, directions_of(generator, keys[:1], space), {0: 2.0}) for space in ("s", "z")]
    joined = join(generator, [keys, *edits])
    expected = torch.cat([generator.synthesize(latent) for latent in (keys, *edits)])
    torch.testing.assert_close(generator.synthesize(joined), expected, atol=1e-4, rtol=1e-3)
