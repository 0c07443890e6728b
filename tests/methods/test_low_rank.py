"""LowRankGAN against a plain numpy program, and robust PCA by what defines its optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import reference_jacobian, tiny_stylegan2
from numpy.typing import NDArray
from torch import Tensor

import resefa_core as resefa
from resefa_core import ParameterError, Region, RegionError, find_directions
from resefa_core.methods.low_rank import projected
from resefa_core.methods.robust_pca import robust_pca

REGION = Region.from_box(0.25, 0.25, 0.5, 0.25)
Matrix = NDArray[np.float64]


def planted(size: int, rank: int, corrupted: int) -> tuple[Tensor, Tensor]:
    """A symmetric low-rank and a symmetric sparse matrix."""
    noise = np.random.default_rng(0)
    factor = noise.standard_normal((size, rank))
    sparse = np.zeros((size, size))
    rows, columns = noise.integers(0, size, (2, corrupted))
    sparse[rows, columns] = noise.choice([-1.0, 1.0], corrupted) * noise.uniform(5, 20, corrupted)
    return torch.from_numpy(factor @ factor.T), torch.from_numpy(sparse + sparse.T)


def test_a_planted_low_rank_and_a_sparse_matrix_are_told_apart() -> None:
    low, sparse = planted(60, 3, 90)
    found = robust_pca(low + sparse, 1 / 60**0.5)
    assert len(found.values) == 3
    torch.testing.assert_close(found.low_rank, low, rtol=0, atol=1e-2)
    torch.testing.assert_close(found.sparse, sparse, rtol=0, atol=1e-2)
    assert bool(((found.sparse.abs() > 0.1) == (sparse != 0)).all())


@pytest.mark.parametrize("weight", [0.12, 0.2, 0.3])
def test_the_optimum_meets_its_conditions(weight: float) -> None:
    """L + S = M, and one multiplier is a subgradient of both norms there."""
    noise = torch.Generator().manual_seed(0)
    rows = torch.randn(24, 40, generator=noise, dtype=torch.float64) * torch.logspace(0, -3, 40)
    matrix = rows @ rows.T
    found = robust_pca(matrix, weight, max_iterations=3000)
    low, sparse, dual = found.low_rank, found.sparse, found.multiplier
    assert found.iterations < 3000
    assert 0 < len(found.values) < 24
    torch.testing.assert_close(low + sparse, matrix, rtol=0, atol=1e-4 * float(matrix.norm()))
    nuclear, total = float(found.values.abs().sum()), float(sparse.abs().sum())
    assert float(torch.linalg.matrix_norm(dual, 2)) <= 1 + 1e-3
    assert float(dual.abs().max()) <= weight * (1 + 1e-3)
    assert float((dual * low).sum()) == pytest.approx(nuclear, rel=1e-3)
    assert float((dual * sparse).sum()) == pytest.approx(weight * total, rel=1e-3, abs=1e-3)
    torch.testing.assert_close(found.vectors.T @ found.vectors, torch.eye(len(found.values)).double())


def test_iterations_are_bounded_and_counted() -> None:
    low, sparse = planted(30, 2, 20)
    seen: list[tuple[int, int]] = []
    assert robust_pca(low + sparse, 0.2, 7, lambda d, t: seen.append((d, t))).iterations == 7
    assert seen == [(index, 7) for index in range(1, 8)]


def split(matrix: Matrix, weight: float) -> Matrix:
    """The low-rank part, as the method's authors compute it: penalty fixed, singular values."""
    penalty = matrix.size / (4 * np.linalg.norm(matrix, ord=1))
    sparse, dual = np.zeros_like(matrix), np.zeros_like(matrix)
    for _ in range(2000):
        left, sizes, right = np.linalg.svd(matrix - sparse - dual / penalty)
        low = (left * np.maximum(sizes - 1 / penalty, 0)) @ right
        rest = matrix - low - dual / penalty
        sparse = np.sign(rest) * np.maximum(np.abs(rest) - weight / penalty, 0)
        dual = dual + penalty * (low + sparse - matrix)
    return low


@pytest.mark.parametrize("fuse", [0, 1])
@pytest.mark.parametrize("relaxation", [0, 2])
def test_directions_are_those_of_a_plain_program(fuse: int, relaxation: int) -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    every = tuple(range(generator.num_layers))
    jacobian = reference_jacobian(generator, latent, "w", every, 8)
    if fuse:
        jacobian = jacobian.mean(dim=1, keepdim=True)
    mask = REGION.mask(16, 16) > 0.5
    parts = []
    weight = 0.9 / 8**0.5
    for chosen in (mask, ~mask):
        rows = jacobian[:, :, chosen].flatten(1).numpy()
        low = split(rows @ rows.T, weight)
        sizes, right = np.linalg.svd(low)[1:]
        parts.append((right, int((sizes > 1e-6 * sizes[0]).sum())))
    (region, rank), (rest, rank_rest) = parts
    null = rest[min(max(1, rank_rest - relaxation), 7) :].T
    expected = region[:rank] @ null @ null.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert rank > 1
    assert rank_rest > 2

    found = find_directions(
        generator,
        latent,
        REGION,
        "lowrankgan",
        parameters={"lambda": 0.9, "relaxation": relaxation, "fuse_channels": fuse},
    )
    cosines = np.abs((found.vectors.double().numpy() * expected[: len(found)]).sum(axis=1))
    assert len(found) == rank
    np.testing.assert_allclose(cosines, 1.0, atol=1e-4)


def test_projected_directions_leave_the_rests_dominant_ones_alone() -> None:
    noise = torch.Generator().manual_seed(0)

    def orthonormal(count: int) -> Tensor:
        return torch.linalg.qr(torch.randn(12, count, generator=noise, dtype=torch.float64))[0]

    region, rest = orthonormal(4), orthonormal(6)
    for relaxation, protected in ((0, 6), (2, 4), (6, 1), (50, 1)):
        vectors = projected(region, rest, relaxation)
        assert vectors.shape == (4, 12)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4).double())
        overlap = (vectors @ rest).abs().amax(dim=0)
        assert float(overlap[:protected].max()) < 1e-12
        assert float(overlap[protected:].min()) > 1e-3 if protected < 6 else True
    assert len(projected(rest[:, :3], rest, 0)) == 0
    assert projected(region, rest[:, :0], 0).shape == (4, 12)
    whole = torch.linalg.qr(torch.randn(12, 12, generator=noise, dtype=torch.float64))[0]
    vectors = projected(region, whole, 0)
    assert float((vectors @ whole)[:, :11].abs().max()) < 1e-6


def test_spaces_that_are_too_large_and_a_lambda_that_leaves_nothing_are_refused(
    avatars: resefa.Generator,
) -> None:
    large = resefa.StyleGAN2(img_resolution=64, channel_base=1024, num_mapping_layers=1)
    with pytest.raises(ParameterError, match="at most 2048"):
        find_directions(large, large.sample(0), REGION, "lowrankgan", space="w+")
    with pytest.raises(RegionError, match="raise lambda"):
        find_directions(avatars, avatars.sample(0), REGION, "lowrankgan", parameters={"lambda": 0.01})
