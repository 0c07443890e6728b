"""Region-based semantic factorization: ours, in any space, and the form of the paper."""

from __future__ import annotations

from dataclasses import replace

from ..analysis import analysis_size
from ..directions import CONFINED, Directions
from ..directions.objective import PAPER, Objective
from ..generators import Generator
from ..progress import stage
from ..solve import REGULARIZATION, factorize, pixels_of, steps_of
from ..spaces import LAYERED_FIRST, ONE_VECTOR, ONE_VECTOR_FIRST
from .base import Parameter, Request, energies, register_method

_CITATION = "Zhu, Shen, Xu, Zhao and Chen: Region-Based Semantic Factorization in GANs. ICML 2022"
_REGULARIZATION = Parameter(
    name="regularization",
    default=REGULARIZATION,
    minimum=0.0,
    maximum=1e3,
    help="what is added to B, in traces of B: higher values favour larger changes inside at the price of "
    "more outside",
    published="1e-3 in the paper",
    joint=1e-4,
    earlier=1e-4,
)
_COLOUR = Parameter(
    name="colour",
    default=0,
    minimum=0,
    maximum=1,
    help="1: a change of the region's mean colour counts as a change inside, for lipstick or dyed hair; 0: "
    "only what goes beyond it, for shapes",
    published="it counts (1)",
    whole=True,
    earlier=1,
)
_EDGE = Parameter(
    name="edge",
    default=0,
    minimum=0,
    maximum=1,
    help="1: jumps of the change across the region's edge count as changes outside",
    published="they don't count (0)",
    whole=True,
    earlier=0,
)


def _refuses_to_confine(generator: Generator) -> str:
    return "" if generator.can_confine else "its edits can't be confined to a region"


@register_method(
    key="resefa",
    title="ReSeFa",
    citation=_CITATION,
    summary="Directions that change the region most for what they change outside, in layered spaces by "
    "default.",
    spaces=LAYERED_FIRST,
    uses_region=True,
    uses_analyses=True,
    parameters=(_REGULARIZATION, _COLOUR, _EDGE),
)
def find(request: Request) -> Directions:
    """Maximise nᵀA n / nᵀ(B + aI) n, over all latents together (Eq. 7, 10, 11), A without the region's mean
    colour unless that is to count. Of several images B holds directions back by itself, as leaks differ from
    image to image, so that less λ is more local on other images, too."""
    asked = request.parameters
    return _solved(request, Objective(colour=bool(asked["colour"]), edge=bool(asked["edge"])))


def _solved(request: Request, objective: Objective) -> Directions:
    jacobians = list(request.analyses(stage(request.progress, 0, 2)))
    solving = stage(request.progress, 1, 2)
    directions = factorize(
        jacobians,
        request.regions,
        request.num_directions,
        request.parameters["regularization"],
        objective=objective,
        progress=solving,
    )
    if solving is not None:
        solving(1, 1)
    return directions


@register_method(
    key=CONFINED,
    title="ReSeFa for confined edits",
    citation=f"{_CITATION}; confined edits are this project's",
    summary="For edits that are confined to the region: by far the most local, and analysed anew for each "
    "region.",
    spaces=ONE_VECTOR_FIRST,
    uses_region=True,
    refuses=_refuses_to_confine,
    parameters=(replace(_REGULARIZATION, default=1e-2, joint=None), _COLOUR, replace(_EDGE, default=1)),
)
def find_confined(request: Request) -> Directions:
    """The same for edits that are confined to the region: J is the derivative with respect to a code that
    moves inside the region only, softly where the region is soft. Its directions cancel what such edits leak,
    and nothing else; they end at the region's edge without a jump. The steps of unconfined edits are measured
    besides."""
    found = find(replace(request, confined=True, progress=stage(request.progress, 0, 2)))
    inside, _ = energies(request, found.vectors.flatten(1), stage(request.progress, 1, 2))
    inside_pixels, _ = pixels_of(request.regions, *analysis_size(request.generator))
    return replace(found, steps=steps_of(inside / inside_pixels).float())


@register_method(
    key="paper",
    title="ReSeFa, as in the paper",
    citation=_CITATION,
    summary="The same quotient as the paper has it: one vector for all layers.",
    spaces=ONE_VECTOR,
    one_space=True,
    uses_region=True,
    uses_analyses=True,
    parameters=(replace(_REGULARIZATION, default=1e-3, joint=None, earlier=1e-3),),
)
def find_as_in_paper(request: Request) -> Directions:
    """The quotient of Eq. 7 and 10, in the one space that the paper has."""
    return _solved(request, PAPER)
