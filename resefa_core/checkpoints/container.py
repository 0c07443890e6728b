"""What a generator's file is: safetensors, PyTorch's zip or older format, or a plain pickle."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import CheckpointError
from ..files import DAMAGE, open_regular, read_header
from .unpickling import (
    TORCH_TYPES,
    Budget,
    Name,
    Storage,
    kind_of,
    read_pickle,
)
from .zipped import read_directory

MAX_BYTES = 16 << 30
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_STORAGES = 100_000


@dataclass(frozen=True)
class Tensors:
    """A safetensors file, its tensors still on the disk."""

    file: Path
    names: frozenset[str]
    metadata: dict[str, str]
    container: str = "safetensors file"

    @property
    def root(self) -> dict[str, None]:
        """The tensors' names, as a dictionary."""
        return dict.fromkeys(sorted(self.names))


@dataclass(frozen=True)
class Unpickled:
    """What a pickle describes, and in what it came: `"PyTorch file"` or `"pickle"`."""

    file: Path
    root: object
    container: str


Content = Tensors | Unpickled


def open_file(file: Path) -> Content:
    """Read what a file holds, by its first bytes and not by its name; no tensor is read yet.

    Raises:
        CheckpointError: it can't be read, is damaged, or is none of these formats.
    """
    data = _mapped(file)
    start = bytes(data[:64])
    if len(data) > 8 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] < len(data):
        names, metadata = read_header(file, CheckpointError)
        return Tensors(file, frozenset(names), metadata)
    try:
        if start.startswith(b"PK\x03\x04"):
            return Unpickled(file, read_zip(data), "PyTorch file")
        if start[:1] == b"\x80":
            return _read_plain_or_legacy(file, data)
    except DAMAGE as problem:
        raise CheckpointError(f"{file}: damaged, or not a generator's file: {problem}") from problem
    raise CheckpointError(f"{file}: {_guess(start)}: expected safetensors, a PyTorch file or a pickle")


def _guess(start: bytes) -> str:
    if start.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer instead of the file itself (run `git lfs pull`)"
    if start.lstrip()[:1] == b"<":
        return "a web page instead of the file itself (download it again)"
    return "not a generator's file, or damaged"


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
        reason = getattr(problem, "strerror", None) or problem
        raise CheckpointError(f"{file}: can't be read: {reason}") from problem


def _read_plain_or_legacy(file: Path, data: memoryview) -> Unpickled:
    budget = Budget(read_legacy)
    first, end = read_pickle(data, 0, budget)
    if first == _MAGIC and type(first) is int:
        return Unpickled(file, _read_legacy_body(data, end, budget), "PyTorch file")
    return Unpickled(file, first, "pickle")


def read_legacy(data: memoryview, budget: Budget) -> object:
    """What a file in PyTorch's format before 1.6 describes: five pickles, then the storages' numbers.

    Raises:
        ValueError: damaged, or another format.
    """
    magic, end = read_pickle(data, 0, budget)
    if type(magic) is not int or magic != _MAGIC:
        raise ValueError(f"not in PyTorch's format: it begins with {kind_of(magic)}")
    return _read_legacy_body(data, end, budget)


def _read_legacy_body(data: memoryview, start: int, budget: Budget) -> object:
    version, start = read_pickle(data, start, budget)
    if type(version) is not int or version != _PROTOCOL:
        raise ValueError("a version of PyTorch's older format that is not known")
    system, start = read_pickle(data, start, budget)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("written on a machine with another order of bytes")
    storages: dict[str, Storage] = {}

    def storage_of(key: object) -> object:
        if isinstance(key, tuple) and len(key) > 1 and key[0] == "module":
            return key[1]
        name, dtype, count, view = _storage_key(key)
        if view is not None:
            raise ValueError("it has storages that are views of others, as PyTorch 0.1 wrote")
        return _shared(storages, name, dtype, count)

    root, start = read_pickle(data, start, budget, storage_of)
    keys, start = read_pickle(data, start, budget)
    if not isinstance(keys, list) or len(keys) != len(storages):
        raise ValueError(f"it refers to {len(storages)} storages and lists {kind_of(keys)} of them")
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or storage.data is not None:
            raise ValueError(f"it lists a storage that nothing refers to: {kind_of(key)}")
        if start + 8 > len(data):
            raise ValueError("it ends in the middle")
        (count,) = struct.unpack("<q", data[start : start + 8])
        start += 8
        end = start + storage.count * storage.dtype.itemsize
        if count != storage.count or end > len(data):
            raise ValueError(f"a storage of {storage.count} numbers has {count}, or is cut off")
        storage.data = data[start:end]
        start = end
    return root


def read_zip(data: memoryview) -> object:
    """What a file in PyTorch's zip format describes.

    Raises:
        ValueError: damaged, compressed, or another kind of archive.
    """
    entries = read_directory(data)
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        found = ", ".join(repr(name[:40]) for name in sorted(entries)[:4]) or "nothing"
        raise ValueError(f"an archive that PyTorch has not written: it holds {found}")
    folder = pickles[0].removesuffix("data.pkl")
    order = entries.get(f"{folder}byteorder")
    if order is not None and bytes(order[:16]) != b"little":
        raise ValueError("written on a machine with another order of bytes")
    storages: dict[str, Storage] = {}

    def storage_of(key: object) -> object:
        name, dtype, count, _ = _storage_key(key)
        storage = _shared(storages, name, dtype, count)
        if storage.data is None:
            numbers = entries.get(f"{folder}data/{name}")
            if numbers is None or len(numbers) != count * dtype.itemsize:
                held = "nothing" if numbers is None else f"{len(numbers)} bytes"
                raise ValueError(f"storage {name[:40]!r} should have {count} numbers, the archive has {held}")
            storage.data = numbers
        return storage

    return read_pickle(entries[pickles[0]], 0, Budget(read_legacy), storage_of)[0]


def _storage_key(key: object) -> tuple[str, torch.dtype, int, object]:
    """Name, type, count and base of a storage that a persistent id stands for."""
    if not isinstance(key, tuple) or len(key) not in (5, 6) or key[0] != "storage":
        raise ValueError("a persistent object is no storage")
    _, kind, name, _, count = key[:5]
    view = key[5] if len(key) == 6 else None
    dtype = TORCH_TYPES.get(kind.name) if isinstance(kind, Name) else None
    known = isinstance(kind, Name) and kind.module in ("torch", "torch.storage", "torch.cuda")
    if dtype is None or not known:
        raise ValueError(f"a storage is of the type {kind_of(kind)}")
    if type(name) is not str or type(count) is not int or not 0 <= count < MAX_BYTES:
        raise ValueError(f"a storage has the name {kind_of(name)} and {kind_of(count)} of numbers")
    return name, dtype, count, view


def _shared(storages: dict[str, Storage], name: str, dtype: torch.dtype, count: int) -> Storage:
    storage = storages.setdefault(name, Storage(dtype, count))
    if (storage.dtype, storage.count) != (dtype, count):
        raise ValueError(f"storage {name[:40]!r} is of two types or sizes")
    if len(storages) > _MAX_STORAGES:
        raise ValueError(f"it has more than {_MAX_STORAGES} storages")
    return storage
