"""Analyses that many rows share: one derivative of an image serves every space that follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..analysis import DenseJacobian, Jacobian, JacobianCache, Kind, Subject, chosen_kind, compute_jacobian
from ..generators.base import Generator
from ..latents import Latent
from ..precision import analysis_mode
from ..progress import Progress
from ..spaces import SPACES, WIDEST_FIRST

_KEPT_BYTES = 4 << 30


class Analyses(JacobianCache):
    """Jacobians of a generator's images, kept within a bound of bytes.

    Where rows ask for several spaces, only the widest one is differentiated: a style is an affine function
    of its layer's code, so that W+ follows from S by one matrix product for each layer, and W by summing the
    layers; so do choices of layers.

    Args:
        spaces: what will be asked for.

    Attributes:
        seconds: how long each derivative took, by space.
        alone: how long the derivative of an image takes by itself, by space and layers.
        seconds_measuring: what it took to measure that.
    """

    def __init__(self, generator: Generator, spaces: Iterable[str]) -> None:
        super().__init__(_KEPT_BYTES)
        self.generator = generator
        self.seconds: dict[str, list[float]] = {}
        self.alone: dict[str, float] = {}
        self.seconds_measuring = 0.0
        wanted = set(spaces)
        every = generator.check_layers(None)
        fitting = [s for s in WIDEST_FIRST if s in wanted and chosen_kind(generator, s, every) == "dense"]
        self._base = fitting[0] if fitting else None

    def prepare(self, latent: Latent, progress: Progress | None = None) -> None:
        """Compute now what the latent's other analyses follow from.

        Raises:
            LatentError: the image does not respond to the latent at all.
        """
        if self._base is not None:
            self(latent, self._base, None, progress)

    def __call__(
        self, latent: Latent, space: str, layers: Iterable[int] | None, progress: Progress | None = None
    ) -> Jacobian:
        """The analysis of a latent, from the cache, or from that of a wider space, or a new one.

        Raises:
            LatentError: the latent, the space or the layers do not fit the generator, or the image does not
                respond to the latent at all.
        """
        chosen = self.generator.check_layers(layers)
        return self.analyse(
            self.generator,
            latent,
            space,
            chosen,
            kind=chosen_kind(self.generator, space, chosen),
            progress=progress,
        )

    def seconds_alone(self, latent: Latent, space: str, layers: Iterable[int] | None) -> float:
        """How long an analysis takes that follows from no other, measured once."""
        chosen = self.generator.check_layers(layers)
        key = f"{space} {','.join(map(str, chosen))}"
        if key not in self.alone:
            clock = clock_of(self.generator)
            began = clock()
            compute_jacobian(self.generator, latent, space, chosen, rough=False)
            self.alone[key] = clock() - began
            self.seconds_measuring += self.alone[key]
        return self.alone[key]

    def make(
        self,
        generator: Generator,
        latent: Latent,
        space: str,
        layers: tuple[int, ...],
        *,
        kind: Kind,
        memory_budget: int | None,
        progress: Progress | None,
    ) -> Jacobian:
        every = generator.check_layers(None)
        base = self._base if self._base is not None and not SPACES[self._base].shared else None
        known = space in WIDEST_FIRST and not SPACES[space].maps_noise(generator)
        follows = known and (space, layers) != (base, every)
        if base is not None and follows and self.holds(generator, latent, base, kind="dense"):
            whole = self.analyse(generator, latent, base, kind="dense").formed()
            return derived(generator, whole, space, layers)
        clock = clock_of(generator)
        started = clock()
        jacobian = compute_jacobian(
            generator,
            latent,
            space,
            layers,
            kind=kind,
            memory_budget=memory_budget,
            rough=False,
            progress=progress,
        )
        self.seconds.setdefault(space, []).append(clock() - started)
        return jacobian


def clock_of(generator: Generator) -> Callable[[], float]:
    """A clock in seconds: of the processor's time where the generator lies on it, so that what else the
    machine does is not counted; else of the time that passes."""
    return time.process_time if generator.device.type == "cpu" else time.perf_counter


@analysis_mode()
def derived(generator: Generator, whole: DenseJacobian, space: str, layers: tuple[int, ...]) -> DenseJacobian:
    """The Jacobian in a space on some layers, from that in style channels, or in each layer's codes, on all.

    Args:
        whole: in `s`, `w+` or `z+`, on all layers.
        space: the same, or one that is narrower.
    """
    of_channels = SPACES[whole.space].channels
    sizes = list(generator.layer_sizes) if of_channels else [generator.latent_dim] * generator.num_layers

    def through(rows: Tensor) -> Tensor:
        """Rows `(d, n)` for entries of the wide space to those for entries of the narrow one."""
        parts = rows.split(sizes)
        chosen = [parts[layer] for layer in layers]
        if of_channels and not SPACES[space].channels:
            matrices = [generator.style_matrix(layer) for layer in layers]
            chosen = [
                part if matrix is None else matrix.to(part).T @ part
                for matrix, part in zip(matrices, chosen, strict=True)
            ]
        return torch.stack(chosen).sum(dim=0) if SPACES[space].shared else torch.cat(chosen)

    narrow = DenseJacobian(
        through(whole.matrix.flatten(1)).reshape(-1, *whole.matrix.shape[1:]),
        Subject.of(generator, whole.latent, space, layers),
        through(through(whole.gram()).T),
    )
    narrow.passes = narrow.dimension
    return narrow
