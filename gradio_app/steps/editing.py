"""Sliders, what was done before, and the same edit on other pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import resefa_core as resefa
from gradio_app import payloads
from gradio_app.steps.finding import Finding
from gradio_app.steps.showing import SHOWN_EVERY
from gradio_app.turns import Rank
from gradio_app.updates import Updates, said, told
from gradio_app.visit import Visit
from resefa_core.latents.samples import SEEDS, like

NUM_OTHERS = 6


class Editing(Finding):
    """Steps that edit the picture."""

    @told
    def slide(self, visit: Visit, payload: object) -> Updates:
        """Edit the picture as the sliders say. Other steps may have taken that from them already: the one of
        the slider that rests does not wait for this."""
        visit.needed  # noqa: B018
        directions = visit.needed_directions
        strengths = payloads.read_strengths(
            payload, visit.version, len(directions), directions.strength_range
        )
        if strengths is None:
            return
        visit.touched = visit.touched or bool(strengths) or payloads.read_touched(payload)
        visit.strengths = strengths
        if visit.drawn != (visit.version, strengths):
            yield {"picker": {"image": self.edited(visit), "of": visit.version}}
        if visit.troubled:
            visit.troubled = False
            yield {"status": said("")}

    @told
    def rest(self, visit: Visit, payload: object) -> Updates:
        """The sliders rest: the edit can be undone from here, and the link tells it. Nothing of the picture
        is told: that is the sliders' own."""
        visit.needed  # noqa: B018
        self._take_strengths(visit, payload)
        visit.settle()
        yield {"history": self.history(visit)}

    @told
    def travel(self, visit: Visit, payload: object) -> Updates:
        """One step back or forth in what was done, also to another picture."""
        session = visit.needed
        visit.settle()
        index = payloads.read_index(payload, len(session.moves))
        if index is not None:
            yield from self._take_back(visit, index)
            return
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
            visit.confine = top.confine
            visit.feather = top.feather or visit.feather
            on_top = visit.directions is not None and bool(session.strengths(visit.directions))
            shown: resefa.Directions | None = visit.directions if on_top else top.directions
        else:
            shown = visit.directions
        if not same_face:
            yield self.everything(visit)
        yield {
            "status": said("Taken back." if back else "Done again."),
            "confine": {"visible": session.generator.can_confine, "value": visit.confine > 0.0},
            **self.fields(visit),
        }
        if shown is None:
            yield from self.follow(visit, wanted, before[:1])
            yield from self.find(visit, wanted)
        elif wanted():
            yield from self.show(visit, shown)

    @told
    def carry_to(self, visit: Visit, payload: object) -> Updates:
        """Go on with another picture, with the same edit."""
        session = visit.needed
        sent = payload.get("seed") if isinstance(payload, Mapping) else None
        seed = int(payloads.read_number(sent, 0, SEEDS - 1, "number of the picture"))
        visit.settle()
        latent = session.original[:1]
        session.set_image(seed, keep_edit=True)
        wanted = self.enter(visit, session, visit.name, visit.class_name)
        yield self.everything(visit)
        yield from self.follow(visit, wanted, latent)
        if not session.moves:
            yield from self.find(visit, wanted)
        elif wanted():
            yield from self.show(visit, session.moves[-1].directions)

    def _take_back(self, visit: Visit, index: int) -> Updates:
        """Take one of the moves back, those above it stay."""
        visit.begin()
        brief = visit.needed.moves[index].brief
        visit.needed.remove(index)
        yield from self.show(visit, visit.needed_directions)
        yield {"status": said(f"Taken back: {brief}.")}

    @told
    def others(self, visit: Visit, shown: object, payload: object = None) -> Updates:
        """Other pictures, moved along with this one, as the sliders say."""
        session = visit.session
        if shown is not True or session is None:
            yield {"others": {"images": []}}
            return
        if visit.directions is not None:  # the slide itself may come later, as it does not queue
            self._take_strengths(visit, payload)
            visit.settle()
        generator, images = session.generator, list[dict[str, Any]]()
        last_shown = time.monotonic()
        for other in self.studio.in_turns(session.carry(NUM_OTHERS), Rank.FACES):
            (before,) = self.studio.thumbnails(
                generator, [like(generator, session.original, other.seed or 0)]
            )
            picture = payloads.data_url(resefa.to_pil(other.image))
            told = {"seed": other.seed, "label": f"picture {other.seed}"}
            images.append({**told, "before": before, "image": picture})
            if len(images) < NUM_OTHERS and time.monotonic() - last_shown > SHOWN_EVERY:
                yield {"others": {"images": images[:]}}
                last_shown = time.monotonic()
        yield {"others": {"images": images}}

    def _take_strengths(self, visit: Visit, payload: object) -> None:
        directions = visit.needed_directions
        sent = payloads.read_strengths(payload, visit.version, len(directions), directions.strength_range)
        visit.strengths = visit.strengths if sent is None else sent
