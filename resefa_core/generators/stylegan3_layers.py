"""The layers of StyleGAN3's synthesis network, with the tensor names of NVIDIA's release.

Style modulation is applied to activations instead of weights, as in `stylegan2`. Where a code varies over
the image, each layer samples the region on its own grid; in the margin the region's edge goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mapping import FullyConnected
from .stylegan3_grids import Grid, lowpass_filter, radial_lowpass_filter
from .styles import Style, modulate, styled_energy, widened

GAIN = math.sqrt(2.0)
SLOPE = 0.2
EPSILON = 1e-8
_PART_FLOATS = 2 << 20
_MAX_TAPS = 1024
_MAX_INNER_SIZE = 12_288


class SynthesisInput(nn.Module):
    """Fourier features on a grid, moved by the first code and the user (Section 3.2, "Transformed Fourier
    features").

    A style has four entries, the cosine and the sine of a rotation and a translation, divided by the
    length of the first two. A place p of the image shows what lies at `R (T p - t)`, T the user's
    transform and R, t the style's. Places are fractions of the image from its centre, x to the right, y
    downwards. A style that varies over the image gives each place a transform of its own, which bends
    the picture: where the region's edge is sharp, it tears.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        directions = torch.randn(grid.channels, 2)
        radius = directions.norm(dim=1, keepdim=True)
        self.affine = FullyConnected(w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias[0] = 1.0
        self.weight = nn.Parameter(torch.randn(grid.channels, grid.channels))
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", grid.cutoff * directions / radius * torch.exp(-0.25 * radius**2))
        self.register_buffer("phases", torch.rand(grid.channels) - 0.5)

    def forward(self, style: Style) -> Tensor:
        cosine, sine, right, down = self._motion(style)
        size, rate = self.grid.size, self.grid.rate
        transform, freqs = widened(self.transform), widened(self.freqs)
        axis = (torch.arange(size, device=freqs.device, dtype=freqs.dtype) - (size - 1) / 2) / rate
        x = transform[0, 0] * axis[None, :] + transform[0, 1] * axis[:, None] + transform[0, 2] - right
        y = transform[1, 0] * axis[None, :] + transform[1, 1] * axis[:, None] + transform[1, 2] - down
        places = torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)
        waves = torch.sin(2.0 * math.pi * (places @ freqs.T + widened(self.phases)))

        turned = torch.stack(
            [
                cosine[..., None] * freqs[:, 0] + sine[..., None] * freqs[:, 1],
                cosine[..., None] * freqs[:, 1] - sine[..., None] * freqs[:, 0],
            ],
            dim=-1,
        )
        excess = (turned @ transform[:2, :2]).norm(dim=-1) - self.grid.cutoff
        amplitude = (1.0 - excess / (rate / 2 - self.grid.cutoff)).clamp(0.0, 1.0)
        features = (waves * amplitude).to(self.weight.dtype)
        return F.linear(features, self.weight / math.sqrt(self.grid.channels)).permute(0, 3, 1, 2)

    def _motion(self, style: Style) -> tuple[Tensor, ...]:
        """Cosine, sine and translation to the right and down, `(B, H, W)`; `(B, 1, 1)` where they are
        the same everywhere."""
        values = widened(style.base)[:, :, None, None]
        size, margin = self.grid.size, self.grid.margin
        for gate, delta in style.moves:
            values = values + gate.at(size, size, values, margin) * widened(delta)[:, :, None, None]
        length = values[:, :2].square().sum(dim=1, keepdim=True).sqrt().clamp_min(EPSILON)
        return (values / length).unbind(dim=1)


class SynthesisLayer(nn.Module):
    """A modulated convolution and a filtered nonlinearity (Section 3.2, "Filtered nonlinearities"): up to
    a multiple of the higher of the two sampling rates, leaky ReLU, down to the output's rate.

    Args:
        source, target: the grids of its input and its output.
        kernel: side of the convolution; odd.
        filter_size: taps of a filter for each sample of the lower rate.
        oversampling: the rate of the leaky ReLU, as a multiple.
        radial: whether the filter on the way down is the radial one.
        clamp: bound of the activations' magnitude, or None.

    Raises:
        ValueError: grids that do not share a centre, or of which the target is too large, or rates so far
            apart that filters or the grid between them are very large.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(
        self,
        w_dim: int,
        source: Grid,
        target: Grid,
        kernel: int,
        filter_size: int,
        oversampling: int,
        radial: bool,
        clamp: float | None,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"convolutions of {kernel} x {kernel}: expected an odd side")
        self.source = source
        self.target = target
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, source.channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(target.channels, source.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(target.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        rate = max(source.rate, target.rate) * oversampling
        self.up, self.down = rate // source.rate, rate // target.rate
        up_taps = filter_size * self.up if self.up > 1 else 1
        down_taps = filter_size * self.down if self.down > 1 else 1
        self.convolved_size = source.size + kernel - 1
        self.inner_size = (target.size - 1) * self.down + down_taps
        if max(up_taps, down_taps) > _MAX_TAPS or self.inner_size > _MAX_INNER_SIZE:
            raise ValueError(
                f"filters of {max(up_taps, down_taps)} taps and {self.inner_size} samples a side between "
                f"them: expected up to {_MAX_TAPS} and {_MAX_INNER_SIZE}"
            )
        excess = (self.convolved_size - 1) * self.up + up_taps - self.inner_size
        if excess < 0 or excess % 2:
            raise ValueError(f"a grid of {target.size} samples can't be made from one of {source.size}")
        self.crop = excess // 2
        design = radial_lowpass_filter if radial else lowpass_filter
        self.register_buffer(
            "up_filter",
            lowpass_filter(up_taps, source.cutoff, source.half_width, rate) if self.up > 1 else None,
        )
        self.register_buffer(
            "down_filter",
            design(down_taps, target.cutoff, target.half_width, rate) if self.down > 1 else None,
        )

    def forward(self, x: Tensor, style: Style) -> Tensor:
        x = self.convolve(modulate(x, self.scaled(style), self.source.margin), self.weight)
        return self.resample(torch.addcmul(self.shift(), x, self.demodulation(style)))

    def scaled(self, style: Style) -> Style:
        """The style with the gain that brings the layer's input to unit magnitude."""
        gain = widened(self.magnitude_ema).rsqrt().to(self.weight.dtype)
        return Style(style.base * gain, tuple((gate, delta * gain) for gate, delta in style.moves))

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, padding=weight.shape[2] - 1)

    def transposed(self, y: Tensor, weight: Tensor) -> Tensor:
        """The transpose of `convolve`."""
        return F.conv2d(y, weight.transpose(0, 1).flip(2, 3))

    def demodulation(self, style: Style) -> Tensor:
        """The scale of each output channel, `(B, O, 1, 1)`, or `(B, O, H, W)` at each place of the
        convolution's output: one over the root of the modulated weights' energy, times the gain of the
        leaky ReLU."""
        size = self.convolved_size
        total = styled_energy(self.energy(), style, size, size, self.convolved_margin)
        return (GAIN * total.clamp_min(1e-30).rsqrt()).to(self.weight.dtype)

    @property
    def convolved_margin(self) -> int:
        """How many of the rows of the convolution's output lie above the image, and as many on each side."""
        return self.source.margin + int(self.weight.shape[2]) // 2

    def energy(self) -> Tensor:
        """The squares of the weights, summed over the kernel, `(O, I)`.

        NVIDIA divides weights and styles by their root mean squares before it demodulates. That cancels,
        but for the small number that it adds to the energy: here it comes in proportion.
        """
        squares = widened(self.weight).square()
        return squares.sum(dim=(2, 3)) + EPSILON / self.weight.shape[1] * squares.mean(dim=(1, 2, 3))[:, None]

    def shift(self) -> Tensor:
        """The bias with the leaky ReLU's gain, `(1, O, 1, 1)`."""
        return GAIN * self.bias[None, :, None, None]

    def channel_parts(self) -> list[slice]:
        """The output's channels in parts whose leaky ReLU stays in the cache: they do not mix there, and
        its grid has four or more samples for each one of the output."""
        channels = self.target.channels
        count = max(16, self._part_floats() // self.inner_size**2 // 16 * 16)
        return [slice(start, min(start + count, channels)) for start in range(0, channels, count)]

    def image_parts(self, count: int, channels: slice) -> list[slice]:
        """As many images in parts that are as large, with some of the channels each."""
        size = (channels.stop - channels.start) * self.inner_size**2
        step = max(1, self._part_floats() // size)
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]

    def _part_floats(self) -> int:
        return _PART_FLOATS if self.weight.device.type == "cpu" else 64 * _PART_FLOATS

    def resample(self, x: Tensor) -> Tensor:
        """The filtered nonlinearity; the gain is in `x` already."""
        parts = [self.downsample(self.activate(self.upsample(x[:, part]))) for part in self.channel_parts()]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def activate(self, x: Tensor) -> Tensor:
        """Leaky ReLU and clamp."""
        x = F.leaky_relu(x, SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def activation_slope(self, x: Tensor) -> Tensor:
        """The derivative of `activate`."""
        slope = SLOPE + (1.0 - SLOPE) * (x > 0).to(x)
        return slope if self.clamp is None else slope.mul_((slope * x).abs_() <= self.clamp)

    def upsample(self, x: Tensor) -> Tensor:
        """From the convolution's grid to the leaky ReLU's."""
        if self.up_filter is None:
            return F.pad(x, (-self.crop,) * 4) if self.crop else x
        channels = x.shape[1]
        taps = (self.up * self.up_filter).expand(channels, 1, 1, -1)
        x = F.conv_transpose2d(x, taps, stride=(1, self.up), padding=(0, self.crop), groups=channels)
        taps = taps.transpose(2, 3)
        return F.conv_transpose2d(x, taps, stride=(self.up, 1), padding=(self.crop, 0), groups=channels)

    def upsample_transposed(self, y: Tensor) -> Tensor:
        """The transpose of `upsample`."""
        if self.up_filter is None:
            return F.pad(y, (self.crop,) * 4) if self.crop else y
        channels = y.shape[1]
        taps = (self.up * self.up_filter).expand(channels, 1, 1, -1)
        y = F.conv2d(y, taps.transpose(2, 3), stride=(self.up, 1), padding=(self.crop, 0), groups=channels)
        return F.conv2d(y, taps, stride=(1, self.up), padding=(0, self.crop), groups=channels)

    def downsample(self, x: Tensor) -> Tensor:
        """From the leaky ReLU's grid to the output's."""
        if self.down_filter is None:
            return x
        channels = x.shape[1]
        if self.down_filter.ndim == 2:
            taps = self.down_filter.expand(channels, 1, -1, -1)
            return F.conv2d(x, taps, stride=self.down, groups=channels)
        taps = self.down_filter.expand(channels, 1, 1, -1)
        x = F.conv2d(x, taps, stride=(1, self.down), groups=channels)
        return F.conv2d(x, taps.transpose(2, 3), stride=(self.down, 1), groups=channels)

    def downsample_transposed(self, y: Tensor) -> Tensor:
        """The transpose of `downsample`."""
        if self.down_filter is None:
            return y
        channels = y.shape[1]
        if self.down_filter.ndim == 2:
            taps = self.down_filter.expand(channels, 1, -1, -1)
            return F.conv_transpose2d(y, taps, stride=self.down, groups=channels)
        taps = self.down_filter.expand(channels, 1, 1, -1)
        y = F.conv_transpose2d(y, taps.transpose(2, 3), stride=(self.down, 1), groups=channels)
        return F.conv_transpose2d(y, taps, stride=(1, self.down), groups=channels)


class ToRGB(SynthesisLayer):
    """A modulated 1 x 1 convolution to the colour channels, without demodulation and nonlinearity."""

    def __init__(self, w_dim: int, source: Grid, target: Grid, clamp: float | None) -> None:
        super().__init__(
            w_dim, source, target, kernel=1, filter_size=1, oversampling=1, radial=False, clamp=clamp
        )

    def demodulation(self, style: Style) -> Tensor:
        return self.weight.new_full((1, 1, 1, 1), 1.0 / math.sqrt(self.weight.shape[1]))

    def energy(self) -> Tensor:
        return torch.zeros_like(self.weight[:, :, 0, 0])

    def shift(self) -> Tensor:
        return self.bias[None, :, None, None]

    def activate(self, x: Tensor) -> Tensor:
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def activation_slope(self, x: Tensor) -> Tensor:
        return torch.ones_like(x) if self.clamp is None else (x.abs() <= self.clamp).to(x)


class Synthesis(nn.Module):
    """The Fourier features and the layers after them, named as NVIDIA names them."""

    def __init__(
        self,
        w_dim: int,
        grids: Sequence[Grid],
        num_critical: int,
        kernel: int,
        filter_size: int,
        oversampling: int,
        radial: bool,
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.input = SynthesisInput(w_dim, grids[0])
        self.layer_names: list[str] = []
        last = len(grids) - 1
        for index, (source, target) in enumerate(zip([grids[0], *grids], grids, strict=False)):
            layer: SynthesisLayer
            if index == last:
                layer = ToRGB(w_dim, source, target, clamp)
            else:
                critical = index >= last - num_critical
                layer = SynthesisLayer(
                    w_dim, source, target, kernel, filter_size, oversampling, radial and not critical, clamp
                )
            self.layer_names.append(f"L{index}_{target.size}_{target.channels}")
            self.add_module(self.layer_names[-1], layer)

    def layer(self, index: int) -> SynthesisLayer:
        layer = self.get_submodule(self.layer_names[index])
        assert isinstance(layer, SynthesisLayer)
        return layer
