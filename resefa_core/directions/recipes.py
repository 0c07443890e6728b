"""How images and directions were made, in short: enough to make them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..bounds import TRUNCATION, number, shown, whole
from ..defaults import MAX_DIRECTIONS
from ..errors import LatentError, ParameterError, ReSeFaError
from ..generators.base import Generator
from ..latents import Latent
from ..latents.samples import SEEDS, check_samples
from ..regions import Region

if TYPE_CHECKING:
    from ..analysis import KindChoice

_MAX_LAYERS = 1000
_MAX_PARAMETERS = 32
_MAX_NAME = 100
_VERSION = 2
_KINDS = ("auto", "dense", "matrix-free")


@dataclass(frozen=True, eq=False)
class Point:
    """An image's latent, by its seed where that tells it, else by its codes.

    Attributes:
        seed, truncation, label, truncation_layers: what `Generator.sample` takes; the seed is None where the
            latent is given.
        given: a latent that no seed leads to, a batch of one.
    """

    seed: int | None = None
    truncation: float = 1.0
    label: int | None = None
    truncation_layers: int | None = None
    given: Latent | None = None

    @staticmethod
    def of(latent: Latent, generator: Generator) -> Point:
        """The point of a latent, a batch of one."""
        if latent.seed is not None:
            label = None if latent.label is None else int(latent.label[0])
            point = Point(latent.seed[0], latent.truncation, label, latent.truncation_layers)
            try:
                if point.latent(generator).digest == latent.digest:
                    return point
            except LatentError:  # of another generator
                pass
        return Point(given=replace(latent, made_by=None))

    def latent(self, generator: Generator) -> Latent:
        """The latent of the point.

        Raises:
            LatentError: it doesn't fit the generator.
        """
        if self.given is not None:
            generator.check_latent(self.given)
            return self.given
        assert self.seed is not None
        return generator.sample(self.seed, self.truncation, self.label, self.truncation_layers)

    def to_json(self) -> dict[str, Any]:
        """The point as JSON; a latent that no seed leads to as text in base64.

        Raises:
            LatentError: the latent is too large for that.
        """
        if self.given is not None:
            return {"latent": self.given.to_text()}
        values = {"seed": self.seed, "truncation": self.truncation}
        further = {"class": self.label, "truncation_layers": self.truncation_layers}
        return values | {name: value for name, value in further.items() if value is not None}

    @staticmethod
    def from_json(data: object) -> Point:
        """Undo `to_json`; the data may come from a stranger.

        Raises:
            LatentError: the data are no point.
        """
        given = _object(data, "a point", LatentError)
        if "latent" in given:
            latent = Latent.from_text(_text(given["latent"], "latent", 1 << 20, LatentError))
            if len(latent) != 1:
                raise LatentError(f"a point with {len(latent)} latents: expected one")
            return Point(given=latent)
        label, layers = given.get("class"), given.get("truncation_layers")
        return Point(
            whole(given.get("seed"), "seed", 0, SEEDS - 1, LatentError),
            number(given.get("truncation", 1.0), "truncation", *TRUNCATION, LatentError),
            None if label is None else whole(label, "class", 0, 1 << 20, LatentError),
            None if layers is None else whole(layers, "truncation_layers", 0, _MAX_LAYERS, LatentError),
        )


@dataclass(frozen=True, eq=False)
class Recipe:
    """How directions were found.

    Attributes:
        generator: the fingerprint of the generator.
        points: the images that were given.
        region: what the directions change, as soft as it was when they were found.
        method: a key of `METHODS`.
        space, layers: where they live, and the layers that they move.
        count: how many were asked for.
        samples: how many images were solved together, in all; see `joint_samples`.
        parameters: of the method: all of them, so that later defaults change nothing; those that were given
            where `complete` is false.
        kind: of the analyses: formed, only applied, or by sizes.
        chosen: which of the directions found these are; all for None.
        own_parts: None where the region is in the same place on all images. Else each has its own, those
            without a part are left out, and this is the digest of the parts that names stand for; empty where
            parts were clicked.
        complete: whether it says every parameter; recipes of earlier versions don't.
    """

    generator: str
    points: tuple[Point, ...]
    region: Region
    method: str
    space: str
    layers: tuple[int, ...]
    count: int
    samples: int = 1
    parameters: Mapping[str, float] = field(default_factory=dict)
    kind: KindChoice = "auto"
    chosen: tuple[int, ...] | None = None
    own_parts: str | None = None
    complete: bool = True

    def take(self, indices: Sequence[int]) -> Recipe:
        """The recipe of some of the directions."""
        before = self.chosen
        chosen = tuple(indices) if before is None else tuple(before[index] for index in indices)
        return replace(self, chosen=chosen)

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON."""
        data: dict[str, Any] = {
            "generator": self.generator,
            "points": [point.to_json() for point in self.points],
            "region": self.region.to_json(embed=True),
            "method": self.method,
            "space": self.space,
            "layers": list(self.layers),
            "count": self.count,
            "samples": self.samples,
            "parameters": dict(self.parameters),
        }
        if self.complete:
            data["version"] = _VERSION
        if self.kind != "auto":
            data["kind"] = self.kind
        if self.own_parts is not None:
            data["own_parts"] = self.own_parts
        return data if self.chosen is None else data | {"chosen": list(self.chosen)}

    @staticmethod
    def from_json(data: object) -> Recipe:
        """Undo `to_json`; the data may come from a stranger.

        Raises:
            ParameterError, RegionError, LatentError: the data are no recipe.
        """
        given = _object(data, "a recipe")
        points = tuple(Point.from_json(point) for point in listed(given.get("points"), "points", 64))
        layers, chosen, own_parts = given.get("layers"), given.get("chosen"), given.get("own_parts")
        count = whole(given.get("count"), "count", 1, MAX_DIRECTIONS)
        parameters = _object(given.get("parameters", {}), "parameters")
        if len(parameters) > _MAX_PARAMETERS:
            raise ParameterError(f"{len(parameters)} parameters are more than a method has")
        samples = check_samples(given.get("samples", 1))
        if not 1 <= len(points) <= samples:
            raise ParameterError(f"{len(points)} points for {samples} samples: expected 1 to {samples}")
        version = whole(given.get("version", 1), "version of a recipe", 1, _VERSION)
        kind = given.get("kind", "auto")
        if kind not in _KINDS:
            raise ParameterError(f"kind {shown(kind)}: expected one of {', '.join(_KINDS)}")
        return Recipe(
            generator=_text(given.get("generator"), "generator"),
            points=points,
            region=Region.from_json(given.get("region")),
            method=_text(given.get("method"), "method"),
            space=_text(given.get("space"), "space"),
            layers=tuple(whole(layer, "layer", 0, _MAX_LAYERS) for layer in listed(layers, "layers", 1000)),
            count=count,
            samples=samples,
            parameters={
                _text(name, "parameter"): number(value, str(name)[:40], -1e9, 1e9)
                for name, value in parameters.items()
            },
            kind=kind,
            chosen=None
            if chosen is None
            else tuple(whole(index, "chosen", 0, count - 1) for index in listed(chosen, "chosen", count)),
            own_parts=None if own_parts is None else _text(own_parts, "own_parts"),
            complete=version > 1,
        )


def listed(value: object, what: str, most: int, error: type[ReSeFaError] = ParameterError) -> list[Any]:
    """A value of JSON as a list; raises `error` for anything else, or one that is too long."""
    if not isinstance(value, list) or len(value) > most:
        raise error(f"{what} {shown(value)}: expected a list of at most {most}")
    return value


def _object(value: object, what: str, error: type[ReSeFaError] = ParameterError) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise error(f"{what} was expected as an object, got {shown(value)}")
    return value


def _text(value: object, what: str, most: int = _MAX_NAME, error: type[ReSeFaError] = ParameterError) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > most:
        raise error(f"{what} {shown(value)}: expected plain text of at most {most} characters")
    return value
