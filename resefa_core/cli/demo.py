"""`resefa demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..checkpoints import load_generator
from ..defaults import SHOWN_FIRST, strengths_within
from ..errors import RegionError, ReSeFaError
from ..session import Session
from ..sheets import contact_sheet, save_png, strength_labels
from .command import Command
from .options import SEED
from .terminal import progress

_PARTS = ("mouth", "eyes")
_COUNT = 4


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output-dir", type=Path, default=Path("resefa-demo"))
    parser.add_argument("--seed", type=int, default=SEED)


def _run(options: argparse.Namespace) -> None:
    folder: Path = options.output_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReSeFaError(f"{folder}: can't be made: {error.strerror}") from error
    session = Session(load_generator(SHOWN_FIRST), seed=options.seed)
    save_png(session.picture, folder / "face.png", overwrite=True)
    here = session.parts_here()
    parts = [part for part in _PARTS if part in here]
    if not parts:
        raise RegionError(f"this face has none of {', '.join(_PARTS)}: choose another seed")
    found, labels = [], []
    for part in parts:
        with progress("analysing the face") as report:
            session.find(part, count=_COUNT, only_good=True, progress=report)
        directions = session.save(
            folder / f"{part}.safetensors",
            title=f"{part} of {session.generator.name}, seed {options.seed}",
            overwrite=True,
        )
        found.append(directions)
        labels += list(directions.names)
    ranges = [directions.strength_range for directions in found]
    strengths = strengths_within((max(low for low, _ in ranges), min(high for _, high in ranges)))
    rows = [list(strip.images) for directions in found for strip in session.strips(directions, strengths)]
    title = f"Directions found for the {' and for the '.join(parts)}, seed {options.seed}"
    sheet = contact_sheet(rows, labels, strength_labels(strengths), title=title)
    save_png(sheet, folder / "sheet.png", overwrite=True)
    print(f"The face:             {folder / 'face.png'}")
    print(f"What directions do:   {folder / 'sheet.png'}")
    print(f"Direction files:      {', '.join(str(folder / f'{part}.safetensors') for part in parts)}")


COMMAND = Command(
    "demo",
    "find mouth and eye directions of a drawn face and show them",
    ("resefa demo --output-dir resefa-demo",),
    _add_arguments,
    _run,
)
