"""A visitor's own picture in the demo: found, edited, put back, and told to nobody."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from updates_told import last

import resefa_core as resefa
from gradio_app import payloads
from gradio_app.app import _options
from gradio_app.page import Settings, build
from gradio_app.presence import Presence
from gradio_app.quota import Quota
from gradio_app.steps import Steps
from gradio_app.studio import Studio
from gradio_app.visit import Visit
from resefa_core.inversion import edited_mark
from resefa_core.latents.crop import FACES
from resefa_core.session import Session
from resefa_core.sheets import COMMENT_KEYWORD, XMP_KEYWORD


@pytest.fixture(scope="module")
def steps(avatars: resefa.Generator) -> Steps:
    return Steps(Studio({"avatars": avatars}))


@pytest.fixture
def visit(steps: Steps) -> Visit:
    visit = Visit()
    list(steps.arrive(visit, {"seed": "7", "region": "mouth"}))
    return visit


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches of a few steps, where nobody looks how near they come."""
    monkeypatch.setattr(Session, "set_photo", partialmethod(Session.set_photo, steps=20))


@pytest.fixture
def photo(tmp_path: Path, avatars: resefa.Generator) -> Path:
    """A drawn face within a larger picture."""
    picture = Image.new("RGB", (260, 192), (30, 90, 60))
    face = resefa.to_pil(avatars.synthesize(avatars.sample(77, 0.7))[0])
    picture.paste(face.resize((192, 192)), (34, 0))
    picture.save(tmp_path / "me.png")
    return tmp_path / "me.png"


@pytest.mark.usefixtures("briefly")
def test_a_part_is_found_on_the_picture(steps: Steps, photo: Path) -> None:
    visit = Visit()
    list(steps.arrive(visit, {"seed": "7", "part": "part:mouth"}))
    before = visit.needed.selected
    list(steps.find_photo(visit, str(photo)))
    session = visit.needed
    assert session.photo is not None
    assert session.selected is not None
    assert session.selected is not before
    assert torch.equal(session.selected.mask(64, 64), session.part("mouth").mask(64, 64))


def test_a_picture_is_found_as_one_looks_on_and_edited(
    steps: Steps, visit: Visit, photo: Path, tmp_path: Path
) -> None:
    before = np.asarray(Image.open(photo))
    shown = list(steps.find_photo(visit, str(photo)))
    assert last(shown, "status")["kind"] == "done"
    searching = [each for each in shown if each.get("status", {}).get("text") == "Finding your picture"]
    assert any("picker" in each for each in searching)
    assert not photo.exists()
    session = visit.needed
    assert session.photo is not None
    assert session.selected is not None
    assert "Your picture" in last([u for u in shown if "alt" in u.get("picker", {})], "picker")["alt"]
    assert "your picture as avatars draws it" in last(shown, "status")["text"]
    assert visit.directions is not None

    high = visit.directions.strength_range[1]
    list(steps.slide(visit, {"version": visit.version, "strengths": [min(3.0, high)]}))
    out = list(steps.paste_photo(visit, False, folder=tmp_path))
    file = Path(last(out, "photo_files"))
    with Image.open(file) as made:
        after = np.asarray(made)
        assert "generative model" in made.info["Comment"]
        assert "resefa_latent" not in made.info
    changed = (before != after).any(axis=2)
    assert 0 < changed.sum() < 0.3 * changed.size
    assert not changed[:, :34].any()
    assert [each["label"] for each in last(out, "pasted")["images"]] == ["your picture", "edited"]
    whole = Path(last(list(steps.paste_photo(visit, True, folder=tmp_path)), "photo_files"))
    assert (np.asarray(Image.open(whole)) != after).any()

    kept = last([*shown, *steps.rest(visit, {"version": visit.version, "strengths": [1.0]})], "history")
    assert session.original.digest not in kept["link"]
    assert "seed" not in kept["link"]
    assert "edit" not in kept["link"]
    assert kept["left_out"] == "your own picture"
    assert json.loads(kept["stored"])["session"]

    while visit.needed.can_undo:
        list(steps.travel(visit, {"go": "undo"}))
    assert visit.needed.seed == 7
    assert visit.needed.photo is None


def test_a_search_that_is_stopped_gives_the_face_back(steps: Steps, visit: Visit, photo: Path) -> None:
    face = resefa.to_pil(visit.needed.before)
    going = steps.find_photo(visit, str(photo))
    shown = next(update for update in going if "picker" in update)["picker"]["image"]
    list(steps.stop(visit))
    back = last(list(going), "picker")
    assert back["image"] == payloads.data_url(face) != shown
    assert back["of"] == visit.version
    assert visit.needed.photo is None


def test_every_picture_and_film_to_take_away_says_that_a_photo_was_edited(
    steps: Steps, visit: Visit, photo: Path, tmp_path: Path
) -> None:
    mark = edited_mark()
    expected = {
        "PNG": mark,
        "GIF": {"comment": mark[COMMENT_KEYWORD].encode()},
        "WEBP": {"xmp": mark[XMP_KEYWORD].encode()},
    }
    for name, marked in (("drawn", False), ("photo", True)):
        if marked:
            visit.needed.set_photo(resefa.Photo.open(photo), steps=2)
        list(steps.slide(visit, {"version": visit.version, "strengths": [1.0]}))
        made = last(list(steps.save(visit, None, name, "", "", folder=tmp_path)), "files")
        pictures = [file for file in made if not file.endswith((".safetensors", ".mp4"))]
        assert len(pictures) == 4
        for video in set(made) - {*pictures, made[0]}:
            with pytest.importorskip("av").open(video) as film:
                assert film.metadata.get("comment", "") == (mark[COMMENT_KEYWORD] if marked else "")
        for file in pictures:
            with Image.open(file) as picture:
                told = expected[str(picture.format)]
                assert (told.items() <= picture.info.items()) is marked, file
                assert bool(told.keys() & picture.info.keys()) is marked, file


def test_the_page_is_told_what_its_own_downloads_say(steps: Steps, visit: Visit, photo: Path) -> None:
    def marks(updates: Iterable[dict[str, Any]]) -> list[str]:
        return [update["picker"]["mark"] for update in updates if "mark" in update.get("picker", {})]

    assert set(marks(steps.arrive(visit, {"seed": "7"}))) == {""}
    while_searching = marks(steps.find_photo(visit, str(photo)))
    assert len(while_searching) > 2
    assert set(while_searching) == {payloads.mark(edited_mark())}
    assert marks(steps.travel(visit, {"go": "undo"})) == [""]


def test_what_is_no_picture_is_said_and_removed(steps: Steps, visit: Visit, tmp_path: Path) -> None:
    session = visit.needed
    for name, content in (("a.png", b"nothing"), ("b.jpg", b"\xff\xd8\xff" + bytes(100))):
        file = tmp_path / name
        file.write_bytes(content)
        line = last(list(steps.find_photo(visit, str(file))), "status")
        assert line["kind"] == "problem"
        assert "not readable" in line["text"]
        assert str(tmp_path) not in line["text"]
        assert not file.exists()
    assert visit.needed is session
    assert session.seed == 7
    assert list(steps.find_photo(visit, None)) == []
    assert list(steps.find_photo(visit, {"path": "/etc/passwd"})) == []


def test_the_face_is_where_the_visitor_says(steps: Steps, visit: Visit, photo: Path) -> None:
    line = last(list(steps.find_photo(visit, str(photo), "1,2,3")), "status")
    assert "x and y of both eyes" in line["text"]
    line = last(list(steps.paste_photo(visit, False, folder=photo.parent)), "status")
    assert "no photo" in line["text"]


@pytest.mark.usefixtures("briefly")
def test_the_face_is_where_the_visitor_clicks(steps: Steps, visit: Visit, tmp_path: Path) -> None:
    assert last(list(steps.place_face(visit, [[0.4, 0.4], [0.6, 0.4], [0.5, 0.7]])), "status")[
        "text"
    ].endswith("drop one first")
    picture = Image.new("RGB", (260, 192), (30, 90, 60))
    drawn = steps.studio.generator("avatars")
    face = resefa.to_pil(drawn.synthesize(drawn.sample(77, 0.7))[0])
    picture.paste(face.resize((128, 128)), (110, 40))
    picture.save(tmp_path / "me.png")
    shown = list(steps.find_photo(visit, str(tmp_path / "me.png")))
    assert last(shown, "points")["image"].startswith("data:image/")
    session = visit.needed
    first = session.original.crop
    for wrong in (
        None,
        [],
        [[0.1, 0.2]],
        [[0.1, 0.2], [0.3, 0.4], [0.5]],
        [[0.1, 0.2], [3.0, 0.4], [0.5, 0.6]],
    ):
        assert last(list(steps.place_face(visit, wrong)), "status")["kind"] == "problem"
        assert visit.needed.original.crop == first
    places = [[(110 + 128 * x) / 260, (40 + 128 * y) / 192] for x, y in FACES["avatars"]]
    shown = list(steps.place_face(visit, places))
    assert "your picture as avatars draws it" in last(shown, "status")["text"]
    crop = visit.needed.original.crop
    assert crop is not None
    assert [crop.x, crop.y, crop.wide, crop.turn] == pytest.approx([174.0, 104.0, 128.0, 0.0], abs=1e-3)


def test_the_operator_decides(avatars: resefa.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESEFA_PHOTOS", raising=False)
    assert _options([]).photos is None
    assert _options(["--no-photos"]).photos is False
    monkeypatch.setenv("RESEFA_PHOTOS", "1")
    assert _options([]).photos is True
    monkeypatch.setenv("RESEFA_PHOTOS", "0")
    assert _options([]).photos is False
    studio = Studio({"avatars": avatars})
    for allowed in (True, False):
        folder = Path(tempfile.mkdtemp())
        page = build(studio, Settings(folder, Presence(), Quota(folder), photos=allowed))
        labels = [getattr(block, "label", None) for block in page.blocks.values()]
        assert ("Your picture" in labels) is allowed
