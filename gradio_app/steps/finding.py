"""Regions, and the directions that are found for them."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import resefa_core as resefa
from gradio_app import jobs, payloads
from gradio_app.line import CrowdedError
from gradio_app.methods import about_method, unusual
from gradio_app.steps.showing import Showing
from gradio_app.studio import JOINT_FOR_VISITORS
from gradio_app.updates import Update, Updates, progress, said, told
from gradio_app.visit import Visit, Wanted
from resefa_core.defaults import FEATHERS
from resefa_core.directions import CONFINED, about
from resefa_core.latents.edits import MAX_MOVES
from resefa_core.methods import check_method
from resefa_core.parsing import parse_confine
from resefa_core.progress import Progress
from resefa_core.regions import preset_family
from resefa_core.session import Session
from resefa_core.session.finding import OURS

MOST_ROWS = 4
"""Of the directions worth offering, until more are asked for."""

_SOLVING = "Finding what changes the region"
_READY = "Directions that stay closer in place are ready."


class Finding(Showing):
    """Steps that find directions."""

    @told
    def pick(self, visit: Visit, payload: object) -> Updates:
        """Find directions of the region that was drawn."""
        sent = payload.get("region") if isinstance(payload, Mapping) else None
        visit.needed  # noqa: B018
        turn = payloads.read_turn(payload, visit.turn)
        if turn < visit.turn:  # it was overtaken by a later one
            return
        wanted = visit.begin()
        visit.stale, visit.note, visit.every = True, "", False
        try:
            self.check_room(visit)
            self.choose(visit, sent if isinstance(sent, Mapping) else {})
            yield from self.place(visit, wanted)
        except resefa.ReSeFaError:
            yield {"directions": {"stale": True}}
            raise
        if not wanted():
            return
        visit.turn = turn
        visit.settle()
        yield from self.find(visit, wanted)

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
            or (directions.space, directions.method) == (session.generator.spaces[0], OURS)
        ):
            yield {"background": said("")}
            return
        if directions.confined or not session.found_alone(directions, region):
            yield {
                "background": said("Every layer is analysed: the next region's edits stay closer in place.")
            }
            return
        solve = jobs.run(
            lambda report: self._found_here(visit, region, False, False, report),
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
        yield from self.show(visit, finer)

    @told
    def show_rest(self, visit: Visit) -> Updates:
        """Show all directions that were found, not only those worth offering; what the sliders did stays."""
        visit.needed  # noqa: B018
        self.check_room(visit)
        visit.settle()
        visit.every = True
        yield from self.find(visit)

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
            yield from self.show(visit, finer)

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
        yield {"about_method": about_method(visit.method), **self.fields(visit)}
        if session.selected is not None and wanted():
            visit.settle()
            yield from self.find(visit, wanted)

    @told
    def choose_parameters(self, visit: Visit, payload: object) -> Updates:
        """Find directions with other parameters of the method."""
        session = visit.needed
        key, given = payloads.read_parameters(payload)
        if key != visit.finder:  # another method was chosen meanwhile
            return
        asked = unusual(key, given)
        if asked == visit.asked:
            if visit.troubled:
                visit.troubled = False
                yield {"status": said("")}
            return
        visit.parameters[key] = asked
        wanted = visit.begin()
        if session.selected is not None:
            visit.settle()
            yield from self.find(visit, wanted)

    @told
    def confine(self, visit: Visit, confine: object, feather: object) -> Updates:
        """Keep edits inside the region, or not; the strips show the difference. A tick alone leaves it at how
        far they do already."""
        softness = payloads.read_number(feather, *FEATHERS, "feather")
        amount = visit.confine if confine is True and visit.confine else parse_confine(confine)
        visit.confine, visit.feather = amount, softness
        session, directions = visit.session, visit.directions
        if session is None or directions is None:
            return
        yield self.fields(visit)
        visit.begin()
        can = session.generator.can_confine
        if visit.method != OURS or not session.found_alone(directions):
            visit.settle()
            yield from self.show(visit, directions)
        elif directions.confined and visit.confine:
            yield from self.find(visit, keep=True)
        elif visit.strengths and not directions.confined:
            visit.settle()
            yield from self.show(visit, directions)
            if visit.confine and can:
                visit.finer = yield from self._solved(visit, visit.begin())
                yield {"background": said(_READY), "offer": True}
        else:
            yield from self.find(visit)

    @told
    def generalize(self, visit: Visit, count: object) -> Updates:
        """Find the region's directions jointly over several faces, and tell how well they carry over."""
        session, alone = visit.needed, visit.needed_directions
        count = int(payloads.read_number(count, 2, JOINT_FOR_VISITORS, "number of pictures"))
        wanted = visit.begin()
        visit.settle()

        def solve(report: Progress) -> Any:
            return session.generalize(alone, count, progress=self.studio.giving_way(report))

        going = jobs.run_in_turn(self.studio.lines.joint, visit.address, solve, wanted)
        joint = yield from progress(going, f"Solving over {count} pictures together")
        if not wanted():
            return
        yield from self.show(visit, joint.directions)
        yield {
            "status": said(
                f"Solved over {count} pictures together. On {joint.unseen} pictures it has not seen, the "
                f"first direction changes the region {times(joint.after.ratio)} as much as the rest; "
                f"the one before: {times(joint.before.ratio)}."
            )
        }

    def enter(self, visit: Visit, session: Session, name: str, class_name: str) -> Wanted:
        wanted = visit.begin()
        visit.session, visit.name, visit.class_name = session, name, class_name
        visit.directions = visit.finer = None
        visit.every = False
        visit.strengths, visit.touched, visit.stale = {}, False, True
        return wanted

    def choose(self, visit: Visit, drawn: Mapping[str, Any] | None) -> None:
        """Take a region as it was drawn; the first preset, or the middle, for None. A part is yet to be
        found: see `place`."""
        session = visit.needed
        visit.pending = None
        if drawn is None:
            name = next(iter(session.presets), "")
            region = session.select(preset(session, name) if name else [0.35, 0.35, 0.3, 0.3])
            if region.follows:
                visit.pending = partial(session.follow, region, session.original[:1])
        else:
            chosen = payloads.read_region(drawn, preset_family(session.generator))
            if isinstance(chosen, resefa.Region):
                session.select(chosen)
            else:
                visit.pending = partial(_joined, session, chosen)

    def place(self, visit: Visit, wanted: Wanted) -> Updates:
        """Find on the face what was chosen as a part, here or on the face before."""
        pending = visit.pending
        if pending is None:
            return
        visit.pending = None
        yield from self._look(visit, wanted)
        if wanted():
            visit.needed.select(pending())

    def follow(self, visit: Visit, wanted: Wanted, chosen_on: resefa.Latent) -> Updates:
        """Find on the face the region that was chosen on another one; it stays in its place where the face
        has nothing of it."""
        session = visit.needed
        region = session.selected
        if visit.origin is not None and visit.origin[0] is region:
            _, region, chosen_on = visit.origin
        if chosen_on.digest == session.original[:1].digest:
            session.selected = region
        elif region is not None and region.follows:
            visit.pending = partial(session.follow, region, chosen_on)
        try:
            yield from self.place(visit, wanted)
        except resefa.RegionError as error:
            visit.note = f"{visit.note} The part is where the last picture had it: {error}.".strip()
        if wanted():
            visit.origin = (session.selected, region, chosen_on)

    def _look(self, visit: Visit, wanted: Wanted) -> Updates:
        """Make the quick analysis of the face, unless it is there."""
        session = visit.needed
        if session.is_analysed(session.quick_space):
            return

        def look(report: Progress) -> None:
            with self.studio.urgent():
                session.analyse(session.quick_space, progress=report)

        going = jobs.run_in_turn(self.studio.lines.faces, visit.address, look, wanted)
        yield from progress(going, "Looking at the picture")

    def check_room(self, visit: Visit) -> None:
        kept = len(visit.kept) + 1
        if visit.strengths and kept >= MAX_MOVES:
            raise resefa.ParameterError(f"{kept} edits are kept already: take back some first")

    def find(self, visit: Visit, wanted: Wanted | None = None, keep: bool = False) -> Updates:
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
            yield from self.show(visit, found)

    def _solved(self, visit: Visit, wanted: Wanted) -> Generator[Update, None, resefa.Directions]:
        """Directions of the chosen region: thorough if the face is analysed, else quick; for confined edits
        where they are to be confined."""
        session, method, asked = visit.needed, visit.method, visit.asked
        region, lines = session.selected, self.studio.lines
        if method != OURS:

            def compare(report: Progress) -> resefa.Directions:
                steady = self.studio.giving_way(report, bounded=bool(asked))
                return session.find(region, method=method, parameters=asked, progress=steady)

            trying = jobs.run_in_turn(lines.methods, visit.address, compare, wanted)
            return (yield from progress(trying, f"Trying {about.method_title(method)}"))
        confined = visit.finds_confined
        quick = not session.is_analysed()
        if quick and not confined:
            yield from self._look(visit, wanted)

        def solve(report: Progress) -> resefa.Directions:
            with self.studio.urgent() if confined else nullcontext():
                return self._found_here(visit, region, quick, confined, report)

        if confined:
            solving = jobs.run_in_turn(lines.faces, visit.address, solve, wanted)
            return (yield from progress(solving, _SOLVING))
        return (yield from progress(jobs.run(solve, wanted), _SOLVING))

    def _found_here(
        self, visit: Visit, region: resefa.Region | None, quick: bool, confined: bool, report: Progress
    ) -> resefa.Directions:
        """Directions of a region by our methods, those that were found for another visitor a moment ago among
        them; what is found of somebody's picture is nobody else's."""
        session = visit.needed
        region = session.select(session.selected if region is None else region)
        asked: dict[str, Any] = {
            "quick": quick or confined,
            "confine": visit.confine if confined else 0.0,
            "feather": visit.feather if confined else None,
            "parameters": visit.parameters.get(CONFINED if confined else OURS, {}),
            "only_good": not visit.every,
        }

        def find() -> resefa.Directions:
            return session.find(region, **asked, progress=report)

        if session.original.crop is not None:
            return _few(visit, find())
        place = (
            session.generator.fingerprint,
            session.original.digest,
            json.dumps(region.to_json(embed=True)),
        )
        key = (*place, json.dumps(asked, sort_keys=True))
        return _few(visit, self.studio.found.get(key, find))


def preset(session: Session, name: str) -> resefa.Region:
    """A preset; one that is a part of the face is yet to be found there, and until then where its box is."""
    region, part = session.presets[name], resefa.Selection.meant(name, session.part_names)
    return region if part is None else resefa.Region.of_part(region, part)


def _joined(session: Session, picks: payloads.Picks) -> resefa.Region:
    """Parts of the face, one after the other added or taken away."""
    (first, _), *others = picks
    region = session.region(first)
    for selection, add in others:
        other = session.region(selection)
        region = region | other if add else region & ~other
    return region


def _few(visit: Visit, directions: resefa.Directions) -> resefa.Directions:
    """The first of many directions, unless all are asked for: the visitor's own copy."""
    return directions[: None if visit.every else MOST_ROWS]


def times(ratio: float) -> str:
    """A ratio in words."""
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:,.0f} times"
