"""Links to what is shown, and what the browser keeps of it. Nothing that comes back is trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import resefa_core as resefa
from gradio_app.payloads import shown
from resefa_core.bounds import CONFINE
from resefa_core.defaults import FEATHERS
from resefa_core.latents.edits import Edit, is_told_briefly
from resefa_core.latents.samples import SEEDS
from resefa_core.parsing import parse_parameters
from resefa_core.session import Session
from resefa_core.session.finding import OURS
from resefa_core.session.saved import unpack

LONGEST_EDIT = 6000
"""Characters of a link that tell an edit: what browsers and proxies between take."""
_LONGEST_PART = 1000
MOST_STORED = 1_500_000
"""Characters that a browser is given to keep."""


def read(query: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """What a link asks for, and what makes no sense in it and is left out, in words.

    Example:
        >>> asked, notes = read({"seed": "7", "truncation": "2000", "box": "0.2,0.5,0.3,0.1"})
        >>> asked
        {'seed': 7, 'region': {'box': [0.2, 0.5, 0.3, 0.1]}}
        >>> notes
        ["the link's truncation '2000' makes no sense"]
    """
    asked: dict[str, Any] = {}
    notes: list[str] = []

    def number(key: str, most: float, whole: bool = False) -> None:
        text = query.get(key, "")[:100]
        if not text:
            return
        value = _float(text) if not whole else int(text) if text.isascii() and text.isdigit() else None
        if value is None or not 0 <= value <= most:
            notes.append(f"the link's {key} {shown(text)} makes no sense")
        else:
            asked[key] = value

    number("seed", SEEDS - 1, whole=True)
    number("truncation", 1.0)
    number("confine", CONFINE.most)
    number("feather", FEATHERS[1])
    confine = asked.get("confine")
    if confine is not None and confine <= FEATHERS[1] and not query.get("feather"):
        asked["confine"], asked["feather"] = float(confine > 0.0), confine  # as earlier versions told it
    if box := query.get("box", "")[:100]:
        numbers = [_float(part) for part in box.split(",")]
        if len(numbers) == 4 and None not in numbers:
            asked["region"] = {"box": numbers}
        else:
            notes.append(f"the link's box {shown(box)} makes no sense")
    elif query.get("part"):
        asked["region"] = {"part": query["part"][:_LONGEST_PART]}
    elif query.get("region"):
        asked["region"] = {"preset": query["region"][:40]}
    for key in ("generator", "class", "method"):
        if query.get(key):
            asked[key] = query[key][:100]
    if query.get("parameters"):
        try:
            asked["parameters"] = parse_parameters(query["parameters"])
        except resefa.ParameterError as error:
            notes.append(f"the link's parameters can't be used: {error}")
    if query.get("edit"):
        try:
            asked["edit"] = unpack(query["edit"])
        except resefa.ReSeFaError as error:
            notes.append(str(error))
    return asked, notes


def settings(method: str, confine: float, feather: float, parameters: Mapping[str, float]) -> dict[str, str]:
    """What a link tells of how directions are found, and edits made: nothing of what is so anyway.

    Example:
        >>> settings("resefa", 1.0, 0.03, {"regularization": 0.01, "colour": 1.0})
        {'confine': '1', 'feather': '0.03', 'parameters': 'regularization=0.01,colour=1'}
    """
    told = {} if method == OURS else {"method": method}
    if confine:
        told |= {"confine": f"{confine:g}", "feather": f"{feather:g}"}
    if parameters:
        told["parameters"] = ",".join(f"{name}={exactly(value)}" for name, value in parameters.items())
    return told


def exactly(value: float) -> str:
    """A number as text that reads as the same one."""
    return repr(float(value)).removesuffix(".0")


def write(session: Session, is_known: bool, **others: str) -> tuple[str, str]:
    """The query of a link to a session, and what it leaves out, in words.

    Args:
        is_known: whether others have the generator.
        others: further things that it asks for.
    """
    original, region = session.original, session.selected
    if original.crop is not None:
        return _query({key: value for key, value in others.items() if value}), "your own picture"
    query = {"seed": str(session.seed), "truncation": f"{original.truncation:g}"}
    told = {} if region is None else region.to_json(embed=True)
    if set(told) == {"box"}:
        query["box"] = ",".join(f"{number:.4g}" for number in told["box"])
    elif "part" in told:
        query["part"] = resefa.Selection.from_json(told["part"]).to_text()
    elif region is not None and region.name in session.presets:
        query["region"] = region.name
    plain = bool({"box", "part", "region"} & set(query))
    query.update({key: value for key, value in others.items() if value})
    if not is_known:
        return _query(query), "the uploaded generator"
    directions = session.directions
    joint = directions is not None and directions.num_samples > 1
    imported = directions is not None and not is_told_briefly(directions)
    if plain and not (session.moves or joint or imported):
        return _query(query), ""
    if imported or not Edit(session.moves).is_found:
        return _query(query), "directions of an opened file"
    text = session.to_text()
    if len(text) > LONGEST_EDIT:
        return _query(query), "the edit, which is too long"
    return _query({**query, "edit": text}), ""


def _query(query: Mapping[str, str]) -> str:
    return "?" + urlencode(query, safe=",")


def stored(
    session: Session,
    class_name: str,
    method: str,
    confine: float,
    feather: float,
    parameters: Mapping[str, float],
) -> str | None:
    """What a browser keeps of a session, as text; None if that is too long to come back."""
    try:
        kept = {
            "session": session.to_json(),
            "class": class_name,
            "method": method,
            "confine": confine,
            "feather": feather,
            "parameters": dict(parameters),
        }
    except resefa.ReSeFaError:
        return None
    text = json.dumps(kept, separators=(",", ":"))
    return text if len(text) <= MOST_STORED else None


def read_stored(text: object) -> dict[str, Any] | None:
    """What a browser has kept, if it makes sense; what it tells of the session is still to be read."""
    if not isinstance(text, str) or len(text) > MOST_STORED:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("session"), dict):
        return None
    kept: dict[str, Any] = {"session": data["session"]}
    for key in ("class", "method"):
        kept[key] = str(data.get(key, ""))[:100]
    for key in ("confine", "feather"):
        value = data.get(key)
        if isinstance(value, (int, float)) and 0.0 <= value <= 1.0:
            kept[key] = min(float(value), FEATHERS[1]) if key == "feather" else float(value)
    if isinstance(data.get("parameters"), dict):
        kept["parameters"] = data["parameters"]
    return kept


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
