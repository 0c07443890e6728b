"""What a study measures: which rows, on which regions and seeds, and how; from Python, JSON or flags."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice, product
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from ..bounds import CONFINE, FEATHER, TRUNCATION, number, whole
from ..defaults import LARGEST_JOINT
from ..directions import CONFINED
from ..errors import ParameterError, RegionError
from ..files import is_file, read_bytes
from ..methods import METHODS, check_method
from ..parsing import parse_seeds
from ..regions import Region, Selection
from ..spaces import SPACES
from .equal_change import TARGET
from .identity import WHOLE, Box
from .natural import LEAST as LEAST_REFERENCES
from .natural import REFERENCES

STUDY_SEEDS = tuple(range(5000, 5050))
"""Seeds that nothing else in this package draws by itself."""
SOURCES = tuple(range(7000, 7016))
LARGER = (0.08, 0.3)
"""Larger changes at which the first directions are measured besides."""
FID_FEATURES = ("", "classifier", "inception")

_MAX_BYTES = 1 << 20
_MAX_SEEDS = 4096
_MAX_ROWS = 256
_MAX_REGIONS = 32
_MAX_TEXT = 200
_MAX_LARGER = 4
_MAX_REFERENCES = 4096
_T = TypeVar("_T")


@dataclass(frozen=True)
class Row:
    """A way of making edits, and a row of the tables.

    Attributes:
        method: a key of `METHODS`.
        space: the method's default for None.
        layers: in words, as `Generator.choose_layers` takes them; all for None.
        samples: 0 for directions found on the very image that is edited; n for directions found jointly on n
            others, the study's sources.
        adapt: whether directions that were found on others are adapted to the image that is edited.
        confine, feather: of the edits, as in `move`; directions for confined edits are found for that
            feather.
        parameters: the method's, by name; its defaults for the others.
        directions: how many are measured; as many as the study says for None.
        label: for people, in place of the method's name.
        shown: whether the contact sheet shows it.
    """

    method: str = "resefa"
    space: str | None = None
    layers: str | None = None
    samples: int = 0
    adapt: bool = False
    confine: float | None = None
    feather: float = 0.0
    parameters: Mapping[str, float] = field(default_factory=dict)
    directions: int | None = None
    label: str = ""
    shown: bool = True

    def __post_init__(self) -> None:
        if self.confine is None:
            object.__setattr__(self, "confine", float(self.method == CONFINED))

    @property
    def title(self) -> str:
        """What sets the row apart, in few words."""
        parts = [self.label or METHODS[self.method].title, (self.space or "").upper()]
        parts.append("" if self.layers is None else f"layers {self.layers}")
        parts += [f"{name} {value:g}" for name, value in self.parameters.items()]
        if self.confine != float(self.method == CONFINED):
            known = {0.0: "not confined", 1.0: "confined"}
            parts.append(known.get(self.confine or 0.0, f"confined {self.confine:g}"))
        if self.confine and self.feather:
            parts.append(f"feather {self.feather:g}")
        if self.samples:
            parts.append("from 1 other" if self.samples == 1 else f"from {self.samples} others")
        parts.append("adapted" if self.adapt else "")
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Variations:
    """Ways of drawing a region otherwise, to see whether the directions found for it stay the same.

    Attributes:
        shifted: to the left, right, top and bottom, by these fractions of its width or height.
        grown, shrunk: about its middle, so that its sides are longer or shorter by these fractions.
        scribbles: how many strokes of a brush over about the same place, drawn at random.
        seed: of the scribbles.
    """

    shifted: tuple[float, ...] = ()
    grown: tuple[float, ...] = ()
    shrunk: tuple[float, ...] = ()
    scribbles: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Transfer:
    """Where rows with `samples` find their directions.

    Attributes:
        sources: the seeds to find them on; they must not be the study's own.
        sets: how many disjoint sets of sources a row is tried with, at most: `samples` sources each.
    """

    sources: tuple[int, ...] = SOURCES
    sets: int = 2


@dataclass(frozen=True)
class Study:
    """What is measured: every row, for every region, on every seed, backwards and forwards.

    Attributes:
        rows: what is compared.
        regions: by name; text means a part, as `hair` or, on the first seed's image, `at:0.5,0.62`, which
            each image has in its own place, and images that lack it are left out; see `Selection.meant`.
            Other text is read by `Region.from_text`, as `box:hair` for the generator's own presets.
        generator: a bundled name or a file.
        seeds: of the images that are edited; by default such as nothing else in this package draws.
        truncation, label: of all images; the label is a class, its number or name.
        directions: how many of each row are measured, k.
        target: the mean squared change inside the region at which edits are compared, on [-1, 1].
        larger: further changes at which the first direction of each row is measured besides: those above the
            target, ascending.
        references: how many unedited images the insides of edited ones are compared with; 0 for no such
            comparison.
        transfer: for rows with `samples`.
        variations: other drawings of each region; None for none. Directions found for them are measured in
            the region itself.
        attributes: whether to tell which attributes the edits change, by the classifier of drawn faces.
        identity_model, identity_crop: an ONNX file of a face recogniser, and the part of the image (x, y,
            width, height) that it is given, to tell whether faces stay the same person; None for neither.
        fid: the features in which the first direction's edited images are compared with those before, of
            `FID_FEATURES`; empty for no comparison.
        sheet_seeds: how many of the first seeds the contact sheet shows.
        title: for people.

    Raises:
        ParameterError: numbers out of range, unknown methods or parameters, sources that are edited, too, or
            nothing to do.
    """

    rows: tuple[Row, ...]
    regions: Mapping[str, Region | str]
    generator: str = "avatars"
    seeds: tuple[int, ...] = STUDY_SEEDS
    truncation: float = 0.7
    label: str | None = None
    directions: int = 4
    target: float = TARGET
    larger: tuple[float, ...] = LARGER
    references: int = REFERENCES
    transfer: Transfer = Transfer()
    variations: Variations | None = None
    attributes: bool = False
    identity_model: str | None = None
    identity_crop: Box = WHOLE
    fid: str = ""
    sheet_seeds: int = 2
    title: str = ""

    def __post_init__(self) -> None:
        _check_count("rows", self.rows, _MAX_ROWS)
        _check_count("regions", self.regions, _MAX_REGIONS)
        _check_seeds("seeds", self.seeds)
        _check_number("truncation", self.truncation, *TRUNCATION)
        _check_whole("directions", self.directions, 1, 64)
        if not 0.0 < _check_number("target", self.target, 0.0, 4.0) < 4.0:
            raise ParameterError(f"target {self.target} is out of range: expected a change in (0, 4)")
        self._check_larger()
        if self.references:
            _check_whole("references", self.references, LEAST_REFERENCES, _MAX_REFERENCES)
        _check_whole("sheet_seeds", self.sheet_seeds, 0, 16)
        if self.fid not in FID_FEATURES:
            raise ParameterError(
                f"fid {self.fid[:40]!r} is unknown: expected {' or '.join(filter(None, FID_FEATURES))}"
            )
        for index, row in enumerate(self.rows):
            with_place(f"rows[{index}]", lambda row=row: _check_row(row))  # type: ignore[misc]
        with_place("transfer", self._check_transfer)
        if self.variations is not None:
            with_place("variations", lambda: _check_variations(self.variations))

    def _check_larger(self) -> None:
        if len(self.larger) > _MAX_LARGER:
            raise ParameterError(f"{len(self.larger)} larger changes: expected up to {_MAX_LARGER}")
        for each in self.larger:
            if not 0.0 < _check_number("larger", each, 0.0, 4.0) < 4.0:
                raise ParameterError(f"larger {each} is out of range: expected changes in (0, 4)")
        above = tuple(sorted({float(each) for each in self.larger if each > self.target}))
        object.__setattr__(self, "larger", above)

    def _check_transfer(self) -> None:
        _check_seeds("sources", self.transfer.sources)
        _check_whole("sets", self.transfer.sets, 1, 64)
        most = max(row.samples for row in self.rows)
        if most > len(self.transfer.sources):
            raise ParameterError(
                f"a row is solved jointly over {most} sources, and there are {len(self.transfer.sources)}"
            )
        both = sorted(set(self.seeds) & set(self.transfer.sources))
        if most and both:
            raise ParameterError(f"sources {str(both)[:80]} are among the seeds that are edited, too")

    def sets_of(self, row: Row) -> list[tuple[int, ...]]:
        """The disjoint sets of sources that a row is tried with; one empty set where it needs none."""
        if not row.samples:
            return [()]
        sources, size = self.transfer.sources, row.samples
        count = min(self.transfer.sets, len(sources) // size)
        return [sources[index * size : (index + 1) * size] for index in range(count)]


def _check_row(row: Row) -> None:
    check_method(row.method, parameters=row.parameters)
    if row.space is not None and row.space not in SPACES:
        raise ParameterError(f"space {row.space[:40]!r} is unknown: expected one of {', '.join(SPACES)}")
    _check_whole("samples", row.samples, 0, LARGEST_JOINT)
    if row.adapt and (not row.samples or row.method == CONFINED):
        raise ParameterError("adapt is for directions that others found, for edits that act everywhere")
    _check_number("confine", row.confine, *CONFINE)
    _check_number("feather", row.feather, *FEATHER)
    if row.directions is not None:
        _check_whole("directions", row.directions, 1, 64)


def _check_variations(variations: Variations | None) -> None:
    assert variations is not None
    for name in ("shifted", "grown", "shrunk"):
        amounts = getattr(variations, name)
        if len(amounts) > 16 or not all(0.0 < _check_number(name, each, 0.0, 1.0) < 1.0 for each in amounts):
            raise ParameterError(f"{name} {str(amounts)[:80]}: expected up to 16 fractions in (0, 1)")
    _check_whole("scribbles", variations.scribbles, 0, 100)
    _check_whole("seed", variations.seed, 0, 2**32 - 1)


def read_study(path: str | PathLike[str]) -> Study:
    """A study from a JSON file; see `study_of`. Masks that it names are looked for beside it first.

    Raises:
        ParameterError: the file is missing, or what it says is no study; the message names the place.
    """
    file = Path(path)
    try:
        data = json.loads(read_bytes(file, ParameterError, _MAX_BYTES))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(f"{file}: not readable as JSON: {str(error)[:200]}") from error
    return with_place(str(file), lambda: study_of(data, file.parent))


def study_of(data: object, folder: Path | None = None) -> Study:
    """A study from what JSON holds: an object with the fields of `Study` as keys.

    `seeds` and `sources` may be text like `5000-5049`; `class` stands for `label`. `regions` is a list of
    names, or an object of names and boxes, presets or mask images. In a row, `space`, `layers`, `samples`,
    `adapt`, `confine` and each parameter may be a list: the row then stands for all combinations. `samples`
    and `confine` beside the rows are for those that do not have their own; `confine` is 1 where neither says
    it and the method is for confined edits.

    Args:
        folder: where masks are looked for first.

    Raises:
        ParameterError: anything else; the message names the place.
    """
    given = _Object(data, "the study")
    common = {name: given.take(name, _as_is) for name in ("samples", "confine") if name in given.values}
    regions = given.take("regions", lambda value: _regions(value, folder))
    rows = given.take("rows", lambda value: tuple(_rows(value, common)))
    options: dict[str, Any] = {"rows": rows, "regions": regions}
    readers: dict[str, Callable[[object], Any]] = {
        "generator": lambda value: _beside(_text(value, 4096), folder),
        "seeds": _seeds,
        "truncation": _number,
        "directions": _whole,
        "target": _number,
        "larger": lambda value: tuple(_number(each) for each in _list(value)),
        "references": _whole,
        "transfer": _transfer,
        "variations": _variations,
        "attributes": _boolean,
        "identity_model": lambda value: _beside(_text(value, 4096), folder),
        "identity_crop": _box,
        "fid": _text,
        "sheet_seeds": _whole,
        "title": _text,
    }
    for name, read in readers.items():
        if name in given.values:
            options[name] = given.take(name, read)
    if "class" in given.values:
        options["label"] = given.take("class", lambda v: str(v) if type(v) is int else _text(v))
    given.finish()
    return Study(**options)


_SEVERAL = ("space", "layers", "samples", "adapt", "confine")


def expanded(data: Mapping[str, Any]) -> Iterator[Row]:
    """The rows that one with lists in the place of values stands for, in the order of the lists."""
    parameters = data.get("parameters", {})
    many = {name: data[name] for name in _SEVERAL if name in data}
    choices = [
        value if isinstance(value, list) else [value] for value in (*many.values(), *parameters.values())
    ]
    one = {name: value for name, value in data.items() if name not in many and name != "parameters"}
    for combination in product(*choices):
        values = dict(zip(many, combination, strict=False))
        chosen = dict(zip(parameters, combination[len(many) :], strict=True))
        yield Row(**one, **values, parameters=chosen)


def with_place(place: str, work: Callable[[], _T]) -> _T:
    """Do the work; its errors say where in the study they are."""
    try:
        return work()
    except (ParameterError, RegionError) as error:
        raise ParameterError(f"{place}: {error}") from error


class _Object:
    """A JSON object whose keys are taken one by one; those left over are refused."""

    def __init__(self, data: object, what: str) -> None:
        if not isinstance(data, dict):
            raise ParameterError(f"expected {what} as an object, got {_shown(data)}")
        self.values = dict(data)
        self.known: list[str] = []

    def take(self, name: str, read: Callable[[Any], _T]) -> _T:
        self.known.append(name)
        if name not in self.values:
            raise ParameterError(f"{name} is missing")
        value = self.values.pop(name)
        return with_place(name, lambda: read(value))

    def finish(self) -> None:
        if self.values:
            raise ParameterError(
                f"{_shown(next(iter(self.values)))} is unknown here, or may be given once only"
            )


def _rows(value: object, common: Mapping[str, Any]) -> Iterator[Row]:
    for index, each in enumerate(_list(value)):
        yield from with_place(f"[{index}]", lambda each=each: _row(each, common))  # type: ignore[misc]


def _row(value: object, common: Mapping[str, Any]) -> list[Row]:
    given = _Object({"method": value} if isinstance(value, str) else value, "a row")
    read: dict[str, Any] = {}
    readers: dict[str, Callable[[object], Any]] = {
        "method": _text,
        "space": lambda v: _one_or_more(v, _text_or_none),
        "layers": lambda v: _one_or_more(v, _text_or_none),
        "samples": lambda v: _one_or_more(v, _whole),
        "adapt": lambda v: _one_or_more(v, _boolean),
        "confine": lambda v: _one_or_more(v, _number),
        "feather": _number,
        "parameters": _parameters,
        "directions": _whole,
        "label": _text,
        "shown": _boolean,
    }
    for name, value_of in common.items():
        given.values.setdefault(name, value_of)
    for name, reader in readers.items():
        if name in given.values:
            read[name] = given.take(name, reader)
    given.finish()
    return list(islice(expanded(read), _MAX_ROWS + 1))


def _parameters(value: object) -> dict[str, Any]:
    given = _Object(value, "parameters")
    return {_text(name): given.take(name, lambda v: _one_or_more(v, _number)) for name in list(given.values)}


def _regions(value: object, folder: Path | None) -> dict[str, Region | str]:
    named = {str(each): each for each in value} if isinstance(value, list) else value
    given = _Object(named, "regions")
    return {_text(name): given.take(name, lambda spec: _region(spec, folder)) for name in list(given.values)}


def _region(spec: object, folder: Path | None) -> Region | str:
    if isinstance(spec, list):
        return Region.from_box(*_box(spec))
    text = _text(spec, 4096)
    beside = _beside(text, folder)
    known = is_file(beside) or ("," in text and Selection.meant(text) is None)
    return Region.from_text(beside) if known else text


def _box(value: object) -> Box:
    numbers = [_number(each) for each in _list(value)]
    if len(numbers) != 4:
        raise ParameterError(f"a box of {len(numbers)} numbers: expected x, y, width, height")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _beside(text: str, folder: Path | None) -> str:
    """The path of a file that lies beside the study, or the text as it is."""
    if folder is not None and text and is_file(str(folder / text)):
        return str(folder / text)
    return text


def _transfer(value: object) -> Transfer:
    given = _Object(value, "transfer")
    readers: dict[str, Callable[[object], Any]] = {"sources": _seeds, "sets": _whole}
    taken = {name: given.take(name, read) for name, read in readers.items() if name in given.values}
    given.finish()
    return Transfer(**taken)


def _variations(value: object) -> Variations:
    given = _Object(value, "variations")
    taken: dict[str, Any] = {}
    for each in fields(Variations):
        if each.name in given.values:
            read = _whole if each.name in ("scribbles", "seed") else _fractions
            taken[each.name] = given.take(each.name, read)
    given.finish()
    return Variations(**taken)


def _fractions(value: object) -> tuple[float, ...]:
    return tuple(_number(each) for each in _list(value))


def _seeds(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(parse_seeds(value))
    return tuple(_whole(each) for each in _list(value))


def _one_or_more(value: object, read: Callable[[object], Any]) -> Any:
    if not isinstance(value, list):
        return read(value)
    if not 1 <= len(value) <= _MAX_ROWS:
        raise ParameterError(f"a list of {len(value)}: expected 1 to {_MAX_ROWS}")
    return [read(each) for each in value]


def _as_is(value: object) -> object:
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > _MAX_SEEDS:
        raise ParameterError(f"expected a list, got {_shown(value)}")
    return value


def _text(value: object, most: int = _MAX_TEXT) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > most:
        raise ParameterError(f"expected plain text of at most {most} characters, got {_shown(value)}")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ParameterError(f"expected true or false, got {_shown(value)}")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ParameterError(f"expected a whole number, got {_shown(value)}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ParameterError(f"expected a number, got {_shown(value)}")
    return float(value)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."


def _check_count(name: str, values: Sequence[object] | Mapping[str, object], most: int) -> None:
    if not 1 <= len(values) <= most:
        raise ParameterError(f"{len(values)} {name} were given: expected 1 to {most}")


def _check_seeds(name: str, seeds: Iterable[int]) -> None:
    seeds = tuple(seeds)
    _check_count(name, seeds, _MAX_SEEDS)
    for seed in seeds:
        _check_whole(name, seed, 0, 2**32 - 1)
    if len(set(seeds)) < len(seeds):
        raise ParameterError(f"{name}: some are given twice")


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    whole(value, name, least, most)


def _check_number(name: str, value: float | None, least: float, most: float) -> float:
    return number(value, name, least, most)
