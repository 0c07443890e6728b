"""The Jacobian of an image with respect to a latent: the expensive step, done once per image.

`compute_jacobian` analyses a latent; `factorize` then answers for any region of that image. Where the
latent space is small the Jacobian is formed and kept (`DenseJacobian`); where it is large it is only
applied, and a sketch of it is kept (`MatrixFreeJacobian`).
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import JacobianError, LatentError, ParameterError, ReSeFaError
from .files import DAMAGE, read_tensors, write_tensors
from .generators.base import Generator
from .generators.linearization import Linearization
from .generators.styles import Gate
from .latents import Latent
from .precision import solver_device, wide
from .regions import Region
from .spaces import LatentSpace, Part, identity_chunk, latent_space, vector_shape

Progress = Callable[[int, int], None]
Method = Literal["auto", "dense", "matrix-free"]

ANALYSIS_SIDE = 256
SKETCH_SIZE = 32
PATIENCE_SECONDS = 60.0
TYPICAL_PASSES = 320
_TRIALS = 5
_TRIAL_SECONDS = 0.5
_GRAM_RATE = {"cuda": 5e11}
_GRAM_RATE_CPU = 2e10
_DEFAULT_BUDGET = 2 << 30
_FILE_VERSION = "1"
_MAX_FILE_BYTES = 16 << 30
_LATENT = "latent."
_MAX_LAYERS = 1000
_MAX_DIMENSION = 1 << 22
_MAX_PREPARED = 2048
_NO_CHANGE = 1e-13


@dataclass(frozen=True)
class Estimate:
    """What an analysis would cost.

    Attributes:
        dimension: d, the dimension of the latent space.
        dense_bytes: size of the Jacobian, if it is formed.
        dense_seconds: about how long forming it takes.
        matrix_free_seconds: about how long one region takes without forming it.
    """

    dimension: int
    dense_bytes: int
    dense_seconds: float
    matrix_free_seconds: float


class Jacobian(ABC):
    """The derivative of an image with respect to a latent, in one space.

    Attributes:
        space, layers: the latent space and the layers that were analysed.
        shape: a latent vector's shape; `dimension` is its number of entries, d.
        latent: the latent, a batch of one.
        layer_sizes: in s, the number of style channels of every layer of the generator.
        described: the generator's description, as `Generator.describe` gives it.
        height, width: size of the analysed image, at most 256; all three channels are kept.
        confined_to: the region inside which the code moves; None where it moves everywhere.
        passes: forward-mode products so far, a reverse-mode product counted as two.
    """

    kind: Literal["dense", "matrix-free"]

    def __init__(
        self,
        space: str,
        layers: tuple[int, ...],
        shape: tuple[int, ...],
        latent: Latent,
        described: dict[str, Any],
        image_size: tuple[int, int],
        layer_sizes: tuple[int, ...] = (),
        confined_to: Region | None = None,
    ) -> None:
        self.space = space
        self.layers = layers
        self.shape = shape
        self.latent = latent
        self.described = described
        self.height, self.width = image_size
        self.layer_sizes = layer_sizes
        self.confined_to = confined_to
        self.passes = 0

    @property
    def dimension(self) -> int:
        return int(torch.Size(self.shape).numel())

    @property
    def num_outputs(self) -> int:
        """Rows of the Jacobian: three channels of every analysed pixel."""
        return 3 * self.height * self.width

    @abstractmethod
    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        """Latent vectors `(n, d)` to image tangents `(n, 3, h, w)`."""

    @abstractmethod
    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        """Image cotangents `(n, 3, h, w)` to latent vectors `(n, d)`."""

    @property
    @abstractmethod
    def trace(self) -> float:
        """tr(JᵀJ), exact or estimated."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where products are computed."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The memory that it takes, in bytes, its generator's weights not counted."""

    @abstractmethod
    def _file_tensors(self) -> dict[str, Tensor]: ...

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
        if self.confined_to is not None:
            raise JacobianError(
                "an analysis of confined edits serves one region: save its directions instead"
            )
        tensors = {name: tensor.cpu() for name, tensor in self._file_tensors().items()}
        latent_tensors, metadata = self.latent.file_content()
        tensors |= {_LATENT + name: tensor for name, tensor in latent_tensors.items()}
        header = {
            "kind": self.kind,
            "space": self.space,
            "layers": self.layers,
            "shape": self.shape,
            "image": [self.height, self.width],
            "layer_sizes": self.layer_sizes,
            "generator": self.described,
            "passes": self.passes,
        }
        metadata |= {"resefa.jacobian_version": _FILE_VERSION, "resefa.jacobian": json.dumps(header)}
        write_tensors(path, tensors, metadata, JacobianError, overwrite, _MAX_FILE_BYTES)


class DenseJacobian(Jacobian):
    """A Jacobian that was formed: `matrix` `(d, 3, h, w)`, float32, row i the change of the image along
    latent entry i. Any region is then a matter of small matrix products."""

    kind = "dense"

    def __init__(self, matrix: Tensor, **common: Any) -> None:
        super().__init__(**common)
        self.matrix = matrix
        self._total: Tensor | None = None
        self._spectrum: Spectrum | None = None

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        return torch.tensordot(vectors.to(self.matrix), self.matrix, dims=1)

    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        return images.to(self.matrix).flatten(1) @ self.matrix.flatten(1).T

    def gram(self, weights: Tensor | None = None, beat: Callable[[], None] | None = None) -> Tensor:
        """`Jᵀ diag(weights) J`, `(d, d)`, in float64.

        Args:
            weights: `(h, w)`, at least 0; all ones for None, which is computed once and kept.
            beat: called now and then; the work stops if it raises.
        """
        if weights is None:
            if self._total is None:
                self._total = self._product(self.matrix.flatten(1), beat)
            return self._total
        return self._product(self.rows(weights), beat)

    def rows(self, weights: Tensor) -> Tensor:
        """`Jᵀ diag(sqrt(weights))` without the pixels of no weight, `(d, 3 * pixels)`, float32."""
        mask = weights.flatten().to(self.device)
        used = mask.nonzero()[:, 0]
        return (self.matrix.flatten(2)[:, :, used] * mask[used].sqrt()).flatten(1)

    def _product(self, rows: Tensor, beat: Callable[[], None] | None = None) -> Tensor:
        """`rows rowsᵀ` in float64: the lower triangle in blocks, then its mirror image."""
        size, device = self.dimension, solver_device(self.device)
        total = torch.zeros(size, size, dtype=torch.float64, device=device)
        block = max(64, -(-size // 8))
        for part in rows.split(max(1, (64 << 20) // (8 * size)), dim=1):
            rows64 = wide(part)
            for start in range(0, size, block):
                stop = start + block
                total[start:, start:stop].addmm_(rows64[start:], rows64[start:stop].T)
                if beat is not None:
                    beat()
        lower = total.tril(-1)
        return total.tril() + lower.T

    def prepare(self, beat: Callable[[], None] | None = None) -> None:
        """Compute the `spectrum`, unless it is there. It takes as long as some ten regions do without it, and
        a region takes a third of the time with it. Nothing is done where d is above 2048.

        Args:
            beat: called now and then; the work stops if it raises.
        """
        if self._spectrum is not None or self.dimension > _MAX_PREPARED:
            return
        squares, basis = torch.linalg.eigh(self.gram())
        changing = squares > _NO_CHANGE * squares[-1]
        squares, basis = squares[changing], basis[:, changing]
        images = self.matrix.new_empty(squares.shape[0], self.num_outputs)
        rows = self.matrix.flatten(1)
        width = max(1, (64 << 20) // (8 * self.dimension))
        for start in range(0, self.num_outputs, width):
            images[:, start : start + width] = basis.T @ wide(rows[:, start : start + width])
            if beat is not None:
                beat()
        rotated = DenseJacobian(
            images.reshape(-1, *self.matrix.shape[1:]),
            space=self.space,
            layers=self.layers,
            shape=(squares.shape[0],),
            latent=self.latent,
            described=self.described,
            image_size=(self.height, self.width),
        )
        rotated._total = squares.diag()
        self._spectrum = Spectrum(squares, basis, rotated)

    @property
    def spectrum(self) -> Spectrum | None:
        """The eigenvectors of JᵀJ, once `prepare` has computed them."""
        return self._spectrum

    @property
    def trace(self) -> float:
        return float(self.gram().trace())

    @property
    def nbytes(self) -> int:
        prepared = 0 if self._spectrum is None else self._spectrum.nbytes
        return self.matrix.nbytes + self.gram().nbytes + prepared

    def to(self, device: torch.device | str) -> DenseJacobian:
        """The same Jacobian with its matrix on a device; itself if it is there."""
        if self.matrix.device == torch.device(device):
            return self
        moved = copy.copy(self)
        moved.matrix = self.matrix.to(device)
        moved._total = self.gram().to(solver_device(moved.matrix.device))
        moved._spectrum = None if self._spectrum is None else self._spectrum.to(moved.matrix.device)
        return moved

    def _file_tensors(self) -> dict[str, Tensor]:
        return {"matrix": self.matrix}


@dataclass(frozen=True)
class Spectrum:
    """`JᵀJ = V diag(D²) Vᵀ`, without the directions that change nothing.

    Attributes:
        squares: D², `(r,)`, in float64, ascending.
        basis: V, `(d, r)`, in float64.
        rotated: JV as a Jacobian with respect to coordinates in V, whose JᵀJ is diagonal.
    """

    squares: Tensor
    basis: Tensor
    rotated: DenseJacobian

    @property
    def nbytes(self) -> int:
        """The memory that it takes, in bytes."""
        return self.squares.nbytes + self.basis.nbytes + self.rotated.nbytes

    def to(self, device: torch.device) -> Spectrum:
        """The same with its tensors on a device, or next to one that has no float64."""
        solver = solver_device(device)
        return Spectrum(self.squares.to(solver), self.basis.to(solver), self.rotated.to(device))


class MatrixFreeJacobian(Jacobian):
    """A Jacobian that is only applied. It keeps a sketch that serves every region: images `probe_images`
    of Gaussian vectors, their pull-back `probe_latents`, an orthonormal basis `basis` of the latter,
    `(p, d)`, and the basis' images."""

    kind = "matrix-free"

    def __init__(
        self,
        generator: Generator | None,
        sketch: dict[str, Tensor] | None,
        operator: _Operator | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._generator = generator
        self._kept_operator = operator
        self._sketch = sketch

    @property
    def _operator(self) -> _Operator:
        if self._kept_operator is None:
            if self._generator is None:
                raise JacobianError("this analysis was detached from its generator: attach it to one")
            budget = memory_for(self._generator.device) // 2
            self._kept_operator = _operator_at(
                self._generator, self.latent, self.space, self.layers, budget, self.confined_to
            )
        return self._kept_operator

    def release(self) -> None:
        """Drop the states that products start from; the next product computes them again, which takes a
        forward pass."""
        if self._generator is not None:
            self._kept_operator = None

    def detached(self) -> MatrixFreeJacobian:
        """The same analysis in main memory and without its generator, to be kept; `attached` revives it."""
        return self._with(None, torch.device("cpu"))

    def attached(self, generator: Generator) -> MatrixFreeJacobian:
        """The same analysis on a generator of the same weights, and on its device."""
        return self._with(generator, generator.device)

    def _with(self, generator: Generator | None, device: torch.device) -> MatrixFreeJacobian:
        other = copy.copy(self)
        other._generator = generator
        other._kept_operator = None
        other._sketch = {name: tensor.to(device) for name, tensor in self.sketch.items()}
        return other

    @property
    def device(self) -> torch.device:
        if self._generator is None:
            return torch.device("cpu")
        return self._generator.device

    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        self.passes += vectors.shape[0]
        return self._operator.push(vectors, progress)

    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        self.passes += 2 * images.shape[0]
        return self._operator.pull(images, progress)

    def prepare(self, progress: Progress | None = None) -> None:
        """Compute the sketch, unless it is there."""
        if self._sketch is not None:
            return
        count = min(SKETCH_SIZE, self.dimension)
        noise = torch.Generator().manual_seed(0)
        probes = torch.randn(count, self.dimension, generator=noise).to(self.device)
        report = _Stages(progress, 4 * count)
        images = self.jvp(probes, report.stage(count))
        self._check_trace(_mean_energy(images))
        latents = self.vjp(images, report.stage(2 * count))
        basis = orthonormal(latents)
        self._sketch = {
            "probe_images": images,
            "probe_latents": latents,
            "basis": basis,
            "basis_images": self.jvp(basis, report.stage(count)),
        }

    @property
    def sketch(self) -> dict[str, Tensor]:
        """The sketch's four tensors, by name."""
        self.prepare()
        assert self._sketch is not None
        return self._sketch

    @property
    def trace(self) -> float:
        return _mean_energy(self.sketch["probe_images"])

    @property
    def nbytes(self) -> int:
        states = 0 if self._kept_operator is None else self._kept_operator.linearization.nbytes
        return states + sum(tensor.nbytes for tensor in self.sketch.values())

    def _file_tensors(self) -> dict[str, Tensor]:
        return dict(self.sketch)


def applied(
    generator: Generator,
    latent: Latent,
    space: str,
    layers: tuple[int, ...],
    confine_to: Region | None = None,
) -> MatrixFreeJacobian:
    """A Jacobian to take a few products with: nothing is computed before the first one.

    Args:
        latent: a batch of one.
        confine_to: as in `compute_jacobian`.
    """
    side = min(generator.resolution, ANALYSIS_SIDE)
    return MatrixFreeJacobian(
        generator,
        None,
        space=space,
        layers=layers,
        shape=vector_shape(generator, space, layers),
        latent=latent,
        described=generator.describe(),
        image_size=(side, side),
        layer_sizes=generator.layer_sizes if space == "s" else (),
        confined_to=confine_to,
    )


class _Operator:
    """Products with the derivative of the analysed image, in chunks that fit a memory budget."""

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
        self.device = generator.device
        resolution = self.linearization.image.shape[-1]
        side = min(resolution, ANALYSIS_SIDE)
        self.image_size = (side, side)
        self.push_chunk = images_at_once(generator, budget // 2)
        self.pull_chunk = images_at_once(generator, budget // 4)

    def push(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        def one(rows: slice) -> Tensor:
            return self.push_styles(self.space.lift(vectors[rows].to(self.device)))

        images = torch.empty(vectors.shape[0], 3, *self.image_size, device=self.device)
        self.push_chunk = in_chunks(one, images, self.push_chunk, progress)
        return images

    def push_styles(self, tangents: dict[int, Tensor]) -> Tensor:
        with analysis_mode():
            return analysed(self.linearization.push(tangents))

    def seconds_per_pass(self) -> float:
        """The time of a tangent on all layers, of the quickest of a few batches; the first warms up. On a CPU
        a batch is one tangent, and what else the machine does is not counted; elsewhere it is what is pushed
        at once."""
        clock = time.thread_time if self.device.type == "cpu" else time.perf_counter
        batch = 1 if self.device.type == "cpu" else min(self.push_chunk, self.space.dimension)
        tangents = self.space.lift(identity_chunk(0, batch, self.space.dimension, self.device))
        quickest, begun = math.inf, time.perf_counter()
        for turn in range(_TRIALS):
            started = clock()
            float(self.push_styles(tangents).sum())
            quickest = min(quickest, clock() - started)
            if turn > 0 and time.perf_counter() - begun > _TRIAL_SECONDS:
                break
        return quickest / batch

    def pull(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        side = self.linearization.image.shape[-1]
        layers = self.space.layers

        def one(rows: slice) -> Tensor:
            with analysis_mode():
                spread = _spread(images[rows].to(self.device), side)
                return self.space.lower(self.linearization.pull(spread, layers))

        latents = torch.empty(images.shape[0], self.space.dimension, device=self.device)
        self.pull_chunk = in_chunks(one, latents, self.pull_chunk, progress)
        return latents

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
        report = _Stages(progress, sum(_tangents(part) for part in space.parts))
        for part in space.parts:
            own = matrix[part.start : part.stop]
            count = _tangents(part)
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


def images_at_once(generator: Generator, budget: int) -> int:
    """How many images pass together within a memory budget in bytes; more gain nothing past a point."""
    most = 32 if generator.device.type == "cpu" else 256
    return max(1, min(most, budget // (4 * generator.activation_floats())))


def in_chunks(
    function: Callable[[slice], Tensor], into: Tensor, chunk: int, progress: Progress | None
) -> int:
    """Fill a tensor by applying a function to slices of its rows, to smaller ones where memory runs out.

    Returns:
        The size of slice that worked, for the next time.
    """
    done, count = 0, into.shape[0]
    while done < count:
        rows = slice(done, min(done + chunk, count))
        try:
            into[rows] = function(rows)
        except torch.cuda.OutOfMemoryError:
            if chunk == 1:
                raise
            chunk = max(1, chunk // 2)
            torch.cuda.empty_cache()
            continue
        done = rows.stop
        if progress is not None:
            progress(done, count)
    return chunk


def _tangents(part: Part) -> int:
    """How many tangents span what a part can do: its style channels, where these are fewer."""
    size = part.stop - part.start
    return size if part.matrix is None else min(size, part.matrix.shape[0])


def compute_jacobian(
    generator: Generator,
    latent: Latent,
    space: str | None = None,
    layers: Iterable[int] | None = None,
    *,
    method: Method = "auto",
    memory_budget: int | None = None,
    confine_to: Region | None = None,
    progress: Progress | None = None,
) -> Jacobian:
    """Analyse one image: how each of its pixels depends on each entry of its latent (Eq. 4).

    The image is averaged over areas to at most 256 x 256; all colour channels are kept; the analysis
    is in float32 whatever the weights' type. Works under `torch.inference_mode()`.

    Args:
        generator: on any device.
        latent: a batch of one; its own moves are part of the point that is analysed.
        space: `w+`, `w`, `s`, `z`, `z+`; the generator's default, its first, for None.
        layers: the layers that directions will be applied to; all for None.
        method: form the Jacobian (`dense`), only apply it (`matrix-free`), or choose by `estimate`:
            dense where it fits half of the memory budget and takes a minute at most, or no more than
            twice as long as one region without it.
        memory_budget: bytes; 2 GiB by default, half of the free memory on a CUDA device.
        confine_to: analyse edits that are fully confined to this region: the code moves inside it only. Such
            an analysis is for directions of that region; None: of any.
        progress: called with (tangents done, tangents in all); the analysis stops if it raises.

    Raises:
        LatentError: the latent, the space or the layers do not fit the generator, it can't confine edits, or
            the image does not respond to the latent at all.
        ParameterError: unknown method.
    """
    if method not in ("auto", "dense", "matrix-free"):
        raise ParameterError(f"method {method!r} is unknown: expected 'auto', 'dense' or 'matrix-free'")
    _check_one(generator, latent)
    with analysis_mode():
        described = generator.describe()
        latent = latent.map_tensors(torch.clone)
        budget = memory_for(generator.device) if memory_budget is None else memory_budget
        operator = _operator_at(generator, latent, space, layers, budget // 2, confine_to)
        chosen = operator.space
        common: dict[str, Any] = {
            "space": chosen.name,
            "layers": chosen.layers,
            "shape": chosen.shape,
            "latent": latent,
            "described": described,
            "image_size": operator.image_size,
            "layer_sizes": generator.layer_sizes if chosen.name == "s" else (),
            "confined_to": confine_to,
        }
        if method == "auto":
            method = _choose(_estimate(operator), budget)
        jacobian: Jacobian
        if method == "dense":
            dense = DenseJacobian(operator.columns(progress), **common)
            dense.passes = chosen.dimension
            dense.gram(
                beat=None if progress is None else partial(progress, chosen.dimension, chosen.dimension)
            )
            jacobian = dense
        else:
            jacobian = MatrixFreeJacobian(generator, None, operator, **common)
            jacobian.prepare(progress)
    jacobian.check_response()
    return jacobian


def estimate(
    generator: Generator, latent: Latent, space: str | None = None, layers: Iterable[int] | None = None
) -> Estimate:
    """What analysing a latent would cost, from the time of one warm tangent pass.

    Raises:
        LatentError: the latent, the space or the layers do not fit the generator.
    """
    _check_one(generator, latent)
    with analysis_mode():
        return _estimate(_operator_at(generator, latent, space, layers, memory_for(generator.device)))


def _check_one(generator: Generator, latent: Latent) -> None:
    if len(latent) != 1:
        raise LatentError(f"{len(latent)} latents were given: analyse one at a time, latent[i]")
    generator.check_latent(latent)


def _estimate(operator: _Operator) -> Estimate:
    space = operator.space
    height, width = operator.image_size
    seconds_per_pass = operator.seconds_per_pass()
    rate = _GRAM_RATE.get(operator.device.type, _GRAM_RATE_CPU)
    gram_seconds = space.dimension**2 * 3 * height * width / rate
    return Estimate(
        dimension=space.dimension,
        dense_bytes=4 * space.dimension * 3 * height * width,
        dense_seconds=seconds_per_pass * space.dimension * (1.0 if space.shared else 0.6) + gram_seconds,
        matrix_free_seconds=seconds_per_pass * min(TYPICAL_PASSES, space.dimension),
    )


def _choose(cost: Estimate, budget: int) -> Method:
    quick = cost.dense_seconds <= max(PATIENCE_SECONDS, 2 * cost.matrix_free_seconds)
    return "dense" if cost.dense_bytes <= budget // 2 and quick else "matrix-free"


def load_jacobian(path: str | PathLike[str], generator: Generator | None = None) -> Jacobian:
    """Read a Jacobian that was saved.

    Args:
        path: the file.
        generator: the generator that it was computed with, whose device it goes to; needed for a
            matrix-free one.

    Raises:
        JacobianError: the file is damaged, or belongs to another generator.
    """
    tensors, metadata = read_tensors(path, JacobianError, _MAX_FILE_BYTES)
    if metadata.get("resefa.jacobian_version") != _FILE_VERSION:
        raise JacobianError(f"{path}: not a Jacobian file of version {_FILE_VERSION}")
    try:
        parts = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_LATENT)}
        parts = {name.removeprefix(_LATENT): tensor for name, tensor in parts.items()}
        latent = Latent.from_file_content(Path(path), parts, metadata)
        return _from_file(tensors, json.loads(metadata["resefa.jacobian"]), latent, generator)
    except (*DAMAGE, ReSeFaError) as error:
        raise JacobianError(f"{path}: {type(error).__name__}: {str(error)[:500]}") from error


def _from_file(
    tensors: dict[str, Tensor], header: dict[str, Any], latent: Latent, generator: Generator | None
) -> Jacobian:
    described = header["generator"]
    if not isinstance(described, dict) or not isinstance(described["fingerprint"], str):
        raise JacobianError("what it says of its generator is damaged")
    height, width = _whole_numbers(header["image"], ANALYSIS_SIDE)
    common: dict[str, Any] = {
        "space": header["space"],
        "layers": _whole_numbers(header["layers"], _MAX_LAYERS),
        "shape": _whole_numbers(header["shape"], _MAX_DIMENSION),
        "latent": latent,
        "described": described,
        "image_size": (height, width),
        "layer_sizes": _whole_numbers(header["layer_sizes"], _MAX_DIMENSION),
    }
    (passes,) = _whole_numbers([header["passes"]], 2**53)
    _check_common(**common)
    dimension, image = math.prod(common["shape"]), (3, height, width)
    if generator is not None and generator.fingerprint != described["fingerprint"]:
        raise JacobianError(
            f"it was computed with {described.get('name')!r}, not with the given generator {generator.name!r}"
        )
    if header["kind"] == "dense":
        _check_shapes(tensors, {"matrix": (dimension, *image)})
        device = torch.device("cpu") if generator is None else generator.device
        jacobian: Jacobian = DenseJacobian(tensors["matrix"].to(device), **common)
    elif header["kind"] == "matrix-free":
        probes, rank = (tensors[name].shape[:1] for name in ("probe_images", "basis"))
        _check_shapes(
            tensors,
            {
                "probe_images": (*probes, *image),
                "probe_latents": (*probes, dimension),
                "basis": (*rank, dimension),
                "basis_images": (*rank, *image),
            },
        )
        jacobian = _attach(tensors, common, generator)
    else:
        raise JacobianError(f"its kind is {str(header['kind'])[:40]}: expected 'dense' or 'matrix-free'")
    jacobian.passes = passes
    return jacobian


def _whole_numbers(values: object, most: int) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(v) is int and 0 <= v <= most for v in values):
        raise JacobianError(f"{str(values)[:80]} are not whole numbers up to {most}")
    return tuple(values)


def _check_common(
    space: str, layers: tuple[int, ...], shape: tuple[int, ...], latent: Latent, **_: Any
) -> None:
    """Raise JacobianError where a Jacobian's parts contradict each other."""
    layered = space in ("w+", "z+")
    if space not in ("w", "w+", "s", "z", "z+") or len(shape) != (2 if layered else 1):
        raise JacobianError(f"its space is {str(space)[:40]}, of shape {shape[:8]}")
    if not layers or list(layers) != sorted(set(layers)) or layers[-1] >= latent.codes.shape[1]:
        raise JacobianError(f"its layers are {layers[:20]}, its latent has {latent.codes.shape[1]}")
    if len(latent) != 1 or 0 in shape or (layered and shape[0] != len(layers)):
        raise JacobianError(f"its shape is {shape} for {len(latent)} latents and {len(layers)} layers")


def _check_shapes(tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> None:
    if tensors.keys() != expected.keys():
        raise JacobianError(f"its tensors are {str(sorted(tensors))[:200]}, expected {sorted(expected)}")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name] or tensor.dtype != torch.float32:
            raise JacobianError(
                f"its {name} has type {tensor.dtype} and shape {tuple(tensor.shape)}, "
                f"expected float32 and {expected[name]}"
            )


def _attach(
    tensors: dict[str, Tensor], common: dict[str, Any], generator: Generator | None
) -> MatrixFreeJacobian:
    if generator is None:
        raise JacobianError("a matrix-free Jacobian needs its generator: pass generator=...")
    budget = memory_for(generator.device) // 2
    operator = _operator_at(generator, common["latent"], common["space"], common["layers"], budget)
    space = operator.space
    if (space.shape, operator.image_size) != (common["shape"], common["image_size"]):
        raise JacobianError(f"its shape is {common['shape']}, the generator's in {space.name} {space.shape}")
    sketch = {name: tensor.to(operator.device) for name, tensor in tensors.items()}
    return MatrixFreeJacobian(generator, sketch, operator, **common)


def _operator_at(
    generator: Generator,
    latent: Latent,
    space: str | None,
    layers: Iterable[int] | None,
    budget: int,
    confine_to: Region | None = None,
) -> _Operator:
    if confine_to is not None:
        generator.check_can_confine()
    gate = None if confine_to is None else Gate(confine_to, 1.0)
    with analysis_mode():
        float32 = as_float32(generator)
        point = latent.map_tensors(torch.clone).to(generator.device, torch.float32)
        chosen = latent_space(float32, point, space, layers)
        return _Operator(float32, point, chosen, budget, gate)


class _FullPrecision:
    """Switches TF32 off while anyone is inside, and back to what it was when the last one leaves.

    The switches belong to the process: analyses on several threads share them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            matmul: Any = torch.backends.cuda.matmul
            cudnn: Any = torch.backends.cudnn
            if hasattr(matmul, "fp32_precision"):
                switches: list[tuple[Any, str, Any]] = [
                    (matmul, "fp32_precision", "ieee"),
                    (cudnn.conv, "fp32_precision", "ieee"),
                ]
            else:
                switches = [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]
            self._before = [(owner, name, getattr(owner, name)) for owner, name, _ in switches]
            for owner, name, value in switches:
                setattr(owner, name, value)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for owner, name, value in self._before:
                    setattr(owner, name, value)


_full_precision = _FullPrecision()


@contextlib.contextmanager
def analysis_mode() -> Iterator[None]:
    """Outside inference mode (where derivatives get lost), without recording, and without TF32."""
    with torch.inference_mode(False), torch.no_grad(), _full_precision:
        yield


def analysed(image: Tensor) -> Tensor:
    """An image or tangent `(n, 3, H, W)`, averaged over areas to at most 256 x 256."""
    if image.shape[-1] <= ANALYSIS_SIDE:
        return image
    return F.interpolate(image, size=(ANALYSIS_SIDE, ANALYSIS_SIDE), mode="area")


def _spread(images: Tensor, side: int) -> Tensor:
    """The transpose of `analysed`."""
    if side <= ANALYSIS_SIDE:
        return images
    with torch.enable_grad():
        blank = images.new_zeros(images.shape[0], 3, side, side, requires_grad=True)
        (spread,) = torch.autograd.grad(analysed(blank), blank, images)
    return spread


def orthonormal(vectors: Tensor) -> Tensor:
    """An orthonormal basis `(r, d)` of the span of `(n, d)`, r the numerical rank."""
    rows = wide(vectors)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
    _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis[sizes > 1e-7 * sizes[0]].to(vectors.dtype).to(vectors.device)


def _mean_energy(images: Tensor) -> float:
    """The mean squared norm of images `(n, 3, h, w)`: for Gaussian probes, an estimate of tr(JᵀJ)."""
    return float(wide(images).square().sum()) / images.shape[0]


def as_float32(generator: Generator) -> Generator:
    """The generator itself, or a float32 copy of tensors that derivatives can be taken of."""
    tensors = generator._tensors().values()
    if all(t.dtype == torch.float32 and not t.is_inference() for t in tensors if t.is_floating_point()):
        return generator
    twin = copy.deepcopy(generator)
    for module in twin.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(parameter.detach().clone().float(), False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.clone().float() if buffer.is_floating_point() else buffer
    return twin


def memory_for(device: torch.device) -> int:
    """The memory budget on a device, in bytes, where the caller gives none."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 2
    return _DEFAULT_BUDGET


class _Stages:
    """One progress count over several stages."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress = progress
        self.total = total
        self.before = 0

    def stage(self, size: int) -> Progress | None:
        if self.progress is None:
            return None
        before, report, total = self.before, self.progress, self.total
        self.before += size

        def advance(done: int, count: int) -> None:
            report(min(before + round(size * done / count), total), total)

        return advance
