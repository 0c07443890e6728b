"""The calls that a pickle may make: a fixed table, each making a dictionary, a number or a description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .described import (
    TORCH_TYPES,
    Name,
    Record,
    Storage,
    StoredArray,
    StoredTensor,
    StoredType,
    kind_of,
)

MAX_STEPS = 500_000
MAX_TEXT_BYTES = 16 << 20
MAX_DIMENSIONS = 16
MAX_NESTING = 2
_MAX_CODE = 16
_MAX_KEY = 1 << 53
_MAX_KEY_LENGTH = 16
_TORCH_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in TORCH_TYPES.values()}


@dataclass
class Budget:
    """What is left for one file, the streams nested in it included, and how those are read."""

    read_nested: Callable[[memoryview, Budget], object] | None = None
    steps: int = MAX_STEPS
    text: int = MAX_TEXT_BYTES
    nesting: int = MAX_NESTING

    def spend(self, steps: int = 0, text: int = 0) -> None:
        """Take from what is left; raises ValueError where that is not enough."""
        self.steps -= steps
        self.text -= text
        if self.steps < 0:
            raise ValueError(f"it has more than {MAX_STEPS} instructions")
        if self.text < 0:
            raise ValueError(f"it has more than {MAX_TEXT_BYTES >> 20} MB of text")


def as_key(value: Any) -> Any:
    """A key whose hash takes a bounded time and can't be chosen to collide: numbers in tuples can be."""
    if type(value) is tuple and len(value) <= _MAX_KEY_LENGTH:
        for part in value:
            if part is not None and type(part) not in (str, bytes, Name):
                raise ValueError(f"a key is a tuple with {kind_of(part)} in it")
        return value
    if type(value) in (int, bool) and abs(value) <= _MAX_KEY:
        return value
    if value is None or type(value) in (str, bytes, Name, Record):
        return value
    raise ValueError(f"a key is {kind_of(value)}")


def _whole(value: object, least: int = 0) -> int:
    if type(value) is not int or not least <= value < 1 << 48:
        raise ValueError(f"{kind_of(value)} is no size")
    return value


def _sizes(value: object) -> tuple[int, ...]:
    if isinstance(value, (tuple, list)) and len(value) <= MAX_DIMENSIONS:
        return tuple(_whole(part) for part in value)
    raise ValueError(f"{kind_of(value)} is no shape")


def _text(value: object) -> str:
    if type(value) is bytes:
        return value.decode("ascii")
    if type(value) is not str:
        raise ValueError(f"{kind_of(value)} is no text")
    return value


def _dictionary(budget: Budget, pairs: object = ()) -> dict[object, object]:
    if not isinstance(pairs, (dict, list, tuple)):
        raise ValueError(f"a dictionary of {kind_of(pairs)}")
    budget.spend(steps=len(pairs))
    if isinstance(pairs, dict):
        return dict(pairs)
    made: dict[object, object] = {}
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValueError("a dictionary's entry is no pair")
        made[as_key(pair[0])] = pair[1]
    return made


def _set(budget: Budget, values: object = ()) -> set[object]:
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"a set of {kind_of(values)}")
    budget.spend(steps=len(values))
    return {as_key(value) for value in values}


def _size(_: Budget, values: object = ()) -> tuple[int, ...]:
    return _sizes(values)


def _encoded(budget: Budget, text: object = "", encoding: object = "latin1") -> bytes | memoryview:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError("it encodes otherwise than as latin1")
    budget.spend(text=len(text))
    return text.encode("latin-1")


def _tensor(
    _: Budget, storage: object, offset: object, shape: object, strides: object, *rest: object
) -> object:
    if not isinstance(storage, Storage):
        return Record(Name("torch", "Tensor"), (storage,))
    dtype = storage.dtype
    if len(rest) > 2 and isinstance(rest[2], Name):
        dtype = _TORCH_DTYPES.get(rest[2].name, dtype) if rest[2].module == "torch" else dtype
    sizes = _sizes(shape)
    steps = _sizes(strides)
    if len(sizes) != len(steps):
        raise ValueError(f"a tensor has {len(sizes)} sides and {len(steps)} strides")
    return StoredTensor(storage, _whole(offset), sizes, steps, dtype)


def _parameter(_: Budget, data: object, *rest: object) -> object:
    return data


def _nested(budget: Budget, data: object) -> object:
    if not isinstance(data, (bytes, memoryview)):
        raise ValueError(f"a storage is read from {kind_of(data)}")
    if budget.nesting < 1 or budget.read_nested is None:
        raise ValueError("files are nested in it too deeply")
    budget.nesting -= 1
    view = memoryview(data)
    try:
        return budget.read_nested(memoryview(bytearray(view)) if view.readonly else view, budget)
    finally:
        budget.nesting += 1


def _dtype(_: Budget, code: object, *rest: object) -> StoredType:
    text = _text(code)
    if len(text) > _MAX_CODE:
        raise ValueError("a numpy type has a long name")
    return StoredType(text[1:], text[0]) if text[:1] in ("<", ">", "|", "=") else StoredType(text)


def _empty_array(_: Budget, *rest: object) -> StoredArray:
    return StoredArray()


def set_array(array: StoredArray, state: object) -> None:
    if type(state) is not tuple or len(state) not in (4, 5):
        raise ValueError("a numpy array's state is not as numpy writes it")
    shape, kind, by_columns, data = state[-4:]
    _fill_array(array, data, kind, shape, bool(by_columns) if type(by_columns) in (bool, int) else False)


def _array(_: Budget, data: object, kind: object, shape: object, order: object = "C") -> StoredArray:
    array = StoredArray()
    _fill_array(array, data, kind, shape, order == "F")
    return array


def _fill_array(array: StoredArray, data: object, kind: object, shape: object, by_columns: bool) -> None:
    array.shape = _sizes(shape)
    array.kind = kind if isinstance(kind, StoredType) else None
    array.by_columns = by_columns
    array.data = memoryview(data) if isinstance(data, (bytes, memoryview)) else None
    if array.data is None:
        array.kind = StoredType("objects")
        array.objects = data if type(data) is list else []


def _scalar(_: Budget, kind: object, data: object = b"") -> object:
    if not isinstance(kind, StoredType) or not isinstance(data, (bytes, memoryview)):
        return Record(Name("numpy", "scalar"))
    try:
        return StoredArray((), kind, False, memoryview(data)).tensor().item()
    except ValueError:
        return Record(Name("numpy", "scalar"))


Builder = Callable[..., object]
BUILDERS: dict[tuple[str, str], Builder] = {
    ("collections", "OrderedDict"): _dictionary,
    ("dnnlib.util", "EasyDict"): _dictionary,
    ("dnnlib", "EasyDict"): _dictionary,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch.storage", "_load_from_bytes"): _nested,
    ("_codecs", "encode"): _encoded,
    ("numpy", "dtype"): _dtype,
    **{(module, "dict"): _dictionary for module in ("builtins", "__builtin__")},
    **{(module, "set"): _set for module in ("builtins", "__builtin__")},
    **{
        (f"numpy.{core}.multiarray", name): builder
        for core in ("core", "_core")
        for name, builder in (("_reconstruct", _empty_array), ("scalar", _scalar))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array for core in ("core", "_core")},
}
