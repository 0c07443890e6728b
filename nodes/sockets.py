"""The types of the pack's sockets, and what values they carry."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from .core import resefa
from .runtime import LoadedGAN

GAN = io.Custom("RESEFA_GAN")
GANLatent = io.Custom("RESEFA_LATENT")
GANRegion = io.Custom("RESEFA_REGION")
GANDirections = io.Custom("RESEFA_DIRECTIONS")
StyleGANLatent = io.Custom("STYLEGAN_LATENT")
StyleGANDirections = io.Custom("STYLEGAN_DIRECTIONS")

CARRIED: dict[str, tuple[type, str]] = {
    GAN.io_type: (LoadedGAN, "what Load GAN gives"),
    GANLatent.io_type: (resefa.Latent, "what Sample GAN Latent gives"),
    GANRegion.io_type: (resefa.Region, "what Select Region gives"),
    GANDirections.io_type: (resefa.Directions, "what Factorize Region, Load Directions or Load Atlas gives"),
    StyleGANLatent.io_type: (Tensor, "a latent of a ComfyUI-StyleGan pack"),
    StyleGANDirections.io_type: (Tensor, "directions of a ComfyUI-StyleGan pack"),
    io.Image.io_type: (Tensor, "an image"),
    io.Mask.io_type: (Tensor, "a mask"),
    io.String.io_type: (str, "text"),
    io.Combo.io_type: (str, "text"),
    io.Boolean.io_type: (bool, "true or false"),
}
"""For each type of socket or widget the class of its values, and what they are in words."""
