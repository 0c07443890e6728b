"""Select Region."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from .core import resefa
from .node import Node, schema
from .pictures import from_comfy, picture_to_comfy
from .runtime import LoadedGAN, as_output
from .selection import COMBINE, NO_PRESET, REPLACE, chosen_part, preset_names, select
from .sockets import GAN, GANLatent, GANRegion

_MOUTH = {"x": 40, "y": 76, "width": 48, "height": 24}
"""Of the faces that Load GAN draws where nobody chooses."""


class SelectRegion(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        least, most = resefa.defaults.FEATHERS
        return schema(
            node_id="ReSeFa_SelectRegion",
            display_name="Select Region",
            description="Point at the part of the image to change: a box, a mask, a preset, or what "
            "moves together with a point of it.",
            search_aliases=["region", "box", "bounding box", "gan mask", "mouth", "eyes"],
            inputs=[
                io.Image.Input("image", tooltip="The GAN's image. Run once to see it under the box."),
                io.BoundingBox.Input(
                    "box",
                    component="ImageCrop",
                    default=_MOUTH,
                    tooltip="The part to change, in pixels of the image: drag it.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="From the mask editor, or from any segmentation node."
                ),
                io.Combo.Input(
                    "preset",
                    options=preset_names(),
                    default=NO_PRESET,
                    tooltip="Known places: of the bundled faces (avatars), of aligned photographs (ffhq), "
                    "of centred objects (biggan).",
                ),
                io.Combo.Input(
                    "combine",
                    options=list(COMBINE),
                    default=REPLACE,
                    tooltip="replace: the mask if there is one, else the preset, else the box. add: all of "
                    "them. intersect: what they have in common. subtract: the box without the others.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=least,
                    max=most,
                    step=0.005,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="Softens the edge; a fraction of the image's height.",
                ),
                io.Boolean.Input(
                    "invert", default=False, tooltip="Everything but the region.", advanced=True
                ),
                GAN.Input("gan", optional=True, tooltip="From Load GAN, for a part."),
                GANLatent.Input("latent", optional=True, tooltip="That the image is of, for a part."),
                io.String.Input(
                    "part",
                    default="",
                    placeholder="here, or mouth",
                    optional=True,
                    tooltip="With gan and latent connected: 'here' for what moves together with the middle "
                    "of the box, or the name of a part that GAN Parts lists. Empty for none.",
                ),
                io.Float.Input(
                    "part_size",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="How much belongs to the part.",
                    advanced=True,
                ),
            ],
            outputs=[
                GANRegion.Output("region", display_name="region", tooltip="For Factorize Region."),
                io.Mask.Output("mask", display_name="mask", tooltip="The region as a mask."),
                io.Image.Output("preview", display_name="preview", tooltip="The region over the image."),
            ],
        )

    @classmethod
    def run(
        cls,
        image: Tensor,
        box: dict[str, Any],
        preset: str,
        combine: str,
        feather: float,
        invert: bool,
        mask: Tensor | None = None,
        gan: LoadedGAN | None = None,
        latent: resefa.Latent | None = None,
        part: str = "",
        part_size: float = 0.5,
    ) -> io.NodeOutput:
        picture = from_comfy(image[:1])[0]
        height, width = picture.shape[1:]
        painted = None if mask is None else mask.reshape(-1, *mask.shape[-2:])[0]
        chosen = None
        if part.strip():
            if gan is None or latent is None:
                raise resefa.RegionError(
                    f"part {part[:40]!r}: connect gan and latent, or leave part empty to choose without them"
                )
            selection = chosen_part(part.strip(), part_size, box, width, height)
            chosen = gan.session(latent[:1]).region(selection)
            gan.keep_within_bound()
        region, note = select(box, width, height, painted, preset, combine, invert, feather, chosen)
        preview = picture_to_comfy(resefa.show_region(picture, region))
        weights = region.mask(height, width)[None]
        shown = ui.PreviewImage(preview, cls=cls).as_dict()
        shown["resefa_image"] = ui.PreviewImage(image[:1], cls=cls).as_dict()["images"]
        if note:
            shown["text"] = (note,)
        return io.NodeOutput(region, weights, as_output(preview), ui=shown)
