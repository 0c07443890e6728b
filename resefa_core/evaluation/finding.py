"""The directions of a study's rows: found once for all rows that differ in their edits alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..analysis import Jacobian
from ..directions import CONFINED, Directions
from ..errors import LatentError, ParameterError, RegionError
from ..generators.base import Generator
from ..latents import Latent
from ..methods import METHODS, Place, check_method, find_directions
from ..regions import Region
from ..solve import adapt
from .analyses import Analyses, clock_of
from .config import Row
from .results import Found
from .variations import principal_angles

_Key = tuple[str, str, tuple[int, ...], tuple[tuple[str, float], ...], float, str]


@dataclass(frozen=True)
class Entry:
    """Directions whose edits are to be measured.

    Attributes:
        row: its number.
        drawn: what they were found for: the region's own name, or one of its variations.
        sources: the seeds that they were found on; empty for the image that is edited.
        found, angles: as in `Record`.
        directions: None where there are none.
    """

    row: int
    drawn: str
    sources: tuple[int, ...]
    found: Found
    directions: Directions | None
    angles: tuple[float, ...]

    def on(self, region: Region) -> Entry:
        """The same for an image on which what they were found for is elsewhere."""
        if self.directions is None or self.directions.region is None or not self.directions.region.follows:
            return self
        return replace(self, directions=replace(self.directions, region=region))


def resolved(row: Row, generator: Generator) -> tuple[Row, tuple[int, ...], str]:
    """A row with its space filled in, the layers it moves, and why it can't be measured, if so."""
    layers: tuple[int, ...] = ()
    spaces = METHODS[row.method].spaces_of(generator)
    if row.space is None and spaces:
        row = replace(row, space=spaces[0])
    try:
        check_method(row.method, generator, row.space, row.parameters)
        layers = generator.check_layers(None) if row.layers is None else generator.choose_layers(row.layers)
    except (LatentError, ParameterError) as error:
        return row, layers, str(error)
    if row.confine and not generator.can_confine:
        return row, layers, f"this {generator.architecture} cannot confine an edit"
    return row, layers, ""


class Finder:
    """Finds the directions of rows.

    Args:
        rows: resolved.
        layers: those that each row moves.
        num_directions: k, at least what is measured of any row.
    """

    def __init__(
        self,
        generator: Generator,
        rows: Sequence[Row],
        layers: Sequence[tuple[int, ...]],
        num_directions: int,
        analyses: Analyses,
    ) -> None:
        self.generator = generator
        self.rows = rows
        self.layers = layers
        self.num_directions = num_directions
        self.analyses = analyses

    def entries(
        self,
        which: Sequence[int],
        latents: Sequence[Latent],
        region: str,
        drawn: Mapping[str, Region],
        sources: tuple[int, ...],
        place: Callable[[Latent], Mapping[str, Region]] | None = None,
    ) -> Iterator[Entry]:
        """What rows find on latents, jointly, for a region and its variations.

        Args:
            which: the rows' numbers.
            region: its name.
            drawn: the region itself, by its name, and its variations.
            sources: as in `Entry`.
            place: gives what is drawn on a latent's image; None where it is the same on all.
        """
        known: dict[_Key, tuple[Directions | None, Found]] = {}
        for name, area in drawn.items():
            for row in which:
                key = self._key(row, name)
                if key not in known:
                    known[key] = self._find(row, latents, area, _placed(name, self.rows[row], place))
        for row in which:
            own, _ = known[self._key(row, region)]
            for name in drawn:
                directions, found = known[self._key(row, name)]
                both = own is not None and directions is not None and name != region
                angles = angles_between(own, directions) if both else ()  # type: ignore[arg-type]
                yield Entry(row, name, sources, found, directions, angles)

    def adapted(self, entry: Entry, latent: Latent) -> Entry:
        """What was found on others, for the image of a latent; as it is in rows that don't adapt it."""
        row = self.rows[entry.row]
        if entry.directions is None or not row.adapt:
            return entry
        analysis = self.analyses(latent, entry.directions.space, entry.directions.layers)
        return replace(entry, directions=adapt(analysis, entry.directions))

    def _key(self, row: int, drawn: str) -> _Key:
        """What decides about directions."""
        each = self.rows[row]
        given = tuple(sorted(each.parameters.items()))
        return each.method, str(each.space), self.layers[row], given, _feather(each), drawn

    def _find(
        self, row: int, latents: Sequence[Latent], region: Region, place: Place | None
    ) -> tuple[Directions | None, Found]:
        each, layers = self.rows[row], self.layers[row]
        shared, passes = 0.0, 0
        clock = clock_of(self.generator)

        def analysis(latent: Latent, space: str) -> Jacobian:
            nonlocal shared
            alone = self.analyses.seconds_alone(latent, space, layers)
            began = clock()
            jacobian = self.analyses(latent, space, layers)
            shared += clock() - began - alone
            return jacobian

        def count(jacobian: Jacobian) -> None:
            nonlocal passes
            passes += jacobian.passes

        started, before = clock(), self.analyses.seconds_measuring
        directions, problem = None, ""
        try:
            directions = find_directions(
                self.generator,
                latents,
                region.feather(_feather(each)),
                each.method,
                num_directions=self.num_directions,
                space=each.space,
                layers=layers,
                parameters=each.parameters,
                jacobians=analysis,
                on_analysis=count,
                place=place,
            )
            if _feather(each):
                directions = replace(directions, region=region)
        except (RegionError, LatentError) as error:
            problem = str(error)
        seconds = clock() - started - shared - (self.analyses.seconds_measuring - before)
        return directions, Found(float(f"{seconds:.3g}"), passes, problem)


def _placed(name: str, row: Row, place: Callable[[Latent], Mapping[str, Region]] | None) -> Place | None:
    """Where a drawing is on an image, as soft as directions of a row are found for."""
    return None if place is None else lambda latent: place(latent)[name].feather(_feather(row))


def _feather(row: Row) -> float:
    """How much softer than drawn the region is that directions are found for."""
    return row.feather if row.method == CONFINED else 0.0


def angles_between(own: Directions, other: Directions) -> tuple[float, ...]:
    """The angle between the first directions, then the principal angles between all, in degrees."""
    angles = (*principal_angles(own[:1], other[:1]), *principal_angles(own, other))
    return tuple(round(float(angle), 3) for angle in angles)
