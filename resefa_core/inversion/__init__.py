"""Photos: found in a generator's latent space, edited, and put back."""

from __future__ import annotations

from .inverting import Inversion, invert
from .pasting import Pasted, edited_mark, paste, paste_edit
from .photos import Photo

__all__ = ["Inversion", "Pasted", "Photo", "edited_mark", "invert", "paste", "paste_edit"]
