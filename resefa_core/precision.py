"""Where sums are taken in float64, so that they do not depend on the order a processor adds in."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(tensor: Tensor) -> Tensor:
    """A tensor in float64, on `solver_device`; moved first, since a device without float64 can't cast."""
    return tensor.to(solver_device(tensor.device)).to(torch.float64)


def solver_device(device: torch.device) -> torch.device:
    """Where float64 work is done: the device itself, or the CPU where it has no float64 (Apple's MPS)."""
    return torch.device("cpu") if device.type == "mps" else device
