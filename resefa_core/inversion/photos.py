"""Photos: read within bounds, turned upright, and cut to a generator's image."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import PhotoError
from ..files import read_bytes
from ..generators.base import Generator
from ..latents.crop import LONGEST_SIDE, Crop
from ..regions.presets import preset_family
from .landmarks import find_face

FORMATS = ("PNG", "JPEG", "WEBP")
"""What photos are read from; nothing else is decoded."""
MAX_BYTES = 64 << 20
"""The largest file that is read."""
MAX_PIXELS = 64_000_000
"""The largest photo that is decoded, in pixels."""
_MAX_PROFILE = 64 << 10
_BAND = 64
_SAMPLES = 2
"""In each direction, for a pixel of the generator's image."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, upright, and where in it a generator's image lies.

    Attributes:
        colours: `(H, W, 3)`, uint8, on the CPU.
        opacity: `(H, W)`, uint8, or None where everything is opaque.
        crop: where the image lies; None for the middle.
        profile: the file's ICC profile, which says what the colours mean; written back beside them.
        ignored: `(H, W)` in [0, 1], what does not count when its latent is sought: a hand, a frame.
    """

    colours: Tensor
    opacity: Tensor | None = None
    crop: Crop | None = None
    profile: bytes | None = None
    ignored: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.colours.shape)
        if self.colours.dtype != torch.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise PhotoError(
                f"colours of shape {shape} and type {self.colours.dtype}: expected (H, W, 3), uint8"
            )
        _check_size(self.width, self.height)
        if self.opacity is not None and (
            self.opacity.shape != self.colours.shape[:2] or self.opacity.dtype != torch.uint8
        ):
            raise PhotoError(f"an opacity of shape {tuple(self.opacity.shape)} for colours of shape {shape}")
        if self.ignored is not None and self.ignored.shape != self.colours.shape[:2]:
            raise PhotoError(
                f"a mask of shape {tuple(self.ignored.shape)} for a photo of {self.width} x {self.height} "
                "pixels: expected its height and width"
            )
        if self.crop is not None and (self.crop.width, self.crop.height) != (self.width, self.height):
            raise PhotoError(
                f"a crop of a photo of {self.crop.width} x {self.crop.height} pixels, and one of "
                f"{self.width} x {self.height}: give the photo that it was made for"
            )

    def __repr__(self) -> str:
        return f"Photo({self.width} x {self.height}{', with opacity' if self.opacity is not None else ''})"

    @property
    def width(self) -> int:
        return int(self.colours.shape[1])

    @property
    def height(self) -> int:
        return int(self.colours.shape[0])

    @staticmethod
    def open(path: str | PathLike[str]) -> Photo:
        """Read a PNG, JPEG or WEBP; see `from_bytes`.

        Raises:
            PhotoError: the file can't be read, is too large, or is something else.
        """
        file = Path(path)
        return Photo.from_bytes(read_bytes(file, PhotoError, MAX_BYTES), str(file))

    @staticmethod
    def from_bytes(data: bytes, name: str = "the photo") -> Photo:
        """A photo from a PNG's, JPEG's or WEBP's bytes, which may come from a stranger.

        It is turned as its EXIF says, everything else that the file says beside its colours is dropped. Grey
        ones become coloured ones; 16 bits become 8. Of an animation it is the first picture.

        Args:
            name: for errors.

        Raises:
            PhotoError: over 64 MB, over 64 million pixels, over 16,384 pixels wide or high, damaged, or
                something else.
        """
        if len(data) > MAX_BYTES:
            raise PhotoError(
                f"{name}: {len(data)} bytes, more than the {MAX_BYTES >> 20} MB that are accepted"
            )
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                _check_size(*picture.size)
                picture.load()
                return Photo.of(picture)
        except PhotoError as error:
            raise PhotoError(f"{name}: {error}") from error
        except Exception as error:  # Pillow raises many kinds on damaged pictures
            raise PhotoError(f"{name}: not readable as a {', '.join(FORMATS)}: {str(error)[:200]}") from error

    @staticmethod
    def of(image: Photo | Image.Image | np.ndarray[Any, Any] | Tensor) -> Photo:
        """A photo of what programs hold.

        Args:
            image: a PIL image; an array `(H, W)`, `(H, W, 3)` or `(H, W, 4)`, uint8; or a tensor
                `(3, H, W)`, or one such in a batch, in [-1, 1].

        Raises:
            PhotoError: anything else.
        """
        if isinstance(image, Photo):
            return image
        if isinstance(image, Tensor):
            return Photo(_bytes_of(image))
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
                raise PhotoError(
                    f"an array of shape {image.shape} and type {image.dtype}: expected (H, W, 3), uint8"
                )
            _check_size(image.shape[1], image.shape[0])
            if image.ndim == 3 and image.shape[2] not in (3, 4):
                raise PhotoError(f"an array of shape {image.shape}: expected (H, W, 3), uint8")
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise PhotoError(f"a photo is a picture, an array or a tensor, not {type(image).__name__}")
        _check_size(*image.size)
        profile = image.info.get("icc_profile")
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16") or upright.mode == "I":
            upright = Image.fromarray((np.asarray(upright) / 257.0).round().clip(0, 255).astype(np.uint8))
        if upright.mode == "CMYK":
            profile = None
        clear = upright.has_transparency_data
        pixels = np.asarray(upright.convert("RGBA" if clear else "RGB")).copy()
        opacity = torch.from_numpy(pixels[:, :, 3].copy()) if clear and pixels[:, :, 3].min() < 255 else None
        kept = profile if isinstance(profile, bytes) and len(profile) <= _MAX_PROFILE else None
        if upright.mode in ("L", "LA", "I", "1"):
            kept = None
        return Photo(torch.from_numpy(pixels[:, :, :3].copy()), opacity, None, kept)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the size, the colours and the opacity."""
        digest = hashlib.sha256(f"{self.width} x {self.height}".encode())
        digest.update(self.colours.numpy().tobytes())
        if self.opacity is not None:
            digest.update(self.opacity.numpy().tobytes())
        return digest.hexdigest()

    def aligned(
        self,
        generator: Generator,
        *,
        face: Sequence[Sequence[float]] | Literal["auto"] | None = None,
        box: Sequence[float] | None = None,
    ) -> Photo:
        """The photo with a crop for a generator: of a face, a box, or else its middle.

        Args:
            face: the eye at the left, the one at the right and the mouth, x and y in pixels each, or the 68
                landmarks that a library finds, see `Crop.of_face`; `auto` for those that dlib finds of the
                largest face.
            box: x, y, width and height in pixels.

        Raises:
            ParameterError: the places make no crop.
            PhotoError: both a face and a box, or dlib is missing or finds none.
        """
        if face is not None and box is not None:
            raise PhotoError("both a face and a box were given: expected one of them")
        if face is not None:
            points = find_face(self.colours) if isinstance(face, str) and face == "auto" else face
            crop = Crop.of_face(self.width, self.height, points, preset_family(generator))
        elif box is not None:
            crop = Crop.of_box(self.width, self.height, box)
        else:
            crop = Crop.middle(self.width, self.height, generator.image_size)
        return replace(self, crop=crop)

    def crop_for(self, generator: Generator) -> Crop:
        """The crop, which knows this photo: its own, or the middle."""
        crop = self.crop or Crop.middle(self.width, self.height, generator.image_size)
        return replace(crop, digest=self.digest)

    def check(self, crop: Crop) -> None:
        """Raise PhotoError unless a crop was made for this photo."""
        if (crop.width, crop.height) != (self.width, self.height) or crop.digest not in ("", self.digest):
            raise PhotoError(
                f"the latent was found for another photo, one of {crop.width} x {crop.height} pixels: give "
                "that one"
            )

    def image(self, crop: Crop, height: int, width: int) -> tuple[Tensor, Tensor]:
        """What the photo shows in a crop, at a generator's size, and how much of it counts.

        Averaged over the area of each pixel; what is not opaque is laid over white, and beyond the photo its
        edge goes on.

        Returns:
            The image `(3, height, width)` in [-1, 1], and how much of each pixel counts, `(height, width)`
            in [0, 1]: nothing beyond the photo.
        """
        if crop.is_whole and (height, width) == (self.height, self.width):
            exact = self._layers(slice(None), slice(None))
            return exact[:3], exact[3]
        left, upper, right, lower = crop.bounds()
        if right <= left or lower <= upper:
            raise PhotoError("the crop lies beside the photo: place it over the face")
        shrink = max(1, math.floor(min(crop.wide / width, crop.high / height) / _SAMPLES))
        around = 2 * shrink
        rows = slice(max(upper - around, 0), min(lower + around, self.height))
        columns = slice(max(left - around, 0), min(right + around, self.width))
        part = self._shrunk(rows, columns, shrink)[None]
        u = (torch.arange(width * _SAMPLES, dtype=torch.float64) + 0.5) / (width * _SAMPLES)
        v = (torch.arange(height * _SAMPLES, dtype=torch.float64) + 0.5) / (height * _SAMPLES)
        x, y = crop.in_photo(u[None, :], v[:, None])
        inside = ((x >= 0) & (x <= self.width) & (y >= 0) & (y <= self.height)).float()
        grid = torch.stack(
            [
                2.0 * (x - columns.start) / (shrink * part.shape[3]) - 1.0,
                2.0 * (y - rows.start) / (shrink * part.shape[2]) - 1.0,
            ],
            dim=2,
        ).float()
        seen = F.grid_sample(part, grid[None], mode="bilinear", padding_mode="border", align_corners=False)
        shown = F.avg_pool2d(seen, _SAMPLES)[0]
        within = (F.avg_pool2d(inside[None, None], _SAMPLES)[0, 0] > 0.5).float()
        return shown[:3], within * shown[3]

    def _layers(self, rows: slice, columns: slice) -> Tensor:
        """A part's colours over white in [-1, 1], and how much counts in [0, 1], `(4, rows, columns)`."""
        colours = self.colours[rows, columns].permute(2, 0, 1).float() / 127.5 - 1.0
        if self.opacity is not None:
            opacity = self.opacity[rows, columns].float() / 255.0
            colours = opacity * colours + (1.0 - opacity)
        counts = torch.ones_like(colours[:1])
        if self.ignored is not None:
            counts = 1.0 - self.ignored[None, rows, columns].clamp(0.0, 1.0)
        return torch.cat([colours, counts])

    def _shrunk(self, rows: slice, columns: slice, shrink: int) -> Tensor:
        """A part of the photo, `shrink` times smaller; a band at a time, for large photos."""
        bands = []
        for start in range(rows.start, rows.stop, _BAND * shrink):
            band = self._layers(slice(start, min(start + _BAND * shrink, rows.stop)), columns)[None]
            padding = (0, -band.shape[3] % shrink, 0, -band.shape[2] % shrink)
            bands.append(F.avg_pool2d(F.pad(band, padding, mode="replicate"), shrink)[0])
        return torch.cat(bands, dim=1)

    def picture(self) -> Image.Image:
        """The photo for people."""
        return picture_of(self.colours, self.opacity)


def picture_of(colours: Tensor, opacity: Tensor | None) -> Image.Image:
    """Colours `(H, W, 3)` and opacity `(H, W)`, both uint8, as a PIL image."""
    if opacity is None:
        return Image.fromarray(colours.numpy())
    return Image.fromarray(torch.cat([colours, opacity[:, :, None]], dim=2).numpy())


def _check_size(width: int, height: int) -> None:
    if max(width, height) > LONGEST_SIDE or width * height > MAX_PIXELS:
        raise PhotoError(
            f"{width} x {height} pixels: expected at most {MAX_PIXELS // 1_000_000} million, and sides of at "
            f"most {LONGEST_SIDE}; make it smaller"
        )


def _bytes_of(image: Tensor) -> Tensor:
    shape = tuple(image.shape)
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3 or 0 in shape or not image.is_floating_point():
        raise PhotoError(f"a tensor of shape {shape} and type {image.dtype}: expected (3, H, W) in [-1, 1]")
    if not bool(torch.isfinite(image).all()):
        raise PhotoError("the photo has values that are not finite")
    scaled = ((image.detach().float().cpu() + 1.0) * 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(1, 2, 0).contiguous()
