"""Region-based semantic factorization in GANs (Zhu et al., ICML 2022).

Point at a region of a generated image, get latent directions that change that region and leave the
rest alone.
"""

from __future__ import annotations

from . import threads  # noqa: F401  isort: skip  (before torch)
from ._version import __version__
from .analysis import Jacobian, JacobianCache, compute_jacobian, estimate, load_jacobian
from .checkpoints import bundled_names, load_generator, register_reader
from .checkpoints import convert_generator as convert
from .checkpoints.downloads import download
from .directions import CONFINED, Directions, encode_thumbnail
from .directions.bundled import bundled_directions
from .directions.effects import Effect
from .directions.objective import PAPER, SHAPE, SHAPE_ALONE, Objective
from .directions.recipes import Recipe
from .errors import (
    AtlasError,
    CheckpointError,
    DirectionFileError,
    EvaluationError,
    HubError,
    JacobianError,
    LatentError,
    ParameterError,
    PartsFileError,
    PhotoError,
    RegionError,
    ReSeFaError,
    WorkerError,
)
from .generators import (
    DCGAN,
    PGGAN,
    BigGAN,
    BigGANDeep,
    Generator,
    GeneratorDescription,
    StyleGAN2,
    StyleGAN3,
    WrappedGenerator,
    register_generator,
)
from .inversion import (
    FeatureDistance,
    Inversion,
    InversionCache,
    Pasted,
    Photo,
    invert,
    paste,
    paste_edit,
    tune,
)
from .latents import PNG_KEY, Crop, Latent, stack
from .latents.editing import edit, mix, move, prepared, sweep, with_confined_steps
from .latents.edits import Edit, Edited, Move
from .latents.opening import open_latent
from .methods import METHODS, Method, find_directions, register_method
from .parts import Parts, find_parts, find_parts_of, part_at, parts_of_generator
from .regions import PRESETS, Click, Region, Selection, presets_of
from .session import Session
from .sheets import change_labels, contact_sheet, save_png, show_region, to_pil
from .solve import factorize
from .spaces import SPACES, Space, register_space

__all__ = [
    "CONFINED",
    "DCGAN",
    "METHODS",
    "PAPER",
    "PGGAN",
    "PNG_KEY",
    "PRESETS",
    "SHAPE",
    "SHAPE_ALONE",
    "SPACES",
    "AtlasError",
    "BigGAN",
    "BigGANDeep",
    "CheckpointError",
    "Click",
    "Crop",
    "DirectionFileError",
    "Directions",
    "Edit",
    "Edited",
    "Effect",
    "EvaluationError",
    "FeatureDistance",
    "Generator",
    "GeneratorDescription",
    "HubError",
    "Inversion",
    "InversionCache",
    "Jacobian",
    "JacobianCache",
    "JacobianError",
    "Latent",
    "LatentError",
    "Method",
    "Move",
    "Objective",
    "ParameterError",
    "Parts",
    "PartsFileError",
    "Pasted",
    "Photo",
    "PhotoError",
    "ReSeFaError",
    "Recipe",
    "Region",
    "RegionError",
    "Selection",
    "Session",
    "Space",
    "StyleGAN2",
    "StyleGAN3",
    "WorkerError",
    "WrappedGenerator",
    "__version__",
    "bundled_directions",
    "bundled_names",
    "change_labels",
    "compute_jacobian",
    "contact_sheet",
    "convert",
    "download",
    "edit",
    "encode_thumbnail",
    "estimate",
    "factorize",
    "find_directions",
    "find_parts",
    "find_parts_of",
    "invert",
    "load_generator",
    "load_jacobian",
    "mix",
    "move",
    "open_latent",
    "part_at",
    "parts_of_generator",
    "paste",
    "paste_edit",
    "prepared",
    "presets_of",
    "register_generator",
    "register_method",
    "register_reader",
    "register_space",
    "save_png",
    "show_region",
    "stack",
    "sweep",
    "to_pil",
    "tune",
    "with_confined_steps",
]
