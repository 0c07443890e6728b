"""Stacks of moves: applied, changed, taken back, written and read; and what strangers may write into them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.files import read_tensors, write_tensors
from resefa_core.latents.edits import EDIT_KEY, MAX_MOVES, Edit, Edited, History, Move

REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)


def generator() -> resefa.Generator:
    return tiny_stylegan2(16)


def directions(made_by: resefa.Generator, latent: resefa.Latent, space: str = "w+") -> resefa.Directions:
    found = resefa.factorize(resefa.compute_jacobian(made_by, latent, space), REGION, 4)
    return resefa.with_confined_steps(made_by, latent, found)


def refuse(recipe: resefa.Recipe) -> resefa.Directions:
    raise AssertionError("nothing is to be found")


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
def test_an_edit_is_its_moves_one_after_the_other(space: str) -> None:
    made_by = generator()
    latent = made_by.sample(0, truncation=0.9)
    found = directions(made_by, latent, space)
    edit = Edit().add(Move(found, {0: 2.0, "direction 2": -1.0})).add(Move(found, {1: 1.5}, 0.5, 0.1))
    plain = resefa.move(latent, found, {0: 2.0, 2: -1.0})
    both = resefa.move(plain, found, {1: 1.5}, 0.5, 0.1)
    assert edit.apply(latent).digest == both.digest
    assert edit.remove(1).apply(latent).digest == plain.digest
    assert edit.remove(0).apply(latent).digest == resefa.move(latent, found, {1: 1.5}, 0.5, 0.1).digest
    assert edit.remove(0).remove(0).apply(latent) is latent
    other = edit.replace(0, edit[0].with_strengths({3: 1.0}))
    assert (
        other.apply(latent).digest
        == resefa.move(resefa.move(latent, found, {3: 1.0}), found, {1: 1.5}, 0.5, 0.1).digest
    )
    assert [len(each) for each in (Edit(), edit, other)] == [0, 2, 2]


def test_moves_say_what_they_do_and_to_what() -> None:
    made_by = generator()
    latent = made_by.sample(0)
    found = directions(made_by, latent)
    mouth = resefa.Region.preset("mouth")
    plain = Move.of(made_by, latent, found, {0: 2.0, "direction 0": 1.0, 1: 0.0})
    assert (plain.words, plain.region) == ("direction 0 +3", None)
    confined = Move.of(made_by, latent, found, {1: -0.5}, 0.5, region=mouth)
    assert (confined.words, confined.region) == ("mouth: direction 1 -0.5, confined 0.5", mouth)
    assert Edit((plain, confined)).words == [plain.words, confined.words]
    for strengths in ({9: 1.0}, {"smile": 1.0}, {0: float("nan")}, {0: 1e9}, {0: True}):
        with pytest.raises(resefa.ParameterError):
            Move(found, strengths)
    with pytest.raises(resefa.ParameterError, match="confine"):
        Move(found, {0: 1.0}, 2.0)
    with pytest.raises(resefa.ParameterError, match="take back"):
        Edit((plain,) * (MAX_MOVES + 1))
    for index in (2, -3, "0", 0.5):
        with pytest.raises(resefa.ParameterError, match="move"):
            Edit((plain, confined)).remove(index)  # type: ignore[arg-type]


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
def test_an_edit_survives_json(space: str) -> None:
    made_by = generator()
    latent = made_by.sample(0, truncation=0.9)
    found = directions(made_by, latent, space)
    mask = torch.zeros(40, 40, dtype=torch.uint8)
    mask[10:30, 5:25] = 100
    painted = Move.of(made_by, latent, found, {1: 2.0}, 1.0, region=resefa.Region.from_mask(mask))
    edit = Edit((Move(found, {0: 2.0, 2: -1.0}, name="smile"), Move(found, {3: 1.5}, 0.5, 0.1), painted))
    for embed in (False, True):
        data = edit.to_json(embed)
        assert len(data["sets"]) == (3 if embed else 2)
        read = Edit.from_json(json.loads(json.dumps(data, allow_nan=False)), refuse)
        assert [each.name for each in read] == ["smile", "", ""]
        moved, expected = read.apply(latent), edit.apply(latent)
        torch.testing.assert_close(
            made_by.synthesize(moved), made_by.synthesize(expected), atol=1e-3, rtol=1e-3
        )
        assert [each.words for each in read] == [each.words for each in edit]
        again = read.to_json(embed)["moves"]
        assert embed or again == data["moves"]


def test_moves_say_briefly_to_which_side_they_go() -> None:
    generator = tiny_stylegan2()
    made = resefa.Directions.from_vectors(torch.randn(3, generator.sample(0).codes.shape[-1]), "w", generator)
    named = made.renamed({0: "opens / closes", 1: "smile"})
    assert Move(named, {0: 2.0}, name="mouth").brief == "mouth opens"
    assert Move(named, {0: -0.5, 1: 1.0}, name="left_eye").brief == "left eye closes, smile +1"
    assert Move(named, {2: -3.0}).brief == "direction 2 -3"


def test_undo_and_redo() -> None:
    history = History.start(0)
    assert (history.can_undo, history.undo().present, history.redo().present) == (False, 0, 0)
    for value in range(1, 4):
        history = history.push(value)
    back = history.undo().undo()
    assert (back.present, back.can_redo, back.redo().present) == (1, True, 2)
    assert back.push(9).states == (0, 1, 9)
    assert (history.present, history.states) == (3, (0, 1, 2, 3))
    for value in range(1000):
        history = history.push(value)
    assert (history.present, len(history.states)) == (999, history.most)


def test_latents_carry_what_led_to_them_through_files_and_pictures(tmp_path: Path) -> None:
    made_by = generator()
    latent = made_by.sample([3, 4], truncation=0.9)
    found = directions(made_by, latent[0])
    first = Edit((Move(found, {0: 2.0}, name="smile"),)).apply(latent)
    moved = Edit((Move(found, {1: 1.0}, 1.0, 0.05),)).apply(first)
    assert moved.made_by is not None
    assert moved.made_by.original.digest == latent.digest
    words = ["smile: direction 0 +2", "direction 1 +1, confined"]
    assert moved.made_by.edit.words == words

    for index, each in enumerate((moved, moved[1], moved.to("cpu"))):
        file = tmp_path / f"{index}.safetensors"
        each.save(file)
        read = Edited.load(file)
        assert read.edit.words == words
        assert read.original.seed == each.seed
        torch.testing.assert_close(read.latent.codes, each.codes)
        assert torch.equal(resefa.Latent.load(file).codes, each.codes)
    picture = tmp_path / "face.png"
    image = resefa.to_pil(made_by.synthesize(moved[1])[0])
    resefa.save_png(image, picture, texts={resefa.PNG_KEY: moved[1].to_text()})
    assert Edited.load(picture).edit.words == words


def test_what_was_changed_otherwise_carries_no_edit(tmp_path: Path) -> None:
    made_by = generator()
    latent = made_by.sample(3)
    moved = Edit((Move(directions(made_by, latent), {0: 2.0}),)).apply(latent)
    others = {
        "changed": replace(moved, codes=moved.codes + 0.1),
        "mixed": resefa.mix(made_by, moved, made_by.sample(4)),
        "plain": latent,
    }
    for name, other in others.items():
        file = tmp_path / f"{name}.safetensors"
        other.save(file)
        assert EDIT_KEY not in read_tensors(file, resefa.LatentError, 1 << 26)[1]
        read = Edited.load(file)
        assert (len(read.edit), read.latent.digest) == (0, other.digest)
    again = Edit((Move(directions(made_by, latent), {1: 1.0}),)).apply(others["changed"])
    assert again.made_by is not None
    assert len(again.made_by.edit) == 1


def test_an_edit_that_is_too_long_to_carry_leaves_the_latent_alone(tmp_path: Path) -> None:
    made_by = generator()
    latent = made_by.sample(3)
    found = directions(made_by, latent)
    moved = latent
    for index in range(MAX_MOVES + 2):
        moved = Edit((Move(found, {index % 4: 0.01}),)).apply(moved)
    assert moved.made_by is not None
    assert len(moved.made_by.edit) == 1
    file = tmp_path / "much.safetensors"
    wide = tiny_stylegan2(64)
    start = wide.sample(0)
    found = resefa.with_confined_steps(
        wide, start, resefa.factorize(resefa.compute_jacobian(wide, start, "w+"), REGION, 64)
    )
    noise = torch.rand(256, 256, generator=torch.Generator().manual_seed(0))
    noisy = replace(found, region=resefa.Region.from_mask(noise))
    much = Edit(tuple(Move(noisy, {index: 1.0}, 1.0) for index in range(30))).apply(start)
    much.save(file)
    read = Edited.load(file)
    assert len(read.edit) == 0
    assert len(read.latent.confined) == 30
    assert much.made_by is not None


Damage = Callable[[dict[str, Any]], Any]
DAMAGES: list[tuple[str, Damage]] = [
    ("no object", lambda data: [data]),
    ("no version", lambda data: data.pop("version")),
    ("another version", lambda data: data.update(version=2)),
    ("no sets", lambda data: data.pop("sets")),
    ("sets of text", lambda data: data.update(sets="all")),
    ("too many sets", lambda data: data.update(sets=data["sets"] * 100)),
    ("a set of nothing", lambda data: data.update(sets=[{}])),
    ("a damaged file", lambda data: data["sets"][0].update(file="AAAA")),
    ("a file that is none", lambda data: data["sets"][0].update(file="é")),
    ("a file of numbers", lambda data: data["sets"][0].update(file=7)),
    ("too many moves", lambda data: data.update(moves=data["moves"] * 100)),
    ("moves of numbers", lambda data: data.update(moves=[1])),
    ("another set", lambda data: data["moves"][0].update(set=7)),
    ("a set by name", lambda data: data["moves"][0].update(set="0")),
    ("no strengths", lambda data: data["moves"][0].pop("strengths")),
    ("strengths in a list", lambda data: data["moves"][0].update(strengths=[1.0])),
    ("a strength of text", lambda data: data["moves"][0].update(strengths={"0": "1"})),
    ("a strength of nothing", lambda data: data["moves"][0].update(strengths={"0": float("nan")})),
    ("a strength beyond all", lambda data: data["moves"][0].update(strengths={"0": 1e300})),
    ("a huge whole strength", lambda data: data["moves"][0].update(strengths={"0": 10**400})),
    ("no such direction", lambda data: data["moves"][0].update(strengths={"99": 1.0})),
    ("a negative direction", lambda data: data["moves"][0].update(strengths={"-1": 1.0})),
    ("a digit of elsewhere", lambda data: data["moves"][0].update(strengths={"١": 1.0})),
    ("a name over lines", lambda data: data["moves"][0].update(name="a\nb")),
    ("a long name", lambda data: data["moves"][0].update(name="a" * 1000)),
    ("a lone surrogate", lambda data: data["moves"][0].update(name="\ud800")),
    ("confined too much", lambda data: data["moves"][1].update(confine=1.5)),
    ("confined by text", lambda data: data["moves"][1].update(confine="1")),
    ("too soft", lambda data: data["moves"][1].update(feather=3)),
    ("steps for others", lambda data: data["moves"][1].update(steps=[1.0])),
    ("steps back", lambda data: data["moves"][1].update(steps=[-1.0] * 4)),
    ("no region", lambda data: data["moves"][1].update(region={"box": [2, 0, 1, 1]})),
    ("a region without steps", lambda data: data["moves"][1].update(region={"preset": "avatars/eyes"})),
]


@pytest.mark.parametrize("damage", [damage for _, damage in DAMAGES], ids=[name for name, _ in DAMAGES])
def test_damaged_edits_are_refused(damage: Damage) -> None:
    made_by = generator()
    latent = made_by.sample(0)
    found = directions(made_by, latent)
    edit = Edit((Move(found, {0: 1.0}), Move(found, {1: 1.0}, 1.0)))
    data = json.loads(json.dumps(edit.to_json()))
    assert len(Edit.from_json(copy.deepcopy(data), refuse)) == 2
    broken = damage(data) if isinstance(damage(copy.deepcopy(data)), list) else (damage(data), data)[1]
    with pytest.raises(resefa.ReSeFaError) as told:
        Edit.from_json(broken, refuse)
    assert type(told.value) is not resefa.ReSeFaError
    str(told.value).encode()


def test_a_damaged_edit_in_a_file_is_said(tmp_path: Path) -> None:
    made_by = generator()
    latent = made_by.sample(3)
    moved = Edit((Move(directions(made_by, latent), {0: 2.0}),)).apply(latent)
    tensors, metadata = moved.file_content()
    for number, text in enumerate(("", "{", "[]", "{}", metadata[EDIT_KEY][:-9] + '"x"}', "[" * 100_000)):
        file = tmp_path / f"{number}.safetensors"
        write_tensors(file, tensors, {**metadata, EDIT_KEY: text}, resefa.LatentError)
        with pytest.raises(resefa.LatentError, match="edit in this file"):
            Edited.load(file)
        assert torch.equal(resefa.Latent.load(file).codes, moved.codes)
