"""What do threads cost on a machine whose processors others use too?

Programs that do nothing but count keep the processors busy. Beside them, one process for each way of waiting
and number of threads does the same jobs in turns, each job by all of them before the next, so that what
else the machine does falls on all alike:

- `torch`: as torch does by itself: a thread for each processor, which spin while they wait for each other;
- `ours`: as many, which sleep while they wait: the command line and the tests (`resefa_core.threads`);
- `single`: one thread: the demo;
- `nodes`: one thread beside busy neighbours, in a program that imported torch first: ComfyUI.

    python benchmarks/busy.py --neighbours 2 --rounds 5

`--alone` gives the jobs real-time priority, so that nothing else runs beside them: what waiting costs on an
idle machine, measured on any (Linux, as root).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

WAYS: dict[str, dict[str, str]] = {
    "torch": {},
    "ours": {},
    "single": {"OMP_NUM_THREADS": "1"},
    "nodes": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--neighbours", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--jobs", nargs="+", help="the first words of those to do; all by default")
    parser.add_argument("--alone", action="store_true", help="do them before all other programs' work")
    parser.add_argument("--work", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops what it started
    print(f"{os.cpu_count()} processors ({platform.processor() or platform.machine()}), {platform.system()}")
    print(f"load before: {os.getloadavg()[0]:.1f}\n")
    print(f"| neighbours | job | {' | '.join(f'{way}, ms' for way in options.ways)} |")
    print(f"|---:|---|{'---:|' * len(options.ways)}", flush=True)
    for count in options.neighbours:
        with neighbours(count), contextlib.ExitStack() as stack:
            workers = {way: stack.enter_context(worker(way)) for way in options.ways}
            for number, name in enumerate(names(workers[options.ways[0]])):
                for other in options.ways[1:]:
                    if number == 0:
                        names(workers[other])
                if number == 0 and options.alone:
                    for each in workers.values():
                        os.sched_setscheduler(each.pid, os.SCHED_FIFO, os.sched_param(1))
                if options.jobs and not name.startswith(tuple(options.jobs)):
                    continue
                seconds: dict[str, list[float]] = {way: [] for way in options.ways}
                for round_ in range(options.rounds):
                    for way in options.ways if round_ % 2 else reversed(options.ways):
                        seconds[way].append(ask(workers[way], number))
                cells = " | ".join(shown(seconds[way]) for way in options.ways)
                print(f"| {count} | {name} | {cells} |", flush=True)


def shown(seconds: list[float]) -> str:
    """The median and the slowest, in milliseconds."""
    return f"{1e3 * statistics.median(seconds):.0f} ({1e3 * max(seconds):.0f})"


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Programs that count, beside which the jobs are done."""
    counting = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in counting:
            process.kill()
            process.wait()


@contextlib.contextmanager
def worker(way: str) -> Iterator[subprocess.Popen[str]]:
    """A process that does jobs when it is asked to."""
    from resefa_core import threads

    asked = {*threads.WAITING, *threads.COUNTING}
    environment = {name: value for name, value in os.environ.items() if name not in asked} | WAYS[way]
    command = [sys.executable, __file__, "--work", way]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def names(process: subprocess.Popen[str]) -> list[str]:
    """What a worker can do, once it is ready."""
    assert process.stdout is not None
    return process.stdout.readline().strip().split("\t")


def ask(process: subprocess.Popen[str], number: int) -> float:
    """The seconds that a worker takes for a job."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def work(way: str) -> None:
    """Do the jobs whose numbers come by standard input, and print the seconds of each."""
    if way in ("torch", "nodes"):
        import torch  # first, so that its own policy holds
    from resefa_core import threads  # isort: skip
    import torch  # isort: skip

    beside_others = threads.considerate if way == "nodes" else contextlib.nullcontext
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    jobs = prepared()
    torch.set_num_threads(count)
    print("\t".join(jobs), flush=True)
    for line in sys.stdin:
        job = list(jobs.values())[int(line)]
        start = time.perf_counter()
        with beside_others():
            job()
        print(time.perf_counter() - start, flush=True)


def prepared() -> dict[str, Callable[[], object]]:
    """The jobs by name."""
    import resefa_core as resefa

    generator = resefa.load_generator("avatars")
    one, eight = generator.sample(7, truncation=0.7), generator.sample(list(range(8)), truncation=0.7)
    region = resefa.Region.preset("avatars/mouth")
    dense = {space: resefa.compute_jacobian(generator, one, space) for space in ("w", "w+")}
    jobs: dict[str, Callable[[], object]] = {
        "an image": lambda: generator.synthesize(one),
        "eight images": lambda: generator.synthesize(eight),
        "a region, W (d = 128)": lambda: resefa.factorize(dense["w"], region, 8),
        "a region, W+ (d = 1,280)": lambda: resefa.factorize(dense["w+"], region, 8),
        "analysis, W": lambda: resefa.compute_jacobian(generator, one, "w"),
        "analysis, W+": lambda: resefa.compute_jacobian(generator, one, "w+"),
    }
    return jobs


if __name__ == "__main__":
    main()
