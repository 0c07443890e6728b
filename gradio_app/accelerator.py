"""Where images are analysed: on the CPU, on a GPU of this machine, or on one that is lent for a moment."""

from __future__ import annotations

import os
from typing import Any

try:
    import spaces  # a Space with a lent GPU wants this before torch
except ImportError:
    spaces = None

import torch

import resefa_core as resefa
from resefa_core.jacobian import DenseJacobian, MatrixFreeJacobian

LENT = spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
"""Whether GPUs are lent here (ZeroGPU): then generators stay on the CPU, and only analyses go to a GPU."""


def resident_device() -> str:
    """Where generators live."""
    return "cuda" if torch.cuda.is_available() and not LENT else "cpu"


def compute(
    generator: resefa.Generator, latent: resefa.Latent, *args: Any, **options: Any
) -> resefa.Jacobian:
    """As `compute_jacobian`; one call for each image where GPUs are lent."""
    if not LENT:
        return resefa.compute_jacobian(generator, latent, *args, **options)
    options["progress"] = None
    made = _compute_lent(generator, latent, *args, **options)
    return made.attached(generator) if isinstance(made, MatrixFreeJacobian) else made


def _compute_lent(
    generator: resefa.Generator, latent: resefa.Latent, *args: Any, **options: Any
) -> resefa.Jacobian:
    made = resefa.compute_jacobian(generator.to("cuda"), latent.to("cuda"), *args, **options)
    if isinstance(made, MatrixFreeJacobian):
        return made.detached()
    assert isinstance(made, DenseJacobian)
    return made.to("cpu")


if LENT:
    _compute_lent = spaces.GPU(duration=60)(_compute_lent)
