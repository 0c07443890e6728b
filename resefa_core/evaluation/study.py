"""Run a study: every row, for every region, on every seed, at equal change."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoints import load_generator
from ..errors import EvaluationError, RegionError
from ..files import write_bytes
from ..generators.base import Generator
from ..latents import Latent
from ..parts import PartFinder, Parts, parts_of_generator
from ..progress import Progress
from ..regions import Region, Selection, preset_family
from ..threads import one_thread
from ..workers import Inline, Workers
from .attributes import REGION_ATTRIBUTES, Predictor
from .config import Study, with_place
from .distances import Features, frechet_distance, kernel_distance
from .finding import Entry, resolved
from .identity import Embedding
from .measuring import BEFORE, Arrays, Common, Measured, Seeds, find_on_sources, measure_seed
from .meters import Meters
from .natural import FIRST_REFERENCE, Inside
from .results import Evaluation

RESULTS = "results.json"

_DIRECTIONS, _PICTURES, _FEATURES, _INSIDES = "directions", "pictures", "features", "insides"
_AT_ONCE = 32


def evaluate(
    study: Study,
    generator: Generator | None = None,
    folder: str | PathLike[str] | None = None,
    *,
    classifier: Predictor | None = None,
    embedding: Embedding | None = None,
    features: Features | None = None,
    parts: Parts | None = None,
    workers: Workers | None = None,
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
        workers: where images are measured, each with one thread; here for None. Whoever they are, the results
            are the same but for seconds, on processors of one kind.
        progress: called with (steps done, steps); the study stops, and can go on later, if it raises.

    Raises:
        LatentError, RegionError: a class or region that the generator doesn't have.
        EvaluationError: the folder holds a study with another set-up, or can't be written, or what is asked
            for can't be measured here.
        WorkerError: workers are lost again and again, or what measures can't be sent to them.

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
    with one_thread():
        meters = Meters(classifier, embedding, features, family=family).completed(study)
    file = None if folder is None else Path(folder)
    return _Run(study, generator, meters, file, parts, workers or Inline(), progress).run()


class _Run:
    def __init__(
        self,
        study: Study,
        generator: Generator,
        meters: Meters,
        folder: Path | None,
        parts: Parts | None,
        workers: Workers,
        progress: Progress | None,
    ) -> None:
        self.study, self.generator, self.folder = study, generator, folder
        self.workers, self.progress = workers, progress
        rows, layers, reasons = zip(*(resolved(row, generator) for row in study.rows), strict=True)
        self.known_parts = (
            parts_of_generator(generator) if parts is None else PartFinder.known(generator, parts)
        )
        self.common = Common(
            study,
            generator,
            meters,
            rows=rows,
            layers=layers,
            available=tuple(index for index, reason in enumerate(reasons) if not reason),
            regions={},
            chosen_on={},
            parts=parts,
            label=None if study.label is None else generator.find_class(study.label),
            on_step=self._step if workers.in_process else None,
        )
        self.chosen_on: dict[str, Latent] = {}
        finder = PartFinder(self.common.analyses())
        regions = {
            name: with_place(
                f"regions: {name}",
                lambda name=name, each=each: self._region(name, each, finder),  # type: ignore[misc]
            )
            for name, each in study.regions.items()
        }
        self.common = replace(self.common, regions=regions, chosen_on=self.chosen_on)
        self.evaluation = Evaluation(
            setup=self._setup(),
            rows=rows,
            unavailable={index: reason for index, reason in enumerate(reasons) if reason},
            regions=regions,
            areas={
                name: float(region.mask(*generator.image_size).mean()) for name, region in regions.items()
            },
            seeds=study.seeds,
        )
        self.features: dict[int, Arrays] = {}
        self.inside_features: dict[int, Arrays] = {}
        self.steps, self.steps_done = 0, 0

    def _region(self, name: str, region: Region | str, finder: PartFinder) -> Region:
        """A region; of a part, where the first image that has it does."""
        parts = self.known_parts
        part = Selection.meant(region, parts.part_names if parts else ()) if isinstance(region, str) else None
        if part is not None:
            return self._chosen(name, part, finder)
        read = Region.from_text(region, self.generator) if isinstance(region, str) else region
        read.mask(*self.generator.image_size)
        return read

    def _chosen(self, name: str, selection: Selection, finder: PartFinder) -> Region:
        clicked = bool(selection.clicks)
        for seed in self.study.seeds[:1] if clicked else self.study.seeds:
            latent = self.common.sample(seed)
            try:
                region = finder.find(self.generator, latent, selection, self.common.parts)
                region.mask(*self.generator.image_size)
            except RegionError:
                if clicked or self.known_parts is None or selection.name not in self.known_parts.part_names:
                    raise
                continue
            self.chosen_on[name] = latent
            return region
        raise RegionError(f"none of the study's images has {selection.name}")

    def _setup(self) -> dict[str, Any]:
        """What results must agree on to belong together: all but the seeds and what is shown."""
        study, common = self.study, self.common
        setup = {
            "generator": self.generator.name,
            "fingerprint": self.generator.fingerprint,
            "rows": [asdict(replace(row, shown=True, label="")) for row in common.rows],
            "regions": {name: _told(region, self.generator) for name, region in common.regions.items()},
            "truncation": study.truncation,
            "class": common.label,
            "directions": study.directions,
            "target": study.target,
            "larger": list(study.larger),
            "references": study.references,
            "transfer": asdict(study.transfer) if any(row.samples for row in study.rows) else None,
            "variations": None if study.variations is None else asdict(study.variations),
            "measured": common.meters.names,
        }
        if common.parts is not None:
            setup["parts"] = common.parts.digest
        told: dict[str, Any] = json.loads(json.dumps(setup))
        return told

    def run(self) -> Evaluation:
        self._take_up()
        done = {record.seed for record in self.evaluation.records} | set(self.evaluation.skipped)
        todo = [seed for seed in self.study.seeds if seed not in done or not self._has_arrays(seed)]
        self._look_at_references()
        if todo:
            self._measure(todo)
        self._compare_features()
        self._compare_insides()
        self._save()
        return self.evaluation

    def _measure(self, todo: Sequence[int]) -> None:
        """Measure seeds, whatever is there of them."""
        common = self.common
        groups = sorted({group for row in common.joint for group in self.study.sets_of(common.rows[row])})
        chains = _chains(groups)
        regions, sources = len(common.regions), len({seed for group in groups for seed in group})
        self.steps = sources + (len(groups) + len(todo)) * regions
        entries: dict[tuple[Seeds, str], list[Entry]] = {}
        steps = 0
        for chain, on_sources in self.workers.run(find_on_sources, common, chains):
            entries |= on_sources.entries
            self._timed(on_sources.seconds, on_sources.alone)
            steps += len({seed for group in chain for seed in group}) + len(chain) * regions
            self._steps_to(steps)
        transferred = {
            name: [each for group in groups for each in entries[group, name]] for name in common.regions
        }
        if groups and self.folder is not None:
            self._keep_directions(self.folder / _DIRECTIONS, transferred)
        common = replace(common, transferred=transferred)
        for seed, measured in self.workers.run(measure_seed, common, todo):
            self._take(seed, measured)
            self._save()
            steps += regions
            self._steps_to(steps)

    def _step(self) -> None:
        self._steps_to(self.steps_done + 1)

    def _steps_to(self, done: int) -> None:
        """Report that so many steps are done, unless it was reported."""
        if done > self.steps_done:
            self.steps_done = done
            if self.progress is not None:
                self.progress(done, self.steps)

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
            self.evaluation.analysis_seconds = known.analysis_seconds
            self.evaluation.alone = dict(known.alone)
            self.common.alone.update(known.alone)

    def _save(self) -> None:
        if self.folder is not None:
            self.evaluation.save(self.folder / RESULTS)

    def _look_at_references(self) -> None:
        """See what unedited images show inside each region, and how sure a classifier is of them."""
        if not self.study.references:
            return
        seeds = torch.arange(FIRST_REFERENCE, FIRST_REFERENCE + self.study.references)
        shown = [
            self.generator.synthesize(self.common.sample(part)).clamp(-1.0, 1.0).cpu()
            for part in _parts(seeds)
        ]
        images = torch.cat(shown)
        insides = {name: Inside.of(images, region) for name, region in self.common.regions.items()}
        self.common = replace(self.common, insides=insides, meters=self.common.meters.accustomed(images))

    def _has_arrays(self, seed: int) -> bool:
        """Read what a measured seed left beside its numbers; False if some of it isn't there."""
        if self.folder is None or seed in self.evaluation.skipped:
            return True
        for wanted, name, into in (
            (self._is_shown(seed), _PICTURES, self.evaluation.pictures),
            (self.common.meters.features is not None, _FEATURES, self.features),
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

    def _keep_directions(self, folder: Path, entries: Mapping[str, Sequence[Entry]]) -> None:
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

    def _take(self, seed: int, measured: Measured) -> None:
        """Put what a seed gave in its place, which is the same whoever ended first."""
        evaluation = self.evaluation
        places = {each: place for place, each in enumerate(self.study.seeds)}

        def turn(seed: int) -> tuple[int, int]:
            return places.get(seed, len(places)), seed

        records = [each for each in evaluation.records if each.seed != seed] + measured.records
        evaluation.records = sorted(records, key=lambda record: turn(record.seed))
        self._timed(measured.seconds, measured.alone)
        if measured.skipped:
            skipped = evaluation.skipped | {seed: measured.skipped}
            evaluation.skipped = {each: skipped[each] for each in sorted(skipped, key=turn)}
            return
        for wanted, name, arrays, into in (
            (self._is_shown(seed), _PICTURES, measured.pictures, evaluation.pictures),
            (bool(measured.features), _FEATURES, measured.features, self.features),
            (bool(self.study.references), _INSIDES, measured.insides, self.inside_features),
        ):
            if wanted:
                into[seed] = arrays
                if self.folder is not None:
                    _save_arrays(self.folder / name / f"{seed}.npz", arrays)

    def _timed(self, seconds: Mapping[str, Sequence[float]], alone: Mapping[str, float]) -> None:
        """Take how long analyses took."""
        evaluation = self.evaluation
        for space in sorted({*evaluation.analysis_seconds, *seconds}):
            known = evaluation.analysis_seconds.pop(space, [])
            evaluation.analysis_seconds[space] = known + [float(f"{s:.3g}") for s in seconds.get(space, ())]
        both = {**alone, **evaluation.alone}
        evaluation.alone = {key: float(f"{both[key]:.3g}") for key in sorted(both)}
        self.common.alone.update(evaluation.alone)

    def _compare_features(self) -> None:
        """FID and KID of the images that each row's first direction edits, against those before."""
        parts = [self.features[seed] for seed in self.study.seeds if self.features.get(seed)]
        for key in sorted({key for part in parts for key in part} - {BEFORE}):
            before = torch.from_numpy(np.concatenate([part[BEFORE] for part in parts]))
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
                found = self.common.insides[region].distance(torch.cat([each for _, each in own]), owners)
                self.evaluation.natural[key] = {
                    name: float(f"{v:.4g}") for name, v in found._asdict().items()
                }


def _chains(groups: Sequence[Seeds]) -> list[list[Seeds]]:
    """Sets of sources, those together that have sources in common, so that no source is analysed twice."""
    chains: list[list[Seeds]] = []
    for group in groups:
        touching = [chain for chain in chains if any(set(group) & set(other) for other in chain)]
        apart = [chain for chain in chains if chain not in touching]
        chains = [*apart, [*(each for chain in touching for each in chain), group]]
    return chains


def _parts(seeds: Tensor) -> list[list[int]]:
    return [part.tolist() for part in seeds.split(_AT_ONCE)]


def _told(region: Region, generator: Generator) -> object:
    """A region as text or numbers that tell it from others."""
    if region.follows:
        named = any(selection.name for selection in region.selections)
        texts = [selection.to_text() for selection in region.selections]
        bundled = parts_of_generator(generator)  # others have an entry of their own
        return [*texts, *([bundled.digest] if named and bundled is not None else [])]
    told = region.to_json()
    if "mask" in told:
        return hashlib.sha256(region.mask(256, 256, check=False).numpy().tobytes()).hexdigest()
    return told


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
