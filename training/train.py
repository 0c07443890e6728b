"""Train the bundled generator.

    python training/train.py FACES.npy RUN_DIR [--images 150000] [--device cuda]

FACES.npy is uint8 of shape (N, side, side, 3), as `draw_faces.mjs` writes it. A StyleGAN2 is trained with the
non-saturating logistic loss, lazy R1 regularization, style mixing and a moving average of the weights, at
half the side first and then at the full one. Noise strengths stay zero.

RUN_DIR receives `checkpoint.pt` (everything needed to go on: run the same command again), `log.jsonl` (one
line of metrics every 100 steps), `loss.png`, `samples/*.png` and `generator.safetensors` (the moving average,
float16, ready for `resefa`).
"""

from __future__ import annotations

import argparse
import copy
import itertools
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from discriminator import Discriminator
from runs import CHECKPOINT, LOG_EVERY, Keeper, batch_of, forget_after, log_line, log_lines, write

from resefa_core.generators.stylegan2 import StyleGAN2
from resefa_core.generators.styles import Style

R1_EVERY = 16
MIXING = 0.9
W_AVG_BETA = 0.998
AVERAGE_HALF_LIFE = 10_000
AVERAGE_RAMP = 0.05


@dataclass(frozen=True)
class Settings:
    """What a run is made of; kept in its checkpoint."""

    w_dim: int
    mapping_layers: int
    channel_base: int
    channel_max: int
    discriminator_width: float
    batch: int
    learning_rate: float
    r1_weight: float
    grow_at: int
    decay_from: int
    images: int
    seed: int

    def generator(self, resolution: int) -> StyleGAN2:
        """A fresh generator, all but its noise strengths trainable."""
        generator = StyleGAN2(
            z_dim=self.w_dim,
            w_dim=self.w_dim,
            img_resolution=resolution,
            num_mapping_layers=self.mapping_layers,
            channel_base=self.channel_base,
            channel_max=self.channel_max,
        )
        for name, parameter in generator.named_parameters():
            parameter.requires_grad_(not name.endswith("noise_strength"))
        return generator

    def discriminator(self, resolution: int) -> Discriminator:
        sides = [resolution >> i for i in range(resolution.bit_length() - 2)]
        widths = [min(self.channel_base // side, self.channel_max) for side in sides]
        return Discriminator([round(width * self.discriminator_width) for width in widths])


class Run:
    """A training run's state, at one resolution."""

    def __init__(self, settings: Settings, resolution: int, device: torch.device) -> None:
        self.settings = settings
        self.resolution = resolution
        self.device = device
        self.images = 0
        self.steps = 0
        self.seconds = 0.0
        self.generator = settings.generator(resolution).to(device)
        self.discriminator = settings.discriminator(resolution).to(device)
        for module in (self.generator, self.discriminator):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimizers = {
            "generator": self._adam(self.generator),
            "discriminator": self._adam(self.discriminator),
        }

    def _adam(self, module: nn.Module) -> torch.optim.Adam:
        parameters = [p for p in module.parameters() if p.requires_grad]
        return torch.optim.Adam(parameters, lr=self.settings.learning_rate, betas=(0.0, 0.99), eps=1e-8)

    def grown(self) -> Run:
        """The run at twice the resolution: at first it draws the same pictures, doubled."""
        run = Run(self.settings, 2 * self.resolution, self.device)
        for new, old in ((run.generator, self.generator), (run.average, self.average)):
            new.load_state_dict(old.state_dict(), strict=False)
            nn.init.zeros_(new.synthesis.block(run.resolution).torgb.weight)
        run.discriminator.start_from(self.discriminator)
        run.images, run.steps, run.seconds = self.images, self.steps, self.seconds
        return run

    def step(self, real: Tensor, autocast: torch.autocast) -> dict[str, float]:
        """One update of both networks; the metrics of it."""
        rate = self.settings.learning_rate * self._decay()
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
        metrics: dict[str, float] = {}
        with autocast:
            fake = self._fakes(len(real))
            real_logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())
            loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        self._descend("discriminator", loss)
        metrics |= {
            "discriminator": float(loss.detach()),
            "real_logit": float(real_logits.detach().mean()),
            "fake_logit": float(fake_logits.detach().mean()),
        }
        if self.steps % R1_EVERY == 0:
            metrics["r1"] = self._regularize(real)
        self.discriminator.requires_grad_(False)
        with autocast:
            loss = F.softplus(-self.discriminator(fake)).mean()
        self._descend("generator", loss)
        self.discriminator.requires_grad_(True)
        metrics["generator"] = float(loss.detach())
        self.images += len(real)
        self.steps += 1
        self._follow(len(real))
        return metrics

    def _decay(self) -> float:
        """The learning rate falls linearly to a twentieth towards the end."""
        span = self.settings.images - self.settings.decay_from
        return 1.0 - 0.95 * min(max((self.images - self.settings.decay_from) / max(span, 1), 0.0), 1.0)

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()

    def _fakes(self, count: int) -> Tensor:
        """Generated images; for most, the layers after a random one follow another sample."""
        first, second = (self._codes(count) for _ in range(2))
        layers = self.generator.num_layers
        cut = torch.randint(1, layers, (count, 1, 1), device=self.device)
        cut = torch.where(torch.rand(count, 1, 1, device=self.device) < MIXING, cut, layers)
        codes = torch.where(torch.arange(layers, device=self.device)[:, None] < cut, first, second)
        return self.generator.render([Style(self.generator.style(i, codes[:, i])) for i in range(layers)])

    def _codes(self, count: int) -> Tensor:
        codes = self.generator.map(torch.randn(count, self.settings.w_dim, device=self.device))
        mean = codes[:, 0].detach().float().mean(dim=0)
        self.generator.mapping.w_avg.lerp_(mean, 1.0 - W_AVG_BETA)
        return codes

    def _regularize(self, real: Tensor) -> float:
        """R1: the squared gradient of the logit at real images, in float32."""
        real = real.detach().requires_grad_(True)
        logits = self.discriminator(real)
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
        self._descend("discriminator", penalty * (self.settings.r1_weight / 2 * R1_EVERY))
        return float(penalty.detach())

    @torch.no_grad()
    def _follow(self, count: int) -> None:
        """Move the average after the generator."""
        half_life = min(AVERAGE_HALF_LIFE, AVERAGE_RAMP * self.images)
        weight = 1.0 - 0.5 ** (count / max(half_life, 1e-8))
        for average, value in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(value, weight)
        self.average.mapping.w_avg.copy_(self.generator.mapping.w_avg)

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds."""
        modules = {name: getattr(self, name).state_dict() for name in _MODULES}
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        counters = {name: getattr(self, name) for name in _COUNTERS}
        return {"modules": modules, "optimizers": optimizers, **counters}

    @staticmethod
    def restored(settings: Settings, state: dict[str, Any], device: torch.device) -> Run:
        run = Run(settings, state["resolution"], device)
        for name in _MODULES:
            getattr(run, name).load_state_dict(state["modules"][name])
        for name, optimizer in run.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name in _COUNTERS:
            setattr(run, name, state[name])
        return run


_MODULES = ("generator", "discriminator", "average")
_COUNTERS = ("resolution", "images", "steps", "seconds")


def save(run: Run, folder: Path) -> None:
    """Write the checkpoint and the generator, each whole or not at all."""
    random = {"torch": torch.get_rng_state()}
    if run.device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(run.device)
    content = {"settings": vars(run.settings), "run": run.state(), "random": random}
    arguments = {
        "z_dim": run.settings.w_dim,
        "w_dim": run.settings.w_dim,
        "mapping_kwargs": {"num_layers": run.settings.mapping_layers},
        "synthesis_kwargs": {
            "channel_base": run.settings.channel_base,
            "channel_max": run.settings.channel_max,
        },
    }
    write(folder, content, run, arguments, {})


def draw_losses(folder: Path) -> None:
    """The losses of the log, against images seen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = log_lines(folder)
    figure, (losses, logits) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    thousands = [line["images"] / 1000 for line in lines]
    for axes, names in ((losses, ("generator", "discriminator")), (logits, ("real_logit", "fake_logit"))):
        for name in names:
            axes.plot(thousands, [line[name] for line in lines], label=name.replace("_", " "), linewidth=1)
        for before, line in itertools.pairwise(lines):
            if line["resolution"] != before["resolution"]:
                axes.axvline(line["images"] / 1000, color="gray", linestyle="dotted")
        axes.legend(frameon=False)
    losses.set_ylabel("loss")
    logits.set_ylabel("mean logit")
    logits.set_xlabel("thousand images")
    figure.savefig(folder / "loss.png", dpi=110)
    plt.close(figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("faces", type=Path, help="uint8 .npy of shape (N, side, side, 3)")
    parser.add_argument("folder", type=Path, help="the run; an existing one goes on")
    parser.add_argument("--images", type=int, default=150_000, help="images shown in all (%(default)s)")
    parser.add_argument("--grow-at", type=int, default=50_000, help="images at half the side (%(default)s)")
    parser.add_argument("--decay-from", type=int, default=110_000, help="the learning rate falls from here")
    parser.add_argument("--w-dim", type=int, default=128)
    parser.add_argument("--mapping-layers", type=int, default=4)
    parser.add_argument("--channel-base", type=int, default=2048, help="channels times side, at most ...")
    parser.add_argument("--channel-max", type=int, default=192, help="... this many")
    parser.add_argument(
        "--discriminator-width",
        type=float,
        default=0.5,
        help="its channels, by the generator's (%(default)s)",
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--r1-weight", type=float, default=1.0)
    parser.add_argument("--sheet-every", type=int, default=4000, help="images between sample sheets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (all cores by default)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="bfloat16 on CUDA by default")
    return parser.parse_args()


def main() -> None:
    options = parse()
    device = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    faces = np.load(options.faces, mmap_mode="r")
    side = faces.shape[1]
    options.folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(**{name: getattr(options, name) for name in Settings.__dataclass_fields__})
    torch.manual_seed(settings.seed)
    checkpoint = options.folder / CHECKPOINT
    if checkpoint.exists():
        content = torch.load(checkpoint, map_location=device, weights_only=True)
        run = Run.restored(settings, content["run"], device)
        forget_after(options.folder, run.images)
        torch.set_rng_state(content["random"]["torch"].cpu())
        if "cuda" in content["random"] and device.type == "cuda":
            torch.cuda.set_rng_state(content["random"]["cuda"].cpu(), device)
    else:
        run = Run(settings, side if settings.grow_at <= 0 else side // 2, device)
    precision = options.precision or ("bfloat16" if device.type == "cuda" else "float32")
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
    sums: dict[str, list[float]] = defaultdict(list)
    bar = tqdm(total=settings.images, initial=run.images, unit="image", smoothing=0.05, mininterval=5)
    started = time.monotonic() - run.seconds
    keeper = Keeper(options.folder, options.sheet_every, run.images, save, draw_losses)
    while run.images < settings.images:
        if run.resolution < side and run.images >= settings.grow_at:
            run = run.grown()
        before = run.images
        rows = torch.randint(len(faces), (settings.batch,)).sort().values
        metrics = run.step(batch_of(faces, rows, run.resolution, device), autocast)
        run.seconds = time.monotonic() - started
        bar.update(run.images - before)
        for name, value in metrics.items():
            sums[name].append(value)
        if run.steps % LOG_EVERY == 0:
            line = {name: round(float(np.mean(values)), 5) for name, values in sums.items()}
            sums.clear()
            line |= {"images": run.images, "resolution": run.resolution, "seconds": round(run.seconds, 1)}
            log_line(options.folder, line)
        keeper.after_step(run)
    keeper.finish(run)


if __name__ == "__main__":
    main()
