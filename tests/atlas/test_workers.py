"""One function over many tasks, wherever it is done."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from resefa_core.errors import ParameterError, RegionError, WorkerError
from resefa_core.workers import Inline, Workers, pool
from resefa_core.workers.base import AHEAD
from resefa_core.workers.pool import Pool
from tests.atlas.tasks import Killed, children, is_there, length, product, refuse, sleep, start


@pytest.fixture(scope="module", params=["inline", "pool", "ray"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    if request.param == "inline":
        yield Inline()
    elif request.param == "pool":
        yield Pool(1)
    else:
        ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "resefa[cluster]"')
        from resefa_core.workers.cluster import Cluster

        start(ray)
        yield Cluster()
        ray.shutdown()


def test_results_come_with_their_tasks_made_with_one_thread(workers: Workers) -> None:
    before = torch.get_num_threads()
    results = dict(workers.run(product, 1.5, range(20)))
    assert {task: each[0] for task, each in results.items()} == {task: 1.5 * task for task in range(20)}
    assert {each[1] for each in results.values()} == {1}
    assert torch.equal(results[7][2], torch.full((3,), 10.5))
    assert torch.get_num_threads() == before


def test_errors_come_back_as_they_are(workers: Workers) -> None:
    found: list[tuple[int, int]] = []
    with pytest.raises(RegionError, match="no such place 2"):
        found.extend(workers.run(refuse, "no such place", range(9)))


def test_few_tasks_are_taken_ahead(workers: Workers) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(1000):
            taken.append(task)
            yield task

    results = workers.run(product, 1.0, tasks())
    for done in range(1, 9):
        next(results)
        assert len(taken) <= done + AHEAD * workers.count
    results.close()  # type: ignore[attr-defined]


def test_whoever_stops_does_not_wait_for_tasks_that_nobody_wants(workers: Workers, tmp_path: Path) -> None:
    if workers.in_process:
        pytest.skip("one task is done after the other")
    results = workers.run(sleep, tmp_path, [0.0, 600.0, 600.0])
    next(results)
    until = time.monotonic() + 120.0
    while len(list(tmp_path.iterdir())) < min(2, workers.count) and time.monotonic() < until:
        time.sleep(0.1)
    results.close()  # type: ignore[attr-defined]
    while any(is_there(int(file.name)) for file in tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(is_there(int(file.name)) for file in tmp_path.iterdir())


def test_what_is_lost_again_and_again_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_LOSSES", 1)
    killed = Killed(Pool(1), tmp_path, deaths=1000)
    with pytest.raises(WorkerError, match="workers were lost"):
        list(killed.run(product, 2.0, range(2)))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_a_worker_that_is_killed_as_it_starts_is_replaced() -> None:
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            for child in children(os.getpid()):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)
                    killed.append(child)
            time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    results = dict(Pool(1).run(length, bytes(1 << 22), range(3)))
    killer.join()
    assert results == dict.fromkeys(range(3), 1 << 22)


def test_what_can_not_be_sent_is_an_error() -> None:
    here: Any = lambda: None  # noqa: E731
    with pytest.raises(WorkerError, match="can't be sent"):
        list(Pool(1).run(product, here, [1]))
    with pytest.raises(ParameterError, match="workers"):
        Pool(0)
