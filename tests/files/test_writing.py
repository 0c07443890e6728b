"""Atomic writing: killed writers, writers side by side, and full disks."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

import resefa_core as resefa
from resefa_core.errors import DirectionFileError, ReSeFaError
from resefa_core.files import make_folder, write_bytes, writing
from resefa_core.sheets import save_png

ROOT = Path(__file__).resolve().parents[2]
DAYS = 86_400
SLOW_WRITER = """
import sys, time
from pathlib import Path
from resefa_core.errors import ReSeFaError
from resefa_core.files import write_bytes

def pieces():
    yield b"begun"
    print("writing", flush=True)
    sys.stdin.read()
    yield b" and done"

write_bytes(Path(sys.argv[1]), pieces(), ReSeFaError, overwrite=True)
"""


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def parts_in(folder: Path) -> list[str]:
    return [name for name in names_in(folder) if name.endswith(".part")]


def write(file: Path, data: bytes = b"data") -> None:
    write_bytes(file, data, ReSeFaError, overwrite=True)


def begun(file: Path) -> subprocess.Popen[bytes]:
    """Another process that is in the middle of writing a file until its input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    return process


def left_by(folder: Path, host: str | None, age: float) -> Path:
    part = folder / f".resefa-{'' if host is None else host + '-'}{secrets.token_hex(8)}.part"
    part.write_bytes(b"part")
    os.utime(part, (time.time() - age, time.time() - age))
    return part


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    process = begun(tmp_path / "large")
    assert len(parts_in(tmp_path)) == 1
    process.kill()
    process.communicate()
    assert len(parts_in(tmp_path)) == 1
    write(tmp_path / "other")
    assert names_in(tmp_path) == ["other"]


def test_a_part_that_another_process_still_writes_is_left_to_it(tmp_path: Path) -> None:
    process = begun(tmp_path / "large")
    os.utime(tmp_path / parts_in(tmp_path)[0], (0, 0))
    for _ in range(3):
        write(tmp_path / "other")
    assert len(parts_in(tmp_path)) == 1
    process.communicate(b"")
    assert process.returncode == 0
    assert (tmp_path / "large").read_bytes() == b"begun and done"
    assert parts_in(tmp_path) == []


def test_a_stopped_writer_counts_as_one_that_still_writes(tmp_path: Path) -> None:
    process = begun(tmp_path / "large")
    process.send_signal(signal.SIGSTOP)
    write(tmp_path / "other")
    process.send_signal(signal.SIGCONT)
    process.communicate(b"")
    assert (tmp_path / "large").read_bytes() == b"begun and done"


@pytest.mark.parametrize(
    ("host", "age", "kept"),
    [
        (None, 0.9 * DAYS, True),
        (None, 1.1 * DAYS, False),
        ("00000000", 0.9 * DAYS, True),
        ("00000000", 1.1 * DAYS, False),
        ("this", 0, False),
    ],
)
def test_parts_of_other_machines_and_earlier_versions_stay_for_a_day(
    tmp_path: Path, host: str | None, age: float, kept: bool
) -> None:
    part = left_by(tmp_path, writing._host() if host == "this" else host, age)
    write(tmp_path / "file")
    assert part.exists() == kept


def test_where_there_are_no_locks_parts_stay_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "try_lock", lambda descriptor: None)
    fresh = left_by(tmp_path, writing._host(), 0)
    old = left_by(tmp_path, writing._host(), 1.1 * DAYS)
    write(tmp_path / "file")
    assert fresh.exists()
    assert not old.exists()
    assert (tmp_path / "file").read_bytes() == b"data"


def test_nothing_but_parts_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (tmp_path / f".resefa-{16 * '0'}.part").symlink_to(target)
    (tmp_path / f".resefa-{16 * '1'}.part").mkdir()
    os.mkfifo(tmp_path / f".resefa-{16 * '2'}.part")
    for name in (".resefa-x.part", f"resefa-{16 * '0'}.part", "model.pkl.part", f".resefa-{16 * '3'}.partly"):
        (tmp_path / name).write_bytes(b"mine")
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0), follow_symlinks=False)
    before = names_in(tmp_path)
    write(tmp_path / "target2")
    assert names_in(tmp_path) == sorted([*before, "target2"])


def test_a_writer_whose_part_was_taken_for_abandoned_begins_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, calls = writing.try_lock, []

    def removed_first(descriptor: int) -> bool | None:
        if not calls:
            (tmp_path / parts_in(tmp_path)[0]).unlink()
        calls.append(descriptor)
        return lock(descriptor)

    monkeypatch.setattr(writing, "try_lock", removed_first)
    write(tmp_path / "file")
    assert len(calls) == 2
    assert names_in(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"data"


def test_many_writers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(40):
                write(tmp_path / f"{number}-{turn}", b"%d %d" % (number, turn))
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    found = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert found == {f"{n}-{t}": b"%d %d" % (n, t) for n in range(6) for t in range(40)}


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 4 kB. Ends before pytest reports to a file of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def noise(size: int) -> Image.Image:
    return resefa.to_pil(2 * torch.rand(3, size, size) - 1)


def latent() -> resefa.Latent:
    return resefa.Latent(codes=torch.randn(1, 10, 512))


def directions() -> resefa.Directions:
    return resefa.Directions.from_vectors(torch.randn(8, 2048), "w", {}, layers=[0])


WRITERS: dict[str, tuple[Callable[[Path], None], type[ReSeFaError]]] = {
    "bytes": (lambda file: write(file, bytes(20_000)), ReSeFaError),
    "a picture": (lambda file: save_png(noise(100), file), ReSeFaError),
    "a latent": (lambda file: latent().save(file), resefa.LatentError),
    "directions": (lambda file: directions().save(file.with_suffix(".safetensors")), DirectionFileError),
    "vectors": (lambda file: directions().save(file.with_suffix(".npy")), DirectionFileError),
}


@pytest.mark.parametrize(("save", "error"), WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_told_and_nothing_half_written_stays(
    full_disk: Path, save: Callable[[Path], None], error: type[ReSeFaError]
) -> None:
    with pytest.raises(error, match=r"the disk is full .*: make room in .*disk") as caught:
        save(full_disk / "file")
    assert str(full_disk / "file") in str(caught.value)
    assert names_in(full_disk) == ["filling"]


def test_an_older_file_survives_a_full_disk(full_disk: Path) -> None:
    file = full_disk / "older"
    write(file, b"older")
    with pytest.raises(ReSeFaError, match="the disk is full"):
        write(file, bytes(20_000))
    assert file.read_bytes() == b"older"
    file.unlink()


@pytest.mark.parametrize(("save", "error"), WRITERS.values(), ids=WRITERS)
def test_a_file_larger_than_files_may_be_is_told(
    tmp_path: Path, save: Callable[[Path], None], error: type[ReSeFaError]
) -> None:
    with pytest.raises(error, match="larger than a file may be there"), small_files():
        save(tmp_path / "file")
    assert names_in(tmp_path) == []


def test_folders_that_cannot_be_made_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file" / "inside", tmp_path / ("x" * 300)):
        with pytest.raises(resefa.LatentError, match="can't be written"):
            make_folder(folder, resefa.LatentError)
