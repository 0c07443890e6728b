"""What directions say in words."""

from __future__ import annotations

MAX_TEXT = 4096


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
