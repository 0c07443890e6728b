"""Analysing one image: forming its Jacobian, or preparing to apply it, whichever pays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch

from ..errors import LatentError, ParameterError
from ..generators.base import Generator
from ..latents import Latent
from ..precision import analysis_mode, float64_rate
from ..progress import Progress, Stages
from ..regions import Region
from .budget import KindChoice, budget_of_each, kind_for, memory_for
from .dense import DenseJacobian
from .derivative import ImageDerivative, derivative_at
from .jacobian import Jacobian, Subject
from .joint import JointJacobian
from .matrix_free import MatrixFreeJacobian

TYPICAL_PASSES = 400


@dataclass(frozen=True)
class Estimate:
    """What an analysis would cost.

    Attributes:
        dimension: d, the dimension of the latent space.
        dense_bytes: size of the Jacobian, if it is formed.
        dense_seconds: about how long forming it takes.
        matrix_free_seconds: about how long one region takes without forming it.
    """

    dimension: int
    dense_bytes: int
    dense_seconds: float
    matrix_free_seconds: float


def compute_jacobian(
    generator: Generator,
    latent: Latent,
    space: str | None = None,
    layers: Iterable[int] | None = None,
    *,
    kind: KindChoice = "auto",
    memory_budget: int | None = None,
    confine_to: Region | None = None,
    rough: bool | None = None,
    progress: Progress | None = None,
    method: KindChoice | None = None,
) -> Jacobian:
    """Analyse an image: how each of its pixels depends on each entry of its latent (Eq. 4).

    The image is averaged over areas to at most 256 x 256; all colour channels are kept; the analysis
    is in float32 whatever the weights' type. Works under `torch.inference_mode()`.

    Args:
        generator: on any device.
        latent: its own moves are part of the point that is analysed. Of a batch each image is analysed; what
            comes back is a batch as well, `jacobian[i]`, and `factorize` solves for all of it.
        space: `w+`, `w`, `s`, `z`, `z+`; the generator's default, its first, for None.
        layers: the layers that directions will be applied to; all for None.
        kind: form the Jacobian (`dense`), only apply it (`matrix-free`), or what `kind_for` says of its
            size (`auto`): the same on every machine.
        memory_budget: what the analysis may take, in bytes. `auto` forms what fits half of it, 1 GiB where
            none is given; passes are split to fit it, by default 2 GiB, or half of what is free on a CUDA
            device. Several images share it, or twice the 2 GiB.
        confine_to: analyse edits that are fully confined to this region: the code moves inside it only. Such
            an analysis is for directions of that region; None: of any.
        rough: whether products are taken in bfloat16, off by a percent, where the generator has such ones.
            Of a Jacobian that is only applied this is for the search for directions alone: what they change,
            quotients and steps are computed in float32 all the same; None: where the processor or card
            multiplies in it. One that is formed stays off by a percent, and so does what
            is told of its directions; None: not.
        progress: called with (tangents done, tangents in all); the analysis stops if it raises.
        method: the name of `kind` in version 0.2.

    Raises:
        LatentError: the latent, the space or the layers do not fit the generator, it can't confine edits, or
            the image does not respond to the latent at all.
        ParameterError: unknown kind.
    """
    kind = kind if method is None else method
    if kind not in ("auto", "dense", "matrix-free"):
        raise ParameterError(f"kind {kind!r} is unknown: expected 'auto', 'dense' or 'matrix-free'")
    generator.check_latent(latent)
    count = len(latent)
    if count > 1:
        share = budget_of_each(count) if memory_budget is None else memory_budget // count
        report = Stages(progress, count)
        layers = None if layers is None else list(layers)
        parts = []
        for index in range(count):
            part = compute_jacobian(
                generator,
                latent[index],
                space,
                layers,
                kind=kind,
                memory_budget=share,
                confine_to=confine_to,
                rough=rough,
                progress=report.stage(1),
            )
            part.release()
            parts.append(part)
        return JointJacobian(parts, latent.map_tensors(torch.clone))
    with analysis_mode():
        latent = latent.map_tensors(torch.clone)
        passes_budget = memory_for(generator.device) if memory_budget is None else memory_budget
        derivative = derivative_at(generator, latent, space, layers, passes_budget // 2, confine_to)
        chosen = derivative.space
        subject = Subject.of(generator, latent, chosen.name, chosen.layers, confine_to)
        jacobian: Jacobian
        if kind == "auto":
            kind = kind_for(derivative.dimension, derivative.num_outputs, memory_budget)
        if kind == "dense":
            products = derivative.rough(torch.bfloat16) if rough else derivative
            jacobian = DenseJacobian(products.columns(progress), subject, rough=products is not derivative)
            jacobian.passes = jacobian.dimension
            jacobian.gram(
                beat=None if progress is None else partial(progress, jacobian.passes, jacobian.passes)
            )
        else:
            jacobian = MatrixFreeJacobian(generator, subject, derivative, rough=rough)
            jacobian.prepare(progress)
    jacobian.check_response()
    return jacobian


def estimate(
    generator: Generator, latent: Latent, space: str | None = None, layers: Iterable[int] | None = None
) -> Estimate:
    """What analysing a latent would cost here, from the time of one warm tangent pass.

    Raises:
        LatentError: the latent, the space or the layers do not fit the generator.
    """
    _check_one(generator, latent)
    with analysis_mode():
        return _estimate(derivative_at(generator, latent, space, layers, memory_for(generator.device)))


def _check_one(generator: Generator, latent: Latent) -> None:
    if len(latent) != 1:
        raise LatentError(f"{len(latent)} latents were given: analyse one at a time, latent[i]")
    generator.check_latent(latent)


def _estimate(derivative: ImageDerivative) -> Estimate:
    dimension, outputs = derivative.dimension, derivative.num_outputs
    seconds_per_pass = derivative.seconds_per_pass()
    gram_seconds = dimension**2 * outputs / float64_rate(derivative.device)
    share = 1.0 if derivative.space.shared else 0.6
    return Estimate(
        dimension=dimension,
        dense_bytes=4 * dimension * outputs,
        dense_seconds=seconds_per_pass * dimension * share + gram_seconds,
        matrix_free_seconds=seconds_per_pass * min(TYPICAL_PASSES, dimension),
    )
