"""`resefa generate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from ..sheets import contact_sheet, save_png, to_pil
from .command import Command
from .options import (
    SEEDS,
    add_generator,
    add_output,
    add_sampling,
    find_class,
    open_generator,
    refuse_existing,
)
from .terminal import progress

_COLUMNS = 8


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_generator(parser)
    parser.add_argument(
        "--seeds", type=SEEDS, default=list(range(16)), help="e.g. 7, or 0-15, or 1,4,9-12 (default: 0-15)"
    )
    add_sampling(parser)
    add_output(parser, "PNG: one image, or a contact sheet of several")
    parser.add_argument("--save-latent", type=Path, metavar="FILE", help="write the latents, too")


def _run(options: argparse.Namespace) -> None:
    refuse_existing(options, options.output, options.save_latent)
    generator = open_generator(options.generator, options.device)
    latent = generator.sample(options.seeds, options.truncation, find_class(options, generator))
    images: list[Tensor] = []
    with progress("drawing") as report:
        for index in range(len(latent)):
            images.append(generator.synthesize(latent[index], cut_out=len(latent) == 1)[0])
            report(index + 1, len(latent))
    if len(images) == 1:
        picture = to_pil(images[0])
    else:
        starts = range(0, len(images), _COLUMNS)
        rows = [images[start : start + _COLUMNS] for start in starts]
        labels = [_range(options.seeds[start : start + _COLUMNS]) for start in starts]
        picture = contact_sheet(rows, labels, title=f"{generator.name}, truncation {options.truncation:g}")
    save_png(picture, options.output, options.force)
    print(f"wrote {options.output}")
    if options.save_latent is not None:
        latent.save(options.save_latent, options.force)
        print(f"wrote {options.save_latent}")


def _range(seeds: list[int]) -> str:
    """`seeds 0-7`, or the seeds one by one where they do not follow each other."""
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds\n{seeds[0]}-{seeds[-1]}"
    return "\n".join(", ".join(map(str, seeds[i : i + 3])) for i in range(0, len(seeds), 3))


COMMAND = Command(
    "generate",
    "draw images by seed",
    (
        "resefa generate --seeds 0-15 --truncation 0.7 -o faces.png",
        'resefa generate -g biggan-deep-256 --class "golden retriever" --truncation 0.4 -o dogs.png',
    ),
    _add_arguments,
    _run,
)
