"""Generators that are known by their tensors' names and not read, so that a refusal says what they are."""

from __future__ import annotations

import re

from ..files.described import Name, Record

_CLOSED = (
    (
        r"GE?\.initial_conv\.\d+\.|GE?\.layers\.\d+\.\d+\.",
        "a part of a generator of lucidrains' lightweight-gan, or one of another version",
    ),
    (r"(?:generator\.)?progression\.\d+\.conv1\.", "a StyleGAN of rosinality's style-based-gan-pytorch"),
    (r"g_synthesis\.blocks\.4x4\.", "a StyleGAN of lernapparat's conversion"),
    (
        r"feat_8\.1\.weight_orig",
        "a FastGAN of its authors' code, which has other last layers than Projected GAN's",
    ),
    (r"(?:to_rgbs|convs)\.\d+\.(?:iwt|dwt)\.|iwt\.ll", "a SWAGAN, which draws wavelets"),
    (r"backbone\.synthesis\.|decoder\.net\.0\.", "an EG3D generator, which needs a camera"),
    (r"synthesis\.residual", "a StyleGAN2 with residual connections"),
    (r"model\.diffusion_model\.|unet\.|down_blocks\.", "a diffusion model, which is no GAN"),
)
_PGGAN = Name("tfutil", "Network")
_MOST_NAMES = 20_000


def closed_architecture(root: object) -> str | None:
    """What tensors or a pickled network are of, where their names tell; None where they do not."""
    if isinstance(root, Record) and root.origin == _PGGAN:
        return "a PGGAN of NVIDIA's TensorFlow code"
    if not isinstance(root, dict):
        return None
    for key in list(root)[:_MOST_NAMES]:
        if isinstance(key, str):
            for pattern, words in _CLOSED:
                if re.match(pattern, key[:200]):
                    return words
    return None
