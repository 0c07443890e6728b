"""What a study found, as numbers: in memory, and in the file that it can be taken up from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from .._version import __version__
from ..errors import EvaluationError
from ..files import DAMAGE, read_bytes, write_bytes
from ..regions import Region
from .config import Row

FORMAT = 1
SIGNS = 2
"""Every direction is followed backwards, then forwards."""

_MAX_BYTES = 1 << 30
_LEAST = 1e-12
_SIGNIFICANT = 6

Numbers = list[float | None]

AREA = "region|"
"""Before the name of a part, where its mask is kept."""


@dataclass(frozen=True)
class Found:
    """How directions were found for one row's method.

    Attributes:
        seconds: what it took, the analyses of images included, each as if no other row had asked for it;
            the processor's seconds on a CPU.
        passes: forward-mode products that these analyses are made of, one pass back as two.
        problem: why there are none; empty where there are.
    """

    seconds: float
    passes: int
    problem: str = ""


@dataclass(frozen=True)
class Record:
    """What the edits of one row do to one image.

    Attributes:
        seed: of the image.
        region: where the change is measured.
        drawn: what the directions were found for: the region's own name, or one of its variations.
        row: its number.
        sources: the seeds that the directions were found on; empty for the image itself.
        found: how.
        measures: by name, a number for each edit, by direction, then backwards and forwards; None where an
            edit does not reach the target. `distance`, `inside` and `outside` as in `EqualChange`, `most` (of
            all edits), `tint` and `border`; where they were asked for `target_changed`, `target_moved`,
            `target_valid`, `others_changed` and `others_moved` as in `AttributeChanges`, and `identity`;
            `texture` as in `Inside`.
        larger: the same of the first direction at larger changes, by the change as text, all but `most`.
        angles: with variations, the principal angles to the directions of the region itself, in degrees; of
            the first directions alone, then of all.
    """

    seed: int
    region: str
    drawn: str
    row: int
    sources: tuple[int, ...]
    found: Found
    measures: Mapping[str, Numbers]
    angles: tuple[float, ...] = ()
    larger: Mapping[str, Mapping[str, Numbers]] = field(default_factory=dict)

    def at(self, target: str | None) -> Mapping[str, Numbers]:
        """Its measures at one of the larger changes; for None at the one that rows are compared at."""
        return self.measures if target is None else self.larger.get(target, {})


@dataclass
class Evaluation:
    """The results of a study.

    Attributes:
        setup: what was measured: the study, and the generator's fingerprint.
        rows: with their spaces filled in.
        unavailable: why rows can't be measured here, by number.
        areas: each region's share of the image; of a part, on the first image that has it.
        regions: by name; those of results that were loaded are not known.
        seeds: those of the study.
        records: of all images so far.
        skipped: why images were left out, by seed.
        analysis_seconds: how long each derivative took, by space.
        distances: `fid` and `kid` of the edited images to those before, by `row|region`.
        natural: `distance` and `p` of the first directions' edited images, inside the region, to unedited
            ones, by `row|region|change`; see `natural`.
        alone: how long one derivative takes by itself, by space and layers.
        pictures: of the seeds that contact sheets show: `before` `(1, H, W, 3)`, and by `row|region` each
            row's first direction backwards and forwards at equal change, `(2, H, W, 3)`; by `region|region`
            the mask of a part, `(H, W)`; uint8.
    """

    setup: dict[str, Any]
    rows: tuple[Row, ...]
    unavailable: dict[int, str]
    areas: dict[str, float]
    seeds: tuple[int, ...]
    records: list[Record] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    analysis_seconds: dict[str, list[float]] = field(default_factory=dict)
    distances: dict[str, dict[str, float]] = field(default_factory=dict)
    natural: dict[str, dict[str, float]] = field(default_factory=dict)
    alone: dict[str, float] = field(default_factory=dict)
    regions: Mapping[str, Region] = field(default_factory=dict)
    pictures: dict[int, dict[str, NDArray[Any]]] = field(default_factory=dict)

    def select(
        self, row: int | None = None, region: str | None = None, drawn: str | None = None
    ) -> Iterator[Record]:
        """The records of the study's seeds, of a row, a region, a drawing of it; of any for None. A region's
        name is the drawing that is the region itself."""
        wanted = set(self.seeds)
        for record in self.records:
            if record.seed in wanted and all(
                value is None or value == own
                for value, own in ((row, record.row), (region, record.region), (drawn, record.drawn))
            ):
                yield record

    def values(
        self,
        measure: str,
        records: Iterable[Record],
        directions: int | None = None,
        target: str | None = None,
    ) -> Numbers:
        """A measure of some records' edits, pooled: of their first `directions`, all for None.

        Args:
            measure: of `Record.measures`; or `ratio`, inside over outside; or `fraction`, the share of the
                whole change that lies inside.
            target: of the larger changes; for None the one that rows are compared at.
        """
        count = None if directions is None else SIGNS * directions
        pooled: Numbers = []
        for record in records:
            measures = record.at(target)
            if measure not in ("ratio", "fraction"):
                pooled += measures.get(measure, [])[:count]
                continue
            area = self.areas[record.region]
            pairs = zip(measures.get("inside", []), measures.get("outside", []), strict=True)
            for inside, outside in list(pairs)[:count]:
                if inside is None or outside is None:
                    pooled.append(None)
                elif measure == "ratio":
                    pooled.append(inside / max(outside, _LEAST))
                else:
                    pooled.append(inside * area / (inside * area + outside * (1.0 - area)))
        return pooled

    def save(self, path: str | PathLike[str]) -> None:
        """Write the results as JSON, atomically, in the place of earlier ones.

        Raises:
            EvaluationError: the file can't be written.
        """
        data = {
            "format": FORMAT,
            "version": __version__,
            "setup": self.setup,
            "seeds": list(self.seeds),
            "rows": [asdict(row) | {"title": row.title} for row in self.rows],
            "unavailable": self.unavailable,
            "areas": self.areas,
            "analysis_seconds": self.analysis_seconds,
            "distances": self.distances,
            "natural": self.natural,
            "alone": self.alone,
            "skipped": self.skipped,
            "records": [asdict(record) for record in self.records],
        }
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
        write_bytes(path, text.encode(), EvaluationError, overwrite=True)

    @staticmethod
    def load(path: str | PathLike[str]) -> Evaluation:
        """Read what `save` wrote.

        Raises:
            EvaluationError: the file is missing, damaged, or something else.
        """
        file = Path(path)
        content = read_bytes(file, EvaluationError, _MAX_BYTES)
        try:
            data = json.loads(content)
            if data["format"] != FORMAT:
                raise EvaluationError(f"format {str(data['format'])[:20]}, expected {FORMAT}")
            return _from_data(data)
        except (*DAMAGE, RecursionError, EvaluationError) as error:
            raise EvaluationError(
                f"{file}: not a study's results, or damaged: {type(error).__name__}: {str(error)[:200]}"
            ) from error


def _from_data(data: dict[str, Any]) -> Evaluation:
    rows = tuple(Row(**{k: v for k, v in row.items() if k != "title"}) for row in data["rows"])
    records = [
        Record(
            seed=int(each["seed"]),
            region=str(each["region"]),
            drawn=str(each["drawn"]),
            row=int(each["row"]),
            sources=tuple(int(seed) for seed in each["sources"]),
            found=Found(**each["found"]),
            measures=_measures(each["measures"]),
            angles=tuple(float(angle) for angle in each["angles"]),
            larger={str(target): _measures(own) for target, own in each.get("larger", {}).items()},
        )
        for each in data["records"]
    ]
    if not all(0 <= record.row < len(rows) and record.region in data["areas"] for record in records):
        raise EvaluationError("there are records of rows or regions that it doesn't have")
    return Evaluation(
        setup=dict(data["setup"]),
        rows=rows,
        unavailable={int(row): str(reason) for row, reason in data["unavailable"].items()},
        areas={str(name): float(area) for name, area in data["areas"].items()},
        seeds=tuple(int(seed) for seed in data["seeds"]),
        records=records,
        skipped={int(seed): str(reason) for seed, reason in data["skipped"].items()},
        analysis_seconds={
            str(k): [float(v) for v in values] for k, values in data["analysis_seconds"].items()
        },
        distances=_tables(data["distances"]),
        natural=_tables(data.get("natural", {})),
        alone={str(key): float(value) for key, value in data.get("alone", {}).items()},
    )


def _measures(data: dict[str, list[object]]) -> dict[str, Numbers]:
    return {str(name): [_number(value) for value in values] for name, values in data.items()}


def _tables(data: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {str(key): {str(name): float(v) for name, v in own.items()} for key, own in data.items()}


def _number(value: object) -> float | None:
    if value is None or isinstance(value, (int, float)):
        return value
    raise EvaluationError(f"{str(value)[:40]} is no number")


def numbers(values: Tensor | Iterable[float]) -> Numbers:
    """Values with six significant digits, None for those that are not finite."""
    listed = values.tolist() if isinstance(values, Tensor) else list(values)
    return [float(f"{value:.{_SIGNIFICANT}g}") if math.isfinite(value) else None for value in listed]
