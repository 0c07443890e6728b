"""`resefa sweep`."""

from __future__ import annotations

import argparse

from ..defaults import STRENGTHS
from ..inversion import mark_of
from ..parsing import parse_which
from ..sheets import save_png
from .command import Command
from .drawing import sheet
from .options import NUMBERS, add_directions, add_output, open_both, refuse_existing


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_directions(parser)
    parser.add_argument(
        "--directions", metavar="LIST", help="which, by index or name, e.g. 0,1,smile (default: all)"
    )
    parser.add_argument(
        "--strengths",
        type=NUMBERS,
        help=f"in steps (default: {','.join(f'{strength:g}' for strength in STRENGTHS)}, or as far as the "
        "directions go)",
    )
    add_output(parser, "PNG")


def _run(options: argparse.Namespace) -> None:
    refuse_existing(options, options.output)
    directions, session = open_both(options)
    if options.directions is not None:
        directions = directions[
            [directions.index(parse_which(part)) for part in options.directions.split(",")]
        ]
    picture = sheet(session, directions, options.strengths, options.confine, options.feather)
    save_png(picture, options.output, options.force, mark_of(session.original))
    print(f"wrote {options.output}")


COMMAND = Command(
    "sweep",
    "show what directions do: a strip of images each",
    (
        "resefa sweep mouth.safetensors --seed 21 --strengths -6,-3,0,3,6 -o strips.png",
        "resefa sweep age.pt --generator ffhq.safetensors --space w --layers 0-7 -o strips.png",
    ),
    _add_arguments,
    _run,
)
