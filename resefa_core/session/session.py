"""The recipe: set an image once, then find, show, make, carry over, measure and save edits of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..analysis import Jacobian, JacobianCache, KindChoice, analysis_size
from ..bounds import whole
from ..defaults import (
    NUM_DIRECTIONS,
    SAMPLES_TO_SHARE,
    TRIAL_STRENGTH,
    TRUNCATION,
    UNSEEN_SEEDS,
    feather_for,
    strengths_within,
)
from ..directions import CONFINED, Directions, about, encode_thumbnail
from ..directions.effects import Effect, effect_of
from ..directions.recipes import Point, Recipe
from ..errors import LatentError, ParameterError
from ..generators.base import Generator
from ..latents import PNG_KEY, Latent, stack
from ..latents.editing import Strengths, confinement, move, prepared, sweep, with_confined_steps
from ..latents.edits import Edit, Edited, History, Move
from ..latents.reach import within_reach
from ..latents.samples import check_samples, further_seeds, like
from ..methods import check_method
from ..parts import PartFinder, Parts, parts_of_generator
from ..progress import Progress, counted, stage
from ..regions import AT, PART, Click, Region, Selection, preset_family, presets_of
from ..sheets import save_film, save_png, to_pil
from ..spaces import SPACES, quick_space
from .choosing import worth_offering
from .finding import OURS, find_again, follow, method_for
from .saved import State, pack, read_state, unpack, write_state
from .strips import Strip

_KEPT_BYTES = 1 << 30
_KEPT_IMAGE_BYTES = 1 << 20
_KEPT_MEASURED = 4
_THUMBNAIL_STRENGTHS = (-3.0, 0.0, 3.0)

Resolve = Callable[[], Generator]
"""Gives the generator, for those that must not keep it."""


@dataclass(frozen=True, eq=False)
class Carried:
    """Another image with the session's edit.

    Attributes:
        latent: of the image, edited.
        image: `(3, H, W)` in about [-1, 1].
    """

    latent: Latent
    image: Tensor

    @property
    def seed(self) -> int | None:
        return None if self.latent.seed is None else self.latent.seed[0]


@dataclass(frozen=True, eq=False)
class Generalized:
    """Directions that were solved over several images, and how well they hold on others.

    Attributes:
        directions: found jointly.
        before, after: what the first direction does to images that neither set has seen, before and after:
            the median by ratio.
        unseen: how many images that was.
    """

    directions: Directions
    before: Effect
    after: Effect
    unseen: int


class Session:
    """One image of a generator, and everything that is done to it.

    The image is analysed when that is first needed; regions, directions and edits are then cheap. What is
    shown is told by a small immutable state, so that edits can be undone and redone, across images too, and
    written to JSON. Every long call takes `progress`, called with (done, total), and stops, with nothing
    changed, if that raises. A session may be used from several threads.

    Args:
        generator: or a function that gives it, for sessions that must not keep it.
        seed: of the image, in [0, 2**32 - 1]; 0 if nothing is given.
        latent: instead of a seed; a batch is edited alike, its first image is shown, and directions are found
            for all of it. With an edit, as `Edited.load` reads it, its moves are those of the session.
        truncation, label, truncation_layers: as `Generator.sample` takes them; the label may also be the name
            of a class, and is the first class for None.
        cache: of analyses, to share among sessions; one of its own for None.
        parts: of the generator, whose names regions may have; those that come with it for None.

    Raises:
        LatentError: the seed, class, truncation or latent doesn't fit the generator.

    Example:
        >>> import resefa_core as resefa
        >>> session = resefa.Session(resefa.load_generator("avatars"), seed=7)
        >>> mouth = session.find("mouth", quick=True)
        >>> session.edit(mouth, {0: 2.0})
        >>> len(session.moves)
        1
        >>> session.undo()
        True
        >>> len(session.moves)
        0
    """

    def __init__(
        self,
        generator: Generator | Resolve,
        seed: int | None = None,
        *,
        latent: Latent | Edited | None = None,
        truncation: float = TRUNCATION,
        label: int | str | None = None,
        truncation_layers: int | None = None,
        cache: JacobianCache | None = None,
        parts: Parts | None = None,
    ) -> None:
        self._resolve: Resolve = (lambda: generator) if isinstance(generator, Generator) else generator
        self.cache = JacobianCache(_KEPT_BYTES) if cache is None else cache
        self.parts = parts
        self._finder = PartFinder(self.cache)
        self._lock = threading.RLock()
        self._images: list[tuple[Latent, Tensor]] = []
        self._measured: list[tuple[Directions, float, Directions]] = []
        self.directions: Directions | None = None
        self.selected: Region | None = None
        if isinstance(latent, Edited):
            latent.edit.check(self.generator)
            start = self._latent(seed, latent.original, truncation, label, truncation_layers)
            state = Edited(start, latent.edit)
        else:
            state = Edited(self._latent(seed, latent, truncation, label, truncation_layers))
        self._history: History[Edited] = History.start(state)

    # The image

    @property
    def generator(self) -> Generator:
        """What draws the image."""
        return self._resolve()

    @property
    def state(self) -> Edited:
        """Where the image starts, and the edit of it; a value that does not change."""
        return self._history.present

    @property
    def original(self) -> Latent:
        """The latent before all edits."""
        return self.state.original

    @property
    def latent(self) -> Latent:
        """The latent as it is edited."""
        return self.state.latent

    @property
    def seed(self) -> int | None:
        """The seed of the image, if it has one."""
        return None if self.original.seed is None else self.original.seed[0]

    @property
    def before(self) -> Tensor:
        """The image before all edits, `(3, H, W)` in about [-1, 1]."""
        return self._draw(self.original[:1])

    @property
    def image(self) -> Tensor:
        """The image as it is edited, `(3, H, W)` in about [-1, 1]."""
        return self._draw(self.latent[:1])

    @property
    def picture(self) -> Image.Image:
        """The image for people."""
        return to_pil(self.image)

    @property
    def cut_out(self) -> Image.Image:
        """The image for files: with its opacity, where the generator draws one."""
        return to_pil(self.generator.synthesize(self.latent[:1], cut_out=True)[0])

    def _repr_png_(self) -> bytes | None:
        return self.picture._repr_png_()

    def __repr__(self) -> str:
        generator = self.generator
        which = "a latent" if self.seed is None else f"seed {self.seed}"
        return f"Session({generator.name or generator.architecture}, {which}, {len(self.moves)} moves)"

    def set_image(
        self,
        seed: int | None = None,
        *,
        latent: Latent | None = None,
        truncation: float | None = None,
        label: int | str | None = None,
        truncation_layers: int | None = None,
        keep_edit: bool = False,
    ) -> None:
        """Go on with another image; `undo` leads back to this one and its edit.

        Args:
            seed, latent, truncation, label, truncation_layers: as at the start; the truncation and the class
                are those of this image for None.
            keep_edit: make the same edit of it.
        """
        here = self.original
        if latent is None and label is None and here.label is not None:
            label = int(here.label[0])
        amount = here.truncation if truncation is None else truncation
        start = self._latent(seed, latent, amount, label, truncation_layers)
        self._push(Edited(start, self.state.edit if keep_edit else Edit()))

    def _latent(
        self,
        seed: int | None,
        latent: Latent | None,
        truncation: float,
        label: int | str | None,
        truncation_layers: int | None,
    ) -> Latent:
        generator = self.generator
        if latent is not None:
            if seed is not None:
                raise LatentError("both a seed and a latent were given: expected one of them")
            generator.check_latent(latent)
            return latent
        if isinstance(label, str):
            label = generator.find_class(label) if label.strip() else None
        if label is None and generator.num_classes:
            label = 0
        return generator.sample(0 if seed is None else seed, truncation, label, truncation_layers)

    def _draw(self, latent: Latent) -> Tensor:
        with self._lock:
            for known, image in self._images:
                if known.digest == latent.digest:
                    return image
        image = self.generator.synthesize(latent)[0]
        if image.nbytes <= _KEPT_IMAGE_BYTES:
            with self._lock:
                self._images = [*self._images[-1:], (latent, image)]
        return image

    # Regions

    @property
    def presets(self) -> dict[str, Region]:
        """The regions that are known by name for this generator."""
        return presets_of(self.generator)

    def region(self, what: object, feather: float = 0.0) -> Region:
        """A region by any means, known to hold a pixel of the image and to leave one out.

        Args:
            what: a `Region`; text as `Region.from_text` reads it (`mouth`, `ffhq/eyes`, a box
                `x,y,width,height` in fractions, a mask's path) or `Selection.from_text` (`part:hair`,
                `at:0.5,0.68`); a `Selection`; a box of four numbers; JSON as
                `Region.from_json` reads it; or a mask: a picture, an array or a tensor.
            feather: softens its edge; a fraction of the image's height.

        Raises:
            RegionError: none of these, or nothing is inside or outside.
        """
        generator = self.generator
        if isinstance(what, Region):
            region = what
        elif isinstance(what, Selection):
            region = self._chosen(what)
        elif isinstance(what, str) and what.lstrip().startswith((AT, PART)):
            region = self._chosen(Selection.from_text(what.strip()))
        elif isinstance(what, str):
            region = Region.from_text(what, generator)
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
        return region.on(
            lambda selection: self._finder.find(
                self.generator, self.original[:1], selection, self.parts, chosen_on, progress
            )
        )

    def _chosen(self, selection: Selection, progress: Progress | None = None) -> Region:
        return self._finder.find(self.generator, self.original[:1], selection, self.parts, progress=progress)

    # Directions

    def analyse(
        self,
        space: str | None = None,
        layers: Iterable[int] | None = None,
        *,
        kind: KindChoice = "auto",
        prepared: bool = False,
        progress: Progress | None = None,
    ) -> Jacobian:
        """The analysis of the image before its edits, which directions of every region are found by.

        Args:
            space: the generator's default, the thorough one, for None; `quick_space` is there in a moment.
            layers: all for None.
            kind: whether it is formed; by sizes for `auto`.
            prepared: also compute what makes each of its regions cheap.
        """
        return self.cache.analyse(
            self.generator,
            self.original[:1],
            space,
            layers,
            method=kind,
            prepared=prepared,
            progress=progress,
        )

    def is_analysed(self, space: str | None = None) -> bool:
        """Whether `analyse` has its answer at hand."""
        return self.cache.holds(self.generator, self.original[:1], space)

    @property
    def quick_space(self) -> str:
        """A space that is analysed in a moment."""
        return quick_space(self.generator)

    def find(
        self,
        region: object = None,
        *,
        method: str | None = None,
        space: str | None = None,
        layers: Iterable[int] | str | None = None,
        count: int = NUM_DIRECTIONS,
        samples: int = 1,
        confine: float = 0.0,
        feather: float | None = None,
        colour: bool | None = None,
        parameters: Mapping[str, float] | None = None,
        quick: bool = False,
        only_good: bool = False,
        analysis: KindChoice = "auto",
        jacobian: Jacobian | None = None,
        progress: Progress | None = None,
    ) -> Directions:
        """Directions that change a region of the image and leave the rest alone, best first.

        They are found for the image before its edits.

        Args:
            region: by any means, see `region`; the selected one for None. It becomes the selected one.
            method: a key of `METHODS`; for None ours, or ours for confined edits if `confine` is above 0.
            space: the method's default for None.
            layers: the layers that they move, or words for them as `Generator.choose_layers` reads; all for
                None.
            count: how many.
            samples: how many images to solve together, this one among them: 1 for the image at hand, 6 or
                more for directions that hold on others, too.
            confine: of the edits to come, in [0, 1].
            feather: softens the region; for None as `feather_for` says: sharp, soft for confined edits.
            colour: whether a change of the region's mean colour counts, as for lipstick or dyed hair; as the
                method has it for None, which is not at all for ours.
            parameters: of the method.
            quick: in a space that is analysed in a moment, where the method has it.
            only_good: of our methods, return those that are worth offering, the nearest first, named by what
                they change, with the range in which they stay within reach; see `worth_offering`.
            analysis: whether Jacobians are formed; by sizes for `auto`, the same everywhere.
            jacobian: an analysis of the image to use, for example from a file.

        Raises:
            ParameterError: unknown method or parameter, or a number out of range.
            LatentError: a space or layers that the generator doesn't have.
            RegionError: no region, or the image does not respond there.
        """
        key = method_for(method, confine)
        generator = self.generator
        chosen = self.select(self.selected if region is None else region)
        if feather is None:
            feather = feather_for(confine or float(key == CONFINED))
        asked = dict(parameters or {})
        if colour is not None:
            asked["colour"] = float(colour)
        known = check_method(key, generator, space, asked)
        spaces = known.spaces_of(generator)
        if space is None and quick and quick_space(generator) in spaces:
            space = quick_space(generator)
        moved = generator.choose_layers(layers) if isinstance(layers, str) else generator.check_layers(layers)
        given = [self.original[index] for index in range(len(self.original))]
        recipe = Recipe(
            generator=generator.fingerprint,
            points=tuple(Point.of(latent, generator) for latent in given),
            region=chosen.feather(feather),
            method=key,
            space=space or spaces[0],
            layers=moved,
            count=count,
            samples=max(check_samples(samples), len(given)),
            parameters=known.check_parameters(asked),
            kind=analysis if jacobian is None else jacobian.kind,
        )
        found = follow(
            generator,
            recipe,
            given,
            self.cache,
            jacobian=jacobian,
            progress=progress,
        )
        self.directions = self._offered(found, only_good and key in (OURS, CONFINED))
        return self.directions

    def _offered(self, found: Directions, only_good: bool) -> Directions:
        """Directions as they were found, or those worth offering, with the range in which they stay within
        reach."""
        if not only_good:
            return found
        generator = self.generator
        chosen = worth_offering(
            generator, self.original[:1], found, lambda latents: _draw_all(generator, latents)
        )
        return within_reach(generator, chosen)

    def found_alone(self, directions: Directions, region: Region | None = None) -> bool:
        """Whether directions were found by our own method for one image alone, and of this region, if one is
        given."""
        recipe = directions.recipe
        if recipe is None or recipe.samples > 1 or directions.method not in (OURS, CONFINED):
            return False
        return region is None or recipe.region.to_json(embed=True) == region.to_json(embed=True)

    def is_quick(self, directions: Directions) -> bool:
        """Whether `find` has better ones than these: they are ours, from a space that is analysed in a
        moment."""
        quick = SPACES[directions.space].shared and directions.method == OURS and not directions.confined
        return quick and directions.space != self.generator.spaces[0]

    def find_again(self, recipe: Recipe, progress: Progress | None = None) -> Directions:
        """Directions as they were found before.

        Raises:
            LatentError: they were found with another generator.
        """
        return find_again(self.generator, recipe, self.cache, progress)

    def prepared(
        self, directions: Directions, confine: float | None = None, feather: float | None = None
    ) -> Directions:
        """The directions, known to fit, with the steps that confined edits need, measured once for each set
        and feather; see `prepared`. None for either as for `edit`."""
        confine, feather = confinement(directions, confine, feather)
        with self._lock:
            for known, softness, measured in self._measured:
                if known is directions and softness == feather and confine:
                    return measured
        fitting = prepared(self.generator, self.original[:1], directions, confine, feather)
        if fitting is not directions:
            with self._lock:
                self._measured = [*self._measured[1 - _KEPT_MEASURED :], (directions, feather, fitting)]
        return fitting

    def strips(
        self,
        directions: Directions,
        strengths: Sequence[float] | None = None,
        *,
        confine: float | None = None,
        feather: float | None = None,
        most: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Strip]:
        """What directions do to the image as it is edited without them, one after the other.

        Args:
            strengths: of the images of a strip, ascending; those of `strengths_within` their range for None.
            confine, feather: of the edits that are shown, as in `edit`.
            most: stop after so many.
        """
        generator = self.generator
        confine, feather = confinement(directions, confine, feather)
        if strengths is None:
            strengths = strengths_within(directions.strength_range)
        directions = self.prepared(directions, confine, feather)
        latent = self.below(directions)[:1]
        before = self._draw(latent)
        count = len(directions) if most is None else min(most, len(directions))
        for index in counted(range(count), count, progress):
            moved = [
                move(latent, directions, {index: strength}, confine, feather)
                for strength in strengths
                if strength
            ]
            drawn = iter(_draw_all(generator, moved))
            images = [next(drawn) if strength else before for strength in strengths]
            effect = effect_of(before, (images[0], images[-1]), directions.region)
            yield Strip(
                index,
                directions.names[index],
                tuple(strengths),
                torch.stack(images),
                effect,
                directions.region,
            )

    def generalize(
        self,
        directions: Directions | None = None,
        samples: int = SAMPLES_TO_SHARE,
        *,
        progress: Progress | None = None,
    ) -> Generalized:
        """Find directions of the same region jointly over several images, so that they hold on others, and
        tell by how much that helped.

        Args:
            directions: found here; the last ones for None.
            samples: how many images to solve together, this one among them.
        """
        alone = self.directions if directions is None else directions
        if alone is None or alone.region is None:
            raise ParameterError("there are no directions of a region yet: find some first")
        recipe, generator = alone.recipe, self.generator
        if recipe is None:
            spaces = check_method(alone.method, generator).spaces_of(generator)
            space = alone.space if alone.space in spaces else None
            joint = self.find(
                alone.region,
                method=alone.method,
                space=space,
                layers=alone.layers,
                count=len(alone),
                samples=samples,
                feather=0.0,
                progress=stage(progress, 0, 2),
            )
        else:
            given = [self.original[index] for index in range(len(self.original))]
            points = tuple(Point.of(latent, generator) for latent in given)
            wider = replace(
                recipe, points=points, samples=max(check_samples(samples), len(given)), chosen=None
            )
            found = follow(generator, wider, given, self.cache, progress=stage(progress, 0, 2))
            joint = self.directions = self._offered(found, recipe.chosen is not None)
        rest = stage(progress, 1, 2)
        before = self.measure(alone, progress=stage(rest, 0, 2))
        after = self.measure(joint, progress=stage(rest, 1, 2))
        return Generalized(joint, before, after, len(UNSEEN_SEEDS))

    def measure(
        self,
        directions: Directions,
        *,
        which: int | str = 0,
        seeds: Sequence[int] = UNSEEN_SEEDS,
        strength: float = TRIAL_STRENGTH,
        progress: Progress | None = None,
    ) -> Effect:
        """What a direction does to other images, to both sides: the median by ratio.

        Args:
            which: the direction.
            seeds: of the images, drawn as this one was.
            strength: how far.
        """
        generator, effects = self.generator, []
        strength = min(strength, *(abs(bound) for bound in directions.strength_range if bound))
        fitting = self.prepared(directions)
        for seed in counted(seeds, len(seeds), progress):
            latent = like(generator, self.original, seed)
            moved = [move(latent, fitting, {which: sign * strength}) for sign in (-1.0, 1.0)]
            before = generator.synthesize(latent)[0]
            effects.append(effect_of(before, _draw_all(generator, moved), directions.region))
        return sorted(effects, key=lambda effect: effect.ratio)[len(effects) // 2]

    # Edits

    @property
    def moves(self) -> tuple[Move, ...]:
        """The moves of the edit, the first one at the bottom."""
        return self.state.edit.moves

    def edit(
        self,
        directions: Directions,
        strengths: Strengths,
        *,
        confine: float | None = None,
        feather: float | None = None,
        region: object = None,
        name: str = "",
    ) -> None:
        """Move the image along directions, on top of what was done before.

        Args:
            strengths: how far along which, by index or name, in steps.
            confine: in [0, 1]: 0 everywhere, 1 inside the region only; None as the directions were found.
            feather: softens a confined move's edge; for None `CONFINED_FEATHER`, but nothing more where the
                directions were found for confined edits: their region is soft already.
            region: confine the move to this one, by any means, instead of the directions' own.
            name: for people; that of the region for "".

        Raises:
            LatentError: the directions don't fit, or can't be confined.
            ParameterError: no such direction, a number out of range, or too many moves.
        """
        made = self._move(directions, strengths, confine, feather, region, name)
        if not made.strengths:
            return
        with self._lock:
            state = self.state
            self._push(Edited(state.original, state.edit.add(made)))

    def adjust(
        self,
        directions: Directions,
        strengths: Strengths,
        *,
        confine: float | None = None,
        feather: float | None = None,
        name: str = "",
    ) -> bool:
        """Set the strengths of the move on top, if it is along these directions, else make one: what sliders
        do. A move without strengths is taken away. Returns whether that changed anything.

        Raises:
            LatentError, ParameterError: as for `edit`.
        """
        made = self._move(directions, strengths, confine, feather, None, name)
        with self._lock:
            state = self.state
            on_top = self._is_on_top(directions)
            if not on_top and not made.strengths:
                return False
            if on_top:
                top = state.edit[-1]
                kept = (top.strengths, top.confine, top.feather)
                if kept == (made.strengths, made.confine, made.feather):
                    return False
            below = state.edit.remove(-1) if on_top else state.edit
            self._push(Edited(state.original, below.add(made) if made.strengths else below))
            return True

    def _move(
        self,
        directions: Directions,
        strengths: Strengths,
        confine: float | None,
        feather: float | None,
        region: object,
        name: str,
    ) -> Move:
        if region is not None:
            directions = replace(directions, region=self.region(region), steps_confined=None)
        confine, feather = confinement(directions, confine, feather)
        fitting = self.prepared(directions, confine, feather)
        own = "" if fitting.region is None else fitting.region.name
        return Move(fitting, strengths, confine, feather, name or own)

    def _is_on_top(self, directions: Directions) -> bool:
        edit = self.state.edit
        if not edit.moves:
            return False
        top = edit[-1].directions.vectors
        return top is directions.vectors or (
            top.shape == directions.vectors.shape and torch.equal(top, directions.vectors)
        )

    def below(self, directions: Directions) -> Latent:
        """The latent as it is edited, but for a move along these directions on top: where their sliders
        start."""
        state = self.state
        if not self._is_on_top(directions):
            return self.latent
        return state.edit.remove(-1).apply(state.original)

    def moves_below(self, directions: Directions | None) -> tuple[Move, ...]:
        """The moves of the edit, but for one along these directions on top."""
        on_top = directions is not None and self._is_on_top(directions)
        return self.moves[:-1] if on_top else self.moves

    def preview(
        self,
        directions: Directions,
        strengths: Strengths,
        *,
        confine: float | None = None,
        feather: float | None = None,
    ) -> Tensor:
        """The image as `adjust` would have it, `(3, H, W)` in about [-1, 1], with nothing changed."""
        latent = self.below(directions)[:1]
        confine, feather = confinement(directions, confine, feather)
        if strengths:
            fitting = self.prepared(directions, confine, feather)
            latent = move(latent, fitting, strengths, confine, feather)
        return self.generator.synthesize(latent)[0]

    def possible_confinement(
        self, directions: Directions | None, confine: float, feather: float
    ) -> tuple[float, float]:
        """How far edits along directions are confined, and how softly, where that is wanted this much:
        those that were found for confined edits always are, as softly as the region that they were found
        for, and some can't be."""
        if directions is None:
            return 0.0, 0.0
        if directions.confined:
            return 1.0, 0.0
        can = self.generator.can_confine and directions.region is not None
        return (confine, feather) if confine and can else (0.0, 0.0)

    def strengths(self, directions: Directions) -> dict[int, float]:
        """How far the move on top goes along these directions, by index: where their sliders are."""
        return dict(self.state.edit[-1].amounts()) if self._is_on_top(directions) else {}

    def remove(self, index: int = -1) -> None:
        """Take one of the moves away, in the middle too; those above it stay.

        Raises:
            ParameterError: there is none.
        """
        with self._lock:
            state = self.state
            self._push(Edited(state.original, state.edit.remove(index)))

    def clear(self) -> None:
        """Take all moves away."""
        with self._lock:
            if self.moves:
                self._push(Edited(self.original))

    def undo(self) -> bool:
        """Take the last change back, of the edit or of the image; returns whether there was one."""
        with self._lock:
            could = self._history.can_undo
            self._history = self._history.undo()
            return could

    def redo(self) -> bool:
        """Do again what was taken back; returns whether there was anything."""
        with self._lock:
            could = self._history.can_redo
            self._history = self._history.redo()
            return could

    @property
    def can_undo(self) -> bool:
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        return self._history.can_redo

    def _push(self, state: Edited) -> None:
        with self._lock:
            self._history = self._history.push(state)

    def carry(
        self, seeds: Iterable[int] | int = SAMPLES_TO_SHARE, *, progress: Progress | None = None
    ) -> Iterator[Carried]:
        """Other images, drawn as this one was, with the same edit, one after the other.

        Args:
            seeds: of the images; or how many, with the seeds that follow this image's.
        """
        generator, state = self.generator, self.state
        chosen = further_seeds([state.original], seeds) if isinstance(seeds, int) else list(seeds)
        for seed in counted(chosen, len(chosen), progress):
            latent = state.edit.apply(like(generator, state.original, seed))
            yield Carried(latent, generator.synthesize(latent)[0])

    def film(self, frames: int = 9, *, progress: Progress | None = None) -> Iterator[Tensor]:
        """The images on the way from the one before all edits to the edited one, `(3, H, W)` each, in equal
        steps of all strengths.

        Args:
            frames: how many images, both ends among them, from 2 to 240.

        Raises:
            ParameterError: that is out of range.
        """
        count = whole(frames, "frames", 2, 240)
        generator, state = self.generator, self.state
        for index in counted(range(count), count, progress):
            latent = state.edit.scaled(index / (count - 1)).apply(state.original[:1])
            yield generator.synthesize(latent)[0]

    # Files

    def finished(
        self,
        directions: Directions | None = None,
        *,
        title: str = "",
        author: str = "",
        description: str = "",
        license: str = "",
        thumbnail: Image.Image | None = None,
        progress: Progress | None = None,
    ) -> Directions:
        """Directions with all that their file should say: names, a title, the steps of confined edits, a
        picture.

        Args:
            directions: the last ones found for None.
            title, author, description, license: for people; what the set says already for "".
            thumbnail: what the first direction does for None.
        """
        chosen = self.directions if directions is None else directions
        if chosen is None:
            raise ParameterError("there are no directions yet: find some first")
        generator, latent = self.generator, self.original[:1]
        if generator.can_confine and chosen.steps_confined is None and chosen.region is not None:
            chosen = with_confined_steps(generator, latent, chosen, progress=progress)
        if chosen.names == tuple(f"direction {i}" for i in range(len(chosen))) and chosen.region is not None:
            label = about.label_of(chosen)
            chosen = chosen.renamed({i: f"{label} {i}" for i in range(len(chosen))})
        if thumbnail is None:
            images = sweep(generator, latent, chosen[:1], _THUMBNAIL_STRENGTHS)[0]
            thumbnail = to_pil(torch.cat(list(images), dim=2))
        return replace(
            chosen,
            title=title or chosen.title or about.title_of(chosen, generator),
            author=author or chosen.author,
            description=description or chosen.description,
            license=license or chosen.license,
            thumbnail=encode_thumbnail(thumbnail),
        )

    def save(
        self,
        path: str | PathLike[str],
        directions: Directions | None = None,
        *,
        overwrite: bool = False,
        **texts: str,
    ) -> Directions:
        """Write a direction file; returns what is in it.

        Args:
            directions: the last ones found for None.
            texts: `title`, `author`, `description`, `license`, as for `finished`.

        Raises:
            DirectionFileError: the file exists and `overwrite` is false, or it can't be written.
        """
        chosen = self.finished(directions, **texts)  # type: ignore[arg-type]
        chosen.save(path, overwrite)
        return chosen

    def save_picture(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the image as it is edited as a PNG that carries its latent and the edit; see `Edited.load`.

        Raises:
            ReSeFaError: the file exists and `overwrite` is false, or it can't be written.
        """
        save_png(self.cut_out, path, overwrite, {PNG_KEY: self.latent[:1].to_text()})

    def save_film(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the way from the image before all edits to the edited one, and back, as an animated WEBP.

        Raises:
            ReSeFaError: the file exists and `overwrite` is false, or it can't be written.
        """
        save_film([to_pil(image) for image in self.film()], path, overwrite)

    def to_json(self, embed: bool = False, history: bool = True) -> dict[str, Any]:
        """The session as JSON, from which `from_json` makes it again: the image, the edit, what can be undone
        and redone, the selected region and the directions.

        Args:
            embed: write vectors; otherwise directions are told by how they were found, where that is known.
            history: write what can be undone and redone, the latest 40 states of it.

        Raises:
            LatentError, DirectionFileError: something in it is too large.
        """
        return write_state(
            self.generator, State(self._history, self.selected, self.directions), embed, history
        )

    @staticmethod
    def from_json(
        data: object,
        generator: Generator | Resolve,
        *,
        cache: JacobianCache | None = None,
        progress: Progress | None = None,
    ) -> Session:
        """Undo `to_json`; the data may come from a stranger.

        Args:
            generator: the one that it was of.
            progress: of finding directions again, from the start for each set.

        Raises:
            ParameterError: the data are no session.
            LatentError: they are of another generator, or hold a damaged latent.
            RegionError, DirectionFileError: a part of it is damaged.
        """
        session = Session(generator, cache=cache)
        state = read_state(session.generator, data, lambda recipe: session.find_again(recipe, progress))
        if state.selected is not None:
            session.select(state.selected)
        session.directions = state.directions
        session._history = state.history
        return session

    def to_text(self, history: bool = False) -> str:
        """The session as text for a link: letters, digits, `-` and `_`; without what can be undone, unless
        asked for. `from_text` reads it.

        Raises:
            LatentError, DirectionFileError: something in it is too large.
        """
        return pack(self.to_json(history=history))

    @staticmethod
    def from_text(
        text: str,
        generator: Generator | Resolve,
        *,
        cache: JacobianCache | None = None,
        progress: Progress | None = None,
    ) -> Session:
        """Undo `to_text`; see `from_json`. Who does not know the generator yet finds what is told of it in
        `unpack(text)["generator"]`.

        Raises:
            ParameterError: the text is damaged, or too long. Further errors as for `from_json`.
        """
        return Session.from_json(unpack(text), generator, cache=cache, progress=progress)


def _draw_all(generator: Generator, latents: Sequence[Latent]) -> list[Tensor]:
    """The images of latents that differ in codes alone, at once; of confined edits one by one."""
    if not latents:
        return []
    if any(latent.confined for latent in latents):
        return [generator.synthesize(latent)[0] for latent in latents]
    return list(generator.synthesize(stack(latents)))
