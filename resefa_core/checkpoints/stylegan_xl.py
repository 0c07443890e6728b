"""StyleGAN-XL's generators with StyleGAN3's layers, of any number of super-resolution stages, in the pickles
of that project: what they were made with is read off the layers, as a stage does not record those before it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from .weights import Lazy, positive

ARCHITECTURE = "stylegan-xl"
_LAYER = re.compile(r"synthesis\.(L(\d{1,3})_(\d{1,5})_(\d{1,5}))\.(.+)")
_SAMPLING = ("sampling_rate", "cutoff", "half_width")
_MOST = 1 << 16
_SHARED = ("conv_clamp", "filter_size", "lrelu_upsampling", "use_radial_filters")


def is_stylegan_xl(tensors: Mapping[str, Lazy]) -> bool:
    """Whether it has that project's class embedding, which it has without classes as well."""
    return "mapping.embed.weight" in tensors and "mapping.embed.bias" not in tensors


def stylegan_xl(
    states: Mapping[str, Mapping[object, object]], tensors: Mapping[str, Lazy]
) -> tuple[dict[str, Any], dict[str, Lazy], dict[str, str]]:
    """The arguments of our class, the tensors by its names, and what the file calls them.

    Args:
        states: the attributes of the modules, by their path.
        tensors: by their names in the file.

    Raises:
        ValueError, KeyError: attributes that are missing, out of range or not supported.
    """
    names = states["synthesis"]["layer_names"]
    found = {match[1]: int(match[2]) for name in tensors if (match := _LAYER.fullmatch(name))}
    if not isinstance(names, list) or names != sorted(found, key=lambda name: found[name]) or len(names) < 2:
        raise ValueError("its layer_names are not those of its layers, in their order")
    layers = [states[f"synthesis.{name}"] for name in names]
    critical = [bool(layer["is_critically_sampled"]) for layer in layers]
    num_critical = sum(critical) - 1
    if critical != sorted(critical) or [layer["is_torgb"] for layer in layers].index(True) != len(names) - 1:
        raise ValueError("its last layers are not the critically sampled ones, or not to RGB")
    embed = tensors["mapping.embed.weight"].shape
    means = tensors["mapping.w_avg"].shape
    c_dim = means[0] if len(means) == 2 else 0
    projection = (
        tensors["mapping.embed_proj.weight"].shape if c_dim else (tensors["mapping.fc0.weight"].shape[1],)
    )
    depth = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in tensors)
    shared = {name: layers[0][name] for name in _SHARED}
    if any(layer[name] != value for layer in layers for name, value in shared.items()):
        raise ValueError(f"its layers do not agree in {', '.join(_SHARED)}")
    clamp = shared.pop("conv_clamp")
    arguments = {
        "z_dim": projection[0],
        "c_dim": c_dim,
        "w_dim": means[-1],
        "grids": _grids(names, layers, tensors),
        "num_critical": num_critical,
        "embed_dim": embed[1],
        "num_mapping_layers": depth,
        "lr_multiplier": _mapping_rate(states, depth, c_dim),
        "output_scale": positive("output_scale", states["synthesis"]["output_scale"]),
        "conv_kernel": tensors[f"synthesis.{names[0]}.weight"].shape[2],
        **shared,
        "conv_clamp": None if clamp is None else positive("conv_clamp", clamp),
    }
    check(arguments)
    own = _named(names, tensors, c_dim)
    return (
        arguments,
        {new: lazy for new, (_, lazy) in own.items()},
        {new: old for new, (old, _) in own.items()},
    )


def check(arguments: Mapping[str, Any]) -> None:
    """Raise ValueError, TypeError or KeyError unless what shapes do not tell is of its type and in range."""
    for name, most in (
        ("filter_size", 64),
        ("lrelu_upsampling", 8),
        ("conv_kernel", 7),
        ("num_mapping_layers", 64),
    ):
        if type(arguments[name]) is not int or not 0 < arguments[name] <= most:
            raise ValueError(f"its {name} is out of range: expected 1 to {most}")
    if type(arguments["use_radial_filters"]) is not bool or type(arguments["num_critical"]) is not int:
        raise ValueError("its use_radial_filters is not true or false, or its num_critical no number")
    for name in ("lr_multiplier", "output_scale"):
        positive(name, arguments[name])
    if arguments["conv_clamp"] is not None:
        positive("conv_clamp", arguments["conv_clamp"])
    for name, least in (("z_dim", 1), ("c_dim", 0), ("w_dim", 1), ("embed_dim", 1)):
        if type(arguments[name]) is not int or not least <= arguments[name] <= _MOST:
            raise ValueError(f"its {name} is out of range: expected {least} to {_MOST}")


def _grids(
    names: list[Any], layers: list[Mapping[object, object]], tensors: Mapping[str, Lazy]
) -> list[list[float]]:
    """The sampling of each layer's output, which must be that of the next one's input."""
    grids: list[list[float]] = []
    for name, layer in zip(names, layers, strict=True):
        given, made = ([_number(layer, f"{side}_{what}") for what in _SAMPLING] for side in ("in", "out"))
        before = [grids[-1][0], *grids[-1][2:4]] if grids else made
        if not all(math.isclose(one, other, rel_tol=1e-6) for one, other in zip(given, before, strict=True)):
            raise ValueError(f"its layer {name} is sampled otherwise than the one before it")
        size = int(name.split("_")[1])
        channels = tensors[f"synthesis.{name}.weight"].shape[0]
        grids.append([int(made[0]), size, made[1], made[2], channels])
    return grids


def _number(layer: Mapping[object, object], name: str) -> float:
    value = layer[name]
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"its {name} is no number")
    return value  # type: ignore[return-value]


def _mapping_rate(states: Mapping[str, Mapping[object, object]], depth: int, c_dim: int) -> float:
    """The learning-rate multiplier of the mapping network, whose layers must be as usual."""
    layers = [states[f"mapping.fc{index}"] for index in range(depth)]
    rates = {positive("bias_gain", layer["bias_gain"]) for layer in layers}
    usual = [*layers, states["mapping.embed_proj"]] if c_dim else layers
    if len(rates) != 1 or any(layer["activation"] != "lrelu" for layer in usual):
        raise ValueError("its mapping network's layers have several multipliers, or no leaky ReLU")
    if c_dim and (usual[-1]["bias_gain"] != 1 or states["mapping.embed"].get("max_norm") is not None):
        raise ValueError("its class embedding is scaled")
    return rates.pop()


def _named(names: list[Any], tensors: Mapping[str, Lazy], c_dim: int) -> dict[str, tuple[str, Lazy]]:
    """The file's names and tensors by our names: layers without a gap in their numbers, and no embeddings
    but those of its classes."""
    found: dict[str, tuple[str, Lazy]] = {}
    for name, lazy in tensors.items():
        match = _LAYER.fullmatch(name)
        if match is not None:
            new = f"synthesis.L{names.index(match[1])}_{match[3]}_{match[4]}.{match[5]}"
            found[new] = name, lazy
        elif name == "mapping.embed.weight":
            if lazy.shape[0] < c_dim:
                raise ValueError(f"it has embeddings for {lazy.shape[0]} classes of {c_dim}")
            if c_dim:
                found[name] = name, lazy.then(lambda rows: rows[:c_dim])
        else:
            found[name] = name, lazy
    return found
