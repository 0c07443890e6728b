"""How much faster this checkout is than another one.

    git worktree add OTHER COMMIT
    python benchmarks/against.py OTHER [--jobs JOB ...] [--turns 3] [--threads 1] [--output MD]

Two processes, one for each checkout, do the same jobs in turns, so that both see the same machine; a job's
time is what its process computed (processor seconds), of the quickest turn, since other programs only add to
it. Jobs:

- **products G**: a tangent and a pull of all layers of a generator, each of some at once, per vector;
- **dense G**: forming W+, JᵀJ included (the bundled generator: d = 1,280); **dense rough G**: in
  bfloat16, on request, by whichever checkout can;
- **region G**: a region of that; **region prepared G**: with its spectrum known;
- **applied G**: W+ applied only: its analysis, then a region, 6 directions as solved by default.

Solutions are compared by their quotients, those of this checkout over the other's: the lowest of all. Weights
are those of the bundled generator at 64 pixels (`avatars`), and random ones of the published sizes.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SEED = 13
BOX = (0.31, 0.59, 0.38, 0.19)
JOBS = (
    "products avatars",
    "dense avatars",
    "dense rough avatars",
    "region avatars",
    "region prepared avatars",
    "applied avatars",
    "products stylegan2 256",
    "applied stylegan2 256",
    "products stylegan3-t 256",
    "products biggan-deep 128",
    "products stylegan2 1024",
)
BATCH = {"avatars": 32, "stylegan2 1024": 2, "stylegan3-t 256": 2}


def work() -> None:
    """Answer jobs that come line by line with what they took, as JSON; the checkout is on the path."""
    import torch

    import resefa_core as resefa
    from benchmarks import architectures

    kept: dict[str, Any] = {}
    region = resefa.Region.from_box(*BOX)

    def generator_of(name: str) -> Any:
        if name not in kept:
            kept.clear()
            kept[name] = resefa.load_generator(name) if name == "avatars" else architectures.make(name)
        return kept[name]

    def timed(function: Callable[[], Any]) -> tuple[float, Any]:
        started = time.process_time()
        result = function()
        return time.process_time() - started, result

    def products(name: str) -> dict[str, float]:
        generator = generator_of(name)
        count = BATCH.get(name, 8)
        latent = generator.sample(SEED, 0.7, 207 if generator.num_classes else None)
        if "free " + name not in kept:
            space = "w+" if "w+" in generator.spaces else "z+"
            kept["free " + name] = resefa.analysis.applied(
                generator, latent, space, tuple(range(generator.num_layers))
            )
        free = kept["free " + name]
        noise = torch.Generator().manual_seed(0)
        vectors = torch.randn(count, free.dimension, generator=noise)
        images = torch.randn(count, 3, *free.image_size, generator=noise)
        tangent, pull = timed(lambda: free.jvp(vectors))[0], timed(lambda: free.vjp(images))[0]
        return {"tangent": tangent / count, "pull": pull / count}

    def dense(name: str, **options: Any) -> dict[str, float]:
        generator = generator_of(name)
        latent = generator.sample(SEED, 0.7)
        seconds, kept["dense " + name] = timed(
            lambda: resefa.compute_jacobian(generator, latent, "w+", method="dense", **options)
        )
        return {"analysis": seconds}

    def dense_rough(name: str) -> dict[str, Any]:
        can = "rough" in inspect.signature(resefa.compute_jacobian).parameters
        told = dense(name, **({"rough": True} if can else {}))
        found = resefa.factorize(kept.pop("dense " + name), region)
        return told | {"quotients": found.eigenvalues.tolist()}

    def a_region(name: str, prepared: bool) -> dict[str, Any]:
        if "dense " + name not in kept:
            dense(name)
        jacobian = kept["dense " + name]
        if prepared:
            jacobian.prepare()
        seconds, found = timed(lambda: resefa.factorize(jacobian, region))
        return {"region": seconds, "quotients": found.eigenvalues.tolist()}

    def applied(name: str) -> dict[str, Any]:
        generator = generator_of(name)
        latent = generator.sample(SEED, 0.7)
        analysis, jacobian = timed(
            lambda: resefa.compute_jacobian(generator, latent, "w+", method="matrix-free")
        )
        solving, found = timed(lambda: resefa.factorize(jacobian, region))
        return {
            "analysis": analysis,
            "a region": solving,
            "both": analysis + solving,
            "passes": jacobian.passes,
            "quotients": found.eigenvalues.tolist(),
        }

    doing: dict[str, Callable[[str], dict[str, Any]]] = {
        "products": products,
        "dense": dense,
        "dense rough": dense_rough,
        "region": lambda name: a_region(name, False),
        "region prepared": lambda name: a_region(name, True),
        "applied": applied,
    }
    for line in sys.stdin:
        kind, name = json.loads(line)
        print(json.dumps(doing[kind](name)), flush=True)


class Worker:
    """A process that computes with a checkout."""

    def __init__(self, checkout: Path, threads: int) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env=environment,
        )

    def does(self, kind: str, name: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([kind, name]) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a Markdown file")
    options = parser.parse_args()
    workers = [Worker(checkout, options.threads) for checkout in (options.other.resolve(), ROOT)]
    lines = [
        f"{platform.processor() or platform.machine()}, threads: {options.threads}.",
        "",
        "| job | what | before, s | now, s | times as fast | lowest quotient / before |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines))
    for job in options.jobs:
        kind, name = next(
            (kind, job.removeprefix(kind + " "))
            for kind in ("products", "dense rough", "dense", "region prepared", "region", "applied")
            if job.startswith(kind + " ")
        )
        turns = [[worker.does(kind, name) for worker in workers] for _ in range(options.turns)]
        before, now = (
            {key: min(turn[side][key] for turn in turns) for key in turns[0][side]} for side in (0, 1)
        )
        passes = f", passes {before.pop('passes')} and {now.pop('passes')}" if "passes" in now else ""
        share = ""
        if "quotients" in now:
            pairs = zip(now.pop("quotients"), before.pop("quotients"), strict=True)
            share = f"{min(new / old for new, old in pairs):.4f}"
        for what, seconds in now.items():
            ratio = before[what] / seconds
            row = f"| {job} | {what}{passes} | {before[what]:.3g} | {seconds:.3g} | {ratio:.2f} | {share} |"
            lines.append(row)
            print(lines[-1], flush=True)
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "--work" in sys.argv:
        work()
    else:
        main()
