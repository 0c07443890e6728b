"""`resefa convert`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..checkpoints import convert_generator, find_file
from ..checkpoints.biggan_deep import CONFIG
from ..directions import Directions
from ..errors import CheckpointError, DirectionFileError, ReSeFaError
from .command import Command
from .options import add_npy, refuse_existing
from .terminal import progress

_CHECKPOINTS = (".bin", ".pkl", ".pt", ".pth", ".safetensors")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help="a file, a folder of generators' files, or one with a model")
    parser.add_argument("output", type=Path, help="a file, or a folder")
    parser.add_argument("--origin", default="", help="of a generator: where its weights are from")
    parser.add_argument("--license", default="", help="of a generator")
    add_npy(parser)
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")


def _run(options: argparse.Namespace) -> None:
    if options.input.is_dir():
        if not (options.input / CONFIG).is_file():
            _convert_folder(options)
            return
        options.input = find_file(options.input)
    refuse_existing(options, options.output)
    endings = (options.input.suffix.lower(), options.output.suffix.lower())
    if endings == (".npy", ".safetensors"):
        Directions.from_npy(options.input, options.space, options.layers).save(options.output, options.force)
    elif endings == (".safetensors", ".npy"):
        Directions.load(options.input).to_npy(options.output, options.force)
    elif endings[1] == ".safetensors":
        _convert_generator(options, options.input, options.output)
    else:
        raise DirectionFileError(
            f"{endings[0]} to {endings[1]}: expected .npy to .safetensors, or back; or a generator's file to "
            ".safetensors"
        )
    print(f"wrote {options.output}")


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
    "turn a generator's file, or directions in .npy, into .safetensors",
    (
        "resefa convert stylegan2-ffhq-config-f.pkl ffhq.safetensors",
        "resefa convert downloads/ generators/",
        "resefa convert biggan-deep-256/ biggan-deep-256.safetensors",
        "resefa convert stylegan2_ffhq_lipstick.npy lipstick.safetensors",
        "resefa convert mine.npy mine.safetensors --space w --layers 4-7",
        "resefa convert mouth.safetensors mouth.npy",
    ),
    _add_arguments,
    _run,
)
