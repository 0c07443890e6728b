"""What an edit along a direction looks like: measures of its images, flaws, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..regions import Region
from .effects import Effect, effect_of

MOST_TINT = 0.2
"""The share of a change that may be one uniform colour, where shapes are asked for."""
LEAST_RATIO_OF_COLOURS = 60.0
"""How many times a change of colour must be as large inside as outside: what isn't a change of the region's
own colour, but of a box or of all skin, is less local."""
MOST_BORDER = 2.0
"""How many times the edge energy at the border of a confined edit may be that before it."""
MOST_ALIKE = 0.9
"""The cosine of two directions' changes from which they are the same to look at."""

_MOVES = 0.15
_FULLER = 1.15
_FEATURE = 0.3
_FEATURE_AREA = 0.5
_ONE_WAY = 0.3
_ONE_PLACE = 0.05
_HARDLY = 0.2
_OPENING = ("eye", "mouth", "lip", "beak")


@dataclass(frozen=True, eq=False)
class Look:
    """What a direction does to an image, to both sides.

    Attributes:
        effect: the mean of both.
        tint: the share of the change inside the region that is one uniform colour of it; the larger of both.
        border: edge energy of the edited image along the region's edge, over that before; the larger of both.
        change: half the difference of the two images, under the region's mask, `(3, H, W)`.
        words: what changes, forwards and backwards: `opens / closes`.
        more: what changes besides, in the same form.
        colour: the same of the region's mean colour.
    """

    effect: Effect
    tint: float
    border: float
    change: Tensor
    words: str
    more: tuple[str, ...] = ()
    colour: str = ""

    @property
    def recolours(self) -> bool:
        """Whether the region takes another colour and hardly anything else changes: what is worth offering as
        a change of colour."""
        return self.tint > MOST_TINT and self.effect.ratio >= LEAST_RATIO_OF_COLOURS

    def called(self, words: str) -> Look:
        """It with further words: the first, where nothing plain is said of it."""
        if not words:
            return self
        if self.words == _UNKNOWN or self.words.startswith("lighter "):
            return replace(self, words=words, more=(self.words, *self.more))
        return replace(self, more=(words, *self.more))

    def flaws(self, confined: bool, colour: bool) -> tuple[str, ...]:
        """Why the direction is not worth offering; empty where it is.

        Args:
            confined: whether its edits are.
            colour: whether colours are asked for.
        """
        found = {
            "little effect": self.effect.is_faint,
            "much elsewhere": self.effect.spills,
            "tint": self.tint > MOST_TINT and not colour,
            "seam": self.border > MOST_BORDER and confined,
        }
        return tuple(name for name, is_so in found.items() if is_so)

    def is_like(self, other: Look) -> bool:
        """Whether both change the image alike, to whichever side."""
        both = float(self.change.norm() * other.change.norm())
        return abs(float((self.change * other.change).sum())) > MOST_ALIKE * both


def look_of(before: Tensor, backwards: Tensor, forwards: Tensor, region: Region) -> Look:
    """What a direction does, from an image and its edits `(3, H, W)` as far to both sides."""
    mask = region.mask(before.shape[1], before.shape[2], check=False).to(before)
    sides = (backwards.clamp(-1.0, 1.0), forwards.clamp(-1.0, 1.0))
    before = before.clamp(-1.0, 1.0)
    energy = max(float(edge_energy(before, mask)), 1e-6)
    words, *more = descriptions(sides[0], sides[1], mask, region.name)
    change = (sides[1] - sides[0]) / 2 * mask
    return Look(
        effect=effect_of(before, sides, region),
        tint=max(float(tint_share(side - before, mask)) for side in sides),
        border=max(float(edge_energy(side, mask)) for side in sides) / energy,
        change=change,
        words=words,
        more=tuple(more),
        colour=_colour_words(change.sum(dim=(1, 2))),
    )


def tint_share(changes: Tensor, mask: Tensor) -> Tensor:
    """The share `(...)` of squared changes `(..., 3, H, W)` under a mask `(H, W)` that is one uniform colour.

    Example:
        >>> changes = torch.stack([torch.ones(3, 4, 4), torch.eye(4).expand(3, 4, 4)])
        >>> tint_share(changes, torch.ones(4, 4))
        tensor([1.0000, 0.2500])
    """
    total = (changes.square() * mask).sum(dim=(-3, -2, -1))
    mean = (changes * mask).sum(dim=(-2, -1)) / mask.sum()
    return mean.square().sum(dim=-1) * mask.sum() / total.clamp_min(1e-12)


def edge_energy(images: Tensor, mask: Tensor) -> Tensor:
    """Squared jumps `(...)` of images `(..., 3, H, W)` between neighbouring pixels, each times how much the
    mask `(H, W)` differs there."""
    across = (images[..., 1:] - images[..., :-1]).square().sum(dim=-3) * (mask[:, 1:] - mask[:, :-1]).abs()
    down = (images[..., 1:, :] - images[..., :-1, :]).square().sum(dim=-3) * (mask[1:] - mask[:-1]).abs()
    return across.sum(dim=(-2, -1)) + down.sum(dim=(-2, -1))


def words_for(backwards: Tensor, forwards: Tensor, mask: Tensor, part: str = "") -> str:
    """What changes most from one image `(3, H, W)` to the other under a mask `(H, W)`; see `descriptions`."""
    return descriptions(backwards, forwards, mask, part)[0]


def descriptions(backwards: Tensor, forwards: Tensor, mask: Tensor, part: str = "") -> tuple[str, ...]:
    """All that can be said of what changes, what says most first.

    A change that is mostly one colour is called by that. Else it is fitted by a movement, of which the
    largest part gives the word: to the side, up or down, wider or taller, or a turn. Then comes whether what
    stands out grows or shrinks, whether most of what changes becomes lighter, redder or the like, and where.

    Args:
        part: the region's name; what mouths and eyes do is to open.
    """
    change = (forwards - backwards) / 2
    energy = float((change.square() * mask).sum())
    if energy <= 0.0:
        return (_UNKNOWN,)
    told = []
    if float(tint_share(change, mask)) >= 0.5:
        told.append(_colour_words((change * mask).sum(dim=(1, 2)) / mask.sum()))
    axis, sign, explained = _movement(change, (forwards + backwards) / 2, mask)
    opening = axis == 3 and any(name in part.lower() for name in _OPENING)
    moves = _both(("opens", "closes") if opening else _AXES[axis], sign)
    if explained >= _MOVES:
        told.append(moves)
    areas = [_standing_out(image, mask) for image in (backwards, forwards)]
    grows = max(areas) > _FULLER * min(areas)
    if grows and max(areas) < _FEATURE_AREA * float(mask.sum()):
        told.append(_both(("larger", "smaller"), areas[1] - areas[0]))
    weights = change.square().sum(dim=0) * mask
    colour = (change * weights).sum(dim=(1, 2)) / weights.sum()
    if float(colour.square().sum()) > _ONE_WAY * float((weights * weights).sum() / weights.sum()):
        told.append(_colour_words(colour))
    place, share = _place(change, mask)
    if share >= _ONE_PLACE:
        told.append(place)
    if not told and max(explained / _MOVES, share / _ONE_PLACE) > _HARDLY:
        told.append(moves if explained / _MOVES > share / _ONE_PLACE else place)
    return tuple(dict.fromkeys(told)) or (_UNKNOWN,)


_UNKNOWN = "another shape"
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


def _colour_words(colour: Tensor) -> str:
    """Words for a change `(3,)` of red, green and blue: along the largest of three opponent axes."""
    red, green, blue = (colour[:3] if len(colour) > 2 else colour[:1].expand(3)).tolist()
    axes = (
        ((red + green + blue) / 3**0.5, ("lighter", "darker")),
        ((red - green) / 2**0.5, ("redder", "greener")),
        ((red + green - 2 * blue) / 6**0.5, ("yellower", "bluer")),
    )
    amount, words = max(axes, key=lambda axis: abs(axis[0]))
    return _both(words, amount)


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


def _movement(change: Tensor, image: Tensor, mask: Tensor) -> tuple[int, float, float]:
    """The largest part of the movement that explains a change best (Lucas and Kanade's equation over the
    whole region): its index in `_AXES`, its sign, and the share of the change that the movement explains."""
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
    return axis, float(amounts[axis]), explained


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


def names_of(looks: Sequence[Look]) -> tuple[str, ...]:
    """A name for each: by what changes most, `colour: ` before it for mere changes of colour, and by what
    changes besides where others are called so already."""
    told: list[str] = []
    for look in looks:
        plain = f"colour: {look.colour}" if look.recolours else look.words
        longer = (_joined(plain, more) for more in look.more)
        told.append(next((name for name in (plain, *longer) if name not in told), plain))
    return distinct(told)


def _joined(words: str, more: str) -> str:
    """Two pairs of words as one.

    Example:
        >>> _joined("opens / closes", "wider / narrower")
        'opens, wider / closes, narrower'
    """
    sides = zip(words.split(" / "), more.split(" / "), strict=False)
    return " / ".join(f"{first}, {second}" for first, second in sides)


def distinct(words: Sequence[str]) -> tuple[str, ...]:
    """Words with numbers where they stand twice.

    Example:
        >>> distinct(["opens / closes", "left / right", "opens / closes"])
        ('opens / closes', 'left / right', 'opens / closes 2')
    """
    counts: dict[str, int] = {}
    told = []
    for each in words:
        counts[each] = counts.get(each, 0) + 1
        told.append(each if counts[each] == 1 else f"{each} {counts[each]}")
    return tuple(told)
