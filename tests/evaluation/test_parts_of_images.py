"""Studies of parts, which each image has in its own place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import resefa_core as resefa
from resefa_core.cli import main
from resefa_core.evaluation.config import Row, Study, Transfer, study_of
from resefa_core.evaluation.equal_change import edits_of, equal_change
from resefa_core.evaluation.pictures import study_sheet
from resefa_core.evaluation.study import evaluate

STUDY = Study(
    rows=(Row("resefa", "w"), Row("resefa-confined", "w"), Row("resefa", "w", samples=2)),
    regions={"mouth": "part:mouth", "box": "box:mouth"},
    seeds=(5000, 5001),
    directions=1,
    target=0.01,
    references=16,
    transfer=Transfer(sources=(7000, 7001), sets=1),
    sheet_seeds=1,
)


def test_each_image_is_edited_and_measured_in_its_own_part(avatars: resefa.Generator, tmp_path: Path) -> None:
    evaluation = evaluate(STUDY, avatars, tmp_path)
    sessions = {seed: resefa.Session(avatars, seed=seed) for seed in (*STUDY.seeds, 7000, 7001)}
    places = {seed: session.part("mouth") for seed, session in sessions.items()}
    sources = [sessions[seed].original for seed in (7000, 7001)]
    joint = resefa.find_directions(
        avatars,
        sources,
        places[7000],
        num_directions=1,
        space="w",
        place=lambda latent: places[latent.seed[0]],  # type: ignore[index]
    )
    for seed in STUDY.seeds:
        latent, region = sessions[seed].original, places[seed]
        own, confined = (
            resefa.find_directions(avatars, latent, region, method, num_directions=1, space="w")
            for method in ("resefa", "resefa-confined")
        )
        for row, directions in ((0, own), (1, confined), (2, replace(joint, region=region))):
            edits = edits_of(latent, directions[:1], float(row == 1))
            expected = equal_change(avatars, edits, region, STUDY.target)
            (record,) = (each for each in evaluation.select(row, "mouth") if each.seed == seed)
            for name in ("inside", "outside"):
                assert record.measures[name] == pytest.approx(
                    [None if np.isnan(value) else value for value in getattr(expected, name).tolist()],
                    rel=0.05,
                )
    assert sum(1 for _ in evaluation.select(0, "box")) == len(STUDY.seeds)
    sheet = study_sheet(evaluation, "mouth")
    assert sheet is not None
    again = evaluate(STUDY, avatars, tmp_path)
    assert [each.measures for each in again.records] == [each.measures for each in evaluation.records]
    shown = torch.from_numpy(again.pictures[5000]["region|mouth"]).float() / 255.0
    torch.testing.assert_close(shown, places[5000].mask(64, 64), atol=0.01, rtol=0.0)


def test_images_without_a_part_are_left_out(
    avatars: resefa.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = resefa.parts.PartFinder.find

    def lacking(finder: object, generator: object, latent: resefa.Latent, *rest: object, **more: object):  # type: ignore[no-untyped-def]
        if latent.seed == (5000,):
            raise resefa.RegionError("this image has no mouth")
        return find(finder, generator, latent, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(resefa.parts.PartFinder, "find", lacking)
    study = replace(STUDY, rows=STUDY.rows[:1], regions={"mouth": "part:mouth"})
    evaluation = evaluate(study, avatars)
    assert {record.seed for record in evaluation.records} == {5001}
    assert list(evaluation.skipped) == [5000]


def test_a_plain_name_is_each_image_s_own_part_and_its_box_has_a_name_of_its_own(
    avatars: resefa.Generator,
) -> None:
    regions = {"part": "mouth", "box": "box:mouth"}
    evaluation = evaluate(replace(STUDY, rows=STUDY.rows[:1], seeds=(5000,), regions=regions), avatars)
    assert evaluation.regions["part"].follows
    assert not evaluation.regions["box"].follows
    assert evaluation.regions["box"].to_text() == "avatars/mouth"


def test_studies_name_parts_in_text(avatars: resefa.Generator) -> None:
    study = study_of({"rows": ["sefa"], "regions": ["part:mouth", "at:0.5,0.62"], "seeds": [5000]})
    assert study.regions == {"part:mouth": "part:mouth", "at:0.5,0.62": "at:0.5,0.62"}
    with pytest.raises(resefa.ParameterError, match="no part 'wheel'"):
        evaluate(replace(STUDY, regions={"wheel": "part:wheel"}), avatars)


def test_a_study_of_parts_that_are_given(avatars: resefa.Generator, tmp_path: Path) -> None:
    known = resefa.parts.parts_of_generator(avatars)
    assert known is not None
    mine = known.named(["smile" if name == "mouth" else name for name in known.names])
    study = replace(STUDY, rows=STUDY.rows[:1], seeds=(5000,), regions={"smile": "smile"})
    with pytest.raises(resefa.ParameterError, match="smile"):
        evaluate(study, avatars)
    evaluation = evaluate(study, avatars, tmp_path, parts=mine)
    mouth = resefa.Session(avatars, seed=5000).part("mouth")
    assert evaluation.areas["smile"] == pytest.approx(float(mouth.mask(64, 64).mean()))
    with pytest.raises(resefa.EvaluationError, match="another parts"):
        evaluate(study, avatars, tmp_path, parts=mine.named(["x", *mine.names[1:]]))
    mine.save(tmp_path / "mine.safetensors")
    words = [
        "evaluate",
        "--parts",
        str(tmp_path / "mine.safetensors"),
        "--regions",
        "smile",
        "--methods",
        "resefa",
    ]
    words += [
        "--spaces",
        "w",
        "--seeds",
        "5000",
        "-k",
        "1",
        "--larger",
        "--references",
        "0",
        "--sheet-seeds",
        "0",
    ]
    main([*words, "-o", str(tmp_path / "measured")])
    assert "smile" in (tmp_path / "measured" / "tables.md").read_text(encoding="utf-8")
