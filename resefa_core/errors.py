"""What can go wrong, as types: every message says what was given, what was expected and what to do."""

from __future__ import annotations


class ReSeFaError(Exception):
    """Base of every error that this package raises on purpose."""


class CheckpointError(ReSeFaError):
    """A generator's file is missing, unreadable, or not a generator that is known here."""


class DirectionFileError(ReSeFaError):
    """A direction file is missing, damaged, or holds something else."""


class EvaluationError(ReSeFaError):
    """A measure can't be taken: a file or a package that it needs is missing, damaged, or something else."""


class JacobianError(ReSeFaError):
    """A Jacobian's file is damaged, or Jacobians that do not belong together were combined."""


class LatentError(ReSeFaError):
    """A latent, a space, a layer or a direction does not fit the generator or the other operand."""


class RegionError(ReSeFaError):
    """A region is empty, full, out of range, or the image does not respond inside or outside it."""


class ParameterError(ReSeFaError, ValueError):
    """A number or a choice that was passed to a function is out of range."""
