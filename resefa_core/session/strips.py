"""What directions do, as strips of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from ..directions.effects import Effect
from ..regions import Region
from ..sheets import to_pil

_CELL_WIDTH = 112
_SURROUNDED, _LEAST_SHOWN, _LONGEST = 1.6, 0.4, 1.6


@dataclass(frozen=True, eq=False)
class Strip:
    """One direction at several strengths.

    Attributes:
        index, name: of the direction.
        strengths: of the images, in their order.
        images: `(len(strengths), 3, H, W)` in about [-1, 1].
        effect: the mean of what the two ends change.
        region: what the direction was found for, or None.
    """

    index: int
    name: str
    strengths: tuple[float, ...]
    images: Tensor
    effect: Effect
    region: Region | None

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """The part of the image that `picture` shows: x, y, width and height, as fractions."""
        height, width = self.images.shape[2:]
        rows, columns = window(self.region, height, width)
        return (
            columns.start / width,
            rows.start / height,
            (columns.stop - columns.start) / width,
            (rows.stop - rows.start) / height,
        )

    def picture(self, cell_width: int = _CELL_WIDTH) -> Image.Image:
        """The region and its surroundings in each image, side by side.

        Args:
            cell_width: of each, in pixels.
        """
        rows, columns = window(self.region, *self.images.shape[2:])
        return side_by_side([image[:, rows, columns] for image in self.images], cell_width)


def window(region: Region | None, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns around a region, some of its surroundings with it, not much longer than wide."""
    if region is None:
        return slice(0, height), slice(0, width)
    inside = region.mask(height, width, check=False) > 0.1
    sides = []
    for size, used in ((height, inside.any(dim=1)), (width, inside.any(dim=0))):
        where = used.nonzero()[:, 0].tolist() or [0, size - 1]
        sides.append((where[0], where[-1] + 1, size))
    wanted = [
        min(max(_SURROUNDED * (stop - start), _LEAST_SHOWN * size), size) for start, stop, size in sides
    ]
    least = max(wanted) / _LONGEST
    rows, columns = (
        _around((start + stop) / 2, round(max(length, min(least, size))), size)
        for (start, stop, size), length in zip(sides, wanted, strict=True)
    )
    return rows, columns


def _around(middle: float, length: int, size: int) -> slice:
    start = min(max(round(middle - length / 2), 0), size - length)
    return slice(start, start + length)


def side_by_side(images: Sequence[Tensor], cell_width: int) -> Image.Image:
    """Images `(3, H, W)` of equal size in a row, each as wide as said."""
    pictures = [to_pil(image) for image in images]
    shown = (cell_width, max(1, round(cell_width * pictures[0].height / pictures[0].width)))
    strip = Image.new("RGB", (cell_width * len(pictures), shown[1]))
    for index, picture in enumerate(pictures):
        strip.paste(picture.resize(shown, Image.Resampling.BICUBIC), (index * cell_width, 0))
    return strip
