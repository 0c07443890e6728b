"""Generators from files: a registry of readers, chosen by what a file holds and not by its name."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from ..errors import CheckpointError
from ..generators.base import Generator
from . import nvidia_safetensors

READERS = (nvidia_safetensors,)
BUNDLED = Path(__file__).parent.parent / "bundled"


def load_generator(
    name: str | PathLike[str] = "avatars", device: str | torch.device | None = None
) -> Generator:
    """Load a generator, in float32 and in evaluation mode.

    Args:
        name: a bundled generator's name, or a file's path.
        device: where to put it; the CPU by default.

    Raises:
        CheckpointError: no such name or file, or the file is not a generator that is known here.
    """
    file = BUNDLED / f"{name}.safetensors"
    if "/" in str(name) or "\\" in str(name) or not _is_file(file):
        file = Path(name)
    if not _is_file(file):
        raise CheckpointError(
            f"{name}: no such file, and not a bundled generator; bundled: {', '.join(bundled_names())}"
        )
    with torch.inference_mode(False), torch.no_grad():
        for reader in READERS:
            if reader.detect(file):
                generator = reader.load(file)
                generator.name = file.stem
                return generator.eval().to(device or "cpu")
    supported = "; ".join(reader.DESCRIPTION for reader in READERS)
    raise CheckpointError(f"{file}: not a generator that is known here. Supported: {supported}")


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False


def bundled_names() -> list[str]:
    """The names of the generators that come with the package."""
    return sorted(file.stem for file in BUNDLED.glob("*.safetensors"))
