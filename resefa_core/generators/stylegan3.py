"""StyleGAN3 (Karras et al., 2021, "Alias-Free Generative Adversarial Networks"), configurations T and R,
with the tensor names of NVIDIA's release."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import ParameterError
from .base import Published
from .colours import as_rgb, check_channels
from .linearization import Linearization
from .mapping import FullyConnected, MappedGenerator, MappingNetwork
from .registry import register_generator
from .stylegan3_derivative import StyleGAN3Linearization
from .stylegan3_grids import plan_grids
from .stylegan3_layers import Synthesis
from .styles import Gate, State, Style


@register_generator
class StyleGAN3(MappedGenerator):
    """StyleGAN3 generator.

    Layer 0 drives the input's rotation and translation (four style channels), layer i + 1 the
    convolution `L{i}_...`, the last one the to-RGB convolution: `num_layers + 2` codes in all. The
    arguments are those of NVIDIA's generator, `synthesis_kwargs` among them; the defaults are
    configuration T. Configuration R has `conv_kernel=1`, `use_radial_filters=True` and twice the
    channels, `channel_base=65536, channel_max=1024`.

    Args:
        z_dim, c_dim, w_dim: sizes of the noise, the class vector (0: no classes) and w.
        img_resolution: a power of two, at least 4.
        img_channels: 3 for RGB, 1 for grey, 4 for RGB with opacity.
        num_mapping_layers: depth of the mapping network.
        lr_multiplier: learning-rate multiplier that the mapping network was trained with.
        channel_base, channel_max: a layer of cutoff f has min(channel_base / 2f, channel_max) channels.
        num_layers: convolutions, the to-RGB one not counted.
        num_critical: how many of the last ones are sampled critically.
        first_cutoff, first_stopband: of the input, in cycles per image width.
        last_stopband_rel: the last stopband, as a multiple of the last cutoff.
        margin_size: samples that each grid reaches over the image's border, on each side.
        output_scale: what the image is multiplied by at the end.
        conv_kernel: side of the convolutions; odd.
        filter_size: taps of a filter for each sample of the lower of the two rates that it joins.
        lrelu_upsampling: the rate of the leaky ReLU, as a multiple of the layer's higher rate.
        use_radial_filters: whether filters on the way down are radial, but in critical layers.
        conv_clamp: bound of the activations' magnitude, or None.

    Raises:
        ValueError: sizes that no such network has.
    """

    architecture = "stylegan3"
    published_directions: ClassVar[Mapping[str, Published]] = {
        "stylegan3_ffhq_eyes-r": Published(
            "stylegan3-r",
            1024,
            (4, 5, 6, 7),
            "07bb142f14513006f28c00f135d50126f525090a8e48a35302d84deb7eb66448",
        ),
        "stylegan3_afhq_eyes-r": Published(
            "stylegan3-r",
            512,
            (4, 5, 6, 7),
            "7b76a6cea0ee7a026177166dd2ec4410d40fa36df9c273348514aaac3945467d",
        ),
    }

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 1024,
        img_channels: int = 3,
        num_mapping_layers: int = 2,
        lr_multiplier: float = 0.01,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_layers: int = 14,
        num_critical: int = 2,
        first_cutoff: float = 2.0,
        first_stopband: float = 2.0**2.1,
        last_stopband_rel: float = 2.0**0.3,
        margin_size: int = 10,
        output_scale: float = 0.25,
        conv_kernel: int = 3,
        filter_size: int = 6,
        lrelu_upsampling: int = 2,
        use_radial_filters: bool = False,
        conv_clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        check_channels(img_channels)
        self._untold = f"{lr_multiplier:g} {output_scale:g} {conv_clamp and float(conv_clamp)}"
        mapping = MappingNetwork(z_dim, c_dim, w_dim, num_mapping_layers, w_dim, lr_multiplier)
        grids = plan_grids(
            img_resolution,
            img_channels,
            channel_base,
            channel_max,
            num_layers,
            num_critical,
            first_cutoff,
            first_stopband,
            last_stopband_rel,
            margin_size,
        )
        synthesis = Synthesis(
            w_dim,
            grids,
            num_critical,
            conv_kernel,
            filter_size,
            lrelu_upsampling,
            use_radial_filters,
            conv_clamp,
        )
        self._assemble(z_dim, c_dim, w_dim, mapping, synthesis, output_scale)

    def _assemble(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        mapping: MappingNetwork,
        synthesis: Synthesis,
        output_scale: float,
    ) -> None:
        """Take the two networks, and what follows from them."""
        self.mapping, self.synthesis, self.output_scale = mapping, synthesis, output_scale
        self.z_dim, self.num_classes, self.latent_dim = z_dim, c_dim, w_dim
        layers = [synthesis.layer(index) for index in range(len(synthesis.layer_names))]
        self.resolution = layers[-1].target.size
        self.num_layers = len(layers) + 1
        self.layer_sizes = (4, *(layer.source.channels for layer in layers))
        self.requires_grad_(False)

    def placed(self, translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0) -> StyleGAN3:
        """This generator with what it draws rotated about the image's centre, then translated.

        Args:
            translate: to the right and downwards, as fractions of the image.
            rotate: degrees, counter-clockwise.

        Returns:
            See `transformed`.

        Raises:
            ParameterError: a number is not finite.
        """
        right, down = translate
        cosine, sine = math.cos(math.radians(rotate)), math.sin(math.radians(rotate))
        inverse = [
            [cosine, -sine, sine * down - cosine * right],
            [sine, cosine, -sine * right - cosine * down],
            [0.0, 0.0, 1.0],
        ]
        return self.transformed(torch.tensor(inverse))

    def transformed(self, inverse: Tensor) -> StyleGAN3:
        """This generator with a transform of the user's instead of the one it has.

        The transform is the tensor `synthesis.input.transform`: saved with the generator, and part of its
        fingerprint, since the same latent then draws another image, of which another analysis is due.
        Codes, directions and latents serve at every place; regions are parts of the image and stay.

        Args:
            inverse: `(3, 3)`, from places in the image to places in the picture that is drawn, in
                fractions of the image from its centre, x to the right, y downwards. Frequencies that it
                raises above what the input's grid holds are faded out.

        Returns:
            A generator of its own that shares the weights' memory; this one stays as it is.

        Raises:
            ParameterError: another shape, or numbers that are not finite.
        """
        if inverse.shape != (3, 3) or not bool(inverse.isfinite().all()):
            raise ParameterError(f"the transform {inverse.tolist()} is not a finite 3 x 3 matrix")
        shared: dict[int, Tensor] = {id(t): nn.Parameter(t.detach(), False) for t in self.parameters()}
        shared |= {id(t): t for t in self.buffers()}
        twin = copy.deepcopy(self, shared)
        twin.synthesis.input.transform = inverse.to(self.synthesis.input.transform) + 0.0
        return twin

    def _identity(self) -> str:
        return self._untold

    def _affine(self, layer: int) -> FullyConnected:
        return self.synthesis.input.affine if layer == 0 else self.synthesis.layer(layer - 1).affine

    def style(self, layer: int, code: Tensor) -> Tensor:
        style: Tensor = self._affine(layer)(code)
        return style

    def style_matrix(self, layer: int) -> Tensor:
        return self._affine(layer).matrix()

    def entry_map(self, layer: int) -> Tensor:
        return self.style_matrix(layer)

    def feature_channels(self, layer: int) -> Tensor:
        """Neither layer 0's channels, which place the input, nor the last one's, which go to RGB."""
        return torch.full((self.layer_sizes[layer],), 0 < layer < self.num_layers - 1)

    def activation_floats(self) -> int:
        layers = [self.synthesis.layer(index) for index in range(self.num_layers - 1)]
        return max(
            2 * layer.source.channels * layer.source.size**2
            + 3 * layer.target.channels * layer.convolved_size**2
            + layer.target.channels * layer.target.size**2
            for layer in layers
        )

    def linearize(
        self, styles: Sequence[Style], label: Tensor | None, gate: Gate | None = None
    ) -> Linearization:
        if any(style.moves for style in styles):
            return Linearization(self, styles, label, gate)
        return StyleGAN3Linearization(self, styles, label, gate)

    def begin(self, batch_size: int, label: Tensor | None) -> State:
        return ()

    def step(self, layer: int, state: State, style: Style) -> State:
        if layer == 0:
            return (self.synthesis.input(style),)
        return (self.synthesis.layer(layer - 1)(state[0], style),)

    def finish(self, state: State) -> Tensor:
        return as_rgb(state[0] * self.output_scale)

    def cut_out(self, state: State) -> Tensor | None:
        return state[0] * self.output_scale if state[0].shape[1] == 4 else None
