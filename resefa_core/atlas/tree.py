"""Sums in an order that is fixed: the same bits, whoever makes them, and in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..solve.sums import Sums


@dataclass(frozen=True)
class Node:
    """The sums over `2 ** level` images that follow each other, from place `index * 2 ** level` on."""

    level: int
    index: int
    sums: Sums

    @property
    def begins(self) -> int:
        return self.index << self.level

    @property
    def ends(self) -> int:
        return (self.index + 1) << self.level


class Tree:
    """A binary tree over the places of images, of which only what can't be joined yet is kept: where all
    images up to some place are there, one node for each binary digit of their number, and a few more for each
    hole.

    Two halves of a node are added as soon as both are there, so that every sum is the same whichever images
    were summed together, and whichever came first. Rounding grows with the tree's height, not with the number
    of images.
    """

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._nodes: dict[tuple[int, int], Sums] = {}
        self.add(nodes)

    @property
    def nodes(self) -> list[Node]:
        """What is kept, in the order of places."""
        found = [Node(level, index, sums) for (level, index), sums in self._nodes.items()]
        return sorted(found, key=lambda node: node.begins)

    def __len__(self) -> int:
        """How many images there are."""
        return sum(1 << level for level, _ in self._nodes)

    def add(self, nodes: Iterable[Node]) -> None:
        """Take the sums of further images."""
        for node in nodes:
            level, index, sums = node.level, node.index, node.sums
            while (other := self._nodes.pop((level, index ^ 1), None)) is not None:
                sums = other + sums if index & 1 else sums + other
                level, index = level + 1, index >> 1
            self._nodes[level, index] = sums

    def missing(self, count: int) -> Iterator[tuple[int, int]]:
        """First and last place, less one, of each run of images that is missing among the first `count`.

        Raises:
            ValueError: some images are there twice, or lie beyond.
        """
        place = 0
        for node in self.nodes:
            if node.begins < place or node.ends > count:
                raise ValueError(f"images {node.begins} to {node.ends - 1} are there twice, or too many")
            if node.begins > place:
                yield place, node.begins
            place = node.ends
        if place < count:
            yield place, count

    def total(self) -> Sums | None:
        """The sums over all images, the last subtrees first; None without images."""
        total: Sums | None = None
        for node in reversed(self.nodes):
            total = node.sums if total is None else node.sums + total
        return total
