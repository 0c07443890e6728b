"""Strengths as people write them: by name or number, a line for each."""

from __future__ import annotations

import pytest
import torch

import resefa_core as resefa
from resefa_core.directions.strengths import between, index_of, read_keyframes, read_strengths


@pytest.fixture(scope="module")
def directions() -> resefa.Directions:
    generator = resefa.load_generator("avatars")
    vectors = torch.eye(generator.latent_dim)[:3]
    found = resefa.Directions.from_vectors(vectors, "w", generator)
    return found.renamed({0: "smile", 1: "a = b, c", 2: "7"})


def test_names_and_numbers_are_read(directions: resefa.Directions) -> None:
    text = "smile=1.5\n\n a = b, c = -2 \n7=0.25\n"
    assert read_strengths(directions, text) == ({0: 1.5, 1: -2.0, 2: 0.25}, "")
    assert read_strengths(directions, "0=1\nsmile=2\n-1=4") == ({0: 3.0, 2: 4.0}, "")
    assert read_strengths(directions, "") == ({}, "")


def test_names_of_other_sets_are_passed_over_and_told(directions: resefa.Directions) -> None:
    found, note = read_strengths(directions, "smile=1\nfrown=2\nwink=0")
    assert found == {0: 1.0}
    assert note == "note: not among these directions: frown, wink"


@pytest.mark.parametrize("text", ["smile", "=1", "smile=x", "smile=nan", "smile=1e9", "5=1", "a=0\n" * 5000])
def test_what_is_no_strength_is_refused(directions: resefa.Directions, text: str) -> None:
    with pytest.raises(resefa.ParameterError):
        read_strengths(directions, text)


def test_a_direction_whose_name_is_a_number_is_found_by_it(directions: resefa.Directions) -> None:
    assert index_of(directions, " 7 ") == 2
    assert index_of(directions, "1") == 1


def test_what_a_list_shows_is_found_by_its_name_else_by_its_number(directions: resefa.Directions) -> None:
    assert index_of(directions, "0: smile") == 0
    assert index_of(directions, "2: smile") == 0
    assert index_of(directions, "1: frown") == 1
    twice = directions.renamed({0: "wink", 1: "wink"})
    assert index_of(twice, "1: wink") == 1
    with pytest.raises(resefa.ParameterError, match="out of range"):
        index_of(directions, "9: frown")


def test_keyframes_are_lines_between_keys_and_stay_beyond_them(directions: resefa.Directions) -> None:
    found, note = read_keyframes(directions, "smile = 1:0, 3:4\n7 = 2", 6)
    assert found == {0: [0.0, 0.0, 2.0, 4.0, 4.0, 4.0], 2: [2.0] * 6}
    assert note == ""
    assert read_keyframes(directions, "smile=0,3,0", 3)[0] == {0: [0.0, 3.0, 0.0]}
    assert read_keyframes(directions, "smile=0,3", 4)[0] == {0: [0.0, 1.0, 2.0, 3.0]}


def test_a_loop_of_keyframes_comes_back_without_a_jump(directions: resefa.Directions) -> None:
    (curve,) = read_keyframes(directions, "smile=0:0, 12:6", 24, smooth=True, loop=True)[0].values()
    steps = [abs(b - a) for a, b in zip(curve, [*curve[1:], curve[0]], strict=True)]
    assert max(steps) < 0.9
    assert curve[12] == pytest.approx(6.0)
    assert curve[6] == pytest.approx(3.0)
    assert read_keyframes(directions, "smile=0,4", 8, loop=True)[0] == {
        0: [0.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]
    }


def test_smooth_curves_rest_at_their_keys() -> None:
    curve = between([(0, 0.0), (10, 1.0)], 11, smooth=True)
    assert curve[1] < 0.05
    assert curve[5] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "text", ["smile=0:x", "smile=1:1,1:2", "smile=-1:2", "smile=0:1e9", "smile=", "9=0:1"]
)
def test_what_are_no_keyframes_is_refused(directions: resefa.Directions, text: str) -> None:
    with pytest.raises(resefa.ParameterError):
        read_keyframes(directions, text, 8)
