"""From a recipe to directions: the images to solve together, their analyses, and the method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..analysis import Jacobian, JacobianCache, analysis_size, budget_of_each
from ..bounds import CONFINE, number
from ..directions import CONFINED, Directions
from ..directions.recipes import Point, Recipe
from ..errors import JacobianError, LatentError, ParameterError, RegionError
from ..generators.base import Generator
from ..latents import Latent
from ..latents.reach import within_reach
from ..latents.samples import further_seeds, joint_samples, like
from ..methods import Place, check_method, find_directions
from ..parts import PartFinder, Parts
from ..progress import Progress, stage
from ..regions import Region

OURS = "resefa"
"""The method that is used where nobody chose one."""

_TRIES = 4
"""How many times as many images as are wanted are looked at for a part that not all have."""


def method_for(method: str | None, confine: float) -> str:
    """The key of the method that is meant: ours for None, or ours for confined edits if they are to be.

    Raises:
        ParameterError: confined edits, and a method that isn't for them.
    """
    number(confine, "confine", *CONFINE)
    if not confine:
        return OURS if method is None else method
    if method not in (None, CONFINED):
        raise ParameterError(
            f"directions for confined edits are those of {CONFINED}: "
            f"confine can't be combined with the method {method}"
        )
    return CONFINED


def follow(
    generator: Generator,
    recipe: Recipe,
    given: Sequence[Latent],
    cache: JacobianCache,
    *,
    parts: Parts | None = None,
    jacobian: Jacobian | None = None,
    progress: Progress | None = None,
) -> Directions:
    """All the directions that a recipe leads to.

    Args:
        given: the latents of the recipe's points, batches of one.
        cache: of the analyses.
        parts: of the generator, whose names its region may have; those that come with it for None.
        jacobian: the analysis of the first images, where there is one already.
        progress: called with (done, total); the work stops if it raises.

    Raises:
        JacobianError: an analysis is given or asked for, and the method uses none; or it is of something
            else.
        ParameterError, LatentError, RegionError: as for `find_directions`.
    """
    place: Place | None = None
    if recipe.own_parts is None:
        latents = joint_samples(generator, given, recipe.samples)
    else:
        place = _Places(generator, recipe, given[0], cache, parts)
        latents = place.images(given, stage(progress, 0, 2))
        progress = stage(progress, 1, 2)
    kept: dict[str, Jacobian] = {}
    stages = 1
    if check_method(recipe.method, generator).uses_analyses:
        stages = len(latents) + 1
        for index, latent in enumerate(latents):
            made = jacobian[index] if jacobian is not None and index < len(jacobian) else None
            if made is None:
                made = cache.analyse(
                    generator,
                    latent,
                    recipe.space,
                    recipe.layers,
                    kind=recipe.kind,
                    memory_budget=budget_of_each(len(latents)),
                    progress=stage(progress, index, stages),
                )
            kept[latent.digest] = made
    elif jacobian is not None or recipe.kind != "auto":
        raise JacobianError(f"the method {recipe.method} uses no analysis of the image")
    directions = find_directions(
        generator,
        latents,
        recipe.region,
        recipe.method,
        num_directions=recipe.count,
        space=recipe.space,
        layers=recipe.layers,
        parameters=recipe.parameters,
        jacobians=(lambda latent, _: kept[latent.digest]) if kept else None,
        place=place,
        progress=stage(progress, stages - 1, stages),
    )
    return replace(directions, recipe=recipe)


class _Places:
    """Where a recipe's region is on each image, each found once.

    Args:
        first: the image that the region was chosen on.

    Raises:
        RegionError: the recipe's names are those of other parts than the given ones.
    """

    def __init__(
        self, generator: Generator, recipe: Recipe, first: Latent, cache: JacobianCache, parts: Parts | None
    ) -> None:
        if recipe.own_parts and PartFinder.known(generator, parts).digest != recipe.own_parts:
            raise RegionError(
                "these directions were found with other parts of the generator: give the parts that were "
                "used then"
            )
        self._generator, self._recipe, self._first, self._parts = generator, recipe, first, parts
        self._finder = PartFinder(cache)
        self._known = {first.digest: recipe.region}

    def __call__(self, latent: Latent) -> Region:
        """The region on the image of a latent.

        Raises:
            RegionError: it has nothing of a part, or nothing else.
        """
        if latent.digest not in self._known:
            region = self._finder.follow(
                self._generator, latent, self._recipe.region, self._parts, self._first
            )
            region.mask(*analysis_size(self._generator))
            self._known[latent.digest] = region
        return self._known[latent.digest]

    def images(self, given: Sequence[Latent], progress: Progress | None) -> list[Latent]:
        """As many images that have the region as the recipe asks for, the given ones first, or those there
        are among a few times as many.

        Raises:
            RegionError: several were asked for, and only the first has it.
        """
        total = self._recipe.samples
        found = [given[0]]
        others = iter((*given[1:], *_further(self._generator, given, _TRIES * total)))
        while len(found) < total and (latent := next(others, None)) is not None:
            if progress is not None:
                progress(len(found), total)
            try:
                self(latent)
            except RegionError:
                continue
            found.append(latent)
        if len(found) == 1 < total:
            raise RegionError(
                f"no other image has {self._recipe.region.words}: find directions for this one alone"
            )
        return found


def _further(generator: Generator, given: Sequence[Latent], count: int) -> Iterator[Latent]:
    """The samples that follow some latents, drawn as the first was."""
    return (like(generator, given[0], seed) for seed in further_seeds(given, count))


def completed(recipe: Recipe) -> Recipe:
    """A recipe with every parameter of its method, those of an earlier version with what they meant then."""
    if recipe.complete:
        return recipe
    parameters = check_method(recipe.method).earlier_parameters(recipe.parameters)
    return replace(recipe, parameters=parameters, complete=True)


def widened(recipe: Recipe, points: tuple[Point, ...], samples: int, own_parts: str | None) -> Recipe:
    """A recipe for so many images, the given ones first: what it left to its method is as the method has it
    for so many."""
    recipe = completed(recipe)
    parameters = check_method(recipe.method).widened(recipe.parameters, recipe.samples, samples)
    return replace(
        recipe, points=points, samples=samples, parameters=parameters, chosen=None, own_parts=own_parts
    )


def find_again(
    generator: Generator,
    recipe: Recipe,
    cache: JacobianCache,
    parts: Parts | None = None,
    progress: Progress | None = None,
) -> Directions:
    """The directions that a recipe stands for.

    Raises:
        LatentError: they were found with another generator.
        RegionError: they were found with other parts.
    """
    if recipe.generator != generator.fingerprint:
        raise LatentError(
            f"these directions were found with another generator than {generator.name}: "
            f"one of fingerprint {recipe.generator[:12]}"
        )
    given = [point.latent(generator) for point in recipe.points]
    recipe = completed(recipe)
    found = follow(generator, replace(recipe, chosen=None), given, cache, parts=parts, progress=progress)
    if recipe.chosen is None:
        return found
    if max(recipe.chosen, default=0) >= len(found):
        raise ParameterError(
            f"{len(found)} directions were found: expected at least {max(recipe.chosen) + 1}"
        )
    return within_reach(generator, found[list(recipe.chosen)])
