"""One visitor's steps: each is given what the browser sent, and yields what the page is to show.

What is shown is told as updates: a dictionary from a part of the page to its new value. Knows nothing of
Gradio.
"""

from __future__ import annotations

import base64
import functools
import logging
import random
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

import resefa_core as resefa
from gradio_app import jobs, payloads
from gradio_app.files import fresh_folder, without_paths
from gradio_app.line import CrowdedError, Place, duration
from gradio_app.methods import about_method, title_of
from gradio_app.quota import FULL, Quota, is_full, report_full
from gradio_app.studio import LARGEST_STRENGTH, MUCH_ELSEWHERE, OURS, Face, Studio
from resefa_core.errors import named
from resefa_core.methods import check_method
from resefa_core.progress import Progress

Update = dict[str, Any]
Updates = Iterator[Update]

FIRST_SEED = 29
FIRST_TRUNCATION = 0.7
FIRST_FACES = (29, 5, 34, 35, 50, 17, 12, 25, 40, 53, 36, 48)
NUM_OTHERS = 6
LARGEST_JOINT = 8

_SOLVING = "Finding what changes the region"
_READY = "Directions that stay closer in place are ready."
_SHOWN_EVERY = 0.5
_LEAST_TIMED = 2.0
_MOST_KEPT = 12
_QUICK_SIDE = 128
_UNSEEN_SEED = 900_000
_NUM_UNSEEN = 5
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_log = logging.getLogger("resefa.demo")


@dataclass(frozen=True, eq=False)
class Edit:
    """A finished edit: how far along which directions, and how it is confined."""

    directions: resefa.Directions
    strengths: dict[int, float]
    confine: float
    feather: float
    name: str


@dataclass(eq=False)
class Visit:
    """What the server remembers of a visitor: small, whatever the generator's size.

    Attributes:
        address: where the visitor comes from.
        job: counts what the visitor asked for; work for what was asked before stops.
        behind: the same of work that goes on unasked.
        turn: the browser's count of the regions that it sent, of the one that was taken last.
        kept: the edits that were made before, on other regions; the sliders edit what they led to.
        base: the face with these edits.
        method: how directions are found, a key of `METHODS`.
        version: counts the direction sets shown; what a browser sends of an older one is ignored.
        confined: the directions with steps for confined edits, once they were measured, and their feather.
        soft_region: the region as confined edits have it, once directions were found for such edits.
        touched: whether the visitor did something to the directions shown, so that others must not take
            their place unasked.
        troubled: whether the last line said what went wrong.
        opened: a direction set that was loaded and is not in use yet.
        finer: a direction set that was found meanwhile, and is offered.
    """

    address: str = ""
    job: int = 0
    behind: int = 0
    face: Face | None = None
    generator_name: str = ""
    class_name: str = ""
    region: resefa.Region | None = None
    soft_region: resefa.Region | None = None
    drawn: dict[str, Any] | None = None
    turn: int = 0
    kept: tuple[Edit, ...] = ()
    base: Face | None = None
    method: str = OURS
    directions: resefa.Directions | None = None
    version: int = 0
    strengths: dict[int, float] = field(default_factory=dict)
    touched: bool = False
    troubled: bool = False
    confine: bool = False
    feather: float = 0.03
    confined: tuple[resefa.Directions, float] | None = None
    opened: resefa.Directions | None = None
    finer: resefa.Directions | None = None

    def begin(self) -> Callable[[], bool]:
        """Begin what was asked for; what was asked before is not wanted any more. Gives whether this still
        is."""
        self.job += 1
        job = self.job
        return lambda: self.job == job

    @property
    def needed_face(self) -> Face:
        """The face; raises ParameterError before there is one."""
        if self.face is None:
            raise resefa.ParameterError("this page has been idle for long: reload it to go on")
        return self.face

    @property
    def needed_base(self) -> Face:
        """The face with the edits that were kept."""
        return self.base or self.needed_face

    @property
    def needed_directions(self) -> resefa.Directions:
        """The directions; raises ParameterError before there are any."""
        if self.directions is None:
            raise resefa.ParameterError("there are no directions yet: draw a box on the picture first")
        return self.directions


def told(step: Callable[..., Updates]) -> Callable[..., Updates]:
    """Say what went wrong on the page: the words of the project's own errors; others go to the log alone."""

    @functools.wraps(step)
    def told(*args: Any, **kwargs: Any) -> Updates:
        try:
            yield from step(*args, **kwargs)
            return
        except jobs.Stopped:
            return
        except Exception as error:
            text = explained(error, step.__name__)
        for visit in args:
            if isinstance(visit, Visit):
                visit.troubled = True
        yield {"status": problem(text)}

    return told


def explained(error: Exception, step: str) -> str:
    """What a visitor is told of an error: the words of the project's own; others go to the log alone. No path
    of the server is told."""
    if is_full(error):
        report_full()
        return FULL
    if isinstance(error, resefa.ReSeFaError):
        return without_paths(str(error))
    _log.exception("%s failed", step)
    return "that did not work; the server's log says why. Try something else"


def said(text: str) -> Update:
    """A line for the visitor."""
    return {"text": text, "kind": "done"}


def problem(text: str) -> Update:
    """A line on what went wrong."""
    return {"text": text[:500], "kind": "problem"}


def working(text: str, fraction: float | None = None, wait: str = "") -> Update:
    """A line on what goes on, with the fraction done where it is known, and how long it takes."""
    return {"text": text, "kind": "working", "fraction": fraction, "wait": wait}


class Steps:
    """The steps of all visitors, on one studio.

    Args:
        quota: of the files that are saved; none is counted for None.
    """

    def __init__(self, studio: Studio, quota: Quota | None = None) -> None:
        self.studio = studio
        self._quota = quota

    @told
    def arrive(self, visit: Visit, query: Mapping[str, str]) -> Updates:
        """Show the face that a link asks for, or the first, with directions of a region."""
        asked = payloads.read_link(query)
        name = asked.get("generator")
        if name not in self.studio.names:
            name = self.studio.names[0]
        seed, truncation = asked.get("seed", FIRST_SEED), asked.get("truncation", FIRST_TRUNCATION)
        try:
            face = self.studio.face(name, seed, truncation, asked.get("class", ""))
        except resefa.LatentError:
            face = self.studio.face(name, seed, truncation)
        self._enter(visit, face, name, asked.get("class", ""))
        if asked.get("method") in self.studio.methods(face.generator):
            visit.method = asked["method"]
        drawn = asked.get("region")
        try:
            self._choose(visit, drawn)
        except resefa.RegionError:
            self._choose(visit, None)
        yield {
            "seed": seed,
            "truncation": truncation,
            "generator": name,
            "class": self._class_field(face),
            "method": self._method_field(visit),
            "confine": {"visible": face.generator.can_confine},
            "picker": self._picture(visit),
            "undo": "",
        }
        yield from self._find(visit)
        yield self._gallery(visit, FIRST_FACES)

    @told
    def draw(
        self, visit: Visit, name: object, seed: object, truncation: object, class_name: object = ""
    ) -> Updates:
        """Show another face, with directions of the region that is chosen."""
        seed = int(payloads.read_number(seed, 0, payloads.LARGEST_SEED, "seed"))
        truncation = payloads.read_number(truncation, 0.0, 1.0, "truncation")
        before = visit.face
        asked = (str(name), seed, truncation, str(class_name or ""))
        if before is not None and asked == (
            visit.generator_name,
            before.seed,
            before.truncation,
            visit.class_name,
        ):
            return
        try:
            face = self.studio.face(str(name), seed, truncation, str(class_name or ""))
        except resefa.ParameterError:
            if visit.generator_name:
                yield {"generator": visit.generator_name}
            raise
        known = before is not None and visit.generator_name == str(name)
        self._enter(visit, face, str(name), str(class_name or ""))
        fields: Update = {"seed": seed}
        if not known:
            self._choose(visit, None)
            if visit.method not in self.studio.methods(face.generator):
                visit.method = OURS
            fields |= {
                "truncation": truncation,
                "class": self._class_field(face),
                "method": self._method_field(visit),
                "confine": {"visible": face.generator.can_confine},
            }
        yield {"picker": self._picture(visit), "offer": False, "undo": "", **fields}
        yield from self._find(visit)
        if not known:
            yield self._gallery(visit, FIRST_FACES)

    def draw_random(
        self, visit: Visit, name: object, seed: object, truncation: object, class_name: object = ""
    ) -> Updates:
        """Show a face of a seed that nobody chose."""
        seed = random.randrange(1_000_000)
        yield {"seed": seed}
        yield from self.draw(visit, name, seed, truncation, class_name)

    @told
    def choose_face(
        self, visit: Visit, payload: object, name: object, truncation: object, class_name: object = ""
    ) -> Updates:
        """Show the face that was chosen from the gallery, or other faces to choose from."""
        sent = payload if isinstance(payload, Mapping) else {}
        if sent.get("more") is True:
            visit.needed_face  # noqa: B018
            yield self._gallery(visit, random.sample(range(1_000_000), len(FIRST_FACES)))
            return
        yield from self.draw(visit, name, sent.get("seed"), truncation, class_name)

    @told
    def open_checkpoint(self, visit: Visit, path: object) -> Updates:
        """Load a visitor's generator and show its first face."""
        if not isinstance(path, (str, Path)):
            return
        file = Path(path)
        with named(file):
            name = yield from progress(
                jobs.run(lambda _: self.studio.add_uploaded(file)), "Loading the generator"
            )
        yield {
            "generator": {"choices": [*self.studio.names, name], "value": name},
            "seed": FIRST_SEED,
            "truncation": FIRST_TRUNCATION,
        }
        yield from self.draw(visit, name, FIRST_SEED, FIRST_TRUNCATION)

    @told
    def analyse(self, visit: Visit) -> Updates:
        """Find out about every layer of the face; the directions that follow replace those of the quick
        analysis, or are offered where sliders were moved."""
        face = visit.face
        if face is None:
            return
        if visit.method != OURS or self._confines(visit):
            yield {"background": said("")}
            return
        visit.behind += 1
        behind = visit.behind

        def wanted() -> bool:
            return visit.face is face and visit.behind == behind

        space = face.generator.spaces[0]
        if not self.studio.is_analysed(face):

            def work(report: Progress) -> resefa.Jacobian:
                return self.studio.analyse(face, prepared=True, progress=self.studio.giving_way(report))

            try:
                going = jobs.run_in_turn(self.studio.lines.layers, visit.address, work, wanted)
                yield from progress(
                    going, "Analysing every layer, for edits that stay in place", "background"
                )
            except CrowdedError:
                yield {"background": said("Too many people are here to analyse every layer now.")}
                return
        if not wanted():
            return
        directions = visit.directions
        if (
            visit.region is None
            or directions is None
            or (directions.space, directions.method) == (space, OURS)
        ):
            yield {"background": said("")}
            return
        alone = directions.num_samples == 1 and directions.seeds and directions.region is visit.region
        if directions.method != OURS or not alone:
            yield {
                "background": said("Every layer is analysed: the next region's edits stay closer in place.")
            }
            return
        region = visit.region
        solve = jobs.run(
            lambda report: self.studio.find([face], region, progress=report),
            lambda: _same(visit, face, region) and visit.behind == behind,
        )
        try:
            finer = yield from progress(solve, _SOLVING, "background")
        except jobs.Stopped:
            yield {"background": said("")}
            return
        if visit.face is not face or visit.directions is not directions:
            yield {"background": said("")}
            return
        if visit.touched:
            visit.finer = finer
            yield {"background": said(_READY), "offer": True}
            return
        yield {"background": said("Every layer is analysed: edits stay closer in place now.")}
        yield from self._show(visit, finer)

    @told
    def stop(self, visit: Visit) -> Updates:
        """Stop what the visitor waits for."""
        visit.begin()
        yield {"status": said("Stopped.")}

    @told
    def stop_behind(self, visit: Visit) -> Updates:
        """Stop what goes on unasked."""
        visit.behind += 1
        yield {"background": said("")}

    @told
    def take_finer(self, visit: Visit) -> Updates:
        """Use the directions that were offered."""
        finer, visit.finer = visit.finer, None
        yield {"offer": False, "background": said("")}
        if finer is not None:
            yield from self._show(visit, finer)

    @told
    def pick(self, visit: Visit, payload: object) -> Updates:
        """Find directions of the region that was drawn."""
        region = payload.get("region") if isinstance(payload, Mapping) else None
        visit.needed_face  # noqa: B018
        self._check_room(visit)
        before = visit.drawn
        self._choose(visit, region if isinstance(region, Mapping) else {})
        visit.turn = payloads.read_turn(payload, visit.turn)
        yield from self._keep(visit, before)
        yield from self._find(visit)

    @told
    def undo(self, visit: Visit) -> Updates:
        """Take back the edit that was kept last."""
        if visit.kept:
            visit.kept = visit.kept[:-1]
            self._rebase(visit)
        yield {"undo": _undo_text(visit)}
        yield from self._show(visit, visit.needed_directions, keep=True)

    @told
    def choose_method(self, visit: Visit, key: object) -> Updates:
        """Find directions in another way."""
        face = visit.needed_face
        check_method(str(key), face.generator)
        if key == resefa.CONFINED:
            raise resefa.ParameterError("for these directions, confine the edits to the region")
        visit.method = str(key)
        yield {"about_method": about_method(visit.method)}
        if visit.region is not None:
            yield from self._find(visit)

    @told
    def slide(self, visit: Visit, payload: object) -> Updates:
        """Edit the face as the sliders say."""
        visit.needed_face  # noqa: B018
        directions = visit.needed_directions
        strengths = payloads.read_strengths(payload, visit.version, len(directions), LARGEST_STRENGTH)
        if strengths is None:
            return
        visit.touched = visit.touched or bool(strengths) or payloads.read_touched(payload)
        if strengths != visit.strengths:
            visit.strengths = strengths
            yield {"picker": {"image": self._edited(visit), "of": visit.version}}
        if visit.troubled:
            visit.troubled = False
            yield {"status": said("")}

    @told
    def confine(self, visit: Visit, confine: object, feather: object) -> Updates:
        """Keep edits inside the region, or not; the strips show the difference."""
        visit.feather = payloads.read_number(feather, 0.0, 0.2, "feather")
        visit.confine = confine is True
        directions = visit.directions
        if visit.face is None or directions is None:
            return
        if not self._is_own(visit):
            yield from self._show(visit, directions, keep=True)
        elif directions.confined and self._confines(visit):
            yield from self._find(visit, keep=True)
        elif visit.strengths and not directions.confined:
            yield from self._show(visit, directions, keep=True)
            if self._confines(visit):
                visit.finer = yield from self._solved(visit, visit.begin())
                yield {"background": said(_READY), "offer": True}
        else:
            yield from self._find(visit)

    @told
    def others(self, visit: Visit, shown: object, payload: object = None) -> Updates:
        """Other faces, moved along with this one, as the sliders say."""
        if shown is not True or visit.face is None:
            yield {"others": {"images": []}}
            return
        if visit.directions is not None:  # the slide itself may come later, as it does not queue
            sent = payloads.read_strengths(payload, visit.version, len(visit.directions), LARGEST_STRENGTH)
            visit.strengths = visit.strengths if sent is None else sent
        strengths = dict(visit.strengths)
        directions = None if visit.directions is None else self._prepared(visit)
        confine, feather = self._confinement(visit)
        images: list[dict[str, str]] = []
        last_shown = time.monotonic()
        first = visit.face.seed + 1
        for other in self._more(visit, range(first, first + NUM_OTHERS)):
            other = self._with_kept(visit, other)
            if directions is None:
                picture = resefa.to_pil(other.picture)
            else:
                picture = self.studio.edit(other, directions, strengths, confine, feather)
            images.append({"image": payloads.data_url(picture), "label": f"seed {other.seed}"})
            if time.monotonic() - last_shown > _SHOWN_EVERY:
                yield {"others": {"images": images[:]}}
                last_shown = time.monotonic()
        yield {"others": {"images": images}}

    @told
    def generalize(self, visit: Visit, count: object) -> Updates:
        """Find the region's directions jointly over several faces, and tell how well they carry over."""
        face, region, alone = visit.needed_face, visit.region, visit.needed_directions
        count = int(payloads.read_number(count, 2, LARGEST_JOINT, "number of faces"))
        if region is None:
            raise resefa.RegionError("draw a box on the picture first")
        seeds = range(face.seed, face.seed + count)
        faces = [face, *self._more(visit, seeds[1:])]
        region = alone.region if alone.confined and alone.region is not None else region
        space = alone.space if alone.space in face.generator.spaces else None
        wanted = visit.begin()

        def solve(report: Progress) -> resefa.Directions:
            return self.studio.find(
                faces, region, space, method=alone.method, progress=self.studio.giving_way(report)
            )

        going = jobs.run_in_turn(self.studio.lines.joint, visit.address, solve, wanted)
        joint = yield from progress(going, f"Solving over {count} faces together")
        unseen = self._more(visit, range(_UNSEEN_SEED, _UNSEEN_SEED + _NUM_UNSEEN))
        before, after = self.studio.carried(alone, unseen), self.studio.carried(joint, unseen)
        if not wanted():
            return
        yield from self._show(visit, joint)
        yield {
            "status": said(
                f"Solved over {count} faces together. On {_NUM_UNSEEN} faces it has not seen, the first "
                f"direction changes the region {_times(after.ratio)} as much as the rest; "
                f"the one before: {_times(before.ratio)}."
            )
        }

    @told
    def open_file(self, visit: Visit, path: object) -> Updates:
        """Look into a direction file; it is used once the visitor says so."""
        if not isinstance(path, (str, Path)):
            visit.opened = None
            yield {"card": None, "usable": False}
            return
        try:
            with named(path):
                yield from self.look(visit, resefa.Directions.load(path))
        except resefa.ReSeFaError:
            visit.opened = None
            yield {"card": None, "usable": False}
            raise

    def look(self, visit: Visit, directions: resefa.Directions, source: str = "") -> Updates:
        """Show what a direction set says of itself, and whether it fits."""
        face = visit.needed_face
        visit.opened = None
        fits, note = fit(directions, face.generator)
        if not fits:
            note = f"It does not fit: {note}"
        yield {"card": describe(directions, note, fits, source), "usable": fits}
        if fits:
            visit.opened = directions
            yield {"status": said("The file fits this generator. Press “Use these directions”.")}
        else:
            yield {"status": problem(note)}

    @told
    def use(self, visit: Visit) -> Updates:
        """Take the set that was opened."""
        directions = visit.opened
        if directions is None:
            raise resefa.ParameterError("open a direction file first")
        directions.check(visit.needed_face.generator)
        self._check_room(visit)
        before = visit.drawn
        if directions.region is not None:
            visit.region, visit.drawn = directions.region, payloads.show_region(directions.region)
        visit.opened = None
        yield {"card": None, "usable": False}
        yield from self._keep(visit, before)
        yield from self._show(visit, directions)
        yield {"status": said(f"These are the {len(directions)} directions of the file.")}

    @told
    def save(
        self, visit: Visit, payload: object, title: object, author: object, license: object, *, folder: Path
    ) -> Updates:
        """Write the direction file and the picture as it is."""
        picture = self.picture(visit)
        chosen = self.chosen(visit, payload, picture, title, author, license)
        if self._quota is not None:
            self._quota.charge(visit.address, chosen.vectors.nbytes + 8 * picture.width * picture.height)
        path = fresh_folder(folder) / file_stem(chosen.title)
        files = [
            path.with_suffix(".safetensors"),
            path.with_suffix(".png"),
            path.with_name(f"{path.name}-before-after.png"),
        ]
        chosen.save(files[0])
        picture.save(files[1])
        payloads.side_by_side([resefa.to_pil(visit.needed_face.picture), picture]).save(files[2])
        yield {
            "files": [str(file) for file in files],
            "status": said(f"The {len(chosen)} directions and the picture are ready to download."),
        }

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

    def preview(self, visit: Visit, directions: resefa.Directions) -> Image.Image:
        """Strips of the face, one below the other."""
        strips = [strip for strip, _ in self.studio.strips(visit.needed_base, directions)]
        width, height = strips[0].size
        sheet = Image.new("RGB", (width, height * len(strips)))
        for index, strip in enumerate(strips):
            sheet.paste(strip, (0, index * height))
        return sheet

    def _enter(self, visit: Visit, face: Face, name: str, class_name: str) -> None:
        visit.begin()
        visit.face, visit.generator_name, visit.class_name = face, name, class_name
        visit.directions = visit.confined = visit.finer = visit.base = None
        visit.strengths, visit.kept, visit.touched = {}, (), False

    def _choose(self, visit: Visit, drawn: Mapping[str, Any] | None) -> None:
        """Take a region as it was drawn; the first preset, or the middle, for None."""
        presets = self.studio.presets(visit.needed_face.generator)
        if drawn is None:
            drawn = {"preset": next(iter(presets))} if presets else {"box": [0.35, 0.35, 0.3, 0.3]}
        region = payloads.read_region(drawn, presets)
        side = min(visit.needed_face.generator.resolution, 256)
        region.mask(side, side)
        visit.region = region
        visit.drawn = {key: drawn[key] for key in ("box", "preset") if key in drawn}

    def _keep(self, visit: Visit, drawn: Mapping[str, Any] | None) -> Updates:
        """Keep what the sliders made of the region that was drawn before; the next edits go on from there."""
        if not visit.strengths:
            return
        confine, feather = self._confinement(visit)
        done = Edit(self._prepared(visit), dict(visit.strengths), confine, feather, _part(drawn))
        visit.kept, visit.strengths = (*visit.kept, done), {}
        self._rebase(visit)
        yield {"undo": _undo_text(visit)}

    def _check_room(self, visit: Visit) -> None:
        if visit.strengths and len(visit.kept) >= _MOST_KEPT:
            raise resefa.ParameterError(f"{_MOST_KEPT} edits are kept already: take back some first")

    def _rebase(self, visit: Visit) -> None:
        visit.base = self._with_kept(visit, visit.needed_face) if visit.kept else None

    def _with_kept(self, visit: Visit, face: Face) -> Face:
        for edit in visit.kept:
            face = self.studio.moved(face, edit.directions, edit.strengths, edit.confine, edit.feather)
        return face

    def _find(self, visit: Visit, keep: bool = False) -> Updates:
        """Show directions of the chosen region; `keep` keeps the sliders."""
        wanted = visit.begin()
        found = yield from self._solved(visit, wanted)
        if wanted():
            kept = dict(visit.strengths) if keep else {}
            yield from self._show(visit, found, strengths=kept)

    def _solved(self, visit: Visit, wanted: Callable[[], bool]) -> Generator[Update, None, resefa.Directions]:
        """Directions of the chosen region: thorough if the face is analysed, else quick; for confined edits
        where they are to be confined."""
        face, region, method = visit.needed_face, visit.region, visit.method
        assert region is not None
        confined = method == OURS and self._confines(visit)
        quick = method == OURS and (confined or not self.studio.is_analysed(face))
        space = self.studio.quick_space(face) if quick else None
        if quick and not confined and not self.studio.is_analysed(face, space):

            def look(report: Progress) -> None:
                with self.studio.urgent():
                    self.studio.analyse(face, space, progress=report)

            going = jobs.run_in_turn(self.studio.lines.faces, visit.address, look, wanted)
            yield from progress(going, "Looking at the picture")
        drawn = visit.soft_region = region.feather(visit.feather) if confined else region

        if method == OURS:

            def solve(report: Progress) -> resefa.Directions:
                used = resefa.CONFINED if confined else OURS
                with self.studio.urgent() if confined else nullcontext():
                    return self.studio.find([face], drawn, space, method=used, progress=report)

            if confined:
                solving = jobs.run_in_turn(self.studio.lines.faces, visit.address, solve, wanted)
                return (yield from progress(solving, _SOLVING))
            return (yield from progress(jobs.run(solve, wanted), _SOLVING))

        def compare(report: Progress) -> resefa.Directions:
            return self.studio.find(
                [face], drawn, space, method=method, progress=self.studio.giving_way(report)
            )

        trying = jobs.run_in_turn(self.studio.lines.methods, visit.address, compare, wanted)
        return (yield from progress(trying, f"Trying {title_of(method)}"))

    def _show(
        self,
        visit: Visit,
        directions: resefa.Directions,
        keep: bool = False,
        strengths: Mapping[int, float] | None = None,
    ) -> Updates:
        """Show directions as strips, the first ones as soon as there is one; `keep` keeps the sliders, else
        they are set to `strengths`."""
        face = visit.needed_base
        if not keep or visit.directions is not directions:
            offered = visit.finer is not None
            visit.directions, visit.confined, visit.finer = directions, None, None
            visit.strengths = dict(strengths or {})
            visit.touched = bool(strengths)
            if offered:
                yield {"background": said(""), "offer": False}
        visit.version += 1
        version = visit.version
        if self._is_to_be_measured(visit):
            yield {"status": working("Measuring edits that stay inside the region")}
        shown = self._prepared(visit)
        confine, feather = self._confinement(visit)
        items: list[dict[str, Any]] = []
        last_shown = time.monotonic()
        for index, (strip, effect) in enumerate(self.studio.strips(face, shown, confine, feather)):
            if visit.version != version:
                return
            items.append(
                {
                    "strip": payloads.data_url(strip),
                    "words": effect.words,
                    "detail": f"change inside {effect.inside:.3f}, outside {effect.outside:.3f}",
                    "name": directions.names[index],
                    "strength": visit.strengths.get(index, 0.0),
                }
            )
            slow = time.monotonic() - last_shown > _SHOWN_EVERY
            if (slow or index in (0, 2)) and len(directions) > index + 1:
                yield {"directions": {"version": version, "items": items[:], "more": True}}
                last_shown = time.monotonic()
        yield {
            "directions": {"version": version, "items": items, "more": False},
            "picker": {
                "image": self._edited(visit),
                "of": version,
                "region": payloads.show_region(visit.region),
                "turn": visit.turn,
                "link": self._link(visit),
            },
            "status": said(self._result(visit, items)),
        }
        visit.troubled = False

    def _result(self, visit: Visit, items: Sequence[Mapping[str, Any]]) -> str:
        """What was found, in a line."""
        directions = visit.needed_directions
        quick = not directions.confined and directions.method == OURS and directions.space in ("w", "z")
        many = len(directions)
        better = quick and visit.needed_face.generator.spaces[0] != directions.space
        line = f"{many} {'quick ' if better else ''}way{'s' if many > 1 else ''} to change "
        line += _part(visit.drawn)
        if directions.confined:
            line += " alone"
        elif directions.method not in (OURS, "imported"):
            line += f", by {title_of(directions.method)}"
        if directions.num_samples > 1:
            line += f", found on {directions.num_samples} faces together"
        if better and directions.num_samples == 1:
            return f"{line}; better ones follow."
        spilling = sum(item["words"].endswith(MUCH_ELSEWHERE) for item in items)
        if 2 * spilling > len(items) and not directions.confined:
            return f"{line}. Most change much elsewhere too: draw a larger part, or confine the edits to it."
        return f"{line}. Move a slider."

    def _confines(self, visit: Visit) -> bool:
        face, directions = visit.face, visit.directions
        return bool(
            visit.confine
            and face
            and face.generator.can_confine
            and directions
            and directions.region is not None
        )

    def _is_own(self, visit: Visit) -> bool:
        """Whether the directions were found here, on the face and the region that are shown."""
        directions = visit.directions
        if directions is None or visit.method != OURS or directions.num_samples != 1:
            return False
        return directions.region is (visit.soft_region if directions.confined else visit.region)

    def _confinement(self, visit: Visit) -> tuple[float, float]:
        if visit.directions is not None and visit.directions.confined:
            return 1.0, 0.0  # as soft as the region that they were found for
        return (1.0, visit.feather) if self._confines(visit) else (0.0, 0.0)

    def _is_to_be_measured(self, visit: Visit) -> bool:
        """Whether the steps of confined edits are still to be measured."""
        directions = visit.needed_directions
        if directions.confined:
            return directions.steps_confined is None and visit.confined is None
        if not self._confines(visit):
            return False
        return visit.confined is None or visit.confined[1] != visit.feather

    def _prepared(self, visit: Visit) -> resefa.Directions:
        """The directions, with steps for confined edits if edits are to be confined."""
        directions = visit.needed_directions
        if self._is_to_be_measured(visit):
            face, feather = visit.needed_face, self._confinement(visit)[1]
            measured = resefa.prepared(face.generator, face.latent, directions, 1.0, feather)
            visit.confined = measured, feather
        confines = self._confinement(visit)[0] > 0.0
        return visit.confined[0] if confines and visit.confined is not None else directions

    def picture(self, visit: Visit) -> Image.Image:
        """The face as the sliders have it."""
        face = visit.needed_base
        if visit.directions is None or not visit.strengths:
            return resefa.to_pil(face.picture)
        directions = self._prepared(visit)
        confine, feather = self._confinement(visit)
        return self.studio.edit(face, directions, dict(visit.strengths), confine, feather)

    def _edited(self, visit: Visit) -> str:
        return payloads.data_url(self.picture(visit))

    def _picture(self, visit: Visit) -> Update:
        face = visit.needed_face
        picture = payloads.data_url(resefa.to_pil(face.picture))
        presets = self.studio.presets(face.generator)
        return {
            "before": picture,
            "image": picture,
            "region": payloads.show_region(visit.region),
            "turn": visit.turn,
            "presets": {name: payloads.show_region(region) for name, region in presets.items()},
            "alt": f"A face that {visit.generator_name} drew from seed {face.seed}",
            "link": self._link(visit),
            "of": visit.version,
        }

    def _link(self, visit: Visit) -> str:
        face = visit.needed_face
        others = {"class": visit.class_name} if face.generator.num_classes else {}
        if visit.generator_name in self.studio.names[1:]:
            others["generator"] = visit.generator_name
        if visit.method != OURS:
            others["method"] = visit.method
        return payloads.write_link(face.seed, face.truncation, visit.drawn, **others)

    def _class_field(self, face: Face) -> Update:
        generator = face.generator
        hint = f"one of {generator.num_classes}: a name or a number" if generator.num_classes else ""
        return {"visible": bool(generator.num_classes), "hint": hint}

    def _method_field(self, visit: Visit) -> Update:
        keys = self.studio.methods(visit.needed_face.generator)
        return {"choices": [(title_of(key), key) for key in keys], "value": visit.method}

    def _gallery(self, visit: Visit, seeds: Sequence[int]) -> Update:
        """Faces to choose from; none where drawing them takes long."""
        quick = visit.needed_face.generator.resolution <= _QUICK_SIDE
        faces = self._more(visit, seeds) if quick else []
        pictures = [(face.seed, payloads.data_url(resefa.to_pil(face.picture))) for face in faces]
        return {"faces": {"faces": [{"seed": seed, "image": image} for seed, image in pictures]}}

    def _more(self, visit: Visit, seeds: Sequence[int]) -> list[Face]:
        face = visit.needed_face
        return [
            self.studio.face(
                visit.generator_name, seed % (payloads.LARGEST_SEED + 1), face.truncation, visit.class_name
            )
            for seed in seeds
        ]


def fit(directions: resefa.Directions, generator: resefa.Generator) -> tuple[bool, str]:
    """Whether a set fits a generator, and what is to be known of that: why not, or a note on its origin."""
    try:
        directions.check(generator)
    except resefa.LatentError as error:
        return False, str(error)
    return True, directions.origin_note(generator)


def describe(directions: resefa.Directions, note: str, fits: bool, source: str = "") -> Update:
    """A direction set for people to look at before they use it; plain text and pixels alone."""
    generator = directions.generator
    made_for = f"{generator.get('architecture', 'unknown')} {generator.get('name', '')}".strip()
    rows = [
        ("Title", directions.title),
        ("Author", directions.author),
        ("License", directions.license),
        ("About", directions.description[:500]),
        ("Made for", made_for),
        ("Directions", f"{len(directions)}: {', '.join(directions.names[:12])}"),
        ("Method", title_of(directions.method)),
        ("Found on", f"{directions.num_samples} face{'s' if directions.num_samples > 1 else ''}"),
        ("From", source),
        ("Fits", "yes" if fits else "no"),
        ("Note", note),
    ]
    return {
        "rows": [[label, text] for label, text in rows if text],
        "thumbnail": _thumbnail(directions.thumbnail),
    }


def file_stem(title: str) -> str:
    """A file's name for a title: letters, digits, `-` and `_`."""
    return _UNSAFE.sub("-", title).strip("-")[:60] or "directions"


def progress(
    work: Generator[float | Place, None, Any], text: str, part: str = "status"
) -> Generator[Update, None, Any]:
    """Show the progress of a job, and how long it still takes; returns what it returned."""
    start = time.monotonic()
    try:
        while True:
            told = next(work)
            if isinstance(told, Place):
                start = time.monotonic()
                yield {part: working(text, None, told.words)}
                continue
            took = time.monotonic() - start
            known = took > _LEAST_TIMED and told > 0.0
            left = f"about {duration(took * (1.0 - told) / told)} left" if known else ""
            yield {part: working(text, told, left)}
    except StopIteration as finished:
        return finished.value
    finally:
        work.close()


def _same(visit: Visit, face: Face, region: resefa.Region) -> bool:
    """Whether the visitor still looks at this."""
    return visit.face is face and visit.region is region


def _part(drawn: Mapping[str, Any] | None) -> str:
    """A region in words."""
    preset = (drawn or {}).get("preset")
    return f"the {preset}" if isinstance(preset, str) else "this part"


def _undo_text(visit: Visit) -> str:
    """What the undo button says; nothing where there is nothing to take back."""
    return f"Take back the edit of {visit.kept[-1].name}" if visit.kept else ""


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _line(text: object) -> str:
    return " ".join(str(text or "")[:200].split())


def _thumbnail(data: bytes | None) -> str | None:
    if data is None:
        return None
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
