"""What writers leave that are killed: `kill -9` again and again in the middle of saving, then one more save.

python benchmarks/kills.py --kills 300
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BYTES = 8 << 20
LONGEST_SECONDS = 0.1

Write = Callable[..., None]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--kills", type=int, default=300)
    options.add_argument("--code", type=Path, default=ROOT, help="the checkout whose writer is killed")
    given = options.parse_args()
    sys.path.insert(0, str(given.code))
    write = writer()
    source = random.Random(0)
    processes = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as name:
        folder, most, leaving = Path(name), 0, 0
        for _ in range(given.kills):
            before = set(parts(folder))
            process = processes.Process(target=save_on_and_on, args=(write, folder))
            process.start()
            time.sleep(source.uniform(0.0, LONGEST_SECONDS))
            process.kill()
            process.join()
            leaving += bool(set(parts(folder)) - before)
            most = max(most, len(parts(folder)))
        size = sum(part.stat().st_size for part in parts(folder))
        print(f"{given.kills} kills, {leaving} of which left a part; at most {most} parts at once")
        print(f"after the last kill: {len(parts(folder))} parts, {size / 1e6:.1f} MB")
        damaged = [file.name for file in folder.glob("kept-*") if not is_whole(file)]
        save(write, folder / "last", 0)
        print(f"after one more save: {len(parts(folder))} parts; damaged files: {damaged or 'none'}")


def writer() -> Write:
    try:
        from resefa_core.files import write_bytes
    except ImportError:  # a checkout from before the package
        from resefa_core.tensorfile import write_bytes  # type: ignore[import-not-found,no-redef]
    return write_bytes


def save(write: Write, file: Path, number: int) -> None:
    from resefa_core.errors import ReSeFaError

    piece = bytes([number % 256]) * (1 << 16)
    write(file, (piece for _ in range(BYTES >> 16)), ReSeFaError, overwrite=True)


def save_on_and_on(write: Write, folder: Path) -> None:
    for number in count():
        save(write, folder / f"kept-{number % 8}", number)


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(".resefa-*.part"))


def is_whole(file: Path) -> bool:
    data = file.read_bytes()
    return len(data) == BYTES and data.count(data[:1]) == BYTES


if __name__ == "__main__":
    main()
