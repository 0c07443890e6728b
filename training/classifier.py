"""A small classifier of the drawn faces' attributes, whose features the evaluation measures in.

    python training/classifier.py DATA_DIR OUTPUT.safetensors [--epochs 3]

DATA_DIR holds `faces.npy` and `labels.json` of `draw_faces.mjs`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

HATS = ("hat", "hijab", "turban", "winterHat03", "winterHat1")
COLOURED = (*HATS, "froBand")
FEATURES = 128


class AttributeClassifier(nn.Module):
    """Images `(B, 3, 64, 64)` in [-1, 1] to features `(B, 128)`, and those to logits by attribute."""

    def __init__(self, attributes: dict[str, list[str]]) -> None:
        super().__init__()
        self.attributes = attributes
        widths = (32, 64, 96, 128)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                )
                for inputs, outputs in zip((3, *widths[:-1]), widths, strict=True)
            )
        )
        self.hidden = nn.Linear(widths[-1] * 16, FEATURES)
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, len(v)) for name, v in attributes.items()})

    def features(self, images: Tensor) -> Tensor:
        return F.relu(self.hidden(self.stages(images).flatten(1)))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}

    def save(self, file: Path) -> None:
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, file, {"attributes": json.dumps(self.attributes)})

    @staticmethod
    def load(file: Path) -> AttributeClassifier:
        from safetensors import safe_open

        with safe_open(file, framework="pt") as opened:
            attributes = json.loads(opened.metadata()["attributes"])
        classifier = AttributeClassifier(attributes)
        classifier.load_state_dict(load_file(file))
        return classifier.eval()


def read_labels(file: Path) -> tuple[dict[str, list[str]], dict[str, NDArray[np.int64]]]:
    """The values of each attribute, and each face's index into them; -1 where it can't be seen."""
    data: dict[str, Any] = json.loads(file.read_text())
    values: dict[str, list[str]] = data["values"]
    labels = {name: np.array(indices) for name, indices in data["labels"].items()}
    hats, coloured = (
        np.isin(labels["top"], [values["top"].index(name) for name in names]) for names in (HATS, COLOURED)
    )
    labels["hatColor"][~coloured] = -1
    labels["hairColor"][hats] = -1
    glasses = labels["accessories"] != values["accessories"].index("none")
    labels["accessoriesColor"][~glasses] = -1
    labels["eyes"][glasses] = -1
    return values, labels


def to_images(pixels: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """uint8 `(B, H, W, 3)` to images `(B, 3, H, W)` in [-1, 1]."""
    whole = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return whole.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def accuracy(
    classifier: AttributeClassifier, faces: NDArray[np.uint8], labels: dict[str, NDArray[np.int64]]
) -> dict[str, float]:
    """The share of faces of which each attribute is told, among those where it can be seen."""
    right: dict[str, list[float]] = {name: [] for name in labels}
    for start in range(0, len(faces), 256):
        rows = slice(start, start + 256)
        with torch.no_grad():
            logits = classifier(to_images(faces[rows]))
        for name, scores in logits.items():
            known = labels[name][rows]
            found = scores.argmax(dim=1).numpy()
            right[name] += (found == known)[known >= 0].tolist()
    return {name: float(np.mean(values)) for name, values in right.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--held-out", type=int, default=2000, help="last faces, for the accuracy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    faces = np.load(options.data / "faces.npy", mmap_mode="r")
    values, labels = read_labels(options.data / "labels.json")
    count = len(faces) - options.held_out
    classifier = AttributeClassifier(values).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch, steps = 128, options.epochs * (count // 128)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for _ in tqdm(range(steps), unit="batch"):
        rows = np.sort(torch.randint(count, (batch,)).numpy())
        logits = classifier(to_images(faces[rows]))
        losses = [
            F.cross_entropy(scores, torch.from_numpy(labels[name][rows]), ignore_index=-1)
            for name, scores in logits.items()
        ]
        optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        optimizer.step()
        schedule.step()
    classifier.eval().save(options.output)
    shown = accuracy(classifier, faces[count:], {name: each[count:] for name, each in labels.items()})
    for name, share in shown.items():
        print(f"{name:<18} {share:.3f}")


if __name__ == "__main__":
    main()
