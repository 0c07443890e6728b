"""Jacobians kept within a bound of bytes, for interfaces that ask for many regions of few images."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

from ..errors import ParameterError
from ..generators.base import Generator
from ..latents import Latent
from ..progress import Progress
from .budget import DEFAULT_BUDGET, Kind, KindChoice, chosen_kind
from .compute import compute_jacobian
from .jacobian import Jacobian

_PREPARED_SIZE = 3  # times as large at most
_Key = tuple[str, str, str, tuple[int, ...], Kind, str]


class JacobianCache:
    """Analyses by generator, latent, space, layers and kind, the least recently used dropped first.

    Analyses are kept in main memory and without their generators, so that no model is held by what is kept;
    the last formed ones also on the accelerator that asked for them, within a bound of their own. Safe to use
    from several threads: they do not wait for each other's analyses, unless they ask for the same one.

    Args:
        max_bytes: what the kept Jacobians may take together. One that is larger is returned, not kept.
        max_device_bytes: what copies on accelerators may take together, so that the regions of an image do
            not copy its Jacobian again and again; 0 for none.
        compute: what makes a new one, as `compute_jacobian` does; for machines that lend an accelerator to
            one function at a time.
    """

    def __init__(
        self,
        max_bytes: int,
        compute: Callable[..., Jacobian] = compute_jacobian,
        max_device_bytes: int = DEFAULT_BUDGET // 2,
    ) -> None:
        if max_bytes < 0:
            raise ParameterError(f"max_bytes {max_bytes} is out of range: expected 0 or more")
        self.max_bytes = max_bytes
        self.max_device_bytes = max_device_bytes
        self._compute = compute
        self._copies: OrderedDict[_Key, Jacobian] = OrderedDict()
        self._kept: OrderedDict[_Key, Jacobian] = OrderedDict()
        self._running: dict[_Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """What the kept Jacobians take now."""
        with self._lock:
            return self._size()

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._kept.clear()
            self._copies.clear()

    def holds(
        self,
        generator: Generator,
        latent: Latent,
        space: str | None = None,
        layers: Iterable[int] | None = None,
        *,
        kind: KindChoice = "auto",
        memory_budget: int | None = None,
    ) -> bool:
        """Whether `analyse` has an analysis of this at hand."""
        return self._key(generator, latent, space, layers, kind, memory_budget) in self._kept

    def analyse(
        self,
        generator: Generator,
        latent: Latent,
        space: str | None = None,
        layers: Iterable[int] | None = None,
        *,
        kind: KindChoice = "auto",
        memory_budget: int | None = None,
        prepared: bool = False,
        progress: Progress | None = None,
    ) -> Jacobian:
        """The kept Jacobian, or a new one from `compute_jacobian`, which says what is raised.

        Args:
            kind: as for `compute_jacobian`; `auto` forms only what can also be kept. What is kept already
                does not decide, so that the same question has the same answer whatever was asked before.
            memory_budget: as for `compute_jacobian`.
            prepared: also compute and keep what makes its regions cheap, where it is dense and that fits.
        """
        key = self._key(generator, latent, space, layers, kind, memory_budget)
        with self._lock:
            running = self._running.setdefault(key, threading.Lock())
        with running:
            try:
                found = self._find(key)
                if found is None:
                    made = self.make(
                        generator,
                        latent,
                        key[2],
                        key[3],
                        kind=key[4],
                        memory_budget=memory_budget,
                        progress=progress,
                    )
                    if prepared:
                        self._prepare(made, progress)
                    if self._keep(key, made):
                        self._keep_copy(key, made)
                    return made
                if prepared:
                    self._prepare(found, progress)
                    self._shrink()
                near = self._copies.get(key)
                if near is None or near.nbytes < found.nbytes:  # prepared since then
                    near = found
                attached = near.attached(generator)
                self._keep_copy(key, attached)
                return attached
            finally:
                with self._lock:
                    self._running.pop(key, None)

    def make(
        self,
        generator: Generator,
        latent: Latent,
        space: str,
        layers: tuple[int, ...],
        *,
        kind: Kind,
        memory_budget: int | None,
        progress: Progress | None,
    ) -> Jacobian:
        """A new analysis; `analyse` asks for it where none is kept."""
        return self._compute(
            generator,
            latent,
            space,
            layers,
            kind=kind,
            memory_budget=memory_budget,
            progress=progress,
        )

    def _key(
        self,
        generator: Generator,
        latent: Latent,
        space: str | None,
        layers: Iterable[int] | None,
        choice: KindChoice,
        memory_budget: int | None,
    ) -> _Key:
        generator.check_latent(latent)
        space, chosen = space or generator.spaces[0], generator.check_layers(layers)
        budget = DEFAULT_BUDGET if memory_budget is None else memory_budget
        kind = chosen_kind(generator, space, chosen, choice, min(budget, 3 * self.max_bytes // 2))
        return generator.fingerprint, latent.digest, space, chosen, kind, str(generator.device)

    def _find(self, key: _Key) -> Jacobian | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def _prepare(self, jacobian: Jacobian, progress: Progress | None) -> None:
        if _PREPARED_SIZE * jacobian.nbytes <= self.max_bytes:
            total = jacobian.dimension
            jacobian.prepare(None if progress is None else lambda *_: progress(total, total))

    def _keep(self, key: _Key, jacobian: Jacobian) -> bool:
        kept = jacobian.detached()
        with self._lock:
            if kept.nbytes > self.max_bytes:
                return False
            self._kept[key] = kept
            self._kept.move_to_end(key)
        self._shrink()
        return True

    def _keep_copy(self, key: _Key, jacobian: Jacobian) -> None:
        """Keep a formed Jacobian on its accelerator; one that is only applied holds its generator."""
        if jacobian.kind != "dense" or jacobian.device.type == "cpu":
            return
        with self._lock:
            self._copies[key] = jacobian
            self._copies.move_to_end(key)
            while sum(each.nbytes for each in self._copies.values()) > self.max_device_bytes:
                self._copies.popitem(last=False)

    def _size(self) -> int:
        return sum(each.nbytes for each in self._kept.values())

    def _shrink(self) -> None:
        with self._lock:
            while self._size() > self.max_bytes:
                key, _ = self._kept.popitem(last=False)
                self._copies.pop(key, None)
