"""Parts: pixels that move together, by clicks on one image or found once for all images of a generator.

Row p of the Jacobian says how pixel p answers to the latent; pixels of one part answer alike. No labels, no
training, any generator.
"""

from __future__ import annotations

from .clicks import part_at, part_by_clicks
from .finding import PartFinder, parts_of_generator
from .found import COUNT, SAMPLES, Parts, find_parts

__all__ = [
    "COUNT",
    "SAMPLES",
    "PartFinder",
    "Parts",
    "find_parts",
    "part_at",
    "part_by_clicks",
    "parts_of_generator",
]
