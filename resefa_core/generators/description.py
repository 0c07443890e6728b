"""What files record of a generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from ..bounds import shown
from ..errors import ParameterError
from ..plain import MAX_NAME, plain

Value: TypeAlias = str | int | float | bool

_MOST = 32
_MAX_KEY = 64
_KINDS: dict[str, type] = {
    "architecture": str,
    "resolution": int,
    "fingerprint": str,
    "name": str,
    "has_mapping": bool,
    "height": int,
    "width": int,
}


@dataclass(frozen=True, eq=False)
class GeneratorDescription(Mapping[str, Value]):
    """What files record of the generator that something was made with. It reads as a dictionary of what is
    known, too.

    Attributes:
        architecture, resolution, fingerprint, name, has_mapping: as a `Generator` has them; None where
            nothing is known of them.
        height, width: of images that are not square, in pixels.
        further: what other versions of ReSeFa record besides, with its keys.
    """

    architecture: str | None = None
    resolution: int | None = None
    fingerprint: str | None = None
    name: str | None = None
    has_mapping: bool | None = None
    height: int | None = None
    width: int | None = None
    further: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        for key, kind in _KINDS.items():
            value = getattr(self, key)
            if value is not None and type(value) is not kind:
                raise ParameterError(f"the generator's {key} is {shown(value)}, expected {kind.__name__}")

    @classmethod
    def of(cls, told: object) -> GeneratorDescription:
        """What a file or a caller tells of a generator, cut to short plain texts and usual numbers; anything
        else is left out.

        Raises:
            ParameterError: it is no mapping, or a known key has a value of another type.
        """
        if isinstance(told, cls):
            return told
        if not isinstance(told, Mapping):
            raise ParameterError(f"{shown(told)} describes no generator: expected a mapping")
        found: dict[str, Any] = {}
        for key, value in islice(told.items(), _MOST):
            if isinstance(value, str):
                found[plain(str(key), _MAX_KEY)] = plain(value, MAX_NAME)
            elif isinstance(value, (bool, int, float)) and abs(value) < 2**53:
                found[plain(str(key), _MAX_KEY)] = value
        known = {key: found.pop(key) for key in _KINDS if key in found}
        return cls(**known, further=tuple(found.items()))

    def to_json(self) -> dict[str, Value]:
        """What `of` reads back."""
        known = {key: getattr(self, key) for key in _KINDS}
        return {key: value for key, value in known.items() if value is not None} | dict(self.further)

    @property
    def image_sides(self) -> tuple[int, int] | None:
        """Width and height of the images; None where they are not known."""
        if self.resolution is None:
            return None
        side = self.resolution
        return (side if self.width is None else self.width, side if self.height is None else self.height)

    def __getitem__(self, key: str) -> Value:
        return self.to_json()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_json())

    def __len__(self) -> int:
        return len(self.to_json())

    def __or__(self, other: Mapping[str, object]) -> GeneratorDescription:
        """The same with other values, as of dictionaries."""
        return GeneratorDescription.of({**self, **other})
