"""The StyleGAN2 of lucidrains' stylegan2_pytorch, with its tensor names.

It differs from NVIDIA's: one code drives a whole resolution, a noise map is shared by all of them, sizes are
doubled by interpolation before convolutions instead of by transposed ones after them, and nothing but the
mapping network has an equalized learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .colours import as_rgb, check_channels
from .conditional import Convolution, Linear
from .mapping import MappedGenerator, MappingNetwork
from .registry import register_generator
from .styles import State, Style, modulate, styled_energy

_SLOPE = 0.2
_EPSILON = 1e-8
_START = 4


class Modulated(nn.Module):
    """A convolution's weight, `(outputs, inputs, kernel, kernel)`, that a style modulates."""

    def __init__(self, inputs: int, outputs: int, kernel: int, demodulates: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel).div_(math.sqrt(inputs)))
        self.demodulates = demodulates

    def forward(self, x: Tensor, style: Style) -> Tensor:
        made = F.conv2d(modulate(x, style), self.weight, padding=self.weight.shape[2] // 2)
        if not self.demodulates:
            return made
        energy = self.weight.square().sum(dim=(2, 3))
        return made * (styled_energy(energy, style, x.shape[2], x.shape[3]) + _EPSILON).rsqrt()


class ColourBlock(nn.Module):
    """A modulated 1 x 1 convolution to the colour channels."""

    def __init__(self, w_dim: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.to_style = Linear(w_dim, inputs)
        self.conv = Modulated(inputs, outputs, 1, demodulates=False)


class Block(nn.Module):
    """The layers of one resolution: two convolutions with noise, and their colours."""

    def __init__(self, w_dim: int, inputs: int, outputs: int, img_channels: int) -> None:
        super().__init__()
        self.to_style1, self.to_noise1 = Linear(w_dim, inputs), Linear(1, outputs)
        self.conv1 = Modulated(inputs, outputs, 3)
        self.to_style2, self.to_noise2 = Linear(w_dim, outputs), Linear(1, outputs)
        self.conv2 = Modulated(outputs, outputs, 3)
        self.to_rgb = ColourBlock(w_dim, outputs, img_channels)

    def affine_maps(self) -> tuple[Linear, Linear, Linear]:
        return self.to_style1, self.to_style2, self.to_rgb.to_style

    def forward(self, x: Tensor, noise: Tensor, style: Style) -> tuple[Tensor, Tensor]:
        """Features and the colours made of them."""
        parts = _split(style, [layer.weight.shape[0] for layer in self.affine_maps()])
        for convolution, to_noise, part in (
            (self.conv1, self.to_noise1, parts[0]),
            (self.conv2, self.to_noise2, parts[1]),
        ):
            shift = to_noise(noise[: x.shape[2], : x.shape[3], None]).permute(2, 0, 1)
            x = F.leaky_relu(convolution(x, part) + shift, _SLOPE)
        return x, self.to_rgb.conv(x, parts[2])


def _split(style: Style, sizes: list[int]) -> list[Style]:
    bases = style.base.split(sizes, dim=1)
    moves = [[(gate, part) for part in delta.split(sizes, dim=1)] for gate, delta in style.moves]
    return [Style(base, tuple(move[i] for move in moves)) for i, base in enumerate(bases)]


def _larger(x: Tensor) -> Tensor:
    """Twice the size, by bilinear interpolation."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def blurred(image: Tensor) -> Tensor:
    """Each channel filtered by [1, 2, 1] along both axes, reflected at the border."""
    taps = image.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(taps, taps).expand(image.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), kernel, groups=image.shape[1])


@register_generator
class LucidrainsStyleGAN2(MappedGenerator):
    """The generator of lucidrains' stylegan2_pytorch.

    A layer is a resolution; its style has the channels of its two convolutions and of the one to RGB. The
    mapping network is brought to the form of NVIDIA's. Images are drawn in [0, 1] there and in [-1, 1] here.

    Args:
        w_dim: size of the noise and of w.
        channels: what the first resolution takes, then what each of 4, 8, 16, ... pixels gives.
        img_channels: 3 for RGB, 1 for grey, 4 for RGB with opacity.
        num_mapping_layers: depth of the mapping network.
        lr_multiplier: learning-rate multiplier that the mapping network was trained with.

    Raises:
        ValueError: no layers, or images that can't be shown.
    """

    architecture = "stylegan2-lucidrains"
    implementation = "https://github.com/lucidrains/stylegan2-pytorch"
    noise: Tensor

    def __init__(
        self,
        w_dim: int = 512,
        channels: Sequence[int] = (512, 512, 512, 256, 128, 64, 32),
        img_channels: int = 3,
        num_mapping_layers: int = 8,
        lr_multiplier: float = 0.1,
    ) -> None:
        super().__init__()
        check_channels(img_channels)
        if len(channels) < 2:
            raise ValueError("it has no layers")
        self.z_dim = self.latent_dim = w_dim
        self.num_layers = len(channels) - 1
        self.resolution = _START << (self.num_layers - 1)
        self._untold = f"{lr_multiplier:g}"
        self.mapping = MappingNetwork(w_dim, 0, w_dim, num_mapping_layers, w_dim, lr_multiplier)
        self.initial_block = nn.Parameter(torch.randn(channels[0], _START, _START))
        self.initial_conv = Convolution(channels[0], channels[0], 3)
        self.blocks = nn.ModuleList(
            Block(w_dim, channels[i], channels[i + 1], img_channels) for i in range(self.num_layers)
        )
        self.register_buffer("noise", torch.rand(self.resolution, self.resolution))
        self.layer_sizes = tuple(
            sum(layer.weight.shape[0] for layer in self._block(index).affine_maps())
            for index in range(self.num_layers)
        )
        self.requires_grad_(False)

    @classmethod
    def file_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As they are: NVIDIA has no such class."""
        return dict(arguments)

    def _identity(self) -> str:
        return self._untold

    def _block(self, index: int) -> Block:
        block = self.blocks[index]
        assert isinstance(block, Block)
        return block

    def style(self, layer: int, code: Tensor) -> Tensor:
        return torch.cat([affine(code) for affine in self._block(layer).affine_maps()], dim=1)

    def style_matrix(self, layer: int) -> Tensor:
        return torch.cat([affine.weight for affine in self._block(layer).affine_maps()])

    def entry_map(self, layer: int) -> Tensor:
        """The affine map to the first convolution's styles."""
        return self._block(layer).to_style1.weight

    def feature_channels(self, layer: int) -> Tensor:
        known = super().feature_channels(layer)
        known[-self._block(layer).to_rgb.to_style.weight.shape[0] :] = False
        return known

    def activation_floats(self) -> int:
        return max(
            6 * self._block(index).conv1.weight.shape[1] * (_START << index) ** 2
            for index in range(self.num_layers)
        )

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        return (self.initial_conv(self.initial_block[None]).expand(batch_size, -1, -1, -1),)

    def step(self, layer: int, state: State, style: Style) -> State:
        x = state[0] if layer == 0 else _larger(state[0])
        x, colours = self._block(layer)(x, self.noise, style)
        image = colours if layer == 0 else colours + state[1]
        if layer == self.num_layers - 1:
            return (image,)
        return x, blurred(_larger(image))

    def finish(self, state: State) -> Tensor:
        return as_rgb(2.0 * state[0] - 1.0)

    def cut_out(self, state: State) -> Tensor | None:
        return 2.0 * state[0] - 1.0 if state[0].shape[1] == 4 else None
