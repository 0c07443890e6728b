"""Load directions of an atlas."""

from __future__ import annotations

from comfy_api.latest import io, ui

from . import folders
from .core import Atlas, the_hub
from .direction_files import describe
from .file_or_hub import FileOrHubNode, file_or_hub_inputs
from .latents import offered
from .node import schema
from .sockets import GANDirections

_JOINT, _BESIDES = "on all images", "on some images besides"


class LoadAtlas(FileOrHubNode):
    find = staticmethod(folders.atlas_file)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_LoadAtlas",
            display_name="Load Atlas",
            description="Load the directions of a region from an atlas, of models/stylegan_atlases or of the "
            "Hugging Face Hub.",
            search_aliases=["load gan atlas", "atlas of directions", "gan map"],
            inputs=[
                *file_or_hub_inputs(
                    folders.atlas_names(),
                    "Files of models/stylegan_atlases, as `resefa atlas build` writes them.",
                    "An atlas of the Hugging Face Hub instead of a file: hf://author/name. It is fetched "
                    "when this runs, and checked like any file.",
                ),
                io.String.Input(
                    "region",
                    default="",
                    placeholder="mouth",
                    optional=True,
                    tooltip="The name of a region of the atlas: info lists them. Empty: the first one.",
                ),
                io.Combo.Input(
                    "kind",
                    options=[_JOINT, _BESIDES],
                    default=_JOINT,
                    optional=True,
                    tooltip="What can be done on all images, or what some images can do besides.",
                ),
            ],
            outputs=[
                GANDirections.Output("directions", display_name="directions", tooltip="For Apply Direction."),
                io.String.Output(
                    "info", display_name="info", tooltip="What the atlas says of them, and its regions."
                ),
            ],
        )

    @classmethod
    def run(cls, file: str, address: str = "", region: str = "", kind: str = _JOINT) -> io.NodeOutput:
        address = address.strip()
        atlas = the_hub().load_atlas(address) if address else Atlas.load(cls.find(file))
        directions = atlas.directions(region.strip(), missed=kind == _BESIDES)
        info = f"{describe(directions)}\nregions: {', '.join(entry.name for entry in atlas.entries)}"
        return offered(io.NodeOutput(directions, info, ui=ui.PreviewText(info)), directions)
