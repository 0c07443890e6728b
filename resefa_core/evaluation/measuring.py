"""What a study finds on its sources and measures on its images: pure functions of what all of them share and
of one seed, or of some sets of sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..directions.effects import edge_energy, tint_share
from ..errors import LatentError, RegionError
from ..generators.base import Generator
from ..latents import Latent
from ..methods import METHODS
from ..parts import PartFinder, Parts
from ..regions import Region
from .analyses import Analyses
from .config import Row, Study
from .distances import features_of
from .equal_change import Edits, edits_of, equal_change, images
from .finding import Entry, Finder
from .meters import Meters
from .natural import Inside
from .results import AREA, SIGNS, Numbers, Record, numbers
from .variations import varied

BEFORE = "before"
"""The unedited image, among pictures and features."""

Arrays = dict[str, NDArray[Any]]
Seeds = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Common:
    """What all images of a study share.

    Attributes:
        rows: of the study, with their spaces filled in.
        layers: those that each row moves.
        available: the numbers of the rows that can be measured.
        regions: by name; of a part, where the first image has it that does.
        chosen_on: the latents of these images, by the regions' names.
        parts: whose names regions may have; those that come with the generator for None.
        label: the class of all images, its number.
        insides: what unedited images show in each region.
        transferred: what was found on the study's sources, by region.
        alone: as in `Analyses`; each process adds what it measures itself.
        on_step: called after each source and each region; None in other processes.
    """

    study: Study
    generator: Generator
    meters: Meters
    rows: tuple[Row, ...]
    layers: tuple[Seeds, ...]
    available: tuple[int, ...]
    regions: Mapping[str, Region]
    chosen_on: Mapping[str, Latent]
    parts: Parts | None
    label: int | None
    insides: Mapping[str, Inside] = field(default_factory=dict)
    transferred: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    alone: dict[str, float] = field(default_factory=dict)
    on_step: Callable[[], None] | None = None

    @property
    def own(self) -> list[int]:
        """The rows whose directions are found on the image that is edited."""
        return [row for row in self.available if not self.rows[row].samples]

    @property
    def joint(self) -> list[int]:
        """The rows whose directions are found on others."""
        return [row for row in self.available if self.rows[row].samples]

    def sample(self, seed: int | Sequence[int]) -> Latent:
        return self.generator.sample(seed, self.study.truncation, self.label)

    def analyses(self) -> Analyses:
        """Analyses of which none is made yet."""
        rows = [self.rows[row] for row in self.available]
        spaces = {row.space for row in rows if row.space is not None and METHODS[row.method].uses_analyses}
        analyses = Analyses(self.generator, spaces)
        analyses.alone = self.alone
        return analyses

    def step(self) -> None:
        if self.on_step is not None:
            self.on_step()


@dataclass(eq=False)
class Measured:
    """What one image gave.

    Attributes:
        records: in the order of regions.
        skipped: why it was left out; empty where it was not.
        pictures, features, insides: by row and region, as `Evaluation.pictures` and what comparisons need.
        seconds, alone: as in `Analyses`.
    """

    records: list[Record] = field(default_factory=list)
    skipped: str = ""
    pictures: Arrays = field(default_factory=dict)
    features: Arrays = field(default_factory=dict)
    insides: Arrays = field(default_factory=dict)
    seconds: Mapping[str, list[float]] = field(default_factory=dict)
    alone: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OnSources:
    """What sets of sources gave.

    Attributes:
        entries: by set and region.
        seconds, alone: as in `Analyses`.
    """

    entries: Mapping[tuple[Seeds, str], list[Entry]]
    seconds: Mapping[str, list[float]]
    alone: Mapping[str, float]


def find_on_sources(common: Common, groups: Sequence[Seeds]) -> OnSources:
    """What is found on sets of sources, which may have sources in common."""
    here = _Images(common)
    latents = {seed: common.sample(seed) for seed in sorted({seed for group in groups for seed in group})}
    for latent in latents.values():
        here.analyses.prepare(latent)
        common.step()
    entries: dict[tuple[Seeds, str], list[Entry]] = {}
    for group in groups:
        rows = [row for row in common.joint if group in common.study.sets_of(common.rows[row])]
        for name, region in common.regions.items():
            jointly = [latents[seed] for seed in group if here.has(name, latents[seed])]
            place = partial(here.drawn_on, name) if region.follows else None
            drawn = here.drawn_on(name, jointly[0]) if place and jointly else here.drawn[name]
            entries[group, name] = list(here.finder.entries(rows, jointly, name, drawn, group, place))
            common.step()
    return OnSources(entries, here.analyses.seconds, dict(common.alone))


def measure_seed(common: Common, seed: int) -> Measured:
    """What the edits of all rows do to the image of a seed."""
    here = _Images(common)
    latent = common.sample(seed)
    try:
        if common.own or any(row.adapt for row in common.rows):
            here.analyses.prepare(latent)
    except LatentError as error:
        return Measured(skipped=str(error))
    found = _OnImage(here, seed, latent).measured()
    found.seconds, found.alone = here.analyses.seconds, dict(common.alone)
    return found


class _Images:
    """What is known of images so far: their analyses, and where regions are on them."""

    def __init__(self, common: Common) -> None:
        study, rows = common.study, common.rows
        self.common = common
        self.analyses = common.analyses()
        most = max(study.directions, *(row.directions or 0 for row in rows))
        self.finder = Finder(common.generator, rows, common.layers, most, self.analyses)
        self.drawn = {name: self._drawings(name, region) for name, region in common.regions.items()}
        self._parts = PartFinder(self.analyses)
        self._placed: dict[tuple[str, str], dict[str, Region] | None] = {}

    def drawn_on(self, name: str, latent: Latent) -> dict[str, Region]:
        """A region and its variations on an image.

        Raises:
            RegionError: the image has nothing of it, or nothing else.
        """
        generator, region = self.common.generator, self.common.regions[name]
        if not region.follows:
            return self.drawn[name]
        key = (name, latent.digest)
        if key not in self._placed:
            try:
                first = self.common.chosen_on.get(name)
                here = self._parts.follow(generator, latent, region, self.common.parts, chosen_on=first)
                here.mask(*generator.image_size)
                self._placed[key] = self._drawings(name, here)
            except (RegionError, LatentError):
                self._placed[key] = None
        found = self._placed[key]
        if found is None:
            raise RegionError(f"this image has nothing of {name}")
        return found

    def has(self, name: str, latent: Latent) -> bool:
        try:
            self.drawn_on(name, latent)
        except RegionError:
            return False
        return True

    def _drawings(self, name: str, region: Region) -> dict[str, Region]:
        """A region by its name, and its variations."""
        variations = self.common.study.variations
        return {name: region} | ({} if variations is None else varied(region, variations))


class _OnImage:
    """Measures one image."""

    def __init__(self, here: _Images, seed: int, latent: Latent) -> None:
        self.here, self.common, self.seed, self.latent = here, here.common, seed, latent
        self.study, self.generator = self.common.study, self.common.generator
        self.before = self.generator.synthesize(latent).clamp(-1.0, 1.0).cpu()
        self.found = Measured(pictures={BEFORE: _pixels(self.before)})

    def measured(self) -> Measured:
        found, common = self.found, self.common
        if common.meters.features is not None:
            found.features[BEFORE] = features_of(common.meters.features, [self.before]).numpy()
        having = [name for name in common.regions if self.here.has(name, self.latent)]
        if not having:
            return Measured(skipped="it has none of the parts")
        for name in having:
            drawn = self.here.drawn_on(name, self.latent)
            entries = [
                *self.here.finder.entries(common.own, [self.latent], name, drawn, ()),
                *(
                    self.here.finder.adapted(each.on(drawn[each.drawn]), self.latent)
                    for each in common.transferred.get(name, ())
                ),
            ]
            if common.regions[name].follows:
                mask = drawn[name].mask(*self.generator.image_size)
                found.pictures[AREA + name] = (mask * 255.0).round().to(torch.uint8).numpy()
            for group in self._drawn_together(entries):
                self._measure(name, drawn[name], group)
            found.records += [self._unreached(name, entry) for entry in entries if entry.directions is None]
            common.step()
        return found

    def _drawn_together(self, entries: Sequence[Entry]) -> list[list[Entry]]:
        """Entries with directions, those together whose edits are confined alike and to the same region."""
        groups: dict[tuple[float, float, str], list[Entry]] = {}
        for entry in entries:
            row = self.common.rows[entry.row]
            key = (row.confine, row.feather, entry.drawn) if row.confine else (0.0, 0.0, "")
            if entry.directions is not None:
                groups.setdefault(key, []).append(entry)
        return list(groups.values())

    def _count(self, entry: Entry) -> int:
        """How many directions of an entry are measured."""
        most = self.common.rows[entry.row].directions or self.study.directions
        return most if entry.directions is None else min(most, len(entry.directions))

    def _measure(self, region: str, area: Region, entries: Sequence[Entry]) -> None:
        """Add a record for each entry, and what sheets and comparisons need of their first directions."""
        row = self.common.rows[entries[0].row]
        found = [entry.directions for entry in entries if entry.directions is not None]

        def edits(counts: Sequence[int]) -> Edits:
            return _joined(
                [
                    edits_of(self.latent, each[:count], row.confine, row.feather)
                    for each, count in zip(found, counts, strict=True)
                ]
            )

        counts = [self._count(entry) for entry in entries]
        measures, after, reached = self._measured(edits(counts), region, area, self.study.target)
        firsts = edits([1] * len(entries))
        larger = {f"{target:g}": self._measured(firsts, region, area, target) for target in self.study.larger}
        start = 0
        for place, (entry, count) in enumerate(zip(entries, counts, strict=True)):
            own, first = slice(start, start + SIGNS * count), slice(start, start + SIGNS)
            beside = slice(SIGNS * place, SIGNS * (place + 1))
            self.found.records.append(
                self._record(
                    region,
                    entry,
                    {name: values[own] for name, values in measures.items()},
                    {
                        target: {name: values[beside] for name, values in each.items() if name != "most"}
                        for target, (each, _, _) in larger.items()
                    },
                )
            )
            if entry.drawn == region:
                shown = {f"{self.study.target:g}": after[first][reached[first]]} | {
                    target: drawn[beside][got[beside]] for target, (_, drawn, got) in larger.items()
                }
                self._keep(f"{entry.row}|{region}", region, _pixels(after[first]), shown)
            start += SIGNS * count

    def _keep(self, key: str, region: str, pictures: NDArray[np.uint8], shown: Mapping[str, Tensor]) -> None:
        """Keep an entry's first direction for sheets and comparisons.

        Args:
            key: of its row and region.
            pictures: `(2, H, W, 3)`.
            shown: the edited images `(n, 3, H, W)` that reach a change, by changes, the study's target first.
        """
        features = self.common.meters.features
        self.found.pictures.setdefault(key, pictures)
        seen = next(iter(shown.values()))
        if features is not None and len(seen):
            _add(self.found.features, key, features_of(features, [seen]))
        if self.study.references:
            for target, seen in shown.items():
                if len(seen):
                    inside = self.common.insides[region].features(self.before, seen)
                    _add(self.found.insides, f"{key}|{target}", inside)

    def _measured(
        self, edits: Edits, region: str, area: Region, target: float
    ) -> tuple[dict[str, Numbers], Tensor, Tensor]:
        """The measures of edits at a change, their images `(n, 3, H, W)`, and which of them reach it."""
        change = equal_change(self.generator, edits, area, target)
        measures: dict[str, Numbers] = {
            name: numbers(getattr(change, name)) for name in ("distance", "inside", "outside", "most")
        }
        after = self.before.repeat(len(edits), 1, 1, 1)
        reached = change.reached.nonzero()[:, 0]
        if len(reached):
            after[reached] = images(self.generator, edits, change.distance[reached].float(), reached)
            found = self._looks(after[reached], region, area) | self.common.meters.measures(
                self.before.expand(len(reached), -1, -1, -1), after[reached], region
            )
            for name, values in found.items():
                measures[name] = [None] * len(edits)
                for edit, value in zip(reached.tolist(), values, strict=True):
                    measures[name][edit] = value
        return measures, after, change.reached

    def _looks(self, after: Tensor, region: str, area: Region) -> dict[str, Numbers]:
        """Of each edit, the share of its change inside that is one uniform colour, the edge energy along the
        region's edge over the unedited image's, and what it draws that the generator doesn't."""
        before = self.before
        mask = area.mask(before.shape[2], before.shape[3]).to(before)
        energy = edge_energy(before[0], mask).clamp_min(1e-6)
        looks = {
            "tint": numbers(tint_share(after - before, mask)),
            "border": numbers(edge_energy(after, mask) / energy),
        }
        if self.study.references:
            looks["texture"] = numbers(self.common.insides[region].texture(before, after))
        return looks

    def _record(
        self,
        region: str,
        entry: Entry,
        measures: dict[str, Numbers],
        larger: dict[str, dict[str, Numbers]],
    ) -> Record:
        return Record(
            self.seed,
            region,
            entry.drawn,
            entry.row,
            entry.sources,
            entry.found,
            measures,
            entry.angles,
            larger,
        )

    def _unreached(self, region: str, entry: Entry) -> Record:
        """The record of an entry without directions: none of its edits gets anywhere."""
        nothing: Numbers = [None] * (SIGNS * self._count(entry))
        names = ("distance", "inside", "outside", "most")
        larger: dict[str, dict[str, Numbers]] = {
            f"{target:g}": {name: [None] * SIGNS for name in names[:3]} for target in self.study.larger
        }
        return self._record(region, entry, {name: list(nothing) for name in names}, larger)


def _add(kept: Arrays, key: str, features: Tensor) -> None:
    """Keep features `(n, f)` beside what is kept under a key."""
    added = features.float().numpy()
    kept[key] = np.concatenate([kept[key], added]) if key in kept else added


def _joined(parts: Sequence[Edits]) -> Edits:
    """Edits of one latent along the directions of all parts, which are confined alike."""
    first = parts[0]

    def together(name: str) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        known = next((tensor for tensor in tensors if tensor is not None), None)
        if known is None:
            return None
        return torch.cat(
            [
                known.new_zeros(part.shape[1], *known.shape[1:]) if tensor is None else tensor
                for part, tensor in zip(parts, tensors, strict=True)
            ]
        )

    return replace(first, codes=together("codes"), styles=together("styles"), noise=together("noise"))


def _pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """Images `(n, 3, H, W)` in [-1, 1] as `(n, H, W, 3)`."""
    shown = ((pictures + 1.0) * 127.5).round().to(torch.uint8)
    array: NDArray[np.uint8] = shown.permute(0, 2, 3, 1).numpy()
    return array
