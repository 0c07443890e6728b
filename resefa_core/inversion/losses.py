"""How much an image differs from a photo: pixels at several scales, and features of a network."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bounds import Bounds, number
from ..errors import ParameterError, PhotoError
from ..generators.base import Generator
from ..latents.crop import Crop
from ..regions import Region
from .photos import Photo

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""The distance `(B,)`, or one number, of images `(B, 3, H, W)` in [-1, 1] from others; differentiable in the
first."""
PERCEPTUAL = Bounds(0.0, 1e6)

_SMALLEST = 8


class ImageDistance:
    """The distance of images from one photo.

    Args:
        target: the photo, `(3, H, W)` in [-1, 1].
        weight: `(H, W)` in [0, 1], how much each pixel counts.
        perceptual: a further distance, of images that are the photo's own where the weight is 0.
        perceptual_weight: what that counts beside the mean squared error.
    """

    def __init__(
        self,
        target: Tensor,
        weight: Tensor,
        perceptual: Perceptual | None = None,
        perceptual_weight: float = 1.0,
    ) -> None:
        self.target = target[None]
        self.weight = weight[None, None]
        self.perceptual = perceptual
        self.perceptual_weight = perceptual_weight
        self._scales = [(self.target, self.weight)]
        while min(self._scales[-1][0].shape[2:]) >= 2 * _SMALLEST:
            known, counted = self._scales[-1]
            smaller = F.avg_pool2d(counted, 2)
            self._scales.append((F.avg_pool2d(known * counted, 2) / smaller.clamp_min(1e-6), smaller))

    def __call__(self, images: Tensor) -> Tensor:
        """The distance of images `(B, 3, H, W)`, `(B,)`: the mean over the scales of the mean squared error,
        and the perceptual one."""
        total = images.new_zeros(images.shape[0])
        shown, counted = images, self.weight
        for index, (target, weight) in enumerate(self._scales):
            if index:
                shown = F.avg_pool2d(shown * counted, 2) / weight.clamp_min(1e-6)
                counted = weight
            total = total + weighted_error(shown, target, weight) / len(self._scales)
        if self.perceptual is not None:
            merged = self.target + self.weight * (images - self.target)
            apart = self.perceptual(merged, self.target.expand_as(images))
            if not isinstance(apart, Tensor) or apart.numel() not in (1, images.shape[0]):
                raise ParameterError(
                    f"the perceptual distance returned {_shape(apart)}: expected one number for each image"
                )
            total = total + self.perceptual_weight * apart.reshape(-1)
        return total

    def error(self, images: Tensor) -> Tensor:
        """The mean squared error `(B,)` where pixels count, on the [-1, 1] scale."""
        return weighted_error(images, self.target, self.weight)


def distance_from(
    photo: Photo,
    crop: Crop,
    generator: Generator,
    perceptual: Perceptual | None = None,
    perceptual_weight: float = 1.0,
    ignore: Region | None = None,
) -> ImageDistance:
    """The distance of a generator's images from what a photo shows in a crop, on the generator's device.

    Args:
        ignore: what does not count; a region of the generator's image.

    Raises:
        PhotoError: nothing of the photo counts.
        ParameterError: the perceptual distance's weight is out of range.
    """
    perceptual_weight = number(perceptual_weight, "perceptual_weight", *PERCEPTUAL)
    target, counted = photo.image(crop, *generator.image_size)
    if ignore is not None:
        counted = counted * (1.0 - ignore.mask(*generator.image_size, check=False))
    if float(counted.sum()) < 1.0:
        raise PhotoError("nothing of the photo counts: ignore less of it, or place the crop over it")
    place = generator.device
    return ImageDistance(target.to(place), counted.to(place), perceptual, perceptual_weight)


def weighted_error(images: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean squared error `(B,)` of images `(B, 3, H, W)`."""
    squares = (images - target).square().mean(dim=1, keepdim=True)
    return (squares * weight).sum(dim=(1, 2, 3)) / weight.sum().clamp_min(1e-6)


def _shape(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def with_gradient(value: Tensor) -> Tensor:
    """A leaf of the same numbers that derivatives are taken of."""
    return torch.empty_like(value).copy_(value).requires_grad_()
