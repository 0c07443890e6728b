"""What all methods have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import reference_jacobian, tiny_stylegan2, tiny_stylegan3
from older_gans import TINY
from torch import Tensor, nn

import resefa_core as resefa
from resefa_core import (
    METHODS,
    PAPER,
    SHAPE,
    Generator,
    Latent,
    LatentError,
    ParameterError,
    Region,
    find_directions,
)
from resefa_core.errors import JacobianError
from resefa_core.methods import check_method
from resefa_core.spaces import vector_shape

REGION = Region.from_box(0.25, 0.25, 0.5, 0.3).feather(0.05)
QUICK: dict[str, dict[str, float]] = {
    "ganspace": {"num_samples": 150},
    "stylespace": {"num_samples": 2},
    "lowrankgan": {"lambda": 1.5},
}


class Painter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 3 * 8 * 8))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).reshape(-1, 3, 8, 8).tanh()


GENERATORS: dict[str, Callable[[], Generator]] = {
    "stylegan2": tiny_stylegan2,
    "stylegan2 with classes": lambda: tiny_stylegan2(c_dim=4),
    "stylegan3-t": tiny_stylegan3,
    "stylegan3-r": lambda: tiny_stylegan3(radial=True),
    **TINY,
    "wrapped": lambda: resefa.WrappedGenerator(Painter(), 6),
}

UNDEFINED = {
    "resefa-confined": [
        "biggan without chunks",
        "biggan without embedding",
        "dcgan",
        "grey dcgan",
        "pggan",
        "fused pggan",
        "wrapped",
    ],
    "stylespace": [name for name in GENERATORS if not name.startswith("stylegan")],
    "sefa": ["wrapped"],
    "ganspace": ["wrapped"],
}


def sample(generator: Generator, seed: int = 3) -> Latent:
    return generator.sample(seed, 0.5, label=2 if generator.num_classes else None)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_measures_its_directions_alike_or_says_why_it_is_not_defined(
    method: str, name: str
) -> None:
    generator = GENERATORS[name]()
    latents = [sample(generator, 3), sample(generator, 4)]
    reason = METHODS[method].unavailable(generator)
    assert bool(reason) == (name in UNDEFINED.get(method, []))
    if reason:
        with pytest.raises(ParameterError, match="can't be used here"):
            find_directions(generator, latents, REGION, method)
        return
    found = find_directions(
        generator, latents, REGION, method, num_directions=3, parameters=QUICK.get(method)
    )
    assert 1 <= len(found) <= 3
    assert found.method == method
    assert found.space == METHODS[method].spaces_of(generator)[0]
    found.check(generator)
    edited = resefa.edit(generator, latents[0], found, {0: 1.0})
    assert bool(edited.isfinite().all())

    vectors = found.vectors.flatten(1).double()
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    assert bool((largest > 0).all())

    def changes(confine_to: Region | None) -> tuple[Tensor, Tensor]:
        """Mean squared change inside and outside, `(images, k)` each."""
        inside, outside = [], []
        for latent in latents:
            jacobian = reference_jacobian(
                generator, latent, found.space, found.layers, vectors.shape[1], confine_to
            )
            squares = torch.tensordot(vectors, jacobian, dims=1).square().sum(dim=1)
            mask = REGION.mask(*squares.shape[1:]).double()
            inside.append((squares * mask).sum(dim=(1, 2)) / (3 * mask.sum()))
            outside.append((squares * (1 - mask)).sum(dim=(1, 2)) / (3 * (1 - mask).sum()))
        return torch.stack(inside), torch.stack(outside)

    kwargs: dict[str, Any] = {"rtol": 2e-3, "atol": 1e-7}
    plain, _ = changes(None)
    torch.testing.assert_close(found.steps.double(), (0.1 / plain.sqrt()).quantile(0.5, dim=0), **kwargs)
    inside, outside = changes(REGION if found.confined else None)
    torch.testing.assert_close(found.inside.double(), inside.mean(dim=0), **kwargs)
    torch.testing.assert_close(found.outside.double(), outside.mean(dim=0), **kwargs)
    if found.confined:
        assert found.steps_confined is not None
        expected = (0.1 / inside.sqrt()).quantile(0.5, dim=0)
        torch.testing.assert_close(found.steps_confined.double(), expected, **kwargs)


def test_ours_and_the_papers_are_what_factorize_finds() -> None:
    generator = tiny_stylegan2()
    latents = generator.sample([3, 4])
    for method, space, layers in (("resefa", "w+", [1, 2]), ("paper", "w", None), ("resefa", "s", None)):
        jacobians = [resefa.compute_jacobian(generator, latents[i], space, layers) for i in range(2)]
        objective = PAPER if method == "paper" else SHAPE
        expected = resefa.factorize(jacobians, REGION, 4, regularization=0.01, objective=objective)
        found = find_directions(
            generator,
            latents,
            REGION,
            method,
            num_directions=4,
            space=space,
            layers=layers,
            parameters={"regularization": 0.01},
        )
        for name in ("vectors", "eigenvalues", "inside", "outside", "steps"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name))
        assert (found.regularization, found.num_samples, found.seeds) == (0.01, 2, (3, 4))


@pytest.mark.parametrize("method", ["sefa", "ganspace"])
def test_methods_that_do_not_use_the_region_keep_their_most_local_directions(method: str) -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    given: dict[str, float] = {"num_samples": 150} if method == "ganspace" else {}

    def found(count: int, candidates: int) -> resefa.Directions:
        parameters = {**given, "candidates": float(candidates)}
        return find_directions(generator, latent, REGION, method, num_directions=count, parameters=parameters)

    own = found(8, 0)
    locality = own.inside / own.outside
    assert not bool((locality[1:] <= locality[:-1]).all())
    for candidates in (4, 8):
        best = locality[:candidates].argsort(descending=True)[:3]
        torch.testing.assert_close(found(3, candidates).vectors, own.vectors[best])
    assert len(found(6, 4)) == 6


@pytest.mark.parametrize("method", [key for key, value in METHODS.items() if value.uses_analyses])
def test_kept_analyses_serve(method: str) -> None:
    generator = tiny_stylegan2()
    latents = [generator.sample(3), generator.sample(4)]
    cache = resefa.JacobianCache(1 << 30)
    asked: list[str] = []

    def analyse(latent: Latent, space: str) -> resefa.Jacobian:
        asked.append(space)
        return cache.analyse(generator, latent, space, [1, 2, 3])

    def find(jacobians: Callable[[Latent, str], resefa.Jacobian] | None) -> resefa.Directions:
        return find_directions(
            generator,
            latents,
            REGION,
            method,
            layers=[1, 2, 3],
            jacobians=jacobians,
            parameters=QUICK.get(method),
        )

    torch.testing.assert_close(find(analyse).vectors, find(None).vectors)
    assert len(cache) == 2
    assert len(asked) == 2
    find(analyse)
    assert len(cache) == 2


def test_analyses_of_something_else_are_refused() -> None:
    generator, other = tiny_stylegan2(), tiny_stylegan2(seed=1)
    latent = generator.sample(3)
    for given in (
        resefa.compute_jacobian(generator, latent, "w"),
        resefa.compute_jacobian(generator, latent, "w+", [1]),
        resefa.compute_jacobian(other, latent, "w+"),
    ):
        with pytest.raises(JacobianError, match="was given"):
            find_directions(generator, latent, REGION, jacobians=lambda *_, given=given: given)


@pytest.mark.parametrize("method", METHODS)
def test_progress_rises_to_the_total_and_stops_the_work_by_raising(method: str) -> None:
    generator = tiny_stylegan2()
    seen: list[tuple[int, int]] = []
    arguments: dict[str, Any] = {"parameters": QUICK.get(method), "num_directions": 2}
    latents = generator.sample([3, 4])
    find_directions(
        generator, latents, REGION, method, progress=lambda d, t: seen.append((d, t)), **arguments
    )
    assert len({total for _, total in seen}) == 1
    done = [each for each, _ in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1][1]

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        find_directions(generator, latents, REGION, method, progress=stop, **arguments)


def numbers() -> list[tuple[str, str, object]]:
    """For each parameter of each method, values that it must refuse."""
    cases: list[tuple[str, str, object]] = []
    for method in METHODS.values():
        for parameter in method.parameters:
            values: list[object] = [
                float("nan"),
                float("inf"),
                -float("inf"),
                parameter.minimum - 1,
                parameter.maximum + 1,
                True,
                "1",
                None,
                [1],
                1j,
            ]
            if parameter.whole:
                values.append(parameter.minimum + 0.5)
            cases += [(method.key, parameter.name, value) for value in values]
    return cases


def never(latent: Latent, space: str) -> resefa.Jacobian:
    raise AssertionError("work has started")


@pytest.mark.parametrize(("method", "name", "value"), numbers())
def test_parameters_out_of_range_are_refused(method: str, name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=name):
        check_method(method, parameters={name: value})
    generator = tiny_stylegan2()
    with pytest.raises(ParameterError, match=name):
        find_directions(
            generator, generator.sample(0), REGION, method, parameters={name: value}, jacobians=never
        )


@pytest.mark.parametrize("method", METHODS)
def test_every_parameter_takes_its_default_and_its_bounds(method: str) -> None:
    for parameter in METHODS[method].parameters:
        for value in (parameter.default, parameter.minimum, parameter.maximum):
            assert METHODS[method].check_parameters({parameter.name: value})[parameter.name] == value
    assert METHODS[method].check_parameters(None) == {
        parameter.name: parameter.default for parameter in METHODS[method].parameters
    }


def test_several_images_have_a_default_of_their_own() -> None:
    assert METHODS["resefa"].check_parameters({}, 2)["regularization"] == 1e-4
    assert METHODS["resefa"].check_parameters({"regularization": 1e-3}, 2)["regularization"] == 1e-3
    for method in METHODS.values():
        if method.key != "resefa":
            assert method.check_parameters({}, 8) == method.check_parameters({})
    generator = tiny_stylegan2()
    latents = [generator.sample(3), generator.sample(4)]
    for some, regularization in (latents, 1e-4), (latents[:1], 1e-3):
        found = find_directions(generator, some, REGION, space="w")
        expected = resefa.factorize(
            [resefa.compute_jacobian(generator, latent, "w") for latent in some],
            REGION,
            regularization=regularization,
            objective=SHAPE,
        )
        assert found.regularization == regularization
        torch.testing.assert_close(found.vectors, expected.vectors)


@pytest.mark.parametrize(
    ("given", "before", "images", "expected"),
    [({}, 1, 8, 1e-4), ({}, 8, 1, 1e-3), ({"regularization": 0.02}, 1, 8, 0.02), ({}, 6, 8, 1e-4)],
)
def test_what_is_left_to_a_method_is_as_it_has_it_for_so_many_images(
    given: dict[str, float], before: int, images: int, expected: float
) -> None:
    method = METHODS["resefa"]
    parameters = method.check_parameters({"colour": 1.0} | given, before)
    widened = method.widened(parameters, before, images)
    assert widened == {"regularization": expected, "colour": 1.0, "edge": 0.0}


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        (
            {"method": "magic"},
            ParameterError,
            "'magic' is unknown: expected one of resefa, resefa-confined, paper",
        ),
        ({"method": ["sefa"]}, ParameterError, "is unknown"),
        ({"method": None}, ParameterError, "'None' is unknown"),
        ({"space": 5}, LatentError, "no space '5'"),
        ({"parameters": {"speed": 1}}, ParameterError, "no parameter 'speed': expected regularization"),
        ({"method": "published", "parameters": {"x": 1}}, ParameterError, "expected none"),
        ({"num_directions": 0}, ParameterError, "num_directions 0"),
        ({"num_directions": 513}, ParameterError, "num_directions 513"),
        ({"num_directions": True}, ParameterError, "num_directions True"),
        ({"num_directions": 2.0}, ParameterError, "num_directions 2.0"),
        ({"space": "z+"}, LatentError, "no space 'z\\+'"),
        ({"space": "banana"}, LatentError, "no space 'banana'"),
        ({"method": "sefa", "space": "w+"}, ParameterError, "isn't defined in the space w\\+: expected w"),
        ({"method": "paper", "space": "z"}, ParameterError, "isn't defined in the space z: expected w"),
        ({"method": "stylespace", "space": "w"}, ParameterError, "expected s"),
        ({"layers": [99]}, LatentError, "layers \\[99\\]"),
        ({"layers": []}, LatentError, "layers"),
        ({"latents": []}, LatentError, "no latents"),
        ({"latents": Latent(torch.zeros(1, 3, 8))}, LatentError, "takes \\(B, 6, 8\\)"),
    ],
)
def test_what_can_not_be_asked_is_refused_before_any_work(
    given: dict[str, Any], error: type[Exception], reason: str
) -> None:
    generator = tiny_stylegan2()
    latents = given.pop("latents", generator.sample(0))
    with pytest.raises(error, match=reason):
        find_directions(generator, latents, REGION, jacobians=never, **given)


def test_a_region_where_nothing_responds_is_refused() -> None:
    def half(z: Tensor) -> Tensor:
        image = z.reshape(-1, 3, 1, 1).tanh().expand(-1, 3, 8, 8)
        return torch.cat([image[:, :, :4], torch.zeros_like(image[:, :, 4:])], dim=2)

    generator = resefa.WrappedGenerator(half, 3)
    still, moving = Region.from_box(0, 0.5, 1, 0.5), Region.from_box(0, 0, 1, 0.5)
    for method in ("resefa", "paper", "lowrankgan", "published"):
        for region in (still, moving):
            with pytest.raises(resefa.RegionError):
                find_directions(generator, generator.sample(0), region, method, parameters=QUICK.get(method))


def test_half_precision_changes_little() -> None:
    generator = tiny_stylegan2()
    half = tiny_stylegan2().half()
    for method in METHODS:
        common: dict[str, Any] = {"num_directions": 1, "parameters": QUICK.get(method)}
        found = find_directions(generator, generator.sample(3), REGION, method, **common)
        again = find_directions(half, half.sample(3), REGION, method, **common)
        cosine = float((found.vectors * again.vectors).sum())
        assert cosine > 0.99, method


def test_the_shape_of_a_direction_is_that_of_its_space() -> None:
    generator = tiny_stylegan2()
    for method in METHODS.values():
        for space in method.spaces_of(generator):
            layers = tuple(range(generator.num_layers)) if space == "z" else (1, 3)
            found = find_directions(
                generator,
                generator.sample(3),
                REGION,
                method.key,
                num_directions=2,
                space=space,
                layers=layers,
                parameters=QUICK.get(method.key),
            )
            assert tuple(found.vectors.shape[1:]) == vector_shape(generator, space, layers)
            assert (found.space, found.layers) == (space, layers)
