"""StyleGAN2 checkpoints of Hammer (the paper's own) and of genforce, which came before it.

Both have `models.generator_smooth` in training snapshots and `generator_smooth` in published files. In
genforce's layout the up-sampling convolutions are stored unflipped and the styles' biases without the
one that is added to them, as in TensorFlow.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from .container import Content
from .registry import register_reader
from .state_dict import Change, convolution, first, has_names, named_tensors, plane, plus_one, renamed
from .weights import Weights, check_filters, explained, stylegan2_arguments

_HAMMER, _GENFORCE = "Hammer", "genforce"
_MARKS = ("mapping.dense0.weight", "synthesis.early_layer.const", "synthesis.layer0.weight")
_FILTER = r"synthesis\.(?:layer\d+\.)?(?:filter|filter\.kernel|upsample\.kernel)"
_PARTS: dict[str, tuple[str, Change | None]] = {
    "weight": ("weight", None),
    "bias": ("bias", None),
    "noise_strength": ("noise_strength", None),
    "noise": ("noise_const", plane),
    "style.weight": ("affine.weight", None),
    "style.bias": ("affine.bias", None),
}


def detect(content: Content) -> bool:
    """Whether the tensors are named as these projects name them."""
    return has_names(content.root, *_MARKS)


@register_reader("StyleGAN2 of Hammer or genforce (.pth with generator_smooth)", detect)
def read(content: Content) -> Weights:
    """The generator.

    Raises:
        CheckpointError: the tensors are not those of the projects' StyleGAN2.
    """
    file = content.file
    with explained(file, f"no StyleGAN2 of {_HAMMER}"):
        found = named_tensors(content)
    layout = _GENFORCE if "truncation.w_avg" in found else _HAMMER
    with explained(file, f"no StyleGAN2 of {layout}"):
        if any(name.startswith("synthesis.residual") for name in found):
            raise ValueError("its architecture is 'resnet': 'skip' is supported")
        check_filters(lazy for name, lazy in found.items() if re.fullmatch(_FILTER, name))
        kept = {name: lazy for name, lazy in found.items() if not re.fullmatch(_FILTER, name)}
        tensors = renamed(kept, _genforce_rule if layout == _GENFORCE else _hammer_rule)
        arguments = stylegan2_arguments(tensors)
    return Weights(file, layout, "stylegan2", arguments, tensors)


def _hammer_rule(name: str) -> tuple[str, Change | None] | None:
    if match := re.fullmatch(r"mapping\.dense(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{match[1]}.{match[2]}", None
    if match := re.fullmatch(r"mapping\.embedding\.(weight|bias)", name):
        return f"mapping.embed.{match[1]}", None
    if name == "w_avg":
        return "mapping.w_avg", None
    if name == "synthesis.early_layer.const":
        return "synthesis.b4.const", first
    match = re.fullmatch(r"synthesis\.(layer|output)(\d{1,2})\.(.+)", name)
    if match is None or match[3] not in _PARTS:
        return None
    part, change = _PARTS[match[3]]
    if match[1] == "output":
        return f"synthesis.b{4 << int(match[2])}.torgb.{part}", change
    return f"{convolution(int(match[2]))}.{part}", change


def _genforce_rule(name: str) -> tuple[str, Change | None] | None:
    if name == "truncation.w_avg":
        return "mapping.w_avg", None
    if match := re.fullmatch(r"mapping\.LabelEmbed\.(weight|bias)", name):
        return f"mapping.embed.{match[1]}", None
    known = _hammer_rule(name)
    if known is None:
        return None
    new, change = known
    if new.endswith(".affine.bias"):
        return new, plus_one
    if new.endswith(".conv0.weight"):
        return new, _flipped
    return new, change


def _flipped(tensor: Tensor) -> Tensor:
    return torch.flip(tensor, (2, 3))
