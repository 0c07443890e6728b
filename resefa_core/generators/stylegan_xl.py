"""StyleGAN-XL (Sauer et al., 2022, "StyleGAN-XL: Scaling StyleGAN to Large Diverse Datasets"): a StyleGAN3
that grew from one resolution to the next, with class embeddings of a pretrained classifier.

Each stage of growth puts layers of its own in place of the critically sampled ones before, and what was
removed is recorded nowhere. So the sampling of the layers is an argument here, and follows from no formula.
Layers are numbered without the gap that the first stage leaves there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Published
from .classes import imagenet_names
from .colours import check_channels
from .mapping import FullyConnected, MappedGenerator, MappingNetwork
from .registry import register_generator
from .stylegan3 import StyleGAN3
from .stylegan3_grids import Grid
from .stylegan3_layers import Synthesis

_MOST_LAYERS = 128
_MOST_SAMPLES = 8192
_MOST_CHANNELS = 1 << 14
_ROUNDING = 1.0 + 1e-6


class ClassMapping(MappingNetwork):
    """Noise and a class's embedding to w; each class has a mean code of its own."""

    def __init__(
        self, z_dim: int, c_dim: int, w_dim: int, num_layers: int, lr_multiplier: float, embed_dim: int
    ) -> None:
        super().__init__(2 * z_dim if c_dim else z_dim, 0, w_dim, num_layers, w_dim, lr_multiplier)
        if c_dim:
            self.add_module("embed", nn.Embedding(c_dim, embed_dim))
            self.embed_proj = FullyConnected(embed_dim, z_dim)
            self.register_buffer("w_avg", torch.zeros(c_dim, w_dim))

    def embedded(self, one_hot: Tensor) -> Tensor:
        rows = self.get_parameter("embed.weight").to(one_hot)
        classes = self.embed_proj(one_hot @ rows)
        return F.leaky_relu(classes, 0.2) * math.sqrt(2.0)


@register_generator
class StyleGANXL(StyleGAN3):
    """StyleGAN-XL generator with StyleGAN3's layers.

    Args:
        z_dim, c_dim, w_dim: sizes of the noise, the class vector (0: no classes) and w.
        grids: for each layer, to-RGB last, the numbers of its `Grid`: rate, size, cutoff, half width and
            channels.
        num_critical: how many of the last ones, to-RGB not counted, are sampled critically.
        embed_dim: size of a class's embedding.
        num_mapping_layers, lr_multiplier, output_scale, conv_kernel, filter_size, lrelu_upsampling,
            use_radial_filters, conv_clamp: as for `StyleGAN3`.

    Raises:
        ValueError: sizes that no such network has.
    """

    architecture = "stylegan-xl"
    implementation = ""
    published_directions: ClassVar[Mapping[str, Published]] = {}

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        grids: Sequence[Sequence[float]],
        num_critical: int = 2,
        embed_dim: int = 320,
        num_mapping_layers: int = 2,
        lr_multiplier: float = 0.01,
        output_scale: float = 0.25,
        conv_kernel: int = 3,
        filter_size: int = 6,
        lrelu_upsampling: int = 2,
        use_radial_filters: bool = False,
        conv_clamp: float | None = 256.0,
    ) -> None:
        MappedGenerator.__init__(self)
        checked = _checked(grids)
        if not 0 <= num_critical < len(checked) - 1:
            raise ValueError(f"{num_critical} critical layers of {len(checked) - 1}")
        told = " ".join(f"{grid.rate} {grid.cutoff:.6g}" for grid in checked)
        self._untold = f"{lr_multiplier:g} {output_scale:g} {conv_clamp and float(conv_clamp)} {told}"
        mapping = ClassMapping(z_dim, c_dim, w_dim, num_mapping_layers, lr_multiplier, embed_dim)
        synthesis = Synthesis(
            w_dim,
            checked,
            num_critical,
            conv_kernel,
            filter_size,
            lrelu_upsampling,
            use_radial_filters,
            conv_clamp,
        )
        self._assemble(z_dim, c_dim, w_dim, mapping, synthesis, output_scale)
        self.class_names = imagenet_names() if c_dim == 1000 else ()

    @classmethod
    def file_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return dict(arguments)

    def mean_codes(self) -> Tensor:
        """The mean of all classes'."""
        means = self.mapping.w_avg
        return (means.mean(dim=0) if self.num_classes else means).expand(self.num_layers, -1)

    def mean_codes_of(self, label: Tensor | None) -> Tensor:
        if label is None or not self.num_classes:
            return self.mean_codes()
        means = self.mapping.w_avg
        return means[label.to(means.device)][:, None].expand(-1, self.num_layers, -1)


def _checked(grids: Sequence[Sequence[float]]) -> list[Grid]:
    """Numbers as grids.

    Raises:
        ValueError: no such layers.
    """
    if not 2 <= len(grids) <= _MOST_LAYERS:
        raise ValueError(f"{len(grids)} layers: expected 2 to {_MOST_LAYERS}")
    checked = []
    for index, (rate, size, cutoff, half_width, channels) in enumerate(grids):
        whole = type(rate) is int and type(size) is int and type(channels) is int
        fits = whole and 0 < rate <= size <= _MOST_SAMPLES and 0 < channels <= _MOST_CHANNELS
        if not fits or int(rate) & (int(rate) - 1) or (int(size) - int(rate)) % 2:
            raise ValueError(
                f"layer {index} has {size!s:.20} samples at rate {rate!s:.20} and {channels!s:.20} channels"
            )
        if not 0.0 < cutoff <= rate / 2 * _ROUNDING or not 0.0 < half_width <= rate:
            raise ValueError(f"layer {index} has the cutoff {cutoff:g} and half width {half_width:g}")
        checked.append(Grid(int(rate), int(size), float(cutoff), float(half_width), int(channels)))
    first, last = checked[0], checked[-1]
    if first.cutoff >= first.rate / 2 or last.margin:
        raise ValueError("the first layer is sampled critically, or the image has a margin")
    check_channels(last.channels)
    return checked
