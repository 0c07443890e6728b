"""Go on from what `paired.py` trained, against a discriminator: drawings' edges instead of averages.

    python training/adversarial.py DATA_DIR START.safetensors RUN_DIR [--images 104000 | --minutes 4]
        [--device cuda]

DATA_DIR holds `faces.npy` and `labels.json` of `draw_faces.mjs` or `draw_cats.py`; START is the
`generator.safetensors` of a run of `paired.py`. The synthesis network is trained with the non-saturating
logistic loss, lazy R1 regularization, style mixing and a moving average of the weights. Half of each batch
is made from noise that stands for a drawing, and kept close to that drawing, in pixels and in what the
discriminator sees of it (feature matching), so that no kind of face is lost; the other half is made from
noise alone, most of it mixed of two samples. The mapping network and the noise strengths, which are zero,
stay as they are.

RUN_DIR receives `checkpoint.pt` (everything needed to go on: run the same command again), `log.jsonl` (one
line of metrics every 100 steps), `loss.png`, `samples/*.png` and `generator.safetensors` (the moving average,
float16, ready for `resefa`), all of them every `--keep-every` seconds.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import runs
from difference import Difference
from discriminator import Discriminator
from layout import Layout
from paired import LEAST_TRUNCATION

from resefa_core import load_generator
from resefa_core.generators.stylegan2 import StyleGAN2
from resefa_core.generators.styles import Style

R1_EVERY = 16
MIXING = 0.9
W_AVG_BETA = 0.998
AVERAGE_HALF_LIFE = 10_000
AVERAGE_RAMP = 0.05
FIRST_IMAGES = 8000
LAST_RATE = 0.05
JITTER = 0.1


@dataclass(frozen=True)
class Settings:
    """What a run is made of; kept in its checkpoint."""

    discriminator_width: float
    batch: int
    generator_rate: float
    discriminator_rate: float
    r1_weight: float
    feature_weight: float
    pixel_weight: float
    symmetry_weight: float
    detail: tuple[float, ...]
    decay_from: float
    mirror: bool
    jitter: bool
    beside_mirror: bool
    seed: int

    def decay(self, share: float) -> float:
        """What the learning rates are multiplied with: they fall linearly towards the end.

        Args:
            share: how much of the run is over.
        """
        return 1.0 - (1.0 - LAST_RATE) * max(share - self.decay_from, 0.0) / max(1.0 - self.decay_from, 1e-9)


class Run:
    """A training run's state."""

    def __init__(self, settings: Settings, start: StyleGAN2, layout: Layout, device: torch.device) -> None:
        self.settings = settings
        self.layout = layout
        self.device = device
        self.resolution = start.resolution
        self.images = 0
        self.images_before = 0
        self.steps = 0
        self.seconds = 0.0
        self.generator = start.to(device)
        self.generator.requires_grad_(False)
        for name, parameter in self.generator.synthesis.named_parameters():
            parameter.requires_grad_(not name.endswith("noise_strength"))
        widths = _widths(start, settings.discriminator_width)
        self.discriminator = Discriminator(widths, settings.beside_mirror).to(device)
        for module in (self.generator, self.discriminator):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimizers = {
            "generator": _adam(self.generator, settings.generator_rate, device),
            "discriminator": _adam(self.discriminator, settings.discriminator_rate, device),
        }

    def step(self, real: Tensor, rows: Tensor, share: float, autocast: torch.autocast) -> dict[str, Tensor]:
        """One update of both networks by the drawings `(B, 3, H, W)` of these rows; the metrics of it.

        Args:
            share: how much of the run is over.
        """
        rates = {
            "generator": self.settings.generator_rate,
            "discriminator": self.settings.discriminator_rate,
        }
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rates[name] * self.settings.decay(share)
        change = self._augmentation()
        real = change(real)
        with autocast:
            fake = change(self._fakes(rows))
            real_logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())
            loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        self._descend("discriminator", loss)
        metrics = {
            "discriminator": loss,
            "real_logit": real_logits.mean(),
            "fake_logit": fake_logits.mean(),
        }
        if self.steps % R1_EVERY == 0:
            metrics["r1"] = self._regularize(real)
        self.discriminator.requires_grad_(False)
        with autocast:
            logits, seen = self.discriminator.look(fake)
            fooled = F.softplus(-logits).mean()
            features, pixels = self._apart(fake, seen, real)
        loss = min(1.0, (self.images + self.images_before) / FIRST_IMAGES) * fooled
        loss = loss + self.settings.feature_weight * features + self.settings.pixel_weight * pixels
        self._descend("generator", loss)
        self.discriminator.requires_grad_(True)
        for name, part in (("generator", fooled), ("features", features), ("pixels", pixels)):
            metrics[name] = part
        self.images += len(real)
        self.steps += 1
        self._follow(len(real))
        return metrics

    def _augmentation(self) -> Callable[[Tensor], Tensor]:
        """How a step's images and drawings alike are changed before anyone sees them: mirrored, their colours
        shifted and their contrast changed, as far as it is asked for."""
        mirror = self.settings.mirror and self.steps % 2 == 1
        gain, shift = torch.ones((), device=self.device), torch.zeros((), device=self.device)
        if self.settings.jitter:
            gain = 1.0 + JITTER * torch.randn((), device=self.device)
            shift = JITTER * torch.randn(3, 1, 1, device=self.device)

        def change(images: Tensor) -> Tensor:
            images = images.flip(3) if mirror else images
            return images * gain + shift if self.settings.jitter else images

        return change

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()

    def _apart(self, fake: Tensor, seen: list[Tensor], real: Tensor) -> tuple[Tensor, Tensor]:
        """How far the images that stand for drawings are from them, in features and in pixels."""
        half = len(real) // 2
        with torch.no_grad():
            wanted = self.discriminator.look(real[:half])[1]
        features = [(a[:half] - b).abs().mean() for a, b in zip(seen, wanted, strict=True)]
        difference = Difference(self.settings.detail, self.settings.symmetry_weight)
        return torch.stack(features).mean(), difference(fake[:half].float(), real[:half])

    def _fakes(self, rows: Tensor) -> Tensor:
        """Images, truncated at random. Those of the first half stand for the drawings of their rows; of
        the others, in most, the layers after a random one follow another sample."""
        count, layers = len(rows), self.generator.num_layers
        size = self.generator.z_dim
        paired = self._codes(self.layout.noise(rows[: count // 2], size))
        free = count - len(paired)
        codes = self._codes(torch.randn(2 * free, size, device=self.device))
        cut = torch.randint(1, layers, (free, 1, 1), device=self.device)
        cut = torch.where(torch.rand(free, 1, 1, device=self.device) < MIXING, cut, layers)
        mixed = torch.arange(layers, device=self.device)[:, None] >= cut
        codes = torch.cat([paired, torch.where(mixed, codes[free:], codes[:free])])
        truncation = (LEAST_TRUNCATION + torch.rand(count, 1, 1, device=self.device)).clamp_max(1.0)
        codes = self.generator.mapping.w_avg.lerp(codes.float(), truncation)
        return self.generator.render([Style(self.generator.style(i, codes[:, i])) for i in range(layers)])

    def _codes(self, z: Tensor) -> Tensor:
        codes = self.generator.map(z)
        self.generator.mapping.w_avg.lerp_(codes[:, 0].float().mean(dim=0), 1.0 - W_AVG_BETA)
        return codes

    def _regularize(self, real: Tensor) -> Tensor:
        """R1: the squared gradient of the logit at real images, in float32."""
        real = real.detach().requires_grad_(True)
        logits = self.discriminator(real)
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
        self._descend("discriminator", penalty * (self.settings.r1_weight / 2 * R1_EVERY))
        return penalty.detach()

    @torch.no_grad()
    def _follow(self, count: int) -> None:
        """Move the average after the generator."""
        half_life = min(AVERAGE_HALF_LIFE, AVERAGE_RAMP * self.images)
        runs.follow(self.average, self.generator, 0.5 ** (count / max(half_life, 1e-8)))
        self.average.mapping.w_avg.copy_(self.generator.mapping.w_avg)

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds."""
        modules = {name: getattr(self, name).state_dict() for name in _MODULES}
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        counters = {name: getattr(self, name) for name in _COUNTERS}
        return {"modules": modules, "optimizers": optimizers, **counters}

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Take over the discriminator of another run's checkpoint."""
        self.discriminator.take_over(state["modules"]["discriminator"])
        self.images_before = int(state["images"])

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        for name in _MODULES:
            getattr(self, name).load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name in _COUNTERS:
            setattr(self, name, state[name])


_MODULES = ("generator", "discriminator", "average")
_COUNTERS = ("images", "images_before", "steps", "seconds")


def _widths(generator: StyleGAN2, share: float) -> list[int]:
    """The generator's channels from the image's side down to 4, times a share."""
    blocks = [generator.synthesis.block(side) for side in reversed(generator.synthesis.resolutions)]
    return [round(block.conv1.weight.shape[0] * share) for block in blocks]


def _adam(module: nn.Module, rate: float, device: torch.device) -> torch.optim.Adam:
    parameters = [p for p in module.parameters() if p.requires_grad]
    return runs.adam([{"params": parameters}], device, lr=rate, betas=(0.0, 0.99), eps=1e-8)


def save(run: Run, folder: Path, arguments: dict[str, Any], about: Mapping[str, str]) -> None:
    """Write the checkpoint and the generator, each whole or not at all."""
    random = runs.random_state(run.device)
    content = {"settings": vars(run.settings), "run": run.state(), "random": random}
    runs.write(folder, content, run, arguments, about)


def draw_losses(folder: Path) -> None:
    """The losses of the log, against images seen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = runs.log_lines(folder)
    figure, panels = plt.subplots(3, 1, figsize=(8, 8), sharex=True, layout="constrained")
    thousands = [line["images"] / 1000 for line in lines]
    for axes, label, names in zip(
        panels,
        ("loss", "mean logit", "distance to the drawing"),
        (("generator", "discriminator"), ("real_logit", "fake_logit"), ("features", "pixels")),
        strict=True,
    ):
        for name in names:
            axes.plot(thousands, [line[name] for line in lines], label=name.replace("_", " "), linewidth=1)
        axes.set_ylabel(label)
        axes.legend(frameon=False)
    panels[-1].set_xlabel("thousand images")
    figure.savefig(folder / "loss.png", dpi=110)
    plt.close(figure)


def load_start(file: Path) -> tuple[StyleGAN2, dict[str, Any]]:
    """The generator to start from, and the arguments that it was made with."""
    generator = load_generator(file)
    if not isinstance(generator, StyleGAN2):
        raise SystemExit(f"{file} holds a {generator.architecture}: expected what paired.py wrote")
    with safe_open(file, framework="pt") as opened:
        arguments: dict[str, Any] = json.loads(opened.metadata()["init_kwargs"])
    return generator.float(), arguments


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="the folder of draw_faces.mjs or draw_cats.py")
    parser.add_argument("start", type=Path, help="the generator of a run of paired.py")
    parser.add_argument("folder", type=Path, help="the run; an existing one goes on")
    parser.add_argument("--images", type=int, default=104_000, help="images shown in all (%(default)s)")
    parser.add_argument(
        "--decay-from", type=float, default=0.7, help="the learning rates fall from this share of the run on"
    )
    parser.add_argument(
        "--discriminator-width",
        type=float,
        default=0.5,
        help="its channels, by the generator's (%(default)s)",
    )
    parser.add_argument("--generator-rate", type=float, default=6e-4, help="learning rate (%(default)s)")
    parser.add_argument("--discriminator-rate", type=float, default=2e-3, help="learning rate (%(default)s)")
    parser.add_argument("--r1-weight", type=float, default=0.5, help="(%(default)s)")
    parser.add_argument("--feature-weight", type=float, default=5.0, help="(%(default)s)")
    parser.add_argument("--pixel-weight", type=float, default=1.0, help="(%(default)s)")
    parser.add_argument("--mirror", action="store_true", help="mirror every other batch, drawings included")
    parser.add_argument("--jitter", action="store_true", help="shift each batch's colours, drawings included")
    parser.add_argument(
        "--beside-mirror",
        action="store_true",
        help="the discriminator sees each image beside its mirror image",
    )
    parser.add_argument(
        "--discriminator", type=Path, help="the checkpoint.pt of another run, to go on from its discriminator"
    )
    runs.add_common_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    device, autocast = runs.set_up(options)
    drawings = runs.Drawings(options.data, device)
    layout = Layout.read(options.data / "labels.json", device)
    options.folder.mkdir(parents=True, exist_ok=True)
    chosen = {name: value for name, value in vars(options).items() if name in Settings.__dataclass_fields__}
    settings = Settings(detail=drawings.detail, **chosen)
    start, saved = load_start(options.start)
    run = Run(settings, start, layout, device)
    checkpoint = options.folder / runs.CHECKPOINT
    if options.discriminator and not checkpoint.exists():
        run.go_on_from(torch.load(options.discriminator, map_location=device, weights_only=True)["run"])
    if checkpoint.exists():
        content = torch.load(checkpoint, map_location=device, weights_only=True)
        run.restore(content["run"])
        runs.forget_after(options.folder, run.images)
        runs.restore_random_state(content["random"], device)
    length = runs.Length(options.images, options.minutes)
    bar = tqdm(initial=run.images, unit="image", smoothing=0.05, mininterval=5)
    keeper = runs.Keeper(
        run,
        options.folder,
        options.keep_every,
        lambda run, folder: save(run, folder, saved, drawings.about),
        draw_losses,
    )
    while (share := length.share(run)) < 1.0:
        rows, pictures = drawings.batch(settings.batch, run.resolution)
        keeper.after_step(run, run.step(pictures, rows, share, autocast))
        bar.update(settings.batch)
    keeper.keep(run)


if __name__ == "__main__":
    main()
