"""What dense and matrix-free Jacobians share: what they are of, and what solvers and caches ask them."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

from torch import Tensor

from ..errors import LatentError
from ..generators.base import Generator
from ..generators.description import GeneratorDescription
from ..latents import Latent
from ..precision import wide
from ..progress import Progress
from ..regions import Region
from ..spaces import channel_sizes, vector_shape
from .budget import Kind, analysis_size
from .operator import LinearOperator
from .sketch import Sketch

if TYPE_CHECKING:
    from .dense import DenseJacobian


@dataclass(frozen=True)
class Subject:
    """What an analysis is of.

    Attributes:
        space, layers: the latent space and the layers that vectors move.
        shape: a latent vector's shape.
        latent: a batch of one.
        described: the generator's description, as `Generator.describe` gives it.
        image_size: height and width of the analysed image.
        layer_sizes: in s, the number of style channels of every layer of the generator.
        confined_to: the region inside which the code moves; None where it moves everywhere.
    """

    space: str
    layers: tuple[int, ...]
    shape: tuple[int, ...]
    latent: Latent
    described: GeneratorDescription
    image_size: tuple[int, int]
    layer_sizes: tuple[int, ...] = ()
    confined_to: Region | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "described", GeneratorDescription.of(self.described))

    @classmethod
    def of(
        cls,
        generator: Generator,
        latent: Latent,
        space: str,
        layers: Iterable[int],
        confined_to: Region | None = None,
    ) -> Subject:
        """That of a generator's image."""
        layers = tuple(layers)
        return cls(
            space=space,
            layers=layers,
            shape=vector_shape(generator, space, layers),
            latent=latent,
            described=generator.describe(),
            image_size=analysis_size(generator),
            layer_sizes=channel_sizes(generator, space),
            confined_to=confined_to,
        )

    @property
    def dimension(self) -> int:
        """d, the number of a latent vector's entries."""
        return math.prod(self.shape)


class Jacobian(LinearOperator):
    """The derivative of an image with respect to a latent, in one space; of a batch of latents, of all images
    together. As a latent is, it is a batch, most often of one: `len(jacobian)`, `jacobian[i]`.

    Attributes:
        kind: whether it was formed.
        subject: what it is of; its attributes are also the Jacobian's own.
        passes: forward-mode products so far, a reverse-mode product counted as two.
    """

    kind: Kind

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.passes = 0

    def __repr__(self) -> str:
        described = self.described.name or self.described.architecture
        return (
            f"Jacobian({self.kind}, of {described} in {self.space}, {self.dimension} columns, image "
            f"{self.height} x {self.width}, layers {list(self.layers)})"
        )

    @property
    def parts(self) -> tuple[Jacobian, ...]:
        """The Jacobians of the images one by one."""
        return (self,)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Jacobian:
        return self.parts[index]

    def __iter__(self) -> Iterator[Jacobian]:
        return iter(self.parts)

    @property
    def space(self) -> str:
        """The latent space."""
        return self.subject.space

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that were analysed."""
        return self.subject.layers

    @property
    def shape(self) -> tuple[int, ...]:
        """A latent vector's shape; `dimension` is its number of entries."""
        return self.subject.shape

    @property
    def latent(self) -> Latent:
        """The latent, a batch of as many as there are images."""
        return self.subject.latent

    @property
    def described(self) -> GeneratorDescription:
        """The generator's description, as `Generator.describe` gives it."""
        return self.subject.described

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """In s, the number of style channels of every layer of the generator."""
        return self.subject.layer_sizes

    @property
    def confined_to(self) -> Region | None:
        """The region inside which the code moves; None where it moves everywhere."""
        return self.subject.confined_to

    @property
    def dimension(self) -> int:
        return self.subject.dimension

    @property
    def image_size(self) -> tuple[int, int]:
        return self.subject.image_size

    @property
    def height(self) -> int:
        """Height of the analysed image, at most 256; all three channels are kept."""
        return self.image_size[0]

    @property
    def width(self) -> int:
        """Width of the analysed image, at most 256."""
        return self.image_size[1]

    @property
    @abstractmethod
    def trace(self) -> float:
        """tr(JᵀJ), exact or estimated."""

    @property
    @abstractmethod
    def sketch(self) -> Sketch:
        """What serves every region where the Jacobian is only applied; computed when first asked for."""

    def leading(self) -> tuple[Tensor, Tensor]:
        """What is known of J without another pass: images `(k, 3, h, w)` of orthonormal latent vectors
        `(k, d)`; all of it where it is formed, what the sketch has of it where it is only applied."""
        return self.sketch.basis_images, self.sketch.basis

    def leading_gram(self) -> Tensor:
        """JᵀJ `(d, d)` of what `leading` has, in float64."""
        images, basis = (wide(each) for each in self.leading())
        rows = images.flatten(1)
        return basis.T @ (rows @ rows.T) @ basis

    @property
    def searched(self) -> LinearOperator:
        """The operator with which directions are searched for: itself, or one that is off by a percent and
        faster, where there is such."""
        return self

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The memory that it takes, in bytes, its generator's weights not counted."""

    @abstractmethod
    def formed(self, progress: Progress | None = None) -> DenseJacobian:
        """The Jacobian itself, or one whose matrix is formed where this one is only applied."""

    @abstractmethod
    def prepare(self, progress: Progress | None = None) -> None:
        """Compute now what makes regions cheap, unless it is there.

        Args:
            progress: called with (done, total); the work stops if it raises.
        """

    @abstractmethod
    def release(self) -> None:
        """Drop what the next product can compute again with one forward pass."""

    @abstractmethod
    def detached(self) -> Jacobian:
        """The same analysis in main memory and without its generator, to be kept; `attached` revives it."""

    def attached(self, generator: Generator) -> Jacobian:
        """The same analysis for a generator of the same weights: on its device, and under its name, which two
        files of the same weights need not share."""
        attached, described = self._on(generator), generator.describe()
        if attached.described == described:
            return attached
        renamed = copy.copy(attached)
        renamed.subject = replace(self.subject, described=described)
        return renamed

    @abstractmethod
    def _on(self, generator: Generator) -> Jacobian: ...

    @abstractmethod
    def file_tensors(self) -> dict[str, Tensor]:
        """What a file of it holds, by name."""

    def check_response(self) -> None:
        """Raise LatentError if the image does not depend on the latent at all."""
        self._check_trace(self.trace)

    def _check_trace(self, trace: float) -> None:
        if not trace > 1e-12 * self.num_outputs:
            seed = "" if self.latent.seed is None else f" (seed {self.latent.seed[0]})"
            raise LatentError(
                f"the image does not respond to this latent{seed} at all: the sample has collapsed; "
                "choose another seed"
            )

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the Jacobian and its latent to a safetensors file, atomically.

        Raises:
            JacobianError: the file exists and `overwrite` is false, or it can't be written; or the analysis
                is of confined edits, which serves one region alone.
        """
        from .store import save_jacobian

        save_jacobian(self, path, overwrite)
