"""Adapt Directions."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io, ui

from .core import resefa
from .factorize_region import FOUND, strips
from .latents import foreign_note, offered, with_notes
from .node import Node, schema
from .pictures import picture_to_comfy
from .runtime import LoadedGAN, ProgressBar, as_output
from .sockets import GAN, GANDirections, GANLatent, GANRegion


class AdaptDirections(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_AdaptDirections",
            display_name="Adapt Directions",
            description="Directions that were found on other images, made to change less outside their "
            "region on this one. It takes an analysis of the image, which is kept.",
            search_aliases=["fit directions", "reduce leak", "localize directions", "transfer directions"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input("latent", tooltip="The image that is to be edited; of a batch, the first."),
                GANDirections.Input(
                    "directions", tooltip="From Load Directions or Factorize Region; not for confined edits."
                ),
                GANRegion.Input(
                    "region",
                    optional=True,
                    tooltip="Where they may change this image; the region that they were found for if none "
                    "is given.",
                ),
            ],
            outputs=[
                GANDirections.Output(
                    "directions", display_name="directions", tooltip="For Apply Direction, on this image."
                ),
                io.Image.Output(
                    "strips",
                    display_name="strips",
                    tooltip="What each direction does, from -4 to +4 steps.",
                ),
            ],
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        latent: resefa.Latent,
        directions: resefa.Directions,
        region: resefa.Region | None = None,
    ) -> io.NodeOutput:
        session = gan.session(latent[:1])
        given = directions if region is None else replace(directions, region=region)
        progress = ProgressBar()
        adapted = session.adapted(given, progress.part(0.0, FOUND))
        gan.keep_within_bound()
        sheet = strips(session, adapted, progress)
        images = picture_to_comfy(sheet)
        notes = (foreign_note(gan, latent), directions.origin_note(gan.generator))
        shown = with_notes(ui.PreviewImage(images, cls=cls), *notes)
        return offered(io.NodeOutput(adapted, as_output(images), ui=shown), adapted)
