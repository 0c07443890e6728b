"""What people type, as values: seeds, strengths, directions, parameters of methods, confinement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from .bounds import CONFINE, number
from .errors import ParameterError

_MAX_SEEDS = 4096


def parse_seeds(text: str) -> list[int]:
    """`7`, `0-15`, `1,4,9-12` as a list of whole numbers; also for layers.

    Raises:
        ParameterError: anything else.

    Example:
        >>> parse_seeds("1,4,9-12")
        [1, 4, 9, 10, 11, 12]
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part.strip())
        if match is None:
            raise ParameterError(f"{part[:80]!r} is not a whole number or a range like 0-15")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + _MAX_SEEDS:
            raise ParameterError(f"{part!r} is not an ascending range of at most {_MAX_SEEDS}")
        numbers.extend(range(first, last + 1))
    return numbers


def parse_images(text: str) -> Sequence[int]:
    """As `parse_seeds`, but a single range may be of any length: it is not made a list of.

    Raises:
        ParameterError: anything else.

    Example:
        >>> parse_images("0-99999999"), parse_images("1,4-5")
        (range(0, 100000000), [1, 4, 5])
    """
    match = re.fullmatch(r"([0-9]{1,10})-([0-9]{1,10})", text.strip())
    if match is None or int(match[2]) < int(match[1]):
        return parse_seeds(text)
    return range(int(match[1]), int(match[2]) + 1)


def shown_seeds(seeds: Sequence[int]) -> str:
    """Seeds as `parse_seeds` reads them, runs as ranges.

    Example:
        >>> shown_seeds([1, 4, 9, 10, 11])
        '1,4,9-11'
    """
    if isinstance(seeds, range) and seeds and seeds.step == 1:
        return f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def parse_numbers(text: str) -> list[float]:
    """`-4,0,4` as a list of numbers.

    Raises:
        ParameterError: anything else.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ParameterError(f"{text[:80]!r} is not a list of numbers like -4,0,4") from error


def parse_face(text: str) -> list[list[float]] | Literal["auto"]:
    """Six numbers as the points of a face: both eyes and the mouth, x and y each; or `auto`, to have them
    found.

    Raises:
        ParameterError: anything else.

    Example:
        >>> parse_face("310,420,470,410,400,590")
        [[310.0, 420.0], [470.0, 410.0], [400.0, 590.0]]
    """
    if text.strip() == "auto":
        return "auto"
    numbers = parse_numbers(text)
    if len(numbers) != 6:
        raise ParameterError(
            f"the face has {len(numbers)} numbers: expected x and y of both eyes and the mouth"
        )
    return [numbers[start : start + 2] for start in (0, 2, 4)]


def parse_which(text: str) -> int | str:
    """A direction by its index, or by its name.

    Example:
        >>> parse_which("-1"), parse_which("smile")
        (-1, 'smile')
    """
    return int(text) if re.fullmatch(r"-?\d{1,9}", text.strip()) else text.strip()


def parse_strength(text: str) -> tuple[int | str, float]:
    """`0=2.5` or `smile=-1` as a direction and how far to move along it.

    Raises:
        ParameterError: anything else.
    """
    name, separator, value = text.rpartition("=")
    number = _float(value)
    if not separator or not name or number is None:
        raise ParameterError(f"{text[:80]!r} is not like 0=2.5 or smile=-1")
    return parse_which(name), number


def parse_keyframes(text: str) -> list[tuple[int, float]]:
    """`0:0, 12:3, 24:0`, numbers at frames counted from 0, in their order.

    Raises:
        ParameterError: anything else, or a frame twice.

    Example:
        >>> parse_keyframes("12:3, 0:-1.5")
        [(0, -1.5), (12, 3.0)]
    """
    keys: dict[int, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*:(.*)", part)
        value = None if match is None else _float(match[2])
        if match is None or value is None or int(match[1]) in keys:
            raise ParameterError(f"{part[:80]!r} is not FRAME:NUMBER, such as 12:3, each frame once")
        keys[int(match[1])] = value
    return sorted(keys.items())


def parse_parameters(texts: Iterable[str] | str) -> dict[str, float]:
    """`regularization=0.01`, several times, as parameters of a method.

    Args:
        texts: one each, or all in a text, separated by commas or line breaks.

    Raises:
        ParameterError: anything else.

    Example:
        >>> parse_parameters(["num_samples=20", "candidates = 8"])
        {'num_samples': 20.0, 'candidates': 8.0}
        >>> parse_parameters("num_samples=20, candidates=8")
        {'num_samples': 20.0, 'candidates': 8.0}
    """
    if isinstance(texts, str):
        texts = [part for part in re.split(r"[,\n]", texts) if part.strip()]
    parameters = {}
    for text in texts:
        name, separator, value = text.partition("=")
        number = _float(value)
        if not separator or not name.strip() or number is None:
            raise ParameterError(f"{text[:80]!r} is not like regularization=0.01")
        parameters[name.strip()] = number
    return parameters


def parse_confine(value: object) -> float:
    """How far edits are confined to the region: a number from 0 to 1, or whether they are (True is 1).

    Raises:
        ParameterError: anything else.

    Example:
        >>> parse_confine("0.5"), parse_confine(True)
        (0.5, 1.0)
    """
    if isinstance(value, str):
        given = _float(value)
        return number(value if given is None else given, "confine", *CONFINE)
    return number(float(value) if isinstance(value, bool) else value, "confine", *CONFINE)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def parse_numbered_names(text: str) -> tuple[list[int], str]:
    """`3,7-9=hair` as numbers and a name.

    Raises:
        ParameterError: anything else.

    Example:
        >>> parse_numbered_names("3,7-9=hair")
        ([3, 7, 8, 9], 'hair')
    """
    numbers, sign, name = text.partition("=")
    if not sign or not name.strip():
        raise ParameterError(f"{text[:80]!r}: expected NUMBERS=NAME, such as 3,7=hair")
    return parse_seeds(numbers), name.strip()
