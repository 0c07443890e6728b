"""lucidrains' stylegan2_pytorch: `model_N.pt`, with averaged networks `SE` and `GE` beside `S` and `G`.

Its mapping network multiplies weights by the learning-rate multiplier alone, takes noise of unit length, and
its leaky ReLU has no gain. Weights are brought to the form of NVIDIA's, which differs in these three. There
is no mean code, so one is estimated, and no noise map, so one is drawn from a fixed seed, uniform as there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .container import Content
from .registry import register_reader
from .state_dict import Change, about_of, first, has_names, named_tensors, plus_one, renamed, spelled
from .weights import MEAN_CODE, Lazy, Weights, estimated_mean, explained, positive

_LAYOUT = "lucidrains' stylegan2_pytorch"
_OWN = ("mapping.fc0.weight", "blocks.0.to_style1.weight", "noise")
_PAIRS = (("SE.", "GE."), ("S.", "G."))
_BLOCK = ("to_style1", "to_noise1", "to_style2", "to_noise2", "to_rgb.to_style")
_CONVOLUTIONS = ("conv1", "conv2", "to_rgb.conv")
_FILTER = r"blocks\.\d{1,2}\.to_rgb\.upsample\.1\.f"
_MAX_BLOCKS = 11
_MULTIPLIER = 0.1


def _marks(pair: tuple[str, str]) -> tuple[str, ...]:
    mapping, synthesis = pair
    return (
        f"{mapping}net.0.weight",
        f"{synthesis}blocks.0.to_style1.weight",
        f"{synthesis}blocks.0.conv1.weight",
    )


def detect(content: Content) -> bool:
    """Whether the tensors are named as that project names them, or as `convert` does."""
    return has_names(content.root, *_OWN) or any(has_names(content.root, *_marks(pair)) for pair in _PAIRS)


@register_reader("StyleGAN2 of lucidrains' stylegan2_pytorch (model_N.pt)", detect)
def read(content: Content) -> Weights:
    """The generator, the averaged one where there is one.

    Raises:
        CheckpointError: damaged, or a variant that is not supported.
    """
    file, about = content.file, about_of(content)
    with explained(file, f"no generator of {_LAYOUT}"):
        found = named_tensors(content)
        if has_names(content.root, *_OWN):
            given = json.loads(about.pop("init_kwargs", "{}"))
            multiplier = positive("lr_multiplier", given.get("lr_multiplier", _MULTIPLIER))
            arguments = _arguments(found, multiplier)
            return Weights(file, _LAYOUT, "stylegan2-lucidrains", arguments, found, about)
        mapping, synthesis = next(pair for pair in _PAIRS if has_names(content.root, *_marks(pair)))
        tensors = renamed(_taken(found, mapping, synthesis), _rule)
        arguments = _arguments(tensors, _MULTIPLIER)
        width, depth = arguments["w_dim"], arguments["num_mapping_layers"]
        tensors[MEAN_CODE] = estimated_mean(tensors, width, width, depth, width, _MULTIPLIER)
        side = 4 << (len(arguments["channels"]) - 2)
        tensors["noise"] = Lazy((side, side), torch.float32, lambda: _noise(side))
    return Weights(
        file, _LAYOUT, "stylegan2-lucidrains", arguments, tensors, about, spelled=spelled(_rule, _names())
    )


def _noise(side: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(0).uniform(size=(side, side)).astype(np.float32))


def _taken(tensors: Mapping[str, Lazy], mapping: str, synthesis: str) -> dict[str, Lazy]:
    """The tensors of two of the networks, without their own prefixes.

    Raises:
        ValueError: a variant that is not supported.
    """
    taken = {name.removeprefix(mapping): lazy for name, lazy in tensors.items() if name.startswith(mapping)}
    taken |= {
        name.removeprefix(synthesis): lazy for name, lazy in tensors.items() if name.startswith(synthesis)
    }
    if any(name.startswith("attns.") for name in taken):
        raise ValueError("it has attention layers (attn_layers), which are not supported")
    if "to_initial_block.weight" in taken:
        raise ValueError("it begins with the mean of its codes (no_const), which is not supported")
    return {name: lazy for name, lazy in taken.items() if not re.fullmatch(_FILTER, name)}


def _arguments(tensors: Mapping[str, Lazy], multiplier: float) -> dict[str, Any]:
    """The arguments of our class, from its tensors' shapes.

    Raises:
        ValueError, KeyError: they do not fit together.
    """
    blocks = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d{1,3})\.", name))}
    if sorted(blocks) != list(range(len(blocks))) or not 0 < len(blocks) <= _MAX_BLOCKS:
        raise ValueError(f"its blocks are {str(sorted(blocks))[:80]}")
    depth = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in tensors)
    return {
        "w_dim": tensors["mapping.fc0.weight"].shape[1],
        "channels": [
            tensors["initial_block"].shape[0],
            *(tensors[f"blocks.{index}.conv1.weight"].shape[0] for index in range(len(blocks))),
        ],
        "img_channels": tensors["blocks.0.to_rgb.conv.weight"].shape[0],
        "num_mapping_layers": depth,
        "lr_multiplier": multiplier,
    }


def _rule(name: str) -> tuple[str, Change | None] | None:
    if match := re.fullmatch(r"net\.(\d{1,2})\.(weight|bias)", name):
        if int(match[1]) % 2:
            return None
        change = _without_gain if match[2] == "bias" else _first if match[1] == "0" else _scaled
        return f"mapping.fc{int(match[1]) // 2}.{match[2]}", change
    if name == "initial_block":
        return name, first
    if re.fullmatch(r"initial_conv\.(weight|bias)", name):
        return name, None
    match = re.fullmatch(r"blocks\.\d{1,2}\.(.+)\.(weight|bias)", name)
    if match is None or (match[1] not in _BLOCK and (match[1] not in _CONVOLUTIONS or match[2] == "bias")):
        return None
    return name, plus_one if match[1].endswith(("to_style", "style1", "style2")) and match[
        2
    ] == "bias" else None


def _names() -> Iterator[str]:
    """All names that such networks have, without their prefixes."""
    yield from (f"net.{2 * index}.{part}" for index in range(32) for part in ("weight", "bias"))
    yield from ("initial_block", "initial_conv.weight", "initial_conv.bias")
    for index in range(_MAX_BLOCKS):
        yield from (f"blocks.{index}.{stem}.{part}" for stem in _BLOCK for part in ("weight", "bias"))
        yield from (f"blocks.{index}.{stem}.weight" for stem in _CONVOLUTIONS)


def _without_gain(tensor: Tensor) -> Tensor:
    return tensor / math.sqrt(2.0)


def _first(tensor: Tensor) -> Tensor:
    """The first layer's weight: its input has unit length there and unit mean square in ours."""
    return tensor / math.sqrt(2.0)


def _scaled(tensor: Tensor) -> Tensor:
    """A weight, times the root of its inputs, by which ours divides it."""
    return tensor * math.sqrt(tensor.shape[1] / 2.0)
