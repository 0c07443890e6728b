"""Makes the directions that come with bundled generators: `python training/bundled_directions.py [NAME ...]`.

Each set is solved jointly over images that have its part. What is kept, how far it goes and what it is called
was chosen by looking at eight images, light and dark ones. Three minutes on a core for each generator.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import resefa_core as resefa  # noqa: E402
from resefa_core.analysis import JacobianCache  # noqa: E402
from resefa_core.directions.bundled import BUNDLED  # noqa: E402

SEED, SAMPLES, FOUND = 100, 12, 8
REGULARIZATION = 1e-3
CACHE_BYTES = 4 << 30


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
    "cats": {
        "mouth": (Kept(0, -5.0, "opens / closes"), Kept(2, -5.0, "shows teeth")),
        "eyes": (Kept(0, 5.0, "grow / shrink"), Kept(4, 4.0, "open wide / sly")),
        "fur": (Kept(3, 3.0, "light / dark"), Kept(4, 3.5, "red / light")),
    },
}


def main() -> None:
    BUNDLED.mkdir(exist_ok=True)
    for name in sys.argv[1:] or SETS:
        session = resefa.Session(resefa.load_generator(name), SEED, cache=JacobianCache(CACHE_BYTES))
        for part, kept in SETS[name].items():
            found = session.find(
                f"part:{part}",
                samples=SAMPLES,
                count=FOUND,
                parameters={"regularization": REGULARIZATION},
            )
            path = BUNDLED / f"{name}-{part}.safetensors"
            made(found, kept, f"{name}: {part}").save(path, overwrite=True)
            print(f"{path.name}: {path.stat().st_size:,} bytes")


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


if __name__ == "__main__":
    main()
