"""Parts: pixels that move together, by clicks on one image or found once for all images of a generator.

Row p of the Jacobian says how pixel p answers to the latent; pixels of one part answer alike. No labels, no
training, any generator.
"""

from __future__ import annotations

from .clicks import part_at, part_by_clicks
from .finding import PartFinder, parts_of_generator
from .found import COUNT, SEEDS, Parts, find_parts, find_parts_of

__all__ = [
    "COUNT",
    "SEEDS",
    "PartFinder",
    "Parts",
    "find_parts",
    "find_parts_of",
    "part_at",
    "part_by_clicks",
    "parts_of_generator",
]
