"""Makes the parts that come with a bundled generator, named as those of another one of the same drawings, or
as the layers of the cats that it was trained on.

    python training/bundled_parts.py avatars-128 --like avatars
    python training/bundled_parts.py cats --drawn data/cats

Noise stands for the same drawing in both generators (`layout.py`), so that a seed's face is the same one; it
can be chosen to stand for a drawing, too. Each cluster gets the name of the part that most of its pixels lie
in. Look at what came of it with `resefa parts -g NAME --sheet parts.png`; what is wrong is named by hand with
`--name`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import draw_cats  # noqa: E402
from layout import Layout  # noqa: E402

import resefa_core as resefa  # noqa: E402
from resefa_core.analysis import Jacobian  # noqa: E402
from resefa_core.latents import Latent  # noqa: E402
from resefa_core.parts.finding import BUNDLED, PartFinder  # noqa: E402

NAMED_ON = range(100, 116)
CLUSTERS = 40
"""Of the 24 that are usual none was the eyebrows, at 128 pixels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("name", help="of the bundled generator")
    known = parser.add_mutually_exclusive_group(required=True)
    known.add_argument("--like", help="the bundled generator whose parts have names")
    known.add_argument("--drawn", type=Path, help="the folder of draw_cats.py that it was trained on")
    options = parser.parse_args()
    generator = resefa.load_generator(options.name)
    if options.like is not None:
        here, classes, names = like_another(generator, resefa.load_generator(options.like))
        whose = f"those of {options.like}"
    else:
        here, classes, names = as_drawn(generator, options.drawn)
        whose = "the layers of drawings"
    found = resefa.find_parts_of(generator, count=CLUSTERS)
    named = found.named_by(here, classes, names)
    file = BUNDLED / f"{options.name}.safetensors"
    replace(named, origin=f"{found.origin}; named as {whose}").save(file, overwrite=True)
    for name in named.part_names:
        print(f"{name:<12} {', '.join(str(i) for i, each in enumerate(named.names) if each == name)}")


def like_another(
    generator: resefa.Generator, like: resefa.Generator
) -> tuple[list[Jacobian], list[Tensor], list[str]]:
    """Analyses of some samples, and which part each pixel of them lies in for another generator."""
    known = PartFinder.known(like)
    names = list(known.part_names)
    here, classes = [], []
    for seed in NAMED_ON:
        mine, theirs = (
            resefa.compute_jacobian(each, each.sample(seed, 0.7), "w") for each in (generator, like)
        )
        here.append(mine)
        classes.append(classes_of(known, theirs, names))
    return here, classes, names


def as_drawn(generator: resefa.Generator, folder: Path) -> tuple[list[Jacobian], list[Tensor], list[str]]:
    """Analyses of images that stand for cats, and which part each pixel of these cats shows."""
    layers, layout = draw_cats.read_layers(generator.resolution), Layout.read(folder / "labels.json")
    here, classes = [], []
    for index in NAMED_ON:
        codes = generator.codes_of_noise(layout.noise(torch.tensor([index]), generator.z_dim), None, 0.7)
        latent = Latent(codes=codes, generator=generator.fingerprint)
        here.append(resefa.compute_jacobian(generator, latent, "w"))
        classes.append(torch.from_numpy(draw_cats.parts_of(index, layers)))
    return here, classes, list(draw_cats.SEEN)


def classes_of(parts: resefa.Parts, analysis: Jacobian, names: list[str]) -> Tensor:
    """The number of each pixel's part among some names, `(H, W)`."""
    return torch.tensor([names.index(name) for name in parts.names])[parts.labels(analysis)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
