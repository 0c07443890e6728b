"""Atlases of directions: sums over many images, what they lead to, and how it does on image after image."""

from __future__ import annotations

from .atlas import MEASURED, QUANTILES, Atlas, Entry, Found, atlas_of, build_atlas
from .plan import BLOCK, Plan
from .summing import Growing, sum_up

__all__ = [
    "BLOCK",
    "MEASURED",
    "QUANTILES",
    "Atlas",
    "Entry",
    "Found",
    "Growing",
    "Plan",
    "atlas_of",
    "build_atlas",
    "sum_up",
]
