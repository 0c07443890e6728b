"""Generators from any layout that is read, written as safetensors under the names of our classes (for the
StyleGANs, NVIDIA's), losslessly."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._version import __version__
from ..errors import CheckpointError
from ..files import DAMAGE, DTYPES, HASH_KEY, MAX_HEADER_BYTES, hash_tensors, write_bytes
from ..generators import GENERATORS, Generator
from .container import open_file
from .nvidia_safetensors import check_hash
from .weights import AUTHOR, LICENSE, TUNED_FROM, Lazy, Weights

Progress = Callable[[int, int], None]
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class _Tensors(Mapping[str, Tensor]):
    """Tensors that are read when they are asked for, each finite or refused."""

    def __init__(self, lazies: Mapping[str, Lazy], read: Callable[[], None]) -> None:
        self.lazies, self.read = lazies, read

    def __getitem__(self, name: str) -> Tensor:
        tensor = self.lazies[name].read().contiguous()
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"tensor {name[:80]!r} has values that are not finite")
        self.read()
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.lazies)

    def __len__(self) -> int:
        return len(self.lazies)


def convert_generator(
    source: str | PathLike[str],
    output: str | PathLike[str],
    overwrite: bool = False,
    origin: str = "",
    license: str = "",
    progress: Progress | None = None,
) -> Weights:
    """Write a generator's file as safetensors, its numbers unchanged and in the type that they have.

    Args:
        source: a file or a name that `load_generator` takes.
        output: the file to write, by way of a temporary one beside it.
        overwrite: whether a file that exists is replaced.
        origin: where the weights are from, to be recorded; what the file says itself by default.
        license: likewise.
        progress: called with tensors done and in total.

    Raises:
        CheckpointError: the source is not a generator that is known here, or the output exists.
    """
    from . import find_file, read_weights

    content = open_file(find_file(source))
    with torch.inference_mode(False), torch.no_grad():
        weights = read_weights(content)
        size = weights.outline().image_size
        check_hash(content)
        try:
            _write(weights, size, Path(output), overwrite, origin, license, progress)
        except DAMAGE as problem:
            raise CheckpointError(f"{source}: can't be converted: {problem}") from problem
    return weights


def save_generator(generator: Generator, output: Path, overwrite: bool = False) -> None:
    """What `Generator.save` does."""
    architecture = generator.architecture
    if type(generator) is not GENERATORS.get(architecture):
        raise CheckpointError(
            f"{type(generator).__name__} can't be saved: no file holds the architecture {architecture!r}; "
            "see register_generator"
        )
    tensors = {
        name: Lazy(tuple(tensor.shape), tensor.dtype, partial(_on_cpu, tensor))
        for name, tensor in generator.state_dict().items()
    }
    arguments, name = dict(generator.arguments), generator.name or architecture
    about = {TUNED_FROM: generator.tuned_from, AUTHOR: generator.author, LICENSE: generator.license}
    weights = Weights(output, "", architecture, arguments, tensors, about, name)
    with torch.inference_mode(False), torch.no_grad():
        try:
            _write(weights, generator.image_size, output, overwrite)
        except DAMAGE as problem:
            raise CheckpointError(f"{generator!r} can't be saved: {problem}") from problem


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu()


def _write(
    weights: Weights,
    size: tuple[int, int],
    output: Path,
    overwrite: bool,
    origin: str = "",
    license: str = "",
    progress: Progress | None = None,
) -> None:
    total, done = 2 * len(weights.tensors), 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    tensors = _Tensors(weights.tensors, advance)
    about = _metadata(weights, size, origin, license)
    about[HASH_KEY] = hash_tensors(tensors)
    write_bytes(output, _chunks(tensors, about), CheckpointError, overwrite)


def _metadata(weights: Weights, size: tuple[int, int], origin: str, license: str) -> dict[str, str]:
    layout = weights.about.get("resefa.layout", weights.layout)
    metadata = {
        "format": "pt",
        "arch": weights.architecture,
        "init_kwargs": json.dumps(arguments_of(weights)),
        "resefa.layout": layout,
        "resefa.version": __version__,
        "resefa.origin": origin or weights.about.get("resefa.origin", ""),
        TUNED_FROM: weights.about.get(TUNED_FROM, ""),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": weights.architecture,
        "modelspec.implementation": GENERATORS[weights.architecture].implementation,
        "modelspec.title": weights.about.get("modelspec.title", weights.title),
        AUTHOR: weights.about.get(AUTHOR, ""),
        LICENSE: license or weights.about.get(LICENSE, ""),
        "modelspec.resolution": f"{size[1]}x{size[0]}",
    }
    return {
        key: text.encode("utf-8", "backslashreplace").decode("utf-8")
        for key, text in metadata.items()
        if text
    }


def arguments_of(weights: Weights) -> dict[str, Any]:
    """The arguments as files of that architecture state them."""
    return GENERATORS[weights.architecture].file_arguments(weights.arguments)


def _chunks(tensors: _Tensors, metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, one tensor at a time; the widest types come first."""
    header: dict[str, Any] = {"__metadata__": metadata}
    order = sorted(tensors.lazies, key=lambda name: (-tensors.lazies[name].dtype.itemsize, name))
    start = 0
    for name in order:
        lazy = tensors.lazies[name]
        if lazy.dtype not in _NAMES:
            raise ValueError(f"tensor {name[:80]!r} has type {lazy.dtype}")
        end = start + math.prod(lazy.shape) * lazy.dtype.itemsize
        header[name] = {"dtype": _NAMES[lazy.dtype], "shape": list(lazy.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"its names and texts have {len(text)} bytes, more than {MAX_HEADER_BYTES}")
    yield struct.pack("<Q", len(text)) + text
    for name in order:
        numbers: np.ndarray[Any, Any] = tensors[name].reshape(-1).view(torch.uint8).numpy()
        yield numbers.data
