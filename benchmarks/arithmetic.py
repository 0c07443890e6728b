"""What coarser arithmetic does to directions of Jacobians that are formed, and what it saves.

    python benchmarks/arithmetic.py [--generator avatars] [--spaces w w+ s] [--seeds 3] [--output MD]

Against columns in float32 and JᵀJ in float64, for each λ, the worst over seeds, regions and the top
directions:

- **float32 JᵀJ**: products of 4,096 pixels at a time in float32, their sums in float64;
- **bfloat16**: the columns in bfloat16, and JᵀJ as before.

*Told* is the quotient that comes with a direction over the one of float32, *true* the quotient that its
direction has in float32, *span* the sine of the largest angle between the spaces of the top directions.
Times are processor seconds of one thread, of the quickest of three turns.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import resefa_core as resefa
from resefa_core.analysis import DenseJacobian, compute_jacobian
from resefa_core.evaluation.variations import principal_angles
from resefa_core.precision import analysis_mode

TOP = 8
WIDTH = 4096
REGULARIZATIONS = (1e-3, 1e-4, 1e-6)
KINDS = ("float32 JᵀJ", "bfloat16")
TURNS = 3


def narrow_gram(jacobian: DenseJacobian) -> Tensor:
    """JᵀJ, `(d, d)`: products in float32, sums of them in float64."""
    total = torch.zeros(jacobian.dimension, jacobian.dimension, dtype=torch.float64)
    for part in jacobian.matrix.flatten(1).split(WIDTH, dim=1):
        total += part @ part.T
    return total


def formed(generator: resefa.Generator, latent: resefa.Latent, space: str, rough: bool) -> DenseJacobian:
    jacobian = compute_jacobian(generator, latent, space, kind="dense", rough=rough)
    assert isinstance(jacobian, DenseJacobian)
    return jacobian


@analysis_mode()
def true_quotients(jacobian: DenseJacobian, region: resefa.Region, found: resefa.Directions) -> Tensor:
    """Quotients of directions one by one, `(k,)`, by a Jacobian's own products."""
    changes = jacobian.jvp(found.vectors.flatten(1)).double().square().sum(dim=1)
    mask = region.mask(jacobian.height, jacobian.width).double()
    inside, outside = ((changes * each).sum(dim=(1, 2)) for each in (mask, 1.0 - mask))
    return inside / (outside + found.damping)


def quickest(function: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TURNS):
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
    return min(seconds)


def table(generator: resefa.Generator, space: str, seeds: int) -> list[str]:
    told, true, span = (defaultdict[tuple[str, float], list[float]](list) for _ in range(3))
    regions = [resefa.Region.preset(f"{generator.name}/{name}") for name in ("mouth", "eyes", "hair")]
    for seed in range(seeds):
        latent = generator.sample(seed, 0.7)
        exact = formed(generator, latent, space, False)
        with analysis_mode():
            others = (
                DenseJacobian(exact.matrix, exact.subject, narrow_gram(exact)),
                formed(generator, latent, space, True),
            )
        for lam in REGULARIZATIONS:
            for region in regions:
                best = resefa.factorize(exact, region, TOP, lam)
                for kind, other in zip(KINDS, others, strict=True):
                    found = resefa.factorize(other, region, TOP, lam)
                    wanted = best.eigenvalues.double()
                    ratio = found.eigenvalues.double() / wanted - 1.0
                    told[kind, lam].append(float(ratio.abs().max()))
                    share = true_quotients(exact, region, found) / wanted
                    true[kind, lam].append(float(share.min()))
                    angle = principal_angles(best, found).double().deg2rad().sin()
                    span[kind, lam].append(float(angle.max()))
    with analysis_mode():
        seconds = {
            "columns in float32, with JᵀJ": quickest(lambda: formed(generator, latent, space, False)),
            "in bfloat16, with JᵀJ in float32": quickest(lambda: formed(generator, latent, space, True)),
            "JᵀJ in float64": quickest(lambda: exact._product(exact.matrix.flatten(1))),
            "JᵀJ in float32": quickest(lambda: others[1]._product(others[1].matrix.flatten(1))),
        }
    lines = [
        f"{generator.name}, {space}, d = {exact.dimension}, {seeds} seeds x {len(regions)} regions, "
        f"top {TOP}; seconds: " + ", ".join(f"{name} {value:.3g}" for name, value in seconds.items()),
        "",
        "| arithmetic | λ | told, off by at most | true, at least | span, at most |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind in KINDS:
        for lam in REGULARIZATIONS:
            key = kind, lam
            lines.append(
                f"| {kind} | {lam:g} | {max(told[key]):.1e} | {min(true[key]):.4f} | {max(span[key]):.1e} |"
            )
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--generator", default="avatars")
    parser.add_argument("--spaces", nargs="+", default=["w", "w+", "s"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = resefa.load_generator(options.generator)
    lines: list[str] = []
    for space in options.spaces:
        lines += table(generator, space, options.seeds)
        print("\n".join(lines[-9:]), flush=True)
    if options.output is not None:
        options.output.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
