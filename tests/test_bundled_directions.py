"""The directions that come with the package: what they do to images, and how edits and links tell them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.cli import main
from resefa_core.directions.bundled import bundled_sets, directions_file
from resefa_core.latents.edits import Edit, Move
from resefa_core.session import Session

UNSEEN = (29, 13, 777, 2012, 2016, 2003)


@pytest.fixture(scope="module")
def sets(avatars: resefa.Generator) -> dict[str, resefa.Directions]:
    return resefa.bundled_directions(avatars)


def test_they_are_of_the_generator_s_parts(
    avatars: resefa.Generator, sets: dict[str, resefa.Directions]
) -> None:
    parts = Session(avatars, 29).part_names
    assert {name.removeprefix("avatars-") for name in sets} <= set(parts)
    for name, directions in sets.items():
        directions.check(avatars)
        assert directions.matches(avatars)
        assert directions.region is not None
        assert name == f"avatars-{directions.region.name}"
        assert directions.num_samples > 1
        assert not any(each.startswith("direction") for each in directions.names)
        low, high = directions.strength_range
        assert low == -high


def test_they_change_their_part_of_other_images_and_hardly_the_rest(
    avatars: resefa.Generator, sets: dict[str, resefa.Directions]
) -> None:
    session = Session(avatars, UNSEEN[0])
    for name, directions in sets.items():
        for index, each in enumerate(directions.names):
            effect = session.measure(
                directions, which=index, seeds=UNSEEN, strength=max(directions.strength_range)
            )
            assert effect.inside > 0.1, (name, each)
            assert effect.ratio > 10.0, (name, each)


def test_other_generators_have_none() -> None:
    assert resefa.bundled_directions(tiny_stylegan2()) == {}


@pytest.mark.parametrize("confine", [0.0, 1.0])
def test_an_edit_tells_them_by_name(
    avatars: resefa.Generator, sets: dict[str, resefa.Directions], confine: float
) -> None:
    session = Session(avatars, 21)
    here = session.here(sets["avatars-mouth"])
    move = Move.of(avatars, session.original, here, {"smiles": 3.0}, confine)
    edit = Edit((move,))
    assert edit.is_found
    told = json.loads(json.dumps(edit.to_json()))
    assert set(told["sets"][0]) == {"bundled", "digest", "names", "region"}
    assert len(json.dumps(told)) < 3000
    again = Edit.from_json(told)
    assert torch.equal(again.apply(session.original).codes, edit.apply(session.original).codes)
    assert again[0].region is None or torch.equal(
        again[0].region.mask(64, 64), session.part("mouth").mask(64, 64)
    )
    embedded = Edit.from_json(json.loads(json.dumps(edit.to_json(embed=True))))
    torch.testing.assert_close(
        embedded.apply(session.original).codes, edit.apply(session.original).codes, rtol=0.0, atol=1e-6
    )


def test_a_link_carries_them_without_finding_them_again(
    avatars: resefa.Generator, sets: dict[str, resefa.Directions]
) -> None:
    session = Session(avatars, 21)
    here = session.here(sets["avatars-eyes"])
    session.edit(here, {0: 4.0})
    session.directions = here
    again = Session.from_text(session.to_text(), avatars)
    assert torch.equal(again.latent.codes, session.latent.codes)
    assert len(again.cache) == 0
    assert again.directions is not None
    assert again.strengths(again.directions) == {0: 4.0}


@pytest.mark.parametrize(
    "change",
    [
        {"bundled": "avatars-nose"},
        {"bundled": 7},
        {"bundled": ["avatars-mouth"]},
        {"digest": "0" * 16},
        {"digest": None},
        {"names": ["a"] * 50},
        {"names": "smiles"},
        {"region": 3},
    ],
)
def test_edits_with_others_are_refused(
    avatars: resefa.Generator, sets: dict[str, resefa.Directions], change: dict[str, object]
) -> None:
    session = Session(avatars, 21)
    session.edit(session.here(sets["avatars-mouth"]), {0: 1.0})
    told = Edit(session.moves).to_json()
    told["sets"][0].update(change)
    with pytest.raises(resefa.ReSeFaError):
        Edit.from_json(told)


def test_images_without_the_part_say_so(
    avatars: resefa.Generator, sets: dict[str, resefa.Directions]
) -> None:
    scarf = Session(avatars, 777)
    with pytest.raises(resefa.RegionError, match="has no hair"):
        scarf.here(sets["avatars-hair"])


def test_the_command_line_takes_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "smiling.png"
    arguments = ["edit", "avatars-mouth", "--seed", "21", "--move", "smiles=4", "-o", str(out)]
    assert main(arguments) in (0, None)
    assert out.is_file()
    assert main(["info", "avatars-mouth"]) in (0, None)
    assert "smiles" in capsys.readouterr().out


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert directions_file("avatars-mouth").is_absolute()
    (tmp_path / "avatars-mouth").touch()
    assert directions_file("avatars-mouth") == Path("avatars-mouth")
    assert directions_file("elsewhere/avatars-mouth") == Path("elsewhere/avatars-mouth")


def test_sets_are_read_once() -> None:
    assert bundled_sets() is bundled_sets()
