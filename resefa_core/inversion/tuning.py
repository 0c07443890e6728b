"""Tuning a generator to a photo, around the latent that was found for it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ..bounds import Bounds, number, whole
from ..errors import LatentError
from ..generators.base import Generator
from ..latents import Latent
from ..precision import as_float32, full_precision
from ..progress import Progress
from ..regions import Region
from .inverting import MOST_STEPS, SHOWN_EVERY, Show, draw
from .losses import ImageDistance, Perceptual, distance_from
from .photos import Photo

TUNING_STEPS = 200
"""Each draws two images and takes the derivative of both, and draws a third."""
LOCALITY = 1.0
"""What a squared change of other images counts, beside the squared error of the photo's."""
LOCALITIES = Bounds(0.0, 1e6)

_RATE, _NOISE_RATE = 1e-3, 1e-2
_SMALLEST_SCALE = 1e-2
_NEARNESS = (0.2, 0.4, 0.7, 1.0)


def tune(
    generator: Generator,
    latent: Latent,
    image: Photo | Tensor,
    *,
    steps: int = TUNING_STEPS,
    locality: float = LOCALITY,
    noise_only: bool = False,
    ignore: Region | None = None,
    perceptual: Perceptual | None = None,
    perceptual_weight: float = 1.0,
    progress: Progress | None = None,
    show: Show | None = None,
) -> Generator:
    """A copy of a generator that draws a photo more closely from its latent, the pivot, and other images as
    before: pivotal tuning (Roich et al., 2021).

    Minimises `distance(G'(pivot), photo) + locality * |G'(w) - G(w)|^2` by Adam over the weights, each at a
    rate in proportion to its size that falls to 0 along a cosine, w being between the pivot and a sample,
    another one in each step. The mapping network stays. Directions and latents of the original fit the copy,
    which says what it was tuned from (`Generator.tuned_from`), in its file too. The same call gives the same
    bytes on the same machine.

    Args:
        latent: of the photo, as `invert` finds it; a batch of one.
        image: the photo; where its image lies is what the latent says, or else the photo's own crop.
        steps: how many, from 1 to 10,000.
        locality: how much more other images are to stay as they are: 0 not at all.
        noise_only: tune nothing but the noise maps that a StyleGAN2 adds, which carry fine texture.
        ignore, perceptual, perceptual_weight, progress, show: as `invert` takes them.

    Raises:
        PhotoError: the photo can't be used, or the latent was found for another one.
        LatentError: the latent doesn't fit, or the generator has no noise maps, or no weights.
        ParameterError: a number out of range.
    """
    count = whole(steps, "steps", 1, MOST_STEPS)
    weight = number(locality, "locality", *LOCALITIES)
    generator.check_latent(latent)
    if len(latent) != 1:
        raise LatentError(f"{len(latent)} latents were given: expected the one of the photo")
    with torch.inference_mode(False), full_precision:
        photo = Photo.of(image)
        crop = latent.crop or photo.crop_for(generator)
        photo.check(crop)
        distance = distance_from(photo, crop, generator, perceptual, perceptual_weight, ignore)
        original = as_float32(generator)
        tuned = copy.deepcopy(original)
        moved = _noise_maps(tuned) if noise_only else list(tuned.parameters())
        if not moved:
            raise LatentError(f"this {generator.architecture} has no weights to tune")
        pivot = latent.to(generator.device, torch.float32)
        rate = _NOISE_RATE if noise_only else _RATE
        _descend(original, tuned, moved, rate, pivot, distance, count, weight, progress, show)
        tuned = tuned.to(dtype=generator.dtype)
    tuned.requires_grad_(False)
    tuned.tuned_from = generator.fingerprint
    tuned.name = f"{generator.name or generator.architecture}-tuned"
    return tuned


def _descend(
    original: Generator,
    tuned: Generator,
    moved: Sequence[Tensor],
    rate: float,
    latent: Latent,
    distance: ImageDistance,
    steps: int,
    locality: float,
    progress: Progress | None,
    show: Show | None,
) -> None:
    """Adam on some tensors of the copy."""
    labels = latent.label
    pivot = latent.codes + original.noise_move(latent, None, latent.z_offset).detach()
    with torch.enable_grad():
        for tensor in moved:
            tensor.requires_grad_(True)
        scales = [max(float(tensor.detach().square().mean().sqrt()), _SMALLEST_SCALE) for tensor in moved]
        groups = [{"params": [each], "lr": rate * scale} for each, scale in zip(moved, scales, strict=True)]
        optimizer = torch.optim.Adam(groups)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(steps):
            drawn = draw(tuned, pivot, labels)
            loss = distance(drawn).sum()
            if locality:
                near = _between(original, pivot, labels, step)
                with torch.no_grad():
                    before = draw(original, near, labels)
                loss = loss + locality * (draw(tuned, near, labels) - before).square().mean()
            if not bool(torch.isfinite(loss)):
                raise LatentError("the image is not finite on the way: the weights or the photo are damaged")
            gradients = torch.autograd.grad(loss, list(moved), allow_unused=True)
            for tensor, gradient in zip(moved, gradients, strict=True):
                tensor.grad = gradient
            optimizer.step()
            falling.step()
            if show is not None and step % SHOWN_EVERY == 0:
                show(drawn[0].detach())
            if progress is not None:
                progress(step + 1, steps)
        for tensor in moved:
            tensor.grad = None
            tensor.requires_grad_(False)


def _between(generator: Generator, pivot: Tensor, labels: Tensor | None, step: int) -> Tensor:
    """Codes between the pivot and a sample, another one in each step."""
    with torch.no_grad():
        noise = generator.draw([step]).to(pivot)
        sample = generator.map(noise, labels).to(pivot)
    return pivot + _NEARNESS[step % len(_NEARNESS)] * (sample - pivot)


def _noise_maps(generator: Generator) -> list[Tensor]:
    """The noise maps that a generator adds to its features."""
    maps = [tensor for name, tensor in generator.named_buffers() if name.endswith("noise_const")]
    if not maps:
        raise LatentError(f"this {generator.architecture} adds no noise maps: tune its weights instead")
    return maps
