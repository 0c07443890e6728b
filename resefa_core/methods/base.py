"""What all methods share: what they are asked, what they answer, and how their directions are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..analysis import (
    Jacobian,
    KindChoice,
    analysis_size,
    applied,
    budget_of_each,
    chosen_kind,
    compute_jacobian,
)
from ..bounds import shown, whole
from ..defaults import MAX_DIRECTIONS
from ..directions import METHOD_NAME, Directions
from ..errors import JacobianError, ParameterError, RegionError
from ..generators.base import Generator
from ..latents import Latent
from ..precision import analysis_mode, wide
from ..progress import Progress, stage
from ..regions import Region
from ..solve import pixels_of, signs, steps_of
from ..spaces import channel_sizes, in_order, vector_shape

Analyse = Callable[[Latent, str], Jacobian]
"""How to get the analysis of a latent in a space, on the layers that were asked for."""

Place = Callable[[Latent], Region]
"""Where the region is on the image of a latent."""

_BLOCK = 32
_NEGLIGIBLE = 1e-9
_NO_CHANGE_OUTSIDE = 1e-12


@dataclass(frozen=True)
class Parameter:
    """A number that a method takes.

    Attributes:
        name: as it is given.
        default: ours.
        minimum, maximum: the range, ends included.
        help: what it does, in a sentence.
        published: the default of the authors' code or paper, in words where it is no number.
        whole: whether it is a whole number.
        joint: the default where several images are solved together; None for the same.
        earlier: what it was in recipes that don't say it, where another default came since, or where there
            was no such parameter; None for the default.
    """

    name: str
    default: float
    minimum: float
    maximum: float
    help: str
    published: str
    whole: bool = False
    joint: float | None = None
    earlier: float | None = None

    def default_for(self, images: int) -> float:
        """The default where so many images are solved together."""
        return float(self.default if images == 1 or self.joint is None else self.joint)

    def check(self, value: object) -> float:
        """The value as a number.

        Raises:
            ParameterError: no number, or out of range.
        """
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and self.minimum <= value <= self.maximum
            and (not self.whole or value % 1 == 0)
        ):
            return float(value)
        kind = "a whole number" if self.whole else "a number"
        raise ParameterError(
            f"{self.name} {shown(value)} is out of range: expected {kind} "
            f"from {self.minimum:g} to {self.maximum:g}"
        )


@dataclass(frozen=True)
class Request:
    """What a method is asked for; all of it was checked.

    Attributes:
        latents: batches of one.
        space, layers: where the directions are to live, and the layers that they move.
        parameters: a value for each of the method's parameters.
        analyse: gives the analysis of a latent in a space, or None: compute it.
        confined: whether the edits to come are confined to the region.
        place: gives the region on the image of a latent, or None: it is the same on all.
        on_analysis: called with each analysis before it is used.
    """

    generator: Generator
    latents: tuple[Latent, ...]
    region: Region
    num_directions: int
    space: str
    layers: tuple[int, ...]
    parameters: Mapping[str, float]
    analyse: Analyse | None = None
    progress: Progress | None = None
    confined: bool = False
    place: Place | None = None
    on_analysis: Callable[[Jacobian], None] | None = None

    def region_on(self, latent: Latent) -> Region:
        """The region on the image of a latent."""
        return self.region if self.place is None else self.place(latent)

    @property
    def regions(self) -> list[Region]:
        """The region on the image of each of the latents."""
        return [self.region_on(latent) for latent in self.latents]

    def analyses(
        self,
        progress: Progress | None,
        latents: Sequence[Latent] | None = None,
        kind: KindChoice = "auto",
    ) -> Iterator[Jacobian]:
        """The Jacobian of every latent, in the request's space and on its layers; dense or matrix-free as
        asked for, unless `analyse` gives something else.

        Raises:
            JacobianError: `analyse` gave that of something else.
        """
        latents = self.latents if latents is None else latents
        budget = budget_of_each(len(latents))
        kind = chosen_kind(self.generator, self.space, self.layers, kind, budget)
        for index, latent in enumerate(latents):
            own = stage(progress, index, len(latents))
            if self.analyse is not None and not self.confined:
                jacobian = self.analyse(latent, self.space)
                self._check(jacobian)
                if own is not None:
                    own(1, 1)
            else:
                jacobian = compute_jacobian(
                    self.generator,
                    latent,
                    self.space,
                    self.layers,
                    kind=kind,
                    confine_to=self.region_on(latent) if self.confined else None,
                    progress=own,
                )
            if self.on_analysis is not None:
                self.on_analysis(jacobian)
            yield jacobian

    def _check(self, jacobian: Jacobian) -> None:
        if jacobian.described.fingerprint != self.generator.fingerprint:
            raise JacobianError(
                f"an analysis of {jacobian.described.name!r} was given, not of {self.generator.name!r}"
            )
        if (jacobian.space, jacobian.layers) != (self.space, self.layers):
            raise JacobianError(
                f"an analysis in {jacobian.space} on layers {list(jacobian.layers)} was given: expected "
                f"{self.space} on layers {list(self.layers)}"
            )


Find = Callable[[Request], Directions]
"""What a method does."""


@dataclass(frozen=True)
class Method:
    """A way of finding directions.

    Attributes:
        key: its name in code, in files and on the command line.
        title: its name for people.
        citation: authors, title, venue and year, in one line; or what it is, where it isn't published.
        summary: one plain sentence.
        spaces: the spaces that it is defined in, `OTHERS` for all further ones; the default is the first
            that a generator has.
        uses_region: whether the region decides about its directions, or about their order alone.
        find: the work.
        uses_analyses: whether it takes the analyses of the given latents, which can be kept for other
            regions.
        one_space: whether it is defined in no other space than its default.
        parameters: what it takes.
        refuses: why it isn't defined for a generator that has one of its spaces; empty where it is.
    """

    key: str
    title: str
    citation: str
    summary: str
    spaces: tuple[str, ...]
    uses_region: bool
    find: Find
    uses_analyses: bool = False
    one_space: bool = False
    parameters: tuple[Parameter, ...] = ()
    refuses: Callable[[Generator], str] = lambda generator: ""

    def spaces_of(self, generator: Generator) -> tuple[str, ...]:
        """The spaces in which it finds directions of a generator, the default first."""
        found = in_order(self.spaces, generator.spaces)
        return found[:1] if self.one_space else found

    def unavailable(self, generator: Generator) -> str:
        """Why it isn't defined for a generator; empty where it is."""
        if not self.spaces_of(generator):
            return (
                f"it needs one of the spaces {', '.join(self.spaces)}, and this {generator.architecture} has "
                f"{', '.join(generator.spaces)}"
            )
        return self.refuses(generator)

    def check_parameters(self, given: Mapping[str, object] | None, images: int = 1) -> dict[str, float]:
        """A value for each parameter: the given ones, and the defaults of the others.

        Args:
            images: how many are solved together.

        Raises:
            ParameterError: a name that it doesn't have, or a value out of range.
        """
        values = {parameter.name: parameter.default_for(images) for parameter in self.parameters}
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in (given or {}).items():
            if name not in known:
                expected = ", ".join(known) or "none"
                raise ParameterError(f"{self.key} has no parameter {str(name)[:40]!r}: expected {expected}")
            values[name] = known[name].check(value)
        return values

    def widened(self, parameters: Mapping[str, float], before: int, images: int) -> dict[str, float]:
        """Parameters for another number of images that are solved together: those that had their default for
        the number before have theirs."""
        known = self.check_parameters(parameters, before)
        return {
            each.name: each.default_for(images)
            if known[each.name] == each.default_for(before)
            else known[each.name]
            for each in self.parameters
        }

    def earlier_parameters(self, given: Mapping[str, float]) -> dict[str, float]:
        """What parameters stood for when recipes kept only those that were given."""
        earlier = {each.name: each.earlier for each in self.parameters if each.earlier is not None}
        return self.check_parameters({**earlier, **given})


METHODS: dict[str, Method] = {}
"""All methods by key, in the order in which they were registered."""


def register_method(
    key: str,
    *,
    title: str,
    citation: str,
    summary: str,
    spaces: tuple[str, ...],
    uses_region: bool,
    uses_analyses: bool = False,
    one_space: bool = False,
    parameters: tuple[Parameter, ...] = (),
    refuses: Callable[[Generator], str] = lambda generator: "",
) -> Callable[[Find], Find]:
    """Makes a method of the function below: whatever lists methods offers it from then on, and
    `find_directions` calls it.

        @register_method(
            "first",
            title="First entries",
            citation="an example",
            summary="The entries of the code, in their order.",
            spaces=("w", "z"),
            uses_region=False,
        )
        def find(request: Request) -> Directions:
            size = request.generator.latent_dim
            return measured(request, torch.eye(size)[: request.num_directions])

    Args:
        key: up to 40 of a-z, 0-9 and -, not taken yet; direction files say it.
        title, citation, summary, spaces, uses_region, uses_analyses, one_space, parameters, refuses: as for
            `Method`.

    Raises:
        ParameterError: the key is taken, or is no name.
    """
    if not METHOD_NAME.fullmatch(key):
        raise ParameterError(f"method {key[:40]!r} is no name: expected up to 40 of a-z, 0-9 and -")
    if key in METHODS:
        raise ParameterError(f"method {key!r} is there already: {METHODS[key].title}")

    def register(find: Find) -> Find:
        METHODS[key] = Method(
            key=key,
            title=title,
            citation=citation,
            summary=summary,
            spaces=spaces,
            uses_region=uses_region,
            find=find,
            uses_analyses=uses_analyses,
            one_space=one_space,
            parameters=parameters,
            refuses=refuses,
        )
        return find

    return register


def measured(request: Request, vectors: Tensor, progress: Progress | None = None) -> Directions:
    """Vectors as directions, with what they change at the request's latents, to first order.

    Each is brought to unit length and to the sign that makes its largest entry positive. `inside` and
    `outside` are means over the latents, steps medians, and `eigenvalues` the quotients of Eq. 7,
    `Σ nᵀA n / Σ nᵀB n`, without regularization. Takes one forward-mode product of each vector at each
    latent. Vectors that change nothing inside but for rounding are left out.

    Args:
        vectors: `(n, d)` or in the shape of the space, best first.

    Raises:
        RegionError: none of them changes the region.
    """
    shape = vector_shape(request.generator, request.space, request.layers)
    rows = vectors.detach().to("cpu", torch.float64).reshape(len(vectors), -1)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
    rows = (rows * signs(rows.T).T).float()
    inside, outside = energies(request, rows, progress)
    kept = inside.sum(dim=0) > _NEGLIGIBLE * (inside + outside).sum(dim=0).max()
    if not bool(kept.any()):
        raise RegionError("the image does not respond here: none of the directions changes this region")
    rows, inside, outside = rows[kept], inside[:, kept], outside[:, kept]
    inside_pixels, outside_pixels = pixels_of(request.regions, *analysis_size(request.generator))
    changes = inside / inside_pixels
    floor = _NO_CHANGE_OUTSIDE * (inside + outside).sum(dim=0)
    first = request.latents[0]
    seeds = [latent.seed for latent in request.latents]
    return Directions(
        vectors=rows.reshape(-1, *shape),
        eigenvalues=(inside.sum(dim=0) / outside.sum(dim=0).clamp_min(floor)).float(),
        inside=changes.mean(dim=0).float(),
        outside=(outside / outside_pixels).mean(dim=0).float(),
        steps=steps_of(changes).float(),
        space=request.space,
        layers=request.layers,
        layer_sizes=channel_sizes(request.generator, request.space),
        region=request.region,
        generator=request.generator.describe(),
        truncation=first.truncation,
        seeds=None if None in seeds else tuple(s for seed in seeds for s in seed or ()),
        num_samples=len(request.latents),
        base_codes=first.codes_to_tell if len(request.latents) == 1 else None,
    )


def candidates(what: str, published: str) -> Parameter:
    """The parameter that `ranked` reads."""
    return Parameter(
        name="candidates",
        default=32,
        minimum=0,
        maximum=512,
        help=f"of how many of the first {what} the most local ones are taken; 0: the first, in their own "
        "order",
        published=published,
        whole=True,
    )


def ranked(request: Request, vectors: Tensor, progress: Progress | None = None) -> Directions:
    """Of a method's first `candidates` vectors those that change a pixel inside most for what they change
    outside; with 0 candidates the first, in the order in which they are given."""
    count, considered = request.num_directions, int(request.parameters["candidates"])
    if considered == 0:
        return measured(request, vectors[:count], progress)
    found = measured(request, vectors[: max(considered, count)], progress)
    locality = found.inside.double() / found.outside.double().clamp_min(1e-30)
    return found[locality.argsort(descending=True, stable=True)[:count].tolist()]


def energies(request: Request, rows: Tensor, progress: Progress | None = None) -> tuple[Tensor, Tensor]:
    """nᵀA n and nᵀB n of unit vectors `(n, d)` at each latent, `(images, n)` each, in float64."""
    blocks = rows.split(_BLOCK)
    inside = torch.empty(len(request.latents), len(rows), dtype=torch.float64)
    outside = torch.empty_like(inside)
    count = len(request.latents) * len(blocks)
    for image, latent in enumerate(request.latents):
        jacobian = applied(request.generator, latent, request.space, request.layers)
        mask = request.region_on(latent).mask(jacobian.height, jacobian.width).double()
        start = 0
        for number, block in enumerate(blocks):
            with analysis_mode():
                tangents = jacobian.jvp(block.to(jacobian.device))
                squares = wide(tangents).square().sum(dim=1).cpu()
            rows_at = slice(start, start + len(block))
            inside[image, rows_at] = (squares * mask).sum(dim=(1, 2))
            outside[image, rows_at] = (squares * (1.0 - mask)).sum(dim=(1, 2))
            start += len(block)
            if progress is not None:
                progress(image * len(blocks) + number + 1, count)
    return inside, outside


def check_count(num_directions: object) -> None:
    """Raise ParameterError unless that many directions can be asked for."""
    whole(num_directions, "num_directions", 1, MAX_DIRECTIONS)
