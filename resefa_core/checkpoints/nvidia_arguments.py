"""The arguments of NVIDIA's generator classes, checked and brought to those of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

import torch

from ..files.described import said
from ..generators.colours import check_channels
from .weights import Lazy, positive, stylegan2_arguments

_SIZES = {"z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"}
_MAPPING = {
    "num_layers",
    "embed_features",
    "layer_features",
    "activation",
    "lr_multiplier",
    "w_avg_beta",
    "freeze_layers",
    "freeze_embed",
}
_STYLEGAN2 = {
    "channel_base",
    "channel_max",
    "num_fp16_res",
    "architecture",
    "resample_filter",
    "conv_clamp",
    "use_fp16",
    "fp16_channels_last",
    "fused_modconv_default",
    "kernel_size",
    "use_noise",
    "activation",
    "init_res",
    "square",
}
_STYLEGAN3: dict[str, tuple[type, float]] = {
    "channel_base": (int, 1 << 20),
    "channel_max": (int, 1 << 14),
    "num_layers": (int, 64),
    "num_critical": (int, 64),
    "first_cutoff": (float, 4096),
    "first_stopband": (float, 4096),
    "last_stopband_rel": (float, 16),
    "margin_size": (int, 256),
    "output_scale": (float, 1e6),
    "conv_kernel": (int, 7),
    "filter_size": (int, 64),
    "lrelu_upsampling": (int, 8),
    "use_radial_filters": (bool, 1),
    "conv_clamp": (float, 1e6),
}
"""Type and largest value of what a StyleGAN3 is made with."""

_MAY_BE_ZERO = {"num_critical", "margin_size"}
_TRAINING = {"num_fp16_res", "magnitude_ema_beta", "square"}
_FIXED = {
    "activation": "lrelu",
    "architecture": "skip",
    "kernel_size": 3,
}
_CLAMP = 256
"""`conv_clamp` where the release that takes flat arguments (StyleGAN3's) is not given one."""

_MAPPING3 = {"num_layers", "lr_multiplier", "w_avg_beta", "freeze_layers", "freeze_embed"}
_NOISE = (".noise_const", ".noise_strength")


def stylegan2(
    given: Mapping[str, Any], tensors: Mapping[str, Lazy]
) -> tuple[dict[str, Any], dict[str, Lazy]]:
    """Of StyleGAN2: the arguments of our class, and the tensors, with silent noise where the file has none.

    Args:
        given: the arguments of NVIDIA's class, in the form of either release.
        tensors: by NVIDIA's names.

    Raises:
        ValueError, KeyError: arguments that are not known or not supported, or tensors that do not fit.
    """
    mapping, synthesis = _split(given, "StyleGAN2", _STYLEGAN2)
    for name, value in _FIXED.items():
        for part in (mapping, synthesis):
            if part.get(name, value) != value:
                raise ValueError(f"its {name} is {_short(part[name])}: {value!r} is supported")
    taps = synthesis.get("resample_filter", [1, 3, 3, 1])
    if not isinstance(taps, (list, tuple)) or list(taps) != [1, 3, 3, 1]:
        raise ValueError("its resample_filter is another: [1, 3, 3, 1] is supported")
    default_clamp = None if "synthesis_kwargs" in given or not synthesis else _CLAMP
    arguments = stylegan2_arguments(
        tensors, mapping.get("lr_multiplier", 0.01), synthesis.get("conv_clamp", default_clamp)
    )
    for name in _SIZES & given.keys():
        if given[name] != arguments[name]:
            raise ValueError(
                f"it says that {name} is {_short(given[name])}; by its tensors {arguments[name]}"
            )
    _check_shape(synthesis, arguments["init_res"])
    complete = dict(tensors)
    if synthesis.get("use_noise") is False and not any(name.endswith(_NOISE) for name in tensors):
        complete.update(_silence(tensors))
    return arguments, complete


def _check_shape(synthesis: Mapping[str, Any], start: tuple[int, int]) -> None:
    """Raise ValueError unless what a fork says of the image's shape is what the constant has."""
    said = synthesis.get("init_res", start)
    square = synthesis.get("square", start[0] == start[1])
    if not isinstance(said, (list, tuple)) or tuple(said) != start or square is not (start[0] == start[1]):
        raise ValueError(f"its init_res or square are not those of its constant of {start[0]} x {start[1]}")


def _silence(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """Noise of strength zero for every convolution."""
    silent = {}
    start = tensors["synthesis.b4.const"].shape[1:]
    for name in tensors:
        block, _, rest = name.removeprefix("synthesis.b").partition(".")
        if rest in ("conv0.weight", "conv1.weight") and block.isdecimal():
            layer = name.removesuffix(".weight")
            size = (start[0] * int(block) // 4, start[1] * int(block) // 4)
            silent[f"{layer}.noise_strength"] = Lazy((), torch.float32, lambda: torch.zeros([]))
            silent[f"{layer}.noise_const"] = Lazy(
                size,
                torch.float32,
                lambda size=size: torch.zeros(size),  # type: ignore[misc]
            )
    return silent


def stylegan3(given: Mapping[str, Any], tensors: Mapping[str, Lazy]) -> dict[str, Any]:
    """Of StyleGAN3: the arguments of our class, flattened; what is not given is configuration T's.

    Raises:
        ValueError, KeyError: arguments that are not known or out of range, or tensors that do not fit.
    """
    mapping, synthesis = _split(given, "StyleGAN3", _STYLEGAN3.keys() | _TRAINING, _MAPPING3)
    embed = tensors.get("mapping.embed.weight")
    w_dim = tensors["mapping.w_avg"].shape[0]
    arguments: dict[str, Any] = {
        "z_dim": tensors["mapping.fc0.weight"].shape[1] - (0 if embed is None else w_dim),
        "c_dim": 0 if embed is None else embed.shape[1],
        "w_dim": w_dim,
        "img_resolution": _within("img_resolution", given["img_resolution"], int, 4096),
        "img_channels": _last_channels(tensors),
        "num_mapping_layers": sum(
            name.startswith("mapping.fc") and name.endswith(".weight") for name in tensors
        ),
        "lr_multiplier": positive("lr_multiplier", mapping.get("lr_multiplier", 0.01)),
    }
    check_channels(arguments["img_channels"])
    for name in _SIZES & given.keys():
        if given[name] != arguments[name]:
            raise ValueError(
                f"it says that {name} is {_short(given[name])}; by its tensors {arguments[name]}"
            )
    if synthesis.get("square", True) is not True:
        raise ValueError(
            "its images are not square, as StyleGAN-Human's StyleGAN3 has them: square ones are read"
        )
    for name in synthesis.keys() & _STYLEGAN3.keys():
        kind, most = _STYLEGAN3[name]
        value = synthesis[name]
        arguments[name] = None if name == "conv_clamp" and value is None else _within(name, value, kind, most)
    return arguments


def _last_channels(tensors: Mapping[str, Lazy]) -> int:
    """The number of colour channels, of the last layer."""
    layers = {
        int(match[1]): lazy.shape[0]
        for name, lazy in tensors.items()
        if (match := re.fullmatch(r"synthesis\.L(\d{1,3})_\d{1,5}_\d{1,5}\.weight", name)) and lazy.shape
    }
    return layers[max(layers)] if layers else 0


def stylegan3_by_tensors(tensors: Mapping[str, Lazy]) -> dict[str, Any]:
    """StyleGAN3's arguments where only the tensors are there: sizes as they tell them, else configuration T's
    or, with kernels of 1, R's."""
    layers = sorted(
        (int(match[1]), int(match[2]), lazy.shape)
        for name, lazy in tensors.items()
        if (match := re.fullmatch(r"synthesis\.L(\d{1,3})_(\d{1,5})_\d{1,5}\.weight", name))
    )
    if not layers or any(len(shape) != 4 for _, _, shape in layers):
        raise ValueError("it has no layers that are named as NVIDIA's")
    _, resolution, last = layers[-1]
    first = layers[0][2]
    return {
        "img_resolution": resolution,
        "num_layers": len(layers) - 1,
        "channel_base": last[1] * resolution,
        "channel_max": first[1],
        "conv_kernel": first[2],
        "use_radial_filters": first[2] == 1,
    }


def _within(name: str, value: object, kind: type, most: float) -> Any:
    if kind is bool and isinstance(value, bool):
        return value
    fits = type(value) is int or (kind is float and type(value) is float)
    if kind is bool or not fits or not 0 < value + (name in _MAY_BE_ZERO) <= most:  # type: ignore[operator]
        said = str(value)[:40] if isinstance(value, (int, float)) else "no number"
        raise ValueError(f"its {name} is {said}: out of range")
    return value


def _split(
    given: Mapping[str, Any], family: str, known: set[str], of_mapping: Set[str] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of the mapping and of the synthesis network, which one release nests and one does not."""
    mapping, nested = given.get("mapping_kwargs", {}), given.get("synthesis_kwargs", {})
    if not isinstance(mapping, dict) or not isinstance(nested, dict):
        raise ValueError("its mapping_kwargs or synthesis_kwargs are no arguments by name")
    flat = {k: v for k, v in given.items() if k not in _SIZES | {"mapping_kwargs", "synthesis_kwargs"}}
    synthesis = {**flat, **nested}
    allowed = _MAPPING if of_mapping is None else of_mapping
    unknown = sorted({said(key) for key in (*(mapping.keys() - allowed), *(synthesis.keys() - known))})
    if unknown:
        raise ValueError(
            f"its generator takes {', '.join(unknown[:4])}, which NVIDIA's {family} does not: "
            "a variant that is not supported"
        )
    return mapping, synthesis


def _short(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else str(value) if type(value) is int else "another"
