"""What can go wrong, as types: every message says what was given, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

_MAX_MESSAGE = 2000
_MESSAGE_END = 500


def printable(text: str) -> str:
    """Text as one line that every terminal, log and socket takes: line breaks, control characters, what turns
    the reading direction round, and bytes of file names that are not UTF-8 are written as escapes.

    Example:
        >>> print(printable("gut\\udce9\\x1b[2J.pt"))
        gut\\udce9\\x1b[2J.pt
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class ReSeFaError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        message: may quote names and texts of strangers; it is made `printable`, and the middle of a very long
            one is left out.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(_shortened(printable(_shortened(str(message)))))


def _shortened(message: str) -> str:
    if len(message) <= _MAX_MESSAGE:
        return message
    return f"{message[: _MAX_MESSAGE - _MESSAGE_END - 5]} ... {message[-_MESSAGE_END:]}"


class CheckpointError(ReSeFaError):
    """A generator's file is missing, unreadable, or not a generator that is known here."""


class DirectionFileError(ReSeFaError):
    """A direction file is missing, damaged, or holds something else."""


class EvaluationError(ReSeFaError):
    """A measure can't be taken: a file or a package that it needs is missing, damaged, or something else."""


class HubError(ReSeFaError):
    """The Hub can't be reached, refuses, or answers nonsense; or what was asked of it is not allowed."""


class JacobianError(ReSeFaError):
    """A Jacobian's file is damaged, or Jacobians that do not belong together were combined."""


class LatentError(ReSeFaError):
    """A latent, a space, a layer or a direction does not fit the generator or the other operand."""


class PartsFileError(ReSeFaError):
    """A file of a generator's parts is missing, damaged, or holds something else."""


class PhotoError(ReSeFaError):
    """A photo is missing, damaged, too large, something else, or not the one that was meant."""


class RegionError(ReSeFaError):
    """A region is empty, full, out of range, or the image does not respond inside or outside it."""


class AtlasError(ReSeFaError):
    """An atlas's file, or the checkpoint of one, is missing, damaged, or of something else."""


class WorkerError(ReSeFaError):
    """Workers can't be had, or are lost again and again, or can't be sent what they need."""


class ParameterError(ReSeFaError, ValueError):
    """A number or a choice that was passed to a function is out of range."""


@contextmanager
def named(file: str | PathLike[str], name: str = "") -> Iterator[None]:
    """Errors of the project call a file by this name, or else its own, instead of its path."""
    try:
        yield
    except ReSeFaError as error:
        raise type(error)(str(error).replace(str(file), name or Path(file).name)) from error
