"""How close a search comes to a photo's image, and what edits of what it finds are worth.

    node training/draw_faces.mjs data/held-out 64 64 1000000
    python benchmarks/inversion.py inversion --drawings data/held-out/faces.npy

`--drawings` are faces `(N, H, W, 3)` of the tool that drew what the bundled generator was trained on, with
seeds that were not among those. Further: `--faces FILE.safetensors` is a generator of faces whose images
`--into FILE.safetensors` is to find, and both are to find their own.

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
- `others`: `--faces` and `--into`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor

import resefa_core as resefa
from resefa_core.directions.looks import edge_energy, tint_share
from resefa_core.evaluation.attributes import REGION_ATTRIBUTES, AttributeClassifier, attribute_changes
from resefa_core.evaluation.equal_change import TARGET, edits_of, equal_change, images
from resefa_core.inversion.inverting import PRIOR, STEPS, draw
from resefa_core.inversion.losses import ImageDistance
from resefa_core.inversion.prior import CodePrior, squared_distance, squared_spread
from resefa_core.sheets import contact_sheet, save_png

PARTS = ("mouth", "eyes", "hair")
PRIORS = (0.0, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
CHECKED_AT = (25, 50, 100, 200)
STAGES = ("found", "prior", "edits", "others")
SAMPLE_SEEDS = tuple(range(700_000, 700_064))
JOINT = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--generator", default="avatars")
    parser.add_argument("--drawings", type=Path)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--prior-count", type=int, default=16)
    parser.add_argument("--edit-count", type=int, default=24)
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
    if options.faces is not None and "others" in options.only:
        others(results, options)
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

    def of(self, stage: str) -> list[dict[str, Any]]:
        return [row for key, row in self.rows.items() if key.split("/")[0] == stage]

    def write(self) -> None:
        """The tables, as they are so far."""
        parts = [
            table
            for table in (_found_table(self), _prior_table(self), _edit_table(self), _other_table(self))
            if table
        ]
        (self.folder / "results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def drawings(file: Path, count: int) -> list[Tensor]:
    """The first faces of a file, `(3, H, W)` in [-1, 1]."""
    faces = np.load(file, mmap_mode="r", allow_pickle=False)[:count]
    return [torch.from_numpy(np.array(face)).permute(2, 0, 1) / 127.5 - 1.0 for face in faces]


# How close


@dataclass
class Passes:
    """The best error so far, before each pass."""

    distance: ImageDistance
    errors: list[float]

    def __call__(self, drawn: Tensor) -> Tensor:
        with torch.no_grad():
            self.errors.append(float(self.distance.error(drawn)[0]))
        return self.distance(drawn)


def projector(generator: resefa.Generator, passes: Passes, count: int) -> Tensor:
    drawn = generator.sample(list(range(10_000)), 1.0).codes[:, 0]
    centre = drawn.mean(dim=0)
    scale = float((drawn - centre).square().sum(dim=1).mean().sqrt())
    w = centre.clone().requires_grad_()
    noise = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([w], lr=0.1, betas=(0.9, 0.999))
    for step in range(count):
        t = step / count
        strength = scale * 0.05 * max(0.0, 1.0 - t / 0.75) ** 2
        fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - t) / 0.25))
        optimizer.param_groups[0]["lr"] = 0.1 * fall * min(1.0, t / 0.05)
        moved = w + strength * torch.randn(w.shape, generator=noise)
        loss = passes(draw(generator, moved.expand(1, generator.num_layers, -1), None)).sum()
        (w.grad,) = torch.autograd.grad(loss, [w])
        optimizer.step()
    return w.detach().expand(1, generator.num_layers, -1)


def plain_layers(generator: resefa.Generator, passes: Passes, count: int) -> Tensor:
    codes = generator.mean_codes()[None].clone().requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=0.01)
    for _ in range(count):
        (codes.grad,) = torch.autograd.grad(passes(draw(generator, codes, None)).sum(), [codes])
        optimizer.step()
    return codes.detach()


def whitened_adam(generator: resefa.Generator, passes: Passes, count: int) -> Tensor:
    prior = CodePrior.of(generator)
    moved = torch.zeros(1, 1, generator.latent_dim)
    for share, last in ((0.3, 0.03), (0.7, 0.0)):
        steps = round(share * count)
        moved = moved.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([moved], lr=0.1)
        for step in range(steps):
            fall = 0.5 + 0.5 * math.cos(math.pi * step / steps)
            optimizer.param_groups[0]["lr"] = last + (0.1 - last) * fall
            coordinates = moved.expand(1, generator.num_layers, -1)
            loss = passes(draw(generator, prior.codes(coordinates), None))
            loss = loss + PRIOR * (squared_distance(coordinates) + squared_spread(coordinates))
            (moved.grad,) = torch.autograd.grad(loss.sum(), [moved])
            optimizer.step()
        moved = moved.expand(1, generator.num_layers, -1)
    return prior.codes(moved.detach())


WAYS: dict[str, Callable[[resefa.Generator, Passes, int], Tensor]] = {
    "projector": projector,
    "w+, plain": plain_layers,
    "adam": whitened_adam,
}


def found(results: Results, generator: resefa.Generator, photos: list[Tensor], steps: int) -> None:
    prior = CodePrior.of(generator)
    size = generator.image_size
    rows: list[list[Tensor]] = []
    for index, photo in enumerate(photos):
        shown: list[Tensor] = []
        given = resefa.Photo.of(photo)
        target, weight = given.image(given.crop_for(generator), *size)
        for way in ("here", "no prior", *WAYS):
            key = f"found/{index}/{way}"
            if key in results.rows:
                continue
            if way in WAYS:
                passes = Passes(ImageDistance(target, weight), [])
                codes = WAYS[way](generator, passes, steps)
                errors = passes.errors
            else:
                inversion = resefa.invert(
                    generator, given, steps=steps, prior=PRIOR if way == "here" else 0.0
                )
                codes, errors = inversion.latent.codes, list(inversion.history)
            image = generator.synthesize(resefa.Latent(codes))[0]
            errors.append(float((image - target).square().mean()))
            coordinates = prior.coordinates(codes)
            results.add(
                key,
                way=way,
                passes=len(errors) - 1,
                errors={str(at): min(errors[: at + 1]) for at in CHECKED_AT if at < len(errors)},
                error=errors[-1],
                distance=math.sqrt(float(squared_distance(coordinates))),
                spread=math.sqrt(float(squared_spread(coordinates))),
            )
            shown.append(image)
        if len(shown) == 2 + len(WAYS):
            rows.append([target, *shown])
        if rows and (len(rows) % 8 == 0 or index == len(photos) - 1):
            sheet = contact_sheet(rows, column_labels=["photo", "here", "no prior", *WAYS], cell=96)
            save_png(sheet, results.folder / f"found-{index:02d}.png", overwrite=True)
            rows = []


def _found_table(results: Results) -> str:
    rows = results.of("found")
    if not rows:
        return ""
    lines = [
        "| way | images | "
        + " | ".join(f"{at} passes" for at in CHECKED_AT)
        + " | worst | distance | spread |",
        "|---|" + "---:|" * (len(CHECKED_AT) + 4),
    ]
    for way in ("here", "no prior", *WAYS):
        own = [row for row in rows if row["way"] == way]
        if own:
            at = [f"{mean(row['errors'].get(str(n), row['error']) for row in own):.4f}" for n in CHECKED_AT]
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
) -> tuple[dict[str, Any], Tensor]:
    """What edits of one image at equal change are like, and the image of the first that gets there."""
    region = resefa.Region.preset(part)
    moves = edits_of(latent, directions)
    change = equal_change(generator, moves, region)
    there = change.reached.nonzero()[:, 0]
    before = generator.synthesize(latent).clamp(-1, 1)
    if not len(there):
        return {"edits": len(moves), "reached": 0}, before[0]
    after = images(generator, moves, change.distance[there].float(), there)
    mask = region.mask(*generator.image_size)
    told = attribute_changes(classifier, before.expand_as(after), after, *REGION_ATTRIBUTES[part])
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
            inversion = resefa.invert(generator, photos[int(index)], steps=steps, prior=float(weight))
            latent = inversion.latent
            closeness = {name: getattr(inversion, name) for name in ("error", "distance", "spread")}
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
            session.set_photo(photo, steps=steps)
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


# Other generators


def others(results: Results, options: argparse.Namespace) -> None:
    source = resefa.load_generator(str(options.faces))
    into = resefa.load_generator(str(options.into)) if options.into is not None else None
    cases = {"own": source, **({} if into is None else {"into": into, "its own": into})}
    rows: dict[str, list[list[Tensor]]] = {}
    for index in range(options.count):
        for name, generator in cases.items():
            key = f"others/{index}/{name}"
            if key in results.rows:
                continue
            drawn = into if name == "its own" and into is not None else source
            photo = drawn.synthesize(drawn.sample(SAMPLE_SEEDS[index], 1.0))[0]
            inversion = resefa.invert(generator, photo, steps=options.steps)
            results.add(
                key,
                case=name,
                start=inversion.history[0],
                error=inversion.error,
                distance=inversion.distance,
            )
            rows.setdefault(name, []).append([inversion.target, inversion.image])
    for name, pairs in rows.items():
        columns = [[pair[0] for pair in pairs[start : start + 8]] for start in range(0, len(pairs), 8)]
        made = [[pair[1] for pair in pairs[start : start + 8]] for start in range(0, len(pairs), 8)]
        both = [row for two in zip(columns, made, strict=True) for row in two]
        sheet = contact_sheet(both, row_labels=["photo", "found"] * len(columns), cell=96)
        save_png(sheet, results.folder / f"others-{name.replace(' ', '-')}.png", overwrite=True)


def _other_table(results: Results) -> str:
    rows = results.of("others")
    if not rows:
        return ""
    lines = ["| case | images | mean image | found | worst | distance |", "|---|" + "---:|" * 5]
    for case in ("own", "into", "its own"):
        own = [row for row in rows if row["case"] == case]
        if own:
            lines.append(
                f"| {case} | {len(own)} | {mean(row['start'] for row in own):.3f} | "
                f"{mean(row['error'] for row in own):.4f} | {max(row['error'] for row in own):.4f} | "
                f"{mean(row['distance'] for row in own):.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
