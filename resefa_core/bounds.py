"""The numbers that files, graphs and people may give, and the images that come of them."""

from __future__ import annotations

import math
import numbers
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import LatentError, ParameterError, ReSeFaError


class Bounds(NamedTuple):
    """A range, both ends included."""

    least: float
    most: float


TRUNCATION = Bounds(-2.0, 2.0)
CONFINE = Bounds(0.0, 1.0)
FEATHER = Bounds(0.0, 0.5)
"""A fraction of the image's height."""
MIX = Bounds(-4.0, 4.0)
STRENGTH = Bounds(-1e6, 1e6)
STEP = Bounds(1e-30, 1e15)
"""A direction that changes nothing measurable has a step of 1e14."""
CHANGE = Bounds(0.0, 1e30)
"""Changes per pixel, quotients, regularizations: numbers that are multiplied with each other."""
CODE = Bounds(-1e15, 1e15)
"""Codes, noise and style channels; generators square them in single precision."""


def number(
    value: object, what: str, least: float, most: float, error: type[ReSeFaError] = ParameterError
) -> float:
    """A value as a number of a range; raises `error` for anything else, `what` naming it.

    Example:
        >>> number(2, "truncation", *TRUNCATION)
        2.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise error(f"{what} {shown(value)} is not a number: expected one from {least:g} to {most:g}")
    try:
        given = float(value)
    except OverflowError:
        given = math.inf
    if not least <= given <= most:
        why = "is out of range" if math.isfinite(given) else "is not finite"
        raise error(f"{what} {shown(value)} {why}: expected a number from {least:g} to {most:g}")
    return given


def whole(value: object, what: str, least: int, most: int, error: type[ReSeFaError] = ParameterError) -> int:
    """A value as a whole number of a range; raises `error` for anything else, `what` naming it."""
    if type(value) is not int or not least <= value <= most:
        raise error(f"{what} {shown(value)} is out of range: expected a whole number from {least} to {most}")
    return value


def check_values(
    values: Tensor, what: str, bounds: Bounds, error: type[ReSeFaError] = ParameterError
) -> None:
    """Raise `error` unless all values of a tensor are in a range."""
    low, high = (float(end) for end in values.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise error(f"{what} has values that are not finite")
    if not bounds.least <= low <= high <= bounds.most:
        raise error(
            f"{what} has values from {low:g} to {high:g}, expected {bounds.least:g} to {bounds.most:g}"
        )


def check_image(image: Tensor) -> None:
    """Raise LatentError unless all of an image's, or of several images', pixels are finite."""
    if not bool(torch.isfinite(image).all()):
        raise LatentError(
            "the image is not finite: its latent lies too far out, or the generator's weights are damaged; "
            "use smaller strengths, or another latent"
        )


def shown(value: object) -> str:
    """Any value in a few characters, for messages."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"of about {value.bit_length() * math.log10(2.0):.0f} digits"
    plain = isinstance(value, (str, numbers.Real, type(None)))
    return repr(value)[:40] if plain else type(value).__name__
