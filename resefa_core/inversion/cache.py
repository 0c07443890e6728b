"""What was found, kept by the photo's content and what was asked."""

from __future__ import annotations

import hashlib

from ..generators.base import Generator
from ..memo import Memo
from ..progress import Progress
from .inverting import PRIOR, STEPS, Inversion, Show, invert
from .photos import Photo

_KEPT = 16


class InversionCache:
    """The last inversions, so that the same photo is not looked for again; for several threads.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = _KEPT) -> None:
        self._found: Memo[Inversion] = Memo(most)

    def __len__(self) -> int:
        return len(self._found)

    def invert(
        self,
        generator: Generator,
        photo: Photo,
        *,
        label: int | str | None = None,
        steps: int = STEPS,
        prior: float = PRIOR,
        progress: Progress | None = None,
        show: Show | None = None,
    ) -> Inversion:
        """As `resefa_core.invert`; at once where that was found before."""
        ignored = None if photo.ignored is None else hashlib.sha256(photo.ignored.numpy().tobytes()).digest()
        key = (generator.fingerprint, photo.crop_for(generator), ignored, label, steps, prior)
        return self._found.get(
            key,
            lambda: invert(
                generator, photo, label=label, steps=steps, prior=prior, progress=progress, show=show
            ),
        )
