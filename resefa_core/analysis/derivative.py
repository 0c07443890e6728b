"""The derivative of the analysed image at one latent, applied in chunks that fit a memory budget."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..generators.base import Generator
from ..generators.linearization import Linearization
from ..generators.styles import Gate
from ..latents import Latent
from ..memory import in_chunks
from ..precision import analysis_mode, as_float32
from ..progress import Progress, Stages
from ..regions import Region
from ..spaces import LatentSpace, Part, identity_chunk, latent_space
from .budget import images_at_once, shrunk
from .operator import LinearOperator

_TRIALS = 5
_TRIAL_SECONDS = 0.5


class ImageDerivative(LinearOperator):
    """Products with the derivative of the analysed image, in chunks that fit a memory budget.

    Args:
        generator: in float32.
        latent: a batch of one, on the generator's device, in float32.
        space: what its vectors are of.
        budget: bytes.
        gate: where the code moves; everywhere alike for None.
    """

    def __init__(
        self,
        generator: Generator,
        latent: Latent,
        space: LatentSpace,
        budget: int,
        gate: Gate | None = None,
    ) -> None:
        self.space = space
        with analysis_mode():
            self.linearization: Linearization = generator.linearize(
                generator.styles(latent), generator.condition(latent), gate
            )
        self._device = generator.device
        self._drawn = tuple(self.linearization.image.shape[2:])
        self.push_chunk = images_at_once(generator, budget // 2)
        self.pull_chunk = images_at_once(generator, budget // 4)

    def rough(self, dtype: torch.dtype) -> ImageDerivative:
        """The same with products in a narrower type, where that is written out; else itself."""
        narrower = self.linearization.rough(dtype)
        if narrower is self.linearization:
            return self
        twin = copy.copy(self)
        twin.linearization = narrower
        return twin

    @property
    def dimension(self) -> int:
        return self.space.dimension

    @property
    def image_size(self) -> tuple[int, int]:
        return shrunk(*self._drawn)

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def nbytes(self) -> int:
        """The memory that the states take which products start from, in bytes."""
        return self.linearization.nbytes

    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        def one(rows: slice) -> Tensor:
            return self.push_styles(self.space.lift(vectors[rows].to(self.device)))

        images = torch.empty(vectors.shape[0], 3, *self.image_size, device=self.device)
        self.push_chunk = in_chunks(one, images, self.push_chunk, progress)
        return images

    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        def one(rows: slice) -> Tensor:
            return self.space.lower(self.pull_styles(images[rows].to(self.device)))

        latents = torch.empty(images.shape[0], self.dimension, device=self.device)
        self.pull_chunk = in_chunks(one, latents, self.pull_chunk, progress)
        return latents

    def push_styles(self, tangents: dict[int, Tensor]) -> Tensor:
        """Style tangents `(n, S)` by layer to images `(n, 3, h, w)`, all at once."""
        with analysis_mode():
            return analysed(self.linearization.push(tangents))

    def pull_styles(self, images: Tensor) -> dict[int, Tensor]:
        """Images `(n, 3, h, w)` to style cotangents `(n, S)` by layer, all at once."""
        with analysis_mode():
            return self.linearization.pull(_spread(images, *self._drawn), self.space.layers)

    def columns(self, progress: Progress | None = None) -> Tensor:
        """The whole Jacobian, `(d, 3, h, w)`: layer by layer where layers move by themselves, each from
        the state before it, and through its style channels where these are fewer than its code's."""
        space = self.space
        matrix = torch.empty(space.dimension, 3, *self.image_size, device=self.device)
        if space.shared:

            def together(rows: slice) -> Tensor:
                vectors = identity_chunk(rows.start, rows.stop, space.dimension, self.device)
                return self.push_styles(space.lift(vectors))

            self.push_chunk = in_chunks(together, matrix, self.push_chunk, progress)
            return matrix
        report = Stages(progress, sum(tangents_of(part) for part in space.parts))
        for part in space.parts:
            own = matrix[part.start : part.stop]
            count = tangents_of(part)
            through_channels = part.matrix is not None and count < len(own)

            def alone(
                rows: slice, part: Part = part, count: int = count, channels: bool = through_channels
            ) -> Tensor:
                if part.matrix is None or channels:
                    tangents = identity_chunk(rows.start, rows.stop, count, self.device)
                else:
                    tangents = part.matrix.T[rows]
                return self.push_styles({part.layer: tangents})

            images = own.new_empty(count, *own.shape[1:]) if through_channels else own
            self.push_chunk = in_chunks(alone, images, self.push_chunk, report.stage(count))
            if part.matrix is not None and through_channels:
                own.copy_(torch.tensordot(part.matrix.T, images, dims=1))
        return matrix

    def seconds_per_pass(self) -> float:
        """The time of a tangent on all layers, of the quickest of a few batches; the first warms up. On a CPU
        a batch is one tangent, and what else the machine does is not counted; elsewhere it is what is pushed
        at once."""
        clock = time.thread_time if self.device.type == "cpu" else time.perf_counter
        batch = 1 if self.device.type == "cpu" else min(self.push_chunk, self.space.dimension)
        vectors = identity_chunk(0, batch, self.dimension, self.device)
        quickest, begun = math.inf, time.perf_counter()
        for turn in range(_TRIALS):
            started = clock()
            float(self.jvp(vectors).sum())
            quickest = min(quickest, clock() - started)
            if turn > 0 and time.perf_counter() - begun > _TRIAL_SECONDS:
                break
        return quickest / batch


def derivative_at(
    generator: Generator,
    latent: Latent,
    space: str | None,
    layers: Iterable[int] | None,
    budget: int,
    confine_to: Region | None = None,
) -> ImageDerivative:
    """The derivative of a generator's image at a latent, whatever type and device these have.

    Raises:
        LatentError: the latent, the space or the layers do not fit the generator, or it can't confine edits.
    """
    if confine_to is not None:
        generator.check_can_confine()
    gate = None if confine_to is None else Gate(confine_to, 1.0)
    with analysis_mode():
        float32 = as_float32(generator)
        point = latent.map_tensors(torch.clone).to(generator.device, torch.float32)
        chosen = latent_space(float32, point, space, layers)
        return ImageDerivative(float32, point, chosen, budget, gate)


def analysed(image: Tensor) -> Tensor:
    """An image or tangent `(n, 3, H, W)`, averaged over areas to sides of at most 256."""
    size = shrunk(*image.shape[2:])
    return image if size == image.shape[2:] else F.interpolate(image, size=size, mode="area")


def _spread(images: Tensor, height: int, width: int) -> Tensor:
    """The transpose of `analysed`."""
    if shrunk(height, width) == (height, width):
        return images
    with torch.enable_grad():
        blank = images.new_zeros(images.shape[0], 3, height, width, requires_grad=True)
        (spread,) = torch.autograd.grad(analysed(blank), blank, images)
    return spread


def tangents_of(part: Part) -> int:
    """How many tangents span what a part can do: its style channels, where these are fewer."""
    size = part.stop - part.start
    return size if part.matrix is None else min(size, part.matrix.shape[0])
