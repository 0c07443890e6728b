from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.evaluation.config import Row, Study, Transfer, Variations
from resefa_core.evaluation.equal_change import edits_of, equal_change
from resefa_core.evaluation.results import Evaluation, Record
from resefa_core.evaluation.study import RESULTS, evaluate
from resefa_core.methods import find_directions
from resefa_core.solve import adapt

LEFT = resefa.Region.from_box(0.0, 0.25, 0.5, 0.5)
TOP = resefa.Region.from_box(0.25, 0.0, 0.5, 0.375)
ROWS = (
    Row("resefa", "s"),
    Row("resefa", "w+", layers="1-3", parameters={"regularization": 0.01}),
    Row("resefa", "w", confine=1.0, directions=1),
    Row("sefa"),
    Row("resefa", "w", samples=2),
)
STUDY = Study(
    rows=ROWS,
    regions={"left": LEFT, "top": TOP},
    seeds=(5000, 5001, 5002),
    truncation=0.8,
    directions=2,
    target=0.004,
    larger=(),
    references=0,
    transfer=Transfer(sources=(1, 2, 3, 4, 5), sets=2),
    sheet_seeds=1,
)


def told(evaluation: Evaluation) -> list[Any]:
    """Records without how long they took, in one order."""
    records = [replace(each, found=replace(each.found, seconds=0.0)) for each in evaluation.records]
    return sorted(records, key=lambda each: (each.seed, each.region, each.drawn, each.row, each.sources))


def direct(row: Row, seed: int, region: resefa.Region, sources: tuple[int, ...]) -> dict[str, list[float]]:
    """What a row's edits do, by the functions that the study is made of."""
    generator = tiny_stylegan2()
    latent = generator.sample(seed, STUDY.truncation)
    found = find_directions(
        generator,
        generator.sample(sources or (seed,), STUDY.truncation),
        region,
        row.method,
        num_directions=STUDY.directions,
        space=row.space,
        layers=None if row.layers is None else generator.choose_layers(row.layers),
        parameters=row.parameters,
    )
    edits = edits_of(latent, found[: row.directions or STUDY.directions], row.confine)
    change = equal_change(generator, edits, region, STUDY.target)
    assert bool(change.reached.all())
    return {"distance": change.distance.tolist(), "outside": change.outside.tolist()}


def test_records_are_what_each_row_does_by_itself() -> None:
    evaluation = evaluate(STUDY, tiny_stylegan2())
    assert not evaluation.unavailable
    assert len(evaluation.records) == 3 * 2 * (4 + 2)
    for region in ("left", "top"):
        for row in range(len(ROWS)):
            records = list(evaluation.select(row, region))
            assert {r.sources for r in records} == ({(1, 2), (3, 4)} if row == 4 else {()})
            for record in records[:2]:
                expected = direct(ROWS[row], record.seed, STUDY.regions[region], record.sources)  # type: ignore[arg-type]
                assert record.measures["distance"] == pytest.approx(expected["distance"], rel=0.02)
                assert record.measures["outside"] == pytest.approx(expected["outside"], rel=0.02)
                assert record.measures["inside"] == pytest.approx(
                    [STUDY.target] * len(expected["outside"]), rel=0.01
                )
    passes = {r.found.passes for r in evaluation.select(0)}
    assert passes == {sum(tiny_stylegan2().layer_sizes)}
    assert {r.found.passes for r in evaluation.select(4)} == {2 * 8}
    assert {r.found.passes for r in evaluation.select(3)} == {0}


def test_rows_adapt_what_others_found_to_each_image() -> None:
    rows = (Row("resefa", "w", samples=2), Row("resefa", "w", samples=2, adapt=True))
    study = replace(STUDY, rows=rows, seeds=(5000, 5001), directions=1, sheet_seeds=0)
    evaluation = evaluate(study, tiny_stylegan2())
    generator = tiny_stylegan2()
    for region in ("left", "top"):
        plain, adapted = (list(evaluation.select(row, region)) for row in (0, 1))
        for before, after in zip(plain, adapted, strict=True):
            area = STUDY.regions[region]
            latent = generator.sample(after.seed, STUDY.truncation)
            joint = find_directions(
                generator,
                generator.sample(after.sources, STUDY.truncation),
                area,
                num_directions=1,
                space="w",
            )
            edits = edits_of(latent, adapt(resefa.compute_jacobian(generator, latent, "w"), joint))
            expected = equal_change(generator, edits, area, STUDY.target).outside.tolist()
            assert after.measures["outside"] == pytest.approx(expected, rel=0.02)
            assert after.measures["outside"] != pytest.approx(before.measures["outside"], rel=0.02)


class StoppedError(Exception):
    pass


def stop_after(steps: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == steps:
            raise StoppedError

    return progress


def test_a_study_that_was_stopped_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = evaluate(STUDY, tiny_stylegan2())
    with pytest.raises(StoppedError):
        evaluate(STUDY, tiny_stylegan2(), tmp_path, progress=stop_after(4 + 2 * 2 + 2 + 1))
    kept = Evaluation.load(tmp_path / RESULTS)
    assert {record.seed for record in kept.records} == {5000}
    steps: list[tuple[int, int]] = []
    resumed = evaluate(STUDY, tiny_stylegan2(), tmp_path, progress=lambda *step: steps.append(step))
    assert steps[-1] == (4 + 2 * 2 + 2 * 2, 4 + 2 * 2 + 2 * 2)
    assert told(resumed) == told(whole)
    assert told(Evaluation.load(tmp_path / RESULTS)) == told(whole)
    assert (resumed.pictures[5000]["before"] == whole.pictures[5000]["before"]).all()
    assert resumed.pictures.keys() == whole.pictures.keys() == {5000}
    assert not list(tmp_path.glob("**/*.tmp*"))


@pytest.mark.parametrize("damage", [b"", b"PK nothing", None])
def test_a_seed_whose_pictures_are_gone_or_damaged_is_measured_again(
    tmp_path: Path, damage: bytes | None
) -> None:
    study = replace(STUDY, rows=ROWS[3:4], seeds=(5000, 5001))
    whole = evaluate(study, tiny_stylegan2(), tmp_path)
    file = tmp_path / "pictures" / "5000.npz"
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    steps: list[int] = []
    again = evaluate(study, tiny_stylegan2(), tmp_path, progress=lambda done, _: steps.append(done))
    assert steps == [1, 2]
    assert told(again) == told(whole)
    assert (again.pictures[5000]["0|left"] == whole.pictures[5000]["0|left"]).all()


def test_more_seeds_can_be_measured_later_and_fewer_shown(tmp_path: Path) -> None:
    few = replace(STUDY, rows=ROWS[3:4], seeds=(5000,))
    evaluate(few, tiny_stylegan2(), tmp_path)
    more = evaluate(replace(few, seeds=(5000, 5001)), tiny_stylegan2(), tmp_path)
    assert {record.seed for record in more.select()} == {5000, 5001}
    steps: list[int] = []
    fewer = evaluate(
        replace(few, seeds=(5001,)), tiny_stylegan2(), tmp_path, progress=lambda d, t: steps.append(d)
    )
    assert {record.seed for record in fewer.select()} == {5001}
    assert steps == [1, 2]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"target": 0.005}, "target"),
        ({"rows": ROWS[:2]}, "rows"),
        ({"regions": {"left": TOP}}, "regions"),
        ({"truncation": 0.7}, "truncation"),
        ({"variations": Variations(grown=(0.1,))}, "variations"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_folder_with_another_study_is_refused(tmp_path: Path, changed: dict[str, Any], named: str) -> None:
    study = replace(STUDY, rows=ROWS[3:4], regions={"left": LEFT}, seeds=(5000,))
    evaluate(study, tiny_stylegan2(), tmp_path)
    before = (tmp_path / RESULTS).read_bytes()
    with pytest.raises(resefa.EvaluationError, match=f"another {named}"):
        evaluate(replace(study, **changed), tiny_stylegan2(), tmp_path)
    with pytest.raises(resefa.EvaluationError, match="another fingerprint"):
        evaluate(study, tiny_stylegan2(seed=1), tmp_path)
    assert (tmp_path / RESULTS).read_bytes() == before


def test_a_damaged_file_is_refused_and_kept(tmp_path: Path) -> None:
    study = replace(STUDY, rows=ROWS[3:4], seeds=(5000,))
    evaluate(study, tiny_stylegan2(), tmp_path)
    whole = (tmp_path / RESULTS).read_text()
    changed = [
        whole.replace('"row":0', '"row":9'),
        whole.replace('"outside":[', '"outside":["1",', 1),
        whole.replace('"format":1', '"format":2'),
    ]
    for damaged in ("", "{}", whole[:-40], *changed):
        (tmp_path / RESULTS).write_text(damaged)
        with pytest.raises(resefa.EvaluationError, match=r"results\.json"):
            evaluate(study, tiny_stylegan2(), tmp_path)
        assert (tmp_path / RESULTS).read_text() == damaged


def test_rows_that_are_not_defined_are_told_and_the_others_measured() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 192), torch.nn.Tanh())
    generator = resefa.WrappedGenerator(lambda z: network(z).reshape(-1, 3, 8, 8), latent_dim=4)
    rows = (
        Row("resefa"),
        Row("stylespace"),
        Row("resefa", "w+"),
        Row("resefa", confine=1.0),
        Row(layers="9"),
    )
    evaluation = evaluate(replace(STUDY, rows=rows, seeds=(5000,)), generator)
    assert list(evaluation.unavailable) == [1, 2, 3, 4]
    assert "confine" in evaluation.unavailable[3]
    assert {record.row for record in evaluation.records} == {0}
    assert evaluation.rows[0].space == "z"


def test_a_feathered_row_for_confined_edits_is_found_and_edited_in_the_soft_region() -> None:
    rows = (Row("resefa-confined", "w", feather=0.1), Row("resefa-confined", "w"))
    study = replace(STUDY, rows=rows, seeds=(5000,), regions={"left": LEFT}, directions=1)
    generator = tiny_stylegan2()
    evaluation = evaluate(study, generator)
    latent = generator.sample(5000, STUDY.truncation)
    for row, region in ((0, LEFT.feather(0.1)), (1, LEFT)):
        found = find_directions(generator, latent, region, "resefa-confined", num_directions=1, space="w")
        expected = equal_change(generator, edits_of(latent, found), LEFT, STUDY.target)
        (record,) = evaluation.select(row)
        for name in ("distance", "inside", "outside"):
            assert record.measures[name] == pytest.approx(getattr(expected, name).tolist(), rel=1e-3)


def test_directions_for_a_region_drawn_otherwise_are_measured_in_the_region_itself() -> None:
    study = replace(
        STUDY,
        rows=(Row("resefa", "w", directions=1), Row("sefa", parameters={"candidates": 0})),
        regions={"left": LEFT},
        seeds=(5000,),
        variations=Variations(shifted=(0.25,), scribbles=1),
    )
    generator = tiny_stylegan2()
    evaluation = evaluate(study, generator)
    drawn = {record.drawn: record for record in evaluation.select(0)}
    assert len(drawn) == 1 + 4 + 1
    shifted = resefa.Region.from_box(0.0, 0.375, 0.5, 0.5)
    latent = generator.sample(5000, STUDY.truncation)
    own, other = (
        find_directions(generator, latent, region, num_directions=2, space="w") for region in (LEFT, shifted)
    )
    change = equal_change(generator, edits_of(latent, other[:1]), LEFT, STUDY.target)
    record = drawn["shifted 25 % down"]
    assert record.measures["outside"] == pytest.approx(change.outside.tolist(), rel=0.02)
    cosine = float((own.vectors[0] * other.vectors[0]).sum().abs())
    assert record.angles[0] == pytest.approx(float(torch.tensor(cosine).acos().rad2deg()), abs=0.2)
    assert len(record.angles) == 1 + 2
    assert drawn["left"].angles == ()
    assert all(max(record.angles) < 0.1 for record in evaluation.select(1) if record.drawn != "left")


def test_what_measures_more_is_given_the_images_before_and_after() -> None:
    study = replace(
        STUDY,
        rows=(Row("resefa", "w", parameters={"regularization": 1e-3}),),
        regions={"left": LEFT},
        seeds=(5000, 5001),
    )

    def brightness(images: torch.Tensor) -> torch.Tensor:
        left = images[:, :, 4:12, :8].mean(dim=(1, 2, 3))
        return torch.stack([torch.ones_like(left), left], dim=1)

    evaluation = evaluate(study, tiny_stylegan2(), embedding=brightness, features=brightness)
    for record in evaluation.records:
        identity = record.measures["identity"]
        assert len(identity) == 4
        assert all(value is not None and 0.5 < value < 1.0 for value in identity)
    assert evaluation.distances["0|left"]["fid"] > 0.0


def test_a_collapsed_image_and_a_region_without_response_are_counted_not_fatal() -> None:
    columns = torch.tensor([1.0] * 4 + [0.0] * 4)

    def half(z: torch.Tensor) -> torch.Tensor:
        """The left half follows z, the right half nothing; images of a negative first entry are grey."""
        alive = (z[:, :1, None, None] > 0).float()
        return (0.5 * alive * z[:, 1:2, None, None] * columns).expand(-1, 3, 8, 8)

    generator = resefa.WrappedGenerator(half, latent_dim=2)
    signs = {seed: float(generator.sample(seed).codes[0, 0, 0]) > 0 for seed in range(5000, 5006)}
    right = resefa.Region.from_box(0.5, 0.0, 0.5, 1.0)
    study = replace(STUDY, rows=(Row("resefa"),), regions={"right": right}, seeds=tuple(signs))
    evaluation = evaluate(study, generator)
    assert set(evaluation.skipped) == {seed for seed, alive in signs.items() if not alive}
    assert 0 < len(evaluation.skipped) < len(signs)
    records = list(evaluation.select())
    assert {record.seed for record in records} == {seed for seed, alive in signs.items() if alive}
    assert all("does not respond" in record.found.problem for record in records)
    assert evaluation.values("ratio", records, 1) == [None, None] * len(records)


def test_directions_found_on_sources_are_kept_as_files(tmp_path: Path) -> None:
    study = replace(STUDY, rows=ROWS[4:], regions={"left": LEFT}, seeds=(5000,))
    evaluate(study, tiny_stylegan2(), tmp_path)
    files = sorted((tmp_path / "directions").iterdir())
    assert [file.name for file in files] == [
        f"00-resefa-w-from-2-others-left-{index}.safetensors" for index in (0, 1)
    ]
    assert [resefa.Directions.load(file).seeds for file in files] == [(1, 2), (3, 4)]


def test_records_are_chosen_and_pooled() -> None:
    evaluation = evaluate(replace(STUDY, rows=ROWS[:1], seeds=(5000, 5001)), tiny_stylegan2())
    records = list(evaluation.select(0, "left", "left"))
    assert all(isinstance(record, Record) for record in records)
    ratios = evaluation.values("ratio", records, 1)
    first = records[0].measures
    assert ratios[:2] == [first["inside"][0] / first["outside"][0], first["inside"][1] / first["outside"][1]]  # type: ignore[operator]
    assert len(ratios) == 4
    assert len(evaluation.values("ratio", records)) == 8
    inside, outside = first["inside"][0], first["outside"][0]
    assert inside is not None
    assert outside is not None
    assert evaluation.values("fraction", records, 1)[0] == pytest.approx(
        inside * 0.25 / (inside * 0.25 + outside * 0.75)
    )
