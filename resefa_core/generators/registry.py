"""Architectures by name, each registered where its class is written."""

from __future__ import annotations

from typing import TypeVar

from ..errors import ParameterError
from .base import Generator, Published

G = TypeVar("G", bound=Generator)

GENERATORS: dict[str, type[Generator]] = {}
"""The classes that files can hold, by `Generator.architecture`."""

PUBLISHED: dict[str, Published] = {}
"""Directions that were published, by file stem: the `published_directions` of all architectures."""


def register_generator(cls: type[G]) -> type[G]:
    """Class decorator: makes an architecture known by its name, so that readers can build it.

    See `register_reader` for the other half of a new architecture.

    Raises:
        ParameterError: another class has that name.

    Example:
        >>> from resefa_core.generators import GENERATORS, StyleGAN2
        >>> GENERATORS["stylegan2"] is StyleGAN2
        True
    """
    known = GENERATORS.setdefault(cls.architecture, cls)
    if known is not cls:
        raise ParameterError(f"architecture {cls.architecture[:40]!r} is there already: {known.__name__}")
    PUBLISHED.update({stem: Published(*each) for stem, each in cls.published_directions.items()})
    return cls
