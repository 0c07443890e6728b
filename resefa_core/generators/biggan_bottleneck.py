"""BigGAN-deep as ajbrock's BigGAN-PyTorch has it, with its tensor names and one set of statistics."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .base import Generator
from .biggan import OUTPUT_EPS, BatchNorm, BigGAN, ConditionalBatchNorm
from .conditional import Convolution, Linear, SelfAttention, doubled, unfold_linear
from .registry import register_generator
from .styles import State, Style

if TYPE_CHECKING:
    from collections.abc import Iterator

_RATIO = 4


class BottleneckBlock(nn.Module):
    """Four convolutions through a quarter of the channels; the input's first channels are added."""

    def __init__(
        self, inputs: int, outputs: int, condition: int, num_classes: int, eps: float, up: bool
    ) -> None:
        super().__init__()
        self.up, self.outputs = up, outputs
        hidden = inputs // _RATIO
        self.conv1 = Convolution(inputs, hidden, 1)
        self.conv2, self.conv3 = Convolution(hidden, hidden, 3), Convolution(hidden, hidden, 3)
        self.conv4 = Convolution(hidden, outputs, 1)
        for index, channels in enumerate((inputs, hidden, hidden, hidden), 1):
            self.add_module(f"bn{index}", ConditionalBatchNorm(channels, condition, num_classes, eps))

    def norms(self) -> Iterator[ConditionalBatchNorm]:
        for index in range(1, 5):
            norm = self.get_submodule(f"bn{index}")
            assert isinstance(norm, ConditionalBatchNorm)
            yield norm

    def forward(self, x: Tensor, style: Style, condition: Tensor) -> Tensor:
        first, second, third, fourth = self.norms()
        inner = second(self.conv1(first(x, style, condition).relu()), style, condition).relu()
        x = x[:, : self.outputs]
        if self.up:
            inner, x = doubled(inner), doubled(x)
        inner = self.conv3(third(self.conv2(inner), style, condition).relu())
        return self.conv4(fourth(inner, style, condition).relu()) + x


@register_generator
class BottleneckBigGAN(BigGAN):
    """The generator of BigGAN-PyTorch's deep variant.

    Layer 0 drives the linear layer, each further one a block; each code is the whole noise. The class stays
    as it is. Codes may vary over the image as in `BigGAN`, with what that says of leaks.

    Args:
        z_dim: size of the noise.
        num_classes: how many classes.
        shared_dim: size of the classes' embedding.
        channels: of the first feature map, then of each block's output; at most as many as before.
        attention: the blocks that self-attention comes after.
        bottom_width: side of the first feature map.
        depth: blocks of a resolution, the last of which doubles the size.
        eps: of the blocks' batch norms.

    Raises:
        ValueError: sizes that no such network has.
    """

    architecture = "biggan-bottleneck"

    def __init__(
        self,
        z_dim: int = 128,
        num_classes: int = 1000,
        shared_dim: int = 128,
        channels: Sequence[int] = (1024, 1024, 1024, 1024, 512, 512, 256, 256, 128, 128, 64),
        attention: Sequence[int] = (7,),
        bottom_width: int = 4,
        depth: int = 2,
        eps: float = 1e-5,
    ) -> None:
        Generator.__init__(self)
        count = len(channels) - 1
        shrinking = all(after <= before for before, after in pairwise(channels))
        whole = count >= 1 and depth >= 1 and count % depth == 0
        if not whole or not shared_dim or not shrinking or min(channels) < _RATIO:
            raise ValueError(
                f"{count} blocks, {depth} of a resolution, embeddings of {shared_dim} and channels "
                f"{str(list(channels))[:80]}: expected whole resolutions, an embedding, and channels of "
                f"{_RATIO} or more that do not grow"
            )
        self.z_dim = self.latent_dim = z_dim
        self.num_classes = num_classes
        self.bottom_width = bottom_width
        self.hierarchical = True
        self.num_layers = count + 1
        self.layer_sizes = (z_dim,) * self.num_layers
        self.spaces = ("z+", "z")
        self.can_confine = True
        self.resolution = bottom_width << (count // depth)
        self.shared = Linear(shared_dim, num_classes, bias=False)
        self.linear = Linear(shared_dim + z_dim, channels[0] * bottom_width**2)
        self.blocks = nn.ModuleList()
        for index in range(count):
            inputs, outputs = channels[index : index + 2]
            last = index % depth == depth - 1
            parts: list[nn.Module] = [
                BottleneckBlock(inputs, outputs, shared_dim + z_dim, num_classes, eps, last)
            ]
            if index in attention:
                parts.append(SelfAttention(outputs))
            self.blocks.append(nn.ModuleList(parts))
        final = channels[-1]
        self.output_layer = nn.ModuleList([BatchNorm(final, OUTPUT_EPS), nn.ReLU(), Convolution(final, 3, 3)])
        self.requires_grad_(False)

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z[:, None].expand(-1, self.num_layers, -1).clone()

    def step(self, layer: int, state: State, style: Style) -> State:
        condition = state[-1]
        if layer > 0:
            return super().step(layer, state, style)
        whole = torch.cat([condition, style.base], dim=1)
        matrix = self.linear.weight[:, condition.shape[1] :]
        x = unfold_linear(self.linear(whole), matrix, style, self.bottom_width, channels_last=False)
        return (x, condition)

    def entry_map(self, layer: int) -> Tensor:
        """What of the linear layer the noise meets, then each block's maps of it to gains and offsets."""
        if layer == 0:
            return self.linear.weight[:, -self.z_dim :]
        block = self.blocks.get_submodule(f"{layer - 1}.0")
        assert isinstance(block, BottleneckBlock)
        maps = [part for norm in block.norms() for part in (norm.gain, norm.bias)]
        return torch.cat([each.weight[:, -self.z_dim :] for each in maps])

    def activation_floats(self) -> int:
        side, widest = self.bottom_width, 0
        for parts in self.blocks:
            block, *attention = parts.children()
            assert isinstance(block, BottleneckBlock)
            side *= 2 if block.up else 1
            inputs = block.conv1.weight.shape[1]
            widest = max(widest, 3 * inputs * side**2)
            if attention:
                widest = max(widest, side**4 // 2 + 4 * block.outputs * side**2)
        return widest
