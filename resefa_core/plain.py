"""Plain text of bounded length, of what strangers wrote."""

from __future__ import annotations

import re

MAX_NAME = 200

_UNPLAIN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def is_plain(text: object, limit: int, one_line: bool = False) -> bool:
    if not isinstance(text, str) or not text or len(text) > limit:
        return False
    return plain(text, limit) == text and not (one_line and set(text) & set("\t\n\r"))


def plain(text: str, limit: int) -> str:
    """Text without control characters, lone surrogates and what turns the reading direction round."""
    return _UNPLAIN.sub("", text)[:limit]
