"""BigGAN (Brock et al., 2019), with the tensor names of ajbrock's BigGAN-PyTorch.

The noise is cut into chunks. The first enters a linear layer that makes the first feature map; each block's
batch norms take their gains and offsets from the class's embedding and a chunk of the block's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import LatentError
from ..latents import Latent
from .base import Generator
from .classes import imagenet_names
from .conditional import Convolution, Linear, SelfAttention, doubled, normalize, unfold_linear, varying
from .registry import register_generator
from .styles import State, Style

OUTPUT_EPS = 1e-5


class ConditionalBatchNorm(nn.Module):
    """Batch norm by recorded statistics, with gains and offsets from class and noise: linear in them, or
    where classes are not embedded, a row for each class."""

    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int, condition: int, num_classes: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gain: Linear | nn.Embedding
        self.bias: Linear | nn.Embedding
        if condition:
            self.gain, self.bias = (Linear(condition, channels, bias=False) for _ in range(2))
        else:
            self.gain, self.bias = (
                nn.Embedding.from_pretrained(0.1 * torch.randn(num_classes, channels)) for _ in range(2)
            )
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def forward(self, x: Tensor, style: Style | None, condition: Tensor) -> Tensor:
        """
        Args:
            style: the chunk of the noise, or None.
            condition: the class's embedding `(B, E)`, or the classes `(B,)`.
        """
        size = x.shape[2:]
        whole = condition if style is None else torch.cat([condition, style.base], dim=1)
        gain, offset = 1.0 + self.gain(whole), self.bias(whole)
        if style is None:
            gain, offset = gain[:, :, None, None], offset[:, :, None, None]
        else:
            start = condition.shape[1]
            gain = varying(gain, self.gain.weight[:, start:], style, *size)
            offset = varying(offset, self.bias.weight[:, start:], style, *size)
        return normalize(x, self.stored_mean, self.stored_var, self.eps, gain, offset)


class BatchNorm(nn.Module):
    """Batch norm by recorded statistics."""

    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.stored_mean, self.stored_var, self.gain, self.bias, training=False, eps=self.eps
        )


class Block(nn.Module):
    """Two convolutions that double the size, beside a shortcut of one."""

    def __init__(self, inputs: int, outputs: int, condition: int, num_classes: int, eps: float) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, outputs, 3)
        self.conv2 = Convolution(outputs, outputs, 3)
        self.conv_sc = Convolution(inputs, outputs, 1)
        self.bn1 = ConditionalBatchNorm(inputs, condition, num_classes, eps)
        self.bn2 = ConditionalBatchNorm(outputs, condition, num_classes, eps)

    def forward(self, x: Tensor, style: Style | None, condition: Tensor) -> Tensor:
        inner = self.conv1(doubled(self.bn1(x, style, condition).relu()))
        inner = self.conv2(self.bn2(inner, style, condition).relu())
        return inner + doubled(self.conv_sc(x))


@register_generator
class BigGAN(Generator):
    """BigGAN's generator.

    Layer 0 drives the linear layer, each further one a block. A code is a chunk of the noise; the whole
    noise is `z+` on all layers, which is the only space. The class stays as it is.

    Codes may vary over the image: in the blocks at each place of the batch norms' input, in layer 0 at
    each of its few places. Self-attention carries what changes in one place to others. Where the noise
    enters the linear layer alone (`hierarchical` is false), there is one layer, the space is `z`, and
    edits can't be confined.

    Args:
        z_dim: size of the noise.
        num_classes: how many classes.
        shared_dim: size of the classes' embedding; 0: each batch norm has a row of its own for each class.
        channels: of the first feature map, then of each block's output.
        attention: the blocks that self-attention comes after.
        bottom_width: side of the first feature map.
        hierarchical: whether each block gets a chunk of the noise.
        eps: of the blocks' batch norms.
    """

    architecture = "biggan"
    implementation = "https://github.com/ajbrock/BigGAN-PyTorch"
    preset_family = "biggan"

    def __init__(
        self,
        z_dim: int = 120,
        num_classes: int = 1000,
        shared_dim: int = 128,
        channels: Sequence[int] = (1536, 1536, 768, 384, 192, 96),
        attention: Sequence[int] = (3,),
        bottom_width: int = 4,
        hierarchical: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        count = len(channels) - 1
        if count < 1 or (hierarchical and (not shared_dim or z_dim % (count + 1))):
            raise ValueError(
                f"{count} blocks, noise of {z_dim} and embeddings of {shared_dim}: expected a block or more, "
                "and for chunks an embedding and a multiple of the blocks and one"
            )
        self.z_dim = z_dim
        self.num_classes = num_classes
        self.bottom_width = bottom_width
        self.hierarchical = hierarchical
        self.num_layers = count + 1 if hierarchical else 1
        self.latent_dim = z_dim // self.num_layers
        self.layer_sizes = (self.latent_dim,) * self.num_layers
        self.spaces = ("z+",) if hierarchical else ("z",)
        self.can_confine = hierarchical
        self.resolution = bottom_width << count
        if shared_dim:
            self.shared = Linear(shared_dim, num_classes, bias=False)
        self.linear = Linear(self.latent_dim, channels[0] * bottom_width**2)
        condition = shared_dim + (self.latent_dim if hierarchical else 0)
        self.blocks = nn.ModuleList()
        for index in range(count):
            inputs, outputs = channels[index : index + 2]
            parts: list[nn.Module] = [Block(inputs, outputs, condition, num_classes, eps)]
            if index in attention:
                parts.append(SelfAttention(outputs))
            self.blocks.append(nn.ModuleList(parts))
        last = channels[-1]
        self.output_layer = nn.ModuleList([BatchNorm(last, OUTPUT_EPS), nn.ReLU(), Convolution(last, 3, 3)])
        self.requires_grad_(False)

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return imagenet_names() if self.num_classes == 1000 else ()

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z.unflatten(1, (self.num_layers, self.latent_dim)).clone()

    def check_latent(self, latent: Latent) -> None:
        super().check_latent(latent)
        if latent.label is None:
            self._check_label(None, len(latent))

    def condition(self, latent: Latent) -> Tensor:
        """The classes' embeddings, `(B, E)`; the classes themselves, `(B,)`, where they are not embedded."""
        self.check_latent(latent)
        assert latent.label is not None
        label = latent.label.to(self.device)
        return self.shared.weight[label] if hasattr(self, "shared") else label

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        if condition is None:
            raise LatentError(f"this {self.architecture} needs a class: see `condition`")
        return (condition,)

    def step(self, layer: int, state: State, style: Style) -> State:
        condition = state[-1]
        if layer == 0:
            x = unfold_linear(
                self.linear(style.base), self.linear.weight, style, self.bottom_width, channels_last=False
            )
            return (x, condition)
        return (self._run(layer - 1, state[0], style, condition), condition)

    def _run(self, index: int, x: Tensor, style: Style | None, condition: Tensor) -> Tensor:
        """A block, and the attention after it."""
        block, *attention = self.blocks.get_submodule(str(index)).children()
        x = block(x, style, condition)
        return attention[0](x) if attention else x

    def finish(self, state: State) -> Tensor:
        x, condition = state
        if not self.hierarchical:
            for index in range(len(self.blocks)):
                x = self._run(index, x, None, condition)
        norm, _, convolution = self.output_layer
        return convolution(norm(x).relu()).tanh()

    def entry_map(self, layer: int) -> Tensor:
        """The linear layer that makes the first feature map, then each block's maps to its gains and
        offsets."""
        if layer == 0:
            return self.linear.weight
        block = self.blocks.get_submodule(f"{layer - 1}.0")
        assert isinstance(block, Block)
        maps = (block.bn1.gain, block.bn1.bias, block.bn2.gain, block.bn2.bias)
        return torch.cat([each.weight[:, -self.latent_dim :] for each in maps])

    def activation_floats(self) -> int:
        side, widest = self.bottom_width, 0
        for parts in self.blocks:
            block, *attention = parts.children()
            assert isinstance(block, Block)
            side *= 2
            outputs, inputs = block.conv1.weight.shape[:2]
            widest = max(widest, (2 * inputs + 3 * outputs) * side**2)
            if attention:
                widest = max(widest, side**4 // 2 + 4 * outputs * side**2)
        return widest if self.hierarchical else 2 * widest
