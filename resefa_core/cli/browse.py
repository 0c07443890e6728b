"""`resefa browse`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..directions.about import as_text, rows
from ..errors import ParameterError
from ..optional import the_hub
from .command import Command
from .options import refuse_existing
from .terminal import progress, shown


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", help="of the sets' names, or one author/name[/file]")
    parser.add_argument("--limit", type=int, default=30, help="list at most so many (default: 30)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="fetch author/name[/file] to there")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")


def _run(options: argparse.Namespace) -> None:
    hub = the_hub()
    if options.output is None:
        with progress("asking the Hub"):
            found = hub.search(" ".join(options.words), options.limit)
        for entry in found:
            for file in entry.files:
                print(
                    shown(f"{entry.repo_id}/{file}  {entry.architecture or 'any generator'}  {entry.updated}")
                )
        if not found:
            print("no direction set of these words")
        return
    if len(options.words) != 1 or "/" not in options.words[0]:
        raise ParameterError(
            f"{' '.join(options.words)!r} is no direction set: expected author/name, or author/name/file"
        )
    refuse_existing(options, options.output)
    author, name, *file = options.words[0].split("/", 2)
    repository = f"{author}/{name}"
    with progress(f"fetching {repository}"):
        directions = hub.load(repository, "".join(file))
    directions.save(options.output, options.force)
    print(shown(as_text(rows(directions, source=repository))))
    print(f"wrote {options.output}")


COMMAND = Command(
    "browse",
    "list direction sets on the Hugging Face Hub, or fetch one",
    (
        "resefa browse mouth",
        "resefa browse ada/avatars-mouth -o mouth.safetensors",
    ),
    _add_arguments,
    _run,
)
