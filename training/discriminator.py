"""The residual discriminator of StyleGAN2, with the image as an input at every resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resefa_core.generators.mapping import FullyConnected

_GAIN = math.sqrt(2.0)


class Convolution(nn.Module):
    """A convolution with equalized learning rate and, if `active`, a leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, active: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.scale = 1.0 / math.sqrt(inputs * size**2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[2] // 2)
        return x if self.bias is None else F.leaky_relu(x, 0.2) * _GAIN


class Block(nn.Module):
    """Features and the image of one resolution to features of half of it."""

    def __init__(self, colours: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.from_rgb = Convolution(colours, inputs, 1)
        self.conv0 = Convolution(inputs, inputs, 3)
        self.conv1 = Convolution(inputs, outputs, 3)
        self.skip = Convolution(inputs, outputs, 1, active=False)

    def forward(self, x: Tensor | None, image: Tensor) -> Tensor:
        seen = self.from_rgb(image)
        x = seen if x is None else x + seen
        residual = self.conv1(_half(self.conv0(x)))
        return residual + self.skip(_half(x))


class Discriminator(nn.Module):
    """Images `(B, 3, H, W)` in [-1, 1] to logits `(B,)`; large means real.

    Args:
        channels: features at each resolution, from the image's down to 4 x 4.
        beside_mirror: whether it sees each pixel beside the one that mirrors it, so that two eyes which
            differ show at the finest resolution, not only where features have come to span a face.
    """

    def __init__(self, channels: Sequence[int], beside_mirror: bool = False) -> None:
        super().__init__()
        self.beside_mirror = beside_mirror
        colours = 6 if beside_mirror else 3
        self.resolutions = [4 * 2**i for i in reversed(range(1, len(channels)))]
        for index, resolution in enumerate(self.resolutions):
            self.add_module(f"b{resolution}", Block(colours, channels[index], channels[index + 1]))
        self.conv = Convolution(channels[-1] + 1, channels[-1], 3)
        self.hidden = FullyConnected(16 * channels[-1], channels[-1])
        self.logit = FullyConnected(channels[-1], 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.look(image)[0]

    def look(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and the features after each block."""
        x, seen = None, []
        if self.beside_mirror:
            image = torch.cat([image, image.flip(3)], dim=1)
        for resolution in self.resolutions:
            x = self.get_submodule(f"b{resolution}")(x, image)
            seen.append(x)
            image = _half(image)
        assert x is not None
        x = self.conv(torch.cat([x, _spread(x)], dim=1))
        hidden = F.leaky_relu(self.hidden(x.flatten(1)), 0.2) * _GAIN
        return self.logit(hidden)[:, 0], seen

    def take_over(self, state: Mapping[str, Tensor]) -> None:
        """Become another one of these channels, which need not have seen mirror images: then these count
        nothing at first."""
        own = self.state_dict()
        for name, value in state.items():
            inputs = value.shape[1] if name.endswith("from_rgb.weight") else 0
            if inputs and inputs < own[name].shape[1]:
                more = own[name].shape[1] - inputs
                gain = math.sqrt(own[name].shape[1] / inputs)
                value = F.pad(value * gain, (0, 0, 0, 0, 0, more))
            own[name] = value
        self.load_state_dict(own)


def _half(x: Tensor) -> Tensor:
    """Average squares of four pixels; as a convolution, on CPUs a third of what pooling takes."""
    channels = x.shape[1]
    return F.conv2d(x, x.new_full((channels, 1, 2, 2), 0.25), stride=2, groups=channels)


def _spread(x: Tensor, group: int = 4) -> Tensor:
    """The standard deviation over groups of samples, averaged to one more feature map: a batch of
    pictures that are all alike shows."""
    size = min(group, len(x))
    groups = x.float().reshape(size, -1, *x.shape[1:])
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return deviation.to(x.dtype).repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
