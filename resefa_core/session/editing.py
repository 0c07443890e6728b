"""The edit of a session's image: moves that are made, adjusted, shown and carried to other images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..bounds import whole
from ..defaults import SAMPLES_TO_SHARE
from ..directions import Directions
from ..errors import RegionError
from ..latents import Latent
from ..latents.editing import Strengths, confinement, move, prepared
from ..latents.edits import Edit, Edited, Move
from ..latents.samples import further_seeds, like
from ..progress import Progress, counted
from .regions import RegionSession

_KEPT_MEASURED = 4


@dataclass(frozen=True, eq=False)
class Carried:
    """Another image with the session's edit.

    Attributes:
        latent: of the image, edited.
        image: `(3, H, W)` in about [-1, 1].
    """

    latent: Latent
    image: Tensor

    @property
    def seed(self) -> int | None:
        return None if self.latent.seed is None else self.latent.seed[0]


class EditSession(RegionSession):
    """Moves of the image along directions."""

    _measured: list[tuple[Directions, float, Directions]]

    @property
    def moves(self) -> tuple[Move, ...]:
        """The moves of the edit, the first one at the bottom."""
        return self.state.edit.moves

    def edit(
        self,
        directions: Directions,
        strengths: Strengths,
        *,
        confine: float | None = None,
        feather: float | None = None,
        region: object = None,
        name: str = "",
    ) -> None:
        """Move the image along directions, on top of what was done before.

        Args:
            strengths: how far along which, by index or name, in steps.
            confine: in [0, 1]: 0 everywhere, 1 inside the region only; None as the directions were found.
            feather: softens a confined move's edge; for None `CONFINED_FEATHER`, but nothing more where the
                directions were found for confined edits: their region is soft already.
            region: confine the move to this one, by any means, instead of the directions' own.
            name: for people; that of the region for "".

        Raises:
            LatentError: the directions don't fit, or can't be confined.
            ParameterError: no such direction, a number out of range, or too many moves.
        """
        made = self._move(directions, strengths, confine, feather, region, name)
        if not made.strengths:
            return
        with self._lock:
            state = self.state
            self._push(Edited(state.original, state.edit.add(made)))

    def adjust(
        self,
        directions: Directions,
        strengths: Strengths,
        *,
        confine: float | None = None,
        feather: float | None = None,
        name: str = "",
    ) -> bool:
        """Set the strengths of the move on top, if it is along these directions, else make one: what sliders
        do. A move without strengths is taken away. Returns whether that changed anything.

        Raises:
            LatentError, ParameterError: as for `edit`.
        """
        made = self._move(directions, strengths, confine, feather, None, name)
        with self._lock:
            state = self.state
            on_top = self._is_on_top(directions)
            if not on_top and not made.strengths:
                return False
            if on_top:
                top = state.edit[-1]
                kept = (top.strengths, top.confine, top.feather)
                if kept == (made.strengths, made.confine, made.feather):
                    return False
            below = state.edit.remove(-1) if on_top else state.edit
            self._push(Edited(state.original, below.add(made) if made.strengths else below))
            return True

    def prepared(
        self, directions: Directions, confine: float | None = None, feather: float | None = None
    ) -> Directions:
        """The directions, known to fit, with the steps that confined edits need, measured once for each set
        and feather; see `prepared`. None for either as for `edit`."""
        confine, feather = confinement(directions, confine, feather)
        with self._lock:
            for known, softness, measured in self._measured:
                if known is directions and softness == feather and confine:
                    return measured
        fitting = prepared(self.generator, self.original[:1], directions, confine, feather)
        if fitting is not directions:
            with self._lock:
                self._measured = [*self._measured[1 - _KEPT_MEASURED :], (directions, feather, fitting)]
        return fitting

    def _move(
        self,
        directions: Directions,
        strengths: Strengths,
        confine: float | None,
        feather: float | None,
        region: object,
        name: str,
    ) -> Move:
        if region is not None:
            directions = replace(directions, region=self.region(region), steps_confined=None)
        confine, feather = confinement(directions, confine, feather)
        fitting = self.prepared(directions, confine, feather)
        own = "" if fitting.region is None else fitting.region.name
        return Move(fitting, strengths, confine, feather, name or own)

    def _is_on_top(self, directions: Directions) -> bool:
        edit = self.state.edit
        if not edit.moves:
            return False
        top = edit[-1].directions.vectors
        return top is directions.vectors or (
            top.shape == directions.vectors.shape and torch.equal(top, directions.vectors)
        )

    def below(self, directions: Directions) -> Latent:
        """The latent as it is edited, but for a move along these directions on top: where their sliders
        start."""
        state = self.state
        if not self._is_on_top(directions):
            return self.latent
        return state.edit.remove(-1).apply(state.original)

    def moves_below(self, directions: Directions | None) -> tuple[Move, ...]:
        """The moves of the edit, but for one along these directions on top."""
        on_top = directions is not None and self._is_on_top(directions)
        return self.moves[:-1] if on_top else self.moves

    def preview(
        self,
        directions: Directions,
        strengths: Strengths,
        *,
        confine: float | None = None,
        feather: float | None = None,
    ) -> Tensor:
        """The image as `adjust` would have it, `(3, H, W)` in about [-1, 1], with nothing changed."""
        latent = self.below(directions)[:1]
        confine, feather = confinement(directions, confine, feather)
        if strengths:
            fitting = self.prepared(directions, confine, feather)
            latent = move(latent, fitting, strengths, confine, feather)
        return self.generator.synthesize(latent)[0]

    def possible_confinement(
        self, directions: Directions | None, confine: float, feather: float
    ) -> tuple[float, float]:
        """How far edits along directions are confined, and how softly, where that is wanted this much:
        those that were found for confined edits always are, as softly as the region that they were found
        for, and some can't be."""
        if directions is None:
            return 0.0, 0.0
        if directions.confined:
            return 1.0, 0.0
        can = self.generator.can_confine and directions.region is not None
        return (confine, feather) if confine and can else (0.0, 0.0)

    def strengths(self, directions: Directions) -> dict[int, float]:
        """How far the move on top goes along these directions, by index: where their sliders are."""
        return dict(self.state.edit[-1].amounts()) if self._is_on_top(directions) else {}

    def remove(self, index: int = -1) -> None:
        """Take one of the moves away, in the middle too; those above it stay.

        Raises:
            ParameterError: there is none.
        """
        with self._lock:
            state = self.state
            self._push(Edited(state.original, state.edit.remove(index)))

    def clear(self) -> None:
        """Take all moves away."""
        with self._lock:
            if self.moves:
                self._push(Edited(self.original))

    def carry(
        self, seeds: Iterable[int] | int = SAMPLES_TO_SHARE, *, progress: Progress | None = None
    ) -> Iterator[Carried]:
        """Other images, drawn as this one was, with the same edit, one after the other. What is confined to a
        part is confined to each image's own, and left out where an image lacks it.

        Args:
            seeds: of the images; or how many, with the seeds that follow this image's.
        """
        generator, state = self.generator, self.state
        chosen = further_seeds([state.original], seeds) if isinstance(seeds, int) else list(seeds)
        for seed in counted(chosen, len(chosen), progress):
            start = like(generator, state.original, seed)
            latent = self._edit_on(start).apply(start)
            yield Carried(latent, generator.synthesize(latent)[0])

    def _edit_on(self, latent: Latent) -> Edit:
        """The edit for another image, its confined moves where that has their parts."""
        moves = []
        for each in self.state.edit:
            try:
                region = self._region_on(latent, each.directions) if each.confine else each.directions.region
            except RegionError:
                continue
            same = region is each.directions.region
            moves.append(each if same else replace(each, directions=replace(each.directions, region=region)))
        return Edit(tuple(moves))

    def film(self, frames: int = 9, *, progress: Progress | None = None) -> Iterator[Tensor]:
        """The images on the way from the one before all edits to the edited one, `(3, H, W)` each, in equal
        steps of all strengths.

        Args:
            frames: how many images, both ends among them, from 2 to 240.

        Raises:
            ParameterError: that is out of range.
        """
        count = whole(frames, "frames", 2, 240)
        generator, state = self.generator, self.state
        for index in counted(range(count), count, progress):
            latent = state.edit.scaled(index / (count - 1)).apply(state.original[:1])
            yield generator.synthesize(latent)[0]
