"""Parts: do they lie where a drawing's parts are, do they stay when asked otherwise, and what do they take?

    python benchmarks/parts.py DRAWINGS [--images 24] [--only iou clicks tones counts tangents local joint
        times]

DRAWINGS is a folder with `training/draw_faces.mjs` and `draw_masks.mjs` beside their `node_modules` (`npm
install` there; Node 20). The bundled generator's w has an indicator for each kind of part and three numbers
for each colour, so a face's own drawing is known, and where its parts are in it. Images are of seeds 100 on,
which the bundled parts were not found on. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import resefa_core as resefa
from resefa_core.analysis import DenseJacobian, Jacobian, MatrixFreeJacobian, Subject
from resefa_core.parts import SEEDS
from resefa_core.parts.clicks import choose
from resefa_core.parts.responses import axes_of, responses_of

PARTS = ("mouth", "eyes", "eyebrows", "glasses", "hair", "hat", "skin", "clothes", "background")
BOXES = ("mouth", "eyes", "eyebrows", "hair", "clothes")
DARK, LIGHT = ("614335", "ae5d29"), ("edb98a", "ffdbb4")
OF_A_TONE = 20
FIRST_SEED = 100
TRUNCATION = 0.7
SIDE = 64
_ROUNDS = 100
_SMOOTHNESS = 5.0
_HOW = ("one box", "one part", "own parts")
_TELL = (
    'import {VALUES, VARIATIONS} from "./draw_faces.mjs"; console.log(JSON.stringify([VALUES, VARIATIONS]))'
)


class Faces:
    """Images of the bundled generator, their analyses in w, and where their drawings have each part.

    Args:
        drawings: the folder.
        seeds: of the images.
    """

    def __init__(self, drawings: Path, seeds: Sequence[int]) -> None:
        self.generator, self.drawings = resefa.load_generator("avatars"), drawings
        self.latents = [self.generator.sample(seed, TRUNCATION) for seed in seeds]
        self.images = [self.generator.synthesize(latent)[0] for latent in self.latents]
        self.analyses = [
            resefa.compute_jacobian(self.generator, latent, "w", kind="dense") for latent in self.latents
        ]
        self.truth = self._draw(drawings)

    def _draw(self, folder: Path) -> Tensor:
        """`(images, parts, 64, 64)`, bool: each pixel in the part that is drawn over the others."""
        values, variations = attributes_in(folder)
        drawn = drawn_as(self.latents, values)
        start = sum(map(len, values.values()))
        codes = torch.stack([latent.codes[0, 0] for latent in self.latents])
        amounts = codes[:, start : start + len(variations)]
        amounts = ((amounts - amounts.mean(dim=0)) / amounts.std(dim=0)).clamp(-2.0, 2.0)
        faces = [
            {
                "drawn": {name: drawn[name][index] for name in values},
                "variations": dict(zip(variations, amounts[index].tolist(), strict=True)),
            }
            for index in range(len(self.latents))
        ]
        with tempfile.TemporaryDirectory() as place:
            asked, answer = Path(place) / "faces.json", Path(place) / "masks.npy"
            asked.write_text(json.dumps(faces))
            subprocess.run(["node", "draw_masks.mjs", asked, answer], cwd=folder, check=True)
            drawings = np.load(answer)
        shown = torch.stack(self.images).clamp(-1, 1).permute(0, 2, 3, 1).numpy() * 127.5 + 127.5
        apart = [
            float(np.abs(shown - each).mean()) for each in (drawings[:, 0], np.roll(drawings[:, 0], 1, 0))
        ]
        print(f"Mean difference to one's own drawing {apart[0]:.1f} of 255, to another's {apart[1]:.1f}.\n")
        masks = torch.from_numpy(drawings[:, 1:, ..., 0] > 127)
        above = masks.long().cumsum(dim=1) - masks.long()
        return masks & (above == 0)


def attributes_in(drawings: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The attributes of drawings with their values, and the variations."""
    told = subprocess.check_output(["node", "--input-type=module", "-e", _TELL], cwd=drawings)
    values, variations = json.loads(told)
    return values, variations


def drawn_as(latents: Sequence[resefa.Latent], values: dict[str, list[str]]) -> dict[str, list[str]]:
    """The attributes that faces are drawn with, each a list over the faces."""
    codes = torch.stack([latent.codes[0, 0] for latent in latents])
    parts = codes[:, : sum(map(len, values.values()))].split([len(each) for each in values.values()], dim=1)
    return {
        name: [values[name][index] for index in part.argmax(dim=1).tolist()]
        for name, part in zip(values, parts, strict=True)
    }


def overlap(mask: Tensor, truth: Tensor) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum().clamp_min(1))


def seen(truth: Tensor) -> Iterator[tuple[int, int]]:
    """The images and parts of which there is enough to see."""
    for image, parts in enumerate(truth):
        for part, inside in enumerate(parts):
            if int(inside.sum()) >= 8:
                yield image, part


def table(rows: dict[str, dict[str, float]], columns: Sequence[str], what: str) -> None:
    print(f"| {what} | " + " | ".join(columns) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[c]:.2f}" if c in row else "" for c in columns) + " |")
    print()


def means(found: dict[str, list[float]]) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in found.items()}


def by_colour(faces: Faces, count: int) -> Tensor:
    """Labels of k-means on colour and position."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij"))
    points = torch.cat([torch.cat([image, grid]).flatten(1).T for image in faces.images])
    noise = torch.Generator().manual_seed(0)
    centres = points[torch.randint(len(points), (1,), generator=noise)]
    sample = points[torch.randperm(len(points), generator=noise)[:20_000]]
    while len(centres) < count:
        far = torch.cdist(sample, centres).amin(dim=1).square()
        centres = torch.cat([centres, sample[torch.multinomial(far, 1, generator=noise)]])
    for _ in range(40):
        nearest = torch.cdist(sample, centres).argmin(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, sample)
        centres = sums / torch.bincount(nearest, minlength=count).clamp_min(1)[:, None]
    return torch.cdist(points, centres).argmin(dim=1).view(-1, SIDE, SIDE)


def by_network(faces: Faces, count: int) -> Tensor:
    """Labels of a convolutional network that is trained on these images alone, by what it answers itself and
    by smoothness (Kim, Kanezaki and Tanaka, 2020), on all images together."""
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for given, wide in ((3, 64), (64, 64)):
        layers += [torch.nn.Conv2d(given, wide, 3, padding=1), torch.nn.ReLU(), torch.nn.BatchNorm2d(wide)]
    network = torch.nn.Sequential(*layers, torch.nn.Conv2d(64, count, 1), torch.nn.BatchNorm2d(count))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    images = torch.stack(faces.images).float()
    for _ in range(_ROUNDS):
        answers = network(images)
        labels = answers.argmax(dim=1)
        steps = [answers.diff(dim=axis).abs().mean() for axis in (2, 3)]
        loss = F.cross_entropy(answers, labels) + _SMOOTHNESS * sum(steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return labels


def best_unions(labels: Tensor, truth: Tensor, count: int) -> dict[str, float]:
    """For each part, the overlap of the clusters that make it up best, added while that helps."""
    found = {}
    for part, name in enumerate(PARTS):
        inside, best, mask = truth[:, part], 0.0, torch.zeros_like(truth[:, 0])
        own = torch.bincount(labels[inside], minlength=count).double()
        share = own / torch.bincount(labels.flatten(), minlength=count).clamp_min(1)
        for cluster in share.argsort(descending=True).tolist():
            wider = mask | (labels == cluster)
            if (gained := overlap(wider, inside)) > best:
                best, mask = gained, wider
        found[name] = best
    return found


def iou(faces: Faces) -> None:
    """The bundled parts, by name, and boxes, against the drawings."""
    parts = resefa.parts_of_generator(faces.generator)
    assert parts is not None
    found = [parts.regions(j, image) for j, image in zip(faces.analyses, faces.images, strict=True)]
    plain = [parts.regions(j) for j in faces.analyses]
    boxes = {name: resefa.Region.preset(name) for name in BOXES}
    boxed = named_overlaps(faces, [boxes] * len(plain))
    rows = {
        "bundled parts": named_overlaps(faces, found),
        "the same, no clean edges": named_overlaps(faces, plain),
        "boxes": {name: boxed[name] for name in BOXES},
    }
    table({name: means(row) for name, row in rows.items()}, PARTS, "intersection over union")


def named_overlaps(faces: Faces, found: Sequence[dict[str, resefa.Region]]) -> dict[str, list[float]]:
    """By part, the overlap of what was found on each image with its drawing; 0 where nothing was."""
    overlaps: dict[str, list[float]] = defaultdict(list)
    for image, part in seen(faces.truth):
        region = found[image].get(PARTS[part])
        truth = faces.truth[image, part]
        overlaps[PARTS[part]].append(overlap(region.mask(SIDE, SIDE) >= 0.5, truth) if region else 0.0)
    return overlaps


def tones(faces: Faces) -> None:
    """The bundled parts and clicks, on faces of the two darkest and of the two lightest skins."""
    parts = resefa.parts_of_generator(faces.generator)
    assert parts is not None
    values, _ = attributes_in(faces.drawings)
    seeds = range(FIRST_SEED, FIRST_SEED + 12 * OF_A_TONE)
    skins = drawn_as([faces.generator.sample(seed, TRUNCATION) for seed in seeds], values)["skinColor"]
    rows: dict[str, dict[str, float]] = {}
    for tone, colours in (("dark", DARK), ("light", LIGHT)):
        chosen = [seed for seed, skin in zip(seeds, skins, strict=True) if skin in colours][:OF_A_TONE]
        own = Faces(faces.drawings, chosen)
        found = [parts.regions(j, image) for j, image in zip(own.analyses, own.images, strict=True)]
        rows[f"bundled parts, {len(chosen)} {tone} faces"] = means(named_overlaps(own, found))
        rows[f"clicks, {len(chosen)} {tone} faces"] = means(click_overlaps(own))
    table(dict(sorted(rows.items())), PARTS, "intersection over union")


def click_overlaps(faces: Faces) -> dict[str, list[float]]:
    """By part, the overlap of what a click into it takes with its drawing."""
    overlaps: dict[str, list[float]] = defaultdict(list)
    for image, part, x, y in inner_points(faces):
        region = resefa.part_at(faces.analyses[image], x, y, picture=faces.images[image])
        overlaps[PARTS[part]].append(overlap(region.mask(SIDE, SIDE) >= 0.5, faces.truth[image, part]))
    return overlaps


def counts(faces: Faces) -> None:
    """Clusters found on these images alone, colour with position, and a self-supervised segmenter that needs
    no weights of others."""
    rows = {}
    rows["a self-trained network, 24"] = best_unions(by_network(faces, 24), faces.truth, 24)
    for count in (12, 16, 24, 32):
        parts = resefa.find_parts(faces.analyses, count)
        labels = torch.stack([parts.labels(each) for each in faces.analyses])
        rows[f"{count} clusters of rows"] = best_unions(labels, faces.truth, count)
        rows[f"{count} of colour and position"] = best_unions(by_colour(faces, count), faces.truth, count)
    table(rows, PARTS, "best unions of clusters")


def inner_points(faces: Faces) -> Iterator[tuple[int, int, float, float]]:
    """A point in each part that is three pixels wide somewhere."""
    noise = torch.Generator().manual_seed(0)
    for image, part in seen(faces.truth):
        wide = F.avg_pool2d(faces.truth[image, part][None].float(), 3, 1, 1)[0] > 0.95
        places = wide.nonzero()
        if len(places) >= 4:
            row, column = places[int(torch.randint(len(places), (1,), generator=noise))].tolist()
            yield image, part, (column + 0.5) / SIDE, (row + 0.5) / SIDE


def clicks(faces: Faces) -> None:
    """Clicks into parts: against the drawing, and moved by some pixels against unmoved."""
    moved: dict[int, dict[str, list[float]]] = {by: defaultdict(list) for by in (1, 2, 3)}
    for image, part, x, y in inner_points(faces):
        picture, truth, name = faces.images[image], faces.truth[image, part], PARTS[part]

        def mask(x: float, y: float, image: int = image, picture: Tensor = picture) -> Tensor:
            region = resefa.part_at(faces.analyses[image], x, y, picture=picture)
            return region.mask(SIDE, SIDE) >= 0.5

        chosen = mask(x, y)
        for by, found in moved.items():
            for dx, dy in ((by, 0), (-by, 0), (0, by), (0, -by)):
                row, column = int(y * SIDE) + dy, int(x * SIDE) + dx
                if 0 <= row < SIDE and 0 <= column < SIDE and truth[row, column]:
                    found[name].append(overlap(mask(x + dx / SIDE, y + dy / SIDE), chosen))
    rows = {"click against the drawing": means(click_overlaps(faces))}
    rows |= {f"moved by {by} within the part, against unmoved": means(found) for by, found in moved.items()}
    table(rows, PARTS, "intersection over union")


def tangents(faces: Faces) -> None:
    """Clicks by random tangents in place of the Jacobian, in w; and by the sketch, in w+ (1,280 columns)."""
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    points = [each for each in inner_points(faces) if each[0] < 6]
    noise = torch.Generator().manual_seed(0)
    for image, part, x, y in points:
        jacobian, picture = faces.analyses[image], faces.images[image]
        selection = resefa.Selection("", (resefa.Click(x, y),))
        exact = resefa.part_at(jacobian, x, y, picture=picture).mask(SIDE, SIDE) >= 0.5
        assert isinstance(jacobian, DenseJacobian)
        for count in (8, 16, 32, 64):
            random = torch.linalg.qr(torch.randn(jacobian.dimension, count, generator=noise))[0].T
            subject = jacobian.subject
            small = DenseJacobian(
                jacobian.jvp(random),
                Subject("w", subject.layers, (count,), subject.latent, subject.described, (SIDE, SIDE)),
            )
            here = responses_of(small, axes_of([small]))
            try:
                region = choose(here, selection, picture)
                found = overlap(region.mask(SIDE, SIDE) >= 0.5, exact)
            except resefa.RegionError:
                found = 0.0
            rows[f"w, {count} random tangents of 128"][PARTS[part]].append(found)
    for image in sorted({image for image, *_ in points})[:3]:
        wide = resefa.compute_jacobian(faces.generator, faces.latents[image], "w+", kind="dense")
        free = resefa.compute_jacobian(faces.generator, faces.latents[image], "w+", kind="matrix-free")
        assert isinstance(free, MatrixFreeJacobian)
        for _, part, x, y in (each for each in points if each[0] == image):
            picture = faces.images[image]
            masks = [
                resefa.part_at(each, x, y, picture=picture).mask(SIDE, SIDE) >= 0.5
                for each in (faces.analyses[image], wide, free)
            ]
            rows["w+ against w"][PARTS[part]].append(overlap(masks[1], masks[0]))
            rows["w+, sketch against the whole"][PARTS[part]].append(overlap(masks[2], masks[1]))
    table({name: means(row) for name, row in rows.items()}, PARTS, "overlap with the whole Jacobian's")


def joint(faces: Faces) -> None:
    """Directions found in w on six images together, with one box for all, with one image's part for all, or
    with each image's own part; what the first changes on those of the second half that have the part, per
    pixel of the drawn part and outside, to first order: median and tenth percentile. Images on which the part
    is drawn and not found, as eyes behind sunglasses, are told apart."""
    parts = resefa.parts_of_generator(faces.generator)
    assert parts is not None
    half = len(faces.latents) // 2
    analyses = {latent.digest: each for latent, each in zip(faces.latents, faces.analyses, strict=True)}
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for name in ("mouth", "eyes", "hair", "clothes"):
        own: dict[str, resefa.Region] = {}
        for latent, analysis, image in zip(faces.latents, faces.analyses, faces.images, strict=True):
            with suppress(resefa.RegionError):
                own[latent.digest] = parts.region(analysis, name, image)
        having = [latent for latent in faces.latents[:half] if latent.digest in own][:6]
        first = own[having[0].digest]
        box = resefa.Region.preset(name)
        for objective in ("shapes", "colour too"):
            for how, region, place in (
                ("one box", box, None),
                ("one part", first, None),
                ("own parts", first, lambda latent, own=own: own[latent.digest]),
            ):
                found = resefa.find_directions(
                    faces.generator,
                    having,
                    region,
                    num_directions=1,
                    space="w",
                    parameters={"colour": float(objective != "shapes")},
                    jacobians=lambda latent, _: analyses[latent.digest],
                    place=place,
                )
                ratios: list[float] = []
                lacking: dict[int, float] = {}
                for index in range(half, len(faces.latents)):
                    truth = faces.truth[index, PARTS.index(name)]
                    if int(truth.sum()) >= 8:
                        ratio = inside_by_outside(faces.analyses[index], found, truth)
                        if faces.latents[index].digest in own:
                            ratios.append(ratio)
                        else:
                            lacking[FIRST_SEED + index] = ratio
                if lacking:
                    told = ", ".join(f"{seed}: {ratio:.1f}" for seed, ratio in lacking.items())
                    print(f"{name}, {objective}, {how}: {len(ratios)} images; without the part {told}\n")
                for what, share in (("median", 0.5), ("tenth percentile", 0.1)):
                    rows[f"{name}, {objective}"][f"{how}, {what}"] = float(np.quantile(ratios, share))
    columns = [f"{how}, {what}" for what in ("median", "tenth percentile") for how in _HOW]
    table(rows, columns, "first direction on other images, inside / outside")


def inside_by_outside(analysis: Jacobian, found: resefa.Directions, truth: Tensor) -> float:
    """How many times the first direction's change inside is that outside, per pixel and to first order."""
    change = analysis.jvp(found.vectors[:1].flatten(1))[0].square().mean(dim=0)
    return float(change[truth].mean() / change[~truth].mean())


def local(faces: Faces) -> None:
    """Directions found in w on each image alone, for a box and for the image's own part; what the first one
    changes there, as in `joint`: median and tenth percentile over the images that have the part."""
    parts = resefa.parts_of_generator(faces.generator)
    assert parts is not None
    analyses = {latent.digest: each for latent, each in zip(faces.latents, faces.analyses, strict=True)}
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for name in ("mouth", "eyes", "hair", "clothes"):
        for objective in ("shapes", "colour too"):
            ratios: dict[str, list[float]] = defaultdict(list)
            for index, (latent, analysis) in enumerate(zip(faces.latents, faces.analyses, strict=True)):
                truth = faces.truth[index, PARTS.index(name)]
                try:
                    own = parts.region(analysis, name, faces.images[index])
                except resefa.RegionError:
                    continue
                if int(truth.sum()) < 8:
                    continue
                for how, region in (("box", resefa.Region.preset(name)), ("own part", own)):
                    found = resefa.find_directions(
                        faces.generator,
                        latent,
                        region,
                        num_directions=1,
                        space="w",
                        parameters={"colour": float(objective != "shapes")},
                        jacobians=lambda latent, _: analyses[latent.digest],
                    )
                    ratios[how].append(inside_by_outside(analysis, found, truth))
            for how, values in ratios.items():
                for what, share in (("median", 0.5), ("tenth percentile", 0.1)):
                    rows[f"{name}, {objective}"][f"{how}, {what}"] = float(np.quantile(values, share))
    columns = [f"{how}, {what}" for what in ("median", "tenth percentile") for how in ("box", "own part")]
    table(rows, columns, "first direction on its own image, inside / outside")


def times(faces: Faces) -> None:
    """What a click, all parts of an image, and the parts of a generator take: in seconds as they pass, and in
    seconds of the processor, which others on the machine change less."""
    session = resefa.Session(faces.generator, latent=faces.latents[0])
    session.part_at(0.5, 0.5)
    points = [(0.1 + 0.8 * (index % 3) / 2, 0.1 + 0.8 * (index // 3) / 2) for index in range(9)]

    def taken(work: Callable[[], object]) -> tuple[float, float]:
        passed, used = time.perf_counter(), time.process_time()
        work()
        return time.perf_counter() - passed, time.process_time() - used

    clicks = sorted(taken(lambda x=x, y=y: session.part_at(x, y)) for x, y in points)  # type: ignore[misc]
    everything = sorted(taken(session.parts_here) for _ in range(9))
    passed, used = taken(lambda: resefa.find_parts_of(faces.generator))
    print(f"- load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {torch.get_num_threads()} thread(s)")
    for what, all_of in (("a click after the analysis", clicks), ("all named parts of an image", everything)):
        least, middle, most = (1000 * all_of[index][0] for index in (0, 4, -1))
        processor = 1000 * sorted(each[1] for each in all_of)[4]
        print(f"- {what}: median {middle:.0f} ms ({least:.0f} to {most:.0f}); processor {processor:.0f} ms")
    print(f"- the parts of the generator, {len(SEEDS)} images: {passed:.0f} s; processor {used:.0f} s\n")


STAGES = {each.__name__: each for each in (iou, clicks, tones, counts, tangents, local, joint, times)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("drawings", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    options = parser.parse_args()
    faces = Faces(options.drawings, range(FIRST_SEED, FIRST_SEED + options.images))
    for name in options.only:
        STAGES[name](faces)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
