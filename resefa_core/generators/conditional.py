"""What both BigGANs are made of: convolutions, batch norm with gains and offsets that a code drives, and
self-attention. Spectral norms are divided out of the weights when a file is read.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .styles import Style


class Linear(nn.Module):
    """`y = W x + b`, W `(outputs, inputs)`."""

    bias: nn.Parameter | None

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs).div_(math.sqrt(max(inputs, 1))))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Convolution(nn.Module):
    """A convolution that keeps the size, `(outputs, inputs, kernel, kernel)`."""

    bias: nn.Parameter | None

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        fan_in = max(inputs, 1) * kernel * kernel
        weight = torch.randn(outputs, inputs, kernel, kernel).div_(math.sqrt(fan_in))
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[2] // 2)


class SelfAttention(nn.Module):
    """Attention of every place to the strongest of each 2 x 2 places (Zhang et al., 2019), with a gain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = Convolution(channels, channels // 8, 1, bias=False)
        self.phi = Convolution(channels, channels // 8, 1, bias=False)
        self.g = Convolution(channels, channels // 2, 1, bias=False)
        self.o = Convolution(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        queries = self.theta(x).flatten(2)
        keys, values = (F.max_pool2d(layer(x), 2).flatten(2) for layer in (self.phi, self.g))
        weights = (queries.transpose(1, 2) @ keys).softmax(dim=-1)
        mixed = (values @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.o(mixed)


def normalize(x: Tensor, mean: Tensor, variance: Tensor, eps: float, gain: Tensor, offset: Tensor) -> Tensor:
    """`(x - mean) / sqrt(variance + eps) * gain + offset`.

    Args:
        x: `(B, C, H, W)`.
        mean, variance: `(C,)` or `(B, C)`.
        gain, offset: `(B, C, 1, 1)`, or `(B, C, H, W)` where they vary over the image.
    """
    scale = (variance + eps).rsqrt()[..., None, None]
    return (x - mean[..., None, None]) * (scale * gain) + offset


def varying(base: Tensor, matrix: Tensor, style: Style, height: int, width: int) -> Tensor:
    """What a linear layer makes of a code that varies over the image.

    Args:
        base: `(B, C)`, what it makes of the code without moves.
        matrix: `(C, D)`, its part that the code meets.
        style: the code and its moves.

    Returns:
        `(B, C, height, width)`, or `(B, C, 1, 1)` where there are no moves.
    """
    total = base[:, :, None, None]
    for gate, delta in style.moves:
        total = total + gate.at(height, width, base) * F.linear(delta, matrix)[:, :, None, None]
    return total


def unfold_linear(base: Tensor, matrix: Tensor, style: Style, side: int, channels_last: bool) -> Tensor:
    """The first feature map, `(B, C, side, side)`, of a linear layer with outputs for each of its places.

    Each place has rows of its own in the matrix, and so can be given a code of its own.

    Args:
        base: `(B, C * side * side)`, what the layer makes of the code without moves.
        matrix: `(C * side * side, D)`, its part that the code meets.
        channels_last: whether the channels of a place lie beside each other.
    """

    def folded(values: Tensor) -> Tensor:
        if channels_last:
            return values.unflatten(1, (side, side, -1)).permute(0, 3, 1, 2)
        return values.unflatten(1, (-1, side, side))

    total = folded(base)
    for gate, delta in style.moves:
        total = total + gate.at(side, side, base) * folded(F.linear(delta, matrix))
    return total


def doubled(x: Tensor) -> Tensor:
    """Twice the size, each place repeated."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
