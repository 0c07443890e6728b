"""StyleGAN2's derivative written out, for images whose styles are the same everywhere."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .linearization import Linearization, image_sums
from .stylegan2_layers import EPSILON, GAIN, SLOPE, SynthesisLayer, ToRGB, upsample, upsample_transposed
from .styles import Gate, Style, gated

if TYPE_CHECKING:
    from .stylegan2 import StyleGAN2


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
        demodulation = (F.linear(style.square(), energy) + EPSILON).rsqrt()
        output = layer.convolve(x * style[:, :, None, None], layer.weight, kernel)
        before = torch.addcmul(layer.shift(), output, GAIN * demodulation[:, :, None, None])
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
            slope=GAIN
            * _kept(
                SLOPE + (1.0 - SLOPE) * (before > 0).to(before), F.leaky_relu(before, SLOPE), layer.clamp
            ),
        )

    def to(self, dtype: torch.dtype) -> _LayerAt:
        """What images and weights are in a type; what styles are stays as it is."""
        return replace(
            self,
            kernel=self.kernel.to(dtype),
            moved_x=_laid_out(self.moved_x, dtype),
            moved_output=_laid_out(self.moved_output, dtype),
            weight=_laid_out(self.weight, dtype),
            modulated_weight=_laid_out(self.modulated_weight, dtype),
            slope=_laid_out(self.slope, dtype),
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
        return pushed.addcmul_(self.moved_output, change[:, :, None, None].to(pushed)).mul_(self.slope)

    def pull(self, cotangents: Tensor, own: bool, onward: bool) -> tuple[Tensor | None, Tensor | None]:
        """The transpose: cotangents of the output `(n, O, H, W)` to those of the input `(n, C, h, w)` and of
        the style `(n, C)`.

        Args:
            own: whether the style's are wanted.
            onward: whether the input's are.
        """
        back = cotangents * self.slope
        if not own:
            return self.layer.transposed(back, self.modulated_weight, self.kernel), None
        x = self.layer.transposed(back, self.weight, self.kernel)
        changes = image_sums(back, self.moved_output).to(self.style) * self.demodulation**3
        style = image_sums(x, self.moved_x).to(self.style) - (changes @ self.energy) * self.style
        return (x.mul_(self.style[:, :, None, None].to(x)) if onward else None), style


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

    def to(self, dtype: torch.dtype) -> _ToRGBAt:
        """As that of `_LayerAt`."""
        return replace(
            self,
            moved_x=_laid_out(self.moved_x, dtype),
            weight=_laid_out(self.weight, dtype),
            slope=None if self.slope is None else _laid_out(self.slope, dtype),
        )

    def push(self, x: Tensor | None, style: Tensor | None) -> Tensor | None:
        if style is None:
            if x is None:
                return None
            pushed = F.conv2d(x, self.weight * self.style[0, :, None, None].to(x))
        else:
            pushed = F.conv2d(_push_modulation(self.moved_x, self.style, x, style), self.weight)
        return pushed if self.slope is None else pushed.mul_(self.slope)

    def pull(self, cotangents: Tensor, own: bool, onward: bool) -> tuple[Tensor | None, Tensor | None]:
        """The transpose, as that of `_LayerAt`."""
        back = cotangents if self.slope is None else cotangents * self.slope
        turned = self.weight.transpose(0, 1) * self.style[0, :, None, None, None].to(back)
        x = F.conv2d(back, turned) if onward else None
        if not own:
            return x, None
        colours = back.flatten(2) @ self.moved_x[0].flatten(1).T
        return x, (colours * self.weight[:, :, 0, 0]).sum(dim=1).to(self.style)


def _kept(slope: Tensor, value: Tensor, clamp: float | None) -> Tensor:
    """A slope, and zero where the value is cut off."""
    return slope if clamp is None else slope * (value.abs() <= clamp)


def _laid_out(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """In a type, and channels last, where convolutions are faster so: on a CPU, and in bfloat16 on a card."""
    last = tensor.device.type == "cpu" or dtype == torch.bfloat16
    return tensor.to(dtype, memory_format=torch.channels_last if last else torch.preserve_format)


def _push_modulation(x: Tensor, style: Tensor, dx: Tensor | None, dstyle: Tensor) -> Tensor:
    """The tangent of `x * style`, with x gated where its style moves; in x's type."""
    style, dstyle = style.to(x), dstyle.to(x)
    if dx is None:
        return x * dstyle[:, :, None, None]
    return (dx * style[:, :, None, None]).addcmul_(x, dstyle[:, :, None, None])


class StyleGAN2Linearization(Linearization):
    """Forward mode written out: about the cost of a forward pass per tangent, and half of it or less
    where only one layer's style moves. So is its transpose: convolutions by flipped weights."""

    generator: StyleGAN2

    def __init__(
        self, generator: StyleGAN2, styles: Sequence[Style], label: Tensor | None, gate: Gate | None
    ) -> None:
        super().__init__(generator, styles, label, gate)
        self._dtype = self.image.dtype
        self.states = [(_laid_out(x, self._dtype), *images) for x, *images in self.states]
        self._layers: list[tuple[_ToRGBAt | None, _LayerAt | None]] = []
        for index, style in enumerate(self.styles):
            x, base = self.states[index][0], style.base
            to_rgb, convolution = None, None
            for module, (start, stop) in generator.style_slices(index):
                part = base[:, start:stop]
                if isinstance(module, ToRGB):
                    to_rgb = _ToRGBAt.of(module, x, part, gate).to(self._dtype)
                else:
                    kernel = generator.synthesis.block(module.resolution).resample_filter
                    convolution = _LayerAt.of(module, kernel, x, part, gate).to(self._dtype)
            self._layers.append((to_rgb, convolution))
        self.states[:-1] = [()] * len(self.styles)  # layers keep what products need of them

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

    def rough(self, dtype: torch.dtype) -> StyleGAN2Linearization:
        twin = copy.copy(self)
        twin._layers = []
        for to_rgb, convolution in self._layers:
            rough = None if convolution is None else convolution.to(dtype)
            colour = None if to_rgb is None else to_rgb.to(dtype)
            if rough is not None and colour is not None:
                colour = replace(colour, moved_x=rough.moved_x)
            twin._layers.append((colour, rough))
        twin._dtype = dtype
        return twin

    def push(self, tangents: Mapping[int, Tensor]) -> Tensor:
        x: Tensor | None = None
        image: Tensor | None = None
        for index in range(min(tangents), len(self._layers)):
            to_rgb, convolution = self._layers[index]
            style = tangents.get(index)
            channels = 0 if to_rgb is None else to_rgb.style.shape[1]
            if to_rgb is not None:
                image = None if image is None else upsample(image)
                colour = to_rgb.push(x, None if style is None else style[:, :channels])
                if image is None or colour is None:
                    image = colour if image is None else image
                else:
                    image = image + colour
            if convolution is not None:
                x = convolution.push(x, None if style is None else style[:, channels:])
        assert image is not None
        return self.push_finish(image.to(self.image))

    def pull(self, cotangents: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        pulled: dict[int, Tensor] = {}
        first = min(layers)
        (image,) = self.pull_finish(cotangents)
        image = _laid_out(image, self._dtype)
        x: Tensor | None = None
        for index in range(len(self._layers) - 1, first - 1, -1):
            to_rgb, convolution = self._layers[index]
            own, onward = index in layers, index > first
            styles: list[Tensor | None] = []
            if convolution is not None and x is not None:
                x, style = convolution.pull(x, own, onward)
                styles.append(style)
            if to_rgb is not None:
                coloured, style = to_rgb.pull(image, own, onward)
                styles.insert(0, style)
                if coloured is not None:
                    x = coloured if x is None else x.add_(coloured)
                if onward:
                    image = upsample_transposed(image)
            if own:
                pulled[index] = torch.cat([style for style in styles if style is not None], dim=1)
        return pulled
