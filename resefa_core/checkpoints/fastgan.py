"""FastGAN as Projected GAN trains it by default: a pickled network, or its state dict.

Noise maps are drawn anew for each image there and kept in no file: here they are drawn from fixed seeds, one
for each convolution in turn. Spectral norms are divided out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..latents import draw_noise
from .container import Content
from .registry import register_reader
from .spectral import without_torch_norms
from .state_dict import Change, Rule, about_of, has_names, named_tensors, renamed, spelled
from .weights import Lazy, Weights, explained

_LAYOUT = "Projected GAN"
_OWN = ("init.weight", "init_norm.weight", "blocks.0.0.conv.weight", "to_image.weight")
_PREFIX = "synthesis."
_MARKS = tuple(f"{_PREFIX}{name}" for name in ("init.init.1.running_mean", "to_big.bias"))
_SIDES = (8, 16, 32, 64, 128, 256, 512, 1024)
_NORM = ("weight", "bias", "running_mean", "running_var")


def detect(content: Content) -> bool:
    """Whether the tensors are named as that project names them, or as `convert` does."""
    return has_names(content.root, *_OWN) or has_names(content.root, *_MARKS)


@register_reader("FastGAN of Projected GAN (.pkl)", detect)
def read(content: Content) -> Weights:
    """The generator.

    Raises:
        CheckpointError: damaged, or a variant that is not supported.
    """
    file, about = content.file, about_of(content)
    about.pop("init_kwargs", None)
    with explained(file, f"no FastGAN of {_LAYOUT}"):
        found = named_tensors(content)
        if has_names(content.root, *_OWN):
            return Weights(file, _LAYOUT, "fastgan", _arguments(found), found, about)
        if any(name.startswith(f"{_PREFIX}embed") for name in found):
            raise ValueError("it has classes (cond=1), which are not supported")
        tensors = {
            name.removeprefix(_PREFIX): lazy
            for name, lazy in found.items()
            if name.startswith(_PREFIX) and not name.endswith("num_batches_tracked")
        }
        tensors = _used(_without_norms(tensors))
        rule = _rule("feat_8.2.running_mean" in tensors)
        tensors = renamed(tensors, rule)
        tensors.update(_drawn_noise(tensors))
        arguments = _arguments(tensors)
    return Weights(file, _LAYOUT, "fastgan", arguments, tensors, about, spelled=spelled(rule, _names()))


def _without_norms(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """The tensors without spectral norms; that of the transposed convolution is of its outputs."""
    first = "init.init.0.weight_orig"
    turned = dict(tensors)
    if first in turned and len(turned[first].shape) == 4:
        turned[first] = turned[first].then(_turned)
    found = without_torch_norms(turned)
    if first in turned and len(turned[first].shape) == 4:
        found["init.init.0.weight"] = found["init.init.0.weight"].then(_turned)
    return found


def _turned(tensor: Tensor) -> Tensor:
    return tensor.transpose(0, 1)


def _used(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """The tensors up to the resolution that the image is made of: networks of 128 pixels and less have layers
    for 256 that nothing uses.

    Raises:
        KeyError: the last convolution is missing.
        ValueError: no resolution has as many channels as the last convolution takes.
    """
    image = tensors["to_big.weight"].shape
    sides = [side for side in _SIDES if f"feat_{side}.1.weight" in tensors]
    fitting = [
        side
        for side in sides
        if side >= 128 and len(image) == 4 and tensors[f"feat_{side}.1.weight"].shape[0] == 2 * image[1]
    ]
    if not fitting:
        raise ValueError(f"its image is made of a convolution of shape {image}, and no layer gives as much")
    last = fitting[-1] if sides[-1] > 256 else fitting[0]
    return {
        name: lazy
        for name, lazy in tensors.items()
        if not (match := re.match(r"(?:feat|se)_(\d+)\.", name)) or int(match[1]) <= last
    }


def _drawn_noise(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """A map for each convolution that takes noise."""
    drawn = {}
    takers = sorted(name for name in tensors if name.endswith(".noise_strength"))
    for seed, name in enumerate(takers):
        block = int(name.split(".")[1])
        side = 8 << min(block, 8)

        def draw(seed: int = seed, side: int = side) -> Tensor:
            return draw_noise([seed], side * side).reshape(side, side)

        drawn[name.replace("_strength", "")] = Lazy((side, side), torch.float32, draw)
    return drawn


def _arguments(tensors: Mapping[str, Lazy]) -> dict[str, Any]:
    """The arguments of our class, from its tensors' shapes.

    Raises:
        ValueError, KeyError: they do not fit together.
    """
    blocks = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d{1,2})\.", name))}
    if sorted(blocks) != list(range(len(blocks))) or not 0 < len(blocks) <= len(_SIDES):
        raise ValueError(f"its blocks are {str(sorted(blocks))[:80]}")
    first, image = tensors["init.weight"].shape, tensors["to_image.weight"].shape
    if len(first) != 4 or len(image) != 4:
        raise ValueError(f"its first and last convolutions have shapes {first} and {image}")
    outputs = [tensors[f"blocks.{index}.0.conv.weight"].shape[0] // 2 for index in range(len(blocks))]
    return {
        "z_dim": first[0],
        "channels": [first[1] // 2, *outputs],
        "gates": [f"excitations.{side}.first" in tensors for side in _SIDES[3 : len(blocks)]],
        "img_channels": image[0],
        "stages": 2 if "blocks.0.1.conv.weight" in tensors else 1,
    }


def _rule(light: bool) -> Rule:
    """The names of the layers of a block: convolution, noise and batch norm, twice; in the light form
    convolution and batch norm."""
    parts = {1: ("0.conv", ("weight",)), 2: ("0.norm", _NORM)}
    if not light:
        parts = {
            1: ("0.conv", ("weight",)),
            2: ("0.noise_strength", ("weight",)),
            3: ("0.norm", _NORM),
            5: ("1.conv", ("weight",)),
            6: ("1.noise_strength", ("weight",)),
            7: ("1.norm", _NORM),
        }

    def rule(name: str) -> tuple[str, Change | None] | None:
        if match := re.fullmatch(r"init\.init\.([01])\.(\w+)", name):
            return (f"init.{match[2]}" if match[1] == "0" else f"init_norm.{match[2]}"), None
        if match := re.fullmatch(r"to_big\.(weight|bias)", name):
            return f"to_image.{match[1]}", None
        if match := re.fullmatch(r"se_(\d{2,4})\.main\.([13])\.weight", name):
            return f"excitations.{match[1]}.{'first' if match[2] == '1' else 'second'}", None
        match = re.fullmatch(r"feat_(\d{1,4})\.([1-7])\.(\w+)", name)
        if match is None or int(match[1]) not in _SIDES or int(match[2]) not in parts:
            return None
        stem, known = parts[int(match[2])]
        new = f"blocks.{_SIDES.index(int(match[1]))}.{stem}"
        if match[3] not in known:
            return None
        return (new if stem.endswith("strength") else f"{new}.{match[3]}"), None

    return rule


def _names() -> Iterator[str]:
    """All names of such networks without their prefix."""
    yield from ("init.init.0.weight", "to_big.weight", "to_big.bias")
    yield from (f"init.init.1.{part}" for part in _NORM)
    for side in _SIDES:
        yield from (f"feat_{side}.{place}.{part}" for place in range(1, 8) for part in _NORM)
        yield from (f"se_{side}.main.{place}.weight" for place in (1, 3))
