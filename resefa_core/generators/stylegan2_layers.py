"""The layers of StyleGAN2's synthesis network, with the tensor names of NVIDIA's releases.

Style modulation is applied to activations instead of weights. The two are equal, and this way the
tangents of one image share each convolution's weights, and a code may vary over the image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mapping import FullyConnected
from .styles import Style, modulate, styled_energy, widened

GAIN = math.sqrt(2.0)
SLOPE = 0.2
EPSILON = 1e-8
SQUARE = (4, 4)


def grown(start: tuple[int, int], resolution: int) -> tuple[int, int]:
    """Height and width at the block of a name, where the first one, of 4, has those of `start`."""
    return start[0] * resolution // 4, start[1] * resolution // 4


def _demodulation(weight: Tensor, style: Style, height: int, width: int) -> Tensor:
    """One over the root of the modulated weights' energy, for each output channel and place; in float32
    at least: sums over hundreds of channels leave float16's range."""
    energy = widened(weight).square().sum(dim=(2, 3))
    total = styled_energy(energy, style, height, width) + EPSILON
    return total.clamp_min(EPSILON).rsqrt().to(weight.dtype)


class SynthesisLayer(nn.Module):
    """A modulated, demodulated 3 x 3 convolution with noise, bias and leaky ReLU; may double the size."""

    noise_const: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        up: bool,
        clamp: float | None = None,
        start: tuple[int, int] = SQUARE,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.size = grown(start, resolution)
        self.up = up
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(self.size))

    def forward(self, x: Tensor, style: Style, kernel: Tensor) -> Tensor:
        x = self.convolve(modulate(x, style), self.weight, kernel)
        scale = GAIN * _demodulation(self.weight, style, *self.size)
        return _clamped(F.leaky_relu(torch.addcmul(self.shift(), x, scale), SLOPE), self.clamp)

    def convolve(self, x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
        """The linear heart of the layer: the convolution and, where it doubles the size, the filter."""
        if self.up:
            return _filter(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), kernel * 2.0)
        return F.conv2d(x, weight, padding=1)

    def transposed(self, y: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
        """The transpose of `convolve`: `(n, O, H, W)` to `(n, I, h, w)`."""
        turned = weight.transpose(0, 1)
        if self.up:
            return F.conv2d(_filter(y, kernel.flip(0) * 2.0, padding=2), turned, stride=2)
        return F.conv2d(y, turned.flip(2, 3), padding=1)

    def shift(self) -> Tensor:
        """Noise and bias, `(1, O, H, W)`, with the activation's gain."""
        return GAIN * (self.noise_const * self.noise_strength + self.bias[:, None, None])[None]


class ToRGB(nn.Module):
    """A modulated 1 x 1 convolution to the colour channels, without demodulation."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain = 1.0 / math.sqrt(inputs)

    def forward(self, x: Tensor, style: Style) -> Tensor:
        colour = F.conv2d(modulate(x, style), self.weight * self.weight_gain, self.bias)
        return _clamped(colour, self.clamp)


def _clamped(x: Tensor, clamp: float | None) -> Tensor:
    return x if clamp is None else x.clamp(-clamp, clamp)


def _filter(x: Tensor, kernel: Tensor, padding: int = 1) -> Tensor:
    """Filter each channel by the 4-tap `kernel` along both axes; the result is 1 smaller, with a padding of
    2 it is 1 larger."""
    channels = x.shape[1]
    square = torch.outer(kernel, kernel).expand(channels, 1, -1, -1)
    return F.conv2d(x, square, padding=padding, groups=channels)


def upsample(image: Tensor) -> Tensor:
    """Double the size by the filter [1, 3, 3, 1] with zeros around: bilinear interpolation, padded."""
    image = F.interpolate(F.pad(image, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return image[:, :, 2:-2, 2:-2]


def upsample_transposed(image: Tensor) -> Tensor:
    """The transpose of `upsample`: `(n, C, 2h, 2w)` to `(n, C, h, w)`."""
    taps = image.new_tensor([0.25, 0.75, 0.75, 0.25])
    channels = image.shape[1]
    square = torch.outer(taps, taps).expand(channels, 1, -1, -1)
    return F.conv2d(image, square, stride=2, padding=1, groups=channels)


class SynthesisBlock(nn.Module):
    """The layers of one resolution, with the running image beside the features."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        clamp: float | None = None,
        start: tuple[int, int] = SQUARE,
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", torch.tensor([0.125, 0.375, 0.375, 0.125]), persistent=False)
        if inputs:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, True, clamp, start)
        else:
            self.const = nn.Parameter(torch.randn(outputs, *start))
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, False, clamp, start)
        self.torgb = ToRGB(outputs, img_channels, w_dim, clamp)


class Synthesis(nn.Module):
    """The blocks from 4 x 4 up to the image's resolution."""

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int,
        channel_max: int,
        clamp: float | None = None,
        start: tuple[int, int] = SQUARE,
    ) -> None:
        super().__init__()
        self.resolutions = [2**i for i in range(2, int(math.log2(img_resolution)) + 1)]
        inputs = 0
        for resolution in self.resolutions:
            outputs = min(channel_base // resolution, channel_max)
            self.add_module(
                f"b{resolution}",
                SynthesisBlock(inputs, outputs, w_dim, resolution, img_channels, clamp, start),
            )
            inputs = outputs

    def block(self, resolution: int) -> SynthesisBlock:
        block = self.get_submodule(f"b{resolution}")
        assert isinstance(block, SynthesisBlock)
        return block
