"""One visitor's steps: each is given what the browser sent, and yields what the page is to show.

What is shown is told as updates: a dictionary from a part of the page to its new value. What is done to the
picture is a `Session`'s. Knows nothing of Gradio.
"""

from __future__ import annotations

import base64
import random
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

import resefa_core as resefa
from gradio_app import jobs, links, payloads
from gradio_app.files import fresh_folder
from gradio_app.line import CrowdedError
from gradio_app.methods import about_method
from gradio_app.quota import Quota
from gradio_app.studio import Studio
from gradio_app.updates import Update, Updates, problem, progress, said, told, working
from resefa_core.defaults import CONFINED_FEATHER, FEATHERS, STRENGTHS, TRUNCATION
from resefa_core.directions import about
from resefa_core.errors import named
from resefa_core.latents.edits import MAX_MOVES
from resefa_core.latents.samples import SEEDS, like
from resefa_core.methods import check_method
from resefa_core.progress import Progress
from resefa_core.regions import preset_family
from resefa_core.session import Session
from resefa_core.session.finding import OURS

FIRST_SEED = 29
FIRST_FACES = (29, 5, 34, 35, 50, 17, 12, 25, 40, 53, 36, 48)
NUM_OTHERS = 6
LARGEST_JOINT = 8
SHOWN_DIRECTIONS = 12

_SOLVING = "Finding what changes the region"
_READY = "Directions that stay closer in place are ready."
_SHOWN_EVERY = 0.5
_QUICK_SIDE = 128
_SHEET_SIDE = 512
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
Wanted = Callable[[], bool]


@dataclass(eq=False)
class Visit:
    """What the server remembers of a visitor: small, whatever the generator's size.

    Attributes:
        address: where the visitor comes from.
        job: counts what the visitor asked for; work for what was asked before stops.
        behind: the same of work that goes on unasked.
        session: the picture and what was done to it.
        name, class_name: of the generator and the class, as they were chosen.
        turn: the browser's count of the regions that it sent, of the one that was taken last.
        method: how directions are found, a key of `METHODS`.
        directions: those that are shown.
        version: counts the direction sets shown; what a browser sends of an older one is ignored.
        strengths: where the sliders are; the session knows once they rest.
        touched: whether the visitor did something to the directions shown, so that others must not take
            their place unasked.
        stale: whether the directions shown are of another region, or face, than is asked for.
        troubled: whether the last line said what went wrong.
        confine, feather: whether edits are to stay in the region, and how soft its edge is then.
        note: what the link asked for in vain.
        opened: a direction set that was loaded and is not in use yet.
        finer: a direction set that was found meanwhile, and is offered.
    """

    address: str = ""
    job: int = 0
    behind: int = 0
    session: Session | None = None
    name: str = ""
    class_name: str = ""
    turn: int = 0
    method: str = OURS
    directions: resefa.Directions | None = None
    version: int = 0
    strengths: dict[int | str, float] = field(default_factory=dict)
    touched: bool = False
    stale: bool = False
    troubled: bool = False
    confine: bool = False
    feather: float = CONFINED_FEATHER
    note: str = ""
    opened: resefa.Directions | None = None
    finer: resefa.Directions | None = None

    def begin(self) -> Wanted:
        """Begin what was asked for; what was asked before is not wanted any more. Gives whether this still
        is."""
        self.job += 1
        job = self.job
        return lambda: self.job == job

    @property
    def needed(self) -> Session:
        """The session; raises ParameterError before there is one."""
        if self.session is None:
            raise resefa.ParameterError("this page has been idle for long: reload it to go on")
        return self.session

    @property
    def needed_directions(self) -> resefa.Directions:
        """The directions; raises ParameterError before there are any."""
        if self.directions is None:
            raise resefa.ParameterError("there are no directions yet: draw a box on the picture first")
        return self.directions

    @property
    def confinement(self) -> tuple[float, float]:
        """How far edits along the directions shown are confined, and how softly."""
        directions = self.directions
        if directions is None or directions.confined:
            return float(directions is not None), 0.0  # as soft as the region that they were found for
        can = self.needed.generator.can_confine and directions.region is not None
        return (1.0, self.feather) if self.confine and can else (0.0, 0.0)

    @property
    def kept(self) -> tuple[Any, ...]:
        """The moves that were made before, on other regions; the sliders edit what they led to."""
        moves = self.needed.moves
        on_top = self.directions is not None and bool(self.needed.strengths(self.directions))
        return moves[:-1] if on_top else moves

    def settle(self) -> None:
        """Let the session know where the sliders are."""
        if self.session is not None and self.directions is not None:
            confine, feather = self.confinement
            self.session.adjust(self.directions, self.strengths, confine=confine, feather=feather)


class Steps:
    """The steps of all visitors, on one studio.

    Args:
        quota: of the files that are saved; none is counted for None.
    """

    def __init__(self, studio: Studio, quota: Quota | None = None) -> None:
        self.studio = studio
        self._quota = quota

    # Coming, and another face

    @told
    def arrive(self, visit: Visit, query: Mapping[str, str], stored: object = None) -> Updates:
        """Show what the browser remembers, or what a link asks for, or the first face, with directions of a
        region."""
        asked, notes = links.read(query)
        try:
            yield from self._restored(visit, asked, stored)
            return
        except _NothingStored:
            pass
        except resefa.ReSeFaError as error:
            notes.append(f"what was edited can't be brought back: {error}")
        visit.note = " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)
        name = asked.get("generator", self.studio.names[0])
        if name not in self.studio.names:
            visit.note += f" The link's generator {payloads.shown(name)} isn't here."
            name = self.studio.names[0]
        seed, truncation = asked.get("seed", FIRST_SEED), asked.get("truncation", TRUNCATION)
        class_name = asked.get("class", "")
        try:
            session = self.studio.session(name, seed, truncation, class_name)
        except resefa.LatentError as error:
            visit.note += f" The link's class can't be shown: {error}."
            class_name = ""
            session = self.studio.session(name, seed, truncation)
        wanted = self._enter(visit, session, name, class_name)
        method = asked.get("method", OURS)
        if method in self.studio.methods(session.generator):
            visit.method = method
        else:
            visit.note += f" The link's method {payloads.shown(method)} can't be used here."
        visit.confine = bool(asked.get("confine")) and session.generator.can_confine
        visit.feather = asked.get("confine", visit.feather)
        try:
            self._choose(visit, asked.get("region"))
        except resefa.RegionError as error:
            visit.note += f" The link's region can't be used: {error}."
            self._choose(visit, None)
        visit.note = visit.note.strip()
        yield self._everything(visit)
        yield from self._find(visit, wanted)
        yield self._gallery(visit, FIRST_FACES)

    def _restored(self, visit: Visit, asked: Mapping[str, Any], stored: object) -> Updates:
        """Bring back what was done; raises `_NothingStored` where there is nothing."""
        saved = links.read_stored(stored)
        if saved is None and "edit" not in asked:
            raise _NothingStored
        if saved is None:
            saved = {"session": asked["edit"], **asked}
            saved["method"] = asked.get("method", OURS)
        described = saved["session"].get("generator")
        fingerprint = described.get("fingerprint") if isinstance(described, Mapping) else ""
        name = self.studio.name_of(str(fingerprint))
        if name is None:
            raise resefa.ParameterError("its generator isn't here")
        generator = self.studio.generator(name)
        wanted = visit.begin()

        def bring(report: Progress) -> Session:
            with self.studio.urgent():
                return Session.from_json(
                    saved["session"],
                    lambda: self.studio.generator(name),
                    cache=self.studio.analyses,
                    progress=report,
                )

        work = jobs.run_in_turn(self.studio.lines.faces, visit.address, bring, wanted)
        session = yield from progress(work, "Bringing your work back")
        self._enter(visit, session, name, saved.get("class", ""))
        if saved.get("method") in self.studio.methods(generator):
            visit.method = saved["method"]
        visit.confine = saved.get("confine", 0.0) > 0.0 and generator.can_confine
        visit.feather = saved.get("feather", visit.feather)
        if session.selected is None:
            self._choose(visit, None)
        yield self._everything(visit)
        if session.directions is None:
            yield from self._find(visit)
        else:
            yield from self._show(visit, session.directions)
        yield self._gallery(visit, FIRST_FACES)

    @told
    def draw(
        self, visit: Visit, name: object, seed: object, truncation: object, class_name: object = ""
    ) -> Updates:
        """Show another face, with directions of the region that is chosen."""
        seed = int(payloads.read_number(seed, 0, SEEDS - 1, "seed"))
        truncation = payloads.read_number(truncation, 0.0, 1.0, "truncation")
        name, class_name = str(name), str(class_name or "")
        before = visit.session
        known = before is not None and visit.name == name
        if (
            before is not None
            and known
            and (seed, truncation, class_name) == (before.seed, before.original.truncation, visit.class_name)
        ):
            return
        try:
            if before is not None and known:
                visit.settle()
                before.set_image(seed, truncation=truncation, label=class_name[:100])
                session = before
            else:
                session = self.studio.session(name, seed, truncation, class_name)
        except resefa.ParameterError:
            if visit.name:
                yield {"generator": visit.name}
            raise
        wanted = self._enter(visit, session, name, class_name)
        visit.note = ""
        if not known:
            self._choose(visit, None)
            if visit.method not in self.studio.methods(session.generator):
                visit.method = OURS
        update = self._everything(visit)
        if known:
            update = {part: update[part] for part in ("picker", "offer", "undo", "seed", "history")}
        yield update
        yield from self._find(visit, wanted)
        if not known:
            yield self._gallery(visit, FIRST_FACES)

    def leave_seed(
        self, visit: Visit, name: object, seed: object, truncation: object, class_name: object = ""
    ) -> Updates:
        """Show the face whose seed was typed, if it was changed."""
        if seed is not None:
            yield from self.draw(visit, name, seed, truncation, class_name)

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
            visit.needed  # noqa: B018
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
            "truncation": TRUNCATION,
        }
        yield from self.draw(visit, name, FIRST_SEED, TRUNCATION)

    # Regions and directions

    @told
    def pick(self, visit: Visit, payload: object) -> Updates:
        """Find directions of the region that was drawn."""
        sent = payload.get("region") if isinstance(payload, Mapping) else None
        visit.needed  # noqa: B018
        turn = payloads.read_turn(payload, visit.turn)
        if turn < visit.turn:  # it was overtaken by a later one
            return
        wanted = visit.begin()
        visit.stale, visit.note = True, ""
        try:
            self._check_room(visit)
            self._choose(visit, sent if isinstance(sent, Mapping) else {})
        except resefa.ReSeFaError:
            yield {"directions": {"stale": True}}
            raise
        visit.turn = turn
        visit.settle()
        yield from self._find(visit, wanted)

    @told
    def analyse(self, visit: Visit) -> Updates:
        """Find out about every layer of the face; the directions that follow replace those of the quick
        analysis, or are offered where sliders were moved."""
        session = visit.session
        if session is None:
            return
        if visit.method != OURS or visit.confine:
            yield {"background": said("")}
            return
        visit.behind += 1
        behind, original = visit.behind, session.original

        def wanted() -> bool:
            return visit.session is session and session.original is original and visit.behind == behind

        space = session.generator.spaces[0]
        if not session.is_analysed():

            def work(report: Progress) -> resefa.Jacobian:
                return session.analyse(prepared=True, progress=self.studio.giving_way(report))

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
        directions, region, job = visit.directions, session.selected, visit.job
        if (
            region is None
            or directions is None
            or visit.stale
            or (directions.space, directions.method) == (space, OURS)
        ):
            yield {"background": said("")}
            return
        recipe = directions.recipe
        same = recipe is not None and recipe.region.to_json(embed=True) == region.to_json(embed=True)
        if recipe is None or recipe.samples > 1 or directions.method != OURS or not same:
            yield {
                "background": said("Every layer is analysed: the next region's edits stay closer in place.")
            }
            return
        solve = jobs.run(
            lambda report: session.find(region, progress=report),
            lambda: wanted() and visit.job == job,
        )
        try:
            finer = yield from progress(solve, _SOLVING, "background")
        except jobs.Stopped:
            yield {"background": said("")}
            return
        if not wanted() or visit.directions is not directions:
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
        yield {"status": said("Stopped."), "directions": {"stale": visit.stale}}

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
            visit.begin()
            visit.settle()
            yield from self._show(visit, finer)

    @told
    def choose_method(self, visit: Visit, key: object) -> Updates:
        """Find directions in another way."""
        session = visit.needed
        check_method(str(key), session.generator)
        if key == resefa.CONFINED:
            raise resefa.ParameterError("for these directions, confine the edits to the region")
        if visit.method == key and visit.stale:  # it is being looked for: browsers tell a choice twice
            return
        visit.method = str(key)
        wanted = visit.begin()
        yield {"about_method": about_method(visit.method)}
        if session.selected is not None and wanted():
            visit.settle()
            yield from self._find(visit, wanted)

    @told
    def confine(self, visit: Visit, confine: object, feather: object) -> Updates:
        """Keep edits inside the region, or not; the strips show the difference."""
        visit.feather = payloads.read_number(feather, *FEATHERS, "feather")
        visit.confine = confine is True
        directions = visit.directions
        if visit.session is None or directions is None:
            return
        visit.begin()
        can = visit.session.generator.can_confine
        if not _is_own(visit):
            visit.settle()
            yield from self._show(visit, directions)
        elif directions.confined and visit.confine:
            yield from self._find(visit, keep=True)
        elif visit.strengths and not directions.confined:
            visit.settle()
            yield from self._show(visit, directions)
            if visit.confine and can:
                visit.finer = yield from self._solved(visit, visit.begin())
                yield {"background": said(_READY), "offer": True}
        else:
            yield from self._find(visit)

    @told
    def generalize(self, visit: Visit, count: object) -> Updates:
        """Find the region's directions jointly over several faces, and tell how well they carry over."""
        session, alone = visit.needed, visit.needed_directions
        count = int(payloads.read_number(count, 2, LARGEST_JOINT, "number of faces"))
        wanted = visit.begin()
        visit.settle()

        def solve(report: Progress) -> Any:
            return session.generalize(alone, count, progress=self.studio.giving_way(report))

        going = jobs.run_in_turn(self.studio.lines.joint, visit.address, solve, wanted)
        joint = yield from progress(going, f"Solving over {count} faces together")
        if not wanted():
            return
        yield from self._show(visit, joint.directions)
        yield {
            "status": said(
                f"Solved over {count} faces together. On {joint.unseen} faces it has not seen, the first "
                f"direction changes the region {_times(joint.after.ratio)} as much as the rest; "
                f"the one before: {_times(joint.before.ratio)}."
            )
        }

    # Edits

    @told
    def slide(self, visit: Visit, payload: object) -> Updates:
        """Edit the face as the sliders say."""
        visit.needed  # noqa: B018
        directions = visit.needed_directions
        strengths = payloads.read_strengths(
            payload, visit.version, len(directions), directions.strength_range
        )
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
    def rest(self, visit: Visit, payload: object) -> Updates:
        """The sliders rest: the edit can be undone from here, and the link tells it."""
        visit.needed  # noqa: B018
        self._take_strengths(visit, payload)
        visit.settle()
        history = self._history(visit)
        yield {"picker": {"link": history["link"]}, "history": history}

    @told
    def undo(self, visit: Visit) -> Updates:
        """Take back the edit that was kept last."""
        visit.begin()
        visit.settle()
        if kept := visit.kept:
            visit.needed.remove(len(kept) - 1)
        yield {"undo": _undo_text(visit)}
        yield from self._show(visit, visit.needed_directions)

    @told
    def travel(self, visit: Visit, payload: object) -> Updates:
        """One step back or forth in what was done, also to another face."""
        session = visit.needed
        visit.settle()
        back = isinstance(payload, Mapping) and payload.get("go") == "undo"
        before = session.original
        if not (session.undo() if back else session.redo()):
            yield {"history": self._history(visit)}
            return
        wanted = visit.begin()
        moves = session.moves
        same_face = session.original is before
        if not same_face:
            wanted = self._enter(visit, session, visit.name, visit.class_name)
        if moves:
            top = moves[-1]
            region = top.directions.region
            session.selected = region if region is not None else session.selected
            visit.confine = top.confine > 0.0
            visit.feather = top.feather or visit.feather
            on_top = visit.directions is not None and bool(session.strengths(visit.directions))
            shown: resefa.Directions | None = visit.directions if on_top else top.directions
        else:
            shown = visit.directions
        if not same_face:
            yield self._everything(visit)
        yield {
            "status": said("Taken back." if back else "Done again."),
            "confine": {"visible": session.generator.can_confine, "value": visit.confine},
            "undo": _undo_text(visit),
        }
        if shown is None:
            yield from self._find(visit, wanted)
        elif wanted():
            yield from self._show(visit, shown)

    @told
    def others(self, visit: Visit, shown: object, payload: object = None) -> Updates:
        """Other faces, moved along with this one, as the sliders say."""
        session = visit.session
        if shown is not True or session is None:
            yield {"others": {"images": []}}
            return
        if visit.directions is not None:  # the slide itself may come later, as it does not queue
            self._take_strengths(visit, payload)
            visit.settle()
        images: list[dict[str, str]] = []
        last_shown = time.monotonic()
        for other in self.studio.in_turns(session.carry(NUM_OTHERS)):
            picture = resefa.to_pil(other.image)
            images.append({"image": payloads.data_url(picture), "label": f"seed {other.seed}"})
            if time.monotonic() - last_shown > _SHOWN_EVERY:
                yield {"others": {"images": images[:]}}
                last_shown = time.monotonic()
        yield {"others": {"images": images}}

    # Files

    @told
    def open_file(self, visit: Visit, path: object, space: object = "", layers: object = "") -> Updates:
        """Look into a direction file; it is used once the visitor says so.

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

    def _load(self, visit: Visit, path: str | Path, space: object, layers: object) -> resefa.Directions:
        generator = visit.needed.generator
        given = space if isinstance(space, str) and space in resefa.SPACES else None
        listed = layers[:200] if isinstance(layers, str) and layers.strip() else None
        moved = None if listed is None else generator.choose_layers(listed)
        return resefa.Directions.load(path, given, moved, generator.num_layers)

    def look(self, visit: Visit, directions: resefa.Directions, source: str = "") -> Updates:
        """Show what a direction set says of itself, and whether it fits."""
        generator = visit.needed.generator
        visit.opened = None
        fit = about.fit(directions, generator)
        if not fit.fits:
            fit = about.Fit(False, f"It does not fit: {fit.note}")
        yield {"card": describe(directions, fit, source), "usable": fit.fits}
        if fit.fits:
            visit.opened = directions
            yield {"status": said("The file fits this generator. Press “Use these directions”.")}
        else:
            yield {"status": problem(fit.note)}

    @told
    def use(self, visit: Visit) -> Updates:
        """Take the set that was opened."""
        directions = visit.opened
        if directions is None:
            raise resefa.ParameterError("open a direction file first")
        session = visit.needed
        directions.check(session.generator)
        self._check_room(visit)
        visit.begin()
        visit.settle()
        if directions.region is not None:
            session.selected = directions.region
        visit.opened = None
        yield {"card": None, "usable": False, "undo": _undo_text(visit)}
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
        visit.settle()
        chosen.save(files[0])
        visit.needed.save_picture(files[1])
        payloads.side_by_side([resefa.to_pil(visit.needed.before), picture]).save(files[2])
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
        strips = [strip.picture() for strip in visit.needed.strips(directions, most=SHOWN_DIRECTIONS)]
        width, height = strips[0].size
        sheet = Image.new("RGB", (width, height * len(strips)))
        for index, strip in enumerate(strips):
            sheet.paste(strip, (0, index * height))
        return sheet

    def picture(self, visit: Visit) -> Image.Image:
        """The face as the sliders have it."""
        session, directions = visit.needed, visit.directions
        if directions is None:
            return session.picture
        latent = session.below(directions)[:1]
        if visit.strengths:
            confine, feather = visit.confinement
            fitting = session.prepared(directions, confine, feather)
            latent = resefa.move(latent, fitting, visit.strengths, confine, feather)
        return resefa.to_pil(session.generator.synthesize(latent)[0])

    # What is shown

    def _enter(self, visit: Visit, session: Session, name: str, class_name: str) -> Wanted:
        wanted = visit.begin()
        visit.session, visit.name, visit.class_name = session, name, class_name
        visit.directions = visit.finer = None
        visit.strengths, visit.touched, visit.stale = {}, False, True
        return wanted

    def _choose(self, visit: Visit, drawn: Mapping[str, Any] | None) -> None:
        """Take a region as it was drawn; the first preset, or the middle, for None."""
        session = visit.needed
        if drawn is None:
            presets = session.presets
            session.select(next(iter(presets.values())) if presets else [0.35, 0.35, 0.3, 0.3])
        else:
            session.select(payloads.read_region(drawn, preset_family(session.generator)))

    def _check_room(self, visit: Visit) -> None:
        kept = len(visit.kept) + 1
        if visit.strengths and kept >= MAX_MOVES:
            raise resefa.ParameterError(f"{kept} edits are kept already: take back some first")

    def _take_strengths(self, visit: Visit, payload: object) -> None:
        directions = visit.needed_directions
        sent = payloads.read_strengths(payload, visit.version, len(directions), directions.strength_range)
        visit.strengths = visit.strengths if sent is None else sent

    def _find(self, visit: Visit, wanted: Wanted | None = None, keep: bool = False) -> Updates:
        """Show directions of the chosen region, if they are still `wanted`; `keep` keeps the sliders."""
        wanted = wanted or visit.begin()
        if not wanted():
            return
        visit.stale = True
        found = yield from self._solved(visit, wanted)
        if wanted():
            if keep and visit.strengths:
                strengths = dict(visit.strengths)
                visit.strengths = {}
                visit.settle()
                visit.directions, visit.strengths = found, strengths
                visit.settle()
            yield from self._show(visit, found)

    def _solved(self, visit: Visit, wanted: Wanted) -> Generator[Update, None, resefa.Directions]:
        """Directions of the chosen region: thorough if the face is analysed, else quick; for confined edits
        where they are to be confined."""
        session, method = visit.needed, visit.method
        region, lines = session.selected, self.studio.lines
        if method != OURS:

            def compare(report: Progress) -> resefa.Directions:
                return session.find(region, method=method, progress=self.studio.giving_way(report))

            trying = jobs.run_in_turn(lines.methods, visit.address, compare, wanted)
            return (yield from progress(trying, f"Trying {about.method_title(method)}"))
        confined = visit.confine and session.generator.can_confine
        quick = not session.is_analysed()
        waits = confined or (quick and not session.is_analysed(session.quick_space))
        if waits and not confined:

            def look(report: Progress) -> None:
                with self.studio.urgent():
                    session.analyse(session.quick_space, progress=report)

            going = jobs.run_in_turn(lines.faces, visit.address, look, wanted)
            yield from progress(going, "Looking at the picture")

        def solve(report: Progress) -> resefa.Directions:
            with self.studio.urgent() if confined else nullcontext():
                feather = visit.feather if confined else None
                return session.find(
                    region,
                    quick=quick or confined,
                    confine=float(confined),
                    feather=feather,
                    progress=report,
                )

        if confined:
            solving = jobs.run_in_turn(lines.faces, visit.address, solve, wanted)
            return (yield from progress(solving, _SOLVING))
        return (yield from progress(jobs.run(solve, wanted), _SOLVING))

    def _show(self, visit: Visit, directions: resefa.Directions) -> Updates:
        """Show directions as strips, the first ones as soon as there is one, with the sliders where the edit
        has them."""
        session = visit.needed
        if visit.directions is not directions:
            offered = visit.finer is not None
            visit.directions, visit.finer = directions, None
            visit.strengths = dict[int | str, float](session.strengths(directions).items())
            visit.touched = bool(visit.strengths)
            if offered:
                yield {"background": said(""), "offer": False}
        else:
            visit.strengths = dict[int | str, float](session.strengths(directions).items())
        session.directions, visit.stale = directions, False
        visit.version += 1
        version, job = visit.version, visit.job
        confine, feather = visit.confinement
        if confine and directions.steps_confined is None:
            yield {"status": working("Measuring edits that stay inside the region")}
        rows = {
            "version": version,
            "range": list(directions.strength_range),
            "strengths": list(STRENGTHS),
            "stale": False,
        }
        items: list[dict[str, Any]] = []
        last_shown = time.monotonic()
        strips = session.strips(directions, confine=confine, feather=feather, most=SHOWN_DIRECTIONS)
        for strip in self.studio.in_turns(strips):
            if (visit.version, visit.job) != (version, job):
                return
            effect = strip.effect
            items.append(
                {
                    "strip": payloads.data_url(strip.picture()),
                    "words": effect.words,
                    "detail": f"change inside {effect.inside:.3f}, outside {effect.outside:.3f}",
                    "spills": effect.spills,
                    "name": strip.name,
                    "strength": visit.strengths.get(strip.index, 0.0),
                }
            )
            slow = time.monotonic() - last_shown > _SHOWN_EVERY
            if (slow or strip.index in (0, 2)) and len(directions) > strip.index + 1:
                yield {"directions": {**rows, "items": items[:], "more": True}}
                last_shown = time.monotonic()
        history = self._history(visit)
        yield {
            "directions": {**rows, "items": items, "more": False},
            "picker": {
                "image": self._edited(visit),
                "of": version,
                "region": payloads.show_region(session.selected),
                "turn": visit.turn,
                "link": history["link"],
            },
            "undo": _undo_text(visit),
            "history": history,
            "status": said(self._result(visit, items)),
        }
        visit.troubled = False

    def _result(self, visit: Visit, items: Sequence[Mapping[str, Any]]) -> str:
        """What was found, in a line."""
        session, directions = visit.needed, visit.needed_directions
        shared = resefa.SPACES[directions.space].shared
        quick = shared and not directions.confined and directions.method == OURS
        many = len(directions)
        better = quick and session.generator.spaces[0] != directions.space
        line = f"{many} {'quick ' if better else ''}way{'s' if many > 1 else ''} to change "
        line += "this part" if session.selected is None else session.selected.words
        if directions.confined:
            line += " alone"
        elif directions.method not in (OURS, "imported"):
            line += f", by {about.method_title(directions.method)}"
        if directions.num_samples > 1:
            line += f", found on {directions.num_samples} faces together"
        note = f" {visit.note}" if visit.note else ""
        if better and directions.num_samples == 1:
            return f"{line}; better ones follow.{note}"
        spilling = sum(item["spills"] for item in items)
        if 2 * spilling > len(items) and not directions.confined:
            return f"{line}. Most change much elsewhere too: draw a larger part, or confine the edits to it."
        return f"{line}. Move a slider.{note}"

    def _edited(self, visit: Visit) -> str:
        return payloads.data_url(self.picture(visit))

    def _everything(self, visit: Visit) -> Update:
        """The parts that tell which face is shown."""
        session = visit.needed
        generator = session.generator
        hint = f"one of {generator.num_classes}: a name or a number" if generator.num_classes else ""
        keys = self.studio.methods(generator)
        history = self._history(visit)
        return {
            "seed": session.seed,
            "truncation": session.original.truncation,
            "generator": visit.name,
            "class": {"visible": bool(generator.num_classes), "hint": hint},
            "method": {"choices": [(about.method_title(key), key) for key in keys], "value": visit.method},
            "confine": {"visible": generator.can_confine} | ({"value": True} if visit.confine else {}),
            "feather": visit.feather,
            "picker": {**self._picture(visit), "link": history["link"]},
            "offer": False,
            "undo": _undo_text(visit),
            "history": history,
        }

    def _picture(self, visit: Visit) -> Update:
        session = visit.needed
        before = payloads.data_url(resefa.to_pil(session.before))
        return {
            "before": before,
            "image": payloads.data_url(session.picture) if session.moves else before,
            "region": payloads.show_region(session.selected),
            "turn": visit.turn,
            "presets": {name: payloads.show_region(region) for name, region in session.presets.items()},
            "seed": session.seed,
            "alt": f"A face that {visit.name} drew from seed {session.seed}",
            "of": visit.version,
        }

    def _link(self, visit: Visit) -> tuple[str, str]:
        """A link to what is shown, and what it leaves out."""
        session = visit.needed
        others = {"class": visit.class_name} if session.generator.num_classes else {}
        if visit.name != self.studio.names[0]:
            others["generator"] = visit.name
        if visit.method != OURS:
            others["method"] = visit.method
        if visit.confine:
            others["confine"] = f"{visit.feather:g}"
        return links.write(session, visit.name in self.studio.names, **others)

    def _history(self, visit: Visit) -> Update:
        """What the browser keeps, so that nothing is lost where the page starts over."""
        session = visit.needed
        link, left_out = self._link(visit)
        return {
            "undo": session.can_undo,
            "redo": session.can_redo,
            "link": link,
            "left_out": left_out,
            "stored": links.stored(session, visit.class_name, visit.method, visit.confine, visit.feather),
        }

    def _gallery(self, visit: Visit, seeds: Sequence[int]) -> Update:
        """Faces to choose from; none where drawing them takes long."""
        session = visit.needed
        generator = session.generator
        shown = seeds if generator.resolution <= _QUICK_SIDE else []
        latents = [like(generator, session.original, seed) for seed in shown]
        faces = []
        for seed, image in zip(
            shown,
            self.studio.in_turns(generator.synthesize(latent)[0] for latent in latents),
            strict=True,
        ):
            faces.append({"seed": seed, "image": payloads.data_url(resefa.to_pil(image))})
        return {"faces": {"faces": faces}}


class _NothingStored(Exception):  # noqa: N818
    """There is nothing to bring back."""


def describe(directions: resefa.Directions, fit: about.Fit, source: str = "") -> Update:
    """A direction set for people to look at before they use it; plain text and pixels alone."""
    return {
        "rows": [list(row) for row in about.rows(directions, source, fit)],
        "thumbnail": _thumbnail(directions.thumbnail),
    }


def file_stem(title: str) -> str:
    """A file's name for a title: letters, digits, `-` and `_`."""
    return _UNSAFE.sub("-", title).strip("-")[:60] or "directions"


def _is_own(visit: Visit) -> bool:
    """Whether the directions were found here, on the face that is shown alone, by our own method."""
    directions = visit.directions
    recipe = None if directions is None else directions.recipe
    return recipe is not None and visit.method == OURS and recipe.samples == 1


def _undo_text(visit: Visit) -> str:
    """What the undo button says; nothing where there is nothing to take back."""
    kept = visit.kept
    if not kept:
        return ""
    region = kept[-1].directions.region
    return f"Take back the edit of {'this part' if region is None else region.words}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _line(text: object) -> str:
    return " ".join(str(text or "")[:200].split())


def _thumbnail(data: bytes | None) -> str | None:
    if data is None:
        return None
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
