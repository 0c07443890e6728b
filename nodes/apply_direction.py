"""Apply Direction and Direction Sweep."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from comfy_api.latest import io, ui

from .core import about, index_of, resefa
from .latents import feather_input, foreign_note, latent_outputs, offered, with_image, with_notes
from .node import Node, schema
from .pictures import to_comfy
from .runtime import LoadedGAN, ProgressBar, as_output, synthesize
from .sockets import GAN, GANDirections, GANLatent, GANRegion

BY_STRENGTH, BY_IMAGE = "strength by strength", "image by image"
MOST_FRAMES = 512


def edit_inputs() -> list[io.Input]:
    """What a node that edits latents asks for first."""
    return [
        GAN.Input("gan", tooltip="From Load GAN."),
        GANLatent.Input("latent", tooltip="What to edit; a batch is edited alike."),
        GANDirections.Input("directions", tooltip="From Factorize Region or Load Directions."),
    ]


def direction_inputs() -> list[io.Input]:
    """What a node that edits along one direction asks for first."""
    return [
        *edit_inputs(),
        io.String.Input(
            "direction",
            default="0",
            tooltip="Which one: a name, once a run has shown which there are; or its number, counted from 0.",
        ),
    ]


def confine_inputs() -> list[io.Input]:
    """What a node that edits latents asks for last."""
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
        feather_input("Softens the edge of an edit that confine confines; a fraction of the image's height."),
        GANRegion.Input(
            "region",
            optional=True,
            tooltip="Confine to this region; to the one that the directions were found for if none is given.",
        ),
    ]


def move_of(
    gan: LoadedGAN,
    latent: resefa.Latent,
    directions: resefa.Directions,
    strengths: Mapping[int | str, float],
    region: resefa.Region | None,
    confine: float,
    feather: float,
) -> resefa.Move:
    """A move that fits the generator; it is confined as the directions are, and as softly, if they were found
    for that."""
    amount, softness = (None, None) if directions.confined else (confine, feather)
    return resefa.Move.of(gan.ready(), latent, directions, strengths, amount, softness, region)


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
    """A move along one direction of a set; see `move_of`."""
    chosen = directions[index_of(directions, direction)]
    return move_of(gan, latent, chosen, {0: strength}, region, confine, feather)


class ApplyDirection(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        least, most = resefa.defaults.STRENGTH_RANGE
        return schema(
            node_id="ReSeFa_ApplyDirection",
            display_name="Apply Direction",
            description="Move a latent along a direction. Chain several to combine edits.",
            search_aliases=["edit gan", "apply edit", "move latent", "smile"],
            inputs=[
                *direction_inputs(),
                io.Float.Input(
                    "strength",
                    default=3.0,
                    min=least,
                    max=most,
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
        shown = with_image(cls, gan, resefa.Edit((move,)).apply(latent), *notes)
        return offered(shown, directions)


class DirectionSweep(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        least, most = resefa.defaults.STRENGTH_RANGE
        return schema(
            node_id="ReSeFa_DirectionSweep",
            display_name="Direction Sweep",
            description="A direction at several strengths, as a batch of images for a grid or a video node.",
            search_aliases=["gan animation", "sweep", "slider images", "latent walk"],
            inputs=[
                *direction_inputs(),
                io.Float.Input(
                    "first", default=-4.0, min=least, max=most, step=0.5, tooltip="First strength."
                ),
                io.Float.Input("last", default=4.0, min=least, max=most, step=0.5, tooltip="Last strength."),
                io.Int.Input(
                    "frames", default=9, min=2, max=MOST_FRAMES, tooltip="How many images, evenly spaced."
                ),
                *confine_inputs(),
                io.Combo.Input(
                    "order",
                    options=[BY_STRENGTH, BY_IMAGE],
                    default=BY_STRENGTH,
                    optional=True,
                    tooltip="Of a batch: all its images at one strength after another, or one image after "
                    "another at all strengths, as a video of each.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "images", display_name="images", tooltip="All images, in the order that was chosen."
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
        order: str = BY_STRENGTH,
    ) -> io.NodeOutput:
        move = move_along(gan, latent, directions, direction, last, region, confine, confine_feather)
        report = ProgressBar().part(0.0, 1.0)
        images = []
        for index, strength in enumerate(torch.linspace(first, last, frames).tolist()):
            moved = move.with_strengths({0: strength}).apply(latent)
            images.append(to_comfy(synthesize(gan, moved)))
            report(index + 1, frames)
        stacked = torch.stack(images)
        batch = (stacked.transpose(0, 1) if order == BY_IMAGE else stacked).flatten(0, 1)
        notes = (foreign_note(gan, latent), move.directions.origin_note(gan.generator))
        shown = with_notes(ui.PreviewImage(batch, cls=cls), *notes)
        return offered(io.NodeOutput(as_output(batch), ui=shown), directions)
