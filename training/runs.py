"""What the ways of training share: batches, and what a run keeps in its folder."""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from resefa_core.evaluation.attributes import to_images
from resefa_core.generators.stylegan2 import StyleGAN2
from resefa_core.sheets import to_pil

LOG = "log.jsonl"
CHECKPOINT = "checkpoint.pt"
LOG_EVERY = 100


_SHEET = 8


class Run(Protocol):
    """A training run's state, at one resolution; `seconds` are those of all its starts."""

    resolution: int
    images: int
    steps: int
    seconds: float
    average: StyleGAN2


AnyRun = TypeVar("AnyRun", bound=Run)


class Drawings:
    """The drawings of a folder: on a card all of them, on a CPU mapped from their file.

    Attributes:
        side: in pixels.
        detail: the box of what counts more: top, bottom, left, right, as fractions of the side.
        about: what they are called and what they are, their license and whom to credit.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        told: dict[str, Any] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        self.detail = tuple(float(bound) for bound in told["detail"])
        self.about: dict[str, str] = told["about"]
        mapped = np.load(folder / "faces.npy", mmap_mode="r" if device.type == "cpu" else None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._pixels = torch.from_numpy(mapped).to(device)
        self.side = int(mapped.shape[1])

    def __len__(self) -> int:
        return len(self._pixels)

    def batch(self, size: int, resolution: int) -> tuple[Tensor, Tensor]:
        """Random rows, `(size,)`, and their drawings in [-1, 1], `(size, 3, resolution, resolution)`."""
        rows = torch.randint(len(self), (size,), device=self._pixels.device).sort().values
        images = to_images(self._pixels[rows], self._pixels.device)
        factor = self.side // resolution
        return rows, F.avg_pool2d(images, factor) if factor > 1 else images


@dataclass(frozen=True)
class Length:
    """How long a run goes on: by images, or by minutes where these are given."""

    images: int
    minutes: float | None = None

    def share(self, run: Run) -> float:
        """How much of it is over, in [0, 1]."""
        done = run.images / self.images if self.minutes is None else run.seconds / (60.0 * self.minutes)
        return min(done, 1.0)


class Means:
    """Means of what steps report, kept where they are computed until they are asked for: no step waits."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        for name, value in metrics.items():
            self._values[name].append(value.detach())

    def take(self) -> dict[str, float]:
        """The means since the last time."""
        means = {name: round(float(torch.stack(each).mean()), 5) for name, each in self._values.items()}
        self._values.clear()
        return means


class Keeper(Generic[AnyRun]):
    """Times a run, logs it, and writes and draws it every so often and at its end.

    Args:
        run: that starts or goes on now.
        folder: of the run.
        every: seconds between checkpoints.
        save: writes the checkpoint and the generator to the folder.
        draw_losses: draws the folder's log, where matplotlib is there.
    """

    def __init__(
        self,
        run: AnyRun,
        folder: Path,
        every: float,
        save: Callable[[AnyRun, Path], None],
        draw_losses: Callable[[Path], None],
    ) -> None:
        self.folder = folder
        self._every = every
        self._save = save
        self._draw_losses = draw_losses
        self._started = time.monotonic() - run.seconds
        self._due = run.seconds + every
        self._means = Means()

    def after_step(self, run: AnyRun, metrics: Mapping[str, Tensor]) -> None:
        """Take a step's metrics, and keep what is due."""
        self._means.add(metrics)
        if run.steps % LOG_EVERY == 0:
            self._log(run)
        run.seconds = time.monotonic() - self._started
        if run.seconds >= self._due:
            self.keep(run)
            self._due = run.seconds + self._every

    def keep(self, run: AnyRun) -> None:
        """Write everything."""
        self._log(run)
        self._save(run, self.folder)
        _draw_samples(run, self.folder)
        if importlib.util.find_spec("matplotlib") is not None:
            self._draw_losses(self.folder)

    def _log(self, run: AnyRun) -> None:
        means = self._means.take()
        if not means:
            return
        line = {"images": run.images, "resolution": run.resolution, "seconds": round(run.seconds, 1)}
        log_line(self.folder, line | means)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of the random numbers that a run draws."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """What both ways of training are told alike."""
    parser.add_argument("--minutes", type=float, help="stop after them instead of after so many images")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument(
        "--symmetry-weight",
        type=float,
        default=0.0,
        help="of the difference between an image's asymmetry and its drawing's, in the loss",
    )
    parser.add_argument(
        "--keep-every", type=float, default=60.0, help="seconds between checkpoints (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (all cores by default)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="bfloat16 on CUDA by default")


def set_up(options: argparse.Namespace) -> tuple[torch.device, torch.autocast]:
    """The device of a run, and the precision that it computes in."""
    device = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True
    precision = options.precision or ("bfloat16" if device.type == "cuda" else "float32")
    return device, torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def follow(average: nn.Module, module: nn.Module, kept: float) -> None:
    """Move a moving average of parameters on, in few kernels; `kept` is what stays of it, in [0, 1]."""
    get_ema_multi_avg_fn(kept)(list(average.parameters()), list(module.parameters()), None)


def adam(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> torch.optim.Adam:
    """Adam, in one kernel for all parameters where the device has it."""
    return torch.optim.Adam(groups, fused=device.type == "cuda", **options)


def write(
    folder: Path, content: dict[str, Any], run: Run, arguments: dict[str, Any], about: Mapping[str, str]
) -> None:
    """Write a checkpoint and the averaged generator in half precision, each whole or not at all.

    Args:
        about: the drawings (see `Drawings`).
    """
    torch.save(content, folder / "checkpoint.tmp")
    (folder / "checkpoint.tmp").replace(folder / CHECKPOINT)
    tensors = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in run.average.state_dict().items()
    }
    arguments = {"c_dim": 0, "img_resolution": run.resolution, "img_channels": 3} | arguments
    metadata = {"arch": "stylegan2", "init_kwargs": json.dumps(arguments), "training_images": str(run.images)}
    metadata |= {f"modelspec.{key}": about[key] for key in ("title", "author", "license")}
    side = run.resolution
    metadata["modelspec.description"] = f"A small StyleGAN2 of {about['description']}, {side} x {side}."
    save_file(tensors, folder / "generator.tmp", metadata)
    (folder / "generator.tmp").replace(folder / "generator.safetensors")


def log_line(folder: Path, line: dict[str, Any]) -> None:
    """Add a line to a run's log."""
    with (folder / LOG).open("a") as log:
        log.write(json.dumps(line) + "\n")


def log_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    log = folder / LOG
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def forget_after(folder: Path, images: int) -> None:
    """Drop the lines of a log that were written after the checkpoint that a run goes on from."""
    log = folder / LOG
    if log.exists():
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(line for line in lines if json.loads(line)["images"] <= images))


def _draw_samples(run: Run, folder: Path) -> None:
    """A sheet of the average's faces, seeds 0 to 63, at truncation 0.7."""
    images = run.average.synthesize(run.average.sample(seed=range(_SHEET**2), truncation=0.7))
    rows = images.reshape(_SHEET, _SHEET, *images.shape[1:]).permute(2, 0, 3, 1, 4)
    (folder / "samples").mkdir(exist_ok=True)
    sheet = to_pil(rows.reshape(3, _SHEET * run.resolution, _SHEET * run.resolution))
    sheet.save(folder / "samples" / f"{run.images:07d}.png")
