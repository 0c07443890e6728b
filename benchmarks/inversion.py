"""How close a search comes to a photo's image, and what edits of what it finds are worth.

    node training/draw_faces.mjs data/held-out 64 64 1000000
    python benchmarks/inversion.py inversion --drawings data/held-out/faces.npy

`--drawings` are faces `(N, H, W, 3)` of the tool that drew what the bundled generator was trained on, with
seeds that were not among those. Further: `--faces FILE.safetensors` is a generator of faces whose images
`--into FILE.safetensors`, or several, are to find.

The output folder has `results.jsonl`, a line after each image, and when it is run again goes on from there;
`results.md`, the tables; and sheets to be looked at. Stages, which `--only` chooses:

- `found`: drawings found in five ways on equal passes, all by the same distance of images. `here` is
  `resefa.invert`; `no prior` is the same without its prior; `adam` is Adam at a rate of 0.1, falling along a
  cosine, on what it moves. `projector` is NVIDIA's for StyleGAN2 (Karras et
  al., 2020, appendix D), from its description: Adam on one w from the mean, with noise of 0.05 standard
  deviations that ends after three quarters of the passes, the rate rising for 5 % of them and falling in the
  last quarter along a cosine; without LPIPS, which needs a network's weights that are not here, and without
  noise maps, which leave no latent. `w+, plain` is Adam at a rate of 0.01 on the codes of all layers from the
  mean (Abdal et al., 2019).
- `prior`: the same drawings for several weights of the prior, and edits of what was found along directions of
  six samples, at equal change.
- `edits`: mouth, eyes and hair of found drawings along their own directions at equal change, beside edits of
  what the generator draws; pasted back.
- `hair`: hair, which is large, along the box's own directions, and along those of the part that were solved
  over six samples; at the usual change, and at four times that.
- `tuned`: the generator tuned to found drawings; edits along directions of six samples before and after, and
  what 16 other images change.
- `others`: images of `--faces` found by `--into`, here and by the projector.
- `self`: each generator finds its own images: the trained ones, and one with random weights of each
  architecture, as the tests have them. Where layers' codes are drawn apart, the projector moves them all.
- `landmarks`: in how many of 40 faces of each trained generator dlib finds one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import resefa_core as resefa
from resefa_core.directions.effects import edge_energy, tint_share
from resefa_core.evaluation.attributes import REGION_ATTRIBUTES, AttributeClassifier, attribute_changes
from resefa_core.evaluation.equal_change import TARGET, edits_of, equal_change, images
from resefa_core.inversion.inverting import PRIOR, STEPS, draw
from resefa_core.inversion.losses import ImageDistance
from resefa_core.inversion.prior import CodePrior, squared_distance, squared_spread
from resefa_core.sheets import contact_sheet, save_png

PARTS = ("mouth", "eyes", "hair")
PRIORS = (0.0, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
CHECKED_AT = (25, 50, 100, 200)
STAGES = ("found", "prior", "edits", "hair", "tuned", "others", "self", "landmarks")
SAMPLE_SEEDS = tuple(range(700_000, 700_064))
ROOT = Path(__file__).resolve().parent.parent
JOINT = 6
FACES = 40
HAIR_CHANGES = (TARGET, 4 * TARGET)
TOGETHER = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--generator", default="avatars")
    parser.add_argument("--drawings", type=Path)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--into", type=Path, nargs="+", default=[])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--prior-count", type=int, default=16)
    parser.add_argument("--edit-count", type=int, default=24)
    parser.add_argument("--hair-count", type=int, default=8)
    parser.add_argument("--tuned-count", type=int, default=8)
    parser.add_argument("--self-count", type=int, default=8)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    results = Results(options.output)
    if options.drawings is not None:
        generator = resefa.load_generator(options.generator)
        photos = drawings(options.drawings, options.count)
        if "found" in options.only:
            found(results, generator, photos, options.steps)
        if "prior" in options.only:
            priors(results, generator, photos[: options.prior_count], options.steps)
        if "edits" in options.only:
            edits(results, generator, photos[: options.edit_count], options.steps)
        if "hair" in options.only:
            hair(results, generator, photos[: options.hair_count], options.steps)
        if "tuned" in options.only:
            tuned(results, generator, photos[: options.tuned_count], options.steps)
    if options.faces is not None and "others" in options.only:
        for into in options.into:
            others(results, options, into)
    if "self" in options.only:
        own(results, options)
    if "landmarks" in options.only:
        landmarks(results, options)
    results.write()


class Results:
    """Lines of a file, each with the key of what was measured; what is there is not measured again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "results.jsonl"
        lines = self.file.read_text("utf-8").splitlines() if self.file.exists() else []
        self.rows: dict[str, dict[str, Any]] = {}
        for line in lines:
            row = json.loads(line)
            self.rows[row["key"]] = row

    def todo(self, keys: Sequence[str]) -> Iterator[str]:
        """The keys that are not there yet."""
        return (key for key in keys if key not in self.rows)

    def add(self, key: str, **values: Any) -> None:
        row = {"key": key, **values}
        self.rows[key] = row
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        self.write()

    def of(self, stage: str, last: str | None = None) -> list[dict[str, Any]]:
        """The lines of a stage, in all or with the last part of a key."""
        keys = ((key.split("/"), row) for key, row in self.rows.items())
        return [row for key, row in keys if key[0] == stage and last in (None, key[-1])]

    def write(self) -> None:
        """The tables, as they are so far."""
        parts = [
            table
            for table in (
                _found_table(self),
                _prior_table(self),
                _edit_table(self),
                _hair_table(self),
                _tuned_table(self),
                _other_table(self),
                _own_table(self),
                _landmark_table(self),
            )
            if table
        ]
        (self.folder / "results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def drawings(file: Path, count: int) -> list[Tensor]:
    """The first faces of a file, `(3, H, W)` in [-1, 1]."""
    faces = np.load(file, mmap_mode="r", allow_pickle=False)[:count]
    return [torch.from_numpy(np.array(face)).permute(2, 0, 1) / 127.5 - 1.0 for face in faces]


# How close


class Passes:
    """The distances of a batch from its photos, and each one's error before each pass."""

    def __init__(self, distances: Sequence[ImageDistance], label: int | None = None) -> None:
        self.distances = distances
        self.label = label
        self.labels = None if label is None else torch.full((len(distances),), label)
        self.errors: list[list[float]] = [[] for _ in distances]

    def __len__(self) -> int:
        return len(self.distances)

    def __call__(self, drawn: Tensor) -> Tensor:
        total = []
        for index, distance in enumerate(self.distances):
            image = drawn[index : index + 1]
            self.errors[index].append(float(distance.error(image.detach())[0]))
            total.append(distance(image))
        return torch.cat(total)


def projector(generator: resefa.Generator, passes: Passes, count: int) -> Tensor:
    codes = generator.sample(list(range(10_000)), 1.0, passes.label).codes
    shared = bool((codes == codes[:, :1]).all())
    drawn = codes[:, :1] if shared else codes
    centre = drawn.mean(dim=0)
    scale = float((drawn - centre).square().sum(dim=2).mean().sqrt())
    w = centre.repeat(len(passes), 1, 1).requires_grad_()
    noise = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([w], lr=0.1, betas=(0.9, 0.999))
    for step in range(count):
        t = step / count
        strength = scale * 0.05 * max(0.0, 1.0 - t / 0.75) ** 2
        fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - t) / 0.25))
        optimizer.param_groups[0]["lr"] = 0.1 * fall * min(1.0, t / 0.05)
        moved = w + strength * torch.randn(w.shape[1:], generator=noise)
        loss = passes(draw(generator, moved.expand(-1, generator.num_layers, -1), passes.labels)).sum()
        (w.grad,) = torch.autograd.grad(loss, [w])
        optimizer.step()
    return w.detach().expand(-1, generator.num_layers, -1)


def plain_layers(generator: resefa.Generator, passes: Passes, count: int) -> Tensor:
    codes = generator.sample([0] * len(passes), 0.0, passes.label).codes.clone().requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=0.01)
    for _ in range(count):
        (codes.grad,) = torch.autograd.grad(passes(draw(generator, codes, passes.labels)).sum(), [codes])
        optimizer.step()
    return codes.detach()


def whitened_adam(generator: resefa.Generator, passes: Passes, count: int) -> Tensor:
    prior = CodePrior.of(generator)
    moved = torch.zeros(len(passes), 1, generator.latent_dim)
    for share, last in ((0.3, 0.03), (0.7, 0.0)):
        steps = round(share * count)
        moved = moved.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([moved], lr=0.1)
        for step in range(steps):
            fall = 0.5 + 0.5 * math.cos(math.pi * step / steps)
            optimizer.param_groups[0]["lr"] = last + (0.1 - last) * fall
            coordinates = moved.expand(-1, generator.num_layers, -1)
            loss = passes(draw(generator, prior.codes(coordinates), None))
            loss = loss + PRIOR * (squared_distance(coordinates) + squared_spread(coordinates))
            (moved.grad,) = torch.autograd.grad(loss.sum(), [moved])
            optimizer.step()
        moved = moved.expand(-1, generator.num_layers, -1)
    return prior.codes(moved.detach())


WAYS: dict[str, Callable[[resefa.Generator, Passes, int], Tensor]] = {
    "projector": projector,
    "w+, plain": plain_layers,
    "adam": whitened_adam,
}


def search(
    results: Results, generator: resefa.Generator, photos: list[Tensor], index: int, weight: float, steps: int
) -> resefa.Latent:
    """What `resefa.invert` finds of a photo; it is kept, so that no stage searches again."""
    key, file = f"search/{index}/{weight:g}", results.folder / f"{index:02d}-{weight:g}.safetensors"
    if key not in results.rows:
        inversion = resefa.invert(generator, photos[index], steps=steps, prior=weight)
        inversion.latent.save(file, overwrite=True)
        results.add(
            key,
            **_closeness(list(inversion.history), inversion.error),
            distance=inversion.distance,
            spread=inversion.spread,
        )
    return resefa.Latent.load(file)


def _closeness(errors: list[float], error: float) -> dict[str, Any]:
    errors = [*errors, error]
    return {
        "passes": len(errors) - 1,
        "errors": {str(at): min(errors[: at + 1]) for at in CHECKED_AT},
        "error": error,
    }


def found(results: Results, generator: resefa.Generator, photos: list[Tensor], steps: int) -> None:
    for start in range(0, len(photos), TOGETHER):
        chosen = range(start, min(start + TOGETHER, len(photos)))
        columns = [photos[start : start + TOGETHER]]
        for weight in (PRIOR, 0.0):
            latents = [search(results, generator, photos, index, weight, steps) for index in chosen]
            columns.append([generator.synthesize(latent)[0] for latent in latents])
        for way in WAYS:
            columns.append(_way(results, generator, photos, chosen, way, steps))
        sheet = contact_sheet(
            [list(row) for row in zip(*columns, strict=True)],
            column_labels=["photo", "here", "no prior", *WAYS],
            cell=96,
        )
        save_png(sheet, results.folder / f"found-{start:02d}.png", overwrite=True)


def _way(
    results: Results,
    generator: resefa.Generator,
    photos: list[Tensor],
    chosen: range,
    way: str,
    steps: int,
) -> list[Tensor]:
    """What another way finds of some photos, all at once."""
    file = results.folder / f"{chosen.start:02d}-{way.replace(' ', '-')}.safetensors"
    keys = [f"found/{index}/{way}" for index in chosen]
    if list(results.todo(keys)):
        given = [photos[index] for index in chosen]
        passes, codes = _searched(generator, given, None, WAYS[way], steps)
        resefa.Latent(codes).save(file, overwrite=True)
        drawn = generator.synthesize(resefa.Latent(codes))
        coordinates = CodePrior.of(generator).coordinates(codes)
        for row, key in enumerate(keys):
            results.add(
                key,
                way=way,
                **_closeness(passes.errors[row], _error(passes, row, drawn)),
                distance=math.sqrt(float(squared_distance(coordinates[row : row + 1]))),
                spread=math.sqrt(float(squared_spread(coordinates[row : row + 1]))),
            )
    return list(generator.synthesize(resefa.Latent.load(file)))


def _found_table(results: Results) -> str:
    own_ways = {"here": f"{PRIOR:g}", "no prior": "0"}
    searched = {way: results.of("search", weight) for way, weight in own_ways.items()}
    if not any(searched.values()):
        return ""
    lines = [
        "| way | images | "
        + " | ".join(f"{at} passes" for at in CHECKED_AT)
        + " | worst | distance | spread |",
        "|---|" + "---:|" * (len(CHECKED_AT) + 4),
    ]
    for way in ("here", "no prior", *WAYS):
        own = searched[way] if way in searched else results.of("found", way)
        if own:
            at = [f"{mean(row['errors'][str(n)] for row in own):.4f}" for n in CHECKED_AT]
            lines.append(
                f"| {way} | {len(own)} | {' | '.join(at)} | {max(row['error'] for row in own):.4f} | "
                f"{mean(row['distance'] for row in own):.2f} | {mean(row['spread'] for row in own):.2f} |"
            )
    return "\n".join(lines)


# Edits


def joint_directions(results: Results, generator: resefa.Generator) -> dict[str, resefa.Directions]:
    """The first two directions of each part, of six samples; they are kept in the output folder."""
    session = resefa.Session(generator, seed=SAMPLE_SEEDS[-1] + 1, cache=resefa.JacobianCache(1 << 30))
    for part in PARTS:
        file = results.folder / f"{part}.safetensors"
        if not file.exists():
            session.find(f"box:{part}", samples=JOINT, count=2).save(file)
    return {part: resefa.Directions.load(results.folder / f"{part}.safetensors") for part in PARTS}


def measured(
    generator: resefa.Generator,
    latent: resefa.Latent,
    directions: resefa.Directions,
    part: str,
    classifier: AttributeClassifier,
    region: resefa.Region | None = None,
    target: float = TARGET,
) -> tuple[dict[str, Any], Tensor]:
    """What edits of one image at equal change are like, and the image of the last that gets there."""
    region = region or resefa.Region.preset(part)
    moves = edits_of(latent, directions)
    change = equal_change(generator, moves, region, target)
    there = change.reached.nonzero()[:, 0]
    before = generator.synthesize(latent).clamp(-1, 1)
    if not len(there):
        return {"edits": len(moves), "reached": 0}, before[0]
    after = images(generator, moves, change.distance[there].float(), there)
    mask = region.mask(*generator.image_size)
    told = attribute_changes(classifier, before.expand_as(after), after, *REGION_ATTRIBUTES["avatars"][part])
    border = edge_energy(after, mask) / edge_energy(before, mask).clamp_min(1e-6)
    return {
        "edits": len(moves),
        "reached": len(there),
        "ratio": change.ratio[there].median().item(),
        "tint": tint_share(after - before, mask).median().item(),
        "border": border.median().item(),
        "meant": told.target_moved.nanmean().item(),
        "others": told.others_moved.nanmean().item(),
    }, after[-1]


def priors(results: Results, generator: resefa.Generator, photos: list[Tensor], steps: int) -> None:
    keys = [f"prior/{index}/{weight:g}" for index in range(len(photos)) for weight in PRIORS]
    keys += [f"prior/{index}/drawn" for index in range(len(photos))]
    if not list(results.todo(keys)):
        return
    classifier = AttributeClassifier.load()
    directions = joint_directions(results, generator)
    for key in results.todo(keys):
        _, index, weight = key.split("/")
        if weight == "drawn":
            latent, closeness = generator.sample(SAMPLE_SEEDS[int(index)], 1.0), {}
        else:
            latent = search(results, generator, photos, int(index), float(weight), steps)
            searched = results.rows[f"search/{index}/{weight}"]
            closeness = {name: searched[name] for name in ("error", "distance", "spread")}
        parts = {part: measured(generator, latent, directions[part], part, classifier)[0] for part in PARTS}
        results.add(key, weight=weight, parts=parts, **closeness)


def _prior_table(results: Results) -> str:
    rows = results.of("prior")
    if not rows:
        return ""
    lines = [
        "| prior | images | error | distance | spread | reached | ratio | tint | border | meant | others |",
        "|---|" + "---:|" * 10,
    ]
    for weight in (*(f"{each:g}" for each in PRIORS), "drawn"):
        own = [row for row in rows if row["weight"] == weight]
        if own:
            closeness = [
                f"{mean(row[name] for row in own):.{digits}f}" if name in own[0] else ""
                for name, digits in (("error", 4), ("distance", 2), ("spread", 2))
            ]
            lines.append(f"| {weight} | {len(own)} | {' | '.join(closeness)} | {_of_parts(own, PARTS)} |")
    return "\n".join(lines)


def _of_parts(rows: Sequence[dict[str, Any]], parts: Sequence[str]) -> str:
    measures = [row["parts"][part] for row in rows for part in parts if part in row["parts"]]
    reached = sum(each["reached"] for each in measures) / sum(each["edits"] for each in measures)
    got = [each for each in measures if each["reached"]]
    known = [
        f"{median(each[name] for each in got if math.isfinite(each[name])):.{digits}f}"
        for name, digits in (("ratio", 0), ("tint", 2), ("border", 2))
    ]
    known += [
        f"{mean(each[name] for each in got if math.isfinite(each[name])):.3f}" for name in ("meant", "others")
    ]
    return " | ".join([f"{reached:.0%}", *known])


def edits(results: Results, generator: resefa.Generator, photos: list[Tensor], steps: int) -> None:
    keys = [f"edits/{index}/{whose}" for index in range(len(photos)) for whose in ("found", "drawn")]
    classifier = AttributeClassifier.load()
    for key in results.todo(keys):
        _, index, whose = key.split("/")
        cache = resefa.JacobianCache(1 << 30)
        photo = resefa.Photo.of(photos[int(index)])
        if whose == "found":
            session = resefa.Session(generator, cache=cache)
            session.set_photo(photo, search(results, generator, photos, int(index), PRIOR, steps))
        else:
            session = resefa.Session(generator, SAMPLE_SEEDS[int(index)], truncation=1.0, cache=cache)
        parts, row = {}, [session.before]
        for part in PARTS:
            directions = session.find(f"box:{part}", only_good=True)[:2]
            values, edited = measured(generator, session.original, directions, part, classifier)
            row.append(edited)
            if whose == "found":
                out = resefa.paste(
                    photo, session.before, edited, photo.crop_for(generator), resefa.Region.preset(part)
                )
                changed = (out.colours != photo.colours).any(dim=2)
                values |= {"seam": out.seam, "beyond": int((changed & (out.mask == 0)).sum())}
                row.append(out.image)
            parts[part] = values
        results.add(key, whose=whose, parts=parts)
        if whose == "found":
            labels = ["found", *(text for part in PARTS for text in (part, "pasted"))]
            sheet = contact_sheet([[photos[int(index)], *row]], column_labels=["photo", *labels], cell=128)
            save_png(sheet, results.folder / f"edits-{int(index):02d}.png", overwrite=True)


def _edit_table(results: Results) -> str:
    rows = results.of("edits")
    if not rows:
        return ""
    lines = [
        f"At {TARGET} mean squared change inside:",
        "",
        "| part | of | images | reached | ratio | tint | border | meant | others | seam | changed beyond |",
        "|---|---|" + "---:|" * 9,
    ]
    for part in PARTS:
        for whose in ("found", "drawn"):
            own = [row for row in rows if row["whose"] == whose]
            if not own:
                continue
            seams = [row["parts"][part]["seam"] for row in own if "seam" in row["parts"][part]]
            beyond = [row["parts"][part]["beyond"] for row in own if "beyond" in row["parts"][part]]
            pasted = f"{median(seams):.2f} | {sum(beyond)} px" if seams else " | "
            lines.append(f"| {part} | {whose} | {len(own)} | {_of_parts(own, [part])} | {pasted} |")
    return "\n".join(lines)


def hair(results: Results, generator: resefa.Generator, photos: list[Tensor], steps: int) -> None:
    keys = [f"hair/{index}/{whose}" for index in range(len(photos)) for whose in ("found", "drawn")]
    if not list(results.todo(keys)):
        return
    classifier = AttributeClassifier.load()
    six = resefa.Session(generator, seed=SAMPLE_SEEDS[-1] + 1, cache=resefa.JacobianCache(1 << 30))
    joint = six.find("part:hair", samples=JOINT, count=4)[:2]
    for key in results.todo(keys):
        _, index, whose = key.split("/")
        session = resefa.Session(
            generator, SAMPLE_SEEDS[int(index)], truncation=1.0, cache=resefa.JacobianCache(1 << 30)
        )
        if whose == "found":
            photo = resefa.Photo.of(photos[int(index)])
            session.set_photo(photo, search(results, generator, photos, int(index), PRIOR, steps))
        box = resefa.Region.preset("hair")
        sets = {"of the box, its own": (session.find("box:hair", only_good=True)[:2], box)}
        with contextlib.suppress(resefa.RegionError):  # a bald head
            sets["of the part, of six samples"] = (joint, session.part("hair"))
        parts = {
            f"{name} | {target:g}": measured(
                generator, session.original, directions, "hair", classifier, region, target
            )[0]
            for name, (directions, region) in sets.items()
            for target in HAIR_CHANGES
        }
        results.add(key, whose=whose, parts=parts)


def _hair_table(results: Results) -> str:
    rows = results.of("hair")
    if not rows:
        return ""
    lines = [
        "| directions | change inside | images | reached | ratio | tint | border | meant | others |",
        "|---|" + "---:|" * 8,
    ]
    for name in dict.fromkeys(name for row in rows for name in row["parts"]):
        for whose in ("found", "drawn"):
            own = [row for row in rows if row["whose"] == whose and name in row["parts"]]
            lines.append(f"| {name} | {len(own)} {whose} | {_of_parts(own, [name])} |")
    return "\n".join(lines)


def tuned(results: Results, generator: resefa.Generator, photos: list[Tensor], steps: int) -> None:
    keys = [f"tuned/{index}" for index in range(len(photos))]
    if not list(results.todo(keys)):
        return
    classifier = AttributeClassifier.load()
    directions = joint_directions(results, generator)
    others = generator.sample([seed + 100 for seed in SAMPLE_SEEDS[:16]], 1.0)
    for key in results.todo(keys):
        index = int(key.split("/")[1])
        photo = resefa.Photo.of(photos[index])
        latent = search(results, generator, photos, index, PRIOR, steps)
        started = time.perf_counter()
        closer = resefa.tune(generator, latent, photo)
        seconds = time.perf_counter() - started
        row, values = [photos[index]], dict[str, Any]()
        for name, each in (("before", generator), ("after", closer)):
            drawn = each.synthesize(latent)[0]
            row.append(drawn)
            parts = {}
            for part in PARTS:
                parts[part], edited = measured(each, latent, directions[part], part, classifier)
                crop = photo.crop_for(each)
                row.append(resefa.paste(photo, drawn, edited, crop, resefa.Region.preset(part)).image)
            values[name] = {"error": float((drawn - photos[index]).square().mean()), "parts": parts}
        changed = (closer.synthesize(others) - generator.synthesize(others)).square().mean()
        results.add(key, seconds=seconds, elsewhere=float(changed), **values)
        labels = ["photo", "found", *PARTS, "tuned", *PARTS]
        save_png(
            contact_sheet([row], column_labels=labels, cell=128),
            results.folder / f"tuned-{index:02d}.png",
            overwrite=True,
        )


def _tuned_table(results: Results) -> str:
    rows = results.of("tuned")
    if not rows:
        return ""
    lines = [
        "| generator | images | error | reached | ratio | tint | border | meant | others | other images |",
        "|---|" + "---:|" * 9,
    ]
    for name in ("before", "after"):
        own = [row[name] for row in rows]
        changed = f"{mean(row['elsewhere'] for row in rows):.4f}" if name == "after" else ""
        lines.append(
            f"| {name} | {len(own)} | {mean(row['error'] for row in own):.4f} | {_of_parts(own, PARTS)} | "
            f"{changed} |"
        )
    return "\n".join(lines)


# Other generators


def others(results: Results, options: argparse.Namespace, file: Path) -> None:
    source, into = load(options.faces), load(file)
    name = file.parent.name
    for start in range(0, options.count, TOGETHER):
        seeds = SAMPLE_SEEDS[start : min(start + TOGETHER, options.count)]
        keys = [f"others/{start + row}/{name}" for row in range(len(seeds))]
        if not list(results.todo(keys)):
            continue
        photos = list(source.synthesize(source.sample(list(seeds), 1.0)).clamp(-1.0, 1.0))
        passes, codes = _searched(into, photos, None, projector, options.steps)
        projected = into.synthesize(resefa.Latent(codes))
        rows = []
        for index, (key, photo) in enumerate(zip(keys, photos, strict=True)):
            inversion = resefa.invert(into, photo, steps=options.steps)
            results.add(
                key,
                start=inversion.history[0],
                here=_closeness(list(inversion.history), inversion.error),
                projector=_closeness(passes.errors[index], _error(passes, index, projected)),
                distance=inversion.distance,
            )
            rows.append([inversion.target, inversion.image, projected[index]])
        sheet = contact_sheet(rows, column_labels=["photo", "here", "projector"], cell=96)
        save_png(sheet, results.folder / f"{name}-{start:02d}.png", overwrite=True)


def _searched(
    generator: resefa.Generator,
    photos: Sequence[Tensor],
    label: int | None,
    way: Callable[[resefa.Generator, Passes, int], Tensor],
    steps: int,
) -> tuple[Passes, Tensor]:
    """What a way of others finds of a batch: its errors, and its codes."""
    given = [resefa.Photo.of(photo) for photo in photos]
    size = generator.image_size
    passes = Passes([ImageDistance(*photo.image(photo.crop_for(generator), *size)) for photo in given], label)
    return passes, way(generator, passes, steps)


def _error(passes: Passes, index: int, images: Tensor) -> float:
    return float(passes.distances[index].error(images[index : index + 1])[0])


def _other_table(results: Results) -> str:
    names = dict.fromkeys(key.split("/", 2)[2] for key in results.rows if key.startswith("others/"))
    if not names:
        return ""
    lines = [
        "| into | way | images | mean image | "
        + " | ".join(f"{at} passes" for at in CHECKED_AT)
        + " | worst | distance |",
        "|---|---|" + "---:|" * (len(CHECKED_AT) + 4),
    ]
    for name, way in ((name, way) for name in names for way in ("here", "projector")):
        rows = results.of("others", name)
        at = [f"{mean(row[way]['errors'][str(n)] for row in rows):.4f}" for n in CHECKED_AT]
        distance = f"{mean(row['distance'] for row in rows):.2f}" if way == "here" else ""
        lines.append(
            f"| {name} | {way} | {len(rows)} | {mean(row['start'] for row in rows):.3f} | {' | '.join(at)} | "
            f"{max(row[way]['error'] for row in rows):.4f} | {distance} |"
        )
    return "\n".join(lines)


def load(file: Path) -> resefa.Generator:
    """A generator from a file; that of `dcgan_celeba64` does not say its activation."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.studies import load_dcgan

    return load_dcgan(file) if file.parent.name == "dcgan_celeba64" else resefa.load_generator(str(file))


def own(results: Results, options: argparse.Namespace) -> None:
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "inversion")]
    random = import_module("test_inverting").TINY

    trained: dict[str, Callable[[], resefa.Generator]] = {
        f"{file.parent.name}, trained": partial(load, file)
        for file in (options.faces, *options.into)
        if file is not None
    }
    trained[f"{options.generator}, trained"] = partial(resefa.load_generator, options.generator)
    for name, make in {**trained, **random}.items():
        keys = [f"self/{index}/{name}" for index in range(options.self_count)]
        if not list(results.todo(keys)):
            continue
        generator = make()
        label = 1 if generator.num_classes else None
        latents = generator.sample(list(SAMPLE_SEEDS[: options.self_count]), 1.0, label)
        photos = list(generator.synthesize(latents).clamp(-1.0, 1.0))
        theirs = {}
        for way in ("projector", "w+, plain"):
            passes, codes = _searched(generator, photos, label, WAYS[way], options.steps)
            theirs[way] = passes, generator.synthesize(resefa.Latent(codes, label=passes.labels))
        for index, (key, photo) in enumerate(zip(keys, photos, strict=True)):
            values: dict[str, Any] = {
                way: _closeness(passes.errors[index], _error(passes, index, images))
                for way, (passes, images) in theirs.items()
            }
            for way, weight in (("here", PRIOR), ("no prior", 0.0)):
                inversion = resefa.invert(generator, photo, label=label, steps=options.steps, prior=weight)
                values[way] = _closeness(list(inversion.history), inversion.error)
                values["start"] = inversion.history[0]
            results.add(key, **values)


def _own_table(results: Results) -> str:
    names = dict.fromkeys(key.split("/", 2)[2] for key in results.rows if key.startswith("self/"))
    if not names:
        return ""
    ways = ("here", "no prior", "projector", "w+, plain")
    lines = [
        "| generator | images | mean image | " + " | ".join(f"{way}, 50 | 200" for way in ways) + " |",
        "|---|" + "---:|" * (2 + 2 * len(ways)),
    ]
    for name in names:
        rows = results.of("self", name)
        found = [
            f"{mean(row[way]['errors'][str(at)] for row in rows):.2g}" for way in ways for at in (50, 200)
        ]
        lines.append(
            f"| {name} | {len(rows)} | {mean(row['start'] for row in rows):.2g} | {' | '.join(found)} |"
        )
    return "\n".join(lines)


def landmarks(results: Results, options: argparse.Namespace) -> None:
    files = [file for file in (options.faces, *options.into) if file is not None]
    makers = {file.parent.name: partial(load, file) for file in files}
    makers[options.generator] = partial(resefa.load_generator, options.generator)
    for name, make in makers.items():
        key = f"landmarks/{name}"
        if not list(results.todo([key])):
            continue
        generator, places = make(), []
        truncation = 0.7 if generator.has_mapping else 1.0
        for seed in SAMPLE_SEEDS[:FACES]:
            image = generator.synthesize(generator.sample(seed, truncation))[0]
            photo = resefa.Photo.of(resefa.to_pil(image).resize((256, 256), Image.Resampling.BICUBIC))
            with contextlib.suppress(resefa.PhotoError):
                crop = photo.aligned(generator, face="auto").crop
                places.append([] if crop is None else [crop.x / 256, crop.y / 256, crop.wide / 256])
        results.add(key, faces=FACES, found=len(places), crops=places)


def _landmark_table(results: Results) -> str:
    rows = results.of("landmarks")
    lines = ["| generator | faces | found | crop's centre | its side |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        x, y, side = (f"{mean(column):.2f}" for column in zip(*row["crops"], strict=True))
        name = row["key"].split("/")[1]
        lines.append(f"| {name} | {row['faces']} | {row['found']} | {x}, {y} | {side} |")
    return "\n".join(lines) if rows else ""


if __name__ == "__main__":
    main()
