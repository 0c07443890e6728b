"""Everything worth knowing of a graphics card, in one command of at most nine minutes.

    python benchmarks/gpu_check.py OUTPUT_DIR [--device cuda] [--minutes 9] [--only STAGE ...] [--tiny]

It needs PyTorch, numpy, pillow, safetensors and tqdm, and no network. Stages run in order of worth, each in
a process of its own with its share of the time, what earlier ones left over included: a stage that hangs,
or breaks the driver's context, costs itself alone. Every figure is written when it is known, to
`STAGE.json`; after each stage all of them go to `results.json` and, as tables, to `results.md`. `--tiny`
takes small generators: a rehearsal, on the CPU in half a minute.

- **machine**: versions; arithmetic and copies at their best; whether TF32 is off inside an analysis, and
  outside.
- **accuracy**: images, columns, directions and confined edits against the same in float64 on the CPU, by
  generic forward mode; edits at equal change against the CPU's.
- **costs**: StyleGAN2 at 64, 256 and 1024, BigGAN-deep at 128 and 256, StyleGAN3-T at 256 and 1024 (but for
  the first with random weights): an image, a tangent, a pull, W (Z), W+ (Z+), a region, a confined edit,
  peak memory, and of which kind a second analysis is while the first is kept.
- **published**: one backward pass for each pixel, as in the code published with the paper, extrapolated
  from some, beside ours.
- **precision**: tangents in float32 and bfloat16, in the usual layout and channels last.
- **tests**: the main paths (`tests/device/main_paths.py`) on the device; needs pytest.
- **memory**: what happens where memory runs out.
- **threads**: two analyses at once, against one after the other.
- **rates**: float64 against float32 in what factorizing needs.

Expected of an H100 (written before any run on a card; a figure far off asks for a reason):

- Float32 at 40 to 55 TFLOP/s, float64 at 40 to 60, bfloat16 at 500 to 750; memory at 2 to 3 TB/s. On
  consumer cards float64 is a 32nd of float32 or less. TF32 off inside analyses: products exact to 1e-6;
  outside, convolutions to 5e-4 (PyTorch's default allows TF32 there), so images differ from the CPU's by a
  mean square of about 1e-6.
- Columns within 1e-5 of float64 relative to their norm; dense quotients within 1e-6, matrix-free ones within
  a few per cent, as on a CPU.
- At 64 pixels kernels are tiny, and launching them is the cost: an image in 2 to 4 ms, however many at
  once; a tangent among 128 in under 0.1 ms; W in 0.05 s, W+ in 0.3 s, a region in 10 to 30 ms.
- At 256: a tangent in 0.5 to 1 ms, W in 0.5 s, W+ (d = 7,168; 5.6 GB) dense in 10 s, two thirds of it JᵀJ.
- At 1024: a tangent in 6 to 10 ms, W in 5 s; W+ (d = 9,216; 7.2 GB) takes about a minute, so that `auto` is
  near its limit between dense and matrix-free; a matrix-free region in 10 s.
- StyleGAN3-T at 256 as StyleGAN2 at 1024; at 1024 four times as much. BigGAN-deep 128 as StyleGAN2 at 256.
- Published: 12,288 backward passes of 5 ms at 64 pixels, a minute, over a thousand times ours; at 256,
  196,608 of 10 ms, half an hour.
- bfloat16, channels last: three to five times as fast as float32 from 256 on, columns off by 0.7 %; nothing
  gained at 64.
- Two threads: no faster than one after the other, the same results to rounding, the TF32 switches as
  before.
- Likely faults: out of memory in the trial passes of `auto`; a second W+ at 1024 of another kind than the
  first.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402

import resefa_core as resefa  # noqa: E402
from benchmarks import architectures, jacobian  # noqa: E402
from resefa_core.analysis import analysed  # noqa: E402
from resefa_core.evaluation.equal_change import edits_of, equal_change  # noqa: E402
from resefa_core.generators.styles import Style  # noqa: E402
from resefa_core.precision import analysis_mode  # noqa: E402
from resefa_core.spaces import latent_space  # noqa: E402

SEED = 13
BOX = resefa.Region.from_box(0.31, 0.59, 0.38, 0.19)
OTHER_BOX = resefa.Region.from_box(0.25, 0.37, 0.5, 0.19)
GRACE_SECONDS = 5.0
LARGE = (
    "stylegan2 256",
    "stylegan2 1024",
    "biggan-deep 128",
    "stylegan3-t 256",
    "biggan-deep 256",
    "stylegan3-t 1024",
)
SMALL = ("stylegan2 tiny", "biggan-deep tiny", "stylegan3-t tiny")


class Check:
    """A stage at work: its device, its clock, and the file of its figures."""

    device: torch.device

    def __init__(self, name: str, tiny: bool, deadline: float, folder: Path) -> None:
        self.tiny = tiny
        self.deadline = deadline
        self.file = folder / f"{name}.json"
        self.rows: dict[str, dict[str, Any]] = {}
        self.keep()

    @property
    def left(self) -> float:
        """Seconds until the stage must end."""
        return self.deadline - time.monotonic()

    def note(self, row: str, **columns: Any) -> None:
        """Write figures of a row, at once."""
        named = {name.replace("_", " "): value for name, value in columns.items()}
        self.rows.setdefault(row, {}).update(named)
        self.keep()

    def keep(self, **more: Any) -> None:
        self.file.write_text(json.dumps({"rows": self.rows} | more, indent=1, default=str), encoding="utf-8")

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, function: Callable[[], object]) -> float:
        """The time of one call."""
        self.synchronize()
        started = time.perf_counter()
        function()
        self.synchronize()
        return time.perf_counter() - started

    def steady(self, function: Callable[[], object], most: int = 15, patience: float = 1.0) -> float:
        """The median time of some calls after one that warms up."""
        times = [self.seconds(function)]
        if times[0] > patience:
            return times[0]
        times.clear()
        while len(times) < most and sum(times) < patience:
            times.append(self.seconds(function))
            if self.tiny:
                break
        return statistics.median(times)

    @contextmanager
    def caught(self, row: str) -> Iterator[None]:
        """Note what goes wrong in a row, and go on with the next."""
        try:
            yield
        except Exception as error:
            self.note(row, failed=f"{type(error).__name__}: {str(error)[:300]}")
            traceback.print_exc()
        self.release()

    def release(self) -> None:
        """Give memory that nothing holds back to the device."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def peak(self) -> float:
        """Peak memory in GB: allocated on the card, on a CPU resident in the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def make(name: str, device: torch.device) -> resefa.Generator:
    """The bundled generator, or one with random weights."""
    torch.manual_seed(0)
    small: dict[str, Callable[[], resefa.Generator]] = {
        "avatars": lambda: resefa.load_generator("avatars"),
        "stylegan2 tiny": lambda: resefa.StyleGAN2(
            z_dim=8, w_dim=8, img_resolution=16, num_mapping_layers=2, channel_base=128
        ),
        "stylegan3-t tiny": lambda: resefa.StyleGAN3(
            z_dim=8,
            w_dim=8,
            img_resolution=16,
            num_mapping_layers=2,
            channel_base=64,
            channel_max=8,
            num_layers=4,
            first_cutoff=1.0,
            first_stopband=2.0,
            margin_size=4,
        ),
        "biggan-deep tiny": lambda: resefa.BigGANDeep(
            z_dim=6, channel_width=8, layers=((True, 2, 1), (True, 1, 1)), attention_layer_position=1
        ),
    }
    return small[name]().eval().to(device) if name in small else architectures.make(name).to(device)


def sample(generator: resefa.Generator, seed: int = SEED) -> resefa.Latent:
    return generator.sample(seed, 0.7, 207 if generator.num_classes else None)


def spaces(generator: resefa.Generator) -> tuple[str, str]:
    """The small space and the layered one."""
    return ("w", "w+") if "w" in generator.spaces else ("z", "z+")


def relative(found: Tensor, wanted: Tensor) -> float:
    """The norm of the difference over that of what was wanted."""
    wanted = wanted.double().cpu()
    return float((found.double().cpu() - wanted).norm() / wanted.norm())


def machine(check: Check) -> None:
    device, size = check.device, 256 if check.tiny else 8192
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    check.note("versions", value=f"{name}; torch {torch.__version__}; Python {platform.python_version()}")
    if device.type == "cuda":
        check.note("memory, GB", value=torch.cuda.get_device_properties(device).total_memory / 1e9)
    check.note("first kernel, s", value=check.seconds(lambda: torch.ones(8, device=device) + 1.0))
    a, b = torch.randn(2, 512, 512, device=device)
    x, kernel = torch.randn(4, 64, 32, 32, device=device), torch.randn(64, 64, 3, 3, device=device)
    product = a.cpu().double() @ b.cpu().double()
    convolved = F.conv2d(x.cpu().double(), kernel.cpu().double(), padding=1)
    for setting in ("as PyTorch starts", "the host allows TF32"):
        if setting != "as PyTorch starts":
            torch.set_float32_matmul_precision("high")
        for where in ("outside", "inside an analysis"):
            with analysis_mode() if where != "outside" else torch.no_grad():
                errors = relative(a @ b, product), relative(F.conv2d(x, kernel, padding=1), convolved)
            check.note(f"error of a product, {setting}, {where}", value=errors[0])
            check.note(f"error of a convolution, {setting}, {where}", value=errors[1])
    torch.set_float32_matmul_precision("highest")
    with check.caught("older switches, read inside an analysis"), analysis_mode():
        older = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        check.note("older switches, read inside an analysis", value=str(older))
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        square = torch.randn(size, size, device=device, dtype=dtype)
        seconds = check.steady(partial(torch.matmul, square, square))
        check.note(f"{str(dtype).removeprefix('torch.')}, TFLOP/s", value=2 * size**3 / seconds / 1e12)
    whole = torch.randn(1 << (20 if check.tiny else 28), device=device)
    check.note("copy, TB/s", value=2 * whole.nbytes / check.steady(whole.clone) / 1e12)
    host = torch.randn(1 << (18 if check.tiny else 26))
    check.note("host to device, GB/s", value=host.nbytes / check.steady(lambda: host.to(device)) / 1e9)


def accuracy(check: Check) -> None:
    generator = make("stylegan2 tiny" if check.tiny else "avatars", check.device)
    precise = copy.deepcopy(generator).to("cpu").double()
    latent, exact = sample(generator), sample(precise)
    image = precise.render(precise.styles(exact), precise.condition(exact))
    made = generator.synthesize(latent)
    check.note("an image", relative_error=relative(made, image))
    check.note("an image", mean_square=float((made.cpu().double() - image).square().mean()))
    with analysis_mode():
        inside = generator.render(generator.styles(latent), generator.condition(latent))
    check.note("an image, inside an analysis", relative_error=relative(inside, image))
    layers_of = list(range(generator.num_layers))
    for space, layers in (("w", None), ("z", None), ("w+", layers_of[2:5]), ("s", layers_of[4:6])):
        with check.caught(space):
            _space_accuracy(check, generator, latent, precise, exact, space, layers)
    with check.caught("edits"):
        _edit_accuracy(check, generator, latent)


def _space_accuracy(
    check: Check,
    generator: resefa.Generator,
    latent: resefa.Latent,
    precise: resefa.Generator,
    exact: resefa.Latent,
    space: str,
    layers: list[int] | None,
) -> None:
    columns = exact_columns(precise, exact, space, layers)
    dense = resefa.compute_jacobian(generator, latent, space, layers, kind="dense")
    found = dense.jvp(torch.eye(dense.dimension, device=check.device))
    check.note(space, d=dense.dimension, columns=relative(found, columns))
    mask = BOX.mask(*columns.shape[2:]).double()
    inside, outside = ((columns * m.sqrt()).flatten(1) for m in (mask, 1.0 - mask))
    a, b = inside @ inside.T, outside @ outside.T
    damped = b + 1e-4 * b.trace() * torch.eye(len(b), dtype=b.dtype)
    lower = torch.linalg.cholesky(damped)
    whitened = torch.linalg.solve_triangular(lower, a, upper=False)
    values, vectors = torch.linalg.eigh(torch.linalg.solve_triangular(lower, whitened.T, upper=False))
    best = torch.linalg.solve_triangular(lower.T, vectors[:, -4:], upper=True)
    free = resefa.compute_jacobian(generator, latent, space, layers, kind="matrix-free")
    for kind, each in (("dense", dense), ("matrix-free", free)):
        directions = resefa.factorize(each, BOX, 4, 1e-4).vectors.flatten(1).double()
        quotients = ((directions @ a) * directions).sum(1) / ((directions @ damped) * directions).sum(1)
        lowest = float((quotients / values[-4:].flip(0)).min())
        bases = [torch.linalg.qr(each.T)[0] for each in (directions, best.T)]
        cosine = float(torch.linalg.svdvals(bases[0].T @ bases[1]).min())
        check.note(
            space, **{f"{kind}: lowest quotient / optimum": lowest, f"{kind}: smallest cosine": cosine}
        )


def exact_columns(
    generator: resefa.Generator, latent: resefa.Latent, space: str, layers: list[int] | None
) -> Tensor:
    """The analysed image's derivative `(d, 3, h, w)` by generic forward mode, in the generator's own type."""
    chosen = latent_space(generator, latent, space, layers)
    bases, condition = generator.styles(latent), generator.condition(latent)

    def image(vector: Tensor) -> Tensor:
        moves = chosen.lift(vector[None])
        moved = [Style(each.base + moves[i]) if i in moves else each for i, each in enumerate(bases)]
        return analysed(generator.render(moved, condition))[0]

    zero = bases[0].base.new_zeros(chosen.dimension)

    def column(tangent: Tensor) -> Tensor:
        pushed: Tensor = torch.func.jvp(image, (zero,), (tangent,))[1]
        return pushed

    identity = torch.eye(chosen.dimension, dtype=zero.dtype)
    columns: Tensor = torch.func.vmap(column, chunk_size=32)(identity)
    return columns


def _edit_accuracy(check: Check, generator: resefa.Generator, latent: resefa.Latent) -> None:
    """The same directions on the device and on the CPU: confined edits, and changes at equal change."""
    host = copy.deepcopy(generator).to("cpu")
    jacobian = resefa.compute_jacobian(generator, latent, "w", kind="dense")
    directions = resefa.with_confined_steps(
        generator, latent, resefa.factorize(jacobian, BOX, 1 if check.tiny else 2)
    )
    edited, wanted = (
        resefa.edit(each, sample(each), directions, {0: 1.0}, confine=1.0) for each in (generator, host)
    )
    check.note("a confined edit, against the CPU", relative_error=relative(edited, wanted))
    here, there = (
        equal_change(each, edits_of(sample(each), directions, confine=1.0), BOX) for each in (generator, host)
    )
    for row, found in (("equal change, on the device", here), ("equal change, on the CPU", there)):
        check.note(row, inside_over_outside=[round(value, 1) for value in found.ratio.tolist()])


def costs(check: Check) -> None:
    for name in SMALL if check.tiny else ("avatars", *LARGE):
        if check.left < 10.0 and not check.tiny:
            check.note(name, left_out="no time")
            continue
        with check.caught(name):
            _costs_of(check, name)


def _costs_of(check: Check, name: str) -> None:
    """Figures of one generator, cheap ones first; dear ones only where the time is likely to do."""
    generator = make(name, check.device)
    check.note(name, fingerprint_s=check.seconds(lambda: generator.fingerprint))
    latent = sample(generator)
    check.note(name, image_ms=1e3 * check.steady(lambda: generator.synthesize(latent)))
    tangent = _products(check, name, generator, latent)
    if check.left > 2.0 * tangent * generator.latent_dim or check.tiny:
        _narrow(check, name, generator, latent)
    if check.left > 3.0 * 320 * tangent + 5.0 or check.tiny:
        _layered(check, name, generator)
    check.note(name, peak_GB=check.peak)


def _products(check: Check, name: str, generator: resefa.Generator, latent: resefa.Latent) -> float:
    """Batches of images, tangents and cotangents; the seconds of a tangent."""
    count = 2 if check.tiny else 64 if generator.resolution < 512 else 16
    batch = resefa.stack([latent] * count)
    seconds = check.steady(lambda: generator.synthesize(batch)) / count
    check.note(name, images_at_once=count, image_of_these_ms=1e3 * seconds)
    free = resefa.compute_jacobian(generator, latent, spaces(generator)[1], kind="matrix-free")
    vectors = torch.randn(count, free.dimension, device=check.device)
    tangent = check.steady(lambda: free.jvp(vectors)) / count
    cotangents = torch.randn(count, 3, free.height, free.width, device=check.device)
    pull = check.steady(lambda: free.vjp(cotangents)) / count
    check.note(name, tangent_ms=1e3 * tangent, pull_ms=1e3 * pull)
    return tangent


def _narrow(check: Check, name: str, generator: resefa.Generator, latent: resefa.Latent) -> None:
    """The analysis of W (Z), a region, a confined edit."""
    space = spaces(generator)[0]
    analyse = partial(resefa.compute_jacobian, generator, latent, space, kind="dense")
    check.note(name, narrow_s=check.seconds(analyse))
    found = analyse()
    check.note(name, narrow_region_ms=1e3 * check.steady(lambda: resefa.factorize(found, BOX)))
    if generator.can_confine:
        directions = resefa.factorize(found, BOX, 1)
        directions = resefa.with_confined_steps(generator, latent, directions)
        moved = resefa.move(latent, directions, {0: 1.0}, confine=1.0)
        check.note(name, confined_edit_ms=1e3 * check.steady(lambda: generator.synthesize(moved)))


def _layered(check: Check, name: str, generator: resefa.Generator) -> None:
    """The analysis of W+ (Z+) as it is chosen, regions, and a second analysis while the first is kept."""
    found: list[resefa.Jacobian] = []

    def analyse() -> None:
        latent = sample(generator, SEED + len(found))
        found.append(resefa.compute_jacobian(generator, latent, spaces(generator)[1]))

    seconds = check.seconds(analyse)
    check.note(name, d=found[0].dimension, layered_s=seconds, layered_kind=found[0].kind)
    first = check.seconds(lambda: resefa.factorize(found[0], BOX))
    check.note(name, layered_first_region_s=first)
    if check.left > 2.0 * first + 2.0 * seconds or check.tiny:
        check.note(name, layered_next_region_s=check.seconds(lambda: resefa.factorize(found[0], OTHER_BOX)))
        check.note(name, second_s=check.seconds(analyse), second_kind=found[1].kind)


def published(check: Check) -> None:
    for subject in ("avatars",) if check.tiny else ("avatars", "random"):
        with check.caught(subject):
            bench = jacobian.Bench(jacobian.Task("published", subject, "w", str(check.device), quick=True))
            (line,) = jacobian.published(bench)
            check.note(subject, rows=line.passes // 2, published_s=line.seconds, how=line.how)
            if check.tiny:
                continue
            analyse = partial(resefa.compute_jacobian, bench.generator, bench.latent, "w", kind="dense")
            ours = check.steady(analyse, most=5)
            check.note(subject, ours_s=ours, times_as_fast=line.seconds / ours)


def precision(check: Check) -> None:
    kinds = ((torch.float32, False), (torch.float32, True), (torch.bfloat16, False), (torch.bfloat16, True))
    for name in SMALL[:1] if check.tiny else ("avatars", *LARGE[:3]):
        with check.caught(name):
            usual: float | None = None
            wanted: Tensor | None = None
            for dtype, last in kinds:
                generator = make(name, check.device).to(dtype)
                if last:
                    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                pushed, seconds = _tangents(check, generator, 2 if check.tiny else 16, last)
                usual = usual or seconds
                wanted = pushed if wanted is None else wanted
                title = f"{str(dtype).removeprefix('torch.')}{', channels last' if last else ''}"
                errors = (pushed - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
                figures = {
                    "ms": 1e3 * seconds,
                    "times as fast": usual / seconds,
                    "error": float(errors.max()),
                }
                check.note(f"{name}, {title}", **figures)
                del generator
                check.release()


def _tangents(check: Check, generator: resefa.Generator, count: int, last: bool) -> tuple[Tensor, float]:
    """Images of random tangents of all layers, float32, and the seconds that one takes."""
    noise = torch.Generator().manual_seed(0)
    with analysis_mode():
        latent = sample(generator)
        linearization = generator.linearize(generator.styles(latent), generator.condition(latent))
        tangents = {
            layer: torch.randn(count, size, generator=noise).to(check.device, generator.dtype)
            for layer, size in enumerate(generator.layer_sizes)
        }
        seconds = check.steady(lambda: linearization.push(tangents)) / count
        return linearization.push(tangents).float(), seconds


def tests(check: Check) -> None:
    """The tests that run on any device; on the simulated one instead of the CPU, but for a rehearsal."""
    file = str(ROOT / "tests" / "device" / "main_paths.py")
    options = ["-k", "refused or images"] if check.tiny else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", file, *options]
    device = "sim" if check.device.type == "cpu" else str(check.device)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RESEFA_TEST_DEVICE": device}
    output = check.file.with_name("tests.txt")
    with output.open("w", encoding="utf-8") as file_of_output:
        done = subprocess.run(
            command,
            stdout=file_of_output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=ROOT,
            timeout=check.left,
        )
    lines = output.read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            check.note(line.split(" - ")[0], value=line.split(" - ")[-1])
    check.note("all", value=lines[-1] if lines else "nothing was said")
    if done.returncode not in (0, 5):
        raise RuntimeError(f"pytest ended with {done.returncode}: see {output.name}")


def memory(check: Check) -> None:
    generator = make("stylegan2 tiny" if check.tiny else "stylegan2 256", check.device)
    latent, card = sample(generator), check.device.type == "cuda"
    generator.synthesize(latent)
    many = generator.sample(list(range(2 if check.tiny else 512)), 0.7)

    def dense() -> resefa.Jacobian:
        return resefa.compute_jacobian(generator, latent, "w", kind="dense")

    def auto() -> resefa.Jacobian:
        return resefa.compute_jacobian(generator, latent, "w+")

    def region() -> object:
        return resefa.factorize(dense(), BOX)

    tasks: dict[str, Callable[[], object]] = {
        "W, dense": dense,
        "W+, auto": auto,
        "a region": region,
        "512 images": lambda: generator.synthesize(many),
    }
    for gigabytes in (4.0, 1.5):
        for name, task in tasks.items():
            row = f"{name}, {gigabytes:g} GB"
            if card:
                check.release()
                before = torch.cuda.memory_allocated(check.device)
                total = torch.cuda.get_device_properties(check.device).total_memory
                allowed = (torch.cuda.memory_reserved(check.device) + gigabytes * 1e9) / total
                torch.cuda.set_per_process_memory_fraction(min(1.0, allowed), check.device)
            with check.caught(row):
                started, made = time.perf_counter(), task()
                kind = getattr(made, "kind", "")
                del made
                check.synchronize()
                check.note(row, seconds=time.perf_counter() - started, kind=kind)
            if card:
                check.note(row, kept_MB=(torch.cuda.memory_allocated(check.device) - before) / 1e6)


def threads(check: Check) -> None:
    generator = make("stylegan2 tiny" if check.tiny else "avatars", check.device)
    latents = [sample(generator, seed) for seed in (SEED, SEED + 1)]
    found: dict[tuple[str, int], Tensor] = {}

    def analyse(key: str, index: int) -> None:
        for _ in range(1 if check.tiny else 5):
            jacobian = resefa.compute_jacobian(generator, latents[index], "w+", kind="dense")
            found[key, index] = resefa.factorize(jacobian, BOX).vectors

    switches = _tf32()
    analyse("warm", 0)
    workers = [threading.Thread(target=analyse, args=("together", index)) for index in range(2)]

    def in_turn() -> None:
        for index in range(2):
            analyse("alone", index)

    def both() -> None:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    alone, together = check.seconds(in_turn), check.seconds(both)
    check.note("seconds", value=together, one_after_the_other=alone)
    for index in range(2):
        key = "together", index
        difference = (
            float((found[key] - found["alone", index]).abs().max()) if key in found else "nothing came"
        )
        check.note(f"analysis {index + 1}", largest_difference=difference)
    check.note("TF32 switches", before=switches, after=_tf32())


def _tf32() -> str:
    """PyTorch's switches, however this version spells them."""
    conv: Any = getattr(torch.backends.cudnn, "conv", None)
    if hasattr(conv, "fp32_precision"):
        return f"{torch.backends.cuda.matmul.fp32_precision}, {conv.fp32_precision}"
    return f"{torch.backends.cuda.matmul.allow_tf32}, {torch.backends.cudnn.allow_tf32}"


def rates(check: Check) -> None:
    sizes = ((32, 256),) if check.tiny else ((1280, 12_288), (9216, 65_536))
    for size, rows in sizes:
        with check.caught(f"JᵀJ, {size} x {rows}"):
            _gram_rates(check, torch.randn(size, rows, device=check.device))
    size = 32 if check.tiny else 1280
    gram = torch.randn(size, 2 * size, dtype=torch.float64)
    gram = gram @ gram.T
    tall = torch.randn(16 if check.tiny else 64, 256 if check.tiny else 9216, dtype=torch.float64)
    for device in dict.fromkeys((check.device, torch.device("cpu"))):
        for dtype in (torch.float32, torch.float64):
            square, rectangle = (each.to(device, dtype) for each in (gram, tall))
            where = f"{device.type}, {str(dtype).removeprefix('torch.')}"
            solvers: dict[str, Callable[[], object]] = {
                "eigh": partial(torch.linalg.eigh, square),
                "Cholesky": partial(torch.linalg.cholesky, square),
                "SVD": partial(torch.linalg.svd, rectangle, full_matrices=False),
                "QR": partial(torch.linalg.qr, rectangle.T),
            }
            for name, solve in solvers.items():
                shape = rectangle.shape if name in ("SVD", "QR") else square.shape
                row = f"{name} of {shape[0]} x {shape[1]}, {where}"
                with check.caught(row):
                    check.note(row, ms=1e3 * check.steady(solve, most=5))


def _gram_rates(check: Check, matrix: Tensor) -> None:
    products: dict[str, Callable[[], Tensor]] = {
        "float32": lambda: matrix @ matrix.T,
        "float32, float64 sums": lambda: _summed(matrix),
        "float64": lambda: matrix.double() @ matrix.double().T,
    }
    wanted, (size, rows) = products["float64"](), matrix.shape
    for kind, product in products.items():
        seconds, error = check.steady(product, most=3), relative(product(), wanted)
        figures = {"ms": 1e3 * seconds, "TFLOP/s": 2 * size**2 * rows / seconds / 1e12, "error": error}
        check.note(f"JᵀJ, {size} x {rows}, {kind}", **figures)


def _summed(matrix: Tensor, width: int = 2048) -> Tensor:
    """`matrix matrixᵀ` by float32 products of some columns each, added in float64."""
    total = torch.zeros(len(matrix), len(matrix), dtype=torch.float64, device=matrix.device)
    for part in matrix.split(width, dim=1):
        total += part @ part.T
    return total


STAGES: dict[str, tuple[Callable[[Check], None], float]] = {
    "machine": (machine, 25),
    "accuracy": (accuracy, 45),
    "costs": (costs, 200),
    "published": (published, 60),
    "precision": (precision, 50),
    "tests": (tests, 60),
    "memory": (memory, 45),
    "threads": (threads, 25),
    "rates": (rates, 40),
}
"""In order of worth, each with its share of the time."""


def work(name: str, device: str, tiny: bool, seconds: float, folder: Path) -> None:
    """Run a stage in this process."""
    started = time.monotonic()
    check = Check(name, tiny, started + seconds, folder)
    try:
        check.device = torch.device(device)
        if check.device == torch.device("cuda"):
            check.device = torch.device("cuda", torch.cuda.current_device())
        STAGES[name][0](check)
    except BaseException:
        check.keep(error=traceback.format_exc()[-2000:], seconds=time.monotonic() - started)
        raise
    check.keep(seconds=time.monotonic() - started)


def run(names: list[str], device: str, minutes: float, tiny: bool, folder: Path) -> dict[str, Any]:
    """Run stages one after the other, each in a process of its own; what they found, by name."""
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    ends = time.monotonic() + 60.0 * minutes
    results: dict[str, Any] = {}
    for index, name in enumerate(names):
        shares = [STAGES[each][1] for each in names[index:]]
        limit = (ends - time.monotonic()) * shares[0] / sum(shares) - GRACE_SECONDS
        started = time.monotonic()
        process = context.Process(target=work, args=(name, device, tiny, limit, folder))
        process.start()
        process.join(max(limit, 1.0) + GRACE_SECONDS)
        late = process.is_alive()
        if late:
            process.kill()
            process.join()
        file = folder / f"{name}.json"
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"rows": {}}
        if late:
            found["error"] = f"stopped after {time.monotonic() - started:.0f} s"
        elif process.exitcode:
            found.setdefault("error", f"its process ended with {process.exitcode}")
        results[name] = found
        (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        (folder / "results.md").write_text(report(results), encoding="utf-8")
        print(f"{name}: {time.monotonic() - started:.0f} s {found.get('error', '')[-300:]}", flush=True)
    return results


def report(results: dict[str, Any]) -> str:
    """All figures as Markdown, a table for each stage."""
    parts = []
    for name, found in results.items():
        parts.append(f"## {name}\n")
        rows: dict[str, dict[str, Any]] = found["rows"]
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        if columns:
            parts.append(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
            for title, row in rows.items():
                cells = [_cell(row.get(column, "")) for column in columns]
                parts.append(f"| {title} | {' | '.join(cells)} |")
        if "error" in found:
            parts.append(f"\nFailed:\n\n```\n{found['error'].strip()}\n```")
        parts.append("")
    return "\n".join(parts) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value).replace("|", "/").replace("\n", " ")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("output", type=Path, help="a folder; made if it is not there")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all stages together (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--tiny", action="store_true", help="small generators: a rehearsal")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    results = run(options.only, options.device, options.minutes, options.tiny, options.output)
    failed = [name for name, found in results.items() if "error" in found]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
