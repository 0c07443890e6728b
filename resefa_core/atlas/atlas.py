"""An atlas: what can be done to each part of a generator's images, over many images."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from ..bounds import whole
from ..defaults import MAX_DIRECTIONS, NUM_DIRECTIONS
from ..directions import Directions
from ..directions.looks import names_from
from ..directions.objective import Objective
from ..errors import AtlasError, RegionError
from ..generators.base import Generator
from ..generators.description import GeneratorDescription
from ..latents.reach import within_reach
from ..methods import METHODS
from ..parsing import shown_seeds
from ..progress import Progress, stage
from ..regions import Region
from ..session.finding import OURS
from ..solve.sums import Sums
from ..workers import Inline, Workers
from .groups import Groups, groups_of
from .kept import Results
from .measuring import Measured, ToMeasure, bare, measure, voted
from .plan import BLOCK, Plan
from .summing import KEPT_EVERY, Growing, sum_up

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of how local directions are over images."""
MEASURED = 32
"""Images on which a region's directions are measured, where nobody says how many."""
MOST_MEASURED = 256
OFFERED = 2
"""Directions of each region that are worth a click."""
EXAMPLES = 4
"""Images of each region that are shown."""

_SEEDS_TOLD = 4096
"""A direction file says on which images its directions were solved, unless they are more."""


@dataclass(frozen=True, eq=False)
class Found:
    """Directions of a region, and how they do over the images that they were measured on.

    Attributes:
        directions: what a direction file says.
        quantiles: the `QUANTILES` of squared change inside over outside, where that inside is
            `equal_change.TARGET`, over images and both signs, `(k, 5)`; zeros where no edit gets there.
        responding: the share of images on which either sign gets there within reach, `(k,)`.
        shares: of those images that have the region, how many a direction was found on, `(k,)`: all, for
            joint directions.
    """

    directions: Directions
    quantiles: Tensor
    responding: Tensor
    shares: Tensor

    def __len__(self) -> int:
        return len(self.directions)


@dataclass(frozen=True, eq=False)
class Entry:
    """A region of an atlas.

    Attributes:
        name: of the region.
        images: how many images have it, and respond there.
        area: its mean share of the image, where it is.
        measured: on how many images directions were measured.
        examples: seeds of some of these.
        joint: directions that were solved over all images; None where there are none.
        missed: groups of single images' directions that the joint ones miss; None where there are none.
        missed_share: the share of all single directions that the joint ones miss.
    """

    name: str
    images: int
    area: float
    measured: int = 0
    examples: tuple[int, ...] = ()
    joint: Found | None = None
    missed: Found | None = None
    missed_share: float = 0.0


@dataclass(frozen=True, eq=False)
class Atlas:
    """What can be done to each region of a generator's images.

    Attributes:
        generator: its description, as `Generator.describe` gives it.
        seeds: of the images, in short.
        images: how many there are.
        collapsed: how many of these do not respond to their latent at all.
        truncation, label: of the images, as `Generator.sample` takes them.
        space, layers: where directions live, and the layers that they move.
        entries: the regions, in the order of the plan.
    """

    generator: GeneratorDescription
    seeds: str
    images: int
    collapsed: int
    truncation: float
    label: int | None
    space: str
    layers: tuple[int, ...]
    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, name: str) -> Entry:
        """A region by its name.

        Raises:
            AtlasError: there is none.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in self.entries)
        raise AtlasError(f"the atlas has no region {name[:60]!r}: expected one of {known}")

    def directions(self, name: str = "", missed: bool = False) -> Directions:
        """The directions of a region.

        Args:
            name: of the region; the first one that has such directions for "".
            missed: what some images can do besides, in place of the joint directions.

        Raises:
            AtlasError: there is no such region, or it has no such directions.
        """
        having = self.having(missed)
        name = name or next(iter(having), "")
        entry = self[name] if name else None
        found = None if entry is None else entry.missed if missed else entry.joint
        if found is None:
            what = "directions that some images have besides" if missed else "joint directions"
            raise AtlasError(
                f"the atlas has no {what}{f' of {name}' if name else ''}: expected "
                f"{'one of ' + ', '.join(having) if having else 'another kind'}"
            )
        return found.directions

    def having(self, missed: bool = False) -> list[str]:
        """The regions of which `directions` has some."""
        return [entry.name for entry in self.entries if (entry.missed if missed else entry.joint) is not None]

    def offered(self) -> dict[str, Directions]:
        """The directions that are worth a click, by region: the first joint ones of those that work on most
        images; regions without any are left out."""
        found = {}
        for entry in self.entries:
            if entry.joint is not None:
                works = (entry.joint.responding > 0.5).nonzero()[:OFFERED, 0].tolist()
                if works:
                    found[entry.name] = entry.joint.directions[works]
        return found

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write a file, atomically: the same bytes for the same atlas.

        Raises:
            AtlasError: the file exists and `overwrite` is false, or it can't be written.
        """
        from .store import save_atlas

        save_atlas(self, path, overwrite)

    @staticmethod
    def load(path: str | PathLike[str]) -> Atlas:
        """Read what `save` wrote; the file may come from a stranger.

        Raises:
            AtlasError: the file is damaged, or holds something else.
        """
        from .store import load_atlas

        return load_atlas(path)


def build_atlas(
    generator: Generator,
    plan: Plan,
    workers: Workers | None = None,
    *,
    sums: Path | None = None,
    count: int = NUM_DIRECTIONS,
    regularization: float | None = None,
    colour: bool = False,
    measured: int = MEASURED,
    block: int = BLOCK,
    progress: Progress | None = None,
) -> Atlas:
    """Sum over all images of a plan, solve, and measure on some of them what was found.

    Args:
        plan: which images, regions and space.
        workers: where images are analysed and edited; here for None.
        sums: a file that keeps the sums as they grow, and from which they go on, and beside which one keeps
            what is measured; nowhere for None.
        count: joint directions of each region, from 1 to 512.
        regularization: λ; the usual one of directions that are solved over several images for None.
        colour: whether a change of a region's mean colour counts as a change inside.
        measured: images on which each region's directions are measured, up to 256.
        block: as for `sum_up`.
        progress: called with (done, total); the work stops if it raises, and sums that are kept go on.

    Raises:
        AtlasError: the sums are of something else, or can't be written.
        WorkerError: workers are lost again and again.
        ParameterError: a number is out of range.
    """
    whole(count, "count", 1, MAX_DIRECTIONS)
    _parameters(plan, regularization, colour)
    whole(measured, "measured", 1, MOST_MEASURED)
    workers = workers or Inline()
    growing = sum_up(generator, plan, workers, sums, block=block, progress=stage(progress, 0, 2))
    return atlas_of(
        generator,
        plan,
        growing,
        workers,
        count=count,
        regularization=regularization,
        colour=colour,
        measured=measured,
        kept=None if sums is None else sums.with_name(f"{sums.stem}.measured.json"),
        progress=stage(progress, 1, 2),
    )


def atlas_of(
    generator: Generator,
    plan: Plan,
    growing: Growing,
    workers: Workers,
    *,
    count: int,
    regularization: float | None,
    colour: bool,
    measured: int,
    kept: Path | None = None,
    progress: Progress | None = None,
) -> Atlas:
    """The atlas of sums that were made, over all images of the plan or the first of them; see
    `build_atlas`.

    Args:
        kept: a file that keeps what is measured as it grows, and from which it goes on; nowhere for None.
    """
    parameters = _parameters(plan, regularization, colour)
    sums, objective = growing.total, Objective(colour=bool(parameters["colour"]))
    solved: dict[str, _Solved] = {}
    for index, name in enumerate(plan.names):
        found = _Solved.of(sums, index, growing.own, objective, count, parameters["regularization"])
        if found is not None:
            solved[name] = found
    turns = _turns(plan)
    places = {name: sorted(each.places, key=turns.__getitem__)[:measured] for name, each in solved.items()}
    shared = ToMeasure(generator, plan, {name: each.vectors.float() for name, each in solved.items()})
    results = Results(plan, shared.vectors, kept)
    tasks = results.missing(places)
    _measure(results, workers.run(measure, shared, tasks), len(tasks), progress)
    entries = []
    for index, name in enumerate(plan.names):
        images = int(sums.images[index])
        entry = Entry(name, images, float(sums.areas[index]) / max(images, 1))
        here = {place: results.found[name].get(place) for place in places.get(name, ())}
        in_order = {place: each for place, each in here.items() if each is not None}
        if in_order:
            entry = _entry(entry, generator, plan, sums, solved[name], in_order)
        entries.append(entry)
    return Atlas(
        generator=plan.generator,
        seeds=shown_seeds(plan.seeds[: int(sums.seen)]),
        images=int(sums.seen),
        collapsed=int(sums.collapsed),
        truncation=plan.truncation,
        label=plan.label,
        space=plan.space,
        layers=plan.layers,
        entries=tuple(entries),
    )


def _measure(
    results: Results,
    measured: Iterator[tuple[tuple[int, tuple[str, ...]], dict[str, Measured]]],
    count: int,
    progress: Progress | None,
) -> None:
    """Take what is measured as it comes, and keep it once a minute and when the work stops."""
    saved = time.monotonic()
    try:
        for done, ((place, _), here) in enumerate(measured):
            results.add(place, here)
            if time.monotonic() - saved >= KEPT_EVERY:
                results.save()
                saved = time.monotonic()
            if progress is not None:
                progress(done + 1, count)
    finally:
        results.save()


def _parameters(plan: Plan, regularization: float | None, colour: bool) -> dict[str, float]:
    """Those of the method, which says what is usual for several images, and what is out of range."""
    given = {"colour": int(colour)} | ({} if regularization is None else {"regularization": regularization})
    return METHODS[OURS].check_parameters(given, len(plan.seeds))


@dataclass(frozen=True)
class _Solved:
    """What was solved for a region: `joint` directions first among all `vectors` `(k, d)`, in float64, with
    their quotients `(joint,)`; the images that have it among those whose own directions are kept."""

    vectors: Tensor
    quotients: Tensor
    damping: float
    regularization: float
    objective: Objective
    groups: Groups
    places: tuple[int, ...]

    @property
    def joint(self) -> int:
        return len(self.quotients)

    @staticmethod
    def of(
        sums: Sums,
        index: int,
        own: Mapping[int, Tensor],
        objective: Objective,
        count: int,
        regularization: float,
    ) -> _Solved | None:
        """None where nothing is to be found."""
        here = {place: vectors[index] for place, vectors in own.items() if bool(vectors[index].any())}
        try:
            pencil = sums.pencil(index, objective)
            solution = pencil.solve(count, regularization)
        except RegionError:
            return None
        groups = groups_of(pencil, regularization * pencil.trace_outside, solution.vectors, here)
        vectors = torch.cat([solution.vectors, groups.vectors])
        return _Solved(
            vectors, solution.quotients, solution.damping, regularization, objective, groups, tuple(here)
        )


def _entry(
    entry: Entry,
    generator: Generator,
    plan: Plan,
    sums: Sums,
    solved: _Solved,
    results: Mapping[int, Measured],
) -> Entry:
    """A region with its directions, from what was measured on some images."""
    every = list(results.values())
    inside, outside = (torch.stack([getattr(each, side) for each in every]) for side in ("inside", "outside"))
    ratios = torch.stack([each.ratios for each in every])
    names = names_from([voted([each.told[k] for each in every]) for k in range(len(solved.vectors))])
    directions = replace(
        bare(generator, plan, solved.vectors, Region.from_json(every[0].region), inside),
        eigenvalues=torch.cat([solved.quotients, torch.zeros(len(solved.groups.places))]).float(),
        outside=outside.mean(dim=0).float(),
        names=names,
        regularization=solved.regularization,
        damping=solved.damping,
        objective=solved.objective,
        num_samples=entry.images,
        title=f"{plan.generator.name}: {entry.name}",
        description=f"Solved over {entry.images} images that have it, of {int(sums.seen)}.",
    )
    seen = len(every)
    found = [
        Found(
            within_reach(generator, directions[chosen]),
            _quantiles(ratios[:, chosen]),
            ratios[:, chosen].isfinite().any(dim=2).double().mean(dim=0),
            shares,
        )
        if chosen
        else None
        for chosen, shares in (
            (list(range(solved.joint)), torch.ones(solved.joint, dtype=torch.float64)),
            (
                list(range(solved.joint, len(solved.vectors))),
                torch.tensor([len(each) / len(solved.places) for each in solved.groups.places]).double(),
            ),
        )
    ]
    joint, missed = found
    if joint is not None and entry.images <= _SEEDS_TOLD and entry.images == int(sums.seen):
        seeds = tuple(plan.seeds[: entry.images])
        joint = replace(joint, directions=replace(joint.directions, seeds=seeds))
    return replace(
        entry,
        measured=seen,
        examples=tuple(plan.seeds[place] for place in list(results)[:EXAMPLES]),
        joint=joint,
        missed=missed,
        missed_share=solved.groups.missed,
    )


def _quantiles(ratios: Tensor) -> Tensor:
    """The `QUANTILES` of each direction's ratios `(images, k, 2)`, zeros where there are none, `(k, 5)`."""
    levels = torch.tensor(QUANTILES, dtype=torch.float64)
    rows = ratios.movedim(1, 0).flatten(1)
    return torch.nan_to_num(rows.nanquantile(levels, dim=1).T, nan=0.0)


def _turns(plan: Plan) -> dict[int, int]:
    """When each place whose own directions are kept is looked at: any first few lie evenly among all, and are
    the same ones for all regions that most images have."""
    bits = len(plan.alone).bit_length()
    return {place: int(f"{index:0{bits}b}"[::-1], 2) for index, place in enumerate(plan.alone)}
