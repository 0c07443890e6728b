"""Ways of finding directions, ours and others', behind one call: `find_directions`.

Each is registered where it is written; `register_method` takes those of other packages too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..analysis import Jacobian, analysis_size
from ..defaults import NUM_DIRECTIONS
from ..directions import Directions
from ..errors import LatentError, ParameterError
from ..generators.base import Generator
from ..latents import Latent
from ..progress import Progress
from ..regions import Region
from ..spaces import SPACES, in_order
from .base import (
    METHODS,
    Analyse,
    Method,
    Parameter,
    Place,
    Request,
    check_count,
    measured,
    ranked,
    register_method,
)

# isort: off
from . import regional, published, sefa, ganspace, low_rank, stylespace  # noqa: F401 - as interfaces list them
# isort: on

__all__ = [
    "METHODS",
    "Method",
    "Parameter",
    "Place",
    "Request",
    "check_count",
    "check_method",
    "find_directions",
    "measured",
    "ranked",
    "register_method",
]


def find_directions(
    generator: Generator,
    latents: Latent | Sequence[Latent],
    region: Region,
    method: str = "resefa",
    *,
    num_directions: int = NUM_DIRECTIONS,
    space: str | None = None,
    layers: Sequence[int] | None = None,
    parameters: Mapping[str, float] | None = None,
    jacobians: Analyse | None = None,
    place: Place | None = None,
    on_analysis: Callable[[Jacobian], None] | None = None,
    progress: Progress | None = None,
) -> Directions:
    """Directions that change a region, found by one of `METHODS`.

    Whatever the method computed, `inside`, `outside`, `steps` and `eigenvalues` say what its directions
    change at the given latents, to first order, so that they can be compared, and a strength is the same
    visible change for all.

    Args:
        generator: on any device.
        latents: one or several; methods that analyse images solve for all of them together, the others
            measure on them.
        region: where to change the image. Methods that don't use it (`uses_region`) return those of their
            own directions that are most local to it.
        method: a key of `METHODS`.
        num_directions: k, in [1, 512]; fewer are returned where fewer exist.
        space: where they are to live; the method's own default for None.
        layers: the layers that they move; all for None.
        parameters: by name, those of the method; its defaults for what is not given.
        jacobians: gives the analysis of a latent in a space on these layers, for example from a cache, to
            methods that take one (`uses_analyses`); by default `compute_jacobian`.
        place: gives the region on the image of a latent, such as a part that each has in its own place; by
            default it is where `region` is on all of them.
        on_analysis: called with each analysis before it is used, those of confined edits among them.
        progress: called with (done, total); the work stops if it raises.

    Raises:
        ParameterError: unknown method or parameter, a number out of range, or the method isn't defined for
            this generator or space.
        LatentError: latents, space or layers that do not fit the generator.
        RegionError: the image does not respond inside the region, or nothing is left outside.
    """
    chosen = check_method(method, generator, space, parameters)
    check_count(num_directions)
    images = _single(generator, latents)
    layers_moved = generator.check_layers(layers)
    region.mask(*analysis_size(generator))
    request = Request(
        generator=generator,
        latents=images,
        region=region,
        num_directions=num_directions,
        space=space or chosen.spaces_of(generator)[0],
        layers=layers_moved,
        parameters=chosen.check_parameters(parameters, len(images)),
        analyse=jacobians,
        place=place,
        on_analysis=on_analysis,
        progress=progress,
    )
    return replace(chosen.find(request), method=chosen.key)


def check_method(
    method: str,
    generator: Generator | None = None,
    space: str | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Method:
    """The method of a key.

    Args:
        generator: what it must be defined for, if given.
        space: what it must be defined in, if given.
        parameters: what it must take.

    Raises:
        ParameterError: it is unknown, or isn't defined for the generator or in the space, or doesn't take
            the parameters.
        LatentError: the generator has no such space.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ParameterError(f"method {str(method)[:40]!r} is unknown: expected one of {', '.join(METHODS)}")
    chosen = METHODS[method]
    chosen.check_parameters(parameters)
    if generator is not None:
        reason = chosen.unavailable(generator)
        if reason:
            raise ParameterError(f"{chosen.title} can't be used here: {reason}")
        if space is not None and space not in generator.spaces:
            raise LatentError(
                f"this {generator.architecture} has no space {str(space)[:40]!r}: expected one of "
                f"{', '.join(generator.spaces)}"
            )
    known = in_order(chosen.spaces, SPACES) if generator is None else chosen.spaces_of(generator)
    if space is not None and space not in known:
        raise ParameterError(
            f"{chosen.title} isn't defined in the space {str(space)[:40]}: expected {' or '.join(known)}"
        )
    return chosen


def _single(generator: Generator, latents: Latent | Sequence[Latent]) -> tuple[Latent, ...]:
    batches = [latents] if isinstance(latents, Latent) else list(latents)
    for batch in batches:
        generator.check_latent(batch)
    images = tuple(batch[index] for batch in batches for index in range(len(batch)))
    if not images:
        raise LatentError("no latents were given")
    return images
