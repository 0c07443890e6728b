"""Options that several commands take, and what they stand for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from ..analysis import JacobianCache
from ..checkpoints import bundled_names, load_generator
from ..defaults import CONFINED_FEATHER, TRUNCATION
from ..directions import CONFINED, Directions
from ..errors import ParameterError, ReSeFaError
from ..generators import Generator
from ..latents import Latent
from ..latents.edits import Edited
from ..parsing import parse_confine, parse_numbers, parse_seeds
from ..parts import Parts
from ..session import Session
from ..spaces import SPACES
from .terminal import shown

SEED = 13
_ANALYSES_BYTES = 4 << 30
_T = TypeVar("_T")


def typed(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """A reader of the core as the type of an option: what it refuses are unusable arguments."""

    def read(text: str) -> _T:
        try:
            return parse(text)
        except ParameterError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


SEEDS = typed(parse_seeds)
NUMBERS = typed(parse_numbers)
CONFINE = typed(parse_confine)


def add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-g",
        "--generator",
        default="avatars",
        help=f"a generator's file, or a bundled one: {', '.join(bundled_names())} (default: avatars)",
    )
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps (default: cpu)")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--truncation",
        type=float,
        default=TRUNCATION,
        help=f"1: as drawn, 0: the mean image (default: {TRUNCATION:g})",
    )
    parser.add_argument(
        "--class",
        "--label",
        dest="label",
        metavar="CLASS",
        help="the class, where the generator has classes: its number, or (part of) its name",
    )


def add_latent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=SEED, help=f"the image's seed (default: {SEED})")
    add_sampling(parser)
    parser.add_argument(
        "--latent",
        type=Path,
        metavar="FILE",
        help="a latent's file instead of a seed; also a projector's codes",
    )


def add_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parts",
        type=Path,
        metavar="FILE",
        help="parts of the generator, as `resefa parts` wrote them (default: those that come with it)",
    )


def add_npy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", choices=SPACES, help="of an .npy file")
    parser.add_argument("--layers", type=SEEDS, help="of an .npy file, e.g. 4-7")


def add_directions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a direction file (.safetensors or .npy)")
    add_generator(parser)
    add_latent(parser)
    add_npy(parser)
    parser.add_argument(
        "--confine",
        type=CONFINE,
        nargs="?",
        const=1.0,
        metavar="AMOUNT",
        help="confine the edit to the region: 0 not at all, 1 fully (default: as the directions were found, "
        "which is 1 for those of resefa-confined and 0 for others; 1 without a number)",
    )
    parser.add_argument(
        "--feather",
        type=float,
        help="soften a confined edit's edge, a fraction of the image's height "
        f"(default: {CONFINED_FEATHER:g}; 0 for directions of {CONFINED}, whose region is soft already)",
    )


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def refuse_existing(options: argparse.Namespace, *paths: Path | None) -> None:
    """Refuse before any work starts what could not be written after it."""
    for path in paths:
        if path is None:
            continue
        if path.exists() and not options.force:
            raise ReSeFaError(f"{path} exists: choose another name, or pass --force to replace it")
        if not path.parent.is_dir():
            raise ReSeFaError(f"{path.parent} is not a folder: make it first")


def open_generator(name: str, device: str) -> Generator:
    """The generator of a name or file, on a device.

    Raises:
        ParameterError: the device can't be used.
    """
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(f"device {device!r} can't be used: {error}") from error
    return load_generator(name, place)


def find_class(options: argparse.Namespace, generator: Generator) -> int | None:
    """The class that `--class` says."""
    return None if options.label is None else generator.find_class(options.label)


def open_session(options: argparse.Namespace, generator: Generator) -> Session:
    """The image that the options of `add_latent` say."""
    if options.latent is not None:
        edited = Edited.load(options.latent).latent.expand(generator.num_layers)
        generator.check_latent(edited)
        latent: Latent = edited[:1]
    else:
        latent = generator.sample(options.seed, options.truncation, find_class(options, generator))
    file: Path | None = getattr(options, "parts", None)
    parts = None if file is None else Parts.load(file)
    return Session(generator, latent=latent, cache=JacobianCache(_ANALYSES_BYTES), parts=parts)


def open_directions(options: argparse.Namespace) -> Directions:
    """The direction file that the options of `add_directions` say."""
    if options.file.suffix.lower() == ".npy":
        return Directions.from_npy(options.file, options.space, options.layers)
    return Directions.load(options.file)


def open_both(options: argparse.Namespace, directions: Directions) -> Session:
    """The image to apply directions to; a note where these are of other weights."""
    generator = open_generator(options.generator, options.device)
    directions.check(generator)
    note(directions.origin_note(generator))
    return open_session(options, generator)


def note(text: str) -> None:
    """Say something beside the result, unless there is nothing to say."""
    if text:
        print(shown(f"resefa: {text}"), file=sys.stderr)
