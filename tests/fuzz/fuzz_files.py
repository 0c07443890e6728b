"""Reads files that were changed at random, many of them, and tells of each that was not refused in words.

    python tests/fuzz/fuzz_files.py --files 20000 --seed 1

A good file of every format that the product reads is changed by its structure (`mutations.py`) and read in a
child process under an audit hook, with 4 GiB of address space and 20 s of CPU for each file. A finding is a
file that ran or opened something, raised another error than the project's, gave a message that can't be
encoded, took much more memory than it has bytes, or did not end. `--only` reads one file again, and `--keep`
writes the findings to a folder. Linux and macOS.
"""

from __future__ import annotations

import argparse
import codecs
import collections
import contextlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import torch  # noqa: E402
from mutations import form_of, mutated  # noqa: E402
from seeds import Seed, seeds  # noqa: E402
from watching import watched  # noqa: E402

from resefa_core import ReSeFaError  # noqa: E402

ADDRESS_SPACE = 4 << 30
CPU_SECONDS = 20
WALL_SECONDS = 300
MOST_GROWTH = 150 << 20
MOST_GROWTH_PER_BYTE = 24
MOST_MESSAGE = 2500
LITERALS = "compile"
"""What numpy's reader of .npy headers does: it compiles a literal to its syntax tree."""


def changed(choices: Sequence[Seed], seed: int, index: int) -> tuple[Seed, bytes]:
    """The file that a number stands for."""
    draw = Random(f"{seed}/{index}")
    chosen = choices[draw.randrange(len(choices))]
    data = chosen.data
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        # A file that was changed may no longer be what its form's changes take apart.
        with contextlib.suppress(Exception):
            data = mutated(data, draw)
    return chosen, data


def read_one(chosen: Seed, data: bytes, folder: Path) -> dict[str, Any]:
    """What became of a file: `whole` or `refused`, or a finding in words."""
    file = folder / chosen.name
    file.write_bytes(data)
    before = _reset_peak()
    allowed = (LITERALS,) if form_of(data) in ("array", "archive") else ()
    given, done = watched(file, chosen.read, allowed)
    growth = _peak() - before
    outcome: dict[str, Any] = {"kind": "whole", "name": chosen.name}
    if isinstance(given, ReSeFaError):
        outcome["kind"] = "refused"
        message = str(given)
        try:
            message.encode("utf-8")
        except UnicodeEncodeError:
            done.append("a message that can't be encoded")
        if not message or len(message) > MOST_MESSAGE or not message.isprintable():
            done.append(f"a message of {len(message)} characters: {message[:80]!r}")
    elif isinstance(given, Exception):
        trace = traceback.format_exception(given)
        done.append(f"{type(given).__name__}: {str(given)[:200]!r}: {''.join(trace[-4:])[-900:]}")
    if growth > MOST_GROWTH + MOST_GROWTH_PER_BYTE * len(data):
        done.append(f"{growth >> 20} MB of memory for a file of {len(data)} bytes")
    if done:
        outcome |= {"kind": "finding", "why": done}
    return outcome


def warmed(folder: Path) -> list[Seed]:
    """All good files, each read once: what is imported on first use has been."""
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "raw-unicode-escape"):
        codecs.lookup(name)
    choices = seeds(folder)
    for each in choices:
        (folder / each.name).write_bytes(each.data)
        each.read(folder / each.name)
        outcome = read_one(each, each.data, folder)
        if outcome["kind"] != "whole":
            raise RuntimeError(f"a good file is not read: {outcome}")
    return choices


def _reset_peak() -> int:
    """Memory now, in bytes; the peak is counted from here where the system can do that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    return 0


def child(choices: Sequence[Seed], seed: int, indices: Sequence[int], folder: Path, pipe: int) -> None:
    """Read files one after the other, and say a line of JSON before and after each."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(pipe, "w", buffering=1) as stream:
        for index in indices:
            chosen, data = changed(choices, seed, index)
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            stream.write(json.dumps({"kind": "start", "index": index, "name": chosen.name}) + "\n")
            outcome = read_one(chosen, data, folder)
            signal.setitimer(signal.ITIMER_PROF, 0)
            stream.write(json.dumps({"index": index, **outcome}) + "\n")


def run(choices: Sequence[Seed], seed: int, indices: Sequence[int], folder: Path) -> Iterator[dict[str, Any]]:
    """What became of each file; a child that dies over one is followed by another for those after it."""
    left = list(indices)
    while left:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            try:
                child(choices, seed, left, folder, writing)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(writing)
        started: dict[str, Any] | None = None
        with os.fdopen(reading) as stream:
            while True:
                ready, _, _ = select.select([stream], [], [], WALL_SECONDS)
                line = stream.readline() if ready else ""
                if not line:
                    break
                outcome = json.loads(line)
                if outcome["kind"] == "start":
                    started = outcome
                else:
                    started = None
                    left = left[1:]
                    yield outcome
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if started is not None or left:
            ended = signal.Signals(status & 127).name if status & 127 else f"exit {status >> 8}"
            index = left.pop(0)
            name = started["name"] if started else "?"
            yield {"kind": "finding", "index": index, "name": name, "why": [f"the reader ended by {ended}"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="how many files")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--seed", type=int, default=1, help="of all choices")
    parser.add_argument("--only", type=int, help="read the file of this number alone")
    parser.add_argument("--keep", type=Path, help="a folder for the files of findings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        choices = warmed(folder)
        indices = range(options.first, options.first + options.files)
        if options.only is not None:
            indices = range(options.only, options.only + 1)
        counts: collections.Counter[str] = collections.Counter()
        by_form: collections.Counter[tuple[str, str]] = collections.Counter()
        started = time.monotonic()
        for outcome in run(
            choices, options.seed, [options.only] if options.only is not None else indices, folder
        ):
            counts[outcome["kind"]] += 1
            by_form[outcome["name"], outcome["kind"]] += 1
            if outcome["kind"] == "finding":
                print(json.dumps(outcome), flush=True)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    chosen, data = changed(choices, options.seed, outcome["index"])
                    (options.keep / f"{outcome['index']}-{chosen.name}").write_bytes(data)
            if sum(counts.values()) % 1000 == 0:
                print(
                    f"{sum(counts.values())} files, {dict(counts)}, {time.monotonic() - started:.0f} s",
                    flush=True,
                )
    for (name, kind), count in sorted(by_form.items()):
        print(f"{count:6d}  {kind:8s}  {name}")
    print(_said(counts, started))
    return 1 if counts["finding"] else 0


def _said(counts: collections.Counter[str], started: float) -> str:
    return f"{sum(counts.values())} files, {dict(counts)}, {time.monotonic() - started:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
