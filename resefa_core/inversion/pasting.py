"""An edit of a latent, put back into the photo that it was found for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .._version import __version__
from ..bounds import Bounds, number
from ..directions.effects import edge_energy
from ..errors import PhotoError
from ..files import write_bytes
from ..generators.base import Generator
from ..latents import Latent
from ..latents.crop import Crop
from ..regions import Region
from ..sheets import COMMENT_KEYWORD, XMP_KEYWORD, png_of
from .photos import Photo, picture_of

FADE = 0.06
"""How far beyond what an edit changes it fades out; a fraction of the image's height."""
FADES = Bounds(0.0, 0.5)
_LEAST_CHANGE = 0.04
"""Where an edit has no region, what changes by less does not count, on the [-1, 1] scale."""
_REDRAWN = 0.3
"""An edit that changes a place by this much, on the [-1, 1] scale, redraws half of it."""
_AROUND = 1
"""How far around it that is averaged, in pixels of the generator's image."""
_SIDE = 256
"""The fade is worked out at least at this size."""
_BAND = 256
_COMMENT = "This picture was edited with a generative model. It does not show what a camera saw."
_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    f'Iptc4xmpExt:DigitalSourceType="{_SOURCE}" xmp:CreatorTool="ReSeFa {__version__}"/>'
    "</rdf:RDF></x:xmpmeta>"
)


@dataclass(frozen=True, eq=False)
class Pasted:
    """A photo with an edit.

    Attributes:
        colours: `(H, W, 3)`, uint8: the photo's own where the mask is 0.
        mask: `(H, W)` in [0, 1], how much of the edit each pixel has.
        photo: as it was.
        seam: squared jumps between neighbouring pixels where the edit fades out, over those of the photo: 1
            for a paste that adds no edge.
    """

    colours: Tensor
    mask: Tensor
    photo: Photo
    seam: float

    @property
    def picture(self) -> Image.Image:
        """The result for people, as opaque as the photo."""
        return picture_of(self.colours, self.photo.opacity)

    @property
    def image(self) -> Tensor:
        """The result as `(3, H, W)` in [-1, 1]."""
        return self.colours.permute(2, 0, 1).float() / 127.5 - 1.0

    def to_png(self, mark: bool = True) -> bytes:
        """The result as a PNG; see `save`."""
        return png_of(self.picture, edited_mark() if mark else None, self.photo.profile)

    def save(self, path: str | PathLike[str], overwrite: bool = False, mark: bool = True) -> None:
        """Write a PNG, atomically.

        Args:
            mark: say in its metadata that the picture was edited with a generative model; see `edited_mark`.

        Raises:
            PhotoError: the file exists and `overwrite` is false, or it can't be written.
        """
        write_bytes(path, self.to_png(mark), PhotoError, overwrite)


def edited_mark() -> dict[str, str]:
    """Texts for pictures and films that say, to people and to programs, that a photo was edited with a
    generative model: a comment, and XMP with IPTC's digital source type for composites with such parts."""
    return {
        COMMENT_KEYWORD: _COMMENT,
        XMP_KEYWORD: _XMP,
    }


def mark_of(latent: Latent) -> dict[str, str]:
    """The texts for a picture of a latent: `edited_mark` where it was found for a photo, else none."""
    return {} if latent.crop is None else edited_mark()


def paste(
    photo: Photo,
    before: Tensor,
    after: Tensor,
    crop: Crop,
    region: Region | None = None,
    fade: float = FADE,
    whole: bool = False,
) -> Pasted:
    """A photo with what an edit changed: photo + (after - before), faded in over what is edited.

    Whatever the generator can't draw stays: it is in neither image. Where the edit redraws what is there, the
    more the larger its change, that of the photo gives way to the edited image: else the old contours would
    shine through the new ones. Beyond the fade the photo keeps its bytes.

    Args:
        before, after: the image of the photo's latent and of the edited one, `(3, h, w)` in about [-1, 1].
        crop: where they lie in the photo.
        region: what the edit is to change; None for all that it does change.
        fade: how far beyond that the edit fades out, a fraction of the image's height in [0, 0.5].
        whole: put the edited image itself into the photo instead, all of it.

    Raises:
        PhotoError: images of different shapes, or a crop of another photo.
    """
    fade = number(fade, "fade", *FADES)
    photo.check(crop)
    if before.shape != after.shape or before.ndim != 3 or before.shape[0] != 3:
        raise PhotoError(
            f"images of shapes {tuple(before.shape)} and {tuple(after.shape)}: expected both (3, h, w)"
        )
    before, after = (image.detach().float().cpu().clamp(-1.0, 1.0) for image in (before, after))
    change = after - before
    mask = _frame(crop, fade, *change.shape[1:])
    if not whole:
        mask = torch.minimum(mask, _faded(_edited(change, region), fade))
    shown = _no_larger(after if whole else torch.cat([change, before]), crop)
    redrawn = _redrawn(change)[None]
    left, upper, right, lower = crop.bounds()
    weights = torch.zeros(photo.height, photo.width)
    colours = photo.colours.clone()
    columns, energies = slice(left, right), [0.0, 0.0]
    for start in range(upper, lower if right > left else upper, _BAND):
        rows = slice(start, min(start + _BAND, lower))
        weight = _seen(mask[None], crop, rows, columns, "bilinear")[0].clamp(0.0, 1.0)
        if not bool(weight.any()):
            continue
        known = photo.colours[rows, columns].permute(2, 0, 1).float()
        seen = _seen(shown, crop, rows, columns, "bicubic") * 127.5
        if whole:
            added = seen + 127.5 - known
        else:
            gone = _seen(redrawn, crop, rows, columns, "bilinear")
            added = seen[:3] - gone * (known - 127.5 - seen[3:])
        moved = torch.where(weight > 0.0, (known + weight * added).round().clamp(0.0, 255.0), known)
        colours[rows, columns] = moved.to(torch.uint8).permute(1, 2, 0)
        weights[rows, columns] = weight
        energies[0] += float(edge_energy(known, weight))
        energies[1] += float(edge_energy(moved, weight))
    seam = energies[1] / energies[0] if energies[0] else 1.0 if energies[1] == energies[0] else math.inf
    return Pasted(colours, weights, photo, seam)


def paste_edit(
    generator: Generator,
    photo: Photo,
    latent: Latent,
    region: Region | None = None,
    fade: float = FADE,
    whole: bool = False,
) -> Pasted:
    """A photo with the edit of its latent, which knows where it started and where it lies; see `paste`.

    Args:
        latent: found for the photo, then edited; a batch of one.
        region: what the edit is to change; None for the regions of its moves, or all that it changes where a
            move has none.

    Raises:
        PhotoError: the latent was found for another photo, or for none.
    """
    if latent.crop is None:
        raise PhotoError("the latent was found for no photo: find it with invert, or give it a crop")
    made_by = latent.made_by
    original = latent if made_by is None else made_by.original
    if region is None and made_by is not None:
        region = union_of([move.directions.region for move in made_by.edit])
    before, after = generator.synthesize(original)[0], generator.synthesize(latent)[0]
    return paste(photo, before, after, latent.crop, region, fade, whole)


def union_of(regions: Sequence[Region | None]) -> Region | None:
    """What any of the regions holds; None where one is missing."""
    known = [region for region in regions if region is not None]
    if not known or len(known) < len(regions):
        return None
    joined = known[0]
    for region in known[1:]:
        joined = joined | region
    return joined


def _edited(change: Tensor, region: Region | None) -> Tensor:
    """What an edit is to change, `(h, w)` in [0, 1]; at least of 256 pixels."""
    height, width = change.shape[1:]
    scale = max(1, -(-_SIDE // min(height, width)))
    if region is not None:
        return region.mask(scale * height, scale * width, check=False)
    changed = (change.abs().amax(dim=0) > _LEAST_CHANGE).float()
    return F.interpolate(changed[None, None], scale_factor=float(scale), mode="nearest")[0, 0]


def _redrawn(change: Tensor) -> Tensor:
    """How much of each place an edit draws anew, `(h, w)` in [0, 1), from its change `(3, h, w)`."""
    strength = _mean_nearby(change.abs().amax(dim=0)[None, None], _AROUND)[0, 0].square()
    return strength / (strength + _REDRAWN**2)


def _faded(mask: Tensor, fade: float) -> Tensor:
    """A mask `(h, w)` that keeps its values and falls to exactly 0 within the fade: the largest value nearby,
    then twice the mean."""
    reach = round(fade * mask.shape[0] / 2)
    if reach == 0:
        return mask
    grown = _largest_nearby(mask[None, None], reach)
    first = (reach + 1) // 2
    for radius in (first, reach - first):
        if radius:
            grown = _mean_nearby(grown, radius)
    return torch.maximum(grown[0, 0].clamp(0.0, 1.0), mask)


def _largest_nearby(mask: Tensor, radius: int) -> Tensor:
    size = 2 * radius + 1
    rows = F.max_pool2d(mask, (size, 1), stride=1, padding=(radius, 0))
    return F.max_pool2d(rows, (1, size), stride=1, padding=(0, radius))


def _mean_nearby(mask: Tensor, radius: int) -> Tensor:
    size = 2 * radius + 1
    rows = F.avg_pool2d(F.pad(mask, (0, 0, radius, radius), mode="replicate"), (size, 1), stride=1)
    return F.avg_pool2d(F.pad(rows, (radius, radius, 0, 0), mode="replicate"), (1, size), stride=1)


def _frame(crop: Crop, fade: float, height: int, width: int) -> Tensor:
    """1, falling to 0 at those sides of the image beyond which the photo goes on."""
    scale = max(1, -(-_SIDE // min(height, width)))
    height, width = scale * height, scale * width
    x = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64) * crop.width
    y = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64) * crop.height
    u, v = crop.in_image(x, y)
    slack, reach = 1e-6, max(fade, 1.0 / height)
    ramps = []
    for places, count, length in ((u, width, reach * height / width), (v, height, reach)):
        middle = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        ramp = torch.ones(count, dtype=torch.float64)
        if float(places.min()) < -slack:
            ramp = torch.minimum(ramp, (middle - 0.5 / count) / length)
        if float(places.max()) > 1.0 + slack:
            ramp = torch.minimum(ramp, (1.0 - middle - 0.5 / count) / length)
        ramps.append(ramp.clamp(0.0, 1.0).float())
    return ramps[1][:, None] * ramps[0][None, :]


def _no_larger(image: Tensor, crop: Crop) -> Tensor:
    """An image, averaged to the size at which the photo shows it where that is smaller."""
    height, width = (
        min(size, max(1, round(side)))
        for size, side in zip(image.shape[1:], (crop.high, crop.wide), strict=True)
    )
    if (height, width) == tuple(image.shape[1:]):
        return image
    return F.interpolate(image[None], (height, width), mode="area")[0]


def _seen(
    image: Tensor, crop: Crop, rows: slice, columns: slice, mode: Literal["bilinear", "bicubic"]
) -> Tensor:
    """What an image `(C, h, w)` shows at a photo's pixels, `(C, rows, columns)`, 0 beyond the image."""
    x = torch.arange(columns.start, columns.stop, dtype=torch.float64) + 0.5
    y = torch.arange(rows.start, rows.stop, dtype=torch.float64) + 0.5
    u, v = crop.in_image(x[None, :], y[:, None])
    grid = torch.stack([2.0 * u - 1.0, 2.0 * v - 1.0], dim=2).float()[None]
    seen = F.grid_sample(image[None], grid, mode=mode, padding_mode="border", align_corners=False)[0]
    beyond = (u < 0.0) | (u > 1.0) | (v < 0.0) | (v > 1.0)
    return seen.masked_fill(beyond[None], 0.0)
