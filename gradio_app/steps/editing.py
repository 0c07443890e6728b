"""Sliders, what was done before, and the same edit on other faces."""

from __future__ import annotations

import time
from collections.abc import Mapping

import resefa_core as resefa
from gradio_app import payloads
from gradio_app.steps.finding import Finding
from gradio_app.steps.showing import SHOWN_EVERY, undo_text
from gradio_app.updates import Updates, said, told
from gradio_app.visit import Visit

NUM_OTHERS = 6


class Editing(Finding):
    """Steps that edit the face."""

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
            yield {"picker": {"image": self.edited(visit), "of": visit.version}}
        if visit.troubled:
            visit.troubled = False
            yield {"status": said("")}

    @told
    def rest(self, visit: Visit, payload: object) -> Updates:
        """The sliders rest: the edit can be undone from here, and the link tells it. Nothing of the picture
        is told: of two answers that arrive at once a part of the page sees the later one alone, and the
        sliders' picture may be the other."""
        visit.needed  # noqa: B018
        self._take_strengths(visit, payload)
        visit.settle()
        yield {"history": self.history(visit)}

    @told
    def undo(self, visit: Visit) -> Updates:
        """Take back the edit that was kept last."""
        visit.begin()
        visit.settle()
        if kept := visit.kept:
            visit.needed.remove(len(kept) - 1)
        yield {"undo": undo_text(visit)}
        yield from self.show(visit, visit.needed_directions)

    @told
    def travel(self, visit: Visit, payload: object) -> Updates:
        """One step back or forth in what was done, also to another face."""
        session = visit.needed
        visit.settle()
        back = isinstance(payload, Mapping) and payload.get("go") == "undo"
        before = session.original
        if not (session.undo() if back else session.redo()):
            yield {"history": self.history(visit)}
            return
        wanted = visit.begin()
        moves = session.moves
        same_face = session.original is before
        if not same_face:
            wanted = self.enter(visit, session, visit.name, visit.class_name)
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
            yield self.everything(visit)
        yield {
            "status": said("Taken back." if back else "Done again."),
            "confine": {"visible": session.generator.can_confine, "value": visit.confine},
            "undo": undo_text(visit),
        }
        if shown is None:
            yield from self.find(visit, wanted)
        elif wanted():
            yield from self.show(visit, shown)

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
            if time.monotonic() - last_shown > SHOWN_EVERY:
                yield {"others": {"images": images[:]}}
                last_shown = time.monotonic()
        yield {"others": {"images": images}}

    def _take_strengths(self, visit: Visit, payload: object) -> None:
        directions = visit.needed_directions
        sent = payloads.read_strengths(payload, visit.version, len(directions), directions.strength_range)
        visit.strengths = visit.strengths if sent is None else sent
