"""From the sockets of the ComfyUI-StyleGan packs to this pack's."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from .core import resefa
from .latents import latent_outputs, with_image
from .node import Node, schema
from .runtime import LoadedGAN
from .sockets import GAN, GANDirections, StyleGANDirections, StyleGANLatent


class FromStyleGANLatent(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_FromStyleGANLatent",
            display_name="From StyleGAN Latent",
            folder="convert",
            description="Take up a latent of a ComfyUI-StyleGan pack. Load the same generator here.",
            search_aliases=["stylegan latent", "convert latent"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN; the generator that the latent is for."),
                StyleGANLatent.Input("stylegan_latent", tooltip="From a ComfyUI-StyleGan pack."),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def run(cls, gan: LoadedGAN, stylegan_latent: Tensor) -> io.NodeOutput:
        generator = gan.ready()
        codes = stylegan_latent.detach().float().cpu().clone()
        if codes.ndim != 3:
            raise resefa.LatentError(
                f"a latent of shape {tuple(codes.shape)} was given: expected (B, L, D), the codes of all "
                "layers; noise (B, D) is not one"
            )
        latent = resefa.Latent(codes=codes, generator=generator.fingerprint).expand(generator.num_layers)
        generator.check_latent(latent)
        return with_image(cls, gan, latent)


class FromStyleGANDirections(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_FromStyleGANDirections",
            display_name="From StyleGAN Directions",
            folder="convert",
            description="Take up directions of a ComfyUI-StyleGan pack; they move all layers alike (w), "
            "by their own lengths.",
            search_aliases=["stylegan directions", "ganspace", "sefa", "convert directions"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN; the generator that the directions are for."),
                StyleGANDirections.Input("stylegan_directions", tooltip="From a ComfyUI-StyleGan pack."),
            ],
            outputs=[
                GANDirections.Output("directions", display_name="directions", tooltip="For Apply Direction.")
            ],
        )

    @classmethod
    def run(cls, gan: LoadedGAN, stylegan_directions: Tensor) -> io.NodeOutput:
        vectors = stylegan_directions.detach().clone()
        return io.NodeOutput(resefa.Directions.from_vectors(vectors, "w", gan.generator))
