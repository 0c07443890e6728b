"""Direction Sliders."""

from __future__ import annotations

from comfy_api.latest import io

from .apply_direction import confine_inputs, edit_inputs, move_of
from .core import about, read_strengths, resefa
from .latents import latent_outputs, offered, with_image
from .node import Node, schema
from .runtime import LoadedGAN


class DirectionSliders(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_DirectionSliders",
            display_name="Direction Sliders",
            description="All directions of a set on one node, a slider for each. The sliders come with the "
            "first run.",
            search_aliases=["expression editor", "sliders", "edit gan", "multiple directions", "face editor"],
            is_output_node=True,
            inputs=[
                *edit_inputs(),
                io.String.Input(
                    "strengths",
                    default="",
                    placeholder="smile=2",
                    tooltip="What the sliders say, in steps: NAME=STRENGTH for each direction, separated by "
                    "line breaks. Connect a text to set them from elsewhere. Names that the set does "
                    "not have are passed over.",
                ),
                *confine_inputs(),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        latent: resefa.Latent,
        directions: resefa.Directions,
        strengths: str,
        confine: float,
        confine_feather: float,
        region: resefa.Region | None = None,
    ) -> io.NodeOutput:
        amounts, unknown = read_strengths(directions, strengths)
        move = move_of(gan, latent, directions, amounts, region, confine, confine_feather)
        notes = (directions.origin_note(gan.generator), about.in_range(directions, amounts), unknown)
        shown = with_image(cls, gan, resefa.Edit((move,)).apply(latent), *notes)
        return offered(shown, directions)
