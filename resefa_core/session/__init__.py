"""The recipe: an image, and cheap calls on it. What every interface calls."""

from __future__ import annotations

from .editing import Carried
from .session import Generalized, Session

__all__ = ["Carried", "Generalized", "Session"]
