"""`resefa info`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..checkpoints import bundled_names, is_generator
from ..checkpoints import describe as describe_generator
from ..directions import Directions
from ..directions.about import facts, facts_of_latent
from ..errors import JacobianError, ReSeFaError
from ..files import read_header
from ..latents.edits import Edited
from .command import Command
from .terminal import shown


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a file, or a bundled generator's name")
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
    if file.suffix.lower() == ".npy":
        return facts(Directions.from_npy(file))
    metadata: dict[str, str] = {}
    if file.suffix.lower() == ".safetensors":
        metadata = read_header(file, ReSeFaError)[1]
    if "resefa.format_version" in metadata:
        return facts(Directions.load(file))
    if "resefa.jacobian_version" in metadata:
        try:
            header = dict(json.loads(metadata["resefa.jacobian"]))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise JacobianError(f"{file}: damaged Jacobian file: {error}") from error
        return {"kind": f"{header.pop('kind', 'unknown')} Jacobian", **header}
    latent = file.suffix.lower() == ".npz" or (
        file.suffix.lower() in (".pt", ".pth") and not is_generator(file)
    )
    if "resefa.latent_version" in metadata or latent:
        return facts_of_latent(Edited.load(file).latent)
    return describe_generator(name)


COMMAND = Command(
    "info",
    "tell what a file holds: directions, latents, an analysis, a generator",
    ("resefa info mouth.safetensors", "resefa info avatars --json"),
    _add_arguments,
    _run,
)
