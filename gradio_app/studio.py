"""What all visitors have in common: the generators, the analyses of images, and the lines for slow work.

Knows nothing of Gradio.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import resefa_core as resefa
from gradio_app.line import Line, Lines
from gradio_app.thumbnails import Thumbnails
from gradio_app.turns import Rank, Turns
from resefa_core.defaults import SHOWN_FIRST
from resefa_core.memo import Memo
from resefa_core.progress import Progress

_EARLIER_FIRST = "avatars"
MAX_UPLOADED = 2
JOINT_FOR_VISITORS = 8
"""Images that a visitor may have solved together, as the server is others', too; `LARGEST_JOINT` is what is
possible."""
DIRECTIONS_FOR_VISITORS = 32
"""Directions that a program may ask for at once, likewise; `MAX_DIRECTIONS` is what is possible."""
LONGEST_FOR_VISITORS = 300.0
"""Seconds that a method may take by parameters that a visitor asked for."""
_ANALYSES_AT_ONCE = 2
_FOUND = 64
_T = TypeVar("_T")


class Studio:
    """Generators and analyses, shared by all visitors within a bound of bytes.

    Args:
        generators: by the names that visitors see; the first is shown at the start.
        cache_bytes: what the kept analyses may take together.
        compute: what analyses images; see `JacobianCache`.

    Attributes:
        analyses: the kept ones.
        found: directions of regions that were asked for lately, by all that they depend on.
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
        self.analyses = resefa.JacobianCache(cache_bytes, compute)
        self.lines = Lines(
            faces=Line(places=_ANALYSES_AT_ONCE, seconds=2.0, longest=90.0, niceness=2),
            layers=Line(places=1, seconds=10.0, longest=900.0, niceness=5),
            methods=Line(places=1, seconds=10.0, longest=180.0, niceness=5),
            joint=Line(places=1, seconds=30.0, longest=300.0, niceness=5),
        )
        self.found: Memo[resefa.Directions] = Memo(_FOUND)
        self._lock = threading.Lock()
        self._drawing = Turns()
        self._thumbnails = Thumbnails()
        self._urgent = 0
        self._calm = threading.Condition()

    @property
    def names(self) -> list[str]:
        """The generators that every visitor can choose."""
        return list(self._generators)

    @property
    def unnamed(self) -> str:
        """The generator of links and programs that name none. Those that were made while another bundled one
        came first go on meaning that one."""
        first = self.names[0]
        return _EARLIER_FIRST if first == SHOWN_FIRST and _EARLIER_FIRST in self.names else first

    def generator(self, name: str) -> resefa.Generator:
        """A generator by its name.

        Raises:
            ParameterError: there is none of that name, or it was uploaded and others have taken its place.
        """
        with self._lock:
            found = self._generators.get(name) or self._uploaded.get(name)
            if found is None:
                raise resefa.ParameterError(
                    f"there is no generator {name[:40]!r} here any more: choose another, "
                    f"{', '.join(self._generators)}"
                )
            if name in self._uploaded:
                self._uploaded.move_to_end(name)
            return found

    def name_of(self, fingerprint: str) -> str | None:
        """The name of the generator with a fingerprint; None if it isn't here."""
        with self._lock:
            known = {**self._uploaded, **self._generators}
        return next((name for name, each in known.items() if each.fingerprint == fingerprint), None)

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

    def session(self, name: str, seed: int, truncation: float, class_name: str = "") -> resefa.Session:
        """A session on an image, which does not keep its generator: one that was uploaded may be dropped.

        Args:
            class_name: a class's name or number, for generators that have classes; the first for nothing.

        Raises:
            LatentError: the seed, the truncation or the class is out of range.
            ParameterError: there is no such generator.
        """
        return resefa.Session(
            lambda: self.generator(name),
            seed,
            truncation=truncation,
            label=class_name[:100],
            cache=self.analyses,
        )

    def methods(self, generator: resefa.Generator) -> list[str]:
        """The ways of finding directions that are defined for a generator, by their keys; ours first. That
        for confined edits is not among them: it is taken where edits are to be confined."""
        return [
            key
            for key, method in resefa.METHODS.items()
            if key != resefa.CONFINED and not method.unavailable(generator)
        ]

    def in_turns(self, drawn: Iterable[_T], rank: Rank = Rank.STRIP) -> Iterator[_T]:
        """Strips and galleries as they are drawn, one at a time for all visitors together, so that a slider's
        picture, which does not wait here, finds a processor."""
        return self._drawing.each(drawn, rank)

    def thumbnails(self, generator: resefa.Generator, latents: Sequence[resefa.Latent]) -> list[str]:
        """Faces to choose from as text for browsers, of latents that differ in codes alone."""
        return self._thumbnails.of(generator, latents, lambda drawn: self.in_turns(drawn, Rank.FACES))

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

    def giving_way(self, report: Progress, bounded: bool = False) -> Progress:
        """Progress of work that is slow, and lets what people wait for go first.

        Args:
            bounded: refuse to go on for longer than `LONGEST_FOR_VISITORS`, as work may by parameters that a
                visitor asked for.
        """
        start = time.monotonic()

        def progress(done: int, total: int) -> None:
            report(done, total)
            if bounded and time.monotonic() - start > LONGEST_FOR_VISITORS:
                raise resefa.ParameterError("with these parameters it takes too long here: ask for less")
            self.give_way()

        return progress
