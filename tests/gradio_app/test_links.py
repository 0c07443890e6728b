"""Links tell what is shown, say what they leave out, and are read whatever stands in them."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import tiny_stylegan2
from PIL import Image, ImageDraw

import resefa_core as resefa
from gradio_app import links
from resefa_core.latents.samples import SEEDS
from resefa_core.session import Session

GENERATOR = tiny_stylegan2()


def session(seed: int = 7, truncation: float = 0.25) -> Session:
    return Session(GENERATOR, seed, truncation=truncation)


def asked(link: str) -> dict[str, object]:
    """What a link asks for, with nothing that makes no sense in it."""
    assert link.startswith("?")
    read, notes = links.read(dict(parse_qsl(link[1:])))
    assert notes == []
    return read


def test_links_round_trip() -> None:
    shown = session()
    shown.select([0.1, 0.2, 0.30001, 0.4])
    link, left_out = links.write(shown, True, generator="a b&c", **{"class": "ä"})
    assert left_out == ""
    assert asked(link) == {
        "seed": 7,
        "truncation": 0.25,
        "region": {"box": [0.1, 0.2, 0.3, 0.4]},
        "generator": "a b&c",
        "class": "ä",
    }
    avatars = Session(resefa.load_generator("avatars"), SEEDS - 1, truncation=1.0)
    avatars.select("box:mouth")
    assert asked(links.write(avatars, True)[0]) == {
        "seed": SEEDS - 1,
        "truncation": 1.0,
        "region": {"preset": "mouth"},
    }


def test_links_tell_how_directions_are_found_and_edits_made() -> None:
    parameters = {"regularization": 0.1234567890123, "colour": 1.0}
    link, _ = links.write(session(), True, **links.settings("paper", 0.5, 0.1, parameters))
    read = asked(link)
    assert (read["method"], read["confine"], read["feather"]) == ("paper", 0.5, 0.1)
    assert read["parameters"] == parameters
    assert links.settings("resefa", 0.0, 0.1, {}) == {}


@pytest.mark.parametrize(
    ("query", "confine", "feather"),
    [
        ("seed=7&confine=0.03", 1.0, 0.03),
        ("seed=7&confine=0.2", 1.0, 0.2),
        ("seed=7&confine=0", 0.0, 0.0),
        ("seed=7&confine=0.03&feather=0.1", 0.03, 0.1),
        ("seed=7&confine=0&feather=0.1", 0.0, 0.1),
        ("seed=7&confine=0.5", 0.5, None),
        ("seed=7&feather=0.1", None, 0.1),
    ],
)
def test_links_that_tell_of_confined_edits_by_their_feather_alone_mean_what_they_meant(
    query: str, confine: float | None, feather: float | None
) -> None:
    read = asked(f"?{query}")
    assert (read.get("confine"), read.get("feather")) == (confine, feather)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, SEEDS - 1), st.floats(0, 1), st.lists(st.floats(0.1, 0.4), min_size=4, max_size=4))
def test_every_link_that_is_written_is_read(seed: int, truncation: float, box: list[float]) -> None:
    shown = session(seed, truncation)
    shown.select(box)
    read = asked(links.write(shown, True)[0])
    assert read["seed"] == seed
    assert read["truncation"] == pytest.approx(truncation, rel=1e-5, abs=1e-12)
    assert read["region"]["box"] == pytest.approx(box, rel=1e-3)  # type: ignore[index]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"seed": "-1", "truncation": "nan", "box": "1,2,3", "class": ""}, 3),
        ({"seed": "9" * 5000, "truncation": "9" * 5000}, 2),
        ({"seed": "²", "truncation": "1e999"}, 2),
        ({"edit": "x" * 100}, 1),
        ({"edit": "x" * 100_000}, 1),
        ({"confine": "3"}, 1),
        ({"feather": "0.3"}, 1),
        ({"parameters": "regularization"}, 1),
        ({"parameters": "regularization=much"}, 1),
    ],
)
def test_links_that_make_no_sense_are_told(query: dict[str, str], count: int) -> None:
    read, notes = links.read(query)
    assert read == {}
    assert len(notes) == count


def painted() -> Image.Image:
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).ellipse((20, 30, 90, 100), fill=255)
    return mask


def test_links_carry_the_edit_and_what_was_painted() -> None:
    shown = session()
    shown.select(painted())
    found = shown.find()
    shown.edit(found, {0: 2.0}, confine=1.0, feather=0.03)
    second = shown.find([0.1, 0.1, 0.4, 0.4])
    shown.edit(second, {1: -3.0})
    link, left_out = links.write(shown, True)
    assert left_out == ""
    again = Session.from_json(asked(link)["edit"], GENERATOR)
    assert torch.equal(again.latent.codes, shown.latent.codes)
    assert torch.equal(again.image, shown.image)
    assert again.selected is not None


def test_what_does_not_travel_is_said() -> None:
    shown = session()
    shown.select([0.1, 0.1, 0.4, 0.4])
    _, left_out = links.write(shown, False)
    assert left_out == "the uploaded generator"
    imported = resefa.Directions.from_vectors(torch.eye(2, GENERATOR.latent_dim), "w", GENERATOR)
    shown.edit(imported, {0: 1.0})
    link, left_out = links.write(shown, True)
    assert left_out == "directions of an opened file"
    assert "edit" not in asked(link)


def test_what_browsers_keep_comes_back() -> None:
    shown = session()
    shown.edit(shown.find([0.1, 0.1, 0.4, 0.4]), {0: 2.0})
    shown.set_image(8)
    kept = links.read_stored(links.stored(shown, "", "resefa", 0.5, 0.1, {"colour": 1.0}))
    assert kept is not None
    assert (kept["method"], kept["confine"], kept["feather"]) == ("resefa", 0.5, 0.1)
    assert kept["parameters"] == {"colour": 1.0}
    again = Session.from_json(kept["session"], GENERATOR)
    assert again.seed == 8
    assert again.undo()
    assert again.seed == 7
    assert len(again.moves) == 1


@pytest.mark.parametrize(
    "text", [None, 3, "", "{", "[]", "{}", '{"session": 3}', "[" * 50_000, "x" * 2_000_000]
)
def test_what_browsers_do_not_keep_like_that_is_nothing(text: object) -> None:
    assert links.read_stored(text) is None


def test_numbers_that_browsers_keep_are_of_their_range() -> None:
    text = json.dumps({"session": {}, "confine": 9, "feather": "x", "parameters": [1]})
    assert links.read_stored(text) == {"session": {}, "class": "", "method": ""}
