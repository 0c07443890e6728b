"""From a recipe to directions: the images to solve together, their analyses, and the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..analysis import Jacobian, JacobianCache, budget_of_each
from ..bounds import CONFINE, number
from ..directions import CONFINED, Directions
from ..directions.recipes import Recipe
from ..errors import JacobianError, LatentError, ParameterError
from ..generators.base import Generator
from ..latents import Latent
from ..latents.reach import within_reach
from ..latents.samples import joint_samples
from ..methods import check_method, find_directions
from ..progress import Progress, stage

OURS = "resefa"
"""The method that is used where nobody chose one."""


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
    jacobian: Jacobian | None = None,
    progress: Progress | None = None,
) -> Directions:
    """All the directions that a recipe leads to.

    Args:
        given: the latents of the recipe's points, batches of one.
        cache: of the analyses.
        jacobian: the analysis of the first image, where there is one already.
        progress: called with (done, total); the work stops if it raises.

    Raises:
        JacobianError: an analysis is given or asked for, and the method uses none; or it is of something
            else.
        ParameterError, LatentError, RegionError: as for `find_directions`.
    """
    latents = joint_samples(generator, given, recipe.samples)
    kept: dict[str, Jacobian] = {}
    stages = 1
    if check_method(recipe.method, generator).uses_analyses:
        stages = len(latents) + 1
        for index, latent in enumerate(latents):
            made = jacobian if index == 0 else None
            if made is None:
                made = cache.analyse(
                    generator,
                    latent,
                    recipe.space,
                    recipe.layers,
                    method=recipe.kind,
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
        progress=stage(progress, stages - 1, stages),
    )
    return replace(directions, recipe=recipe)


def find_again(
    generator: Generator, recipe: Recipe, cache: JacobianCache, progress: Progress | None = None
) -> Directions:
    """The directions that a recipe stands for.

    Raises:
        LatentError: they were found with another generator.
    """
    if recipe.generator != generator.fingerprint:
        raise LatentError(
            f"these directions were found with another generator than {generator.name}: "
            f"one of fingerprint {recipe.generator[:12]}"
        )
    given = [point.latent(generator) for point in recipe.points]
    if not recipe.complete:
        parameters = check_method(recipe.method).earlier_parameters(recipe.parameters)
        recipe = replace(recipe, parameters=parameters, complete=True)
    found = follow(generator, replace(recipe, chosen=None), given, cache, progress=progress)
    if recipe.chosen is None:
        return found
    if max(recipe.chosen, default=0) >= len(found):
        raise ParameterError(
            f"{len(found)} directions were found: expected at least {max(recipe.chosen) + 1}"
        )
    return within_reach(generator, found[list(recipe.chosen)])
