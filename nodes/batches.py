"""Pick, Split, Join and Average Latents."""

from __future__ import annotations

from comfy_api.latest import io

from .core import parsing, resefa, sequences
from .latents import latent_outputs, with_image
from .node import Node, schema
from .runtime import LoadedGAN
from .sockets import GAN, GANLatent


class PickLatents(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_PickLatents",
            display_name="Pick Latents",
            folder="batches",
            description="Some latents of a batch, in any order.",
            search_aliases=["latent from batch", "select gan latent", "reorder latents"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input("latent", tooltip="A batch."),
                io.String.Input(
                    "which",
                    default="0",
                    placeholder="0, 2-3",
                    tooltip="Their places in the batch, counted from 0; one may come several times.",
                ),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def run(cls, gan: LoadedGAN, latent: resefa.Latent, which: str) -> io.NodeOutput:
        return with_image(cls, gan, sequences.pick(latent, parsing.parse_seeds(which)))


class SplitLatents(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_SplitLatents",
            display_name="Split Latents",
            folder="batches",
            description="A batch as two batches.",
            search_aliases=["split gan batch", "latent slice"],
            inputs=[
                GANLatent.Input("latent", tooltip="A batch of two or more."),
                io.Int.Input("at", default=1, min=1, max=4095, tooltip="How many go into the first batch."),
            ],
            outputs=[
                GANLatent.Output("first", display_name="first", tooltip="The latents before the place."),
                GANLatent.Output("second", display_name="second", tooltip="The latents from there on."),
            ],
        )

    @classmethod
    def run(cls, latent: resefa.Latent, at: int) -> io.NodeOutput:
        return io.NodeOutput(*sequences.split(latent, at))


class JoinLatents(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_JoinLatents",
            display_name="Join Latents",
            folder="batches",
            description="Several latents as one batch, for Walk Latents, or for edits of all of them.",
            search_aliases=["batch latents", "concat gan latents", "latent list"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                io.Autogrow.Input(
                    "latents",
                    template=io.Autogrow.TemplatePrefix(
                        GANLatent.Input("latent", tooltip="One, or a batch."), prefix="latent", min=2, max=32
                    ),
                    tooltip="In their order; another input comes with each that is connected.",
                ),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def run(cls, gan: LoadedGAN, latents: dict[str, resefa.Latent]) -> io.NodeOutput:
        return with_image(cls, gan, sequences.join(gan.ready(), list(latents.values())))


class AverageLatents(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_AverageLatents",
            display_name="Average Latents",
            folder="batches",
            description="The mean of a batch: what its images have in common.",
            search_aliases=["mean latent", "blend faces", "average face"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input("latent", tooltip="A batch, as of Sample GAN Latent or Join Latents."),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def run(cls, gan: LoadedGAN, latent: resefa.Latent) -> io.NodeOutput:
        return with_image(cls, gan, sequences.average(gan.ready(), latent))
