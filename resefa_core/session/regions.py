"""The regions of a session's image, by any means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from ..analysis import analysis_size
from ..directions import Directions
from ..latents import Latent
from ..parts import PartFinder, Parts, parts_of_generator
from ..progress import Progress
from ..regions import Click, Region, Selection, preset_family, presets_of
from .image import ImageSession


class RegionSession(ImageSession):
    """Regions of the image before its edits.

    Attributes:
        selected: the region to go on with; None at the start.
        parts: of the generator, whose names regions may have; those that come with it for None.
    """

    selected: Region | None
    parts: Parts | None
    _finder: PartFinder

    @property
    def presets(self) -> dict[str, Region]:
        """The boxes that are known by name for this generator. Where it has a part of the same name, the
        plain name is the part: see `Selection.meant`."""
        return presets_of(self.generator)

    def region(self, what: object, feather: float = 0.0) -> Region:
        """A region by any means, known to hold a pixel of the image and to leave one out.

        Args:
            what: a `Region`; text that means a part of the image (`mouth`, `part:hair`, `at:0.5,0.68`; see
                `Selection.meant`) or that `Region.from_text` reads (`box:mouth`, `ffhq/eyes`, a box
                `x,y,width,height` in fractions, a mask's path); a `Selection`; a box of four numbers;
                JSON as `Region.from_json` reads it; or a mask: a picture, an array or a tensor.
            feather: softens its edge; a fraction of the image's height.

        Raises:
            RegionError: none of these, or nothing is inside or outside.
        """
        generator = self.generator
        if isinstance(what, Region):
            region = what
        elif isinstance(what, Selection):
            region = self._chosen(what)
        elif isinstance(what, str):
            part = Selection.meant(what, self.part_names)
            region = Region.from_text(what, generator) if part is None else self._chosen(part)
        elif isinstance(what, Mapping):
            region = Region.from_json(what, family=preset_family(generator))
        elif isinstance(what, (Image.Image, np.ndarray, Tensor)):
            region = Region.from_mask(what)
        elif isinstance(what, Sequence) and len(what) == 4:
            region = Region.from_box(*what)
        else:
            region = Region.from_json(what)
        region = region.feather(feather)
        region.mask(*analysis_size(generator))
        return region

    def select(self, what: object, feather: float = 0.0) -> Region:
        """A region by any means, as `region` reads it, to go on with: `selected`."""
        self.selected = self.region(what, feather)
        return self.selected

    def part_at(
        self,
        x: float,
        y: float,
        size: float = 0.5,
        *,
        islands: bool = True,
        progress: Progress | None = None,
    ) -> Region:
        """What moves like the point (x, y) of the image before its edits, in fractions; see `part_at`."""
        return self._chosen(Selection("", (Click(x, y),), size, islands), progress)

    def part(
        self, name: str, size: float = 0.5, *, islands: bool = True, progress: Progress | None = None
    ) -> Region:
        """A part of the generator on the image before its edits, by its name; see `Parts.region`."""
        return self._chosen(Selection(name, (), size, islands), progress)

    def parts_here(self, progress: Progress | None = None) -> Mapping[str, Region]:
        """The generator's parts that the image before its edits has, by name.

        Raises:
            RegionError: no parts of the generator are known.
        """
        return self._finder.all(self.generator, self.original[:1], self.parts, progress)

    def choices_here(self, progress: Progress | None = None) -> Mapping[str, Region]:
        """What can be pointed at on the image before its edits, by name: the generator's parts, or what moves
        together on this image where none are known. Each region's selection leads to it again."""
        return self._finder.choices(self.generator, self.original[:1], self.parts, progress)

    @property
    def part_names(self) -> tuple[str, ...]:
        """The parts of the generator that are known by name; none where none are."""
        parts = parts_of_generator(self.generator) if self.parts is None else self.parts
        return () if parts is None else parts.part_names

    def follow(self, region: Region, chosen_on: Latent, progress: Progress | None = None) -> Region:
        """A region of another image on this one: the parts in it are where this image has them.

        Args:
            chosen_on: the latent of the image that the region was chosen on, a batch of one.

        Raises:
            RegionError: this image has nothing of a part, or nothing else.
        """
        here = self.original[:1]
        return self._finder.follow(self.generator, here, region, self.parts, chosen_on, progress)

    def _own_parts(self, region: Region, joint: bool) -> str | None:
        """What a recipe says of a region of parts; see `Recipe.own_parts`.

        Raises:
            RegionError: other images are to have the region, and the names of its parts are unknown.
        """
        if not region.follows:
            return None
        if not any(selection.name for selection in region.selections):
            return ""
        if not joint and not self.part_names:
            return None
        return PartFinder.known(self.generator, self.parts).digest

    def _region_on(self, latent: Latent, directions: Directions) -> Region | None:
        """Where the region of directions is on another image; clicks can only be followed from an image that
        is known.

        Raises:
            RegionError: the image has nothing of it, or nothing else.
        """
        region, recipe = directions.region, directions.recipe
        if region is None or not region.follows:
            return region
        names = {selection.name for selection in region.selections}
        if not names <= {"", *self.part_names} or (recipe is None and "" in names):
            return region
        first = self.original[:1] if recipe is None else recipe.points[0].latent(self.generator)
        return self._finder.follow(self.generator, latent, region, self.parts, first)

    def _chosen(self, selection: Selection, progress: Progress | None = None) -> Region:
        return self._finder.find(self.generator, self.original[:1], selection, self.parts, progress=progress)
