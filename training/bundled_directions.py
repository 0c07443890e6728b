"""Makes the directions that come with bundled generators: `python training/bundled_directions.py [NAME ...]`.

Each set is solved jointly over images that have its part. What is kept, how far it goes and what it is called
was chosen by looking at eight images, light and dark ones. Three minutes on a core for each generator.

    python training/bundled_directions.py avatars-128 --look FOLDER --like avatars

writes what there is to choose from instead: for each part all directions that are found, and a sheet of them
by number, on the eight images. `--found FOLDER` bundles what is kept of those, without solving again. With
`--like` it says besides, as lines for `SETS`, which of them comes nearest to each named direction of another
generator of the same drawings, where a seed is the same face, and how near: 1 is the same change.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import resefa_core as resefa  # noqa: E402
from resefa_core.analysis import JacobianCache  # noqa: E402
from resefa_core.directions.bundled import BUNDLED  # noqa: E402

SEED, SAMPLES, FOUND = 100, 12, 8
REGULARIZATION = 1e-3
CACHE_BYTES = 4 << 30
LOOKED_AT = (29, 13, 5, 2012, 2016, 2003, 777, 35)
SHOWN = (-6.0, -3.0, 0.0, 3.0, 6.0)
TRIED = tuple(float(steps) for steps in range(1, 9))
CELL, COLUMNS, LINE = 64, 4, 14


@dataclass(frozen=True)
class Kept:
    """A direction that is kept.

    Attributes:
        index: among those that are found.
        steps: how many of its steps it may go; negative to turn it round.
        name: what it does, at its ends or at the upper one alone.
    """

    index: int
    steps: float
    name: str


FARTHEST = 4.0
SETS: dict[str, dict[str, tuple[Kept, ...]]] = {
    "avatars": {
        "mouth": (
            Kept(6, 4.5, "smiles"),
            Kept(2, 5.5, "opens / closes"),
            Kept(0, 7.0, "wider / narrower"),
            Kept(4, -3.5, "frowns"),
        ),
        "eyes": (Kept(2, 5.0, "open wide"), Kept(0, 7.0, "grow / shrink")),
        "eyebrows": (Kept(1, 5.5, "angry / worried"), Kept(0, 6.0, "lower / higher")),
        "hair": (Kept(2, -4.0, "blond / dark"), Kept(1, 5.0, "red / blue")),
        "clothes": (Kept(0, -7.0, "light / dark"), Kept(6, 6.0, "purple / green")),
    },
    "avatars-128": {
        "mouth": (
            Kept(4, -4.5, "smiles / frowns"),
            Kept(2, -6.0, "opens / closes"),
            Kept(1, 6.0, "wider / narrower"),
        ),
        "eyes": (Kept(1, -4.5, "open wide / narrow"), Kept(0, 6.0, "grow / shrink")),
        "eyebrows": (Kept(1, 5.5, "angry / worried"), Kept(0, 6.0, "lower / higher")),
        "hair": (
            Kept(0, 4.0, "silver / auburn"),
            Kept(6, 2.5, "yellow / purple"),
            Kept(1, 3.5, "red / green"),
        ),
        "clothes": (Kept(0, 5.0, "red / blue"), Kept(4, 5.0, "purple / yellow")),
    },
    "cats": {
        "mouth": (Kept(2, 5.5, "opens / closes"), Kept(4, -4.5, "smiles / whistles")),
        "eyes": (Kept(2, -5.0, "open wide / narrow"), Kept(0, 5.5, "grow / shrink")),
        "fur": (
            Kept(4, -4.0, "yellow / purple"),
            Kept(6, 3.5, "red / green"),
        ),
        "hat": (Kept(0, 6.0, "bow"),),
        "scarf": (Kept(0, 6.0, "red scarf"),),
    },
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", default=list(SETS), help="of bundled generators (default: all)")
    parser.add_argument("--look", type=Path, metavar="FOLDER", help="write what there is to choose from")
    parser.add_argument("--found", type=Path, metavar="FOLDER", help="take what --look has found")
    parser.add_argument("--like", help="with --look: a bundled generator whose directions have names")
    options = parser.parse_args(arguments)
    for name in options.names:
        generator = resefa.load_generator(name)
        session = resefa.Session(generator, SEED, cache=JacobianCache(CACHE_BYTES))
        for part, kept in SETS.get(name, SETS.get(options.like, {})).items():
            file = f"{name}-{part}.safetensors"
            if options.found is not None:
                found = resefa.Directions.load(options.found / file)
            else:
                found = solved(session, part)
            if options.look is not None:
                options.look.mkdir(parents=True, exist_ok=True)
                found.save(options.look / file, overwrite=True)
                sheet(session, found).save(options.look / f"{name}-{part}.png")
                if options.like is not None:
                    suggest(generator, found, resefa.load_generator(options.like), part)
                continue
            path = BUNDLED / file
            made(found, kept, f"{name}: {part}").save(path, overwrite=True)
            print(f"{file}: {path.stat().st_size:,} bytes")


def solved(session: resefa.Session, part: str) -> resefa.Directions:
    """All directions of a part that are found, from the first image on that has it."""
    for seed in itertools.count(SEED):
        session.set_image(seed)
        if has_part(session, part):
            break
    return session.find(
        f"part:{part}", samples=SAMPLES, count=FOUND, parameters={"regularization": REGULARIZATION}
    )


def made(found: resefa.Directions, kept: Sequence[Kept], title: str) -> resefa.Directions:
    """The directions that are kept, turned and scaled so that all have one range."""
    some = found[[each.index for each in kept]]
    farthest = torch.tensor([each.steps for each in kept])
    signs = farthest.sign().reshape(-1, *[1] * (some.vectors.ndim - 1))
    return replace(
        some,
        vectors=some.vectors * signs,
        steps=some.steps * farthest.abs() / FARTHEST,
        names=tuple(each.name for each in kept),
        strength_range=(-FARTHEST, FARTHEST),
        base_codes=None,
        title=title,
        description=f"Solved over {SAMPLES} images that have the part, chosen and named by looking at them.",
        author="The ReSeFa maintainers",
        license="apache-2.0",
    )


def sheet(session: resefa.Session, found: resefa.Directions) -> Image.Image:
    """Strips of all directions on all images, from six steps down to six steps up."""
    wide, high = len(SHOWN) * CELL + 4, -(-len(LOOKED_AT) // COLUMNS) * CELL + LINE
    made = Image.new("RGB", (COLUMNS * wide, len(found) * high), "white")
    draw = ImageDraw.Draw(made)
    far = replace(found, strength_range=(SHOWN[0], SHOWN[-1]))
    for index in range(len(found)):
        draw.text((2, index * high), f"{index}: {SHOWN[0]:g} to {SHOWN[-1]:g} steps", fill="black")
        for place, seed in enumerate(LOOKED_AT):
            latent = session.generator.sample(seed, 0.7)
            moved = [resefa.move(latent, far, {index: strength}) for strength in SHOWN]
            images = torch.cat([session.generator.synthesize(each) for each in moved])
            strip = resefa.to_pil(F.adaptive_avg_pool2d(images, CELL).permute(1, 2, 0, 3).flatten(2))
            made.paste(strip, (place % COLUMNS * wide, index * high + LINE + place // COLUMNS * CELL))
    return made


def suggest(generator: resefa.Generator, found: resefa.Directions, like: resefa.Generator, part: str) -> None:
    """Print the candidate that does most nearly what each named direction of another generator does."""
    seeds = [seed for seed in LOOKED_AT if has_part(resefa.Session(like, seed), part)]
    known = resefa.bundled_directions(like)[f"{like.name}-{part}"]
    far = replace(found, strength_range=(-TRIED[-1], TRIED[-1]))
    change = Changes(generator, seeds)
    tried = {
        (index, steps): change(far, index, steps)
        for index in range(len(found))
        for size in TRIED
        for steps in (size, -size)
    }
    change = Changes(like, seeds)
    for index, name in enumerate(known.names):
        sides = (1.0, -1.0) if " / " in name else (1.0,)
        wanted = torch.stack([change(known, index, side * FARTHEST) for side in sides])
        near = {
            (at, steps): nearness(torch.stack([tried[at, side * steps] for side in sides]), wanted)
            for at, steps in tried
        }
        (at, steps), best = max(near.items(), key=lambda item: item[1])
        print(f'{part}: Kept({at}, {steps:g}, "{name}"),  # {best:.2f}', flush=True)


def has_part(session: resefa.Session, part: str) -> bool:
    """Whether a session's image has something of a part."""
    try:
        session.part(part)
    except resefa.RegionError:
        return False
    return True


class Changes:
    """How directions change images of some seeds, brought to 64 pixels."""

    def __init__(self, generator: resefa.Generator, seeds: list[int]) -> None:
        self.generator, self.latent = generator, generator.sample(seeds, 0.7)
        self.before = self._drawn(self.latent)

    def __call__(self, directions: resefa.Directions, index: int, strength: float) -> Tensor:
        """The change, `(len(seeds), 3, 64, 64)`."""
        return self._drawn(resefa.move(self.latent, directions, {index: strength})) - self.before

    def _drawn(self, latent: resefa.Latent) -> Tensor:
        return F.adaptive_avg_pool2d(self.generator.synthesize(latent).clamp(-1.0, 1.0), CELL)


def nearness(found: Tensor, wanted: Tensor) -> float:
    """The share of the wanted change's squares that is met: 1 for the same change, 0 for none."""
    return float(1.0 - (found - wanted).square().sum() / wanted.square().sum())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
