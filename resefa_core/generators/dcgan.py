"""DCGAN (Radford et al., 2016): transposed convolutions from one place to an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..latents import draw_noise
from .base import Generator
from .colours import as_rgb
from .registry import register_generator
from .styles import State, Style

ACTIVATIONS = ("relu", "leaky_relu", "clamp")
"""What may come after each inner layer; `leaky_relu` and `clamp` take one number: slope or upper bound."""


OUTPUTS = ("tanh", "sigmoid")
"""What may bound the image: to [-1, 1], or to [0, 1], which is brought to [-1, 1]."""


class TransposedConvolution(nn.Module):
    """A transposed convolution, `(inputs, outputs, kernel, kernel)`: one place becomes `kernel` x `kernel`
    ones; larger maps, with a kernel of 4, twice as large."""

    bias: nn.Parameter | None

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool) -> None:
        super().__init__()
        weight = torch.randn(inputs, outputs, kernel, kernel).div_((4 * max(inputs, 1)) ** 0.5)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] == 1:
            return F.conv_transpose2d(x, self.weight, self.bias)
        return F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)


class BatchNorm(nn.Module):
    """Batch norm by its recorded statistics."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


@register_generator
class DCGAN(Generator):
    """DCGAN's generator: one layer, whose code is the noise. Its only space is `z`.

    The code enters at one place, from which the whole image unfolds: it can't vary over the image, and
    edits can't be confined. Batch norms use their recorded statistics, so that an image depends on its
    own code alone.

    Args:
        channels: size of the noise, then of each feature map, then of the image: 3, or 1 for grey.
        kernel: side of the first feature map.
        biases: for each convolution whether it has biases.
        norms: for each convolution but the last one whether batch norm follows it.
        activation: of `ACTIVATIONS`, after each convolution but the last one, which `tanh` follows.
        slope: of `leaky_relu`, or the upper bound of `clamp`, whose lower one is 0.
        noise_range: where the noise is cut off below and above, or None.
        eps: of the batch norms.
        norms_last: whether batch norms come after the activations instead of before.
        output: of `OUTPUTS`.
        num_classes: how many of the inputs, the last ones, are a class as zeros and a one.
    """

    architecture = "dcgan"
    implementation = "https://github.com/pytorch/examples"
    spaces = ("z",)

    def __init__(
        self,
        channels: Sequence[int] = (100, 512, 256, 128, 64, 3),
        kernel: int = 4,
        biases: Sequence[bool] | None = None,
        norms: Sequence[bool] | None = None,
        activation: str = "relu",
        slope: float = 0.2,
        noise_range: tuple[float, float] | None = None,
        eps: float = 1e-5,
        norms_last: bool = False,
        output: str = "tanh",
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        count = len(channels) - 1
        biases = [False] * count if biases is None else list(biases)
        norms = [True] * (count - 1) if norms is None else list(norms)
        if count < 2 or len(biases) != count or len(norms) != count - 1 or channels[-1] not in (1, 3):
            raise ValueError(
                f"channels {list(channels)}, biases {list(biases)} and norms {list(norms)}: expected two "
                "convolutions or more to an image of 1 or 3 channels, a choice of biases for each and of "
                "batch norm for each but the last"
            )
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation[:40]!r}: expected one of {', '.join(ACTIVATIONS)}")
        if output not in OUTPUTS or not 0 <= num_classes < channels[0]:
            raise ValueError(
                f"output {output[:40]!r} and {num_classes} classes of {channels[0]} inputs: expected one of "
                f"{', '.join(OUTPUTS)}, and fewer classes than inputs"
            )
        self.num_classes = num_classes
        self.z_dim = self.latent_dim = channels[0] - num_classes
        self.num_layers = 1
        self.layer_sizes = (self.z_dim,)
        self.norms_last = norms_last
        self.output = output
        self.activation = activation
        self.slope = slope
        self.noise_range = noise_range
        self.convolutions = nn.ModuleList(
            TransposedConvolution(channels[i], channels[i + 1], kernel if i == 0 else 4, biases[i])
            for i in range(count)
        )
        self.norms = nn.ModuleList(
            BatchNorm(channels[i + 1], eps) if norms[i] else nn.Identity() for i in range(count - 1)
        )
        self.resolution = kernel << (count - 1)
        self.requires_grad_(False)

    def draw(self, seeds: Sequence[int]) -> Tensor:
        noise = draw_noise(seeds, self.z_dim)
        return noise if self.noise_range is None else noise.clamp(*self.noise_range)

    def _identity(self) -> str:
        parts = [f"{self.activation} {self.slope}"] if self.activation != "relu" else []
        parts += ["norms last"] if self.norms_last else []
        parts += [self.output] if self.output != "tanh" else []
        return ", ".join([*parts, f"{self.num_classes} classes"] if self.num_classes else parts)

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z[:, None]

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        if condition is None:
            return ()
        return (F.one_hot(condition, self.num_classes).to(self.dtype),)

    def step(self, layer: int, state: State, style: Style) -> State:
        x = torch.cat([style.base, *state], dim=1)[:, :, None, None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=False):
            x = (
                norm(self._activate(convolution(x)))
                if self.norms_last
                else self._activate(norm(convolution(x)))
            )
        return (self.convolutions[len(self.norms)](x),)

    def finish(self, state: State) -> Tensor:
        return as_rgb((0.5 * state[0]).tanh() if self.output == "sigmoid" else state[0].tanh())

    def _activate(self, x: Tensor) -> Tensor:
        if self.activation == "relu":
            return x.relu()
        if self.activation == "clamp":
            return x.clamp(0.0, self.slope)
        return F.leaky_relu(x, self.slope)

    def entry_map(self, layer: int) -> Tensor:
        """The first convolution, of the noise."""
        return self.get_parameter("convolutions.0.weight")[: self.z_dim].flatten(1).T

    def activation_floats(self) -> int:
        side, widest = self.resolution, 0
        for convolution in reversed(self.convolutions):
            assert isinstance(convolution, TransposedConvolution)
            widest = max(widest, 4 * convolution.weight.shape[1] * side**2)
            side //= 2
        return widest
