from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from full_study import FULL_STUDY
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resefa_core import ParameterError, Region
from resefa_core.evaluation.config import (
    Row,
    Study,
    Transfer,
    Variations,
    read_study,
    study_of,
)
from resefa_core.parsing import parse_seeds, shown_seeds

SMALL: dict[str, Any] = {"regions": ["mouth"], "rows": ["resefa"]}


def test_a_whole_study_is_read() -> None:
    study = study_of(FULL_STUDY)
    assert (study.seeds, study.truncation, study.label) == ((5000, 5001, 5002, 5010), 0.5, "3")
    assert (study.directions, study.target, study.title, study.sheet_seeds) == (2, 0.01, "all", 1)
    assert study.transfer == Transfer((1, 2, 3, 4, 5, 6, 7, 8), 1)
    assert study.variations == Variations(shifted=(0.1,), grown=(0.5,), scribbles=2)
    assert (study.attributes, study.fid, study.identity_model) == (True, "classifier", "face.onnx")
    assert study.identity_crop == (0.1, 0.1, 0.8, 0.8)
    assert study.regions["mouth"] == "ffhq/mouth"
    box = study.regions["box"]
    assert isinstance(box, Region)
    assert box.to_json() == {"box": [0.1, 0.2, 0.3, 0.4]}


def test_lists_in_rows_stand_for_all_combinations() -> None:
    rows = study_of(FULL_STUDY).rows
    assert rows[:2] == (Row("sefa"), Row("sefa", confine=1.0))
    middle = [(r.space, r.confine, r.parameters["regularization"]) for r in rows[2:10]]
    assert middle[:3] == [("w", 0.0, 1e-3), ("w", 0.0, 1e-2), ("w", 1.0, 1e-3)]
    assert len(set(middle)) == 8
    assert rows[10:] == (Row("lowrankgan", samples=8, confine=0.5, label="theirs", shown=False),)
    assert [row.title for row in rows[9:]] == [
        "ReSeFa, W+, regularization 0.01, confined",
        "theirs, confined 0.5, from 8 others",
    ]


def test_rows_are_confined_as_their_method_is_unless_they_say() -> None:
    rows = study_of(
        {
            "regions": ["mouth"],
            "rows": [
                "resefa",
                "resefa-confined",
                {"method": "resefa-confined", "confine": [0, 1], "feather": 0.1},
            ],
        }
    ).rows
    assert [row.confine for row in rows] == [0.0, 1.0, 0.0, 1.0]
    assert Row("resefa-confined") == rows[1]
    assert [row.title for row in rows[1:]] == [
        "ReSeFa for confined edits",
        "ReSeFa for confined edits, not confined",
        "ReSeFa for confined edits, feather 0.1",
    ]
    given = {"regions": ["mouth"], "rows": ["resefa-confined"], "confine": [0, 0.5]}
    assert [row.confine for row in study_of(given).rows] == [0.0, 0.5]


def test_rows_may_adapt_what_others_found() -> None:
    given = {"method": "resefa", "space": "w", "samples": 8, "adapt": [False, True]}
    rows = study_of(SMALL | {"rows": [given]}).rows
    assert [row.adapt for row in rows] == [False, True]
    assert [row.title for row in rows] == ["ReSeFa, W, from 8 others", "ReSeFa, W, from 8 others, adapted"]


def test_what_is_not_said_has_defaults() -> None:
    study = study_of(SMALL)
    assert study == Study(rows=(Row(),), regions={"mouth": "mouth"})
    assert not set(study.seeds) & set(study.transfer.sources)


def test_sets_of_sources_are_disjoint_and_as_large_as_the_row_asks() -> None:
    rows = (Row(), Row(samples=1), Row(samples=3), Row(samples=5))
    study = Study(rows, {"mouth": "mouth"}, transfer=Transfer((1, 2, 3, 4, 5, 6, 7), sets=3))
    sets = [study.sets_of(row) for row in rows]
    assert sets == [[()], [(1,), (2,), (3,)], [(1, 2, 3), (4, 5, 6)], [(1, 2, 3, 4, 5)]]


def test_a_file_may_name_a_mask_that_lies_beside_it(tmp_path: Path) -> None:
    mask = Image.new("L", (8, 8))
    mask.paste(255, (0, 0, 4, 8))
    mask.save(tmp_path / "left.png")
    file = tmp_path / "study.json"
    file.write_text(json.dumps(SMALL | {"regions": {"left": "left.png"}}))
    region = read_study(file).regions["left"]
    assert isinstance(region, Region)
    assert region.mask(2, 2).tolist() == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"rows": []}, "rows"),
        ({"rows": ["nothing"]}, r"rows\[0\].*nothing"),
        ({"rows": ["sefa", {"method": "resefa", "colour": 1}]}, r"rows: \[1\].*colour"),
        ({"rows": [{"method": "resefa", "parameters": {"strength": 1}}]}, r"rows\[0\].*strength"),
        ({"rows": [{"method": "resefa", "parameters": {"regularization": -1}}]}, "regularization -1"),
        (
            {"rows": [{"method": "resefa", "parameters": {"regularization": "1"}}]},
            "parameters: regularization",
        ),
        ({"rows": [{"method": "resefa", "space": "q"}]}, r"rows\[0\].*'q'"),
        ({"rows": [{"method": "resefa", "samples": 17}]}, "transfer.*17 sources"),
        ({"rows": [{"method": "resefa", "samples": True}]}, "samples: expected a whole number"),
        ({"rows": [{"method": "resefa", "confine": 1.5}]}, "confine 1.5"),
        ({"rows": [{"method": "resefa", "layers": [4, 5]}]}, "layers"),
        ({"rows": [{"method": "resefa", "adapt": True}]}, r"rows\[0\].*adapt is for"),
        ({"rows": [{"method": "resefa-confined", "samples": 8, "adapt": True}]}, r"rows\[0\].*adapt is for"),
        ({"rows": [{"method": "resefa", "samples": 8, "adapt": 1}]}, "adapt"),
        ({"rows": [{"method": "resefa", "confine": [0.1] * 20, "samples": [1] * 20}]}, "257 rows"),
        ({"rows": {"method": "resefa"}}, "rows: expected a list"),
        ({"regions": {}}, "0 regions"),
        ({"regions": {"a": [0, 0, 2, 2]}}, "regions: a:"),
        ({"regions": {"a": [0, 0, 1]}}, "regions: a:.*3 numbers"),
        ({"regions": {"a": 5}}, "regions: a:"),
        ({"seeds": "5-1"}, "seeds:"),
        ({"seeds": [1, 1]}, "twice"),
        ({"seeds": [-1]}, "seeds -1"),
        ({"seeds": "0-4095,5000"}, "4097 seeds"),
        ({"seeds": "7003", "rows": [{"method": "resefa", "samples": 1}]}, "transfer.*7003"),
        ({"truncation": 1e400}, "truncation"),
        ({"truncation": True}, "truncation"),
        ({"directions": 0}, "directions 0"),
        ({"target": 0}, "target"),
        ({"variations": {"shifted": [1.0]}}, "variations: shifted"),
        ({"variations": {"scribbles": 1000}}, "variations: scribbles 1000"),
        ({"variations": {"turned": [0.1]}}, "variations: .*turned"),
        ({"fid": "pixels"}, "fid 'pixels'"),
        ({"identity_crop": [0, 0, 1]}, "identity_crop"),
        ({"title": "two\nlines"}, "title"),
        ({"sheet_seeds": 99}, "sheet_seeds"),
        ({"seed": 1}, "'seed' is unknown"),
        ({"generator": ["avatars"]}, "generator"),
    ],
    ids=str,
)
def test_what_is_no_study_is_refused_and_the_place_named(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(ParameterError, match=place):
        study_of(SMALL | changes)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"3", b"[]", b'{"rows": NaN}'])
def test_a_file_that_is_no_study_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "study.json"
    file.write_bytes(content)
    with pytest.raises(ParameterError, match=r"study\.json"):
        read_study(file)
    with pytest.raises(ParameterError, match=r"missing\.json"):
        read_study(tmp_path / "missing.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("resefa"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*FULL_STUDY, "other"]), JSON, max_size=4))
def test_any_json_is_a_study_or_refused(changes: dict[str, Any]) -> None:
    try:
        study = study_of(SMALL | changes)
    except ParameterError:
        return
    assert study.rows
    assert study.regions


def test_seeds_are_read_as_they_are_shown() -> None:
    assert parse_seeds("3, 5-7,9") == [3, 5, 6, 7, 9]
    assert shown_seeds([3, 5, 6, 7, 9]) == "3,5-7,9"
    assert shown_seeds(parse_seeds("0-4095")) == "0-4095"
