"""`resefa parts`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..errors import ParameterError, RegionError, ReSeFaError
from ..files import make_folder
from ..optional import the_hub
from ..parsing import parse_numbered_names
from ..parts import COUNT, SEEDS, Parts, find_parts_of
from ..parts.finding import PartFinder
from ..session import Session
from ..sheets import contact_sheet, save_png, to_pil
from .command import Command
from .options import SEEDS as SEEDS_OPTION
from .options import (
    add_generator,
    add_latent,
    add_parts,
    add_workers,
    find_class,
    open_generator,
    open_parts,
    open_session,
    open_workers,
    refuse_existing,
    typed,
)
from .terminal import progress, shown

_SHOWN = tuple(range(8))
_DIMMED = 0.2


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_generator(parser)
    add_latent(parser)
    add_parts(parser)
    parser.add_argument("--find", action="store_true", help="find the parts of the generator anew")
    parser.add_argument(
        "--seeds",
        type=SEEDS_OPTION,
        help=f"of the images to find them on (default: {SEEDS[0]}-{SEEDS[-1]}), or of the sheet's "
        f"(default: {_SHOWN[0]}-{_SHOWN[-1]})",
    )
    parser.add_argument(
        "--count", type=int, default=COUNT, help=f"clusters to find, 2 to 256 (default: {COUNT})"
    )
    parser.add_argument(
        "--name",
        type=typed(parse_numbered_names),
        action="append",
        default=[],
        metavar="NUMBERS=NAME",
        help="name clusters by their numbers, e.g. 0,4-6=hair; those of one name are one part",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the parts (.safetensors)")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="PNG: what each part is on some images, with numbers"
    )
    parser.add_argument(
        "--masks", type=Path, metavar="FOLDER", help="write a mask of each part of the image of --seed"
    )
    parser.add_argument(
        "--publish",
        metavar="NAME",
        help="publish them in a repository of that name, in the account of `hf auth login`",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    add_workers(parser)


def _run(options: argparse.Namespace) -> None:
    refuse_existing(options, options.output, options.sheet)
    if options.find and options.parts is not None:
        raise ParameterError("--find finds parts anew: it can't be combined with --parts")
    if options.find and options.output is None:
        raise ParameterError("--find takes a while: say with -o where to keep what it finds")
    generator = open_generator(options.generator, options.device)
    if options.find:
        with progress("finding parts") as report:
            parts = find_parts_of(
                generator,
                options.seeds or SEEDS,
                options.count,
                truncation=options.truncation if generator.has_mapping else 1.0,
                label=find_class(options, generator),
                workers=open_workers(options),
                progress=report,
            )
    else:
        parts = PartFinder.known(generator, open_parts(options))
    parts = _named(parts, options.name)
    if options.output is not None:
        parts.save(options.output, options.force)
        print(f"wrote {options.output}")
    print(_table(parts))
    sheet = None
    if options.sheet is not None or options.publish is not None:
        session = Session(generator, parts=parts)
        seeds = _SHOWN if options.find or options.seeds is None else options.seeds
        sheet = _sheet(session, parts, options, seeds)
    if sheet is not None and options.sheet is not None:
        save_png(sheet, options.sheet, options.force)
        print(f"wrote {options.sheet}")
    if options.publish is not None:
        with progress("publishing"):
            published = the_hub().publish_parts(parts, options.publish, sheet=sheet)
        print(f"{'updated' if published.updated else 'published'} {published.url}")
    if options.masks is not None:
        options.parts = None
        session = open_session(options, generator)
        session.parts = parts
        _write_masks(session, options.masks, options.force)


def _named(parts: Parts, names: list[tuple[list[int], str]]) -> Parts:
    """The parts with the names of `--name`."""
    told = list(parts.names)
    for numbers, name in names:
        for number in numbers:
            if number >= len(told):
                raise ParameterError(f"there is no cluster {number}: expected 0 to {len(told) - 1}")
            told[number] = name
    return parts.named(told)


def _table(parts: Parts) -> str:
    """Each part and the numbers of its clusters."""
    lines = [f"{'part':<24} clusters"]
    for name in parts.part_names:
        numbers = [str(index) for index, each in enumerate(parts.names) if each == name]
        lines.append(f"{shown(name):<24} {', '.join(numbers)}")
    return "\n".join(lines)


def _sheet(
    session: Session, parts: Parts, options: argparse.Namespace, seeds: tuple[int, ...] | list[int]
) -> Image.Image:
    """Images, and below each what every part is there, the rest dimmed."""
    rows: list[list[Tensor]] = [[] for _ in range(1 + len(parts))]
    truncation = options.truncation if session.generator.has_mapping else 1.0
    with progress("drawing") as report:
        for index, seed in enumerate(seeds):
            session.set_image(seed, truncation=truncation, label=options.label)
            found = session.parts_here()
            labels = parts.labels(session.analyse(parts.space, parts.layers))
            here = {parts.names[index] for index in labels.unique().tolist()}
            image = session.before.cpu().clamp(-1.0, 1.0)
            rows[0].append(image)
            for row, name in zip(rows[1:], parts.part_names, strict=True):
                mask = torch.full(image.shape[1:], float(here == {name}))
                if name in found:
                    mask = found[name].mask(image.shape[1], image.shape[2], check=False)
                row.append((image + 1.0) * (_DIMMED + (1.0 - _DIMMED) * mask) - 1.0)
            report(index + 1, len(seeds))
    titles = ["", *(f"{shown(name)}\n{_numbers(parts, name)}" for name in parts.part_names)]
    return contact_sheet(rows, titles, [str(seed) for seed in seeds], cell=96, title="parts")


def _numbers(parts: Parts, name: str) -> str:
    return ", ".join(str(index) for index, each in enumerate(parts.names) if each == name)


def _write_masks(session: Session, folder: Path, force: bool) -> None:
    """A PNG for each part that the image has."""
    found = session.parts_here()
    if not found:
        raise RegionError("this image has none of the parts")
    make_folder(folder, ReSeFaError)
    for number, (name, region) in enumerate(found.items()):
        mask = region.mask(*session.generator.image_size) * 2.0 - 1.0
        plain = "".join(letter if letter.isalnum() else "-" for letter in name)
        file = folder / f"{number:02}-{plain}.png"
        save_png(to_pil(mask.expand(3, -1, -1)).convert("L"), file, force)
        print(f"wrote {shown(str(file))}")


COMMAND = Command(
    "parts",
    "find, name and show the parts of a generator's images",
    (
        "resefa parts --find -o parts.safetensors --sheet parts.png",
        "resefa parts --parts parts.safetensors --name 3,7=hair --name 0=background -o named.safetensors",
        "resefa parts --seed 13 --masks masks",
    ),
    _add_arguments,
    _run,
)
