"""A visitor's own picture: found, and given back with the edit."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

import resefa_core as resefa
from gradio_app import jobs, payloads
from gradio_app.files import fresh_folder
from gradio_app.quota import Quota
from gradio_app.steps.finding import Finding
from gradio_app.updates import Update, Updates, progress, said, told
from gradio_app.visit import Visit
from resefa_core.bounds import number
from resefa_core.errors import named
from resefa_core.inversion import Inversion, edited_mark, mark_of
from resefa_core.parsing import parse_face
from resefa_core.progress import Progress

_CLICKED_SIDE = 640


class Photos(Finding):
    """Steps that take a photo."""

    _quota: Quota | None

    @told
    def find_photo(self, visit: Visit, path: object, face: object = "") -> Updates:
        """Find a picture in the generator, shown as it is being found, and go on with it as with a drawn
        face. Its file is removed as soon as it is read.

        Args:
            face: x and y of both eyes and the mouth, in pixels, or `auto`; the middle of the picture for
                nothing.
        """
        if not isinstance(path, (str, Path)):
            return
        generator, file = visit.needed.generator, Path(path)
        try:
            with named(file):
                photo = resefa.Photo.open(file).aligned(generator, face=_points(face))
        finally:
            file.unlink(missing_ok=True)
        yield from self._found(visit, photo)

    @told
    def place_face(self, visit: Visit, places: object) -> Updates:
        """Find the picture again, with the face where the visitor clicked.

        Args:
            places: of both eyes and the mouth, x and y in fractions of the picture.
        """
        photo = visit.needed.photo
        if photo is None:
            raise resefa.PhotoError("what is shown is not from a picture of yours: drop one first")
        size = (photo.width, photo.height)
        face = [[share * side for share, side in zip(place, size, strict=True)] for place in _clicked(places)]
        yield from self._found(visit, photo.aligned(visit.needed.generator, face=face))

    def _found(self, visit: Visit, photo: resefa.Photo) -> Updates:
        session = visit.needed
        visit.settle()
        wanted, seen, latent = visit.begin(), list[Tensor](), session.original[:1]

        def find(report: Progress) -> Inversion | None:
            return session.set_photo(photo, progress=self.studio.giving_way(report), show=seen.append)

        work = jobs.run_in_turn(self.studio.lines.methods, visit.address, find, wanted)
        try:
            found = yield from self._watched(work, seen, visit)
        except (jobs.Stopped, resefa.ReSeFaError):
            mark = payloads.mark(mark_of(session.original))
            yield {"picker": {"image": self.edited(visit), "of": visit.version, "mark": mark}}
            raise
        name, class_name = visit.name, visit.class_name
        wanted = self.enter(visit, session, name, class_name)
        if session.selected is None:
            self.choose(visit, None)
        visit.note = f"This is your picture as {name} draws it."
        if found is not None and found.is_far:
            visit.note += " It is far from what the generator draws by itself: edits may not work as usual."
        shown = photo.picture().convert("RGB")
        shown.thumbnail((_CLICKED_SIDE, _CLICKED_SIDE))
        yield {
            **self.everything(visit),
            "photo": None,
            "pasted": {"images": []},
            "photo_files": None,
            "points": {"image": payloads.data_url(shown), "of": visit.version},
        }
        yield from self.follow(visit, wanted, latent)
        yield from self.find(visit, wanted)

    def _watched(
        self, work: Generator[Any, None, Any], seen: list[Tensor], visit: Visit
    ) -> Generator[Update, None, Any]:
        """The progress of a search, and its picture so far."""
        telling, mark = progress(work, "Finding your picture"), payloads.mark(edited_mark())
        try:
            while True:
                update = next(telling)
                if seen:
                    shown = payloads.data_url(resefa.to_pil(seen[-1]))
                    seen.clear()
                    update = {**update, "picker": {"image": shown, "of": visit.version, "mark": mark}}
                yield update
        except StopIteration as end:
            return end.value
        finally:
            telling.close()

    @told
    def paste_photo(self, visit: Visit, whole: object = False, *, folder: Path) -> Updates:
        """Put the edit into the visitor's picture, and give the file."""
        visit.settle()
        pasted = visit.needed.pasted(whole=whole is True)
        data = pasted.to_png()
        if self._quota is not None:
            self._quota.charge(visit.address, len(data))
        file = fresh_folder(folder) / "edited.png"
        file.write_bytes(data)
        pictures = {"your picture": pasted.photo.picture(), "edited": pasted.picture}
        images = [
            {"image": payloads.data_url(picture.convert("RGB")), "label": label}
            for label, picture in pictures.items()
        ]
        yield {
            "pasted": {"images": images},
            "photo_files": str(file),
            "status": said("Your picture with the edit is ready; its file says that it was edited."),
        }


def _clicked(places: object) -> list[list[float]]:
    """Three places in fractions, as the page sends them."""
    if not isinstance(places, list) or len(places) != 3:
        raise resefa.ParameterError("expected three places: both eyes and the mouth")
    clicked = []
    for place in places:
        if not isinstance(place, list) or len(place) != 2:
            raise resefa.ParameterError("a place is x and y, in fractions of the picture")
        clicked.append([number(share, "place", 0.0, 1.0) for share in place])
    return clicked


def _points(text: object) -> list[list[float]] | Literal["auto"] | None:
    """The places of both eyes and the mouth, as they were typed."""
    if not isinstance(text, str) or not text.strip():
        return None
    return parse_face(text[:200])
