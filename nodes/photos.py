"""Invert Image and Paste Edit: own pictures."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from .core import inverting, parsing, pasting, resefa
from .latents import foreign_note, latent_outputs, with_image, with_notes
from .node import Node, schema
from .pictures import from_comfy, to_comfy
from .runtime import LoadedGAN, ProgressBar, as_output
from .sockets import GAN, GANLatent, GANRegion

_FOUND = resefa.InversionCache()


class InvertImage(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_InvertImage",
            display_name="Invert Image",
            description="Find your own picture's latent, to edit it. Not of people without their consent.",
            search_aliases=["gan inversion", "project image", "photo to latent", "own face", "encode gan"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                io.Image.Input("image", tooltip="The picture, e.g. of Load Image; one, of any size."),
                io.Int.Input(
                    "steps",
                    default=inverting.STEPS,
                    min=1,
                    max=inverting.MOST_STEPS,
                    tooltip="How long to look; each draws the image once and takes its derivative.",
                ),
                io.Float.Input(
                    "prior",
                    default=inverting.PRIOR,
                    min=inverting.PRIORS.least,
                    max=inverting.PRIORS.most,
                    step=0.001,
                    round=0.0001,
                    tooltip="How much images that the GAN draws by itself are preferred, on which edits work "
                    "best. 0: the closest image.",
                ),
                io.String.Input(
                    "face",
                    default="",
                    placeholder="310,420,470,410,400,590",
                    tooltip="For a GAN of aligned faces: x and y in pixels of the eye at the left, the eye "
                    "at the right, and the middle of the mouth. The picture is cut and turned to them. auto: "
                    "they are found, where dlib is installed.",
                ),
                io.String.Input(
                    "box",
                    default="",
                    placeholder="x,y,width,height",
                    tooltip="The part of the picture to find, in pixels; the largest in the middle if empty.",
                    advanced=True,
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What does not count, of the picture's size: a hand before the face, a frame.",
                ),
                io.String.Input(
                    "class_name",
                    default="",
                    tooltip="The class, its number or name, where the GAN has classes; the closest if empty.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        image: Tensor,
        steps: int,
        prior: float,
        face: str,
        box: str,
        mask: Tensor | None = None,
        class_name: str = "",
    ) -> io.NodeOutput:
        generator = gan.ready(images=2)
        photo = photo_of(image, mask).aligned(
            generator,
            face=parsing.parse_face(face) if face.strip() else None,
            box=parsing.parse_numbers(box) if box.strip() else None,
        )
        bar = ProgressBar()
        found = _FOUND.invert(
            generator,
            photo,
            label=class_name.strip() or None,
            steps=steps,
            prior=prior,
            progress=bar.part(0.0, 1.0),
            show=lambda drawn: bar.show(resefa.to_pil(drawn)),
        )
        note = (
            f"mean squared error {found.error:.4f}, distance {found.distance:.2f} from the mean image (about "
            "1 for what the GAN draws by itself)"
        )
        return with_image(cls, gan, found.latent, note)


class PasteEdit(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_PasteEdit",
            display_name="Paste Edit",
            description="Put an edit back into the picture that its latent was found for. The rest stays.",
            search_aliases=["paste back", "composite edit", "uncrop", "photo edit"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                io.Image.Input("image", tooltip="The picture that went into Invert Image."),
                GANLatent.Input("latent", tooltip="From Apply Direction: the picture's latent, edited."),
                io.Float.Input(
                    "fade",
                    default=pasting.FADE,
                    min=pasting.FADES.least,
                    max=pasting.FADES.most,
                    step=0.01,
                    tooltip="How far beyond its region the edit fades out; a fraction of the GAN's image.",
                ),
                io.Boolean.Input(
                    "whole",
                    default=False,
                    tooltip="Put all of the edited image into the picture, instead of what the edit changed.",
                ),
                GANRegion.Input(
                    "region",
                    optional=True,
                    tooltip="What the edit is to change; the region of its directions if none is given.",
                ),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The picture with the edit."),
                io.Mask.Output("mask", display_name="mask", tooltip="How much of the edit each pixel has."),
            ],
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        image: Tensor,
        latent: resefa.Latent,
        fade: float,
        whole: bool,
        region: resefa.Region | None = None,
    ) -> io.NodeOutput:
        if len(latent) != 1:
            raise resefa.LatentError(f"{len(latent)} latents were given: expected the one of the picture")
        photo = photo_of(image)
        pasted = resefa.paste_edit(gan.ready(), photo, latent, region, fade, whole)
        own = to_comfy(from_comfy(image))
        result = torch.where(pasted.mask[None, :, :, None] > 0, to_comfy(pasted.image[None]), own)
        note = f"{pasted.seam:.2f} times as much edge as before where the edit fades out"
        shown = with_notes(ui.PreviewImage(result, cls=cls), foreign_note(gan, latent), note)
        return io.NodeOutput(as_output(result), as_output(pasted.mask[None]), ui=shown)


def photo_of(image: Tensor, mask: Tensor | None = None) -> resefa.Photo:
    """One of ComfyUI's images as a photo, with what does not count.

    Raises:
        PhotoError: several images, or a mask of another size.
    """
    images = from_comfy(image)
    if len(images) != 1:
        raise resefa.PhotoError(
            f"{len(images)} images were given: expected one; choose it by Image From Batch"
        )
    photo = resefa.Photo.of(images)
    if mask is None or not bool(mask.any()):
        return photo
    shape = tuple(mask.shape)
    ignored = mask[0] if mask.ndim == 3 and shape[0] == 1 else mask
    return replace(photo, ignored=ignored.detach().float().cpu().clone())
