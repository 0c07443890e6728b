"""PGGAN as genforce publishes it (`generator_smooth`), and as pytorch_GAN_zoo does (`avgG`, `netG`).

The latter scales its biases with its weights, and its colours by another gain: both are brought to genforce's
form. Of the colours of each resolution only the last one's are used by a generator that is fully grown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .container import Content
from .registry import register_reader
from .state_dict import about_of, has_names, named_tensors
from .weights import Lazy, Weights, explained

_GENFORCE, _ZOO = "genforce", "pytorch_GAN_zoo"
_MARKS = ("layer0.weight", "layer1.weight", "layer1.bias")
_ZOO_MARKS = ("formatLayer.module.weight", "groupScale0.0.module.weight", "toRGBLayers.0.module.weight")
_MAX_STEPS = 10


def detect(content: Content) -> bool:
    """Whether the tensors are named as one of these projects names them, or as `convert` does."""
    return has_names(content.root, *_ZOO_MARKS) or has_names(content.root, *_MARKS)


@register_reader(
    "PGGAN of genforce (.pth with generator_smooth) or pytorch_GAN_zoo (.pth with avgG or netG)", detect
)
def read(content: Content) -> Weights:
    """The generator.

    Raises:
        CheckpointError: damaged, half grown, or a variant that is not supported.
    """
    file, about = content.file, about_of(content)
    layout = _ZOO if has_names(content.root, *_ZOO_MARKS) else _GENFORCE
    with explained(file, f"no PGGAN of {layout}"):
        given = json.loads(about.pop("init_kwargs", "{}"))
        tensors = named_tensors(content)
        if layout == _ZOO:
            tensors = _from_zoo(tensors)
        elif "output.weight" not in tensors:
            tensors = _grown(tensors)
        arguments = _arguments(tensors, given)
    return Weights(file, layout, "pggan", arguments, tensors, about)


def _grown(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """genforce's tensors with the last colours alone."""
    if "lod" in tensors:
        if math.prod(tensors["lod"].shape) != 1:
            raise ValueError(f"lod has shape {tensors['lod'].shape}")
        if float(tensors["lod"].read()) != 0.0:
            raise ValueError("it is half grown (its level of detail is not 0): fully grown ones are read")
    steps = _count(tensors, r"layer(\d{1,3})\.weight") // 2
    found = {name: lazy for name, lazy in tensors.items() if name.startswith("layer")}
    for part in ("weight", "bias"):
        found[f"output.{part}"] = tensors[f"output{steps - 1}.{part}"]
    return found


def _from_zoo(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """pytorch_GAN_zoo's tensors as genforce's."""
    steps = 1 + _count(tensors, r"scaleLayers\.(\d{1,3})\.0\.module\.weight")
    first, start = tensors["formatLayer.module.weight"], tensors["formatLayer.module.bias"]
    if len(first.shape) != 2 or first.shape[0] % 16 or start.shape != first.shape[:1]:
        raise ValueError(f"formatLayer has weights of shape {first.shape} and biases of {start.shape}")
    width, z_dim = first.shape[0] // 16, first.shape[1]

    def unfolded(tensor: Tensor) -> Tensor:
        return (4.0 * tensor).reshape(width, 4, 4, z_dim).permute(0, 3, 1, 2).flip(2, 3)

    if 0 in first.shape:
        raise ValueError(f"formatLayer has weights of shape {first.shape}")
    found = {"layer0.weight": first.then(unfolded)}
    names = {"layer1": "groupScale0.0.module", "output": f"toRGBLayers.{steps - 1}.module"}
    for index in range(1, steps):
        for part in range(2):
            names[f"layer{2 * index + part}"] = f"scaleLayers.{index - 1}.{part}.module"
    for name, source in names.items():
        weight, bias = tensors[f"{source}.weight"], tensors[f"{source}.bias"]
        if len(weight.shape) != 4 or 0 in weight.shape:
            raise ValueError(f"{source}.weight has shape {weight.shape}")
        gain = math.sqrt(2.0 / math.prod(weight.shape[1:]))
        found[f"{name}.weight"] = weight.then(_times(math.sqrt(2.0))) if name == "output" else weight
        found[f"{name}.bias"] = bias.then(_times(gain))
    bias_gain = math.sqrt(2.0 / max(z_dim, 1))
    found["layer0.bias"] = start.then(lambda tensor: bias_gain * tensor.reshape(width, 4, 4))
    return found


def _times(factor: float) -> Any:
    def change(tensor: Tensor) -> Tensor:
        return tensor * factor

    return change


def _count(tensors: Mapping[str, Lazy], pattern: str) -> int:
    """How many names of a pattern there are, which must count from 0.

    Raises:
        ValueError: some are missing, or they are too many.
    """
    indices = sorted(int(m[1]) for name in tensors if (m := re.fullmatch(pattern, name)))
    if indices != list(range(len(indices))) or len(indices) > 2 * _MAX_STEPS:
        raise ValueError(f"its layers are {str(indices)[:80]}")
    return len(indices)


def _arguments(tensors: Mapping[str, Lazy], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our class, from the tensors' shapes.

    Whether sizes are doubled by transposed convolutions shows in the order of a weight's sides where they
    differ. Where none do, they are taken not to be.

    Raises:
        ValueError, KeyError: they do not fit together.
    """
    count = _count(tensors, r"layer(\d{1,3})\.weight")
    if count < 2 or count % 2 or count > 2 * _MAX_STEPS:
        raise ValueError(f"it has {count} layers: expected two for each of up to {_MAX_STEPS} resolutions")
    channels = [tensors[f"layer{index}.weight"].shape[0] for index in range(1, count, 2)]
    fused = False
    for index in range(1, count // 2):
        if channels[index] != channels[index - 1]:
            fused = tensors[f"layer{2 * index}.weight"].shape[0] == channels[index - 1]
    final_tanh, said = given.get("final_tanh", False), given.get("fused", fused)
    if not isinstance(final_tanh, bool) or not isinstance(said, bool):
        raise ValueError("its final_tanh or fused is neither true nor false")
    return {
        "z_dim": tensors["layer0.weight"].shape[1],
        "channels": channels,
        "fused": said,
        "final_tanh": final_tanh,
        "placed_bias": len(tensors["layer0.bias"].shape) == 3,
    }
