"""What an analysis costs on the StyleGAN family and BigGAN-deep at full size, with random weights.

    python benchmarks/architectures.py [--only NAME ...] [--device cuda] [--threads N] [--output MD]

For each generator, in a process of its own, with W+ of all layers (for BigGAN-deep Z+, and Z for W):

- **tangent / forward**: a tangent pushed through the whole generator against an image, the median of
  interleaved pairs.
- **pull**: a cotangent pulled back through the whole generator, which counts as two passes.
- **W, dense**: as many tangents as w has entries.
- **W+, matrix-free**: an analysis pushes 64 and pulls 32 vectors, a region then 64 and 64 in the usual number
  of passes. These and the dense analysis are scaled from the times of single products, on CUDA of batches.
- **peak memory**: of the process (on CUDA: allocated), weights included, after the products, each at the size
  of batch that an analysis would use.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

import resefa_core as resefa  # noqa: E402
from resefa_core.analysis import ImageDerivative, memory_for  # noqa: E402
from resefa_core.generators.biggan_deep import published_layers  # noqa: E402
from resefa_core.precision import analysis_mode  # noqa: E402
from resefa_core.spaces import latent_space  # noqa: E402

PAIRS = 3
NAMES = ("stylegan2 256", "stylegan2 1024", "stylegan3-t 256", "stylegan3-r 256", "biggan-deep 128")


def make(name: str) -> resefa.Generator:
    """A generator as published for its resolution, with random weights."""
    torch.manual_seed(0)
    family, side = name.split()
    resolution = int(side)
    if family == "biggan-deep":
        return resefa.BigGANDeep(layers=published_layers(resolution)).eval()
    if family == "stylegan2":
        base = 32768 if resolution > 256 else 16384
        return resefa.StyleGAN2(img_resolution=resolution, channel_base=base).eval()
    if family == "stylegan3-t":
        return resefa.StyleGAN3(img_resolution=resolution, channel_base=32768, channel_max=512).eval()
    return resefa.StyleGAN3(
        img_resolution=resolution,
        channel_base=65536,
        channel_max=1024,
        conv_kernel=1,
        use_radial_filters=True,
    ).eval()


def seconds(function: Callable[[], Any], device: torch.device) -> float:
    """The time of one call."""
    started = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(name: str, device: torch.device) -> dict[str, Any]:
    generator = make(name).to(device)
    latent = generator.sample(0, truncation=0.7, label=0 if generator.num_classes else None)
    with analysis_mode():
        space = latent_space(generator, latent, generator.spaces[0])
        operator = ImageDerivative(generator, latent, space, memory_for(device) // 2)
    latents = resefa.stack([latent] * operator.push_chunk)
    styles, condition = generator.styles(latents), generator.condition(latents)
    tangents = torch.randn(operator.push_chunk, space.dimension, device=device)
    cotangents = torch.randn(operator.pull_chunk, 3, *operator.image_size, device=device)

    def forward() -> None:
        with analysis_mode():
            generator.render(styles, condition)

    pairs = [
        (seconds(lambda: operator.jvp(tangents), device), seconds(forward, device)) for _ in range(PAIRS + 1)
    ]
    tangent, image = (statistics.median(each) / len(tangents) for each in zip(*pairs[1:], strict=True))
    ratio = statistics.median(one / other for one, other in pairs[1:])
    pulls = [seconds(lambda: operator.vjp(cotangents), device) for _ in range(2)]
    pull = pulls[-1] / len(cotangents)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    return {
        "generator": name,
        "d in W, W+": f"{generator.latent_dim:,}, {space.dimension:,}",
        "forward, s": image,
        "tangent, s": tangent,
        "tangent / forward": ratio,
        "pull, s": pull,
        "W, dense, s": tangent * generator.latent_dim,
        "W+, matrix-free: analysis, s": 64 * tangent + 32 * pull,
        "a region, s": 64 * tangent + 64 * pull,
        "peak memory, GB": peak / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.measure:
        print(json.dumps(measure(options.measure, torch.device(options.device))))
        return
    rows = []
    for name in options.only:
        command = [sys.executable, __file__, "--measure", name, "--device", options.device]
        command += ["--threads", str(options.threads)] if options.threads else []
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(name, "done", file=sys.stderr)
    head = list(rows[0])
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines)
    print(table)
    if options.output:
        options.output.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
