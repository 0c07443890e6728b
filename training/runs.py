"""What the ways of training share: batches, and what a run keeps in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from resefa_core.evaluation.attributes import to_images
from resefa_core.generators.stylegan2 import StyleGAN2
from resefa_core.sheets import to_pil

LOG = "log.jsonl"
CHECKPOINT = "checkpoint.pt"
LOG_EVERY = 100

_SAVE_EVERY = 500
_SHEET = 8


class Run(Protocol):
    """A training run's state, at one resolution."""

    resolution: int
    images: int
    steps: int
    average: StyleGAN2


AnyRun = TypeVar("AnyRun", bound=Run)


class Keeper(Generic[AnyRun]):
    """Writes a run to its folder, and draws it, as it goes on.

    Args:
        folder: of the run.
        sheet_every: images between sample sheets.
        images: that the run has seen already.
        save: writes the checkpoint and the generator to the folder.
        draw_losses: draws the folder's log.
    """

    def __init__(
        self,
        folder: Path,
        sheet_every: int,
        images: int,
        save: Callable[[AnyRun, Path], None],
        draw_losses: Callable[[Path], None],
    ) -> None:
        self.folder = folder
        self._sheet_every = sheet_every
        self._next_sheet = images + sheet_every
        self._save = save
        self._draw_losses = draw_losses

    def after_step(self, run: AnyRun) -> None:
        """Keep what is due."""
        if run.steps % _SAVE_EVERY == 0:
            self._save(run, self.folder)
        if run.images >= self._next_sheet:
            self._next_sheet += self._sheet_every
            self._draw(run)

    def finish(self, run: AnyRun) -> None:
        """Keep everything."""
        self._save(run, self.folder)
        self._draw(run)

    def _draw(self, run: AnyRun) -> None:
        _draw_samples(run, self.folder)
        self._draw_losses(self.folder)


def batch_of(
    faces: NDArray[np.uint8], rows: Tensor, resolution: int, device: torch.device | str = "cpu"
) -> Tensor:
    """The drawings of these rows in [-1, 1], `(B, 3, resolution, resolution)`."""
    images = to_images(faces[rows.numpy()], device)
    factor = images.shape[2] // resolution
    return F.avg_pool2d(images, factor) if factor > 1 else images


def write(
    folder: Path, content: dict[str, Any], run: Run, arguments: dict[str, Any], about: dict[str, str]
) -> None:
    """Write a checkpoint and the averaged generator in half precision, each whole or not at all."""
    torch.save(content, folder / "checkpoint.tmp")
    (folder / "checkpoint.tmp").replace(folder / CHECKPOINT)
    tensors = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in run.average.state_dict().items()
    }
    arguments = {"c_dim": 0, "img_resolution": run.resolution, "img_channels": 3} | arguments
    metadata = {"arch": "stylegan2", "init_kwargs": json.dumps(arguments), "training_images": str(run.images)}
    save_file(tensors, folder / "generator.tmp", about | metadata)
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
