"""A region: a soft mask over the image, at any resolution."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..bounds import FEATHER, Bounds, number
from ..errors import RegionError
from ..files import is_file
from .masks import (
    EMBEDDED_SIDE,
    MAX_MASK_SIDE,
    blur,
    coverage,
    mask_from_text,
    mask_to_json,
    mask_values,
    resampled,
)
from .presets import PRESETS, preset_family
from .selection import AT, BOX, PART, Selection

if TYPE_CHECKING:
    from ..generators.base import Generator

_MAX_PARTS = 64
_STORED_SIDE = 256
_BOX = Bounds(-1e6, 1e6)
_SMALL_BOX = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Region:
    """A part of the image, as a soft mask in [0, 1]. Make one with `from_box`, `from_mask` or `preset`;
    combine with `|` (union), `&` (intersection) and `~` (inversion); soften with `feather`."""

    @staticmethod
    def from_box(x: float, y: float, width: float, height: float) -> Region:
        """A box, in fractions of the image; sharp unless feathered.

        Args:
            x, y: left and top edge, in [0, 1).
            width, height: size, in (0, 1]; the box must end inside the image.

        Raises:
            RegionError: not numbers, out of range, empty, or the whole image.

        Example:
            >>> Region.from_box(0.5, 0.0, 0.5, 1.0).mask(1, 4)
            tensor([[0., 0., 1., 1.]])
        """
        box = [number(value, "box", *_BOX, RegionError) for value in (x, y, width, height)]
        left, top, wide, high = box
        slack = 1e-6
        if wide <= 0 or high <= 0:
            raise RegionError(f"the box {_show(box)} is empty: width and height must be above 0")
        if left < -slack or top < -slack or left + wide > 1 + slack or top + high > 1 + slack:
            raise RegionError(
                f"the box {_show(box)} (x, y, width, height) leaves the image: "
                "expected fractions with x + width <= 1 and y + height <= 1"
            )
        if wide >= 1 - slack and high >= 1 - slack:
            raise RegionError("the box covers the whole image: nothing would be left outside")
        return _Box(left, top, wide, high)

    @staticmethod
    def from_mask(mask: Image.Image | np.ndarray[Any, Any] | Tensor) -> Region:
        """A painted or segmented mask of any size.

        Args:
            mask: PIL image (its luminance, or its alpha where it has one and is otherwise
                uniform), or array or tensor `(H, W)`, `(1, H, W)` or `(H, W, 1)`; bool, uint8 in
                [0, 255], or floating in [0, 1].

        Raises:
            RegionError: wrong shape or type, values out of range or not finite, empty or full.
        """
        values = mask_values(mask)
        if values.min() >= 1.0 - 1e-4:
            raise RegionError("the mask covers the whole image: nothing would be left outside")
        if values.max() <= 1e-4:
            raise RegionError("the mask is empty: paint the part of the image to change")
        return _Mask(values)

    @staticmethod
    def preset(name: str, family: str = "avatars") -> Region:
        """A named region, e.g. `"mouth"`, or `"ffhq/mouth"` with its family.

        Raises:
            RegionError: no such preset; the message lists those there are.
        """
        if "/" in name:
            family, name = name.split("/", 1)
        boxes = PRESETS.get(family)
        if boxes is None:
            raise RegionError(f"no presets are known for {family!r}: expected one of {', '.join(PRESETS)}")
        if name not in boxes:
            raise RegionError(f"there is no preset {name!r} of {family}: expected one of {', '.join(boxes)}")
        parts: list[Region] = [Region.from_box(*box) for box in boxes[name]]
        region = parts[0]
        for part in parts[1:]:
            region = region | part
        return _Preset(region, family, name)

    @staticmethod
    def from_text(text: str, generator: Generator | str = "") -> Region:
        """A region as commands, links and files name it: a box `x,y,width,height` in fractions, the path of
        a mask image, JSON as `to_json` writes it, or a preset: `eyes` of the generator, or `ffhq/eyes`.
        `box:eyes` is `eyes` as a box, whatever parts the generator has.

        Args:
            generator: the generator, or its name, whose presets need no family; see `preset_family`.

        Raises:
            RegionError: none of these, or not a region.
        """
        if text.lstrip().startswith((AT, PART)):
            raise RegionError(f"{text[:80]!r} is a part of an image: there is none here to find it on")
        family = preset_family(generator)
        if text.startswith(BOX):
            return Region.preset(text.removeprefix(BOX), family or "no family")
        if text.lstrip().startswith("{"):
            try:
                data = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise RegionError(f"{text[:80]!r} is not readable as JSON") from error
            return Region.from_json(data, family=family)
        numbers = text.split(",")
        if len(numbers) == 4:
            try:
                box = [float(number) for number in numbers]
            except ValueError as error:
                raise RegionError(f"{text[:80]!r} is not a box x,y,width,height in fractions") from error
            return Region.from_box(*box)
        if is_file(text):
            try:
                with Image.open(text) as picture:
                    return Region.from_mask(picture)
            except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
                raise RegionError(f"{text}: not readable as a mask image: {error}") from error
        if "/" in text or family:
            return Region.preset(text, family)
        whose = generator if isinstance(generator, str) else generator.name
        raise RegionError(
            f"{text[:80]!r} is no file, and there are no presets for {whose!r}: "
            f"give a box x,y,width,height, a mask image, or FAMILY/NAME from {', '.join(PRESETS)}"
        )

    @staticmethod
    def from_pixels(
        x: float, y: float, width: float, height: float, image_width: int, image_height: int
    ) -> tuple[Region, str]:
        """A box in pixels of an image, cut to it, and a note where it had to be cut or is very small ("" if
        neither).

        Raises:
            RegionError: the box holds no pixel of the image, or all of them.
        """
        left, top, wide, high = (number(value, "box", *_BOX, RegionError) for value in (x, y, width, height))
        x0, x1 = (min(max(edge, 0.0), image_width) for edge in (left, left + wide))
        y0, y1 = (min(max(edge, 0.0), image_height) for edge in (top, top + high))
        if not (x1 - x0 >= 1 and y1 - y0 >= 1):
            raise RegionError(
                f"the box at ({left:g}, {top:g}), {wide:g} x {high:g} pixels, lies outside the image of "
                f"{image_width} x {image_height} pixels, or is empty: drag one over the part to change"
            )
        region = Region.from_box(
            x0 / image_width, y0 / image_height, (x1 - x0) / image_width, (y1 - y0) / image_height
        )
        if (x0, y0, x1, y1) != (left, top, left + wide, top + high):
            return region, f"the box was cut to the image: {x1 - x0:g} x {y1 - y0:g} at ({x0:g}, {y0:g})"
        if wide * high < _SMALL_BOX * image_width * image_height:
            return (
                region,
                f"the box covers only {wide:g} x {high:g} of {image_width} x {image_height} pixels: drag it",
            )
        return region, ""

    @staticmethod
    def from_json(data: object, mask: Tensor | None = None, family: str = "") -> Region:
        """Read what `to_json` wrote, or a browser sent.

        Args:
            data: `{"box": [x, y, width, height]}`, `{"preset": name}`, `{"mask": "data:image/png;base64,…"}`,
                `{"mask": true}`, or `union`, `not`, or `feather` or `part` and `of` with more of these.
            mask: what `{"mask": true}` stands for.
            family: whose presets need no family.

        Raises:
            RegionError: the data are not a region, or need a mask that is missing.
        """
        return _from_json(data, mask, family, budget=[_MAX_PARTS])

    def to_json(self, embed: bool = False) -> dict[str, Any]:
        """The region as JSON, in fractions.

        Args:
            embed: write painted parts as PNG, presets by their names. Otherwise presets are boxes, and a
                region with a painted part, or with very many parts, is just `{"mask": true}`: `stored_mask`
                goes beside it.
        """
        parts = self._parts()
        if embed:
            return mask_to_json(self.stored_mask()) if len(parts) > _MAX_PARTS else self._json(embed)
        if len(parts) > _MAX_PARTS or any(isinstance(part, _Mask) for part in parts):
            return {"mask": True}
        return self._json(embed)

    def __repr__(self) -> str:
        painted = self.to_json() == {"mask": True}
        return f"Region({'painted' if painted else self.to_text()[:200]})"

    def to_text(self) -> str:
        """The region as `from_text` reads it: a preset's name with its family, a box, or else JSON."""
        data = self.to_json(embed=True)
        if set(data) == {"preset"}:
            return str(data["preset"])
        if set(data) == {"box"}:
            return ",".join(f"{number:.6g}" for number in data["box"])
        return json.dumps(data, separators=(",", ":"))

    @property
    def name(self) -> str:
        """A preset's name; empty for other regions."""
        return ""

    @property
    def words(self) -> str:
        """The region in words: `the mouth`, or `this part` where it has no name."""
        return f"the {self.name.replace('_', ' ')}" if self.name else "this part"

    def stored_mask(self) -> Tensor:
        """The mask that files keep beside `to_json`, `(256, 256)`, uint8.

        Raises:
            RegionError: only the mask tells the region, and at this size it is empty or full.
        """
        mask = (self.mask(_STORED_SIDE, _STORED_SIDE, check=False) * 255.0).round().to(torch.uint8)
        if self.to_json() == {"mask": True}:
            Region.from_mask(mask)
        return mask

    def mask(self, height: int, width: int, check: bool = True) -> Tensor:
        """The soft mask at a resolution.

        Args:
            height, width: in pixels; a pixel's weight is the fraction of its area inside.
            check: refuse a mask that is empty or full at this resolution.

        Returns:
            `(height, width)`, float32 in [0, 1], on the CPU.

        Raises:
            RegionError: the region is empty or full at this resolution, or no image has that size.
        """
        if not 1 <= min(height, width) <= max(height, width) <= MAX_MASK_SIDE:
            raise RegionError(
                f"a mask of {width} x {height} pixels was asked for: expected sides of 1 to {MAX_MASK_SIDE}"
            )
        mask = _weights_of(self, height, width).clamp(0.0, 1.0)
        if check:
            if float(mask.max()) <= 1e-4:
                raise RegionError(f"the region holds no pixel of a {width} x {height} image: make it larger")
            if float(mask.min()) >= 1.0 - 1e-4:
                raise RegionError("the region covers the whole image: nothing would be left outside")
        return mask

    def feather(self, radius: float) -> Region:
        """Soften the edge by a Gaussian whose standard deviation is `radius`, a fraction of the
        image's height in [0, 0.5]; 0 leaves the region as it is."""
        radius = number(radius, "feather", *FEATHER, RegionError)
        return self if radius == 0.0 else _Feathered(self, radius)

    @staticmethod
    def of_part(region: Region, selection: Selection) -> Region:
        """What a selection chose on one image, so that `on` can choose it on another one."""
        return _Part(region, selection)

    @property
    def follows(self) -> bool:
        """Whether the region, or some of it, is a part that each image has in its own place."""
        return bool(self.selections)

    @property
    def selections(self) -> tuple[Selection, ...]:
        """The selections of its parts that follow an image."""
        return tuple(part.selection for part in self._parts() if isinstance(part, _Part))

    def on(self, choose: Callable[[Selection], Region]) -> Region:
        """The region on another image: `choose` says where the selected parts are there, with the clicks as
        they are there."""
        return self

    def __or__(self, other: Region) -> Region:
        return _Union(self, other) if isinstance(other, Region) else NotImplemented

    def __and__(self, other: Region) -> Region:
        return ~(~self | ~other) if isinstance(other, Region) else NotImplemented

    def __invert__(self) -> Region:
        return self.of if isinstance(self, _Inverse) else _Inverse(self)

    def _parts(self) -> list[Region]:
        """The region and all that it is made of."""
        return [self]

    def _json(self, embed: bool) -> dict[str, Any]:
        raise TypeError("a region is made with from_box, from_mask or preset")

    def _weights(self, height: int, width: int) -> Tensor:
        raise TypeError("a region is made with from_box, from_mask or preset")


@lru_cache(maxsize=32)
def _weights_of(region: Region, height: int, width: int) -> Tensor:
    """A region's weights at a resolution; edits ask for the same few again and again."""
    return region._weights(height, width)


@dataclass(frozen=True, eq=False, repr=False)
class _Box(Region):
    x: float
    y: float
    width: float
    height: float

    def _json(self, embed: bool) -> dict[str, Any]:
        return {"box": [self.x, self.y, self.width, self.height]}

    def _weights(self, height: int, width: int) -> Tensor:
        rows = coverage(self.y, self.y + self.height, height)
        columns = coverage(self.x, self.x + self.width, width)
        return rows[:, None] * columns[None, :]


@dataclass(frozen=True, eq=False, repr=False)
class _Mask(Region):
    values: Tensor

    def _json(self, embed: bool) -> dict[str, Any]:
        if not embed:
            return {"mask": True}
        small = max(self.values.shape) <= EMBEDDED_SIDE
        return mask_to_json((self.values * 255.0).round().to(torch.uint8) if small else self.stored_mask())

    def _weights(self, height: int, width: int) -> Tensor:
        return resampled(self.values, height, width)


@dataclass(frozen=True, eq=False, repr=False)
class _Preset(Region):
    of: Region
    family: str
    label: str

    @property
    def name(self) -> str:
        return self.label

    def _parts(self) -> list[Region]:
        return self.of._parts()

    def _json(self, embed: bool) -> dict[str, Any]:
        return {"preset": f"{self.family}/{self.label}"} if embed else self.of._json(embed)

    def _weights(self, height: int, width: int) -> Tensor:
        return self.of._weights(height, width)


@dataclass(frozen=True, eq=False, repr=False)
class _Part(Region):
    of: Region
    selection: Selection

    @property
    def name(self) -> str:
        return self.selection.name

    def on(self, choose: Callable[[Selection], Region]) -> Region:
        found = choose(self.selection)
        return found if found.follows else _Part(found, self.selection)

    def _parts(self) -> list[Region]:
        return [self, *self.of._parts()]

    def _json(self, embed: bool) -> dict[str, Any]:
        of = self.of._json(embed)
        return {"part": self.selection.to_json(), "of": of} if embed else of

    def _weights(self, height: int, width: int) -> Tensor:
        return self.of._weights(height, width)


@dataclass(frozen=True, eq=False, repr=False)
class _Union(Region):
    first: Region
    second: Region

    def on(self, choose: Callable[[Selection], Region]) -> Region:
        return _Union(self.first.on(choose), self.second.on(choose)) if self.follows else self

    def _parts(self) -> list[Region]:
        return [self, *self.first._parts(), *self.second._parts()]

    def _json(self, embed: bool) -> dict[str, Any]:
        return {"union": [self.first._json(embed), self.second._json(embed)]}

    def _weights(self, height: int, width: int) -> Tensor:
        return torch.maximum(self.first._weights(height, width), self.second._weights(height, width))


@dataclass(frozen=True, eq=False, repr=False)
class _Inverse(Region):
    of: Region

    def on(self, choose: Callable[[Selection], Region]) -> Region:
        return _Inverse(self.of.on(choose)) if self.follows else self

    def _parts(self) -> list[Region]:
        return [self, *self.of._parts()]

    def _json(self, embed: bool) -> dict[str, Any]:
        return {"not": self.of._json(embed)}

    def _weights(self, height: int, width: int) -> Tensor:
        return 1.0 - self.of._weights(height, width)


@dataclass(frozen=True, eq=False, repr=False)
class _Feathered(Region):
    of: Region
    radius: float

    def on(self, choose: Callable[[Selection], Region]) -> Region:
        return _Feathered(self.of.on(choose), self.radius) if self.follows else self

    @property
    def name(self) -> str:
        return self.of.name

    def _parts(self) -> list[Region]:
        return [self, *self.of._parts()]

    def _json(self, embed: bool) -> dict[str, Any]:
        return {"feather": self.radius, "of": self.of._json(embed)}

    def _weights(self, height: int, width: int) -> Tensor:
        mask = self.of._weights(height, width)
        sigma = self.radius * height
        down = blur(height, sigma)
        across = down if width == height else blur(width, sigma)
        return down @ mask @ across.T


def _show(box: list[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in box) + ")"


def _from_json(data: object, mask: Tensor | None, family: str, budget: list[int]) -> Region:
    budget[0] -= 1
    if budget[0] < 0:
        raise RegionError(f"the region has more than {_MAX_PARTS} parts")
    if not isinstance(data, Mapping):
        raise RegionError(f"a region must be a JSON object, not {type(data).__name__}")
    box, parts, inner, painted = (data.get(key) for key in ("box", "union", "not", "mask"))
    if isinstance(box, list) and len(box) == 4:
        return Region.from_box(*box)
    if isinstance(parts, list) and len(parts) == 2:
        return _Union(_from_json(parts[0], mask, family, budget), _from_json(parts[1], mask, family, budget))
    if inner is not None:
        return ~_from_json(inner, mask, family, budget)
    if "part" in data and "of" in data:
        return _Part(_from_json(data["of"], mask, family, budget), Selection.from_json(data["part"]))
    if "feather" in data and "of" in data:
        return _from_json(data["of"], mask, family, budget).feather(data["feather"])
    if isinstance(data.get("preset"), str):
        return Region.preset(data["preset"][:80], family or "no family")
    if isinstance(painted, str):
        return Region.from_mask(mask_from_text(painted))
    if painted is True:
        if mask is None:
            raise RegionError("the region was painted, but its mask is missing")
        return Region.from_mask(mask)
    raise RegionError(
        f"not a region: expected box, preset, part, union, not, feather or mask, got {str(list(data))[:80]}"
    )


@lru_cache(maxsize=16)
def _presets(family: str) -> dict[str, Region]:
    return {name: Region.preset(name, family) for name in PRESETS.get(family, {})}


def presets_of(generator: Generator | str) -> dict[str, Region]:
    """The named regions that are known for a generator, by name; see `preset_family`."""
    return dict(_presets(preset_family(generator)))
