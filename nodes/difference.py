"""Image Difference."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from .core import resefa
from .node import Node, schema
from .pictures import from_comfy, picture_to_comfy
from .runtime import as_output


class ImageDifference(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_ImageDifference",
            display_name="Image Difference",
            description="Where an edit has changed an image: as a mask, and as a heat map to look at.",
            search_aliases=["difference mask", "heat map", "change mask", "compare images"],
            inputs=[
                io.Image.Input("before", tooltip="The image before the edit."),
                io.Image.Input("after", tooltip="The image after it, of the same size; a batch of them."),
                io.Float.Input(
                    "gain",
                    default=resefa.sheets.GAIN,
                    min=0.1,
                    max=100.0,
                    step=0.1,
                    tooltip="How much a difference is amplified; 1 makes white of black against white alone.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask", display_name="mask", tooltip="The differences, a mask for each image."
                ),
                io.Image.Output("map", display_name="heat map", tooltip="The same in colours."),
            ],
        )

    @classmethod
    def run(cls, before: Tensor, after: Tensor, gain: float) -> io.NodeOutput:
        masks = resefa.sheets.differences(from_comfy(before), from_comfy(after), gain)
        maps = torch.cat([picture_to_comfy(resefa.sheets.heat_map(mask.numpy())) for mask in masks])
        return io.NodeOutput(masks, as_output(maps), ui=ui.PreviewImage(maps, cls=cls))
