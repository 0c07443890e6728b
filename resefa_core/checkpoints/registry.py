"""Readers of generators' files, each registered where it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .container import Content
from .weights import Weights

Detect = Callable[[Content], bool]
Read = Callable[[Content], Weights]


@dataclass(frozen=True)
class Reader:
    """A layout of files that generators come in.

    Attributes:
        description: what it is, in a few words.
        detect: whether a file is in this layout, by what it holds; cheap, and true or false for any content.
        read: the generator in such a file, its tensors still on the disk.
    """

    description: str
    detect: Detect
    read: Read


READERS: list[Reader] = []
"""All readers, in the order in which they are asked: ours, then those of other packages as they come."""


def register_reader(description: str, detect: Detect) -> Callable[[Read], Read]:
    """Makes a reader of the function below: whatever reads generators asks it from then on.

    With a class under `register_generator` it is all that a new architecture takes::

        @register_reader("Painter (.safetensors)", lambda content: has_names(content.root, "brush.weight"))
        def read(content: Content) -> Weights:
            tensors = named_tensors(content)
            width = tensors["brush.weight"].shape[0]
            return Weights(content.file, "Painter", "painter", {"width": width}, tensors)

    Args:
        description, detect: as for `Reader`.
    """

    def register(read: Read) -> Read:
        READERS.append(Reader(description, detect, read))
        return read

    return register
