"""How long analysing an image takes: the published algorithm, generic forward mode, and ours.

    python benchmarks/jacobian.py [--quick] [--device cuda] [--threads N] [--output MD] [--json JSON]

The subjects are the bundled generator and a StyleGAN2 of 256 x 256 with random weights, whose cost is that
of a trained one. Every method differentiates the same generator at the same latent:

- **published**: one backward pass for each analysed pixel and channel, as in the code that came with the
  paper: `torch.autograd.functional.jacobian` of the image with respect to w. Above 256 pixels that code
  first reduces the image to 256 by nearest neighbour and sums the channels. A sample of rows is timed: with
  t(n) the time of n rows, all R rows are taken to need t(1) + (R - 1) (t(n) - t(1)) / (n - 1). W+ has the
  same rows and differs only in the last small product of each, so it is not timed again.
- **torch.func.jacfwd** of the same map, codes to image, with nothing of ours, a chunk of columns at a time;
  where all columns would take too long, a spread sample of them is timed and scaled.
- **dense** and **matrix-free**: `compute_jacobian` and `factorize` of this package. Where a dense Jacobian
  would take too long or too much memory, a sample of tangents of every layer is pushed in the chunks that
  `compute_jacobian` would use, and scaled by the layer's number of tangents; the products that follow are
  timed at their full width over a part of the pixels, and scaled by the pixels. A matrix-free region may be
  stopped early, and its time scaled to the usual number of passes.

Each line of the first table is measured in a process of its own. Its memory is that process' peak of
resident memory (on CUDA: of allocated memory) above what was in use once the generator had made one image;
an extrapolated line adds the part of the result that was not computed, and is a lower bound. Passes count a
forward-mode product as 1 and a reverse-mode product as 2; the others are the ones to compare with.

Ratios between two methods are medians over interleaved pairs of one process, so that both see the same
machine; so are all figures that have a target.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from resefa_core import (  # noqa: E402
    Generator,
    GeneratorDescription,
    Jacobian,
    Region,
    StyleGAN2,
    compute_jacobian,
    factorize,
    load_generator,
)
from resefa_core.analysis import DenseJacobian, ImageDerivative, analysed  # noqa: E402
from resefa_core.analysis import Subject as AnalysisSubject  # noqa: E402
from resefa_core.analysis.derivative import tangents_of  # noqa: E402
from resefa_core.generators.styles import Style  # noqa: E402
from resefa_core.memory import in_chunks  # noqa: E402
from resefa_core.precision import analysis_mode  # noqa: E402
from resefa_core.spaces import LatentSpace, Part, identity_chunk, latent_space  # noqa: E402

SEED = 7
BUDGET = 1 << 30
TABLE_HEAD = (
    "generator",
    "space",
    "method",
    "d",
    "passes",
    "seconds",
    "peak memory, MB",
    "times faster than published",
    "how",
)


@dataclass(frozen=True)
class Subject:
    """A generator to measure, the family of its region presets, and how much of it is measured in full.

    `whole` says whether dense Jacobians are formed, or extrapolated from `samples` tangents per layer;
    `rows` and `columns` are the published algorithm's and jacfwd's samples, `chunk` is jacfwd's chunk, and
    `region_passes` is where timing a matrix-free region stops, None where the solver stops by itself.
    """

    title: str
    family: str
    whole: bool
    rows: int
    columns: int
    chunk: int
    samples: int
    batch: int
    region_passes: int | None


SUBJECTS = {
    "avatars": Subject("avatars", "avatars", True, 24, 128, 32, 32, 32, None),
    "random": Subject("random weights", "ffhq", False, 8, 8, 8, 4, 8, 212),
}


@dataclass(frozen=True)
class Task:
    """What one process measures."""

    function: str
    subject: str
    space: str
    device: str
    quick: bool
    threads: int | None = None


@dataclass
class Line:
    """A line of the first table; `memory` in bytes."""

    subject: str
    generator: str
    space: str
    method: str
    dimension: int
    passes: int
    seconds: float
    memory: int | None
    how: str


@dataclass
class Figure:
    """A measured figure of the other tables, with its target where there is one."""

    table: str
    what: str
    value: float
    target: float | None
    detail: str


class Bench:
    """A subject on a device, at one latent, with clocks."""

    def __init__(self, task: Task) -> None:
        if task.threads is not None:
            torch.set_num_threads(task.threads)
        self.task = task
        self.subject = SUBJECTS[task.subject]
        self.device = torch.device(task.device)
        self.generator = make_generator(task.subject, self.device)
        self.latent = self.generator.sample(seed=SEED, truncation=0.7)
        self.generator.synthesize(self.latent)
        self.synchronize()

    @property
    def repeats(self) -> int:
        return 1 if self.task.quick else 3

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, function: Callable[[], object]) -> float:
        """The time of one call."""
        self.synchronize()
        start = time.perf_counter()
        function()
        self.synchronize()
        return time.perf_counter() - start

    def median_seconds(self, function: Callable[[], object], patience: float = 3.0) -> float:
        """The median of `repeats` calls; fewer where one takes longer than `patience` seconds."""
        times = [self.seconds(function)]
        while len(times) < self.repeats and sum(times) < self.repeats * patience:
            times.append(self.seconds(function))
        return statistics.median(times)

    def line(self, method: str, dimension: int, passes: int, seconds: float, **other: Any) -> Line:
        space = other.pop("space", self.task.space)
        title = f"{self.subject.title}, {self.generator.resolution} px"
        return Line(self.task.subject, title, space, method, dimension, passes, seconds, **other)

    def operator(self, space: LatentSpace) -> ImageDerivative:
        """The operator that `compute_jacobian` would use, at half of the memory budget."""
        return ImageDerivative(self.generator, self.latent, space, BUDGET)

    def space(self, name: str) -> LatentSpace:
        return latent_space(self.generator, self.latent, name)


def make_generator(name: str, device: torch.device) -> Generator:
    """The bundled generator, or a StyleGAN2 of 256 x 256 with seeded random weights and no noise."""
    if name != "random":
        return load_generator(name, device)
    torch.manual_seed(0)
    generator = StyleGAN2(img_resolution=256, channel_base=16384, channel_max=512, z_dim=512, w_dim=512)
    generator.name = name
    for key, parameter in generator.named_parameters():
        if key.endswith("noise_strength"):
            parameter.data.zero_()
    return generator.eval().to(device)


def image_of(generator: Generator, codes: Tensor) -> Tensor:
    """Codes `(L, D)` to the image `(1, 3, H, W)`."""
    return generator.render([Style(generator.style(i, code[None])) for i, code in enumerate(codes)])


class Memory:
    """Peak memory above what is in use now, in bytes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device)
            return
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self.before = _resident("VmRSS")

    def above(self) -> int | None:
        """The peak since, or None where the system does not tell."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - self.before
        return max(0, _resident("VmHWM") - self.before) if self.before else None


def _resident(field: str) -> int:
    """A field of Linux' process status, in bytes; elsewhere the peak that `getrusage` knows (0 if none).

    `getrusage` comes second because on Linux it starts a child at its parent's peak.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return 0
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def published(bench: Bench) -> list[Line]:
    """The published algorithm on a sample of rows, scaled to all rows."""
    rows = _published_rows(bench)
    sample = _sample(rows, 8 if bench.task.quick else bench.subject.rows)
    memory = Memory(bench.device)
    seconds = published_seconds(bench, rows, sample)
    dimension = bench.generator.latent_dim
    how = f"extrapolated from {len(sample)} of {rows:,} rows"
    used = _with_rest(memory.above(), 4 * dimension * (rows - len(sample)))
    return [
        bench.line(
            "published: backward, row by row",
            dimension,
            2 * rows,
            seconds,
            memory=used,
            how=how,
            space="w (w+ alike)",
        )
    ]


def _published_rows(bench: Bench) -> int:
    resolution = bench.generator.resolution
    return 3 * resolution**2 if resolution <= 256 else 256**2


def published_seconds(bench: Bench, rows: int, sample: Sequence[int]) -> float:
    """t(1) + (R - 1) (t(n) - t(1)) / (n - 1), t(n) the time of n rows."""
    codes = bench.latent.codes[0]

    def image(w: Tensor) -> Tensor:
        made = image_of(bench.generator, w.repeat(codes.shape[0], 1))
        if made.shape[-1] > 256:
            made = torch.nn.functional.interpolate(made, size=(256, 256), mode="nearest").sum(dim=1)
        return made.flatten()

    def differentiate(chosen: Sequence[int]) -> None:
        index = torch.tensor(chosen, device=bench.device)
        torch.autograd.functional.jacobian(lambda w: image(w)[index], codes[:1])

    differentiate(sample[:1])
    one = bench.median_seconds(lambda: differentiate(sample[:1]))
    many = bench.seconds(lambda: differentiate(sample))
    return one + (rows - 1) * (many - one) / (len(sample) - 1)


def _sample(count: int, size: int) -> list[int]:
    """Up to `size` numbers spread over `range(count)`."""
    size = min(size, count)
    return [index * count // size for index in range(size)]


def _with_rest(measured: int | None, rest: int) -> int | None:
    return None if measured is None else measured + rest


def jacfwd(bench: Bench) -> list[Line]:
    """`torch.func.jacfwd` of codes -> image, on all columns or on a sample of them."""
    codes = bench.latent.codes[0]
    shared = bench.task.space == "w"
    base = codes[0] if shared else codes.flatten()
    size = base.numel()
    few = bench.subject.chunk if bench.task.quick else bench.subject.columns
    columns = _sample(size, size if shared and bench.subject.whole else few)
    chunk = min(bench.subject.chunk, len(columns))

    def differentiate(chosen: Sequence[int]) -> Tensor:
        select = torch.zeros(len(chosen), size, device=bench.device)
        select[torch.arange(len(chosen)), torch.tensor(chosen)] = 1.0

        def image(step: Tensor) -> Tensor:
            moved = base + step @ select
            made = image_of(bench.generator, moved.expand_as(codes) if shared else moved.view_as(codes))
            return analysed(made)[0]

        derivative: Tensor = torch.func.jacfwd(image)(torch.zeros(len(chosen), device=bench.device))
        return derivative

    def differentiate_all() -> None:
        for start in range(0, len(columns), chunk):
            part = differentiate(columns[start : start + chunk])
            matrix[..., start : start + chunk] = part

    memory = Memory(bench.device)
    side = min(256, bench.generator.resolution)
    matrix = torch.empty(3, side, side, len(columns), device=bench.device)
    with analysis_mode():
        seconds = bench.median_seconds(differentiate_all)
    how = "measured"
    if len(columns) < size:
        how = f"extrapolated from {len(columns)} of {size:,} columns"
        seconds *= size / len(columns)
    used = _with_rest(memory.above(), 4 * matrix[..., 0].numel() * (size - len(columns)))
    name = f"torch.func.jacfwd, chunks of {chunk}"
    return [bench.line(name, size, size, seconds, memory=used, how=how)]


def dense(bench: Bench) -> list[Line]:
    """`compute_jacobian(kind="dense")`, or the scaled time of its parts."""
    if not bench.subject.whole:
        return [_dense_extrapolated(bench)]
    found: list[Jacobian] = []

    def analyse() -> None:
        found[:] = [compute_jacobian(bench.generator, bench.latent, bench.task.space, kind="dense")]

    memory = Memory(bench.device)
    seconds = bench.median_seconds(analyse)
    line = bench.line(
        "ours, dense",
        found[0].dimension,
        found[0].passes,
        seconds,
        memory=memory.above(),
        how="measured",
    )
    return [line]


def _dense_extrapolated(bench: Bench) -> Line:
    memory = Memory(bench.device)
    with analysis_mode():
        space = bench.space(bench.task.space)
        start = time.perf_counter()
        operator = bench.operator(space)
        bench.synchronize()
        seconds = time.perf_counter() - start
        samples = bench.subject.samples
        if space.shared:
            count = 2 * samples
            vectors = identity_chunk(0, count, space.dimension, bench.device)
            seconds += bench.seconds(lambda: operator.jvp(vectors)) * space.dimension / count
            how = f"extrapolated from {count} of {space.dimension:,} tangents"
        else:
            count = samples * len(space.parts)
            seconds += sum(_layer_seconds(bench, operator, part, samples) for part in space.parts)
            total = sum(tangents_of(part) for part in space.parts)
            how = f"extrapolated from {count} of {total:,} tangents, {samples} a layer"
        seconds += _gram_seconds(bench, space.dimension, operator.image_size)
    height, width = operator.image_size
    rest = 4 * 3 * height * width * (space.dimension - count)
    used = _with_rest(memory.above(), rest)
    return bench.line("ours, dense", space.dimension, space.dimension, seconds, memory=used, how=how)


def _layer_seconds(bench: Bench, operator: ImageDerivative, part: Part, samples: int) -> float:
    """One layer's columns: its tangents, and what takes style channels to codes."""
    count, size = tangents_of(part), part.stop - part.start
    channels = size if part.matrix is None else part.matrix.shape[0]
    tangents = identity_chunk(0, samples, channels, bench.device)
    images = torch.empty(samples, 3, *operator.image_size, device=bench.device)

    def push() -> None:
        in_chunks(
            lambda rows: operator.push_styles({part.layer: tangents[rows]}), images, operator.push_chunk, None
        )

    seconds = bench.seconds(push) * count / samples
    if part.matrix is None or count == size:
        return seconds
    matrix, rows = part.matrix.T, images[:1, :, :32].expand(count, -1, -1, -1).contiguous()
    share = rows.shape[2] / images.shape[2]
    return seconds + bench.seconds(lambda: torch.tensordot(matrix, rows, dims=1)) / share


def _gram_seconds(bench: Bench, dimension: int, image_size: tuple[int, int]) -> float:
    """The time of `JᵀJ`, from a 64th of the pixels."""
    height, width = image_size
    part = (height // 8, width // 8)
    jacobian = DenseJacobian(
        torch.rand(dimension, 3, *part, device=bench.device),
        AnalysisSubject("w", (), (dimension,), bench.latent, GeneratorDescription(), part),
    )
    return 64.0 * bench.seconds(jacobian.gram)


def matrix_free(bench: Bench) -> list[Line]:
    """Analysis (the sketch that serves all regions), then a region."""
    memory = Memory(bench.device)
    start = time.perf_counter()
    jacobian = compute_jacobian(bench.generator, bench.latent, bench.task.space, kind="matrix-free")
    bench.synchronize()
    seconds = time.perf_counter() - start
    sketch = jacobian.passes
    analysis = bench.line(
        "ours, matrix-free: analysis",
        jacobian.dimension,
        sketch,
        seconds,
        memory=memory.above(),
        how="measured",
    )
    region = Region.preset("mouth", bench.subject.family)
    limit = bench.subject.region_passes
    memory = Memory(bench.device)
    seconds = bench.seconds(lambda: factorize(jacobian, region, max_passes=limit))
    passes = jacobian.passes - sketch
    used = memory.above()
    how = "measured" if limit is None else f"stopped after {passes} passes: {seconds / passes:.2f} s each"
    found = bench.line(
        "ours, matrix-free: a region", jacobian.dimension, passes, seconds, memory=used, how=how
    )
    return [analysis, found]


def paired(first: Callable[[], float], second: Callable[[], float], pairs: int) -> tuple[float, float, float]:
    """The median ratio of two interleaved timings, and the median of each."""
    timings = [(first(), second()) for _ in range(pairs)]
    ratios = [a / b for a, b in timings]
    ones, others = zip(*timings, strict=True)
    return statistics.median(ratios), statistics.median(ones), statistics.median(others)


def tangent_cost(bench: Bench) -> list[Figure]:
    """A batch of tangents in w over a forward pass of a batch of as many images."""
    batch = bench.subject.batch
    pairs = 3 if bench.task.quick or not bench.subject.whole else 9
    with analysis_mode():
        space = bench.space("w")
        linearization = bench.operator(space).linearization
        noise = torch.Generator().manual_seed(0)
        vectors = torch.randn(batch, space.dimension, generator=noise).to(bench.device)
        styles = bench.generator.styles(bench.generator.sample(seed=list(range(batch))))

        def push() -> float:
            return bench.seconds(lambda: analysed(linearization.push(space.lift(vectors))))

        def render() -> float:
            return bench.seconds(lambda: bench.generator.render(styles))

        push(), render()
        ratio, tangents, images = paired(push, render, pairs)
    what = f"{bench.subject.title}, {bench.generator.resolution} px: {batch} tangents in w / {batch} images"
    detail = f"{1e3 * tangents / batch:.1f} and {1e3 * images / batch:.1f} ms each, {pairs} pairs"
    return [Figure("Ratios", what, ratio, 1.3, detail)]


def layered_cost(bench: Bench) -> list[Figure]:
    """Dense w+ over as many tangents that pass all layers: until its columns are there, and with JᵀJ."""
    generator, latent = bench.generator, bench.latent
    with analysis_mode():
        whole = bench.space("w")
        full = bench.operator(whole)
    dimension = generator.num_layers * generator.latent_dim
    vectors = identity_chunk(0, whole.dimension, whole.dimension, bench.device)
    timings: list[tuple[float, float, float]] = []
    for _ in range(1 if bench.task.quick else 3):
        passes = bench.seconds(lambda: full.jvp(vectors)) * dimension / whole.dimension
        columns, start = 0.0, time.perf_counter()

        def note(done: int, count: int) -> None:
            nonlocal columns
            if done == count:
                bench.synchronize()
                columns = time.perf_counter() - start  # noqa: B023

        compute_jacobian(generator, latent, "w+", kind="dense", progress=note)
        bench.synchronize()
        timings.append((columns, time.perf_counter() - start, passes))
    figures = []
    for index, name in enumerate(("its columns", "the whole analysis")):
        ratio = statistics.median(timing[index] / timing[2] for timing in timings)
        mine, theirs = (statistics.median(timing[i] for timing in timings) for i in (index, 2))
        what = f"{bench.subject.title}: dense w+, d = {dimension:,}: {name} / d full tangents"
        figures.append(Figure("Ratios", what, ratio, 0.7, _pairs(mine, theirs, len(timings))))
    return figures


def _pairs(first: float, second: float, pairs: int) -> str:
    return f"{_digits(first)} and {_digits(second)} s, {pairs} pair{'s' * (pairs > 1)}"


def speedup(bench: Bench) -> list[Figure]:
    """The published algorithm over dense w."""
    pairs = 1 if bench.task.quick else 3
    rows = _published_rows(bench)
    sample = _sample(rows, 8 if bench.task.quick else bench.subject.rows)

    def analyse() -> float:
        return bench.seconds(lambda: compute_jacobian(bench.generator, bench.latent, "w", kind="dense"))

    analyse()
    ratio, slow, fast = paired(lambda: published_seconds(bench, rows, sample), analyse, pairs)
    what = f"{bench.subject.title}: published, row by row / ours, dense w"
    return [Figure("Ratios", what, ratio, -100.0, _pairs(slow, fast, pairs))]


def regions(bench: Bench) -> list[Figure]:
    """`factorize` after a dense analysis: w, w+ on middle layers with d of about 512, and w+ on all."""
    generator = bench.generator
    count = min(generator.num_layers, max(1, round(512 / generator.latent_dim)))
    first = (generator.num_layers - count) // 2
    choices: list[tuple[str, str, list[int] | None]] = [
        ("w", "w", None),
        (f"w+ on {count} layers", "w+", list(range(first, first + count))),
        ("w+ on all layers", "w+", None),
    ]
    figures = []
    for title, space, layers in choices:
        jacobian = compute_jacobian(generator, bench.latent, space, layers, kind="dense")
        for name in ("mouth", "eyes"):
            region = Region.preset(name, bench.subject.family)
            solve = partial(factorize, jacobian, region)
            solve()
            steady = [bench.seconds(solve) for _ in range(3 if bench.task.quick else 11)]
            what = f"{title}, d = {jacobian.dimension:,}, {name}"
            spread = f"{1e3 * min(steady):.0f} to {1e3 * max(steady):.0f} ms in {len(steady)} runs"
            target = _region_target(jacobian.dimension)
            figures.append(Figure("Regions", what, 1e3 * statistics.median(steady), target, spread))
    return figures


def _region_target(dimension: int) -> float | None:
    """Milliseconds that a region may take."""
    for most, target in ((128, 20.0), (512, 150.0), (1280, 300.0)):
        if dimension <= most:
            return target
    return None


def machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    described: dict[str, Any] = {
        "cpu": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }
    if hasattr(os, "getloadavg"):
        described["load"] = round(os.getloadavg()[0], 1)
    if torch.device(device).type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


LINES: dict[str, Callable[[Bench], list[Line]]] = {
    "published": published,
    "jacfwd": jacfwd,
    "dense": dense,
    "matrix_free": matrix_free,
}
FIGURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "tangent_cost": tangent_cost,
    "layered_cost": layered_cost,
    "speedup": speedup,
    "regions": regions,
}


def plan(device: str, quick: bool, threads: int | None) -> list[Task]:
    """All tasks, in the order of the tables."""
    chosen = [("published", "w"), ("jacfwd", "w"), ("jacfwd", "w+"), ("dense", "w"), ("dense", "w+")]
    layered = ("matrix_free", "w+")
    by_subject = {
        "avatars": [*chosen, layered] if quick else [*chosen, ("dense", "s"), layered],
        "random": [*chosen, layered],
    }
    names = ["avatars"] if quick else list(by_subject)
    tasks = [
        Task(function, name, space, device, quick, threads)
        for name in names
        for function, space in by_subject[name]
    ]
    tasks += [Task("tangent_cost", name, "w", device, quick, threads) for name in names]
    others = ("layered_cost", "speedup", "regions")
    tasks += [Task(name, "avatars", "", device, quick, threads) for name in others]
    return tasks


def run(task: Task) -> list[dict[str, Any]]:
    """Measure a task in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), "_measure", json.dumps(asdict(task))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{task.function} of {task.subject} failed:\n{done.stderr}")
    results: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return results


def measure(text: str) -> None:
    """The hidden subcommand: measure one task and print its results as JSON."""
    task = Task(**json.loads(text))
    bench = Bench(task)
    results: Sequence[Line | Figure]
    results = LINES[task.function](bench) if task.function in LINES else FIGURES[task.function](bench)
    print(json.dumps([asdict(result) for result in results]))


def report(about: dict[str, Any], lines: list[Line], figures: list[Figure], quick: bool) -> str:
    """All tables as Markdown."""
    parts = [_describe(about, quick), line_table(lines)]
    for table, unit in (("Ratios", "ratio"), ("Regions", "median, ms")):
        chosen = [figure for figure in figures if figure.table == table]
        parts.append(figure_table(chosen, unit))
    titles = [
        "# Analysing an image",
        "## Methods",
        "## Ratios, from interleaved pairs",
        f"## A region after a dense analysis (threads: {about['threads']})",
    ]
    return "\n\n".join(f"{title}\n\n{part}" for title, part in zip(titles, parts, strict=True)) + "\n"


def _describe(about: dict[str, Any], quick: bool) -> str:
    gpu = f"{about['gpu']}; " if "gpu" in about else ""
    load = f" Load before the run (others on the machine): {about['load']}." if "load" in about else ""
    mode = " A quick run: few repeats." if quick else ""
    return (
        f"{gpu}{about['cpu']}, cores: {about['cores']}, threads: {about['threads']}; torch {about['torch']}, "
        f"Python {about['python']}, {about['system']}. Float32.{load}{mode}"
    )


def line_table(lines: list[Line]) -> str:
    """The first table, with each line's ratio to the published algorithm on the same generator."""
    rows = []
    for line in lines:
        same = [other for other in lines if other.subject == line.subject]
        base = next(other.seconds for other in same if other.method.startswith("published"))
        bound = "" if line.how == "measured" or line.memory is None else "≥ "
        rows.append(
            (
                line.generator,
                line.space,
                line.method,
                f"{line.dimension:,}",
                f"{line.passes:,}",
                _digits(line.seconds),
                "?" if line.memory is None else f"{bound}{line.memory / 1e6:,.0f}",
                _faster(line, base),
                line.how,
            )
        )
    return _table(TABLE_HEAD, rows)


def _faster(line: Line, base: float) -> str:
    """How many times; nothing of a line that was stopped before its end."""
    if line.how.startswith("stopped"):
        return "–"
    return "1" if line.seconds == base else _digits(base / line.seconds)


def figure_table(figures: list[Figure], unit: str) -> str:
    """Figures with their targets; a negative target is a least value."""
    rows = []
    for figure in figures:
        target, met = "", ""
        if figure.target is not None:
            least = figure.target < 0
            target = f"{'at least' if least else 'at most'} {abs(figure.target):g}"
            reached = figure.value >= -figure.target if least else figure.value <= figure.target
            met = "yes" if reached else "no"
        rows.append((figure.what, _digits(figure.value), target, met, figure.detail))
    return _table(("what", unit, "target", "met", "measured"), rows)


def _digits(value: float) -> str:
    """About three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Time the analysis of an image by several methods.")
    parser.add_argument("--quick", action="store_true", help="the bundled generator only, few repeats")
    parser.add_argument("--device", default="cpu", help="cpu (the default), cuda, cuda:1, ...")
    parser.add_argument("--output", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--json", type=Path, help="write all numbers to this JSON file")
    parser.add_argument("--threads", type=int, help="torch's threads; its own choice by default")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    about = machine(options.device)
    lines: list[Line] = []
    figures: list[Figure] = []
    tasks = plan(options.device, options.quick, options.threads)
    for index, task in enumerate(tasks):
        print(f"[{index + 1}/{len(tasks)}] {task.subject} {task.function} {task.space}", file=sys.stderr)
        results = run(task)
        if task.function in LINES:
            lines += [Line(**result) for result in results]
        else:
            figures += [Figure(**result) for result in results]
    text = report(about, lines, figures, options.quick)
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    if options.json is not None:
        numbers = {
            "machine": about,
            "lines": [asdict(line) for line in lines],
            "figures": [asdict(figure) for figure in figures],
        }
        options.json.write_text(json.dumps(numbers, indent=2), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["_measure"]:
        measure(sys.argv[2])
    else:
        main()
