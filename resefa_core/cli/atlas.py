"""`resefa atlas`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..atlas import BLOCK, MEASURED, Atlas, Entry, Plan, build_atlas
from ..atlas.pages import atlas_page, atlas_sheet, atlas_table, check_generator
from ..atlas.plan import ALONE
from ..checkpoints.remote import SCHEME
from ..defaults import NUM_DIRECTIONS
from ..errors import AtlasError, ParameterError, ReSeFaError
from ..files import make_folder, write_bytes
from ..optional import the_hub
from ..parsing import parse_images
from ..sheets import save_png
from ..spaces import SPACES
from .command import Command
from .options import (
    SEEDS,
    add_generator,
    add_output,
    add_parts,
    add_workers,
    find_class,
    generator_for,
    open_generator,
    open_parts,
    open_workers,
    refuse_existing,
    typed,
)
from .terminal import progress, shown

_IMAGES = range(2000)
_SUMS = ".sums.safetensors"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add_build(actions.add_parser("build", help="sum over many images, solve, and measure"))
    show = actions.add_parser("show", help="what is in an atlas: a table, a contact sheet, a page")
    _add_file(show)
    add_generator(show, said_by_file=True)
    _add_regions(show)
    show.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="a contact sheet (.png) or a page (.html)"
    )
    show.add_argument(
        "-n", "--most", type=int, default=3, help="directions of each region on the sheet (default: 3)"
    )
    show.add_argument("--force", action="store_true", help="replace files that exist")
    show.set_defaults(act=_show)
    export = actions.add_parser("export", help="write direction files, which every interface opens")
    _add_file(export)
    _add_regions(export)
    export.add_argument(
        "--missed", action="store_true", help="also what some images can do besides, as files of their own"
    )
    add_output(export, "the folder for them")
    export.set_defaults(act=_export)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="an atlas, or hf://author/name for one of the Hugging Face Hub")


def _add_regions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--regions", nargs="+", metavar="REGION", help="of the atlas (default: all)")


def _add_build(parser: argparse.ArgumentParser) -> None:
    add_generator(parser)
    parser.add_argument(
        "--seeds",
        type=typed(parse_images),
        default=_IMAGES,
        help=f"of the images, a range of any length (default: {_IMAGES[0]}-{_IMAGES[-1]})",
    )
    parser.add_argument(
        "--regions",
        nargs="+",
        default=[],
        metavar="REGION",
        help="as for factorize; a part is each image's own (default: all parts of the generator)",
    )
    add_parts(parser)
    parser.add_argument("--space", choices=SPACES, help="default: w, or z where there is no w")
    parser.add_argument("--layers", type=SEEDS, help="that directions move, e.g. 4-7 (default: all)")
    parser.add_argument("--truncation", type=float, help="1: as drawn, 0: the mean image (default: 0.7)")
    parser.add_argument(
        "--class", "--label", dest="label", metavar="CLASS", help="the class, where there are classes"
    )
    parser.add_argument(
        "-k",
        "--count",
        type=int,
        default=NUM_DIRECTIONS,
        help=f"joint directions of each region (default: {NUM_DIRECTIONS})",
    )
    parser.add_argument("--regularization", type=float, help="default: that of directions of several images")
    parser.add_argument(
        "--colour", action="store_true", help="changes of a region's mean colour count as changes inside"
    )
    parser.add_argument(
        "--measured",
        type=int,
        default=MEASURED,
        help=f"images on which each region's directions are measured, up to {ALONE} (default: {MEASURED})",
    )
    parser.add_argument(
        "--sums",
        type=Path,
        metavar="FILE",
        help=f"keeps the sums as they grow; whoever was stopped goes on from it (default: OUTPUT{_SUMS})",
    )
    add_workers(parser)
    parser.add_argument(
        "--block", type=int, default=BLOCK, help=f"images of a task, a power of two (default: {BLOCK})"
    )
    add_output(parser, "the atlas (.safetensors)")
    parser.set_defaults(act=_build)


def _run(options: argparse.Namespace) -> None:
    options.act(options)


def _build(options: argparse.Namespace) -> None:
    refuse_existing(options, options.output)
    sums = options.sums or options.output.with_name(options.output.stem + _SUMS)
    generator = open_generator(options.generator, options.device)
    plan = Plan.of(
        generator,
        options.seeds,
        options.regions,
        parts=open_parts(options),
        space=options.space,
        layers=options.layers,
        truncation=options.truncation,
        label=find_class(options, generator),
    )
    with progress("summing and measuring") as report:
        atlas = build_atlas(
            generator,
            plan,
            open_workers(options),
            sums=sums,
            count=options.count,
            regularization=options.regularization,
            colour=options.colour,
            measured=options.measured,
            block=options.block,
            progress=report,
        )
    atlas.save(options.output, options.force)
    print(shown(atlas_table(atlas, atlas.entries)))
    print(f"wrote {options.output}; its sums are in {sums}")


def _show(options: argparse.Namespace) -> None:
    atlas = _open(options.file)
    entries = _chosen(atlas, options.regions)
    print(shown(atlas_table(atlas, entries)))
    if options.output is None:
        return
    suffix = options.output.suffix.lower()
    if suffix not in (".png", ".html"):
        raise ParameterError(f"{options.output}: expected a name that ends in .png or .html")
    refuse_existing(options, options.output)
    generator = generator_for(options, atlas.generator)
    check_generator(atlas, generator)
    with progress("drawing") as report:
        if suffix == ".png":
            picture = atlas_sheet(atlas, entries, generator, options.most, report)
            save_png(picture, options.output, options.force)
        else:
            page = atlas_page(atlas, entries, generator, report)
            write_bytes(options.output, page.encode(), AtlasError, options.force)
    print(f"wrote {options.output}")


def _export(options: argparse.Namespace) -> None:
    atlas = _open(options.file)
    folder = make_folder(options.output, ReSeFaError)
    sets = {}
    for entry in _chosen(atlas, options.regions):
        if entry.joint is not None:
            sets[f"{_plain(entry.name)}.safetensors"] = entry.joint.directions
        if options.missed and entry.missed is not None:
            sets[f"{_plain(entry.name)}-missed.safetensors"] = entry.missed.directions
    if not sets:
        raise AtlasError("there are no directions to export")
    for name, directions in sets.items():
        directions.save(folder / name, options.force)
        print(f"wrote {shown(str(folder / name))}")


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)[:60].strip("-") or "region"


def _open(file: str) -> Atlas:
    """An atlas of a file, or of the Hub."""
    atlas: Atlas = the_hub().load_atlas(file) if file.startswith(SCHEME) else Atlas.load(file)
    return atlas


def _chosen(atlas: Atlas, names: list[str] | None) -> list[Entry]:
    return list(atlas.entries) if names is None else [atlas[name] for name in names]


COMMAND = Command(
    "atlas",
    "map what can be done to each part of a generator, over any number of images",
    (
        "resefa atlas build --seeds 0-1999 -o avatars.safetensors --workers 2",
        "resefa atlas build --seeds 0-9999 --regions mouth eyes --ray -o faces.safetensors",
        "resefa atlas show avatars.safetensors -o avatars.html",
        "resefa atlas export avatars.safetensors -o directions",
    ),
    _add_arguments,
    _run,
)
