"""The pack, as ComfyUI asks for it."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import folders
from .adapt_directions import AdaptDirections
from .apply_direction import ApplyDirection, DirectionSweep
from .atlases import LoadAtlas
from .batches import AverageLatents, JoinLatents, PickLatents, SplitLatents
from .convert import FromStyleGANDirections, FromStyleGANLatent
from .core import resefa
from .difference import ImageDifference
from .direction_files import LoadDirections, SaveDirections
from .direction_sliders import DirectionSliders
from .factorize_region import FactorizeRegion
from .latents import LoadGANLatent, MixLatents, SampleGANLatent, SaveGANImage, SaveGANLatent
from .load_gan import LoadGAN
from .parts import GANParts, LoadGANParts
from .photos import InvertImage, PasteEdit
from .select_region import SelectRegion
from .sequences import EditFrames, WalkLatents


class ReSeFaExtension(ComfyExtension):
    async def on_load(self) -> None:
        folders.register()
        _name_errors(resefa.ReSeFaError)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadGAN,
            SampleGANLatent,
            SelectRegion,
            FactorizeRegion,
            AdaptDirections,
            ApplyDirection,
            DirectionSliders,
            DirectionSweep,
            MixLatents,
            LoadDirections,
            SaveDirections,
            LoadAtlas,
            LoadGANLatent,
            SaveGANLatent,
            SaveGANImage,
            FromStyleGANLatent,
            FromStyleGANDirections,
            LoadGANParts,
            GANParts,
            InvertImage,
            PasteEdit,
            WalkLatents,
            EditFrames,
            PickLatents,
            SplitLatents,
            JoinLatents,
            AverageLatents,
            ImageDifference,
        ]


def _name_errors(kind: type[resefa.ReSeFaError]) -> None:
    """ComfyUI shows errors with the path of their module, which is the pack's folder there."""
    kind.__module__ = "resefa"
    for child in kind.__subclasses__():
        _name_errors(child)


async def comfy_entrypoint() -> ReSeFaExtension:
    """ComfyUI calls this once."""
    return ReSeFaExtension()
