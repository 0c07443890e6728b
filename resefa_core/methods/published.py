"""What the code published with the paper computes (zhujiapeng/resefa), in its two forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..analysis import analysis_size, compute_jacobian, images_at_once, memory_for
from ..directions import Directions
from ..errors import RegionError
from ..generators.base import Generator
from ..latents import Latent
from ..memory import in_chunks
from ..precision import analysis_mode, as_float32
from ..progress import Progress, stage
from ..spaces import ONE_VECTOR, identity_chunk, latent_space
from .base import Request, measured, register_method

_CITATION = (
    "Zhu, Shen, Xu, Zhao and Chen: Region-Based Semantic Factorization in GANs. ICML 2022; "
    "the code at github.com/zhujiapeng/resefa"
)


@register_method(
    key="published",
    title="ReSeFa, the published code",
    citation=_CITATION,
    summary="What the authors' program does for images up to 256 pixels: no regularization, in float32, at "
    "the untruncated code.",
    spaces=ONE_VECTOR,
    one_space=True,
    uses_region=True,
)
def find(request: Request) -> Directions:
    """Its form up to 256 pixels: all colour channels are kept."""
    return _find(request, sum_channels=False)


@register_method(
    key="published-large",
    title="ReSeFa, the published code for large images",
    citation=_CITATION,
    summary="What the authors' program does for images above 256 pixels: colour channels are summed, and the "
    "image is reduced to every n-th pixel.",
    spaces=ONE_VECTOR,
    one_space=True,
    uses_region=True,
)
def find_large(request: Request) -> Directions:
    """Its form above 256 pixels: every n-th pixel, and the sum of the colour channels."""
    return _find(request, sum_channels=True)


def _find(request: Request, sum_channels: bool) -> Directions:
    matrices = []
    for index, latent in enumerate(request.latents):
        progress = stage(stage(request.progress, 0, 2), index, len(request.latents))
        matrices.append(_jacobian(request, untruncated(request.generator, latent), sum_channels, progress))
    hards = [region.mask(*matrices[0].shape[2:]) > 0.5 for region in request.regions]
    vectors = published_vectors(matrices, hards)[: request.num_directions]
    return measured(request, vectors, stage(request.progress, 1, 2))


def _jacobian(request: Request, latent: Latent, sum_channels: bool, progress: Progress | None) -> Tensor:
    """The derivative of the image with respect to one vector on all layers, `(d, C, h, w)`; which layers it
    is applied to doesn't matter to the published code."""
    generator = request.generator
    if sum_channels and analysis_size(generator) != generator.image_size:
        return _sampled_columns(generator, latent, request.space, progress)
    if request.analyse is not None and len(request.layers) == generator.num_layers:
        (jacobian,) = request.analyses(progress, [latent])
    else:
        jacobian = compute_jacobian(generator, latent, request.space, kind="dense", progress=progress)
    matrix = jacobian.formed().matrix.cpu()
    return matrix.sum(dim=1, keepdim=True) if sum_channels else matrix


def _sampled_columns(generator: Generator, latent: Latent, space: str, progress: Progress | None) -> Tensor:
    """The derivative of the channels' sum at the pixels that reduction by nearest neighbour keeps."""
    with analysis_mode():
        generator = as_float32(generator)
        point = latent.map_tensors(torch.clone).to(generator.device, torch.float32)
        chosen = latent_space(generator, point, space)
        linearization = generator.linearize(generator.styles(point), generator.condition(point))
        size = analysis_size(generator)
        matrix = torch.empty(chosen.dimension, 1, *size)

        def some(rows: slice) -> Tensor:
            vectors = identity_chunk(rows.start, rows.stop, chosen.dimension, generator.device)
            tangents = linearization.push(chosen.lift(vectors)).sum(dim=1, keepdim=True)
            return F.interpolate(tangents, size=size, mode="nearest")

        in_chunks(some, matrix, images_at_once(generator, memory_for(generator.device) // 4), progress)
    return matrix


def published_vectors(matrices: list[Tensor], hard: Tensor | list[Tensor]) -> Tensor:
    """The eigenvectors of inv(B) A, each Gram matrix divided by its rows, in float32.

    Args:
        matrices: Jacobians `(d, C, h, w)`; with several, A and B are means over them, which the published
            code does not have.
        hard: the region, boolean, `(h, w)`; one for all images or one for each.

    Returns:
        Unit vectors `(d, d)`, by descending real part of their eigenvalues.

    Raises:
        RegionError: the region has no pixel of a weight above one half, or all have, or B is singular.
    """
    hards = [hard] * len(matrices) if isinstance(hard, Tensor) else hard
    if not all(bool(each.any()) and not bool(each.all()) for each in hards):
        raise RegionError("the region has no pixels inside, or none outside, once its edge is made sharp")
    own = list(zip(matrices, hards, strict=True))
    a, b = (
        np.mean([_gram(m[:, :, inside == side].flatten(1).numpy()) for m, inside in own], axis=0)
        for side in (True, False)
    )
    try:
        values, vectors = np.linalg.eig(np.linalg.inv(b) @ a)
    except np.linalg.LinAlgError as error:
        raise RegionError(f"the published code does not regularize, and fails here: {error}") from error
    chosen_vectors = np.real(vectors).T[np.argsort(-np.real(values))]
    return torch.from_numpy(chosen_vectors / np.linalg.norm(chosen_vectors, axis=1, keepdims=True))


def _gram(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows @ rows.T / np.float32(rows.shape[1])


def untruncated(generator: Generator, latent: Latent) -> Latent:
    """The latent as it was before truncation, what it was moved by since then included."""
    if latent.truncation == 1.0:
        return latent
    codes = latent.codes
    with torch.no_grad():
        if latent.z is not None:
            drawn, label = latent.z.to(generator.device, generator.dtype), latent.label
            label = None if label is None else label.to(generator.device)
            truncation = (latent.truncation, latent.truncation_layers)
            moved = codes.to(drawn) - generator.codes_of_noise(drawn, label, *truncation)
            codes = generator.codes_of_noise(drawn, label, 1.0) + moved
        elif latent.truncation:
            count = generator.num_layers if latent.truncation_layers is None else latent.truncation_layers
            mean = generator.mean_codes_of(latent.label).to(codes)[..., :count, :]
            codes = codes.clone()
            codes[:, :count] = mean + (codes[:, :count] - mean) / latent.truncation
        elif latent.seed is not None:
            label_of = None if latent.label is None else latent.label.tolist()
            codes = codes + generator.sample(latent.seed, 1.0, label_of).codes.to(codes)
    return replace(latent, codes=codes, truncation=1.0, truncation_layers=None)
