"""Strips of the directions that interfaces offer, on many faces: to be looked at, and graded one by one.

    python benchmarks/looks.py --seeds 29 13 5 35 777 5000-5019 --output looks
    python benchmarks/looks.py --seeds 29 13 5 35 777 --earlier --output looks-earlier

For each part (the preset's box where there is one, or what each image has of it with `--own`) a sheet
`PART.png`, each strip under its seed, its number and what it is called, as far as it is offered to both
sides; and `looks.md`, what is measured of them.
`--earlier` shows six directions of the paper's objective at λ = 0.0001, to four steps, as interfaces offered
them before.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import resefa_core as resefa
from resefa_core.directions.looks import look_of
from resefa_core.latents.reach import most_distance, steps_within_reach
from resefa_core.parsing import parse_seeds

PARTS = ("mouth", "eyes", "hair", "clothes")
EARLIER = {"colour": 1.0, "edge": 0.0, "regularization": 1e-4}
CELL, COLUMNS, LINE = 60, 3, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="avatars")
    parser.add_argument("--seeds", nargs="+", default=["29", "13", "5", "35", "777"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS))
    parser.add_argument("--own", action="store_true", help="each image's own part instead of a box")
    parser.add_argument("--space")
    parser.add_argument("--confine", type=float, default=0.0)
    parser.add_argument("--samples", type=int, default=1, help="images solved jointly")
    parser.add_argument("--parameters", nargs="*", default=[], metavar="NAME=VALUE", help="of the method")
    parser.add_argument("--earlier", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("looks"))
    options = parser.parse_args()
    given = dict(each.split("=", 1) for each in options.parameters)
    parameters = EARLIER if options.earlier else {name: float(value) for name, value in given.items()}
    generator = resefa.load_generator(options.generator)
    cache = resefa.JacobianCache(1 << 30)
    seeds = [seed for text in options.seeds for seed in parse_seeds(text)]
    strips: dict[str, list[tuple[str, Image.Image]]] = {part: [] for part in options.parts}
    lines = ["| | seed | name | range | 4 steps | ratio | tint | border |", "|---|" + "---:|" * 7]
    options.output.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        session = resefa.Session(generator, seed=seed, cache=cache)
        for part in options.parts:
            try:
                found = session.find(
                    f"box:{part}" if part in session.presets and not options.own else part,
                    space=options.space,
                    confine=options.confine,
                    samples=options.samples,
                    only_good=not options.earlier,
                    parameters=parameters,
                )
            except resefa.RegionError as error:
                print(seed, error)
                continue
            if options.earlier:
                found = replace(found, strength_range=(-6.0, 6.0))
            reaches = steps_within_reach(generator, found)
            for strip in session.strips(found, (-4.0, -2.0, 0.0, 2.0, 4.0) if options.earlier else None):
                label = f"{seed} {strip.index}: {strip.name}"
                strips[part].append((label, strip.picture(CELL)))
                assert found.region is not None
                look = look_of(session.before, strip.images[0], strip.images[-1], found.region)
                distance = 4.0 * most_distance(found.space) / reaches[strip.index]
                lines.append(
                    f"| {part} | {seed} | {strip.name} | {strip.strengths[-1]:g} | {distance:.2f} | "
                    f"{look.effect.ratio:.0f} | {look.tint:.2f} | {look.border:.2f} |"
                )
        for part, shown in strips.items():
            if shown:
                sheet(shown).save(options.output / f"{part}.png")
        (options.output / "looks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(seed, {part: len(shown) for part, shown in strips.items()}, flush=True)


def sheet(strips: list[tuple[str, Image.Image]]) -> Image.Image:
    """All strips, in a few columns."""
    height = max(picture.height for _, picture in strips) + LINE
    width = max(picture.width for _, picture in strips) + 6
    rows = -(-len(strips) // COLUMNS)
    made = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    draw = ImageDraw.Draw(made)
    for index, (label, picture) in enumerate(strips):
        x, y = index % COLUMNS * width, index // COLUMNS * height
        draw.text((x, y), label, fill="black")
        made.paste(picture, (x, y + LINE))
    return made


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
