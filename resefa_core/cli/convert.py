"""`resefa convert`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ..checkpoints import convert_generator, find_file, is_generator
from ..checkpoints.biggan_deep import CONFIG
from ..directions import Directions
from ..errors import CheckpointError, DirectionFileError, ReSeFaError
from ..kinds import DIRECTION_SUFFIXES, Kind, kind_of_file
from .command import Command
from .options import add_imported, open_generator, refuse_existing
from .terminal import progress

_CHECKPOINTS = (".bin", ".pkl", ".pt", ".pth", ".safetensors")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help="a file, a folder of generators' files, or one with a model")
    parser.add_argument("output", type=Path, help="a file, or a folder")
    parser.add_argument("--origin", default="", help="of a generator: where its weights are from")
    parser.add_argument("--license", default="", help="of a generator")
    add_imported(parser)
    parser.add_argument(
        "-g",
        "--generator",
        metavar="FILE",
        help="of another project's directions: what they are for, and the layers that they move unless given",
    )
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")


def _run(options: argparse.Namespace) -> None:
    if options.input.is_dir():
        if not (options.input / CONFIG).is_file():
            _convert_folder(options)
            return
        options.input = find_file(options.input)
    refuse_existing(options, options.output)
    endings = (options.input.suffix.lower(), options.output.suffix.lower())
    if endings[1] == ".npy" and endings[0] in DIRECTION_SUFFIXES:
        _directions(options).to_npy(options.output, options.force)
    elif endings[1] != ".safetensors":
        raise DirectionFileError(
            f"{endings[0]} to {endings[1]}: expected directions of .npy to .safetensors, or back; or a "
            "generator's file to .safetensors"
        )
    elif _has_directions(options.input):
        _directions(options).save(options.output, options.force)
    else:
        _convert_generator(options, options.input, options.output)
    print(f"wrote {options.output}")


def _has_directions(file: Path) -> bool:
    """Whether a file holds directions, or arrays that may be some, and no generator."""
    kind = kind_of_file(file)
    may_be = kind == Kind.UNKNOWN and file.suffix.lower() in DIRECTION_SUFFIXES and not is_generator(file)
    return kind in (Kind.DIRECTIONS, Kind.VECTORS) or (may_be and file.is_file())


def _directions(options: argparse.Namespace) -> Directions:
    if options.generator is None:
        return Directions.load(options.input, options.space, options.layers)
    generator = open_generator(options.generator, "cpu")
    found = Directions.load(options.input, options.space, options.layers, generator.num_layers)
    found.check(generator)
    return found if found.generator else replace(found, generator=generator.describe())


def _convert_generator(options: argparse.Namespace, source: Path, output: Path) -> None:
    with progress(f"converting {source.name[:40]}") as report:
        convert_generator(source, output, options.force, options.origin, options.license, report)


def _convert_folder(options: argparse.Namespace) -> None:
    """Convert all generators in a folder; one that fails does not keep the others from it."""
    folder: Path = options.output
    try:
        sources = sorted(f for f in options.input.iterdir() if f.suffix.lower() in _CHECKPOINTS)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReSeFaError(f"{error.filename}: {error.strerror}") from error
    failed = 0
    taken = {source.resolve() for source in sources}
    for source in sources:
        output = folder / f"{source.stem}.safetensors"
        try:
            if output.resolve() in taken:
                raise CheckpointError(
                    f"{source}: would be written over {output}: choose another folder or name"
                )
            taken.add(output.resolve())
            _convert_generator(options, source, output)
        except CheckpointError as error:
            failed += 1
            print(f"resefa: error: {error}", file=sys.stderr)
        else:
            print(f"wrote {output}")
    if failed or not sources:
        raise CheckpointError(
            f"{options.input}: {failed} of {len(sources)} files were not converted"
            if sources
            else f"{options.input}: no files that end in {', '.join(_CHECKPOINTS)}"
        )


COMMAND = Command(
    "convert",
    "turn a generator's file, or directions of another project, into .safetensors",
    (
        "resefa convert stylegan2-ffhq-config-f.pkl ffhq.safetensors",
        "resefa convert downloads/ generators/",
        "resefa convert biggan-deep-256/ biggan-deep-256.safetensors",
        "resefa convert directions/ffhq/stylegan2/lipstick.npy lipstick.safetensors",
        "resefa convert age.pt age.safetensors --generator ffhq.pkl --space w",
        "resefa convert mouth.safetensors mouth.npy",
    ),
    _add_arguments,
    _run,
)
