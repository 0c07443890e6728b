"""`resefa edit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..directions.about import in_range
from ..inversion.pasting import FADE, mark_of
from ..parsing import parse_strength
from ..sheets import save_png
from .command import Command
from .options import (
    add_directions,
    add_output,
    add_place,
    add_search,
    note,
    open_both,
    refuse_existing,
    typed,
)


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
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="adapt directions that were found on other images to this one: they change the region as they "
        "do, and less of the rest; analyses the image first",
    )
    add_output(parser, "PNG of the edited image")
    parser.add_argument("--save-latent", type=Path, metavar="FILE", help="write the edited latent, too")
    photo = parser.add_argument_group("photos")
    photo.add_argument(
        "--photo",
        type=Path,
        metavar="FILE",
        help="put the edit into this photo: its latent is the one given, or is found first",
    )
    add_place(photo)
    add_search(photo)
    photo.add_argument(
        "--fade",
        type=float,
        default=FADE,
        help="how far beyond its region the edit fades out, a fraction of the image's height "
        f"(default: {FADE:g})",
    )
    photo.add_argument(
        "--whole",
        action="store_true",
        help="put the whole edited image into the photo, not just what changed",
    )
    photo.add_argument(
        "--no-mark",
        dest="mark",
        action="store_false",
        help="leave out of the PNG's metadata that the photo was edited with a generative model",
    )


def _run(options: argparse.Namespace) -> None:
    refuse_existing(options, options.output, options.save_latent)
    directions, session = open_both(options)
    if options.adapt:
        directions = session.adapted(directions)
    strengths: dict[int | str, float] = {}
    for key, strength in options.move:
        index = directions.index(key)
        strengths[index] = strengths.get(index, 0.0) + strength
    note(in_range(directions, strengths))
    session.edit(directions, strengths, confine=options.confine, feather=options.feather)
    if session.photo is None:
        texts = mark_of(session.original) if options.mark else {}
        save_png(session.cut_out, options.output, options.force, texts)
    else:
        session.pasted(fade=options.fade, whole=options.whole).save(
            options.output, options.force, options.mark
        )
    print(f"wrote {options.output}")
    if options.save_latent is not None:
        session.latent.save(options.save_latent, options.force)
        print(f"wrote {options.save_latent}")


COMMAND = Command(
    "edit",
    "move along directions and draw the result",
    (
        "resefa edit mouth.safetensors --seed 13 --move 0=3 --move 1=-2 --confine 1 -o edited.png",
        "resefa edit avatars-mouth --seed 13 --move smiles=3 --adapt -o smile.png",
        "resefa edit mouth.safetensors --photo photo.png --move 0=3 -o edited.png",
    ),
    _add_arguments,
    _run,
)
