"""How far to move along the directions of a set, as people write it: by names, a line for each."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ..bounds import STRENGTH, number
from ..defaults import MAX_DIRECTIONS
from ..errors import ParameterError
from ..parsing import parse_keyframes, parse_numbers, parse_strength, parse_which
from .sets import Directions

_MOST_LINES = 4 * MAX_DIRECTIONS


def index_of(directions: Directions, text: str) -> int:
    """The position of a direction that people give by its name, by its number, counted from 0, or as lists
    show it, `NUMBER: NAME`, where the name decides if the set has it.

    Raises:
        ParameterError: there is none.
    """
    given = text.strip()
    if given in directions.names:
        return directions.index(given)
    numbered = re.fullmatch(r"(\d{1,9}): (.*)", given)
    if numbered is None:
        return directions.index(parse_which(given))
    number, name = int(numbered[1]), numbered[2]
    known = name in directions.names and directions.names[number : number + 1] != (name,)
    return directions.index(name if known else number)


def read_strengths(directions: Directions, text: str) -> tuple[dict[int | str, float], str]:
    """Strengths from text, by index, and a note on those of directions that the set does not have.

    Args:
        text: a line `NAME=STRENGTH` for each direction, where a number may stand for a name; strengths are in
            steps. Names that are not in the set are passed over, so that the same text serves several sets.

    Raises:
        ParameterError: a line is not like that, a number is out of range, or there are too many lines.
    """
    found: dict[int | str, float] = {}
    lines, unknown = _lines(directions, text)
    for index, name, value in lines:
        found[index] = found.get(index, 0.0) + _strength(parse_strength(f"{index}={value}")[1], name)
    return found, unknown


def read_keyframes(
    directions: Directions, text: str, frames: int, smooth: bool = False, loop: bool = False
) -> tuple[dict[int | str, list[float]], str]:
    """Strengths for every frame from text, by index, and a note on those of directions that the set does not
    have.

    Args:
        text: a line for each direction: `NAME=0:0, 12:3, 24:0`, strengths in steps at frames counted from 0;
            or `NAME=0, 3, 0`, spread evenly over the frames, so that as many as there are frames are one for
            each.
        frames: how many.
        smooth: ease in and out of every key; otherwise straight lines between them.
        loop: lead from the last key on to the first one, which comes again after the last frame.

    Raises:
        ParameterError: a line is not like that, or a number is out of range.

    Before the first key and after the last one a strength stays, unless it loops.
    """
    found: dict[int | str, list[float]] = {}
    lines, unknown = _lines(directions, text)
    for index, name, value in lines:
        if ":" in value:
            keys = [(float(frame), strength) for frame, strength in parse_keyframes(value)]
        else:
            values = parse_numbers(value)
            last = (frames if loop else frames - 1) / max(len(values) - (0 if loop else 1), 1)
            keys = [(place * last, strength) for place, strength in enumerate(values)]
        for _, strength in keys:
            _strength(strength, name)
        curve = between(keys, frames, smooth, loop)
        known = found.get(index, [0.0] * frames)
        found[index] = [one + other for one, other in zip(known, curve, strict=True)]
    return found, unknown


def between(
    keys: Sequence[tuple[float, float]], frames: int, smooth: bool = False, loop: bool = False
) -> list[float]:
    """The values of frames 0 to `frames` - 1 between keys `(frame, value)` in ascending order.

    Example:
        >>> between([(0, 0.0), (2, 4.0)], 4)
        [0.0, 2.0, 4.0, 4.0]
        >>> between([(0, 0.0), (2, 4.0)], 4, loop=True)
        [0.0, 2.0, 4.0, 2.0]
    """
    if loop:
        keys = [(keys[-1][0] - frames, keys[-1][1]), *keys, (keys[0][0] + frames, keys[0][1])]
    values = []
    for frame in range(frames):
        after = next((place for place, key in enumerate(keys) if key[0] >= frame), len(keys) - 1)
        (start, first), (stop, last) = keys[max(after - 1, 0)], keys[after]
        share = min(max((frame - start) / (stop - start), 0.0), 1.0) if stop > start else 1.0
        share = (1.0 - math.cos(math.pi * share)) / 2.0 if smooth else share
        values.append(first + share * (last - first))
    return values


def _lines(directions: Directions, text: str) -> tuple[list[tuple[int, str, str]], str]:
    """The lines `NAME=VALUE` of a text: the direction's index, its name and the value; and a note on names
    that the set does not have."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > _MOST_LINES:
        raise ParameterError(f"{len(lines)} lines of strengths: expected at most {_MOST_LINES}")
    found = []
    unknown = []
    for line in lines:
        name, separator, value = (part.strip() for part in line.rpartition("="))
        if not separator or not name or not value:
            raise ParameterError(f"{line[:80]!r} is not NAME=STRENGTH, such as smile=2")
        if name not in directions.names and isinstance(parse_which(name), str) and ": " not in name:
            unknown.append(name[:80])
        else:
            found.append((index_of(directions, name), name, value))
    return found, f"note: not among these directions: {', '.join(unknown[:8])}" if unknown else ""


def _strength(value: float, name: str) -> float:
    return number(value, f"the strength of {name[:80]!r}", *STRENGTH)
