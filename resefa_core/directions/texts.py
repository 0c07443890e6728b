"""What directions say in words: plain text of bounded length, and what is known of their generator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_NAME = 200
MAX_TEXT = 4096

_UNPLAIN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def is_plain(text: object, limit: int, one_line: bool = False) -> bool:
    if not isinstance(text, str) or not text or len(text) > limit:
        return False
    return plain(text, limit) == text and not (one_line and set(text) & set("\t\n\r"))


def plain(text: str, limit: int) -> str:
    """Text without control characters, lone surrogates and what turns the reading direction round."""
    return _UNPLAIN.sub("", text)[:limit]


def side_of(name: str, strength: float) -> str:
    """What a move along a direction does, in a word, of a name that says it for both sides; else the name and
    the strength.

    Example:
        >>> side_of("opens / closes", -2.0), side_of("smile", 1.5)
        ('closes', 'smile +1.5')
    """
    forwards, both, backwards = name.partition(" / ")
    if not both:
        return f"{name} {strength:+g}"
    return forwards if strength > 0 else backwards


def split_tags(text: str) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def described(generator: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a generator, without what is not short text or a usual number."""
    known: dict[str, Any] = {}
    for key, value in list(generator.items())[:32]:
        if isinstance(value, str):
            known[plain(key, 64)] = plain(value, MAX_NAME)
        elif isinstance(value, (bool, int, float)) and abs(value) < 2**53:
            known[plain(key, 64)] = value
    return known


def image_sides(generator: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of a generator's images, of what is known of it; None where that says nothing."""
    side = generator.get("resolution")
    if not isinstance(side, int):
        return None
    width, height = generator.get("width", side), generator.get("height", side)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (side, side)
