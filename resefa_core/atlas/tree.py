"""Sums in an order that is fixed: the same bits, whoever makes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..solve.sums import Sums


@dataclass(frozen=True)
class Node:
    """The sums over `2 ** level` images that follow each other, the first of them at a multiple of that."""

    level: int
    sums: Sums


class Tree:
    """A binary tree over images in their order, of which only the roots that can't be joined yet are kept:
    one for each binary digit of how many images there are.

    Two neighbours of one level are added as soon as both are there, so that every sum is the same whichever
    images were summed together, on however many machines. Rounding grows with the tree's height, not with the
    number of images.

    Args:
        nodes: those that are there already.
        start: where the first image lies among all; joined is only what a tree from 0 would join.
    """

    def __init__(self, nodes: Iterable[Node] = (), start: int = 0) -> None:
        self.nodes = list(nodes)
        self.start = start

    def __len__(self) -> int:
        """How many images there are."""
        return sum(1 << node.level for node in self.nodes)

    def add(self, nodes: Iterable[Node]) -> None:
        """Append the images that come next.

        Raises:
            ValueError: they begin where a subtree of their size can't.
        """
        for node in nodes:
            begins = self.start + len(self)
            if begins % (1 << node.level):
                raise ValueError(f"2 ** {node.level} images can't begin at {begins}")
            while self.nodes and self.nodes[-1].level == node.level and begins >> node.level & 1:
                begins -= 1 << node.level
                node = Node(node.level + 1, self.nodes.pop().sums + node.sums)
            self.nodes.append(node)

    def total(self) -> Sums | None:
        """The sums over all images, the smallest subtrees first; None without images."""
        total: Sums | None = None
        for node in reversed(self.nodes):
            total = node.sums if total is None else node.sums + total
        return total
