"""Train the classifier of the drawings' attributes, whose features the evaluation measures in.

    python training/classifier.py DATA_DIR HELD_OUT_DIR OUTPUT.safetensors [--epochs 5] [--side 128]

Both folders hold `faces.npy` and `labels.json` of `draw_faces.mjs` or `draw_cats.py`. The share of held-out
drawings of which each attribute is told, by the weights as they are stored, is printed and kept in the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from resefa_core.evaluation.attributes import AttributeClassifier, accuracy, read_labels, to_images

BATCH = 128


def train(folder: Path, epochs: int, side: int) -> AttributeClassifier:
    """A classifier of a folder's drawings, that looks at so many pixels on a side."""
    faces = np.load(folder / "faces.npy", mmap_mode="r")
    values, seen_with, labels = read_labels(folder / "labels.json")
    classifier = AttributeClassifier(values, seen_with, side=side)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = epochs * (len(faces) // BATCH)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for _ in tqdm(range(steps), unit="batch"):
        rows = np.sort(torch.randint(len(faces), (BATCH,)).numpy())
        logits = classifier(to_images(faces[rows]))
        losses = [
            F.cross_entropy(scores, torch.from_numpy(labels[name][rows]), ignore_index=-1)
            for name, scores in logits.items()
        ]
        optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        optimizer.step()
        schedule.step()
    return classifier.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--side", type=int, default=64, help="of the pictures it looks at (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    classifier = train(options.data, options.epochs, options.side).half().float()
    about = json.loads((options.data / "labels.json").read_text(encoding="utf-8"))["about"]
    faces = np.load(options.held_out / "faces.npy", mmap_mode="r")
    told = accuracy(classifier, faces, read_labels(options.held_out / "labels.json")[2])
    for name, share in told.items():
        print(f"{name:<18} {share:.3f}")
    classifier.about = {
        "title": f"Attributes of {about['description']}",
        "license": "Apache-2.0",
        "training": f"{options.epochs} epochs, seed {options.seed}",
        "held_out_faces": str(len(faces)),
        "held_out_accuracy": json.dumps({name: round(share, 4) for name, share in told.items()}),
    }
    classifier.save(options.output, overwrite=True)


if __name__ == "__main__":
    main()
