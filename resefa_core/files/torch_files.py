"""Files of `torch.save`, read as data: the zip archive since PyTorch 1.6, and the format before it."""

from __future__ import annotations

import struct

import torch

from .calls import Budget
from .described import TORCH_TYPES, Name, Storage, kind_of
from .unpickling import read_pickle
from .zipped import read_directory

ZIP_START = b"PK\x03\x04"
PICKLE_START = b"\x80"
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_STORAGES = 100_000
_MAX_COUNT = 16 << 30


def read_torch_or_pickle(data: memoryview, max_bytes: int) -> tuple[object, bool]:
    """What a file of `torch.save` in either format describes, or a plain pickle; and whether it is PyTorch's.

    Args:
        data: the whole file. Tensors stay in it, so it must be writable memory.
        max_bytes: of all entries of an archive together.

    Raises:
        ValueError: damaged, TorchScript, or another format.
    """
    if data[:4] == ZIP_START:
        return _read_zip(data, max_bytes), True
    budget = Budget(_read_older)
    first, end = read_pickle(data, 0, budget)
    if type(first) is int and first == _MAGIC:
        return _read_older_body(data, end, budget), True
    return first, False


def _read_older(data: memoryview, budget: Budget) -> object:
    """What a file in PyTorch's format before 1.6 describes: five pickles, then the storages' numbers.

    Raises:
        ValueError: damaged, or another format.
    """
    magic, end = read_pickle(data, 0, budget)
    if type(magic) is not int or magic != _MAGIC:
        raise ValueError(f"not in PyTorch's format: it begins with {kind_of(magic)}")
    return _read_older_body(data, end, budget)


def _read_older_body(data: memoryview, start: int, budget: Budget) -> object:
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


def _read_zip(data: memoryview, max_bytes: int) -> object:
    """What a file in PyTorch's zip format describes.

    Raises:
        ValueError: damaged, compressed, or another kind of archive.
    """
    entries = read_directory(data, max_bytes)
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        found = ", ".join(repr(name[:40]) for name in sorted(entries)[:4]) or "nothing"
        raise ValueError(f"an archive that PyTorch has not written: it holds {found}")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in entries or any(name.startswith(f"{folder}code/") for name in entries):
        raise ValueError(
            "a TorchScript archive, which is a program: save the tensors alone, by torch.save of a tensor "
            "or of a module's state_dict()"
        )
    order = entries.get(f"{folder}byteorder")
    if order is not None and bytes(order.stored()[:16]) != b"little":
        raise ValueError("written on a machine with another order of bytes")
    storages: dict[str, Storage] = {}

    def storage_of(key: object) -> object:
        name, dtype, count, _ = _storage_key(key)
        storage = _shared(storages, name, dtype, count)
        if storage.data is None:
            entry = entries.get(f"{folder}data/{name}")
            numbers = None if entry is None else entry.stored()
            if numbers is None or len(numbers) != count * dtype.itemsize:
                held = "nothing" if numbers is None else f"{len(numbers)} bytes"
                raise ValueError(f"storage {name[:40]!r} should have {count} numbers, the archive has {held}")
            storage.data = numbers
        return storage

    return read_pickle(entries[pickles[0]].stored(), 0, Budget(_read_older), storage_of)[0]


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
    if type(name) is not str or type(count) is not int or not 0 <= count < _MAX_COUNT:
        raise ValueError(f"a storage has the name {kind_of(name)} and {kind_of(count)} of numbers")
    return name, dtype, count, view


def _shared(storages: dict[str, Storage], name: str, dtype: torch.dtype, count: int) -> Storage:
    storage = storages.setdefault(name, Storage(dtype, count))
    if (storage.dtype, storage.count) != (dtype, count):
        raise ValueError(f"storage {name[:40]!r} is of two types or sizes")
    if len(storages) > _MAX_STORAGES:
        raise ValueError(f"it has more than {_MAX_STORAGES} storages")
    return storage
