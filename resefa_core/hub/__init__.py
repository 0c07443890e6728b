"""Direction sets, generators, their parts and atlases on the Hugging Face Hub: find, fetch and publish them.

Needs `huggingface_hub` (`pip install "resefa[hub]"`); the rest of the core imports it only where it's used.
"""

from __future__ import annotations

from ..errors import HubError
from .atlases import ATLAS_FILE, load_atlas, publish_atlas
from .card import DIRECTIONS_FILE, TAG, model_card
from .client import WAIT, own_token
from .generators import publish_generator
from .parts import PARTS_FILE, load_parts, publish_parts
from .repositories import (
    LICENSES,
    Listing,
    Published,
    direction_files,
    fetch,
    load,
    publish,
    search,
    whoami,
)

__all__ = [
    "ATLAS_FILE",
    "DIRECTIONS_FILE",
    "LICENSES",
    "PARTS_FILE",
    "TAG",
    "WAIT",
    "HubError",
    "Listing",
    "Published",
    "direction_files",
    "fetch",
    "load",
    "load_atlas",
    "load_parts",
    "model_card",
    "own_token",
    "publish",
    "publish_atlas",
    "publish_generator",
    "publish_parts",
    "search",
    "whoami",
]
