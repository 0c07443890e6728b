"""Does a direction found in one class, or on one image, hold in others?

    python benchmarks/classes.py [--generator FILE] [--classes 207 258 ...] [--seeds 5 8 ...]
                                 [--region X,Y,W,H] [--truncation T] [--space SPACE]

The top direction is found on the first image alone and applied to the others: other classes with the same
noise where the generator has classes, other seeds where it has none. As in `studies.py` edits are compared
at equal change, 0.02 mean squared change inside the region, for either sign; the measure is inside / outside.
An edit that does not get there within 64 steps is counted and enters no median.

Without `--generator` it is a BigGAN-deep of 128 pixels, a quarter of the published one's width, with random
weights: they show that the path works, and nothing about trained generators.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import resefa_core as resefa
from resefa_core.evaluation.equal_change import EqualChange, edits_of, equal_change
from resefa_core.evaluation.tables import amount

CLASSES = (207, 258, 281, 933, 980, 817)
SEEDS = (5, 1, 2, 3, 4, 6)
LEAST_CONTRAST = 0.2
SEED = 7


def random_generator() -> resefa.Generator:
    """With weights, gains and statistics that give pictures of medium contrast."""
    torch.manual_seed(0)
    generator = resefa.BigGANDeep(channel_width=32)
    with torch.no_grad():
        generator.embeddings.weight.normal_()
        generator.generator.conv_to_rgb.weight.mul_(0.3)
    return generator.eval()


def contrast(generator: resefa.Generator, latent: resefa.Latent) -> float:
    return float(generator.synthesize(latent).clamp(-1.0, 1.0).std())


def cells(change: EqualChange) -> list[str]:
    """The median ratio of those that got there, and how many did."""
    ratios = change.ratio[change.reached].tolist()
    median = amount(statistics.median(ratios)) if ratios else "–"
    return [median, f"{len(ratios)} of {len(change.distance)}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--generator", type=Path)
    parser.add_argument("--classes", nargs="+", default=[str(number) for number in CLASSES])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--region", default="0.35,0.35,0.3,0.3")
    parser.add_argument("--truncation", type=float, default=0.5)
    parser.add_argument("--space")
    options = parser.parse_args()
    generator = random_generator() if options.generator is None else resefa.load_generator(options.generator)
    region = resefa.Region.from_box(*(float(part) for part in options.region.split(",")))
    if generator.num_classes:
        labels = [generator.find_class(words) for words in options.classes]
        names = [generator.class_names[label] if generator.class_names else str(label) for label in labels]
        latents = [generator.sample(SEED, options.truncation, label) for label in labels]
    else:
        drawn = {f"seed {seed}": generator.sample(seed, options.truncation) for seed in options.seeds}
        kept = {n: each for n, each in drawn.items() if contrast(generator, each) > LEAST_CONTRAST}
        names, latents = list(kept), list(kept.values())
    jacobian = resefa.compute_jacobian(generator, latents[0], options.space)
    directions = resefa.factorize(jacobian, region, 1)
    confines = (0.0, 1.0) if generator.can_confine else (0.0,)
    print(f"{generator.architecture}, {generator.resolution} px, space {directions.space}, {jacobian.kind}")
    head = ["applied to", "inside / outside", "reached"]
    head += ["confined: inside / outside", "reached"] if generator.can_confine else []
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name, latent in zip(names, latents, strict=True):
        row = [name + (" (found here)" if name == names[0] else "")]
        for confine in confines:
            row += cells(equal_change(generator, edits_of(latent, directions, confine), region))
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
