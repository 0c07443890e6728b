"""From the sockets of the ComfyUI-StyleGan packs to this pack's."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from .. import resefa_core as resefa
from .latents import latent_outputs, with_image
from .runtime import LoadedGAN, computing
from .sockets import GAN, GANDirections, StyleGANDirections, StyleGANLatent, expect


class FromStyleGANLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ReSeFa_FromStyleGANLatent",
            display_name="From StyleGAN Latent",
            category="GAN/ReSeFa/convert",
            description="Take up a latent of a ComfyUI-StyleGan pack. Load the same generator here.",
            search_aliases=["stylegan latent", "convert latent"],
            has_intermediate_output=True,
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN; the generator that the latent is for."),
                StyleGANLatent.Input("stylegan_latent", tooltip="From a ComfyUI-StyleGan pack."),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def execute(cls, gan: LoadedGAN, stylegan_latent: Tensor) -> io.NodeOutput:
        gan = expect(gan, LoadedGAN, "Load GAN")
        with computing():
            generator = gan.ready()
            codes = (
                expect(stylegan_latent, Tensor, "of a ComfyUI-StyleGan pack").detach().float().cpu().clone()
            )
            if codes.ndim != 3:
                raise resefa.LatentError(
                    f"a latent of shape {tuple(codes.shape)} was given: expected (B, L, D), the codes of all "
                    "layers; noise (B, D) is not one"
                )
            latent = resefa.Latent(codes=codes, generator=generator.fingerprint).expand(generator.num_layers)
            generator.check_latent(latent)
            return with_image(cls, gan, latent)


class FromStyleGANDirections(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ReSeFa_FromStyleGANDirections",
            display_name="From StyleGAN Directions",
            category="GAN/ReSeFa/convert",
            description="Take up directions of a ComfyUI-StyleGan pack; they move all layers alike (w).",
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
    def execute(cls, gan: LoadedGAN, stylegan_directions: Tensor) -> io.NodeOutput:
        gan = expect(gan, LoadedGAN, "Load GAN")
        vectors = expect(stylegan_directions, Tensor, "of a ComfyUI-StyleGan pack")
        with computing():
            return io.NodeOutput(resefa.Directions.from_vectors(vectors.detach().clone(), "w", gan.generator))
