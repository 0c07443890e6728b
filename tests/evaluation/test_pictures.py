from __future__ import annotations

from dataclasses import replace

import numpy as np
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.evaluation.config import Row, Study
from resefa_core.evaluation.pictures import study_sheet
from resefa_core.evaluation.study import evaluate

BOX = resefa.Region.from_box(0.0, 0.25, 0.5, 0.5)
STUDY = Study(
    rows=(Row("resefa", "w"), Row("sefa"), Row("resefa", "w+", shown=False)),
    regions={"left": BOX},
    seeds=(5000, 5001, 5002),
    directions=1,
    target=0.004,
    larger=(),
    references=0,
)


def test_a_row_is_as_high_and_a_seed_as_wide_as_any_other() -> None:
    generator = tiny_stylegan2()
    sizes = {}
    for rows in (STUDY.rows, STUDY.rows[:1]):
        for seeds in (1, 2):
            sheet = study_sheet(evaluate(replace(STUDY, rows=rows, sheet_seeds=seeds), generator), "left")
            assert sheet is not None
            sizes[len(rows), seeds] = np.array(sheet.size)
    assert sizes[3, 1][1] == sizes[3, 2][1] > sizes[1, 1][1]
    assert sizes[3, 2][0] == sizes[1, 2][0] > sizes[1, 1][0]


def test_maps_show_where_the_image_changed_and_nothing_for_what_is_unreachable() -> None:
    evaluation = evaluate(replace(STUDY, rows=STUDY.rows[:1], sheet_seeds=1), tiny_stylegan2())
    before = study_sheet(evaluation, "left")
    assert before is not None
    kept = evaluation.pictures[5000]
    kept["0|left"] = np.repeat(kept["before"], 2, axis=0)
    unchanged = study_sheet(evaluation, "left")
    assert unchanged is not None
    nothing = [(np.array(sheet) == (0, 0, 4)).all(axis=2).sum() for sheet in (before, unchanged)]
    assert nothing[1] > nothing[0]
    assert nothing[1] > 20_000
    for record in evaluation.records:
        record.measures["inside"][:] = [None] * len(record.measures["inside"])  # type: ignore[index]
    grey = study_sheet(evaluation, "left")
    assert grey is not None
    assert (np.array(grey) == (236, 237, 240)).all(axis=2).sum() > 4 * 10_000
    assert not (np.array(before) == (236, 237, 240)).all(axis=2).any()


def test_without_pictures_there_is_no_sheet() -> None:
    evaluation = evaluate(replace(STUDY, sheet_seeds=0), tiny_stylegan2())
    assert study_sheet(evaluation, "left") is None
    hidden = tuple(replace(row, shown=False) for row in STUDY.rows)
    assert study_sheet(evaluate(replace(STUDY, rows=hidden, seeds=(5000,)), tiny_stylegan2()), "left") is None
