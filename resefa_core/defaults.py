"""What every interface does where the user says nothing."""

from __future__ import annotations

SHOWN_FIRST = "avatars-128"
"""The bundled generator that people see first: in the demo, by `resefa demo` and in new graphs of ComfyUI.
Where a program names none it is the smaller one, `avatars`, as it always was; graphs name theirs."""
TRUNCATION = 0.7
NUM_DIRECTIONS = 6
MAX_DIRECTIONS = 512
"""Directions that may be asked for at once, and that a set may hold."""
STRENGTHS = (-4.0, -2.0, 0.0, 2.0, 4.0)
"""Of strips and sheets."""
STRENGTH_RANGE = (-12.0, 12.0)
"""What inputs for a strength offer where they don't know of which directions; `bounds.STRENGTH` is what is
possible."""
CONFINED_FEATHER = 0.03
"""How soft a region is that confined edits end at; a fraction of the image's height. Others are sharp."""
FEATHERS = (0.0, 0.2)
"""What sliders offer; `bounds.FEATHER` is what is possible."""
SAMPLES_TO_SHARE = 6
"""Images, the one at hand among them, that directions are solved on so that they hold for others."""
LARGEST_JOINT = 64
"""Images that may be solved together."""
UNSEEN_SEEDS = tuple(range(900_000, 900_005))
"""Images on which directions that were solved jointly are tried."""
TRIAL_STRENGTH = 3.0
"""How far, to both sides."""


def strengths_within(bounds: tuple[float, float]) -> tuple[float, ...]:
    """The strengths of a strip: `STRENGTHS`, each side drawn together where directions don't go that far to
    it, or as many from 0 on to the one side that there is.

    Args:
        bounds: the least and the largest strength worth offering.

    Example:
        >>> strengths_within((-6.0, 6.0)), strengths_within((-3.0, 3.0))
        ((-4.0, -2.0, 0.0, 2.0, 4.0), (-3.0, -1.5, 0.0, 1.5, 3.0))
        >>> strengths_within((-2.0, 6.0)), strengths_within((0.0, 6.0))
        ((-2.0, -1.0, 0.0, 2.0, 4.0), (0.0, 1.0, 2.0, 3.0, 4.0))
    """
    low, high = max(bounds[0], min(STRENGTHS)), min(bounds[1], max(STRENGTHS))
    if low >= 0.0 or high <= 0.0:
        far, last = (low if high <= 0.0 else high), len(STRENGTHS) - 1
        return tuple(sorted(far * step / last + 0.0 for step in range(last + 1)))
    down, up = low / min(STRENGTHS), high / max(STRENGTHS)
    return tuple(strength * (down if strength < 0.0 else up) for strength in STRENGTHS)


def feather_for(confine: float) -> float:
    """The feather of a region that nobody said a feather for.

    Args:
        confine: of the edits to come, from 0 to 1.
    """
    return CONFINED_FEATHER if confine else 0.0
