"""Objectives that leave a region's mean colour out of A, and count jumps at its edge in B."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.linalg
import torch
from models import reference_jacobian, reference_pencil, tiny_stylegan2
from torch import Tensor

import resefa_core as resefa
from resefa_core.analysis import DenseJacobian
from resefa_core.directions.objective import PAPER, SHAPE, SHAPE_ALONE, Objective
from resefa_core.solve import factorization

REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)
OBJECTIVES = (PAPER, SHAPE, SHAPE_ALONE, Objective(edge=True))
LAMBDA = 1e-3


def reference(
    jacobians: list[Tensor], region: resefa.Region, objective: Objective
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, B and B + aI from their definitions, pixel by pixel: sums over images, each over its tr(JᵀJ)."""
    a, b = 0.0, 0.0
    for jacobian in jacobians:
        height, width = jacobian.shape[2:]
        mask = region.mask(height, width).double().numpy()
        rows = jacobian.numpy()
        plain_a, plain_b = reference_pencil(jacobian, region, 0.0)
        scale = np.square(rows).sum()
        if not objective.colour:
            mean = (rows * mask).sum(axis=(2, 3)) / mask.sum()
            around = (rows - mean[:, :, None, None]) * np.sqrt(mask)
            plain_a = np.einsum("icyx,jcyx->ij", around, around)
        if objective.edge:
            for y in range(height):
                for x in range(width):
                    for below, right in ((1, 0), (0, 1)):
                        if y + below < height and x + right < width:
                            jump = rows[:, :, y, x] - rows[:, :, y + below, x + right]
                            plain_b = plain_b + abs(mask[y, x] - mask[y + below, x + right]) * jump @ jump.T
        a, b = a + plain_a / scale, b + plain_b / scale
    return a, b, b + LAMBDA * np.trace(b) * np.eye(len(b))


def quotients(found: resefa.Directions, a: np.ndarray, damped: np.ndarray) -> np.ndarray:
    vectors = found.vectors.flatten(1).double().numpy()
    return np.einsum("ki,ij,kj->k", vectors, a, vectors) / np.einsum("ki,ij,kj->k", vectors, damped, vectors)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda each: each.name)
@pytest.mark.parametrize("region", [REGION, REGION.feather(0.1), ~REGION], ids=["sharp", "soft", "around"])
@pytest.mark.parametrize("confined", [False, True], ids=["everywhere", "confined"])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["one", "two"])
def test_every_solver_finds_the_optima_of_a_float64_reference(
    objective: Objective, region: resefa.Region, confined: bool, seeds: tuple[int, ...]
) -> None:
    generator = tiny_stylegan2(16)
    latents = [generator.sample(seed) for seed in seeds]
    edits = region if confined else None
    every = tuple(range(generator.num_layers))
    rows = [reference_jacobian(generator, each, "w", every, 8, edits) for each in latents]
    a, _, damped = reference(rows, region, objective)
    optima = scipy.linalg.eigvalsh(a, damped)[::-1]
    formed = [
        resefa.compute_jacobian(generator, each, "w", kind="dense", confine_to=edits) for each in latents
    ]
    free = [
        resefa.compute_jacobian(generator, each, "w", kind="matrix-free", confine_to=edits)
        for each in latents
    ]
    answers = {
        solver: resefa.factorize(formed, region, 4, LAMBDA, objective=objective, solver=solver)  # type: ignore[arg-type]
        for solver in ("auto", "cholesky", "woodbury")
    }
    formed[0].prepare()
    answers["prepared"] = resefa.factorize(formed, region, 4, LAMBDA, objective=objective)
    for name, found in answers.items():
        assert found.objective == objective
        np.testing.assert_allclose(found.eigenvalues, optima[:4], rtol=2e-4, err_msg=name)
        np.testing.assert_allclose(quotients(found, a, damped), optima[:4], rtol=2e-4, err_msg=name)
    applied = resefa.factorize(free, region, 4, LAMBDA, objective=objective, max_passes=4000)
    assert (quotients(applied, a, damped) / optima[:4]).min() > 0.97


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda each: each.name)
@pytest.mark.parametrize("confined", [False, True], ids=["everywhere", "confined"])
def test_each_image_may_have_the_region_in_its_own_place(objective: Objective, confined: bool) -> None:
    generator = tiny_stylegan2(16)
    latents = [generator.sample(0), generator.sample(1)]
    regions = [REGION.feather(0.1), ~resefa.Region.from_box(0.5, 0.5, 0.3, 0.25)]
    every = tuple(range(generator.num_layers))
    a = b = np.zeros((8, 8))
    for latent, region in zip(latents, regions, strict=True):
        rows = reference_jacobian(generator, latent, "w", every, 8, region if confined else None)
        own = reference([rows], region, objective)
        a, b = a + own[0], b + own[1]
    damped = b + LAMBDA * np.trace(b) * np.eye(len(b))
    optima = scipy.linalg.eigvalsh(a, damped)[::-1]

    def analyses(kind: str) -> list[resefa.Jacobian]:
        return [
            resefa.compute_jacobian(
                generator,
                latent,
                "w",
                kind=kind,  # type: ignore[arg-type]
                confine_to=region if confined else None,
            )
            for latent, region in zip(latents, regions, strict=True)
        ]

    for solver in ("cholesky", "woodbury"):
        found = resefa.factorize(
            analyses("dense"),
            regions,
            4,
            LAMBDA,
            objective=objective,
            solver=solver,  # type: ignore[arg-type]
        )
        np.testing.assert_allclose(found.eigenvalues, optima[:4], rtol=2e-4, err_msg=solver)
        np.testing.assert_allclose(quotients(found, a, damped), optima[:4], rtol=2e-4, err_msg=solver)
        assert found.region is regions[0]
    applied = resefa.factorize(
        analyses("matrix-free"), regions, 4, LAMBDA, objective=objective, max_passes=4000
    )
    assert (quotients(applied, a, damped) / optima[:4]).min() > 0.97
    with pytest.raises(resefa.ParameterError, match="1 regions were given for 2"):
        resefa.factorize(analyses("dense"), regions[:1])
    if confined:
        with pytest.raises(resefa.JacobianError, match="confined to another region"):
            resefa.factorize(analyses("dense"), regions[::-1])


def test_a_spectrum_serves_objectives_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2(32, channels=24)
    latent = generator.sample(0)
    jacobian = resefa.compute_jacobian(generator, latent, "s", kind="dense")
    for region in (REGION, ~REGION):
        before = resefa.factorize(jacobian, region, 6, objective=SHAPE)
        with monkeypatch.context() as patched:
            jacobian.prepare()
            patched.setattr(factorization, "solve_cholesky", None)
            after = resefa.factorize(jacobian, region, 6, objective=SHAPE)
        torch.testing.assert_close(after.eigenvalues, before.eigenvalues, rtol=1e-5, atol=0.0)
        torch.testing.assert_close(after.vectors, before.vectors, rtol=0.0, atol=1e-4)
        jacobian._spectrum = None


@pytest.mark.parametrize("objective", [SHAPE, SHAPE_ALONE], ids=lambda each: each.name)
def test_block_davidson_reaches_the_optima_in_a_large_space(objective: Objective) -> None:
    generator = tiny_stylegan2(32, channels=24)
    latent = generator.sample(0)
    full = resefa.compute_jacobian(generator, latent, "s", kind="dense")
    free = resefa.compute_jacobian(generator, latent, "s", kind="matrix-free")
    assert isinstance(full, DenseJacobian)
    best = resefa.factorize(full, REGION, 4, LAMBDA, objective=objective)
    found = resefa.factorize(free, REGION, 4, LAMBDA, objective=objective, accuracy=0.999, max_passes=2000)
    a, _, damped = reference([full.matrix.double()], REGION, objective)
    assert (quotients(found, a, damped) / quotients(best, a, damped)).min() > 0.99


def test_what_is_reported_is_the_whole_change_whatever_counts() -> None:
    generator = tiny_stylegan2(16)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), "w", kind="dense")
    found = resefa.factorize(jacobian, REGION, 4, objective=SHAPE_ALONE)
    a, b, _ = reference([jacobian.formed().matrix.double()], REGION, PAPER)
    scale, mask = jacobian.trace, REGION.mask(16, 16)
    vectors = found.vectors.flatten(1).double().numpy()
    for told, matrix, pixels in ((found.inside, a, mask.sum()), (found.outside, b, (1 - mask).sum())):
        expected = np.einsum("ki,ij,kj->k", vectors, matrix, vectors) * scale / (3 * float(pixels))
        np.testing.assert_allclose(told, expected, rtol=1e-4)
    torch.testing.assert_close(found.inside.sqrt() * found.steps, torch.full((4,), 0.1), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_where_only_the_colour_changes_it_has_to_count(method: str) -> None:
    def halves(z: Tensor) -> Tensor:
        left = z[:, :3, None, None].expand(-1, 3, 4, 2)
        right = z[:, 3:, None, None].expand(-1, 3, 4, 2)
        return torch.cat([left, right], dim=3)

    generator = resefa.WrappedGenerator(halves, latent_dim=6)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), kind=method)  # type: ignore[arg-type]
    left = resefa.Region.from_box(0.0, 0.0, 0.5, 1.0)
    with pytest.raises(resefa.RegionError, match="mean colour"):
        resefa.factorize(jacobian, left, objective=SHAPE)
    assert len(resefa.factorize(jacobian, left, 3, objective=PAPER)) == 3


def test_the_colour_of_a_single_pixel_counts() -> None:
    generator = tiny_stylegan2(16)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), "w", kind="dense")
    pixel = resefa.Region.from_box(0.5, 0.5, 1 / 16, 1 / 16)
    one, other = (resefa.factorize(jacobian, pixel, 3, objective=each) for each in (PAPER, SHAPE))
    torch.testing.assert_close(one.vectors, other.vectors)


def test_names_of_objectives_are_read_back() -> None:
    for objective in OBJECTIVES:
        assert Objective.from_name(objective.name) == objective
    for wrong in ("", "papers", None, 1):
        with pytest.raises(resefa.ParameterError, match="is unknown"):
            Objective.from_name(wrong)


def test_a_file_says_the_objective_and_one_that_does_not_means_the_papers() -> None:
    generator = tiny_stylegan2(16)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), "w", kind="dense")
    for objective in OBJECTIVES:
        found = resefa.factorize(jacobian, REGION, 2, objective=objective)
        data = found.to_bytes()
        assert (b"resefa.objective" in data) == (objective != PAPER)
        assert resefa.Directions.from_bytes(data).objective == objective
    damaged = found.to_bytes().replace(b"paper+edge", b"paper+edgy")
    with pytest.raises(resefa.DirectionFileError, match="objective"):
        resefa.Directions.from_bytes(damaged)
    assert dataclasses.replace(found, objective=PAPER).objective == PAPER
