"""What the terminal shows while a command works, and how texts of strangers are shown there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from ..errors import printable
from ..progress import Progress


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A bar on standard error that appears once the work has taken half a second."""
    with tqdm(desc=label, unit="", delay=0.5, leave=False, file=sys.stderr) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


def shown(text: str) -> str:
    """Text that may come from a stranger's file, without what a terminal would obey."""
    return "\n".join(printable(line) for line in text.split("\n"))
