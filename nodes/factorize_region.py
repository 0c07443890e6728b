"""Factorize Region."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from .core import resefa
from .latents import chosen_layers, foreign_note, layers_inputs, with_notes
from .node import Node
from .pictures import picture_to_comfy
from .runtime import (
    LoadedGAN,
    Progress,
    ProgressOfStages,
    as_output,
    synthesize,
)
from .sockets import GAN, GANDirections, GANLatent, GANRegion

_AUTO = "auto"
_OURS = ("resefa", resefa.CONFINED)
_SEEDS = 2**32
_ANALYSIS_IMAGES = 6
_ROW_SIDE = 256
_STRENGTHS = (-4.0, -2.0, 0.0, 2.0, 4.0)


class FactorizeRegion(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ReSeFa_FactorizeRegion",
            display_name="Factorize Region",
            category="GAN/ReSeFa",
            description="Find the directions that change a region and leave the rest of the image alone "
            "(Zhu et al., ICML 2022). The first run on a latent analyses it; that is kept for other regions.",
            search_aliases=["resefa", "find directions", "semantic directions", "sefa", "local edit"],
            has_intermediate_output=True,
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input(
                    "latent", tooltip="The image to edit; a batch gives directions that hold for all of it."
                ),
                GANRegion.Input("region", tooltip="From Select Region."),
                io.Int.Input(
                    "num_directions",
                    default=6,
                    min=1,
                    max=64,
                    tooltip="How many, the most local first.",
                ),
                io.Int.Input(
                    "further_samples",
                    default=0,
                    min=0,
                    max=32,
                    tooltip="0: directions for the image at hand. 6 or more: directions that hold for other "
                    "images too, to save and share; takes as many times as long.",
                ),
                io.Combo.Input(
                    "space",
                    options=[_AUTO, "w+", "s", "w", "z+", "z"],
                    default=_AUTO,
                    tooltip="Where to look: auto takes the generator's most local one that transfers well "
                    "(w+ for StyleGAN). s: single style channels; w, z: all layers alike.",
                ),
                *layers_inputs(),
                io.Float.Input(
                    "regularization",
                    default=1e-4,
                    min=1e-6,
                    max=1.0,
                    step=1e-6,
                    round=1e-6,
                    tooltip="Higher: larger changes inside, and more outside. The paper's value is 0.001. "
                    "For the methods resefa and resefa-confined.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "method",
                    options=list(resefa.METHODS),
                    default="resefa",
                    optional=True,
                    tooltip="resefa and resefa-confined are this pack's own: the latter for edits that stay "
                    "inside the region, far more local; soften its edge, by feather 0.03 in Select Region. "
                    "The others, to compare with, are as their authors published them; with space set to "
                    "auto, each works in its own.",
                    advanced=True,
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
    ) -> io.NodeOutput:
        generator = gan.ready(images=_ANALYSIS_IMAGES)
        generator.check_latent(latent)
        chosen = chosen_layers(generator, layers, layer_list)
        named = None if space == _AUTO else space
        finder = resefa.methods.check_method(method, generator, named)
        batch = [latent[i] for i in range(len(latent))]
        batch += [further_sample(generator, latent, i) for i in range(further_samples)]
        analysed = batch if finder.uses_analyses else []
        progress = ProgressOfStages(len(analysed) + 3)
        lit = resefa.show_region(synthesize(gan, latent[:1])[0], region, side=256)
        budget = resefa.analysis.budget_of_each(len(batch))
        kept: dict[str, resefa.Jacobian] = {}
        kind: Literal["auto", "dense", "matrix-free"] = "auto"
        for each in analysed:
            jacobian = gan.analyses.analyse(
                generator,
                each,
                named or finder.spaces_of(generator)[0],
                chosen,
                method=kind,
                memory_budget=budget,
                progress=progress.stage(lit),
            )
            kept[each.digest] = jacobian
            kind = jacobian.kind
        gan.keep_within_bound()
        directions = resefa.find_directions(
            generator,
            batch,
            region,
            method,
            num_directions=num_directions,
            space=named,
            layers=chosen,
            parameters={"regularization": regularization} if method in _OURS else None,
            jacobians=(lambda each, _: kept[each.digest]) if kept else None,
            progress=progress.stage(lit),
        )
        if generator.can_confine and directions.steps_confined is None:
            directions = resefa.with_confined_steps(generator, latent, directions, progress=progress.stage())
        directions, sheet = with_strips(generator, latent[:1], directions, progress.stage())
        progress.finish(sheet)
        images = picture_to_comfy(sheet)
        shown = with_notes(ui.PreviewImage(images, cls=cls), foreign_note(gan, latent))
        return io.NodeOutput(directions, as_output(images), ui=shown)


def further_sample(generator: resefa.Generator, latent: resefa.Latent, index: int) -> resefa.Latent:
    """Another sample drawn as the latent's first was: the seeds after its last."""
    last = -1 if latent.seed is None else latent.seed[-1]
    label = None if latent.label is None else int(latent.label[0])
    return generator.sample((last + 1 + index) % _SEEDS, latent.truncation, label, latent.truncation_layers)


def with_strips(
    generator: resefa.Generator, latent: resefa.Latent, directions: resefa.Directions, progress: Progress
) -> tuple[resefa.Directions, Image.Image]:
    """A sheet with a labelled row of images for each direction; the directions get the first row's ends
    as their thumbnail."""
    rows: list[Tensor] = []
    for index in range(len(directions)):
        (row,) = resefa.sweep(generator, latent, directions[index], _STRENGTHS)
        side = min(row.shape[-1], _ROW_SIDE)
        rows.append(F.interpolate(row, size=(side, side), mode="area").cpu())
        progress(index + 1, len(directions))
    sheet = resefa.contact_sheet(
        [list(row) for row in rows],
        resefa.change_labels(directions),
        resefa.sheets.strength_labels(_STRENGTHS),
    )
    ends = resefa.to_pil(torch.cat([rows[0][0], rows[0][len(_STRENGTHS) // 2], rows[0][-1]], dim=2))
    return replace(directions, thumbnail=resefa.encode_thumbnail(ends)), sheet
