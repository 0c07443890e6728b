"""Images between the core (`(B, 3, H, W)` in [-1, 1]) and ComfyUI (`(B, H, W, 3)` in [0, 1])."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_comfy(images: Tensor) -> Tensor:
    """The core's images as ComfyUI's, on the CPU."""
    return (images.detach().float().movedim(1, -1).cpu() * 0.5 + 0.5).clamp(0.0, 1.0).contiguous()


def from_comfy(images: Tensor) -> Tensor:
    """ComfyUI's images as the core's; a copy, free of inference mode."""
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
        raise ValueError(f"an image of shape {tuple(images.shape)} was given: expected (B, H, W, 3)")
    colours = images[..., :3].expand(*images.shape[:-1], 3)
    return colours.detach().float().cpu().clone().movedim(-1, 1) * 2.0 - 1.0


def picture_to_comfy(picture: Image.Image) -> Tensor:
    """A PIL image as a ComfyUI batch of one."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0
    return torch.from_numpy(pixels)[None]
