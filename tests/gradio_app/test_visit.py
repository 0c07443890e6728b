"""A visitor's steps on the bundled generator: what is shown, what is remembered, and what is never told."""

from __future__ import annotations

import base64
import gc
import io
import json
import logging
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from PIL import Image
from updates_told import Updates, last, problem_of

import resefa_core as resefa
from gradio_app import jobs, payloads, studio, updates
from gradio_app.line import CrowdedError
from gradio_app.steps import FIRST_SEED, NUM_OTHERS, Steps
from gradio_app.steps.direction_files import file_stem
from gradio_app.steps.finding import MOST_ROWS
from gradio_app.studio import Studio
from gradio_app.thumbnails import Thumbnails
from gradio_app.updates import told
from gradio_app.visit import Visit
from resefa_core.defaults import NUM_DIRECTIONS
from resefa_core.directions.about import credit_of
from resefa_core.directions.recipes import Recipe
from resefa_core.latents.edits import MAX_MOVES, Edit
from resefa_core.latents.samples import SEEDS
from resefa_core.memo import Memo
from resefa_core.session import Session
from resefa_core.session.saved import unpack
from resefa_core.sheets import FILM_SUFFIXES

BUNDLED = Path(resefa.__file__).parent / "bundled" / "avatars.safetensors"
SECRET = "/srv/secret/place"


@pytest.fixture(scope="module")
def shared(avatars: resefa.Generator) -> Studio:
    return Studio({"avatars": avatars})


@pytest.fixture
def steps(shared: Studio) -> Steps:
    return Steps(shared)


@pytest.fixture(scope="module")
def analyses() -> resefa.JacobianCache:
    return resefa.JacobianCache(1 << 30)


@pytest.fixture
def opened(avatars: resefa.Generator, analyses: resefa.JacobianCache) -> Steps:
    """Steps of a studio that has analysed nothing yet; what it asks for was made for other tests before."""
    return Steps(Studio({"avatars": avatars}, compute=analyses.analyse))


@pytest.fixture
def visit(steps: Steps) -> Visit:
    """A visitor who sees a face and its directions in W."""
    return arrived(steps, 900)


@pytest.fixture(scope="module")
def lasting(shared: Studio) -> Visit:
    """A visitor for steps that are refused, and change nothing."""
    return arrived(Steps(shared), 900)


def arrived(steps: Steps, seed: int, region: str = "mouth") -> Visit:
    """A visitor who came by a link."""
    visit = Visit()
    shown = list(steps.arrive(visit, {"seed": str(seed), "region": region}))
    assert last(shown, "status")["kind"] == "done"
    assert visit.directions is not None
    return visit


def picture(url: str) -> Image.Image:
    head, data = url.split(",", 1)
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_arriving_shows_the_first_face_and_directions(steps: Steps) -> None:
    visit = Visit()
    shown = list(steps.arrive(visit, {}))
    assert shown[0]["seed"] == FIRST_SEED
    assert shown[0]["generator"] == "avatars"
    assert shown[0]["picker"]["credit"] == ""
    assert shown[0]["class"] == {"visible": False, "hint": ""}
    assert picture(shown[0]["picker"]["image"]).size == (64, 64)
    assert shown[0]["picker"]["alt"] == f"Picture number {FIRST_SEED}, drawn by avatars"
    assert set(shown[0]["picker"]["presets"]) == set(resefa.PRESETS["avatars"])
    rows = last(shown, "directions")
    assert rows["version"] == visit.version
    assert rows["more"] is False
    assert visit.directions is not None
    assert [item["name"] for item in rows["items"]] == list(visit.directions.names)
    assert len({picture(item["strip"]).size for item in rows["items"]}) == 1
    many = len(rows["items"])
    assert 1 <= many <= MOST_ROWS
    ways = f"{many} quick way{'s' if many > 1 else ''} to change the mouth"
    assert rows["heading"] == ways
    assert last(shown, "status")["text"] == f"{ways}; better ones follow."
    assert shown[0]["confine"] == {"visible": True}
    json.dumps(shown, allow_nan=False)


def test_whom_to_credit_follows_the_choice_of_generator(avatars: resefa.Generator) -> None:
    steps, visit = Steps(Studio({"avatars": avatars, "cats": resefa.load_generator("cats")})), Visit()
    shown = list(steps.arrive(visit, {}))
    shown = list(steps.draw(visit, "cats", FIRST_SEED, 0.7))
    assert last(shown, "generator") == "cats"
    face = next(update["picker"] for update in shown if "presets" in update.get("picker", {}))
    assert face["credit"] == credit_of(visit.needed.generator) != ""
    assert picture(face["image"]).size == (128, 128)
    assert set(face["presets"]) == set(resefa.PRESETS["cats"])
    assert last(shown, "one_click")["sets"]
    back = next(steps.draw(visit, "avatars", FIRST_SEED, 0.7))
    assert (back["generator"], back["picker"]["credit"]) == ("avatars", "")


def test_faces_that_others_were_shown_are_not_drawn_again(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = last(list(steps.arrive(Visit(), {})), "faces")
    monkeypatch.setattr(Thumbnails, "_draw", lambda *_: pytest.fail("drawn again"))
    assert last(list(steps.arrive(Visit(), {})), "faces") == first
    with pytest.raises(pytest.fail.Exception, match="drawn again"):
        list(steps.arrive(Visit(), {"truncation": "0.5"}))


def test_faces_to_choose_from(steps: Steps, visit: Visit) -> None:
    gallery = last(list(steps.arrive(Visit(), {})), "faces")["faces"]
    assert gallery[0]["seed"] == FIRST_SEED
    assert picture(gallery[0]["image"]).size == (64, 64)
    (more,) = steps.choose_face(visit, {"more": True}, "avatars", 0.7)
    assert len(more["faces"]["faces"]) == len(gallery)
    assert more["faces"] != {"faces": gallery}
    shown = list(steps.choose_face(visit, {"seed": gallery[1]["seed"]}, "avatars", 0.7))
    assert last(shown, "seed") == gallery[1]["seed"]
    assert visit.session is not None
    assert visit.session.seed == gallery[1]["seed"]
    for nonsense in (None, {}, {"seed": "1"}, {"seed": -1}, {"more": 1}):
        problem_of(list(steps.choose_face(visit, nonsense, "avatars", 0.7)))


def test_strips_come_as_they_are_drawn(steps: Steps, visit: Visit) -> None:
    shown = list(steps.pick(visit, {"region": {"preset": "mouth"}}))
    counts = [len(update["directions"]["items"]) for update in shown if "directions" in update]
    assert counts[0] == 1
    assert visit.directions is not None
    assert counts[-1] == len(visit.directions) > 1
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    "query",
    [
        {"seed": "12", "truncation": "0.4", "region": "eyes"},
        {"seed": "4294967295", "truncation": "1", "box": "0.1,0.2,0.3,0.4"},
        {"seed": "12", "truncation": "0.4", "region": "eyes", "method": "sefa"},
    ],
)
def test_links_come_back(steps: Steps, query: dict[str, str]) -> None:
    visit = Visit()
    first = next(iter(steps.arrive(visit, query)))
    assert dict(parse_qsl(first["picker"]["link"][1:])) == query


@pytest.mark.parametrize(
    "query",
    [
        {"seed": "99999999999", "truncation": "7", "generator": "../../etc/passwd", "region": "<script>"},
        {"box": "0,0,1,1"},
        {"box": "nan,inf,1e400,-1"},
        {"region": "\ud800", "class": "\ud800", "generator": "\0"},
        {"class": "x" * 10_000},
        {"part": "part:wheel"},
        {"part": "at:9,9"},
        {"method": "magic"},
    ],
)
def test_links_that_make_no_sense_show_the_first_face(steps: Steps, query: dict[str, str]) -> None:
    visit = Visit()
    shown = list(steps.arrive(visit, query))
    assert shown[0]["seed"] == FIRST_SEED
    assert last(shown, "status")["kind"] == "done"
    json.dumps(shown, ensure_ascii=False, allow_nan=False).encode("utf-8")


def test_drawing_another_face(steps: Steps, visit: Visit) -> None:
    region, version = visit.needed.selected, visit.version
    visit.strengths = {0: 2.0}
    shown = list(steps.draw(visit, "avatars", 901, 0.5))
    assert visit.session is not None
    assert (visit.session.seed, visit.session.original.truncation) == (901, 0.5)
    assert "number 901" in shown[0]["picker"]["alt"]
    assert visit.needed.selected is region
    assert visit.strengths == {}
    assert visit.version > version


def test_the_same_face_is_not_drawn_again(steps: Steps, lasting: Visit) -> None:
    assert list(steps.draw(lasting, "avatars", 900, 0.7)) == []


def test_random_faces(steps: Steps, visit: Visit) -> None:
    shown = list(steps.draw_random(visit, "avatars", None, 0.7))
    assert visit.session is not None
    assert shown[0] == {"seed": visit.session.seed}
    assert len({next(iter(steps.draw_random(visit, "avatars", 0, 0.7)))["seed"] for _ in range(5)}) > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("avatars", -1, 0.7), "seed -1: expected a number"),
        (("avatars", None, 0.7), "seed NoneType"),
        (("avatars", 10**400, 0.7), "expected a number"),
        (("avatars", float("nan"), 0.7), "seed nan"),
        (("avatars", 1, "0.7"), "truncation '0.7'"),
        (("avatars", True, 0.7), "seed True"),
        (("none such", 1, 0.7), "there is no generator 'none such' here"),
        ((["avatars"] * 100, 1, 0.7), "there is no generator"),
        ((None, 1, 0.7), "there is no generator"),
    ],
)
def test_faces_that_can_not_be_drawn(
    steps: Steps, lasting: Visit, arguments: tuple[Any, ...], words: str
) -> None:
    face, version = lasting.needed.original, lasting.version
    assert words in problem_of(list(steps.draw(lasting, *arguments)))
    assert lasting.needed.original is face
    assert lasting.version == version


def test_picking_a_region(steps: Steps, visit: Visit) -> None:
    shown = list(steps.pick(visit, {"region": {"box": [0.25, 0.25, 0.5, 0.125]}}))
    assert visit.needed.selected is not None
    assert visit.needed.selected.to_json() == {"box": [0.25, 0.25, 0.5, 0.125]}
    assert last(shown, "picker")["region"] == {"box": [0.25, 0.25, 0.5, 0.125]}
    assert "box=0.25,0.25,0.5,0.125" in last(shown, "picker")["link"]


def test_clicking_a_part(steps: Steps, visit: Visit) -> None:
    shown = list(steps.pick(visit, {"region": {"part": "at:0.05,0.05 size:0.5"}}))
    behind = visit.needed.selected
    assert behind is not None
    assert behind.mask(64, 64)[:8, :8].mean() > 0.8
    assert behind.mask(64, 64)[24:40, 24:40].max() < 0.5
    assert last(shown, "picker")["region"]["mask"].startswith("data:image/png;base64,")
    assert last(shown, "status")["kind"] == "done"
    query = dict(parse_qsl(last(shown, "picker")["link"][1:]))
    assert query["part"] == "at:0.05,0.05"
    again = Visit()
    list(steps.arrive(again, query))
    assert again.needed.selected is not None
    assert torch.equal(again.needed.selected.mask(64, 64), behind.mask(64, 64))


def test_parts_by_name_follow_to_another_face(steps: Steps, visit: Visit) -> None:
    shown = list(steps.arrive(visit, {"seed": "13", "part": "part:eyes"}))
    assert {"eyes", "mouth", "hair"} <= set(shown[0]["picker"]["parts"])
    assert "change the eyes" in last(shown, "status")["text"]
    before = visit.needed.selected
    assert before is not None
    list(steps.draw(visit, "avatars", 21, 0.7))
    after = visit.needed.selected
    assert after is not None
    assert not torch.equal(before.mask(64, 64), after.mask(64, 64))
    other = Session(steps.studio.generator("avatars"), 21, cache=steps.studio.analyses)
    assert torch.equal(after.mask(64, 64), other.part("eyes").mask(64, 64))


def test_several_parts_are_one_region(steps: Steps, visit: Visit) -> None:
    parts = [["part:mouth", True], ["part:eyes", True], ["at:0.05,0.05", True], ["part:mouth", False]]
    list(steps.pick(visit, {"region": {"parts": parts}}))
    session = visit.needed
    chosen = session.selected
    assert chosen is not None
    masks = [session.region(text).mask(64, 64) for text, _ in parts]
    expected = torch.stack(masks[:3]).amax(dim=0).minimum(1.0 - masks[3])
    torch.testing.assert_close(chosen.mask(64, 64), expected)
    for damaged in ([], [["part:mouth", False]], [["part:mouth"]], [["part:mouth", 1]], [[3, True]], [{}]):
        assert problem_of(list(steps.pick(visit, {"region": {"parts": damaged}})))


def test_a_face_says_once_what_can_be_pointed_at(steps: Steps, visit: Visit) -> None:
    def told(updates: Updates) -> list[Any]:
        return [update["picker"]["choices"] for update in updates if "choices" in update.get("picker", {})]

    (choices,) = told(list(steps.arrive(visit, {"seed": "13"})))
    here = visit.needed.choices_here()
    assert choices["names"] == list(here)
    assert choices["texts"] == [f"part:{name}" for name in here]
    data = base64.b64decode(choices["masks"].split(",")[1])
    sheet = np.asarray(Image.open(io.BytesIO(data)))
    for index, region in enumerate(here.values()):
        inside = sheet[128 * index : 128 * (index + 1)]
        assert np.array_equal(inside, region.mask(128, 128).numpy() >= 0.5)
    assert told(list(steps.pick(visit, {"region": {"part": "part:mouth"}}))) == []
    assert len(told(list(steps.draw(visit, "avatars", 21, 0.7)))) == 1


def test_parts_follow_wherever_the_face_changes(steps: Steps, visit: Visit) -> None:
    list(steps.arrive(visit, {"seed": "13", "part": "part:hair"}))
    session = visit.needed
    for change, seed in (
        (lambda: steps.carry_to(visit, {"seed": 21}), 21),
        (lambda: steps.travel(visit, {"go": "undo"}), 13),
        (lambda: steps.draw(visit, "avatars", 5, 0.7), 5),
    ):
        list(change())
        assert session.seed == seed
        assert session.selected is not None
        assert torch.equal(session.selected.mask(64, 64), session.part("hair").mask(64, 64)), seed


def test_clicked_parts_follow_from_face_to_face(steps: Steps, visit: Visit) -> None:
    list(steps.arrive(visit, {"seed": "13", "part": "at:0.5,0.62"}))  # the mouth
    session = visit.needed
    for seed in (21, 30):
        list(steps.draw(visit, "avatars", seed, 0.7))
        assert session.selected is not None
        (selection,) = session.selected.selections
        again = session.region(selection).mask(64, 64)
        assert torch.equal(session.selected.mask(64, 64), again), seed
        known = session.part("mouth").mask(64, 64) >= 0.5
        chosen = again >= 0.5
        assert (chosen & known).sum() > 0.3 * (chosen | known).sum(), seed


def test_the_first_visit_begins_with_the_mouth_of_the_face(steps: Steps) -> None:
    visit = Visit()
    list(steps.arrive(visit, {"seed": "21"}))
    session = visit.needed
    assert session.selected is not None
    assert session.selected.selections == (resefa.Selection("mouth"),)
    assert torch.equal(session.selected.mask(64, 64), session.part("mouth").mask(64, 64))
    assert visit.pending is None


def test_clicked_parts_follow_to_another_face(steps: Steps, visit: Visit) -> None:
    list(steps.arrive(visit, {"seed": "13", "part": "at:0.05,0.05"}))  # hair
    list(steps.draw(visit, "avatars", 21, 0.7))
    hair = visit.needed.selected
    assert hair is not None
    assert hair.follows
    known = visit.needed.part("hair").mask(64, 64) >= 0.5
    chosen = hair.mask(64, 64) >= 0.5
    assert (chosen & known).sum() > 0.5 * (chosen | known).sum()


def test_painting_a_region(steps: Steps, visit: Visit) -> None:
    painted = np.zeros((128, 128), dtype=np.uint8)
    painted[70:110, 30:90] = 255
    buffer = io.BytesIO()
    Image.fromarray(painted).save(buffer, "PNG")
    mask = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    shown = list(steps.pick(visit, {"region": {"mask": mask}}))
    assert last(shown, "picker")["region"]["mask"].startswith("data:image/png;base64,")
    assert "box" not in last(shown, "picker")["link"]
    assert dict(parse_qsl(last(shown, "picker")["link"][1:]))["edit"]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "mouth",
        {},
        {"region": None},
        {"region": {"box": [0, 0, 1, 1]}},
        {"region": {"box": [0.5, 0.5, 1e-9, 1e-9]}},
        {"region": {"box": ["0", "0", "1", "1"]}},
        {"region": {"preset": "\ud800"}},
        {"region": {"part": "\ud800"}},
        {"region": {"part": "part:\ud800"}},
        {"region": {"part": "part:wheel"}},
        {"region": {"part": "at:2,3"}},
        {"region": {"part": "at:" + "+0.1,0.1" * 100}},
    ],
)
def test_regions_that_can_not_be_picked(steps: Steps, lasting: Visit, payload: object) -> None:
    region, version = lasting.needed.selected, lasting.version
    shown = list(steps.pick(lasting, payload))
    problem_of(shown).encode("utf-8")
    assert (lasting.needed.selected, lasting.version) == (region, version)
    assert last(shown, "directions") == {"stale": True}
    again = list(steps.pick(lasting, {"region": {"preset": "mouth"}}))
    assert last(again, "directions")["stale"] is False


def test_slides(steps: Steps, visit: Visit) -> None:
    before = np.asarray(steps.picture(visit)).astype(int)
    shown = list(steps.slide(visit, slid(visit, 4.0)))
    assert shown[0]["picker"]["of"] == visit.version
    assert visit.strengths == {0: 4.0}
    assert np.abs(pixels(shown[0]["picker"]["image"]) - before).max() > 8
    assert list(steps.slide(visit, slid(visit, 4.0))) == []


@pytest.mark.parametrize("first", ["rest", "others"])
def test_a_slider_moves_the_picture_also_where_other_steps_overtake_it(steps: Steps, first: str) -> None:
    visit = arrived(steps, 29)
    sent = slid(visit, 4.0)
    list(steps.rest(visit, sent) if first == "rest" else steps.others(visit, False, sent))
    assert last(list(steps.slide(visit, sent)), "picker")["of"] == visit.version
    assert list(steps.slide(visit, sent)) == []


def test_a_slide_takes_back_a_problem(steps: Steps, visit: Visit) -> None:
    problem_of(list(steps.pick(visit, {"region": {"preset": "tail"}})))
    assert last(list(steps.slide(visit, slid(visit, 1.0))), "status") == {"text": "", "kind": "done"}
    assert all("status" not in update for update in steps.slide(visit, slid(visit, 2.0)))


def test_slides_of_older_directions_are_left(steps: Steps, visit: Visit) -> None:
    late = slid(visit, 3.0)
    list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    assert list(steps.slide(visit, late)) == []
    assert visit.strengths == {}


@pytest.mark.parametrize("strengths", [[float("nan")], ["1"], [1] * 7, {"0": 1}, None, [[]]])
def test_slides_that_make_no_sense_are_left(steps: Steps, visit: Visit, strengths: object) -> None:
    assert list(steps.slide(visit, {"version": visit.version, "strengths": strengths})) == []


def test_slides_before_there_is_a_face(steps: Steps) -> None:
    assert "reload" in problem_of(list(steps.slide(Visit(), {"version": 0, "strengths": [1]})))


def test_confined_edits_change_less_elsewhere(steps: Steps, visit: Visit) -> None:
    def changes() -> tuple[float, float]:
        change = np.asarray(steps.picture(visit)).astype(float) - plain
        return float(np.abs(change[inside]).mean()), float(np.abs(change[~inside]).mean())

    assert visit.session is not None
    assert visit.needed.selected is not None
    plain = np.asarray(resefa.to_pil(visit.session.before)).astype(float)
    inside = visit.needed.selected.mask(64, 64).numpy() > 0
    list(steps.slide(visit, slid(visit, 5.0)))
    free = changes()
    shown = list(steps.confine(visit, True, 0.0))
    assert visit.strengths == {0: 5.0}
    assert last(shown, "directions")["items"][0]["strength"] == 5.0
    confined = changes()
    assert confined[0] / confined[1] > free[0] / free[1]
    list(steps.confine(visit, False, 0.0))
    assert changes() == free


def test_directions_for_confined_edits_are_found_where_no_slider_was_moved(
    steps: Steps, visit: Visit
) -> None:
    plain = visit.directions
    shown = list(steps.confine(visit, True, 0.03))
    assert visit.directions is not None
    assert visit.directions.confined
    many = len(visit.directions)
    ways = f"{many} way{'s' if many > 1 else ''} to change the mouth"
    assert last(shown, "status")["text"] == f"{ways} alone. Move a slider."
    list(steps.slide(visit, slid(visit, 3.0)))
    list(steps.confine(visit, True, 0.1))
    assert visit.directions.confined
    assert visit.strengths == {0: 3.0}
    list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    assert visit.directions.confined
    list(steps.confine(visit, False, 0.1))
    assert plain is not None
    assert (visit.directions.method, visit.directions.space) == (plain.method, plain.space)


def test_directions_for_confined_edits_are_offered_where_sliders_moved(steps: Steps, visit: Visit) -> None:
    list(steps.slide(visit, slid(visit, 3.0)))
    shown = list(steps.confine(visit, True, 0.03))
    assert last(shown, "offer") is True
    assert visit.strengths == {0: 3.0}
    assert visit.directions is not None
    assert not visit.directions.confined
    steps.history(visit)
    assert visit.needed.directions is visit.directions
    list(steps.take_finer(visit))
    assert visit.directions.confined


def test_sets_for_confined_edits_are_confined_when_opened(steps: Steps, visit: Visit, tmp_path: Path) -> None:
    list(steps.confine(visit, True, 0.03))
    folder = tmp_path / "made"
    folder.mkdir()
    file = saved(steps, visit, folder)[0]
    other = arrived(steps, 900, "eyes")
    list(steps.open_file(other, str(file)))
    list(steps.use(other))
    assert other.directions is not None
    assert other.directions.confined
    for each in (visit, other):
        list(steps.slide(each, slid(each, 4.0)))
    assert np.array_equal(np.asarray(steps.picture(visit)), np.asarray(steps.picture(other)))
    list(steps.confine(other, True, 0.1))
    assert other.directions.title == "A smile"


def test_sets_for_confined_edits_without_their_steps(steps: Steps, visit: Visit, tmp_path: Path) -> None:
    list(steps.confine(visit, True, 0.03))
    assert visit.directions is not None
    file = tmp_path / "bare.safetensors"
    replace(visit.directions, steps_confined=None).save(file)
    other = arrived(steps, 900, "eyes")
    list(steps.open_file(other, str(file)))
    assert (
        last(list(steps.use(other)), "status")["text"]
        == f"These are the {len(visit.directions)} directions of the file."
    )
    for each in (visit, other):
        list(steps.slide(each, slid(each, 4.0)))
    difference = np.asarray(steps.picture(visit)).astype(int) - np.asarray(steps.picture(other))
    assert np.abs(difference).max() <= 2


def test_edits_add_up_over_regions_and_can_be_taken_back(steps: Steps, visit: Visit) -> None:
    def look() -> np.ndarray[Any, Any]:
        return np.asarray(steps.picture(visit)).astype(int)

    plain = look()
    list(steps.slide(visit, slid(visit, 4.0)))
    mouth = look()
    shown = list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    (kept,) = last(shown, "history")["moves"]
    assert kept.startswith("mouth ")
    assert visit.strengths == {}
    assert np.array_equal(look(), mouth)
    assert np.array_equal(pixels(last(shown, "picker")["image"]), mouth)
    list(steps.slide(visit, slid(visit, 4.0)))
    both = look()
    assert visit.needed.selected is not None
    eyes = visit.needed.selected.mask(64, 64).numpy() > 0
    lips = resefa.Region.preset("mouth").mask(64, 64).numpy() > 0
    assert np.abs(both - mouth)[eyes].mean() > 3 * np.abs(both - mouth)[lips].mean()
    others = last(list(steps.others(visit, True)), "others")["images"]
    assert len(last(list(steps.rest(visit, slid(visit, 4.0))), "history")["moves"]) == 2
    for nonsense in (2, -1, True, "0", None):
        list(steps.travel(visit, {"remove": nonsense, "go": "redo"}))
        assert len(visit.needed.moves) == 2
    shown = list(steps.travel(visit, {"remove": 0}))
    assert last(shown, "status")["text"] == f"Taken back: {kept}."
    (left,) = last(shown, "history")["moves"]
    assert left.startswith("eyes ")
    assert visit.strengths == {0: 4.0}
    alone = look()
    assert np.abs(alone - plain)[lips].mean() < np.abs(both - plain)[lips].mean() / 3
    assert last(list(steps.others(visit, True)), "others")["images"] != others
    list(steps.travel(visit, {"go": "undo"}))
    assert np.array_equal(look(), both)
    list(steps.travel(visit, {"remove": 1}))
    assert visit.strengths == {}
    assert np.array_equal(look(), mouth)


def test_edits_are_kept_within_a_bound_and_gone_with_the_face(steps: Steps, visit: Visit) -> None:
    made = visit.needed.find("hair", quick=True, count=1)
    for _ in range(MAX_MOVES - 3):
        visit.needed.edit(made, {0: 0.01})
    for name in ("eyes", "mouth"):
        list(steps.slide(visit, slid(visit, 0.5)))
        list(steps.pick(visit, {"region": {"preset": name}}))
    list(steps.slide(visit, slid(visit, 0.5)))
    region, picture = visit.needed.selected, np.asarray(steps.picture(visit))
    assert "take back some" in problem_of(list(steps.pick(visit, {"region": {"preset": "hair"}})))
    assert (visit.needed.selected, len(visit.kept)) == (region, MAX_MOVES - 1)
    assert np.array_equal(np.asarray(steps.picture(visit)), picture)
    shown = list(steps.draw(visit, "avatars", 901, 0.7))
    assert last(shown, "history")["moves"] == []
    assert visit.kept == ()
    assert visit.session is not None
    assert np.array_equal(np.asarray(steps.picture(visit)), np.asarray(resefa.to_pil(visit.session.before)))


def test_names_that_were_typed_are_not_replaced(opened: Steps) -> None:
    steps, visit = opened, arrived(opened, 900)
    list(steps.slide(visit, {"version": visit.version, "strengths": [0, 0], "touched": True}))
    directions = visit.directions
    shown = list(steps.analyse(visit))
    assert last(shown, "offer") is True
    assert visit.directions is directions
    shown = list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    assert last(shown, "offer") is False
    assert last(shown, "background")["text"] == ""
    assert visit.finer is None


def test_regions_too_small_to_change_alone_are_told(opened: Steps) -> None:
    steps, visit = opened, arrived(opened, 900)
    visit.needed.analyse()
    shown = list(steps.pick(visit, {"region": {"box": [0.49, 0.49, 0.02, 0.02]}}))
    assert "draw a larger part, or confine" in last(shown, "status")["text"]


def test_strips_show_the_region(steps: Steps, visit: Visit) -> None:
    shown = list(steps.pick(visit, {"region": {"box": [0.4, 0.6, 0.2, 0.1]}}))
    wide = picture(last(shown, "directions")["items"][0]["strip"])
    shown = list(steps.pick(visit, {"region": {"box": [0.0, 0.0, 0.2, 0.9]}}))
    tall = picture(last(shown, "directions")["items"][0]["strip"])
    shown = list(steps.pick(visit, {"region": {"box": [0.05, 0.05, 0.9, 0.9]}}))
    whole = picture(last(shown, "directions")["items"][0]["strip"])
    assert wide.width / 5 >= wide.height
    assert tall.width / 5 < tall.height <= 1.7 * tall.width / 5
    assert whole.width / 5 == whole.height


def test_feathers_out_of_range_are_told(steps: Steps, visit: Visit) -> None:
    assert "feather 3" in problem_of(list(steps.confine(visit, True, 3)))
    assert visit.confine == 0.0
    assert list(steps.confine(Visit(), True, 0.1)) == []


def test_every_layer_replaces_the_quick_directions(opened: Steps) -> None:
    steps, visit = opened, arrived(opened, 900)
    assert visit.directions is not None
    assert visit.directions.space == "w"
    version = visit.version
    shown = list(steps.analyse(visit))
    assert visit.directions.space == "w+"
    assert visit.version > version
    assert last(shown, "background")["text"].startswith("Every layer is analysed")
    assert any(update.get("background", {}).get("kind") == "working" for update in shown) or len(shown) > 1
    assert list(steps.analyse(visit)) == [{"background": {"text": "", "kind": "done"}}]


def test_every_layer_is_offered_where_sliders_moved(opened: Steps) -> None:
    steps, visit = opened, arrived(opened, 900)
    list(steps.slide(visit, slid(visit, 2.0)))
    version, directions = visit.version, visit.directions
    shown = list(steps.analyse(visit))
    assert last(shown, "offer") is True
    assert (visit.version, visit.directions, visit.strengths) == (version, directions, {0: 2.0})
    steps.history(visit)
    assert visit.needed.directions is directions  # what a link or the browser keeps of the session
    finer = visit.finer
    assert finer is not None
    taken = list(steps.take_finer(visit))
    assert taken[0]["offer"] is False
    assert visit.directions is finer
    assert visit.strengths == {}
    assert visit.finer is None


def test_an_offer_is_gone_with_the_face(opened: Steps) -> None:
    steps, visit = opened, arrived(opened, 900, "hair")
    list(steps.slide(visit, slid(visit, 2.0)))
    list(steps.analyse(visit))
    list(steps.draw(visit, "avatars", 903, 0.7))
    directions = visit.directions
    assert visit.finer is None
    list(steps.take_finer(visit))
    assert visit.directions is directions


@pytest.mark.parametrize("key", [key for key in resefa.METHODS if key not in ("resefa", resefa.CONFINED)])
def test_other_methods(steps: Steps, key: str) -> None:
    visit = arrived(steps, 903)
    shown = list(steps.choose_method(visit, key))
    title = resefa.METHODS[key].title
    assert last(shown, "about_method")["rows"][1] == ["From", resefa.METHODS[key].citation]
    assert last(shown, "about_method")["rows"][0][1] != resefa.METHODS[key].summary
    assert f", by {title}" in last(shown, "status")["text"]
    assert visit.directions is not None
    assert (visit.directions.method, len(visit.directions)) == (key, 6)
    assert visit.directions.seeds is not None
    assert visit.directions.seeds[0] == 903
    items = last(shown, "directions")["items"]
    assert len({item["strip"] for item in items}) == 6
    assert dict(parse_qsl(last(shown, "picker")["link"][1:]))["method"] == key
    assert list(steps.analyse(visit)) == [{"background": {"text": "", "kind": "done"}}]
    version = visit.version
    moved = list(steps.slide(visit, {"version": version, "strengths": [3.0]}))
    assert picture(moved[0]["picker"]["image"]).size == (64, 64)
    assert list(steps.pick(visit, {"region": {"preset": "nose"}}))
    assert visit.directions.method == key
    back = list(steps.choose_method(visit, "resefa"))
    assert visit.directions.method == "resefa"
    assert "method" not in dict(parse_qsl(last(back, "picker")["link"][1:]))


def test_methods_are_offered_where_they_are_defined(avatars: resefa.Generator) -> None:
    wrapped = resefa.WrappedGenerator(lambda z: z[:, :3, None, None].expand(-1, 3, 4, 4) * 1.0, latent_dim=4)
    steps = Steps(Studio({"avatars": avatars, "other": wrapped}))
    visit = arrived(steps, 904)
    list(steps.choose_method(visit, "sefa"))
    shown = list(steps.draw(visit, "other", 1, 0.7))
    field = last(shown, "method")
    assert field["value"] == visit.method == "resefa"
    assert {"stylespace", "sefa"}.isdisjoint(key for _, key in field["choices"])
    assert field["choices"][0] == ("ReSeFa", "resefa")
    assert "can't be used here" in problem_of(list(steps.choose_method(visit, "stylespace")))
    assert visit.method == "resefa"


def asked_for(method: str, **values: object) -> dict[str, object]:
    """What the page's fields send."""
    return {"method": method, "values": values}


def recipe_of(visit: Visit) -> Recipe:
    assert visit.directions is not None
    assert visit.directions.recipe is not None
    return visit.directions.recipe


def test_fields_are_those_of_the_method_that_finds(steps: Steps) -> None:
    visit = arrived(steps, 903)

    def shown(updates: Updates) -> tuple[str, list[str]]:
        told = last(updates, "parameters")
        return told["method"], [row["name"] for row in told["rows"]]

    for key in ("sefa", "published", "resefa"):
        names = [each.name for each in resefa.METHODS[key].parameters]
        assert shown(list(steps.choose_method(visit, key))) == (key, names)
    for confine, key in ((True, resefa.CONFINED), (False, "resefa")):
        names = [each.name for each in resefa.METHODS[key].parameters]
        assert shown(list(steps.confine(visit, confine, 0.03))) == (key, names)


def test_parameters_of_the_method(steps: Steps) -> None:
    visit, other = arrived(steps, 903), arrived(steps, 903)
    assert visit.directions is not None
    assert other.directions is not None
    before, version = visit.directions, visit.version
    sent = asked_for("resefa", regularization="0.5", colour="1", edge="0")
    shown = list(steps.choose_parameters(visit, sent))
    assert visit.version > version
    asked = {"regularization": 0.5, "colour": 1.0}
    assert recipe_of(visit).parameters == {**asked, "edge": 0.0}
    assert not torch.equal(visit.directions.vectors[0], before.vectors[0])
    link = last(shown, "history")["link"]
    assert dict(parse_qsl(link[1:]))["parameters"] == "regularization=0.5,colour=1"
    assert steps.fields(visit)["parameters"]["rows"][0]["value"] == "0.5"
    list(steps.pick(other, {"region": {"preset": "mouth"}}))
    assert recipe_of(other).parameters == recipe_of(arrived(steps, 903)).parameters
    assert torch.equal(other.directions.vectors, before.vectors)
    assert list(steps.choose_parameters(visit, sent)) == []
    list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    assert recipe_of(visit).parameters == {**asked, "edge": 0.0}
    back = Visit()
    list(steps.arrive(back, dict(parse_qsl(link[1:]))))
    assert back.asked == asked
    assert recipe_of(back).parameters == {**asked, "edge": 0.0}
    list(steps.choose_parameters(visit, asked_for("resefa", regularization="", colour=" ")))
    assert visit.asked == {}
    assert "parameters" not in dict(parse_qsl(steps.history(visit)["link"][1:]))


def test_parameters_come_back_with_what_the_browser_keeps(steps: Steps, visit: Visit) -> None:
    list(steps.choose_method(visit, "sefa"))
    list(steps.choose_parameters(visit, asked_for("sefa", candidates="8")))
    assert recipe_of(visit).parameters == {"candidates": 8.0}
    back = Visit()
    list(steps.arrive(back, {}, steps.history(visit)["stored"]))
    assert (back.method, back.asked) == ("sefa", {"candidates": 8.0})
    list(steps.choose_method(back, "resefa"))
    assert back.asked == {}
    list(steps.choose_method(back, "sefa"))
    assert recipe_of(back).parameters == {"candidates": 8.0}


def test_parameters_are_those_of_confined_edits_where_they_are_confined(steps: Steps, visit: Visit) -> None:
    list(steps.choose_parameters(visit, asked_for("resefa", regularization="0.5")))
    list(steps.confine(visit, True, 0.03))
    assert recipe_of(visit).method == resefa.CONFINED
    assert recipe_of(visit).parameters["regularization"] == 0.01
    list(steps.choose_parameters(visit, asked_for(resefa.CONFINED, edge="0")))
    assert recipe_of(visit).parameters == {"regularization": 0.01, "colour": 0.0, "edge": 0.0}
    list(steps.confine(visit, False, 0.03))
    assert recipe_of(visit).parameters["regularization"] == 0.5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"regularization": "much"}, "regularization 'much' is out of range: expected a number from 0"),
        ({"regularization": "0,1"}, "regularization '0,1' is out of range"),
        ({"regularization": "nan"}, "regularization nan is out of range"),
        ({"colour": "0.5"}, "expected a whole number from 0 to 1"),
        ({"edge": ["x"]}, "edge list is out of range"),
        ({"grid": "64"}, "resefa has no parameter 'grid': expected regularization, colour, edge"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_in_words(
    steps: Steps, lasting: Visit, values: dict[str, object], words: str
) -> None:
    before = lasting.directions
    assert words in problem_of(list(steps.choose_parameters(lasting, asked_for("resefa", **values))))
    assert (lasting.asked, lasting.directions) == ({}, before)
    assert last(list(steps.choose_parameters(lasting, asked_for("resefa"))), "status")["text"] == ""


@pytest.mark.parametrize("payload", [None, 3, {}, {"method": "sefa", "values": {"candidates": "8"}}])
def test_fields_of_another_method_are_passed_over(steps: Steps, lasting: Visit, payload: object) -> None:
    assert list(steps.choose_parameters(lasting, payload)) == []
    assert lasting.asked == {}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"parameters": "regularization=-1"}, "The link's parameters can't be used: regularization -1.0 is"),
        ({"parameters": "candidates=8"}, "resefa has no parameter 'candidates'"),
        ({"parameters": "much"}, "The link's parameters can't be used: 'much' is not like"),
        ({"method": "magic", "parameters": "edge=1"}, "The link's method 'magic' can't be used here"),
    ],
)
def test_parameters_of_links_that_make_no_sense_are_told(
    steps: Steps, query: dict[str, str], words: str
) -> None:
    visit = Visit()
    shown = list(steps.arrive(visit, {"seed": "900", "region": "mouth", **query}))
    assert words in last(shown, "status")["text"]
    assert visit.asked == {}


def test_what_takes_long_by_a_visitors_parameters_ends(
    steps: Steps, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(steps.choose_method(visit, "lowrankgan"))
    monkeypatch.setattr(studio, "LONGEST_FOR_VISITORS", 0.0)
    sent = asked_for("lowrankgan", relaxation="3")
    assert "it takes too long here" in problem_of(list(steps.choose_parameters(visit, sent)))
    list(steps.choose_parameters(visit, asked_for("lowrankgan")))
    assert recipe_of(visit).parameters["relaxation"] == 0.0


def test_edits_are_confined_as_far_as_a_link_says(steps: Steps) -> None:
    query = {"seed": "12", "truncation": "0.7", "region": "eyes", "confine": "0.5", "feather": "0.1"}
    visit = Visit()
    shown = list(steps.arrive(visit, query))
    assert (visit.confine, visit.feather) == (0.5, 0.1)
    assert shown[0]["confine"]["value"] is True
    assert dict(parse_qsl(last(shown, "history")["link"][1:])) == query
    list(steps.confine(visit, True, 0.05))
    assert (visit.confine, visit.feather) == (0.5, 0.05)
    list(steps.confine(visit, False, 0.05))
    assert visit.confine == 0.0
    list(steps.confine(visit, True, 0.05))
    assert visit.confine == 1.0
    for nonsense in (3, -1, None, "x", [1]):
        assert "from 0 to 1" in problem_of(list(steps.confine(visit, nonsense, 0.05)))
    assert visit.confine == 1.0


def test_a_link_of_before_confines_as_it_did(steps: Steps) -> None:
    visit = Visit()
    shown = list(steps.arrive(visit, {"seed": "12", "truncation": "0.7", "region": "eyes", "confine": "0.1"}))
    assert (visit.confine, visit.feather) == (1.0, 0.1)
    assert visit.directions is not None
    assert visit.directions.confined
    assert dict(parse_qsl(last(shown, "history")["link"][1:]))["confine"] == "1"
    assert dict(parse_qsl(last(shown, "history")["link"][1:]))["feather"] == "0.1"


@pytest.mark.parametrize("key", ["magic", None, 3, ["sefa"], "x" * 10_000])
def test_methods_that_there_are_not(steps: Steps, lasting: Visit, key: object) -> None:
    before = lasting.directions
    assert "is unknown" in problem_of(list(steps.choose_method(lasting, key)))
    assert (lasting.method, lasting.directions) == ("resefa", before)


def test_answers_tell_which_region_they_are_to(steps: Steps, visit: Visit) -> None:
    shown = list(steps.pick(visit, {"region": {"preset": "eyes"}, "turn": 7}))
    assert last(shown, "picker")["turn"] == 7
    shown = list(steps.draw(visit, "avatars", 905, 0.7))
    assert last(shown, "picker")["turn"] == 7
    assert problem_of(list(steps.pick(visit, {"region": {"preset": "none"}, "turn": 8})))
    assert visit.turn == 7
    for turn in (-1, "9", 9.0, True, 2**40, None, [9]):
        list(steps.pick(visit, {"region": {"preset": "nose"}, "turn": turn}))
        assert visit.turn == 7


def test_analysing_before_there_is_a_face(steps: Steps) -> None:
    assert list(steps.analyse(Visit())) == []


def test_the_analysis_stops_when_another_face_is_drawn(avatars: resefa.Generator) -> None:
    started, over = threading.Event(), []

    def compute(*args: Any, **options: Any) -> resefa.Jacobian:
        progress = options["progress"]
        if args[2] not in (None, "w+"):
            return resefa.compute_jacobian(*args, **options)
        try:
            for i in range(10_000):
                started.set()
                progress(i, 10_000)
                threading.Event().wait(0.01)
        except jobs.Stopped:
            over.append("stopped")
            raise
        raise AssertionError("it went on to the end")

    steps = Steps(Studio({"avatars": avatars}, compute=compute))
    visit = Visit()
    list(steps.arrive(visit, {}))
    going = steps.analyse(visit)
    assert next(going)["background"]["kind"] == "working"
    list(steps.draw(visit, "avatars", 5, 0.7))
    assert all(update["background"]["kind"] == "working" for update in going)
    assert over == ["stopped"]
    assert started.is_set()


def test_the_analysis_stops_when_the_visitor_leaves(avatars: resefa.Generator) -> None:
    over = threading.Event()

    def compute(*args: Any, **options: Any) -> resefa.Jacobian:
        try:
            for i in range(10_000):
                options["progress"](i, 10_000)
                threading.Event().wait(0.01)
        except jobs.Stopped:
            over.set()
            raise
        raise AssertionError("it went on to the end")

    steps = Steps(Studio({"avatars": avatars}, compute=compute))
    going = steps.arrive(Visit(), {})
    next(going)
    next(going)
    going.close()
    assert over.wait(10)


def test_other_faces_move_along(steps: Steps, visit: Visit) -> None:
    still = last(list(steps.others(visit, True)), "others")["images"]
    assert [image["seed"] for image in still] == [901 + i for i in range(NUM_OTHERS)]
    list(steps.slide(visit, slid(visit, 5.0)))
    moved = last(list(steps.others(visit, True)), "others")["images"]
    assert all(a["image"] != b["image"] for a, b in zip(still, moved, strict=True))
    assert list(steps.others(visit, False)) == [{"others": {"images": []}}]
    assert list(steps.others(Visit(), True)) == [{"others": {"images": []}}]


def test_other_faces_do_not_wait_for_the_slide(steps: Steps, visit: Visit) -> None:
    still = last(list(steps.others(visit, True)), "others")["images"]
    sent = {"version": visit.version, "strengths": [4.0]}
    moved = last(list(steps.others(visit, True, sent)), "others")["images"]
    assert all(a["image"] != b["image"] for a, b in zip(still, moved, strict=True))
    assert visit.strengths == {0: 4.0}
    for nonsense in (None, {"version": visit.version - 1, "strengths": []}, {"strengths": "x"}, 3):
        assert last(list(steps.others(visit, True, nonsense)), "others")["images"] == moved


def test_other_faces_of_the_last_seed(steps: Steps) -> None:
    visit = Visit()
    list(steps.arrive(visit, {"seed": str(SEEDS - 1)}))
    images = last(list(steps.others(visit, True)), "others")["images"]
    assert images[0]["seed"] == 0


def test_solving_without_the_whole_jacobian_shows_its_progress(
    avatars: resefa.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(*args: Any, **options: Any) -> resefa.Jacobian:
        return resefa.compute_jacobian(*args, **{**options, "method": "matrix-free"})

    monkeypatch.setattr(jobs, "_PAUSE", 0.005)
    monkeypatch.setattr(updates, "_TOLD_EVERY", 0.0)
    monkeypatch.setattr(updates, "_TOLD_AGAIN", 0.0)
    steps = Steps(Studio({"avatars": avatars}, compute=compute))
    visit = arrived(steps, 900)
    for shown, part in (
        (list(steps.pick(visit, {"region": {"preset": "eyes"}})), "status"),
        (list(steps.analyse(visit)), "background"),
    ):
        lines = [update[part] for update in shown if part in update]
        solving = [line["fraction"] for line in lines if line["text"] == "Finding what changes the region"]
        assert solving == sorted(solving)
        assert len(set(solving)) > 2
        assert lines[-1]["kind"] == "done"
    assert visit.directions is not None
    assert visit.directions.space == "w+"


def test_solving_for_a_region_stops_when_another_is_drawn(
    opened: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, visit = opened, arrived(opened, 900)
    visit.needed.analyse()
    find = Session.find
    drawn = threading.Event()

    def draw_meanwhile(*args: Any, progress: Any, **options: Any) -> resefa.Directions:
        monkeypatch.setattr(Session, "find", find)
        list(steps.pick(visit, {"region": {"preset": "eyes"}}))
        drawn.set()
        progress(1, 2)
        raise AssertionError("it should have stopped")

    monkeypatch.setattr(Session, "find", draw_meanwhile)
    shown = list(steps.analyse(visit))
    assert last(shown, "background") == {"text": "", "kind": "done"}
    assert drawn.wait(60)
    assert visit.directions is not None
    assert visit.directions.recipe is not None
    assert visit.directions.recipe.region is visit.needed.selected


def test_generalizing(steps: Steps, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = list(steps.generalize(visit, 2))
    assert visit.directions is not None
    assert visit.directions.num_samples == 2
    assert last(shown, "status")["text"].startswith("Solved over 2 pictures together. On 5 pictures")
    monkeypatch.setattr(Session, "is_analysed", lambda *_: True)
    shown = list(steps.analyse(visit))
    assert "the next region" in last(shown, "background")["text"]
    assert visit.directions.num_samples == 2


@pytest.mark.parametrize("count", [0, 1, 9, 10**400, None, "4", float("nan"), True])
def test_numbers_of_faces_that_are_refused(steps: Steps, lasting: Visit, count: object) -> None:
    assert "number of pictures" in problem_of(list(steps.generalize(lasting, count)))


@pytest.mark.parametrize("step", ["generalize", "pick", "save", "use"])
def test_steps_before_there_is_a_face(steps: Steps, step: str, tmp_path: Path) -> None:
    calls: dict[str, Callable[[], Iterator[Any]]] = {
        "generalize": lambda: steps.generalize(Visit(), 3),
        "pick": lambda: steps.pick(Visit(), {"region": {"preset": "mouth"}}),
        "save": lambda: steps.save(Visit(), None, "", "", "", folder=tmp_path),
        "use": lambda: steps.use(Visit()),
    }
    problem_of(list(calls[step]()))
    assert list(tmp_path.iterdir()) == []


def saved(steps: Steps, visit: Visit, folder: Path, title: object = "A smile", **payload: Any) -> list[Path]:
    payload = {"version": visit.version, **payload}
    updates = steps.save(visit, payload, title, "Ada", "cc0-1.0", folder=folder)
    kept = []
    for update in updates:
        for file in update.get("files", []):
            kept.append(Path(shutil.copy(file, folder.parent / Path(file).name)))
    return kept


def test_saving_and_opening(steps: Steps, visit: Visit, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    list(steps.slide(visit, slid(visit, 3.0)))
    shown = np.asarray(steps.picture(visit)).tolist()
    kept = [True, True] + [False] * 4
    file, image, both, film, clip, *video = saved(steps, visit, folder, names=["smile", "frown"], kept=kept)
    assert [each.name for each in (file, image)] == ["A-smile.safetensors", "A-smile.png"]
    assert np.asarray(Image.open(image)).tolist() == shown
    assert both.name == "A-smile-before-after.png"
    assert Image.open(both).size == (1024, 512)
    assert film.name == "A-smile.webp"
    assert (clip.name, Image.open(clip).format) == ("A-smile.gif", "GIF")
    assert [each.name for each in video] == [f"A-smile{suffix}" for suffix in FILM_SUFFIXES[2:]]
    assert Image.open(film).n_frames > 2
    loaded = resefa.Directions.load(file)
    assert loaded.names == ("smile", "frown")
    assert (loaded.title, loaded.author, loaded.license) == ("A smile", "Ada", "cc0-1.0")
    assert loaded.thumbnail is not None

    other = Visit()
    list(steps.arrive(other, {"seed": "901", "region": "hair"}))
    opened = list(steps.open_file(other, str(file)))
    rows = dict(last(opened, "card")["rows"])
    assert rows["Title"] == "A smile"
    assert rows["Directions"] == "2: smile, frown"
    assert rows["Fits"] == "yes"
    assert last(opened, "card")["thumbnail"].startswith("data:image/png;base64,")
    assert last(opened, "usable") is True
    used = list(steps.use(other))
    assert [item["name"] for item in last(used, "directions")["items"]] == ["smile", "frown"]
    assert last(used, "picker")["region"] == payloads.show_region(resefa.Region.preset("mouth"))
    assert last(used, "status")["text"] == "These are the 2 directions of the file."
    assert last(used, "card") is None
    assert last(used, "usable") is False


@pytest.mark.parametrize(
    ("bounds", "slider", "strip", "kept"),
    [
        ((-1.0, 5.0), [-1.0, 5.0], [-1.0, -0.5, 0.0, 2.0, 4.0], 3.0),
        ((0.0, 5.0), [0.0, 5.0], [0.0, 1.0, 2.0, 3.0, 4.0], 3.0),
        ((-3.0, -1.0), [-3.0, 0.0], [-3.0, -2.25, -1.5, -0.75, 0.0], -1.8),
    ],
)
def test_sliders_and_strips_go_as_far_to_each_side_as_their_directions(
    steps: Steps,
    visit: Visit,
    bounds: tuple[float, float],
    slider: list[float],
    strip: list[float],
    kept: float,
) -> None:
    uneven = replace(visit.needed_directions, strength_range=bounds)
    rows = last(list(steps.show(visit, uneven)), "directions")
    assert rows["range"] == slider
    assert rows["strengths"] == strip
    star = {"version": visit.version, "index": 0, "strength": 0}
    way = last(list(steps.keep_for_one_click(visit, star)), "one_click")["keep"]
    move = Edit.from_json(unpack(way["data"]))[0]
    assert dict(move.strengths) == {0: kept}


def test_the_edit_comes_as_a_video(steps: Steps, visit: Visit) -> None:
    refused = list(steps.film(visit))
    assert last(refused, "status")["kind"] == "problem"
    assert "nothing is edited" in last(refused, "status")["text"]
    list(steps.slide(visit, {"version": visit.version, "strengths": [3.0]}))
    told = list(steps.film(visit))
    sent = last(told, "viewer")
    assert sent["suffix"] == FILM_SUFFIXES[-1]
    kind, _, content = sent["film"].partition(";base64,")
    assert kind in ("data:video/mp4", "data:image/gif")
    assert base64.b64decode(content)[4:8] == b"ftyp" or kind == "data:image/gif"
    assert visit.needed.moves


def test_a_file_of_another_project_is_asked_for_its_space(steps: Steps, visit: Visit, tmp_path: Path) -> None:
    generator = visit.needed.generator
    file = tmp_path / "age.pt"
    torch.save(2.5 * torch.eye(1, generator.latent_dim), file)
    asked = list(steps.open_file(visit, str(file)))
    assert "give a space" in problem_of(asked)
    assert visit.opened is None
    for layers, expected in (("", range(generator.num_layers)), ("0-2", range(3))):
        opened = list(steps.open_file(visit, str(file), "w", layers))
        assert last(opened, "usable") is True
        assert visit.opened is not None
        assert (visit.opened.space, visit.opened.layers) == ("w", tuple(expected))
        assert visit.opened.steps.tolist() == [2.5]
    assert "layers" in problem_of(list(steps.open_file(visit, str(file), "w", "99")))
    assert "give a space" in problem_of(list(steps.open_file(visit, str(file), ["w"], 7)))
    list(steps.open_file(visit, str(file), "w", ""))
    list(steps.use(visit))
    before = np.asarray(steps.picture(visit)).astype(int)
    list(steps.slide(visit, {"version": visit.version, "strengths": [3.0]}))
    assert np.abs(np.asarray(steps.picture(visit)) - before).max() > 5


@pytest.mark.parametrize(
    "title", ["../../x", "<script>alert(1)</script>", "\0\n\r", "\ud800", "x" * 10_000, None, [1], ""]
)
def test_titles_that_are_no_file_names(steps: Steps, visit: Visit, tmp_path: Path, title: object) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    updates = list(steps.save(visit, None, title, "\ud800", {"x": 1}, folder=folder))
    json.dumps(updates, ensure_ascii=False).encode("utf-8")
    for file in (Path(file) for update in updates for file in update.get("files", [])):
        assert file.resolve().is_relative_to(folder.resolve())
        assert file.stem.replace("-", "").replace("_", "").isalnum()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder)] == []


def test_file_stems() -> None:
    assert file_stem("Ä smile / 2") == "smile-2"
    assert file_stem("...") == "directions"
    assert len(file_stem("x" * 1000)) == 60


def test_keeping_nothing_is_told(steps: Steps, lasting: Visit, tmp_path: Path) -> None:
    payload = {"version": lasting.version, "kept": [False] * 6}
    assert "tick those" in problem_of(list(steps.save(lasting, payload, "", "", "", folder=tmp_path)))
    payload = {"version": lasting.version, "names": ["x" * 1000]}
    assert "names" in problem_of(list(steps.save(lasting, payload, "", "", "", folder=tmp_path)))


def test_files_that_are_no_direction_files(steps: Steps, visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "evil.safetensors"
    for data in (
        b"",
        b"\xff" * 8,
        b"\x80\x04.",
        (1 << 62).to_bytes(8, "little") + b"{}",
        BUNDLED.read_bytes(),
    ):
        file.write_bytes(data)
        shown = list(steps.open_file(visit, str(file)))
        text = problem_of(shown)
        assert str(tmp_path) not in text
        assert "evil.safetensors" in text
        assert last(shown, "usable") is False
        assert visit.opened is None
    for path in (tmp_path / "none.safetensors", tmp_path):
        assert str(tmp_path) not in problem_of(list(steps.open_file(visit, path)))


@pytest.mark.parametrize("path", [None, 3, [], {}])
def test_no_file(steps: Steps, visit: Visit, path: object) -> None:
    assert list(steps.open_file(visit, path)) == [{"card": None, "usable": False}]
    assert "open a direction file first" in problem_of(list(steps.use(visit)))


def test_files_for_another_generator_are_shown_and_not_used(
    steps: Steps, visit: Visit, tmp_path: Path
) -> None:
    assert visit.directions is not None
    other = replace(
        visit.directions, vectors=torch.eye(len(visit.directions), 512), space="w", base_codes=None, title="x"
    )
    other.save(tmp_path / "other.safetensors")
    shown = list(steps.open_file(visit, str(tmp_path / "other.safetensors")))
    assert last(shown, "usable") is False
    assert dict(last(shown, "card")["rows"])["Fits"] == "no"
    assert "does not fit" in problem_of(shown)
    assert "open a direction file first" in problem_of(list(steps.use(visit)))


def test_a_set_that_no_longer_fits_is_not_used(steps: Steps, visit: Visit) -> None:
    """It was opened on one generator; meanwhile the visitor went to another."""
    directions = visit.directions
    assert directions is not None
    list(steps.look(visit, directions))
    assert visit.opened is directions
    small = resefa.StyleGAN2(img_resolution=16, z_dim=8, w_dim=8, channel_base=64, channel_max=8)
    two = Steps(Studio({"avatars": steps.studio.generator("avatars"), "small": small}))
    list(two.draw(visit, "small", 1, 0.7))
    shown = visit.directions
    assert "layers" in problem_of(list(two.use(visit))) or "shape" in problem_of(list(two.use(visit)))
    assert visit.directions is shown


def test_uploading_a_generator(steps: Steps, tmp_path: Path) -> None:
    visit = Visit()
    file = shutil.copy(BUNDLED, tmp_path / "mine.safetensors")
    shown = list(steps.open_checkpoint(visit, str(file)))
    chosen = next(update["generator"] for update in shown if "generator" in update)
    assert chosen["value"] in chosen["choices"]
    assert chosen["value"] not in steps.studio.names
    assert visit.name == chosen["value"]
    assert last(shown, "status")["kind"] == "done"
    assert list(steps.open_checkpoint(visit, None)) == []


def test_files_that_are_no_generators(steps: Steps, lasting: Visit, tmp_path: Path) -> None:
    for name, data in (("a.pkl", b"\x80\x04cos\nsystem\n."), ("b.safetensors", b"x" * 100), ("c.pth", b"")):
        (tmp_path / name).write_bytes(data)
        text = problem_of(list(steps.open_checkpoint(lasting, str(tmp_path / name))))
        assert str(tmp_path) not in text
        assert name in text


def small(seed: int) -> resefa.Generator:
    torch.manual_seed(seed)
    return resefa.StyleGAN2(img_resolution=16, z_dim=8, w_dim=8, channel_base=64, channel_max=8)


def test_uploaded_generators_are_bounded(avatars: resefa.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    files = iter(range(100))
    monkeypatch.setattr(resefa, "load_generator", lambda *_: small(next(files)))
    steps = Steps(Studio({"avatars": avatars}))
    visits = [Visit() for _ in range(5)]
    generators = []
    for visit in visits:
        list(steps.open_checkpoint(visit, "x.pkl"))
        assert visit.session is not None
        generators.append(weakref.ref(visit.session.generator))
    gc.collect()
    assert [each() is not None for each in generators] == [False] * 3 + [True] * studio.MAX_UPLOADED
    text = problem_of(list(steps.pick(visits[0], {"region": {"box": [0.1, 0.1, 0.5, 0.5]}})))
    assert "choose another" in text
    list(steps.draw(visits[0], "avatars", 1, 0.7))
    assert last(list(steps.pick(visits[0], {"region": {"preset": "eyes"}})), "status")["kind"] == "done"


def test_the_cache_is_bounded(avatars: resefa.Generator) -> None:
    bound = 20 << 20
    steps = Steps(Studio({"avatars": avatars}, bound))
    visit = Visit()
    list(steps.arrive(visit, {"seed": "99"}))
    one = steps.studio.analyses.nbytes
    for seed in range(100, 103 + bound // one):
        list(steps.draw(visit, "avatars", seed, 0.7))
        assert 0 < steps.studio.analyses.nbytes <= bound


def test_unexpected_errors_tell_nothing(
    steps: Steps, visit: Visit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"can't read {SECRET}")

    monkeypatch.setattr(Session, "find", fail)
    monkeypatch.setattr(steps.studio, "found", Memo(1))  # others have asked for the eyes before
    with caplog.at_level(logging.ERROR, "resefa.demo"):
        shown = list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    assert SECRET not in json.dumps(shown)
    assert "that did not work" in problem_of(shown)
    assert SECRET in caplog.text


def test_what_is_told_is_short_and_plain() -> None:
    @told
    def step(_: Visit) -> Iterator[dict[str, Any]]:
        raise resefa.ParameterError("x" * 10_000)
        yield {}

    assert problem_of(list(step(Visit()))) == "x" * 500


def test_work_that_was_stopped_says_nothing() -> None:
    @told
    def step(_: Visit) -> Iterator[dict[str, Any]]:
        raise jobs.Stopped
        yield {}

    assert list(step(Visit())) == []


def test_visits_share_nothing_but_the_studio(steps: Steps) -> None:
    first, second = Visit(), Visit()
    list(steps.arrive(first, {"seed": "900"}))
    list(steps.arrive(second, {"seed": "902"}))
    list(steps.slide(first, slid(first, 3.0)))
    assert second.strengths == {}
    assert first.session is not None
    assert second.session is not None
    assert (first.session.seed, second.session.seed) == (900, 902)
    assert first.directions is not second.directions


def slid(visit: Visit, strength: float) -> dict[str, Any]:
    others = len(visit.needed_directions) - 1
    return {"version": visit.version, "strengths": [strength, *[0] * others]}


def pixels(url: str) -> np.ndarray[Any, Any]:
    return np.asarray(picture(url).convert("RGB")).astype(int)


def test_work_behind_the_scenes_gives_way(avatars: resefa.Generator) -> None:
    studio = Studio({"avatars": avatars})
    done = threading.Event()

    def behind() -> None:
        studio.give_way(30.0)
        done.set()

    with studio.urgent():
        thread = threading.Thread(target=behind)
        thread.start()
        assert not done.wait(0.2)
        studio.give_way(0.01)
    assert done.wait(10.0)
    thread.join()
    studio.give_way(30.0)


def test_undo_and_redo_across_faces(steps: Steps, visit: Visit) -> None:
    list(steps.slide(visit, slid(visit, 4.0)))
    shown = list(steps.rest(visit, slid(visit, 4.0)))
    assert last(shown, "history")["undo"] is True
    edited = np.asarray(steps.picture(visit))
    list(steps.draw(visit, "avatars", 901, 0.7))
    shown = list(steps.travel(visit, {"go": "undo"}))
    assert (last(shown, "seed"), visit.strengths) == (900, {0: 4.0})
    assert last(shown, "directions")["items"][0]["strength"] == 4.0
    assert np.array_equal(np.asarray(steps.picture(visit)), edited)
    list(steps.travel(visit, {"go": "undo"}))
    assert visit.strengths == {}
    shown = list(steps.travel(visit, {"go": "undo"}))
    assert last(shown, "history")["undo"] is False
    list(steps.travel(visit, {"go": "redo"}))
    assert np.array_equal(np.asarray(steps.picture(visit)), edited)
    list(steps.travel(visit, {"go": "redo"}))
    assert visit.needed.seed == 901
    assert last(list(steps.travel(visit, {"go": "redo"})), "history")["redo"] is False


def test_nothing_is_lost_where_the_page_starts_over(steps: Steps, visit: Visit) -> None:
    list(steps.slide(visit, slid(visit, 4.0)))
    list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    list(steps.slide(visit, slid(visit, -3.0)))
    shown = list(steps.rest(visit, slid(visit, -3.0)))
    edited = np.asarray(steps.picture(visit))
    for query, stored in (
        ({}, last(shown, "history")["stored"]),
        (dict(parse_qsl(last(shown, "history")["link"][1:])), None),
    ):
        again = Visit()
        came = list(steps.arrive(again, query, stored))
        assert last(came, "status")["kind"] == "done"
        assert np.array_equal(np.asarray(steps.picture(again)), edited)
        assert again.strengths == {0: -3.0}
        assert [move.split()[0] for move in last(came, "history")["moves"]] == ["mouth", "eyes"]
        assert last(came, "history")["undo"] is (stored is not None)


@pytest.mark.parametrize(
    "stored", ["x", '{"session":{}}', '{"session":{"version":1,"generator":{"fingerprint":"\\ud800"}}}']
)
def test_what_can_not_be_brought_back_is_told(steps: Steps, stored: str) -> None:
    shown = list(steps.arrive(Visit(), {"seed": "900", "region": "mouth", "truncation": "x"}, stored))
    assert last(shown, "seed" if "seed" in shown[-1] else "status")
    assert "makes no sense" in last(shown, "status")["text"]
    assert last(shown, "status")["kind"] == "done"


def test_regions_that_were_overtaken_are_left(steps: Steps, visit: Visit) -> None:
    list(steps.pick(visit, {"region": {"preset": "eyes"}, "turn": 5}))
    assert list(steps.pick(visit, {"region": {"preset": "nose"}, "turn": 4})) == []
    assert visit.needed.selected is not None
    assert visit.needed.selected.name == "eyes"


def test_what_is_asked_for_stops_what_was_asked_before(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = arrived(steps, 918)
    monkeypatch.setattr(jobs, "_PAUSE", 0.001)  # the first thing told is that it goes on
    going = steps.pick(visit, {"region": {"preset": "nose"}})
    next(going)
    list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    assert all("directions" not in update for update in going)
    assert visit.directions is not None
    assert visit.directions.region is not None
    assert visit.directions.region.name == "eyes"
    going = steps.pick(visit, {"region": {"preset": "nose"}})
    next(going)
    stopped = list(steps.stop(visit))
    assert last(stopped, "directions") == {"stale": True}
    assert all("directions" not in update for update in going)


def test_a_choice_that_is_told_twice_is_tried_once(steps: Steps, visit: Visit) -> None:
    line, others = steps.studio.lines.methods, []
    while (ticket := line.join()).wait(0.0) is None:  # the first choice waits in line
        others.append(ticket)
    ticket.leave(finished=False)
    going = steps.choose_method(visit, "sefa")
    next(going)
    assert "line" in last([next(going)], "status")["wait"]
    assert next(steps.choose_method(visit, "sefa"), None) is None
    for other in others:
        other.leave(finished=False)
    assert last(list(going), "status")["text"].startswith("6 ways to change the mouth, by SeFa")


def test_the_same_edit_on_a_face_that_is_clicked(steps: Steps, visit: Visit) -> None:
    list(steps.slide(visit, slid(visit, 4.0)))
    (shown,) = [each for each in steps.others(visit, True) if len(each["others"]["images"]) == NUM_OTHERS]
    other = shown["others"]["images"][2]
    came = list(steps.carry_to(visit, {"seed": other["seed"]}))
    assert visit.needed.seed == other["seed"] == 903
    apart = np.abs(pixels(came[0]["picker"]["before"]) - pixels(other["before"]))
    assert apart.mean() < 5.0  # faces to choose from are sent with loss
    assert np.array_equal(pixels(last(came, "picker")["image"]), pixels(other["image"]))
    assert visit.strengths == {0: 4.0}
    list(steps.travel(visit, {"go": "undo"}))
    assert visit.needed.seed == 900
    for nonsense in (None, {}, {"seed": "1"}, {"seed": -1}, {"seed": True}):
        problem_of(list(steps.carry_to(visit, nonsense)))
        assert visit.needed.seed == 900


def test_all_directions_are_shown_to_those_who_ask(steps: Steps, visit: Visit) -> None:
    assert visit.directions is not None
    few = len(visit.directions)
    list(steps.slide(visit, slid(visit, 2.0)))
    shown = list(steps.show_rest(visit))
    rows = last(shown, "directions")
    assert len(rows["items"]) == NUM_DIRECTIONS > few
    assert rows["rest"] is False
    assert visit.strengths == {}
    assert len(last(shown, "history")["moves"]) == 1
    shown = list(steps.pick(visit, {"region": {"preset": "eyes"}}))
    assert len(last(shown, "directions")["items"]) <= MOST_ROWS


def test_methods_are_compared_beside_the_session(steps: Steps, visit: Visit) -> None:
    directions, version = visit.directions, visit.version
    shown = list(steps.compare(visit))
    rows = last(shown, "compared")["rows"]
    assert [row["title"] for row in rows] == [
        method.title for key, method in resefa.METHODS.items() if key != resefa.CONFINED
    ]
    for row in rows:
        assert len(row["images"]) == 3
        change = pixels(row["change"])
        difference = np.abs(pixels(row["images"][2]) - pixels(row["images"][1])).mean(axis=2)
        expected = 255 * (1 - np.minimum(1.0, 3 * difference / 127.5))
        assert np.abs(change[..., 0] - expected).mean() < 6  # both pictures were rounded
    assert last(shown, "compared_status")["kind"] == "done"
    assert (visit.directions, visit.version) == (directions, version)
    json.dumps(shown, allow_nan=False)
    going = steps.compare(visit)
    next(going)
    list(steps.stop_comparing(visit))
    assert not any("compared" in update for update in going)


def test_what_a_method_can_not_find_is_told_in_its_place(
    steps: Steps, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, keys = Session.find, ("resefa", "stylespace")
    monkeypatch.setattr(steps.studio, "methods", lambda generator: list(keys))

    def fails(session: Session, *rest: Any, **options: Any) -> resefa.Directions:
        if options.get("method") == "stylespace":
            raise error("there is nothing")
        return find(session, *rest, **options)

    monkeypatch.setattr(Session, "find", fails)
    error: type[resefa.ReSeFaError] = resefa.RegionError
    rows = last(list(steps.compare(visit)), "compared")["rows"]
    assert rows[1] == {"title": resefa.METHODS["stylespace"].title, "words": "there is nothing"}
    error = CrowdedError
    shown = list(steps.compare(visit))
    assert last(shown, "compared_status")["text"] == ""
    assert last(shown, "status") == {"text": "there is nothing", "kind": "problem"}


def test_a_comparison_ends_with_its_face(steps: Steps, visit: Visit) -> None:
    going = steps.compare(visit)
    next(going)
    visit.needed.set_image(901)
    shown = list(going)
    assert not any("compared" in update for update in shown)
    assert last(shown, "compared_status")["kind"] == "done"


def test_a_surprise_of_a_generator_that_is_gone_is_refused(
    steps: Steps, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps.studio, "_generators", {})
    assert last(list(steps.surprise(visit, "avatars", 900, 0.7, "")), "status")["kind"] == "problem"


def test_a_surprise_is_a_face_and_an_edit_within_reach(steps: Steps, visit: Visit) -> None:
    shown = list(steps.surprise(visit, "avatars", 900, 0.7, ""))
    assert visit.needed.seed == last(shown, "seed") != 900
    assert visit.directions is not None
    told = shown[-1]["directions"]
    assert told["version"] == visit.version
    index, strength = told["set"]
    low, high = visit.directions.strength_range
    assert 0 <= index < len(visit.directions)
    assert strength != 0
    assert low <= strength <= high
