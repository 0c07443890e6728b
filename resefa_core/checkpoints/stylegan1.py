"""StyleGAN: checkpoints of genforce, what `convert` wrote, and variables of NVIDIA's pickles for TensorFlow.

The leaky ReLU of its mapping network has no gain of its own; ours has one of the root of 2, by which weights
are multiplied there and biases are divided here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..files.described import kind_of
from .container import Content
from .registry import register_reader
from .state_dict import (
    Change,
    about_of,
    first,
    has_names,
    json_object,
    named_tensors,
    plane,
    renamed,
    spelled,
)
from .weights import Lazy, Weights, explained, positive

_LAYOUT = "genforce"
_OWN = ("mapping.fc0.weight", "synthesis.layer0.const", "synthesis.layer1.apply_noise.weight")
_GENFORCE = ("mapping.dense0.weight", *_OWN[1:])
_MAX_STEPS = 10
_UNUSED = re.compile(r"synthesis\.lod|synthesis\.layer\d{1,2}\.blur\.kernel")
_PARTS = ("weight", "bias", "style.weight", "style.bias", "apply_noise.weight", "apply_noise.noise", "const")


def detect(content: Content) -> bool:
    """Whether the tensors are named as genforce names them, or as `convert` does."""
    return has_names(content.root, *_GENFORCE) or has_names(content.root, *_OWN)


@register_reader("StyleGAN of genforce (.pth)", detect)
def read(content: Content) -> Weights:
    """The generator.

    Raises:
        CheckpointError: damaged, half grown, or a variant that is not supported.
    """
    file, about = content.file, about_of(content)
    with explained(file, f"no StyleGAN of {_LAYOUT}"):
        given = json_object(about.pop("init_kwargs", "{}"))
        tensors = named_tensors(content)
        if has_names(content.root, *_OWN):
            return Weights(file, _LAYOUT, "stylegan1", arguments_of(tensors, given), tensors, about)
        check_grown(tensors.get("synthesis.lod"))
        if "mapping.label_weight" in tensors:
            raise ValueError(
                "its classes are concatenated to the noise (LabelConcat), which is not supported"
            )
        tensors = {name: lazy for name, lazy in tensors.items() if not _UNUSED.fullmatch(name)}
        steps = _count(tensors, r"synthesis\.output(\d{1,2})\.weight")
        last = f"synthesis.output{steps - 1}."
        kept = {n: lazy for n, lazy in tensors.items() if not n.startswith("synthesis.output") or last in n}
        names = _names(steps)
        found = renamed(kept, _rule)
        arguments = arguments_of(found, given)
    return Weights(file, _LAYOUT, "stylegan1", arguments, found, about, spelled=spelled(_rule, names))


def from_tensorflow(
    variables: Mapping[str, Lazy], options: Mapping[object, object]
) -> tuple[dict[str, Any], dict[str, Lazy]]:
    """The arguments of our class and its tensors, of the variables of NVIDIA's network for TensorFlow.

    Args:
        variables: by their names, those of the two networks under `mapping/` and `synthesis/`.
        options: what the network was built with.

    Raises:
        ValueError, KeyError: half grown, a variant that is not supported, or they do not fit together.
    """
    for name, value in options.items():
        if name in _FIXED and value != _FIXED[name]:
            raise ValueError(f"its {name} is {kind_of(value)}: {_FIXED[name]!r} is supported")
    check_grown(variables.get("lod", variables.get("synthesis/lod")))
    if "mapping/LabelConcat/weight" in variables:
        raise ValueError("its classes are concatenated to the noise (LabelConcat), which is not supported")
    unused = re.compile(r"(synthesis/)?lod|synthesis/ToRGB_lod[1-9]\d?/\w+")
    kept = {name: lazy for name, lazy in variables.items() if not unused.fullmatch(name)}
    fused = options.get("fused_scale", "auto")
    given = {
        "lr_multiplier": options.get("mapping_lrmul", 0.01),
        "fused_from": {True: 1, False: 1 << 20}.get(fused, 128) if isinstance(fused, bool) else 128,
    }
    tensors = renamed(kept, _variable_rule)
    return arguments_of(tensors, given), tensors


def _variable_rule(name: str) -> tuple[str, Change | None] | None:
    if name == "dlatent_avg":
        return "mapping.w_avg", None
    if match := re.fullmatch(r"mapping/Dense(\d{1,2})/(weight|bias)", name):
        return f"mapping.fc{match[1]}.{match[2]}", without_gain if match[2] == "bias" else torch.t
    if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        return f"synthesis.layer{match[1]}.apply_noise.noise", plane
    if match := re.fullmatch(r"synthesis/ToRGB_lod0/(weight|bias)", name):
        return f"synthesis.output.{match[1]}", _kernel if match[1] == "weight" else None
    match = re.fullmatch(r"synthesis/(\d{1,4})x\1/(Const|Conv|Conv0_up|Conv1)/(.+)", name)
    if match is None or match[3] not in _VARIABLES or int(match[1]) < 4:
        return None
    index = 2 * (int(match[1]).bit_length() - 3) + (match[2] in ("Conv", "Conv1"))
    part, change = _VARIABLES[match[3]]
    return f"synthesis.layer{index}.{part}", change


def _kernel(tensor: Tensor) -> Tensor:
    """`(h, w, in, out)` as `(out, in, h, w)`."""
    return tensor.permute(3, 2, 0, 1)


_VARIABLES: dict[str, tuple[str, Change | None]] = {
    "weight": ("weight", _kernel),
    "bias": ("bias", None),
    "const": ("const", first),
    "Noise/weight": ("apply_noise.weight", None),
    "StyleMod/weight": ("style.weight", torch.t),
    "StyleMod/bias": ("style.bias", None),
}
_FIXED: dict[object, object] = {
    "use_wscale": True,
    "use_styles": True,
    "const_input_layer": True,
    "use_noise": True,
    "use_pixel_norm": False,
    "use_instance_norm": True,
    "normalize_latents": True,
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "blur_filter": [1, 2, 1],
    "label_size": 0,
}


def check_grown(lod: Lazy | None) -> None:
    """Raise ValueError where the level of detail is not that of a generator that is fully grown."""
    if lod is not None and (math.prod(lod.shape) != 1 or float(lod.read()) != 0.0):
        raise ValueError("it is half grown (its level of detail is not 0): fully grown ones are read")


def arguments_of(tensors: Mapping[str, Lazy], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of our class, from its tensors' shapes and what these do not tell.

    Raises:
        ValueError, KeyError: they do not fit together.
    """
    steps = (_count(tensors, r"synthesis\.layer(\d{1,2})\..+") + 1) // 2
    if not 1 <= steps <= _MAX_STEPS:
        raise ValueError(f"it has layers for {steps} resolutions: expected 1 to {_MAX_STEPS}")
    depth = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in tensors)
    outer = tensors["mapping.fc0.weight"].shape, tensors[f"mapping.fc{depth - 1}.weight"].shape
    fused_from, final_tanh = given.get("fused_from", 128), given.get("final_tanh", False)
    if type(fused_from) is not int or not 0 < fused_from <= 1 << 20 or type(final_tanh) is not bool:
        raise ValueError("its fused_from is no resolution, or its final_tanh neither true nor false")
    return {
        "z_dim": outer[0][1],
        "w_dim": outer[1][0],
        "channels": [tensors[f"synthesis.layer{2 * index}.bias"].shape[0] for index in range(steps)],
        "img_channels": tensors["synthesis.output.bias"].shape[0],
        "num_mapping_layers": depth,
        "mapping_features": outer[0][0] if depth > 1 else None,
        "lr_multiplier": positive("lr_multiplier", given.get("lr_multiplier", 0.01)),
        "fused_from": fused_from,
        "final_tanh": final_tanh,
    }


def _count(tensors: Mapping[str, Lazy], pattern: str) -> int:
    """One more than the highest number in names of a pattern; 0 where there are none."""
    return max((int(match[1]) + 1 for name in tensors if (match := re.fullmatch(pattern, name))), default=0)


def _names(steps: int) -> Iterator[str]:
    """All names of a generator of so many resolutions."""
    yield from (f"mapping.dense{index}.{part}" for index in range(32) for part in ("weight", "bias"))
    yield "truncation.w_avg"
    yield from (f"synthesis.layer{index}.{part}" for index in range(2 * steps) for part in _PARTS)
    yield from (f"synthesis.output{steps - 1}.{part}" for part in ("weight", "bias"))


def _rule(name: str) -> tuple[str, Change | None] | None:
    if name == "truncation.w_avg":
        return "mapping.w_avg", None
    if match := re.fullmatch(r"mapping\.dense(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{match[1]}.{match[2]}", without_gain if match[2] == "bias" else None
    if match := re.fullmatch(r"synthesis\.output\d{1,2}\.(weight|bias)", name):
        return f"synthesis.output.{match[1]}", None
    match = re.fullmatch(r"synthesis\.layer\d{1,2}\.(.+)", name)
    if match is None or match[1] not in _PARTS:
        return None
    return name, {"const": first, "apply_noise.noise": plane}.get(match[1])


def without_gain(tensor: Tensor) -> Tensor:
    """A bias of the mapping network, divided by the gain that follows it in ours."""
    return tensor / math.sqrt(2.0)
