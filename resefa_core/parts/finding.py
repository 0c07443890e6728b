"""The parts of a generator's images, for those who ask for many of few: analyses and pictures are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from torch import Tensor

from ..analysis import Jacobian, JacobianCache
from ..bounds import shown
from ..errors import JacobianError, RegionError
from ..generators.base import Generator
from ..latents import Latent
from ..memo import Memo
from ..progress import Progress
from ..regions import Click, Region, Selection
from ..spaces import quick_space
from .clicks import carried, choose
from .clusters import centres_of, likeness_to
from .found import Parts
from .naming import suggested_names
from .responses import Responses, axes_of, responses_of

BUNDLED = Path(__file__).parent.parent / "bundled" / "parts"
CHOICES = 12
"""Clusters of an image whose generator has no known parts, to point at."""

_KEPT = 2
_SAME = 0.8
"""The intersection over union from which two parts are one to look at."""


@cache
def _bundled() -> dict[str, Parts]:
    """The parts that come with the package, by their generator's fingerprint."""
    found = [Parts.load(file) for file in sorted(BUNDLED.glob("*.safetensors"))]
    return {parts.generator.fingerprint or "": parts for parts in found}


def parts_of_generator(generator: Generator) -> Parts | None:
    """The parts that come with a generator, or with the one that it was tuned from; None where none do."""
    known = _bundled()
    found = next((known[each] for each in generator.fits if each in known), None)
    return None if found is None else _fitted(found, generator)


def _fitted(parts: Parts, generator: Generator) -> Parts:
    """Parts as those of a generator that they were found for, or that was tuned from that one.

    Raises:
        JacobianError: they are of another generator.
    """
    if parts.generator.fingerprint not in generator.fits:
        raise JacobianError(
            f"the parts are of {shown(parts.generator.name)}, not of {shown(generator.name)}: "
            "choose those that were found for this generator"
        )
    return replace(parts, generator=generator.describe())


@dataclass(frozen=True, eq=False)
class _Seen:
    """An image as clicks need it."""

    axes: Tensor
    responses: Responses
    picture: Tensor


class PartFinder:
    """Parts of images of a generator, by clicks and by name. Safe to use from several threads.

    Args:
        cache: of the analyses.
    """

    def __init__(self, cache: JacobianCache) -> None:
        self.cache = cache
        self._seen: Memo[_Seen] = Memo(_KEPT)

    def find(
        self,
        generator: Generator,
        latent: Latent,
        selection: Selection,
        parts: Parts | None = None,
        chosen_on: Latent | None = None,
        progress: Progress | None = None,
    ) -> Region:
        """Where a selection is on an image.

        Args:
            latent: the image's, a batch of one.
            parts: of the generator, for names; those that come with it for None.
            chosen_on: the latent of the image that clicks are on; this one for None.

        Raises:
            RegionError: the generator has no such part, the image nothing of it or nothing else, or it does
                not move where it was clicked.
            JacobianError: the parts are of another generator.
        """
        if selection.name:
            parts = self.known(generator, parts)
            analysis = self._analyse(generator, latent, parts, progress)
            return parts.region(analysis, selection, generator.synthesize(latent)[0])
        here = self._see(generator, latent, progress)
        if chosen_on is None or chosen_on.digest == latent.digest:
            return choose(here.responses, selection, here.picture)
        there = self._see(generator, chosen_on, progress)
        analysis = self.cache.analyse(generator, latent, quick_space(generator))
        moved = responses_of(analysis, there.axes)
        return choose(here.responses, carried(moved, there.responses, selection), here.picture)

    def follow(
        self,
        generator: Generator,
        latent: Latent,
        region: Region,
        parts: Parts | None = None,
        chosen_on: Latent | None = None,
        progress: Progress | None = None,
    ) -> Region:
        """A region of another image on this one: its selections are where `find` finds them here.

        Raises:
            RegionError, JacobianError: as for `find`.
        """
        return region.on(
            lambda selection: self.find(generator, latent, selection, parts, chosen_on, progress)
        )

    def all(
        self,
        generator: Generator,
        latent: Latent,
        parts: Parts | None = None,
        progress: Progress | None = None,
    ) -> Mapping[str, Region]:
        """All named parts that an image has."""
        parts = self.known(generator, parts)
        analysis = self._analyse(generator, latent, parts, progress)
        return parts.regions(analysis, generator.synthesize(latent)[0])

    def choices(
        self,
        generator: Generator,
        latent: Latent,
        parts: Parts | None = None,
        progress: Progress | None = None,
    ) -> Mapping[str, Region]:
        """What can be pointed at on an image, by name: its named parts; where no parts of the generator are
        known, what moves together on this image, each by a click, named by where it lies."""
        if parts is not None or parts_of_generator(generator) is not None:
            return self.all(generator, latent, parts, progress)
        here = self._see(generator, latent, progress)
        height, width = here.responses.height, here.responses.width
        alike = likeness_to(here.responses, centres_of([here.responses], CHOICES))
        names = suggested_names([alike.argmax(dim=1).view(height, width)], CHOICES)
        chosen: dict[str, Region] = {}
        taken: list[Tensor] = []
        for name, pixel in zip(names, alike.argmax(dim=0).tolist(), strict=True):
            click = Click((pixel % width + 0.5) / width, (pixel // width + 0.5) / height)
            try:
                region = choose(here.responses, Selection(clicks=(click,)), here.picture)
            except RegionError:
                continue
            inside = region.mask(height, width) >= 0.5
            if all(float((inside & other).sum()) < _SAME * float((inside | other).sum()) for other in taken):
                chosen[name] = region
                taken.append(inside)
        return chosen

    @staticmethod
    def known(generator: Generator, parts: Parts | None = None) -> Parts:
        """The parts to look names up in.

        Raises:
            RegionError: there are none.
            JacobianError: they are of another generator.
        """
        found = parts_of_generator(generator) if parts is None else _fitted(parts, generator)
        if found is None:
            raise RegionError(
                f"no parts are known of {generator.name or generator.architecture!r}: find them first "
                "(resefa parts), or click instead (at:X,Y)"
            )
        return found

    def _analyse(
        self, generator: Generator, latent: Latent, parts: Parts, progress: Progress | None
    ) -> Jacobian:
        return self.cache.analyse(generator, latent, parts.space, parts.layers, progress=progress)

    def _see(self, generator: Generator, latent: Latent, progress: Progress | None) -> _Seen:
        def look() -> _Seen:
            analysis = self.cache.analyse(generator, latent, quick_space(generator), progress=progress)
            axes = axes_of([analysis])
            picture = generator.synthesize(latent)[0].cpu()
            return _Seen(axes, responses_of(analysis, axes), picture)

        return self._seen.get((generator.fingerprint, latent.digest), look)
