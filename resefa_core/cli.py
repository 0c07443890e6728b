"""The command line: `resefa`, or `python -m resefa_core`."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from . import threads
from ._version import __version__
from .analysis import Jacobian, compute_jacobian, load_jacobian
from .checkpoints import bundled_names, convert_generator, find_file, is_generator, load_generator
from .checkpoints import describe as describe_generator
from .checkpoints.biggan_deep import CONFIG
from .checkpoints.downloads import catalogue, download, find_entry
from .directions import CONFINED, Directions, encode_thumbnail
from .editing import move, prepared, sweep, with_confined_steps
from .errors import (
    CheckpointError,
    DirectionFileError,
    JacobianError,
    LatentError,
    ParameterError,
    ReSeFaError,
    printable,
)
from .evaluation import tables
from .evaluation.config import (
    FID_FEATURES,
    STUDY_SEEDS,
    Study,
    read_study,
    study_of,
)
from .evaluation.equal_change import TARGET
from .evaluation.pictures import study_sheet
from .evaluation.study import evaluate
from .files import read_header, write_bytes
from .generators import Generator
from .latents import Latent
from .methods import METHODS, Method, check_count, check_method, find_directions
from .parsing import parse_seeds, shown_seeds
from .progress import Progress
from .regions import Region
from .sheets import contact_sheet, save_png, strength_labels, to_pil
from .solve import factorize

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
_COLUMNS = 8
_CHECKPOINTS = (".bin", ".pkl", ".pt", ".pth", ".safetensors")
_STRENGTHS = (-4.0, -2.0, 0.0, 2.0, 4.0)
_JACOBIANS_LIMIT = 4 << 30
_CONFINED_FEATHER = 0.03

_EXAMPLES = """\
examples:
  resefa generate --seeds 0-15 -o faces.png
  resefa factorize --seed 13 --region mouth -o mouth.safetensors --sheet mouth.png
  resefa sweep mouth.safetensors --seed 21 -o strips.png
  resefa edit mouth.safetensors --seed 13 --move 0=3 --move 1=-2 -o edited.png
  resefa info mouth.safetensors

`resefa COMMAND --help` tells more about each. Exit codes: 0 done, 1 refused or failed (the reason is on
standard error), 2 unusable arguments, 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 if done, 1 if it was refused or failed, 130 if interrupted. Unusable arguments exit with 2.
    """
    options = _parser().parse_args(arguments)
    threads.settle()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        options.run(options)
        return 0
    except ReSeFaError as error:
        print(f"resefa: error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("resefa: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="resefa",
        description="Point at a region of a GAN's image; get latent directions that change only that.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"resefa {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    generate = _command(
        commands,
        "generate",
        "draw images by seed",
        _generate,
        "resefa generate --seeds 0-15 --truncation 0.7 -o faces.png",
        'resefa generate -g biggan-deep-256 --class "golden retriever" --truncation 0.4 -o dogs.png',
    )
    _add_generator(generate)
    generate.add_argument(
        "--seeds", type=_seeds, default=list(range(16)), help="e.g. 7, or 0-15, or 1,4,9-12 (default: 0-15)"
    )
    _add_sampling(generate)
    _add_output(generate, "PNG: one image, or a contact sheet of several")
    generate.add_argument("--save-latent", type=Path, metavar="FILE", help="write the latents, too")

    find = _command(
        commands,
        "factorize",
        "find directions that change a region",
        _factorize,
        "resefa factorize --seed 13 --region mouth -o mouth.safetensors --sheet mouth.png",
        "resefa factorize --region 0.3,0.55,0.4,0.2 --samples 6 -o smile.safetensors",
        "resefa factorize --region hat_mask.png --space w --layers 2-5 -o hat.safetensors",
        "resefa factorize --region mouth --confine -o mouth.safetensors",
        "resefa factorize --region mouth --method stylespace --parameter num_samples=20 -o mouth.safetensors",
    )
    _add_generator(find)
    _add_latent(find)
    find.add_argument(
        "--region",
        required=True,
        metavar="REGION",
        help="a preset (mouth, eyes, ... or ffhq/mouth), a box x,y,width,height in fractions, "
        "or a mask image's path",
    )
    find.add_argument(
        "--feather",
        type=float,
        help="soften the region's edge, a fraction of the image's height (default: 0, and "
        f"{_CONFINED_FEATHER:g} for {CONFINED}, whose edits end at that edge)",
    )
    find.add_argument(
        "--space", choices=("w", "w+", "s", "z", "z+"), help="latent space (default: the method's)"
    )
    find.add_argument("--layers", type=_seeds, help="layers to move, e.g. 4-7 (default: all)")
    find.add_argument("-k", "--count", type=int, default=8, help="number of directions (default: 8)")
    find.add_argument(
        "--samples",
        type=int,
        default=1,
        help="images to solve jointly: 1 for the image at hand, 6 or more for directions that hold "
        "on others, too (default: 1)",
    )
    find.add_argument(
        "--method",
        choices=tuple(METHODS),
        help="how to find them: resefa by default, or as others published it (docs/methods.md)",
    )
    find.add_argument(
        "--confine",
        action="store_true",
        help=f"find them for edits that stay inside the region: short for --method {CONFINED}",
    )
    find.add_argument(
        "--parameter",
        type=_parameter,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"of the method; repeat for more. {_parameters_of_methods()}",
    )
    find.add_argument(
        "--regularization", type=float, metavar="LAMBDA", help="short for --parameter regularization=LAMBDA"
    )
    find.add_argument(
        "--analysis",
        choices=("auto", "dense", "matrix-free"),
        default="auto",
        help="how to analyse the image (default: by cost)",
    )
    find.add_argument(
        "--jacobian", type=Path, metavar="FILE", help="keep the analysis there, or use it if there"
    )
    for field in ("title", "author", "description", "license"):
        find.add_argument(f"--{field}", default="", help=f"the file's {field}")
    _add_output(find, "direction file (.safetensors, or .npy for vectors alone)")
    find.add_argument("--sheet", type=Path, metavar="FILE", help="PNG: a strip of images per direction")

    strips = _command(
        commands,
        "sweep",
        "show what directions do: a strip of images each",
        _sweep,
        "resefa sweep mouth.safetensors --seed 21 --strengths -6,-3,0,3,6 -o strips.png",
        "resefa sweep lipstick.npy --generator ffhq.safetensors --space w --layers 8-11 -o strips.png",
    )
    _add_directions(strips)
    strips.add_argument(
        "--directions", metavar="LIST", help="which, by index or name, e.g. 0,1,smile (default: all)"
    )
    strips.add_argument(
        "--strengths", type=_numbers, default=list(_STRENGTHS), help="in steps (default: -4,-2,0,2,4)"
    )
    _add_output(strips, "PNG")

    change = _command(
        commands,
        "edit",
        "move along directions and draw the result",
        _edit,
        "resefa edit mouth.safetensors --seed 13 --move 0=3 --move 1=-2 --confine 1 -o edited.png",
    )
    _add_directions(change)
    change.add_argument(
        "--move",
        action="append",
        required=True,
        type=_movement,
        metavar="WHICH=STRENGTH",
        help="direction by index or name, and how many steps; repeat to add up",
    )
    _add_output(change, "PNG of the edited image")
    change.add_argument("--save-latent", type=Path, metavar="FILE", help="write the edited latent, too")

    turn = _command(
        commands,
        "convert",
        "turn a generator's file, or directions in .npy, into .safetensors",
        _convert,
        "resefa convert stylegan2-ffhq-config-f.pkl ffhq.safetensors",
        "resefa convert downloads/ generators/",
        "resefa convert biggan-deep-256/ biggan-deep-256.safetensors",
        "resefa convert stylegan2_ffhq_lipstick.npy lipstick.safetensors",
        "resefa convert mine.npy mine.safetensors --space w --layers 4-7",
        "resefa convert mouth.safetensors mouth.npy",
    )
    turn.add_argument("input", type=Path, help="a file, a folder of generators' files, or one with a model")
    turn.add_argument("output", type=Path, help="a file, or a folder")
    turn.add_argument("--origin", default="", help="of a generator: where its weights are from")
    turn.add_argument("--license", default="", help="of a generator")
    _add_npy(turn)
    turn.add_argument("--force", action="store_true", help="replace the output if it exists")

    compare = _command(
        commands,
        "evaluate",
        "compare methods: how local are their edits of a region, and what else do they change",
        _evaluate,
        "resefa evaluate --regions mouth eyes --methods resefa sefa --seeds 5000-5009 -o comparison",
        "resefa evaluate -g mine.pkl --regions wheel=0.1,0.6,0.2,0.2 --spaces w w+ --samples 0 8 -o wheels",
        "resefa evaluate study.json -o results",
    )
    _add_evaluate(compare)

    tell = _command(
        commands,
        "info",
        "tell what a file holds: directions, latents, an analysis, a generator",
        _info,
        "resefa info mouth.safetensors",
        "resefa info avatars --json",
    )
    tell.add_argument("file", help="a file, or a bundled generator's name")
    tell.add_argument("--json", action="store_true", help="for programs")

    fetch = _command(
        commands,
        "download",
        "fetch a public generator by its name in the catalogue",
        _download,
        "resefa download --list",
        "resefa download stylegan3-t-ffhqu-256x256",
        "resefa download stylegan2-ffhq-config-f -o generators/ffhq.pkl",
    )
    fetch.add_argument("name", nargs="?", help="a name that --list shows")
    fetch.add_argument("--list", action="store_true", help="show the catalogue")
    fetch.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the name, here")
    fetch.add_argument("--force", action="store_true", help="replace the file if it exists")
    fetch.add_argument(
        "--sha256",
        metavar="DIGITS",
        help="what the file's checksum has to be (default: the published one, or that of the first download "
        "of that name, kept in FILE.sha256)",
    )

    show = _command(
        commands,
        "demo",
        "find mouth and eye directions of a drawn face and show them",
        _demo,
        "resefa demo --output-dir resefa-demo",
    )
    show.add_argument("--output-dir", type=Path, default=Path("resefa-demo"))
    show.add_argument("--seed", type=int, default=13)
    return parser


def _command(commands: Any, name: str, summary: str, run: Any, *examples: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="\n  ".join(["examples:" if len(examples) > 1 else "example:", *examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-g",
        "--generator",
        default="avatars",
        help=f"a generator's file, or a bundled one: {', '.join(bundled_names())} (default: avatars)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps (default: cpu)")


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--truncation",
        type=float,
        default=0.7,
        help="1: as drawn, 0: the mean image (default: 0.7)",
    )
    parser.add_argument(
        "--class",
        "--label",
        dest="label",
        metavar="CLASS",
        help="the class, where the generator has classes: its number, or (part of) its name",
    )


def _add_latent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=13, help="the image's seed (default: 13)")
    _add_sampling(parser)
    parser.add_argument(
        "--latent",
        type=Path,
        metavar="FILE",
        help="a latent's file instead of a seed; also a projector's codes",
    )


def _add_npy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", choices=("w", "w+", "s", "z", "z+"), help="of an .npy file")
    parser.add_argument("--layers", type=_seeds, help="of an .npy file, e.g. 4-7")


def _add_directions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a direction file (.safetensors or .npy)")
    _add_generator(parser)
    _add_latent(parser)
    _add_npy(parser)
    parser.add_argument(
        "--confine",
        type=float,
        nargs="?",
        const=1.0,
        help="confine the edit to the region: 0 not at all, 1 fully (default: as the directions were found, "
        "which is 1 for those of resefa-confined and 0 for others; 1 without a number)",
    )
    parser.add_argument(
        "--feather", type=float, default=0.0, help="soften a confined edit's edge (fraction; default: 0)"
    )


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study",
        nargs="?",
        type=Path,
        help="a JSON file that says what to measure; goes with --generator, --seeds and --device only",
    )
    parser.add_argument(
        "-g", "--generator", help=f"a generator's file, or a bundled one: {', '.join(bundled_names())}"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps (default: cpu)")
    parser.add_argument(
        "--seeds", type=_seeds, help=f"of the images that are edited (default: {shown_seeds(STUDY_SEEDS)})"
    )
    parser.add_argument(
        "--regions",
        nargs="+",
        metavar="REGION",
        help="presets, boxes or mask images as for factorize, or NAME=REGION",
    )
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help=f"default: all, {', '.join(METHODS)}")
    parser.add_argument("--spaces", nargs="+", metavar="SPACE", help="default: each method's own")
    parser.add_argument("--layers", nargs="+", help="layers to move, e.g. 4-7 coarse (default: all)")
    parser.add_argument(
        "--samples",
        nargs="+",
        type=int,
        metavar="N",
        help="0: directions found on the very image that is edited; n: found jointly on n others "
        "(default: 0)",
    )
    parser.add_argument(
        "--confine",
        nargs="+",
        type=float,
        help="0: everywhere, 1: in the region (default: 0, and 1 for resefa-confined)",
    )
    parser.add_argument("--truncation", type=float, help="1: as drawn, 0: the mean image (default: 0.7)")
    parser.add_argument("--class", dest="label", help="the class, where the generator has classes")
    parser.add_argument("-k", "--directions", type=int, help="directions measured of each (default: 4)")
    parser.add_argument(
        "--target", type=float, help=f"mean squared change inside to compare at (default: {TARGET})"
    )
    parser.add_argument("--sources", type=_seeds, help="seeds to find directions on, for --samples")
    parser.add_argument("--sets", type=int, help="disjoint sets of sources to try (default: 2)")
    parser.add_argument(
        "--attributes", action="store_true", default=None, help="which attributes of a drawn face change"
    )
    parser.add_argument(
        "--identity", dest="identity_model", metavar="FILE", help="a face recogniser (ONNX): same person?"
    )
    parser.add_argument("--fid", choices=FID_FEATURES[1:], help="FID and KID, in these features")
    parser.add_argument("--sheet-seeds", type=int, help="seeds on the contact sheets (default: 2)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="for results.json, tables.md and sheets; a study that was stopped goes on from it",
    )


def _add_output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def _seeds(text: str) -> list[int]:
    """`7`, `0-15`, `1,4,9-12` as a list of whole numbers."""
    try:
        return parse_seeds(text)
    except ParameterError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers like -4,0,4") from error


def _movement(text: str) -> tuple[int | str, float]:
    name, separator, value = text.rpartition("=")
    try:
        strength = float(value)
    except ValueError:
        separator = ""
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0=2.5 or smile=-1")
    return _which(name), strength


def _parameter(text: str) -> tuple[str, float]:
    name, separator, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        separator = ""
    if not separator or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not like regularization=0.01")
    return name.strip(), number


def _parameters_of_methods() -> str:
    """Which method takes which, in a line."""
    names = {
        key: ", ".join(parameter.name for parameter in method.parameters) for key, method in METHODS.items()
    }
    return "; ".join(f"{key}: {listed}" for key, listed in names.items() if listed)


def _which(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?\d{1,9}", text.strip()) else text.strip()


@contextmanager
def _progress(label: str) -> Iterator[Progress]:
    """A bar on standard error that appears once the work has taken half a second."""
    with tqdm(desc=label, unit="", delay=0.5, leave=False, file=sys.stderr) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


def _refuse_existing(options: argparse.Namespace, *paths: Path | None) -> None:
    """Refuse before any work starts what could not be written after it."""
    for path in paths:
        if path is None:
            continue
        if path.exists() and not options.force:
            raise ReSeFaError(f"{path} exists: choose another name, or pass --force to replace it")
        if not path.parent.is_dir():
            raise ReSeFaError(f"{path.parent} is not a folder: make it first")


def _load(options: argparse.Namespace) -> Generator:
    try:
        device = torch.device(options.device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(f"device {options.device!r} can't be used: {error}") from error
    generator = load_generator(options.generator, device)
    if getattr(options, "label", None) is not None:
        options.label = generator.find_class(options.label)
    return generator


def _latent(options: argparse.Namespace, generator: Generator) -> Latent:
    if options.latent is not None:
        latent = Latent.load(options.latent).expand(generator.num_layers)
        generator.check_latent(latent)
        return latent[:1]
    return generator.sample(options.seed, options.truncation, options.label)


def _directions(options: argparse.Namespace) -> Directions:
    if options.file.suffix.lower() == ".npy":
        return Directions.from_npy(options.file, options.space, options.layers)
    return Directions.load(options.file)


def _generate(options: argparse.Namespace) -> None:
    _refuse_existing(options, options.output, options.save_latent)
    generator = _load(options)
    latent = generator.sample(options.seeds, options.truncation, options.label)
    images: list[Tensor] = []
    with _progress("drawing") as report:
        for index in range(len(latent)):
            images.append(generator.synthesize(latent[index])[0])
            report(index + 1, len(latent))
    if len(images) == 1:
        picture = to_pil(images[0])
    else:
        rows = [images[i : i + _COLUMNS] for i in range(0, len(images), _COLUMNS)]
        labels = [_range(options.seeds[i : i + _COLUMNS]) for i in range(0, len(images), _COLUMNS)]
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


def _factorize(options: argparse.Namespace) -> None:
    _refuse_existing(options, options.output, options.sheet)
    if options.output.suffix.lower() not in (".safetensors", ".npy"):
        raise DirectionFileError(f"{options.output}: expected a name that ends in .safetensors or .npy")
    parameters = dict(options.parameter)
    if options.regularization is not None:
        parameters["regularization"] = options.regularization
    method = check_method(_method(options), None, options.space, parameters)
    check_count(options.count)
    if method.key == CONFINED and options.output.suffix.lower() == ".npy":
        raise ParameterError(
            f"an .npy file keeps no region, which edits along directions of {CONFINED} are confined to: "
            "expected a name that ends in .safetensors"
        )
    if not method.uses_analyses and (options.jacobian is not None or options.analysis != "auto"):
        able = ", ".join(key for key, other in METHODS.items() if other.uses_analyses)
        raise ParameterError(
            f"--jacobian and --analysis are for methods that can keep an analysis ({able}), not {method.key}"
        )
    if options.jacobian is not None and not options.jacobian.parent.is_dir():
        raise ReSeFaError(f"{options.jacobian.parent} is not a folder: make it first")
    if options.jacobian is not None and options.samples > 1:
        raise ParameterError(
            "--jacobian keeps the analysis of one image: it can't be combined with --samples"
        )
    if options.samples < 1:
        raise ParameterError(f"--samples {options.samples} is out of range: expected 1 or more")
    if options.samples > 1 and options.latent is not None:
        raise ParameterError("--samples draws further seeds: it can't be combined with --latent")
    generator = _load(options)
    check_method(method.key, generator, options.space, parameters)
    softness = _CONFINED_FEATHER if method.key == CONFINED else 0.0
    region = Region.from_text(options.region, generator.name)
    region = region.feather(softness if options.feather is None else options.feather)
    latent = _latent(options, generator)
    latents = [latent]
    for seed in range(options.seed + 1, options.seed + options.samples):
        latents.append(generator.sample(seed, options.truncation, options.label))
    space = options.space or method.spaces_of(generator)[0]
    kept = _analyses(options, generator, latents, space) if method.uses_analyses else {}
    with _progress("solving" if method.uses_analyses else f"finding, {method.title}") as report:
        directions = find_directions(
            generator,
            latents,
            region,
            method.key,
            num_directions=options.count,
            space=space,
            layers=options.layers,
            parameters=parameters,
            jacobians=(lambda latent, _: kept[latent.digest]) if kept else None,
            progress=report,
        )
    label = options.region if re.fullmatch(r"[\w/]+", options.region) else "region"
    directions = replace(
        _numbered(directions, label),
        title=options.title or _title(label, generator, method),
        author=options.author,
        description=options.description,
        license=options.license,
    )
    if generator.can_confine and directions.steps_confined is None:
        with _progress("measuring confined steps") as report:
            directions = with_confined_steps(generator, latent, directions, progress=report)
    if options.output.suffix.lower() == ".npy":
        directions.to_npy(options.output, options.force)
    else:
        strip = _strip(generator, latent, directions[:1])
        directions = replace(directions, thumbnail=encode_thumbnail(strip))
        directions.save(options.output, options.force)
    print(_table(directions))
    print(f"wrote {options.output}")
    if options.sheet is not None:
        save_png(_sweep_sheet(generator, latent, directions), options.sheet, options.force)
        print(f"wrote {options.sheet}")


def _method(options: argparse.Namespace) -> str:
    """The key of the method that was asked for."""
    if not options.confine:
        return options.method or "resefa"
    if options.method not in (None, CONFINED):
        raise ParameterError(
            f"--confine is short for --method {CONFINED}: it can't be combined with --method {options.method}"
        )
    return CONFINED


def _title(label: str, generator: Generator, method: Method) -> str:
    whose = "" if method.key == "resefa" else f", {method.title}"
    return f"{label} of {generator.name}{whose}"


def _analyses(
    options: argparse.Namespace, generator: Generator, latents: Sequence[Latent], space: str
) -> dict[str, Jacobian]:
    """The analysis of each latent, by its digest; from the file where the user keeps it."""
    kept: Path | None = options.jacobian
    if kept is not None and kept.is_file():
        return {latents[0].digest: _kept_analysis(options, generator, latents[0], space)}
    found: dict[str, Jacobian] = {}
    how = options.analysis
    for index, latent in enumerate(latents):
        name = "analysing" if len(latents) == 1 else f"analysing {index + 1} of {len(latents)}"
        with _progress(name) as report:
            jacobian = compute_jacobian(
                generator,
                latent,
                space,
                options.layers,
                method=how,
                memory_budget=None if len(latents) == 1 else _JACOBIANS_LIMIT // len(latents),
                progress=report,
            )
        found[latent.digest] = jacobian
        how = jacobian.kind
    if kept is not None:
        found[latents[0].digest].save(kept)
        print(f"wrote {kept}")
    return found


def _kept_analysis(options: argparse.Namespace, generator: Generator, latent: Latent, space: str) -> Jacobian:
    jacobian = load_jacobian(options.jacobian, generator)
    same = jacobian.latent.codes.shape == latent.codes.shape and torch.allclose(
        jacobian.latent.codes.cpu(), latent.codes.cpu(), atol=1e-4, rtol=1e-3
    )
    same = same and (jacobian.latent.truncation, _classes(jacobian.latent)) == (
        latent.truncation,
        _classes(latent),
    )
    if not same or (jacobian.space, jacobian.layers) != (space, generator.check_layers(options.layers)):
        raise LatentError(
            f"{options.jacobian}: an analysis of another latent, class, space or layers "
            f"(seed {jacobian.latent.seed}, {jacobian.space}, layers {list(jacobian.layers)})"
        )
    return jacobian


def _classes(latent: Latent) -> list[int] | None:
    return None if latent.label is None else latent.label.tolist()


def _numbered(directions: Directions, label: str) -> Directions:
    return directions.renamed({i: f"{label} {i}" for i in range(len(directions))})


def _table(directions: Directions) -> str:
    """What each direction changes inside and outside, per pixel, in plain words."""
    lines = [f"{'direction':<24} {'inside : outside':>16}"]
    for index, name in enumerate(directions.names):
        ratio = float(directions.inside[index] / directions.outside[index].clamp_min(1e-30))
        lines.append(f"{name:<24} {ratio:>14.0f} : 1")
    return "\n".join(lines)


def _strip(generator: Generator, latent: Latent, direction: Directions) -> Image.Image:
    images = sweep(generator, latent, direction, (-3.0, 0.0, 3.0))[0]
    return to_pil(torch.cat(list(images), dim=2))


def _sweep_sheet(
    generator: Generator,
    latent: Latent,
    directions: Directions,
    strengths: Sequence[float] = _STRENGTHS,
    confine: float | None = None,
    feather: float = 0.0,
) -> Image.Image:
    with _progress("drawing") as report:
        strips = sweep(generator, latent, directions, strengths, confine, feather, progress=report)
    title = directions.title or "directions"
    if latent.seed is not None:
        title += f", seed {latent.seed[0]}"
    confine = float(directions.confined) if confine is None else confine
    if confine:
        title += f", confined {confine:g}"
    return contact_sheet(
        [list(strip) for strip in strips],
        list(directions.names),
        strength_labels(strengths),
        title=title,
    )


def _sweep(options: argparse.Namespace) -> None:
    _refuse_existing(options, options.output)
    directions = _directions(options)
    if options.directions is not None:
        directions = directions[[directions.index(_which(p)) for p in options.directions.split(",")]]
    generator, latent = _face_for(options, directions)
    sheet = _sweep_sheet(generator, latent, directions, options.strengths, options.confine, options.feather)
    save_png(sheet, options.output, options.force)
    print(f"wrote {options.output}")


def _edit(options: argparse.Namespace) -> None:
    _refuse_existing(options, options.output, options.save_latent)
    directions = _directions(options)
    strengths: dict[int | str, float] = {}
    for key, strength in options.move:
        index = directions.index(key)
        strengths[index] = strengths.get(index, 0.0) + strength
    generator, latent = _face_for(options, directions)
    directions = prepared(generator, latent, directions, options.confine, options.feather)
    moved = move(latent, directions, strengths, options.confine, options.feather)
    save_png(to_pil(generator.synthesize(moved)[0]), options.output, options.force)
    print(f"wrote {options.output}")
    if options.save_latent is not None:
        moved.save(options.save_latent, options.force)
        print(f"wrote {options.save_latent}")


def _face_for(options: argparse.Namespace, directions: Directions) -> tuple[Generator, Latent]:
    """The generator and the latent to apply directions to; a note where these are of other weights."""
    generator = _load(options)
    directions.check(generator)
    note = directions.origin_note(generator)
    if note:
        print(_printable(f"resefa: {note}"), file=sys.stderr)
    return generator, _latent(options, generator)


def _evaluate(options: argparse.Namespace) -> None:
    study = _study(options)
    options.generator, options.label = study.generator, None
    generator = _load(options)
    with _progress("measuring") as report:
        evaluation = evaluate(study, generator, options.output, progress=report)
    text = tables.report(evaluation)
    write_bytes(options.output / "tables.md", text.encode(), ReSeFaError, overwrite=True)
    print(_printable(text))
    for region in evaluation.areas:
        picture = study_sheet(evaluation, region)
        if picture is not None:
            name = re.sub(r"\W+", "-", region).strip("-") or "region"
            save_png(picture, options.output / f"sheet-{name}.png", overwrite=True)
    print(f"wrote {options.output}")


def _study(options: argparse.Namespace) -> Study:
    """The study that a file or the flags describe."""
    given = {key: value for key, value in vars(options).items() if value is not None}
    for key in ("run", "device", "output"):
        del given[key]
    if options.study is not None:
        changed = {key: given.pop(key) for key in ("generator", "seeds") if key in given}
        del given["study"]
        if given:
            raise ParameterError(
                f"--{next(iter(given)).replace('_', '-')} can't be combined with a study's file: "
                "say it in the file"
            )
        if "seeds" in changed:
            changed["seeds"] = tuple(changed["seeds"])
        return replace(read_study(options.study), **changed)
    if "regions" not in given:
        raise ParameterError("say what to measure: --regions, or a study's file")
    many = {name: given.pop(name) for name in ("spaces", "layers") if name in given}
    each = {"space": many["spaces"]} if "spaces" in many else {}
    each |= {"layers": many["layers"]} if "layers" in many else {}
    given["rows"] = [{"method": method, **each} for method in given.pop("methods", METHODS)]
    named = (re.fullmatch(r"(?:([^=]+)=)?(.+)", region) for region in given["regions"])
    given["regions"] = {match[1] or match[2]: match[2] for match in named if match is not None}
    transfer = {name: given.pop(name) for name in ("sources", "sets") if name in given}
    if transfer:
        given["transfer"] = transfer
    if "label" in given:
        given["class"] = given.pop("label")
    return study_of(given)


def _convert(options: argparse.Namespace) -> None:
    if options.input.is_dir():
        if not (options.input / CONFIG).is_file():
            _convert_folder(options)
            return
        options.input = find_file(options.input)
    _refuse_existing(options, options.output)
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
    with _progress(f"converting {source.name[:40]}") as report:
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


def _download(options: argparse.Namespace) -> None:
    if options.list or options.name is None:
        for entry in catalogue().values():
            size = "size unknown" if entry.bytes is None else f"{entry.bytes / 1e6:.0f} MB"
            print(f"{entry.name:<34} {entry.what}; {entry.format}; {size}; {entry.license}; {entry.page}")
        return
    entry = find_entry(options.name)
    output: Path = options.output or Path(Path(urlsplit(entry.url or entry.name).path).name)
    _refuse_existing(options, output)
    print(f"{entry.what}. License: {entry.license}. From: {entry.page}")
    with _progress(f"downloading {entry.name}") as report:
        digest = download(entry, output, options.force, report, options.sha256)
    print(f"wrote {output}\nSHA-256 {digest}")


def _printable(text: str) -> str:
    """Text that may come from a stranger's file, without what a terminal would obey."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _info(options: argparse.Namespace) -> None:
    described = _describe(options.file)
    if options.json:
        print(json.dumps(described, indent=2))
        return
    width = max(len(key) for key in described)
    for key, value in described.items():
        shown = ", ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else value
        print(_printable(f"{key:<{width}}  {shown}"))


def _describe(name: str) -> dict[str, Any]:
    file = Path(name)
    if name in bundled_names() and not file.exists():
        return describe_generator(name)
    if file.suffix.lower() == ".npy":
        return _describe_directions(Directions.from_npy(file))
    metadata: dict[str, str] = {}
    if file.suffix.lower() == ".safetensors":
        metadata = read_header(file, ReSeFaError)[1]
    if "resefa.format_version" in metadata:
        return _describe_directions(Directions.load(file))
    if "resefa.jacobian_version" in metadata:
        try:
            header = dict(json.loads(metadata["resefa.jacobian"]))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise JacobianError(f"{file}: damaged Jacobian file: {error}") from error
        return {"kind": f"{header.pop('kind', 'unknown')} Jacobian", **header}
    latent = file.suffix.lower() == ".npz" or (
        file.suffix.lower() in (".pt", ".pth") and not is_generator(file)
    )
    if "resefa.latent_version" in metadata or latent:
        return _describe_latent(Latent.load(file))
    return describe_generator(name)


def _describe_directions(directions: Directions) -> dict[str, Any]:
    described: dict[str, Any] = {
        "kind": "directions",
        "method": METHODS[directions.method].title if directions.method in METHODS else directions.method,
        "title": directions.title,
        "author": directions.author,
        "description": directions.description,
        "license": directions.license,
        "date": directions.date,
        "generator": directions.generator.get("name", "unknown"),
        "architecture": directions.generator.get("architecture", "unknown"),
        "resolution": directions.generator.get("resolution", "unknown"),
        "fingerprint": directions.generator.get("fingerprint", "unknown"),
        "space": directions.space,
        "layers": list(directions.layers),
        "region": None if directions.region is None else json.dumps(directions.region.to_json()),
        "samples": directions.num_samples,
        "seeds": list(directions.seeds or ()),
        "names": list(directions.names),
    }
    if float(directions.outside.max()) > 0:
        ratios = directions.inside / directions.outside.clamp_min(1e-30)
        described["inside : outside"] = [f"{float(r):.1f}" for r in ratios]
    return {key: value for key, value in described.items() if value not in ("", None, [])}


def _describe_latent(latent: Latent) -> dict[str, Any]:
    return {
        "kind": "latents",
        "images": len(latent),
        "layers": latent.codes.shape[1],
        "latent dimension": latent.codes.shape[2],
        "seeds": list(latent.seed or ()),
        "truncation": latent.truncation,
        "confined moves": len(latent.confined),
        "generator": latent.generator,
    }


def _demo(options: argparse.Namespace) -> None:
    folder: Path = options.output_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReSeFaError(f"{folder}: can't be made: {error.strerror}") from error
    generator = load_generator("avatars")
    latent = generator.sample(options.seed, 0.7)
    face = generator.synthesize(latent)[0]
    save_png(to_pil(face), folder / "face.png", overwrite=True)
    with _progress("analysing the face") as report:
        jacobian = compute_jacobian(generator, latent, progress=report)
    rows, labels = [], []
    for part in ("mouth", "eyes"):
        directions = factorize(jacobian, Region.preset(part), num_directions=4)
        directions = with_confined_steps(generator, latent, directions)
        directions = replace(
            _numbered(directions, part),
            title=f"{part} of avatars, seed {options.seed}",
            thumbnail=encode_thumbnail(_strip(generator, latent, directions[:1])),
        )
        directions.save(folder / f"{part}.safetensors", overwrite=True)
        rows += [list(strip) for strip in sweep(generator, latent, directions, _STRENGTHS)]
        labels += list(directions.names)
    title = f"Directions found for the mouth and for the eyes, seed {options.seed}"
    sheet = contact_sheet(rows, labels, strength_labels(_STRENGTHS), title=title)
    save_png(sheet, folder / "sheet.png", overwrite=True)
    print(f"The face:             {folder / 'face.png'}")
    print(f"What directions do:   {folder / 'sheet.png'}")
    print(f"Direction files:      {folder / 'mouth.safetensors'}, {folder / 'eyes.safetensors'}")
