"""StyleSpace: single style channels, by how much of what they change lies in the region."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..analysis import ANALYSIS_SIDE, analysed, applied, images_at_once, memory_for, shrunk
from ..directions import Directions
from ..errors import ParameterError, RegionError
from ..generators.base import Generator
from ..latents import Latent
from ..latents.samples import joint_samples
from ..memory import in_chunks
from ..precision import analysis_mode, as_float32, wide
from ..progress import Progress, stage
from ..regions import Region
from ..spaces import CHANNELS
from .base import Parameter, Request, measured, register_method

_PROBES = 16


@register_method(
    key="stylespace",
    title="StyleSpace",
    citation="Wu, Lischinski and Shechtman: StyleSpace Analysis: Disentangled Controls for StyleGAN Image "
    "Generation. CVPR 2021",
    summary="Single style channels, by how much of what each changes lies in the region.",
    spaces=CHANNELS,
    uses_region=True,
    parameters=(
        Parameter(
            name="num_samples",
            default=6,
            minimum=1,
            maximum=1000,
            help="over how many images scores are averaged: the given ones, then further seeds",
            published="1000",
            whole=True,
        ),
        Parameter(
            name="candidates",
            default=128,
            minimum=0,
            maximum=65_536,
            help="how many channels are differentiated one by one, after a coarse look at all; 0: all",
            published="all (0)",
            whole=True,
        ),
        Parameter(
            name="grid",
            default=64,
            minimum=4,
            maximum=256,
            help="side of the gradient maps, in pixels; at most the image's",
            published="32",
            whole=True,
        ),
        Parameter(
            name="overlap",
            default=0,
            minimum=0,
            maximum=1,
            help="1: rank by the share of a map's largest pixels, as many as the region has, that lie in the "
            "region; 0: by the share of the whole map",
            published="1",
            whole=True,
        ),
    ),
)
def find(request: Request) -> Directions:
    """The channels of the highest scores, each a direction by itself."""
    generator, parameters = request.generator, request.parameters
    candidates = channels_of_convolutions(generator, request.layers).nonzero()[:, 0]
    if len(candidates) == 0:
        raise ParameterError(f"layers {str(list(request.layers))[:80]} have no channels that can be ranked")
    grid = shrunk(*generator.image_size, min(ANALYSIS_SIDE, int(parameters["grid"])))
    images = _images(request)
    masks = [region.mask(*grid) for _, region in images]
    overlap = bool(parameters["overlap"])
    if overlap and not all(bool((mask > 0.5).any()) for mask in masks):
        raise RegionError(
            f"the region is too small for gradient maps of {grid[0]} x {grid[1]}: use a larger grid"
        )
    latents = [latent for latent, _ in images]
    limit = int(parameters["candidates"])
    halves = [stage(request.progress, half, 2) for half in (0, 1)]
    with analysis_mode():
        generator = as_float32(generator)
        if 0 < limit < len(candidates):
            shares = torch.zeros(len(candidates), dtype=torch.float64)
            for index, (latent, region) in enumerate(images):
                progress = stage(halves[0], index, len(images))
                shares += probed_shares(generator, latent, region, request.layers, progress)[candidates]
            candidates = candidates[shares.argsort(descending=True)[:limit]].sort().values
        scores = torch.zeros(len(candidates), dtype=torch.float64)
        for index, latent in enumerate(latents):
            progress = stage(halves[1], index, len(latents))
            maps = gradient_maps(generator, latent, request.layers, candidates, grid, progress)
            scores += (overlaps if overlap else shares_inside)(maps, masks[index])
    best = candidates[scores.argsort(descending=True, stable=True)[: request.num_directions]]
    vectors = torch.zeros(len(best), sum(generator.layer_sizes[layer] for layer in request.layers))
    vectors[torch.arange(len(best)), best] = 1.0
    seeds = [latent.seed for latent in latents]
    return replace(
        measured(request, vectors),
        num_samples=len(latents),
        seeds=None if None in seeds else tuple(seed for each in seeds for seed in each or ()),
    )


def _images(request: Request) -> list[tuple[Latent, Region]]:
    """The given images and further ones, with the region on each; of the further ones those that have it."""
    generator, given = request.generator, request.latents
    found = list(zip(given, request.regions, strict=True))
    for latent in joint_samples(generator, given, int(request.parameters["num_samples"]))[len(given) :]:
        try:
            found.append((latent, request.region_on(latent)))
        except RegionError:
            continue
    return found


def channels_of_convolutions(generator: Generator, layers: tuple[int, ...]) -> Tensor:
    """Which entries of s on some layers can be ranked, boolean, `(S,)`; see `Generator.feature_channels`."""
    return torch.cat([generator.feature_channels(layer) for layer in layers])


def probed_shares(
    generator: Generator, latent: Latent, region: Region, layers: tuple[int, ...], progress: Progress | None
) -> Tensor:
    """About what share of each channel's squared gradient lies in the region, `(S,)`.

    For random signs ε of the pixels the mean of `(Jᵀ √m ε)²` is the diagonal of `Jᵀ diag(m) J`: a few
    reverse-mode products look at all channels.
    """
    jacobian = applied(generator, latent, CHANNELS[0], layers)
    mask = region.mask(jacobian.height, jacobian.width)
    noise = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (_PROBES, 3, jacobian.height, jacobian.width), generator=noise) * 2.0 - 1.0
    inside, outside = (
        wide(jacobian.vjp((signs * weights.sqrt()).to(jacobian.device), stage(progress, half, 2)))
        .square()
        .mean(dim=0)
        .cpu()
        for half, weights in enumerate((mask, 1.0 - mask))
    )
    return inside / (inside + outside).clamp_min(1e-300)


def gradient_maps(
    generator: Generator,
    latent: Latent,
    layers: tuple[int, ...],
    channels: Tensor,
    grid: tuple[int, int],
    progress: Progress | None = None,
) -> Tensor:
    """The image's derivative along each channel: averaged over areas to `grid`, then the mean magnitude over
    colours, `(n, *grid)`, in float64.

    Args:
        generator: in float32.
        channels: entries of s on the layers, ascending, `(n,)`.
    """
    point = latent.to(generator.device, torch.float32)
    linearization = generator.linearize(generator.styles(point), generator.condition(point))
    maps = torch.empty(len(channels), *grid, dtype=torch.float64)
    chunk = images_at_once(generator, memory_for(generator.device) // 4)
    start, done = 0, 0
    for layer in layers:
        size = generator.layer_sizes[layer]
        own = channels[(channels >= start) & (channels < start + size)] - start
        start += size
        if len(own) == 0:
            continue

        def some(rows: slice, layer: int = layer, size: int = size, own: Tensor = own) -> Tensor:
            tangents = F.one_hot(own[rows], size).to(generator.device, torch.float32)
            images = analysed(linearization.push({layer: tangents}))
            return F.adaptive_avg_pool2d(images, grid).abs().mean(dim=1).cpu()

        chunk = in_chunks(some, maps[done : done + len(own)], chunk, None)
        done += len(own)
        if progress is not None:
            progress(done, len(channels))
    return maps


def shares_inside(maps: Tensor, mask: Tensor) -> Tensor:
    """What share of each map `(n, h, w)` lies under a mask `(h, w)`, `(n,)`."""
    inside = (maps * mask).sum(dim=(1, 2))
    return inside / maps.sum(dim=(1, 2)).clamp_min(1e-300)


def overlaps(maps: Tensor, mask: Tensor) -> Tensor:
    """The authors' overlap coefficient, `(n,)`: of as many of a map's largest pixels as the region has,
    the share that lies in it."""
    hard = (mask > 0.5).flatten()
    largest = maps.flatten(1).topk(int(hard.sum())).indices
    return hard[largest].double().mean(dim=1)
