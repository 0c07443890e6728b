"""Edits at one click: the buttons that come with the generator, and what a visitor keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import torch
from models import tiny_stylegan2
from updates_told import last, problem_of

import resefa_core as resefa
from gradio_app.steps import Steps
from gradio_app.steps.one_click import LONGEST_KEPT
from gradio_app.studio import Studio
from gradio_app.visit import Visit
from resefa_core.atlas import Atlas, Plan, build_atlas
from resefa_core.latents.edits import Edit
from resefa_core.session.saved import pack, unpack


@pytest.fixture(scope="module")
def shared(avatars: resefa.Generator) -> Studio:
    return Studio({"avatars": avatars})


@pytest.fixture
def steps(shared: Studio) -> Steps:
    return Steps(shared)


def arrived(steps: Steps, seed: int = 21, **query: str) -> tuple[Visit, dict[str, Any]]:
    """A visitor, and the buttons that are there."""
    visit = Visit()
    shown = list(steps.arrive(visit, {"seed": str(seed), **query}))
    return visit, last(shown, "one_click")


def button(buttons: dict[str, Any], part: str, words: str) -> dict[str, Any]:
    (found,) = (way for way in buttons["sets"][part] if way["words"] == words)
    return {key: found[key] for key in ("set", "index", "up")}


def test_each_part_has_buttons_for_both_ways_of_a_direction(steps: Steps) -> None:
    _, buttons = arrived(steps)
    words = {part: [way["words"] for way in ways] for part, ways in buttons["sets"].items()}
    assert words["mouth"] == ["smiles", "opens", "closes", "wider", "narrower", "frowns"]
    assert {"angry", "worried"} <= set(words["eyebrows"])
    assert all(len(set(ways)) == len(ways) for ways in words.values())


def test_a_click_edits_the_part_and_shows_its_sliders(steps: Steps) -> None:
    visit, buttons = arrived(steps, region="eyes")
    before = visit.needed.image
    shown = list(steps.edit_at_once(visit, button(buttons, "mouth", "opens")))
    assert last(shown, "status")["kind"] == "done"
    (move,) = visit.needed.moves
    assert move.brief == "mouth opens"
    rows = last(shown, "directions")["items"]
    assert [row["strength"] for row in rows] == [0.0, 4.0, 0.0, 0.0]
    region = visit.needed.selected
    assert region is not None
    assert torch.equal(region.mask(64, 64), visit.needed.part("mouth").mask(64, 64))
    effect = (visit.needed.image - before).square().mean(dim=0)
    inside = region.mask(64, 64) >= 0.5
    assert effect[inside].mean() > 30.0 * effect[~inside].mean()


def test_clicks_add_up_and_each_can_be_undone(steps: Steps) -> None:
    visit, buttons = arrived(steps)
    for part, words in (("mouth", "smiles"), ("mouth", "wider"), ("eyebrows", "angry")):
        list(steps.edit_at_once(visit, button(buttons, part, words)))
    assert [move.brief for move in visit.needed.moves] == ["mouth smiles +4, wider", "eyebrows angry"]
    for expected in (["mouth smiles +4, wider"], ["mouth smiles +4"], []):
        list(steps.travel(visit, {"go": "undo"}))
        assert [move.brief for move in visit.needed.moves] == expected


def test_the_link_tells_them(steps: Steps) -> None:
    visit, buttons = arrived(steps)
    shown = list(steps.edit_at_once(visit, button(buttons, "mouth", "smiles")))
    history = last(shown, "history")
    assert history["left_out"] == ""
    other, _ = arrived(steps, **dict(parse_qsl(history["link"][1:])))
    assert torch.equal(other.needed.image, visit.needed.image)
    assert other.directions is not None
    assert other.directions.names == visit.needed_directions.names


def test_a_face_without_the_part_says_so_and_stays(steps: Steps) -> None:
    visit, buttons = arrived(steps, seed=777)
    directions = visit.directions
    assert "has no hair" in problem_of(list(steps.edit_at_once(visit, button(buttons, "hair", "blond"))))
    assert visit.needed.moves == ()
    assert visit.directions is directions


@pytest.mark.parametrize("strength", [0.0, -1.5])
def test_what_is_kept_edits_other_faces(steps: Steps, strength: float) -> None:
    visit, _ = arrived(steps)
    sent = {"version": visit.version, "index": 0, "strength": strength}
    kept = last(list(steps.keep_for_one_click(visit, sent)), "one_click")["keep"]
    assert kept["generator"] == visit.needed.generator.fingerprint
    assert len(kept["data"]) <= LONGEST_KEPT
    other, _ = arrived(steps, seed=5)
    shown = list(steps.edit_at_once(other, {"kept": kept["data"]}))
    assert last(shown, "status")["kind"] == "done"
    (move,) = other.needed.moves
    assert move.brief == kept["label"]
    assert (move.amounts()[0][1] < 0) == (strength < 0)
    assert last(shown, "history")["left_out"]  # a link has no room for vectors


def test_kept_confined_edits_stay_confined(steps: Steps) -> None:
    visit, _ = arrived(steps)
    list(steps.confine(visit, True, 0.03))
    sent = {"version": visit.version, "index": 0, "strength": 2.0}
    kept = last(list(steps.keep_for_one_click(visit, sent)), "one_click")["keep"]
    other, _ = arrived(steps, seed=5)
    list(steps.edit_at_once(other, {"kept": kept["data"]}))
    (move,) = other.needed.moves
    assert move.confine == 1.0


def two_moves(steps: Steps) -> str:
    visit, buttons = arrived(steps)
    for part, words in (("mouth", "smiles"), ("eyebrows", "angry")):
        list(steps.edit_at_once(visit, button(buttons, part, words)))
    return pack(Edit(visit.needed.moves).to_json())


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "smiles",
        {},
        {"set": "avatars-mouth"},
        {"set": "avatars-mouth", "index": 99, "up": True},
        {"set": "avatars-mouth", "index": True, "up": True},
        {"set": ["avatars-mouth"], "index": 0},
        {"set": {"a": 1}, "index": 0},
        {"set": "../avatars", "index": 0},
        {"kept": ""},
        {"kept": "@@@"},
        {"kept": "A" * 100_000},
        {"kept": pack({"version": 1, "sets": [], "moves": []})},
    ],
)
def test_damaged_requests_are_refused(steps: Steps, payload: object) -> None:
    visit, _ = arrived(steps)
    assert problem_of(list(steps.edit_at_once(visit, payload)))
    assert visit.needed.moves == ()


def test_a_kept_edit_of_several_moves_is_refused(steps: Steps) -> None:
    visit, _ = arrived(steps)
    assert "damaged" in problem_of(list(steps.edit_at_once(visit, {"kept": two_moves(steps)})))


def test_a_kept_edit_of_another_generator_is_refused(steps: Steps) -> None:
    visit, _ = arrived(steps)
    sent = {"version": visit.version, "index": 0, "strength": 2.0}
    kept = unpack(last(list(steps.keep_for_one_click(visit, sent)), "one_click")["keep"]["data"])
    narrow = Edit.from_json(kept)[0].directions
    vectors = narrow.vectors[..., :64] / narrow.vectors[..., :64].norm()
    other = resefa.Directions.from_vectors(vectors, narrow.space, narrow.generator, narrow.layers)
    edit = Edit((resefa.Move(other, {0: 1.0}),))
    words = problem_of(list(steps.edit_at_once(visit, {"kept": pack(edit.to_json(embed=True))})))
    assert "expects" in words


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"version": 10**9, "index": 0, "strength": 1.0},
        {"index": 0, "strength": 1.0},
        {"index": 99, "strength": 1.0},
        {"index": "0", "strength": 1.0},
        {"index": 0, "strength": float("nan")},
        {"index": 0, "strength": 1e9},
        {"index": 0},
    ],
)
def test_nothing_is_kept_of_rows_that_are_not_shown(steps: Steps, payload: dict[str, Any] | None) -> None:
    visit, _ = arrived(steps)
    if payload and "version" not in payload and payload.get("index") != 0:
        payload = {"version": visit.version, **payload}
    assert problem_of(list(steps.keep_for_one_click(visit, payload)))


@pytest.fixture(scope="module")
def atlas(avatars: resefa.Generator) -> Atlas:
    """Mouths that move as bundled ones do, and one that moves otherwise; hair that nothing moves."""
    plan = Plan.of(avatars, range(2), ["mouth", "hair"])
    built = build_atlas(avatars, plan, count=3, measured=1)
    mouth, hair = built.entries
    assert mouth.joint is not None
    assert hair.joint is not None
    named = replace(mouth.joint.directions, names=("opens / closes", "tilts left / tilts right", "other"))
    works = torch.tensor([1.0, 0.9, 1.0], dtype=torch.float64)
    still = replace(hair.joint, responding=torch.zeros(3, dtype=torch.float64))
    joint = replace(mouth.joint, directions=named, responding=works)
    return replace(built, entries=(replace(mouth, joint=joint), replace(hair, joint=still)))


def test_an_atlas_that_is_opened_is_edited_with_at_one_click(
    steps: Steps, atlas: Atlas, tmp_path: Path
) -> None:
    file = tmp_path / "atlas.safetensors"
    atlas.save(file)
    visit, before = arrived(steps, region="part:mouth")
    shown = list(steps.open_file(visit, str(file)))
    rows = dict(last(shown, "card")["rows"])
    assert rows["Directions"] == "6: mouth, hair"
    assert (rows["Found on"], rows["Fits"]) == ("2 images", "yes")
    assert last(shown, "usable")
    shown = list(steps.use(visit))
    assert visit.needed_directions.names == ("opens / closes", "tilts left / tilts right", "other")
    after = last(shown, "one_click")
    assert {part: ways for part, ways in after["sets"].items() if part != "mouth"} == {
        part: ways for part, ways in before["sets"].items() if part != "mouth"
    }
    added = [way["words"] for way in after["sets"]["mouth"][len(before["sets"]["mouth"]) :]]
    assert added == ["tilts left", "tilts right"]
    list(steps.edit_at_once(visit, button(after, "mouth", "tilts right")))
    (move,) = visit.needed.moves
    assert torch.equal(move.directions.vectors, atlas["mouth"].joint.directions.vectors[:2])  # type: ignore[union-attr]
    assert move.strengths == {1: atlas["mouth"].joint.directions.strength_range[0]}  # type: ignore[union-attr]
    other, _ = arrived(steps, seed=5)
    assert "no such edit" in problem_of(list(steps.edit_at_once(other, button(after, "mouth", "tilts left"))))


def test_atlases_of_others_and_damaged_ones_are_refused(steps: Steps, atlas: Atlas, tmp_path: Path) -> None:
    visit, _ = arrived(steps)
    file = tmp_path / "atlas.safetensors"
    atlas.save(file)
    file.write_bytes(file.read_bytes()[:-9])
    shown = list(steps.open_file(visit, str(file)))
    assert "atlas.safetensors" in problem_of(shown)
    tiny = tiny_stylegan2()
    build_atlas(tiny, Plan.of(tiny, range(2), ["0.2,0.2,0.5,0.4"]), count=1, measured=1).save(
        file, overwrite=True
    )
    assert not last(list(steps.open_file(visit, str(file))), "usable")
    assert "open a direction file" in problem_of(list(steps.use(visit)))
    assert visit.offered == {}
