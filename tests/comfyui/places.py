"""Where things are in the faces that are drawn, in pixels of pictures of any size."""

from __future__ import annotations

from functools import cache

import numpy as np

import resefa_core as resefa


@cache
def side(generator: str) -> int:
    """Of a bundled generator's pictures, in pixels."""
    return resefa.load_generator(generator).resolution


def box_of(preset: str, generator: str) -> dict[str, int]:
    """A preset of the faces as Select Region takes it."""
    ((x, y, width, height),) = resefa.PRESETS["avatars"][preset]
    edges = {"x": x, "y": y, "width": width, "height": height}
    return {name: round(edge * side(generator)) for name, edge in edges.items()}


def within(region: resefa.Region | str, picture: np.ndarray) -> np.ndarray:
    """Which pixels of a picture are in a region, or in a preset of the faces.

    Args:
        picture: `(H, W, …)`.

    Returns:
        Truth values `(H, W)`.
    """
    if isinstance(region, str):
        region = resefa.Region.preset(region, "avatars")
    inside: np.ndarray = region.mask(*picture.shape[:2]).numpy() > 0.5
    return inside
