"""Run a study: every row, for every region, on every seed, at equal change."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoints import load_generator
from ..directions.effects import edge_energy, tint_share
from ..errors import EvaluationError, LatentError, RegionError
from ..files import write_bytes
from ..generators.base import Generator
from ..latents import Latent
from ..methods import METHODS
from ..parts import PartFinder, Parts, parts_of_generator
from ..progress import Progress
from ..regions import Region, Selection, preset_family
from .analyses import Analyses
from .attributes import REGION_ATTRIBUTES, Predictor
from .config import Study, with_place
from .distances import Features, features_of, frechet_distance, kernel_distance
from .equal_change import Edits, edits_of, equal_change, images
from .finding import Entry, Finder, resolved
from .identity import Embedding
from .meters import Meters
from .natural import FIRST_REFERENCE, Inside
from .results import AREA, SIGNS, Evaluation, Numbers, Record, numbers
from .variations import varied

RESULTS = "results.json"

_DIRECTIONS, _PICTURES, _FEATURES, _INSIDES = "directions", "pictures", "features", "insides"
_BEFORE = "before"
_AT_ONCE = 32

Arrays = dict[str, NDArray[Any]]


def evaluate(
    study: Study,
    generator: Generator | None = None,
    folder: str | PathLike[str] | None = None,
    *,
    classifier: Predictor | None = None,
    embedding: Embedding | None = None,
    features: Features | None = None,
    parts: Parts | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure how local the edits of each row are, and what else they change.

    For every seed, region and row, directions are found on the image itself, or were found on the study's
    sources; each is followed backwards and forwards until the region has changed by the study's target (see
    `equal_change`), and what changes outside is measured there. Rows that are not defined for the generator
    are listed as unavailable.

    Args:
        generator: in place of the one that the study names.
        folder: where results are kept, in `results.json`, after each seed: a study that was stopped goes on
            from there. Also the directions that were found on sources, and the pictures for contact sheets.
        classifier: of attributes, for other pictures than drawn faces.
        embedding: a face recogniser, in place of the study's `identity_model`.
        features: of images, for FID and KID.
        parts: of the generator, whose names regions may have; those that come with it for None.
        progress: called with (steps done, steps); the study stops, and can go on later, if it raises.

    Raises:
        LatentError, RegionError: a class or region that the generator doesn't have.
        EvaluationError: the folder holds a study with another set-up, or can't be written, or what is asked
            for can't be measured here.

    Example:
        >>> from resefa_core.evaluation.config import Row
        >>> rows = (Row("resefa", "w"), Row("sefa"))
        >>> study = Study(rows=rows, regions={"mouth": "mouth"}, seeds=(5000,), references=0)
        >>> evaluation = evaluate(study)
        >>> len(evaluation.records)
        2
    """
    generator = load_generator(study.generator) if generator is None else generator
    family = preset_family(generator)
    if family not in REGION_ATTRIBUTES:
        family = Meters.family
    meters = Meters(classifier, embedding, features, family=family).completed(study)
    run = _Run(study, generator, meters, None if folder is None else Path(folder), parts, progress)
    return run.run()


class _Run:
    def __init__(
        self,
        study: Study,
        generator: Generator,
        meters: Meters,
        folder: Path | None,
        parts: Parts | None,
        progress: Progress | None,
    ) -> None:
        self.study, self.generator, self.meters, self.folder = study, generator, meters, folder
        self.progress = progress
        self.known_parts = (
            parts_of_generator(generator) if parts is None else PartFinder.known(generator, parts)
        )
        self.given_parts = parts
        self.label = None if study.label is None else generator.find_class(study.label)
        rows, layers, reasons = zip(*(resolved(row, generator) for row in study.rows), strict=True)
        available = [index for index, reason in enumerate(reasons) if not reason]
        analysed = [rows[index] for index in available if METHODS[rows[index].method].uses_analyses]
        analyses = Analyses(generator, {row.space for row in analysed})
        self.parts = PartFinder(analyses.cache)
        self.chosen_on: dict[str, Latent] = {}
        self.regions = {
            name: with_place(f"regions: {name}", lambda name=name, each=each: self._region(name, each))  # type: ignore[misc]
            for name, each in study.regions.items()
        }
        self.drawn = {name: self._drawings(name, region) for name, region in self.regions.items()}
        self.placed: dict[tuple[str, str], dict[str, Region] | None] = {}
        self.evaluation = Evaluation(
            setup={},
            rows=rows,
            unavailable={index: reason for index, reason in enumerate(reasons) if reason},
            regions=self.regions,
            areas={
                name: float(region.mask(*generator.image_size).mean())
                for name, region in self.regions.items()
            },
            seeds=study.seeds,
        )
        self.evaluation.setup = self._setup()
        self.own = [index for index in available if not rows[index].samples]
        self.joint = [index for index in available if rows[index].samples]
        most = max(study.directions, *(row.directions or 0 for row in rows))
        self.finder = Finder(generator, rows, layers, most, analyses)
        self.features: dict[int, Arrays] = {}
        self.insides: dict[str, Inside] = {}
        self.inside_features: dict[int, Arrays] = {}
        self.steps, self.steps_done = 0, 0

    def _region(self, name: str, region: Region | str) -> Region:
        """A region; of a part, where the first image that has it does."""
        parts = self.known_parts
        part = Selection.meant(region, parts.part_names if parts else ()) if isinstance(region, str) else None
        if part is not None:
            return self._chosen(name, part)
        read = Region.from_text(region, self.generator) if isinstance(region, str) else region
        read.mask(*self.generator.image_size)
        return read

    def _chosen(self, name: str, selection: Selection) -> Region:
        clicked = bool(selection.clicks)
        for seed in self.study.seeds[:1] if clicked else self.study.seeds:
            latent = self._sample(seed)
            try:
                region = self.parts.find(self.generator, latent, selection, self.given_parts)
                region.mask(*self.generator.image_size)
            except RegionError:
                if clicked or self.known_parts is None or selection.name not in self.known_parts.part_names:
                    raise
                continue
            self.chosen_on[name] = latent
            return region
        raise RegionError(f"none of the study's images has {selection.name}")

    def _drawings(self, name: str, region: Region) -> dict[str, Region]:
        """A region by its name, and its variations."""
        variations = self.study.variations
        return {name: region} | ({} if variations is None else varied(region, variations))

    def _drawn_on(self, name: str, latent: Latent) -> dict[str, Region]:
        """A region and its variations on an image.

        Raises:
            RegionError: the image has nothing of it, or nothing else.
        """
        region = self.regions[name]
        if not region.follows:
            return self.drawn[name]
        key = (name, latent.digest)
        if key not in self.placed:
            try:
                first = self.chosen_on.get(name)
                here = self.parts.follow(self.generator, latent, region, self.given_parts, chosen_on=first)
                here.mask(*self.generator.image_size)
                self.placed[key] = self._drawings(name, here)
            except (RegionError, LatentError):
                self.placed[key] = None
        found = self.placed[key]
        if found is None:
            raise RegionError(f"this image has nothing of {name}")
        return found

    def _has(self, name: str, latent: Latent) -> bool:
        try:
            self._drawn_on(name, latent)
        except RegionError:
            return False
        return True

    def _setup(self) -> dict[str, Any]:
        """What results must agree on to belong together: all but the seeds and what is shown."""
        study = self.study
        setup = {
            "generator": self.generator.name,
            "fingerprint": self.generator.fingerprint,
            "rows": [asdict(replace(row, shown=True, label="")) for row in self.evaluation.rows],
            "regions": {name: _told(region, self.generator) for name, region in self.regions.items()},
            "truncation": study.truncation,
            "class": self.label,
            "directions": study.directions,
            "target": study.target,
            "larger": list(study.larger),
            "references": study.references,
            "transfer": asdict(study.transfer) if any(row.samples for row in study.rows) else None,
            "variations": None if study.variations is None else asdict(study.variations),
            "measured": self.meters.names,
        }
        if self.given_parts is not None:
            setup["parts"] = self.given_parts.digest
        told: dict[str, Any] = json.loads(json.dumps(setup))
        return told

    def run(self) -> Evaluation:
        self._take_up()
        done = {record.seed for record in self.evaluation.records} | set(self.evaluation.skipped)
        todo = [seed for seed in self.study.seeds if seed not in done or not self._has_arrays(seed)]
        groups = sorted({group for row in self.joint for group in self.study.sets_of(self.study.rows[row])})
        sources = sorted({seed for group in groups for seed in group})
        if todo:
            self.steps = len(sources) + (len(groups) + len(todo)) * len(self.regions)
        self._look_at_references()
        transferred = self._transferred(groups, sources) if todo else {}
        for seed in todo:
            self._redo(seed, transferred)
            self._save()
        self._compare_features()
        self._compare_insides()
        self._save()
        return self.evaluation

    def _take_up(self) -> None:
        """Go on from the folder's results, if it has any."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvaluationError(f"{self.folder}: {error.strerror}") from error
        file = self.folder / RESULTS
        if file.exists():
            known, setup = Evaluation.load(file), self.evaluation.setup
            other = sorted(key for key in {*known.setup, *setup} if known.setup.get(key) != setup.get(key))
            if other:
                raise EvaluationError(
                    f"{file} holds a study with another {', '.join(other)}: choose another folder"
                )
            self.evaluation.records, self.evaluation.skipped = known.records, known.skipped
            self.finder.analyses.seconds = known.analysis_seconds
            self.finder.analyses.alone = known.alone

    def _save(self) -> None:
        seconds = self.finder.analyses.seconds
        self.evaluation.analysis_seconds = {
            space: [float(f"{s:.3g}") for s in each] for space, each in seconds.items()
        }
        self.evaluation.alone = {
            key: float(f"{each:.3g}") for key, each in self.finder.analyses.alone.items()
        }
        if self.folder is not None:
            self.evaluation.save(self.folder / RESULTS)

    def _look_at_references(self) -> None:
        """See what unedited images show inside each region, and how sure a classifier is of them."""
        if not self.study.references:
            return
        seeds = torch.arange(FIRST_REFERENCE, FIRST_REFERENCE + self.study.references)
        shown = [
            self.generator.synthesize(self._sample(part)).clamp(-1.0, 1.0).cpu() for part in _parts(seeds)
        ]
        images = torch.cat(shown)
        self.insides = {name: Inside.of(images, region) for name, region in self.regions.items()}
        self.meters = self.meters.accustomed(images)

    def _has_arrays(self, seed: int) -> bool:
        """Read what a measured seed left beside its numbers; False if some of it isn't there."""
        if self.folder is None or seed in self.evaluation.skipped:
            return True
        for wanted, name, into in (
            (self._is_shown(seed), _PICTURES, self.evaluation.pictures),
            (self.meters.features is not None, _FEATURES, self.features),
            (bool(self.study.references), _INSIDES, self.inside_features),
        ):
            arrays = _load_arrays(self.folder / name / f"{seed}.npz") if wanted else {}
            if arrays is None:
                return False
            if wanted:
                into[seed] = arrays
        return True

    def _is_shown(self, seed: int) -> bool:
        return seed in self.study.seeds[: self.study.sheet_seeds]

    def _step(self, count: int = 1) -> None:
        self.steps_done += count
        if self.progress is not None:
            self.progress(self.steps_done, self.steps)

    def _sample(self, seed: int | list[int]) -> Latent:
        return self.generator.sample(seed, self.study.truncation, self.label)

    def _transferred(
        self, groups: Sequence[tuple[int, ...]], sources: Sequence[int]
    ) -> dict[str, list[Entry]]:
        """What is found on the sources, by region."""
        latents = {seed: self._sample(seed) for seed in sources}
        for latent in latents.values():
            self.finder.analyses.prepare(latent)
            self._step()
        entries: dict[str, list[Entry]] = {name: [] for name in self.regions}
        for group in groups:
            rows = [row for row in self.joint if group in self.study.sets_of(self.study.rows[row])]
            for name, drawn in self.drawn.items():
                jointly = [latents[seed] for seed in group if self._has(name, latents[seed])]
                place = partial(self._drawn_on, name) if self.regions[name].follows else None
                if place is not None and jointly:
                    drawn = place(jointly[0])
                entries[name] += self.finder.entries(rows, jointly, name, drawn, group, place)
                self._step()
        if self.folder is not None:
            self._keep_directions(self.folder / _DIRECTIONS, entries)
        return entries

    def _keep_directions(self, folder: Path, entries: dict[str, list[Entry]]) -> None:
        """Write directions that hold for other images, as files to use elsewhere."""
        for region, found in entries.items():
            for entry in found:
                if entry.directions is None or entry.drawn != region:
                    continue
                row = self.evaluation.rows[entry.row]
                number = self.study.sets_of(row).index(entry.sources)
                plain = re.sub(r"[^a-z0-9+.]+", "-", f"{row.title} {region}".lower()).strip("-")
                folder.mkdir(exist_ok=True)
                titled = replace(entry.directions, title=f"{region}: {row.title}"[:200])
                titled.save(folder / f"{entry.row:02d}-{plain}-{number}.safetensors", overwrite=True)

    def _redo(self, seed: int, transferred: dict[str, list[Entry]]) -> None:
        """Measure a seed, whatever is there of it."""
        self.evaluation.records = [each for each in self.evaluation.records if each.seed != seed]
        latent = self._sample(seed)
        try:
            if self.own or any(row.adapt for row in self.evaluation.rows):
                self.finder.analyses.prepare(latent)
        except LatentError as error:
            self.evaluation.skipped[seed] = str(error)
            self._step(len(self.regions))
            return
        before = self.generator.synthesize(latent).clamp(-1.0, 1.0).cpu()
        pictures: Arrays = {_BEFORE: _pixels(before)}
        features: Arrays = {}
        insides: Arrays = {}
        if self.meters.features is not None:
            features[_BEFORE] = features_of(self.meters.features, [before]).numpy()
        having = [name for name in self.regions if self._has(name, latent)]
        if not having:
            self.evaluation.skipped[seed] = "it has none of the parts"
            self._step(len(self.regions))
            return
        if len(having) < len(self.regions):
            self._step(len(self.regions) - len(having))
        for name in having:
            drawn = self._drawn_on(name, latent)
            entries = [
                *self.finder.entries(self.own, [latent], name, drawn, ()),
                *(
                    self.finder.adapted(each.on(drawn[each.drawn]), latent)
                    for each in transferred.get(name, ())
                ),
            ]
            if self.regions[name].follows:
                mask = drawn[name].mask(*self.generator.image_size)
                pictures[AREA + name] = (mask * 255.0).round().to(torch.uint8).numpy()
            for group in self._drawn_together(entries):
                self._measure(seed, latent, before, name, drawn[name], group, pictures, features, insides)
            self.evaluation.records += [
                self._unreached(seed, name, entry) for entry in entries if entry.directions is None
            ]
            self._step()
        self._keep(seed, pictures, features, insides)

    def _keep(self, seed: int, pictures: Arrays, features: Arrays, insides: Arrays) -> None:
        if self._is_shown(seed):
            self.evaluation.pictures[seed] = pictures
            if self.folder is not None:
                _save_arrays(self.folder / _PICTURES / f"{seed}.npz", pictures)
        if features:
            self.features[seed] = features
            if self.folder is not None:
                _save_arrays(self.folder / _FEATURES / f"{seed}.npz", features)
        if self.study.references:
            self.inside_features[seed] = insides
            if self.folder is not None:
                _save_arrays(self.folder / _INSIDES / f"{seed}.npz", insides)

    def _drawn_together(self, entries: Sequence[Entry]) -> list[list[Entry]]:
        """Entries with directions, those together whose edits are confined alike and to the same region."""
        groups: dict[tuple[float, float, str], list[Entry]] = {}
        for entry in entries:
            row = self.evaluation.rows[entry.row]
            key = (row.confine, row.feather, entry.drawn) if row.confine else (0.0, 0.0, "")
            if entry.directions is not None:
                groups.setdefault(key, []).append(entry)
        return list(groups.values())

    def _count(self, entry: Entry) -> int:
        """How many directions of an entry are measured."""
        most = self.evaluation.rows[entry.row].directions or self.study.directions
        return most if entry.directions is None else min(most, len(entry.directions))

    def _measure(
        self,
        seed: int,
        latent: Latent,
        before: Tensor,
        region: str,
        area: Region,
        entries: Sequence[Entry],
        pictures: Arrays,
        features: Arrays,
        insides: Arrays,
    ) -> None:
        """Add a record for each entry, and what sheets and comparisons need of their first directions."""
        row = self.evaluation.rows[entries[0].row]
        found = [entry.directions for entry in entries if entry.directions is not None]

        def edits(counts: Sequence[int]) -> Edits:
            return _joined(
                [
                    edits_of(latent, each[:count], row.confine, row.feather)
                    for each, count in zip(found, counts, strict=True)
                ]
            )

        counts = [self._count(entry) for entry in entries]
        measures, after, reached = self._measured(edits(counts), before, region, area, self.study.target)
        firsts = edits([1] * len(entries))
        larger = {
            f"{target:g}": self._measured(firsts, before, region, area, target)
            for target in self.study.larger
        }
        start = 0
        for place, (entry, count) in enumerate(zip(entries, counts, strict=True)):
            own, first = slice(start, start + SIGNS * count), slice(start, start + SIGNS)
            beside = slice(SIGNS * place, SIGNS * (place + 1))
            self.evaluation.records.append(
                self._record(
                    seed,
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
                key = f"{entry.row}|{region}"
                pictures.setdefault(key, _pixels(after[first]))
                seen = after[first][reached[first]]
                if self.meters.features is not None and len(seen):
                    _add(features, key, features_of(self.meters.features, [seen]))
                if self.study.references:
                    shown = {f"{self.study.target:g}": seen}
                    for target, (_, drawn, got) in larger.items():
                        shown[target] = drawn[beside][got[beside]]
                    for target, seen in shown.items():
                        if len(seen):
                            _add(insides, f"{key}|{target}", self.insides[region].features(before, seen))
            start += SIGNS * count

    def _measured(
        self, edits: Edits, before: Tensor, region: str, area: Region, target: float
    ) -> tuple[dict[str, Numbers], Tensor, Tensor]:
        """The measures of edits at a change, their images `(n, 3, H, W)`, and which of them reach it."""
        change = equal_change(self.generator, edits, area, target)
        measures: dict[str, Numbers] = {
            name: numbers(getattr(change, name)) for name in ("distance", "inside", "outside", "most")
        }
        after = before.repeat(len(edits), 1, 1, 1)
        reached = change.reached.nonzero()[:, 0]
        if len(reached):
            after[reached] = images(self.generator, edits, change.distance[reached].float(), reached)
            found = self._looks(before, after[reached], region, area) | self.meters.measures(
                before.expand(len(reached), -1, -1, -1), after[reached], region
            )
            for name, values in found.items():
                measures[name] = [None] * len(edits)
                for edit, value in zip(reached.tolist(), values, strict=True):
                    measures[name][edit] = value
        return measures, after, change.reached

    def _looks(self, before: Tensor, after: Tensor, region: str, area: Region) -> dict[str, Numbers]:
        """Of each edit, the share of its change inside that is one uniform colour, the edge energy along the
        region's edge over the unedited image's, and what it draws that the generator doesn't."""
        mask = area.mask(before.shape[2], before.shape[3]).to(before)
        energy = edge_energy(before[0], mask).clamp_min(1e-6)
        looks = {
            "tint": numbers(tint_share(after - before, mask)),
            "border": numbers(edge_energy(after, mask) / energy),
        }
        if self.study.references:
            looks["texture"] = numbers(self.insides[region].texture(before, after))
        return looks

    def _record(
        self,
        seed: int,
        region: str,
        entry: Entry,
        measures: dict[str, Numbers],
        larger: dict[str, dict[str, Numbers]],
    ) -> Record:
        return Record(
            seed, region, entry.drawn, entry.row, entry.sources, entry.found, measures, entry.angles, larger
        )

    def _unreached(self, seed: int, region: str, entry: Entry) -> Record:
        """The record of an entry without directions: none of its edits gets anywhere."""
        nothing: Numbers = [None] * (SIGNS * self._count(entry))
        names = ("distance", "inside", "outside", "most")
        larger: dict[str, dict[str, Numbers]] = {
            f"{target:g}": {name: [None] * SIGNS for name in names[:3]} for target in self.study.larger
        }
        return self._record(seed, region, entry, {name: list(nothing) for name in names}, larger)

    def _compare_features(self) -> None:
        """FID and KID of the images that each row's first direction edits, against those before."""
        parts = [self.features[seed] for seed in self.study.seeds if self.features.get(seed)]
        for key in sorted({key for part in parts for key in part} - {_BEFORE}):
            before = torch.from_numpy(np.concatenate([part[_BEFORE] for part in parts]))
            after = torch.from_numpy(np.concatenate([part[key] for part in parts if key in part]))
            if min(len(before), len(after)) > 1:
                self.evaluation.distances[key] = {
                    "fid": frechet_distance(before, after),
                    "kid": kernel_distance(before, after).mean,
                }

    def _compare_insides(self) -> None:
        """How far the insides of the first directions' edited images are from unedited ones."""
        parts = [
            (seed, self.inside_features[seed]) for seed in self.study.seeds if seed in self.inside_features
        ]
        for key in sorted({key for _, part in parts for key in part}):
            own = [(seed, torch.from_numpy(part[key])) for seed, part in parts if key in part]
            if len(own) > 1:
                owners = torch.cat([torch.full((len(each),), seed) for seed, each in own])
                region = key.split("|")[1]
                found = self.insides[region].distance(torch.cat([each for _, each in own]), owners)
                self.evaluation.natural[key] = {
                    name: float(f"{v:.4g}") for name, v in found._asdict().items()
                }


def _add(kept: Arrays, key: str, features: Tensor) -> None:
    """Keep features `(n, f)` beside what is kept under a key."""
    added = features.float().numpy()
    kept[key] = np.concatenate([kept[key], added]) if key in kept else added


def _parts(seeds: Tensor) -> list[list[int]]:
    return [part.tolist() for part in seeds.split(_AT_ONCE)]


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


def _told(region: Region, generator: Generator) -> object:
    """A region as text or numbers that tell it from others."""
    if region.follows:
        named = any(selection.name for selection in region.selections)
        texts = [selection.to_text() for selection in region.selections]
        return [*texts, *([PartFinder.known(generator).digest] if named else [])]
    told = region.to_json()
    if "mask" in told:
        return hashlib.sha256(region.mask(256, 256, check=False).numpy().tobytes()).hexdigest()
    return told


def _pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """Images `(n, 3, H, W)` in [-1, 1] as `(n, H, W, 3)`."""
    shown = ((pictures + 1.0) * 127.5).round().to(torch.uint8)
    array: NDArray[np.uint8] = shown.permute(0, 2, 3, 1).numpy()
    return array


def _save_arrays(file: Path, arrays: Arrays) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    file.parent.mkdir(exist_ok=True)
    write_bytes(file, buffer.getvalue(), EvaluationError, overwrite=True)


def _load_arrays(file: Path) -> Arrays | None:
    """What `_save_arrays` wrote; None if it isn't there, or isn't whole."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
