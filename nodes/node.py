"""What all nodes share: inputs are checked before anything runs, and what goes wrong is said in words."""

from __future__ import annotations

import contextlib
import math
import reprlib
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

from comfy_api.latest import io

from .core import resefa
from .runtime import computing
from .sockets import CARRIED


class Node(io.ComfyNode):
    """A node of this pack. A subclass says what it does in `run`, whose inputs are checked."""

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        with computing(), plain_errors():
            return cls.run(**checked(cls.SCHEMA.inputs, inputs))

    @classmethod
    def run(cls, *args: Any, **inputs: Any) -> io.NodeOutput:
        raise NotImplementedError


def checked(schema: Sequence[io.Input], inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a node, each of its socket's kind and within its widget's bounds. ComfyUI checks what
    widgets say, but not what comes over a link.

    Raises:
        ParameterError: one is not; the message names it.
    """
    known = {each.id: each for each in schema}
    return {
        name: value if value is None and known[name].optional else _value(known[name], value)
        for name, value in inputs.items()
    }


def _value(socket: io.Input, value: Any) -> Any:
    if isinstance(socket, io.Int.Input):
        fits = isinstance(value, Integral) and socket.min <= value <= socket.max
        return int(value) if fits else _refuse(socket, value, f"an integer from {socket.min} to {socket.max}")
    if isinstance(socket, io.Float.Input):
        fits = isinstance(value, Real) and math.isfinite(value) and socket.min <= value <= socket.max
        return float(value) if fits else _refuse(socket, value, f"a number from {socket.min} to {socket.max}")
    if isinstance(socket, io.Boolean.Input):
        return value if isinstance(value, bool) else _refuse(socket, value, "true or false")
    if isinstance(socket, (io.Combo.Input, io.String.Input)):
        return value if isinstance(value, str) else _refuse(socket, value, "text")
    if socket.io_type in CARRIED:
        kind, words = CARRIED[socket.io_type]
        return value if isinstance(value, kind) else _refuse(socket, value, words)
    return value


def _refuse(socket: io.Input, value: Any, expected: str) -> None:
    shown = reprlib.repr(value) if isinstance(value, (str, bool, int, float)) else type(value).__name__
    name = socket.display_name or socket.id
    raise resefa.ParameterError(f"{name}: expected {expected}, got {'nothing' if value is None else shown}")


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Errors of the system as the pack's own, in one line that ComfyUI can log, show and send."""
    try:
        yield
    except OSError as error:
        raise resefa.ReSeFaError(error) from None
