"""From analyses and a region to directions: the generalized Rayleigh quotient and its solvers."""

from __future__ import annotations

from .adapting import adapt
from .factorization import REGULARIZATION, Solver, check_options, factorize
from .solution import STEP_CHANGE, pixels_of, signs, steps_of

__all__ = [
    "REGULARIZATION",
    "STEP_CHANGE",
    "Solver",
    "adapt",
    "check_options",
    "factorize",
    "pixels_of",
    "signs",
    "steps_of",
]
