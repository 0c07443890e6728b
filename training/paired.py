"""Train the bundled generator on pairs: each drawing, and noise that stands for it.

    python training/paired.py DATA_DIR RUN_DIR [--images 140000 | --minutes 4] [--start FILE] [--device cuda]

DATA_DIR holds `faces.npy` and `labels.json` of `draw_faces.mjs` or `draw_cats.py`. What was drawn is known,
so that noise can be chosen to say it (`layout.py`), and the generator learns to draw it from there: by the
difference of the pictures, without a discriminator, at a quarter of the side first, then at half, then at
the full one. Codes are truncated at random, so that a truncated face is as clear as any. With `--start` a
generator of such drawings, of this side or smaller, is taken over as it draws, and training begins at the
full side.

RUN_DIR receives `checkpoint.pt` (run the same command again to go on), `log.jsonl`, `loss.png`,
`samples/*.png` and `generator.safetensors` (the moving average, float16, ready for `resefa`), all of them
every `--keep-every` seconds.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import runs
from difference import Difference
from layout import Layout

from resefa_core import load_generator
from resefa_core.generators.stylegan2 import StyleGAN2
from resefa_core.generators.stylegan2_layers import Synthesis
from resefa_core.generators.styles import Style

ARGUMENTS: dict[str, Any] = {
    "z_dim": 128,
    "num_mapping_layers": 2,
    "mapping_features": 256,
    "lr_multiplier": 1.0,
}
LEAST_TRUNCATION = 0.5
AFFINE_RATE = 3.0
AFFINE_START = 0.25
AVERAGE = 0.998
W_AVG_BETA = 0.995
WARM_UP = 100
SMALLEST = 8


class Run:
    """A training run's state, at one resolution.

    Args:
        widths: the generator's `channel_base` and `channel_max`.
    """

    def __init__(self, layout: Layout, resolution: int, widths: dict[str, int], device: torch.device) -> None:
        self.layout = layout
        self.resolution = resolution
        self.widths = widths
        self.device = device
        self.images = 0
        self.steps = 0
        self.seconds = 0.0
        arguments: dict[str, Any] = {**ARGUMENTS, **widths}
        self.generator = StyleGAN2(img_resolution=resolution, w_dim=layout.w_dim, **arguments)
        layout.prepare(self.generator.mapping)
        for name, parameter in self.generator.synthesis.named_parameters():
            parameter.requires_grad_(not name.endswith("noise_strength"))
            if name.endswith("affine.weight"):
                parameter.data.mul_(AFFINE_START)
        self.generator.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.generator.synthesis.named_parameters():
            if parameter.requires_grad:
                groups["affine" in name].append(parameter)
        self.optimizer = runs.adam(
            [{"params": group} for group in groups.values()], device, betas=(0.9, 0.99)
        )

    @torch.no_grad()
    def adopt(self, other: StyleGAN2) -> None:
        """Draw what another generator of such drawings draws; its w may be another.

        Its channels come first. New ones start at random, and nothing that was there before looks at them.
        The styles are fitted to its styles by least squares, over the codes of the same noise.
        """
        noise = self.layout.noise(torch.arange(min(8192, len(self.layout.labels))), ARGUMENTS["z_dim"]).cpu()
        mapping = copy.deepcopy(self.generator.mapping).cpu()
        codes = F.pad(mapping(noise, None), (0, 1), value=1.0).double()
        wanted = other.to("cpu").float().mapping(noise, None)
        for synthesis in (self.generator.synthesis, self.average.synthesis):
            _adopt(synthesis, other.synthesis, codes, wanted)
        for generator in (self.generator, self.average):
            generator.mapping.w_avg.copy_(codes[:, :-1].mean(dim=0))

    def grown(self) -> Run:
        """The run at twice the resolution: at first it draws the same pictures, doubled."""
        run = Run(self.layout, 2 * self.resolution, self.widths, self.device)
        for new in (run.generator, run.average):
            new.load_state_dict(self.average.state_dict(), strict=False)
            nn.init.zeros_(new.synthesis.block(run.resolution).torgb.weight)
        run.images, run.seconds = self.images, self.seconds
        return run

    def step(
        self,
        drawings: Tensor,
        rows: Tensor,
        rate: float,
        autocast: torch.autocast,
        difference: Difference,
    ) -> Tensor:
        """One update by the drawings `(B, 3, H, W)` of these rows; the loss."""
        for group, factor in zip(self.optimizer.param_groups, (AFFINE_RATE, 1.0), strict=True):
            group["lr"] = rate * factor * min(1.0, (self.steps + 1) / WARM_UP)
        generator, mapping = self.generator, self.generator.mapping
        w = mapping(self.layout.noise(rows, ARGUMENTS["z_dim"]), None)
        mapping.w_avg.lerp_(w.mean(dim=0), 1.0 - W_AVG_BETA)
        truncation = (LEAST_TRUNCATION + torch.rand(len(rows), 1, device=self.device)).clamp_max(1.0)
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
        return loss.detach()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average after the generator."""
        runs.follow(self.average, self.generator, min(AVERAGE, self.steps / (self.steps + 20)))
        self.average.mapping.w_avg.copy_(self.generator.mapping.w_avg)

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds."""
        modules = {name: getattr(self, name).state_dict() for name in _PARTS}
        return modules | {name: getattr(self, name) for name in _COUNTERS}

    @staticmethod
    def restored(layout: Layout, state: dict[str, Any], device: torch.device) -> Run:
        run = Run(layout, state["resolution"], state["widths"], device)
        for name in _PARTS:
            getattr(run, name).load_state_dict(state[name])
        for name in _COUNTERS:
            setattr(run, name, state[name])
        return run


_PARTS = ("generator", "average", "optimizer")
_COUNTERS = ("resolution", "widths", "images", "steps", "seconds")


def _adopt(new: Synthesis, old: Synthesis, codes: Tensor, wanted: Tensor) -> None:
    """Copy a synthesis network into the first channels of another, whose codes are `(n, D + 1)` in float64,
    the last column of ones, where the old one's are `wanted`."""
    for side in old.resolutions:
        there, here = old.block(side), new.block(side)
        if side == 4:
            here.const[: len(there.const)] = there.const
        for name in ("conv0", "conv1", "torgb"):
            if not hasattr(there, name):
                continue
            source, target = getattr(there, name), getattr(here, name)
            outputs, inputs = source.weight.shape[:2]
            target.weight[:outputs] = 0.0
            target.weight[:outputs, :inputs] = source.weight
            if name == "torgb":
                target.weight *= source.weight_gain / target.weight_gain
            target.bias[:outputs] = source.bias
            styles = source.affine(wanted).double()
            fitted = torch.linalg.lstsq(codes, styles, driver="gelsd").solution.float()
            target.affine.weight[:inputs] = (fitted[:-1].T / target.affine.weight_gain).to(target.weight)
            target.affine.bias[:inputs] = (fitted[-1] / target.affine.bias_gain).to(target.weight)
    for side in new.resolutions[len(old.resolutions) :]:
        nn.init.zeros_(new.block(side).torgb.weight)


def save(run: Run, folder: Path, about: Mapping[str, str]) -> None:
    """Write the checkpoint and the generator, each whole or not at all.

    Args:
        about: the drawings (see `runs.Drawings`).
    """
    arguments = {
        "z_dim": ARGUMENTS["z_dim"],
        "w_dim": run.layout.w_dim,
        "mapping_kwargs": {
            "num_layers": ARGUMENTS["num_mapping_layers"],
            "layer_features": ARGUMENTS["mapping_features"],
            "lr_multiplier": ARGUMENTS["lr_multiplier"],
        },
        "synthesis_kwargs": run.widths,
    }
    content = {"run": run.state(), "random": runs.random_state(run.device)}
    runs.write(folder, content, run, arguments, about)


def draw_losses(folder: Path) -> None:
    """The loss of the log, against images seen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = runs.log_lines(folder)
    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    for resolution in sorted({line["resolution"] for line in lines}):
        part = [line for line in lines if line["resolution"] == resolution]
        thousands = [line["images"] / 1000 for line in part]
        axes.plot(thousands, [line["loss"] for line in part], label=f"{resolution} × {resolution}")
    axes.set(xlabel="thousand images", ylabel="loss", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(folder / "loss.png", dpi=110)
    plt.close(figure)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path, help="the run; an existing one goes on")
    parser.add_argument("--images", type=int, default=140_000, help="images shown in all (%(default)s)")
    parser.add_argument("--start", help="a generator to begin with: a bundled name or a file")
    parser.add_argument(
        "--grow",
        type=float,
        nargs=2,
        default=(0.25, 0.55),
        help="the shares of the run where the side doubles",
    )
    parser.add_argument("--channel-base", type=int, default=2048, help="channels at side r: this / r, and")
    parser.add_argument("--channel-max", type=int, default=192, help="at most this many")
    parser.add_argument(
        "--learning-rate", type=float, default=2.5e-3, help="falls by a cosine once the side is full"
    )
    runs.add_common_arguments(parser)
    return parser.parse_args(arguments)


def started(options: argparse.Namespace, layout: Layout, side: int, device: torch.device) -> Run:
    """A new run: from nothing at a quarter of the side, or from a generator at the full one."""
    widths = {"channel_base": options.channel_base, "channel_max": options.channel_max}
    if options.start is None:
        return Run(layout, max(SMALLEST, side // 4), widths, device)
    start = load_generator(options.start)
    if not isinstance(start, StyleGAN2) or start.resolution > side:
        raise SystemExit(f"{options.start} is no StyleGAN2 of at most {side} pixels")
    run = Run(layout, side, widths, device)
    run.adopt(start)
    return run


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    device, autocast = runs.set_up(options)
    drawings = runs.Drawings(options.data, device)
    layout = Layout.read(options.data / "labels.json", device)
    options.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = options.folder / runs.CHECKPOINT
    if checkpoint.exists():
        content = torch.load(checkpoint, map_location=device, weights_only=True)
        run = Run.restored(layout, content["run"], device)
        runs.restore_random_state(content["random"], device)
        runs.forget_after(options.folder, run.images)
    else:
        run = started(options, layout, drawings.side, device)
    difference = Difference(drawings.detail, options.symmetry_weight)
    length = runs.Length(options.images, options.minutes)
    bar = tqdm(initial=run.images, unit="image", smoothing=0.05, mininterval=5)
    keeper = runs.Keeper(
        run,
        options.folder,
        options.keep_every,
        lambda run, folder: save(run, folder, drawings.about),
        draw_losses,
    )
    flat = 0.0 if options.start else options.grow[1]
    while (share := length.share(run)) < 1.0:
        grow_at = options.grow[0 if 4 * run.resolution <= drawings.side else 1]
        if run.resolution < drawings.side and share >= grow_at:
            run = run.grown()
        fallen = max(share - flat, 0.0) / (1.0 - flat)
        rate = options.learning_rate * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * fallen)))
        rows, pictures = drawings.batch(options.batch, run.resolution)
        loss = run.step(pictures, rows, rate, autocast, difference)
        bar.update(options.batch)
        keeper.after_step(run, {"loss": loss})
    keeper.keep(run)


if __name__ == "__main__":
    main()
