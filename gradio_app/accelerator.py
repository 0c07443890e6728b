"""Where images are analysed: on the CPU, on a GPU of this machine, or on one that is lent for a moment."""

from __future__ import annotations

import logging
import os
from typing import Any

try:
    import spaces  # a Space with a lent GPU wants this before torch
except ImportError:
    spaces = None

import resefa_core as resefa  # isort: skip  (says how threads wait, before torch)
import torch

_log = logging.getLogger("resefa.demo")

LENT = spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
"""Whether GPUs are lent here (ZeroGPU): then generators stay on the CPU, and only analyses go to a GPU."""


def resident_device() -> str:
    """Where generators live."""
    return "cuda" if torch.cuda.is_available() and not LENT else "cpu"


def compute(
    generator: resefa.Generator, latent: resefa.Latent, *args: Any, **options: Any
) -> resefa.Jacobian:
    """As `compute_jacobian`. Where GPUs are lent, on one of them, or on the CPU if none is to be had."""
    if not LENT:
        return resefa.compute_jacobian(generator, latent, *args, **options)
    try:
        made = _compute_lent(generator, latent, *args, **{**options, "progress": None})
    except Exception as error:
        _log.warning("no GPU was lent, so the CPU is used: %s", error)
        return resefa.compute_jacobian(generator, latent, *args, **options)
    return made.attached(generator)


def _compute_lent(
    generator: resefa.Generator, latent: resefa.Latent, *args: Any, **options: Any
) -> resefa.Jacobian:
    return resefa.compute_jacobian(generator.to("cuda"), latent.to("cuda"), *args, **options).detached()


def _seconds(generator: resefa.Generator, *args: Any, **options: Any) -> int:
    """For how long a GPU is asked: who has fewer seconds left of a day's allowance gets none."""
    return 15 if generator.resolution <= 128 else 60


if LENT:
    _compute_lent = spaces.GPU(duration=_seconds)(_compute_lent)
