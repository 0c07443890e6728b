"""Makes the parts that come with a bundled generator, named as those of another one of the same drawings.

    python training/bundled_parts.py avatars-128 avatars

Noise stands for the same drawing in both generators (`layout.py`), so that a seed's face is the same one.
Each cluster gets the name of the other's part that most of its pixels lie in. Look at what came of it with
`resefa parts -g NAME --sheet parts.png`; what is wrong is named by hand with `--name`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import resefa_core as resefa  # noqa: E402
from resefa_core.analysis import Jacobian  # noqa: E402
from resefa_core.parts.finding import BUNDLED, PartFinder  # noqa: E402

NAMED_ON = range(100, 116)
CLUSTERS = 40
"""Of the 24 that are usual none was the eyebrows, at 128 pixels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("name", help="of the bundled generator")
    parser.add_argument("like", help="the bundled generator whose parts have names")
    options = parser.parse_args()
    generator, like = resefa.load_generator(options.name), resefa.load_generator(options.like)
    known = PartFinder.known(like)
    names = list(known.part_names)
    here, classes = [], []
    for mine, theirs in zip(analyses(generator), analyses(like), strict=True):
        here.append(mine)
        classes.append(classes_of(known, theirs, names))
    found = resefa.find_parts_of(generator, count=CLUSTERS)
    named = found.named_by(here, classes, names)
    file = BUNDLED / f"{options.name}.safetensors"
    replace(named, origin=f"{found.origin}; named as those of {options.like}").save(file, overwrite=True)
    for name in named.part_names:
        print(f"{name:<12} {', '.join(str(i) for i, each in enumerate(named.names) if each == name)}")


def analyses(generator: resefa.Generator) -> Iterator[Jacobian]:
    """Those of some samples, in W."""
    return (resefa.compute_jacobian(generator, generator.sample(seed, 0.7), "w") for seed in NAMED_ON)


def classes_of(parts: resefa.Parts, analysis: Jacobian, names: list[str]) -> Tensor:
    """The number of each pixel's part among some names, `(H, W)`."""
    return torch.tensor([names.index(name) for name in parts.names])[parts.labels(analysis)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
