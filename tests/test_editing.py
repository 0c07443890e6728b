from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from models import reference_jacobian, tiny_stylegan2
from torch import Tensor

import resefa_core as resefa

REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)


def find(
    generator: resefa.Generator, latent: resefa.Latent, space: str = "w+", layers: list[int] | None = None
) -> resefa.Directions:
    return resefa.factorize(resefa.compute_jacobian(generator, latent, space, layers), REGION, 3)


def split(change: Tensor, region: resefa.Region = REGION) -> tuple[float, float]:
    """Mean squared change inside and outside of `(3, H, W)`."""
    mask = region.mask(*change.shape[1:])
    square = change.square().mean(dim=0)
    return float((square * mask).sum() / mask.sum()), float((square * (1 - mask)).sum() / (1 - mask).sum())


@pytest.mark.parametrize(
    ("space", "layers"), [(s, None) for s in ("w", "w+", "s", "z")] + [(s, [1, 3]) for s in ("w", "w+", "s")]
)
def test_a_small_move_changes_the_image_as_the_jacobian_says(space: str, layers: list[int] | None) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0, truncation=0.9)
    jacobian = resefa.compute_jacobian(generator, latent, space, layers, kind="dense")
    directions = resefa.factorize(jacobian, REGION, 3, 1e-3)
    strengths: dict[int | str, float] = {0: 1e-2, "direction 2": -2e-2}
    vector = 1e-2 * directions.steps[0] * directions.vectors[0]
    vector = vector - 2e-2 * directions.steps[2] * directions.vectors[2]
    expected = jacobian.jvp(vector.reshape(1, -1))[0]
    change = resefa.edit(generator, latent, directions, strengths)[0] - generator.synthesize(latent)[0]
    assert (change - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
def test_an_edit_confined_by_nothing_is_the_plain_edit(space: str) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0, truncation=0.9)
    directions = resefa.with_confined_steps(generator, latent, find(generator, latent, space))
    plain = resefa.edit(generator, latent, directions, {0: 3.0})
    barely = resefa.move(latent, directions, {0: 3.0}, confine=1e-9)
    torch.testing.assert_close(generator.synthesize(barely), plain, atol=1e-4, rtol=1e-3)


def test_a_confined_edit_leaks_less_and_more_confinement_leaks_still_less() -> None:
    generator = tiny_stylegan2(64)
    latent = generator.sample(1)
    directions = find(generator, latent, "w", [6, 7, 8])
    before = generator.synthesize(latent)[0]
    shares = []
    for confine in (0.0, 0.5, 1.0):
        after = resefa.edit(generator, latent, directions, {0: 1.0}, confine=confine)[0]
        inside, outside = split(after - before)
        shares.append(inside / outside)
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 5 * shares[0]


def test_a_confined_step_makes_the_same_change_inside_as_a_plain_one() -> None:
    generator = tiny_stylegan2(32)
    latent = generator.sample(1)
    directions = resefa.with_confined_steps(generator, latent, find(generator, latent))
    before = generator.synthesize(latent)[0]
    for index in range(len(directions)):
        for confine in (0.0, 1.0):
            after = resefa.edit(generator, latent, directions, {index: 0.01}, confine=confine)[0]
            assert split(after - before)[0] ** 0.5 == pytest.approx(0.001, rel=0.1)


@pytest.mark.parametrize(("space", "feather"), [("w", 0.0), ("w+", 0.1), ("s", 0.0), ("z", 0.05)])
def test_confined_steps_are_those_of_the_definition(space: str, feather: float) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    directions = find(generator, latent, space)
    found = resefa.with_confined_steps(generator, latent, directions, feather).steps_confined
    rows = directions.vectors.flatten(1).double()
    soft = REGION.feather(feather)
    jacobian = reference_jacobian(generator, latent, space, directions.layers, rows.shape[1], soft)
    inside = [split(change)[0] for change in torch.tensordot(rows, jacobian, dims=1)]
    assert found is not None
    assert found.tolist() == pytest.approx([0.1 / value**0.5 for value in inside], rel=1e-3)


def test_confined_steps_in_z_do_not_depend_on_a_directions_sign() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    directions = find(generator, latent, "z")
    moved = resefa.move(latent, directions, {1: 1.0})
    steps = [
        resefa.with_confined_steps(generator, moved, replace(directions, vectors=sign * directions.vectors))
        for sign in (1.0, -1.0)
    ]
    assert steps[0].steps_confined is not None
    assert steps[1].steps_confined is not None
    torch.testing.assert_close(steps[0].steps_confined, steps[1].steps_confined)


def test_confined_moves_chain_and_are_saved_with_the_latent(tmp_path) -> None:  # type: ignore[no-untyped-def]
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    directions = resefa.with_confined_steps(generator, latent, find(generator, latent))
    other = replace(directions, region=resefa.Region.from_box(0.0, 0.0, 0.5, 0.5).feather(0.05))
    moved = resefa.move(latent, directions, {0: 2.0}, confine=1.0)
    twice = resefa.move(moved, other, {1: -2.0}, confine=0.5, feather=0.02)
    assert len(twice.confined) == 2
    image = generator.synthesize(twice)
    assert not torch.allclose(image, generator.synthesize(moved))
    twice.save(tmp_path / "latent.safetensors")
    loaded = resefa.Latent.load(tmp_path / "latent.safetensors")
    torch.testing.assert_close(generator.synthesize(loaded), image, atol=1e-5, rtol=1e-5)
    opposite = resefa.move(moved, directions, {0: -2.0}, confine=1.0)
    torch.testing.assert_close(
        generator.synthesize(opposite), generator.synthesize(latent), atol=1e-4, rtol=1e-3
    )


def test_moves_of_different_spaces_add_up() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    sets = {space: find(generator, latent, space) for space in ("z", "s", "w")}
    moved = latent
    for directions in sets.values():
        moved = resefa.move(moved, directions, {0: 1.0})
    back = moved
    for directions in sets.values():
        back = resefa.move(back, directions, {0: -1.0})
    assert not torch.allclose(generator.synthesize(moved), generator.synthesize(latent))
    torch.testing.assert_close(generator.synthesize(back), generator.synthesize(latent), atol=1e-4, rtol=1e-3)


def test_moving_a_batch_moves_each_image_alike() -> None:
    generator = tiny_stylegan2(16)
    directions = find(generator, generator.sample(0))
    together = resefa.edit(generator, generator.sample([3, 4]), directions, {0: 2.0}, confine=1.0)
    alone = resefa.with_confined_steps(generator, generator.sample(3), directions)
    for index, seed in enumerate((3, 4)):
        image = resefa.edit(generator, generator.sample(seed), alone, {0: 2.0}, confine=1.0)
        torch.testing.assert_close(together[index : index + 1], image, atol=1e-4, rtol=1e-3)


def test_moving_leaves_the_given_latent_as_it_was() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    codes = latent.codes.clone()
    resefa.move(latent, find(generator, latent), {0: 5.0})
    assert torch.equal(latent.codes, codes)


def test_a_sweep_has_one_strip_per_direction_with_the_face_itself_at_zero() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    directions = find(generator, latent)
    strips = resefa.sweep(generator, latent, directions, (-1.0, 0.0, 2.0))
    assert strips.shape == (3, 3, 3, 16, 16)
    for strip in strips:
        torch.testing.assert_close(strip[1:2], generator.synthesize(latent))
    torch.testing.assert_close(strips[1, 2:], resefa.edit(generator, latent, directions, {1: 2.0}))


def test_editing_works_in_inference_mode() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    directions = find(generator, latent)
    expected = resefa.edit(generator, latent, directions, {0: 1.0}, confine=1.0)
    with torch.inference_mode():
        image = resefa.edit(generator, generator.sample(0), directions, {0: 1.0}, confine=1.0)
    torch.testing.assert_close(image, expected)


def test_what_does_not_fit_is_refused_in_words() -> None:
    generator, larger = tiny_stylegan2(16), tiny_stylegan2(64)
    latent = generator.sample(0)
    directions = find(generator, latent)
    big = resefa.factorize(resefa.compute_jacobian(larger, larger.sample(0), "w+", [7, 8]), REGION, 2)
    with pytest.raises(resefa.LatentError, match="layers up to 8"):
        resefa.edit(generator, latent, big, {0: 1.0})
    with pytest.raises(resefa.LatentError, match="move layer 8"):
        resefa.move(latent, big, {0: 1.0})
    with pytest.raises(resefa.ParameterError, match="direction 7"):
        resefa.move(latent, directions, {7: 1.0})
    with pytest.raises(resefa.ParameterError, match="no direction is named 'smile'"):
        resefa.move(latent, directions, {"smile": 1.0})
    with pytest.raises(resefa.ParameterError, match="strength"):
        resefa.move(latent, directions, {0: float("nan")})
    with pytest.raises(resefa.ParameterError, match="confine"):
        resefa.move(latent, directions, {0: 1.0}, confine=1.5)
    with pytest.raises(resefa.LatentError, match="with_confined_steps"):
        resefa.move(latent, directions, {0: 1.0}, confine=1.0)
    with pytest.raises(resefa.LatentError, match="no region"):
        resefa.edit(generator, latent, replace(directions, region=None), {0: 1.0}, confine=1.0)
    noise = find(generator, latent, "z")
    with pytest.raises(resefa.LatentError, match="imported as codes"):
        resefa.edit(generator, resefa.Latent(latent.codes), noise, {0: 1.0})


def test_mixing_keeps_one_end_and_reaches_the_other() -> None:
    generator = tiny_stylegan2(16)
    first, second = (generator.sample(seed) for seed in (1, 2))
    images = [generator.synthesize(latent) for latent in (first, second)]
    torch.testing.assert_close(generator.synthesize(resefa.mix(generator, first, second, 0.0)), images[0])
    torch.testing.assert_close(generator.synthesize(resefa.mix(generator, first, second, 1.0)), images[1])
    half = resefa.mix(generator, first, second, 0.5, [0, 2])
    torch.testing.assert_close(half.codes[:, 1], first.codes[:, 1])
    torch.testing.assert_close(half.codes[:, 2], (first.codes[:, 2] + second.codes[:, 2]) / 2)
    assert half.z is None
    assert half.seed is None


@pytest.mark.parametrize("space", ["w+", "s", "z"])
@pytest.mark.parametrize("confine", [0.0, 0.7])
def test_mixing_takes_edits_along(space: str, confine: float) -> None:
    generator = tiny_stylegan2(16)
    first, second = (generator.sample(seed, truncation=0.8) for seed in (1, 2))
    directions = resefa.prepared(generator, first, find(generator, first, space), confine)
    first, second = (resefa.move(each, directions, {0: 2.0}, confine) for each in (first, second))
    for amount, end in ((0.0, first), (1.0, second)):
        mixed = generator.synthesize(resefa.mix(generator, first, second, amount))
        torch.testing.assert_close(mixed, generator.synthesize(end), atol=1e-5, rtol=1e-4)


def test_mixing_batches() -> None:
    generator = tiny_stylegan2(16)
    mixed = resefa.mix(generator, generator.sample([1, 2, 3]), generator.sample(4), 0.25)
    assert len(mixed) == 3
    with pytest.raises(resefa.LatentError, match="2 and 3 latents"):
        resefa.mix(generator, generator.sample([1, 2]), generator.sample([1, 2, 3]))
    with pytest.raises(resefa.ParameterError, match="amount"):
        resefa.mix(generator, generator.sample(1), generator.sample(2), float("nan"))


def test_a_feathered_confined_edit_has_steps_of_its_own() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    directions = resefa.with_confined_steps(generator, latent, find(generator, latent))
    assert resefa.prepared(generator, latent, directions, 1.0) is directions
    feathered = resefa.prepared(generator, latent, directions, 1.0, 0.1)
    assert feathered.steps_confined is not None
    assert directions.steps_confined is not None
    assert not torch.allclose(feathered.steps_confined, directions.steps_confined, rtol=0.02)
