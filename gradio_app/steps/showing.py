"""What the page is told: the face, the strips of its directions, and what the browser keeps of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

import resefa_core as resefa
from gradio_app import links, payloads
from gradio_app.methods import about_method, fields_of
from gradio_app.studio import Studio
from gradio_app.updates import Update, Updates, said, working
from gradio_app.visit import Visit
from resefa_core.defaults import strengths_within
from resefa_core.directions import about
from resefa_core.inversion import mark_of
from resefa_core.session import Session
from resefa_core.session.finding import OURS

SHOWN_DIRECTIONS = 12
SHOWN_EVERY = 0.5
_OF_ATLAS = "atlas: "


class Showing:
    """What all steps have in common, on one studio."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def picture(self, visit: Visit) -> Image.Image:
        """The face as the sliders have it."""
        session, directions = visit.needed, visit.directions
        if directions is None:
            return session.picture
        confine, feather = visit.confinement
        return resefa.to_pil(session.preview(directions, visit.strengths, confine=confine, feather=feather))

    def show(self, visit: Visit, directions: resefa.Directions) -> Updates:
        """Show directions as strips, the first ones as soon as there is one, with the sliders where the edit
        has them."""
        session = visit.needed
        visit.strengths = dict[int | str, float](session.strengths(directions).items())
        if visit.directions is not directions:
            offered = visit.finer is not None
            visit.directions, visit.finer = directions, None
            visit.touched = bool(visit.strengths)
            if offered:
                yield {"background": said(""), "offer": False}
        session.directions, visit.stale = directions, False
        visit.version += 1
        version, job = visit.version, visit.job
        confine, feather = visit.confinement
        if confine and directions.steps_confined is None:
            yield {"status": working("Measuring edits that stay inside the region")}
        rows = {
            "version": version,
            "range": [min(0.0, directions.strength_range[0]), max(0.0, directions.strength_range[1])],
            "strengths": list(strengths_within(directions.strength_range)),
            "heading": _ways(session, directions),
            "rest": _has_more(directions),
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
                    "frame": strip.frame,
                    "strength": visit.strengths.get(strip.index, 0.0),
                }
            )
            slow = time.monotonic() - last_shown > SHOWN_EVERY
            if (slow or strip.index in (0, 2)) and len(directions) > strip.index + 1:
                yield {"directions": {**rows, "items": items[:], "more": True}}
                last_shown = time.monotonic()
        history = self.history(visit)
        yield {
            "directions": {**rows, "items": items, "more": False},
            "picker": {
                "image": self.edited(visit),
                "of": version,
                "region": payloads.show_region(session.selected),
                "turn": visit.turn,
                "link": history["link"],
                **self._choices(visit),
            },
            "history": history,
            "status": said(self._result(visit, items)),
        }
        visit.troubled = False

    def _result(self, visit: Visit, items: Sequence[Mapping[str, Any]]) -> str:
        """What was found, in a line."""
        session, directions = visit.needed, visit.needed_directions
        line, better = _ways(session, directions), session.is_quick(directions)
        if directions.confined:
            line += " alone"
        elif directions.method not in (OURS, "imported"):
            line += f", by {about.method_title(directions.method)}"
        if directions.num_samples > 1:
            line += f", found on {directions.num_samples} pictures together"
        note = f" {visit.note}" if visit.note else ""
        if better and directions.num_samples == 1:
            return f"{line}; better ones follow.{note}"
        spilling = sum(item["spills"] for item in items)
        if 2 * spilling > len(items) and not directions.confined:
            line += ". Most change much elsewhere too: draw a larger part, or confine the edits to it"
            return f"{line}.{note}"
        return f"{line}. Move a slider.{note}"

    def edited(self, visit: Visit) -> str:
        """The face as the sliders have it, for the page."""
        visit.drawn = (visit.version, dict(visit.strengths))
        return payloads.data_url(self.picture(visit))

    def everything(self, visit: Visit) -> Update:
        """The parts that tell which face is shown."""
        session = visit.needed
        generator = session.generator
        hint = f"one of {generator.num_classes}: a name or a number" if generator.num_classes else ""
        keys = self.studio.methods(generator)
        history = self.history(visit)
        return {
            "seed": session.seed,
            "truncation": session.original.truncation,
            "generator": visit.name,
            "class": {"visible": bool(generator.num_classes), "hint": hint},
            "method": {"choices": [(about.method_title(key), key) for key in keys], "value": visit.method},
            "about_method": about_method(visit.method),
            **self.fields(visit),
            "confine": {"visible": generator.can_confine} | ({"value": True} if visit.confine else {}),
            "feather": visit.feather,
            "picker": {**self._picture(visit), "link": history["link"]},
            "offer": False,
            "history": history,
            "one_click": buttons(visit, generator),
        }

    def fields(self, visit: Visit) -> Update:
        """What the method that finds directions takes."""
        return {"parameters": fields_of(visit.finder, visit.asked)}

    def _picture(self, visit: Visit) -> Update:
        session = visit.needed
        visit.outlined = ""
        before = payloads.data_url(resefa.to_pil(session.before))
        return {
            "before": before,
            "image": payloads.data_url(session.picture) if session.moves else before,
            "region": payloads.show_region(session.selected),
            "turn": visit.turn,
            "presets": payloads.show_presets(session.presets, session.part_names),
            "parts": list(session.part_names),
            "seed": session.seed,
            "mark": payloads.mark(mark_of(session.original)),
            "alt": f"Picture number {session.seed}, drawn by {visit.name}"
            if session.original.crop is None
            else f"Your picture as {visit.name} draws it",
            "credit": about.credit_of(session.generator),
            "of": visit.version,
        }

    def _choices(self, visit: Visit) -> Update:
        """What can be pointed at on the face, once for each, where its quick analysis is there."""
        session = visit.needed
        digest = session.original[:1].digest
        if visit.outlined == digest or not session.is_analysed(session.quick_space):
            return {}
        visit.outlined = digest
        try:
            return {"choices": payloads.show_choices(session.choices_here())}
        except resefa.ReSeFaError:  # nothing moves together here
            return {}

    def _link(self, visit: Visit) -> tuple[str, str]:
        """A link to what is shown, and what it leaves out."""
        session = visit.needed
        others = {"class": visit.class_name} if session.generator.num_classes else {}
        if visit.name != self.studio.unnamed:
            others["generator"] = visit.name
        others |= links.settings(visit.method, visit.confine, visit.feather, visit.asked)
        return links.write(session, visit.name in self.studio.names, **others)

    def history(self, visit: Visit) -> Update:
        """What the browser keeps, so that nothing is lost where the page starts over."""
        session = visit.needed
        if visit.directions is not None:  # what was found last may only be offered, or not be wanted any more
            session.directions = visit.directions
        link, left_out = self._link(visit)
        return {
            "undo": session.can_undo,
            "redo": session.can_redo,
            "moves": [move.brief for move in session.moves],
            "link": link,
            "left_out": left_out,
            "stored": links.stored(
                session, visit.class_name, visit.method, visit.confine, visit.feather, visit.asked
            ),
        }


def strips_of(session: Session, directions: resefa.Directions) -> Image.Image:
    """What directions do to a session's image, a strip below the other."""
    strips = [strip.picture() for strip in session.strips(directions, most=SHOWN_DIRECTIONS)]
    width, height = strips[0].size
    sheet = Image.new("RGB", (width, height * len(strips)))
    for index, strip in enumerate(strips):
        sheet.paste(strip, (0, index * height))
    return sheet


def at_one_click(visit: Visit, generator: resefa.Generator) -> dict[str, tuple[str, resefa.Directions]]:
    """The directions at one click, each with the part that it is of: those that come with a generator, then
    those of an atlas of it that was opened."""
    bundled = {
        name: ("" if each.region is None else each.region.name, each)
        for name, each in resefa.bundled_directions(generator).items()
    }
    offered = {
        f"{_OF_ATLAS}{name}": (name, each)
        for name, each in visit.offered.items()
        if each.generator.fingerprint in generator.fits
    }
    return bundled | offered


def buttons(visit: Visit, generator: resefa.Generator) -> Update:
    """The edits at one click: for each part, what they do, and which they are. Of two that say the same the
    first is left."""
    sets: dict[str, list[dict[str, Any]]] = {}
    for name, (part, directions) in at_one_click(visit, generator).items():
        ways = sets.setdefault(part, [])
        known = {way["words"] for way in ways}
        ways += [
            {"words": words, "set": name, "index": index, "up": up}
            for index, each in enumerate(directions.names)
            for up, words in zip((True, False), each.split(" / "), strict=False)
            if words not in known
        ]
    return {"generator": generator.fingerprint, "sets": sets}


def _ways(session: Session, directions: resefa.Directions) -> str:
    """How many there are, and of what."""
    many, region = len(directions), session.selected
    quick = "quick " if session.is_quick(directions) else ""
    part = "this part" if region is None else region.words
    return f"{many} {quick}way{'s' if many > 1 else ''} to change {part}"


def _has_more(directions: resefa.Directions) -> bool:
    """Whether others were found that are not worth offering."""
    recipe = directions.recipe
    return recipe is not None and recipe.chosen is not None and len(directions) < recipe.count
