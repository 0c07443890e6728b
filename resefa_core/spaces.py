"""Latent spaces: how a vector of each one moves the layers' styles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import jacfwd

from .errors import LatentError
from .generators.base import Generator
from .latents import Latent


class Part(NamedTuple):
    """Entries `start:stop` of a latent vector move layer `layer`'s style by `matrix` `(S, stop - start)`
    times them; by themselves where the matrix is None."""

    layer: int
    start: int
    stop: int
    matrix: Tensor | None


@dataclass(frozen=True)
class LatentSpace:
    """A latent space at one latent, on some layers.

    Attributes:
        name: `w`, `w+`, `s`, `z` or `z+`.
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
    if name == "z" and generator.has_mapping and len(chosen) < generator.num_layers:
        raise LatentError(f"noise moves all layers together: z takes no choice of layers, got {list(chosen)}")
    if name == "s":
        sizes = [generator.layer_sizes[layer] for layer in chosen]
        parts, start = [], 0
        for layer, size in zip(chosen, sizes, strict=True):
            parts.append(Part(layer, start, start + size, None))
            start += size
        return LatentSpace(name, chosen, (start,), tuple(parts))
    matrices = {layer: generator.style_matrix(layer) for layer in chosen}
    size = generator.latent_dim
    if name in ("w+", "z+"):
        layered = tuple(
            Part(layer, index * size, (index + 1) * size, matrices[layer])
            for index, layer in enumerate(chosen)
        )
        return LatentSpace(name, chosen, (len(chosen), size), layered)
    if name == "z" and generator.has_mapping:
        noise = _noise_jacobian(generator, latent)
        size = generator.z_dim
        matrices = {
            layer: noise[layer] if matrix is None else matrix @ noise[layer]
            for layer, matrix in matrices.items()
        }
    shared = tuple(Part(layer, 0, size, matrices[layer]) for layer in chosen)
    return LatentSpace(name, chosen, (size,), shared)


def _noise_jacobian(generator: Generator, latent: Latent) -> Tensor:
    """The derivative of the truncated codes with respect to the noise, `(L, D, z_dim)`."""
    if latent.z is None:
        raise LatentError("the latent has no noise (z): it was imported as codes; use w, w+ or s")
    z = latent.z.to(generator.device, generator.dtype)
    if latent.z_offset is not None:
        z = z + latent.z_offset.to(z)
    label = None if latent.label is None else latent.label.to(generator.device)

    def codes(noise: Tensor) -> Tensor:
        mapped = generator.codes_of_noise(noise[None], label, latent.truncation, latent.truncation_layers)
        return mapped[0]

    jacobian: Tensor = jacfwd(codes)(z[0])
    return jacobian.detach()


def quick_space(generator: Generator) -> str:
    """A space that is analysed in a moment: the first in which one vector moves all layers, else the
    default one."""
    return next((space for space in ("w", "z") if space in generator.spaces), generator.spaces[0])


def vector_shape(generator: Generator, space: str, layers: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one direction of a space on some layers; see `LatentSpace.shape`."""
    if space == "s":
        return (sum(generator.layer_sizes[layer] for layer in layers),)
    if space in ("w+", "z+"):
        return (len(layers), generator.latent_dim)
    return (generator.z_dim if space == "z" and generator.has_mapping else generator.latent_dim,)


def identity_chunk(start: int, stop: int, size: int, device: torch.device) -> Tensor:
    """Rows `start:stop` of the identity of a size, float32."""
    rows = torch.zeros(stop - start, size, device=device)
    rows[torch.arange(stop - start), torch.arange(start, stop)] = 1.0
    return rows
