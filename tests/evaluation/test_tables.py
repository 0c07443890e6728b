from __future__ import annotations

import pytest

from resefa_core.evaluation.config import Row
from resefa_core.evaluation.results import Evaluation, Found, Numbers, Record
from resefa_core.evaluation.tables import (
    advantage,
    kind_of,
    overview,
    ratio_table,
    report,
    spread,
    summary,
    variation_changes,
    variation_table,
)


def record(seed: int, row: int, ratios: list[float | None], drawn: str = "mouth", **more: object) -> Record:
    """Edits that change the region by 0.02, and the rest by what the ratios say."""
    inside: Numbers = [None if ratio is None else 0.02 for ratio in ratios]
    outside: Numbers = [None if ratio is None else 0.02 / ratio for ratio in ratios]
    measures = {"inside": inside, "outside": outside, **more}
    angles = more.pop("angles", ())
    found = more.pop("found", Found(0.25, 1280))
    return Record(seed, "mouth", drawn, row, (), found, measures, angles)  # type: ignore[arg-type]


def evaluation(*records: Record, variations: bool = False) -> Evaluation:
    return Evaluation(
        setup={
            "generator": "mine",
            "fingerprint": "0123456789abcdef",
            "truncation": 0.7,
            "target": 0.02,
            "directions": 2,
            "variations": {"shifted": [0.1]} if variations else None,
        },
        rows=(Row("resefa", "w+"), Row("sefa", "w", label="a | b", directions=1), Row("stylespace", "s")),
        unavailable={2: "it needs one of the spaces s"},
        areas={"mouth": 0.1},
        seeds=(1, 2),
        records=list(records),
        analysis_seconds={"w+": [3.0, 5.0, 4.0]},
    )


def test_summaries_count_what_is_unreachable_and_leave_it_out() -> None:
    assert summary([4.0, None, 2.0, 3.0, None]) == (3.0, 2.2, 3.8, 0.4, 5)
    nothing = summary([None, None])
    assert (nothing.unreachable, nothing.edits) == (1.0, 2)
    assert spread(nothing) == "–"
    assert spread(summary([1200.0, 1200.0])) == "1,200 (1,200–1,200)"
    assert spread(summary([0.25, 9.5])) == "4.9 (1.2–8.6)"


def test_the_table_shows_each_row_over_seeds_and_signs() -> None:
    found = evaluation(
        record(1, 0, [10.0, 30.0, 1.0, None]),
        record(2, 0, [20.0, 40.0, 2.0, 3.0]),
        record(9, 0, [1e6, 1e6, 1e6, 1e6]),
        record(1, 1, [None, 5.0]),
        record(2, 1, [5.0, 5.0]),
    )
    lines = ratio_table(found, "mouth").split("\n")
    assert lines[0] == (
        "|  | ratio, first direction | ratio, first 2 pooled | change inside | unreachable | passes "
        "| seconds |"
    )
    # of the whole change inside is r / (r + 9) where a tenth of the image is inside
    assert lines[2] == "| ReSeFa, W+ | 25 (13–37) | 10 (1.6–34) | 73 % | 0 % | 1,280 | 0.25 |"
    assert lines[3] == "| a \\| b, W | 5.0 (5.0–5.0) | – | 36 % | 25 % | 1,280 | 0.25 |"
    assert len(lines) == 4


def test_further_measures_have_columns_where_they_were_made() -> None:
    more: dict[str, Numbers] = {
        "target_changed": [1.0, None, 0.0, 0.0],
        "others_changed": [0.25, 0.0, 1.0, 1.0],
        "identity": [0.9, 0.8, 0.1, 0.1],
    }
    found = evaluation(record(1, 0, [1.0, 1.0, 1.0, 1.0], **more))
    found.distances["0|mouth"] = {"fid": 12.345, "kid": 0.01}
    head, _, line, _ = ratio_table(found, "mouth").split("\n")
    cells = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert cells["target attribute changes"] == "100 %"
    assert cells["others change"] == "12 %"
    assert cells["same person"] == "0.85"
    assert (cells["FID"], cells["KID"]) == ("12.3", "0.01")


def test_variations_are_compared_with_the_region_itself_image_by_image() -> None:
    found = evaluation(
        record(1, 0, [10.0, 30.0]),
        record(2, 0, [100.0, 100.0]),
        record(1, 0, [5.0, 5.0], "shifted 10 % left", angles=(10.0, 2.0, 4.0)),
        record(1, 0, [20.0, 20.0], "shifted 10 % up", angles=(30.0, 6.0, 8.0)),
        record(2, 0, [50.0, None], "shifted 10 % left", angles=(20.0, 4.0, 6.0)),
        variations=True,
    )
    changes = variation_changes(found, 0, "mouth")
    assert list(changes) == ["as it is", "shifted 10 %"]
    assert changes["shifted 10 %"].kept == [0.25, 1.0, 0.5]
    assert changes["shifted 10 %"].first_angles == [10.0, 30.0, 20.0]
    assert changes["shifted 10 %"].mean_angles == [3.0, 7.0, 5.0]
    table = variation_table(found, "mouth").split("\n")
    assert table[2] == "| ReSeFa, W+ | as it is | – | – | 65 (16–100) | – |"
    assert table[3] == "| ReSeFa, W+ | shifted 10 % | 20° | 5° | 20 (5.0–38) | 50 % |"


def test_rows_are_compared_image_by_image() -> None:
    found = evaluation(
        record(1, 0, [10.0, 30.0]),
        record(2, 0, [1.0, 1.0]),
        record(1, 1, [10.0, None]),
        record(2, 1, [8.0, 8.0]),
        record(1, 2, [None, None]),
    )
    compared = advantage(found, 0, 1, "mouth")
    assert compared is not None
    assert compared.factor == pytest.approx((20.0 / 10.0 * 1.0 / 8.0) ** 0.5)
    assert compared.share == 0.5
    assert advantage(found, 0, 2, "mouth") is None


def test_the_overview_has_a_column_for_each_region() -> None:
    found = evaluation(record(1, 0, [10.0, None, 1.0, 1.0]), record(2, 0, [20.0, 30.0, 1.0, 1.0]))
    found.areas["eyes"] = 0.2
    lines = overview(found, [0]).split("\n")
    assert lines[0] == "|  | mouth | eyes | unreachable | passes | seconds |"
    assert lines[2] == "| ReSeFa, W+ | 20 (12–28) | – | 25 % | 1,280 | 0.25 |"
    assert overview(found, [0], costs=False).split("\n")[2] == "| ReSeFa, W+ | 20 (12–28) | – |"


@pytest.mark.parametrize(
    ("drawn", "kind"),
    [
        ("shifted 2.5 % up", "shifted 2.5 %"),
        ("scribble 12", "scribbles"),
        ("grown 10 %", "grown 10 %"),
        ("mouth", "mouth"),
    ],
)
def test_kinds_of_variations(drawn: str, kind: str) -> None:
    assert kind_of(drawn) == kind


def test_the_report_tells_what_was_measured_and_what_was_not() -> None:
    problem = Found(0.1, 0, "the image does not respond here")
    found = evaluation(record(1, 0, [None, None], found=problem))
    found.skipped[2] = "a collapsed <b>sample</b>"
    text = report(found)
    assert "`mine` (0123456789ab), seeds 1-2, truncation 0.7" in text
    assert "which took 4 s in w+" in text
    assert "- StyleSpace, S: it needs one of the spaces s" in text
    assert "- seed 2: a collapsed \\<b\\>sample\\</b\\>" in text
    assert "- ReSeFa, W+, 1 ×: the image does not respond here" in text
    assert "| ReSeFa, W+ | – | – | – | 100 % |" in text
