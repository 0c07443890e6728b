"""The sums of a plan, made by workers, and kept as they grow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..bounds import whole
from ..errors import AtlasError, ParameterError
from ..files import DAMAGE, read_tensors, write_tensors
from ..generators.base import Generator
from ..kinds import SUMS_KEY
from ..progress import Progress
from ..solve.sums import Sums
from ..workers import Inline, Workers
from .images import Block, Shared, block_sums
from .plan import BLOCK, Plan
from .tree import Node, Tree

KEPT_EVERY = 60.0
"""Seconds from one checkpoint to the next, where blocks take less."""

_VERSION = "1"
_STATE = "resefa.sums"
_OWN, _PLACES = "own", "own_places"
_MOST_BLOCK = 1 << 12
_MAX_BYTES = 16 << 30


@dataclass
class Growing:
    """Sums over some images of a plan.

    Attributes:
        tree: the sums.
        own: the regions' own directions of some images, `(r, k, d)`, by the images' places.
    """

    tree: Tree = field(default_factory=Tree)
    own: dict[int, Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Sums:
        """The sums over all images that are there.

        Raises:
            AtlasError: there are none.
        """
        total = self.tree.total()
        if total is None:
            raise AtlasError("no image has been summed")
        return total

    def add(self, block: Block) -> None:
        """Take the images of a block."""
        self.tree.add(block.nodes)
        self.own |= block.own

    def save(self, file: Path, plan: Plan) -> None:
        """Write a checkpoint, atomically, over one that is there.

        Raises:
            AtlasError: it can't be written.
        """
        tensors: dict[str, Tensor] = {}
        for node in self.tree.nodes:
            tensors |= node.sums.named(f"{node.level}.{node.index}.")
        if self.own:
            tensors |= {_OWN: torch.stack(list(self.own.values())), _PLACES: torch.tensor(list(self.own))}
        state = {"plan": plan.digest, "nodes": [[node.level, node.index] for node in self.tree.nodes]}
        metadata = {SUMS_KEY: _VERSION, _STATE: json.dumps(state)}
        write_tensors(file, tensors, metadata, AtlasError, overwrite=True)

    @staticmethod
    def load(file: Path, plan: Plan) -> Growing:
        """Read a checkpoint.

        Raises:
            AtlasError: it is of another plan, damaged, or something else.
        """
        tensors, metadata = read_tensors(file, AtlasError, _MAX_BYTES)
        try:
            if metadata.get(SUMS_KEY) != _VERSION:
                raise ValueError("no checkpoint of an atlas's sums, or one of another version")
            state = json.loads(metadata[_STATE])
            if state["plan"] != plan.digest:
                raise ValueError("sums of other images, regions or another generator: choose another file")
            nodes = [
                Node(
                    whole(level, "level", 0, 40),
                    whole(index, "index", 0, len(plan.seeds)),
                    Sums.from_named(tensors, f"{level}.{index}."),
                )
                for level, index in state["nodes"]
            ]
            for node in nodes:
                _check(node, plan)
            growing = Growing(Tree(nodes))
            list(growing.tree.missing(len(plan.seeds)))
            if _OWN in tensors:
                growing.own = dict(zip(tensors[_PLACES].tolist(), tensors[_OWN], strict=True))
        except (*DAMAGE, ParameterError) as problem:
            raise AtlasError(f"{file}: {str(problem)[:300]}") from problem
        return growing


def _check(node: Node, plan: Plan) -> None:
    """Raise ValueError where sums are not of a plan's sizes."""
    expected = Sums.none(len(plan.regions), plan.dimension)
    for mine, theirs in zip(node.sums.tensors(), expected.tensors(), strict=True):
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            raise ValueError(f"sums of shape {tuple(mine.shape)}, expected {tuple(theirs.shape)}")
    if int(node.sums.seen) != 1 << node.level:
        raise ValueError(f"sums over {int(node.sums.seen)} images, expected {1 << node.level}")


def sum_up(
    generator: Generator,
    plan: Plan,
    workers: Workers | None = None,
    checkpoint: Path | None = None,
    *,
    block: int = BLOCK,
    kept_every: float = KEPT_EVERY,
    on_block: Callable[[Growing], None] | None = None,
    progress: Progress | None = None,
) -> Growing:
    """The sums over all images of a plan: the same bits for any workers, blocks and interruptions, on
    processors of one kind.

    Args:
        workers: where they are made; here for None.
        checkpoint: a file that keeps them as they grow, and from which they go on if it is there.
        block: images of a task, a power of two up to 4096.
        kept_every: seconds from one checkpoint to the next at least.
        on_block: called with the sums after each block that is new.
        progress: called with (images done, images); the work stops if it raises, what is done is kept.

    Raises:
        AtlasError: the checkpoint is of something else, or can't be written.
        WorkerError: workers are lost again and again.
        ParameterError: the block is no power of two.
    """
    if whole(block, "block", 1, _MOST_BLOCK) & (block - 1):
        raise ParameterError(f"block {block}: expected a power of two")
    growing = Growing()
    if checkpoint is not None and checkpoint.exists():
        growing = Growing.load(checkpoint, plan)
    done = before = len(growing.tree)
    shared = Shared(generator, plan, frozenset(plan.alone))
    missing = [*growing.tree.missing(len(plan.seeds))]
    tasks = (places for gap in missing for places in _blocks(*gap, block))
    kept = time.monotonic()
    try:
        for _, result in (workers or Inline()).run(block_sums, shared, tasks):
            growing.add(result)
            done = len(growing.tree)
            if on_block is not None:
                on_block(growing)
            if checkpoint is not None and time.monotonic() - kept >= kept_every:
                growing.save(checkpoint, plan)
                before, kept = done, time.monotonic()
            if progress is not None:
                progress(done, len(plan.seeds))
    finally:
        if checkpoint is not None and done > before:
            growing.save(checkpoint, plan)
    return growing


def _blocks(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """First and last place, less one, of blocks that end at multiples of a size."""
    while start < stop:
        end = min(start - start % size + size, stop)
        yield start, end
        start = end
