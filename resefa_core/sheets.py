"""Pictures for people: images from tensors, and contact sheets with labels."""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from .bounds import check_image
from .directions import Directions
from .errors import ParameterError, ReSeFaError
from .files import write_bytes
from .regions import Region

GAIN = 6.0
"""How much difference maps are amplified."""
COMMENT_KEYWORD = "Comment"
"""What a PNG's text for people is called."""
XMP_KEYWORD = "XML:com.adobe.xmp"
"""What a PNG's text of metadata in XMP is called."""

_HEAT = ((0, 0, 4), (59, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
_MARGIN = 8
_MOVING_MS, _RESTING_MS = 60, 600
_BACKGROUND = (255, 255, 255)
_INK = (32, 32, 32)
_OUTLINE = (0, 220, 255)
_SHADE = 0.35
_CAN_FILM = find_spec("av") is not None
FILM_SUFFIXES = (".webp", ".gif", ".mp4") if _CAN_FILM else (".webp", ".gif")
"""What `save_film` writes here."""
_DASHES_AND_QUOTES = str.maketrans("–—−×‘’“”", "---x''\"\"")


def to_pil(image: Tensor) -> Image.Image:
    """An image `(3, H, W)`, or `(4, H, W)` with opacity, in [-1, 1] (beyond is clipped) as a PIL image.

    Raises:
        LatentError: it is not finite.
    """
    check_image(image)
    scaled = ((image.detach().float() + 1.0) * 127.5).round().clamp(0, 255)
    return Image.fromarray(scaled.permute(1, 2, 0).to("cpu", torch.uint8).numpy())


def contact_sheet(
    rows: Sequence[Sequence[Tensor]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    cell: int = 128,
    title: str = "",
) -> Image.Image:
    """A grid of images with labels.

    Args:
        rows: images `(3, H, W)` in [-1, 1]; rows may differ in length.
        row_labels: at the left of each row; lines are broken at newlines.
        column_labels: above each column.
        cell: longer side of an image on the sheet, in pixels.
        title: above everything.
    """
    title = printable(title)
    row_labels, column_labels = ([printable(t) for t in texts] for texts in (row_labels, column_labels))
    font = ImageFont.load_default(size=max(11, cell // 9))
    line = round(font.size * 1.25) if isinstance(font, ImageFont.FreeTypeFont) else 14
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    widest = max((ruler.multiline_textbbox((0, 0), label, font=font)[2] for label in row_labels), default=0)
    left = _MARGIN + (int(widest) + 2 * _MARGIN if row_labels else 0)
    top = _MARGIN + (line + _MARGIN if title else 0) + (line if column_labels else 0)
    columns = max(len(row) for row in rows)
    wide, high = (
        max(sides) for sides in zip(*(_fitted(each, cell) for row in rows for each in row), strict=True)
    )
    heading = int(ruler.textbbox((0, 0), title, font=font)[2])
    width = max(left + columns * (wide + 4) + _MARGIN, heading + 2 * _MARGIN)
    sheet = Image.new("RGB", (width, top + len(rows) * (high + 4) + _MARGIN), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=font)
    for index, label in enumerate(column_labels):
        centre = left + index * (wide + 4) + wide // 2
        draw.text((centre, top - line // 2 - 2), label, fill=_INK, font=font, anchor="mm")
    for index, row in enumerate(rows):
        y = top + index * (high + 4)
        if index < len(row_labels):
            draw.multiline_text(
                (_MARGIN, y + high // 2), row_labels[index], fill=_INK, font=font, anchor="lm"
            )
        for column, image in enumerate(row):
            picture = to_pil(image).resize(_fitted(image, cell), Image.Resampling.BICUBIC)
            sheet.paste(picture, (left + column * (wide + 4), y))
    return sheet


def _fitted(image: Tensor, longest: int) -> tuple[int, int]:
    """Width and height of an image whose longer side is as long as said."""
    height, width = image.shape[1:]
    return max(1, round(longest * width / max(height, width))), max(
        1, round(longest * height / max(height, width))
    )


def printable(text: str) -> str:
    """Text in the letters that Pillow's own font has: accents are dropped, other signs become `?`."""
    plain = text.translate(_DASHES_AND_QUOTES)
    letters = (c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    return "".join(letters).encode("ascii", "replace").decode("ascii")


def show_region(image: Tensor, region: Region, side: int = 512) -> Image.Image:
    """An image `(3, H, W)` in [-1, 1] with the region lit and outlined, the rest darkened.

    Args:
        region: must hold a pixel of the image and leave one out.
        side: the longer side is enlarged to at least this, in pixels.
    """
    region.mask(image.shape[1], image.shape[2])
    picture = to_pil(image)
    factor = max(1, -(-side // max(picture.size)))
    size = (picture.width * factor, picture.height * factor)
    picture = picture.resize(size, Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.NEAREST)
    mask = region.mask(size[1], size[0], check=False).numpy()
    lit = np.asarray(picture) * (_SHADE + (1.0 - _SHADE) * mask)[..., None]
    inside = np.pad(mask >= 0.5, 2, mode="edge")
    middle = inside[2:-2, 2:-2]
    edge = np.zeros_like(middle)
    for rows, columns in ((0, 2), (4, 2), (2, 0), (2, 4)):
        edge |= middle != inside[rows : rows + size[1], columns : columns + size[0]]
    lit[edge] = _OUTLINE
    return Image.fromarray(lit.round().astype(np.uint8))


def heat_map(levels: NDArray[np.floating]) -> Image.Image:
    """Levels `(H, W)` in [0, 1] (beyond is clipped) as colours from black through red to pale yellow."""
    heat = np.array(_HEAT, dtype=np.float64)
    place = np.clip(levels, 0.0, 1.0) * (len(heat) - 1)
    colours = np.stack([np.interp(place, np.arange(len(heat)), heat[:, c]) for c in range(3)], axis=2)
    return Image.fromarray(colours.round().astype(np.uint8))


def differences(before: Tensor, after: Tensor, gain: float = GAIN) -> Tensor:
    """How much images differ, pixel by pixel: the mean absolute difference of the channels times the gain.

    Args:
        before, after: `(B, 3, H, W)` in [-1, 1], as many, or one for all.

    Returns:
        `(B, H, W)` in [0, 1].

    Raises:
        ParameterError: they differ in size or number.
    """
    if before.shape[1:] != after.shape[1:] or (
        len(before) != len(after) and 1 not in (len(before), len(after))
    ):
        sizes = [f"{len(images)} of {images.shape[3]} x {images.shape[2]}" for images in (before, after)]
        raise ParameterError(
            f"images {sizes[0]} and {sizes[1]} can't be compared: expected the same size, as many"
        )
    change = (after.clamp(-1.0, 1.0) - before.clamp(-1.0, 1.0)).abs().mean(dim=1) / 2.0
    return (gain * change).clamp(0.0, 1.0)


def change_labels(directions: Directions) -> list[str]:
    """A label for each direction: its name, and in how far its change stays inside the region."""
    return [
        name if math.isnan(ratio) else f"{name}\n{ratio:,.0f}x more inside"
        for name, ratio in zip(directions.names, directions.ratios, strict=True)
    ]


def strength_labels(strengths: Iterable[float]) -> list[str]:
    """Strengths with their signs, as columns are headed."""
    return [f"{strength:+g}" if strength else "0" for strength in strengths]


def save_png(
    picture: Image.Image,
    path: str | PathLike[str],
    overwrite: bool = False,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a PNG atomically, with texts by their keywords; see `png_of`.

    Raises:
        ReSeFaError: the file exists and `overwrite` is false, or it can't be written.
    """
    write_bytes(path, png_of(picture, texts), ReSeFaError, overwrite)


def png_of(
    picture: Image.Image, texts: Mapping[str, str] | None = None, profile: bytes | None = None
) -> bytes:
    """A picture as a PNG.

    Args:
        texts: by their keywords. ASCII goes to tEXt chunks, other text to iTXt ones; so does XMP, which is
            looked for in no other.
        profile: an ICC profile.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=_info(texts or {}), icc_profile=profile)
    return buffer.getvalue()


def png_chunks(texts: Mapping[str, str]) -> bytes:
    """Texts as a PNG holds them: chunks to be put after the header, its first 33 bytes, of one that somebody
    else makes, such as a browser."""
    buffer = io.BytesIO()
    for chunk in _info(texts).chunks:
        PngImagePlugin.putchunk(buffer, chunk[0], chunk[1])
    return buffer.getvalue()


def _info(texts: Mapping[str, str]) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        plain = text.isascii() and keyword != XMP_KEYWORD
        (info.add_text if plain else info.add_itxt)(keyword, text)
    return info


def save_film(
    pictures: Sequence[Image.Image],
    path: str | PathLike[str],
    overwrite: bool = False,
    side: int = 512,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write pictures as an animation, atomically, which goes forth and back and rests at both ends. WEBP and
    GIF play for ever; an MP4 (H.264) ends where it began.

    Args:
        pictures: of one size, two or more.
        path: `.gif` for what every messenger plays; `.mp4` for a video, see `FILM_SUFFIXES`; any other name
            for a WEBP, smaller than a GIF and in all colours.
        side: of the film, in pixels, the longer one: smaller pictures are enlarged, larger ones reduced.
        texts: as for a PNG, of which a GIF and an MP4 can keep the comment, and a WEBP the XMP.

    Raises:
        ReSeFaError: the file exists and `overwrite` is false, or it can't be written.
        ParameterError: an MP4, and what writes it is not installed.
    """
    write_bytes(path, film_bytes(pictures, Path(path).suffix, side, texts), ReSeFaError, overwrite)


def film_bytes(
    pictures: Sequence[Image.Image],
    suffix: str,
    side: int = 512,
    texts: Mapping[str, str] | None = None,
) -> bytes:
    """What `save_film` writes into a file whose name ends so."""
    scale, suffix = side / max(pictures[0].size), suffix.lower()
    step = 2 if suffix == ".mp4" else 1  # its colours have half the size
    width, height = (max(step, step * round(scale * length / step)) for length in pictures[0].size)
    large = [picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS) for picture in pictures]
    shown = [_MOVING_MS] * (2 * len(large) - 2)
    shown[0] = shown[len(large) - 1] = _RESTING_MS
    told = texts or {}
    comment = told.get(COMMENT_KEYWORD, "")
    if suffix == ".mp4":
        return _video([*large, *large[-2:0:-1]], shown, comment)
    if suffix == ".gif":
        few = [
            picture.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for picture in large
        ]
        return _animation(few, shown, "GIF", comment=comment)
    return _animation(large, shown, "WEBP", quality=85, method=0, xmp=told.get(XMP_KEYWORD, ""))


def _animation(pictures: Sequence[Image.Image], shown: Sequence[int], kind: str, **options: Any) -> bytes:
    """Pictures forth and back, each shown for so many milliseconds."""
    first, *rest = *pictures, *pictures[-2:0:-1]
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=rest, duration=list(shown), loop=0, **options)
    return buffer.getvalue()


def _video(pictures: Sequence[Image.Image], shown: Sequence[int], comment: str) -> bytes:
    """Pictures as H.264 in an MP4, in as many equal frames as each is shown for, and the first one again."""
    if not _CAN_FILM:
        raise ParameterError('an MP4 needs PyAV, which is not installed: pip install "resefa[video]"')
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as film:
        film.metadata["comment"] = comment
        stream = film.add_stream("h264", rate=1000 // _MOVING_MS, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = *pictures[0].size, "yuv420p"
        for picture, duration in zip([*pictures, pictures[0]], [*shown, shown[0]], strict=True):
            for _ in range(max(1, round(duration / _MOVING_MS))):
                film.mux(stream.encode(av.VideoFrame.from_image(picture)))
        film.mux(stream.encode())
    return buffer.getvalue()
