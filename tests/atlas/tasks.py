"""What workers do in tests; of a module, so that other processes find it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from resefa_core.errors import RegionError
from resefa_core.workers import Workers


class Doomed(NamedTuple):
    """What a function is given, and how often its worker is killed before."""

    function: Callable[[Any, Any], Any]
    shared: Any
    folder: Path
    deaths: int


def die_first(doomed: Doomed, task: Any) -> Any:
    for death in range(doomed.deaths):
        try:
            (doomed.folder / f"death-{death}").touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
    return doomed.function(doomed.shared, task)


class Killed(Workers):
    """Workers of which some are killed in the middle of a task."""

    def __init__(self, workers: Workers, folder: Path, deaths: int) -> None:
        self.workers, self.folder, self.deaths, self.count = workers, folder, deaths, workers.count

    def run(self, function: Any, shared: Any, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        return self.workers.run(die_first, Doomed(function, shared, self.folder, self.deaths), tasks)

    @property
    def died(self) -> int:
        return len(list(self.folder.glob("death-*")))


def start(ray: Any) -> None:
    """Two workers of Ray."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)


def children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            about = (folder / "stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(about[1]) == parent and about[0] != "Z":
            found.append(int(folder.name))
    return found


def is_there(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text("ascii", errors="replace")
    except OSError:
        return False


class Backwards(Workers):
    """Workers whose last task ends first."""

    def __init__(self, workers: Workers) -> None:
        self.workers, self.count = workers, workers.count

    def run(self, function: Any, shared: Any, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        return self.workers.run(function, shared, list(tasks)[::-1])


def product(shared: float, task: int) -> tuple[float, int, torch.Tensor]:
    return shared * task, torch.get_num_threads(), torch.full((3,), shared * task)


def length(shared: bytes, task: int) -> int:
    return len(shared)


def sleep(folder: Path, seconds: float) -> int:
    (folder / str(os.getpid())).touch()
    time.sleep(seconds)
    return os.getpid()


def refuse(shared: str, task: int) -> int:
    if task == 2:
        raise RegionError(f"{shared} {task}")
    return task
