"""`resefa evaluate`."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from ..checkpoints import bundled_names
from ..errors import ParameterError, ReSeFaError
from ..evaluation import tables
from ..evaluation.config import FID_FEATURES, LARGER, STUDY_SEEDS, Study, read_study, study_of
from ..evaluation.equal_change import TARGET
from ..evaluation.natural import REFERENCES
from ..evaluation.pictures import pareto, study_sheet
from ..evaluation.study import evaluate
from ..files import write_bytes
from ..methods import METHODS
from ..parsing import shown_seeds
from ..sheets import save_png
from .command import Command
from .options import (
    CONFINE,
    SEEDS,
    add_device,
    add_parts,
    add_workers,
    open_generator,
    open_parts,
    open_workers,
)
from .terminal import progress, shown


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study",
        nargs="?",
        type=Path,
        help="a JSON file that says what to measure; goes with -g, --parts, --seeds, --device and "
        "where to compute only",
    )
    parser.add_argument(
        "-g", "--generator", help=f"a generator's file, or a bundled one: {', '.join(bundled_names())}"
    )
    add_device(parser)
    add_parts(parser)
    parser.add_argument(
        "--seeds", type=SEEDS, help=f"of the images that are edited (default: {shown_seeds(STUDY_SEEDS)})"
    )
    parser.add_argument(
        "--regions",
        nargs="+",
        metavar="REGION",
        help="as for factorize, or NAME=REGION; a part is each image's own, box:mouth is one place for all",
    )
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help=f"default: all, {', '.join(METHODS)}")
    parser.add_argument("--spaces", nargs="+", metavar="SPACE", help="default: each method's own")
    parser.add_argument("--layers", nargs="+", help="layers to move, e.g. 4-7 coarse (default: all)")
    parser.add_argument(
        "--samples",
        nargs="+",
        type=int,
        metavar="N",
        help="images to solve jointly, all of them others than those edited; 0: directions found on the "
        "very image that is edited (default: 0)",
    )
    parser.add_argument(
        "--confine",
        nargs="*",
        type=CONFINE,
        metavar="AMOUNT",
        help="0: everywhere, 1: in the region (default: 0, and 1 for resefa-confined; 1 without a number)",
    )
    parser.add_argument("--truncation", type=float, help="1: as drawn, 0: the mean image (default: 0.7)")
    parser.add_argument("--class", dest="label", help="the class, where the generator has classes")
    parser.add_argument("-k", "--directions", type=int, help="directions measured of each (default: 4)")
    parser.add_argument(
        "--target", type=float, help=f"mean squared change inside to compare at (default: {TARGET})"
    )
    parser.add_argument(
        "--larger",
        nargs="*",
        type=float,
        metavar="CHANGE",
        help=f"larger changes to measure first directions at (default: {' '.join(map(str, LARGER))})",
    )
    parser.add_argument(
        "--references",
        type=int,
        help=f"unedited images to compare insides with, 0: none (default: {REFERENCES})",
    )
    parser.add_argument("--sources", type=SEEDS, help="seeds to find directions on, for --samples")
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
        help="for results.json, tables.md, sheets and a plot; a study that was stopped goes on from it",
    )
    add_workers(parser)


def _run(options: argparse.Namespace) -> None:
    study = _study(options)
    generator = open_generator(study.generator, options.device)
    with progress("measuring") as report:
        evaluation = evaluate(
            study,
            generator,
            options.output,
            parts=open_parts(options),
            workers=open_workers(options),
            progress=report,
        )
    text = tables.report(evaluation)
    write_bytes(options.output / "tables.md", text.encode(), ReSeFaError, overwrite=True)
    print(shown(text))
    for region in evaluation.areas:
        picture = study_sheet(evaluation, region)
        if picture is not None:
            name = re.sub(r"\W+", "-", region).strip("-") or "region"
            save_png(picture, options.output / f"sheet-{name}.png", overwrite=True)
    plot = pareto(evaluation)
    if plot is not None:
        save_png(plot, options.output / "pareto.png", overwrite=True)
    print(f"wrote {options.output}")


def _study(options: argparse.Namespace) -> Study:
    """The study that a file or the flags describe."""
    given = {key: value for key, value in vars(options).items() if value is not None}
    for key in ("run", "device", "output", "parts", "workers", "ray", "cards"):
        given.pop(key, None)
    if given.get("confine") == []:
        given["confine"] = [1.0]
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


COMMAND = Command(
    "evaluate",
    "compare methods: how local are their edits of a region, and what else do they change",
    (
        "resefa evaluate --regions mouth eyes --methods resefa sefa --seeds 5000-5009 -o comparison",
        "resefa evaluate --regions mouth=part:mouth box=mouth --methods resefa --samples 0 6 -o parts",
        "resefa evaluate -g mine.pkl --regions wheel=0.1,0.6,0.2,0.2 --spaces w w+ --samples 0 8 -o wheels",
        "resefa evaluate study.json -o results",
    ),
    _add_arguments,
    _run,
)
