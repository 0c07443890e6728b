"""Walk Latents and Edit Over Frames: batches whose images are the frames of a video."""

from __future__ import annotations

from comfy_api.latest import io

from .apply_direction import MOST_FRAMES, confine_inputs, move_of
from .core import about, read_keyframes, resefa, sequences
from .latents import chosen_layers, layers_inputs, offered, with_image
from .node import Node, schema
from .runtime import LoadedGAN, ProgressBar
from .sockets import GAN, GANDirections, GANLatent

LINEAR, SPHERICAL = "linear", "spherical"
SMOOTH = "smooth"


def frames_outputs() -> list[io.Output]:
    return [
        GANLatent.Output("latent", display_name="latent", tooltip="The codes of all frames, as a batch."),
        io.Image.Output("images", display_name="images", tooltip="The frames, for a video node."),
    ]


def with_frames(cls: type[Node], gan: LoadedGAN, latent: resefa.Latent, *notes: str) -> io.NodeOutput:
    """A batch and its frames, see `with_image`, with a bar that fills as they are drawn."""
    return with_image(cls, gan, latent, *notes, report=ProgressBar().part(0.0, 1.0))


class WalkLatents(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_WalkLatents",
            display_name="Walk Latents",
            folder="sequences",
            description="Frames from one latent of a batch to the next, and back to the first for a loop.",
            search_aliases=["latent walk", "interpolation video", "gan animation", "morph", "slerp", "loop"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input(
                    "latent", tooltip="Two or more latents: a batch of Sample GAN Latent, or Join Latents."
                ),
                io.Int.Input(
                    "frames", default=48, min=2, max=MOST_FRAMES, tooltip="How many images, evenly spaced."
                ),
                io.Combo.Input(
                    "path",
                    options=[LINEAR, SPHERICAL],
                    default=LINEAR,
                    tooltip="linear: straight lines between the codes, calm. spherical: the noise moves on "
                    "great circles, and what is between is as varied as samples are; for latents of seeds.",
                ),
                io.Boolean.Input(
                    "loop", default=True, tooltip="Lead back to the first latent, so that the video repeats."
                ),
                *layers_inputs(),
            ],
            outputs=frames_outputs(),
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        latent: resefa.Latent,
        frames: int,
        path: str,
        loop: bool,
        layers: str,
        layer_list: str,
    ) -> io.NodeOutput:
        generator = gan.ready()
        chosen = chosen_layers(generator, layers, layer_list)
        walked = sequences.walk(generator, latent, frames, chosen, path == SPHERICAL, loop)
        return with_frames(cls, gan, walked)


class EditFrames(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_EditFrames",
            display_name="Edit Over Frames",
            folder="sequences",
            description="Edits whose strengths change from frame to frame, or from image to image.",
            search_aliases=["keyframes", "animate gan", "edit video", "schedule", "strength curve"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input(
                    "latent",
                    tooltip="One for all frames; or a batch, which has one for each, as of Walk Latents.",
                ),
                GANDirections.Input("directions", tooltip="From Factorize Region or Load Directions."),
                io.String.Input(
                    "keyframes",
                    default="0 = 0:0, 12:4, 36:-4",
                    multiline=True,
                    tooltip="A line for each direction: its name or number, and strengths in steps at frames "
                    "counted from 0, as in smile = 0:0, 12:3, 24:0. Or strengths alone, spread evenly, as in "
                    "smile = 0, 3, 0: as many as there are frames are one for each.",
                ),
                io.Int.Input(
                    "frames",
                    default=48,
                    min=1,
                    max=MOST_FRAMES,
                    tooltip="How many, for a single latent; a batch has as many as it has latents.",
                ),
                io.Combo.Input(
                    "between",
                    options=[SMOOTH, LINEAR],
                    default=SMOOTH,
                    tooltip="From key to key: smooth eases in and out, linear goes evenly.",
                ),
                io.Boolean.Input(
                    "loop",
                    default=True,
                    tooltip="Lead from the last key back to the first, so that it repeats.",
                ),
                *confine_inputs(),
            ],
            outputs=frames_outputs(),
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        latent: resefa.Latent,
        directions: resefa.Directions,
        keyframes: str,
        frames: int,
        between: str,
        loop: bool,
        confine: float,
        confine_feather: float,
        region: resefa.Region | None = None,
    ) -> io.NodeOutput:
        count = len(latent) if len(latent) > 1 else frames
        strengths, unknown = read_keyframes(directions, keyframes, count, between == SMOOTH, loop)
        move = move_of(gan, latent[:1], directions, {}, region, confine, confine_feather)
        moving = strengths or {0: [0.0] * count}
        moved = sequences.move_each(latent, move.directions, moving, move.confine, move.feather)
        furthest = {key: max(values, key=abs) for key, values in strengths.items()}
        notes = (directions.origin_note(gan.generator), about.in_range(directions, furthest), unknown)
        return offered(with_frames(cls, gan, moved, *notes), directions)
