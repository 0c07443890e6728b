"""Edits: stacks of moves on a latent, which can be listed, changed, undone, and written to JSON and back."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ..bounds import CONFINE, FEATHER, STEP, STRENGTH, number, whole
from ..defaults import MAX_DIRECTIONS
from ..directions import MAX_FILE_BYTES, Directions
from ..directions.bundled import read_bundled, told_as_bundled
from ..directions.recipes import Recipe, listed
from ..directions.texts import side_of
from ..errors import DirectionFileError, LatentError, ParameterError, RegionError, ReSeFaError
from ..files import DAMAGE
from ..generators.base import Generator
from ..regions import Region
from .codes import Codes
from .editing import Strengths, confinement, move, prepared
from .points import Latent, content_of_text, read_content

MAX_MOVES = 64
"""As many moves as an edit may have."""

EDIT_KEY = "resefa.edit"
"""The name of an edit in the metadata of a latent's file."""

_VERSION = 1
_MAX_NAME = 200
_MAX_SETS = 64
_MAX_EMBEDDED = MAX_FILE_BYTES // 16
_MAX_CARRIED = 700_000
_T = TypeVar("_T")

Find = Callable[[Recipe], Directions]
"""Finds directions again."""


@dataclass(frozen=True, eq=False)
class Move:
    """A move along directions.

    Attributes:
        directions: with the steps that confined edits need where the move is confined; `Move.of` measures
            them. The move is confined to their region.
        strengths: how far along which, by index or name, in steps; zeros are dropped, names become indices.
        confine: in [0, 1]: 0 moves the code everywhere, 1 inside the region only.
        feather: softens a confined move's edge; a fraction of the image's height.
        name: for people; what is changed, or how.

    Raises:
        ParameterError: no such direction, or a number out of range.
    """

    directions: Directions
    strengths: Mapping[int | str, float]
    confine: float = 0.0
    feather: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        amounts: dict[int | str, float] = {}
        for key, value in self.strengths.items():
            index = self.directions.index(key)
            amounts[index] = amounts.get(index, 0.0) + number(value, "strength", *STRENGTH)
        kept = {index: value for index, value in sorted(amounts.items()) if value}
        object.__setattr__(self, "strengths", kept)
        object.__setattr__(self, "confine", number(self.confine, "confine", *CONFINE))
        object.__setattr__(self, "feather", number(self.feather, "feather", *FEATHER))

    @staticmethod
    def of(
        generator: Generator,
        latent: Latent,
        directions: Directions,
        strengths: Strengths,
        confine: float | None = None,
        feather: float | None = None,
        region: Region | None = None,
        name: str = "",
    ) -> Move:
        """A move whose directions are known to fit the generator, with the steps that it needs.

        Args:
            latent: where steps of confined edits are measured, if they have to be.
            confine: None as the directions were found: 1 if they are `confined`, else 0.
            feather: softens a confined move's edge; for None as `confinement` says.
            region: confine the move to this one instead of the directions' own.

        Raises:
            LatentError: the directions don't fit the generator, or can't be confined.
        """
        if region is not None and region is not directions.region:
            directions = replace(directions, region=region, steps_confined=None)
        confine, feather = confinement(directions, confine, feather)
        fitting = prepared(generator, latent, directions, confine, feather)
        own = "" if fitting.region is None else fitting.region.name
        return Move(fitting, strengths, confine, feather, name or own)

    @property
    def region(self) -> Region | None:
        """What the move is confined to; None where it isn't."""
        return self.directions.region if self.confine else None

    @property
    def words(self) -> str:
        """The move in a line: `mouth: direction 0 +2, confined`."""
        amounts = ", ".join(f"{self.directions.names[i]} {value:+g}" for i, value in self.amounts())
        confined = (
            "" if not self.confine else ", confined" + (f" {self.confine:g}" if self.confine < 1 else "")
        )
        return f"{self.name}: {amounts}{confined}" if self.name else amounts + confined

    @property
    def brief(self) -> str:
        """The move in a few words, of directions by what they do to that side: `mouth opens, wider`."""
        told = [side_of(self.directions.names[i], value) for i, value in self.amounts()]
        return f"{self.name} {', '.join(told)}".strip().replace("_", " ")

    def amounts(self) -> list[tuple[int, float]]:
        """The strengths by index."""
        return [(self.directions.index(key), value) for key, value in self.strengths.items()]

    def with_strengths(self, strengths: Strengths) -> Move:
        """The same move with other strengths."""
        return replace(self, strengths=strengths)

    def apply(self, latent: Latent) -> Latent:
        """Move latents; see `move`."""
        if not self.strengths:
            return latent
        return move(latent, self.directions, self.strengths, self.confine, self.feather)


@dataclass(frozen=True, eq=False)
class Edit:
    """A stack of moves, applied one after the other. It is a value: what changes it returns another one.

    Example:
        >>> edit = Edit()
        >>> len(edit), bool(edit)
        (0, False)
    """

    moves: tuple[Move, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "moves", tuple(self.moves))
        if len(self.moves) > MAX_MOVES:
            raise ParameterError(f"{len(self.moves)} moves: an edit has at most {MAX_MOVES}; take back some")

    def __len__(self) -> int:
        return len(self.moves)

    def __iter__(self) -> Iterator[Move]:
        return iter(self.moves)

    def __getitem__(self, index: int) -> Move:
        return self.moves[self._at(index)]

    def _at(self, index: int) -> int:
        if type(index) is not int or not -len(self) <= index < len(self):
            raise ParameterError(f"move {str(index)[:40]} is out of range: the edit has {len(self)}")
        return index % len(self)

    def add(self, move: Move) -> Edit:
        """The edit with one more move, on top."""
        return Edit((*self.moves, move))

    def replace(self, index: int, move: Move) -> Edit:
        """The edit with another move in the place of one."""
        index = self._at(index)
        return Edit((*self.moves[:index], move, *self.moves[index + 1 :]))

    def remove(self, index: int) -> Edit:
        """The edit without one of its moves; those above it stay."""
        index = self._at(index)
        return Edit((*self.moves[:index], *self.moves[index + 1 :]))

    @property
    def words(self) -> list[str]:
        """The moves in words, a line each."""
        return [move.words for move in self.moves]

    def check(self, generator: Generator) -> None:
        """Raise LatentError unless all directions fit a generator."""
        for each in self.moves:
            each.directions.check(generator)

    def apply(self, latent: Latent) -> Latent:
        """Latents after all moves, which also know what led to them (`Latent.made_by`).

        Raises:
            LatentError: directions do not fit the latent.
        """
        moved = latent
        for each in self.moves:
            moved = each.apply(moved)
        if moved is latent:
            return latent
        before = latent.made_by
        known = before is not None and before.leads_to(latent)
        first = before.original if before is not None and known else replace(latent, made_by=None)
        moves = (*before.edit.moves, *self.moves) if before is not None and known else self.moves
        if len(moves) > MAX_MOVES:
            return replace(moved, made_by=None, crop=None)
        return replace(moved, made_by=Edited(first, Edit(moves)))

    def scaled(self, amount: float) -> Edit:
        """The same moves, each this many times as far."""
        return Edit(
            tuple(
                each.with_strengths({index: amount * value for index, value in each.amounts()})
                for each in self.moves
            )
        )

    @property
    def is_found(self) -> bool:
        """Whether all directions are told briefly, so that a link can tell the edit."""
        return all(is_told_briefly(each.directions) for each in self.moves)

    def to_json(self, embed: bool = False) -> dict[str, Any]:
        """The edit as JSON.

        Args:
            embed: write the vectors that are moved along. Otherwise they are told by how they were found,
                where that is known.
        """
        return {"version": _VERSION, **moves_to_json(self.moves, embed)}

    @staticmethod
    def from_json(data: object, find: Find | None = None) -> Edit:
        """Undo `to_json`; the data may come from a stranger.

        Args:
            find: finds directions that are told by how they were found. Called once for each set, after
                everything else was checked.

        Raises:
            ParameterError: the data are no edit, or tell of directions to be found without a `find`.
            DirectionFileError, RegionError, LatentError: a part of it is damaged.
        """
        if not isinstance(data, Mapping) or data.get("version") != _VERSION:
            raise ParameterError(f"not an edit of version {_VERSION}")
        return Edit(tuple(moves_from_json(data, find, MAX_MOVES)))


def moves_to_json(moves: Sequence[Move], embed: bool = False) -> dict[str, Any]:
    """Moves as JSON, each direction set once; see `Edit.to_json`."""
    sets: list[dict[str, Any]] = []
    places: dict[object, tuple[int, dict[int, int]]] = {}
    told_moves = []
    for each in moves:
        used = tuple(index for index, _ in each.amounts())
        key = (id(each.directions), used if embed else ())
        if key not in places:
            told, indices = _told(each, embed)
            same = [place for place, known in enumerate(sets) if known == told]
            places[key] = (same[0] if same else len(sets), indices)
            if not same:
                sets.append(told)
        place, indices = places[key]
        data: dict[str, Any] = {
            "set": place,
            "strengths": {str(indices[i]): value for i, value in each.amounts()},
            "name": each.name,
        }
        if each.confine:
            data |= _confined(each, indices, embed)
        told_moves.append(data)
    return {"sets": sets, "moves": told_moves}


def moves_from_json(data: Mapping[str, Any], find: Find | None, most: int) -> list[Move]:
    """Undo `moves_to_json`, for at most so many; see `Edit.from_json`."""
    told = [_read_set(each) for each in listed(data.get("sets"), "sets", _MAX_SETS)]
    drafts = [_read_move(each, len(told)) for each in listed(data.get("moves"), "moves", most)]
    sets = [_found(each, names, find) for each, names in told]
    return [draft.of(sets[draft.set]) for draft in drafts]


def is_told_briefly(directions: Directions) -> bool:
    """Whether directions can be told without their vectors: they can be found again, or are bundled."""
    return directions.recipe is not None or told_as_bundled(directions) is not None


def directions_to_json(directions: Directions, embed: bool = False) -> dict[str, Any]:
    """A direction set as JSON: how it was found, or its name where it comes with the package, unless it is to
    be embedded; else its file.

    Raises:
        DirectionFileError: the file would be too large.
    """
    if directions.recipe is not None and not embed:
        return {"found": directions.recipe.to_json(), "names": list(directions.names)}
    bundled = None if embed else told_as_bundled(directions)
    if bundled is not None:
        region = None if directions.region is None else directions.region.to_json(embed=True)
        return {**bundled, "names": list(directions.names), "region": region}
    data = replace(directions, thumbnail=None).to_bytes()
    if len(data) > _MAX_EMBEDDED:
        raise DirectionFileError(
            f"directions of {len(data)} bytes: expected up to {_MAX_EMBEDDED >> 20} MB to embed"
        )
    return {"file": base64.b64encode(data).decode("ascii")}


def directions_from_json(data: object, find: Find | None = None) -> Directions:
    """Undo `directions_to_json`; see `Edit.from_json`."""
    return _found(*_read_set(data), find)


def _told(move: Move, embed: bool) -> tuple[dict[str, Any], dict[int, int]]:
    """A move's directions as JSON, and the index there of each that is moved along."""
    directions = move.directions
    if not embed:
        with contextlib.suppress(DirectionFileError):
            return directions_to_json(directions), {index: index for index in range(len(directions))}
    used = [index for index, _ in move.amounts()] or [0]
    slim = replace(directions[used], base_codes=None, description="")
    return directions_to_json(slim, embed=True), {index: place for place, index in enumerate(used)}


def _confined(move: Move, indices: Iterable[int], embed: bool) -> dict[str, Any]:
    """What only a confined move has: how far, how softly, its region unless the set tells that exactly, and
    the steps of its directions there."""
    directions, recipe = move.directions, move.directions.recipe
    data: dict[str, Any] = {"confine": move.confine, "feather": move.feather}
    assert directions.region is not None
    assert directions.steps_confined is not None
    bundled = not embed and recipe is None and told_as_bundled(directions) is not None
    told_by_set = bundled or (recipe is not None and not embed and directions.region is recipe.region)
    told_by_file = not bundled and (recipe is None or embed) and directions.region.to_json() != {"mask": True}
    if told_by_file:
        return data
    steps = directions.steps_confined.tolist()
    data["steps"] = [steps[index] for index in indices]
    return data if told_by_set else data | {"region": directions.region.to_json(embed=True)}


def _read_set(data: object) -> tuple[Recipe | Directions, list[str] | None]:
    if isinstance(data, Mapping) and "found" in data:
        recipe = Recipe.from_json(data["found"])
        return recipe, None if data.get("names") is None else _names(data, recipe.count)
    if isinstance(data, Mapping) and "bundled" in data:
        known = read_bundled(data)
        if data.get("region") is not None:
            known = replace(known, region=Region.from_json(data["region"]))
        return known.renamed(dict(enumerate(_names(data, len(known))))), None
    text = data.get("file") if isinstance(data, Mapping) else None
    if not isinstance(text, str) or len(text) > _MAX_EMBEDDED * 4 // 3 + 4:
        raise ParameterError(
            "a direction set of an edit is neither found, nor bundled, nor a file of up to 4 MB"
        )
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise DirectionFileError(f"the directions in this edit are damaged: {error}") from error
    return Directions.from_bytes(content), None


def _names(data: Mapping[str, Any], most: int) -> list[str]:
    return [_name(each) for each in listed(data.get("names"), "names", most)]


def _found(told: Recipe | Directions, names: list[str] | None, find: Find | None) -> Directions:
    if isinstance(told, Directions):
        return told
    if find is None:
        raise ParameterError("this edit tells how its directions were found, and nothing can find them here")
    found = find(told)
    if names is None:
        return found
    if len(names) > len(found):
        raise ParameterError(f"{len(names)} names were given for {len(found)} directions")
    return found.renamed(dict(enumerate(names)))


@dataclass(frozen=True, eq=False)
class _Draft:
    """A move whose directions are not there yet."""

    set: int
    strengths: dict[int | str, float]
    confine: float
    feather: float
    name: str
    region: Region | None
    steps: list[float] | None

    def of(self, directions: Directions) -> Move:
        if self.region is not None:
            directions = replace(directions, region=self.region, steps_confined=None)
        if self.steps is not None:
            if len(self.steps) != len(directions):
                raise ParameterError(f"{len(self.steps)} steps for {len(directions)} directions")
            directions = replace(directions, steps_confined=torch.tensor(self.steps))
        if self.confine and directions.steps_confined is None:
            raise ParameterError("a confined move does not say how far its steps are")
        if self.confine and directions.region is None:
            raise ParameterError("a confined move has no region")
        return Move(directions, self.strengths, self.confine, self.feather, self.name)


def _read_move(data: object, sets: int) -> _Draft:
    if not isinstance(data, Mapping):
        raise ParameterError("a move of an edit is not an object")
    given = data.get("strengths")
    if not isinstance(given, Mapping) or len(given) > MAX_DIRECTIONS:
        raise ParameterError("a move's strengths are not an object of numbers by index")
    strengths: dict[int | str, float] = {}
    for key, value in given.items():
        if not isinstance(key, str) or not key.isascii() or not key.isdigit() or len(key) > 4:
            raise ParameterError(f"a move's strengths have {str(key)[:40]!r} where an index was expected")
        strengths[int(key)] = number(value, "strength", *STRENGTH)
    steps = data.get("steps")
    return _Draft(
        set=whole(data.get("set"), "set", 0, sets - 1),
        strengths=strengths,
        confine=number(data.get("confine", 0.0), "confine", *CONFINE),
        feather=number(data.get("feather", 0.0), "feather", *FEATHER),
        name=_name(data.get("name", "")),
        region=Region.from_json(data["region"]) if "region" in data else None,
        steps=None
        if steps is None
        else [number(step, "step", *STEP) for step in listed(steps, "steps", MAX_DIRECTIONS)],
    )


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_NAME or not value.isprintable():
        raise ParameterError(f"a name of an edit is not plain text of at most {_MAX_NAME} characters")
    return value


@dataclass(frozen=True, eq=False)
class Edited:
    """A latent and an edit of it.

    Attributes:
        original: where it starts; a batch is edited alike.
        edit: the moves.
    """

    original: Latent
    edit: Edit = field(default_factory=Edit)

    @cached_property
    def latent(self) -> Latent:
        """The latent after the edit; its files carry both."""
        return self.edit.apply(self.original)

    def __getitem__(self, index: int | slice) -> Edited:
        """One latent of the batch, or several, edited alike."""
        return Edited(self.original[index], self.edit)

    def leads_to(self, latent: Latent) -> bool:
        """Whether the edit makes this latent, but for rounding: it may have been changed since."""
        try:
            made = self.edit.apply(self.original)
        except LatentError:
            return False
        return _close(made, latent)

    def metadata(self, latent: Latent) -> dict[str, str]:
        """What a file of a latent keeps of the edit, beside the latent as it is: nothing where that was made
        otherwise, or where it would be too long."""
        if not self.leads_to(latent):
            return {}
        try:
            told = {
                "original": replace(self.original, made_by=None).to_text(),
                **self.edit.to_json(embed=True),
            }
        except ReSeFaError:
            return {}
        text = json.dumps(told, separators=(",", ":"))
        return {EDIT_KEY: text} if len(text) <= _MAX_CARRIED else {}

    @staticmethod
    def load(path: str | PathLike[str]) -> Edited:
        """Read a latent with the edit that led to it, from a file of `Latent.save` or a PNG; one without an
        edit, as older versions and other programs write them, starts where it is.

        Raises:
            LatentError: the file is no latent, or its edit is damaged.
        """
        file = Path(path)
        content = read_content(file)
        if isinstance(content, Codes):
            return Edited(Latent(codes=content.values))
        return Edited.of_content(file, *content)

    @staticmethod
    def of_content(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Edited:
        """A latent and its edit in what `read_content` gave; `file` is for the errors."""
        text = metadata.get(EDIT_KEY)
        latent = Latent.from_file_content(file, tensors, metadata)
        if text is None:
            return Edited(latent)
        try:
            told = json.loads(text)
            edit = Edit.from_json(told)
            place = Path(f"{file}, its original")
            original = Latent.from_file_content(place, *content_of_text(place, told["original"]))
            edited = Edited(original, edit)
            whole = edited.leads_to(latent)
        except (ParameterError, DirectionFileError, RegionError, *DAMAGE) as error:
            raise LatentError(f"{file}: the edit in this file is damaged: {error}") from error
        if not whole:
            return Edited(latent)
        edited.__dict__["latent"] = replace(latent, made_by=edited)  # as it was written, to the bit
        return edited


def _close(first: Latent, second: Latent) -> bool:
    """Whether two latents are the same, but for rounding."""
    if len(first.confined) != len(second.confined) or len(first) != len(second):
        return False
    pairs = [(getattr(first, name), getattr(second, name)) for name in _OFFSETS]
    for one, other in zip(first.confined, second.confined, strict=True):
        if abs(one.confine - other.confine) > 1e-6:
            return False
        pairs += [(getattr(one, name), getattr(other, name)) for name in ("codes", "styles", "z")]
    for mine, theirs in pairs:
        if (mine is None) != (theirs is None):
            return False
        if mine is None:
            continue
        a, b = mine.detach().float().cpu(), theirs.detach().float().cpu()
        if a.shape != b.shape or not torch.allclose(a, b, rtol=1e-4, atol=1e-5):
            return False
    return True


_OFFSETS = ("codes", "z", "z_offset", "style_offset", "label")


@dataclass(frozen=True, eq=False)
class History(Generic[_T]):
    """What was, is and was taken back: values that are never changed. It is a value itself.

    Example:
        >>> history = History.start("a").push("b").push("c").undo()
        >>> history.present, history.redo().present, history.push("d").can_redo
        ('b', 'c', False)
    """

    states: tuple[_T, ...]
    at: int = 0
    most: int = 100

    @staticmethod
    def start(present: _T) -> History[_T]:
        """A history without a past."""
        return History((present,))

    @property
    def present(self) -> _T:
        return self.states[self.at]

    @property
    def can_undo(self) -> bool:
        return self.at > 0

    @property
    def can_redo(self) -> bool:
        return self.at + 1 < len(self.states)

    def push(self, present: _T) -> History[_T]:
        """Go on from the present; what was taken back is forgotten, and so is what is long past."""
        states = (*self.states[: self.at + 1], present)[-self.most :]
        return replace(self, states=states, at=len(states) - 1)

    def amend(self, present: _T) -> History[_T]:
        """Put another value in the place of the present one, as if that had not been."""
        states = (*self.states[: self.at], present)
        return replace(self, states=states)

    def undo(self) -> History[_T]:
        """One step back; itself at the beginning."""
        return replace(self, at=self.at - 1) if self.can_undo else self

    def redo(self) -> History[_T]:
        """One step forth; itself at the end."""
        return replace(self, at=self.at + 1) if self.can_redo else self
