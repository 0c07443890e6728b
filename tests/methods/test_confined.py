"""Directions that are found for confined edits, and how they are applied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core import Directions, Generator, Region, find_directions
from resefa_core.evaluation.equal_change import edits_of, equal_change

REGION = Region.from_box(0.25, 0.25, 0.5, 0.375).feather(0.05)
TARGET = 0.02


def found(
    generator: Generator, method: str = "resefa-confined", space: str = "w", count: int = 2
) -> Directions:
    latent = generator.sample(3)
    return find_directions(generator, latent, REGION, method, num_directions=count, space=space)


def locality(
    generator: Generator, latent: resefa.Latent, directions: Directions, region: Region, confine: float
) -> float:
    """Change inside over outside of the first direction at equal change, geometric mean of both signs."""
    change = equal_change(generator, edits_of(latent, directions[:1], confine), region, TARGET)
    assert bool(change.reached.all())
    return float(change.ratio.log().mean().exp())


def test_they_are_far_more_local_than_others_confined_or_not(avatars: Generator) -> None:
    gains = []
    for seed in (11, 12):
        latent = avatars.sample(seed, truncation=0.7)
        jacobian = resefa.compute_jacobian(avatars, latent, "w", kind="dense")
        for part in ("mouth", "eyes"):
            region = Region.preset(f"avatars/{part}")
            plain = resefa.factorize(jacobian, region, 1, 1e-4)
            confined = find_directions(
                avatars,
                latent,
                region,
                "resefa-confined",
                num_directions=1,
                space="w",
                parameters={"colour": 1, "edge": 0, "regularization": 1e-4},
            )
            own = locality(avatars, latent, confined, region, 1.0)
            gains.append([own / locality(avatars, latent, plain, region, confine) for confine in (0.0, 1.0)])
    factors = torch.tensor(gains)
    assert bool((factors > 1.5).all()), factors
    assert bool((factors.log().mean(dim=0).exp() > 4.0).all()), factors


def test_they_neither_tint_the_region_nor_jump_at_its_edge(avatars: Generator) -> None:
    """To first order, against the paper's objective: the share of the change inside that is one uniform
    colour, and the squared jumps across the edge over the change inside."""
    tints, seams = [], []
    for seed in (29, 777):
        latent = avatars.sample(seed, truncation=0.7)
        for part in ("mouth", "eyes"):
            region = Region.preset(f"avatars/{part}")
            mask = region.mask(64, 64)
            jacobian = resefa.compute_jacobian(avatars, latent, "w", kind="dense", confine_to=region)
            for objective in (resefa.PAPER, resefa.SHAPE_ALONE):
                found = resefa.factorize(jacobian, region, 2, objective=objective)
                changes = jacobian.jvp(found.vectors)
                inside = (changes.square() * mask).sum(dim=(1, 2, 3))
                colour = ((changes * mask).sum(dim=(2, 3)).square() / mask.sum()).sum(dim=1)
                down = (changes[:, :, 1:] - changes[:, :, :-1])[:, :, mask[1:] != mask[:-1]]
                across = (changes[..., 1:] - changes[..., :-1])[:, :, mask[:, 1:] != mask[:, :-1]]
                seam = down.square().sum(dim=(1, 2)) + across.square().sum(dim=(1, 2))
                tints.append(float((colour / inside).mean()))
                seams.append(float((seam / inside).mean()))
    before, after = torch.tensor([tints, seams]).reshape(2, -1, 2).unbind(dim=2)
    assert bool((after[0] < 0.1).all()), tints
    assert bool((after[1] < before[1] / 2).all()), seams


def test_they_are_confined_unless_told_otherwise() -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    for method, default in (("resefa-confined", 1.0), ("resefa", 0.0)):
        directions = found(generator, method)
        assert directions.confined == bool(default)
        assert (directions.steps_confined is not None) == directions.confined
        directions = resefa.with_confined_steps(generator, latent, directions)
        strengths: dict[int | str, float] = {0: 2.0}
        as_found = resefa.move(latent, directions, strengths)
        assert len(as_found.confined) == default
        image = resefa.edit(generator, latent, directions, strengths)
        assert torch.equal(image, generator.synthesize(as_found))
        assert torch.equal(image, resefa.edit(generator, latent, directions, strengths, confine=default))
        other = resefa.edit(generator, latent, directions, strengths, confine=1.0 - default)
        assert not torch.allclose(image, other, atol=1e-2)
        strips = resefa.sweep(generator, latent, directions, (2.0,))
        torch.testing.assert_close(strips[0], image)
        edits = edits_of(latent, directions)
        assert (edits.confine, edits.region is not None) == (default, bool(default))


def test_prepared_measures_the_steps_that_are_missing() -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    directions = found(generator)
    assert resefa.prepared(generator, latent, directions) is directions
    stripped = replace(directions, steps_confined=None)
    assert resefa.prepared(generator, latent, stripped, 0.0) is stripped
    for feather in (0.0, 0.1):
        again = resefa.prepared(generator, latent, stripped, feather=feather)
        assert again.steps_confined is not None
        same = torch.allclose(again.steps_confined, directions.steps_confined, rtol=1e-3)  # type: ignore[arg-type]
        assert same == (feather == 0.0)
    plain = found(generator, "resefa")
    assert resefa.prepared(generator, latent, plain) is plain
    with pytest.raises(resefa.ReSeFaError, match="no region"):
        resefa.move(latent, replace(directions, region=None), {0: 1.0})


def test_a_file_keeps_that_they_are_for_confined_edits(tmp_path: Path) -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    directions = found(generator, space="w+")
    directions.save(tmp_path / "confined.safetensors")
    loaded = Directions.load(tmp_path / "confined.safetensors")
    assert loaded.confined
    assert loaded[1].confined
    torch.testing.assert_close(
        resefa.edit(generator, latent, loaded, {1: 3.0}),
        resefa.edit(generator, latent, directions, {1: 3.0}, confine=1.0),
        atol=0.02,
        rtol=0.0,
    )


def test_a_step_makes_the_same_change_inside_confined_or_not() -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    directions = found(generator, space="w+", count=3)
    before = generator.synthesize(latent)
    mask = REGION.mask(16, 16)
    for index in range(3):
        for confine in (0.0, None):
            change = resefa.edit(generator, latent, directions, {index: 0.01}, confine) - before
            inside = (change.square().mean(dim=1) * mask).sum() / mask.sum()
            assert float(inside.sqrt()) == pytest.approx(0.001, rel=0.1)


def test_where_a_region_is_soft_the_edit_is() -> None:
    generator = tiny_stylegan2(64)
    latent = generator.sample(3)
    box = Region.from_box(0.25, 0.25, 0.5, 0.5)
    before = generator.synthesize(latent)
    jumps = []
    for region in (box, box.feather(0.06)):
        directions = find_directions(
            generator,
            latent,
            region,
            "resefa-confined",
            layers=[6, 7, 8],
            parameters={"colour": 1, "edge": 0, "regularization": 1e-4},
        )
        change = resefa.edit(generator, latent, directions, {0: 2.0}) - before
        across = (change[0, :, 1:, 20:44] - change[0, :, :-1, 20:44]).square().mean(dim=(0, 2)).sqrt()
        jumps.append(float(across[[15, 47]].mean() / across[20:43].mean()))
    assert jumps[0] > 2.0 * jumps[1]
