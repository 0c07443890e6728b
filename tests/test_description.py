"""What files record of a generator."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest
from models import tiny_stylegan2

from resefa_core import GeneratorDescription, ParameterError

TOLD = {
    "architecture": "stylegan2",
    "resolution": 8,
    "fingerprint": "ab",
    "name": "tiny",
    "has_mapping": False,
    "height": 4,
    "width": 8,
}


def test_files_keep_their_bytes_and_what_newer_versions_add() -> None:
    newer = {**TOLD, "channels": 4, "palette": "grey", "scale": 0.5, "tiled": True}
    for told in ({}, TOLD, newer, {"name": "", "palette": "grey"}):
        read = GeneratorDescription.of(json.loads(json.dumps(told)))
        assert json.dumps(read.to_json()) == json.dumps(told)
    assert (read.name, read.architecture, read.further) == ("", None, (("palette", "grey"),))


def test_it_reads_as_a_dictionary_of_what_is_known() -> None:
    described = tiny_stylegan2().describe()
    assert dict(described) == described == described.to_json()
    assert described["architecture"] == described.architecture == "stylegan2"
    assert list(described) == ["architecture", "resolution", "fingerprint", "name", "has_mapping"]
    assert "height" not in described
    with pytest.raises(KeyError):
        described["height"]
    with pytest.raises(FrozenInstanceError):
        described.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("key", TOLD)
@pytest.mark.parametrize("value", [7.5, "8", 8, True])
def test_a_known_key_has_a_value_of_its_kind(key: str, value: object) -> None:
    if type(value) is type(TOLD[key]):
        assert GeneratorDescription.of({key: value})[key] == value
        return
    for make in (lambda: GeneratorDescription.of({key: value}), lambda: GeneratorDescription(**{key: value})):
        with pytest.raises(ParameterError, match=f"generator's {key}"):
            make()


@pytest.mark.parametrize("told", [None, [], "stylegan2", 3, [("name", "tiny")]])
def test_what_describes_nothing_is_refused(told: object) -> None:
    with pytest.raises(ParameterError, match="describes no generator"):
        GeneratorDescription.of(told)


def test_hostile_values_are_cut_or_left_out() -> None:
    read = GeneratorDescription.of(
        {
            "name": "a\u202eb\x1b" * 300,
            "k\0ey" * 99: "x",
            "list": [1],
            "large": 1e400,
            "none": None,
            3: "three",
        }
    )
    assert read.to_json() == {"name": ("ab" * 300)[:200], ("key" * 99)[:64]: "x", "3": "three"}
    assert len(GeneratorDescription.of({str(index): index for index in range(99)})) == 32


def test_the_sides_of_images() -> None:
    assert GeneratorDescription.of(TOLD).image_sides == (8, 4)
    assert GeneratorDescription(resolution=8).image_sides == (8, 8)
    assert GeneratorDescription(height=4, width=8).image_sides is None


def test_it_is_changed_as_a_dictionary_is() -> None:
    known = GeneratorDescription(architecture="stylegan2", name="avatars", further=(("made", 2027),))
    changed = known | {"name": "cats", "width": 32}
    assert changed == {"architecture": "stylegan2", "name": "cats", "width": 32, "made": 2027}
    assert known["name"] == "avatars"
    with pytest.raises(ParameterError, match="name"):
        known | {"name": 3}
