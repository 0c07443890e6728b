"""The demo's steps for programs, as programs take them: through `gradio_client`, on the running demo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")

import resefa_core as resefa  # noqa: E402
from benchmarks.demo_sessions import Server  # noqa: E402
from gradio_app import endpoints  # noqa: E402
from resefa_core.defaults import CONFINED_FEATHER  # noqa: E402

ENDPOINTS = {
    "/draw_face": ["seed", "truncation", "generator", "class_name"],
    "/find_directions": [
        "seed",
        "truncation",
        "region",
        "layered",
        "count",
        "generator",
        "class_name",
        "method",
        "samples",
        "confine",
        "parameters",
        "only_good",
    ],
    "/apply_directions": [
        "file",
        "strengths",
        "seed",
        "truncation",
        "confine",
        "feather",
        "generator",
        "class_name",
    ],
    "/show_directions": ["file", "seed", "truncation", "generator", "class_name"],
    "/describe_directions": ["file", "generator"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("--no-warm") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return gradio_client.Client(server.url, verbose=False, download_files=tmp_path_factory.mktemp("got"))


@pytest.fixture(scope="module")
def found(client: Any) -> tuple[str, dict[str, Any]]:
    """A direction file, and what its directions do."""
    return client.predict(
        seed=13, region="mouth", layered=False, count=3, only_good=False, api_name="/find_directions"
    )


def pixels(picture: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(picture).convert("RGB")).astype(int)


def expected(generator: resefa.Generator, latent: resefa.Latent) -> np.ndarray[Any, Any]:
    return np.asarray(resefa.to_pil(generator.synthesize(latent)[0])).astype(int)


def test_they_are_documented_and_nothing_else_is_public(client: Any) -> None:
    told = client.view_api(return_format="dict")
    assert set(told["named_endpoints"]) == set(ENDPOINTS)
    assert told["unnamed_endpoints"] == {}
    for name, parameters in ENDPOINTS.items():
        described = told["named_endpoints"][name]
        assert [each["parameter_name"] for each in described["parameters"]] == parameters
        assert described["returns"]
        assert described["description"].split(".")[0] in _first_lines()


def _first_lines() -> set[str]:
    return {
        "Draw an image of a generator",
        "Find directions that change a region of an image and leave the rest alone",
        "Edit an image along the directions of a file",
        "Show what the directions of a file do to an image",
        "Tell what a direction file holds, and whether it fits a generator",
    }


def test_drawing(client: Any, avatars: resefa.Generator) -> None:
    drawn = pixels(client.predict(seed=13, truncation=0.7, api_name="/draw_face"))
    assert np.abs(drawn - expected(avatars, avatars.sample(13, 0.7))).max() <= 2
    assert np.array_equal(pixels(client.predict(13, 0.7, "avatars", "", api_name="/draw_face")), drawn)


def test_finding(server: Server, found: tuple[str, dict[str, Any]]) -> None:
    file, told = found
    directions = resefa.Directions.load(file)
    assert (len(directions), directions.space, directions.seeds) == (3, "w", (13,))
    assert told["space"] == "w"
    assert [each["name"] for each in told["directions"]] == list(directions.names)
    assert all(each["inside"] > each["outside"] > 0 for each in told["directions"])
    address, _, query = told["link"].partition("?")
    assert address == f"{server.url}/"
    assert dict(parse_qsl(query)) == {"seed": "13", "truncation": "0.7", "part": "part:mouth"}


def alike(file: str, found: resefa.Directions) -> None:
    """That a file holds what a session finds."""
    directions = resefa.Directions.load(file)
    assert (directions.names, directions.method) == (found.names, found.method)
    assert directions.strength_range == found.strength_range
    torch.testing.assert_close(directions.vectors, found.vectors, rtol=0.0, atol=1e-3)


def test_what_is_found_is_what_the_page_and_the_command_line_offer(
    client: Any, avatars: resefa.Generator
) -> None:
    session = resefa.Session(avatars, 13)
    file, told = client.predict(seed=13, region="mouth", api_name="/find_directions")
    found = session.find("mouth", only_good=True)
    alike(file, found)
    assert "direction 0" not in found.names
    assert [each["name"] for each in told["directions"]] == list(found.names)
    assert told["range"] == list(found.strength_range)


def test_what_programs_may_ask_for(client: Any, avatars: resefa.Generator) -> None:
    session = resefa.Session(avatars, 13)
    asked: dict[str, Any] = {"seed": 13, "layered": False, "api_name": "/find_directions"}
    file, told = client.predict(region="box:mouth", parameters="regularization=0.5, colour=1", **asked)
    parameters = {"regularization": 0.5, "colour": 1.0}
    alike(file, session.find("box:mouth", quick=True, parameters=parameters, only_good=True))
    query = dict(parse_qsl(told["link"].partition("?")[2]))
    assert query["parameters"] == "regularization=0.5,colour=1"
    for confine in (0.5, True):
        file, told = client.predict(region="box:mouth", confine=confine, **asked)
        amount = float(confine)
        alike(file, session.find("box:mouth", quick=True, confine=amount, only_good=True))
        query = dict(parse_qsl(told["link"].partition("?")[2]))
        assert (query["confine"], query["feather"]) == (f"{amount:g}", f"{CONFINED_FEATHER:g}")
        assert "method" not in query
    file, told = client.predict(region="box:mouth", samples=2, **asked)
    assert resefa.Directions.load(file).num_samples == 2
    alike(file, session.find("box:mouth", quick=True, samples=2, only_good=True))
    assert "edit" in dict(parse_qsl(told["link"].partition("?")[2]))


def test_finding_by_another_method(client: Any) -> None:
    file, told = client.predict(seed=13, region="mouth", count=2, method="sefa", api_name="/find_directions")
    assert (told["method"], told["space"]) == ("sefa", "w")
    assert resefa.Directions.load(file).method == "sefa"
    assert len(told["directions"]) == 2


def test_finding_in_a_box(client: Any) -> None:
    file, _ = client.predict(
        seed=13, region="0.25,0.5,0.5,0.25", layered=False, count=1, api_name="/find_directions"
    )
    region = resefa.Directions.load(file).region
    assert region is not None
    assert region.to_json() == {"box": [0.25, 0.5, 0.5, 0.25]}


@pytest.mark.parametrize("confine", [False, True, 0.5])
def test_applying(
    client: Any, avatars: resefa.Generator, found: tuple[str, dict[str, Any]], confine: float
) -> None:
    file = gradio_client.handle_file(found[0])
    edited = client.predict(
        file=file, strengths="[2.5, 0, -1]", seed=13, confine=confine, api_name="/apply_directions"
    )
    directions, latent = resefa.Directions.load(found[0]), avatars.sample(13, 0.7)
    asked = (float(confine), CONFINED_FEATHER)
    prepared = resefa.prepared(avatars, latent, directions, *asked)
    moved = resefa.move(latent, prepared, {0: 2.5, 2: -1.0}, *asked)
    assert np.abs(pixels(edited) - expected(avatars, moved)).max() <= 2
    named = {directions.names[0]: 2.5, directions.names[2]: -1}
    again = client.predict(
        file=file, strengths=json.dumps(named), seed=13, confine=confine, api_name="/apply_directions"
    )
    assert np.array_equal(pixels(again), pixels(edited))


def test_showing(client: Any, avatars: resefa.Generator, found: tuple[str, dict[str, Any]]) -> None:
    file = gradio_client.handle_file(found[0])
    sheet = client.predict(file=file, seed=13, api_name="/show_directions")
    strips = list(resefa.Session(avatars, 13).strips(resefa.Directions.load(found[0])))
    shown = pixels(sheet)
    height = shown.shape[0] // len(strips)
    for index, strip in enumerate(strips):
        expected_strip = np.asarray(strip.picture()).astype(int)
        assert np.abs(shown[index * height : (index + 1) * height] - expected_strip).max() <= 2


def test_describing(client: Any, found: tuple[str, dict[str, Any]]) -> None:
    told = client.predict(file=gradio_client.handle_file(found[0]), api_name="/describe_directions")
    assert told["Fits"] == "yes"
    assert told["Directions"].startswith("3: direction 0")
    assert told["Made for"] == "stylegan2 avatars"


def test_files_are_taken_by_the_address_of_ones_own_alone(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "made here", tmp_path / "elsewhere"
    for each in (folder / "a", elsewhere):
        each.mkdir(parents=True)
        (each / "x.safetensors").write_bytes(b"x")
    (folder / "link.safetensors").symlink_to(elsewhere / "x.safetensors")
    served = "https://any.example/gradio_api/file="
    assert endpoints.own_file(f"{served}{quote(str(folder / 'a' / 'x.safetensors'))}", folder) == str(
        (folder / "a" / "x.safetensors").resolve()
    )
    for address in (
        f"{served}{elsewhere}/x.safetensors",
        f"{served}{folder}/../elsewhere/x.safetensors",
        f"{served}{quote(str(folder / 'link.safetensors'))}",
        f"{served}{quote(str(folder / 'a'))}",
        f"{served}{quote(str(folder / 'none.safetensors'))}",
        f"{served}\0",
        f"{served}{'x' * 5000}",
        served,
        "https://any.example/x.safetensors",
        str(folder / "a" / "x.safetensors"),
    ):
        assert endpoints.own_file(address, folder) is None, address


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("/draw_face", {"seed": -1}, "seed -1: expected a number from 0"),
        ("/draw_face", {"generator": "none"}, "there is no generator 'none' here"),
        ("/find_directions", {"region": "ear"}, "there is no preset 'ear'"),
        ("/find_directions", {"count": 99}, "count 99: expected a number from 1 to 32"),
        ("/find_directions", {"method": "magic"}, "method 'magic' is unknown"),
        ("/find_directions", {"samples": 9}, "samples 9: expected a number from 1 to 8"),
        ("/find_directions", {"confine": 2}, "confine 2 is out of range: expected a number from 0 to 1"),
        ("/find_directions", {"confine": 1, "method": "sefa"}, "can't be combined with the method sefa"),
        ("/find_directions", {"parameters": "edge"}, "'edge' is not like regularization=0.01"),
        ("/find_directions", {"parameters": "grid=8"}, "resefa has no parameter 'grid'"),
        ("/apply_directions", {"strengths": "[1]", "confine": "x"}, "confine 'x' is not a number"),
        ("/apply_directions", {"strengths": "seven"}, "expected a JSON list"),
        ("/apply_directions", {"strengths": "[9]"}, "strength 9: expected a number from -6 to 6"),
        ("/apply_directions", {"strengths": "[1, 1, 1, 1]"}, "direction 3 is out of range"),
        ("/apply_directions", {"strengths": '{"ear": 1}'}, "no direction is named 'ear'"),
    ],
)
def test_what_is_wrong_is_told_in_words(
    client: Any, found: tuple[str, dict[str, Any]], name: str, arguments: dict[str, Any], words: str
) -> None:
    if name == "/apply_directions":
        arguments = {"file": gradio_client.handle_file(found[0]), **arguments}
    with pytest.raises(gradio_client.exceptions.AppError, match=words):
        client.predict(**arguments, api_name=name)


def test_files_that_are_no_direction_files_are_told_by_their_name(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"x" * 100)
    with pytest.raises(gradio_client.exceptions.AppError, match=r"mine\.safetensors") as raised:
        client.predict(file=gradio_client.handle_file(file), api_name="/describe_directions")
    assert "/" not in str(raised.value)


def test_large_files_are_refused(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "large.safetensors"
    with file.open("wb") as large:
        large.truncate(65 << 20)
    with pytest.raises(Exception, match=r"413|too large|exceed"):
        client.predict(file=gradio_client.handle_file(file), api_name="/describe_directions")
