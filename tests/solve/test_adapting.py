"""Directions of other images, adapted to one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import reference_jacobian, tiny_stylegan2

import resefa_core as resefa
from resefa_core.analysis import DenseJacobian
from resefa_core.cli import main
from resefa_core.directions.effects import effect_of
from resefa_core.session import Session
from resefa_core.solve import adapt

REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.3)
LAMBDA = 1e-3


@pytest.mark.parametrize("space", ["w", "w+", "s"])
def test_what_changes_inside_stays_and_the_least_leaks(space: str) -> None:
    generator = tiny_stylegan2()
    joint = resefa.find_directions(
        generator, [generator.sample(seed) for seed in (1, 2)], REGION, space=space, num_directions=3
    )
    latent = generator.sample(5)
    jacobian = resefa.compute_jacobian(generator, latent, space)
    adapted = adapt(jacobian, joint, LAMBDA)

    layers, size = joint.layers, jacobian.dimension
    rows = reference_jacobian(generator, latent, space, layers, size).double()
    mask = REGION.mask(rows.shape[2], rows.shape[3]).double()
    inside, outside = ((rows * part.sqrt()).flatten(1) for part in (mask, 1.0 - mask))
    a, b = inside @ inside.T, outside @ outside.T
    given, found = (each.vectors.flatten(1).double() for each in (joint, adapted))
    damped = b + LAMBDA * b.trace() * torch.eye(size, dtype=b.dtype)
    expected = torch.linalg.solve(damped, a @ given.T).T
    torch.testing.assert_close(found, expected / expected.norm(dim=1, keepdim=True), atol=1e-4, rtol=1e-3)

    moved, before = (each * s.double()[:, None] for each, s in ((found, adapted.steps), (given, joint.steps)))
    alike = ((moved @ inside) * (before @ inside)).sum(dim=1)
    torch.testing.assert_close(alike, (before @ inside).square().sum(dim=1), rtol=1e-3, atol=1e-8)
    leaks = [(each @ damped * each).sum(dim=1) for each in (moved, before)]
    assert bool((leaks[0] < leaks[1]).all())
    values = 3.0 * torch.stack([mask.sum(), (1.0 - mask).sum()])
    for told, energy, count in (adapted.inside, a, values[0]), (adapted.outside, b, values[1]):
        expected = (found @ energy * found).sum(dim=1) / count
        torch.testing.assert_close(told.double(), expected, rtol=1e-3, atol=1e-9)
    assert (adapted.names, adapted.seeds, adapted.recipe) == (joint.names, joint.seeds, None)


def test_what_does_not_change_this_region_stays() -> None:
    generator = tiny_stylegan2()
    jacobian = resefa.compute_jacobian(generator, generator.sample(5), "w").formed()
    found = resefa.factorize(jacobian, REGION, 2)
    still = jacobian.matrix.clone()
    vector = found.vectors[1]
    still -= torch.einsum("d,e,eczy->dczy", vector, vector, still)
    without = DenseJacobian(still, jacobian.subject)
    adapted = adapt(without, found)
    torch.testing.assert_close(adapted.vectors[1], vector)
    torch.testing.assert_close(adapted.steps[1], found.steps[1])
    assert not torch.allclose(adapted.vectors[0], found.vectors[0], atol=1e-3)


def test_what_cannot_be_adapted_is_told() -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(5)
    jacobian = resefa.compute_jacobian(generator, latent, "w")
    found = resefa.factorize(jacobian, REGION, 2)
    confined = resefa.find_directions(generator, latent, REGION, "resefa-confined", space="w")
    with pytest.raises(resefa.RegionError, match="no region"):
        adapt(jacobian, replace(found, region=None))
    with pytest.raises(resefa.ParameterError, match="confined"):
        adapt(jacobian, confined)
    with pytest.raises(resefa.JacobianError, match="expected w on layers"):
        adapt(resefa.compute_jacobian(generator, latent, "w+"), found)
    with pytest.raises(resefa.JacobianError, match="of 2 images"):
        adapt(resefa.compute_jacobian(generator, generator.sample([5, 6]), "w"), found)
    with pytest.raises(resefa.ParameterError, match="regularization"):
        adapt(jacobian, found, -1.0)


def test_a_session_and_the_command_line_adapt_what_comes_along(
    avatars: resefa.Generator, tmp_path: Path
) -> None:
    session = Session(avatars, seed=13)
    mouth = session.find("mouth", space="w", samples=2, count=1)
    session.set_image(35)
    adapted = session.adapted(mouth)
    assert adapted.region is not None
    here = session.here(mouth).region
    assert here is not None
    assert torch.equal(adapted.region.mask(64, 64), here.mask(64, 64))
    ratios = []
    for directions in session.here(mouth), adapted:
        session.edit(directions, {0: 2.0})
        ratios.append(effect_of(session.before, [session.image], adapted.region).ratio)
        session.undo()
    assert ratios[1] > 1.5 * ratios[0]

    file = tmp_path / "mouth.safetensors"
    mouth.save(file)
    drawn = tmp_path / "adapted.png"
    command = ["edit", str(file), "--seed", "35", "--move", "0=3", "-o"]
    assert main([*command, str(drawn), "--adapt"]) == 0
    assert main([*command, str(tmp_path / "as-it-is.png")]) == 0
    assert drawn.read_bytes() != (tmp_path / "as-it-is.png").read_bytes()
