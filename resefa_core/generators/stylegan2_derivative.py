"""StyleGAN2's derivative written out, for images whose styles are the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .linearization import Linearization
from .stylegan2_layers import EPSILON, GAIN, SLOPE, SynthesisLayer, ToRGB, upsample
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


class StyleGAN2Linearization(Linearization):
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
                image = None if image is None else upsample(image)
                colour = to_rgb.push(x, None if style is None else style[:, :channels])
                if image is None or colour is None:
                    image = colour if image is None else image
                else:
                    image = image + colour
            if convolution is not None:
                x = convolution.push(x, None if style is None else style[:, channels:])
        assert image is not None
        return self.push_finish(image)
