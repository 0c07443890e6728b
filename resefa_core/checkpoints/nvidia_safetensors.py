"""StyleGAN2 weights in safetensors, under NVIDIA's tensor names.

The metadata hold `arch` and `init_kwargs`, the JSON of the arguments that NVIDIA's generator class
takes; sizes that they leave out are read off the tensors.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..generators.base import Generator
from ..generators.stylegan2 import StyleGAN2
from ..tensorfile import DAMAGE, read_header, read_tensors

DESCRIPTION = "StyleGAN2 as safetensors with NVIDIA's tensor names (mapping.*, synthesis.*)"
_MAX_BYTES = 4 << 30
_MARKS = ("mapping.fc0.weight", "mapping.w_avg", "synthesis.b4.const", "synthesis.b4.conv1.weight")


def detect(file: Path) -> bool:
    """Whether the file's tensors are named as NVIDIA's StyleGAN2 names them."""
    try:
        return read_header(file, CheckpointError)[0].issuperset(_MARKS)
    except CheckpointError:
        return False


def load(file: Path) -> Generator:
    """Build the generator that the file describes and fill it strictly.

    Raises:
        CheckpointError: damaged, another architecture, or tensors that do not fit together.
    """
    tensors, metadata = read_tensors(file, CheckpointError, _MAX_BYTES)
    architecture = metadata.get("arch", "stylegan2")
    if architecture != "stylegan2":
        raise CheckpointError(
            f"{file}: architecture {architecture[:80]!r} is not supported: expected 'stylegan2'"
        )
    kept = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith("resample_filter")}
    for name, tensor in kept.items():
        if not tensors[name].is_floating_point() or not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{file}: tensor {name[:80]!r} is not all finite floating-point numbers")
    try:
        configuration = _configuration(tensors, metadata)
        with torch.device("meta"):
            expected = {name: t.shape for name, t in StyleGAN2(**configuration).state_dict().items()}
        _compare(expected, kept)
        generator = StyleGAN2(**configuration)
        generator.load_state_dict(kept, strict=True)
    except KeyError as error:
        raise CheckpointError(f"{file}: its tensors do not make a StyleGAN2: {error} is missing") from error
    except DAMAGE as error:
        raise CheckpointError(f"{file}: its tensors do not make a StyleGAN2: {error}") from error
    return generator


def _compare(expected: dict[str, torch.Size], found: dict[str, Tensor]) -> None:
    """Raise ValueError unless the tensors are those expected, before memory is taken for any."""
    missing, unexpected = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unexpected:
        raise ValueError(f"missing {str(missing[:4])[:300]}, unexpected {str(unexpected[:4])[:300]}")
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise ValueError(f"{name} has shape {tuple(found[name].shape)}, expected {tuple(shape)}")


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
    lr_multiplier = mapping.get("lr_multiplier", 0.01)
    if type(lr_multiplier) not in (int, float) or not 0 < lr_multiplier < 1e6:
        raise ValueError(f"its lr_multiplier is {str(lr_multiplier)[:40]}")
    img_channels = tensors[f"synthesis.b{resolution}.torgb.weight"].shape[0]
    if img_channels != 3 or z_dim < 1:
        raise ValueError(
            f"it has {img_channels} colour channels and z of size {z_dim}: expected 3, and 1 or more"
        )
    return {
        "z_dim": z_dim,
        "c_dim": 0 if embed is None else embed.shape[1],
        "w_dim": w_dim,
        "img_resolution": resolution,
        "img_channels": img_channels,
        "num_mapping_layers": depth,
        "mapping_features": tensors["mapping.fc0.weight"].shape[0] if depth > 1 else None,
        "lr_multiplier": float(lr_multiplier),
        "channel_base": channels[resolution] * resolution,
        "channel_max": max(channels.values()),
    }
