"""Which part is meant, in terms that hold for every image of a generator."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..bounds import Bounds, number, shown
from ..errors import RegionError

SIZE = Bounds(0.0, 1.0)
MOST_CLICKS = 32
MOST_NAME = 60

AT, PART, BOX = "at:", "part:", "box:"
_SIZE, _ALONE = "size:", "alone"


@dataclass(frozen=True)
class Click:
    """A point of the image, in fractions, and whether what is there is added or taken away."""

    x: float
    y: float
    add: bool = True


@dataclass(frozen=True)
class Selection:
    """A part by its name, or by clicks on the image where it was chosen.

    Attributes:
        name: of the part; empty for clicks.
        clicks: in order; the first one adds.
        size: how much belongs to it, from 0, next to nothing, to 1; 0.5 for most.
        islands: whether it may be in several places, as eyes are; otherwise only what hangs together with a
            click, or of a named part the largest piece.
    """

    name: str = ""
    clicks: tuple[Click, ...] = ()
    size: float = 0.5
    islands: bool = True

    def __post_init__(self) -> None:
        if bool(self.name) == bool(self.clicks):
            raise RegionError("a part is chosen by its name or by clicks: expected one of them")
        if len(self.name) > MOST_NAME or not self.name.isprintable():
            raise RegionError(f"part {shown(self.name)}: expected plain text of at most {MOST_NAME} letters")
        if len(self.clicks) > MOST_CLICKS:
            raise RegionError(f"{len(self.clicks)} clicks: expected at most {MOST_CLICKS}")
        for click in self.clicks:
            number(click.x, "x", 0.0, 1.0, RegionError)
            number(click.y, "y", 0.0, 1.0, RegionError)
        if self.clicks and not self.clicks[0].add:
            raise RegionError("the first click takes away: nothing is chosen yet")
        number(self.size, "size", *SIZE, RegionError)

    @staticmethod
    def meant(text: str, names: Collection[str] = ()) -> Selection | None:
        """The part that a text means: written as `from_text` reads it, or a plain name of a known part, as in
        `mouth` or `mouth size:0.7`; None where it means a region of another kind.

        Where a generator's parts have the name of a preset, the plain name is the part; `box:mouth`, or
        `avatars/mouth`, goes on being the preset's box, whatever parts are called.

        Args:
            names: of the generator's parts.

        Raises:
            RegionError: a part that is not written as one.

        Example:
            >>> Selection.meant("mouth", ["mouth", "hair"])
            Selection(name='mouth', clicks=(), size=0.5, islands=True)
            >>> Selection.meant("box:mouth", ["mouth", "hair"]) is None
            True
        """
        text = text.strip()
        if text.startswith((AT, PART)):
            return Selection.from_text(text)
        plain = not text.startswith((BOX, "{")) and "/" not in text and "," not in text
        if not plain or not any(text == name or text.startswith(f"{name} ") for name in names):
            return None
        chosen = Selection.from_text(PART + text)
        return chosen if chosen.name in names else None

    @staticmethod
    def from_text(text: str) -> Selection:
        """Read `part:hair`, or `at:0.5,0.68`, further clicks after `+` or, to take away, `-`; then perhaps
        `size:0.7`, and `alone` for no islands.

        Raises:
            RegionError: something else.

        Example:
            >>> Selection.from_text("at:0.5,0.68+0.4,0.4 size:0.6").clicks[1]
            Click(x=0.4, y=0.4, add=True)
        """
        size, islands = 0.5, True
        words = text.split()
        while len(words) > 1 and (words[-1] == _ALONE or words[-1].startswith(_SIZE)):
            word = words.pop()
            if word == _ALONE:
                islands = False
            else:
                size = _float(word.removeprefix(_SIZE), text)
        chosen = " ".join(words)
        if chosen.startswith(PART):
            return Selection(name=chosen.removeprefix(PART).strip(), size=size, islands=islands)
        if not chosen.startswith(AT):
            raise RegionError(f"{text[:80]!r} chooses no part: expected part:NAME or at:X,Y")
        clicks = []
        for place in chosen.removeprefix(AT).replace("-", "+-").split("+"):
            numbers = place.removeprefix("-").split(",")
            if len(numbers) != 2:
                raise RegionError(f"{text[:80]!r}: expected at:X,Y in fractions of the image")
            x, y = (_float(each, text) for each in numbers)
            clicks.append(Click(x, y, not place.startswith("-")))
        return Selection(clicks=tuple(clicks), size=size, islands=islands)

    def to_text(self) -> str:
        """The selection as `from_text` reads it."""
        if self.name:
            text = PART + self.name
        else:
            places = "".join(f"{'+' if each.add else '-'}{each.x:.4g},{each.y:.4g}" for each in self.clicks)
            text = AT + places.removeprefix("+")
        size = "" if self.size == 0.5 else f" {_SIZE}{self.size:.4g}"
        return text + size + ("" if self.islands else f" {_ALONE}")

    def to_json(self) -> dict[str, Any]:
        """The selection as JSON."""
        data: dict[str, Any] = {"name": self.name} if self.name else {}
        if self.clicks:
            data["clicks"] = [[each.x, each.y, each.add] for each in self.clicks]
        return data | {"size": self.size, "islands": self.islands}

    @staticmethod
    def from_json(data: object) -> Selection:
        """Undo `to_json`; the data may come from a stranger.

        Raises:
            RegionError: the data choose no part.
        """
        if not isinstance(data, Mapping):
            raise RegionError(f"a part was expected as an object, got {shown(data)}")
        name, clicks = data.get("name", ""), data.get("clicks", [])
        if not isinstance(name, str) or not isinstance(clicks, list) or len(clicks) > MOST_CLICKS:
            raise RegionError(f"a part needs a name, or at most {MOST_CLICKS} clicks")
        size, islands = data.get("size", 0.5), data.get("islands", True)
        if not isinstance(islands, bool):
            raise RegionError(f"islands {shown(islands)}: expected true or false")
        return Selection(name, tuple(map(_click, clicks)), number(size, "size", *SIZE, RegionError), islands)


def _click(data: object) -> Click:
    if not isinstance(data, list) or len(data) != 3 or not isinstance(data[2], bool):
        raise RegionError(f"a click was expected as [x, y, true or false], got {shown(data)}")
    x, y = (number(each, "click", 0.0, 1.0, RegionError) for each in data[:2])
    return Click(x, y, data[2])


def _float(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise RegionError(f"{whole[:80]!r}: {text[:40]!r} is not a number") from error
