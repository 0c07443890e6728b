"""What a generator's file is: safetensors, PyTorch's zip or older format, or a plain pickle."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from ..files import DAMAGE, open_regular, read_header
from ..files.contents import guess, is_safetensors
from ..files.described import Record, Storage, StoredTensor, row_strides
from ..files.reading import reason
from ..files.tensors import Place
from ..files.torch_files import PICKLE_START, ZIP_START, read_torch_or_pickle
from ..kinds import Kind, kind_of_file

MAX_BYTES = 16 << 30


@dataclass(frozen=True)
class Tensors:
    """A safetensors file, its tensors still on the disk; see `Unpickled` for `path` and `around`."""

    file: Path
    root: dict[str, StoredTensor]
    metadata: dict[str, str]
    container: str = "safetensors file"
    path: tuple[str, ...] = ()
    around: tuple[object, ...] = ()


@dataclass(frozen=True)
class Unpickled:
    """What a pickle describes.

    Attributes:
        file: the file.
        root: what it describes, or the part of it that stands under `path`.
        container: in what it came: `"PyTorch file"` or `"pickle"`.
        path: the keys that lead to `root`, prefixes of names among them.
        around: what these keys were found in, from the nearest outwards.
        modules: where `root` was a pickled module, the modules in it, in their order.
    """

    file: Path
    root: object
    container: str
    path: tuple[str, ...] = ()
    around: tuple[object, ...] = ()
    modules: tuple[Record, ...] = ()


Content = Tensors | Unpickled


def open_file(file: Path) -> Content:
    """Read what a file holds, by its first bytes and not by its name; no tensor is read yet.

    Raises:
        CheckpointError: it can't be read, is damaged, or is none of these formats.
    """
    data = _mapped(file)
    start = bytes(data[:64])
    if is_safetensors(data):
        places, metadata = read_header(file, CheckpointError)
        return Tensors(file, {name: _placed(data, places[name]) for name in sorted(places)}, metadata)
    try:
        if start.startswith((ZIP_START, PICKLE_START)):
            root, is_torch = read_torch_or_pickle(data, MAX_BYTES)
            return Unpickled(file, root, "PyTorch file" if is_torch else "pickle")
    except DAMAGE as problem:
        kind = kind_of_file(file)
        found = f"damaged, or not a generator's file: {reason(problem)}"
        found = found if kind == Kind.UNKNOWN else f"no generator: it is {kind.value}"
        raise CheckpointError(f"{file}: {found}") from problem
    kind = kind_of_file(file)
    found = guess(start) if kind == Kind.UNKNOWN else f"no generator: it is {kind.value}"
    raise CheckpointError(f"{file}: {found}: expected safetensors, a PyTorch file or a pickle")


def _placed(data: memoryview, place: Place) -> StoredTensor:
    """A tensor of a safetensors file, its numbers in the file's bytes."""
    storage = Storage(place.dtype, math.prod(place.shape), data[place.start : place.end])
    return StoredTensor(storage, 0, place.shape, row_strides(place.shape), place.dtype)


def _mapped(file: Path) -> memoryview:
    """The file's bytes; pages are read when used, and writing to them would not reach the file."""
    try:
        with open_regular(file, CheckpointError) as stream:
            size = stream.seek(0, 2)
            if size > MAX_BYTES:
                raise CheckpointError(f"{file}: {size} bytes, more than the {MAX_BYTES >> 30} GB accepted")
            if size == 0:
                raise CheckpointError(f"{file}: empty")
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
    except (OSError, ValueError) as problem:
        raise CheckpointError(f"{file}: can't be read: {reason(problem)}") from problem
