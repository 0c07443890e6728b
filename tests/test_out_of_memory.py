"""Where a device runs out of memory, less is done at once; what failed is free by then."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core import memory
from resefa_core.analysis import ImageDerivative
from resefa_core.solve import factorization, pencil

ERRORS = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:115] DefaultCPUAllocator: can't allocate memory"),
]
REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)


def at_most(most: int, error: Exception, function: Callable[..., Any], count: Callable[..., int]) -> Any:
    """A function that runs out of memory where it is given more than so many."""

    def limited(*given: Any) -> Any:
        if count(*given) > most:
            raise error
        return function(*given)

    return limited


def limit_passes(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> None:
    for name, count in (
        ("push_styles", lambda self, tangents: len(next(iter(tangents.values())))),
        ("pull_styles", lambda self, images: len(images)),
    ):
        monkeypatch.setattr(
            ImageDerivative, name, at_most(most, error, getattr(ImageDerivative, name), count)
        )


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:30])
@pytest.mark.parametrize("method", ["auto", "dense", "matrix-free"])
def test_analyses_take_fewer_at_once(method: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    expected = resefa.compute_jacobian(generator, latent, "w+", kind=method)  # type: ignore[arg-type]
    wanted = resefa.factorize(expected, REGION, 3)
    limit_passes(monkeypatch, 1, error)
    found = resefa.factorize(
        resefa.compute_jacobian(generator, latent, "w+", kind=method),  # type: ignore[arg-type]
        REGION,
        3,
    )
    torch.testing.assert_close(found.eigenvalues, wanted.eigenvalues, rtol=1e-4, atol=0.0)
    assert resefa.estimate(generator, latent, "w").dense_seconds > 0


def test_other_errors_and_a_single_one_that_does_not_fit_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2(16)
    limit_passes(monkeypatch, 0, ERRORS[0])
    with pytest.raises(torch.cuda.OutOfMemoryError):
        resefa.compute_jacobian(generator, generator.sample(1), "w")
    limit_passes(monkeypatch, 0, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal"):
        resefa.compute_jacobian(generator, generator.sample(1), "w")


def test_batches_of_images_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2(16)
    latents = generator.sample(list(range(5)))
    expected = generator.synthesize(latents)
    limited = at_most(2, ERRORS[0], generator.render, lambda styles, condition: len(styles[0].base))
    monkeypatch.setattr(generator, "render", limited)
    torch.testing.assert_close(generator.synthesize(latents), expected)


def test_a_region_is_solved_without_its_float64_rows_where_they_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = tiny_stylegan2(16)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), "w+")
    expected = resefa.factorize(jacobian, REGION, 4)
    monkeypatch.setattr(pencil, "wide", at_most(0, ERRORS[0], pencil.wide, lambda tensor: 1))
    torch.testing.assert_close(resefa.factorize(jacobian, REGION, 4).eigenvalues, expected.eigenvalues)


def test_a_region_is_solved_in_main_memory_where_the_device_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2(16)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), "w+").formed()
    expected = resefa.factorize(jacobian, REGION, 4)
    moved: list[str] = []
    solve, here = factorization.solve_dense, jacobian.to

    def only_here(formed: list[Any], *given: Any) -> Any:
        if not moved:
            raise ERRORS[1]
        return solve(formed, *given)

    def to(device: str) -> Any:
        moved.append(device)
        return here(device)

    monkeypatch.setattr(factorization, "solve_dense", only_here)
    monkeypatch.setattr(jacobian, "to", to)
    found = resefa.factorize(jacobian, REGION, 4)
    assert moved == ["cpu"]
    torch.testing.assert_close(found.vectors, expected.vectors)


def test_what_failed_is_free_before_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def function(rows: slice) -> torch.Tensor:
        tensor = torch.zeros(rows.stop - rows.start)
        if len(tensor) > 2:
            held.append(weakref.ref(tensor))
            raise torch.cuda.OutOfMemoryError("no memory")
        return tensor + 1.0

    monkeypatch.setattr(memory, "give_back", lambda: alive.append(held[-1]() is not None))
    into = torch.zeros(8)
    assert memory.in_chunks(function, into, 8, None) == 2
    assert alive == [False, False]
    assert into.tolist() == [1.0] * 8
