"""Coming, and another face."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import resefa_core as resefa
from gradio_app import jobs, links, payloads
from gradio_app.methods import unusual
from gradio_app.steps.finding import Finding, preset
from gradio_app.updates import Update, Updates, progress, told
from gradio_app.visit import Visit
from resefa_core.defaults import TRUNCATION
from resefa_core.errors import named
from resefa_core.latents.samples import SEEDS, like
from resefa_core.progress import Progress
from resefa_core.session import Session
from resefa_core.session.finding import OURS

FIRST_SEED = 29
FIRST_FACES = (29, 5, 34, 35, 50, 17, 12, 25, 40, 53, 36, 48)

_QUICK_SIDE = 128
_SIGHT_QUALITY = 75
_SURPRISING = (0.5, 0.8)
"""How far a surprise goes, of as far as it may."""


class Faces(Finding):
    """Steps that show a face."""

    @told
    def arrive(self, visit: Visit, query: Mapping[str, str], stored: object = None) -> Updates:
        """Show what the browser remembers, or what a link asks for, or the first face, with directions of a
        region."""
        asked, notes = links.read(query)
        try:
            yield from self._restored(visit, asked, notes, stored)
            return
        except _NothingStored:
            pass
        except resefa.ReSeFaError as error:
            notes.append(f"what was edited can't be brought back: {error}")
        visit.note = _noted(notes)
        name = asked.get("generator", self.studio.unnamed if asked else self.studio.names[0])
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
        wanted = self.enter(visit, session, name, class_name)
        self._set(visit, asked)
        try:
            self.choose(visit, asked.get("region"))
        except resefa.RegionError as error:
            visit.note += f" The link's region can't be used: {error}."
            self.choose(visit, None)
        visit.note = visit.note.strip()
        yield self.everything(visit)
        try:
            yield from self.place(visit, wanted)
        except resefa.RegionError as error:
            visit.note = f"{visit.note} The link's region can't be used: {error}.".strip()
            self.choose(visit, None)
            visit.pending = None
        yield from self.find(visit, wanted)
        yield self.gallery(visit, FIRST_FACES)

    def first_ways(self) -> list[tuple[str, str]]:
        """The names and the strips of what somebody who arrives can do first.

        Raises:
            RegionError: nothing on the first face responds.
        """
        visit, name = Visit(), self.studio.names[0]
        session = self.studio.session(name, FIRST_SEED, TRUNCATION)
        wanted = self.enter(visit, session, name, "")
        self.choose(visit, None)
        for _ in self.place(visit, wanted):
            pass
        strips = session.strips(jobs.finished(self._solved(visit, wanted)))
        return [(strip.name, payloads.data_url(strip.picture(), _SIGHT_QUALITY)) for strip in strips]

    def _restored(
        self, visit: Visit, asked: Mapping[str, Any], notes: Sequence[str], stored: object
    ) -> Updates:
        """Bring back what was done; raises `_NothingStored` where there is nothing."""
        saved = links.read_stored(stored)
        if saved is None and "edit" not in asked:
            raise _NothingStored
        if saved is None:
            saved = {"session": asked["edit"], **asked}
        described = resefa.GeneratorDescription.of(saved["session"].get("generator"))
        name = self.studio.name_of(described.fingerprint or "")
        if name is None:
            raise resefa.ParameterError("its generator isn't here")
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
        wanted = self.enter(visit, session, name, saved.get("class", ""))
        visit.note = _noted(notes)
        self._set(visit, saved)
        if session.selected is None:
            self.choose(visit, None)
        yield self.everything(visit)
        with suppress(resefa.RegionError):
            yield from self.place(visit, wanted)
        if session.directions is None:
            yield from self.find(visit)
        else:
            yield from self.show(visit, session.directions)
        yield self.gallery(visit, FIRST_FACES)

    def _set(self, visit: Visit, asked: Mapping[str, Any]) -> None:
        """Take how a link, or the browser, has directions found and edits made; what can't be is noted."""
        generator = visit.needed.generator
        visit.confine = asked.get("confine", 0.0) if generator.can_confine else 0.0
        visit.feather = asked.get("feather", visit.feather)
        method = asked.get("method") or OURS
        if method not in self.studio.methods(generator):
            visit.note += f" The link's method {payloads.shown(method)} can't be used here."
            return
        visit.method = method
        try:
            visit.parameters[visit.finder] = unusual(visit.finder, asked.get("parameters", {}))
        except resefa.ParameterError as error:
            visit.note += f" The link's parameters can't be used: {error}."

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
                latent = before.original[:1]
                visit.pending = None
                before.set_image(seed, truncation=truncation, label=class_name[:100])
                session = before
            else:
                session = self.studio.session(name, seed, truncation, class_name)
        except resefa.ParameterError:
            if visit.name:
                yield {"generator": visit.name}
            raise
        wanted = self.enter(visit, session, name, class_name)
        visit.note = ""
        if not known:
            self.choose(visit, None)
            if visit.method not in self.studio.methods(session.generator):
                visit.method = OURS
        update = self.everything(visit)
        if known:
            update = {part: update[part] for part in ("picker", "offer", "seed", "history")}
        yield update
        yield from self.follow(visit, wanted, latent if known else session.original[:1])
        yield from self.find(visit, wanted)
        if not known:
            yield self.gallery(visit, FIRST_FACES)

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
    def surprise(
        self, visit: Visit, name: object, seed: object, truncation: object, class_name: object = ""
    ) -> Updates:
        """Show a face that nobody chose, with an edit that nobody chose."""
        session = visit.session
        if session is not None and session.presets:
            session.select(preset(session, random.choice(list(session.presets))))
        yield from self.draw_random(visit, name, seed, truncation, class_name)
        directions = visit.directions
        if directions is None or visit.stale or visit.touched:
            return
        index = random.randrange(len(directions))
        end = random.choice([bound for bound in directions.strength_range if bound])
        strength = round(end * random.uniform(*_SURPRISING), 1)
        yield {"directions": {"version": visit.version, "set": [index, strength]}}

    @told
    def choose_face(
        self, visit: Visit, payload: object, name: object, truncation: object, class_name: object = ""
    ) -> Updates:
        """Show the face that was chosen from the gallery, or other faces to choose from."""
        sent = payload if isinstance(payload, Mapping) else {}
        if sent.get("more") is True:
            visit.needed  # noqa: B018
            yield self.gallery(visit, random.sample(range(1_000_000), len(FIRST_FACES)))
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

    def gallery(self, visit: Visit, seeds: Sequence[int]) -> Update:
        """Faces to choose from; none where drawing them takes long."""
        session = visit.needed
        generator = session.generator
        shown = seeds if generator.resolution <= _QUICK_SIDE else []
        latents = [like(generator, session.original, seed) for seed in shown]
        pictures = self.studio.thumbnails(generator, latents)
        return {
            "faces": {
                "faces": [
                    {"seed": seed, "image": picture} for seed, picture in zip(shown, pictures, strict=True)
                ]
            }
        }


def _noted(notes: Sequence[str]) -> str:
    """What a link asks for in vain, in sentences."""
    return " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)


class _NothingStored(Exception):  # noqa: N818
    """There is nothing to bring back."""
