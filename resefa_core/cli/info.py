"""`resefa info`."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

from ..atlas import Atlas
from ..checkpoints import bundled_names, is_generator
from ..checkpoints import describe as describe_generator
from ..directions import Directions
from ..directions.about import facts, facts_of_arrays, facts_of_latent, reading_note
from ..directions.bundled import directions_file
from ..errors import DirectionFileError, JacobianError, ReSeFaError
from ..files import read_header
from ..kinds import Kind, kind_of_file, open_small
from ..latents.edits import Edited
from ..parts import Parts
from .command import Command
from .terminal import shown


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a file, or the name of a bundled generator or of bundled directions")
    parser.add_argument("--json", action="store_true", help="for programs")


def _run(options: argparse.Namespace) -> None:
    described = _describe(options.file)
    if options.json:
        print(json.dumps(described, indent=2))
        return
    width = max(len(key) for key in described)
    for key, value in described.items():
        text = ", ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else value
        print(shown(f"{key:<{width}}  {text}"))


def _describe(name: str) -> dict[str, Any]:
    file = Path(name)
    if name in bundled_names() and not file.exists():
        return describe_generator(name)
    file = directions_file(name)
    kind = kind_of_file(file)
    if kind == Kind.ANALYSIS:
        return _facts_of_analysis(file)
    if kind == Kind.PARTS:
        parts = Parts.load(file)
        return {
            "kind": "parts",
            "names": list(parts.names),
            "space": parts.space,
            "layers": list(parts.layers),
        }
    if kind == Kind.ATLAS:
        atlas = Atlas.load(file)
        return {
            "kind": "atlas",
            "generator": atlas.generator.name or "",
            "images": atlas.images,
            "seeds": atlas.seeds,
            "space": atlas.space,
            "layers": list(atlas.layers),
            "regions": [entry.name for entry in atlas.entries],
        }
    if kind == Kind.SUMS:
        return {"kind": "sums of an atlas"}
    if kind == Kind.WEIGHTS or (kind == Kind.UNKNOWN and not _holds_arrays(file)):
        return describe_generator(name)
    if kind in (Kind.LATENT, Kind.PICTURE):
        return facts_of_latent(Edited.load(file).latent)
    directions = None
    with contextlib.suppress(DirectionFileError):
        directions = Directions.load(file)
    if directions is None or reading_note(directions):
        return facts_of_arrays(open_small(file, ReSeFaError))
    return facts(directions)


def _facts_of_analysis(file: Path) -> dict[str, Any]:
    try:
        header = dict(json.loads(read_header(file, ReSeFaError)[1]["resefa.jacobian"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise JacobianError(f"{file}: damaged Jacobian file: {error}") from error
    return {"kind": f"{header.pop('kind', 'unknown')} Jacobian", **header}


def _holds_arrays(file: Path) -> bool:
    return (
        file.suffix.lower() in (".npy", ".npz", ".pt", ".pth") and file.is_file() and not is_generator(file)
    )


COMMAND = Command(
    "info",
    "tell what a file holds: directions, latents, an analysis, a generator",
    ("resefa info mouth.safetensors", "resefa info avatars --json"),
    _add_arguments,
    _run,
)
