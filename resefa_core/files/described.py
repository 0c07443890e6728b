"""What a file's pickle describes: names, records, and tensors and arrays whose numbers are still in the file.

Tensors are made from descriptions later, after their shapes and strides were checked against the bytes
that there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

TORCH_TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_NUMPY_TYPES = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}


@dataclass(frozen=True)
class Name:
    """A global that a pickle refers to: two words, nothing imported."""

    module: str
    name: str

    def __str__(self) -> str:
        text = f"{self.module}.{self.name}"
        return text if text.isprintable() and len(text) <= 120 else repr(text[:120])


@dataclass(eq=False, slots=True)
class Record:
    """An object of a class that is not known here: what it would have been made from."""

    origin: Name
    arguments: object = ()
    state: object = None
    items: list[object] = field(default_factory=list)
    entries: dict[object, object] = field(default_factory=dict)


@dataclass(eq=False)
class Storage:
    """Numbers of one type in a row; the bytes may become known after the storage was referred to."""

    dtype: torch.dtype
    count: int
    data: memoryview | None = None


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor's description, checked by `tensor`."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    def check(self) -> None:
        """Raise ValueError if it reaches beyond its storage, or is larger than that."""
        data = self.storage.data
        if data is None:
            raise ValueError("a tensor's numbers are missing")
        available = len(data) // self.dtype.itemsize
        elements = math.prod(self.shape)
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if elements > available or (elements and last >= available):
            raise ValueError(
                f"a tensor of shape {self.shape} at {self.offset} does not fit into its {available} numbers"
            )

    def tensor(self) -> Tensor:
        """The tensor, on the file's own bytes where they are aligned, else a copy of its own numbers alone,
        whatever the storage has beside them; raises what `check` raises."""
        self.check()
        data = self.storage.data
        assert data is not None
        if math.prod(self.shape) == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        return _numbers(data, self.dtype, self.shape, self.strides, self.offset)


@dataclass(eq=False)
class StoredType:
    """A numpy dtype: a code like `f4`, and whether its bytes are swapped."""

    code: str
    order: str = "<"


@dataclass(eq=False)
class StoredArray:
    """A numpy array's description, checked by `tensor`; an array of Python objects has these instead of
    numbers."""

    shape: tuple[int, ...] = ()
    kind: StoredType | None = None
    by_columns: bool = False
    data: memoryview | None = None
    objects: list[object] = field(default_factory=list)

    @property
    def dtype(self) -> torch.dtype:
        code = "?" if self.kind is None else self.kind.code
        if code not in _NUMPY_TYPES or self.kind is None or self.kind.order not in "<|=":
            raise ValueError(f"a numpy array of type {code[:40]!r} is not supported")
        return _NUMPY_TYPES[code]

    def check(self) -> None:
        """Raise ValueError if it is not of plain numbers, or its shape does not fit its bytes."""
        count = 0 if self.data is None else len(self.data)
        if math.prod(self.shape) * self.dtype.itemsize != count:
            raise ValueError(f"an array of shape {self.shape} does not fit its {count} bytes")

    def tensor(self) -> Tensor:
        """The array as a tensor; raises what `check` raises."""
        self.check()
        if self.data is None or len(self.data) == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        sides = self.shape[::-1] if self.by_columns else self.shape
        array = _numbers(self.data, self.dtype, sides, row_strides(sides))
        return array.permute(*reversed(range(array.ndim))) if self.by_columns else array


def row_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a tensor whose numbers lie in a row.

    Example:
        >>> row_strides((2, 3, 4))
        (12, 4, 1)
    """
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _numbers(
    data: memoryview, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int], offset: int = 0
) -> Tensor:
    """Numbers of a buffer that has them, in a shape of at least one number, by strides in numbers."""
    size, stored = dtype.itemsize, torch.uint8 if dtype == torch.bool else dtype
    raw = torch.frombuffer(bytearray(data) if data.readonly else data, dtype=torch.uint8)
    if raw.data_ptr() % size:
        steps = [size * stride for stride in strides]
        numbers = raw.as_strided((*shape, size), (*steps, 1), size * offset).contiguous()
        numbers = numbers.flatten().view(stored).reshape(tuple(shape))
    else:
        whole = raw[: len(raw) // size * size].view(stored)
        numbers = whole.as_strided(tuple(shape), tuple(strides), offset)
    return numbers != 0 if dtype == torch.bool else numbers


def kind_of(value: object) -> str:
    """What a value is, in a few words, without looking into it."""
    if isinstance(value, (Name, Record)):
        return f"{value.origin if isinstance(value, Record) else value}"
    if value is None or isinstance(value, (bool, int, float)):
        return f"the value {str(value)[:40]}" if not isinstance(value, int) else "a whole number"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    words: dict[type, str] = {
        dict: "a dictionary",
        list: "a list",
        tuple: "a tuple",
        set: "a set",
        frozenset: "a set",
    }
    if isinstance(value, (StoredTensor, StoredArray)):
        return "a tensor"
    return words.get(type(value), "bytes" if isinstance(value, (bytes, memoryview)) else "an object")


def said(value: object) -> str:
    """A text that the file says, cut short; of anything else, what it is."""
    return value[:80] if type(value) is str else kind_of(value)
