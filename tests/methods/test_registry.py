"""Methods of other packages: registered with a decorator, offered everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.evaluation.config import Row
from resefa_core.evaluation.finding import resolved
from resefa_core.methods import METHODS, Parameter, Request, measured, register_method


@pytest.fixture
def registered() -> Iterator[str]:
    key = "single-entries"

    @register_method(
        key,
        title="Single entries",
        citation="an example",
        summary="Single entries of the code, from one on.",
        spaces=("w", "z"),
        uses_region=False,
        parameters=(Parameter("first", 0, 0, 100, "the first entry", "none", whole=True),),
    )
    def find(request: Request) -> resefa.Directions:
        first, size = int(request.parameters["first"]), request.generator.latent_dim
        return measured(request, torch.eye(size)[first : first + request.num_directions])

    yield key
    METHODS.pop(key, None)


def test_a_method_of_another_package_is_found_measured_and_saved_like_ours(registered: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    generator = tiny_stylegan2(16)
    region = resefa.Region.from_box(0.2, 0.2, 0.5, 0.5)
    found = resefa.find_directions(
        generator, generator.sample(0), region, registered, num_directions=3, parameters={"first": 2}
    )
    assert found.method == registered
    torch.testing.assert_close(found.vectors, torch.eye(8)[2:5])
    assert (found.inside > 0).all()
    found.save(tmp_path / "found.safetensors")
    assert resefa.Directions.load(tmp_path / "found.safetensors").method == registered
    assert list(resefa.METHODS)[-1] == registered
    row, layers, reason = resolved(Row(method=registered), generator)
    assert (row.space, len(layers), reason) == ("w", generator.num_layers, "")
    with pytest.raises(resefa.ParameterError, match="first 200 is out of range"):
        resefa.find_directions(generator, generator.sample(0), region, registered, parameters={"first": 200})


def test_keys_that_are_taken_or_are_no_names_are_refused() -> None:
    about = {"title": "T", "citation": "C", "summary": "S", "spaces": ("w",), "uses_region": False}
    with pytest.raises(resefa.ParameterError, match="there already: ReSeFa"):
        register_method("resefa", **about)  # type: ignore[arg-type]
    for key in ("", "Upper", "a b", "-a", "x" * 41):
        with pytest.raises(resefa.ParameterError, match="is no name"):
            register_method(key, **about)  # type: ignore[arg-type]


def test_ours_are_listed_in_the_order_that_interfaces_show() -> None:
    assert list(METHODS) == [
        "resefa",
        "resefa-confined",
        "paper",
        "published",
        "published-large",
        "sefa",
        "ganspace",
        "lowrankgan",
        "stylespace",
    ]
