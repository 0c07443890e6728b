from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from dcgan import FACE_SEED, MOUTH, load_dcgan
from models import reference_jacobian, reference_pencil, tiny_stylegan2
from torch import Tensor

import resefa_core as resefa
from resefa_core.analysis import DenseJacobian
from resefa_core.solve import eigen, factorization, pencil

REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)
LAMBDA = 1e-4


def dense(generator: resefa.Generator, latent: resefa.Latent, space: str | None = None, layers=None):  # type: ignore[no-untyped-def]
    return resefa.compute_jacobian(generator, latent, space, layers, kind="dense")


def assert_matches_reference(jacobian: resefa.Jacobian, reference: Tensor, region: resefa.Region) -> None:
    assert isinstance(jacobian, DenseJacobian)
    jacobian.prepare()
    a, b = reference_pencil(reference, region, LAMBDA)
    values, vectors = scipy.linalg.eigh(a, b)
    values, vectors = values[::-1], vectors[:, ::-1]
    for solver in ("auto", "cholesky", "woodbury"):
        found = resefa.factorize(jacobian, region, 8, LAMBDA, solver=solver)  # type: ignore[arg-type]
        quotients = found.eigenvalues.double().numpy()
        np.testing.assert_allclose(quotients, values[: len(found)], rtol=1e-4)
        for i, vector in enumerate(found.vectors.flatten(1).double().numpy()):
            gaps = np.abs(np.delete(values, i) - values[i]) / values[i]
            if gaps.min() > 0.02:
                expected = vectors[:, i] / np.linalg.norm(vectors[:, i])
                angle = np.linalg.norm(vector - expected * np.sign(expected @ vector))
                assert angle < 1e-3, f"direction {i} by {solver} is {angle:.1e} off"


@pytest.fixture(scope="module")
def found_and_reference(avatars: resefa.Generator) -> tuple[resefa.Jacobian, Tensor]:
    latent = avatars.sample(0, truncation=0.7)
    found = dense(avatars, latent, "w")
    return found, reference_jacobian(avatars, latent, "w", found.layers, found.dimension)


@pytest.mark.parametrize("preset", ["mouth", "eyes"])
def test_directions_match_a_float64_reference_on_the_bundled_generator(
    found_and_reference: tuple[resefa.Jacobian, Tensor], preset: str
) -> None:
    assert_matches_reference(*found_and_reference, resefa.Region.preset(preset))


def test_layered_directions_match_a_float64_reference_on_the_bundled_generator(
    avatars: resefa.Generator,
) -> None:
    latent = avatars.sample(1, truncation=0.7)
    layers = tuple(range(avatars.num_layers - 3, avatars.num_layers))
    found = dense(avatars, latent, "w+", layers)
    assert found.dimension > eigen._SMALL
    reference = reference_jacobian(avatars, latent, "w+", layers, found.dimension)
    assert_matches_reference(found, reference, resefa.Region.preset("mouth"))


def test_directions_match_a_float64_reference_on_natural_faces() -> None:
    generator = load_dcgan()
    latent = generator.sample(FACE_SEED)
    reference = reference_jacobian(generator, latent, "z", (0,), 64)
    assert_matches_reference(dense(generator, latent), reference, resefa.Region.from_box(*MOUTH))


@pytest.mark.parametrize("box", [(0.25, 0.25, 0.5, 0.375), (0.05, 0.05, 0.9, 0.85)])
def test_a_prepared_jacobian_gives_the_same_directions(
    box: tuple[float, float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = tiny_stylegan2(32, channels=24)
    jacobian, region = dense(generator, generator.sample(0), "s"), resefa.Region.from_box(*box)
    assert jacobian.spectrum is None
    before = resefa.factorize(jacobian, region, 6)
    jacobian.prepare()
    assert jacobian.spectrum.rotated.dimension < jacobian.dimension, "some directions change nothing"
    monkeypatch.setattr(factorization, "solve_cholesky", None)
    for row_bytes in (pencil._ROW_BYTES, 0):
        monkeypatch.setattr(pencil, "_ROW_BYTES", row_bytes)
        after = resefa.factorize(jacobian, region, 6)
        torch.testing.assert_close(after.eigenvalues, before.eigenvalues, rtol=1e-5, atol=0.0)
        torch.testing.assert_close(after.inside, before.inside, rtol=1e-4, atol=0.0)
        torch.testing.assert_close(after.outside, before.outside, rtol=1e-4, atol=0.0)
        torch.testing.assert_close(after.vectors, before.vectors, rtol=0.0, atol=1e-4)


def test_a_prepared_jacobian_takes_its_share_of_memory_and_moves_with_it() -> None:
    generator = tiny_stylegan2(16)
    jacobian = dense(generator, generator.sample(0))
    alone = jacobian.nbytes
    beats: list[int] = []
    jacobian.prepare(lambda done, total: beats.append(done))
    spectrum = jacobian.spectrum
    assert (
        jacobian.nbytes == alone + spectrum.basis.nbytes + spectrum.squares.nbytes + spectrum.rotated.nbytes
    )
    assert jacobian.nbytes <= 3 * alone
    assert beats
    expected = spectrum.basis.T @ jacobian.matrix.flatten(1).double()
    torch.testing.assert_close(spectrum.rotated.matrix.flatten(1).double(), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(spectrum.rotated.gram(), expected @ expected.T, rtol=1e-6, atol=1e-9)
    elsewhere = jacobian.to("meta").spectrum
    assert elsewhere.rotated.device == torch.device("meta")


def test_soft_masks_weigh_pixels() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    reference = reference_jacobian(generator, latent, "w+", tuple(range(6)), 48)
    assert_matches_reference(dense(generator, latent), reference, REGION.feather(0.1))


def test_directions_are_unit_vectors_with_a_positive_largest_entry_best_first() -> None:
    generator = tiny_stylegan2(16)
    found = resefa.factorize(dense(generator, generator.sample(0)), REGION, 10)
    flat = found.vectors.flatten(1)
    torch.testing.assert_close(flat.norm(dim=1), torch.ones(10))
    assert (flat.gather(1, flat.abs().argmax(dim=1, keepdim=True)) > 0).all()
    assert found.eigenvalues.diff().max() <= 0
    assert found.space == "w+"
    assert found.vectors.shape == (10, 6, 8)


def test_reported_change_is_the_change_of_the_image_and_a_step_makes_a_tenth_inside() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    found = resefa.factorize(dense(generator, latent, "w"), REGION, 3)
    mask = REGION.mask(16, 16)
    tiny = 1e-2
    before = generator.synthesize(latent)
    for i in range(3):
        after = generator.synthesize(resefa.move(latent, found, {i: tiny}))
        square = ((after - before)[0] / (tiny * found.steps[i])).square().mean(dim=0)
        inside = (square * mask).sum() / mask.sum()
        outside = (square * (1 - mask)).sum() / (1 - mask).sum()
        assert inside == pytest.approx(float(found.inside[i]), rel=0.05)
        assert outside == pytest.approx(float(found.outside[i]), rel=0.05)
        assert float(inside.sqrt() * found.steps[i]) == pytest.approx(0.1, rel=0.05)


def test_several_images_are_solved_as_the_sum_of_their_normalized_grams() -> None:
    generator = tiny_stylegan2(16)
    latents = [generator.sample(seed) for seed in (0, 1, 2)]
    jacobians = [dense(generator, latent, "w") for latent in latents]
    a, b = np.zeros((8, 8)), np.zeros((8, 8))
    for latent in latents:
        reference = reference_jacobian(generator, latent, "w", tuple(range(6)), 8)
        inside, outside = reference_pencil(reference, REGION, 0.0)
        a += inside / reference.square().sum().item()
        b += outside / reference.square().sum().item()
    values = scipy.linalg.eigvalsh(a, b + LAMBDA * np.trace(b) * np.eye(8))[::-1]
    found = resefa.factorize(jacobians, REGION, 8, LAMBDA)
    np.testing.assert_allclose(found.eigenvalues.double(), values, rtol=1e-4)
    assert (found.num_samples, found.seeds, found.base_codes) == (3, (0, 1, 2), None)
    alone = [resefa.factorize(j, REGION, 8) for j in jacobians]
    assert all(one.num_samples == 1 and one.base_codes is not None for one in alone)


def test_one_image_given_twice_is_that_image() -> None:
    generator = tiny_stylegan2(16)
    jacobian = dense(generator, generator.sample(0))
    once, twice = resefa.factorize(jacobian, REGION, 4), resefa.factorize([jacobian, jacobian], REGION, 4)
    torch.testing.assert_close(once.vectors, twice.vectors, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(once.steps, twice.steps)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_the_matrix_free_solution_reaches_the_dense_optimum(seeds: tuple[int, ...]) -> None:
    generator = tiny_stylegan2(32, channels=24)
    latents = [generator.sample(seed) for seed in seeds]
    full = [resefa.compute_jacobian(generator, latent, "s", kind="dense") for latent in latents]
    free = [resefa.compute_jacobian(generator, latent, "s", kind="matrix-free") for latent in latents]
    best = resefa.factorize(full, REGION, 6, LAMBDA)
    found = resefa.factorize(free, REGION, 6, LAMBDA, accuracy=0.999, max_passes=2 * full[0].dimension)
    total_a, total_b = 0.0, 0.0
    for each in full:
        assert isinstance(each, resefa.analysis.DenseJacobian)
        a = each.gram(REGION.mask(32, 32))
        total_a, total_b = total_a + a / each.trace, total_b + (each.gram() - a) / each.trace
    vectors = found.vectors.double()
    inside = (vectors @ total_a * vectors).sum(1)
    outside = (vectors @ total_b * vectors).sum(1) + LAMBDA * total_b.trace()
    ratios = (inside / outside) / best.eigenvalues.double()
    assert ratios.min() > 0.995


def test_the_matrix_free_solution_of_the_bundled_generator_takes_a_third_of_the_passes(
    avatars: resefa.Generator,
) -> None:
    latent = avatars.sample(0, truncation=0.7)
    region = resefa.Region.preset("mouth")
    jacobian = resefa.compute_jacobian(avatars, latent, "w+", kind="matrix-free")
    seen: list[tuple[int, int]] = []
    found = resefa.factorize(jacobian, region, 4, LAMBDA, progress=lambda d, t: seen.append((d, t)))
    assert jacobian.passes <= jacobian.dimension // 3
    assert seen[-1][0] == seen[-1][1]
    optimum = resefa.factorize(dense(avatars, latent, "w+"), region, 4, LAMBDA)
    assert (found.inside / optimum.inside).min() > 0.5
    assert (found.eigenvalues / optimum.eigenvalues).min() > 0.9


def test_a_search_that_begins_near_its_end_takes_fewer_passes(avatars: resefa.Generator) -> None:
    region, layers = resefa.Region.preset("mouth"), range(2, 6)
    latent = avatars.sample(0, truncation=0.7)
    jacobian = resefa.compute_jacobian(avatars, latent, "w+", layers, kind="matrix-free")
    analysed = jacobian.passes
    cold = resefa.factorize(jacobian, region, 4)
    first = jacobian.passes - analysed
    warm = resefa.factorize(jacobian, region, 4, start=cold)
    assert jacobian.passes - analysed - first < 0.7 * first
    assert bool((warm.eigenvalues > 0.995 * cold.eigenvalues).all())


def test_a_start_of_another_space_is_refused() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    start = resefa.factorize(resefa.compute_jacobian(generator, latent, "w"), REGION, 2)
    jacobian = resefa.compute_jacobian(generator, latent, "w+", kind="matrix-free")
    with pytest.raises(resefa.JacobianError, match=r"a start in w on layers .* was given: expected w\+"):
        resefa.factorize(jacobian, REGION, 2, start=start)


def test_a_large_operator_whose_krylov_space_does_not_settle_is_decomposed_after_all() -> None:
    noise = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(300, 300, generator=noise, dtype=torch.float64))[0]
    values = 1.0 + 1e-9 * torch.arange(300, dtype=torch.float64)
    matrix = (basis * values) @ basis.T
    _, top = eigen.top_eigenvectors(lambda block: matrix @ block, matrix, 4)
    torch.testing.assert_close(top.T @ top, torch.eye(4, dtype=torch.float64))
    assert float((top.T @ matrix @ top).diagonal().min()) > values[-1] - 5e-9


def test_directions_that_change_nothing_are_left_out() -> None:
    generator = resefa.WrappedGenerator(_left_and_right, latent_dim=6)
    found = resefa.factorize(
        dense(generator, generator.sample(0)), resefa.Region.from_box(0.0, 0.0, 0.5, 1.0), 6
    )
    assert len(found) == 2
    assert found.vectors.abs()[:, 2:].max() < 1e-4


def _left_and_right(z: Tensor) -> Tensor:
    """The first two entries paint the left half, the next two the right half, the others nothing."""
    colours = torch.cat([z[:, :4], z[:, :1] * 0.0 + 0.0, z[:, 2:3]], dim=1)
    left, right = colours[:, [0, 1, 4]], colours[:, [2, 3, 4]]
    return torch.stack([left, left, right, right], dim=2)[:, :, None].expand(-1, 3, 4, 4)


def test_a_region_that_does_not_respond_is_refused() -> None:
    def right_only(z: Tensor) -> Tensor:
        paint = z.mean(dim=1).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 2)
        return torch.cat([torch.zeros_like(paint), paint], dim=3)

    generator = resefa.WrappedGenerator(right_only, latent_dim=3)
    left = resefa.Region.from_box(0.0, 0.0, 0.5, 1.0)
    for method in ("dense", "matrix-free"):
        jacobian = resefa.compute_jacobian(generator, generator.sample(0), kind=method)  # type: ignore[arg-type]
        with pytest.raises(resefa.RegionError, match="does not respond here"):
            resefa.factorize(jacobian, left)
        with pytest.raises(resefa.RegionError, match="nothing is left outside"):
            resefa.factorize(jacobian, ~left)


@pytest.mark.parametrize("solver", ["auto", "cholesky", "woodbury"])
def test_without_regularization_a_singular_pencil_is_refused_and_another_is_solved(solver: str) -> None:
    generator = resefa.WrappedGenerator(_left_and_right, latent_dim=4)
    jacobian = dense(generator, generator.sample(0))
    left = resefa.Region.from_box(0.0, 0.0, 0.5, 1.0)
    jacobian.prepare()
    with pytest.raises(resefa.RegionError, match="singular"):
        resefa.factorize(jacobian, left, regularization=0.0, solver=solver)  # type: ignore[arg-type]
    style = tiny_stylegan2(16)
    latent = style.sample(0)
    found = resefa.factorize(dense(style, latent, "w"), REGION, 8, 0.0, solver=solver)  # type: ignore[arg-type]
    a, b = reference_pencil(reference_jacobian(style, latent, "w", tuple(range(6)), 8), REGION, 0.0)
    np.testing.assert_allclose(found.eigenvalues.double(), scipy.linalg.eigvalsh(a, b)[::-1], rtol=1e-3)


def test_numbers_out_of_range_and_jacobians_that_do_not_belong_together_are_refused() -> None:
    generator = tiny_stylegan2(16)
    jacobian = dense(generator, generator.sample(0), "w")
    for wrong in (
        {"num_directions": 0},
        {"num_directions": 513},
        {"regularization": -1.0},
        {"accuracy": 1.0},
        {"solver": "qr"},
    ):
        with pytest.raises(resefa.ParameterError):
            resefa.factorize(jacobian, REGION, **wrong)  # type: ignore[arg-type]
    with pytest.raises(resefa.JacobianError, match="no Jacobians"):
        resefa.factorize([], REGION)
    with pytest.raises(resefa.JacobianError, match="different space"):
        resefa.factorize([jacobian, dense(generator, generator.sample(0), "w+")], REGION)
    with pytest.raises(resefa.JacobianError, match="different layers"):
        resefa.factorize([jacobian, dense(generator, generator.sample(0), "w", [1])], REGION)
    other = tiny_stylegan2(16, seed=5)
    with pytest.raises(resefa.JacobianError, match="different generators"):
        resefa.factorize([jacobian, dense(other, other.sample(0), "w")], REGION)
    free = resefa.compute_jacobian(generator, generator.sample(0), "w", kind="matrix-free")
    with pytest.raises(resefa.JacobianError, match="can't be solved together"):
        resefa.factorize([jacobian, free], REGION)
    with pytest.raises(resefa.RegionError, match="needs a dense"):
        resefa.factorize(free, REGION, regularization=0.0)


def test_it_works_in_inference_mode() -> None:
    generator = tiny_stylegan2(16)
    expected = resefa.factorize(dense(generator, generator.sample(0)), REGION, 3)
    with torch.inference_mode():
        found = resefa.factorize(dense(generator, generator.sample(0)), REGION, 3)
        assert not found.vectors.is_inference()
    torch.testing.assert_close(found.vectors, expected.vectors, atol=1e-4, rtol=1e-3)
