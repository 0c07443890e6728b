"""Classes in words: finding the one that is meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ..errors import LatentError

_LISTED = 8
_IMAGENET = Path(__file__).with_name("imagenet_classes.txt")


@cache
def imagenet_names() -> tuple[str, ...]:
    """The 1,000 classes of ILSVRC 2012 in the order of their WordNet numbers, each name once."""
    lines = _IMAGENET.read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def find_name(words: str, names: Sequence[str]) -> int:
    """The index of a name, or of the only one that has these words in it; case does not matter.

    Whole words go before parts of words: `cat` is not looked for in `catamaran` while a cat is there.

    Raises:
        LatentError: none or several; it lists those that come close.

    Example:
        >>> find_name("retriever", ["tabby", "golden retriever"])
        1
    """
    text = " ".join(words.lower().split())
    lowered = [name.lower() for name in names]
    if text in lowered:
        return lowered.index(text)
    found: list[int] = []
    if text:
        whole = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
        found = [i for i, name in enumerate(lowered) if whole.search(name)]
        found = found or [i for i, name in enumerate(lowered) if text in name]
    if len(found) == 1:
        return found[0]
    said = repr(words[:80])
    if found:
        more = len(found) - _LISTED
        listed = ", ".join(f"{names[i]} ({i})" for i in found[:_LISTED])
        listed += f" and {more} more" if more > 0 else ""
        raise LatentError(f"class {said} is not one alone: {listed}")
    close = difflib.get_close_matches(text[:80], lowered, n=_LISTED, cutoff=0.5)
    listed = ", ".join(f"{names[lowered.index(name)]} ({lowered.index(name)})" for name in close)
    raise LatentError(
        f"there is no class {said}: "
        + (f"close to it: {listed}" if listed else f"expected a name like {names[0]}, or a number")
    )
