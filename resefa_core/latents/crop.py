"""Where a generator's image lies in a photo."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..bounds import Bounds, number, whole
from ..errors import LatentError, ParameterError

LONGEST_SIDE = 16_384
"""Of a photo, in pixels."""
_PLACE = Bounds(-1e5, 1e5)
_SIDE = Bounds(1.0, 1e5)
_LANDMARKS = 68
_EYES_AND_MOUTH = (range(36, 42), range(42, 48), (48, 54))
"""Which of the landmarks lie around the eyes, and in the corners of the mouth."""
_DIGEST = re.compile(r"[0-9a-f]{64}")

FACES: dict[str, tuple[tuple[float, float], ...]] = {
    "avatars": ((25 / 64, 28 / 64), (39 / 64, 28 / 64), (32 / 64, 42 / 64)),
}
"""Where aligned faces of a family of images have both eyes and the mouth, in fractions; others are aligned as
those of FFHQ."""


@dataclass(frozen=True)
class Crop:
    """Where the image of a latent lies in a photo: a rectangle, which may be turned.

    Attributes:
        width, height: of the photo, in pixels.
        x, y: the rectangle's centre, in pixels from the photo's upper left corner.
        wide, high: the rectangle's sides, in pixels.
        turn: how far its upper side is turned clockwise, in degrees.
        digest: SHA-256 of the photo's pixels.
    """

    width: int
    height: int
    x: float
    y: float
    wide: float
    high: float
    turn: float = 0.0
    digest: str = ""

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("height", self.height)):
            whole(value, f"the photo's {name}", 1, LONGEST_SIDE, LatentError)
        for name, bounds in (
            ("x", _PLACE),
            ("y", _PLACE),
            ("wide", _SIDE),
            ("high", _SIDE),
            ("turn", _PLACE),
        ):
            given = number(getattr(self, name), f"the crop's {name}", *bounds, LatentError)
            object.__setattr__(self, name, given)
        if not isinstance(self.digest, str) or (self.digest and not _DIGEST.fullmatch(self.digest)):
            raise LatentError("a photo's digest is not 64 hexadecimal digits")

    @staticmethod
    def middle(width: int, height: int, image_size: tuple[int, int]) -> Crop:
        """The largest upright rectangle in a photo's middle, of an image's proportions.

        Args:
            image_size: the image's height and width.

        Example:
            >>> Crop.middle(300, 200, (64, 64)).high
            200.0
        """
        high, wide = image_size
        scale = min(width / wide, height / high)
        return Crop(width, height, width / 2, height / 2, scale * wide, scale * high)

    @staticmethod
    def of_box(width: int, height: int, box: Sequence[float]) -> Crop:
        """An upright box of a photo: x, y, width and height in pixels."""
        if len(box) != 4:
            raise ParameterError(f"the box has {len(box)} numbers: expected x, y, width and height in pixels")
        left, top, wide, high = (number(value, "crop", *_PLACE) for value in box)
        return Crop(width, height, left + wide / 2, top + high / 2, wide, high)

    @staticmethod
    def of_face(
        width: int,
        height: int,
        points: Sequence[Sequence[float]],
        family: str = "ffhq",
    ) -> Crop:
        """The square around a face that generators of aligned faces are trained on.

        As in FFHQ (Karras et al., 2019, appendix C): with e the vector between the eyes and m that from their
        middle to the mouth, the square's upper side has the direction of `e - m'`, m' being m turned by a
        quarter; its side is the larger of 4 |e| and 3.6 |m|, and its centre a tenth of m below the eyes. For
        families of `FACES` it brings the points as close as possible to where those have them.

        Args:
            points: the eye at the left of the photo, the one at the right, and the middle of the mouth, each
                x and y in pixels; or the 68 landmarks of iBUG's 300-W, which landmark libraries give.
            family: of images, see `preset_family`.

        Raises:
            ParameterError: not three points or 68, or points too close together.
        """
        if len(points) not in (3, _LANDMARKS) or any(len(point) != 2 for point in points):
            raise ParameterError(
                f"{len(points)} points were given for a face: expected three, x and y each (left eye, right "
                f"eye, mouth), or {_LANDMARKS} landmarks"
            )
        places = [complex(*(number(float(value), "point", *_PLACE) for value in point)) for point in points]
        if len(places) == _LANDMARKS:
            places = [sum(places[i] for i in part) / len(part) for part in _EYES_AND_MOUTH]
        left, right, mouth = places
        if min(abs(left - right), abs((left + right) / 2 - mouth)) < 1.0:
            raise ParameterError("the eyes and the mouth are less than a pixel apart: mark three places")
        known = FACES.get(family)
        if known is None:
            across, down = right - left, mouth - (left + right) / 2
            upper = across - 1j * down
            upper *= max(2 * abs(across), 1.8 * abs(down)) / abs(upper)
            centre, side = (left + right) / 2 + 0.1 * down, 2 * upper
        else:
            here, there = (left, right, mouth), [complex(*point) for point in known]
            mean_here, mean_there = sum(here) / 3, sum(there) / 3
            apart = [point - mean_there for point in there]
            fit = sum(
                (mine - mean_here) * theirs.conjugate() for mine, theirs in zip(here, apart, strict=True)
            )
            side = fit / sum(abs(each) ** 2 for each in apart)
            centre = mean_here + side * (0.5 + 0.5j - mean_there)
        turn = math.degrees(math.atan2(side.imag, side.real))
        return Crop(width, height, centre.real, centre.imag, abs(side), abs(side), turn)

    @property
    def words(self) -> str:
        """The crop in a line.

        Example:
            >>> Crop.middle(300, 200, (64, 64)).words
            '200 x 200 pixels around (150, 100) of 300 x 200'
        """
        turned = f", turned by {self.turn:.1f} degrees" if self.turn else ""
        return (
            f"{self.wide:.0f} x {self.high:.0f} pixels around ({self.x:.0f}, {self.y:.0f}) of {self.width} x "
            f"{self.height}{turned}"
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is the photo, all of it."""
        return (self.wide, self.high, self.x, self.y, self.turn) == (
            self.width,
            self.height,
            self.width / 2,
            self.height / 2,
            0.0,
        )

    def in_photo(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Places in the photo, x and y in pixels, of places in the image, in fractions."""
        across, down = (u - 0.5) * self.wide, (v - 0.5) * self.high
        cosine, sine = self._turned()
        return self.x + across * cosine - down * sine, self.y + across * sine + down * cosine

    def in_image(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Places in the image, in fractions, of places in the photo, x and y in pixels."""
        cosine, sine = self._turned()
        right, below = x - self.x, y - self.y
        return (
            (right * cosine + below * sine) / self.wide + 0.5,
            (below * cosine - right * sine) / self.high + 0.5,
        )

    def _turned(self) -> tuple[float, float]:
        angle = math.radians(self.turn)
        return math.cos(angle), math.sin(angle)

    def bounds(self) -> tuple[int, int, int, int]:
        """The photo's pixels that the rectangle may touch: first column, first row, last ones excluded."""
        x, y = self.in_photo(torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 1.0, 1.0]))
        return (
            min(max(math.floor(float(x.min())), 0), self.width),
            min(max(math.floor(float(y.min())), 0), self.height),
            min(max(math.ceil(float(x.max())), 0), self.width),
            min(max(math.ceil(float(y.max())), 0), self.height),
        )

    def to_json(self) -> dict[str, Any]:
        """The crop as JSON."""
        return {
            "size": [self.width, self.height],
            "centre": [self.x, self.y],
            "sides": [self.wide, self.high],
            "turn": self.turn,
            "digest": self.digest,
        }

    @staticmethod
    def from_json(data: object) -> Crop:
        """Undo `to_json`; the data may come from a stranger.

        Raises:
            LatentError: the data are no crop.
        """
        if not isinstance(data, Mapping):
            raise LatentError(f"a crop of a photo is a JSON object, not {type(data).__name__}")
        pairs = [data.get(name) for name in ("size", "centre", "sides")]
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise LatentError("a crop of a photo lacks its size, centre or sides")
        size, centre, sides = (list(pair) if isinstance(pair, list) else [] for pair in pairs)
        return Crop(
            *(size[0], size[1], centre[0], centre[1], sides[0], sides[1]),
            data.get("turn", 0.0),
            data.get("digest", ""),
        )
