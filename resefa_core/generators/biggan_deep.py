"""BigGAN-deep (Brock et al., 2019), with the tensor names of Hugging Face's pytorch-pretrained-BigGAN.

Every block's batch norms take their gains and offsets from the noise and the class's embedding, and each
layer of this class is such a block with the noise as its code. The batch norms' statistics were recorded
at 51 truncations: an image depends on its truncation beside its noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ..errors import LatentError
from ..latents import Latent, draw_truncated_noise
from .base import Generator
from .classes import imagenet_names
from .conditional import Convolution, Linear, SelfAttention, doubled, normalize, unfold_linear, varying
from .registry import register_generator
from .styles import State, Style

BlockShape: TypeAlias = "tuple[bool, int, int]"
_REDUCTION = 4
_START = 4


def published_layers(resolution: int) -> tuple[BlockShape, ...]:
    """The blocks of the published generators of 128, 256 and 512 pixels: whether one doubles the size, and
    its channels before and after, in units of the channel width."""
    widths = {
        128: (16, 16, 8, 4, 2, 1),
        256: (16, 16, 8, 8, 4, 2, 1),
        512: (16, 16, 8, 8, 4, 2, 1, 1),
    }[resolution]
    return tuple(
        shape
        for before, after in pairwise(widths)
        for shape in ((False, before, before), (True, before, after))
    )


class ConditionalBatchNorm(nn.Module):
    """Batch norm with statistics for each truncation, gains and offsets from noise and class.

    Statistics are named `running_means` and `running_vars`, `(n_stats, C)`.
    """

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, condition: int, n_stats: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("running_means", torch.zeros(n_stats, channels))
        self.register_buffer("running_vars", torch.ones(n_stats, channels))
        self.scale = Linear(condition, channels, bias=False)
        self.offset = Linear(condition, channels, bias=False)

    def forward(self, x: Tensor, style: Style, embedding: Tensor, mixture: Tensor) -> Tensor:
        z_dim, size = style.base.shape[1], x.shape[2:]
        condition = torch.cat([style.base, embedding], dim=1)
        gain = varying(1.0 + self.scale(condition), self.scale.weight[:, :z_dim], style, *size)
        offset = varying(self.offset(condition), self.offset.weight[:, :z_dim], style, *size)
        means, variances = mixture @ self.running_means, mixture @ self.running_vars
        return normalize(x, means, variances, self.eps, gain, offset)


class BatchNorm(nn.Module):
    """Batch norm with statistics for each truncation, and gains and offsets of its own."""

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, n_stats: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("running_means", torch.zeros(n_stats, channels))
        self.register_buffer("running_vars", torch.ones(n_stats, channels))
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        means, variances = mixture @ self.running_means, mixture @ self.running_vars
        gain, offset = self.weight[:, None, None], self.bias[:, None, None]
        return normalize(x, means, variances, self.eps, gain, offset)


class Block(nn.Module):
    """A bottleneck of four convolutions beside a shortcut, which drops the channels that are too many."""

    def __init__(
        self, inputs: int, outputs: int, condition: int, double: bool, n_stats: int, eps: float
    ) -> None:
        super().__init__()
        if inputs < outputs:
            raise ValueError(f"a block of {inputs} channels can't give {outputs}: expected as many or fewer")
        inner = inputs // _REDUCTION
        self.outputs = outputs
        self.doubles = double
        self.bn_0 = ConditionalBatchNorm(inputs, condition, n_stats, eps)
        self.conv_0 = Convolution(inputs, inner, 1)
        self.bn_1 = ConditionalBatchNorm(inner, condition, n_stats, eps)
        self.conv_1 = Convolution(inner, inner, 3)
        self.bn_2 = ConditionalBatchNorm(inner, condition, n_stats, eps)
        self.conv_2 = Convolution(inner, inner, 3)
        self.bn_3 = ConditionalBatchNorm(inner, condition, n_stats, eps)
        self.conv_3 = Convolution(inner, outputs, 1)

    def forward(self, x: Tensor, style: Style, embedding: Tensor, mixture: Tensor) -> Tensor:
        given = (style, embedding, mixture)
        shortcut = x[:, : self.outputs]
        x = self.conv_0(self.bn_0(x, *given).relu())
        x = self.bn_1(x, *given).relu()
        if self.doubles:
            x, shortcut = doubled(x), doubled(shortcut)
        x = self.conv_1(x)
        x = self.conv_2(self.bn_2(x, *given).relu())
        return shortcut + self.conv_3(self.bn_3(x, *given).relu())


class Synthesis(nn.Module):
    """All but the classes' embeddings. `layers` are the blocks, with the attention among them."""

    def __init__(
        self,
        condition: int,
        channel_width: int,
        layers: Sequence[BlockShape],
        attention: int,
        n_stats: int,
        eps: float,
    ) -> None:
        super().__init__()
        if not layers:
            raise ValueError("it has no blocks")
        for (_, _, after), (_, before, _) in pairwise(layers):
            if after != before:
                raise ValueError(f"a block that gives {after} widths comes before one that takes {before}")
        self.gen_z = Linear(condition, _START * _START * layers[0][1] * channel_width)
        modules: list[nn.Module] = []
        for index, (double, before, after) in enumerate(layers):
            inputs, outputs = before * channel_width, after * channel_width
            first = SelfAttention(inputs) if index == attention else None
            block = Block(inputs, outputs, condition, double, n_stats, eps)
            modules += [block] if first is None else [first, block]
        self.layers = nn.ModuleList(modules)
        last = layers[-1][2] * channel_width
        self.bn = BatchNorm(last, n_stats, eps)
        self.conv_to_rgb = Convolution(last, 3, 3)

    def blocks(self) -> list[tuple[SelfAttention | None, Block]]:
        """Each block, with the attention that comes before it."""
        found: list[tuple[SelfAttention | None, Block]] = []
        attention = None
        for module in self.layers:
            if isinstance(module, SelfAttention):
                attention = module
            else:
                assert isinstance(module, Block)
                found.append((attention, module))
                attention = None
        return found


@register_generator
class BigGANDeep(Generator):
    """BigGAN-deep's generator.

    Layer 0 drives the linear layer that makes the first feature map, each further one a block; their codes
    are the noise, the same for all layers unless they are moved apart. The class stays as it is. Spaces
    are `z+`, each chosen layer by itself, and `z`, one vector moved on the chosen layers.

    Codes may vary over the image: in the blocks at each place of the batch norms' input, in layer 0 at
    each of its 4 x 4 places. Self-attention carries what changes in one place to others.

    Args:
        z_dim: size of the noise, and of a class's embedding.
        num_classes: how many classes.
        channel_width: the unit of the numbers of channels.
        layers: for each block whether it doubles the size, and its channels before and after, in units.
        attention_layer_position: the block that self-attention comes before; -1: no attention.
        eps: of the batch norms.
        n_stats: at how many truncations, from 0 to 1, their statistics were recorded.
    """

    architecture = "biggan-deep"
    implementation = "https://github.com/huggingface/pytorch-pretrained-BigGAN"
    preset_family = "biggan"
    spaces = ("z+", "z")
    can_confine = True

    def __init__(
        self,
        z_dim: int = 128,
        num_classes: int = 1000,
        channel_width: int = 128,
        layers: Sequence[BlockShape] = published_layers(128),
        attention_layer_position: int = 8,
        eps: float = 1e-4,
        n_stats: int = 51,
    ) -> None:
        super().__init__()
        if n_stats < 2:
            raise ValueError(f"statistics at {n_stats} truncations: expected 2 or more")
        self.z_dim = z_dim
        self.latent_dim = z_dim
        self.num_classes = num_classes
        self.n_stats = n_stats
        self.embeddings = Linear(num_classes, z_dim, bias=False)
        self.generator = Synthesis(2 * z_dim, channel_width, layers, attention_layer_position, n_stats, eps)
        self.num_layers = 1 + len(layers)
        self.layer_sizes = (z_dim,) * self.num_layers
        self.resolution = _START << sum(double for double, _, _ in layers)
        self.requires_grad_(False)

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return imagenet_names() if self.num_classes == 1000 else ()

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """Standard normal noise within two standard deviations, as the published sampler draws it."""
        return draw_truncated_noise(seeds, self.z_dim)

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z[:, None].expand(-1, self.num_layers, -1).clone()

    def codes_of_noise(
        self, z: Tensor, label: Tensor | None, truncation: float, truncation_layers: int | None = None
    ) -> Tensor:
        _check_truncation(truncation)
        return super().codes_of_noise(z, label, truncation, truncation_layers)

    def check_latent(self, latent: Latent) -> None:
        super().check_latent(latent)
        _check_truncation(latent.truncation)
        if latent.label is None:
            self._check_label(None, len(latent))

    def condition(self, latent: Latent) -> Tensor:
        """The classes' embeddings and what of each truncation's statistics is taken, `(B, z_dim + n_stats)`.

        Between two recorded truncations the published code takes of the lower one what lies beyond it, and
        of the higher one the rest, where one would expect the reverse. So does this.
        """
        self.check_latent(latent)
        assert latent.label is not None
        embeddings = self.embeddings.weight.T[latent.label.to(self.device)]
        beyond, index = math.modf(latent.truncation / (1.0 / (self.n_stats - 1)))
        mixture = embeddings.new_zeros(len(latent), self.n_stats)
        if beyond == 0.0:
            mixture[:, int(index)] = 1.0
        else:
            mixture[:, int(index)] = beyond
            mixture[:, int(index) + 1] = 1.0 - beyond
        return torch.cat([embeddings, mixture], dim=1)

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        if condition is None:
            raise LatentError(f"this {self.architecture} needs a class and a truncation: see `condition`")
        return tuple(condition.split([self.z_dim, self.n_stats], dim=1))

    def step(self, layer: int, state: State, style: Style) -> State:
        if layer == 0:
            linear, embedding = self.generator.gen_z, state[0]
            base = linear(torch.cat([style.base, embedding], dim=1))
            matrix = linear.weight[:, : self.z_dim]
            return (unfold_linear(base, matrix, style, _START, channels_last=True), *state)
        x, embedding, mixture = state
        attention, block = self.generator.blocks()[layer - 1]
        if attention is not None:
            x = attention(x)
        return (block(x, style, embedding, mixture), embedding, mixture)

    def finish(self, state: State) -> Tensor:
        x, _, mixture = state
        return self.generator.conv_to_rgb(self.generator.bn(x, mixture).relu()).tanh()

    def entry_map(self, layer: int) -> Tensor:
        """The linear layer that makes the first feature map, then each block's maps to its gains and
        offsets."""
        if layer == 0:
            return self.generator.gen_z.weight[:, : self.z_dim]
        _, block = self.generator.blocks()[layer - 1]
        norms = (block.bn_0, block.bn_1, block.bn_2, block.bn_3)
        maps = tuple(each.weight for norm in norms for each in (norm.scale, norm.offset))
        return torch.cat(maps)[:, : self.z_dim]

    def activation_floats(self) -> int:
        side, widest = _START, 0
        for attention, block in self.generator.blocks():
            channels = block.conv_0.weight.shape[1]
            if attention is not None:
                widest = max(widest, side**4 // 2 + 4 * channels * side**2)
            side *= 2 if block.doubles else 1
            inner = block.conv_1.weight.shape[0]
            widest = max(widest, (4 * inner + 3 * max(block.outputs, inner)) * side**2)
        return widest


def _check_truncation(truncation: float) -> None:
    if not 0.0 <= truncation <= 1.0:
        raise LatentError(f"truncation {truncation} is out of range: BigGAN-deep's statistics are for [0, 1]")
