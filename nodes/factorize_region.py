"""Factorize Region."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from comfy_api.latest import io, ui
from PIL import Image

from .core import parsing, resefa
from .latents import chosen_layers, feather_input, foreign_note, layers_inputs, offered, with_notes
from .node import Node, schema
from .pictures import picture_to_comfy
from .runtime import LoadedGAN, ProgressBar, as_output
from .sockets import GAN, GANDirections, GANLatent, GANRegion

_AUTO = "auto"
_ROW_SIDE = 256
FOUND = 0.9


class FactorizeRegion(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        share = resefa.defaults.SAMPLES_TO_SHARE
        return schema(
            node_id="ReSeFa_FactorizeRegion",
            display_name="Factorize Region",
            description="Find the directions that change a region and leave the rest of the image alone "
            "(Zhu et al., ICML 2022). The first run on a latent analyses it; that is kept for other regions.",
            search_aliases=["resefa", "find directions", "semantic directions", "sefa", "local edit"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input(
                    "latent", tooltip="The image to edit; a batch gives directions that hold for all of it."
                ),
                GANRegion.Input("region", tooltip="From Select Region."),
                io.Int.Input(
                    "num_directions",
                    default=resefa.defaults.NUM_DIRECTIONS,
                    min=1,
                    max=resefa.defaults.MAX_DIRECTIONS,
                    tooltip="How many, the most local first.",
                ),
                io.Int.Input(
                    "further_samples",
                    default=0,
                    min=0,
                    max=32,
                    tooltip="Of older graphs: so many images more than the batch has. Use samples instead.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "space",
                    options=[_AUTO, *resefa.SPACES],
                    default=_AUTO,
                    tooltip="Where to look: auto takes the generator's most local one that transfers well "
                    "(w+ for StyleGAN). s: single style channels; w, z: all layers alike.",
                ),
                *layers_inputs(),
                io.Float.Input(
                    "regularization",
                    default=resefa.solve.REGULARIZATION,
                    min=1e-6,
                    max=1.0,
                    step=1e-6,
                    round=1e-6,
                    tooltip="Higher: larger changes inside, and more outside; lower: more local, and further "
                    f"to go. For {' and '.join(regularized())}; 0.001 stands for the method's own.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "method",
                    options=list(resefa.METHODS),
                    default="resefa",
                    optional=True,
                    tooltip="resefa and resefa-confined are this pack's own: the latter for edits that stay "
                    "inside the region, far more local. "
                    "The others, to compare with, are as their authors published them; with space set to "
                    "auto, each works in its own.",
                    advanced=True,
                ),
                io.Int.Input(
                    "samples",
                    default=1,
                    min=1,
                    max=resefa.defaults.LARGEST_JOINT,
                    optional=True,
                    tooltip="How many images to solve together in all. 1: directions for the image at hand. "
                    f"{share} or more: directions that hold for others too, to save and share; takes as "
                    "many times as long. A batch counts in full.",
                ),
                io.String.Input(
                    "parameters",
                    default="",
                    placeholder="num_samples=20",
                    optional=True,
                    tooltip="Further parameters of the method, as NAME=VALUE, separated by commas.",
                    advanced=True,
                ),
                io.Boolean.Input(
                    "only_good",
                    default=True,
                    optional=True,
                    tooltip="Return those that are worth offering, named by what they change; off: all of "
                    "them, in the order in which they were found. For resefa and resefa-confined.",
                ),
                io.Boolean.Input(
                    "colour",
                    default=False,
                    optional=True,
                    tooltip="Let a change of the region's mean colour count, as for lipstick or dyed hair; "
                    "off: shapes. For the methods resefa and resefa-confined.",
                ),
                feather_input(
                    "Softens the region's edge for resefa-confined; a fraction of the image's height.",
                    optional=True,
                ),
            ],
            outputs=[
                GANDirections.Output(
                    "directions", display_name="directions", tooltip="For Apply Direction, or to save."
                ),
                io.Image.Output(
                    "strips", display_name="strips", tooltip="What each direction does, from -4 to +4 steps."
                ),
            ],
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        latent: resefa.Latent,
        region: resefa.Region,
        num_directions: int,
        further_samples: int,
        space: str,
        layers: str,
        layer_list: str,
        regularization: float,
        method: str = "resefa",
        samples: int = 1,
        parameters: str = "",
        only_good: bool = False,
        colour: bool | None = None,
        confine_feather: float = 0.0,
    ) -> io.NodeOutput:
        session = gan.session(latent)
        generator = session.generator
        given = parsing.parse_parameters(parameters)
        if method in regularized():
            chosen = {"colour": float(bool(colour))}
            if colour is None:  # a graph of an earlier version
                chosen = resefa.METHODS[method].earlier_parameters({})
            if colour is None or regularization != resefa.solve.REGULARIZATION:
                chosen["regularization"] = regularization
            given = chosen | given
        lit = resefa.show_region(session.before, region, side=256)
        progress = ProgressBar()
        found = session.find(
            region,
            method=method,
            space=None if space == _AUTO else space,
            layers=chosen_layers(generator, layers, layer_list),
            count=num_directions,
            samples=max(samples, len(latent)) + further_samples,
            feather=confine_feather if method == resefa.CONFINED else 0.0,
            parameters=given,
            only_good=only_good,
            progress=progress.part(0.0, FOUND, lit),
        )
        gan.keep_within_bound()
        directions = replace(session.finished(found), names=found.names)  # graphs choose directions by name
        sheet = strips(session, directions, progress)
        progress.finish(sheet)
        images = picture_to_comfy(sheet)
        shown = with_notes(ui.PreviewImage(images, cls=cls), foreign_note(gan, latent))
        return offered(io.NodeOutput(directions, as_output(images), ui=shown), directions)


def regularized() -> list[str]:
    """The methods that the widgets `regularization` and `colour` are for."""
    return [key for key, method in resefa.METHODS.items() if "colour" in method.check_parameters({})]


def strips(session: resefa.Session, directions: resefa.Directions, progress: ProgressBar) -> Image.Image:
    """A sheet with a labelled row of images for each direction."""
    rows = []
    for strip in session.strips(directions, progress=progress.part(FOUND, 1.0)):
        height, width = strip.images.shape[2:]
        size = resefa.analysis.shrunk(height, width, _ROW_SIDE)
        rows.append(list(F.interpolate(strip.images, size=size, mode="area").cpu()))
    columns = resefa.sheets.strength_labels(resefa.defaults.strengths_within(directions.strength_range))
    return resefa.contact_sheet(rows, resefa.change_labels(directions), columns)
