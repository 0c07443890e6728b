"""What directions were asked for: which changes count as changes of the region, and which as changes
outside it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ParameterError


@dataclass(frozen=True)
class Objective:
    """What of a change counts.

    Attributes:
        colour: whether a change of the region's mean colour counts as a change inside. Without it
            `A = Jᵀ (M − M 1 1ᵀ M / 1ᵀ M 1) J` for each colour channel, M = diag(m): the variance of the
            change over the region, in place of its square.
        edge: whether jumps of the change across the region's edge count as changes outside. Then B also has
            `Σ |m(p) − m(q)| (x(p) − x(q))²` over neighbouring pixels p and q and over channels, x the change.

    Example:
        >>> Objective(colour=False, edge=True).name
        'shape+edge'
        >>> Objective.from_name("paper") == PAPER
        True
    """

    colour: bool = True
    edge: bool = False

    @property
    def name(self) -> str:
        """It as a word, as direction files say it."""
        return ("paper" if self.colour else "shape") + ("+edge" if self.edge else "")

    @property
    def words(self) -> str:
        """It in plain words; empty for the paper's."""
        parts = [] if self.colour else ["shapes rather than one colour"]
        if self.edge:
            parts.append("no jump at the edge")
        return ", ".join(parts)

    @staticmethod
    def from_name(name: object) -> Objective:
        """Undo `name`.

        Raises:
            ParameterError: there is no such objective.
        """
        known = {each.name: each for each in (PAPER, SHAPE, SHAPE_ALONE, Objective(edge=True))}
        if not isinstance(name, str) or name not in known:
            raise ParameterError(f"objective {str(name)[:40]!r} is unknown: expected {', '.join(known)}")
        return known[name]


PAPER = Objective()
"""The paper's (Eq. 7): every change counts."""

SHAPE = Objective(colour=False)
"""For edits that act everywhere."""

SHAPE_ALONE = Objective(colour=False, edge=True)
"""For edits that are confined to the region: a change of one colour that ends at its edge is a rectangle."""
