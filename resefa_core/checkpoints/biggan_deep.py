"""BigGAN-deep as Hugging Face published it: `config.json` beside `pytorch_model.bin`, or safetensors.

The weights tell all sizes. What they do not tell is which blocks double the image's size and the batch
norms' epsilon: `config.json` beside the file does, or the metadata of a file that `convert` wrote. Without
either, they are taken to be the published ones: every second block, and 1e-4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from ..files import read_bytes
from .container import Content
from .registry import register_reader
from .spectral import without_torch_norms
from .state_dict import about_of, has_names, json_object, named_tensors, renamed
from .weights import Lazy, Weights, explained, positive

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_LAYOUT = "Hugging Face's pytorch-pretrained-BigGAN"
_MARKS = ("embeddings.weight", "generator.gen_z.bias", "generator.layers.0.bn_0.running_means")
_MAX_CONFIG_BYTES = 1 << 16
_MAX_LAYERS = 64
_KNOWN = {
    "output_dim",
    "z_dim",
    "class_embed_dim",
    "channel_width",
    "num_classes",
    "layers",
    "attention_layer_position",
    "eps",
    "n_stats",
}
_COLOURS = 3


def detect(content: Content) -> bool:
    """Whether the file's tensors are named as that project names them."""
    return has_names(content.root, *_MARKS)


@register_reader(
    "BigGAN-deep of Hugging Face (pytorch_model.bin or model.safetensors, with config.json)", detect
)
def read(content: Content) -> Weights:
    """The generator, its spectral norms divided out of its weights.

    Raises:
        CheckpointError: damaged, or a configuration that is not supported or not that of the tensors.
    """
    file = content.file
    about = about_of(content)
    beside = file.parent / CONFIG
    named = file.parent.name if file.name in WEIGHTS and not about else ""
    with explained(file, f"no BigGAN-deep of {_LAYOUT}"):
        if "init_kwargs" in about:
            given = _parsed(about.pop("init_kwargs"))
        elif beside.is_file():
            given = _parsed(read_bytes(beside, CheckpointError, _MAX_CONFIG_BYTES).decode("utf-8"))
        else:
            given = {}
        tensors = renamed(without_torch_norms(named_tensors(content)), _rule)
        arguments = _arguments(tensors, given)
    return Weights(file, _LAYOUT, "biggan-deep", arguments, tensors, about, named)


def _parsed(text: str) -> dict[str, Any]:
    given = json_object(text, CONFIG)
    unknown = sorted(given.keys() - _KNOWN)
    if unknown:
        raise ValueError(f"its {CONFIG} has {str(unknown[:4])[:200]}, which is not known here")
    return given


def _rule(name: str) -> tuple[str, Any]:
    name = re.sub(r"\.snconv1x1_(?:(theta|phi|g)|(o)_conv)\.", lambda m: f".{m[1] or m[2]}.", name)
    if name.startswith("generator.conv_to_rgb."):
        return name, lambda tensor: tensor[:_COLOURS]
    return name, None


def _arguments(tensors: Mapping[str, Lazy], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our class: sizes by the tensors, which must be those that the configuration says."""
    z_dim, num_classes = tensors["embeddings.weight"].shape
    n_stats = tensors["generator.bn.running_means"].shape[0]
    indices = {int(m[1]) for name in tensors if (m := re.match(r"generator\.layers\.(\d{1,3})\.", name))}
    if sorted(indices) != list(range(len(indices))) or not 0 < len(indices) <= _MAX_LAYERS:
        raise ValueError(f"its layers are {str(sorted(indices))[:80]}")
    attention = -1
    shapes: list[tuple[int, int]] = []
    for index in sorted(indices):
        stem = f"generator.layers.{index}"
        if f"{stem}.gamma" in tensors:
            if attention >= 0:
                raise ValueError("it has self-attention in two places: one is supported")
            attention = len(shapes)
            continue
        sides = tensors[f"{stem}.conv_0.weight"].shape[1], tensors[f"{stem}.conv_3.weight"].shape[0]
        shapes.append(sides)
    unit = shapes[-1][1] if shapes else 0
    width = _unit(given.get("channel_width"), unit, shapes)
    doubling = _doubling(given.get("layers"), len(shapes))
    found: dict[str, Any] = {
        "z_dim": z_dim,
        "num_classes": num_classes,
        "channel_width": width,
        "layers": [
            [double, before // width, after // width]
            for double, (before, after) in zip(doubling, shapes, strict=True)
        ],
        "attention_layer_position": attention,
        "n_stats": n_stats,
    }
    resolution = 4 << sum(doubling)
    said = {**found, "class_embed_dim": z_dim, "output_dim": resolution}
    for name in sorted(given.keys() & said.keys()):
        if given[name] != said[name]:
            raise ValueError(
                f"its {CONFIG} says that {name} is {str(given[name])[:80]}; by its tensors "
                f"{str(said[name])[:80]}"
            )
    if not 4 < resolution <= 2048:
        raise ValueError(f"its blocks make images of {resolution} pixels")
    return {**found, "eps": positive("eps", given.get("eps", 1e-4))}


def _unit(given: object, default: int, shapes: list[tuple[int, int]]) -> int:
    """The channel width, which all numbers of channels are multiples of."""
    unit = default if given is None else given
    if type(unit) is not int or unit < 1 or any(side % unit for shape in shapes for side in shape):
        raise ValueError(f"its channels are not multiples of {str(unit)[:20]}")
    return unit


def _doubling(given: object, count: int) -> list[bool]:
    """Which blocks double the image's size."""
    if given is None:
        return [index % 2 == 1 for index in range(count)]
    if not isinstance(given, list) or len(given) != count:
        raise ValueError(f"its {CONFIG} does not say what its {count} blocks are")
    flags = [layer[0] if isinstance(layer, list) and layer else None for layer in given]
    if not all(isinstance(flag, bool) for flag in flags):
        raise ValueError(f"its {CONFIG} does not say which blocks double the size")
    return [bool(flag) for flag in flags]
