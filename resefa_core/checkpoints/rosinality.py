"""StyleGAN2 under the names of rosinality's stylegan2-pytorch, as that project and the many that build on it
save it: bare, under `g_ema`, or as an encoder's `decoder`; with `latent_avg` around it or without.

Its older files have no noise maps (`noises.*`), as noise was drawn anew for each image. Maps are drawn from
fixed seeds then, one for each convolution in turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ..files.described import StoredArray, StoredTensor
from ..latents import draw_noise
from .container import Content
from .registry import register_reader
from .state_dict import Change, convolution, first, has_names, named_tensors, plane, renamed, spelled
from .weights import MEAN_CODE, Lazy, Weights, check_filters, explained, stylegan2_arguments, with_mean_code

_LAYOUT = "rosinality's stylegan2-pytorch"
_MEAN = "latent_avg"
_MAX_STEPS = 10
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
    """Whether the tensors are named as this project names them."""
    return has_names(content.root, *_MARKS)


@register_reader(
    "StyleGAN2 of rosinality's stylegan2-pytorch and what builds on it (.pt, .safetensors)", detect
)
def read(content: Content) -> Weights:
    """The generator; a mean code that the file lacks is estimated when it is needed.

    Raises:
        CheckpointError: the tensors are not those of the project's generator.
    """
    file = content.file
    with explained(file, f"no generator of {_LAYOUT}"):
        found = named_tensors(content)
        found.pop(_MEAN, None)
        if any(name.startswith("to_rgbs.0.iwt.") for name in found):
            raise ValueError("it is a SWAGAN, which draws wavelets: StyleGAN2 is supported")
        check_filters(lazy for name, lazy in found.items() if re.fullmatch(_FILTER, name))
        tensors = renamed({n: lazy for n, lazy in found.items() if not re.fullmatch(_FILTER, n)}, _rule)
        arguments = stylegan2_arguments(tensors)
        mean = _mean_code(content, arguments["w_dim"])
        if mean is not None:
            tensors[MEAN_CODE] = mean
        if not any(name.startswith("noises.") for name in found):
            tensors.update(_drawn_noise(tensors))
        tensors = with_mean_code(tensors)
    return Weights(file, _LAYOUT, "stylegan2", arguments, tensors, spelled=spelled(_rule, _names()))


def _mean_code(content: Content, width: int) -> Lazy | None:
    """The mean code beside the generator or further outwards; an encoder's has a row for each layer, all of
    them the same where they are the mean. None where there is none.

    Raises:
        ValueError: it is of another size.
    """
    for place in (content.root, *content.around):
        value = place.get(_MEAN) if isinstance(place, dict) else None
        if isinstance(value, (StoredTensor, StoredArray)):
            mean = Lazy.of(value, _MEAN)
            if len(mean.shape) not in (1, 2, 3) or mean.shape[-1] != width or 0 in mean.shape:
                raise ValueError(
                    f"{_MEAN} has shape {mean.shape}: expected {width} numbers, for each layer or once"
                )
            rows = mean.read().reshape(-1, width)
            return (
                mean.then(lambda tensor: tensor.reshape(-1, width)[0])
                if bool((rows == rows[0]).all())
                else None
            )
    return None


def _drawn_noise(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """A map for each convolution, `RandomState(index).randn`, index counted from the first convolution."""
    drawn = {}
    start = tensors["synthesis.b4.const"].shape
    for index in range(2 * _MAX_STEPS + 1):
        stem = convolution(index)
        if f"{stem}.weight" not in tensors:
            break
        height, width = (side << (index + 1) // 2 for side in start[1:])

        def draw(index: int = index, height: int = height, width: int = width) -> Tensor:
            return draw_noise([index], height * width).reshape(height, width)

        drawn[f"{stem}.noise_const"] = Lazy((height, width), torch.float32, draw)
    return drawn


def _names() -> Iterator[str]:
    """All names that this project's generators have, up to their largest size."""
    yield "input.input"
    yield from (f"style.{index}.{part}" for index in range(1, 33) for part in ("weight", "bias"))
    yield from (f"noises.noise_{index}" for index in range(2 * _MAX_STEPS + 1))
    convolutions = ("conv1", *(f"convs.{index}" for index in range(2 * _MAX_STEPS)))
    colours = ("to_rgb1", *(f"to_rgbs.{index}" for index in range(_MAX_STEPS)))
    yield from (f"{stem}.{part}" for stem in convolutions for part in _PARTS if part != "bias")
    yield from (f"{stem}.{part}" for stem in colours for part in ("conv.weight", "conv.modulation.weight"))
    yield from (f"{stem}.{part}" for stem in colours for part in ("conv.modulation.bias", "bias"))


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
