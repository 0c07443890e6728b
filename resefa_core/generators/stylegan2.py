"""StyleGAN2 (Karras et al., 2020), skip architecture, with the tensor names of NVIDIA's releases.

Style modulation is applied to activations instead of weights. The two are equal, and this way the
tangents of one image share each convolution's weights, and a code may vary over the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Published
from .colours import as_rgb, check_channels
from .linearization import Linearization
from .mapping import FullyConnected, MappedGenerator, MappingNetwork
from .registry import register_generator
from .styles import Gate, State, Style, gated, modulate, styled_energy

_GAIN = math.sqrt(2.0)
_SLOPE = 0.2
_EPSILON = 1e-8
_SQUARE = (4, 4)


def _is_half(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float16, torch.bfloat16)


def _demodulation(weight: Tensor, style: Style, height: int, width: int) -> Tensor:
    """One over the root of the modulated weights' energy, for each output channel and place; in float32
    at least: sums over hundreds of channels leave float16's range."""
    energy = weight.float().square().sum(dim=(2, 3)) if _is_half(weight) else weight.square().sum(dim=(2, 3))
    total = styled_energy(energy, style, height, width) + _EPSILON
    return total.clamp_min(_EPSILON).rsqrt().to(weight.dtype)


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
        start: tuple[int, int] = _SQUARE,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.size = _grown(start, resolution)
        self.up = up
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(self.size))

    def forward(self, x: Tensor, style: Style, kernel: Tensor) -> Tensor:
        x = self.convolve(modulate(x, style), self.weight, kernel)
        scale = _GAIN * _demodulation(self.weight, style, *self.size)
        return _clamped(F.leaky_relu(torch.addcmul(self.shift(), x, scale), _SLOPE), self.clamp)

    def convolve(self, x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
        """The linear heart of the layer: the convolution and, where it doubles the size, the filter."""
        if self.up:
            return _filter(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), kernel * 2.0)
        return F.conv2d(x, weight, padding=1)

    def shift(self) -> Tensor:
        """Noise and bias, `(1, O, H, W)`, with the activation's gain."""
        return _GAIN * (self.noise_const * self.noise_strength + self.bias[:, None, None])[None]


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


def _filter(x: Tensor, kernel: Tensor) -> Tensor:
    """Filter each channel by the 4-tap `kernel` along both axes; the result is 1 smaller."""
    channels = x.shape[1]
    square = torch.outer(kernel, kernel).expand(channels, 1, -1, -1)
    return F.conv2d(x, square, padding=1, groups=channels)


def _upsample(image: Tensor) -> Tensor:
    """Double the size by the filter [1, 3, 3, 1] with zeros around: bilinear interpolation, padded."""
    image = F.interpolate(F.pad(image, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return image[:, :, 2:-2, 2:-2]


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
        start: tuple[int, int] = _SQUARE,
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
        start: tuple[int, int] = _SQUARE,
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


@register_generator
class StyleGAN2(MappedGenerator):
    """StyleGAN2 generator.

    Layer 0 drives the first convolution. Each odd layer drives a resolution's to-RGB convolution and,
    with the same code, the up-sampling convolution of the next one; each further even layer drives
    the second convolution of its resolution. A resolution of 2^n has 2n - 2 layers.

    Args:
        z_dim, c_dim, w_dim: sizes of the noise, the class vector (0: no classes) and w.
        img_resolution: a power of two, at least 4; the last block's name.
        img_channels: 3 for RGB, 1 for grey, 4 for RGB with opacity.
        num_mapping_layers: depth of the mapping network.
        mapping_features: width of its inner layers; w_dim by default.
        embed_features: size that the class vector is brought to; w_dim by default.
        lr_multiplier: learning-rate multiplier that the mapping network was trained with.
        channel_base, channel_max: a resolution r has min(channel_base / r, channel_max) channels.
        conv_clamp: where what convolutions give is cut off, on both sides; None: nowhere.
        init_res: height and width of the constant that it starts from. Images are `img_resolution / 4` times
            as large: square for 4 x 4.

    Raises:
        ValueError: images that can't be shown.
    """

    architecture = "stylegan2"
    nests_synthesis = True
    published_directions: ClassVar[Mapping[str, Published]] = {
        "stylegan2_ffhq_eyebrows": Published(
            "stylegan2",
            1024,
            (8, 9, 10, 11),
            "387a46e64e3acc64bd9a0370d921b3e3999e39524c351f4a4fda17ff7e15947d",
        ),
        "stylegan2_ffhq_eyesize": Published(
            "stylegan2",
            1024,
            (4, 5, 6, 7),
            "81e6197d7a3c5720283a3451cd959656c456c9d25a051fbdb796591bc9365848",
        ),
        "stylegan2_ffhq_gaze_direction": Published(
            "stylegan2",
            1024,
            (4, 5, 6, 7),
            "8504eb066746440d84d3b86ad9b90c9ef142e0d899f34db5ef662f5f5178b306",
        ),
        "stylegan2_ffhq_lipstick": Published(
            "stylegan2",
            1024,
            (8, 9, 10, 11),
            "3252123ed0416a953d2af2c17532b0ef491debd6c22101f6de843a99cba7ffe0",
        ),
        "stylegan2_ffhq_mouth": Published(
            "stylegan2",
            1024,
            (4, 5, 6, 7),
            "bef224deafc2f086e5503ba266b8da645e62ed3f6db0249bb02dfcc41fc2f9d2",
        ),
        "stylegan2_ffhq_nose_length": Published(
            "stylegan2",
            1024,
            (4, 5, 6, 7),
            "197a069d18d73b1d5e92a5e3587dada8a046e786a966a5fda64db5c11ee904e8",
        ),
    }

    @classmethod
    def file_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As NVIDIA's class takes them; it has no `init_res`, which is left out where images are square."""
        told = {k: v for k, v in arguments.items() if k != "init_res" or tuple(v) != _SQUARE}
        return super().file_arguments(told)

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 1024,
        img_channels: int = 3,
        num_mapping_layers: int = 8,
        mapping_features: int | None = None,
        lr_multiplier: float = 0.01,
        channel_base: int = 32768,
        channel_max: int = 512,
        embed_features: int | None = None,
        conv_clamp: float | None = None,
        init_res: Sequence[int] = _SQUARE,
    ) -> None:
        super().__init__()
        check_channels(img_channels)
        height, width = init_res
        self.start = (height, width)
        self.z_dim = z_dim
        self.num_classes = c_dim
        self.latent_dim = w_dim
        self.resolution = max(_grown(self.start, img_resolution))
        self.mapping = MappingNetwork(
            z_dim, c_dim, w_dim, num_mapping_layers, mapping_features or w_dim, lr_multiplier, embed_features
        )
        self.synthesis = Synthesis(
            w_dim, img_resolution, img_channels, channel_base, channel_max, conv_clamp, self.start
        )
        self.num_layers = 2 * len(self.synthesis.resolutions)
        self.layer_sizes = tuple(
            sum(layer.affine.weight.shape[0] for layer in self._modulated(index))
            for index in range(self.num_layers)
        )
        self.requires_grad_(False)

    @property
    def image_size(self) -> tuple[int, int]:
        return _grown(self.start, self.synthesis.resolutions[-1])

    def style_slices(self, layer: int) -> list[tuple[SynthesisLayer | ToRGB, tuple[int, int]]]:
        """The convolutions that a layer's code drives, each with its part of the layer's style."""
        slices, start = [], 0
        for module in self._modulated(layer):
            stop = start + module.weight.shape[1]
            slices.append((module, (start, stop)))
            start = stop
        return slices

    def _modulated(self, layer: int) -> list[SynthesisLayer | ToRGB]:
        """The convolutions that a layer's code drives."""
        resolutions = self.synthesis.resolutions
        block = self.synthesis.block(resolutions[layer // 2])
        if layer % 2 == 0:
            return [block.conv1]
        if layer == self.num_layers - 1:
            return [block.torgb]
        return [block.torgb, self.synthesis.block(resolutions[layer // 2 + 1]).conv0]

    def layer_group(self, group: str) -> tuple[int, ...]:
        """Coarse: up to 8 x 8. Middle: 16 x 16 and 32 x 32. Fine: from 64 x 64 (Karras et al., 2019)."""
        bounds = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1 << 16)}
        if group not in bounds:
            return super().layer_group(group)
        low, high = bounds[group]
        resolutions = self.synthesis.resolutions
        return tuple(i for i in range(self.num_layers) if low <= resolutions[i // 2] <= high)

    def style(self, layer: int, code: Tensor) -> Tensor:
        return torch.cat([module.affine(code) for module in self._modulated(layer)], dim=1)

    def style_matrix(self, layer: int) -> Tensor:
        return torch.cat([module.affine.matrix() for module in self._modulated(layer)])

    def entry_map(self, layer: int) -> Tensor:
        """The affine map to the convolution's styles: to-RGB convolutions share their code with another one,
        and only the last is counted."""
        return self._modulated(layer)[-1].affine.matrix()

    def feature_channels(self, layer: int) -> Tensor:
        known = super().feature_channels(layer)
        for convolution, (start, stop) in self.style_slices(layer):
            known[start:stop] = isinstance(convolution, SynthesisLayer)
        return known

    def activation_floats(self) -> int:
        widest = 0
        for resolution in self.synthesis.resolutions:
            block = self.synthesis.block(resolution)
            widest = max(widest, 5 * block.conv1.weight.shape[0] * math.prod(block.conv1.size))
        return widest

    def linearize(
        self, styles: Sequence[Style], label: Tensor | None, gate: Gate | None = None
    ) -> Linearization:
        if any(style.moves for style in styles):
            return Linearization(self, styles, label, gate)
        return _StyleGAN2Linearization(self, styles, label, gate)

    def begin(self, batch_size: int, label: Tensor | None) -> State:
        const = self.synthesis.block(4).const
        return (const[None].expand(batch_size, -1, -1, -1),)

    def step(self, layer: int, state: State, style: Style) -> State:
        resolutions = self.synthesis.resolutions
        block = self.synthesis.block(resolutions[layer // 2])
        kernel = block.resample_filter
        x = state[0]
        if layer % 2 == 0:
            return (block.conv1(x, style, kernel), *state[1:])
        channels = block.torgb.affine.weight.shape[0]
        image = block.torgb(x, _slice(style, 0, channels))
        if len(state) > 1:
            image = image + _upsample(state[1])
        if layer == self.num_layers - 1:
            return (image,)
        following = self.synthesis.block(resolutions[layer // 2 + 1])
        return (following.conv0(x, _slice(style, channels, None), kernel), image)

    def finish(self, state: State) -> Tensor:
        return as_rgb(state[0])

    def cut_out(self, state: State) -> Tensor | None:
        return state[0] if state[0].shape[1] == 4 else None


def _grown(start: tuple[int, int], resolution: int) -> tuple[int, int]:
    """Height and width at the block of a name, where the first one, of 4, has those of `start`."""
    return start[0] * resolution // 4, start[1] * resolution // 4


def _slice(style: Style, start: int, stop: int | None) -> Style:
    return Style(
        style.base[:, start:stop], tuple((gate, delta[:, start:stop]) for gate, delta in style.moves)
    )


@dataclass(frozen=True)
class _LayerAt:
    """A synthesis layer's constants at one image.

    With styles s, demodulation d and input x, the layer is `leaky(d * conv(x * s) + shift)`. What
    multiplies a tangent alone is folded into the weights, so that a tangent which does not move this
    layer's own style costs one convolution and one product. What a tangent of the style meets, `moved_x`
    and `moved_output`, is nothing where a gate is closed.
    """

    layer: SynthesisLayer
    kernel: Tensor
    moved_x: Tensor
    style: Tensor
    moved_output: Tensor
    demodulation: Tensor
    energy: Tensor
    weight: Tensor
    modulated_weight: Tensor
    slope: Tensor

    @staticmethod
    def of(layer: SynthesisLayer, kernel: Tensor, x: Tensor, style: Tensor, gate: Gate | None) -> _LayerAt:
        energy = layer.weight.square().sum(dim=(2, 3))
        demodulation = (F.linear(style.square(), energy) + _EPSILON).rsqrt()
        output = layer.convolve(x * style[:, :, None, None], layer.weight, kernel)
        before = torch.addcmul(layer.shift(), output, _GAIN * demodulation[:, :, None, None])
        weight = layer.weight * demodulation[0, :, None, None, None]
        return _LayerAt(
            layer=layer,
            kernel=kernel,
            moved_x=gated(x, gate),
            style=style,
            moved_output=gated(output, gate),
            demodulation=demodulation,
            energy=energy,
            weight=weight,
            modulated_weight=weight * style[0, :, None, None],
            slope=_GAIN
            * _kept(
                _SLOPE + (1.0 - _SLOPE) * (before > 0).to(before), F.leaky_relu(before, _SLOPE), layer.clamp
            ),
        )

    def push(self, x: Tensor | None, style: Tensor | None) -> Tensor | None:
        """Tangents of the input `(n, C, h, w)` and of the style `(n, C)` to tangents of the output."""
        if style is None:
            if x is None:
                return None
            return self.layer.convolve(x, self.modulated_weight, self.kernel).mul_(self.slope)
        moved = _push_modulation(self.moved_x, self.style, x, style)
        pushed = self.layer.convolve(moved, self.weight, self.kernel)
        change = -(self.demodulation**3) * F.linear(self.style * style, self.energy)
        return pushed.addcmul_(self.moved_output, change[:, :, None, None]).mul_(self.slope)


@dataclass(frozen=True)
class _ToRGBAt:
    """A to-RGB layer's constants at one image; `slope` is None where nothing is cut off."""

    moved_x: Tensor
    style: Tensor
    weight: Tensor
    slope: Tensor | None

    @staticmethod
    def of(layer: ToRGB, x: Tensor, style: Tensor, gate: Gate | None) -> _ToRGBAt:
        weight = layer.weight * layer.weight_gain
        slope = None
        if layer.clamp is not None:
            colour = F.conv2d(x * style[:, :, None, None], weight, layer.bias)
            slope = _kept(torch.ones_like(colour), colour, layer.clamp)
        slope = None if slope is None or bool(slope.all()) else slope
        return _ToRGBAt(gated(x, gate), style, weight, slope)

    def push(self, x: Tensor | None, style: Tensor | None) -> Tensor | None:
        if style is None:
            if x is None:
                return None
            pushed = F.conv2d(x, self.weight * self.style[0, :, None, None])
        else:
            pushed = F.conv2d(_push_modulation(self.moved_x, self.style, x, style), self.weight)
        return pushed if self.slope is None else pushed.mul_(self.slope)


def _kept(slope: Tensor, value: Tensor, clamp: float | None) -> Tensor:
    """A slope, and zero where the value is cut off."""
    return slope if clamp is None else slope * (value.abs() <= clamp)


def _push_modulation(x: Tensor, style: Tensor, dx: Tensor | None, dstyle: Tensor) -> Tensor:
    """The tangent of `x * style`, with x gated where its style moves."""
    if dx is None:
        return x * dstyle[:, :, None, None]
    return (dx * style[:, :, None, None]).addcmul_(x, dstyle[:, :, None, None])


class _StyleGAN2Linearization(Linearization):
    """Forward mode written out: about the cost of a forward pass per tangent, and half of it or less
    where only one layer's style moves."""

    generator: StyleGAN2

    def __init__(
        self, generator: StyleGAN2, styles: Sequence[Style], label: Tensor | None, gate: Gate | None
    ) -> None:
        super().__init__(generator, styles, label, gate)
        self._layers: list[tuple[_ToRGBAt | None, _LayerAt | None]] = []
        for index, style in enumerate(self.styles):
            x, base = self.states[index][0], style.base
            to_rgb, convolution = None, None
            for module, (start, stop) in generator.style_slices(index):
                part = base[:, start:stop]
                if isinstance(module, ToRGB):
                    to_rgb = _ToRGBAt.of(module, x, part, gate)
                else:
                    kernel = generator.synthesis.block(module.resolution).resample_filter
                    convolution = _LayerAt.of(module, kernel, x, part, gate)
            self._layers.append((to_rgb, convolution))

    def _kept(self) -> list[Tensor]:
        inputs = [at.moved_x for pair in self._layers for at in pair if at is not None]
        layers = [
            tensor
            for _, convolution in self._layers
            if convolution is not None
            for tensor in (
                convolution.moved_output,
                convolution.slope,
                convolution.weight,
                convolution.modulated_weight,
                convolution.energy,
            )
        ]
        return [*super()._kept(), *inputs, *layers]

    def push(self, tangents: Mapping[int, Tensor]) -> Tensor:
        x: Tensor | None = None
        image: Tensor | None = None
        for index in range(min(tangents), len(self._layers)):
            to_rgb, convolution = self._layers[index]
            style = tangents.get(index)
            channels = 0 if to_rgb is None else to_rgb.style.shape[1]
            if to_rgb is not None:
                image = None if image is None else _upsample(image)
                colour = to_rgb.push(x, None if style is None else style[:, :channels])
                if image is None or colour is None:
                    image = colour if image is None else image
                else:
                    image = image + colour
            if convolution is not None:
                x = convolution.push(x, None if style is None else style[:, channels:])
        assert image is not None
        return self.push_finish(image)
