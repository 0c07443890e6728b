"""StyleGAN2 weights in safetensors, under NVIDIA's tensor names.

The metadata hold `arch` and `init_kwargs`, the JSON of the arguments that NVIDIA's generator class
takes; sizes that they leave out are read off the tensors.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import CheckpointError
from ..generators.base import Generator
from ..generators.stylegan2 import StyleGAN2

DESCRIPTION = "StyleGAN2 as safetensors with NVIDIA's tensor names (mapping.*, synthesis.*)"
_MARKS = ("mapping.fc0.weight", "mapping.w_avg", "synthesis.b4.const", "synthesis.b4.conv1.weight")


def detect(file: Path) -> bool:
    """Whether the file's tensors are named as NVIDIA's StyleGAN2 names them."""
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            return set(_MARKS) <= set(opened.keys())
    except (SafetensorError, OSError, ValueError):
        return False


def load(file: Path) -> Generator:
    """Build the generator that the file describes and fill it strictly.

    Raises:
        CheckpointError: damaged, another architecture, or tensors that do not fit together.
    """
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
        tensors = safetensors.torch.load_file(file)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file}: damaged safetensors file: {error}") from error
    architecture = metadata.get("arch", "stylegan2")
    if architecture != "stylegan2":
        raise CheckpointError(f"{file}: architecture {architecture!r} is not supported: expected 'stylegan2'")
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{file}: tensor {name!r} is not all finite floating-point numbers")
    try:
        generator = StyleGAN2(**_configuration(tensors, metadata))
        wanted = set(generator.state_dict())
        kept = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith("resample_filter")}
        if set(kept) != wanted:
            raise CheckpointError(
                f"{file}: missing tensors {sorted(wanted - set(kept))[:4]}, "
                f"unexpected tensors {sorted(set(kept) - wanted)[:4]}"
            )
        generator.load_state_dict(kept, strict=True)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file}: its tensors do not make a StyleGAN2: {error}") from error
    return generator


def _configuration(tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Any]:
    """The generator's arguments, from the tensors' shapes; the metadata for what shapes don't tell."""
    given = json.loads(metadata.get("init_kwargs", "{}"))
    resolutions = [
        int(name.split(".")[1][1:])
        for name in tensors
        if name.startswith("synthesis.b") and name.endswith(".torgb.weight")
    ]
    resolution = max(resolutions)
    if resolution > 4096 or resolution != 2 ** round(math.log2(resolution)):
        raise ValueError(f"its resolution is {resolution}")
    channels = {r: tensors[f"synthesis.b{r}.conv1.weight"].shape[0] for r in resolutions}
    depth = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in tensors)
    w_dim = tensors["mapping.w_avg"].shape[0]
    embed = tensors.get("mapping.embed.weight")
    z_dim = tensors["mapping.fc0.weight"].shape[1] - (0 if embed is None else w_dim)
    mapping = given.get("mapping_kwargs", {})
    return {
        "z_dim": z_dim,
        "c_dim": 0 if embed is None else embed.shape[1],
        "w_dim": w_dim,
        "img_resolution": resolution,
        "img_channels": tensors[f"synthesis.b{resolution}.torgb.weight"].shape[0],
        "num_mapping_layers": depth,
        "mapping_features": tensors["mapping.fc0.weight"].shape[0] if depth > 1 else None,
        "lr_multiplier": float(mapping.get("lr_multiplier", 0.01)),
        "channel_base": channels[resolution] * resolution,
        "channel_max": max(channels.values()),
    }
