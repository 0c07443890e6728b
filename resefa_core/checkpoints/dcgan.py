"""DCGANs, whatever their layers are called: the generator of PyTorch's tutorial and its relatives.

They have in common a chain of transposed convolutions of 4 x 4, the first from one place, with a batch norm
after each but the last. Layers are told by their tensors' shapes and their order in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..files import DAMAGE
from ..generators.dcgan import ACTIVATIONS, OUTPUTS
from .container import Content, Tensors, Unpickled
from .registry import register_reader
from .state_dict import about_of, json_object, named_tensors
from .weights import Lazy, Weights, explained, positive

_LAYOUT = "DCGAN, a state dict"
_NORM = ("weight", "bias", "running_mean", "running_var")
_ENDS = tuple(f".{part}" for part in (*_NORM, "num_batches_tracked"))
_IMAGE_CHANNELS = (1, 3)
_MAX_LAYERS = 16
_KERNEL = 4
_MAX_RESOLUTION = 2048


def detect(content: Content) -> bool:
    """Whether the file holds a chain of transposed convolutions that ends in colours or grey."""
    if isinstance(content, Tensors) and not all(name.endswith(_ENDS) for name in content.root):
        return False
    try:
        chain = [lazy.shape for lazy in _tensors(content).values() if len(lazy.shape) == 4]
    except DAMAGE:
        return False
    return _is_chain(chain)


def _is_chain(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether convolutions `(inputs, outputs, k, k)` lead to an image, all but the first of 4 x 4."""
    return (
        2 <= len(shapes) <= _MAX_LAYERS
        and shapes[-1][1] in _IMAGE_CHANNELS
        and shapes[0][2] == shapes[0][3]
        and all(shape[2:] == (_KERNEL, _KERNEL) for shape in shapes[1:])
        and all(before[1] == after[0] for before, after in pairwise(shapes))
    )


@register_reader("DCGAN of PyTorch's tutorial and its relatives (.pth, the generator's state dict)", detect)
def read(content: Content) -> Weights:
    """The generator, with ReLU between its layers unless the metadata say otherwise.

    Raises:
        CheckpointError: other layers, or none whose activation is known.
    """
    file, about = content.file, about_of(content)
    with explained(file, "no DCGAN"):
        given = {**_by_modules(content), **_given(about.pop("init_kwargs", "{}"))}
        tensors, sizes = _named(_tensors(content))
        given.setdefault("norms_last", _norms_last(_tensors(content)))
        if not any(sizes["norms"]) and "activation" not in given:
            raise ValueError(
                "it has no batch norm, and what follows its convolutions is not known: build a DCGAN(...) "
                "with the activation that it was trained with and load its state dict, or name the "
                "activation in the metadata's init_kwargs"
            )
    return Weights(file, _LAYOUT, "dcgan", {**sizes, **given}, tensors, about)


def _tensors(content: Content) -> dict[str, Lazy]:
    """The generator's tensors in the order of its layers, without counters of batches."""
    found = named_tensors(content)
    if isinstance(content, Tensors) or all(re.match(r"(convolutions|norms)\.", name) for name in found):
        found = dict(sorted(found.items(), key=lambda item: _place(item[0])))
    return {name: lazy for name, lazy in found.items() if not name.endswith("num_batches_tracked")}


def _place(name: str) -> tuple[tuple[int, str], ...]:
    """What sorts names by the numbers in them; for our own names, each batch norm after its convolution."""
    own = re.fullmatch(r"(convolutions|norms)\.(\d{1,2})\..*", name)
    text = f"{own[2]}.{own[1]}" if own else name
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,9})", text))


def _named(tensors: Mapping[str, Lazy]) -> tuple[dict[str, Lazy], dict[str, Any]]:
    """The tensors under the names of our class, and what their shapes tell of its arguments."""
    layers: dict[str, dict[str, Lazy]] = {}
    for name, lazy in tensors.items():
        stem, _, part = name.rpartition(".")
        layers.setdefault(stem, {})[part] = lazy
    found: dict[str, Lazy] = {}
    shapes: list[tuple[int, ...]] = []
    biases: list[bool] = []
    norms: list[bool] = []
    for stem, parts in layers.items():
        if len(parts["weight"].shape) == 4 and parts.keys() <= {"weight", "bias"}:
            kind, index = "convolutions", len(shapes)
            shapes.append(parts["weight"].shape)
            biases.append("bias" in parts)
            norms.append(False)
        elif parts.keys() == set(_NORM) and shapes and not norms[-1]:
            kind, index = "norms", len(shapes) - 1
            norms[-1] = True
        else:
            raise ValueError(f"its layer {stem[:80]!r} has {str(sorted(parts))[:120]}")
        for part, lazy in parts.items():
            found[f"{kind}.{index}.{part}"] = lazy
    if not _is_chain(shapes) or norms[-1] or not 2 <= shapes[0][2] <= 16:
        raise ValueError("its convolutions do not follow each other from noise to an image")
    if shapes[0][2] << (len(shapes) - 1) > _MAX_RESOLUTION:
        raise ValueError(f"{len(shapes)} convolutions make an image larger than {_MAX_RESOLUTION} pixels")
    return found, {
        "channels": [shapes[0][0], *(shape[1] for shape in shapes)],
        "kernel": shapes[0][2],
        "biases": biases,
        "norms": norms[:-1],
    }


def _norms_last(tensors: Mapping[str, Lazy]) -> bool:
    """Whether something, the activation, comes between each convolution and its batch norm: a number is left
    out between theirs where layers are numbered in their order.

    Raises:
        ValueError: in some layers so and in others not.
    """
    gaps: set[int] = set()
    before: tuple[str, int] | None = None
    for name, lazy in tensors.items():
        stem, _, part = name.rpartition(".")
        parent, _, number = stem.rpartition(".")
        place = (parent, int(number)) if number.isdecimal() and len(number) < 6 else None
        if part == "weight" and len(lazy.shape) == 4:
            before = place
        elif part == "running_mean":
            if place is not None and before is not None and place[0] == before[0]:
                gaps.add(place[1] - before[1])
            before = None
    if not gaps <= {1} and not gaps <= {2}:
        raise ValueError("its batch norms come after the activation in some layers and before it in others")
    return gaps == {2}


def _by_modules(content: Content) -> dict[str, Any]:
    """What a pickled module says beyond its tensors: the activation, its place, and what bounds the image."""
    found: dict[str, Any] = {}
    if not isinstance(content, Unpickled):
        return found
    place, last = "", ""
    for record in content.modules:
        kind = record.origin.name
        if kind in ("ReLU", "LeakyReLU"):
            found["activation"] = "relu" if kind == "ReLU" else "leaky_relu"
            if kind == "LeakyReLU" and isinstance(record.state, dict):
                found["slope"] = positive("slope", record.state.get("negative_slope"))
        if kind == "BatchNorm2d":
            found["norms_last"] = place in ("ReLU", "LeakyReLU")
        place = kind
        last = kind if kind in ("Tanh", "Sigmoid", "ConvTranspose2d") else last
    if last in ("Tanh", "Sigmoid"):
        found["output"] = last.lower()
    return found


def _given(text: str) -> dict[str, Any]:
    """The arguments that shapes do not tell, of a file's metadata."""
    given = json_object(text)
    chosen: dict[str, Any] = {}
    if "activation" in given:
        if given["activation"] not in ACTIVATIONS:
            raise ValueError(f"its activation is not one of {', '.join(ACTIVATIONS)}")
        chosen["activation"] = given["activation"]
    if "output" in given:
        if given["output"] not in OUTPUTS:
            raise ValueError(f"its output is not one of {', '.join(OUTPUTS)}")
        chosen["output"] = given["output"]
    if "norms_last" in given:
        if type(given["norms_last"]) is not bool:
            raise ValueError("its norms_last is neither true nor false")
        chosen["norms_last"] = given["norms_last"]
    if "num_classes" in given:
        if type(given["num_classes"]) is not int or not 0 <= given["num_classes"] < 1 << 16:
            raise ValueError("its num_classes is no number of classes")
        chosen["num_classes"] = given["num_classes"]
    for name in ("slope", "eps"):
        if name in given:
            chosen[name] = positive(name, given[name])
    noise_range = given.get("noise_range")
    if noise_range is not None:
        low, high = noise_range
        if not -1e6 < low < high < 1e6:
            raise ValueError("its noise_range is no range")
        chosen["noise_range"] = (float(low), float(high))
    return chosen
