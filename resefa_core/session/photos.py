"""Photos in a session: found, and given back with the edit."""

from __future__ import annotations

from dataclasses import replace

from ..errors import LatentError, PhotoError, RegionError
from ..inversion import Inversion, Pasted, Photo, invert, paste_edit
from ..inversion.inverting import PRIOR, STEPS, Show
from ..inversion.losses import Perceptual
from ..inversion.pasting import FADE, union_of
from ..latents import Latent
from ..latents.edits import Edit, Edited
from ..progress import Progress
from ..regions import Region
from .editing import EditSession

_KEPT_PHOTOS = 2


class PhotoSession(EditSession):
    """A session that may be of a photo."""

    _photos: list[Photo]

    def set_photo(
        self,
        photo: Photo,
        latent: Latent | Edited | None = None,
        *,
        label: int | str | None = None,
        steps: int = STEPS,
        prior: float = PRIOR,
        ignore: object = None,
        perceptual: Perceptual | None = None,
        perceptual_weight: float = 1.0,
        keep_edit: bool = False,
        progress: Progress | None = None,
        show: Show | None = None,
    ) -> Inversion | None:
        """Go on with a photo, once its latent is found; `undo` leads back to the image before and its edit.

        Args:
            photo: whose crop says where the image lies in it.
            latent: the photo's, where it is known: found before, or by an encoder; with an edit, as
                `Edited.load` reads it, its moves are those of the session. Nothing is searched then.
            label, steps, prior, perceptual, perceptual_weight, progress, show: as `invert` takes them.
            ignore: a region by any means, see `region`.
            keep_edit: make the same edit of it.

        Returns:
            How the latent was found; None where it was given.

        Raises:
            PhotoError: the photo can't be used, or the latent was found for another one.
            LatentError, ParameterError, RegionError: as for `invert`.
        """
        generator = self.generator
        found: Inversion | None = None
        if latent is None:
            found = invert(
                generator,
                photo,
                label=label,
                steps=steps,
                prior=prior,
                ignore=None if ignore is None else self.region(ignore),
                perceptual=perceptual,
                perceptual_weight=perceptual_weight,
                progress=progress,
                show=show,
            )
            start = Edited(found.latent)
        else:
            start = latent if isinstance(latent, Edited) else Edited(latent)
            generator.check_latent(start.original)
            start.edit.check(generator)
            crop = start.original.crop or photo.crop_for(generator)
            photo.check(crop)
            start = Edited(replace(start.original, crop=crop), start.edit)
        if keep_edit:
            start = Edited(start.original, Edit((*start.edit.moves, *self.moves)))
        with self._lock:
            self._photos = [*self._photos[1 - _KEPT_PHOTOS :], photo]
            self._push(start)
        return found

    @property
    def photo(self) -> Photo | None:
        """The photo that the image was found for; None where there is none, or it is not here any more."""
        crop = self.original.crop
        with self._lock:
            known = {photo.digest: photo for photo in self._photos}
        return None if crop is None else known.get(crop.digest)

    def pasted(self, region: object = None, fade: float = FADE, whole: bool = False) -> Pasted:
        """The photo with the edit; see `paste_edit`.

        Args:
            region: what the edit is to change, by any means, see `region`; for None that of its moves, of a
                part the photo's own.
            fade: how far beyond that the edit fades out, a fraction of the image's height.
            whole: put the edited image itself into the photo, all of it.

        Raises:
            PhotoError: there is no photo here.
        """
        photo = self.photo
        if photo is None:
            raise PhotoError("the image was found for no photo that is here: give it with set_photo")
        chosen = self._edited_part() if region is None else self.region(region)
        return paste_edit(self.generator, photo, self.latent[:1], chosen, fade, whole)

    def _edited_part(self) -> Region | None:
        """What the moves are to change, of a part the one of this image; None where a move has no region."""
        regions = []
        for each in self.moves:
            try:
                regions.append(self._region_on(self.original[:1], each.directions))
            except (RegionError, LatentError):  # it has no such part, or nothing tells which
                regions.append(each.directions.region)
        return union_of(regions)
