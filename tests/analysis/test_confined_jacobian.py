"""The derivative of confined edits: with respect to a code that moves inside a region only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import double, reference_jacobian, tiny_stylegan2, tiny_stylegan3
from older_gans import sampled, tiny_biggan, tiny_deep
from torch import Tensor

import resefa_core as resefa
from resefa_core import Generator, Region
from resefa_core.analysis import DenseJacobian, MatrixFreeJacobian
from resefa_core.generators.linearization import Linearization
from resefa_core.generators.styles import Gate, Style

REGION = Region.from_box(0.25, 0.3, 0.45, 0.4).feather(0.08)
GATE = Gate(REGION, 1.0)
GENERATORS: dict[str, Callable[[], Generator]] = {
    "stylegan2": tiny_stylegan2,
    "stylegan3-t": lambda: tiny_stylegan3(channels=3, margin_size=2, conv_clamp=1.0),
    "stylegan3-r": lambda: tiny_stylegan3(radial=True, channels=3, margin_size=2, conv_clamp=1.0),
    "biggan-deep": tiny_deep,
    "biggan": tiny_biggan,
}
WRITTEN_OUT = [name for name in GENERATORS if name.startswith("stylegan")]


def point(name: str) -> tuple[Generator, list[Style], Tensor | None, dict[int, Tensor]]:
    """A generator in float64, an image's styles and condition, and tangents of them."""
    single = GENERATORS[name]()
    latent = sampled(single)
    generator = double(single)
    styles = generator.styles(latent.to("cpu", torch.float64))
    noise = torch.Generator().manual_seed(0)
    tangents = {
        i: torch.randn(2, style.base.shape[1], generator=noise, dtype=torch.float64)
        for i, style in enumerate(styles)
    }
    return generator, styles, generator.condition(latent), tangents


def dense(generator: Generator, latent: resefa.Latent, space: str, **more: object) -> DenseJacobian:
    found = resefa.compute_jacobian(generator, latent, space, kind="dense", **more)  # type: ignore[arg-type]
    assert isinstance(found, DenseJacobian)
    return found


@pytest.mark.parametrize("name", WRITTEN_OUT)
@pytest.mark.parametrize("region", [REGION, Region.from_box(0.0, 0.5, 0.5, 0.5)])
def test_the_written_out_derivative_equals_automatic_differentiation(name: str, region: Region) -> None:
    generator, styles, condition, tangents = point(name)
    gate = Gate(region, 1.0)
    written = generator.linearize(styles, condition, gate)
    automatic = Linearization(generator, styles, condition, gate)
    assert type(written) is not type(automatic)
    pushed = written.push(tangents)
    torch.testing.assert_close(pushed, automatic.push(tangents))
    for layer, tangent in tangents.items():
        torch.testing.assert_close(written.push({layer: tangent}), automatic.push({layer: tangent}))
    plain = generator.linearize(styles, condition)
    assert not torch.allclose(pushed, plain.push(tangents), rtol=0.1)
    assert written.nbytes > plain.nbytes


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_a_gate_that_is_open_everywhere_changes_nothing(name: str) -> None:
    generator, styles, condition, tangents = point(name)
    gated = generator.linearize(styles, condition, Gate(REGION, 0.0)).push(tangents)
    torch.testing.assert_close(gated, generator.linearize(styles, condition).push(tangents))


@pytest.mark.parametrize("name", GENERATORS)
def test_it_equals_finite_differences_and_reverse_mode_is_its_transpose(name: str) -> None:
    generator, styles, condition, tangents = point(name)
    derivative = generator.linearize(styles, condition, GATE)
    pushed = derivative.push(tangents)
    ahead, behind = (
        generator.render(
            [Style(style.base, ((GATE, h * tangents[i][:1]),)) for i, style in enumerate(styles)], condition
        )
        for h in (1e-6, -1e-6)
    )
    torch.testing.assert_close(pushed[:1], (ahead - behind) / 2e-6, atol=1e-6, rtol=1e-5)
    noise = torch.Generator().manual_seed(1)
    cotangents = torch.randn(3, *pushed.shape[1:], generator=noise, dtype=torch.float64)
    for layers in (list(tangents), [1]):
        pulled = derivative.pull(cotangents, layers)
        assert sorted(pulled) == layers
        backward = sum(pulled[i] @ tangents[i].T for i in layers)
        forward = derivative.push({i: tangents[i] for i in layers})
        torch.testing.assert_close(backward, cotangents.flatten(1) @ forward.flatten(1).T)


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3-r"])
def test_a_latents_own_moves_are_kept_beside_those_that_the_derivative_is_of(name: str) -> None:
    generator, styles, condition, tangents = point(name)
    other = Gate(Region.from_box(0.0, 0.0, 0.6, 1.0), 0.7)
    moved = [style._replace(moves=((other, 0.5 * tangents[i][1:]),)) for i, style in enumerate(styles)]
    pushed = generator.linearize(moved, condition, GATE).push(tangents)[:1]
    ahead, behind = (
        generator.render(
            [s._replace(moves=(*s.moves, (GATE, h * tangents[i][:1]))) for i, s in enumerate(moved)],
            condition,
        )
        for h in (1e-6, -1e-6)
    )
    torch.testing.assert_close(pushed, (ahead - behind) / 2e-6, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(
        pushed, generator.linearize(styles, condition, GATE).push(tangents)[:1], rtol=0.1
    )


@pytest.mark.parametrize(
    ("name", "space", "layers"),
    [
        ("stylegan2", "w", None),
        ("stylegan2", "w+", None),
        ("stylegan2", "w+", (1, 3)),
        ("stylegan2", "s", None),
        ("stylegan2", "s", (0, 2)),
        ("stylegan2", "z", None),
        ("stylegan3-t", "w+", None),
        ("stylegan3-r", "s", None),
        ("biggan-deep", "z+", None),
        ("biggan-deep", "z", None),
        ("biggan", "z+", None),
    ],
)
def test_a_column_is_what_a_confined_move_changes(
    name: str, space: str, layers: tuple[int, ...] | None
) -> None:
    generator = GENERATORS[name]()
    latent = sampled(generator)
    jacobian = dense(generator, latent, space, layers=layers, confine_to=REGION)
    assert jacobian.confined_to is REGION
    plain = resefa.factorize(dense(generator, latent, space, layers=layers), REGION, 1)
    precise, here = double(generator), latent.to("cpu", torch.float64)
    h = 1e-6
    for column in (0, jacobian.dimension // 2, jacobian.dimension - 1):
        unit = torch.zeros(jacobian.dimension).index_fill(0, torch.tensor(column), 1.0)
        along = replace(plain, vectors=unit.reshape(1, *jacobian.shape), steps_confined=torch.ones(1))
        ahead, behind = (resefa.move(here, along, {0: strength}, confine=1.0) for strength in (h, -h))
        images = [
            precise.render(precise.styles(each), precise.condition(each))[0] for each in (ahead, behind)
        ]
        slope = (images[0] - images[1]) / (2 * h)
        torch.testing.assert_close(jacobian.matrix[column].double(), slope, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("space", ["w", "w+", "s"])
def test_matrix_free_and_dense_agree(space: str) -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    formed = dense(generator, latent, space, confine_to=REGION)
    free = resefa.compute_jacobian(generator, latent, space, kind="matrix-free", confine_to=REGION)
    assert isinstance(free, MatrixFreeJacobian)
    noise = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, formed.dimension, generator=noise)
    images = torch.randn(3, 3, formed.height, formed.width, generator=noise)
    free.release()
    torch.testing.assert_close(free.jvp(vectors), formed.jvp(vectors), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(free.vjp(images), formed.vjp(images), atol=1e-3, rtol=1e-3)
    many = {"max_passes": 4000, "num_directions": 2}
    exact, solved = (resefa.factorize(each, REGION, **many) for each in (formed, free))  # type: ignore[arg-type]
    torch.testing.assert_close(solved.eigenvalues, exact.eigenvalues, rtol=0.03, atol=0.0)
    assert solved.confined
    assert exact.confined


def test_several_images_are_solved_jointly() -> None:
    generator = tiny_stylegan2()
    latents = [generator.sample(3), generator.sample(4)]
    found = resefa.find_directions(
        generator,
        latents,
        REGION,
        "resefa-confined",
        num_directions=2,
        space="w",
        parameters={"colour": 1, "edge": 0},
    )
    inside, outside = torch.zeros(8, 8).double(), torch.zeros(8, 8).double()
    for latent in latents:
        jacobian = reference_jacobian(generator, latent, "w", found.layers, 8, REGION).flatten(2)
        mask = REGION.mask(16, 16).double().flatten()
        a, b = (torch.einsum("icp,jcp,p->ij", jacobian, jacobian, weights) for weights in (mask, 1.0 - mask))
        inside += a / (a + b).trace()
        outside += b / (a + b).trace()
    damped = outside + found.regularization * outside.trace() * torch.eye(8)
    factor = torch.linalg.cholesky(damped)
    half = torch.linalg.solve_triangular(factor, inside, upper=False)
    values = torch.linalg.eigvalsh(torch.linalg.solve_triangular(factor, half.T, upper=False))
    torch.testing.assert_close(found.eigenvalues.double(), values.flip(0)[:2], rtol=5e-3, atol=0.0)


def test_one_region_is_not_analysed_for_another() -> None:
    generator = tiny_stylegan2()
    latents = [generator.sample(3), generator.sample(4)]
    other = Region.from_box(0.5, 0.5, 0.25, 0.25)
    confined, elsewhere = (dense(generator, latents[0], "w", confine_to=each) for each in (REGION, other))
    plain = dense(generator, latents[1], "w")
    for given in ([plain, confined], [confined, plain], [confined, elsewhere]):
        with pytest.raises(resefa.JacobianError, match="confined differently"):
            resefa.factorize(given, REGION)
    with pytest.raises(resefa.JacobianError, match="confined to another region"):
        resefa.factorize(confined, other)
    again = Region.from_box(0.25, 0.3, 0.45, 0.4).feather(0.08)
    assert resefa.factorize([confined, dense(generator, latents[1], "w", confine_to=again)], again).confined
    assert not resefa.factorize(plain, REGION).confined


@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_it_is_not_saved(method: str, tmp_path: Path) -> None:
    generator = tiny_stylegan2()
    jacobian = resefa.compute_jacobian(
        generator,
        generator.sample(3),
        "w",
        kind=method,  # type: ignore[arg-type]
        confine_to=REGION,
    )
    with pytest.raises(resefa.JacobianError, match="serves one region: save its directions"):
        jacobian.save(tmp_path / "analysis.safetensors")
    assert not list(tmp_path.iterdir())


def test_generators_that_can_not_confine_are_refused_in_words() -> None:
    generator = resefa.WrappedGenerator(lambda z: z.reshape(-1, 3, 8, 8).tanh(), 192)
    with pytest.raises(resefa.LatentError, match="cannot confine an edit"):
        resefa.compute_jacobian(generator, generator.sample(0), confine_to=REGION)
    with pytest.raises(resefa.ParameterError, match="edits can't be confined to a region"):
        resefa.find_directions(generator, generator.sample(0), REGION, "resefa-confined")
