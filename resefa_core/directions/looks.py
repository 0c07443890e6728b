"""What an edit along a direction looks like: measures of its images, flaws, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..regions import Region
from .effects import Effect, edge_energy, effect_of, tint_share
from .words import UNKNOWN, changes, colours, distinct, joined, movement, openings, same_pair

MOST_TINT = 0.2
"""The share of a change that may be one uniform colour, where shapes are asked for."""
LEAST_RATIO_OF_COLOURS = 60.0
"""How many times a change of colour must be as large inside as outside: what isn't a change of the region's
own colour, but of a box or of all skin, is less local."""
MOST_BORDER = 2.0
"""How many times the edge energy at the border of a confined edit may be that before it."""
MOST_ALIKE = 0.9
"""The cosine of two directions' changes from which they are the same to look at."""

_COLOUR = "colour: "


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
        colours: the same of the region's mean colour.
        openings: of mouths and eyes, in the same form, whether they open, or the like.
        moves: whether a movement explains more of the change than one uniform colour does.
    """

    effect: Effect
    tint: float
    border: float
    change: Tensor
    words: str
    more: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    openings: tuple[str, ...] = ()
    moves: bool = False

    @property
    def recolours(self) -> bool:
        """Whether the region takes another colour and hardly anything else changes: what is worth offering as
        a change of colour."""
        return self.tint > MOST_TINT and self.effect.ratio >= LEAST_RATIO_OF_COLOURS

    @property
    def told(self) -> tuple[str, ...]:
        """All that can be said of it, what says most first: what opens, then colours where the region is
        recoloured and keeps its shape."""
        said = (self.words, *self.more)
        if self.recolours and not self.moves:
            said = (f"{_COLOUR}{self.colours[0]}", *self.colours[1:], *said)
        return tuple(dict.fromkeys((*self.openings, *said)))

    def called(self, words: str, first: bool = False) -> Look:
        """It with further words: the first, where nothing plain is said of it, or before all if asked for."""
        if not words:
            return self
        if first:
            return replace(self, openings=(words, *self.openings))
        if self.words == UNKNOWN or self.words.startswith("lighter "):
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
    words, *more = changes(sides[0], sides[1], mask, region.name)
    change = (sides[1] - sides[0]) / 2
    moved = movement(change, (sides[1] + sides[0]) / 2, mask)
    change = change * mask
    return Look(
        effect=effect_of(before, sides, region),
        tint=max(float(tint_share(side - before, mask)) for side in sides),
        border=max(float(edge_energy(side, mask)) for side in sides) / energy,
        change=change,
        words=words,
        more=tuple(more),
        colours=colours(change.sum(dim=(1, 2))),
        openings=openings(sides[0], sides[1], mask, region.name),
        moves=moved.explained > float(tint_share(change, mask)),
    )


def names_of(looks: Sequence[Look]) -> tuple[str, ...]:
    """A name for each: by what changes most, `colour: ` before it for mere changes of colour, and by what
    changes besides where others are called so already, or the other way round."""
    return names_from([look.told for look in looks])


def names_from(sayings: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """A name for each direction, of all that can be said of it, what says most first; see `names_of`."""
    told: list[str] = []
    for first, *others in sayings:
        longer = (joined(first, _bare(more)) for more in others if not same_pair(_bare(more), _bare(first)))
        free = (
            name for name in (first, *longer) if not any(same_pair(_bare(name), _bare(each)) for each in told)
        )
        told.append(next(free, first))
    return distinct(told)


def _bare(name: str) -> str:
    return name.removeprefix(_COLOUR)
