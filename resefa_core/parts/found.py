"""The parts of a generator: found once over several images, the same on every further one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..analysis import Jacobian, compute_jacobian
from ..bounds import shown, whole
from ..defaults import TRUNCATION
from ..errors import JacobianError, ParameterError, RegionError
from ..generators.base import Generator
from ..generators.description import GeneratorDescription
from ..parsing import shown_seeds
from ..progress import Progress, stage
from ..regions import Region, Selection
from ..spaces import quick_space
from ..threads import one_thread
from ..workers import Inline, Workers
from .clicks import as_region, refined
from .clusters import centres_of, likeness_to
from .naming import suggested_names
from .responses import Responses, axes_of, responses_of

COUNT = 24
"""Clusters of a generator, where nobody says how many; several may be given one name."""
SEEDS = tuple(range(1000, 1032))
"""Of the images to find them on, where nobody says which."""
MOST = 256

_SHARPNESS = 0.05
_SIZES = 8.0
_TOGETHER = 1 << 30
_MOST_SEEDS = 4096
_MOST_ORIGIN = 1000
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts that pixels of a generator's images fall into.

    Attributes:
        axes: `(d, r)`, along which pixels' rows are compared.
        centres: `(k, m, r)`, of the clusters.
        names: of the clusters; clusters of one name are one part.
        generator: its description, as `Generator.describe` gives it.
        space, layers: of the analyses that they are found on.
        origin: how they were found, in words, for people.
    """

    axes: Tensor
    centres: Tensor
    names: tuple[str, ...]
    generator: GeneratorDescription
    space: str
    layers: tuple[int, ...]
    origin: str = ""

    def __len__(self) -> int:
        return len(self.part_names)

    @property
    def part_names(self) -> tuple[str, ...]:
        """The parts' names, each once."""
        return tuple(dict.fromkeys(self.names))

    @property
    def digest(self) -> str:
        """Short text that parts which lie elsewhere, or have other names, don't share."""
        digest = hashlib.sha256("\0".join(self.names).encode())
        for tensor in (self.axes, self.centres):
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()[:16]

    def named(self, names: Sequence[str]) -> Parts:
        """The same with other names for the clusters.

        Raises:
            RegionError: not as many names as clusters, or not names.
        """
        if len(names) != len(self.names):
            raise RegionError(f"{len(names)} names were given: expected one for each of {len(self.names)}")
        for name in names:
            Selection(name=name)
        return replace(self, names=tuple(names))

    def named_by(self, analyses: Sequence[Jacobian], labels: Sequence[Tensor], names: Sequence[str]) -> Parts:
        """The same with names from somebody who knows: a parsing model, or masks that were drawn.

        Each cluster gets the name of the class that most of its pixels have; one without pixels keeps its.

        Args:
            analyses: of some images, in the space of the parts.
            labels: the class of each pixel of each image, whole numbers, `(H, W)` of any size.
            names: of the classes.

        Raises:
            ParameterError: not one map for each analysis, or a class without a name.
            RegionError: not names.
        """
        if len(analyses) != len(labels):
            raise ParameterError(f"{len(labels)} maps of classes were given for {len(analyses)} analyses")
        counts = torch.zeros(len(self.names), len(names), dtype=torch.long)
        for analysis, classes in zip(analyses, labels, strict=True):
            if classes.ndim != 2 or not 0 <= int(classes.min()) <= int(classes.max()) < len(names):
                raise ParameterError(
                    f"a map of classes of shape {tuple(classes.shape)}, from {classes.min()} to "
                    f"{classes.max()}: expected (H, W), from 0 to {len(names) - 1}"
                )
            mine = self.labels(analysis)
            theirs = F.interpolate(classes[None, None].double(), size=mine.shape, mode="nearest-exact")
            pairs = mine.flatten() * len(names) + theirs.long().flatten()
            counts += torch.bincount(pairs, minlength=counts.numel()).view_as(counts)
        best = counts.argmax(dim=1).tolist()
        known = counts.any(dim=1).tolist()
        return self.named(
            [names[each] if seen else own for each, seen, own in zip(best, known, self.names, strict=True)]
        )

    def labels(self, analysis: Jacobian) -> Tensor:
        """The cluster of each pixel of an image, `(h, w)`."""
        here = self._responses(analysis)
        return likeness_to(here, self.centres).argmax(dim=1).view(here.height, here.width)

    def region(self, analysis: Jacobian, part: str | Selection, picture: Tensor | None = None) -> Region:
        """A part on an image.

        Args:
            analysis: of the image, in the space of the parts.
            part: its name; or a selection by name, with its size and whether it keeps islands.
            picture: the image, `(3, H, W)` in [-1, 1], whose edges the part is given.

        Raises:
            RegionError: no such part, or the image has nothing of it, or nothing else.
            JacobianError: the analysis is of another generator or space.
        """
        selection = Selection(name=part) if isinstance(part, str) else part
        if selection.name not in self.part_names:
            raise RegionError(
                f"there is no part {shown(selection.name)}: expected one of {', '.join(self.part_names)}"
            )
        return self._region(self._shares(self._responses(analysis), [selection], picture)[0], selection)

    def regions(self, analysis: Jacobian, picture: Tensor | None = None) -> dict[str, Region]:
        """All parts that an image has, by name; see `region`."""
        selections = [Selection(name=name) for name in self.part_names]
        found = zip(self.part_names, self.chosen(analysis, selections, picture), strict=True)
        return {name: region for name, region in found if region is not None}

    def chosen(
        self, analysis: Jacobian, selections: Sequence[Selection], picture: Tensor | None = None
    ) -> list[Region | None]:
        """Selections by known names on an image, None for what it has nothing of; see `region`."""
        found: list[Region | None] = []
        shares = self._shares(self._responses(analysis), selections, picture)
        for selection, share in zip(selections, shares, strict=True):
            try:
                found.append(self._region(share, selection))
            except RegionError:  # this image has none of it
                found.append(None)
        return found

    def name_at(self, analysis: Jacobian, x: float, y: float) -> str:
        """The name of the part that lies at a point, in fractions of the image."""
        labels = self.labels(analysis)
        height, width = labels.shape
        row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
        return self.names[int(labels[row, column])]

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write them to a safetensors file, atomically.

        Raises:
            PartsFileError: the file exists and `overwrite` is false, or it can't be written.
        """
        from .store import save_parts

        save_parts(self, path, overwrite)

    @staticmethod
    def load(path: str | PathLike[str]) -> Parts:
        """Read what `save` wrote; the file may come from a stranger.

        Raises:
            PartsFileError: the file is damaged, or holds something else.
        """
        from .store import load_parts

        return load_parts(path)

    def _responses(self, analysis: Jacobian) -> Responses:
        mine = (self.generator.fingerprint, self.space, self.layers, len(self.axes))
        theirs = (
            analysis.described.fingerprint,
            analysis.space,
            analysis.layers,
            analysis.dimension,
        )
        if mine != theirs:
            raise JacobianError(
                f"the parts are of {self.generator.name!r} in {self.space}, the analysis is of "
                f"{analysis.described.name!r} in {analysis.space}"
            )
        return responses_of(analysis, self.axes)

    def _shares(self, here: Responses, selections: Sequence[Selection], picture: Tensor | None) -> Tensor:
        """How much each pixel belongs to each selected part, `(n, H, W)`; a half between two."""
        likeness = likeness_to(here, self.centres)
        shares = []
        for selection in selections:
            own = torch.tensor([name == selection.name for name in self.names])
            mine = likeness[:, own].amax(dim=1)
            other = likeness[:, ~own].amax(dim=1) if not bool(own.all()) else torch.zeros_like(mine)
            share = torch.sigmoid((mine - other) / _SHARPNESS + _SIZES * (selection.size - 0.5))
            shares.append(torch.where(mine > 0.0, share, 0.0).view(here.height, here.width))
        return refined(torch.stack(shares), picture)

    @staticmethod
    def _region(share: Tensor, selection: Selection) -> Region:
        weights = (2.0 * share - 0.5).clamp(0.0, 1.0)
        if float(weights.max()) < 0.5:
            raise RegionError(f"this image has no {selection.name}: choose another part, or a box")
        return as_region(weights, selection)


def find_parts(analyses: Jacobian | Sequence[Jacobian], count: int = COUNT, origin: str = "") -> Parts:
    """What moves together in one or many images of a generator, as `count` clusters, without labels or
    training.

    Args:
        analyses: of the images, in one space: w serves well and is cheap.
        count: from 2 to 256.
        origin: how they were found, for people.

    Returns:
        Parts, the largest first, with names of where they lie: see `suggested_names`.

    Raises:
        ParameterError: count is out of range.
        JacobianError: the analyses do not belong together.
        LatentError: an image does not respond to the latent at all.
    """
    whole(count, "count", 2, MOST)
    jacobians = [analyses] if isinstance(analyses, Jacobian) else list(analyses)
    axes = axes_of(jacobians)
    return _parts_of([responses_of(each, axes) for each in jacobians], jacobians[0], axes, count, origin)


def find_parts_of(
    generator: Generator,
    seeds: Sequence[int] = SEEDS,
    count: int = COUNT,
    *,
    truncation: float = TRUNCATION,
    label: int | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Parts:
    """The parts of a generator, on samples of it, in its `quick_space`.

    The axes are those of as many of the first images as fit 1 GiB together.

    Args:
        seeds, truncation, label: of the samples, as `Generator.sample` takes them.
        count: of clusters, from 2 to 256.
        workers: where images are analysed, each with one thread; here for None. Whoever they are, the parts
            are the same, on processors of one kind.
        progress: called with (done, total); the work stops if it raises.

    Raises:
        ParameterError: count is out of range, or there are no seeds.
        LatentError: a sample can't be drawn, or does not respond to its latent at all.
        WorkerError: workers are lost again and again, or can't be sent the generator.
    """
    whole(count, "count", 2, MOST)
    whole(len(seeds), "seeds", 1, _MOST_SEEDS)
    workers = workers or Inline()
    images = _Images(generator, tuple(seeds), truncation, label, progress if workers.in_process else None)
    with one_thread():
        first = [_analysed(images, 0)]
    kept = max(1, min(_TOGETHER // first[0].nbytes, len(seeds)))
    done = 1

    def each(function: Callable[[_Images, int], _T], places: range) -> list[_T]:
        """What workers make of each image, in the order of images."""
        nonlocal done
        found = {}
        for place, result in workers.run(function, images, places):
            found[place] = result
            done += 1
            if progress is not None:
                progress(1000 * done, 1000 * len(seeds))
        return [found[place] for place in places]

    first += each(_analysed, range(1, kept))
    axes = axes_of(first)
    responses = [responses_of(each, axes) for each in first]
    del first[1:]
    images = replace(images, axes=axes)
    responses += each(_responding, range(kept, len(seeds)))
    origin = f"{len(seeds)} samples, seeds {shown_seeds(seeds)}, truncation {truncation:g}"
    return _parts_of(responses, first[0], axes, count, origin[:_MOST_ORIGIN])


@dataclass(frozen=True, eq=False)
class _Images:
    """What all images that parts are found on share."""

    generator: Generator
    seeds: tuple[int, ...]
    truncation: float
    label: int | None
    progress: Progress | None
    axes: Tensor | None = None


def _analysed(images: _Images, place: int) -> Jacobian:
    """The analysis of an image, in main memory."""
    latent = images.generator.sample(images.seeds[place], images.truncation, images.label)
    report = stage(images.progress, place, len(images.seeds))
    return compute_jacobian(
        images.generator, latent, quick_space(images.generator), progress=report
    ).detached()


def _responding(images: _Images, place: int) -> Responses:
    """How an image's pixels respond along the axes."""
    assert images.axes is not None
    return responses_of(_analysed(images, place), images.axes)


def _parts_of(images: Sequence[Responses], like: Jacobian, axes: Tensor, count: int, origin: str) -> Parts:
    """The parts of images along some axes; `like` is the analysis of any of them."""
    centres = centres_of(images, count)
    labels = [likeness_to(each, centres).argmax(dim=1) for each in images]
    order = torch.bincount(torch.cat(labels), minlength=count).argsort(descending=True, stable=True)
    places = torch.empty_like(order)
    places[order] = torch.arange(count)
    maps = [places[each].view(image.height, image.width) for each, image in zip(labels, images, strict=True)]
    return Parts(
        axes=axes,
        centres=centres[order],
        names=suggested_names(maps, count),
        generator=like.described,
        space=like.space,
        layers=like.layers,
        origin=origin,
    )
