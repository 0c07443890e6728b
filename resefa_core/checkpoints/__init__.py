"""Generators from files: a registry of readers, chosen by what a file holds and not by its name.

A reader of another package is registered with `register_reader`, and is written with `Content`, `Weights` and
what else is exported here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError, ParameterError
from ..files import is_file
from ..files.described import kind_of
from ..generators.base import Generator
from ..kinds import Kind, kind_of_file
from .container import Content, Tensors, Unpickled, open_file
from .registry import READERS, Reader, register_reader
from .weights import TUNED_FROM, Lazy, Weights, explained, positive

# isort: off
from . import nvidia_safetensors, nvidia_pickle, tensorflow_pickle, rosinality, genforce  # noqa: F401 - as asked
from . import stylegan1, lucidrains, fastgan, lightweight_gan  # noqa: F401
from . import biggan_deep, biggan, pggan, dcgan  # noqa: F401

# isort: on
from .conversion import arguments_of, convert_generator
from .downloads import catalogue
from .remote import SCHEME, fetch
from .state_dict import about_of, has_names, named_tensors
from .unwrapping import find_generator, name_closed

__all__ = [
    "READERS",
    "Content",
    "Lazy",
    "Reader",
    "Tensors",
    "Unpickled",
    "Weights",
    "about_of",
    "bundled_names",
    "convert_generator",
    "describe",
    "explained",
    "has_names",
    "is_generator",
    "load_generator",
    "named_tensors",
    "positive",
    "read_weights",
    "register_reader",
]

_ABOUT = {"resefa.layout": "converted from", TUNED_FROM: "tuned from"}
BUNDLED = Path(__file__).parent.parent / "bundled"


def load_generator(
    name: str | PathLike[str] = "avatars",
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Generator:
    """Load a generator, in evaluation mode. Nothing in the file is run.

    Args:
        name: a bundled generator's name; a file's path; the name of a generator of the catalogue that
            `download` fetched; or `hf://owner/name` or `hf://owner/name/file`, a repository of the Hugging
            Face Hub, which `huggingface_hub` fetches and keeps.
        device: where to put it; the CPU by default.
        dtype: of its numbers: float32, float16, bfloat16 or float64.

    Raises:
        CheckpointError: no such name or file, or the file is not a generator that is known here.
        ParameterError: the type is no floating type.
    """
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ParameterError(f"dtype {str(dtype)[:40]} is not a floating type like torch.float32")
    with torch.inference_mode(False), torch.no_grad():
        content = open_file(find_file(name))
        weights = read_weights(content)
        with explained(content.file, "its tensors can't be read"):
            nvidia_safetensors.check_hash(content)
        return weights.build().to(device or "cpu", dtype)


def find_file(name: str | PathLike[str]) -> Path:
    """The file of a generator's name, or of a path, which may be a folder with weights under the names that
    the Hub's libraries give them; see `load_generator`.

    Raises:
        CheckpointError: there is none.
    """
    if str(name).startswith(SCHEME):
        return fetch(str(name))
    file = BUNDLED / f"{name}.safetensors"
    if "/" in str(name) or "\\" in str(name) or not is_file(file):
        file = Path(name)
    if not is_file(file):
        file = next((file / each for each in biggan_deep.WEIGHTS if is_file(file / each)), file)
    if is_file(file):
        return file
    if str(name) in catalogue():
        fetched = catalogue()[str(name)].file
        if is_file(fetched):
            return fetched
        raise CheckpointError(f"{name}: not downloaded: there is no {fetched} here; `resefa download {name}`")
    raise CheckpointError(
        f"{name}: no such file, and not a bundled generator; bundled: {', '.join(bundled_names())}"
    )


def read_weights(content: Content) -> Weights:
    """The generator in a file, not built.

    Raises:
        CheckpointError: the file is not a generator that is known here; it says what it is.
    """
    found = find_generator(content)
    if found is not None:
        return replace(found.reader.read(found.content), place=found.content.path, others=found.others)
    kind = kind_of_file(content.file)
    if kind not in (Kind.UNKNOWN, Kind.WEIGHTS):
        raise CheckpointError(f"{content.file}: no generator: it is {kind.value}")
    supported = "; ".join(reader.description for reader in READERS)
    closed = name_closed(content)
    if closed is not None:
        raise CheckpointError(
            f"{content.file}: it holds {closed}: known, and not read. Supported: {supported}"
        )
    raise CheckpointError(
        f"{content.file}: not a generator that is known here: {_summary(content)}. Supported: {supported}"
    )


def is_generator(file: Path) -> bool:
    """Whether a file is in a generator's layout; it may still turn out to be damaged."""
    try:
        return find_generator(open_file(file)) is not None
    except CheckpointError:
        return False


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
        **({"image size": "{1} x {0}".format(*outline.image_size)} if not outline.is_square else {}),
        "layers": outline.num_layers,
        "latent dimension": outline.latent_dim,
        "classes": outline.num_classes,
        "spaces": list(outline.spaces),
        "edits can be confined": outline.can_confine,
        "parameters": sum(parameter.numel() for parameter in outline.parameters()),
        "stored as": sorted(dtypes),
        **({"found under": " / ".join(weights.place)} if weights.place else {}),
        **({"further generators": list(weights.others)} if weights.others else {}),
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
