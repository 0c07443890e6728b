"""Apply Direction and Direction Sweep."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from .core import about, parsing, resefa
from .latents import foreign_note, latent_outputs, with_image, with_notes
from .node import Node
from .pictures import to_comfy
from .runtime import LoadedGAN, ProgressBar, as_output, synthesize
from .sockets import GAN, GANDirections, GANLatent, GANRegion


def direction_inputs() -> list[io.Input]:
    """What both nodes ask for first."""
    return [
        GAN.Input("gan", tooltip="From Load GAN."),
        GANLatent.Input("latent", tooltip="What to edit; a batch is edited alike."),
        GANDirections.Input("directions", tooltip="From Factorize Region or Load Directions."),
        io.String.Input(
            "direction",
            default="0",
            tooltip="Which one: its number, counted from 0, or its name.",
        ),
    ]


def confine_inputs() -> list[io.Input]:
    """What both nodes ask for last."""
    least, most = resefa.defaults.FEATHERS
    return [
        io.Float.Input(
            "confine",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.05,
            display_mode=io.NumberDisplay.slider,
            tooltip="1 moves the codes inside the region only. Directions of the method resefa-confined are "
            "for that, and are confined whatever this says. Needs a convolutional GAN.",
        ),
        io.Float.Input(
            "confine_feather",
            default=resefa.defaults.CONFINED_FEATHER,
            min=least,
            max=most,
            step=0.005,
            tooltip="Softens the edge of an edit that confine confines; a fraction of the image's height.",
            advanced=True,
        ),
        GANRegion.Input(
            "region",
            optional=True,
            tooltip="Confine to this region; to the one that the directions were found for if none is given.",
        ),
    ]


def which(directions: resefa.Directions, text: str) -> resefa.Directions:
    """One direction of a set, by number or by name.

    Raises:
        ParameterError: there is none.
    """
    name = text.strip()
    return directions[name if name in directions.names else parsing.parse_which(name)]


def move_along(
    gan: LoadedGAN,
    latent: resefa.Latent,
    directions: resefa.Directions,
    direction: str,
    strength: float,
    region: resefa.Region | None,
    confine: float,
    feather: float,
) -> resefa.Move:
    """A move along one direction, which fits the generator; it is confined as the directions are, and as
    softly, if they were found for that."""
    chosen = which(directions, direction)
    amount, softness = (None, None) if chosen.confined else (confine, feather)
    return resefa.Move.of(gan.ready(), latent, chosen, {0: strength}, amount, softness, region)


class ApplyDirection(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ReSeFa_ApplyDirection",
            display_name="Apply Direction",
            category="GAN/ReSeFa",
            description="Move a latent along a direction. Chain several to combine edits.",
            search_aliases=["edit gan", "apply edit", "move latent", "smile"],
            has_intermediate_output=True,
            inputs=[
                *direction_inputs(),
                io.Float.Input(
                    "strength",
                    default=3.0,
                    min=-12.0,
                    max=12.0,
                    step=0.1,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="How far, in steps: one step is the same visible change for every direction.",
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
        direction: str,
        strength: float,
        confine: float,
        confine_feather: float,
        region: resefa.Region | None = None,
    ) -> io.NodeOutput:
        move = move_along(gan, latent, directions, direction, strength, region, confine, confine_feather)
        notes = (
            move.directions.origin_note(gan.generator),
            about.in_range(move.directions, move.strengths),
        )
        return with_image(cls, gan, resefa.Edit((move,)).apply(latent), *notes)


class DirectionSweep(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ReSeFa_DirectionSweep",
            display_name="Direction Sweep",
            category="GAN/ReSeFa",
            description="A direction at several strengths, as a batch of images for a grid or a video node.",
            search_aliases=["gan animation", "sweep", "slider images", "latent walk"],
            has_intermediate_output=True,
            inputs=[
                *direction_inputs(),
                io.Float.Input(
                    "first", default=-4.0, min=-12.0, max=12.0, step=0.5, tooltip="First strength."
                ),
                io.Float.Input("last", default=4.0, min=-12.0, max=12.0, step=0.5, tooltip="Last strength."),
                io.Int.Input("frames", default=9, min=2, max=512, tooltip="How many images, evenly spaced."),
                *confine_inputs(),
            ],
            outputs=[
                io.Image.Output(
                    "images", display_name="images", tooltip="For each strength the images of the batch."
                )
            ],
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        latent: resefa.Latent,
        directions: resefa.Directions,
        direction: str,
        first: float,
        last: float,
        frames: int,
        confine: float,
        confine_feather: float,
        region: resefa.Region | None = None,
    ) -> io.NodeOutput:
        move = move_along(gan, latent, directions, direction, last, region, confine, confine_feather)
        report = ProgressBar().part(0.0, 1.0)
        images = []
        for index, strength in enumerate(torch.linspace(first, last, frames).tolist()):
            moved = move.with_strengths({0: strength}).apply(latent)
            images.append(to_comfy(synthesize(gan, moved)))
            report(index + 1, frames)
        batch = torch.cat(images)
        notes = (foreign_note(gan, latent), move.directions.origin_note(gan.generator))
        return io.NodeOutput(as_output(batch), ui=with_notes(ui.PreviewImage(batch, cls=cls), *notes))
