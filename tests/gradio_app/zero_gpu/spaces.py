"""A stand-in for Hugging Face's package `spaces` on ZeroGPU, on the path of a demo that is tested.

As there: it wants to be imported before torch; CUDA seems to be there, and is not; what is decorated runs in
a forked process, which is kept for the next call; arguments and results are pickled. Its GPU is the CPU. With
LENT_FAILS it has none to lend.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

assert "torch" not in sys.modules, "spaces was imported after torch"

import torch  # noqa: E402

torch.cuda.is_available = lambda: True
_forked = False
_plain_to = torch.Tensor.to


def _to(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
    asked = [
        torch.device(each).type
        for each in (*args, *options.values())
        if isinstance(each, (str, torch.device))
    ]
    if "cuda" not in asked:
        return _plain_to(tensor, *args, **options)
    if not _forked:
        raise RuntimeError("a tensor was moved to CUDA outside of what is lent a GPU")
    lent = [torch.device("cpu") if str(each).startswith("cuda") else each for each in args]
    return _plain_to(tensor, *lent, **options)


torch.Tensor.to = _to  # type: ignore[method-assign]


def GPU(*, duration: Callable[..., int]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: N802
    """The decorator."""

    def decorate(task: Callable[..., Any]) -> Callable[..., Any]:
        turn = threading.Lock()
        workers: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

        @functools.wraps(task)
        def lent(*args: Any, **options: Any) -> Any:
            if os.environ.get("LENT_FAILS"):
                raise RuntimeError("you have exceeded your GPU quota")
            seconds = duration(*args, **options)
            with turn:
                if not workers:
                    workers.append(_start(task))
                process, connection = workers[0]
                connection.send_bytes(ForkingPickler.dumps((args, options)))
                fine, value = ForkingPickler.loads(connection.recv_bytes())
            print(f"lent for {seconds} s: process {process.pid} of {os.getpid()}", flush=True)
            if not fine:
                raise RuntimeError(value)
            return value

        return lent

    return decorate


def _start(task: Callable[..., Any]) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(task, there), daemon=True)
    process.start()
    return process, here


def _work(task: Callable[..., Any], connection: Connection) -> None:
    global _forked
    _forked = True
    while True:
        args, options = ForkingPickler.loads(connection.recv_bytes())
        try:
            answer: tuple[bool, Any] = (True, task(*args, **options))
        except Exception as error:
            answer = (False, repr(error))
        connection.send_bytes(ForkingPickler.dumps(answer))
