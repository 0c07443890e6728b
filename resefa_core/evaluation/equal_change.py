"""Edits at equal change: how far to move until the region has changed by a given amount, and what
changes outside it there.

Methods scale their directions as they like, so edits are compared where they change the region by the
same amount, for either sign of each direction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..analysis import images_at_once, memory_for
from ..directions import Directions
from ..errors import ParameterError
from ..generators.base import Generator
from ..latents import ConfinedMove, Latent
from ..latents.editing import move
from ..progress import Progress
from ..regions import Region
from ..solve import STEP_CHANGE

TARGET = 0.02
"""The mean squared change inside the region, on the [-1, 1] scale, at which edits are compared."""
MAX_STEPS = 64.0
"""How many steps an edit may take to get there; a step is 0.1 root mean square, to first order."""

_TOLERANCE = 0.005
_PROBE = 0.1
_MAX_ROUNDS = 40


@dataclass(frozen=True, eq=False)
class Edits:
    """Edits of every latent of a batch along every direction, backwards and forwards.

    They are numbered by latent, then direction, then sign: a tensor of one number per edit, reshaped to
    `shape`, is indexed by these three.

    Attributes:
        latent: a batch of B, where the edits start.
        codes, styles, noise: what a distance of 1 forwards adds to the codes `(k, L, D)`, to the style
            channels `(k, sum S)` or to the noise `(k, z_dim)`.
        region: what the edits are confined to, feathered; None where they act everywhere.
        confine: how much, in (0, 1], where there is a region.
    """

    latent: Latent
    codes: Tensor | None = None
    styles: Tensor | None = None
    noise: Tensor | None = None
    region: Region | None = None
    confine: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(B, k, 2)`."""
        offsets = next(part for part in (self.codes, self.styles, self.noise) if part is not None)
        return len(self.latent), len(offsets), 2

    def __len__(self) -> int:
        return math.prod(self.shape)

    def sources(self, rows: Tensor) -> Tensor:
        """Which latent of the batch each of some edits starts from."""
        return rows // math.prod(self.shape[1:])

    def at(self, distances: Tensor, rows: Tensor) -> Latent:
        """The latents of some edits, each moved by a distance of its own.

        Args:
            distances: `(n,)`, in the latent space; 0 leaves the latent as it is.
            rows: the edits, `(n,)`.
        """
        starts, signs = self.sources(rows), 2.0 * (rows % 2) - 1.0
        latent = self.latent.map_tensors(lambda tensor: tensor[starts.to(tensor.device)], seed=None)
        amounts, chosen = signs * distances, rows // 2 % self.shape[1]

        def moved(offsets: Tensor | None) -> Tensor | None:
            if offsets is None:
                return None
            scaled = amounts.to(offsets).reshape(-1, *[1] * (offsets.ndim - 1)) * offsets[chosen]
            return scaled.to(latent.codes)

        codes, styles, noise = moved(self.codes), moved(self.styles), moved(self.noise)
        if self.region is not None:
            confined = ConfinedMove(self.region, self.confine, codes, styles, noise)
            return replace(latent, confined=(*latent.confined, confined))
        return replace(
            latent,
            codes=latent.codes if codes is None else latent.codes + codes,
            style_offset=_sum(latent.style_offset, styles),
            z_offset=_sum(latent.z_offset, noise),
        )


@dataclass(frozen=True, eq=False)
class EqualChange:
    """What edits change where they change the region by `target`; tensors `(n,)`, float64.

    Attributes:
        target: the mean squared change inside that was sought.
        distance: how far each edit moves to get there; NaN where it is unreachable.
        inside, outside: the mean squared change per pixel and channel inside and outside the region at
            that distance; NaN where it is unreachable.
        most: the largest change inside that was seen of each edit.
        area: the region's share of the image.
    """

    target: float
    distance: Tensor
    inside: Tensor
    outside: Tensor
    most: Tensor
    area: float

    @property
    def reached(self) -> Tensor:
        """Which edits get there, boolean."""
        return self.distance.isfinite()

    @property
    def ratio(self) -> Tensor:
        """Inside over outside."""
        return self.inside / self.outside.clamp_min(1e-12)

    @property
    def fraction_inside(self) -> Tensor:
        """The share of the whole image's squared change that lies inside the region."""
        inside = self.inside * self.area
        return inside / (inside + self.outside * (1.0 - self.area))


def edits_of(
    latent: Latent, directions: Directions, confine: float | None = None, feather: float = 0.0
) -> Edits:
    """The edits of every latent along every direction, for `equal_change`.

    Args:
        latent: a batch of B.
        directions: k of them; their steps and signs do not matter.
        confine, feather: as in `move`.

    Raises:
        LatentError, ParameterError: as `move`.
    """
    confine = float(directions.confined) if confine is None else confine
    ones = torch.ones(len(directions))
    unit = replace(directions, steps=ones, steps_confined=ones)
    blank = latent[:1].to("cpu", torch.float32).map_tensors(torch.zeros_like)
    origin = replace(blank, style_offset=None, z_offset=None, confined=())
    moved = [_offsets(move(origin, unit, {index: 1.0}, confine, feather)) for index in range(len(unit))]
    codes, styles, noise = (_joined(parts) for parts in zip(*moved, strict=True))
    region = directions.region.feather(feather) if confine and directions.region is not None else None
    return Edits(latent, codes, styles, noise, region, confine)


def equal_change(
    generator: Generator,
    edits: Edits,
    region: Region,
    target: float = TARGET,
    progress: Progress | None = None,
) -> EqualChange:
    """Find how far each edit moves until the region has changed by `target`, and what it changes there.

    Images are taken as they are shown, clamped to [-1, 1]. An edit that does not get there within
    `MAX_STEPS` steps, or whose image stops being finite on the way, is unreachable. Distances are found to
    half a per cent of the target.

    Args:
        region: where the change is sought; not necessarily what the edits are confined to.
        target: mean squared change per pixel and channel, in (0, 4).
        progress: called with (edits finished, edits) after every batch of images.

    Raises:
        LatentError: the edits do not fit the generator, or are confined where it can't confine.
        ParameterError: the target is out of range.
        RegionError: the region is empty or full at the generator's resolution.
    """
    if not 0.0 < target < 4.0:
        raise ParameterError(f"target {target} is out of range: expected a mean squared change in (0, 4)")
    if edits.region is not None:
        generator.check_can_confine()
    generator.check_latent(edits.latent)
    mask = region.mask(*generator.image_size).double()
    every = torch.arange(len(edits))
    chunk = _images_at_once(generator)
    starts = torch.arange(len(edits.latent)) * (len(edits) // len(edits.latent))
    before = images(generator, edits, torch.zeros(len(starts)), starts)
    searches: list[_Search] = []

    def changes(distances: Tensor, rows: Tensor) -> list[tuple[float, float]]:
        moved = images(generator, edits, distances, rows) - before[edits.sources(rows)]
        squares = moved.square().mean(dim=1).double()
        inside = (squares * mask).sum(dim=(1, 2)) / mask.sum()
        outside = (squares * (1.0 - mask)).sum(dim=(1, 2)) / (1.0 - mask).sum()
        return list(zip(inside.tolist(), outside.tolist(), strict=True))

    def report() -> None:
        if progress is not None:
            progress(sum(search.finished for search in searches), len(edits))

    for rows in every.split(chunk):
        probed = changes(torch.full((len(rows),), _PROBE), rows)
        searches += [_Search(inside, target) for inside, _ in probed]
        report()
    for _ in range(_MAX_ROUNDS):
        todo = [row for row in range(len(edits)) if not searches[row].finished]
        for start in range(0, len(todo), chunk):
            some = todo[start : start + chunk]
            distances = torch.tensor([searches[row].distance for row in some])
            for row, change in zip(some, changes(distances, torch.tensor(some)), strict=True):
                searches[row].update(*change)
            report()
    found = torch.tensor([search.found or (math.nan,) * 3 for search in searches], dtype=torch.float64)
    most = torch.tensor([search.most for search in searches], dtype=torch.float64)
    distance, inside, outside = found.unbind(dim=1)
    return EqualChange(target, distance, inside, outside, most, area=float(mask.mean()))


def images(generator: Generator, edits: Edits, distances: Tensor, rows: Tensor) -> Tensor:
    """The images of some edits, each at a distance of its own.

    Args:
        distances: `(n,)`, finite; 0 gives the image before.
        rows: the edits, `(n,)`.

    Returns:
        `(n, 3, H, W)` as they are shown, clamped to [-1, 1]; float32, on the CPU.

    Raises:
        ParameterError: distances that are not finite, or rows that are not there.
    """
    if rows.shape != distances.shape or rows.ndim != 1 or len(rows) == 0:
        raise ParameterError(
            f"distances and rows have shapes {tuple(distances.shape)} and {tuple(rows.shape)}: expected "
            "one of each for every image"
        )
    if not 0 <= int(rows.min()) <= int(rows.max()) < len(edits):
        raise ParameterError(f"rows {int(rows.min())} to {int(rows.max())}: expected 0 to {len(edits) - 1}")
    if not bool(distances.isfinite().all()):
        raise ParameterError("there are distances that are not finite: leave out edits that are unreachable")
    chunk = _images_at_once(generator)
    shown = [
        generator.synthesize(edits.at(some, which), check_finite=False).clamp(-1.0, 1.0).cpu()
        for some, which in zip(distances.split(chunk), rows.split(chunk), strict=True)
    ]
    return torch.cat(shown)


class _Search:
    """One edit's search for the distance at which its change inside is the target.

    From first order's guess it grows or shrinks until the target lies between two distances, then
    interpolates between the logarithms of distance and change, which near small changes lie on a line.

    Args:
        probed: the change inside at the distance `_PROBE`.
        target: the change inside that is sought.
    """

    def __init__(self, probed: float, target: float) -> None:
        step = _PROBE * STEP_CHANGE / math.sqrt(max(probed, 1e-16))
        self.target = target
        self.limit = MAX_STEPS * step
        self.distance = step * math.sqrt(target) / STEP_CHANGE
        self.most = probed
        self.found: tuple[float, float, float] | None = None
        self.finished = not math.isfinite(probed)
        self._low: tuple[float, float] | None = None
        self._high: tuple[float, float] | None = None
        self._same_side = 0

    def update(self, inside: float, outside: float) -> None:
        """Take the changes at `distance`, and choose the next distance or finish."""
        if not math.isfinite(inside + outside):
            self.finished = True
            return
        self.most = max(self.most, inside)
        if abs(inside / self.target - 1.0) <= _TOLERANCE:
            self.found, self.finished = (self.distance, inside, outside), True
            return
        point = math.log(self.distance), math.log(max(inside, 1e-30) / self.target)
        if inside < self.target:
            self._low = point
            self._same_side = max(self._same_side + 1, 1)
        else:
            self._high = point
            self._same_side = min(self._same_side - 1, -1)
        if self._high is None and self.distance >= self.limit:
            self.finished = True
            return
        self.distance = self._next(point)

    def _next(self, point: tuple[float, float]) -> float:
        if self._high is None:
            growth = 1.02 * math.exp(-0.5 * point[1])
            return min(self.distance * _clip(growth, 1.1, 2.0), self.limit)
        if self._low is None:
            return self.distance * _clip(0.98 * math.exp(-0.5 * point[1]), 0.25, 0.9)
        (low, below), (high, above) = self._low, self._high
        share = 0.5 if abs(self._same_side) > 2 else _clip(below / (below - above), 0.05, 0.95)
        return math.exp(low + share * (high - low))


def _offsets(moved: Latent) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """By how much a latent of zeros was moved: codes, style channels, noise."""
    if moved.confined:
        return moved.confined[0].codes, moved.confined[0].styles, moved.confined[0].z
    untouched = moved.style_offset is not None or moved.z_offset is not None
    return None if untouched else moved.codes, moved.style_offset, moved.z_offset


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    return torch.cat(tensors) if tensors else None


def _sum(start: Tensor | None, added: Tensor | None) -> Tensor | None:
    return added if start is None else start if added is None else start + added


def _images_at_once(generator: Generator) -> int:
    return images_at_once(generator, memory_for(generator.device) // 8)


def _clip(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
