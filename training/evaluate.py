"""How good is a generator of drawn faces, and does it only repeat the drawings?

    python training/evaluate.py CLASSIFIER FACES_DIR HELD_OUT_DIR OUTPUT_DIR GENERATOR [GENERATOR ...]
        [--finer CLASSIFIER]

Fréchet distances in the features of the attribute classifier, and of a finer one if there is one, to the
held-out drawings: of each generator at truncation 1, and of as many of the drawings it was trained on, which
is what a perfect generator would reach.
For generators of faces and for the drawings also how fine details are, how far eyes are from their mirror
image, and how much eyes and mouths stand out by the colour of the skin. For the last generator, sheets of 64
random faces at truncation 0.7 and 1, how varied its faces are by attribute beside the drawings, and ten of
them beside the drawings nearest to them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import resefa_core as resefa
from resefa_core.evaluation.attributes import AttributeClassifier, probabilities, to_images
from resefa_core.evaluation.distances import features_of, frechet_distance

BATCH = 64
FIRST_SEED = 100_000
SHEET = 8
NEIGHBOURS = 5


def generated(generator: resefa.Generator, count: int, truncation: float = 1.0) -> Tensor:
    """Images of the seeds from `FIRST_SEED` on."""
    images = []
    for start in tqdm(range(0, count, BATCH), desc=generator.name, leave=False):
        seeds = range(FIRST_SEED + start, FIRST_SEED + min(start + BATCH, count))
        images.append(generator.synthesize(generator.sample(list(seeds), truncation)))
    return torch.cat(images)


def drawn(folder: Path, count: int) -> Tensor:
    """The first drawings of a folder."""
    return to_images(np.load(folder / "faces.npy", mmap_mode="r")[:count])


def shares(classifier: AttributeClassifier, images: Tensor) -> dict[str, list[float]]:
    """How often the classifier sees each value of each attribute."""
    return {
        name: (torch.bincount(scores.argmax(dim=1), minlength=scores.shape[1]) / len(scores)).tolist()
        for name, scores in probabilities(classifier, images).items()
    }


def looks(classifier: AttributeClassifier, images: Tensor, detail: Sequence[float]) -> dict[str, Any]:
    """What eyes see first, as means over images `(n, 3, H, W)`.

    Args:
        detail: the box of the features: top, bottom, left, right, as fractions.

    Returns:
        `fine`: the root mean square of what is lost at half the size; `mirrored`: the mean difference of the
        upper half of the features, the eyes, to its mirror image; `contrast`: the standard deviation of the
        features' brightness where no glasses hide them, by the colour of the skin. Of values in [-1, 1].
    """
    side = images.shape[2]
    top, bottom, left, right = (round(side * each) for each in detail)
    coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    features = images[:, :, top:bottom, left:right]
    eyes = features[:, :, : (bottom - top) // 2]
    seen = probabilities(classifier, images)
    skin, glasses = (seen[name].argmax(dim=1) for name in ("skinColor", "accessories"))
    bare = glasses == classifier.attributes["accessories"].index("none")
    brightness = features.mean(dim=1).flatten(1).std(dim=1)
    return {
        "fine": float((images - coarse).square().mean().sqrt()),
        "mirrored": float((eyes - eyes.flip(3)).abs().mean()),
        "contrast": {
            value: round(float(brightness[bare & (skin == index)].mean()), 4)
            for index, value in enumerate(classifier.attributes["skinColor"])
        },
    }


def grid(images: Tensor, columns: int, scale: int = 2) -> Image.Image:
    """Images `(n, 3, H, W)` as one picture, row by row."""
    rows = [torch.cat(list(part), dim=2) for part in images.split(columns)]
    sheet = resefa.to_pil(torch.cat(rows, dim=1))
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.BICUBIC)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("classifier", help="a file of classifier.py, or the bundled one: avatars")
    parser.add_argument("faces", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("generators", nargs="+")
    parser.add_argument("--finer", help="a classifier of more pixels, in whose features to measure, too")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    classifier = AttributeClassifier.load(options.classifier)
    judges = [classifier] + ([AttributeClassifier.load(options.finer)] if options.finer else [])
    held_out = drawn(options.held_out, options.count)
    training = drawn(options.faces, options.count)
    references = [features_of(each.features, held_out.split(BATCH)) for each in judges]

    def measured(images: Tensor) -> list[float]:
        seen = (features_of(each.features, images.split(BATCH)) for each in judges)
        return [frechet_distance(*pair) for pair in zip(seen, references, strict=True)]

    distances = {"drawings it was trained on": measured(training)}
    detail = json.loads((options.held_out / "labels.json").read_text(encoding="utf-8"))["detail"]
    faces = "skinColor" in classifier.attributes
    seen_first = {"drawings": looks(classifier, held_out, detail)} if faces else {}
    images = held_out
    for name in options.generators:
        generator = resefa.load_generator(name)
        images = generated(generator, options.count)
        distances[name] = measured(images)
        if faces:
            seen_first[name] = looks(classifier, images, detail)
    print(f"{'classifier of':<40} {' '.join(f'{each.side:>4} px' for each in judges)}")
    for name, found in distances.items():
        print(f"{name:<40} {' '.join(f'{distance:7.2f}' for distance in found)}")
    for name, told in seen_first.items():
        print(name, json.dumps(told))
    shown = {"drawn": shares(classifier, held_out), "generated": shares(classifier, images)}
    report = {
        "count": options.count,
        "sides": [each.side for each in judges],
        "distances": distances,
        "looks": seen_first,
        "attributes": classifier.attributes,
        "shares": shown,
    }
    (options.output / "evaluation.json").write_text(json.dumps(report, indent=1))
    generator = resefa.load_generator(options.generators[-1])
    for truncation in (0.7, 1.0):
        grid(generated(generator, SHEET**2, truncation), SHEET).save(
            options.output / f"truncation-{truncation}.png"
        )
    chosen = images[:: max(1, len(images) // 10)][:10]
    own = features_of(classifier.features, [chosen])
    known = features_of(classifier.features, training.split(BATCH))
    rows = []
    for face, feature in zip(chosen, own, strict=True):
        nearest = (known - feature).norm(dim=1).topk(NEIGHBOURS, largest=False).indices
        rows.append(torch.cat([face[None], training[nearest]]))
    grid(torch.cat(rows), NEIGHBOURS + 1).save(options.output / "nearest.png")


if __name__ == "__main__":
    main()
