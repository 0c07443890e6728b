"""StyleGAN2 (Karras et al., 2020), skip architecture, with the tensor names of NVIDIA's releases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Published
from .colours import as_rgb, check_channels
from .linearization import Linearization
from .mapping import MappedGenerator, MappingNetwork
from .registry import register_generator
from .stylegan2_derivative import StyleGAN2Linearization
from .stylegan2_layers import SQUARE, Synthesis, SynthesisLayer, ToRGB, grown, upsample
from .styles import Gate, State, Style


@register_generator
class StyleGAN2(MappedGenerator):
    """StyleGAN2 generator.

    Layer 0 drives the first convolution. Each odd layer drives a resolution's to-RGB convolution and,
    with the same code, the up-sampling convolution of the next one; each further even layer drives
    the second convolution of its resolution. A resolution of 2^n has 2n - 2 layers.

    Args:
        z_dim, c_dim, w_dim: sizes of the noise, the class vector (0: no classes) and w.
        img_resolution: a power of two, at least 4; the last block's name.
        img_channels: 3 for RGB, 1 for grey, 4 for RGB with opacity.
        num_mapping_layers: depth of the mapping network.
        mapping_features: width of its inner layers; w_dim by default.
        embed_features: size that the class vector is brought to; w_dim by default.
        lr_multiplier: learning-rate multiplier that the mapping network was trained with.
        channel_base, channel_max: a resolution r has min(channel_base / r, channel_max) channels.
        conv_clamp: where what convolutions give is cut off, on both sides; None: nowhere.
        init_res: height and width of the constant that it starts from. Images are `img_resolution / 4` times
            as large: square for 4 x 4.

    Raises:
        ValueError: images that can't be shown.
    """

    architecture = "stylegan2"
    nests_synthesis = True
    published_directions: ClassVar[Mapping[str, Published]] = {
        "stylegan2_ffhq_eyebrows": Published(
            "stylegan2",
            1024,
            (8, 9, 10, 11),
            "387a46e64e3acc64bd9a0370d921b3e3999e39524c351f4a4fda17ff7e15947d",
        ),
        "stylegan2_ffhq_eyesize": Published(
            "stylegan2",
            1024,
            (4, 5, 6, 7),
            "81e6197d7a3c5720283a3451cd959656c456c9d25a051fbdb796591bc9365848",
        ),
        "stylegan2_ffhq_gaze_direction": Published(
            "stylegan2",
            1024,
            (4, 5, 6, 7),
            "8504eb066746440d84d3b86ad9b90c9ef142e0d899f34db5ef662f5f5178b306",
        ),
        "stylegan2_ffhq_lipstick": Published(
            "stylegan2",
            1024,
            (8, 9, 10, 11),
            "3252123ed0416a953d2af2c17532b0ef491debd6c22101f6de843a99cba7ffe0",
        ),
        "stylegan2_ffhq_mouth": Published(
            "stylegan2",
            1024,
            (4, 5, 6, 7),
            "bef224deafc2f086e5503ba266b8da645e62ed3f6db0249bb02dfcc41fc2f9d2",
        ),
        "stylegan2_ffhq_nose_length": Published(
            "stylegan2",
            1024,
            (4, 5, 6, 7),
            "197a069d18d73b1d5e92a5e3587dada8a046e786a966a5fda64db5c11ee904e8",
        ),
    }

    @classmethod
    def file_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As NVIDIA's class takes them; it has no `init_res`, which is left out where images are square."""
        told = {k: v for k, v in arguments.items() if k != "init_res" or tuple(v) != SQUARE}
        return super().file_arguments(told)

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 1024,
        img_channels: int = 3,
        num_mapping_layers: int = 8,
        mapping_features: int | None = None,
        lr_multiplier: float = 0.01,
        channel_base: int = 32768,
        channel_max: int = 512,
        embed_features: int | None = None,
        conv_clamp: float | None = None,
        init_res: Sequence[int] = SQUARE,
    ) -> None:
        super().__init__()
        check_channels(img_channels)
        height, width = init_res
        self.start = (height, width)
        self.z_dim = z_dim
        self.num_classes = c_dim
        self.latent_dim = w_dim
        self.resolution = max(grown(self.start, img_resolution))
        self.mapping = MappingNetwork(
            z_dim, c_dim, w_dim, num_mapping_layers, mapping_features or w_dim, lr_multiplier, embed_features
        )
        self.synthesis = Synthesis(
            w_dim, img_resolution, img_channels, channel_base, channel_max, conv_clamp, self.start
        )
        self.num_layers = 2 * len(self.synthesis.resolutions)
        self.layer_sizes = tuple(
            sum(layer.affine.weight.shape[0] for layer in self._modulated(index))
            for index in range(self.num_layers)
        )
        self.requires_grad_(False)

    @property
    def image_size(self) -> tuple[int, int]:
        return grown(self.start, self.synthesis.resolutions[-1])

    def style_slices(self, layer: int) -> list[tuple[SynthesisLayer | ToRGB, tuple[int, int]]]:
        """The convolutions that a layer's code drives, each with its part of the layer's style."""
        slices, start = [], 0
        for module in self._modulated(layer):
            stop = start + module.weight.shape[1]
            slices.append((module, (start, stop)))
            start = stop
        return slices

    def _modulated(self, layer: int) -> list[SynthesisLayer | ToRGB]:
        """The convolutions that a layer's code drives."""
        resolutions = self.synthesis.resolutions
        block = self.synthesis.block(resolutions[layer // 2])
        if layer % 2 == 0:
            return [block.conv1]
        if layer == self.num_layers - 1:
            return [block.torgb]
        return [block.torgb, self.synthesis.block(resolutions[layer // 2 + 1]).conv0]

    def layer_group(self, group: str) -> tuple[int, ...]:
        """Coarse: up to 8 x 8. Middle: 16 x 16 and 32 x 32. Fine: from 64 x 64 (Karras et al., 2019)."""
        bounds = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1 << 16)}
        if group not in bounds:
            return super().layer_group(group)
        low, high = bounds[group]
        resolutions = self.synthesis.resolutions
        return tuple(i for i in range(self.num_layers) if low <= resolutions[i // 2] <= high)

    def style(self, layer: int, code: Tensor) -> Tensor:
        return torch.cat([module.affine(code) for module in self._modulated(layer)], dim=1)

    def style_matrix(self, layer: int) -> Tensor:
        return torch.cat([module.affine.matrix() for module in self._modulated(layer)])

    def entry_map(self, layer: int) -> Tensor:
        """The affine map to the convolution's styles: to-RGB convolutions share their code with another one,
        and only the last is counted."""
        return self._modulated(layer)[-1].affine.matrix()

    def feature_channels(self, layer: int) -> Tensor:
        known = super().feature_channels(layer)
        for convolution, (start, stop) in self.style_slices(layer):
            known[start:stop] = isinstance(convolution, SynthesisLayer)
        return known

    def activation_floats(self) -> int:
        widest = 0
        for resolution in self.synthesis.resolutions:
            block = self.synthesis.block(resolution)
            widest = max(widest, 5 * block.conv1.weight.shape[0] * math.prod(block.conv1.size))
        return widest

    def linearize(
        self, styles: Sequence[Style], label: Tensor | None, gate: Gate | None = None
    ) -> Linearization:
        if any(style.moves for style in styles):
            return Linearization(self, styles, label, gate)
        return StyleGAN2Linearization(self, styles, label, gate)

    def begin(self, batch_size: int, label: Tensor | None) -> State:
        const = self.synthesis.block(4).const
        return (const[None].expand(batch_size, -1, -1, -1),)

    def step(self, layer: int, state: State, style: Style) -> State:
        resolutions = self.synthesis.resolutions
        block = self.synthesis.block(resolutions[layer // 2])
        kernel = block.resample_filter
        x = state[0]
        if layer % 2 == 0:
            return (block.conv1(x, style, kernel), *state[1:])
        channels = block.torgb.affine.weight.shape[0]
        image = block.torgb(x, _slice(style, 0, channels))
        if len(state) > 1:
            image = image + upsample(state[1])
        if layer == self.num_layers - 1:
            return (image,)
        following = self.synthesis.block(resolutions[layer // 2 + 1])
        return (following.conv0(x, _slice(style, channels, None), kernel), image)

    def finish(self, state: State) -> Tensor:
        return as_rgb(state[0])

    def cut_out(self, state: State) -> Tensor | None:
        return state[0] if state[0].shape[1] == 4 else None


def _slice(style: Style, start: int, stop: int | None) -> Style:
    return Style(
        style.base[:, start:stop], tuple((gate, delta[:, start:stop]) for gate, delta in style.moves)
    )
