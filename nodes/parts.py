"""Load GAN Parts and GAN Parts."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from . import folders
from .core import resefa, the_hub
from .file_or_hub import FileOrHubNode, file_or_hub_inputs
from .node import Node, schema
from .pictures import to_comfy
from .runtime import LoadedGAN, ProgressBar, as_output
from .sockets import GAN, GANLatent

_DIMMED = 0.25


class LoadGANParts(FileOrHubNode):
    find = staticmethod(folders.parts_file)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_LoadGANParts",
            display_name="Load GAN Parts",
            description="Load the named parts of a GAN's images, of models/stylegan_parts or of the Hugging "
            "Face Hub, for Select Region, GAN Parts and Factorize Region.",
            search_aliases=["load parts", "segment", "region names", "gan parts"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN: the generator that the parts were found for."),
                *file_or_hub_inputs(
                    folders.parts_names(),
                    "Files of models/stylegan_parts, as `resefa parts` writes them.",
                    "Parts of the Hugging Face Hub instead of a file: hf://author/name. They are fetched "
                    "when this runs, and checked like any file.",
                ),
            ],
            outputs=[
                GAN.Output("gan", display_name="GAN", tooltip="The same generator, with these parts."),
                io.String.Output("names", display_name="names", tooltip="The parts' names, one a line."),
            ],
        )

    @classmethod
    def run(cls, gan: LoadedGAN, file: str, address: str = "") -> io.NodeOutput:
        address = address.strip()
        parts = the_hub().load_parts(address) if address else resefa.Parts.load(cls.find(file))
        names = "\n".join(parts.part_names)
        return io.NodeOutput(gan.with_parts(parts), names, ui=ui.PreviewText(names))


class GANParts(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_GANParts",
            display_name="GAN Parts",
            description="The parts of an image that move together, as a batch of masks: those that are "
            "known of the generator, or as many as asked for, found on this image alone.",
            search_aliases=["segment", "segmentation", "mask batch", "gan mask", "parts"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input("latent", tooltip="The image; of a batch, the first."),
                io.Int.Input(
                    "count",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="0: the parts that come with the generator, or of Load GAN Parts, each by its "
                    "name. 2 or more: so many parts of this image alone, named by where they lie, for any "
                    "generator.",
                ),
            ],
            outputs=[
                io.Mask.Output("masks", display_name="masks", tooltip="A mask for each part, as a batch."),
                io.String.Output(
                    "names", display_name="names", tooltip="Their names, in the same order, one a line."
                ),
                io.Image.Output(
                    "images", display_name="images", tooltip="The image, once for each part, the rest dimmed."
                ),
            ],
        )

    @classmethod
    def run(cls, gan: LoadedGAN, latent: resefa.Latent, count: int) -> io.NodeOutput:
        session = gan.session(latent[:1])
        progress = ProgressBar().part(0.0, 1.0)
        if count:
            analysis = session.analyse(session.quick_space, progress=progress)
            session.parts = resefa.find_parts(analysis, count)
        found = session.parts_here(progress)
        gan.keep_within_bound()
        if not found:
            raise resefa.RegionError("this image has none of the parts: ask for a count of them")
        image = session.before.cpu()
        masks = torch.stack([region.mask(*image.shape[1:]) for region in found.values()])
        lit = (image + 1.0) * (_DIMMED + (1.0 - _DIMMED) * masks[:, None]) - 1.0
        images = to_comfy(lit)
        names = "\n".join(found)
        shown = ui.PreviewImage(images, cls=cls).as_dict() | {"text": (names,)}
        return io.NodeOutput(masks, names, as_output(images), ui=shown)
