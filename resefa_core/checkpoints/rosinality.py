"""Checkpoints of rosinality's stylegan2-pytorch: `g_ema`, and `latent_avg` or a training snapshot."""

from __future__ import annotations

import re

import torch

from .container import Content, Unpickled
from .registry import register_reader
from .state_dict import Change, convolution, first, has_names, plane, renamed, tensors_of
from .weights import MEAN_CODE, Lazy, Weights, check_filters, explained, stylegan2_arguments, with_mean_code

_LAYOUT = "rosinality's stylegan2-pytorch"
_MARKS = ("style.1.weight", "input.input", "conv1.conv.modulation.weight")
_FILTER = r".*\.(?:blur|upsample)\.kernel"
_STEM = r"conv1|to_rgb1|convs\.(\d{1,2})|to_rgbs\.(\d{1,2})"
_PARTS: dict[str, tuple[str, Change | None]] = {
    "conv.weight": ("weight", first),
    "conv.modulation.weight": ("affine.weight", None),
    "conv.modulation.bias": ("affine.bias", None),
    "noise.weight": ("noise_strength", first),
    "activate.bias": ("bias", None),
    "bias": ("bias", torch.flatten),
}


def detect(content: Content) -> bool:
    """Whether the file has a generator's state dict of this project under `g_ema`."""
    root = content.root if isinstance(content, Unpickled) else None
    return isinstance(root, dict) and has_names(root.get("g_ema"), *_MARKS)


@register_reader("StyleGAN2 of rosinality's stylegan2-pytorch (.pt with g_ema)", detect)
def read(content: Content) -> Weights:
    """The averaged generator; a mean code that the file lacks is estimated when it is needed.

    Raises:
        CheckpointError: the tensors are not those of the project's generator.
    """
    assert isinstance(content, Unpickled)
    assert isinstance(content.root, dict)
    file = content.file
    with explained(file, f"no generator of {_LAYOUT}"):
        found = tensors_of(content.root["g_ema"])
        check_filters(lazy for name, lazy in found.items() if re.fullmatch(_FILTER, name))
        tensors = renamed({n: lazy for n, lazy in found.items() if not re.fullmatch(_FILTER, n)}, _rule)
        if "latent_avg" in content.root:
            mean = Lazy.of(content.root["latent_avg"], "latent_avg")
            tensors[MEAN_CODE] = mean.then(torch.flatten)
        arguments = stylegan2_arguments(tensors)
        tensors = with_mean_code(tensors)
    return Weights(file, _LAYOUT, "stylegan2", arguments, tensors)


def _rule(name: str) -> tuple[str, Change | None] | None:
    if match := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", None
    if name == "input.input":
        return "synthesis.b4.const", first
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"{convolution(int(match[1]))}.noise_const", plane
    match = re.fullmatch(rf"({_STEM})\.(.+)", name)
    if match is None or match[4] not in _PARTS:
        return None
    part, change = _PARTS[match[4]]
    if match[2] is not None:
        return f"{convolution(int(match[2]) + 1)}.{part}", change
    if match[3] is not None:
        return f"synthesis.b{8 << int(match[3])}.torgb.{part}", change
    return f"synthesis.b4.{'conv1' if match[1] == 'conv1' else 'torgb'}.{part}", change
