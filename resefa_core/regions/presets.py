"""Named boxes, by families of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..generators.base import Generator

_Boxes = tuple[tuple[float, float, float, float], ...]


def _rows_columns(top: int, bottom: int, left: int, right: int, size: int = 256) -> _Boxes:
    """A box given as half-open rows and columns of a square image."""
    return ((left / size, top / size, (right - left) / size, (bottom - top) / size),)


def _centred(side: int) -> _Boxes:
    """A square around (120, 120) of 256."""
    return _rows_columns(120 - side // 2, 120 + side // 2, 120 - side // 2, 120 + side // 2)


PRESETS: dict[str, dict[str, _Boxes]] = {
    "avatars": {
        "mouth": _rows_columns(38, 50, 20, 44, 64),
        "eyes": _rows_columns(24, 36, 16, 48, 64),
        "eyebrows": _rows_columns(18, 25, 16, 48, 64),
        "nose": _rows_columns(33, 39, 26, 38, 64),
        "hair": _rows_columns(0, 18, 8, 56, 64),
        "clothes": _rows_columns(54, 64, 4, 60, 64),
    },
    "cats": {
        "eyes": _rows_columns(34, 66, 62, 122, 128),
        "mouth": _rows_columns(67, 87, 78, 116, 128),
        "ears": (*_rows_columns(0, 34, 36, 68, 128), *_rows_columns(0, 34, 94, 122, 128)),
        "fur": _rows_columns(36, 84, 30, 60, 128),
        "collar": _rows_columns(86, 106, 56, 100, 128),
        "tail": _rows_columns(0, 124, 0, 32, 128),
    },
    "ffhq": {
        "left_eye": _rows_columns(110, 130, 76, 114),
        "right_eye": _rows_columns(110, 130, 140, 178),
        "eyes": _rows_columns(110, 130, 71, 186),
        "nose": _rows_columns(122, 162, 108, 154),
        "mouth": _rows_columns(169, 199, 92, 162),
        "chin": _rows_columns(196, 238, 75, 185),
        "eyebrows": _rows_columns(98, 113, 67, 185),
    },
    "biggan": {
        "center_80": _centred(80),
        "center_130": _centred(130),
        "center_200": _centred(200),
        "left_half": _rows_columns(0, 256, 0, 128),
        "top_half": _rows_columns(0, 128, 0, 256),
    },
}
"""Boxes (x, y, width, height) by family and name: the bundled drawn faces and cats, aligned FFHQ faces, and
the object boxes that the paper used on BigGAN."""

_NEVER_MENTIONED = ("cats",)
"""Families whose names other generators bear too, of photographs: only their own name means them."""


def preset_family(generator: Generator | str) -> str:
    """The family of presets, a key of `PRESETS`, that fits a generator's images; empty where none does.

    It is that of the generator's name, a family that the name mentions (`stylegan2-ffhq-config-f`), or one
    that the architecture always has (BigGAN's centred objects).

    Args:
        generator: a generator, or its name alone.
    """
    if isinstance(generator, str):
        name, own = generator.lower(), ""
    else:
        name, own = generator.name.lower(), generator.preset_family
    if name in PRESETS:
        return name
    mentioned = (family for family in PRESETS if family in name and family not in _NEVER_MENTIONED)
    return own or next(mentioned, "")
