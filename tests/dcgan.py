"""A trained DCGAN of natural faces, from the data folder beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch.nn.functional as F
from torch import Tensor, nn

from resefa_core import WrappedGenerator

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MOUTH = (22 / 64, 38 / 64, 20 / 64, 8 / 64)
FACE_SEED = 5


class DCGAN(nn.Module):
    """Transposed convolutions with clamped activations, as the weights' description says."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        names = sorted(tensors, key=lambda name: int(name.split(".")[0]))
        self.weights = nn.ParameterList([nn.Parameter(tensors[name].float()) for name in names])

    def forward(self, z: Tensor) -> Tensor:
        x = z[:, :, None, None]
        for index, weight in enumerate(self.weights):
            first, last = index == 0, index == len(self.weights) - 1
            x = F.conv_transpose2d(x, weight, stride=1 if first else 2, padding=0 if first else 1)
            x = x.tanh() if last else x.clamp(0.0, 15 / 16)
        return x


def load_dcgan() -> WrappedGenerator:
    file = DATA / "dcgan_celeba64" / "generator.safetensors"
    if not file.is_file():
        pytest.skip(f"the trained DCGAN is not there: {file.name} in {file.parent.name}")
    module = DCGAN(safetensors.torch.load_file(file))
    return WrappedGenerator(module, 64, prior=lambda z: z.clamp(-1.0, 0.992), name="dcgan_celeba64")
