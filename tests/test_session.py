"""The recipe on the bundled generator: what is found, shown, edited, taken back, carried over and kept."""

from __future__ import annotations

import copy
import gc
import json
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import tiny_stylegan2
from older_gans import tiny_biggan
from PIL import Image

import resefa_core as resefa
from resefa_core import PAPER, SHAPE
from resefa_core.defaults import CONFINED_FEATHER, NUM_DIRECTIONS, STRENGTHS
from resefa_core.latents.edits import Edited
from resefa_core.session import Session
from resefa_core.session.saved import pack, unpack
from resefa_core.sheets import COMMENT_KEYWORD, FILM_SUFFIXES, save_film, to_pil


@pytest.fixture(scope="module")
def cache() -> resefa.JacobianCache:
    return resefa.JacobianCache(1 << 30)


@pytest.fixture
def session(avatars: resefa.Generator, cache: resefa.JacobianCache) -> Session:
    return Session(avatars, seed=7, cache=cache)


def test_find_is_the_librarys_own_recipe(session: Session, avatars: resefa.Generator) -> None:
    found = session.find("box:mouth", quick=True)
    latent = avatars.sample(7, 0.7)
    expected = resefa.factorize(
        resefa.compute_jacobian(avatars, latent, "w"),
        resefa.Region.preset("mouth"),
        NUM_DIRECTIONS,
        objective=SHAPE,
    )
    assert torch.equal(found.vectors, expected.vectors)
    assert torch.equal(found.steps, expected.steps)
    assert (found.method, found.space, len(found)) == ("resefa", "w", NUM_DIRECTIONS)
    assert session.selected is found.region
    assert session.directions is found
    assert session.is_analysed("w")
    other = session.find("box:eyes", method="sefa", count=2, parameters={"candidates": 4})
    expected = resefa.find_directions(
        avatars,
        latent,
        resefa.Region.preset("eyes"),
        "sefa",
        num_directions=2,
        parameters={"candidates": 4},
    )
    assert torch.equal(other.vectors, expected.vectors)


def test_a_recipe_says_what_was_chosen(session: Session, avatars: resefa.Generator) -> None:
    free = session.find("mouth", space="w", layers=[2, 3], count=2, kind="matrix-free")
    given = session.find(
        "mouth", space="w", count=2, jacobian=resefa.compute_jacobian(avatars, session.original, "w")
    )
    for found, kind in ((free, "matrix-free"), (given, "dense")):
        assert found.recipe is not None
        assert found.recipe.kind == kind
        recipe = resefa.Recipe.from_json(json.loads(json.dumps(found.recipe.to_json())))
        assert torch.equal(session.find_again(recipe).vectors, found.vectors)
        assert torch.equal(session.find_again(recipe.take([1])).vectors, found.vectors[1:])
    with pytest.raises(resefa.JacobianError, match="no analysis"):
        session.find("mouth", method="sefa", kind="dense")


def test_a_recipe_says_every_parameter_and_an_earlier_one_means_what_it_meant(
    session: Session, avatars: resefa.Generator
) -> None:
    jacobian = resefa.compute_jacobian(avatars, session.original, "w")
    mouth = resefa.Region.preset("mouth")
    found = session.find("box:mouth", space="w", count=2)
    assert found.recipe is not None
    told = found.recipe.to_json()
    assert told["parameters"] == {"regularization": 1e-3, "colour": 0.0, "edge": 0.0}
    for given, regularization in ({}, 1e-4), ({"regularization": 0.01}, 0.01):
        earlier = {key: value for key, value in told.items() if key != "version"} | {"parameters": given}
        again = session.find_again(resefa.Recipe.from_json(earlier))
        expected = resefa.factorize(jacobian, mouth, 2, regularization, objective=PAPER)
        torch.testing.assert_close(again.vectors, expected.vectors, atol=1e-5, rtol=1e-4)
        assert again.objective == PAPER
    with pytest.raises(resefa.ParameterError, match="version of a recipe"):
        resefa.Recipe.from_json(told | {"version": 3})
    paper = session.find("mouth", method="paper", count=2)
    assert paper.recipe is not None
    assert (paper.objective, dict(paper.recipe.parameters)) == (PAPER, {"regularization": 1e-3})


def test_confined_edits_are_soft_unless_told_otherwise(session: Session) -> None:
    mouth = session.find("mouth", quick=True, count=1)
    own = session.find("mouth", confine=1.0, count=1)
    for directions, asked, expected in (
        (mouth, {}, (0.0, 0.0)),
        (mouth, {"confine": 0.5}, (0.5, CONFINED_FEATHER)),
        (mouth, {"confine": 1.0, "feather": 0.0}, (1.0, 0.0)),
        (own, {}, (1.0, 0.0)),  # their region is soft already
    ):
        session.edit(directions, {0: 1.0}, **asked)  # type: ignore[arg-type]
        assert (session.moves[-1].confine, session.moves[-1].feather) == expected


def test_colour_counts_where_it_is_asked_for(session: Session) -> None:
    for confine in (0.0, 1.0):
        found = [
            session.find("eyes", space="w", count=2, confine=confine, colour=c) for c in (None, False, True)
        ]
        assert [each.objective.colour for each in found] == [False, False, True]
        assert [each.objective.edge for each in found] == 3 * [bool(confine)]
        assert torch.equal(found[0].vectors, found[1].vectors)
        assert not torch.allclose(found[1].vectors, found[2].vectors, atol=1e-2)
    with pytest.raises(resefa.ParameterError, match="no parameter 'colour'"):
        session.find("eyes", method="sefa", colour=True)


def test_samples_count_all_images(session: Session, avatars: resefa.Generator) -> None:
    found = session.find("mouth", quick=True, samples=3, count=2)
    assert (found.num_samples, found.seeds) == (3, (7, 8, 9))
    batch = Session(avatars, latent=avatars.sample([2, 9], 0.7), cache=session.cache)
    found = batch.find("mouth", quick=True, samples=3, count=2)
    assert (found.num_samples, found.seeds) == (3, (2, 9, 10))
    assert batch.find("mouth", quick=True, count=2).seeds == (2, 9)
    last = Session(avatars, seed=2**32 - 1, cache=session.cache)
    assert last.find("mouth", quick=True, samples=2, count=1).seeds == (2**32 - 1, 0)
    for samples in (0, -1, 1000, 2.0, True):
        with pytest.raises(resefa.ParameterError, match="samples"):
            session.find("mouth", quick=True, samples=samples)  # type: ignore[arg-type]


def test_confined_edits_have_their_own_directions_in_a_soft_region(session: Session) -> None:
    found = session.find("box:mouth", confine=1.0, count=2)
    assert (found.method, found.space) == (resefa.CONFINED, "w")
    mouth = resefa.Region.preset("mouth")
    assert found.region is not None
    assert torch.equal(found.region.mask(64, 64), mouth.feather(CONFINED_FEATHER).mask(64, 64))
    sharp = session.find("box:mouth", method=resefa.CONFINED, feather=0.0, count=1)
    assert sharp.region is not None
    assert torch.equal(sharp.region.mask(64, 64), mouth.mask(64, 64))
    session.edit(found, {0: 2.0})
    assert session.moves[0].confine == 1.0
    changed = (session.image - session.before).abs().amax(dim=0)
    far = found.region.mask(64, 64) == 0.0
    near = mouth.mask(64, 64) == 1.0
    assert float(changed[far].mean()) < 0.1 * float(changed[near].mean())
    for method, confine in (("sefa", 1.0), (None, 1.5), (None, -0.1)):
        with pytest.raises(resefa.ParameterError, match="confine"):
            session.find("mouth", method=method, confine=confine)


def test_regions_come_by_any_means(session: Session, tmp_path: Path) -> None:
    box = resefa.Region.from_box(0.25, 0.5, 0.5, 0.25)
    mask = box.mask(64, 64)
    painted = Image.fromarray((mask.numpy() * 255).astype(np.uint8))
    painted.save(tmp_path / "mask.png")
    for what in (
        box,
        "0.25,0.5,0.5,0.25",
        (0.25, 0.5, 0.5, 0.25),
        [0.25, 0.5, 0.5, 0.25],
        {"box": [0.25, 0.5, 0.5, 0.25]},
        json.dumps({"box": [0.25, 0.5, 0.5, 0.25]}),
        mask,
        mask.numpy(),
        painted,
        str(tmp_path / "mask.png"),
        resefa.Region.from_mask(painted).to_json(embed=True),
        resefa.Region.from_mask(painted).to_text(),
        box.to_text(),
    ):
        assert torch.equal(session.region(what).mask(64, 64), mask), what
    for what in ("mouth", "avatars/mouth", {"preset": "mouth"}, {"preset": "avatars/mouth"}):
        assert session.region(what, feather=0.1).name == "mouth"
    assert session.selected is None
    for what in (
        None,
        7,
        "tail",
        [1, 2, 3],
        [0, 0, 1, 1],
        {},
        {"preset": "tail"},
        {"mask": "x"},
        torch.ones(8, 8),
    ):
        with pytest.raises(resefa.RegionError):
            session.select(what)
    assert session.selected is None


def test_strips_show_the_image_without_the_sliders(session: Session, avatars: resefa.Generator) -> None:
    found = session.find("mouth", quick=True)
    session.edit(session.find("eyes", quick=True), {0: 3.0})
    below = session.latent
    session.adjust(found, {1: 2.0})
    assert session.below(found).digest == below.digest
    assert session.strengths(found) == {1: 2.0}
    (first, second) = session.strips(found, most=2)
    assert (first.strengths, first.images.shape) == (STRENGTHS, (5, 3, 64, 64))
    middle = STRENGTHS.index(0.0)
    assert torch.equal(first.images[middle], avatars.synthesize(below)[0])
    assert first.effect.inside > first.effect.outside
    moved = resefa.move(below, found, {1: STRENGTHS[0]})
    torch.testing.assert_close(second.images[0], avatars.synthesize(moved)[0], atol=1e-4, rtol=1e-4)
    assert second.picture(40).width == 5 * 40
    with pytest.raises(ZeroDivisionError):
        list(session.strips(found, progress=lambda done, total: 1 // 0))


def test_a_preview_is_what_adjusting_leads_to(session: Session) -> None:
    mouth, eyes = (session.find(name, quick=True) for name in ("mouth", "eyes"))
    session.edit(eyes, {0: 2.0})
    session.adjust(mouth, {0: 1.0})
    before = session.latent.digest
    for confine in (0.0, 1.0):
        shown = session.preview(mouth, {0: 3.0, 1: -1.0}, confine=confine)
        assert session.latent.digest == before
        session.adjust(mouth, {0: 3.0, 1: -1.0}, confine=confine)
        assert torch.equal(shown, session.image)
        session.undo()
    assert session.moves_below(mouth) == session.moves[:1]
    assert session.moves_below(eyes) == session.moves_below(None) == session.moves
    session.adjust(mouth, {})
    assert torch.equal(session.preview(mouth, {}), session.image)


def test_strips_show_again_what_directions_were_chosen_by(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    synthesize = type(session.generator).synthesize

    def counted(generator: resefa.Generator, latent: resefa.Latent, **options: Any) -> torch.Tensor:
        drawn.append(len(latent))
        return synthesize(generator, latent, **options)

    monkeypatch.setattr(type(session.generator), "synthesize", counted)
    found = session.find("mouth", quick=True, only_good=True)
    strengths = (-2.0, 0.0, 2.0)  # those that directions are chosen by
    first = list(session.strips(found, strengths))
    chosen = sum(drawn)
    again = list(session.strips(found, strengths))
    assert sum(drawn) - chosen == 2 * len(found)  # they are forgotten then
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one.images, other.images, atol=1e-4, rtol=1e-4)
    drawn.clear()
    found = session.find("mouth", quick=True, only_good=True)
    assert sum(drawn) > 0
    drawn.clear()
    list(session.strips(found, strengths))
    assert sum(drawn) == 0


def test_a_film_leads_from_before_to_the_edit(session: Session, tmp_path: Path) -> None:
    mouth, eyes = (session.find(name, quick=True) for name in ("mouth", "eyes"))
    session.edit(eyes, {0: 2.0})
    session.edit(mouth, {0: 3.0}, confine=1.0)
    images = list(session.film(5))
    assert len(images) == 5
    torch.testing.assert_close(images[0], session.before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(images[-1], session.image, atol=1e-4, rtol=1e-4)
    far = [float((image - session.before).square().mean()) for image in images]
    assert far == sorted(far)
    for name, kind in (("film.webp", "WEBP"), ("film.gif", "GIF")):
        session.save_film(tmp_path / name)
        with Image.open(tmp_path / name) as film:
            assert film.format == kind
            assert (film.size, film.n_frames, film.info["loop"]) == ((512, 512), 2 * 9 - 2, 0)
            frames = []
            for index in (0, 1, 8, 15):
                film.seek(index)
                frames.append(np.asarray(film.convert("RGB"), dtype=np.float64))
        first, second, end, back = frames
        apart = [float(np.square(a - b).mean()) for a, b in ((second, back), (first, end))]
        assert 4 * apart[0] < apart[1], (kind, apart)
    for frames_asked in (1, 241, 2.0):
        with pytest.raises(resefa.ParameterError, match="frames"):
            list(session.film(frames_asked))  # type: ignore[arg-type]
    with pytest.raises(resefa.ReSeFaError, match="exists"):
        session.save_film(tmp_path / "film.webp")


def test_a_film_as_a_video(session: Session, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    assert ".mp4" in FILM_SUFFIXES
    session.edit(session.find("mouth", quick=True), {0: 3.0})
    before, after = (
        np.asarray(to_pil(image).resize((512, 512))) for image in (session.before, session.image)
    )
    session.save_film(tmp_path / "film.mp4")
    with av.open(tmp_path / "film.mp4") as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
    assert frames[0].shape == (512, 512, 3)
    apart = [float(np.abs(frame.astype(float) - before).mean()) for frame in frames]
    middle = len(frames) // 2
    assert apart[0] < 3.0 > apart[-1]
    assert apart[middle] > 0.6 * float(np.abs(after.astype(float) - before).mean())
    odd = [Image.new("RGB", (33, 17), colour) for colour in ("red", "blue")]
    save_film(odd, tmp_path / "odd.mp4", side=33, texts={COMMENT_KEYWORD: "drawn"})
    with av.open(tmp_path / "odd.mp4") as film:
        assert film.metadata["comment"] == "drawn"
        assert (film.streams.video[0].width % 2, film.streams.video[0].height % 2) == (0, 0)


def test_a_video_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resefa_core.sheets._CAN_FILM", False)
    with pytest.raises(resefa.ParameterError, match=r"resefa\[video\]"):
        save_film([Image.new("RGB", (8, 8))] * 2, tmp_path / "film.mp4")


def test_what_is_known_of_a_set_says_whether_there_may_be_better_ones(session: Session) -> None:
    quick, thorough = session.find("mouth", quick=True), session.find("mouth", layers=(2, 3))
    compared = session.find("mouth", method="sefa")
    joint = session.find("mouth", quick=True, samples=2)
    assert [session.is_quick(each) for each in (quick, thorough, compared)] == [True, False, False]
    found = [session.found_alone(each) for each in (quick, thorough, compared, joint)]
    assert found == [True, True, False, False]
    assert session.found_alone(quick, session.region("mouth"))
    assert not session.found_alone(quick, session.region("eyes"))
    assert not session.found_alone(replace(quick, recipe=None))


def test_edits_are_confined_where_they_can_be(session: Session) -> None:
    found = session.find("mouth", quick=True)
    assert session.possible_confinement(found, 1.0, 0.02) == (1.0, 0.02)
    assert session.possible_confinement(found, 0.0, 0.02) == (0.0, 0.0)
    assert session.possible_confinement(None, 1.0, 0.02) == (0.0, 0.0)
    assert session.possible_confinement(replace(found, region=None), 1.0, 0.02) == (0.0, 0.0)
    confined = session.find("mouth", confine=1.0, quick=True)
    assert session.possible_confinement(confined, 0.0, 0.02) == (1.0, 0.0)


def test_edits_are_stacked_adjusted_removed_and_taken_back(session: Session) -> None:
    mouth, eyes = (session.find(name, quick=True) for name in ("mouth", "eyes"))
    plain = session.latent.digest
    assert not session.adjust(mouth, {})
    session.adjust(mouth, {0: 1.0})
    session.adjust(mouth, {0: 2.0})
    assert not session.adjust(mouth, {0: 2.0, 1: 0.0})
    assert len(session.moves) == 1
    session.adjust(eyes, {1: -1.0})
    session.edit(mouth, {2: 1.0}, confine=0.5, feather=0.05, name="lips")
    assert [move.name for move in session.moves] == ["mouth", "eyes", "lips"]
    all_three = session.latent.digest
    session.remove(1)
    assert [move.name for move in session.moves] == ["mouth", "lips"]
    assert session.undo()
    assert session.latent.digest == all_three
    while session.undo():
        pass
    assert (session.latent.digest, session.can_undo, session.can_redo) == (plain, False, True)
    assert session.redo()
    assert session.strengths(mouth) == {0: 1.0}
    while session.redo():
        pass
    assert [move.name for move in session.moves] == ["mouth", "lips"]
    session.clear()
    assert (session.moves, session.latent.digest) == ((), plain)
    session.undo()
    assert session.adjust(mouth, {})
    assert [move.name for move in session.moves] == ["mouth", "lips"][:1]
    for call in (lambda: session.remove(5), lambda: session.edit(mouth, {99: 1.0})):
        with pytest.raises(resefa.ParameterError):
            call()


def test_another_image_and_back(session: Session, avatars: resefa.Generator) -> None:
    mouth = session.find("mouth", quick=True)
    session.edit(mouth, {0: 2.0})
    smiling = session.latent.digest
    session.set_image(8)
    assert (session.seed, session.moves) == (8, ())
    assert torch.equal(session.image, avatars.synthesize(avatars.sample(8, 0.7))[0])
    assert session.undo()
    assert (session.seed, session.latent.digest) == (7, smiling)
    session.set_image(9, truncation=0.5, keep_edit=True)
    expected = resefa.move(avatars.sample(9, 0.5), mouth, {0: 2.0})
    assert session.latent.digest == expected.digest
    with pytest.raises(resefa.LatentError):
        session.set_image(-1)
    with pytest.raises(resefa.LatentError, match="both"):
        session.set_image(1, latent=expected)
    assert session.latent.digest == expected.digest


def test_an_edit_is_carried_to_other_images(session: Session, avatars: resefa.Generator) -> None:
    mouth = session.find("mouth", quick=True)
    session.edit(mouth, {0: 2.0})
    told: list[tuple[int, int]] = []
    others = list(session.carry(3, progress=lambda done, total: told.append((done, total))))
    assert [other.seed for other in others] == [8, 9, 10]
    assert told == [(1, 3), (2, 3), (3, 3)]
    expected = resefa.move(avatars.sample(9, 0.7), mouth, {0: 2.0})
    assert others[1].latent.digest == expected.digest
    assert torch.equal(others[1].image, avatars.synthesize(expected)[0])
    assert [other.seed for other in session.carry([4, 2])] == [4, 2]


def test_generalizing_says_whether_it_helped(session: Session) -> None:
    alone = session.find("mouth", quick=True, count=2)
    result = session.generalize(alone, samples=3)
    assert (result.directions.num_samples, result.directions.space) == (3, "w")
    assert result.directions is session.directions
    assert result.before == session.measure(alone)
    assert result.after == session.measure(result.directions)
    assert result.directions.recipe is not None
    assert result.directions.recipe.parameters["regularization"] == 1e-4
    with pytest.raises(resefa.ParameterError, match="find some first"):
        Session(session.generator, seed=1, cache=session.cache).generalize()


def test_joint_directions_have_their_own_regularization_and_recipes_keep_theirs(session: Session) -> None:
    joint = session.find("box:mouth", quick=True, count=2, samples=2)
    asked = session.find("box:mouth", quick=True, count=2, samples=2, parameters={"regularization": 1e-3})
    assert (joint.regularization, asked.regularization) == (1e-4, 1e-3)
    again = session.generalize(session.find("box:mouth", quick=True, count=2), samples=2).directions
    torch.testing.assert_close(again.vectors, joint.vectors)
    for found in joint, asked:
        assert found.recipe is not None
        told = resefa.Recipe.from_json(json.loads(json.dumps(found.recipe.to_json())))
        assert torch.equal(session.find_again(told).vectors, found.vectors)
    told = joint.recipe.to_json() | {"parameters": {}}  # type: ignore[union-attr]
    del told["version"]
    earlier = session.generalize(replace(joint, recipe=resefa.Recipe.from_json(told)), samples=3).directions
    assert earlier.recipe is not None
    assert (earlier.objective, earlier.recipe.complete) == (PAPER, True)


def test_a_session_survives_json_to_the_bit(session: Session, avatars: resefa.Generator) -> None:
    mask = torch.zeros(100, 100, dtype=torch.uint8)
    mask[60:80, 30:70] = 200
    painted = session.find(resefa.Region.from_mask(mask), quick=True, count=3)
    session.edit(painted, {0: 2.0})
    session.set_image(8, truncation=0.6)
    eyes = session.find("box:eyes", quick=True, confine=1.0, count=2)
    session.edit(eyes, {1: -1.5})
    mouth = session.find("mouth", method="sefa", count=3)
    session.edit(mouth[[2, 0]].renamed({0: "grin"}), {"grin": 1.0, 1: 2.0}, confine=0.5, feather=0.02)
    session.undo()
    text = json.dumps(session.to_json(), allow_nan=False)
    again = Session.from_json(json.loads(text), avatars, cache=resefa.JacobianCache(1 << 30))
    assert json.dumps(again.to_json()) == text
    assert again.selected is not None
    assert again.selected.name == "mouth"
    assert again.directions is not None
    assert torch.equal(again.directions.vectors, mouth.vectors)
    for step in (Session.redo, Session.undo, Session.undo, Session.undo, Session.undo):
        assert step(again) == step(session)
        assert again.latent.digest == session.latent.digest
        assert [move.words for move in again.moves] == [move.words for move in session.moves]
    assert torch.equal(again.image, session.image)
    assert not session.can_undo


def test_a_session_survives_json_with_vectors_that_nothing_can_find(
    session: Session, avatars: resefa.Generator, tmp_path: Path
) -> None:
    session.save(tmp_path / "mouth.safetensors", session.find("mouth", quick=True, count=3))
    opened = resefa.Directions.load(tmp_path / "mouth.safetensors")
    session.directions = opened
    session.adjust(opened, {1: 2.0})
    data = json.loads(json.dumps(session.to_json()))
    assert set(data["directions"]) == {"file"}
    again = Session.from_json(data, avatars)
    assert again.latent.digest == session.latent.digest
    assert again.directions is not None
    assert len(again.directions) == 3
    assert again.strengths(again.directions) == {1: 2.0}
    session.find("eyes", quick=True)
    embedded = Session.from_json(json.loads(json.dumps(session.to_json(embed=True))), avatars)
    assert embedded.latent.digest == session.latent.digest


def test_a_link_holds_the_image_the_region_and_the_edit(session: Session, avatars: resefa.Generator) -> None:
    session.edit(session.find("mouth", quick=True), {0: 2.0, 3: -1.0})
    text = session.to_text()
    assert len(text) < 1500
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert unpack(text)["generator"]["fingerprint"] == avatars.fingerprint
    again = Session.from_text(text, avatars, cache=session.cache)
    assert again.latent.digest == session.latent.digest
    assert not again.can_undo
    for damaged in (
        "",
        "x",
        text[:-9],
        text[9:],
        text + "AAAA",
        text.replace("A", "+", 1),
        "é" * 9,
        "A" * 10**6,
    ):
        with pytest.raises(resefa.ParameterError, match="link"):
            unpack(damaged)
    for content in ([], 7, "text"):
        with pytest.raises(resefa.ParameterError):
            unpack(pack(content))  # type: ignore[arg-type]
    with pytest.raises(resefa.ParameterError, match="too long"):
        unpack(pack({"a": "a" * (8 << 20)}))
    with pytest.raises(resefa.LatentError, match="another generator"):
        Session.from_text(text, tiny_stylegan2(64))


def _moves(data: dict[str, Any]) -> Any:
    return data["moves"][0]


def _recipe(data: dict[str, Any]) -> Any:
    return data["sets"][0]["found"]


DAMAGES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("no version", lambda data: data.pop("version")),
    ("another generator", lambda data: data["generator"].update(fingerprint="0" * 64)),
    ("no generator", lambda data: data.update(generator=None)),
    ("no originals", lambda data: data.update(originals=[])),
    ("no points", lambda data: data.update(originals=[[]])),
    ("too many points", lambda data: data.update(originals=[data["originals"][0] * 100])),
    ("a seed beyond all", lambda data: data["originals"][0][0].update(seed=2**32)),
    ("a seed of text", lambda data: data["originals"][0][0].update(seed="7")),
    ("no seed", lambda data: data["originals"][0][0].pop("seed")),
    ("a class of none", lambda data: data["originals"][0][0].update({"class": 3})),
    ("a truncation of nothing", lambda data: data["originals"][0][0].update(truncation=float("nan"))),
    ("too many truncated layers", lambda data: data["originals"][0][0].update(truncation_layers=99)),
    ("a latent that is none", lambda data: data.update(originals=[[{"latent": "AAAA"}]])),
    ("no states", lambda data: data.update(states=[])),
    ("states of numbers", lambda data: data.update(states=[1, 2])),
    ("too many states", lambda data: data.update(states=data["states"] * 100)),
    ("a state beyond all", lambda data: data.update(at=99)),
    ("a state before all", lambda data: data.update(at=-1)),
    ("another original", lambda data: data["states"][-1].update(original=5)),
    ("another move", lambda data: data["states"][-1].update(moves=[5])),
    ("too many moves", lambda data: data["states"][-1].update(moves=[0] * 65)),
    ("a region that is none", lambda data: data.update(region={"box": [0, 0, 9, 9]})),
    ("an unknown preset", lambda data: data.update(region={"preset": "avatars/tail"})),
    ("directions of nothing", lambda data: data.update(directions={})),
    ("an unknown method", lambda data: _recipe(data).update(method="magic")),
    ("an unknown space", lambda data: _recipe(data).update(space="x")),
    ("layers beyond all", lambda data: _recipe(data).update(layers=[99])),
    ("layers of text", lambda data: _recipe(data).update(layers="all")),
    ("too many directions", lambda data: _recipe(data).update(count=10**6)),
    ("too many samples", lambda data: _recipe(data).update(samples=10**6)),
    ("samples below points", lambda data: _recipe(data).update(samples=0)),
    ("an analysis of no kind", lambda data: _recipe(data).update(kind="quick")),
    ("an analysis of many kinds", lambda data: _recipe(data).update(kind=["dense"])),
    ("no points of directions", lambda data: _recipe(data).update(points=[])),
    ("a parameter of none", lambda data: _recipe(data).update(parameters={"speed": 1})),
    ("a parameter beyond all", lambda data: _recipe(data).update(parameters={"regularization": -1})),
    ("a huge parameter", lambda data: _recipe(data).update(parameters={"regularization": 10**400})),
    ("directions of another generator", lambda data: _recipe(data).update(generator="0" * 64)),
    ("directions that were not found", lambda data: _recipe(data).update(chosen=[99])),
    ("more names than directions", lambda data: data["sets"][0].update(names=["a"] * 7)),
    ("names twice as long as they may be", lambda data: data["sets"][0].update(names=["a" * 400])),
    ("a direction beyond all", lambda data: _moves(data).update(strengths={"50": 1.0})),
]


@pytest.mark.parametrize("damage", [damage for _, damage in DAMAGES], ids=[name for name, _ in DAMAGES])
def test_damaged_sessions_are_refused(
    damage: Callable[[dict[str, Any]], object], session: Session, avatars: resefa.Generator
) -> None:
    session.edit(session.find("mouth", quick=True), {0: 2.0})
    data = json.loads(json.dumps(session.to_json()))
    assert len(Session.from_json(copy.deepcopy(data), avatars, cache=session.cache).moves) == 1
    damage(data)
    with pytest.raises(resefa.ReSeFaError) as told:
        Session.from_json(data, avatars, cache=session.cache)
    assert type(told.value) is not resefa.ReSeFaError


def test_latents_that_no_seed_leads_to_are_kept_whole(session: Session, avatars: resefa.Generator) -> None:
    mixed = resefa.mix(avatars, avatars.sample(1, 0.7), avatars.sample(2, 0.7), 0.5)
    moved = resefa.move(avatars.sample(3, 0.7), session.find("mouth", quick=True, count=1), {0: 3.0})
    for latent in (mixed, moved, avatars.sample([1, 2], 0.7)):
        own = Session(avatars, latent=latent, cache=session.cache)
        own.edit(own.find("box:eyes", quick=True, count=1), {0: 1.0})
        again = Session.from_json(json.loads(json.dumps(own.to_json())), avatars, cache=session.cache)
        assert again.original.digest == latent.digest
        assert again.latent.digest == own.latent.digest


def test_pictures_carry_the_edit_and_files_say_what_they_are(session: Session, tmp_path: Path) -> None:
    found = session.find("mouth", quick=True, count=2)
    session.edit(found, {0: 2.0})
    session.save_picture(tmp_path / "face.png")
    edited = Edited.load(tmp_path / "face.png")
    assert edited.edit.words == ["mouth: direction 0 +2"]
    opened = Session(session.generator, latent=edited, cache=session.cache)
    assert opened.latent.digest == session.latent.digest
    assert (len(opened.moves), opened.original.digest) == (1, session.original.digest)
    saved = session.save(tmp_path / "mouth.safetensors", license="CC0-1.0")
    read = resefa.Directions.load(tmp_path / "mouth.safetensors")
    assert read.names == saved.names == ("mouth 0", "mouth 1")
    assert (read.title, read.license) == ("mouth of avatars", "CC0-1.0")
    assert read.steps_confined is not None
    assert read.thumbnail is not None
    with pytest.raises(resefa.DirectionFileError, match="exists"):
        session.save(tmp_path / "mouth.safetensors")


def test_what_raises_changes_nothing(session: Session, avatars: resefa.Generator) -> None:
    found = session.find("mouth", quick=True, count=2)
    session.edit(found, {0: 1.0})
    before = json.dumps(session.to_json())

    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise StoppedError

    fresh = Session(avatars, seed=4321, cache=resefa.JacobianCache(1 << 20))
    for call in (
        lambda: fresh.find("mouth", quick=True, progress=stop),
        lambda: fresh.analyse("w", progress=stop),
        lambda: session.generalize(found, samples=2, progress=stop),
        lambda: list(session.carry(2, progress=stop)),
        lambda: session.measure(found, progress=stop),
    ):
        with pytest.raises(StoppedError):
            call()
    assert json.dumps(session.to_json()) == before
    assert fresh.directions is None


def test_a_session_need_not_keep_its_generator(cache: resefa.JacobianCache) -> None:
    kept = {"tiny": tiny_stylegan2(16)}

    def resolve() -> resefa.Generator:
        if "tiny" not in kept:
            raise resefa.ParameterError("this generator is not here any more")
        return kept["tiny"]

    session = Session(resolve, seed=1, cache=resefa.JacobianCache(1 << 28))
    session.edit(session.find([0.25, 0.25, 0.5, 0.4], quick=True, count=2), {0: 1.0})
    assert session.image.shape == (3, 16, 16)
    gone = weakref.ref(kept.pop("tiny"))
    gc.collect()
    assert gone() is None
    with pytest.raises(resefa.ParameterError, match="not here any more"):
        session.set_image(2)
    assert session.seed == 1


def test_generators_with_classes_start_at_the_first_and_keep_theirs() -> None:
    session = Session(tiny_biggan(), seed=3)
    assert session.original.label is not None
    assert session.original.label.tolist() == [0]
    session.set_image(4, label=2)
    session.set_image(5)
    assert session.original.label.tolist() == [2]
    assert [other.latent.label.tolist() for other in session.carry(1) if other.latent.label is not None] == [
        [2]
    ]


def test_several_threads_may_edit_at_once(session: Session) -> None:
    found = session.find("mouth", quick=True, count=4)

    def work(index: int) -> None:
        for _ in range(8):
            session.edit(found, {index: 0.1})

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(session.moves) == 32
    assert sorted(next(iter(move.strengths)) for move in session.moves) == [
        i for i in range(4) for _ in range(8)
    ]
