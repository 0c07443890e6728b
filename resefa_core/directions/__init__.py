"""Direction sets, their files, how they were found, and what they do."""

from __future__ import annotations

from .sets import CONFINED, MAX_FILE_BYTES, METHOD_NAME, Directions
from .thumbnails import encode_thumbnail

__all__ = ["CONFINED", "MAX_FILE_BYTES", "METHOD_NAME", "Directions", "encode_thumbnail"]
