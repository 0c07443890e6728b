"""PGGAN (Karras et al., 2018, "Progressive Growing of GANs"), fully grown, with genforce's tensor names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Generator
from .conditional import doubled
from .registry import register_generator
from .styles import State, Style

_EPSILON = 1e-8
_SLOPE = 0.2
_START = 4


def _normalize(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + _EPSILON).rsqrt()


class Layer(nn.Module):
    """Normalises each place, then convolves, with weights that are scaled when used."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float, fused: bool = False) -> None:
        super().__init__()
        sides = (inputs, outputs) if fused else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(*sides, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(max(inputs, 1) * kernel * kernel)
        self.fused = fused

    def forward(self, x: Tensor, double: bool = False) -> Tensor:
        x = _normalize(x)
        weight = self.weight * self.scale
        if self.fused:
            wide = F.pad(weight, (1, 1, 1, 1))
            wide = wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]
            return F.conv_transpose2d(x, wide, self.bias, stride=2, padding=1)
        kernel = self.weight.shape[2]
        padding = kernel - 1 if kernel == _START else kernel // 2
        bias = self.bias if self.bias.ndim == 3 else self.bias[:, None, None]
        return F.conv2d(doubled(x) if double else x, weight, padding=padding) + bias


@register_generator
class PGGAN(Generator):
    """PGGAN's generator: one layer, whose code is the noise. Its only space is `z`.

    The code is normalised and enters at one place, from which the whole image unfolds: it can't vary over
    the image, and edits can't be confined. As only the code's direction counts, truncation changes nothing.

    Args:
        z_dim: size of the noise.
        channels: of the feature maps of 4, 8, 16, ... pixels.
        fused: whether sizes are doubled by transposed convolutions, which join the doubling to the
            convolution after it.
        final_tanh: whether `tanh` bounds the image.
        placed_bias: whether each place of the first feature map has biases of its own.
    """

    architecture = "pggan"
    implementation = "https://github.com/genforce/genforce"
    spaces = ("z",)

    def __init__(
        self,
        z_dim: int = 512,
        channels: Sequence[int] = (512, 512, 512, 512, 256, 128, 64, 32, 16),
        fused: bool = False,
        final_tanh: bool = False,
        placed_bias: bool = False,
    ) -> None:
        super().__init__()
        if not channels:
            raise ValueError("it has no layers")
        self.z_dim = z_dim
        self.latent_dim = z_dim
        self.num_layers = 1
        self.layer_sizes = (z_dim,)
        self.final_tanh = final_tanh
        self.steps = len(channels)
        self.resolution = _START << (self.steps - 1)
        before = z_dim
        for index, width in enumerate(channels):
            first = _START if index == 0 else 3
            self.add_module(
                f"layer{2 * index}", Layer(before, width, first, math.sqrt(2.0), fused and index > 0)
            )
            self.add_module(f"layer{2 * index + 1}", Layer(width, width, 3, math.sqrt(2.0)))
            before = width
        if placed_bias:
            self.get_submodule("layer0").bias = nn.Parameter(torch.zeros(channels[0], _START, _START))
        self.output = Layer(before, 3, 1, 1.0)
        self.requires_grad_(False)

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z[:, None]

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        return ()

    def step(self, layer: int, state: State, style: Style) -> State:
        x = _normalize(style.base)[:, :, None, None]
        for index in range(2 * self.steps):
            double = index % 2 == 0 and index > 0
            x = F.leaky_relu(self.get_submodule(f"layer{index}")(x, double), _SLOPE)
        return (self.output(x),)

    def finish(self, state: State) -> Tensor:
        return state[0].tanh() if self.final_tanh else state[0]

    def entry_map(self, layer: int) -> Tensor:
        """The first convolution."""
        return self.get_parameter("layer0.weight").movedim(1, -1).flatten(0, 2)

    def entry_input(self, codes: Tensor) -> Tensor:
        """Codes at unit length: only their direction counts."""
        return F.normalize(codes)

    def activation_floats(self) -> int:
        widest = 0
        for index in range(self.steps):
            layer = self.get_submodule(f"layer{2 * index + 1}")
            assert isinstance(layer, Layer)
            widest = max(widest, 6 * layer.weight.shape[0] * (_START << index) ** 2)
        return widest
