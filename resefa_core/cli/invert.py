"""`resefa invert`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..inversion import invert, mark_of, tune
from ..inversion.tuning import TUNING_STEPS
from ..regions import Region
from ..sheets import contact_sheet, save_png
from .command import Command
from .options import (
    add_generator,
    add_output,
    add_place,
    add_search,
    open_generator,
    open_perceptual,
    open_photo,
    refuse_existing,
)
from .terminal import progress


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path, help="a PNG, JPEG or WEBP; not of people without their consent")
    add_generator(parser)
    add_place(parser)
    add_search(parser)
    parser.add_argument(
        "--class",
        "--label",
        dest="label",
        metavar="CLASS",
        help="the class, where the generator has classes (default: the one whose mean image is closest)",
    )
    add_output(parser, "the latent's file, for --latent")
    parser.add_argument(
        "--tune",
        type=Path,
        metavar="FILE",
        help="also write a generator that is tuned to draw the photo more closely, for --generator",
    )
    parser.add_argument(
        "--tune-steps", type=int, default=TUNING_STEPS, help=f"of the tuning (default: {TUNING_STEPS})"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="PNG of the photo beside what the generator draws of it"
    )


def _run(options: argparse.Namespace) -> None:
    refuse_existing(options, options.output, options.picture, options.tune)
    generator = open_generator(options.generator, options.device)
    photo = open_photo(options, options.photo, generator)
    ignore = None if options.ignore is None else Region.from_text(options.ignore, generator)
    perceptual = open_perceptual(options)
    with progress("finding the photo") as report:
        found = invert(
            generator,
            photo,
            label=options.label,
            steps=options.steps,
            prior=options.prior,
            ignore=ignore,
            perceptual=perceptual,
            progress=report,
        )
    print(
        f"mean squared error {found.error:.4f} on [-1, 1], distance {found.distance:.2f} from the mean image "
        f"(about 1 for what the generator draws), {found.spread:.2f} between layers"
    )
    found.latent.save(options.output, options.force)
    print(f"wrote {options.output}")
    images, labels = [found.target, found.image], ["photo", "found"]
    if options.tune is not None:
        with progress("tuning") as report:
            tuned = tune(
                generator,
                found.latent,
                photo,
                steps=options.tune_steps,
                ignore=ignore,
                perceptual=perceptual,
                progress=report,
            )
        tuned.save(options.tune, options.force)
        images.append(tuned.synthesize(found.latent)[0])
        labels.append("tuned")
        print(f"wrote {options.tune}: mean squared error {found.error_of(images[-1]):.4f}")
    if options.picture is not None:
        sheet = contact_sheet([images], column_labels=labels, cell=256)
        save_png(sheet, options.picture, options.force, mark_of(found.latent))
        print(f"wrote {options.picture}")


COMMAND = Command(
    "invert",
    "find the latent of a photo, to edit it and put it back",
    (
        "resefa invert photo.png -o photo.latent.safetensors",
        "resefa invert photo.jpg -g ffhq.pkl --face 310,420,470,410,400,590 -o photo.latent.safetensors",
        "resefa edit mouth.safetensors --photo me.png --latent me.latent.safetensors --move 0=3 -o new.png",
    ),
    _add_arguments,
    _run,
)
