"""Whether insides look like unedited ones, and edits at larger changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import tiny_stylegan2
from torch import Tensor

import resefa_core as resefa
from resefa_core.evaluation.attributes import AttributeClassifier, attribute_changes, sure_of
from resefa_core.evaluation.config import Row, Study
from resefa_core.evaluation.natural import Inside
from resefa_core.evaluation.pictures import pareto
from resefa_core.evaluation.results import Evaluation
from resefa_core.evaluation.study import RESULTS, evaluate
from resefa_core.evaluation.tables import change_table, report

BOX = resefa.Region.from_box(0.25, 0.25, 0.5, 0.5)
LEFT = resefa.Region.from_box(0.0, 0.25, 0.5, 0.5)
STUDY = Study(
    rows=(Row("resefa", "w"), Row("resefa-confined", "w"), Row("sefa", "w")),
    regions={"left": LEFT},
    seeds=(5000, 5001),
    truncation=0.8,
    directions=2,
    target=0.002,
    larger=(0.01, 0.001, 0.004),
    references=16,
    sheet_seeds=0,
)


def smooth(count: int, seed: int) -> Tensor:
    """Images of a few smooth shapes and a little noise, `(count, 3, 16, 16)`."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 3, 3, generator=random)
    shapes = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bicubic")
    return shapes + 0.02 * torch.randn(shapes.shape, generator=random)


@pytest.fixture(scope="module")
def inside() -> Inside:
    return Inside.of(smooth(128, 0), BOX)


def test_unedited_images_are_like_unedited_ones_and_other_images_are_not(inside: Inside) -> None:
    owners = torch.arange(20).repeat_interleave(2)
    before = smooth(20, 1)[owners]
    alike = inside.distance(inside.features(before, before), owners)
    assert abs(alike.distance) < 0.03
    assert alike.p > 0.05
    noisy = before + 0.3 * torch.randn(before.shape, generator=torch.Generator().manual_seed(2))
    unlike = inside.distance(inside.features(before, noisy), owners)
    assert unlike.distance > 0.2
    assert unlike.p < 0.01
    shifted = inside.distance(inside.features(before, before + 2.0), owners)
    assert shifted.distance > alike.distance + 0.1
    with pytest.raises(resefa.ParameterError, match="two or more"):
        inside.distance(inside.features(before[:2], before[:2]), owners[:2])


def test_the_test_of_likeness_is_right_as_often_as_it_says(inside: Inside) -> None:
    owners = torch.arange(8).repeat_interleave(2)
    ps = []
    for seed in range(100, 140):
        before = smooth(8, seed)[owners]
        ps.append(inside.distance(inside.features(before, before), owners).p)
    assert sum(p < 0.1 for p in ps) <= 10
    assert 0.3 < sum(ps) / len(ps) < 0.7


def test_what_lies_outside_does_not_count(inside: Inside) -> None:
    before = smooth(4, 3)
    outside = before + (1.0 - BOX.mask(16, 16))
    assert torch.allclose(inside.features(before, outside), inside.features(before, before))
    assert torch.allclose(inside.texture(before, outside), torch.ones(4, dtype=torch.float64))
    noisy = before + 0.1 * torch.randn(before.shape, generator=torch.Generator().manual_seed(4))
    assert bool((inside.texture(before, noisy) > 1.5).all())


def test_few_images_tell_nothing() -> None:
    with pytest.raises(resefa.ParameterError, match="at least 16"):
        Inside.of(smooth(15, 0), BOX)


@pytest.fixture(scope="module")
def whole() -> Evaluation:
    return evaluate(STUDY, tiny_stylegan2())


def test_first_directions_are_measured_at_larger_changes(whole: Evaluation) -> None:
    assert STUDY.larger == (0.004, 0.01)
    for record in whole.records:
        assert list(record.larger) == ["0.004", "0.01"]
        assert len(record.measures["tint"]) == 4
        for change, measures in record.larger.items():
            reached = [value for value in measures["inside"] if value is not None]
            assert reached == pytest.approx([float(change)] * len(reached), rel=0.01)
            assert {"tint", "border", "texture", "outside", "distance"} <= set(measures)
        first, larger = record.measures["distance"][:2], record.larger["0.01"]["distance"]
        assert all(a is None or b is None or b > a for a, b in zip(first, larger, strict=True))
    assert set(whole.natural) >= {f"{row}|left|0.002" for row in range(3)}
    assert all(0.0 < each["p"] <= 1.0 for each in whole.natural.values())


def test_a_study_that_goes_on_compares_all_that_it_drew(whole: Evaluation, tmp_path: Path) -> None:
    evaluate(replace(STUDY, seeds=(5000,)), tiny_stylegan2(), tmp_path)
    again = evaluate(STUDY, tiny_stylegan2(), tmp_path)
    assert again.natural == whole.natural
    read = Evaluation.load(tmp_path / RESULTS)
    assert (read.natural, read.records, read.alone) == (again.natural, again.records, again.alone)


def test_tables_and_a_plot_tell_it(whole: Evaluation) -> None:
    lines = change_table(whole).split("\n")
    assert lines[0] == "At changes of 0.002 / 0.004 / 0.01."
    assert lines[2] == "|  | ratio | tint | border | texture | unlike unedited (p) | unreachable |"
    assert all(line.count(" / ") == 2 * 6 for line in lines[4:])
    assert "nan" not in report(whole)
    plot = pareto(whole)
    assert plot is not None
    assert plot.width > 900
    assert pareto(evaluate(replace(STUDY, references=0, seeds=(5000,)), tiny_stylegan2())) is None


def test_rows_cost_what_they_ask_for(whole: Evaluation) -> None:
    passes = [{record.found.passes for record in whole.select(row)} for row in range(3)]
    assert passes == [{8}, {8}, {0}]
    assert list(whole.alone) == ["w " + ",".join(map(str, range(tiny_stylegan2().num_layers)))]
    for record in whole.select(0):
        assert record.found.seconds >= 0.9 * next(iter(whole.alone.values()))


def test_a_value_is_valid_if_the_classifier_is_as_sure_as_of_unedited_images() -> None:
    classifier = AttributeClassifier.load()
    generator = resefa.load_generator("avatars")
    faces = generator.synthesize(generator.sample([1, 2, 3, 4], 0.7)).clamp(-1, 1)
    sure = sure_of(classifier, faces)
    assert set(sure) == set(classifier.attributes)
    before, after = faces[:2], faces[2:]
    found = attribute_changes(classifier, before, after, "mouth", sure=sure)
    loose = attribute_changes(classifier, before, after, "mouth", sure=dict.fromkeys(sure, 0.0))
    none = attribute_changes(classifier, before, after, "mouth", sure=dict.fromkeys(sure, 1.1))
    assert bool((loose.valid == loose.changed)[~loose.changed.isnan()].all())
    assert bool((none.target_valid == 0).all())
    assert bool((found.target_valid <= found.target_changed).all())
