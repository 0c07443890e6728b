"""What the server remembers of a visitor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import resefa_core as resefa
from resefa_core.atlas import Atlas
from resefa_core.defaults import CONFINED_FEATHER
from resefa_core.directions import CONFINED
from resefa_core.latents.edits import Move
from resefa_core.session import Session
from resefa_core.session.finding import OURS

Wanted = Callable[[], bool]


@dataclass(eq=False)
class Visit:
    """What the server remembers of a visitor: small, whatever the generator's size.

    Attributes:
        address: where the visitor comes from.
        job: counts what the visitor asked for; work for what was asked before stops.
        behind: the same of work that goes on unasked.
        comparing: the same of comparisons of methods.
        session: the picture and what was done to it.
        pending: finds on the picture what was chosen as a part, here or on the picture before.
        origin: of a region that followed to this picture: itself, and as it was chosen, with the latent of
            the picture that it was chosen on, so that it follows to the next one from there.
        outlined: the digest of the face whose parts the page can outline.
        name, class_name: of the generator and the class, as they were chosen.
        turn: the browser's count of the regions that it sent, of the one that was taken last.
        method: how directions are found, a key of `METHODS`.
        directions: those that are shown.
        version: counts the direction sets shown; what a browser sends of an older one is ignored.
        strengths: where the sliders are; the session knows once they rest.
        drawn: the version and the strengths of the picture that was told last.
        touched: whether the visitor did something to the directions shown, so that others must not take
            their place unasked.
        stale: whether the directions shown are of another region, or face, than is asked for.
        troubled: whether the last line said what went wrong.
        every: whether directions that are not worth offering are shown, too.
        confine, feather: how far edits are to stay in the region, from 0 to 1, and how soft its edge is then.
        parameters: of methods, by their keys: what is asked for instead of the method's own.
        note: what the link asked for in vain.
        opened: a direction set, or an atlas, that was loaded and is not in use yet.
        offered: directions of an atlas that are offered at one click, by region.
        finer: a direction set that was found meanwhile, and is offered.
    """

    address: str = ""
    job: int = 0
    behind: int = 0
    comparing: int = 0
    session: Session | None = None
    pending: Callable[[], resefa.Region] | None = None
    origin: tuple[resefa.Region | None, resefa.Region | None, resefa.Latent] | None = None
    outlined: str = ""
    name: str = ""
    class_name: str = ""
    turn: int = 0
    method: str = OURS
    directions: resefa.Directions | None = None
    version: int = 0
    strengths: dict[int | str, float] = field(default_factory=dict)
    drawn: tuple[int, dict[int | str, float]] | None = None
    touched: bool = False
    stale: bool = False
    troubled: bool = False
    every: bool = False
    confine: float = 0.0
    feather: float = CONFINED_FEATHER
    parameters: dict[str, dict[str, float]] = field(default_factory=dict)
    note: str = ""
    opened: resefa.Directions | Atlas | None = None
    offered: dict[str, resefa.Directions] = field(default_factory=dict)
    finer: resefa.Directions | None = None

    def begin(self) -> Wanted:
        """Begin what was asked for; what was asked before is not wanted any more. Gives whether this still
        is."""
        self.job += 1
        job = self.job
        return lambda: self.job == job

    @property
    def needed(self) -> Session:
        """The session; raises ParameterError before there is one."""
        if self.session is None:
            raise resefa.ParameterError("this page has been idle for long: reload it to go on")
        return self.session

    @property
    def needed_directions(self) -> resefa.Directions:
        """The directions; raises ParameterError before there are any."""
        if self.directions is None:
            raise resefa.ParameterError("there are no directions yet: draw a box on the picture first")
        return self.directions

    @property
    def confinement(self) -> tuple[float, float]:
        """How far edits along the directions shown are confined, and how softly."""
        return self.needed.possible_confinement(self.directions, self.confine, self.feather)

    @property
    def finds_confined(self) -> bool:
        """Whether directions are found for confined edits."""
        return self.method == OURS and self.confine > 0.0 and self.needed.generator.can_confine

    @property
    def finder(self) -> str:
        """The key of the method that finds directions: that for confined edits in place of ours."""
        return CONFINED if self.finds_confined else self.method

    @property
    def asked(self) -> dict[str, float]:
        """The parameters that are asked for of the method that finds directions."""
        return self.parameters.get(self.finder, {})

    @property
    def kept(self) -> tuple[Move, ...]:
        """The moves that were made before, on other regions; the sliders edit what they led to."""
        return self.needed.moves_below(self.directions)

    def settle(self) -> None:
        """Let the session know where the sliders are."""
        if self.session is not None and self.directions is not None:
            confine, feather = self.confinement
            self.session.adjust(self.directions, self.strengths, confine=confine, feather=feather)
