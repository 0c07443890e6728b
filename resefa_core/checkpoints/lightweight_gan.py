"""lucidrains' lightweight-gan: `model_N.pt`, with an averaged network `GE` beside `G`.

Noise maps are drawn anew for each image there and kept in no file: here they are drawn from fixed seeds, one
for each resolution.
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
from .state_dict import Change, about_of, first, has_names, named_tensors, renamed, spelled
from .weights import Lazy, Weights, explained

_LAYOUT = "lucidrains' lightweight-gan"
_OWN = ("init.weight", "init_norm.weight", "blocks.0.expand.weight", "to_image.weight")
_PREFIXES = ("GE.", "G.", "")
_MARKS = ("initial_conv.0.weight", "initial_conv.1.running_mean", "out_conv.weight")
_MAX_BLOCKS = 8
_UNUSED = r".*\.num_batches_tracked|layers\.\d{1,2}\.0\.1\.f"
_BOTH = ("weight", "bias")
_NORM = ("weight", "bias", "running_mean", "running_var")
_PARTS = {
    "0.0.net.0": ("blocks.{}.expand", _BOTH),
    "0.2.1": ("blocks.{}.conv", _BOTH),
    "0.4": ("blocks.{}.norm", _NORM),
    "1.to_k": ("excitations.{}.to_weights", _BOTH),
    "1.net.0": ("excitations.{}.first", _BOTH),
    "1.net.2": ("excitations.{}.second", _BOTH),
    "2.fn.to_lin_q": ("attentions.{}.to_global_query", ("weight",)),
    "2.fn.to_lin_kv.net.1": ("attentions.{}.to_global", ("weight",)),
    "2.fn.to_q": ("attentions.{}.to_query", ("weight",)),
    "2.fn.to_kv": ("attentions.{}.to_local", ("weight",)),
    "2.fn.to_out": ("attentions.{}.to_out", _BOTH),
}
_SINGLE: dict[str, tuple[str, Change | None]] = {
    "0.3.weight": ("blocks.{}.noise_strength", None),
    "1.dct_weights": ("excitations.{}.frequencies", first),
    "2.fn.to_lin_kv.net.0.weight": ("attentions.{}.around", None),
    "2.norm.g": ("attentions.{}.gain", first),
    "2.norm.b": ("attentions.{}.offset", first),
}
_ENDS = {
    "initial_conv.0": ("init", _BOTH),
    "initial_conv.1": ("init_norm", _NORM),
    "out_conv": ("to_image", _BOTH),
}


def detect(content: Content) -> bool:
    """Whether the tensors are named as that project names them, or as `convert` does."""
    return has_names(content.root, *_OWN) or any(_has(content.root, prefix) for prefix in _PREFIXES)


def _has(root: object, prefix: str) -> bool:
    return has_names(root, *(f"{prefix}{name}" for name in _MARKS))


@register_reader("lucidrains' lightweight-gan (model_N.pt)", detect)
def read(content: Content) -> Weights:
    """The generator, the averaged one where there is one.

    Raises:
        CheckpointError: damaged, or a variant that is not supported.
    """
    file, about = content.file, about_of(content)
    about.pop("init_kwargs", None)
    with explained(file, f"no generator of {_LAYOUT}"):
        found = named_tensors(content)
        if has_names(content.root, *_OWN):
            return Weights(file, _LAYOUT, "lightweight-gan", _arguments(found), found, about)
        prefix = next(prefix for prefix in _PREFIXES if _has(content.root, prefix))
        taken = {name.removeprefix(prefix): lazy for name, lazy in found.items() if name.startswith(prefix)}
        _check_version(taken)
        tensors = renamed({n: lazy for n, lazy in taken.items() if not re.fullmatch(_UNUSED, n)}, _rule)
        arguments = _arguments(tensors)
        tensors.update(_drawn_noise(len(arguments["channels"])))
    return Weights(
        file, _LAYOUT, "lightweight-gan", arguments, tensors, about, spelled=spelled(_rule, _names())
    )


def _check_version(tensors: Mapping[str, Lazy]) -> None:
    """Raise ValueError for the layers of that project's earlier versions."""
    if "layers.0.0.0.net.0.weight" not in tensors:
        raise ValueError(
            "it doubles sizes without shuffled pixels (PixelShuffleUpsample), as early versions of that "
            "project did, which is not supported"
        )
    if "layers.0.0.1.f" not in tensors:
        raise ValueError("it does not blur what it doubled (Blur, antialias), which is not supported")
    if "layers.0.0.3.weight" not in tensors or "layers.0.0.2.1.weight" not in tensors:
        raise ValueError(
            "its layers have no noise or no convolution of 4 x 4, as early versions of that project, which "
            "is not supported"
        )


def _drawn_noise(count: int) -> dict[str, Lazy]:
    """A map for each resolution."""
    drawn = {}
    for index in range(count):
        side = 8 << index

        def draw(seed: int = index, side: int = side) -> Tensor:
            return draw_noise([seed], side * side).reshape(side, side)

        drawn[f"blocks.{index}.noise"] = Lazy((side, side), torch.float32, draw)
    return drawn


def _arguments(tensors: Mapping[str, Lazy]) -> dict[str, Any]:
    """The arguments of our class, from its tensors' shapes.

    Raises:
        ValueError, KeyError: they do not fit together.
    """
    blocks = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d{1,2})\.", name))}
    if sorted(blocks) != list(range(len(blocks))) or not 0 < len(blocks) <= _MAX_BLOCKS:
        raise ValueError(f"its layers are {str(sorted(blocks))[:80]}")
    frequencies = any(re.fullmatch(r"excitations\.\d\.frequencies", name) for name in tensors)
    return {
        "z_dim": tensors["init.weight"].shape[0],
        "channels": [tensors[f"blocks.{index}.conv.weight"].shape[0] // 2 for index in range(len(blocks))],
        "attention": [f"attentions.{index}.gain" in tensors for index in range(len(blocks))],
        "img_channels": tensors["to_image.weight"].shape[0],
        "excitation": "frequencies" if frequencies else "context",
    }


def _rule(name: str) -> tuple[str, Change | None] | None:
    stem, _, part = name.rpartition(".")
    if stem in _ENDS:
        new, known = _ENDS[stem]
        return (f"{new}.{part}", None) if part in known else None
    match = re.fullmatch(r"layers\.(\d{1,2})\.(.+)", name)
    if match is None:
        return None
    if match[2] in _SINGLE:
        new, change = _SINGLE[match[2]]
        return new.format(match[1]), change
    new, known = _PARTS.get(match[2].rpartition(".")[0], ("", ()))
    return (f"{new.format(match[1])}.{part}", None) if part in known else None


def _names() -> Iterator[str]:
    """All names of such a network without its prefix."""
    yield from (f"{stem}.{part}" for stem, (_, parts) in _ENDS.items() for part in parts)
    for index in range(_MAX_BLOCKS):
        yield from (f"layers.{index}.{s}.{part}" for s, (_, parts) in _PARTS.items() for part in parts)
        yield from (f"layers.{index}.{name}" for name in _SINGLE)
