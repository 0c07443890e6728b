"""How local are the edits of each method, and do its directions hold on other faces?

    python benchmarks/locality.py [--seeds 50] [--regions mouth eyes] [--generator FILE]
                                  [--output-dir DIR] [--quick]

Edits are compared at equal change. Along a direction from a latent (truncation 0.7), for either sign,
the distance is sought at which the mean squared change inside the region is 0.02 (all channels, image
clamped to [-1, 1]); the measure is then inside / outside, the mean squared change inside the region over
that outside. An edit that does not get there within 64 steps (a step: 0.1 root mean square, to first
order) is counted as unreachable and enters no median.

Locality: for every seed and region, the top four directions of

* the published code (zhujiapeng/resefa): W, all layers, at the untruncated code; hard mask, each Gram
  matrix divided by its rows, no regularization, `eig(inv(B) @ A)` in float32; applied to layers 4-7, its
  default, and to all layers; with the channels kept (its form up to 256 pixels) and summed (above);
* the paper: W, at the latent that is edited, B regularized with 1e-3 of its trace;
* the same in W+ and in S (style channels), each also with the edit confined to the region.

Transfer: the top direction found on one face, and jointly on six, applied to other faces.

The output folder receives `locality.md`, `locality.json`, `locality.png` and `transfer.png`. A run that was
stopped goes on where it was: the JSON is rewritten, atomically, after every seed.

Where other programs keep the cores busy set `OMP_NUM_THREADS=1`: batches are small, and threads that wait
for each other then cost several times what they save.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import resefa_core as resefa
from resefa_core.jacobian import ANALYSIS_SIDE, DenseJacobian
from resefa_core.latents import ConfinedMove

TRUNCATION = 0.7
TARGET = 0.02
TOLERANCE = 0.005
STEP_CHANGE = 0.1
MAX_STEPS = 64.0
PROBE = 0.1
MAX_EVALUATIONS = 40
BATCH = 32

NUM_DIRECTIONS = 4
REGULARIZATION = 1e-3
PUBLISHED_LAYERS = (4, 5, 6, 7)
DENSE_BYTES = 1 << 30

JOINT_SIZE = 6
SINGLES_PER_SET = 2
FIRST_SOURCE = 1000

SHEET_SEEDS = 2
SHEET_FACES = 8
CELL = 160
GAIN = 6.0
OUTLINE = (0, 220, 255)

Pixels = NDArray[np.uint8]
Record = dict[str, list[Any]]
Study = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """A row of the tables: which directions, and whether the edit is confined to the region."""

    name: str
    found: str
    confine: float = 0.0


METHODS = (
    Method("published, layers 4-7", "published 4-7"),
    Method("published, all layers", "published"),
    Method("published, large images, layers 4-7", "large 4-7"),
    Method("published, large images, all layers", "large"),
    Method("paper, W", "w"),
    Method("W+", "w+"),
    Method("W+ confined", "w+", 1.0),
    Method("S", "s"),
    Method("S confined", "s", 1.0),
)


@dataclass(frozen=True)
class Plan:
    """How much is measured: seeds of the locality study, sets of six sources and target faces of the
    transfer study. Targets are the locality study's first seeds, so that the direction found on each
    face itself is there to compare with."""

    seeds: int
    sets: int
    targets: int


def methods_for(generator: resefa.Generator) -> list[Method]:
    """The methods that a generator allows."""
    return [
        method
        for method in METHODS
        if (method.found != "s" or "s" in generator.spaces) and (not method.confine or generator.can_confine)
    ]


# Directions


def published_vectors(matrix: Tensor, hard: Tensor, sum_channels: bool) -> Tensor:
    """What the published code computes from a Jacobian in W.

    Args:
        matrix: `(d, 3, h, w)`.
        hard: the region, boolean, `(h, w)`.
        sum_channels: as it does for images above 256 pixels, where changes of hue cancel.

    Returns:
        Unit vectors `(d, d)`, by descending real part of their eigenvalues.
    """
    if sum_channels:
        matrix = matrix.sum(dim=1, keepdim=True)
    fore = matrix[:, :, hard].flatten(1).numpy()
    back = matrix[:, :, ~hard].flatten(1).numpy()
    a = fore @ fore.T / np.float32(fore.shape[1])
    b = back @ back.T / np.float32(back.shape[1])
    values, vectors = np.linalg.eig(np.linalg.inv(b) @ a)
    chosen = np.real(vectors).T[np.argsort(-np.real(values))]
    return torch.from_numpy(chosen / np.linalg.norm(chosen, axis=1, keepdims=True))


def published_directions(
    generator: resefa.Generator, seed: int, regions: dict[str, resefa.Region]
) -> dict[str, dict[str, resefa.Directions]]:
    """The published code's directions for a seed, by form and region; found without truncation."""
    latent = generator.sample(seed, truncation=1.0)
    jacobian = resefa.compute_jacobian(generator, latent, space="w", method="dense")
    assert isinstance(jacobian, DenseJacobian)
    matrix = jacobian.matrix.cpu()
    every = tuple(range(generator.num_layers))
    default = tuple(layer for layer in PUBLISHED_LAYERS if layer in every)
    found: dict[str, dict[str, resefa.Directions]] = {}
    for form in ("published", "large"):
        for name, region in regions.items():
            hard = region.mask(jacobian.height, jacobian.width) > 0.5
            vectors = published_vectors(matrix, hard, form == "large")[:NUM_DIRECTIONS]
            for key, layers in ((form, every), (f"{form} 4-7", default)):
                found.setdefault(key, {})[name] = as_directions(generator, vectors, layers, region)
    return found


def as_directions(
    generator: resefa.Generator, vectors: Tensor, layers: tuple[int, ...], region: resefa.Region
) -> resefa.Directions:
    """Vectors of W `(k, D)` as directions with steps of 1."""
    blank = torch.zeros(len(vectors))
    return resefa.Directions(
        vectors=vectors,
        eigenvalues=blank,
        inside=blank,
        outside=blank,
        steps=blank + 1.0,
        space="w",
        layers=layers,
        region=region,
        generator=generator.describe(),
    )


def analyse(generator: resefa.Generator, latent: resefa.Latent, space: str) -> resefa.Jacobian:
    """The Jacobian in a space, dense where it has at most a gibibyte: never chosen by a stopwatch, so
    that two runs agree."""
    dense = dense_bytes(generator, space) <= DENSE_BYTES
    return resefa.compute_jacobian(generator, latent, space=space, method="dense" if dense else "matrix-free")


def dense_bytes(generator: resefa.Generator, space: str) -> int:
    sizes = {
        "w": generator.latent_dim,
        "w+": generator.num_layers * generator.latent_dim,
        "s": sum(generator.layer_sizes),
    }
    return 4 * sizes[space] * 3 * min(generator.resolution, ANALYSIS_SIDE) ** 2


def analyses(generator: resefa.Generator, latent: resefa.Latent) -> Iterator[resefa.Jacobian]:
    """The Jacobians in S, W+ and W of one latent, one after the other.

    Where S fits, only S is differentiated: a style is an affine function of its layer's code, so that
    W+ follows by one matrix product for each layer, and W by summing the layers.
    """
    if "s" not in generator.spaces or dense_bytes(generator, "s") > DENSE_BYTES:
        for space in ("s", "w+", "w"):
            if space in generator.spaces:
                yield analyse(generator, latent, space)
        return
    styles = analyse(generator, latent, "s")
    yield styles
    assert isinstance(styles, DenseJacobian)
    parts = styles.matrix.split(list(generator.layer_sizes))
    layered = torch.stack([through_style(generator, layer, part) for layer, part in enumerate(parts)])
    yield chained(styles, "w+", layered.flatten(0, 1), tuple(layered.shape[:2]))
    yield chained(styles, "w", layered.sum(dim=0), (generator.latent_dim,))


def through_style(generator: resefa.Generator, layer: int, part: Tensor) -> Tensor:
    """A layer's Jacobian in its style channels `(S, 3, h, w)` to that in its code `(D, 3, h, w)`."""
    matrix = generator.style_matrix(layer)
    return part if matrix is None else torch.tensordot(matrix.T.to(part), part, dims=1)


def chained(like: DenseJacobian, space: str, matrix: Tensor, shape: tuple[int, ...]) -> DenseJacobian:
    return DenseJacobian(
        matrix,
        space=space,
        layers=like.layers,
        shape=shape,
        latent=like.latent,
        described=like.described,
        image_size=(like.height, like.width),
    )


def all_directions(
    generator: resefa.Generator, seed: int, regions: dict[str, resefa.Region]
) -> dict[str, dict[str, resefa.Directions]]:
    """Every method's directions for a seed, by `Method.found` and region."""
    found = published_directions(generator, seed, regions)
    for jacobian in analyses(generator, generator.sample(seed, truncation=TRUNCATION)):
        found[jacobian.space] = {
            name: resefa.factorize(jacobian, region, NUM_DIRECTIONS, REGULARIZATION)
            for name, region in regions.items()
        }
    return found


# Equal change


@dataclass(frozen=True)
class Edits:
    """n edits, each of its own latent along its own direction.

    Attributes:
        latent: a batch of n, where the edits start.
        codes, styles: what a distance of 1 adds to the codes `(n, L, D)` or style channels `(n, S)`.
        confined_to: the region that the edits act in; everywhere for None.
    """

    latent: resefa.Latent
    codes: Tensor | None
    styles: Tensor | None
    confined_to: resefa.Region | None = None

    def __len__(self) -> int:
        return len(self.latent)

    def at(self, distances: Tensor, rows: Tensor) -> resefa.Latent:
        """The latents of some edits, moved by a distance each."""
        latent = self.latent.map_tensors(lambda tensor: tensor[rows], seed=None)
        codes = None if self.codes is None else distances[:, None, None] * self.codes[rows]
        styles = None if self.styles is None else distances[:, None] * self.styles[rows]
        if self.confined_to is not None:
            move = ConfinedMove(self.confined_to, 1.0, codes, styles)
            return replace(latent, confined=(move,))
        return replace(
            latent, codes=latent.codes if codes is None else latent.codes + codes, style_offset=styles
        )


def edits_of(latent: resefa.Latent, directions: resefa.Directions, confine: float = 0.0) -> Edits:
    """Edits of every latent of a batch along every direction, backwards and forwards, in the order
    latent, direction, sign."""
    ones = torch.ones(len(directions))
    directions = replace(directions, steps=ones, steps_confined=ones)
    codes, styles = [], []
    for index in range(len(directions)):
        moved = resefa.move(latent, directions, {index: 1.0}, confine)
        if confine:
            offsets = moved.confined[-1].codes, moved.confined[-1].styles
        elif moved.style_offset is None:
            offsets = moved.codes - latent.codes, None
        else:
            offsets = None, moved.style_offset
        for sign in (-1.0, 1.0):
            codes.append(None if offsets[0] is None else sign * offsets[0])
            styles.append(None if offsets[1] is None else sign * offsets[1])
    count = 2 * len(directions)
    rows = torch.arange(len(latent)).repeat_interleave(count)
    repeated = latent.map_tensors(lambda tensor: tensor[rows], seed=None)
    return Edits(repeated, interleaved(codes), interleaved(styles), directions.region if confine else None)


def interleaved(offsets: Sequence[Tensor | None]) -> Tensor | None:
    tensors = [tensor for tensor in offsets if tensor is not None]
    return torch.stack(tensors, dim=1).flatten(0, 1) if tensors else None


def synthesize(generator: resefa.Generator, latent: resefa.Latent) -> Tensor:
    """Images as they are shown, clamped to [-1, 1]."""
    return generator.synthesize(latent).clamp(-1.0, 1.0).cpu()


class Changes:
    """Mean squared changes inside and outside a region, of edits at distances."""

    def __init__(self, generator: resefa.Generator, edits: Edits, region: resefa.Region) -> None:
        self.generator = generator
        self.edits = edits
        self.before = self.images(torch.zeros(len(edits)), torch.arange(len(edits)))
        self.mask = region.mask(*self.before.shape[2:])

    def images(self, distances: Tensor, rows: Tensor) -> Tensor:
        parts = zip(distances.split(BATCH), rows.split(BATCH), strict=True)
        return torch.cat([synthesize(self.generator, self.edits.at(d, r)) for d, r in parts])

    def __call__(self, distances: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        squares = (self.images(distances, rows) - self.before[rows]).square().mean(dim=1).double()
        inside = (squares * self.mask).sum(dim=(1, 2)) / self.mask.sum()
        outside = (squares * (1.0 - self.mask)).sum(dim=(1, 2)) / (1.0 - self.mask).sum()
        return inside, outside


class Bracket:
    """One edit's search for the distance at which its change inside is `TARGET`.

    From first order's guess it grows or shrinks until the target lies between two distances, then
    interpolates between the logarithms of distance and change, which near small changes lie on a line.
    """

    def __init__(self, probed: float) -> None:
        step = PROBE * STEP_CHANGE / math.sqrt(max(probed, 1e-16))
        self.limit = MAX_STEPS * step
        self.distance = step * math.sqrt(TARGET) / STEP_CHANGE
        self.low: tuple[float, float] | None = None
        self.high: tuple[float, float] | None = None
        self.most = probed
        self.same_side = 0
        self.found: tuple[float, float, float] | None = None
        self.finished = False

    def update(self, inside: float, outside: float) -> None:
        """Take the changes at `distance`, and choose the next distance or finish."""
        self.most = max(self.most, inside)
        if abs(inside / TARGET - 1.0) <= TOLERANCE:
            self.found, self.finished = (self.distance, inside, outside), True
            return
        point = math.log(self.distance), math.log(max(inside, 1e-30) / TARGET)
        below = inside < TARGET
        self.same_side = max(self.same_side + 1, 1) if below else min(self.same_side - 1, -1)
        if below:
            self.low = point
        else:
            self.high = point
        if self.high is None and self.distance >= self.limit:
            self.finished = True
            return
        self.distance = self._next(point)

    def _next(self, point: tuple[float, float]) -> float:
        if self.high is None:
            growth = 1.02 * math.exp(-0.5 * point[1])
            return min(self.distance * clip(growth, 1.1, 2.0), self.limit)
        if self.low is None:
            return self.distance * clip(0.98 * math.exp(-0.5 * point[1]), 0.25, 0.9)
        (low, below), (high, above) = self.low, self.high
        share = 0.5 if abs(self.same_side) > 2 else clip(below / (below - above), 0.05, 0.95)
        return math.exp(low + share * (high - low))


def clip(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


def equal_change(generator: resefa.Generator, edits: Edits, region: resefa.Region) -> Record:
    """Each edit's distance at equal change and its changes there.

    Returns:
        Lists over the edits: `distance` (None where the target is unreachable), `inside`, `outside`
        (None there), and `most`, the largest change inside that was seen.
    """
    changes = Changes(generator, edits, region)
    every = torch.arange(len(edits))
    probed, _ = changes(torch.full((len(edits),), PROBE), every)
    brackets = [Bracket(float(change)) for change in probed]
    for _ in range(MAX_EVALUATIONS):
        rows = [row for row, bracket in enumerate(brackets) if not bracket.finished]
        if not rows:
            break
        distances = torch.tensor([brackets[row].distance for row in rows])
        for row, inside, outside in zip(rows, *changes(distances, torch.tensor(rows)), strict=True):
            brackets[row].update(float(inside), float(outside))
    found = [bracket.found or (None, None, None) for bracket in brackets]
    record: Record = {
        key: [None if each[i] is None else significant(each[i]) for each in found]
        for i, key in enumerate(("distance", "inside", "outside"))
    }
    record["most"] = [significant(bracket.most) for bracket in brackets]
    return record


def significant(value: float | None) -> float:
    return float(f"{value:.6g}")


def edited_pictures(generator: resefa.Generator, edits: Edits, record: Record, rows: Sequence[int]) -> Pixels:
    """Some edits' images at equal change, `(n, H, W, 3)`; unmoved where it is unreachable."""
    distances = torch.tensor([record["distance"][row] or 0.0 for row in rows])
    return pictures(synthesize(generator, edits.at(distances, torch.tensor(list(rows)))))


def pictures(images: Tensor) -> Pixels:
    array: Pixels = ((images + 1.0) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return array


# The two studies


def study_locality(
    generator: resefa.Generator, regions: dict[str, resefa.Region], plan: Plan, study: Study, folder: Path
) -> None:
    """Measure the seeds that are missing from `study["locality"]`, writing after each."""
    done = study["locality"]
    methods = methods_for(generator)
    todo = [
        seed
        for seed in range(plan.seeds)
        if str(seed) not in done
        or (seed < SHEET_SEEDS and not picture_file(folder, f"locality_{seed}").exists())
    ]
    with tqdm(total=plan.seeds, initial=plan.seeds - len(todo), desc="locality", unit="seed") as bar:
        for seed in todo:
            bar.set_postfix_str("analysing")
            found = all_directions(generator, seed, regions)
            latent = generator.sample(seed, truncation=TRUNCATION)
            shown = {"before": pictures(synthesize(generator, latent))}
            results: dict[str, dict[str, Record]] = {}
            for method in methods:
                bar.set_postfix_str(method.name)
                for name, region in regions.items():
                    edits = edits_of(latent, found[method.found][name], method.confine)
                    record = equal_change(generator, edits, region)
                    results.setdefault(method.name, {})[name] = record
                    if seed < SHEET_SEEDS:
                        shown[f"{method.name}|{name}"] = edited_pictures(generator, edits, record, (0, 1))
            if seed < SHEET_SEEDS:
                save_pictures(folder, f"locality_{seed}", shown)
            done[str(seed)] = results
            save(folder, study)
            bar.update()


def study_transfer(
    generator: resefa.Generator, regions: dict[str, resefa.Region], plan: Plan, study: Study, folder: Path
) -> None:
    """Apply directions found on single faces and jointly on six to the target faces; both signs."""
    targets = generator.sample(range(plan.targets), truncation=TRUNCATION)
    todo = [
        (index, space)
        for index in range(plan.sets)
        for space in ("w", "w+")
        if f"{index}/{space}" not in study["transfer"]
        or (index == 0 and not picture_file(folder, transfer_name(space)).exists())
    ]
    total = 2 * plan.sets
    with tqdm(total=total, initial=total - len(todo), desc="transfer", unit="set") as bar:
        for index, space in todo:
            sources = [FIRST_SOURCE + JOINT_SIZE * index + i for i in range(JOINT_SIZE)]
            bar.set_postfix_str(f"{space}: analysing {JOINT_SIZE} faces")
            jacobians = [
                analyse(generator, generator.sample(s, truncation=TRUNCATION), space) for s in sources
            ]
            bar.set_postfix_str(f"{space}: measuring")
            results: list[dict[str, Any]] = []
            shown = {"before": pictures(synthesize(generator, targets[:SHEET_FACES]))}
            singles = [[each] for each in jacobians[:SINGLES_PER_SET]]
            for group in (*singles, jacobians):
                for name, region in regions.items():
                    directions = resefa.factorize(group, region, 1, REGULARIZATION)
                    edits = edits_of(targets, directions)
                    record = equal_change(generator, edits, region)
                    kind = "single" if len(group) == 1 else "joint"
                    results.append({"region": name, "kind": kind, "seeds": directions.seeds, **record})
                    forwards = range(1, 2 * len(shown["before"]), 2)
                    shown.setdefault(
                        f"{space}|{kind}|{name}", edited_pictures(generator, edits, record, forwards)
                    )
            if index == 0:
                save_pictures(folder, transfer_name(space), shown)
            study["transfer"][f"{index}/{space}"] = results
            save(folder, study)
            bar.update()


def transfer_name(space: str) -> str:
    return f"transfer_{space.replace('+', 'plus')}"


def picture_file(folder: Path, name: str) -> Path:
    """Where the sheets' pictures wait until all is measured."""
    return folder / "pictures" / f"{name}.npz"


def save_pictures(folder: Path, name: str, shown: dict[str, Any]) -> None:
    file = picture_file(folder, name)
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_suffix(".part.npz")
    np.savez_compressed(temporary, **shown)
    temporary.replace(file)


def load_pictures(folder: Path, name: str) -> dict[str, Pixels]:
    with np.load(picture_file(folder, name)) as archive:
        return dict(archive)


def save(folder: Path, study: Study) -> None:
    """Write the study so that a crash leaves the old file or the new one, whole."""
    write_atomically(folder / "locality.json", json.dumps(study, separators=(",", ":")) + "\n")


def write_atomically(file: Path, text: str) -> None:
    temporary = file.with_suffix(file.suffix + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def open_study(folder: Path, setup: dict[str, Any]) -> Study:
    """The study so far, or a new one; a folder with another setup is refused."""
    file = folder / "locality.json"
    if not file.exists():
        return {"setup": setup, "locality": {}, "transfer": {}}
    study: Study = json.loads(file.read_text(encoding="utf-8"))
    known, wanted = study["setup"], json.loads(json.dumps(setup))
    other = [key for key in wanted if known.get(key) != wanted[key]]
    if other:
        raise SystemExit(f"{file} holds a study with another {', '.join(other)}: give another --output-dir")
    return study


# Tables


def ratios(records: Iterable[Record], rows: slice) -> list[float | None]:
    """Inside / outside of some of each record's edits, None where unreachable."""
    values: list[float | None] = []
    for record in records:
        for inside, outside in zip(record["inside"][rows], record["outside"][rows], strict=True):
            values.append(None if inside is None else inside / max(outside, 1e-12))
    return values


def cells(values: list[float | None]) -> str:
    """Median, tenth percentile, share that is unreachable, number tried, as cells of a table."""
    reached = [value for value in values if value is not None]
    share = f"{100 * (1 - len(reached) / max(len(values), 1)):.1f}%"
    if not reached:
        return f"- | - | {share} | {len(values)}"
    median, tenth = np.percentile(reached, [50, 10])
    return f"{amount(median)} | {amount(tenth)} | {share} | {len(values)}"


def amount(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def table(first: str, rows: Iterable[tuple[str, str, list[float | None]]]) -> str:
    lines = [
        f"| region | {first} | median | tenth percentile | unreachable | edits |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [f"| {region} | {label} | {cells(values)} |" for region, label, values in rows]
    return "\n".join(lines)


def locality_table(study: Study, plan: Plan, num_directions: int) -> str:
    """Ratios pooled over seeds, signs and the first directions."""
    seeds = [study["locality"][str(seed)] for seed in range(plan.seeds)]
    rows = slice(0, 2 * num_directions)
    return table(
        "method",
        (
            (region, method, ratios((seed[method][region] for seed in seeds), rows))
            for region in study["setup"]["regions"]
            for method in seeds[0]
        ),
    )


def transfer_table(study: Study, plan: Plan) -> str:
    """Ratios pooled over sources, target faces and signs; in the first row of a space each face has its
    own direction."""
    lines = []
    for region in study["setup"]["regions"]:
        for space, own in (("w", "paper, W"), ("w+", "W+")):
            faces = [study["locality"].get(str(seed)) for seed in range(plan.targets)]
            records = [face[own][region] for face in faces if face is not None]
            lines.append((region, f"{space.upper()}, from the face itself", ratios(records, slice(0, 2))))
            for kind, label in (("single", "from one other face"), ("joint", f"from {JOINT_SIZE} others")):
                records = [
                    each
                    for index in range(plan.sets)
                    for each in study["transfer"][f"{index}/{space}"]
                    if each["region"] == region and each["kind"] == kind
                ]
                lines.append(
                    (region, f"{space.upper()}, {label} ({len(records)})", ratios(records, slice(None)))
                )
    return table("direction (number of them)", lines)


def report(study: Study, plan: Plan) -> str:
    setup = study["setup"]
    return f"""# Locality

Generator `{setup["name"]}` ({setup["fingerprint"][:12]}), {plan.seeds} seeds, truncation {TRUNCATION}.
Mean squared change inside the region over that outside, at the distance where the change inside is {TARGET};
over seeds and both signs. An edit is unreachable if it does not get there within {MAX_STEPS:.0f} steps;
it is counted and enters no median.

## Top direction

{locality_table(study, plan, 1)}

## Top {NUM_DIRECTIONS} directions, pooled

{locality_table(study, plan, NUM_DIRECTIONS)}

## Transfer: directions found on other faces

{plan.targets} target faces, both signs, top direction.

{transfer_table(study, plan)}
"""


# Sheets


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def enlarged(picture: Pixels, resample: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    return Image.fromarray(picture).resize((CELL, CELL), resample)


def difference(before: Pixels, after: Pixels, region: resefa.Region, text: str) -> Image.Image:
    """The absolute change, amplified, with the region's outline and a line of text."""
    change = np.abs(after.astype(np.int16) - before.astype(np.int16)).mean(axis=2)
    grey = np.clip(GAIN * change, 0, 255).astype(np.uint8)
    cell = enlarged(grey, Image.Resampling.NEAREST).convert("RGB")
    inside = region.mask(CELL, CELL).numpy() > 0.5
    core = inside.copy()
    for axis, shift in ((0, 2), (0, -2), (1, 2), (1, -2)):
        core &= np.roll(inside, shift, axis)
    pixels = np.array(cell)
    pixels[inside & ~core] = OUTLINE
    cell = Image.fromarray(pixels)
    draw = ImageDraw.Draw(cell)
    draw.text((5, 2), text, font=font(22), fill=(255, 220, 90), stroke_width=2, stroke_fill=(0, 0, 0))
    return cell


def unreachable() -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL), (90, 90, 90))
    draw = ImageDraw.Draw(cell)
    draw.text((CELL // 2, CELL // 2), "unreachable", font=font(20), fill=(255, 255, 255), anchor="mm")
    return cell


def after_cells(
    before: Pixels, after: Pixels, region: resefa.Region, record: Record, row: int
) -> tuple[Image.Image, Image.Image]:
    """An edit's picture and its difference map with inside / outside."""
    if record["distance"][row] is None:
        return unreachable(), unreachable()
    ratio = record["inside"][row] / max(record["outside"][row], 1e-12)
    return enlarged(after), difference(before, after, region, amount(ratio))


def sheet(
    title: str, headers: Sequence[str], rows: Sequence[tuple[str, Sequence[Image.Image]]]
) -> Image.Image:
    """Cells in rows, with a title above, a header over each column and a label left of each row."""
    gap, top, text = 6, 88, font(22)
    left = 24 + max(int(text.getlength(line)) for label, _ in rows for line in label.split("\n"))
    width = max(left + len(headers) * (CELL + gap) + gap, 24 + int(font(30).getlength(title)))
    page = Image.new("RGB", (width, top + len(rows) * (CELL + gap) + gap), "white")
    draw = ImageDraw.Draw(page)
    draw.text((12, 8), title, font=font(30), fill="black")
    for column, header in enumerate(headers):
        x = left + column * (CELL + gap) + CELL // 2
        draw.text((x, top - 6), header, font=text, fill="black", anchor="ms")
    for row, (label, pictures_of_row) in enumerate(rows):
        y = top + row * (CELL + gap)
        draw.multiline_text((12, y + CELL // 2), label, font=text, fill="black", anchor="lm")
        for column, cell in enumerate(pictures_of_row):
            page.paste(cell, (left + column * (CELL + gap), y))
    return page


def below(pages: Sequence[Image.Image]) -> Image.Image:
    """Pages one below the other."""
    whole = Image.new("RGB", (max(p.width for p in pages), sum(p.height for p in pages)), "white")
    y = 0
    for page in pages:
        whole.paste(page, (0, y))
        y += page.height
    return whole


def locality_sheet(study: Study, plan: Plan, regions: dict[str, resefa.Region], folder: Path) -> Image.Image:
    """For each region a block: a row per method, five columns per seed."""
    seeds = range(min(SHEET_SEEDS, plan.seeds))
    shown = {seed: load_pictures(folder, f"locality_{seed}") for seed in seeds}
    headers = [h for seed in seeds for h in (f"seed {seed}", "-", "+", "change -", "change +")]
    pages = []
    for name, region in regions.items():
        rows = []
        for method in study["locality"]["0"]:
            row: list[Image.Image] = []
            for seed in seeds:
                record = study["locality"][str(seed)][method][name]
                before = shown[seed]["before"][0]
                pair = [
                    after_cells(before, shown[seed][f"{method}|{name}"][i], region, record, i) for i in (0, 1)
                ]
                row += [enlarged(before), pair[0][0], pair[1][0], pair[0][1], pair[1][1]]
            rows.append((method.replace(", ", "\n"), row))
        title = f"{name}: top direction at equal change; changes x {GAIN:g}, with inside / outside"
        pages.append(sheet(title, headers, rows))
    return below(pages)


def transfer_sheet(study: Study, regions: dict[str, resefa.Region], folder: Path) -> Image.Image:
    """For each region a block: faces before, then each direction's edits and their changes."""
    pages = []
    for name, region in regions.items():
        rows: list[tuple[str, Sequence[Image.Image]]] = []
        for space in ("w+", "w"):
            shown = load_pictures(folder, transfer_name(space))
            before = shown["before"]
            if not rows:
                rows.append(("before", [enlarged(face) for face in before]))
            for kind, origin in (("single", "1 face"), ("joint", f"{JOINT_SIZE} faces")):
                record = next(
                    each
                    for each in study["transfer"][f"0/{space}"]
                    if each["region"] == name and each["kind"] == kind
                )
                after = shown[f"{space}|{kind}|{name}"]
                pairs = [
                    after_cells(before[i], after[i], region, record, 2 * i + 1) for i in range(len(before))
                ]
                rows.append((f"{space.upper()}\nfrom {origin}", [pair[0] for pair in pairs]))
                rows.append(("change", [pair[1] for pair in pairs]))
        headers = [f"seed {seed}" for seed in range(len(rows[0][1]))]
        title = f"{name}: a direction found on other faces, at equal change; changes x {GAIN:g}"
        pages.append(sheet(title, headers, rows))
    return below(pages)


# The program


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure how local edits are, by method, and whether directions transfer.",
    )
    parser.add_argument("--seeds", type=int, default=50, help="how many seeds, from 0 (default: 50)")
    parser.add_argument(
        "--regions", nargs="+", default=["mouth", "eyes"], help="presets, e.g. mouth or ffhq/mouth"
    )
    parser.add_argument("--generator", default="avatars", help="a bundled name or a file (default: avatars)")
    parser.add_argument("--output-dir", type=Path, default=None, help="default: benchmarks/results/locality")
    parser.add_argument("--quick", action="store_true", help="at most 4 seeds and a small transfer study")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    if arguments.output_dir is None:
        name = "locality-quick" if arguments.quick else "locality"
        arguments.output_dir = Path(__file__).resolve().parent / "results" / name
    return arguments


def main() -> None:
    arguments = parse_arguments()
    plan = Plan(seeds=arguments.seeds, sets=3, targets=20)
    if arguments.quick:
        plan = Plan(seeds=min(arguments.seeds, 4), sets=1, targets=4)
    try:
        generator = resefa.load_generator(arguments.generator)
        regions = {name: resefa.Region.preset(name) for name in dict.fromkeys(arguments.regions)}
        for region in regions.values():
            region.mask(generator.resolution, generator.resolution)
    except resefa.ReSeFaError as error:
        raise SystemExit(f"error: {error}") from error
    if not {"w", "w+"} <= set(generator.spaces):
        raise SystemExit(
            f"{arguments.generator}: W and W+ are compared; this generator has {generator.spaces}"
        )
    setup = {
        "name": generator.name,
        "fingerprint": generator.fingerprint,
        "regions": {name: region.to_json() for name, region in regions.items()},
        "truncation": TRUNCATION,
        "target": TARGET,
        "transfer": {"sets": plan.sets, "targets": plan.targets},
    }
    folder: Path = arguments.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    study = open_study(folder, setup)
    study_locality(generator, regions, plan, study, folder)
    study_transfer(generator, regions, plan, study, folder)
    text = report(study, plan)
    write_atomically(folder / "locality.md", text)
    locality_sheet(study, plan, regions, folder).save(folder / "locality.png")
    transfer_sheet(study, regions, folder).save(folder / "transfer.png")
    print(text)


if __name__ == "__main__":
    main()
