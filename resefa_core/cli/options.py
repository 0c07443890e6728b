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
from ..checkpoints.remote import SCHEME
from ..defaults import CONFINED_FEATHER, TRUNCATION
from ..directions import CONFINED, Directions
from ..directions.about import reading_note
from ..directions.bundled import directions_file
from ..errors import DirectionFileError, ParameterError, ReSeFaError
from ..evaluation.image_text import ImageText
from ..generators import Generator
from ..generators.description import GeneratorDescription
from ..inversion import FeatureDistance, Photo
from ..inversion.inverting import PRIOR, STEPS
from ..latents import Latent
from ..latents.codes import ROWS
from ..latents.opening import open_latent
from ..optional import the_hub
from ..parsing import parse_confine, parse_face, parse_numbers, parse_seeds
from ..parts import Parts
from ..session import Session
from ..spaces import SPACES
from ..workers import Inline, Workers
from ..workers.pool import Pool
from .terminal import progress, shown

SEED = 13
_USUAL = "avatars"
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


def add_generator(parser: argparse.ArgumentParser, said_by_file: bool = False) -> None:
    """Ask for a generator.

    Args:
        said_by_file: what the command opens tells its generator, which is taken where it is a bundled one
            (see `generator_for`).
    """
    usual = f"the bundled one that the file is of, or {_USUAL}" if said_by_file else _USUAL
    parser.add_argument(
        "-g",
        "--generator",
        default=None if said_by_file else _USUAL,
        help=f"a generator's file, or a bundled one: {', '.join(bundled_names())} (default: {usual})",
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
        help="a latent's file instead of a seed; also a projector's or an encoder's codes",
    )
    parser.add_argument(
        "--latent-index", type=int, metavar="N", help="which latent of a file with several (default: 0)"
    )
    parser.add_argument(
        "--rows",
        choices=ROWS,
        help="what the vectors of an array (N, D) of codes are: layers of one latent, or images in w "
        "(default: by their number)",
    )


def add_place(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--face",
        type=typed(parse_face),
        metavar="X,Y,X,Y,X,Y",
        help="in pixels: the eye at the left, the one at the right, the middle of the mouth; the photo is "
        'cut as aligned faces are; or auto: dlib finds them (pip install "resefa[faces]")',
    )
    parser.add_argument(
        "--box",
        type=NUMBERS,
        metavar="X,Y,WIDTH,HEIGHT",
        help="in pixels: the part of the photo to find (default: the largest one in the middle)",
    )


def add_search(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the search (default: {STEPS})")
    parser.add_argument(
        "--prior",
        type=float,
        default=PRIOR,
        help="how much images that the generator draws by itself are preferred, on which edits work best; "
        f"0: the closest image (default: {PRIOR:g})",
    )
    parser.add_argument(
        "--ignore",
        metavar="REGION",
        help="what does not count, of the generator's image: a preset's box, a box in fractions, or a mask's "
        "file",
    )
    parser.add_argument(
        "--perceptual",
        type=Path,
        metavar="FILE",
        help="also compare by the features of this network in an ONNX file, which takes pixels in [-1, 1]",
    )


def open_perceptual(options: argparse.Namespace) -> FeatureDistance | None:
    """The network that `--perceptual` names."""
    return None if options.perceptual is None else FeatureDistance(options.perceptual)


def open_photo(options: argparse.Namespace, file: Path, generator: Generator) -> Photo:
    """A photo, cut as the options of `add_place` say."""
    return Photo.open(file).aligned(generator, face=options.face, box=options.box)


def add_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parts",
        metavar="FILE",
        help="parts of the generator, as `resefa parts` wrote them, or hf://AUTHOR/NAME (default: those that "
        "come with it)",
    )


def open_parts(options: argparse.Namespace) -> Parts | None:
    """The parts of `--parts`; None where there are none."""
    given: str | None = getattr(options, "parts", None)
    if given is None:
        return None
    found: Parts = the_hub().load_parts(given) if given.startswith(SCHEME) else Parts.load(given)
    return found


def add_imported(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--space", choices=SPACES, help="of another project's directions, where the file does not say it"
    )
    parser.add_argument(
        "--layers",
        type=SEEDS,
        help="that another project's directions move, e.g. 4-7 (default: as the file says, or all)",
    )


def add_directions(
    parser: argparse.ArgumentParser, what: str = "a direction file, of this program or another"
) -> None:
    parser.add_argument("file", type=Path, help=what)
    add_generator(parser, said_by_file=True)
    add_latent(parser)
    add_imported(parser)
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


def add_workers(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=int, default=1, help="processes of this machine, of one thread each (default: 1)"
    )
    where.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help='on Ray: a cluster, or this machine without an address (pip install "resefa[cluster]")',
    )
    parser.add_argument(
        "--cards", type=float, default=0.0, help="GPUs for each task of Ray, e.g. 0.5 (default: 0)"
    )


def open_workers(options: argparse.Namespace) -> Workers:
    """The workers that the options of `add_workers` say.

    Raises:
        ParameterError: cards without Ray, or too many workers.
        WorkerError: Ray does not answer.
    """
    if options.ray is not None:
        from ..workers.cluster import Cluster

        return Cluster(options.ray or None, cards=options.cards)
    if options.cards:
        raise ParameterError("--cards is for --ray")
    return Inline() if options.workers == 1 else Pool(options.workers)


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


def generator_for(options: argparse.Namespace, known: GeneratorDescription | None) -> Generator:
    """The generator that is asked for; without one, the bundled one that a file is of.

    Args:
        known: what the file says of its generator.
    """
    name = None if known is None else known.name
    said = name if name is not None and name in bundled_names() else _USUAL
    return open_generator(options.generator or said, options.device)


def find_class(options: argparse.Namespace, generator: Generator) -> int | None:
    """The class that `--class` says."""
    return None if options.label is None else generator.find_class(options.label)


def open_session(options: argparse.Namespace, generator: Generator) -> Session:
    """The image that the options of `add_latent` say."""
    if options.latent is not None:
        latent = _latent_of_file(options, generator)
    else:
        latent = generator.sample(options.seed, options.truncation, find_class(options, generator))
    parts, files = open_parts(options), getattr(options, "image_text", None)
    namer = None if files is None else ImageText.load(*files)
    cache = JacobianCache(_ANALYSES_BYTES)
    session = Session(generator, latent=latent, cache=cache, parts=parts, namer=namer)
    if getattr(options, "photo", None) is not None:
        _set_photo(options, session, None if options.latent is None else latent)
    return session


def _set_photo(options: argparse.Namespace, session: Session, latent: Latent | None) -> None:
    """Go on with the photo that the options say, whose latent is given or to be found."""
    photo = open_photo(options, options.photo, session.generator)
    with progress("finding the photo") as report:
        session.set_photo(
            photo,
            latent,
            label=options.label,
            steps=options.steps,
            prior=options.prior,
            ignore=options.ignore,
            perceptual=open_perceptual(options),
            progress=report,
        )


def _latent_of_file(options: argparse.Namespace, generator: Generator) -> Latent:
    edited, words = open_latent(options.latent, generator, options.rows)
    note(words)
    latents, index = edited.latent, options.latent_index
    if index is not None and not 0 <= index < len(latents):
        raise ParameterError(
            f"--latent-index {index}: {options.latent} has {len(latents)}, 0 to {len(latents) - 1}"
        )
    if index is None and len(latents) > 1:
        note(f"note: {options.latent} has {len(latents)} latents, and the first is taken: see --latent-index")
    return latents[index or 0]


def open_directions(options: argparse.Namespace, generator: Generator | None = None) -> Directions:
    """The direction file that the options of `add_directions` say.

    Args:
        generator: in use; another project's directions move all of its layers, unless the file or the options
            say which.
    """
    num_layers = None if generator is None else generator.num_layers
    directions = Directions.load(directions_file(options.file), options.space, options.layers, num_layers)
    note(reading_note(directions))
    return directions


def open_both(options: argparse.Namespace) -> tuple[Directions, Session]:
    """The directions, and the image to apply them to; a note where they are of other weights."""
    if not directions_file(options.file).is_file():
        open_directions(options)  # raises the reason, before the generator is read
    generator = generator_for(options, _made_for(options))
    directions = open_directions(options, generator)
    directions.check(generator)
    note(directions.origin_note(generator))
    return directions, open_session(options, generator)


def _made_for(options: argparse.Namespace) -> GeneratorDescription | None:
    """What a direction file says of its generator, if it can be opened without knowing that."""
    try:
        return Directions.load(directions_file(options.file), options.space, options.layers).generator
    except DirectionFileError:
        return None


def note(text: str) -> None:
    """Say something beside the result, unless there is nothing to say."""
    if text:
        print(shown(f"resefa: {text}"), file=sys.stderr)
