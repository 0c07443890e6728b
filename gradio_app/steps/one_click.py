"""Edits at one click: along the directions that come with the generator, and those that a visitor keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import resefa_core as resefa
from gradio_app import payloads
from gradio_app.steps.finding import Finding
from gradio_app.steps.showing import at_one_click
from gradio_app.updates import Updates, said, told
from gradio_app.visit import Visit
from resefa_core.latents.edits import Edit, Move
from resefa_core.session.saved import pack, unpack

LONGEST_KEPT = 48_000
"""Characters of an edit that a browser keeps for one click."""
_KEPT_AT = 0.6
"""How far a way goes that is kept while its slider is at 0, of as far as it may."""


class OneClick(Finding):
    """Steps that edit at one click."""

    @told
    def edit_at_once(self, visit: Visit, payload: object) -> Updates:
        """Edit the face as a button says: along a bundled direction, or one that the browser has kept."""
        session = visit.needed
        sent = payload if isinstance(payload, Mapping) else {}
        directions, strengths = self._asked(visit, sent)
        directions.check(session.generator)
        self.check_room(visit)
        wanted = visit.begin()
        visit.settle()
        yield from self._look(visit, wanted)
        if not wanted():
            return
        here = session.here(directions)
        if here.region is not None:
            session.selected = here.region
        confine, feather = session.possible_confinement(here, visit.confine, visit.feather)
        before = dict[int | str, float](session.strengths(here).items())
        session.adjust(here, before | strengths, confine=confine, feather=feather)
        yield from self.show(visit, here)

    @told
    def keep_for_one_click(self, visit: Visit, payload: object) -> Updates:
        """Give the browser one of the directions shown, as far as its slider is, to edit by at one click."""
        directions = visit.needed_directions
        index, strength = payloads.read_row(payload, visit.version, directions)
        if not strength:
            low, high = directions.strength_range
            strength = round(_KEPT_AT * (max(0.0, high) or low), 1)
        confine, feather = visit.confinement
        fitting = visit.needed.prepared(directions, confine, feather)
        slim = replace(fitting[[index]], base_codes=None, description="", thumbnail=None)
        name = "" if slim.region is None else slim.region.name
        move = Move(slim, {0: strength}, confine, feather, name)
        data = pack(Edit((move,)).to_json(embed=True))
        if len(data) > LONGEST_KEPT:
            raise resefa.ParameterError("this direction is too large for the browser: save it as a file")
        kept = {"label": move.brief, "data": data, "generator": visit.needed.generator.fingerprint}
        yield {"one_click": {"keep": kept}, "status": said(f"Kept for one click: {move.brief}.")}

    def _asked(
        self, visit: Visit, sent: Mapping[str, Any]
    ) -> tuple[resefa.Directions, dict[int | str, float]]:
        """The directions that a button stands for, and how far it goes."""
        if isinstance(sent.get("kept"), str):
            edit = Edit.from_json(unpack(sent["kept"]))
            if len(edit) != 1 or len(edit[0].strengths) != 1:
                raise resefa.ParameterError("what was kept for one click is damaged: keep it again")
            return edit[0].directions, dict[int | str, float](edit[0].strengths)
        name, which = sent.get("set"), sent.get("index")
        known = at_one_click(visit, visit.needed.generator)
        _, chosen = known.get(name, ("", None)) if isinstance(name, str) else ("", None)
        if chosen is None or type(which) is not int or not 0 <= which < len(chosen):
            raise resefa.ParameterError("there is no such edit at one click for this generator")
        return chosen, {which: chosen.strength_range[sent.get("up") is True]}
