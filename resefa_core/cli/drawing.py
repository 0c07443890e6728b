"""Sheets of strips, which several commands write."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..defaults import strengths_within
from ..directions import Directions
from ..session import Session
from ..sheets import contact_sheet, strength_labels
from .terminal import progress


def sheet(
    session: Session,
    directions: Directions,
    strengths: Sequence[float] | None = None,
    confine: float | None = None,
    feather: float | None = None,
) -> Image.Image:
    """A strip of the session's image for each direction, with labels and a title."""
    if strengths is None:
        strengths = strengths_within(directions.strength_range)
    with progress("drawing") as report:
        strips = session.strips(directions, strengths, confine=confine, feather=feather, progress=report)
        rows = [list(strip.images) for strip in strips]
    title = directions.title or "directions"
    if session.seed is not None:
        title += f", seed {session.seed}"
    confine = float(directions.confined) if confine is None else confine
    if confine:
        title += f", confined {confine:g}"
    return contact_sheet(rows, list(directions.names), strength_labels(strengths), title=title)
