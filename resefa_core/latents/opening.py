"""Latents from files, for a generator."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import NamedTuple

from ..generators.base import Generator
from .codes import Codes, Rows
from .edits import Edited
from .points import Latent, read_content


class Opened(NamedTuple):
    """A latent of a file, with the edit that led to it, and what is to be said of how it was read."""

    edited: Edited
    note: str


def open_latent(path: str | PathLike[str], generator: Generator, rows: Rows | None = None) -> Opened:
    """Read a latent, or a batch, for a generator: any file of `Edited.load`.

    Args:
        rows: what the vectors of an array `(N, D)` are: `"layers"` of one latent, `"images"` in w; for None,
            layers where the generator has as many, images otherwise, and the note says which.

    Raises:
        LatentError: the file can't be read, or its latent does not fit the generator.
    """
    file = Path(path)
    content = read_content(file)
    if isinstance(content, Codes):
        values, note = content.read_as(rows, generator.num_layers)
        edited = Edited(Latent(codes=values).expand(generator.num_layers))
    else:
        edited, note = Edited.of_content(file, *content), ""
    generator.check_latent(edited.latent)
    return Opened(edited, note)
