"""Studies are the same whoever measures their images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import resefa_core as resefa
from resefa_core.cli import main
from resefa_core.evaluation.config import Row, Study, Transfer
from resefa_core.evaluation.results import Evaluation
from resefa_core.evaluation.study import RESULTS, evaluate
from resefa_core.workers import Inline, Workers
from resefa_core.workers.pool import Pool
from tests.atlas.tasks import Backwards, Killed
from tests.evaluation.meters import brightness
from tests.models import tiny_stylegan2

STUDY = Study(
    rows=(
        Row("resefa", "s"),
        Row("resefa", "w", samples=2, adapt=True),
        Row("sefa", samples=3),
    ),
    regions={"box": "0,0.25,0.5,0.5", "part": "second"},
    seeds=(5002, 5000, 5001),
    truncation=0.8,
    directions=1,
    target=0.004,
    larger=(),
    references=16,
    transfer=Transfer(sources=(1, 2, 3, 4, 5, 6), sets=3),
    sheet_seeds=2,
)


@pytest.fixture(scope="module")
def generator() -> resefa.Generator:
    return tiny_stylegan2(16)


@pytest.fixture(scope="module")
def parts(generator: resefa.Generator) -> resefa.Parts:
    return resefa.find_parts_of(generator, range(4), 3).named(["first", "second", "third"])


def measured(
    generator: resefa.Generator, parts: resefa.Parts, folder: Path, workers: Workers | None = None
) -> Evaluation:
    return evaluate(
        STUDY,
        generator,
        folder,
        embedding=brightness,
        features=brightness,
        parts=parts,
        workers=workers,
    )


def written(folder: Path) -> str:
    """The results, without how long anything took."""
    told = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    for record in told["records"]:
        assert record["found"].pop("seconds") is not None
    for seconds in ("analysis_seconds", "alone"):
        told[seconds] = list(told[seconds])
    return json.dumps(told, indent=1)


@pytest.fixture(scope="module")
def wanted(
    generator: resefa.Generator, parts: resefa.Parts, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Evaluation]:
    folder = tmp_path_factory.mktemp("inline")
    evaluation = measured(generator, parts, folder)
    assert [*dict.fromkeys(record.seed for record in evaluation.records)] == list(STUDY.seeds)
    assert {record.region for record in evaluation.records} == {"box", "part"}
    assert {record.sources for record in evaluation.records} == {
        (),
        (1, 2),
        (3, 4),
        (5, 6),
        (1, 2, 3),
        (4, 5, 6),
    }
    assert evaluation.distances
    assert evaluation.natural
    return written(folder), evaluation


def assert_same(folder: Path, evaluation: Evaluation, wanted: tuple[str, Evaluation]) -> None:
    text, other = wanted
    assert written(folder).splitlines() == text.splitlines()
    assert evaluation.pictures.keys() == other.pictures.keys() == set(STUDY.seeds[:2])
    for seed, pictures in other.pictures.items():
        assert evaluation.pictures[seed].keys() == pictures.keys()
        for key, each in pictures.items():
            np.testing.assert_array_equal(evaluation.pictures[seed][key], each)


def test_threads_and_the_order_in_which_images_end_do_not_matter(
    generator: resefa.Generator, parts: resefa.Parts, wanted: tuple[str, Evaluation], tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        evaluation = measured(generator, parts, tmp_path, Backwards(Inline()))
    finally:
        torch.set_num_threads(before)
    assert_same(tmp_path, evaluation, wanted)


class StoppedError(Exception):
    pass


def test_what_was_stopped_in_line_goes_on_in_processes_of_which_one_is_killed(
    generator: resefa.Generator, parts: resefa.Parts, wanted: tuple[str, Evaluation], tmp_path: Path
) -> None:
    folder, deaths = tmp_path / "study", tmp_path / "deaths"
    deaths.mkdir()

    def stop(done: int, total: int) -> None:
        if done == total - 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        evaluate(
            STUDY,
            generator,
            folder,
            embedding=brightness,
            features=brightness,
            parts=parts,
            progress=stop,
        )
    assert {record.seed for record in Evaluation.load(folder / RESULTS).records} == {STUDY.seeds[0]}
    killed = Killed(Pool(2), deaths, deaths=1)
    evaluation = measured(generator, parts, folder, killed)
    assert killed.died == 1
    assert_same(folder, evaluation, wanted)


def test_images_that_are_left_out_are_told_in_the_study_s_order(tmp_path: Path) -> None:
    def half(z: torch.Tensor) -> torch.Tensor:
        """Images of a negative first entry are grey."""
        alive = (z[:, :1, None, None] > 0).float()
        return (0.5 * alive * z[:, 1:2, None, None]).expand(-1, 3, 8, 8) * torch.linspace(0, 1, 8)

    wrapped = resefa.WrappedGenerator(half, latent_dim=2)
    study = replace(
        STUDY, rows=(Row("resefa"),), regions={"box": "0.5,0,0.5,1"}, seeds=tuple(range(5009, 5000, -1))
    )
    evaluation = evaluate(replace(study, references=0), wrapped, tmp_path, workers=Backwards(Inline()))
    grey = [seed for seed in study.seeds if float(wrapped.sample(seed).codes[0, 0, 0]) <= 0]
    assert list(evaluation.skipped) == grey
    assert 0 < len(grey) < len(study.seeds)
    with pytest.raises(resefa.errors.WorkerError, match="compute in one process"):
        evaluate(replace(study, references=0), wrapped, workers=Pool(2))


def test_the_command_has_workers(
    generator: resefa.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "tiny.safetensors"
    generator.save(weights)
    words = [
        "evaluate",
        "-g",
        str(weights),
        "--regions",
        "box=0,0.25,0.5,0.5",
        "--methods",
        "sefa",
        "-k",
        "1",
    ]
    words += ["--seeds", "5001,5000", "--larger", "--references", "0", "--sheet-seeds", "1"]
    assert main([*words, "-o", str(tmp_path / "two"), "--workers", "2"]) == 0
    found = Evaluation.load(tmp_path / "two" / RESULTS)
    assert [record.seed for record in found.records] == [5001, 5000]
    assert (tmp_path / "two" / "sheet-box.png").is_file()
    assert main([*words, "-o", str(tmp_path / "three"), "--cards", "1"]) == 1
    assert "--cards is for --ray" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()
