"""What measures images in tests; of a module, so that other processes find it."""

from __future__ import annotations

import torch
from torch import Tensor


def brightness(images: Tensor) -> Tensor:
    left = images[:, :, 4:12, :8].mean(dim=(1, 2, 3))
    return torch.stack([torch.ones_like(left), left], dim=1)
