"""What a change of an image is called: words measured from the change itself, as pairs `opens / closes`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .effects import tint_share

UNKNOWN = "another shape"
_MOUTHS, _BEAKS, _EYES = ("mouth", "lip"), ("beak",), ("eye",)

_MOVES = 0.15
_FULLER = 1.15
_FEATURE = 0.3
_FEATURE_AREA = 0.5
_ONE_WAY = 0.3
_ONE_PLACE = 0.05
_HARDLY = 0.2
_SECOND_COLOUR = 0.3
_CHANGES = 0.2
_FEWEST = 16

_OPENER, _TALLER = 0.25, 0.08
"""Natural logarithms of how many times a mouth's area by its width, and its height, grow as it opens."""
_TEETH = 0.4
"""By which share of a mouth what is lighter than its surroundings grows as teeth come out."""
_WHITES = 0.7
"""The same of eyes that open."""
_BOLDER = 0.7
"""Natural logarithm of how many times more something stands out."""


def words_for(backwards: Tensor, forwards: Tensor, mask: Tensor, part: str = "") -> str:
    """What changes most from one image `(3, H, W)` to the other under a mask `(H, W)`; see `descriptions`."""
    return descriptions(backwards, forwards, mask, part)[0]


def descriptions(backwards: Tensor, forwards: Tensor, mask: Tensor, part: str = "") -> tuple[str, ...]:
    """All that can be said of what changes, what says most first: `openings`, then `changes`.

    Args:
        part: the region's name; what mouths and eyes do is to open.
    """
    opened = openings(backwards, forwards, mask, part)
    return tuple(dict.fromkeys((*opened, *changes(backwards, forwards, mask, part))))


def changes(backwards: Tensor, forwards: Tensor, mask: Tensor, part: str = "") -> tuple[str, ...]:
    """What changes from one image `(3, H, W)` to the other under a mask `(H, W)`, what says most first.

    A change that is mostly one colour is called by that. Else it is fitted by a movement, of which the
    largest part gives the word: to the side, up or down, wider or taller, or a turn. Then comes whether what
    stands out grows or shrinks, whether most of what changes becomes lighter, redder or the like, and where;
    last what is there, but weak.
    """
    change = (forwards - backwards) / 2
    energy = float((change.square() * mask).sum())
    if energy <= 0.0:
        return (UNKNOWN,)
    told = []
    mean = colours((change * mask).sum(dim=(1, 2)) / mask.sum())
    if float(tint_share(change, mask)) >= 0.5:
        told.append(mean[0])
    moved = movement(change, (forwards + backwards) / 2, mask)
    opening = moved.axis == 3 and _is(part, (*_MOUTHS, *_BEAKS, *_EYES))
    moves = _both(_OPENS if opening else _AXES[moved.axis], moved.sign)
    if moved.explained >= _MOVES:
        told.append(moves)
    areas = [_standing_out(image, mask) for image in (backwards, forwards)]
    grows = max(areas) > _FULLER * min(areas)
    if grows and max(areas) < _FEATURE_AREA * float(mask.sum()):
        told.append(_both(("larger", "smaller"), areas[1] - areas[0]))
    weights = change.square().sum(dim=0) * mask
    colour = (change * weights).sum(dim=(1, 2)) / weights.sum()
    if float(colour.square().sum()) > _ONE_WAY * float((weights * weights).sum() / weights.sum()):
        told.append(colours(colour)[0])
    place, share = _place(change, mask)
    if share >= _ONE_PLACE:
        told.append(place)
    weak = sorted([(moved.explained / _MOVES, moves), (share / _ONE_PLACE, place)], reverse=True)
    if not told and weak[0][0] <= _HARDLY:
        told.append(UNKNOWN)
    return tuple(dict.fromkeys([*told, *(words for _, words in weak), mean[0]]))


def openings(backwards: Tensor, forwards: Tensor, mask: Tensor, part: str) -> tuple[str, ...]:
    """Whether mouths and eyes open or close, teeth come out, or a mouth fades, from one image `(3, H, W)` to
    the other: measured from what stands out from the surroundings in the rectangle that changes.

    Args:
        part: the region's name; of others than mouths, beaks and eyes nothing is said.
    """
    if not _is(part, (*_MOUTHS, *_BEAKS, *_EYES)):
        return ()
    radius = max(1, round(min(mask.shape) / 64))
    amount = (forwards - backwards).abs().amax(dim=0) * mask
    changed = _around(amount > _CHANGES * amount.max(), radius)
    where = changed * _grown(mask, radius)
    ground = _ground((backwards + forwards) / 2, changed, where, 3 * radius)
    first, second = (_Standing.of(image - ground, where) for image in (backwards, forwards))
    lighter = 2.0 * (second.lighter - first.lighter) / (first.area + second.area)
    if _is(part, _EYES):
        return (_both(_OPENS, lighter),) if abs(lighter) >= _WHITES else ()
    told = []
    thicker = math.log(second.area / first.area * first.width / second.width)
    taller = math.log(second.height / first.height)
    if _is(part, _MOUTHS) and abs(lighter) >= _TEETH:
        told.append(_both(("shows teeth", "hides teeth"), lighter))
    if abs(thicker) >= _OPENER and math.copysign(taller, thicker * taller) >= _TALLER:
        told.append(_both(_OPENS, thicker))
    bolder = math.log(second.contrast / first.contrast)
    if abs(bolder) >= _BOLDER:
        told.append(_both(("bolder", "fainter"), bolder))
    return tuple(told)


@dataclass(frozen=True)
class _Standing:
    """What stands out from its surroundings: its area, width and height in pixels, how much of the area is
    lighter than they are, and by how much it stands out."""

    area: float
    width: float
    height: float
    lighter: float
    contrast: float

    @staticmethod
    def of(difference: Tensor, where: Tensor) -> _Standing:
        """Of the difference `(3, H, W)` from the surroundings, where that counts `(H, W)`."""
        distance = difference.abs().amax(dim=0)
        contrast = max(float(distance[where >= where.max() / 2].quantile(0.9)), _FEATURE)
        weights = (distance / contrast).clamp(0.0, 1.0).square() * where + 1e-6
        x, y = _coordinates(weights)
        return _Standing(
            area=float(weights.sum()) + 2.0,
            width=float(_spread(x, weights)) + 0.5,
            height=float(_spread(y, weights)) + 0.3,
            lighter=float(((difference.mean(dim=0) / _FEATURE).clamp(0.0, 1.0).square() * where).sum()),
            contrast=contrast,
        )


def _ground(image: Tensor, changed: Tensor, where: Tensor, width: int) -> Tensor:
    """The median colour `(3, 1, 1)` of a rim of some pixels around the rectangle that changes; within it,
    where that is the whole image."""
    around = (_grown(changed, width) > 0.5) & (changed < 0.5)
    pixels = image[:, around if int(around.sum()) >= _FEWEST else where >= where.max() / 2]
    return pixels.median(dim=1).values[:, None, None]


def _around(found: Tensor, radius: int) -> Tensor:
    """The rectangle `(H, W)` around what is true, and a little more."""
    rows, columns = (_grown(found.any(dim=axis).float()[None], radius)[0] for axis in (1, 0))
    first, second = ((side.cumsum(0) > 0) & (side.flip(0).cumsum(0).flip(0) > 0) for side in (rows, columns))
    return (first[:, None] & second[None]).float()


def _grown(values: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(values[None, None], 2 * radius + 1, stride=1, padding=radius)[0, 0]


def _spread(values: Tensor, weights: Tensor) -> Tensor:
    """The standard deviation of values, weighted."""
    return ((values.square() * weights).sum() / weights.sum()).sqrt()


def _is(part: str, kinds: Sequence[str]) -> bool:
    return any(kind in part.lower() for kind in kinds)


_OPENS = ("opens", "closes")
_AXES = (
    ("right", "left"),
    ("down", "up"),
    ("wider", "narrower"),
    ("taller", "shorter"),
    ("turns right", "turns left"),
)
_PLACES = ("on the right", "on the left", "below", "above", "outside", "in the middle")


def _both(words: tuple[str, str], sign: float) -> str:
    return " / ".join(words if sign > 0 else words[::-1])


def colours(colour: Tensor) -> tuple[str, ...]:
    """Words for a change `(3,)` of red, green and blue along three opponent axes, the largest first; further
    ones where they are not much smaller."""
    red, green, blue = (colour[:3] if len(colour) > 2 else colour[:1].expand(3)).tolist()
    axes = (
        ((red + green + blue) / 3**0.5, ("lighter", "darker")),
        ((red - green) / 2**0.5, ("redder", "greener")),
        ((red + green - 2 * blue) / 6**0.5, ("yellower", "bluer")),
    )
    ordered = sorted(axes, key=lambda axis: -abs(axis[0]))
    least = _SECOND_COLOUR * abs(ordered[0][0])
    return tuple(_both(words, amount) for amount, words in ordered if abs(amount) >= least)


def _coordinates(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels' columns and rows, `(H, W)` each, from the middle of a region."""
    rows, columns = (torch.arange(size).to(mask) for size in mask.shape)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return _centred(x, mask), _centred(y, mask)


def _centred(values: Tensor, mask: Tensor) -> Tensor:
    return values - (values * mask).sum() / mask.sum()


def _standardized(values: Tensor, mask: Tensor) -> Tensor:
    """Values with mean 0 and standard deviation 1 over a region."""
    centred = _centred(values, mask)
    return centred / ((centred.square() * mask).sum() / mask.sum()).sqrt().clamp_min(1e-6)


@dataclass(frozen=True)
class Movement:
    """The largest part of a movement: its index in `_AXES`, its sign, and the share of a change that the
    whole movement explains."""

    axis: int
    sign: float
    explained: float


def movement(change: Tensor, image: Tensor, mask: Tensor) -> Movement:
    """The movement of an image that explains a change best (Lucas and Kanade's equation over the whole
    region)."""
    smooth = F.avg_pool2d(F.pad(image[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]
    right = F.pad(smooth[..., 2:] - smooth[..., :-2], (1, 1)) / 2
    down = F.pad(smooth[..., 2:, :] - smooth[..., :-2, :], (0, 0, 1, 1)) / 2
    x, y = _coordinates(mask)
    turn = (right * y - down * x) / 8
    across, along = (_standardized(each, mask) for each in (x, y))
    fields = torch.stack([-right, -down, -right * across, -down * along, turn]) * mask.sqrt()
    rows = fields.flatten(1).double()
    wanted = (change * mask.sqrt()).flatten().double()
    gram = rows @ rows.T
    gram.diagonal().add_(1e-6 * float(gram.trace()) + 1e-12)
    amounts = torch.linalg.solve(gram, rows @ wanted)
    explained = float(amounts @ rows @ wanted) / float(wanted @ wanted)
    parts = amounts.square() * rows.square().sum(dim=1)
    axis = int(parts.argmax())
    return Movement(axis, float(amounts[axis]), explained)


def _place(change: Tensor, mask: Tensor) -> tuple[str, float]:
    """In which half of the region it becomes lighter or darker and not in the other, and the share of the
    change of brightness that this is."""
    light = change.mean(dim=0)
    total = mask.sum()
    across, down = (_standardized(each, mask) for each in _coordinates(mask))
    patterns = [across, down, _standardized((across.square() + down.square()).sqrt(), mask)]
    amounts = [float((light * pattern * mask).sum() / total) for pattern in patterns]
    largest = max(range(3), key=lambda index: abs(amounts[index]))
    share = amounts[largest] ** 2 / max(float((light.square() * mask).sum() / total), 1e-12)
    there = _PLACES[2 * largest + (amounts[largest] < 0)]
    return f"lighter {there} / darker {there}", share


def _standing_out(image: Tensor, mask: Tensor) -> float:
    """The area of what is not of the region's median colour."""
    inside = image[:, mask > 0.5]
    if inside.shape[1] == 0:
        return 1.0
    distance = (image - inside.median(dim=1).values[:, None, None]).abs().amax(dim=0)
    return max(float(((distance > _FEATURE) * mask).sum()), 1.0)


def joined(words: str, more: str) -> str:
    """Two pairs of words as one.

    Example:
        >>> joined("opens / closes", "wider / narrower")
        'opens, wider / closes, narrower'
    """
    sides = zip(words.split(" / "), more.split(" / "), strict=False)
    return " / ".join(f"{first}, {second}" for first, second in sides)


def same_pair(first: str, second: str) -> bool:
    """Whether two names say the same, or the same the other way round.

    Example:
        >>> same_pair("up / down", "down / up"), same_pair("up / down", "up, opens / down, closes")
        (True, False)
    """
    return sorted(first.split(" / ")) == sorted(second.split(" / "))


def distinct(words: Sequence[str]) -> tuple[str, ...]:
    """Words with numbers where they stand twice, or the other way round.

    Example:
        >>> distinct(["opens / closes", "left / right", "opens / closes"])
        ('opens / closes', 'left / right', 'opens / closes 2')
    """
    told: list[str] = []
    for index, each in enumerate(words):
        count = 1 + sum(same_pair(each, other) for other in words[:index])
        told.append(each if count == 1 else f"{each} {count}")
    return tuple(told)
