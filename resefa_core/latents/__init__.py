"""Latents: points, their moves and edits, and the files of both."""

from __future__ import annotations

from .crop import Crop
from .points import PNG_KEY, ConfinedMove, Latent, draw_noise, draw_truncated_noise, stack

__all__ = ["PNG_KEY", "ConfinedMove", "Crop", "Latent", "draw_noise", "draw_truncated_noise", "stack"]
