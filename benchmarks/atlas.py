"""Atlases: what do they take, how many images do they need, and does it matter who sums?

    python benchmarks/atlas.py sum GENERATOR FOLDER [--seeds 0-1999] [--parts FILE]
    python benchmarks/atlas.py size GENERATOR FOLDER [--parts FILE] [--unseen 16]
    python benchmarks/atlas.py workers GENERATOR [--images 32] [--parts FILE]
    python benchmarks/atlas.py simulate

`sum` makes the sums of an atlas in this process, and goes on from where it stopped; beside them it keeps the
sums over the first 8, 16, 32, … images, and a line for each block: images, processor seconds, memory. `size`
says from these how many images joint directions need: angles to those of all, and what they do on images
that were not summed. `workers` sums in one process, in pools and, where it is installed, on Ray, in turns; it
counts processor seconds, since other programs may share the machine. `simulate` plays the rules by which
tasks are handed out with stragglers and lost workers, beside real workers that sleep in place of computing,
and then for a thousand workers. All but `sum` print Markdown.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import pickle
import random
import resource
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import resefa_core as resefa
from resefa_core.atlas import Growing, Plan, sum_up
from resefa_core.atlas.images import Shared, analysed, block_sums, sample
from resefa_core.atlas.tree import Tree
from resefa_core.errors import AtlasError, LatentError
from resefa_core.files import make_folder, read_tensors, write_tensors
from resefa_core.methods import METHODS
from resefa_core.parsing import parse_images
from resefa_core.solve import pixels_of
from resefa_core.solve.sums import Sums
from resefa_core.workers import Inline, Workers, freed
from resefa_core.workers.base import AHEAD
from resefa_core.workers.pool import Pool

SUMS = "sums.safetensors"
LINES = "blocks.jsonl"
UNSEEN = 800_000
COUNT = 4
JOINT = METHODS["resefa"].check_parameters(None, 2)["regularization"]
PATIENCE = 0.25
"""Seconds that a task of the played runs sleeps, typically."""


def open_plan(generator: resefa.Generator, seeds: str, parts: Path | None) -> Plan:
    known = None if parts is None else resefa.Parts.load(parts)
    return Plan.of(generator, parse_images(seeds), parts=known)


def sum_and_keep(options: argparse.Namespace) -> None:
    freed.keep_returning()  # as the command does
    generator = resefa.load_generator(options.generator)
    folder = make_folder(options.folder, AtlasError)
    plan = open_plan(generator, options.seeds, options.parts)
    sizes = {1 << power for power in range(3, 30)} | {len(plan.seeds)}
    clock = [time.process_time()]

    def on_block(growing: Growing) -> None:
        done, now = len(growing.tree), time.process_time()
        line = {"images": done, "seconds": now - clock[0], "mb": megabytes()}
        clock[0] = now
        with (folder / LINES).open("a", encoding="ascii") as lines:
            lines.write(json.dumps(line) + "\n")
        if done in sizes:
            write_tensors(folder / f"first-{done}.safetensors", growing.total.named(""), {}, AtlasError, True)

    sum_up(generator, plan, checkpoint=folder / SUMS, on_block=on_block)


def megabytes() -> int:
    """The memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() >> 20


def sizes(options: argparse.Namespace) -> None:
    generator = resefa.load_generator(options.generator)
    plan = open_plan(generator, "0-1", options.parts)
    kept: dict[int, Sums] = {}
    for file in sorted(options.folder.glob("first-*.safetensors"), key=lambda file: int(file.stem[6:])):
        kept[int(file.stem[6:])] = Sums.from_named(read_tensors(file, AtlasError, 1 << 30)[0], "")
    every = max(kept)
    unseen = _unseen(generator, plan, options.unseen)
    print("| region | measure |", " | ".join(map(str, kept)), "|")
    print("|---|---|" + "---:|" * len(kept))
    for index, name in enumerate(plan.names):
        final = _solved(kept[every], index)
        if final is None:
            continue
        angles, ratios, having = [], [], []
        for sums in kept.values():
            found = _solved(sums, index)
            having.append(str(int(sums.images[index])))
            if found is None:
                angles.append("–")
                ratios.append("–")
                continue
            angles.append(f"{largest_angle(found, final):.0f}")
            ratios.append(f"{_transfer(found, unseen, index):.1f}")
        print(f"| {name} | images that have it |", " | ".join(having), "|")
        print(f"| | largest angle to those of {every}, degrees |", " | ".join(angles), "|")
        print("| | inside : outside on unseen images |", " | ".join(ratios), "|")


def _solved(sums: Sums, region: int) -> torch.Tensor | None:
    try:
        return sums.pencil(region).solve(COUNT, JOINT).vectors
    except resefa.RegionError:
        return None


def largest_angle(first: torch.Tensor, second: torch.Tensor) -> float:
    """The largest principal angle between the spans of rows `(k, d)`, in degrees."""
    bases = [torch.linalg.qr(each.T)[0] for each in (first, second)]
    return float(torch.rad2deg(torch.linalg.svdvals(bases[0].T @ bases[1]).clamp(0.0, 1.0).acos().max()))


def _unseen(generator: resefa.Generator, plan: Plan, count: int) -> list[tuple[Any, list[Any]]]:
    """Analyses of further images, and where each region is there."""
    found = []
    unseen = Plan.of(generator, range(UNSEEN, UNSEEN + count), plan.names, parts=plan.parts, space=plan.space)
    for place in range(count):
        try:
            found.append(analysed(generator, unseen, sample(generator, unseen, place)))
        except LatentError:
            continue
    return found


def _transfer(vectors: torch.Tensor, unseen: Sequence[tuple[Any, list[Any]]], region: int) -> float:
    """The median over images and directions of what a pixel inside changes over one outside, squared, to
    first order."""
    ratios = []
    for jacobian, regions in unseen:
        here = regions[region]
        if here is None:
            continue
        mask = here.mask(jacobian.height, jacobian.width, check=False)
        squares = jacobian.jvp(vectors.float()).double().square().sum(dim=1)
        inside, outside = pixels_of([here], jacobian.height, jacobian.width)
        ratios.append(
            ((squares * mask).sum(dim=(1, 2)) / inside[0])
            / ((squares * (1 - mask)).sum(dim=(1, 2)) / outside[0])
        )
    return float(torch.cat(ratios).median()) if ratios else float("nan")


def timed_block(shared: Shared, places: tuple[int, int]) -> tuple[float, float, Any]:
    """A block with the processor's seconds and the seconds that it took."""
    started, clock = time.perf_counter(), time.process_time()
    block = block_sums(shared, places)
    return time.process_time() - clock, time.perf_counter() - started, block


def nothing(packed: bytes, task: int) -> bytes:
    """A task that costs what handing tasks and sums to and fro costs."""
    return packed


def compare_workers(options: argparse.Namespace) -> None:
    generator = resefa.load_generator(options.generator)
    plan = open_plan(generator, f"0-{options.images - 1}", options.parts)
    shared = Shared(generator, plan, frozenset(plan.alone))
    blocks = [(start, start + options.block) for start in range(0, options.images, options.block)]
    kinds: dict[str, Any] = {
        "one process": Inline,
        "pool of 1": lambda: Pool(1),
        "pool of 2": lambda: Pool(2),
    }
    if find_spec("ray") is not None:
        kinds["Ray, 1 worker"] = lambda: _ray(1)
        kinds["Ray, 2 workers"] = lambda: _ray(2)
    wanted: Sums | None = None
    print("| workers | seconds | processor seconds of tasks | of this process besides | same bits |")
    print("|---|---:|---:|---:|---|")
    for name, make in kinds.items():
        workers: Workers = make()
        started, clock = time.perf_counter(), time.process_time()
        tree, spent = Tree(), 0.0
        for _, (cpu, _, block) in workers.run(timed_block, shared, blocks):
            tree.add(block.nodes)
            spent += cpu
        wall, own = time.perf_counter() - started, time.process_time() - clock
        own -= spent if isinstance(workers, Inline) else 0.0
        total = tree.total()
        assert total is not None
        wanted = total if wanted is None else wanted
        same = all(map(torch.equal, total.tensors(), wanted.tensors()))
        print(f"| {name} | {wall:.1f} | {spent:.1f} | {own:.2f} | {'yes' if same else 'NO'} |", flush=True)
    packed = pickle.dumps(wanted, pickle.HIGHEST_PROTOCOL)
    print(f"\nHanding over a task and its sums of {len(packed) / 1e6:.1f} MB, and nothing else:\n")
    print("| workers | milliseconds a task | an image, in blocks of 8 |\n|---|---:|---:|")
    for name, make in kinds.items():
        workers = make()
        list(workers.run(nothing, packed, range(4)))
        started = time.perf_counter()
        for _ in workers.run(nothing, packed, range(64)):
            pass
        each = (time.perf_counter() - started) / 64
        print(f"| {name} | {1e3 * each:.1f} | {1e3 * each / 8:.2f} |", flush=True)


def _ray(count: int) -> Workers:
    import ray

    from resefa_core.workers.cluster import Cluster

    ray.shutdown()
    ray.init(num_cpus=count, include_dashboard=False, log_to_driver=False)
    return Cluster()


class Played(NamedTuple):
    """Tasks of a run that is played.

    Attributes:
        seconds: how long each takes.
        lost: those whose first worker is lost half way.
    """

    seconds: list[float]
    lost: frozenset[int]

    @staticmethod
    def drawn(count: int, typical: float, slow: float, lost: float, seed: int = 0) -> Played:
        """Tasks of about the same length, of which a share `slow` takes ten times as long, and a share `lost`
        loses its worker."""
        draw = random.Random(seed)
        seconds = [
            typical * draw.uniform(0.8, 1.2) * (10.0 if draw.random() < slow else 1.0) for _ in range(count)
        ]
        return Played(seconds, frozenset(i for i in range(count) if draw.random() < lost))


def makespan(played: Played, workers: int, start: float, fold: float) -> float:
    """How long tasks take in all, by the rules of `Workers`: `AHEAD` for each worker are handed out, then one
    for each that was summed; whoever is free takes the next one.

    Args:
        start: seconds until a lost worker is replaced.
        fold: seconds in which the driver takes a result and sums it, one after the other.
    """
    tasks = list(enumerate(played.seconds))
    handed_out = [0.0] * (AHEAD * workers)
    running: list[float] = []
    driver, begun = 0.0, 0

    def begin(free: float) -> None:
        nonlocal begun
        if begun < len(tasks):
            index, seconds = tasks[begun]
            again = 0.5 * seconds + start if index in played.lost else 0.0
            heapq.heappush(running, max(free, handed_out[begun]) + again + seconds)
            begun += 1

    for _ in range(workers):
        begin(0.0)
    while running:
        ended = heapq.heappop(running)
        driver = max(driver, ended) + fold
        handed_out.append(driver)
        begin(ended)
    return driver


def sleep(shared: tuple[list[float], frozenset[int], Path], task: int) -> int:
    """A task of a played run on real workers, which know no class of this script."""
    played, folder = Played(*shared[:2]), shared[2]
    if task in played.lost:
        try:
            (folder / f"lost-{task}").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            time.sleep(0.5 * played.seconds[task])
            os._exit(1)
    time.sleep(played.seconds[task])
    return task


def simulate(options: argparse.Namespace) -> None:
    import tempfile

    if find_spec("ray") is not None:
        print("Ray with workers that sleep, beside the model:\n")
        print("| workers | tasks | ten times slower | lost | seconds | model | model : real |")
        print("|---:|---:|---:|---:|---:|---:|---:|")
        for workers in (2, 4):
            on_ray = _ray(workers)
            blank = Played([0.0] * 4 * workers, frozenset())
            list(on_ray.run(sleep, (*blank, Path()), range(len(blank.seconds))))
            for slow, lost in ((0.0, 0.0), (0.05, 0.0), (0.05, 0.05)):
                played = Played.drawn(40 * workers, PATIENCE, slow, lost, seed=workers)
                with tempfile.TemporaryDirectory() as folder:
                    started = time.perf_counter()
                    list(on_ray.run(sleep, (*played, Path(folder)), range(len(played.seconds))))
                    real = time.perf_counter() - started
                model = makespan(played, workers, options.start, 0.0)
                told = f"{len(played.seconds)} | {slow:.0%} | {len(played.lost)}"
                print(f"| {workers} | {told} | {real:.1f} | {model:.1f} | {model / real:.2f} |", flush=True)
        print()
    print(f"A thousand workers, {options.image:g} s an image, {1e3 * options.fold:g} ms to sum a block:\n")
    print("| images | a task | ten times slower | lost | hours | efficiency |")
    print("|---:|---:|---:|---:|---:|---:|")
    for images, block in ((10_000, 1), (10_000, 8), (1_000_000, 8), (1_000_000, 64), (100_000_000, 512)):
        for slow, lost in ((0.0, 0.0), (0.01, 0.001)):
            played = Played.drawn(images // block, block * options.image, slow, lost)
            took = makespan(played, 1000, options.start, options.fold)
            told = f"{took / 3600:.2f} | {sum(played.seconds) / 1000 / took:.0%}"
            print(f"| {images:,} | {block} | {slow:.0%} | {lost:.1%} | {told} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("sum", sum_and_keep), ("size", sizes), ("workers", compare_workers)):
        command = commands.add_parser(name)
        command.add_argument("generator")
        command.add_argument("--parts", type=Path)
        command.set_defaults(run=run)
        if name == "workers":
            command.add_argument("--images", type=int, default=32)
            command.add_argument("--block", type=int, default=8)
        else:
            command.add_argument("folder", type=Path)
        if name == "sum":
            command.add_argument("--seeds", default="0-1999")
        if name == "size":
            command.add_argument("--unseen", type=int, default=16)
    command = commands.add_parser("simulate")
    command.add_argument("--image", type=float, default=1.3, help="processor seconds of an image")
    command.add_argument("--fold", type=float, default=0.02, help="seconds in which a block is summed")
    command.add_argument("--start", type=float, default=5.0, help="seconds until a lost worker is replaced")
    command.set_defaults(run=simulate)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
