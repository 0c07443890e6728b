from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from models import tiny_stylegan2

import resefa_core as resefa
from benchmarks.studies import STUDIES
from benchmarks.studies_text import FRAGMENTS, readme, replace_fragment
from resefa_core.evaluation.config import Study, Variations, read_study, study_of
from resefa_core.evaluation.results import Evaluation
from resefa_core.evaluation.study import evaluate

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
BOXES = {
    "mouth": resefa.Region.from_box(0.25, 0.5, 0.5, 0.375),
    "eyes": resefa.Region.from_box(0.125, 0.125, 0.625, 0.25),
}


def small(study: Study) -> Study:
    """A study's rows on one image of a small generator, and two of its regions."""
    variations = None
    if study.variations is not None:
        variations = Variations(shifted=(0.25,), grown=(0.1, 0.25), scribbles=2)
    return replace(
        study,
        seeds=study.seeds[:1],
        truncation=0.8,
        regions=BOXES,
        variations=variations,
        attributes=False,
        target=0.004,
        larger=(),
        references=0,
        transfer=replace(study.transfer, sets=1),
        sheet_seeds=0,
    )


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Evaluation]:
    generator = tiny_stylegan2(64, channels=3)
    studies = {name: read_study(STUDIES / f"{name}.json") for name in FRAGMENTS}
    return {name: evaluate(small(study), generator) for name, study in studies.items()}


def test_every_file_is_a_study_that_is_documented() -> None:
    by_command = set(re.findall(r"resefa evaluate benchmarks/studies/(\w+)\.json", DOCUMENT))
    assert {file.stem for file in STUDIES.glob("*.json")} == set(FRAGMENTS) | by_command
    for name in FRAGMENTS:
        assert DOCUMENT.count(f"<!-- {name} -->") == DOCUMENT.count(f"<!-- end of {name} -->") == 1


def test_the_example_of_a_file_is_a_study() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    study = study_of(json.loads(example))
    assert len(study.rows) == 2 + 8 + 4
    assert study.rows[-1].title == "ours, S, regularization 0.01, confined"


def test_every_row_can_be_measured_and_has_its_line(evaluations: dict[str, Evaluation]) -> None:
    for name, evaluation in evaluations.items():
        assert not evaluation.unavailable, name
        text = FRAGMENTS[name](evaluation)
        assert "nan" not in text
        widths = [line.count(" | ") for line in text.split("\n") if line.startswith("|")]
        assert len(widths) > 4
    peers = FRAGMENTS["peers"](evaluations["peers"])
    for row in evaluations["peers"].rows:
        assert f"| {row.title} |" in peers.replace("\\_", "_")
    assert "| ReSeFa, S / StyleSpace, S, num_samples 1 |" in peers.replace("\\_", "_")
    drawn = FRAGMENTS["robustness"](evaluations["robustness"])
    assert all(f"| {kind} |" in drawn for kind in ("as it is", "shifted 25 %", "grown 10 %", "scribbles"))
    assert "LowRankGAN 100" in drawn
    assert "| 16 others, jointly |" in FRAGMENTS["samples"](evaluations["samples"])
    assert "| 1e-05 |" in FRAGMENTS["regularization"](evaluations["regularization"])
    assert "| W+, fine |" in FRAGMENTS["spaces"](evaluations["spaces"])
    confined = FRAGMENTS["confined"](evaluations["confined"])
    for row in evaluations["confined"].rows:
        assert f"| {row.title} |" in confined


def test_figures_are_drawn_of_all(evaluations: dict[str, Evaluation], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.studies_figures import FIGURES

    assert set(FIGURES) == set(FRAGMENTS)
    for name, evaluation in evaluations.items():
        FIGURES[name](evaluation).savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_the_readme_tells_the_unconfined_rows_and_how_directions_carry_over(
    evaluations: dict[str, Evaluation],
) -> None:
    text = readme(evaluations["peers"], evaluations["samples"])
    assert "| ReSeFa, W+, confined |" in text
    assert "| ReSeFa for confined edits, W+ |" in text
    assert "| SeFa, W |" in text
    assert "from 8 others" not in text
    assert "if it was found on one" in text


def test_fragments_take_each_others_place_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n<!-- b -->\nb\n<!-- end of b -->\n")
    replace_fragment(file, "a", "new \\1")
    replace_fragment(file, "a", "newer \\1")
    expected = (
        "before\n<!-- a -->\n\nnewer \\1\n\n<!-- end of a -->\nafter\n<!-- b -->\nb\n<!-- end of b -->\n"
    )
    assert file.read_text() == expected
    with pytest.raises(SystemExit, match="c"):
        replace_fragment(file, "c", "")
    assert file.read_text() == expected
