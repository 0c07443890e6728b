"""GAN Parts."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from .core import resefa
from .node import Node
from .pictures import to_comfy
from .runtime import ANALYSIS_IMAGES, LoadedGAN, ProgressBar, as_output
from .sockets import GAN, GANLatent

_DIMMED = 0.25


class GANParts(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ReSeFa_GANParts",
            display_name="GAN Parts",
            category="GAN/ReSeFa",
            description="The parts of an image that move together, as a batch of masks: those that are "
            "known of the generator, or as many as asked for, found on this image alone.",
            search_aliases=["segment", "segmentation", "mask batch", "gan mask", "parts"],
            has_intermediate_output=True,
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input("latent", tooltip="The image; of a batch, the first."),
                io.Int.Input(
                    "count",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="0: the parts that come with the generator, each by its name. 2 or more: so many "
                    "parts of this image alone, named by where they lie, for any generator.",
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
        session = resefa.Session(gan.ready(ANALYSIS_IMAGES), latent=latent[:1], cache=gan.analyses)
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
