"""The image of a session, and what can be undone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from PIL import Image
from torch import Tensor

from ..defaults import TRUNCATION
from ..errors import LatentError
from ..generators.base import Generator
from ..latents import Latent
from ..latents.editing import draw_all
from ..latents.edits import Edit, Edited, History
from ..sheets import to_pil

_KEPT_TRIAL_BYTES = 2 << 20
_KEPT_IMAGE_BYTES = 1 << 20

Resolve = Callable[[], Generator]
"""Gives the generator, for those that must not keep it."""


class ImageSession:
    """An image of a generator and its edit, with what can be undone; the arguments are those of `Session`."""

    def __init__(
        self,
        generator: Generator | Resolve,
        seed: int | None = None,
        *,
        latent: Latent | Edited | None = None,
        truncation: float = TRUNCATION,
        label: int | str | None = None,
        truncation_layers: int | None = None,
    ) -> None:
        self._resolve: Resolve = (lambda: generator) if isinstance(generator, Generator) else generator
        self._lock = threading.RLock()
        self._images: list[tuple[Latent, Tensor]] = []
        self._trials: dict[str, Tensor] = {}
        if isinstance(latent, Edited):
            latent.edit.check(self.generator)
            start = self._latent(seed, latent.original, truncation, label, truncation_layers)
            state = Edited(start, latent.edit)
        else:
            state = Edited(self._latent(seed, latent, truncation, label, truncation_layers))
        self._history: History[Edited] = History.start(state)

    @property
    def generator(self) -> Generator:
        """What draws the image."""
        return self._resolve()

    @property
    def state(self) -> Edited:
        """Where the image starts, and the edit of it; a value that does not change."""
        return self._history.present

    @property
    def original(self) -> Latent:
        """The latent before all edits."""
        return self.state.original

    @property
    def latent(self) -> Latent:
        """The latent as it is edited."""
        return self.state.latent

    @property
    def seed(self) -> int | None:
        """The seed of the image, if it has one."""
        return None if self.original.seed is None else self.original.seed[0]

    @property
    def before(self) -> Tensor:
        """The image before all edits, `(3, H, W)` in about [-1, 1]."""
        return self._draw(self.original[:1])

    @property
    def image(self) -> Tensor:
        """The image as it is edited, `(3, H, W)` in about [-1, 1]."""
        return self._draw(self.latent[:1])

    @property
    def picture(self) -> Image.Image:
        """The image for people."""
        return to_pil(self.image)

    @property
    def cut_out(self) -> Image.Image:
        """The image for files: with its opacity, where the generator draws one."""
        return to_pil(self.generator.synthesize(self.latent[:1], cut_out=True)[0])

    def _repr_png_(self) -> bytes | None:
        return self.picture._repr_png_()

    def __repr__(self) -> str:
        generator = self.generator
        which = "a latent" if self.seed is None else f"seed {self.seed}"
        return f"Session({generator.name or generator.architecture}, {which}, {len(self.state.edit)} moves)"

    def set_image(
        self,
        seed: int | None = None,
        *,
        latent: Latent | None = None,
        truncation: float | None = None,
        label: int | str | None = None,
        truncation_layers: int | None = None,
        keep_edit: bool = False,
    ) -> None:
        """Go on with another image; `undo` leads back to this one and its edit.

        Args:
            seed, latent, truncation, label, truncation_layers: as at the start; the truncation and the class
                are those of this image for None.
            keep_edit: make the same edit of it.
        """
        here = self.original
        if latent is None and label is None and here.label is not None:
            label = int(here.label[0])
        amount = here.truncation if truncation is None else truncation
        start = self._latent(seed, latent, amount, label, truncation_layers)
        self._push(Edited(start, self.state.edit if keep_edit else Edit()))

    def _latent(
        self,
        seed: int | None,
        latent: Latent | None,
        truncation: float,
        label: int | str | None,
        truncation_layers: int | None,
    ) -> Latent:
        generator = self.generator
        if latent is not None:
            if seed is not None:
                raise LatentError("both a seed and a latent were given: expected one of them")
            generator.check_latent(latent)
            return latent
        if isinstance(label, str):
            label = generator.find_class(label) if label.strip() else None
        if label is None and generator.num_classes:
            label = 0
        return generator.sample(0 if seed is None else seed, truncation, label, truncation_layers)

    def _draw(self, latent: Latent) -> Tensor:
        with self._lock:
            for known, image in self._images:
                if known.digest == latent.digest:
                    return image
        image = self.generator.synthesize(latent)[0]
        if image.nbytes <= _KEPT_IMAGE_BYTES:
            with self._lock:
                self._images = [*self._images[-1:], (latent, image)]
        return image

    def _draw_trials(self, latents: Sequence[Latent]) -> list[Tensor]:
        """The images of latents that differ in codes alone, at once; those that are missing. What directions
        were chosen by is drawn again in their strips: small images are kept until then."""
        with self._lock:
            known = {
                each.digest: self._trials[each.digest] for each in latents if each.digest in self._trials
            }
        missing = list({each.digest: each for each in latents if each.digest not in known}.values())
        drawn = draw_all(self.generator, missing)
        known |= {latent.digest: image for latent, image in zip(missing, drawn, strict=True)}
        with self._lock:
            room = _KEPT_TRIAL_BYTES - sum(image.nbytes for image in self._trials.values())
            if sum(image.nbytes for image in drawn) <= room:
                self._trials |= {latent.digest: known[latent.digest].clone() for latent in missing}
        return [known[each.digest] for each in latents]

    def _forget_trials(self) -> None:
        with self._lock:
            self._trials = {}

    def undo(self) -> bool:
        """Take the last change back, of the edit or of the image; returns whether there was one."""
        with self._lock:
            could = self._history.can_undo
            self._history = self._history.undo()
            return could

    def redo(self) -> bool:
        """Do again what was taken back; returns whether there was anything."""
        with self._lock:
            could = self._history.can_redo
            self._history = self._history.redo()
            return could

    @property
    def can_undo(self) -> bool:
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        return self._history.can_redo

    def _push(self, state: Edited) -> None:
        with self._lock:
            self._history = self._history.push(state)
