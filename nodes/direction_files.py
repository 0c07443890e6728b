"""Load and save direction files."""

from __future__ import annotations

import datetime
from dataclasses import replace

from comfy_api.latest import io, ui

from . import folders
from .core import about, parsing, resefa, the_hub
from .file_or_hub import FileOrHubNode, file_or_hub_inputs
from .latents import offered
from .node import Node, schema
from .runtime import LoadedGAN
from .sockets import GAN, GANDirections

AS_THE_FILE_SAYS = "as the file says"


class LoadDirections(FileOrHubNode):
    find = staticmethod(folders.directions_file)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_LoadDirections",
            display_name="Load Directions",
            description="Load a direction file of models/stylegan_directions, or of the Hugging Face Hub.",
            search_aliases=["load gan directions", "direction file", "edit directions"],
            inputs=[
                *file_or_hub_inputs(
                    folders.direction_names(),
                    "Files of models/stylegan_directions: this pack's, the paper's own .npy, and those of "
                    "other projects (.npy, .npz, .pt, .safetensors); and avatars-mouth and others that come "
                    "along.",
                    "A direction set of the Hugging Face Hub instead of a file: hf://author/name, or "
                    "hf://author/name/file. It is fetched when this runs, and checked like any file.",
                ),
                io.Combo.Input(
                    "space",
                    options=[AS_THE_FILE_SAYS, *resefa.SPACES],
                    default=AS_THE_FILE_SAYS,
                    optional=True,
                    advanced=True,
                    tooltip="The latent space, of another project's file that does not say it: mostly w.",
                ),
                io.String.Input(
                    "layer_list",
                    default="",
                    placeholder="0-7",
                    optional=True,
                    advanced=True,
                    tooltip="The layers that move, of another project's file that does not say them.",
                ),
                GAN.Input(
                    "gan",
                    optional=True,
                    tooltip="Another project's directions move all of its layers where none are given.",
                ),
            ],
            outputs=[
                GANDirections.Output("directions", display_name="directions", tooltip="For Apply Direction."),
                io.String.Output("info", display_name="info", tooltip="What the file says of itself."),
            ],
        )

    @classmethod
    def run(
        cls,
        file: str,
        address: str = "",
        space: str = AS_THE_FILE_SAYS,
        layer_list: str = "",
        gan: LoadedGAN | None = None,
    ) -> io.NodeOutput:
        address = address.strip()
        if address:
            directions = the_hub().load(address)
        else:
            directions = resefa.Directions.load(
                cls.find(file),
                None if space == AS_THE_FILE_SAYS else space,
                parsing.parse_seeds(layer_list) if layer_list.strip() else None,
                None if gan is None else gan.generator.num_layers,
            )
        info = describe(directions)
        return offered(io.NodeOutput(directions, info, ui=ui.PreviewText(info)), directions)


class SaveDirections(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_SaveDirections",
            display_name="Save Directions",
            description="Save directions, with names for people, to models/stylegan_directions.",
            search_aliases=["save gan directions", "share directions", "export directions"],
            is_output_node=True,
            inputs=[
                GANDirections.Input("directions", tooltip="From Factorize Region."),
                io.String.Input(
                    "filename", default="directions", tooltip="A number is added where the name is taken."
                ),
                io.String.Input(
                    "names",
                    default="",
                    multiline=True,
                    placeholder="smile\nopen mouth",
                    tooltip="A name for each direction, one on a line, the first ones first.",
                ),
                io.String.Input("title", default="", tooltip="What the file is called where it is shared."),
                io.String.Input(
                    "description", default="", multiline=True, tooltip="What people should know."
                ),
                io.String.Input("author", default="", tooltip="You.", advanced=True),
                io.String.Input(
                    "license", default="", placeholder="CC0-1.0", tooltip="What others may do.", advanced=True
                ),
            ],
            outputs=[io.String.Output("path", display_name="path", tooltip="The file that was written.")],
        )

    @classmethod
    def run(
        cls,
        directions: resefa.Directions,
        filename: str,
        names: str,
        title: str,
        description: str,
        author: str,
        license: str,
    ) -> io.NodeOutput:
        given = [line.strip() for line in names.rstrip().splitlines()]
        if len(given) > len(directions):
            raise resefa.ParameterError(f"{len(given)} names were given for {len(directions)} directions")
        directions = replace(
            directions.renamed({i: name for i, name in enumerate(given) if name}),
            title=title.strip() or directions.title,
            description=description.strip() or directions.description,
            author=author.strip() or directions.author,
            license=license.strip() or directions.license,
            date=datetime.date.today().isoformat(),
        )
        file = folders.free_file(folders.directions_folder(), filename, ".safetensors")
        directions.save(file)
        return io.NodeOutput(str(file), ui=ui.PreviewText(f"saved {file}"))


def describe(directions: resefa.Directions) -> str:
    """What there is to know of a set before it is used: its title first, its directions by number last."""
    rows = dict(about.rows(directions))
    title = rows.pop("Title", "(no title)")
    del rows["Directions"]
    numbered = [f"{index}: {name}" for index, name in enumerate(directions.names)]
    return "\n".join([title, about.as_text(list(rows.items())), *numbered])
