"""Sessions as JSON, and as text for links."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..bounds import whole
from ..defaults import LARGEST_JOINT
from ..directions import Directions
from ..directions.recipes import Point, Recipe, listed
from ..errors import LatentError, ParameterError
from ..generators.base import Generator
from ..generators.description import GeneratorDescription
from ..latents import Latent, stack
from ..latents.edits import (
    Edit,
    Edited,
    Find,
    History,
    Move,
    directions_from_json,
    directions_to_json,
    moves_from_json,
    moves_to_json,
)
from ..regions import Region

_VERSION = 1
_MOST_STATES = 40
_MOST_MOVES = 512
_MAX_TEXT = 60_000
_MAX_JSON = 4 << 20
_TEXT = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, eq=False)
class State:
    """What a session remembers: small, whatever the size of the generator.

    Attributes:
        history: the images and their edits, as they were, are and were taken back.
        selected: the region, or None.
        directions: the last ones found, or None.
    """

    history: History[Edited]
    selected: Region | None
    directions: Directions | None


def write_state(generator: Generator, state: State, embed: bool, history: bool) -> dict[str, Any]:
    """A state as JSON; see `Session.to_json`."""
    past = state.history
    first = max(0, past.at - _MOST_STATES + 1) if history else past.at
    states = past.states[first : first + _MOST_STATES] if history else (past.present,)
    originals: dict[str, Latent] = {}
    moves: list[Move] = []
    places: dict[int, int] = {}
    told = []
    for each in states:
        originals.setdefault(each.original.digest, each.original)
        for move in each.edit:
            if id(move) not in places:
                places[id(move)] = len(moves)
                moves.append(move)
        place = list(originals).index(each.original.digest)
        told.append({"original": place, "moves": [places[id(move)] for move in each.edit]})
    known = generator.describe()
    directions = state.directions
    return {
        "version": _VERSION,
        "generator": {
            "architecture": known.architecture,
            "name": known.name,
            "fingerprint": known.fingerprint,
        },
        "originals": [
            [Point.of(latent[index], generator).to_json() for index in range(len(latent))]
            for latent in originals.values()
        ],
        **moves_to_json(moves, embed),
        "states": told,
        "at": past.at - first,
        "region": None if state.selected is None else state.selected.to_json(embed=True),
        "directions": None if directions is None else directions_to_json(directions, embed),
    }


def read_state(generator: Generator, data: object, find: Find) -> State:
    """Undo `write_state`; see `Session.from_json`. Each set of directions is found once."""
    if not isinstance(data, Mapping) or data.get("version") != _VERSION:
        raise ParameterError(f"not a session of version {_VERSION}")
    fingerprint = GeneratorDescription.of(data.get("generator")).fingerprint
    if fingerprint != generator.fingerprint:
        raise LatentError(
            f"this is a session of another generator than {generator.name}: "
            f"one of fingerprint {str(fingerprint)[:12]}"
        )
    originals = [
        _original(generator, points) for points in listed(data.get("originals"), "originals", _MOST_STATES)
    ]
    region = None if data.get("region") is None else Region.from_json(data["region"])
    drafts = listed(data.get("states"), "states", _MOST_STATES)
    at = whole(data.get("at"), "at", 0, len(drafts) - 1)
    known: dict[str, Directions] = {}

    def found(recipe: Recipe) -> Directions:
        key = json.dumps(recipe.to_json())
        if key not in known:
            known[key] = find(recipe)
        return known[key]

    moves = moves_from_json(data, found, _MOST_MOVES)
    states = tuple(_state(draft, originals, moves) for draft in drafts)
    directions = None if data.get("directions") is None else directions_from_json(data["directions"], found)
    for each in states:
        each.edit.check(generator)
    if directions is not None:
        directions.check(generator)
    return State(History(states, at), region, directions)


def _original(generator: Generator, data: object) -> Latent:
    latents = [Point.from_json(point).latent(generator) for point in listed(data, "points", LARGEST_JOINT)]
    return latents[0] if len(latents) == 1 else stack(latents)


def _state(data: object, originals: list[Latent], moves: list[Move]) -> Edited:
    if not isinstance(data, Mapping):
        raise ParameterError("a state of a session is not an object")
    original = originals[whole(data.get("original"), "original", 0, len(originals) - 1)]
    chosen = [
        whole(index, "move", 0, len(moves) - 1) for index in listed(data.get("moves"), "moves", _MOST_MOVES)
    ]
    return Edited(original, Edit(tuple(moves[index] for index in chosen)))


def pack(data: Mapping[str, Any]) -> str:
    """JSON as text for a link: letters, digits, `-` and `_`."""
    packed = zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")


def unpack(text: str) -> dict[str, Any]:
    """Undo `pack`; the text may come from a stranger.

    Raises:
        ParameterError: it is damaged, or too long.

    Example:
        >>> unpack(pack({"version": 1}))
        {'version': 1}
    """
    try:
        if len(text) > _MAX_TEXT or not _TEXT.fullmatch(text):
            raise ValueError("it is too long, or has other letters than links have")
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), _MAX_JSON)
        if not unpacking.eof or unpacking.unused_data:
            raise ValueError("it is too long, or cut short")
        data = json.loads(content)
    except (ValueError, RecursionError, zlib.error) as error:
        raise ParameterError(f"this link is damaged: {str(error)[:80]}") from error
    if not isinstance(data, dict):
        raise ParameterError("this link is damaged: it holds no session")
    return data
