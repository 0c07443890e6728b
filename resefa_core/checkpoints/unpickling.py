"""Pickles, read as data: nothing that a pickle names is imported, called or given attributes.

A pickle is a program for a stack machine. Python's own machine imports what the program names and
calls it; this one knows no callable at all. A global becomes a `Name`. Calling a name that is in
`_BUILDERS`, a fixed table, makes a dictionary, a number or the description of a tensor; calling
anything else makes a `Record` of the call. Source code inside a pickle stays text.

Bytes stay where the file has them (views of one buffer), so that a description costs no memory.
Tensors are made from descriptions later, after their shapes and strides were checked against the
bytes that there are.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

MAX_STEPS = 500_000
MAX_TEXT_BYTES = 16 << 20
MAX_LINE_BYTES = 64 << 10
MAX_INTEGER_BYTES = 64
MAX_DIMENSIONS = 16
MAX_NESTING = 2
_MAX_ARGUMENTS = 16
_MAX_CODE = 16
_COPIED_BYTES = 64
_MAX_KEY = 1 << 53
_MAX_KEY_LENGTH = 16

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
_TORCH_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in TORCH_TYPES.values()}
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
        """The tensor, on the file's own bytes where they are aligned; raises what `check` raises."""
        self.check()
        data = self.storage.data
        assert data is not None
        if math.prod(self.shape) == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        whole = len(data) // self.dtype.itemsize * self.dtype.itemsize
        return _numbers(data[:whole], self.dtype).as_strided(self.shape, self.strides, self.offset)


@dataclass(eq=False)
class StoredType:
    """A numpy dtype: a code like `f4`, and whether its bytes are swapped."""

    code: str
    order: str = "<"


@dataclass(eq=False)
class StoredArray:
    """A numpy array's description, checked by `tensor`."""

    shape: tuple[int, ...] = ()
    kind: StoredType | None = None
    by_columns: bool = False
    data: memoryview | None = None

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
        data = memoryview(b"") if self.data is None else self.data
        if len(data) == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        flat = _numbers(data, self.dtype)
        if self.by_columns:
            return flat.reshape(self.shape[::-1]).permute(*reversed(range(len(self.shape))))
        return flat.reshape(self.shape)


def _numbers(data: memoryview, dtype: torch.dtype) -> Tensor:
    raw = torch.frombuffer(bytearray(data) if data.readonly else data, dtype=torch.uint8)
    if raw.data_ptr() % dtype.itemsize:
        raw = raw.clone()
    if dtype == torch.bool:
        return raw != 0
    return raw.view(dtype)


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


StorageOf = Callable[[object], object]


def read_pickle(
    data: memoryview, start: int = 0, budget: Budget | None = None, storage_of: StorageOf | None = None
) -> tuple[object, int]:
    """Read one pickle.

    Args:
        data: a buffer that holds it.
        start: where it begins.
        budget: what it may use up; a fresh one by default.
        storage_of: what a persistent id stands for; without it, an unknown object.

    Returns:
        What it describes, of `None`, numbers, text, bytes (long ones as `memoryview`), lists, tuples,
        dictionaries, sets and this module's classes; and where it ends. May be cyclic.

    Raises:
        ValueError: damaged, too large, or an instruction with operands it can't have.
    """
    machine = _Machine(data, start, Budget() if budget is None else budget, storage_of)
    return machine.run(), machine.position


class _Machine:
    def __init__(self, data: memoryview, start: int, budget: Budget, storage_of: StorageOf | None) -> None:
        self.data = data
        self.position = start
        self.budget = budget
        self.storage_of = storage_of
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        data, size, operations, budget = self.data, len(self.data), _OPERATIONS, self.budget
        while True:
            if self.position >= size:
                raise ValueError("it ends in the middle")
            code = data[self.position]
            self.position += 1
            if code == _STOP:
                return self.pop()
            budget.steps -= 1
            if budget.steps < 0:
                budget.spend()
            operation = operations.get(code)
            if operation is None:
                raise ValueError(f"it has the unknown instruction {code:#04x}")
            operation(self)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("an instruction lacks its operand")
        return self.stack.pop()

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("an instruction lacks its operand")
        return self.stack[-1]

    def push(self, value: object) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise ValueError("an instruction lacks its mark")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise ValueError("it ends in the middle")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        return self.raw_line().decode("utf-8")

    def raw_line(self) -> bytes:
        size, end = 64, -1
        while end < 0:
            window = bytes(self.data[self.position : self.position + size])
            end = window.find(b"\n")
            if end < 0 and (len(window) < size or size >= MAX_LINE_BYTES):
                raise ValueError("a line of it does not end")
            size *= 4
        self.position += end + 1
        self.budget.spend(text=end)
        return window[:end]

    def text(self, layout: str) -> str:
        count = self.number(layout)
        self.budget.spend(text=count)
        return str(self.take(count), "utf-8", "surrogatepass")

    def buffer(self, layout: str) -> bytes | memoryview:
        taken = self.take(self.number(layout))
        return bytes(taken) if len(taken) <= _COPIED_BYTES else taken

    def integer(self, count: int) -> int:
        if count > MAX_INTEGER_BYTES:
            raise ValueError(f"it has a whole number of {count} bytes")
        return int.from_bytes(self.take(count), "little", signed=True)

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"it refers to the value {index}, which it has not made")
        self.push(self.memo[index])

    def remember(self, index: int) -> None:
        if not 0 <= index < 1 << 32:
            raise ValueError(f"it numbers a value {str(index)[:40]}")
        self.memo[index] = self.top()

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Record):
            target.items.extend(values)
        elif type(target) is list:
            target.extend(values)
        else:
            raise ValueError(f"it appends to {kind_of(target)}")

    def insert(self, values: list[Any]) -> None:
        target = self.top()
        entries = target.entries if isinstance(target, Record) else target
        if type(entries) is not dict or len(values) % 2:
            raise ValueError(f"it sets items of {kind_of(target)}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            entries[_key(key)] = value

    def add(self, values: list[Any]) -> None:
        target = self.top()
        if type(target) is not set:
            raise ValueError(f"it adds to {kind_of(target)}")
        target.update(_key(value) for value in values)

    def call(self, function: object, arguments: object, options: object = None) -> None:
        if type(arguments) is not tuple:
            raise ValueError(f"it calls with {kind_of(arguments)}")
        origin = function.origin if isinstance(function, Record) else function
        if not isinstance(origin, Name):
            raise ValueError(f"it calls {kind_of(function)}")
        builder = _BUILDERS.get((origin.module, origin.name)) if function is origin else None
        if builder is None:
            self.push(Record(origin, arguments, options))
        elif len(arguments) > _MAX_ARGUMENTS:
            raise ValueError(f"it calls {origin} with {len(arguments)} arguments")
        else:
            self.push(builder(self.budget, *arguments))

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if isinstance(target, Record):
            target.state = state
        elif isinstance(target, StoredArray):
            _set_array(target, state)
        elif isinstance(target, StoredType):
            if type(state) is tuple and len(state) > 1 and type(state[1]) is str:
                target.order = state[1]
        elif not isinstance(target, (dict, list, set, StoredTensor, Storage)):
            raise ValueError(f"it sets the state of {kind_of(target)}")

    def name(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError("it names a global otherwise than by text")
        self.push(Name(module, name))

    def persistent(self, key: object) -> None:
        if self.storage_of is None:
            self.push(Record(Name("", "persistent object")))
        else:
            self.push(self.storage_of(key))


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


def _key(value: Any) -> Any:
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
        made[_key(pair[0])] = pair[1]
    return made


def _set(budget: Budget, values: object = ()) -> set[object]:
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"a set of {kind_of(values)}")
    budget.spend(steps=len(values))
    return {_key(value) for value in values}


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
    try:
        return budget.read_nested(memoryview(data), budget)
    finally:
        budget.nesting += 1


def _dtype(_: Budget, code: object, *rest: object) -> StoredType:
    text = _text(code)
    if len(text) > _MAX_CODE:
        raise ValueError("a numpy type has a long name")
    return StoredType(text[1:], text[0]) if text[:1] in ("<", ">", "|", "=") else StoredType(text)


def _empty_array(_: Budget, *rest: object) -> StoredArray:
    return StoredArray()


def _set_array(array: StoredArray, state: object) -> None:
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


def _scalar(_: Budget, kind: object, data: object = b"") -> object:
    if not isinstance(kind, StoredType) or not isinstance(data, (bytes, memoryview)):
        return Record(Name("numpy", "scalar"))
    try:
        return StoredArray((), kind, False, memoryview(data)).tensor().item()
    except ValueError:
        return Record(Name("numpy", "scalar"))


Builder = Callable[..., object]
_BUILDERS: dict[tuple[str, str], Builder] = {
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


def _mark(machine: _Machine) -> None:
    machine.marks.append(len(machine.stack))


def _pop(machine: _Machine) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop()


def _boolean_or_integer(machine: _Machine) -> None:
    line = machine.line()
    if line in ("00", "01"):
        machine.push(line == "01")
    else:
        machine.push(_parsed(line))


def _parsed(line: str) -> int:
    digits = line.removesuffix("L").strip()
    if len(digits) > 2 * MAX_INTEGER_BYTES:
        raise ValueError(f"it has a whole number of {len(digits)} digits")
    return int(digits)


def _quoted(machine: _Machine) -> None:
    line = machine.line().strip()
    if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"":
        raise ValueError("a text is not quoted")
    machine.push(line[1:-1])


def _escaped(machine: _Machine) -> None:
    machine.push(machine.raw_line().decode("raw-unicode-escape"))


def _small_tuple(count: int) -> Callable[[_Machine], None]:
    def operation(machine: _Machine) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(values)))

    return operation


def _instance(machine: _Machine) -> None:
    name = Name(machine.line(), machine.line())
    machine.call(name, tuple(machine.since_mark()))


def _object(machine: _Machine) -> None:
    values = machine.since_mark()
    if not values:
        raise ValueError("it makes an object of nothing")
    machine.call(values[0], tuple(values[1:]))


def _reduce(machine: _Machine) -> None:
    arguments = machine.pop()
    machine.call(machine.pop(), arguments)


def _new_object(machine: _Machine) -> None:
    options = machine.pop()
    arguments = machine.pop()
    machine.call(machine.pop(), arguments, options)


def _stack_global(machine: _Machine) -> None:
    name = machine.pop()
    machine.name(machine.pop(), name)


def _set_item(machine: _Machine) -> None:
    value = machine.pop()
    machine.insert([machine.pop(), value])


def _refuse_extension(machine: _Machine) -> None:
    raise ValueError("it uses the registry of extensions")


def _refuse_buffer(machine: _Machine) -> None:
    raise ValueError("it refers to buffers outside the file")


def _frame(machine: _Machine) -> None:
    machine.number("<Q")


def _protocol(machine: _Machine) -> None:
    version = machine.number("<B")
    if version > 5:
        raise ValueError(f"it is of protocol {version}; those up to 5 are known")


def _dictionary_of(machine: _Machine) -> None:
    values = machine.since_mark()
    machine.push({})
    machine.insert(values)


def _frozen_set(machine: _Machine) -> None:
    machine.push(frozenset(_key(value) for value in machine.since_mark()))


_STOP = ord(".")
_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    ord("("): _mark,
    ord("0"): _pop,
    ord("1"): lambda m: m.since_mark().clear(),
    ord("2"): lambda m: m.push(m.top()),
    ord("F"): lambda m: m.push(float(m.line())),
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("I"): _boolean_or_integer,
    ord("L"): lambda m: m.push(_parsed(m.line())),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    ord("N"): lambda m: m.push(None),
    ord("P"): lambda m: m.persistent(m.line()),
    ord("Q"): lambda m: m.persistent(m.pop()),
    ord("R"): _reduce,
    ord("S"): _quoted,
    ord("T"): lambda m: m.push(m.buffer("<i")),
    ord("U"): lambda m: m.push(m.buffer("<B")),
    ord("V"): _escaped,
    ord("X"): lambda m: m.push(m.text("<I")),
    ord("a"): lambda m: m.append([m.pop()]),
    ord("b"): lambda m: m.build(),
    ord("c"): lambda m: m.name(m.line(), m.line()),
    ord("d"): _dictionary_of,
    ord("}"): lambda m: m.push({}),
    ord("e"): lambda m: m.append(m.since_mark()),
    ord("g"): lambda m: m.recall(_parsed(m.line())),
    ord("h"): lambda m: m.recall(m.number("<B")),
    ord("j"): lambda m: m.recall(m.number("<I")),
    ord("i"): _instance,
    ord("l"): lambda m: m.push(m.since_mark()),
    ord("]"): lambda m: m.push([]),
    ord("o"): _object,
    ord("p"): lambda m: m.remember(_parsed(m.line())),
    ord("q"): lambda m: m.remember(m.number("<B")),
    ord("r"): lambda m: m.remember(m.number("<I")),
    ord("s"): _set_item,
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    ord(")"): lambda m: m.push(()),
    ord("u"): lambda m: m.insert(m.since_mark()),
    ord("B"): lambda m: m.push(m.buffer("<I")),
    ord("C"): lambda m: m.push(m.buffer("<B")),
    0x80: _protocol,
    0x81: _reduce,
    0x82: _refuse_extension,
    0x83: _refuse_extension,
    0x84: _refuse_extension,
    0x85: _small_tuple(1),
    0x86: _small_tuple(2),
    0x87: _small_tuple(3),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    0x8A: lambda m: m.push(m.integer(m.number("<B"))),
    0x8B: lambda m: m.push(m.integer(m.number("<i"))),
    0x8C: lambda m: m.push(m.text("<B")),
    0x8D: lambda m: m.push(m.text("<Q")),
    0x8E: lambda m: m.push(m.buffer("<Q")),
    0x8F: lambda m: m.push(set()),
    0x90: lambda m: m.add(m.since_mark()),
    0x91: _frozen_set,
    0x92: _new_object,
    0x93: _stack_global,
    0x94: lambda m: m.remember(len(m.memo)),
    0x95: _frame,
    0x96: lambda m: m.push(m.buffer("<Q")),
    0x97: _refuse_buffer,
    0x98: _refuse_buffer,
}
