"""What the StyleGANs have in common: noise becomes w, and w drives each layer by an affine map.

Noise is mapped in float64, so that a seed names the same codes in any batch and on any processor. The order
in which the terms of a product are added differs between them: it changes the codes of the bundled generator,
which reach 7, by up to 1e-3 in float32, but by 1e-12 in float64, which rounding to float32 hides but for a
last bit on rare occasions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..precision import wide
from .base import Generator

_SIZES = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
_MAPPING = {
    "num_mapping_layers": "num_layers",
    "mapping_features": "layer_features",
    "embed_features": "embed_features",
    "lr_multiplier": "lr_multiplier",
}


class FullyConnected(nn.Module):
    """A linear layer with equalized learning rate: weights are scaled when used.

    It computes in its input's precision and where its input is.
    """

    def __init__(self, inputs: int, outputs: int, lr_multiplier: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs).div_(lr_multiplier))
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.bias_gain = lr_multiplier

    def matrix(self) -> Tensor:
        return self.weight * self.weight_gain

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (tensor.to(x.device).to(x.dtype) for tensor in (self.weight, self.bias))
        return F.linear(x, weight * self.weight_gain, bias * self.bias_gain)


class MappingNetwork(nn.Module):
    """Noise (and class) to w, in the noise's precision."""

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_layers: int,
        layer_features: int,
        lr_multiplier: float,
        embed_features: int | None = None,
    ) -> None:
        super().__init__()
        self.num_layers = num_layers
        embed = (embed_features or w_dim) if c_dim else 0
        sizes = [z_dim + embed, *[layer_features] * (num_layers - 1), w_dim]
        if c_dim:
            self.embed = FullyConnected(c_dim, embed)
        for index in range(num_layers):
            self.add_module(f"fc{index}", FullyConnected(sizes[index], sizes[index + 1], lr_multiplier))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, one_hot: Tensor | None) -> Tensor:
        x = _normalize(z)
        if one_hot is not None:
            x = torch.cat([x, _normalize(self.embedded(one_hot))], dim=1)
        for index in range(self.num_layers):
            x = F.leaky_relu(self.get_submodule(f"fc{index}")(x), 0.2) * math.sqrt(2.0)
        return x

    def embedded(self, one_hot: Tensor) -> Tensor:
        """Classes as zeros and a one, `(B, c_dim)`, to what stands beside the noise, not normalized yet."""
        classes: Tensor = self.embed(one_hot)
        return classes


def _normalize(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class MappedGenerator(Generator):
    """A generator with a mapping network: one w for all layers, unless they are moved one by one."""

    spaces = ("w+", "w", "s", "z")
    has_mapping = True
    can_confine = True
    implementation = "https://github.com/NVlabs/stylegan3"
    nests_synthesis = False
    """Whether NVIDIA's class takes the synthesis network's arguments as `synthesis_kwargs`."""
    mapping: MappingNetwork

    @classmethod
    def file_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As NVIDIA's class of that architecture takes them."""
        known = {key: value for key, value in arguments.items() if value is not None or key == "conv_clamp"}
        mapping = {_MAPPING[key]: value for key, value in known.items() if key in _MAPPING}
        synthesis = {k: v for k, v in known.items() if k not in _MAPPING and k not in _SIZES}
        sizes = {key: known[key] for key in _SIZES}
        nested = {"synthesis_kwargs": synthesis} if cls.nests_synthesis else synthesis
        return {**sizes, "mapping_kwargs": mapping, **nested}

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        one_hot = None
        if self.num_classes and label is not None:
            one_hot = wide(F.one_hot(label, self.num_classes))
        w: Tensor = self.mapping(wide(z), one_hot).to(z.dtype).to(z.device)
        return w[:, None].expand(-1, self.num_layers, -1).clone()

    def mean_codes(self) -> Tensor:
        return self.mapping.w_avg.expand(self.num_layers, -1)
