"""StyleGAN (Karras et al., 2019, "A Style-Based Generator Architecture"), fully grown.

Its layers normalise each feature map and give it a mean and a deviation by the style (AdaIN), where StyleGAN2
scales weights. Tensors of the synthesis network are named as in genforce's code, of the mapping network as in
StyleGAN2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .colours import as_rgb, check_channels
from .conditional import doubled
from .mapping import FullyConnected, MappedGenerator, MappingNetwork
from .registry import register_generator
from .styles import State, Style

_GAIN = math.sqrt(2.0)
_SLOPE = 0.2
_EPSILON = 1e-8
_START = 4
_FUSED_FROM = 128


class Noise(nn.Module):
    """A noise map, `(H, W)`, and its weight in each channel."""

    noise: Tensor

    def __init__(self, channels: int, resolution: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise", torch.randn(resolution, resolution))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.noise * self.weight[:, None, None]


class SynthesisLayer(nn.Module):
    """A convolution or the constant, then noise, bias, leaky ReLU, and AdaIN by the style.

    A style has a scale, to which 1 is added, for each channel, then an offset for each.

    Args:
        inputs: channels that are convolved; 0 for the layer of the constant.
        outputs: channels of the output.
        w_dim: size of w.
        resolution: side of the output.
        up: whether the size is doubled before.
        fused: whether a transposed convolution doubles it, instead of repeating.
    """

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, up: bool = False, fused: bool = False
    ) -> None:
        super().__init__()
        self.up, self.fused = up, fused
        self.channels, self.resolution, self.convolves = outputs, resolution, inputs > 0
        if inputs:
            self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
            self.scale = _GAIN / math.sqrt(9 * inputs)
        else:
            self.const = nn.Parameter(torch.ones(outputs, resolution, resolution))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style = FullyConnected(w_dim, 2 * outputs)
        self.apply_noise = Noise(outputs, resolution)

    def forward(self, x: Tensor, style: Style) -> Tensor:
        if self.up:
            x = _blurred(self._grown(x))
        elif self.convolves:
            x = F.conv2d(x, self.weight * self.scale, padding=1)
        x = F.leaky_relu(self.apply_noise(x) + self.bias[:, None, None], _SLOPE)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x * (x.square().mean(dim=(2, 3), keepdim=True) + _EPSILON).rsqrt()
        return self._styled(x, style)

    def _grown(self, x: Tensor) -> Tensor:
        """The convolution's output at twice the size."""
        weight = self.weight * self.scale
        if not self.fused:
            return F.conv2d(doubled(x), weight, padding=1)
        wide = F.pad(weight, (1, 1, 1, 1))
        wide = wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]
        return F.conv_transpose2d(x, wide.transpose(0, 1), stride=2, padding=1)

    def _styled(self, x: Tensor, style: Style) -> Tensor:
        total = style.base[:, :, None, None]
        for gate, delta in style.moves:
            total = total + gate.at(x.shape[2], x.shape[3], x) * delta[:, :, None, None]
        scale, offset = total.split(self.channels, dim=1)
        return x * (1.0 + scale) + offset


class ToRGB(nn.Module):
    """A 1 x 1 convolution to the colour channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1.0 / math.sqrt(max(inputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias)


def _blurred(x: Tensor) -> Tensor:
    """Each channel filtered by [1, 2, 1] along both axes, with zeros around."""
    taps = x.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


class Synthesis(nn.Module):
    """Two layers for each resolution, and the colours of the last one."""

    def __init__(self, w_dim: int, channels: Sequence[int], img_channels: int, fused_from: int) -> None:
        super().__init__()
        before = 0
        for index, width in enumerate(channels):
            side = _START << index
            up = index > 0
            first = SynthesisLayer(before, width, w_dim, side, up, up and side >= fused_from)
            self.add_module(f"layer{2 * index}", first)
            self.add_module(f"layer{2 * index + 1}", SynthesisLayer(width, width, w_dim, side))
            before = width
        self.output = ToRGB(before, img_channels)

    def layer(self, index: int) -> SynthesisLayer:
        layer = self.get_submodule(f"layer{index}")
        assert isinstance(layer, SynthesisLayer)
        return layer


@register_generator
class StyleGAN1(MappedGenerator):
    """StyleGAN's generator, without classes.

    Each resolution has two layers, each with a code of its own. A layer's style has a scale and an offset for
    each of its channels. A confined edit leaks where layers normalise: a feature map's mean and deviation are
    those of the whole image.

    Args:
        z_dim, w_dim: sizes of the noise and w.
        channels: of the feature maps of 4, 8, 16, ... pixels.
        img_channels: 3 for RGB, 1 for grey, 4 for RGB with opacity.
        num_mapping_layers: depth of the mapping network.
        mapping_features: width of its inner layers; w_dim by default.
        lr_multiplier: learning-rate multiplier that the mapping network was trained with.
        fused_from: the resolution from which on sizes are doubled by transposed convolutions.
        final_tanh: whether `tanh` bounds the image.

    Raises:
        ValueError: no layers, or images that can't be shown.
    """

    architecture = "stylegan1"
    implementation = "https://github.com/genforce/genforce"

    def __init__(
        self,
        z_dim: int = 512,
        w_dim: int = 512,
        channels: Sequence[int] = (512, 512, 512, 512, 256, 128, 64, 32, 16),
        img_channels: int = 3,
        num_mapping_layers: int = 8,
        mapping_features: int | None = None,
        lr_multiplier: float = 0.01,
        fused_from: int = _FUSED_FROM,
        final_tanh: bool = False,
    ) -> None:
        super().__init__()
        check_channels(img_channels)
        if not channels:
            raise ValueError("it has no layers")
        self.z_dim = z_dim
        self.latent_dim = w_dim
        self.final_tanh = final_tanh
        self.resolution = _START << (len(channels) - 1)
        self.mapping = MappingNetwork(
            z_dim, 0, w_dim, num_mapping_layers, mapping_features or w_dim, lr_multiplier
        )
        self.synthesis = Synthesis(w_dim, channels, img_channels, fused_from)
        self.num_layers = 2 * len(channels)
        self.layer_sizes = tuple(2 * width for width in channels for _ in range(2))
        self._untold = f"{lr_multiplier:g} {fused_from} {final_tanh}"
        self.requires_grad_(False)

    @classmethod
    def file_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As they are: NVIDIA has no such class for PyTorch."""
        return dict(arguments)

    def _identity(self) -> str:
        return self._untold

    def layer_group(self, group: str) -> tuple[int, ...]:
        """Coarse: up to 8 x 8. Middle: 16 x 16 and 32 x 32. Fine: from 64 x 64 (the paper's section 3.1)."""
        bounds = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1 << 16)}
        if group not in bounds:
            return super().layer_group(group)
        low, high = bounds[group]
        return tuple(i for i in range(self.num_layers) if low <= _START << (i // 2) <= high)

    def style(self, layer: int, code: Tensor) -> Tensor:
        style: Tensor = self.synthesis.layer(layer).style(code)
        return style

    def style_matrix(self, layer: int) -> Tensor:
        return self.synthesis.layer(layer).style.matrix()

    def entry_map(self, layer: int) -> Tensor:
        return self.style_matrix(layer)

    def feature_channels(self, layer: int) -> Tensor:
        """The scales, but for the last layer's, whose channels go to RGB."""
        channels = self.synthesis.layer(layer).channels
        known = torch.zeros(2 * channels, dtype=torch.bool)
        known[:channels] = layer < self.num_layers - 1
        return known

    def activation_floats(self) -> int:
        layers = [self.synthesis.layer(index) for index in range(self.num_layers)]
        return max(8 * layer.channels * layer.resolution**2 for layer in layers)

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        return (self.synthesis.layer(0).const[None].expand(batch_size, -1, -1, -1),)

    def step(self, layer: int, state: State, style: Style) -> State:
        return (self.synthesis.layer(layer)(state[0], style),)

    def _colours(self, state: State) -> Tensor:
        colours: Tensor = self.synthesis.output(state[0])
        return colours.tanh() if self.final_tanh else colours

    def finish(self, state: State) -> Tensor:
        return as_rgb(self._colours(state))

    def cut_out(self, state: State) -> Tensor | None:
        return self._colours(state) if self.synthesis.output.weight.shape[0] == 4 else None
