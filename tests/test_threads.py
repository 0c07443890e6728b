from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from resefa_core import threads

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*threads.WAITING, *threads.COUNTING):
        monkeypatch.delenv(name, raising=False)


def run(code: str, **settings: str) -> tuple[str, str]:
    """What a fresh process prints, and what its OpenMP runtime says of the policy that it follows."""
    chosen = {*threads.WAITING, *threads.COUNTING}
    environment = {name: value for name, value in os.environ.items() if name not in chosen}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **settings, "OMP_DISPLAY_ENV": "TRUE", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"OMP_WAIT_POLICY\s*=\s*'(\w+)'", done.stderr)
    if found is None:
        pytest.skip("this torch's OpenMP runtime does not show its settings")
    return done.stdout.strip(), found[1]


@pytest.mark.parametrize(
    ("code", "settings", "expected"),
    [
        ("import resefa_core", {}, "PASSIVE"),
        ("import resefa_core.cli", {}, "PASSIVE"),
        ("import gradio_app.app", {}, "PASSIVE"),
        ("import resefa_core", {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
    ],
)
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(
    code: str, settings: dict[str, str], expected: str
) -> None:
    assert run(code, **settings)[1] == expected


def test_where_torch_is_here_already_its_policy_stays() -> None:
    show = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
    alone = run("import torch")[1]
    assert run(f"import torch, resefa_core; {show}") == ("None", alone)
    assert run(f"import resefa_core; {show}", GOMP_SPINCOUNT="7")[0] == "None"


@pytest.mark.usefixtures("two_threads", "nothing_asked")
@pytest.mark.parametrize(
    ("available", "most", "asked", "expected"),
    [(8, None, None, 2), (1, None, None, 1), (8, 1, None, 1), (1, 1, "2", 2)],
)
def test_a_process_computes_with_as_many_threads_as_it_may_use(
    available: int, most: int | None, asked: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "processors", lambda: available)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    threads.settle(most)
    assert torch.get_num_threads() == expected


@pytest.mark.usefixtures("two_threads", "nothing_asked")
def test_one_thread_computes_beside_others_that_keep_the_processors_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 2)
    for load, expected in ((0.0, 2), (4.0, 2), (4.1, 1), (50.0, 1)):
        monkeypatch.setattr(threads, "load", lambda load=load: load)
        with threads.considerate():
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 2
    with pytest.raises(KeyError), threads.considerate():
        raise KeyError
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with threads.considerate():
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 8),
        ({"cpu.max": "what 0\n"}, 8),
        ({"cpu.max": "1 0\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_a_containers_quota_bounds_the_processors(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, "ascii")
    assert threads.processors(tmp_path) == expected


def test_the_load_is_told() -> None:
    assert threads.load() >= 0.0
