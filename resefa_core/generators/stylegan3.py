"""StyleGAN3 (Karras et al., 2021, "Alias-Free Generative Adversarial Networks"), configurations T and R,
with the tensor names of NVIDIA's release.

Signals are continuous in space: every layer has a sampling rate and a band limit, and its grid reaches
over the image's border by a margin. All grids share the image's centre, so that a place of the image is
the same place in every layer, whatever the transform that the first code or the user gives the input.

Style modulation is applied to activations instead of weights, as in `stylegan2`. Where a code varies over
the image, each layer samples the region on its own grid; in the margin the region's edge goes on.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ParameterError
from .base import Published
from .colours import as_rgb, check_channels
from .forward_mode import push_forward
from .linearization import Linearization
from .mapping import FullyConnected, MappedGenerator, MappingNetwork
from .registry import register_generator
from .styles import Gate, State, Style, gated, modulate, styled_energy

_GAIN = math.sqrt(2.0)
_SLOPE = 0.2
_EPSILON = 1e-8
_PART_FLOATS = 2 << 20
_MAX_TAPS = 1024
_MAX_INNER_SIZE = 12_288


class Grid(NamedTuple):
    """How a layer samples its output (Section 3.2, "Flexible layer specifications").

    Attributes:
        rate: samples per image width.
        size: samples per side, the margin on both sides included.
        cutoff, half_width: where its band ends, and half the width of the transition, in cycles per
            image width.
        channels: how many features.
    """

    rate: int
    size: int
    cutoff: float
    half_width: float
    channels: int

    @property
    def margin(self) -> int:
        """Samples on each side that lie outside the image."""
        return (self.size - self.rate) // 2


def plan_grids(
    img_resolution: int,
    img_channels: int,
    channel_base: int,
    channel_max: int,
    num_layers: int,
    num_critical: int,
    first_cutoff: float,
    first_stopband: float,
    last_stopband_rel: float,
    margin_size: int,
) -> list[Grid]:
    """The output grids of the layers, the to-RGB layer last; the first is the Fourier features' as well.

    Cutoffs and stopbands rise geometrically from layer to layer, up to the critically sampled ones; the
    rate is the next power of two that holds the stopband.

    Raises:
        ValueError: sizes that no such network has.
    """
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise ValueError(f"resolution {img_resolution} is not a power of two, 4 or more")
    if not 1 <= num_critical < num_layers or margin_size < 0:
        raise ValueError(
            f"{num_layers} layers, {num_critical} of them critically sampled, with a margin of "
            f"{margin_size}: expected 1 to {num_layers - 1} critical ones, and 0 or more"
        )
    last_cutoff = img_resolution / 2
    last_stopband = last_cutoff * last_stopband_rel
    grids = []
    for index in range(num_layers + 1):
        exponent = min(index / (num_layers - num_critical), 1.0)
        cutoff = first_cutoff * (last_cutoff / first_cutoff) ** exponent
        stopband = first_stopband * (last_stopband / first_stopband) ** exponent
        rate = 2 ** max(0, math.ceil(math.log2(min(2.0 * stopband, img_resolution))))
        last = index >= num_layers - 1
        channels = round(min(channel_base / 2 / cutoff, channel_max))
        grids.append(
            Grid(
                rate=rate,
                size=img_resolution if last else rate + 2 * margin_size,
                cutoff=cutoff,
                half_width=max(stopband, rate / 2) - cutoff,
                channels=img_channels if index == num_layers else channels,
            )
        )
    return grids


def lowpass_filter(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """A Kaiser-windowed low-pass filter of unit sum, `(taps,)`, float32 (Appendix C).

    Args:
        cutoff, half_width: where the band ends and half the width of the transition, in the unit of
            `rate`.
    """
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    kernel = torch.sinc(2.0 * cutoff * places) * _kaiser_window(taps, half_width, rate)
    return (kernel / kernel.sum()).float()


def radial_lowpass_filter(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """The low-pass filter that is the same in every direction but for its window, of unit sum,
    `(taps, taps)`, float32: `J1(2 pi f r) / r`, the transform of a disc (Appendix C)."""
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    angle = 2.0 * math.pi * cutoff * torch.hypot(places[:, None], places[None, :])
    disc = torch.where(angle == 0.0, 0.5, torch.special.bessel_j1(angle) / angle)
    window = _kaiser_window(taps, half_width, rate)
    kernel = disc * window[:, None] * window[None, :]
    return (kernel / kernel.sum()).float()


def _kaiser_window(taps: int, half_width: float, rate: float) -> Tensor:
    """Kaiser's window for a transition of twice `half_width`, by his formulas for its attenuation (dB)
    and its shape."""
    attenuation = 2.285 * (taps - 1) * math.pi * (2.0 * half_width / (rate / 2.0)) + 7.95
    if attenuation > 50.0:
        shape = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21.0:
        shape = 0.5842 * (attenuation - 21.0) ** 0.4 + 0.07886 * (attenuation - 21.0)
    else:
        shape = 0.0
    return torch.kaiser_window(taps, periodic=False, beta=shape, dtype=torch.float64)


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
        transform, freqs = _widened(self.transform), _widened(self.freqs)
        axis = (torch.arange(size, device=freqs.device, dtype=freqs.dtype) - (size - 1) / 2) / rate
        x = transform[0, 0] * axis[None, :] + transform[0, 1] * axis[:, None] + transform[0, 2] - right
        y = transform[1, 0] * axis[None, :] + transform[1, 1] * axis[:, None] + transform[1, 2] - down
        places = torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)
        waves = torch.sin(2.0 * math.pi * (places @ freqs.T + _widened(self.phases)))

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
        values = _widened(style.base)[:, :, None, None]
        size, margin = self.grid.size, self.grid.margin
        for gate, delta in style.moves:
            values = values + gate.at(size, size, values, margin) * _widened(delta)[:, :, None, None]
        length = values[:, :2].square().sum(dim=1, keepdim=True).sqrt().clamp_min(_EPSILON)
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
        gain = _widened(self.magnitude_ema).rsqrt().to(self.weight.dtype)
        return Style(style.base * gain, tuple((gate, delta * gain) for gate, delta in style.moves))

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, padding=weight.shape[2] - 1)

    def demodulation(self, style: Style) -> Tensor:
        """The scale of each output channel, `(B, O, 1, 1)`, or `(B, O, H, W)` at each place of the
        convolution's output: one over the root of the modulated weights' energy, times the gain of the
        leaky ReLU."""
        size = self.convolved_size
        total = styled_energy(self.energy(), style, size, size, self.convolved_margin)
        return (_GAIN * total.clamp_min(1e-30).rsqrt()).to(self.weight.dtype)

    @property
    def convolved_margin(self) -> int:
        """How many of the rows of the convolution's output lie above the image, and as many on each side."""
        return self.source.margin + int(self.weight.shape[2]) // 2

    def energy(self) -> Tensor:
        """The squares of the weights, summed over the kernel, `(O, I)`.

        NVIDIA divides weights and styles by their root mean squares before it demodulates. That cancels,
        but for the small number that it adds to the energy: here it comes in proportion.
        """
        squares = _widened(self.weight).square()
        return (
            squares.sum(dim=(2, 3)) + _EPSILON / self.weight.shape[1] * squares.mean(dim=(1, 2, 3))[:, None]
        )

    def shift(self) -> Tensor:
        """The bias with the leaky ReLU's gain, `(1, O, 1, 1)`."""
        return _GAIN * self.bias[None, :, None, None]

    def channel_parts(self) -> list[slice]:
        """The output's channels in parts whose leaky ReLU stays in the cache: they do not mix there, and
        its grid has four or more samples for each one of the output."""
        channels = self.target.channels
        most = _PART_FLOATS if self.weight.device.type == "cpu" else 64 * _PART_FLOATS
        count = max(16, most // self.inner_size**2 // 16 * 16)
        return [slice(start, min(start + count, channels)) for start in range(0, channels, count)]

    def resample(self, x: Tensor) -> Tensor:
        """The filtered nonlinearity; the gain is in `x` already."""
        parts = [self.downsample(self.activate(self.upsample(x[:, part]))) for part in self.channel_parts()]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def activate(self, x: Tensor) -> Tensor:
        """Leaky ReLU and clamp."""
        x = F.leaky_relu(x, _SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def activation_slope(self, x: Tensor) -> Tensor:
        """The derivative of `activate`."""
        slope = _SLOPE + (1.0 - _SLOPE) * (x > 0).to(x)
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


@register_generator
class StyleGAN3(MappedGenerator):
    """StyleGAN3 generator.

    Layer 0 drives the input's rotation and translation (four style channels), layer i + 1 the
    convolution `L{i}_...`, the last one the to-RGB convolution: `num_layers + 2` codes in all. The
    arguments are those of NVIDIA's generator, `synthesis_kwargs` among them; the defaults are
    configuration T. Configuration R has `conv_kernel=1`, `use_radial_filters=True` and twice the
    channels, `channel_base=65536, channel_max=1024`.

    Args:
        z_dim, c_dim, w_dim: sizes of the noise, the class vector (0: no classes) and w.
        img_resolution: a power of two, at least 4.
        img_channels: 3 for RGB, 1 for grey, 4 for RGB with opacity.
        num_mapping_layers: depth of the mapping network.
        lr_multiplier: learning-rate multiplier that the mapping network was trained with.
        channel_base, channel_max: a layer of cutoff f has min(channel_base / 2f, channel_max) channels.
        num_layers: convolutions, the to-RGB one not counted.
        num_critical: how many of the last ones are sampled critically.
        first_cutoff, first_stopband: of the input, in cycles per image width.
        last_stopband_rel: the last stopband, as a multiple of the last cutoff.
        margin_size: samples that each grid reaches over the image's border, on each side.
        output_scale: what the image is multiplied by at the end.
        conv_kernel: side of the convolutions; odd.
        filter_size: taps of a filter for each sample of the lower of the two rates that it joins.
        lrelu_upsampling: the rate of the leaky ReLU, as a multiple of the layer's higher rate.
        use_radial_filters: whether filters on the way down are radial, but in critical layers.
        conv_clamp: bound of the activations' magnitude, or None.

    Raises:
        ValueError: sizes that no such network has.
    """

    architecture = "stylegan3"
    published_directions: ClassVar[Mapping[str, Published]] = {
        "stylegan3_ffhq_eyes-r": Published(
            "stylegan3-r",
            1024,
            (4, 5, 6, 7),
            "07bb142f14513006f28c00f135d50126f525090a8e48a35302d84deb7eb66448",
        ),
        "stylegan3_afhq_eyes-r": Published(
            "stylegan3-r",
            512,
            (4, 5, 6, 7),
            "7b76a6cea0ee7a026177166dd2ec4410d40fa36df9c273348514aaac3945467d",
        ),
    }

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 1024,
        img_channels: int = 3,
        num_mapping_layers: int = 2,
        lr_multiplier: float = 0.01,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_layers: int = 14,
        num_critical: int = 2,
        first_cutoff: float = 2.0,
        first_stopband: float = 2.0**2.1,
        last_stopband_rel: float = 2.0**0.3,
        margin_size: int = 10,
        output_scale: float = 0.25,
        conv_kernel: int = 3,
        filter_size: int = 6,
        lrelu_upsampling: int = 2,
        use_radial_filters: bool = False,
        conv_clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        check_channels(img_channels)
        self._untold = f"{lr_multiplier:g} {output_scale:g} {conv_clamp and float(conv_clamp)}"
        mapping = MappingNetwork(z_dim, c_dim, w_dim, num_mapping_layers, w_dim, lr_multiplier)
        grids = plan_grids(
            img_resolution,
            img_channels,
            channel_base,
            channel_max,
            num_layers,
            num_critical,
            first_cutoff,
            first_stopband,
            last_stopband_rel,
            margin_size,
        )
        synthesis = Synthesis(
            w_dim,
            grids,
            num_critical,
            conv_kernel,
            filter_size,
            lrelu_upsampling,
            use_radial_filters,
            conv_clamp,
        )
        self._assemble(z_dim, c_dim, w_dim, mapping, synthesis, output_scale)

    def _assemble(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        mapping: MappingNetwork,
        synthesis: Synthesis,
        output_scale: float,
    ) -> None:
        """Take the two networks, and what follows from them."""
        self.mapping, self.synthesis, self.output_scale = mapping, synthesis, output_scale
        self.z_dim, self.num_classes, self.latent_dim = z_dim, c_dim, w_dim
        layers = [synthesis.layer(index) for index in range(len(synthesis.layer_names))]
        self.resolution = layers[-1].target.size
        self.num_layers = len(layers) + 1
        self.layer_sizes = (4, *(layer.source.channels for layer in layers))
        self.requires_grad_(False)

    def placed(self, translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0) -> StyleGAN3:
        """This generator with what it draws rotated about the image's centre, then translated.

        Args:
            translate: to the right and downwards, as fractions of the image.
            rotate: degrees, counter-clockwise.

        Returns:
            See `transformed`.

        Raises:
            ParameterError: a number is not finite.
        """
        right, down = translate
        cosine, sine = math.cos(math.radians(rotate)), math.sin(math.radians(rotate))
        inverse = [
            [cosine, -sine, sine * down - cosine * right],
            [sine, cosine, -sine * right - cosine * down],
            [0.0, 0.0, 1.0],
        ]
        return self.transformed(torch.tensor(inverse))

    def transformed(self, inverse: Tensor) -> StyleGAN3:
        """This generator with a transform of the user's instead of the one it has.

        The transform is the tensor `synthesis.input.transform`: saved with the generator, and part of its
        fingerprint, since the same latent then draws another image, of which another analysis is due.
        Codes, directions and latents serve at every place; regions are parts of the image and stay.

        Args:
            inverse: `(3, 3)`, from places in the image to places in the picture that is drawn, in
                fractions of the image from its centre, x to the right, y downwards. Frequencies that it
                raises above what the input's grid holds are faded out.

        Returns:
            A generator of its own that shares the weights' memory; this one stays as it is.

        Raises:
            ParameterError: another shape, or numbers that are not finite.
        """
        if inverse.shape != (3, 3) or not bool(inverse.isfinite().all()):
            raise ParameterError(f"the transform {inverse.tolist()} is not a finite 3 x 3 matrix")
        shared: dict[int, Tensor] = {id(t): nn.Parameter(t.detach(), False) for t in self.parameters()}
        shared |= {id(t): t for t in self.buffers()}
        twin = copy.deepcopy(self, shared)
        twin.synthesis.input.transform = inverse.to(self.synthesis.input.transform) + 0.0
        return twin

    def _identity(self) -> str:
        return self._untold

    def _affine(self, layer: int) -> FullyConnected:
        return self.synthesis.input.affine if layer == 0 else self.synthesis.layer(layer - 1).affine

    def style(self, layer: int, code: Tensor) -> Tensor:
        style: Tensor = self._affine(layer)(code)
        return style

    def style_matrix(self, layer: int) -> Tensor:
        return self._affine(layer).matrix()

    def entry_map(self, layer: int) -> Tensor:
        return self.style_matrix(layer)

    def feature_channels(self, layer: int) -> Tensor:
        """Neither layer 0's channels, which place the input, nor the last one's, which go to RGB."""
        return torch.full((self.layer_sizes[layer],), 0 < layer < self.num_layers - 1)

    def activation_floats(self) -> int:
        layers = [self.synthesis.layer(index) for index in range(self.num_layers - 1)]
        return max(
            2 * layer.source.channels * layer.source.size**2
            + 3 * layer.target.channels * layer.convolved_size**2
            + layer.target.channels * layer.target.size**2
            for layer in layers
        )

    def linearize(
        self, styles: Sequence[Style], label: Tensor | None, gate: Gate | None = None
    ) -> Linearization:
        if any(style.moves for style in styles):
            return Linearization(self, styles, label, gate)
        return _StyleGAN3Linearization(self, styles, label, gate)

    def begin(self, batch_size: int, label: Tensor | None) -> State:
        return ()

    def step(self, layer: int, state: State, style: Style) -> State:
        if layer == 0:
            return (self.synthesis.input(style),)
        return (self.synthesis.layer(layer - 1)(state[0], style),)

    def finish(self, state: State) -> Tensor:
        return as_rgb(state[0] * self.output_scale)

    def cut_out(self, state: State) -> Tensor | None:
        return state[0] * self.output_scale if state[0].shape[1] == 4 else None


@dataclass(frozen=True)
class _LayerAt:
    """A layer's constants at one image.

    With styles s, demodulation d and input x, the layer is `resample(shift + d * conv(x * s))`; d is
    folded into the weights. The slopes of the leaky ReLU are found anew for each batch of tangents: kept,
    they would take more memory than all else. What a tangent of the style meets, `moved_x` and
    `moved_output`, is nothing where a gate is closed.
    """

    layer: SynthesisLayer
    moved_x: Tensor
    style: Tensor
    gain: Tensor
    output: Tensor
    moved_output: Tensor
    demodulation: Tensor
    energy: Tensor
    weight: Tensor

    @staticmethod
    def of(layer: SynthesisLayer, x: Tensor, style: Tensor, gate: Gate | None) -> _LayerAt:
        gain = layer.magnitude_ema.rsqrt()
        demodulation = layer.demodulation(Style(style))
        output = layer.convolve(x * (gain * style)[:, :, None, None], layer.weight)
        return _LayerAt(
            layer=layer,
            moved_x=gated(x, gate, layer.source.margin),
            style=style,
            gain=gain,
            output=output,
            moved_output=gated(output, gate, layer.convolved_margin),
            demodulation=demodulation,
            energy=layer.energy(),
            weight=layer.weight * (gain * demodulation[0, :, :, :, None]),
        )

    def push(self, x: Tensor | None, style: Tensor | None) -> Tensor | None:
        """Tangents of the input `(n, C, h, w)` and of the style `(n, C)` to tangents of the output."""
        if style is None:
            return None if x is None else self._push_on(x * self.style[:, :, None, None], None)
        moved = self.moved_x * style[:, :, None, None]
        if x is not None:
            moved.addcmul_(x, self.style[:, :, None, None])
        change = F.linear(self.style * style, self.energy)[:, :, None, None]
        return self._push_on(moved, -(self.demodulation**3) / _GAIN**2 * change)

    def _push_on(self, x: Tensor, scale: Tensor | None) -> Tensor:
        """From tangents of the modulated input, and of the demodulation where it changes."""
        layer, size = self.layer, self.layer.target.size
        x = layer.convolve(x, self.weight)
        if scale is not None:
            x.addcmul_(self.moved_output, scale)
        before = torch.addcmul(layer.shift(), self.output, self.demodulation)
        pushed = x.new_empty(x.shape[0], size, size, x.shape[1]).permute(0, 3, 1, 2)
        for part in layer.channel_parts():
            slope = layer.activation_slope(layer.upsample(before[:, part]))
            for image in range(x.shape[0]):
                inner = layer.upsample(x[image : image + 1, part])
                pushed[image : image + 1, part] = layer.downsample(inner.mul_(slope))
        return pushed


class _StyleGAN3Linearization(Linearization):
    """Forward mode written out: a third of the time of automatic differentiation, or less."""

    generator: StyleGAN3

    def __init__(
        self, generator: StyleGAN3, styles: Sequence[Style], label: Tensor | None, gate: Gate | None
    ) -> None:
        super().__init__(generator, styles, label, gate)
        layers = [generator.synthesis.layer(index) for index in range(generator.num_layers - 1)]
        self._layers = [
            _LayerAt.of(layer, state[0], style.base, gate)
            for layer, state, style in zip(layers, self.states[1:], self.styles[1:], strict=False)
        ]

    def _kept(self) -> list[Tensor]:
        layers = [
            tensor
            for at in self._layers
            for tensor in (at.moved_x, at.output, at.moved_output, at.weight, at.energy)
        ]
        return [*super()._kept(), *layers]

    def push(self, tangents: Mapping[int, Tensor]) -> Tensor:
        x = self._push_input(tangents[0]) if 0 in tangents else None
        for index in range(max(min(tangents), 1), len(self.styles)):
            x = self._layers[index - 1].push(x, tangents.get(index))
        assert x is not None
        return self.push_finish(x)

    def _push_input(self, tangents: Tensor) -> Tensor:
        """Tangents of the input's style, `(n, 4)`, to tangents of the features."""
        return push_forward(
            lambda value: self.generator.synthesis.input(self._styled(0, value))[0],
            [self._start(0)],
            [tangents[:, None]],
        )


def _widened(tensor: Tensor) -> Tensor:
    """Half precision as float32, for what needs its range or its digits."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
