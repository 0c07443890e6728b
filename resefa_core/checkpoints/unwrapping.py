"""What generators are wrapped in: dictionaries, tuples, pickled modules and prefixes of names.

One rule for all projects. Every part of a file that could be a generator is shown to the readers: the whole,
what stands under a key or in a tuple, a pickled module as its tensors, and of tensors' names that begin alike
what follows. Of the parts that a reader detects, averaged weights come first, then those that are wrapped
least; of a tuple the last, as projects put the averaged generator there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..files.described import Record, StoredArray, StoredTensor
from .closed import closed_architecture
from .container import Content, Unpickled
from .registry import READERS, Reader

_AVERAGED = re.compile(r"ema|avg|averag|smooth")
_COMPILED = "_orig_mod"
_PARALLEL = "module."
_MAX_PARTS = 512
_MAX_DEPTH = 5
_MAX_MODULES = 10_000
_MAX_MODULE_DEPTH = 12
_LEAST_TENSORS = 4


@dataclass(frozen=True)
class Found:
    """A part of a file that a reader detects.

    Attributes:
        reader: the reader.
        content: the file, with that part as its root.
        others: the places of further parts that are detected.
    """

    reader: Reader
    content: Content
    others: tuple[str, ...] = ()


def find_generator(content: Content) -> Found | None:
    """The generator that a file holds, however it is wrapped; None where no reader detects one."""
    found = sorted(_detected(content), key=_rank)
    if not found:
        return None
    return replace(found[0], others=tuple(" / ".join(other.content.path) for other in found[1:]))


def name_closed(content: Content) -> str | None:
    """What a file holds that is known and not read, however it is wrapped; None where nothing is known."""
    return next((words for part in _parts(content) if (words := closed_architecture(part.root))), None)


def _rank(found: Found) -> tuple[bool, int]:
    path = found.content.path
    return not any(_AVERAGED.search(key.lower()) for key in path), len(path)


def _detected(content: Content) -> Iterator[Found]:
    """The parts that readers detect; not what is inside of them."""
    found: list[Found] = []

    def is_whole(part: Content) -> bool:
        reader = next((each for each in READERS if each.detect(part)), None)
        if reader is not None:
            found.append(Found(reader, part))
        return reader is not None

    for _ in _parts(content, is_whole):
        pass
    return iter(found)


def _parts(content: Content, is_whole: Callable[[Content], bool] = lambda part: False) -> Iterator[Content]:
    """The parts of a file, those that are wrapped least first; not what is inside of those that are whole."""
    waiting, seen = [content], 0
    while waiting and seen < _MAX_PARTS:
        part = _plain(waiting.pop(0))
        seen += 1
        yield part
        if not is_whole(part) and len(part.path) < _MAX_DEPTH:
            around = (part.root, *part.around)
            waiting += [
                replace(part, root=root, path=(*part.path, key), around=around)
                for key, root in _inside(part.root)
            ]


def _inside(root: object) -> Iterator[tuple[str, Any]]:
    """What stands under the keys of a dictionary or in a tuple, with what its place is called. Names are only
    taken apart where all that have a dot are tensors', as in a state dict."""
    if isinstance(root, (tuple, list)):
        wrapped = [(str(index), value) for index, value in enumerate(root[:8])]
        yield from ((key, value) for key, value in reversed(wrapped) if _may_hold_one(value))
    if not isinstance(root, dict):
        return
    groups: dict[str, dict[str, object]] = {}
    whole = True
    for key, value in root.items():
        if not isinstance(key, str):
            continue
        head, _, rest = key.partition(".")
        if isinstance(value, (StoredTensor, StoredArray)):
            if rest:
                groups.setdefault(head[:80], {})[rest] = value
        elif _may_hold_one(value):
            whole = whole and not rest
            yield key[:80], value
    if whole:
        yield from ((head, group) for head, group in groups.items() if len(group) >= _LEAST_TENSORS)


def _may_hold_one(value: object) -> bool:
    return isinstance(value, (dict, tuple, list, Record)) and (isinstance(value, Record) or bool(value))


def _plain(content: Content) -> Content:
    """A pickled module as the dictionary of its tensors; names without what `torch.compile` puts into them,
    and parallel training before all; anything else, and names that would become the same, as they are."""
    root: Any = content.root
    if isinstance(content, Unpickled) and isinstance(root, Record) and _is_module(root):
        modules: list[Record] = []
        tensors: dict[Any, Any] = dict(_tensors(root, "", 0, modules))
        if tensors:
            root = tensors
            content = replace(content, root=root, modules=tuple(modules))
    if not isinstance(root, dict) or not root or not all(isinstance(key, str) for key in root):
        return content
    names = [".".join(part for part in key.split(".") if part != _COMPILED) for key in root]
    if all(name.startswith(_PARALLEL) for name in names):
        names = [name.removeprefix(_PARALLEL) for name in names]
    if len(set(names)) < len(names):
        return content
    return replace(content, root=dict(zip(names, root.values(), strict=True)))


def _is_module(value: object) -> bool:
    """Whether a value is a pickled module of PyTorch; NVIDIA's, which bring their source, are read apart."""
    return isinstance(value, Record) and isinstance(value.state, dict) and "_modules" in value.state


def _tensors(module: Record, path: str, depth: int, modules: list[Record]) -> Iterator[tuple[str, object]]:
    """A pickled module's state dict; `modules` gets it and all in it. What is neither a tensor nor a module
    is left out, as there."""
    modules.append(module)
    state = module.state
    if depth > _MAX_MODULE_DEPTH or len(modules) > _MAX_MODULES or not isinstance(state, dict):
        return
    passing = state.get("_non_persistent_buffers_set")
    for kind in ("_parameters", "_buffers"):
        part = state.get(kind)
        for name, value in part.items() if isinstance(part, dict) else ():
            kept = not isinstance(passing, (set, frozenset)) or name not in passing
            if isinstance(name, str) and kept and isinstance(value, (StoredTensor, StoredArray)):
                yield path + name[:120], value
    children = state.get("_modules")
    for name, child in children.items() if isinstance(children, dict) else ():
        if isinstance(name, str) and isinstance(child, Record) and _is_module(child):
            yield from _tensors(child, f"{path}{name[:80]}.", depth + 1, modules)
