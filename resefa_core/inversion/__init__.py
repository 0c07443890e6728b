"""Photos: found in a generator's latent space, edited, and put back."""

from __future__ import annotations

from .cache import InversionCache
from .features import FeatureDistance
from .inverting import Inversion, invert
from .pasting import Pasted, edited_mark, mark_of, paste, paste_edit
from .photos import Photo
from .tuning import tune

__all__ = [
    "FeatureDistance",
    "Inversion",
    "InversionCache",
    "Pasted",
    "Photo",
    "edited_mark",
    "invert",
    "mark_of",
    "paste",
    "paste_edit",
    "tune",
]
