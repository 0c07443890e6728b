"""Direction files of others, and files to take away."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

from PIL import Image

import resefa_core as resefa
from gradio_app import payloads
from gradio_app.files import fresh_folder
from gradio_app.quota import Quota
from gradio_app.steps.finding import Finding
from gradio_app.steps.showing import buttons
from gradio_app.updates import Update, Updates, problem, said, told, working
from gradio_app.visit import Visit
from resefa_core.atlas import Atlas
from resefa_core.atlas.pages import atlas_rows
from resefa_core.directions import about
from resefa_core.errors import named
from resefa_core.inversion import mark_of
from resefa_core.kinds import Kind, kind_of_file
from resefa_core.sheets import FILM_SUFFIXES, film_bytes, save_film

_FILM_BYTES = 3 << 20
_SENT_FILM = FILM_SUFFIXES[-1]
_FILM_KIND = {".mp4": "video/mp4", ".gif": "image/gif"}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class DirectionFiles(Finding):
    """Steps that read and write files."""

    _quota: Quota | None

    @told
    def open_file(self, visit: Visit, path: object, space: object = "", layers: object = "") -> Updates:
        """Look into a direction file, or an atlas; it is used once the visitor says so.

        Args:
            space, layers: of another project's directions, where their file does not say them; empty where it
                does. Layers in words or as a list.
        """
        if not isinstance(path, (str, Path)):
            visit.opened = None
            yield {"card": None, "usable": False}
            return
        try:
            with named(path):
                yield from self.look(visit, self._load(visit, path, space, layers))
        except resefa.ReSeFaError:
            visit.opened = None
            yield {"card": None, "usable": False}
            raise

    def _load(
        self, visit: Visit, path: str | Path, space: object, layers: object
    ) -> resefa.Directions | Atlas:
        if kind_of_file(Path(path)) == Kind.ATLAS:
            return Atlas.load(path)
        generator = visit.needed.generator
        given = space if isinstance(space, str) and space in resefa.SPACES else None
        listed = layers[:200] if isinstance(layers, str) and layers.strip() else None
        moved = None if listed is None else generator.choose_layers(listed)
        return resefa.Directions.load(path, given, moved, generator.num_layers)

    def look(self, visit: Visit, opened: resefa.Directions | Atlas, source: str = "") -> Updates:
        """Show what a direction set, or an atlas, says of itself, and whether it fits."""
        generator = visit.needed.generator
        visit.opened = None
        shown = opened.directions() if isinstance(opened, Atlas) else opened
        fit = about.fit(shown, generator)
        if not fit.fits:
            fit = about.Fit(False, f"It does not fit: {fit.note}")
        yield {"card": describe(opened, fit, source), "usable": fit.fits}
        if fit.fits:
            visit.opened = opened
            yield {"status": said("The file fits this generator. Press “Use these directions”.")}
        else:
            yield {"status": problem(fit.note)}

    @told
    def use(self, visit: Visit) -> Updates:
        """Take the set that was opened."""
        opened, session = visit.opened, visit.needed
        if opened is None:
            raise resefa.ParameterError("open a direction file first")
        if isinstance(opened, Atlas):
            visit.offered = opened.offered()
            yield {"one_click": buttons(visit, session.generator)}
            name = "" if session.selected is None else session.selected.name
            directions = opened.directions(name if name in opened.having() else "")
        else:
            directions = opened
        directions.check(session.generator)
        self.check_room(visit)
        visit.begin()
        visit.settle()
        if directions.region is not None:
            session.selected = directions.region
        visit.opened = None
        yield {"card": None, "usable": False}
        yield from self.show(visit, directions)
        yield {"status": said(f"These are the {len(directions)} directions of the file.")}

    @told
    def save(
        self, visit: Visit, payload: object, title: object, author: object, license: object, *, folder: Path
    ) -> Updates:
        """Write the direction file and the picture as it is."""
        picture = self.picture(visit)
        chosen = self.chosen(visit, payload, picture, title, author, license)
        visit.settle()
        plays = bool(visit.needed.moves)
        if self._quota is not None:
            size = chosen.vectors.nbytes + 8 * picture.width * picture.height + plays * _FILM_BYTES
            self._quota.charge(visit.address, size)
        path = fresh_folder(folder) / file_stem(chosen.title)
        files = [
            path.with_suffix(".safetensors"),
            path.with_suffix(".png"),
            path.with_name(f"{path.name}-before-after.png"),
        ]
        chosen.save(files[0])
        visit.needed.save_picture(files[1])
        both = payloads.side_by_side([resefa.to_pil(visit.needed.before), picture])
        texts = mark_of(visit.needed.original)
        resefa.save_png(both, files[2], texts=texts)
        if plays:
            frames = [resefa.to_pil(image) for image in visit.needed.film()]
            for suffix in FILM_SUFFIXES:
                files.append(path.with_suffix(suffix))
                save_film(frames, files[-1], texts=texts)
        yield {
            "files": [str(file) for file in files],
            "status": said(f"The {len(chosen)} directions and the picture are ready to download."),
        }

    @told
    def film(self, visit: Visit) -> Updates:
        """Give the browser the way from the picture before all edits to the edited one, as a video."""
        session = visit.needed
        visit.settle()
        if not session.moves:
            raise resefa.ParameterError("nothing is edited yet: move a slider first")
        yield {"status": working("Making the video")}
        frames = [resefa.to_pil(image) for image in session.film()]
        content = film_bytes(frames, _SENT_FILM, texts=mark_of(session.original))
        sent = {"film": payloads.file_url(content, _FILM_KIND[_SENT_FILM]), "suffix": _SENT_FILM}
        yield {"viewer": sent, "status": said("The video is ready.")}

    def chosen(
        self,
        visit: Visit,
        payload: object,
        picture: Image.Image,
        title: object,
        author: object,
        license: object,
        text: object = "",
    ) -> resefa.Directions:
        """The directions that the visitor keeps, named and titled, with a picture as their thumbnail."""
        chosen = payloads.read_choice(payload, visit.version, visit.needed_directions)
        return replace(
            chosen,
            title=_line(title) or chosen.title or "directions",
            author=_line(author) or chosen.author,
            license=_line(license) or chosen.license,
            description=str(text or "")[:4000] or chosen.description,
            date=date.today().isoformat(),
            thumbnail=resefa.encode_thumbnail(picture),
        )


def describe(opened: resefa.Directions | Atlas, fit: about.Fit, source: str = "") -> Update:
    """A direction set, or an atlas, for people to look at before they use it; plain text and pixels alone."""
    if isinstance(opened, Atlas):
        return {"rows": [list(row) for row in atlas_rows(opened, source, fit)], "thumbnail": None}
    return {
        "rows": [list(row) for row in about.rows(opened, source, fit)],
        "thumbnail": None if opened.thumbnail is None else payloads.png_url(opened.thumbnail),
    }


def file_stem(title: str) -> str:
    """A file's name for a title: letters, digits, `-` and `_`."""
    return _UNSAFE.sub("-", title).strip("-")[:60] or "directions"


def _line(text: object) -> str:
    return " ".join(str(text or "")[:200].split())
