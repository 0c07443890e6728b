"""Generators from files: a registry of readers, chosen by what a file holds and not by its name."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from ..files import is_file
from ..files.described import kind_of
from ..generators.base import Generator
from . import (
    biggan,
    biggan_deep,
    dcgan,
    genforce,
    nvidia_pickle,
    nvidia_safetensors,
    pggan,
    rosinality,
    tensorflow_pickle,
)
from .container import Content, open_file
from .conversion import arguments_of, convert_generator
from .weights import Weights, explained

__all__ = [
    "READERS",
    "bundled_names",
    "convert_generator",
    "describe",
    "is_generator",
    "load_generator",
    "read_weights",
]

READERS = (
    nvidia_safetensors,
    nvidia_pickle,
    tensorflow_pickle,
    rosinality,
    genforce,
    biggan_deep,
    biggan,
    pggan,
    dcgan,
)
_ABOUT = {"resefa.layout": "converted from"}
BUNDLED = Path(__file__).parent.parent / "bundled"


def load_generator(
    name: str | PathLike[str] = "avatars", device: str | torch.device | None = None
) -> Generator:
    """Load a generator, in float32 and in evaluation mode. Nothing in the file is run.

    Args:
        name: a bundled generator's name, or a file's path.
        device: where to put it; the CPU by default.

    Raises:
        CheckpointError: no such name or file, or the file is not a generator that is known here.
    """
    with torch.inference_mode(False), torch.no_grad():
        content = open_file(find_file(name))
        weights = read_weights(content)
        with explained(content.file, "its tensors can't be read"):
            nvidia_safetensors.check_hash(content)
        return weights.build().to(device or "cpu")


def find_file(name: str | PathLike[str]) -> Path:
    """The file of a bundled generator's name, or of a path, which may be a folder with `config.json` and the
    weights beside it.

    Raises:
        CheckpointError: neither is there.
    """
    file = BUNDLED / f"{name}.safetensors"
    if "/" in str(name) or "\\" in str(name) or not is_file(file):
        file = Path(name)
    if is_file(file / biggan_deep.CONFIG):
        file = next((file / each for each in biggan_deep.WEIGHTS if is_file(file / each)), file)
    if not is_file(file):
        raise CheckpointError(
            f"{name}: no such file, and not a bundled generator; bundled: {', '.join(bundled_names())}"
        )
    return file


def read_weights(content: Content) -> Weights:
    """The generator in a file, not built.

    Raises:
        CheckpointError: the file is not a generator that is known here; it says what it is.
    """
    for reader in READERS:
        if reader.detect(content):
            return reader.read(content)
    supported = "; ".join(reader.DESCRIPTION for reader in READERS)
    raise CheckpointError(
        f"{content.file}: not a generator that is known here: {_summary(content)}. Supported: {supported}"
    )


def is_generator(file: Path) -> bool:
    """Whether a file is in a generator's layout; it may still turn out to be damaged."""
    try:
        content = open_file(file)
    except CheckpointError:
        return False
    return any(reader.detect(content) for reader in READERS)


def describe(name: str | PathLike[str]) -> dict[str, Any]:
    """What a generator's file holds, by words, without building the generator.

    Raises:
        CheckpointError: as `load_generator`, except for values that are not finite.
    """
    with torch.inference_mode(False), torch.no_grad():
        weights = read_weights(open_file(find_file(name)))
        outline = weights.outline()
    dtypes = {str(lazy.dtype).removeprefix("torch.") for lazy in weights.tensors.values()}
    return {
        "kind": "generator",
        "name": weights.title,
        "layout": weights.layout,
        "architecture": weights.architecture,
        "resolution": outline.resolution,
        "layers": outline.num_layers,
        "latent dimension": outline.latent_dim,
        "classes": outline.num_classes,
        "spaces": list(outline.spaces),
        "edits can be confined": outline.can_confine,
        "parameters": sum(parameter.numel() for parameter in outline.parameters()),
        "stored as": sorted(dtypes),
        "arguments": json.dumps(arguments_of(weights)),
        **{_ABOUT.get(key, key.rpartition(".")[2]): text for key, text in weights.about.items()},
    }


def _summary(content: Content) -> str:
    """What a file holds, in a few words."""
    if isinstance(content.root, dict):
        keys = [
            str(key)[:40] if isinstance(key, (str, int)) else kind_of(key) for key in list(content.root)[:6]
        ]
        more = len(content.root) - len(keys)
        listed = ", ".join(repr(key) for key in keys) + (f" and {more} more" if more else "")
        return f"a {content.container} of a dictionary with {listed or 'nothing'}"
    return f"a {content.container} of {kind_of(content.root)}"


def bundled_names() -> list[str]:
    """The names of the generators that come with the package."""
    return sorted(file.stem for file in BUNDLED.glob("*.safetensors"))
