"""The run for the day that a card is there, rehearsed on the CPU in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), str(folder), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder.parent)


def test_runs_to_its_end(tmp_path: Path) -> None:
    done = check(tmp_path / "out", "--device", "cpu", "--tiny", "--minutes", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results) == [
        "machine",
        "accuracy",
        "costs",
        "published",
        "precision",
        "tests",
        "memory",
        "threads",
        "rates",
    ]
    rows = {name: found["rows"] for name, found in results.items()}
    assert all(rows.values())
    assert not [row for each in rows.values() for row in each.values() if "failed" in row], done.stderr
    for space in ("w", "z", "w+", "s"):
        assert rows["accuracy"][space]["columns"] < 1e-5
        assert rows["accuracy"][space]["dense: lowest quotient / optimum"] > 0.999
    assert rows["accuracy"]["an image"]["relative error"] < 1e-5
    for name in ("stylegan2 tiny", "biggan-deep tiny", "stylegan3-t tiny"):
        assert {
            "image ms",
            "tangent ms",
            "pull ms",
            "narrow s",
            "layered s",
            "second kind",
            "peak GB",
        } <= set(rows["costs"][name])
    tables = (tmp_path / "out" / "results.md").read_text()
    assert all(f"## {name}" in tables for name in results)


def test_stage_that_fails_is_told_and_the_next_one_runs(tmp_path: Path) -> None:
    done = check(tmp_path / "out", "--device", "no-such-device", "--tiny", "--only", "machine", "threads")
    assert done.returncode != 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results) == ["machine", "threads"]
    assert all("Error" in found["error"] for found in results.values())
    assert "Failed" in (tmp_path / "out" / "results.md").read_text()


def test_stage_that_takes_too_long_is_stopped_and_keeps_its_figures(tmp_path: Path) -> None:
    done = check(tmp_path / "out", "--device", "cpu", "--minutes", "0.12", "--only", "machine", "rates")
    assert done.returncode != 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "versions" in results["machine"]["rows"]
    assert "stopped after" in results["machine"]["error"] + results["rates"]["error"]
