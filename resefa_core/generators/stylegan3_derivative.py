"""StyleGAN3's derivative written out, for images whose styles are the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .forward_mode import push_forward
from .linearization import Linearization, image_sums
from .stylegan3_layers import GAIN, SynthesisLayer
from .styles import Gate, Style, gated

if TYPE_CHECKING:
    from .stylegan3 import StyleGAN3


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
        return self._push_on(moved, -(self.demodulation**3) / GAIN**2 * change)

    def pull(self, cotangents: Tensor, own: bool, onward: bool) -> tuple[Tensor | None, Tensor | None]:
        """The transpose: cotangents of the output `(n, O, H, W)` to those of the input `(n, C, h, w)` and of
        the style `(n, C)`.

        Args:
            own: whether the style's are wanted.
            onward: whether the input's are.
        """
        layer = self.layer
        back = self._resampled(
            cotangents, layer.downsample_transposed, layer.upsample_transposed, layer.convolved_size
        )
        x = layer.transposed(back, self.weight)
        style = None
        if own:
            changes = image_sums(back, self.moved_output) * self.demodulation[:, :, 0, 0] ** 3 / GAIN**2
            style = image_sums(x, self.moved_x) - (changes @ self.energy) * self.style
        return (x.mul_(self.style[:, :, None, None]) if onward else None), style

    def _push_on(self, x: Tensor, scale: Tensor | None) -> Tensor:
        """From tangents of the modulated input, and of the demodulation where it changes."""
        x = self.layer.convolve(x, self.weight)
        if scale is not None:
            x.addcmul_(self.moved_output, scale)
        return self._resampled(x, self.layer.upsample, self.layer.downsample, self.layer.target.size)

    def _resampled(
        self, x: Tensor, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], size: int
    ) -> Tensor:
        """To the leaky ReLU's grid, times its slopes, and on to one of a size."""
        layer = self.layer
        before = torch.addcmul(layer.shift(), self.output, self.demodulation)
        result = x.new_empty(x.shape[0], size, size, x.shape[1]).permute(0, 3, 1, 2)
        for channels in layer.channel_parts():
            slope = layer.activation_slope(layer.upsample(before[:, channels]))
            for images in layer.image_parts(x.shape[0], channels):
                result[images, channels] = back(there(x[images, channels]).mul_(slope))
        return result


class StyleGAN3Linearization(Linearization):
    """Forward mode and its transpose written out: a third of the time of automatic differentiation, or
    less."""

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
        self.states[1:-1] = [()] * (len(self.styles) - 1)  # layers keep what products need of them

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

    def pull(self, cotangents: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        pulled: dict[int, Tensor] = {}
        first = min(layers)
        x: Tensor | None
        (x,) = self.pull_finish(cotangents)
        for index in range(len(self.styles) - 1, max(first, 1) - 1, -1):
            assert x is not None
            x, style = self._layers[index - 1].pull(x, index in layers, index > first)
            if style is not None:
                pulled[index] = style
        if x is not None:
            pulled[0] = self.pull_style(0, (x[:, None],))
        return pulled
