"""Train the bundled generator on pairs: each drawing, and noise that stands for it.

    python training/paired.py DATA_DIR RUN_DIR [--images 140000] [--precision bfloat16]

DATA_DIR holds `faces.npy` and `labels.json` of `draw_faces.mjs`. What was drawn is known, so that noise can
be chosen to say it (`layout.py`), and the generator learns to draw it from there: by the difference of the
pictures, without a discriminator, at half the side first and then at the full one. Codes are truncated at
random, so that a truncated face is as clear as any.

RUN_DIR receives `checkpoint.pt` (run the same command again to go on), `log.jsonl`, `loss.png`,
`samples/*.png` and `generator.safetensors` (the moving average, float16, ready for `resefa`).
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from layout import Layout
from runs import CHECKPOINT, LOG_EVERY, Keeper, batch_of, forget_after, log_line, log_lines, write

from resefa_core.generators.stylegan2 import StyleGAN2
from resefa_core.generators.styles import Style

ARGUMENTS: dict[str, Any] = {
    "z_dim": 128,
    "w_dim": 128,
    "num_mapping_layers": 2,
    "mapping_features": 256,
    "lr_multiplier": 1.0,
    "channel_base": 2048,
    "channel_max": 192,
}
ABOUT = {
    "title": "avatars",
    "description": "A small StyleGAN2 of drawn faces, 64 x 64, trained by the ReSeFa project on pictures "
    "drawn with DiceBear's avataaars style.",
    "license": "weights: same as the project; drawing style: free for personal and commercial use",
    "credit": "avataaars style by Pablo Stanley, drawn with DiceBear",
}
FACE = (slice(18 / 64, 52 / 64), slice(14 / 64, 50 / 64))
FACE_WEIGHT = 4.0
SQUARE_WEIGHT = 4.0
LEAST_TRUNCATION = 0.5
AFFINE_RATE = 3.0
AFFINE_START = 0.25
AVERAGE = 0.998
W_AVG_BETA = 0.995
WARM_UP = 100


class Run:
    """A training run's state, at one resolution."""

    def __init__(self, layout: Layout, resolution: int) -> None:
        self.layout = layout
        self.resolution = resolution
        self.images = 0
        self.steps = 0
        self.seconds = 0.0
        self.generator = StyleGAN2(img_resolution=resolution, **ARGUMENTS)
        layout.prepare(self.generator.mapping)
        for name, parameter in self.generator.synthesis.named_parameters():
            parameter.requires_grad_(not name.endswith("noise_strength"))
            if name.endswith("affine.weight"):
                parameter.data.mul_(AFFINE_START)
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.generator.synthesis.named_parameters():
            if parameter.requires_grad:
                groups["affine" in name].append(parameter)
        self.optimizer = torch.optim.Adam([{"params": group} for group in groups.values()], betas=(0.9, 0.99))

    def grown(self) -> Run:
        """The run at twice the resolution: at first it draws the same pictures, doubled."""
        run = Run(self.layout, 2 * self.resolution)
        for new in (run.generator, run.average):
            new.load_state_dict(self.average.state_dict(), strict=False)
            nn.init.zeros_(new.synthesis.block(run.resolution).torgb.weight)
        run.images, run.seconds = self.images, self.seconds
        return run

    def step(self, drawings: Tensor, rows: Tensor, rate: float, autocast: torch.autocast) -> float:
        """One update by the drawings `(B, 3, H, W)` of these rows; the loss."""
        for group, factor in zip(self.optimizer.param_groups, (AFFINE_RATE, 1.0), strict=True):
            group["lr"] = rate * factor * min(1.0, (self.steps + 1) / WARM_UP)
        generator, mapping = self.generator, self.generator.mapping
        w = mapping(self.layout.noise(rows, ARGUMENTS["z_dim"]), None)
        mapping.w_avg.lerp_(w.mean(dim=0), 1.0 - W_AVG_BETA)
        truncation = (LEAST_TRUNCATION + torch.rand(len(rows), 1)).clamp_max(1.0)
        w = mapping.w_avg.lerp(w, truncation)
        with autocast:
            images = generator.render([Style(generator.style(i, w)) for i in range(generator.num_layers)])
        loss = difference(images.float(), drawings)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.images += len(rows)
        self.steps += 1
        self._follow()
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average after the generator."""
        kept = min(AVERAGE, self.steps / (self.steps + 20))
        for average, value in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(value, 1.0 - kept)
        self.average.mapping.w_avg.copy_(self.generator.mapping.w_avg)

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds."""
        modules = {name: getattr(self, name).state_dict() for name in _PARTS}
        return modules | {name: getattr(self, name) for name in _COUNTERS}

    @staticmethod
    def restored(layout: Layout, state: dict[str, Any]) -> Run:
        run = Run(layout, state["resolution"])
        for name in _PARTS:
            getattr(run, name).load_state_dict(state[name])
        for name in _COUNTERS:
            setattr(run, name, state[name])
        return run


_PARTS = ("generator", "average", "optimizer")
_COUNTERS = ("resolution", "images", "steps", "seconds")


def difference(images: Tensor, drawings: Tensor) -> Tensor:
    """How far images `(B, 3, H, W)` are from drawings: squares and absolutes of the colours' differences and
    absolutes of the edges', at three sizes, eyes and mouth counting more."""
    side = images.shape[2]
    weight = images.new_ones(side, side)
    rows, columns = (slice(round(part.start * side), round(part.stop * side)) for part in FACE)
    weight[rows, columns] = FACE_WEIGHT
    delta, total = (images - drawings) * (weight / weight.mean()), images.new_zeros(())
    for _ in range(3):
        edges = delta.diff(dim=2).abs().mean() + delta.diff(dim=3).abs().mean()
        total = total + SQUARE_WEIGHT * delta.square().mean() + delta.abs().mean() + edges
        delta = F.avg_pool2d(delta, 2)
    return total


def save(run: Run, folder: Path) -> None:
    """Write the checkpoint and the generator, each whole or not at all."""
    arguments = {
        "z_dim": ARGUMENTS["z_dim"],
        "w_dim": ARGUMENTS["w_dim"],
        "mapping_kwargs": {
            "num_layers": ARGUMENTS["num_mapping_layers"],
            "layer_features": ARGUMENTS["mapping_features"],
            "lr_multiplier": ARGUMENTS["lr_multiplier"],
        },
        "synthesis_kwargs": {name: ARGUMENTS[name] for name in ("channel_base", "channel_max")},
    }
    content = {"run": run.state(), "random": torch.get_rng_state()}
    write(folder, content, run, arguments, ABOUT)


def draw_losses(folder: Path) -> None:
    """The loss of the log, against images seen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = log_lines(folder)
    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    for resolution in sorted({line["resolution"] for line in lines}):
        part = [line for line in lines if line["resolution"] == resolution]
        thousands = [line["images"] / 1000 for line in part]
        axes.plot(thousands, [line["loss"] for line in part], label=f"{resolution} × {resolution}")
    axes.set(xlabel="thousand images", ylabel="loss", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(folder / "loss.png", dpi=110)
    plt.close(figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path, help="the run; an existing one goes on")
    parser.add_argument("--images", type=int, default=140_000, help="images shown in all (%(default)s)")
    parser.add_argument("--grow-at", type=int, default=80_000, help="images at half the side (%(default)s)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2.5e-3, help="falls by a cosine after growing")
    parser.add_argument("--sheet-every", type=int, default=8000, help="images between sample sheets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (all cores by default)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    faces = np.load(options.data / "faces.npy", mmap_mode="r")
    layout = Layout.read(options.data / "labels.json")
    options.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = options.folder / CHECKPOINT
    if checkpoint.exists():
        content = torch.load(checkpoint, weights_only=True)
        run = Run.restored(layout, content["run"])
        torch.set_rng_state(content["random"])
        forget_after(options.folder, run.images)
    else:
        run = Run(layout, faces.shape[1] // 2)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16")
    losses: list[float] = []
    bar = tqdm(total=options.images, initial=run.images, unit="image", smoothing=0.05, mininterval=5)
    started = time.monotonic() - run.seconds
    keeper = Keeper(options.folder, options.sheet_every, run.images, save, draw_losses)
    while run.images < options.images:
        if run.resolution < faces.shape[1] and run.images >= options.grow_at:
            run = run.grown()
        progress = max(run.images - options.grow_at, 0) / (options.images - options.grow_at)
        rate = options.learning_rate * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        rows = torch.randint(len(faces), (options.batch,)).sort().values
        losses.append(run.step(batch_of(faces, rows, run.resolution), rows, rate, autocast))
        run.seconds = time.monotonic() - started
        bar.update(options.batch)
        if run.steps % LOG_EVERY == 0:
            line = {"images": run.images, "resolution": run.resolution, "seconds": round(run.seconds, 1)}
            log_line(options.folder, line | {"loss": round(float(np.mean(losses)), 5)})
            losses.clear()
        keeper.after_step(run)
    keeper.finish(run)


if __name__ == "__main__":
    main()
