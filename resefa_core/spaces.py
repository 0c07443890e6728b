"""Latent spaces: how a vector of each one moves the layers' styles.

This is the only place that knows a space by its name. A new one is a `Space` that `register_space` was given,
listed in the `spaces` of the generators that have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import LatentError, ParameterError
from .generators.base import Generator
from .generators.forward_mode import push_forward
from .latents import Latent


class Part(NamedTuple):
    """Entries `start:stop` of a latent vector move layer `layer`'s style by `matrix` `(S, stop - start)`
    times them; by themselves where the matrix is None."""

    layer: int
    start: int
    stop: int
    matrix: Tensor | None


class Offsets(NamedTuple):
    """What a vector adds to a batch: to codes `(B, L, D)`, to all layers' style channels `(B, sum S)`, or to
    the noise `(B, z_dim)`; None where it adds nothing."""

    codes: Tensor | None = None
    styles: Tensor | None = None
    z: Tensor | None = None


@dataclass(frozen=True)
class Space:
    """A latent space, of whichever generator.

    A space that moves things in another way overrides `shape`, `parts` and `offsets`, which have to agree: to
    first order, a vector's offsets move the styles as its parts say.

    Attributes:
        name: what directions, files and interfaces call it.
        layered: whether each layer has a vector of its own, so that directions are `(k, len(layers), D)`.
        shared: whether one vector moves all layers together.
        channels: whether entries are style channels, so that directions say how many each layer has.
        noise: whether it moves the noise; where there is no mapping network, that is the codes.
        of_codes: whether an entry moves the entry of a code in its place, so that they are as many.
    """

    name: str
    layered: bool = False
    shared: bool = False
    channels: bool = False
    noise: bool = False
    of_codes: bool = False

    def maps_noise(self, generator: Generator) -> bool:
        """Whether a vector passes the mapping network of a generator."""
        return self.noise and generator.has_mapping

    def shape(self, generator: Generator, layers: Sequence[int]) -> tuple[int, ...]:
        """The shape of one direction on some layers; see `LatentSpace.shape`."""
        if self.channels:
            return (sum(generator.layer_sizes[layer] for layer in layers),)
        if self.layered:
            return (len(layers), generator.latent_dim)
        return (generator.z_dim if self.maps_noise(generator) else generator.latent_dim,)

    def parts(self, generator: Generator, latent: Latent, layers: Sequence[int]) -> tuple[Part, ...]:
        """How a vector's entries move the styles of some layers around a latent.

        Raises:
            LatentError: the latent lacks what it takes.
        """
        if self.channels:
            stops = list(accumulate(generator.layer_sizes[layer] for layer in layers))
            return tuple(
                Part(layer, start, stop, None)
                for layer, start, stop in zip(layers, [0, *stops[:-1]], stops, strict=True)
            )
        matrices = {layer: generator.style_matrix(layer) for layer in layers}
        size = generator.latent_dim
        if self.layered:
            return tuple(
                Part(layer, index * size, (index + 1) * size, matrices[layer])
                for index, layer in enumerate(layers)
            )
        if self.maps_noise(generator):
            noise = _noise_jacobian(generator, latent)
            size = generator.z_dim
            matrices = {
                layer: noise[layer] if matrix is None else matrix @ noise[layer]
                for layer, matrix in matrices.items()
            }
        return tuple(Part(layer, 0, size, matrices[layer]) for layer in layers)

    def offsets(
        self,
        vector: Tensor,
        latent: Latent,
        layers: Sequence[int],
        layer_sizes: Sequence[int],
        has_mapping: bool,
    ) -> Offsets:
        """What a vector, in the shape of the space, adds to each of a batch of latents.

        Args:
            layer_sizes: the number of style channels of every layer, for a space of channels.
            has_mapping: whether the vector's generator has a mapping network.

        Raises:
            LatentError: the vector does not fit the latents.
        """
        batch, _, size = latent.codes.shape
        if self.channels:
            return Offsets(styles=_on_all_layers(vector, layers, layer_sizes).expand(batch, -1))
        if self.noise and has_mapping:
            _check_size(vector, _noise_of(latent).shape[1])
            return Offsets(z=vector.expand(batch, -1))
        _check_size(vector, size)
        codes = torch.zeros_like(latent.codes)
        codes[:, list(layers)] = vector if self.layered else vector.expand(len(layers), -1)
        return Offsets(codes=codes)


SPACES: dict[str, Space] = {}
"""All spaces by name, in the order in which interfaces offer them."""


def register_space(space: Space) -> Space:
    """Makes a space known by its name.

    Raises:
        ParameterError: another one has that name.
    """
    if space.name in SPACES:
        raise ParameterError(f"space {space.name[:40]!r} is there already")
    SPACES[space.name] = space
    return space


for _space in (
    Space("w+", layered=True, of_codes=True),
    Space("s", channels=True),
    Space("w", shared=True, of_codes=True),
    Space("z+", layered=True, of_codes=True),
    Space("z", shared=True, noise=True),
):
    register_space(_space)

OTHERS = "*"
"""In an order of preference: all spaces that it does not name."""
LAYERED_FIRST = ("w+", "z+", "w", "s", "z", OTHERS)
ONE_VECTOR_FIRST = ("w", "z", "z+", "w+", "s", OTHERS)
WIDEST_FIRST = ("s", "w+", "z+", "w", "z")
"""Each follows from those before it that a generator has, but for noise that is mapped."""
ONE_VECTOR = ("w", "z", "z+")
"""Where one vector moves all layers; z+ for the BigGAN whose layers share out the noise."""
CHANNELS = ("s",)


def in_order(preferred: Sequence[str], offered: Iterable[str]) -> tuple[str, ...]:
    """Those of the offered spaces that an order of preference has, in that order."""
    offered = list(offered)
    named = [name for name in preferred if name in offered]
    others = [name for name in offered if name not in named] if OTHERS in preferred else []
    return (*named, *others)


def space_named(name: str) -> Space:
    """The space of a name.

    Raises:
        ParameterError: there is none.
    """
    if not isinstance(name, str) or name not in SPACES:
        raise ParameterError(f"space {str(name)[:40]} is unknown: expected one of {', '.join(SPACES)}")
    return SPACES[name]


@dataclass(frozen=True)
class LatentSpace:
    """A latent space at one latent, on some layers.

    Attributes:
        name: of `SPACES`.
        layers: the layers that a vector moves.
        shape: a vector's shape: `(D,)` for w and z, `(len(layers), D)` for w+ and z+, `(S,)` for s.
        parts: how its entries move the styles.
        shared: whether one vector moves all layers together.
    """

    name: str
    layers: tuple[int, ...]
    shape: tuple[int, ...]
    parts: tuple[Part, ...]

    @property
    def dimension(self) -> int:
        """d, the number of entries of a vector."""
        return max(part.stop for part in self.parts)

    @property
    def shared(self) -> bool:
        return len(self.parts) > 1 and all(part.start == 0 for part in self.parts)

    def lift(self, vectors: Tensor) -> dict[int, Tensor]:
        """Latent vectors `(n, d)` to style tangents `(n, S)` by layer."""
        return {
            part.layer: _times(vectors[:, part.start : part.stop], part.matrix, transpose=True)
            for part in self.parts
        }

    def lower(self, styles: dict[int, Tensor]) -> Tensor:
        """The transpose of `lift`: style cotangents by layer to latent cotangents `(n, d)`."""
        first = next(iter(styles.values()))
        total = first.new_zeros(first.shape[0], self.dimension)
        for part in self.parts:
            total[:, part.start : part.stop] += _times(styles[part.layer], part.matrix, transpose=False)
        return total


def _times(vectors: Tensor, matrix: Tensor | None, transpose: bool) -> Tensor:
    if matrix is None:
        return vectors
    return vectors @ (matrix.T if transpose else matrix)


def latent_space(
    generator: Generator, latent: Latent, name: str | None = None, layers: Iterable[int] | None = None
) -> LatentSpace:
    """The space `name` of a generator around a latent (its default space for None).

    Raises:
        LatentError: the generator has no such space or layers, or the latent lacks what it needs.
    """
    name = generator.spaces[0] if name is None else name
    if name not in generator.spaces:
        raise LatentError(
            f"this {generator.architecture} has no space {name!r}: expected one of "
            f"{', '.join(generator.spaces)}"
        )
    chosen = generator.check_layers(layers)
    space = space_named(name)
    if space.maps_noise(generator) and len(chosen) < generator.num_layers:
        raise LatentError(
            f"noise moves all layers together: {name} takes no choice of layers, got {list(chosen)}"
        )
    return LatentSpace(name, chosen, space.shape(generator, chosen), space.parts(generator, latent, chosen))


def _noise_of(latent: Latent) -> Tensor:
    if latent.z is None:
        raise LatentError("the latent has no noise (z): it was imported as codes; use w, w+ or s")
    return latent.z


def _noise_jacobian(generator: Generator, latent: Latent) -> Tensor:
    """The derivative of the truncated codes with respect to the noise, `(L, D, z_dim)`."""
    z = _noise_of(latent).to(generator.device, generator.dtype)
    if latent.z_offset is not None:
        z = z + latent.z_offset.to(z)
    label = None if latent.label is None else latent.label.to(generator.device)

    def codes(noise: Tensor) -> Tensor:
        mapped = generator.codes_of_noise(noise[None], label, latent.truncation, latent.truncation_layers)
        return mapped[0]

    axes = torch.eye(z.shape[1], device=z.device, dtype=z.dtype)
    return push_forward(codes, [z[0]], [axes]).movedim(0, -1).detach()


def _on_all_layers(vector: Tensor, layers: Sequence[int], layer_sizes: Sequence[int]) -> Tensor:
    """A vector of some layers' style channels, among zeros for the others."""
    parts = iter(vector.split([layer_sizes[layer] for layer in layers]))
    chosen = set(layers)
    return torch.cat([next(parts) if i in chosen else vector.new_zeros(n) for i, n in enumerate(layer_sizes)])


def _check_size(vector: Tensor, size: int) -> None:
    if vector.shape[-1] != size:
        raise LatentError(f"the directions have {vector.shape[-1]} numbers per code, the latent {size}")


def quick_space(generator: Generator) -> str:
    """A space that is analysed in a moment: the first in which one vector moves all layers, else the
    default one."""
    return next((name for name in generator.spaces if space_named(name).shared), generator.spaces[0])


def vector_shape(generator: Generator, space: str, layers: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one direction of a space on some layers; see `LatentSpace.shape`."""
    return space_named(space).shape(generator, layers)


def channel_sizes(generator: Generator, space: str) -> tuple[int, ...]:
    """What directions and analyses of a space say of a generator's layers: how many style channels each has,
    in a space of channels; else nothing."""
    return generator.layer_sizes if space_named(space).channels else ()


def identity_chunk(start: int, stop: int, size: int, device: torch.device) -> Tensor:
    """Rows `start:stop` of the identity of a size, float32."""
    rows = torch.zeros(stop - start, size, device=device)
    rows[torch.arange(stop - start), torch.arange(start, stop)] = 1.0
    return rows
