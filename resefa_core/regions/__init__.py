"""Regions: soft masks over the image, from boxes, masks, presets, text and JSON, at any resolution.

Positions are fractions of the image: x to the right, y downwards, both in [0, 1].
"""

from __future__ import annotations

from .presets import PRESETS, preset_family
from .region import Region, presets_of
from .selection import AT, MOST_CLICKS, PART, Click, Selection

__all__ = [
    "AT",
    "MOST_CLICKS",
    "PART",
    "PRESETS",
    "Click",
    "Region",
    "Selection",
    "preset_family",
    "presets_of",
]
