"""Is a study over sooner with several workers, and what does that cost?

    python benchmarks/study_workers.py [STUDY] [--seeds 5020-5023] [--workers 1 2] [--turns 2]

Runs `resefa evaluate` from scratch with each number of workers in turns, starts included; prints Markdown:
seconds that pass, and processor seconds of all processes. Other programs on the machine stretch the former.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "studies" / "peers.json"


class Taken(NamedTuple):
    """Seconds."""

    passed: float
    computed: float


def run(study: Path, seeds: str, workers: int) -> Taken:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "resefa_core", "evaluate", str(study), "--seeds", seeds]
        command += ["--workers", str(workers), "-o", folder]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after, passed = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(passed, computed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path, default=PEERS)
    parser.add_argument("--seeds", default="5020-5023")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    print("| turn | workers | seconds | processor seconds |\n|---:|---:|---:|---:|")
    for turn in range(options.turns):
        for workers in options.workers:
            taken = run(options.study.resolve(), options.seeds, workers)
            print(f"| {turn + 1} | {workers} | {taken.passed:.0f} | {taken.computed:.0f} |", flush=True)


if __name__ == "__main__":
    main()
