"""`resefa factorize`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..analysis import Jacobian, load_jacobian
from ..defaults import CONFINED_FEATHER, NUM_DIRECTIONS, SAMPLES_TO_SHARE
from ..directions import CONFINED, Directions
from ..errors import DirectionFileError, LatentError, ParameterError, ReSeFaError
from ..inversion import mark_of
from ..latents import Latent
from ..latents.samples import check_samples
from ..methods import METHODS, check_count, check_method
from ..parsing import parse_parameters
from ..session import Session
from ..session.finding import method_for
from ..sheets import save_png
from ..spaces import SPACES
from .command import Command
from .drawing import sheet
from .options import (
    CONFINE,
    SEEDS,
    add_generator,
    add_latent,
    add_output,
    add_parts,
    open_generator,
    open_session,
    refuse_existing,
    typed,
)
from .terminal import progress


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_generator(parser)
    add_latent(parser)
    parser.add_argument(
        "--region",
        required=True,
        metavar="REGION",
        help="a part of the image by its name (mouth, eyes, hair, ...), where the generator's are known; a "
        "preset's box (box:mouth, ffhq/mouth, or the name alone where there is no such part); a box "
        "x,y,width,height in fractions; a mask image's path; or what lies at a point of the image "
        "(at:0.5,0.68, more points after +, or after - to take away)",
    )
    add_parts(parser)
    parser.add_argument(
        "--image-text",
        nargs=2,
        metavar=("MODEL", "WORDS"),
        help="name directions by an image–text model of yours: its image encoder (ONNX), and its vectors of "
        "words (safetensors)",
    )
    parser.add_argument(
        "--feather",
        type=float,
        help="soften the region's edge, a fraction of the image's height (default: 0, and "
        f"{CONFINED_FEATHER:g} for {CONFINED}, whose edits end at that edge)",
    )
    parser.add_argument("--space", choices=SPACES, help="latent space (default: the method's)")
    parser.add_argument("--layers", type=SEEDS, help="layers to move, e.g. 4-7 (default: all)")
    parser.add_argument(
        "-k",
        "--count",
        type=int,
        default=NUM_DIRECTIONS,
        help=f"number of directions (default: {NUM_DIRECTIONS})",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=1,
        help="images to solve jointly, the one at hand among them: 1 for that image alone, "
        f"{SAMPLES_TO_SHARE} or more for directions that hold on others, too (default: 1)",
    )
    parser.add_argument(
        "--confine",
        type=CONFINE,
        nargs="?",
        const=1.0,
        default=0.0,
        metavar="AMOUNT",
        help=f"find them for edits that stay inside the region, as --method {CONFINED} does: 0 not at all, "
        "1 fully (default: 0; 1 without a number)",
    )
    parser.add_argument(
        "--colour",
        action="store_true",
        help="let a change of the region's mean colour count, as for lipstick or dyed hair (default: shapes)",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="keep all directions, in the order in which they were found (default, for resefa and "
        f"{CONFINED}: those that are worth offering, named by what they change)",
    )
    _add_method(parser)
    parser.add_argument(
        "--analysis",
        choices=("auto", "dense", "matrix-free"),
        default="auto",
        help="how to analyse the image (default: by size)",
    )
    parser.add_argument(
        "--jacobian", type=Path, metavar="FILE", help="keep the analysis there, or use it if there"
    )
    for field in ("title", "author", "description", "license"):
        parser.add_argument(f"--{field}", default="", help=f"the file's {field}")
    add_output(parser, "direction file (.safetensors, or .npy for vectors alone)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="PNG: a strip of images per direction")


def _add_method(parser: argparse.ArgumentParser) -> None:
    taken = {key: ", ".join(each.name for each in method.parameters) for key, method in METHODS.items()}
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        help="how to find them: resefa by default, or as others published it (docs/methods.md)",
    )
    parser.add_argument(
        "--parameter",
        type=typed(lambda text: next(iter(parse_parameters([text]).items()))),
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the method; repeat for more. "
        + "; ".join(f"{key}: {names}" for key, names in taken.items() if names),
    )
    parser.add_argument(
        "--regularization", type=float, metavar="LAMBDA", help="short for --parameter regularization=LAMBDA"
    )


def _run(options: argparse.Namespace) -> None:
    parameters = dict(options.parameter)
    if options.regularization is not None:
        parameters["regularization"] = options.regularization
    if options.colour:
        parameters["colour"] = 1.0
    key = _method(options)
    _check(options, key, parameters)
    generator = open_generator(options.generator, options.device)
    session = open_session(options, generator)
    method = check_method(key, generator, options.space, parameters)
    session.select(options.region)
    space = options.space or method.spaces_of(generator)[0]
    jacobian = None if options.jacobian is None else _kept_analysis(options, session, space)
    with progress("finding" if method.uses_analyses else f"finding, {method.title}") as report:
        session.find(
            method=key,
            space=space,
            layers=options.layers,
            count=options.count,
            samples=options.samples,
            feather=options.feather,
            parameters=parameters,
            only_good=not options.all,
            kind=options.analysis,
            jacobian=jacobian,
            progress=report,
        )
    with progress("measuring confined steps") as report:
        directions = session.finished(
            title=options.title,
            author=options.author,
            description=options.description,
            license=options.license,
            progress=report,
        )
    if options.output.suffix.lower() == ".npy":
        directions.to_npy(options.output, options.force)
    else:
        directions.save(options.output, options.force)
    print(_table(directions))
    print(f"wrote {options.output}")
    if options.sheet is not None:
        confine = options.confine or None
        picture = sheet(session, directions, confine=confine)
        save_png(picture, options.sheet, options.force, mark_of(session.original))
        print(f"wrote {options.sheet}")


def _method(options: argparse.Namespace) -> str:
    """The key of the method that was asked for."""
    if options.confine and options.method not in (None, CONFINED):
        raise ParameterError(
            f"--confine is short for --method {CONFINED}: it can't be combined with --method {options.method}"
        )
    return method_for(options.method, options.confine)


def _check(options: argparse.Namespace, key: str, parameters: dict[str, float]) -> None:
    """Refuse what can't be done before a generator is loaded."""
    refuse_existing(options, options.output, options.sheet)
    if options.output.suffix.lower() not in (".safetensors", ".npy"):
        raise DirectionFileError(f"{options.output}: expected a name that ends in .safetensors or .npy")
    method = check_method(key, None, options.space, parameters)
    check_count(options.count)
    check_samples(options.samples)
    if key == CONFINED and options.output.suffix.lower() == ".npy":
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


def _kept_analysis(options: argparse.Namespace, session: Session, space: str) -> Jacobian:
    """The analysis of the image: from the file where the user keeps it, or written to it."""
    kept: Path = options.jacobian
    if kept.is_file():
        jacobian = load_jacobian(kept, session.generator)
        layers = session.generator.check_layers(options.layers)
        same = _same(jacobian.latent, session.original)
        if not same or (jacobian.space, jacobian.layers) != (space, layers):
            raise LatentError(
                f"{kept}: an analysis of another latent, class, space or layers "
                f"(seed {jacobian.latent.seed}, {jacobian.space}, layers {list(jacobian.layers)})"
            )
        return jacobian
    with progress("analysing") as report:
        jacobian = session.analyse(space, options.layers, kind=options.analysis, progress=report)
    jacobian.save(kept)
    print(f"wrote {kept}")
    return jacobian


def _same(first: Latent, second: Latent) -> bool:
    """Whether two latents are those of one image, but for rounding."""
    if first.codes.shape != second.codes.shape or first.truncation != second.truncation:
        return False
    labels = [None if latent.label is None else latent.label.tolist() for latent in (first, second)]
    return labels[0] == labels[1] and torch.allclose(
        first.codes.cpu(), second.codes.cpu(), atol=1e-4, rtol=1e-3
    )


def _table(directions: Directions) -> str:
    """What each direction changes inside and outside, per pixel, in plain words."""
    lines = [f"{'direction':<24} {'inside : outside':>16}"]
    for name, ratio in zip(directions.names, directions.ratios, strict=True):
        lines.append(f"{name:<24} {ratio:>14.0f} : 1")
    return "\n".join(lines)


COMMAND = Command(
    "factorize",
    "find directions that change a region",
    (
        "resefa factorize --seed 13 --region mouth -o mouth.safetensors --sheet mouth.png",
        "resefa factorize --region 0.3,0.55,0.4,0.2 --samples 6 -o smile.safetensors",
        "resefa factorize --region hat_mask.png --space w --layers 2-5 -o hat.safetensors",
        "resefa factorize --seed 13 --region at:0.5,0.63 -o mouth.safetensors",
        "resefa factorize --region mouth --confine -o mouth.safetensors",
        "resefa factorize --region mouth --method stylespace --parameter num_samples=20 -o mouth.safetensors",
    ),
    _add_arguments,
    _run,
)
