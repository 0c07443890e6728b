"""What workers do, and the simplest of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ..threads import one_thread

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")

Work = Callable[[Any, Any], Any]
"""A function of a module: of what all tasks share, and of one task. Tasks may be done twice, where a worker
was lost."""

AHEAD = 2
"""Tasks for each worker that are handed out, the one it does among them."""


class Workers(ABC):
    """Where tasks are done.

    Attributes:
        count: how many tasks are done at once.
        in_process: whether tasks are done in this process, where what they share may be called back.
    """

    count: int
    in_process = False

    @abstractmethod
    def run(
        self, function: Callable[[Shared, Task], Result], shared: Shared, tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, as they are done: in no order that is promised. Each is made with one
        thread.

        Not more than `AHEAD` times as many tasks as there are workers are handed out at once, so that memory
        does not grow with the tasks. Where whoever takes the results stops, tasks stop, too.

        Args:
            function: of a module, so that other processes find it.
            shared: what all tasks need; each worker gets it once.
            tasks: small.

        Raises:
            WorkerError: workers are lost again and again.
            Exception: whatever the function raises.
        """


class Inline(Workers):
    """In this process, one after the other."""

    count = 1
    in_process = True

    def run(
        self, function: Callable[[Shared, Task], Result], shared: Shared, tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        for task in tasks:
            with one_thread():
                result = function(shared, task)
            yield task, result
