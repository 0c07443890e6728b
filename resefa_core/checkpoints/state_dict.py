"""Dictionaries of tensors under other names, and their renaming."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from ..files.described import StoredArray, StoredTensor, kind_of
from .container import Content, Tensors
from .weights import AUTHOR, LICENSE, TUNED_FROM, Lazy

Change = Callable[[Tensor], Tensor]
Rule = Callable[[str], tuple[str, Change | None] | None]
ABOUT = (
    "resefa.origin",
    "resefa.layout",
    TUNED_FROM,
    LICENSE,
    AUTHOR,
    "modelspec.title",
)


def tensors_of(value: object) -> dict[str, Lazy]:
    """The tensors of a state dict, by their names.

    Raises:
        ValueError: it is no dictionary of tensors.
    """
    if not isinstance(value, dict) or not value:
        raise ValueError(f"expected a dictionary of tensors, found {kind_of(value)}")
    if not all(isinstance(name, str) for name in value):
        raise ValueError("a tensor's name is no text")
    found = {}
    for name, tensor in value.items():
        if not isinstance(tensor, (StoredTensor, StoredArray)):
            raise ValueError(f"{name[:80]!r} is {kind_of(tensor)}, which is not known here")
        found[name] = Lazy.of(tensor, name)
    return found


def named_tensors(content: Content) -> dict[str, Lazy]:
    """The tensors of a safetensors file, or of a pickled state dict.

    Raises:
        ValueError: it is no dictionary of tensors, or damaged.
    """
    return tensors_of(content.root)


def about_of(content: Content) -> dict[str, str]:
    """What a safetensors file that `convert` wrote says of itself, and `init_kwargs`, the arguments."""
    metadata = content.metadata if isinstance(content, Tensors) else {}
    return {key: metadata[key] for key in (*ABOUT, "init_kwargs") if key in metadata}


def json_object(text: str, what: str = "init_kwargs") -> dict[str, Any]:
    """The object that a text of a file holds.

    Raises:
        ValueError: it is no JSON, holds no object, or is nested too deeply; it says what that is.
    """
    try:
        given = json.loads(text)
    except RecursionError as problem:
        raise ValueError(f"{what} is nested too deeply") from problem
    if not isinstance(given, dict):
        raise ValueError(f"{what} is no JSON object")
    return given


def has_names(value: object, *names: str) -> bool:
    """Whether a value is a dictionary with these names."""
    return isinstance(value, dict) and all(name in value for name in names)


def renamed(tensors: Mapping[str, Lazy], rule: Rule) -> dict[str, Lazy]:
    """The tensors under NVIDIA's names.

    Args:
        tensors: by their names in the file.
        rule: a name in the file to the new one and a change of layout, or to None.

    Raises:
        ValueError: a name that the rule does not know, or two that become the same.
    """
    found: dict[str, Lazy] = {}
    for name, lazy in tensors.items():
        known = rule(name)
        if known is None:
            raise ValueError(f"it has the tensor {name[:80]!r}, which this layout does not have")
        new, change = known
        if new in found:
            raise ValueError(f"it has {new[:80]!r} twice")
        found[new] = lazy if change is None else lazy.then(change)
    return found


def spelled(rule: Rule, names: Iterable[str]) -> dict[str, str]:
    """A file's names for tensors by our names, of all names that its layout has."""
    found = {}
    for name in names:
        known = rule(name)
        if known is not None:
            found[known[0]] = name
    return found


def convolution(index: int) -> str:
    """NVIDIA's name of the convolution that is the n-th from the start: two a resolution, one at 4 x 4."""
    return f"synthesis.b{4 << min((index + 1) // 2, 20)}.conv{(index + 1) % 2}"


def plane(tensor: Tensor) -> Tensor:
    """`(1, 1, H, W)` as `(H, W)`."""
    return tensor[0, 0]


def first(tensor: Tensor) -> Tensor:
    """`(1, ...)` as `(...)`."""
    return tensor[0]


def plus_one(tensor: Tensor) -> Tensor:
    """A style's bias from where 1 is added to it when it is used."""
    return tensor.clone().add_(1)
