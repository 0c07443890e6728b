"""FastGAN (Liu et al., 2021) in the form of Projected GAN (Sauer et al., 2021), without classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Generator
from .colours import as_rgb, check_channels
from .conditional import Convolution, doubled
from .dcgan import BatchNorm, TransposedConvolution
from .registry import register_generator
from .styles import State, Style

_EPSILON = 1e-8
_BATCH_EPSILON = 1e-5
_START = 4
_FIRST_GATED = 64


def gated_halves(x: Tensor) -> Tensor:
    """The first half of the channels times the sigmoid of the second: `glu`, which has no batched forward
    derivative."""
    first, second = x.chunk(2, dim=1)
    return first * second.sigmoid()


class Stage(nn.Module):
    """A convolution, noise, batch norm, and the gating of one half of the channels by the other."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, resolution: int, noisy: bool) -> None:
        super().__init__()
        self.noisy = noisy
        self.conv = Convolution(inputs, 2 * outputs, 3, bias=False)
        self.norm = BatchNorm(2 * outputs, _BATCH_EPSILON)
        if noisy:
            self.noise_strength = nn.Parameter(torch.zeros(1))
            self.register_buffer("noise", torch.randn(resolution, resolution))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.noisy:
            x = x + self.noise_strength * self.noise
        return gated_halves(self.norm(x))


class Excitation(nn.Module):
    """Gains of a layer's channels, of the features of an earlier layer that are averaged to 4 x 4."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(outputs, inputs, _START, _START).div_(4 * math.sqrt(inputs)))
        self.second = nn.Parameter(torch.randn(outputs, outputs, 1, 1).div_(math.sqrt(outputs)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(F.conv2d(F.adaptive_avg_pool2d(x, _START), self.first))
        return F.conv2d(x, self.second).sigmoid()


@register_generator
class FastGAN(Generator):
    """FastGAN's generator: one layer, whose code is the noise. Its only space is `z`.

    The code is normalised and enters at one place, from which the whole image unfolds: it can't vary over the
    image, and edits can't be confined. As only the code's direction counts, truncation changes nothing. Batch
    norms use their recorded statistics.

    Args:
        z_dim: size of the noise.
        channels: of the feature maps of 4, 8, 16, ... pixels.
        gates: whether the channels of the feature maps of 64, 128, ... pixels are scaled by what is seen at a
            16th of their size.
        img_channels: 3 for RGB, 1 for grey, 4 for RGB with opacity.
        stages: convolutions of each resolution: 2, with noise, or 1, without, in the light form.

    Raises:
        ValueError: sizes that no such network has.
    """

    architecture = "fastgan"
    implementation = "https://github.com/autonomousvision/projected-gan"
    spaces = ("z",)

    def __init__(
        self,
        z_dim: int = 256,
        channels: Sequence[int] = (2048, 1024, 512, 256, 256, 128, 64),
        gates: Sequence[bool] = (True, True, True),
        img_channels: int = 3,
        stages: int = 2,
    ) -> None:
        super().__init__()
        check_channels(img_channels)
        if len(channels) < 2 or len(gates) != max(len(channels) - 4, 0) or stages not in (1, 2):
            raise ValueError(
                f"channels {list(channels)}, gates {list(gates)} and {stages} stages: expected two "
                "resolutions or more, a choice for each from 64 pixels on, and 1 or 2"
            )
        self.z_dim = self.latent_dim = z_dim
        self.num_layers = 1
        self.layer_sizes = (z_dim,)
        self.resolution = _START << (len(channels) - 1)
        self.init = TransposedConvolution(z_dim, 2 * channels[0], _START, bias=False)
        self.init_norm = BatchNorm(2 * channels[0], _BATCH_EPSILON)
        self.blocks = nn.ModuleList()
        self.excitations = nn.ModuleDict()
        for index, (before, after) in enumerate(pairwise(channels), 1):
            side = _START << index
            self.blocks.append(
                nn.ModuleList(
                    Stage(before if i == 0 else after, after, side, stages == 2) for i in range(stages)
                )
            )
            if side >= _FIRST_GATED and gates[index - 4]:
                self.excitations[str(side)] = Excitation(channels[index - 4], after)
        self.to_image = Convolution(channels[-1], img_channels, 3)
        self.requires_grad_(False)

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z[:, None]

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        return ()

    def step(self, layer: int, state: State, style: Style) -> State:
        x = style.base * (style.base.square().mean(dim=1, keepdim=True) + _EPSILON).rsqrt()
        x = gated_halves(self.init_norm(self.init(x[:, :, None, None])))
        seen = [x]
        for block in self.blocks:
            assert isinstance(block, nn.ModuleList)
            x = doubled(x)
            for stage in block:
                x = stage(x)
            side = str(x.shape[2])
            if side in self.excitations:
                x = x * self.excitations[side](seen[-4])
            seen.append(x)
        return (self.to_image(x),)

    def finish(self, state: State) -> Tensor:
        return as_rgb(state[0])

    def cut_out(self, state: State) -> Tensor | None:
        return state[0] if state[0].shape[1] == 4 else None

    def entry_map(self, layer: int) -> Tensor:
        """The first convolution."""
        return self.init.weight.flatten(1).T

    def entry_input(self, codes: Tensor) -> Tensor:
        """Codes at unit length: only their direction counts."""
        return F.normalize(codes)

    def activation_floats(self) -> int:
        widest = 0
        for index, block in enumerate(self.blocks, 1):
            assert isinstance(block, nn.ModuleList)
            stage = block[0]
            assert isinstance(stage, Stage)
            widest = max(widest, 5 * stage.conv.weight.shape[0] * (_START << index) ** 2)
        return widest
