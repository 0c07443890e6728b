"""What all nodes share: inputs are checked before anything runs, and what goes wrong is said in words."""

from __future__ import annotations

import contextlib
import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from comfy_api.latest import io

from .core import bounds, resefa
from .runtime import computing
from .sockets import CARRIED

_CATEGORY = "GAN/ReSeFa"


def schema(node_id: str, folder: str = "", is_output_node: bool = False, **facts: Any) -> io.Schema:
    """What ComfyUI knows of a node, see its `Schema`; what a version of it does not know is left out.

    Args:
        folder: within the pack's own in the menu of nodes.
    """
    facts |= {
        "category": f"{_CATEGORY}/{folder}" if folder else _CATEGORY,
        "is_output_node": is_output_node,
        "has_intermediate_output": not is_output_node,
    }
    known = {each.name for each in dataclasses.fields(io.Schema)}
    return io.Schema(node_id=node_id, **{name: facts[name] for name in facts if name in known})


class Node(io.ComfyNode):
    """A node of this pack. A subclass says what it does in `run`, whose inputs are checked."""

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        with computing(), plain_errors():
            return cls.run(**checked(cls.SCHEMA.inputs, inputs))

    @classmethod
    @abstractmethod
    def run(cls, *args: Any, **inputs: Any) -> io.NodeOutput:
        """What the node does; its arguments are named as its inputs."""


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
    name = socket.display_name or socket.id
    if isinstance(socket, io.Int.Input):
        return bounds.whole(value, name, socket.min, socket.max)
    if isinstance(socket, io.Float.Input):
        return bounds.number(value, name, socket.min, socket.max)
    if isinstance(socket, io.Autogrow.Input):
        grown = value if isinstance(value, dict) else {}
        names = [each for each in socket.template.names if each in grown]
        return {each: _value(socket.template.input, grown[each]) for each in names}
    kind, words = CARRIED.get(socket.io_type, (object, ""))
    if not isinstance(value, kind):
        given = "nothing" if value is None else bounds.shown(value)
        raise resefa.ParameterError(f"{name}: expected {words}, got {given}")
    return value


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Errors of the system as the pack's own, in one line that ComfyUI can log, show and send."""
    try:
        yield
    except OSError as error:
        raise resefa.ReSeFaError(error) from None
