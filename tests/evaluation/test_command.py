from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from resefa_core.cli import main
from resefa_core.evaluation.results import Evaluation


def run(*arguments: str | Path) -> int:
    return main(["evaluate", *(str(argument) for argument in arguments)])


QUICK = ("--spaces", "w", "--seeds", "5000", "--references", "16", "--sheet-seeds", "1", "-k", "1")


def test_flags_say_what_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 8, 12, 14))
    mask.save(tmp_path / "mask.png")
    output = tmp_path / "out"
    regions = ("--regions", "mouth", f"painted={tmp_path / 'mask.png'}", "box=0.3,0.5,0.4,0.3")
    methods = ("--methods", "resefa", "stylespace", "--confine", "0", "1")
    assert run(*QUICK, *regions, *methods, "--layers", "2-5", "-o", output) == 0
    results = Evaluation.load(output / "results.json")
    assert [(row.method, row.confine, row.layers) for row in results.rows] == [
        ("resefa", 0.0, "2-5"),
        ("resefa", 1.0, "2-5"),
        ("stylespace", 0.0, "2-5"),
        ("stylespace", 1.0, "2-5"),
    ]
    assert list(results.unavailable) == [2, 3]
    assert list(results.areas) == ["mouth", "painted", "box"]
    assert all(value is not None for value in results.values("ratio", results.select(0)))
    tables = (output / "tables.md").read_text(encoding="utf-8")
    assert "Not available here" in tables
    assert "StyleSpace" in capsys.readouterr().out
    for region in results.areas:
        assert Image.open(output / f"sheet-{region}.png").width > 500


def test_a_file_says_it_too_and_goes_with_other_seeds(tmp_path: Path) -> None:
    study = {
        "regions": ["mouth"],
        "rows": [{"method": "resefa", "space": "w"}],
        "seeds": [1],
        "directions": 1,
        "references": 16,
    }
    file = tmp_path / "study.json"
    file.write_text(json.dumps(study))
    assert run(file, "-o", tmp_path / "out") == 0
    assert run(file, "--seeds", "2", "-o", tmp_path / "out") == 0
    assert {record.seed for record in Evaluation.load(tmp_path / "out" / "results.json").records} == {1, 2}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--regions"),
        (("--regions", "tail"), "tail"),
        (("--regions", "mouth", "--methods", "nothing"), "nothing"),
        (("--regions", "mouth", "--samples", "-1"), "samples -1"),
        (("--regions", "mouth", "--target", "9"), "target"),
        (("missing.json",), "missing.json"),
        (("missing.json", "--target", "0.1"), "--target"),
        (("missing.json", "--layers", "4-7"), "--layers"),
    ],
    ids=str,
)
def test_what_can_not_be_measured_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert run(*arguments, "-o", tmp_path / "out") == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
