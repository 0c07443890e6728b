"""The same input gives the same numbers: exactly where nothing differs, closely on any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from models import tiny_stylegan2, tiny_stylegan3
from older_gans import sampled, tiny_biggan

import resefa_core as resefa
from resefa_core.analysis import DENSE_DIMENSION, ImageDerivative, budget, budget_of_each, kind_for

REGION = resefa.Region.from_box(0.2, 0.3, 0.4, 0.3)
PROMISED = 1e-4
MAKERS: dict[str, Callable[[], resefa.Generator]] = {
    "stylegan2": lambda: tiny_stylegan2(32, channels=24),
    "stylegan3": tiny_stylegan3,
    "biggan": tiny_biggan,
}


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def found(generator: resefa.Generator, method: str, memory: int | None = None) -> resefa.Directions:
    jacobian = resefa.compute_jacobian(
        generator,
        sampled(generator),
        kind=method,  # type: ignore[arg-type]
        memory_budget=memory,
    )
    return resefa.factorize(jacobian, REGION, 6)


def assert_as_promised(one: resefa.Directions, other: resefa.Directions) -> None:
    for name in ("eigenvalues", "inside", "outside", "steps"):
        torch.testing.assert_close(
            getattr(one, name), getattr(other, name), rtol=PROMISED, atol=0.0, msg=name
        )
    first, second = (torch.linalg.qr(each.vectors.flatten(1).double().T)[0] for each in (one, other))
    sine = torch.linalg.matrix_norm(second - first @ (first.T @ second), 2)
    assert float(sine) < PROMISED


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_the_same_input_on_the_same_machine_gives_the_same_bits(name: str, method: str) -> None:
    first, second = (found(MAKERS[name](), method) for _ in range(2))
    for field in ("vectors", "eigenvalues", "inside", "outside", "steps"):
        assert torch.equal(getattr(first, field), getattr(second, field)), field


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_chunks_and_threads_change_no_more_than_is_promised(
    name: str, method: str, threads: Callable[[int], None]
) -> None:
    generator = MAKERS[name]()
    threads(1)
    expected = found(generator, method)
    one_image = 4 * generator.activation_floats()
    others = [found(generator, method, memory) for memory in (1, 7 * 4 * one_image)]
    threads(2)
    for other in [*others, found(generator, method)]:
        if method == "dense":
            assert_as_promised(other, expected)
        else:
            torch.testing.assert_close(other.eigenvalues, expected.eigenvalues, rtol=0.01, atol=0.0)


def test_sizes_alone_decide_whether_a_jacobian_is_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> float:
        raise AssertionError("a pass was timed")

    monkeypatch.setattr(ImageDerivative, "seconds_per_pass", never)
    generator = tiny_stylegan2(16)
    assert budget.chosen_kind(generator, "w+", generator.check_layers(None)) == "dense"
    assert resefa.compute_jacobian(generator, generator.sample(0)).kind == "dense"
    outputs = 3 * 64 * 64
    assert kind_for(DENSE_DIMENSION, outputs) == "dense"
    assert kind_for(DENSE_DIMENSION + 1, outputs) == "matrix-free"
    large = 3 * 256 * 256
    assert kind_for((1 << 30) // (4 * large), large) == "dense"
    assert kind_for((1 << 30) // (4 * large) + 1, large) == "matrix-free"


def test_several_analyses_share_a_budget_that_depends_on_their_number_alone() -> None:
    assert budget_of_each(1) == budget_of_each(2) == 2 << 30
    assert budget_of_each(8) * 8 == 4 << 30
