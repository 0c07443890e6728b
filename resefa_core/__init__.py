"""Region-based semantic factorization in GANs (Zhu et al., ICML 2022).

Point at a region of a generated image, get latent directions that change that region and leave the
rest alone.
"""

from __future__ import annotations

from ._version import __version__
from .checkpoints import bundled_names, load_generator
from .directions import Directions
from .editing import edit, move, prepared, sweep, with_confined_steps
from .errors import (
    CheckpointError,
    DirectionFileError,
    JacobianError,
    LatentError,
    ParameterError,
    RegionError,
    ReSeFaError,
)
from .factorization import factorize
from .generators import Generator, StyleGAN2, WrappedGenerator
from .jacobian import Jacobian, compute_jacobian, estimate, load_jacobian
from .latents import Latent, stack
from .regions import PRESETS, Region

__all__ = [
    "PRESETS",
    "CheckpointError",
    "DirectionFileError",
    "Directions",
    "Generator",
    "Jacobian",
    "JacobianError",
    "Latent",
    "LatentError",
    "ParameterError",
    "ReSeFaError",
    "Region",
    "RegionError",
    "StyleGAN2",
    "WrappedGenerator",
    "__version__",
    "bundled_names",
    "compute_jacobian",
    "edit",
    "estimate",
    "factorize",
    "load_generator",
    "load_jacobian",
    "move",
    "prepared",
    "stack",
    "sweep",
    "with_confined_steps",
]
