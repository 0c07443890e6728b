"""A slice of what `fuzz_files.py` reads, and what it would find."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

if not hasattr(os, "fork"):
    pytest.skip("the files are read in forked processes", allow_module_level=True)

import fuzz_files
from fuzz_files import changed, run, warmed
from mutations import MUTATIONS, form_of
from seeds import Seed

from resefa_core import LatentError

FILES = 150


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    return warmed(tmp_path_factory.mktemp("seeds"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_changed_files_of_every_format_are_refused_or_whole(choices: list[Seed], tmp_path: Path) -> None:
    found = list(run(choices, 2, range(FILES), tmp_path))
    assert [outcome for outcome in found if outcome["kind"] == "finding"] == []
    counts = Counter(outcome["kind"] for outcome in found)
    assert sum(counts.values()) == FILES
    assert min(counts["whole"], counts["refused"]) > FILES // 20


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_number_names_a_file(choices: list[Seed]) -> None:
    for index in range(40):
        assert changed(choices, 1, index) == changed(choices, 1, index)
    assert len({changed(choices, 1, index)[1] for index in range(40)}) == 40


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_every_form_is_among_them_and_most_files_are_changed(choices: list[Seed]) -> None:
    assert {form_of(each.data) for each in choices} == set(MUTATIONS)
    files = [changed(choices, 1, index) for index in range(200)]
    assert sum(data != chosen.data for chosen, data in files) > 190
    assert sum(form_of(data) == form_of(chosen.data) for chosen, data in files) > 150


def fault(file: Path) -> None:
    raise OSError("a foreign error")


def writing(file: Path) -> None:
    file.write_bytes(b"x")


def running(file: Path) -> None:
    eval("1 + 1")


def unspeakable(file: Path) -> None:
    error = LatentError("x")
    error.args = ("gut\udce9",)
    raise error


def hungry(file: Path) -> None:
    taken = bytearray(300 << 20)
    taken[::4096] = b"x" * len(taken[::4096])


def greedy(file: Path) -> None:
    bytearray(5 << 30)


def killed(file: Path) -> None:
    os.kill(os.getpid(), 9)


def endless(file: Path) -> None:
    while time.process_time() >= 0:
        pass


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another error": (fault, "OSError: 'a foreign error'"),
    "a file that is written": (writing, "open"),
    "code that is run": (running, "exec"),
    "a message with a lone surrogate": (unspeakable, "can't be encoded"),
    "much memory": (hungry, "MB of memory"),
    "more memory than there is": (greedy, "MemoryError"),
    "a reader that is killed": (killed, "SIGKILL"),
    "a reader without an end": (endless, "SIGPROF"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_every_kind_would_be_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, words = FAULTS[name]
    monkeypatch.setattr(fuzz_files, "CPU_SECONDS", 0.5)
    if name == "much memory" and not Path("/proc/self/clear_refs").exists():
        pytest.skip("the system does not count the peak of memory")
    both = [Seed("bad.json", b"{}", read), Seed("good.json", b"{}", lambda file: None)]
    found = list(run(both, 1, range(6), tmp_path))
    assert [outcome["index"] for outcome in found] == list(range(6))
    kinds = Counter((outcome["name"], outcome["kind"]) for outcome in found)
    assert set(kinds) == {("bad.json", "finding"), ("good.json", "whole")}
    assert all(words in json.dumps(outcome["why"]) for outcome in found if outcome["kind"] == "finding")
