"""Pickles, read as data: nothing that a pickle names is imported, called or given attributes.

A pickle is a program for a stack machine. Python's own machine imports what the program names and
calls it; this one knows no callable at all. A global becomes a `Name`. Calling a name that is in
`BUILDERS`, a fixed table, makes a dictionary, a number or the description of a tensor; calling
anything else makes a `Record` of the call. Source code inside a pickle stays text.

Bytes stay where the file has them (views of one buffer), so that a description costs no memory.
Tensors are made from descriptions later, after their shapes and strides were checked against the
bytes that there are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from .calls import BUILDERS, Budget, as_key, set_array
from .described import Name, Record, Storage, StoredArray, StoredTensor, StoredType, kind_of

MAX_LINE_BYTES = 64 << 10
MAX_INTEGER_BYTES = 64
_MAX_ARGUMENTS = 16
_COPIED_BYTES = 64

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
            entries[as_key(key)] = value

    def add(self, values: list[Any]) -> None:
        target = self.top()
        if type(target) is not set:
            raise ValueError(f"it adds to {kind_of(target)}")
        target.update(as_key(value) for value in values)

    def call(self, function: object, arguments: object, options: object = None) -> None:
        if type(arguments) is not tuple:
            raise ValueError(f"it calls with {kind_of(arguments)}")
        origin = function.origin if isinstance(function, Record) else function
        if not isinstance(origin, Name):
            raise ValueError(f"it calls {kind_of(function)}")
        builder = BUILDERS.get((origin.module, origin.name)) if function is origin else None
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
            set_array(target, state)
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
    machine.push(frozenset(as_key(value) for value in machine.since_mark()))


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
