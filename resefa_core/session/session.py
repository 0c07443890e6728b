"""The recipe: set an image once, then find, show, make, carry over, measure and save edits of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import torch
from PIL import Image

from ..analysis import Jacobian, JacobianCache, KindChoice
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
from ..errors import ParameterError, PhotoError, RegionError
from ..evaluation.image_text import Namer
from ..generators.base import Generator
from ..inversion import mark_of
from ..latents import PNG_KEY, Latent
from ..latents.editing import confinement, draw_all, move, sweep, with_confined_steps
from ..latents.edits import Edited
from ..latents.reach import within_reach
from ..latents.samples import check_samples, like
from ..methods import check_method
from ..parts import PartFinder, Parts
from ..progress import Progress, counted, stage
from ..regions import Region
from ..sheets import save_film, save_png, to_pil
from ..solve import adapt
from ..spaces import SPACES, quick_space
from .choosing import worth_offering
from .finding import OURS, find_again, follow, method_for, widened
from .image import Resolve
from .photos import PhotoSession
from .saved import State, pack, read_state, unpack, write_state
from .strips import Strip

_KEPT_BYTES = 1 << 30
_THUMBNAIL_STRENGTHS = (-3.0, 0.0, 3.0)


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


class Session(PhotoSession):
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
        namer: says what directions change, e.g. `ImageText`; what is measured of the change for None.

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
        namer: Namer | None = None,
    ) -> None:
        super().__init__(
            generator,
            seed,
            latent=latent,
            truncation=truncation,
            label=label,
            truncation_layers=truncation_layers,
        )
        self.cache = JacobianCache(_KEPT_BYTES) if cache is None else cache
        self.parts = parts
        self.namer = namer
        self._finder = PartFinder(self.cache)
        self._measured = []
        self._photos = []
        self.directions: Directions | None = None
        self.selected = None

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
            kind=kind,
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
        kind: KindChoice = "auto",
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
                more for directions that hold on others, too. A part is each image's own; images without it
                are passed over.
            confine: of the edits to come, in [0, 1].
            feather: softens the region; for None as `feather_for` says: sharp, soft for confined edits.
            colour: whether a change of the region's mean colour counts, as for lipstick or dyed hair; as the
                method has it for None, which is not at all for ours. Where `only_good`, changes of colour
                come first for True, last for None, and not for False.
            parameters: of the method.
            quick: in a space that is analysed in a moment, where the method has it.
            only_good: of our methods, return those that are worth offering, the nearest first, named by what
                they change, with the range in which they stay within reach; see `worth_offering`.
            kind: whether Jacobians are formed; by sizes for `auto`, the same everywhere.
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
        elif asked.get("colour"):
            colour = True
        known = check_method(key, generator, space, asked)
        spaces = known.spaces_of(generator)
        if space is None and quick and quick_space(generator) in spaces:
            space = quick_space(generator)
        moved = generator.choose_layers(layers) if isinstance(layers, str) else generator.check_layers(layers)
        given = [self.original[index] for index in range(len(self.original))]
        total = max(check_samples(samples), len(given))
        recipe = Recipe(
            generator=generator.fingerprint,
            points=tuple(Point.of(latent, generator) for latent in given),
            region=chosen.feather(feather),
            method=key,
            space=space or spaces[0],
            layers=moved,
            count=count,
            samples=total,
            parameters=known.check_parameters(asked, total),
            kind=kind if jacobian is None else jacobian.kind,
            own_parts=self._own_parts(chosen, joint=total > 1),
        )
        found = follow(
            generator,
            recipe,
            given,
            self.cache,
            parts=self.parts,
            jacobian=jacobian,
            progress=progress,
        )
        self.directions = self._offered(found, only_good and key in (OURS, CONFINED), colour)
        return self.directions

    def _offered(self, found: Directions, only_good: bool, colour: bool | None = None) -> Directions:
        """Directions as they were found, or those worth offering, with the range in which they stay within
        reach."""
        if not only_good:
            return found
        generator = self.generator
        self._forget_trials()
        chosen = worth_offering(generator, self.original[:1], found, self._draw_trials, colour, self.namer)
        return within_reach(generator, chosen)

    def here(self, directions: Directions) -> Directions:
        """Directions that were found on other images, their region where this image has it.

        Raises:
            RegionError: the image has nothing of the part that they are for, or nothing else.
        """
        region = self._region_on(self.original[:1], directions)
        return directions if region is directions.region else replace(directions, region=region)

    def adapted(self, directions: Directions, progress: Progress | None = None) -> Directions:
        """Directions that were found on other images, adapted to this one: what they change of their region
        stays, what they leak is cancelled as well as their space can. It takes an analysis of the image,
        before its edits.

        Raises:
            LatentError: they don't fit the generator.
            ParameterError: they are for confined edits.
            RegionError: they have no region, or the image has nothing of it, or nothing else.
        """
        directions.check(self.generator)
        image, here = self.original[:1], self.here(directions)
        analysis = self.cache.analyse(self.generator, image, here.space, here.layers, progress=progress)
        return adapt(analysis, here)

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
            RegionError: they were found with other parts than this session's.
        """
        return find_again(self.generator, recipe, self.cache, self.parts, progress)

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
            drawn = iter(self._draw_trials(moved))
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
        self._forget_trials()

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
            wider = widened(
                recipe,
                points,
                samples=max(check_samples(samples), len(given)),
                own_parts=self._own_parts(recipe.region, joint=True),
            )
            found = follow(
                generator, wider, given, self.cache, parts=self.parts, progress=stage(progress, 0, 2)
            )
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
        """What a direction does to other images, to both sides: the median by ratio. A part is each image's
        own; images without it are passed over.

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
            try:
                region = self._region_on(latent, directions)
            except RegionError:
                continue
            here = replace(fitting, region=region)
            moved = [move(latent, here, {which: sign * strength}) for sign in (-1.0, 1.0)]
            before = generator.synthesize(latent)[0]
            effects.append(effect_of(before, draw_all(generator, moved), region))
        if not effects:
            raise RegionError("none of these images has the part that the directions are for")
        return sorted(effects, key=lambda effect: effect.ratio)[len(effects) // 2]

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
        Where it was found for a photo, its metadata say that it was made with a generative model.

        Raises:
            ReSeFaError: the file exists and `overwrite` is false, or it can't be written.
        """
        texts = {PNG_KEY: self.latent[:1].to_text(), **mark_of(self.original)}
        save_png(self.cut_out, path, overwrite, texts)

    def save_film(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the way from the image before all edits to the edited one, and back, as a WEBP, GIF or MP4 by
        the file's name; see `sheets.save_film`. Where it was found for a photo, its metadata say
        that it was made with a generative model.

        Raises:
            ReSeFaError: the file exists and `overwrite` is false, or it can't be written.
        """
        frames = [to_pil(image) for image in self.film()]
        save_film(frames, path, overwrite, texts=mark_of(self.original))

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
            PhotoError: it is of a photo, whose latent tells what it shows: that goes into no link.
            LatentError, DirectionFileError: something in it is too large.
        """
        states = self._history.states if history else (self.state,)
        if any(each.original.crop is not None for each in states):
            raise PhotoError("this is an edit of a photo, which no link tells: save the latent as a file")
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
