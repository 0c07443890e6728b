"""What the page does, for all visitors at once. Knows nothing of Gradio."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import resefa_core as resefa
from gradio_app.line import Line, Lines
from resefa_core.progress import Progress

Strengths = Mapping[int, float] | Mapping[int | str, float]

OURS = "resefa"
STRENGTHS = (-4.0, -2.0, 0.0, 2.0, 4.0)
LARGEST_STRENGTH = 6.0
NUM_DIRECTIONS = 6
SHOWN_DIRECTIONS = 12
MAX_UPLOADED = 2
MUCH_ELSEWHERE = "much elsewhere too"
_ANALYSES_AT_ONCE = 2
_CELL_WIDTH = 112
_SURROUNDED, _LEAST_SHOWN, _LONGEST = 1.6, 0.4, 1.6
_KEPT_PICTURE_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Face:
    """A generated image: the latent, and what it was drawn from. Visits keep faces, so that a face does not
    keep the generator: one that was uploaded may be dropped."""

    latent: resefa.Latent
    seed: int
    truncation: float
    _generator: weakref.ref[resefa.Generator]
    _kept: list[Tensor] = field(default_factory=list)

    @property
    def generator(self) -> resefa.Generator:
        """What drew it; raises ParameterError once that was dropped."""
        generator = self._generator()
        if generator is None:
            raise resefa.ParameterError("this picture's generator is not here any more: choose another")
        return generator

    @property
    def picture(self) -> Tensor:
        """`(3, H, W)` in [-1, 1]; small ones are drawn once."""
        if self._kept:
            return self._kept[0]
        drawn = self.generator.synthesize(self.latent)[0]
        if drawn.nbytes <= _KEPT_PICTURE_BYTES:
            self._kept.append(drawn)
        return drawn


@dataclass(frozen=True)
class Effect:
    """What a direction did: root-mean-square change inside and outside its region, on the [-1, 1] scale."""

    inside: float
    outside: float

    @property
    def ratio(self) -> float:
        """How many times the mean squared change inside is that outside."""
        return (self.inside / max(self.outside, 1e-6)) ** 2

    @property
    def words(self) -> str:
        """The effect inside and the leak outside, in plain words."""
        if self.inside < 0.04:
            return "little effect here"
        effect = next(word for limit, word in _EFFECTS if self.inside >= limit)
        leak = next(word for limit, word in _LEAKS if self.ratio >= limit)
        return f"{effect} effect, {leak}"


_EFFECTS = ((0.25, "strong"), (0.12, "clear"), (0.0, "faint"))
_LEAKS = (
    (300.0, "the rest stays"),
    (60.0, "the rest hardly moves"),
    (15.0, "some elsewhere too"),
    (0.0, MUCH_ELSEWHERE),
)


class Studio:
    """Faces, directions and edits; analyses are shared by all visitors within a bound of bytes.

    Args:
        generators: by the names that visitors see; the first is shown at the start.
        cache_bytes: what the kept analyses may take together.
        compute: what analyses images; see `JacobianCache`.

    Attributes:
        lines: where slow work waits; a few analyses are made at a time, so that memory has a bound.
    """

    def __init__(
        self,
        generators: Mapping[str, resefa.Generator],
        cache_bytes: int = 1 << 30,
        compute: Callable[..., resefa.Jacobian] = resefa.compute_jacobian,
    ) -> None:
        self._generators = dict(generators)
        self._uploaded: OrderedDict[str, resefa.Generator] = OrderedDict()
        self._analyses = resefa.JacobianCache(cache_bytes, compute)
        self._lock = threading.Lock()
        self.lines = Lines(
            faces=Line(places=_ANALYSES_AT_ONCE, seconds=2.0, longest=90.0),
            layers=Line(places=1, seconds=10.0, longest=900.0),
            methods=Line(places=1, seconds=10.0, longest=180.0),
            joint=Line(places=1, seconds=30.0, longest=300.0),
        )
        self._urgent = 0
        self._calm = threading.Condition()

    @property
    def names(self) -> list[str]:
        """The generators that every visitor can choose."""
        return list(self._generators)

    @property
    def analyses_bytes(self) -> int:
        """What the kept analyses take now."""
        return self._analyses.nbytes

    def generator(self, name: str) -> resefa.Generator:
        """A generator by its name.

        Raises:
            ParameterError: there is none of that name, or it was uploaded and others have taken its place.
        """
        with self._lock:
            found = self._generators.get(name) or self._uploaded.get(name)
            if found is None:
                raise resefa.ParameterError(
                    f"there is no generator {name[:40]!r} here any more: choose {', '.join(self._generators)}"
                )
            if name in self._uploaded:
                self._uploaded.move_to_end(name)
            return found

    def add_uploaded(self, file: Path) -> str:
        """Load a visitor's checkpoint to where the others are; returns the name to choose it by. The least
        recently used of more than `MAX_UPLOADED` is dropped.

        Raises:
            CheckpointError: the file is not a generator that is known here.
        """
        generator = resefa.load_generator(file, next(iter(self._generators.values())).device)
        name = f"{generator.name[:40]} ({generator.fingerprint[:8]})"
        with self._lock:
            self._uploaded[name] = generator
            self._uploaded.move_to_end(name)
            while len(self._uploaded) > MAX_UPLOADED:
                self._uploaded.popitem(last=False)
        return name

    def face(self, name: str, seed: int, truncation: float, class_name: str = "") -> Face:
        """Draw a face.

        Args:
            class_name: a class's name or number, for generators that have classes; the first for nothing.

        Raises:
            LatentError: the seed, the truncation or the class is out of range.
            ParameterError: there is no such generator.
        """
        generator = self.generator(name)
        label = None
        if generator.num_classes:
            label = generator.find_class(class_name[:100]) if class_name.strip() else 0
        latent = generator.sample(seed, truncation, label)
        return Face(latent, seed, truncation, weakref.ref(generator))

    def presets(self, generator: resefa.Generator) -> dict[str, resefa.Region]:
        """The named regions that are known for a generator."""
        family = generator.name if generator.name in resefa.PRESETS else None
        if family is None and generator.architecture.startswith("biggan"):
            family = "biggan"
        if family is None and "ffhq" in generator.name.lower():
            family = "ffhq"
        return {} if family is None else {n: resefa.Region.preset(n, family) for n in resefa.PRESETS[family]}

    def methods(self, generator: resefa.Generator) -> list[str]:
        """The ways of finding directions that are defined for a generator, by their keys; ours first. That
        for confined edits is not among them: it is taken where edits are to be confined."""
        return [
            key
            for key, method in resefa.METHODS.items()
            if key != resefa.CONFINED and not method.unavailable(generator)
        ]

    def quick_space(self, face: Face) -> str:
        """A space that is analysed in a moment: all layers moved alike."""
        return next(
            (space for space in ("w", "z") if space in face.generator.spaces), face.generator.spaces[0]
        )

    def is_analysed(self, face: Face, space: str | None = None) -> bool:
        """Whether the analysis of a face is at hand: the thorough one, in its generator's default space, for
        None."""
        return self._analyses.holds(face.generator, face.latent, space)

    def analyse(
        self,
        face: Face,
        space: str | None = None,
        *,
        prepared: bool = False,
        progress: Progress | None = None,
    ) -> resefa.Jacobian:
        """The Jacobian of a face, in the generator's default space for None.

        Args:
            prepared: also compute what makes each of its regions cheap.
            progress: called with (done, total); the work stops if it raises.
        """
        return self._analyses.analyse(
            face.generator, face.latent, space, prepared=prepared, progress=progress
        )

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """An analysis that a visitor waits for."""
        with self._calm:
            self._urgent += 1
        try:
            yield
        finally:
            with self._calm:
                self._urgent -= 1
                self._calm.notify_all()

    def give_way(self, seconds: float = 10.0) -> None:
        """Wait until nobody waits for urgent work, but not for longer than this."""
        with self._calm:
            self._calm.wait_for(lambda: self._urgent == 0, seconds)

    def giving_way(self, report: Progress) -> Progress:
        """Progress of work that is slow, and lets what people wait for go first."""

        def progress(done: int, total: int) -> None:
            report(done, total)
            self.give_way()

        return progress

    def find(
        self,
        faces: Sequence[Face],
        region: resefa.Region,
        space: str | None = None,
        count: int = NUM_DIRECTIONS,
        method: str = OURS,
        progress: Progress | None = None,
    ) -> resefa.Directions:
        """Directions of a region: of one face, or of several jointly.

        Args:
            space: the method's default for None.
            method: a key of `METHODS`.
            progress: called with (done, total), first for analyses that are not at hand, then for solving
                where that takes long; the work stops if it raises.

        Raises:
            ParameterError: the method is unknown, or isn't defined for the generator.
        """
        generator = faces[0].generator
        side = min(generator.resolution, 256)
        region.mask(side, side)
        if method == OURS:
            jacobians = [
                self.analyse(face, space, progress=_part(progress, i, len(faces)))
                for i, face in enumerate(faces)
            ]
            directions = resefa.factorize(jacobians, region, count, progress=progress)
        else:
            directions = resefa.find_directions(
                generator,
                [face.latent for face in faces],
                region,
                method,
                num_directions=count,
                space=space,
                jacobians=partial(self._analyses.analyse, generator),
                progress=progress,
            )
        return replace(directions, strength_range=(-LARGEST_STRENGTH, LARGEST_STRENGTH))

    def strips(
        self, face: Face, directions: resefa.Directions, confine: float | None = None, feather: float = 0.0
    ) -> Iterator[tuple[Image.Image, Effect]]:
        """For the first `SHOWN_DIRECTIONS`: the region of a face and its surroundings at `STRENGTHS`, side by
        side, and the mean of the changes at the two ends.

        Confined strips want directions that were `prepared` for them.
        """
        before = face.picture
        window = _window(directions.region, *before.shape[1:])
        for index in range(min(len(directions), SHOWN_DIRECTIONS)):
            moved = [
                resefa.move(face.latent, directions, {index: strength}, confine, feather)
                for strength in STRENGTHS
                if strength
            ]
            if moved[0].confined:
                images = [face.generator.synthesize(latent)[0] for latent in moved]
            else:
                images = list(face.generator.synthesize(resefa.stack(moved)))
            effect = _effect(before, (images[0], images[-1]), directions.region)
            images.insert(len(STRENGTHS) // 2, before)
            yield _side_by_side([image[:, window[0], window[1]] for image in images]), effect

    def moved(
        self,
        face: Face,
        directions: resefa.Directions,
        strengths: Strengths,
        confine: float | None = None,
        feather: float = 0.0,
    ) -> Face:
        """A face after an edit. A confined edit wants directions that were `prepared` for it."""
        directions.check(face.generator)
        used: dict[int | str, float] = {key: value for key, value in strengths.items() if value}
        if not used:
            return face
        latent = resefa.move(face.latent, directions, used, confine, feather)
        return replace(face, latent=latent, _kept=[])

    def edit(
        self,
        face: Face,
        directions: resefa.Directions,
        strengths: Strengths,
        confine: float | None = None,
        feather: float = 0.0,
    ) -> Image.Image:
        """The picture of a face after an edit, in the generator's own size; see `moved`."""
        return resefa.to_pil(self.moved(face, directions, strengths, confine, feather).picture)

    def carried(self, directions: resefa.Directions, faces: Sequence[Face], strength: float = 3.0) -> Effect:
        """How well the first direction carries over: the median of what it does to other faces."""
        effects = []
        for face in faces:
            moved = [resefa.move(face.latent, directions, {0: sign * strength}) for sign in (-1.0, 1.0)]
            images = face.generator.synthesize(resefa.stack(moved))
            effects.append(_effect(face.picture, tuple(images), directions.region))
        return sorted(effects, key=lambda effect: effect.ratio)[len(effects) // 2]


def _effect(before: Tensor, after: Sequence[Tensor], region: resefa.Region | None) -> Effect:
    """Root-mean-square change inside and outside a region, over images of equal size."""
    change = torch.stack([(image - before).square().mean(dim=0) for image in after]).mean(dim=0)
    if region is None:
        return Effect(float(change.mean().sqrt()), 0.0)
    mask = region.mask(change.shape[0], change.shape[1], check=False).to(change)
    inside = (change * mask).sum() / mask.sum().clamp_min(1e-6)
    outside = (change * (1.0 - mask)).sum() / (1.0 - mask).sum().clamp_min(1e-6)
    return Effect(float(inside.sqrt()), float(outside.sqrt()))


def _window(region: resefa.Region | None, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns around a region, some of its surroundings with it, not much longer than wide."""
    if region is None:
        return slice(0, height), slice(0, width)
    inside = region.mask(height, width, check=False) > 0.1
    sides = []
    for size, used in ((height, inside.any(dim=1)), (width, inside.any(dim=0))):
        where = used.nonzero()[:, 0].tolist() or [0, size - 1]
        sides.append((where[0], where[-1] + 1, size))
    wanted = [
        min(max(_SURROUNDED * (stop - start), _LEAST_SHOWN * size), size) for start, stop, size in sides
    ]
    least = max(wanted) / _LONGEST
    rows, columns = (
        _around((start + stop) / 2, round(max(length, min(least, size))), size)
        for (start, stop, size), length in zip(sides, wanted, strict=True)
    )
    return rows, columns


def _around(middle: float, length: int, size: int) -> slice:
    start = min(max(round(middle - length / 2), 0), size - length)
    return slice(start, start + length)


def _side_by_side(images: Sequence[Tensor]) -> Image.Image:
    pictures = [resefa.to_pil(image) for image in images]
    shown = (_CELL_WIDTH, max(1, round(_CELL_WIDTH * pictures[0].height / pictures[0].width)))
    strip = Image.new("RGB", (_CELL_WIDTH * len(pictures), shown[1]))
    for index, picture in enumerate(pictures):
        strip.paste(picture.resize(shown, Image.Resampling.BICUBIC), (index * _CELL_WIDTH, 0))
    return strip


def _part(progress: Progress | None, index: int, count: int) -> Progress | None:
    """The progress of one of several like parts, as progress of the whole."""
    if progress is None:
        return None
    return lambda done, total: progress(index * total + done, count * total)
