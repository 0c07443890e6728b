from __future__ import annotations

import copy
import time
from pathlib import Path

import pytest
import torch
from models import reference_jacobian, slope_along, tiny_stylegan2

import resefa_core as resefa
from resefa_core.analysis import DenseJacobian, ImageDerivative, MatrixFreeJacobian, load_jacobian
from resefa_core.analysis.sketch import SKETCH_SIZE
from resefa_core.precision import analysis_mode


def dense(generator: resefa.Generator, latent: resefa.Latent, space: str | None = None, layers=None, **more):  # type: ignore[no-untyped-def]
    found = resefa.compute_jacobian(generator, latent, space, layers, kind="dense", **more)
    assert isinstance(found, DenseJacobian)
    return found


@pytest.mark.parametrize(
    ("space", "layers"),
    [(s, None) for s in ("w", "w+", "s", "z")] + [(s, (1, 2, 4)) for s in ("w", "w+", "s")],
)
def test_the_dense_jacobian_equals_jacfwd_over_everything(space: str, layers: tuple[int, ...] | None) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(2, truncation=0.8, truncation_layers=3)
    found = dense(generator, latent, space, layers)
    expected = reference_jacobian(generator, latent, space, found.layers, found.dimension)
    torch.testing.assert_close(found.matrix.double(), expected, atol=2e-4, rtol=1e-3)
    assert found.passes == found.dimension


def test_layers_with_fewer_channels_than_code_entries_are_analysed_through_their_channels() -> None:
    generator = tiny_stylegan2(32, channels=2)
    assert min(generator.layer_sizes) < generator.latent_dim
    latent = generator.sample(0)
    found = dense(generator, latent, "w+")
    expected = reference_jacobian(generator, latent, "w+", found.layers, found.dimension)
    torch.testing.assert_close(found.matrix.double(), expected, atol=2e-4, rtol=1e-3)


def test_the_latents_own_moves_are_part_of_the_analysed_point() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(2)
    directions = resefa.factorize(dense(generator, latent, "s"), resefa.Region.from_box(0, 0, 0.5, 1), 2)
    moved = resefa.move(latent, directions, {0: 2.0})
    assert not torch.allclose(dense(generator, moved, "w").matrix, dense(generator, latent, "w").matrix)


def test_confined_moves_are_differentiated_through_their_gates() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(2)
    region = resefa.Region.from_box(0, 0, 0.5, 1)
    directions = resefa.factorize(dense(generator, latent, "w+"), region, 1, 1e-3)
    directions = resefa.with_confined_steps(generator, latent, directions)
    confined = resefa.move(latent, directions, {0: 2.0}, confine=0.7)
    unit = torch.zeros_like(latent.codes)
    unit[0, 0, 0] = 1.0
    slope = slope_along(generator, confined, unit)[0].float()
    torch.testing.assert_close(dense(generator, confined, "w", [0]).matrix[0], slope, atol=2e-4, rtol=1e-3)


def test_images_above_256_pixels_are_averaged_over_areas() -> None:
    generator = tiny_stylegan2(512, channels=2)
    latent = generator.sample(0)
    found = dense(generator, latent, "w", [3])
    assert (found.height, found.width) == (256, 256)
    free = resefa.compute_jacobian(generator, latent, "w", [3], kind="matrix-free")
    noise = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, found.dimension, generator=noise)
    images = torch.randn(2, 3, 256, 256, generator=noise)
    torch.testing.assert_close(free.jvp(vectors), found.jvp(vectors), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(free.vjp(images), found.vjp(images), atol=1e-2, rtol=1e-3)


def test_a_matrix_free_jacobian_applies_the_dense_one_and_counts_its_passes() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(2)
    full = dense(generator, latent, "w+")
    free = resefa.compute_jacobian(generator, latent, "w+", kind="matrix-free")
    assert isinstance(free, MatrixFreeJacobian)
    probes = min(SKETCH_SIZE, free.dimension)
    assert free.passes == 4 * probes
    noise = torch.Generator().manual_seed(0)
    vectors, images = torch.randn(3, 48, generator=noise), torch.randn(5, 3, 16, 16, generator=noise)
    torch.testing.assert_close(free.jvp(vectors), full.jvp(vectors), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(free.vjp(images), full.vjp(images), atol=1e-3, rtol=1e-3)
    assert free.passes == 4 * probes + 3 + 2 * 5
    assert free.trace == pytest.approx(full.trace, rel=0.5)


def test_gram_matrices_take_soft_weights_and_sum_to_the_whole() -> None:
    """Rows are weighted in float32: a square root and a product are each rounded by at most half of eps, so
    that an entry of the Gram matrix is off by at most 2 eps of its two rows' norms."""
    generator = tiny_stylegan2(16)
    found = dense(generator, generator.sample(0), "w")
    mask = resefa.Region.from_box(0.2, 0.2, 0.5, 0.5).feather(0.1).mask(16, 16)
    rows = found.matrix.flatten(2).double() * mask.flatten().double().sqrt()
    expected = rows.flatten(1) @ rows.flatten(1).T
    norms = found.gram().diagonal().sqrt()
    bound = 2 * torch.finfo(torch.float32).eps * torch.outer(norms, norms)
    assert ((found.gram(mask) - expected).abs() <= bound).all()
    assert ((found.gram(mask) + found.gram(1.0 - mask) - found.gram()).abs() <= bound).all()


def test_a_small_memory_budget_changes_the_chunks_but_not_the_result() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    large, small = (dense(generator, latent, "w", memory_budget=b) for b in (1 << 30, 1))
    torch.testing.assert_close(large.matrix, small.matrix, atol=1e-4, rtol=1e-4)


def test_the_method_is_chosen_by_memory_and_can_be_overridden() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    cost = resefa.estimate(generator, latent, "w+")
    assert (cost.dimension, cost.dense_bytes) == (48, 48 * 3 * 16 * 16 * 4)
    roomy = resefa.compute_jacobian(generator, latent, "w+", memory_budget=2 * cost.dense_bytes)
    tight = resefa.compute_jacobian(generator, latent, "w+", memory_budget=2 * cost.dense_bytes - 2)
    assert (roomy.kind, tight.kind) == ("dense", "matrix-free")
    with pytest.raises(resefa.ParameterError, match="unknown"):
        resefa.compute_jacobian(generator, latent, method="sparse")  # type: ignore[arg-type]


def test_what_else_the_machine_does_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2(16)
    push = ImageDerivative.push_styles

    def late(operator: ImageDerivative, tangents: dict[int, torch.Tensor]) -> torch.Tensor:
        time.sleep(0.2)
        return push(operator, tangents)

    monkeypatch.setattr(ImageDerivative, "push_styles", late)
    cost = resefa.estimate(generator, generator.sample(0))
    assert cost.dense_seconds < 0.2 * cost.dimension / 4


def test_running_out_of_device_memory_halves_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    expected = dense(generator, latent, "w+").matrix
    pushed: list[int] = []
    whole = ImageDerivative.push_styles

    def limited(self: ImageDerivative, tangents: dict[int, torch.Tensor]) -> torch.Tensor:
        count = next(iter(tangents.values())).shape[0]
        pushed.append(count)
        if count > 3:
            raise torch.cuda.OutOfMemoryError("too large")
        return whole(self, tangents)

    monkeypatch.setattr(ImageDerivative, "push_styles", limited)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    torch.testing.assert_close(dense(generator, latent, "w+").matrix, expected, atol=1e-4, rtol=1e-4)
    assert max(pushed) > 3 >= pushed[-1]


@pytest.mark.parametrize("method", ["dense", "matrix-free"])
@pytest.mark.parametrize("space", ["w", "w+"])
def test_progress_rises_to_the_total_and_stops_the_analysis_by_raising(method: str, space: str) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    seen: list[tuple[int, int]] = []
    resefa.compute_jacobian(
        generator, latent, space, kind=method, memory_budget=1, progress=lambda d, t: seen.append((d, t))
    )  # type: ignore[call-overload]
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert seen[-1][0] == seen[-1][1]

    class CancelledError(Exception):
        pass

    def cancel(done: int, total: int) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        resefa.compute_jacobian(generator, latent, space, kind=method, progress=cancel)  # type: ignore[arg-type]


def test_kind_is_still_taken_as_method() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    for name in ("kind", "method"):
        for kind in ("dense", "matrix-free"):
            assert resefa.compute_jacobian(generator, latent, "w", **{name: kind}).kind == kind
        with pytest.raises(resefa.ParameterError, match="kind 'sparse' is unknown: expected 'auto', 'dense'"):
            resefa.compute_jacobian(generator, latent, "w", **{name: "sparse"})


def test_analysis_works_in_inference_mode_with_latents_made_there() -> None:
    generator = tiny_stylegan2(16)
    expected = dense(generator, generator.sample(1), "w").matrix
    with torch.inference_mode():
        latent = generator.sample(1)
        assert latent.codes.is_inference()
        for method in ("dense", "matrix-free"):
            found = resefa.compute_jacobian(generator, latent, "w", kind=method)  # type: ignore[arg-type]
            torch.testing.assert_close(found.jvp(torch.eye(8)), expected, atol=1e-4, rtol=1e-4)


def test_analysis_is_in_float32_whatever_the_weights_are_stored_in() -> None:
    stored = tiny_stylegan2(16).half()
    latent = stored.sample(1)
    found = dense(stored, latent, "w")
    assert found.matrix.dtype == torch.float32
    assert stored.dtype == torch.float16
    widened = dense(copy.deepcopy(stored).float(), latent, "w")
    torch.testing.assert_close(found.matrix, widened.matrix)


def test_a_wrapped_functions_jacobian_equals_jacfwd() -> None:
    weight = torch.randn(3 * 4 * 4, 2 * 5, generator=torch.Generator().manual_seed(0))
    generator = resefa.WrappedGenerator(lambda z: (z.flatten(1) @ weight.T).tanh().reshape(-1, 3, 4, 4), 5, 2)
    latent = generator.sample(0)
    expected = torch.func.jacfwd(lambda z: (weight @ z).tanh().reshape(3, 4, 4))(latent.codes.flatten())
    found = dense(generator, latent, "z+")
    torch.testing.assert_close(found.matrix, expected.movedim(-1, 0))
    shared = dense(generator, latent, "z")
    torch.testing.assert_close(shared.matrix, found.matrix[:5] + found.matrix[5:])


@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_a_saved_jacobian_gives_the_same_directions(method: str, tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(4, truncation=0.7)
    jacobian = resefa.compute_jacobian(generator, latent, "s", [1, 2], kind=method)  # type: ignore[arg-type]
    region = resefa.Region.from_box(0.25, 0.25, 0.5, 0.5)
    file = tmp_path / "analysis.safetensors"
    jacobian.save(file)
    loaded = load_jacobian(file, generator)
    assert (loaded.kind, loaded.space, loaded.layers, loaded.latent.seed) == (method, "s", (1, 2), (4,))
    first, second = resefa.factorize(jacobian, region, 3), resefa.factorize(loaded, region, 3)
    torch.testing.assert_close(first.vectors, second.vectors, atol=1e-4, rtol=1e-3)
    assert first.layer_sizes == second.layer_sizes == generator.layer_sizes
    with pytest.raises(resefa.JacobianError, match="exists"):
        jacobian.save(file)


def test_a_matrix_free_jacobian_needs_its_own_generator_back(tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), kind="matrix-free")
    jacobian.save(tmp_path / "analysis.safetensors")
    with pytest.raises(resefa.JacobianError, match="needs its generator"):
        load_jacobian(tmp_path / "analysis.safetensors")
    with pytest.raises(resefa.JacobianError, match="not with the given generator"):
        load_jacobian(tmp_path / "analysis.safetensors", tiny_stylegan2(16, seed=1))


def test_a_collapsed_sample_is_refused_by_its_seed() -> None:
    flat = resefa.WrappedGenerator(lambda z: (0.0 * z).sum(1).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8), 4)
    for method in ("dense", "matrix-free"):
        with pytest.raises(resefa.LatentError, match="seed 9"):
            resefa.compute_jacobian(flat, flat.sample(9), kind=method)  # type: ignore[arg-type]


def test_unfit_spaces_layers_and_batches_are_refused_before_any_work() -> None:
    generator = tiny_stylegan2(16)
    with pytest.raises(resefa.LatentError, match="no space 'z\\+'"):
        resefa.compute_jacobian(generator, generator.sample(0), "z+")
    with pytest.raises(resefa.LatentError, match="layers 0 to 5"):
        resefa.compute_jacobian(generator, generator.sample(0), layers=[6])
    with pytest.raises(resefa.LatentError, match="one at a time"):
        resefa.estimate(generator, generator.sample([0, 1]))
    with pytest.raises(resefa.LatentError, match="no choice of layers"):
        resefa.compute_jacobian(generator, generator.sample(0), "z", [1])
    with pytest.raises(resefa.LatentError, match="imported as codes"):
        resefa.compute_jacobian(generator, resefa.Latent(generator.sample(0).codes), "z")
    with pytest.raises(resefa.LatentError, match="takes"):
        resefa.compute_jacobian(generator, tiny_stylegan2(32).sample(0))


@pytest.mark.parametrize("modern", [False, True])
def test_tf32_is_off_during_analysis_and_back_as_it_was_after_the_last_one(modern: bool) -> None:
    matmul = torch.backends.cuda.matmul
    if modern and not hasattr(matmul, "fp32_precision"):
        pytest.skip("this torch has only the older switches")
    name, on = ("fp32_precision", "tf32") if modern else ("allow_tf32", True)
    before = getattr(matmul, name)
    setattr(matmul, name, on)
    try:
        with analysis_mode():
            with analysis_mode():
                assert getattr(matmul, "fp32_precision", "ieee") == "ieee"
            assert getattr(matmul, "fp32_precision", "ieee") == "ieee"
        assert getattr(matmul, name) == on
    finally:
        setattr(matmul, name, before)


def test_a_dense_jacobian_of_another_generator_is_refused(tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    dense(generator, generator.sample(0)).save(tmp_path / "analysis.safetensors")
    assert load_jacobian(tmp_path / "analysis.safetensors").kind == "dense"
    with pytest.raises(resefa.JacobianError, match="not with the given generator"):
        load_jacobian(tmp_path / "analysis.safetensors", tiny_stylegan2(16, seed=1))
