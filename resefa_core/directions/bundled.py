"""Directions that come with the package: found jointly on a part, looked at, and named by what they do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ..bounds import shown
from ..errors import ParameterError
from ..generators.base import Generator
from .sets import Directions

BUNDLED = Path(__file__).parent.parent / "bundled" / "directions"


@cache
def bundled_sets() -> Mapping[str, Directions]:
    """All of them by name, such as `avatars-mouth`, in the order of `bundled_names`."""
    files = sorted(BUNDLED.glob("*.safetensors"), key=lambda file: file.stem.rpartition("-"))
    return {file.stem: Directions.load(file) for file in files}


def bundled_directions(generator: Generator) -> dict[str, Directions]:
    """The directions that come with a generator, or with the one that it was tuned from: a set for each part,
    by names such as `avatars-mouth`. They are named by what they do, and hold on its other images, too.

    Example:
        >>> import resefa_core as resefa
        >>> sets = resefa.bundled_directions(resefa.load_generator("avatars"))
        >>> sets["avatars-mouth"].names[0]
        'smiles'
    """
    return {
        name: found
        for name, found in bundled_sets().items()
        if found.generator.get("fingerprint") in generator.fits
    }


def directions_file(name: str | PathLike[str]) -> Path:
    """The file of a bundled set's name, or of a path."""
    file = Path(name)
    return bundled_file(str(name)) if str(name) in bundled_sets() and not file.exists() else file


def bundled_file(name: str) -> Path:
    """The file of a bundled set."""
    return BUNDLED / f"{name}.safetensors"


def told_as_bundled(directions: Directions) -> dict[str, Any] | None:
    """What tells a bundled set without its vectors, wherever its region is now; None for other directions."""
    for name, known in bundled_sets().items():
        if known.vectors.shape == directions.vectors.shape and torch.equal(
            known.vectors, directions.vectors.cpu()
        ):
            return {"bundled": name, "digest": _digest(known)}
    return None


def read_bundled(data: Mapping[str, Any]) -> Directions:
    """Undo `told_as_bundled`; the data may come from a stranger.

    Raises:
        ParameterError: this version has no such directions.
    """
    name = data.get("bundled")
    known = bundled_sets().get(name) if isinstance(name, str) else None
    if known is None or data.get("digest") != _digest(known):
        raise ParameterError(
            f"directions {shown(name)} do not come with this version of ReSeFa, or are others in it"
        )
    return known


def _digest(directions: Directions) -> str:
    content = directions.vectors.numpy().tobytes() + directions.steps.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()[:16]
