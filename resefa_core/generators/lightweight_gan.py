"""lucidrains' lightweight-gan: FastGAN (Liu et al., 2021) with other layers, and attention where one asks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Generator
from .colours import as_rgb, check_channels
from .conditional import Convolution
from .dcgan import BatchNorm, TransposedConvolution
from .fastgan import gated_halves
from .registry import register_generator
from .stylegan2_lucidrains import blurred
from .styles import State, Style

EXCITATIONS = ("context", "frequencies")
"""What layers are scaled by: the mean of an earlier layer that attends to places (GCNet, Cao et al., 2020),
or sums of it times cosines (FcaNet, Qin et al., 2021)."""

_EPSILON = 1e-5
_START = 4
_KERNEL = 4
_HEADS = 8
_HEAD_WIDTH = 64
_NEIGHBOURS = 3
_SLOPE = 0.1
_GATING = range(1, 5)
_GATED_AFTER = 3


class Stage(nn.Module):
    """Twice the size: pixels shuffled (Shi et al., 2016), blur, convolution, noise, batch norm, gating."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, resolution: int) -> None:
        super().__init__()
        self.expand = Convolution(inputs, 4 * inputs, 1)
        self.conv = Convolution(inputs, 2 * outputs, _KERNEL)
        self.noise_strength = nn.Parameter(torch.zeros(1))
        self.register_buffer("noise", torch.randn(resolution, resolution))
        self.norm = BatchNorm(2 * outputs, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = blurred(F.pixel_shuffle(F.silu(self.expand(x)), 2))
        before = _KERNEL // 2
        x = F.conv2d(F.pad(x, (before, before - 1, before, before - 1)), self.conv.weight, self.conv.bias)
        return gated_halves(self.norm(x + self.noise_strength * self.noise))


class Excitation(nn.Module):
    """Gains of a later layer's channels, `(B, outputs, 1, 1)`."""

    frequencies: Tensor

    def __init__(self, inputs: int, outputs: int, resolution: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "context":
            self.to_weights = Convolution(inputs, 1, 1)
        else:
            self.register_buffer("frequencies", torch.randn(inputs, resolution, resolution) / resolution)
        between = max(3, outputs // (2 if kind == "context" else 4))
        self.first = Convolution(inputs, between, 1)
        self.second = Convolution(between, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "context":
            weights = self.to_weights(x).flatten(2).softmax(dim=2)
            x = (x.flatten(2) @ weights.transpose(1, 2))[..., None]
        else:
            x = (x * self.frequencies).sum(dim=(2, 3), keepdim=True)
        return self.second(F.leaky_relu(self.first(x), _SLOPE)).sigmoid()


class Attention(nn.Module):
    """Linear attention (Shen et al., 2021) to all places beside full attention to the neighbours, added to
    what they see."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = _HEADS * _HEAD_WIDTH
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))
        self.to_global_query = Convolution(channels, width, 1, bias=False)
        self.around = nn.Parameter(torch.randn(channels, 1, _NEIGHBOURS, _NEIGHBOURS).div_(_NEIGHBOURS))
        self.to_global = Convolution(channels, 2 * width, 1, bias=False)
        self.to_query = Convolution(channels, width, 1, bias=False)
        self.to_local = Convolution(channels, 2 * width, 1, bias=False)
        self.to_out = Convolution(2 * width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        deviation = (centred.square().mean(dim=1, keepdim=True) + _EPSILON).sqrt()
        seen = centred / deviation * self.gain + self.offset
        both = torch.cat([F.gelu(self._to_all(seen)), self._to_neighbours(seen)], dim=1)
        return x + self.to_out(both)

    def _to_all(self, x: Tensor) -> Tensor:
        around = F.conv2d(x, self.around, padding=_NEIGHBOURS // 2, groups=x.shape[1])
        query = _heads(self.to_global_query(x)).softmax(dim=2) / math.sqrt(_HEAD_WIDTH)
        key, value = (_heads(part) for part in self.to_global(around).chunk(2, dim=1))
        context = key.softmax(dim=3) @ value.transpose(2, 3)
        return (context.transpose(2, 3) @ query).reshape(x.shape[0], -1, *x.shape[2:])

    def _to_neighbours(self, x: Tensor) -> Tensor:
        query = _heads(self.to_query(x))[:, :, :, None] / math.sqrt(_HEAD_WIDTH)
        key, value = (
            _heads(F.unfold(part, _NEIGHBOURS, padding=_NEIGHBOURS // 2)).unflatten(2, (_HEAD_WIDTH, -1))
            for part in self.to_local(x).chunk(2, dim=1)
        )
        weights = (query * key).sum(dim=2, keepdim=True).softmax(dim=3)
        return (weights * value).sum(dim=3).reshape(x.shape[0], -1, *x.shape[2:])


def _heads(x: Tensor) -> Tensor:
    """`(B, heads * C, ...)` as `(B, heads, C, places)`."""
    return x.flatten(2).unflatten(1, (_HEADS, -1))


@register_generator
class LightweightGAN(Generator):
    """The generator of lucidrains' lightweight-gan: one layer, its code the noise. Its only space is `z`.

    The code enters at one place, from which the whole image unfolds: it can't vary over the image, and edits
    can't be confined. Batch norms use their recorded statistics, as there when it samples. Images are drawn
    in [0, 1] there and in [-1, 1] here.

    Args:
        z_dim: size of the noise.
        channels: of the feature maps of 8, 16, 32, ... pixels.
        attention: whether the feature map of 4, 8, 16, ... pixels is attended to before it is doubled.
        img_channels: 3 for RGB, 1 for grey, 4 for RGB with opacity.
        excitation: of `EXCITATIONS`. The feature maps of 16 to 128 pixels scale those of 8 times their size.

    Raises:
        ValueError: sizes that no such network has.
    """

    architecture = "lightweight-gan"
    implementation = "https://github.com/lucidrains/lightweight-gan"
    spaces = ("z",)

    def __init__(
        self,
        z_dim: int = 256,
        channels: Sequence[int] = (512, 512, 256, 128, 64, 32),
        attention: Sequence[bool] | None = None,
        img_channels: int = 3,
        excitation: str = "context",
    ) -> None:
        super().__init__()
        check_channels(img_channels)
        attention = [False] * len(channels) if attention is None else list(attention)
        if not channels or len(attention) != len(channels) or excitation not in EXCITATIONS:
            raise ValueError(
                f"channels {list(channels)}, attention {attention} and excitation {excitation!r}: expected a "
                f"resolution or more, a choice of attention for each, and one of {', '.join(EXCITATIONS)}"
            )
        self.z_dim = self.latent_dim = z_dim
        self.num_layers = 1
        self.layer_sizes = (z_dim,)
        self.resolution = _START << len(channels)
        self.init = TransposedConvolution(z_dim, 2 * z_dim, _START, bias=True)
        self.init_norm = BatchNorm(2 * z_dim, _EPSILON)
        self.blocks = nn.ModuleList()
        self.attentions = nn.ModuleDict()
        self.excitations = nn.ModuleDict()
        for index, (before, after) in enumerate(zip((z_dim, *channels[:-1]), channels, strict=True)):
            side = 2 * _START << index
            if attention[index]:
                self.attentions[str(index)] = Attention(before)
            self.blocks.append(Stage(before, after, side))
            if index in _GATING and index + _GATED_AFTER < len(channels):
                later = channels[index + _GATED_AFTER]
                self.excitations[str(index)] = Excitation(after, later, side, excitation)
        self.to_image = Convolution(channels[-1], img_channels, 3)
        self.requires_grad_(False)

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z[:, None]

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        return ()

    def step(self, layer: int, state: State, style: Style) -> State:
        x = gated_halves(self.init_norm(self.init(style.base[:, :, None, None])))
        x = F.normalize(x, dim=1)
        gains: dict[int, Tensor] = {}
        for index, stage in enumerate(self.blocks):
            if str(index) in self.attentions:
                x = self.attentions[str(index)](x)
            x = stage(x)
            if str(index) in self.excitations:
                gains[index + _GATED_AFTER] = self.excitations[str(index)](x)
            if index in gains:
                x = x * gains.pop(index)
        return (self.to_image(x),)

    def finish(self, state: State) -> Tensor:
        return as_rgb(2.0 * state[0] - 1.0)

    def cut_out(self, state: State) -> Tensor | None:
        return 2.0 * state[0] - 1.0 if state[0].shape[1] == 4 else None

    def entry_map(self, layer: int) -> Tensor:
        """The first convolution."""
        return self.init.weight.flatten(1).T

    def activation_floats(self) -> int:
        widest = 0
        for index, stage in enumerate(self.blocks):
            assert isinstance(stage, Stage)
            places = (_START << index) ** 2
            inner = 3 * stage.expand.weight.shape[0] + 12 * stage.conv.weight.shape[0]
            if str(index) in self.attentions:
                inner = max(inner, 4 * _NEIGHBOURS**2 * _HEADS * _HEAD_WIDTH)
            widest = max(widest, inner * places)
        return widest
