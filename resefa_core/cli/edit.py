"""`resefa edit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..directions.about import in_range
from ..parsing import parse_strength
from ..sheets import save_png
from .command import Command
from .options import add_directions, add_output, note, open_both, refuse_existing, typed


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_directions(parser)
    parser.add_argument(
        "--move",
        action="append",
        required=True,
        type=typed(parse_strength),
        metavar="WHICH=STRENGTH",
        help="direction by index or name, and how many steps; repeat to add up",
    )
    add_output(parser, "PNG of the edited image")
    parser.add_argument("--save-latent", type=Path, metavar="FILE", help="write the edited latent, too")


def _run(options: argparse.Namespace) -> None:
    refuse_existing(options, options.output, options.save_latent)
    directions, session = open_both(options)
    strengths: dict[int | str, float] = {}
    for key, strength in options.move:
        index = directions.index(key)
        strengths[index] = strengths.get(index, 0.0) + strength
    note(in_range(directions, strengths))
    session.edit(directions, strengths, confine=options.confine, feather=options.feather)
    save_png(session.cut_out, options.output, options.force)
    print(f"wrote {options.output}")
    if options.save_latent is not None:
        session.latent.save(options.save_latent, options.force)
        print(f"wrote {options.save_latent}")


COMMAND = Command(
    "edit",
    "move along directions and draw the result",
    ("resefa edit mouth.safetensors --seed 13 --move 0=3 --move 1=-2 --confine 1 -o edited.png",),
    _add_arguments,
    _run,
)
