"""Contact sheets of a study: what each row's edits look like, and where they change the image."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..directions.looks import MOST_TINT
from ..regions import Region
from ..sheets import GAIN, heat_map, printable
from .results import AREA, Evaluation, Numbers
from .tables import amount, changes_of, measured_rows, summary, targets_of, unlikeness

_CELL = 120
_GAP = 5
_BLOCK_GAP = 26
_MARGIN = 20
_LABEL_WIDTH = 190
_INK, _FAINT, _RULE = (28, 30, 36), (112, 116, 126), (224, 226, 231)
_OUTLINE = (64, 224, 255)
_BEST, _TINTS = (11, 122, 117), (180, 40, 40)
_COLUMNS = ("-", "+", "changed by -", "changed by +")

_Pixels = NDArray[np.uint8]


def study_sheet(evaluation: Evaluation, region: str) -> Image.Image | None:
    """Each row's first direction at equal change, on some seeds: the image before with the region, then the
    edits backwards and forwards, and what they change, amplified, with the region's outline and the ratio of
    the change inside to that outside.

    Returns:
        None if the study kept no pictures, or no row of it is to be shown.
    """
    seeds = [seed for seed in evaluation.seeds if evaluation.pictures.get(seed)]
    rows = [
        index
        for index, row in enumerate(evaluation.rows)
        if row.shown and any(f"{index}|{region}" in evaluation.pictures[seed] for seed in seeds)
    ]
    if not seeds or not rows:
        return None
    block = len(_COLUMNS) * (_CELL + _GAP) - _GAP
    left = _MARGIN + _LABEL_WIDTH
    head, top = 86, 86 + _CELL + 34
    width = left + len(seeds) * (block + _BLOCK_GAP) - _BLOCK_GAP + _MARGIN
    height = top + len(rows) * (_CELL + _GAP) + _MARGIN
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, _MARGIN - 4), printable(region), font=_font(30), fill=_INK)
    note = (
        f"first direction, changed by {evaluation.setup['target']:g} inside; maps x {GAIN:g}, with the "
        "change inside / outside"
    )
    draw.text((_MARGIN, _MARGIN + 34), note, font=_font(16), fill=_FAINT)
    for column, seed in enumerate(seeds):
        x = left + column * (block + _BLOCK_GAP)
        before = evaluation.pictures[seed]["before"][0]
        page.paste(_outlined(_enlarged(before), _area(evaluation, seed, region)), (x, head))
        draw.text((x + _CELL + 14, head + 6), f"seed {seed}", font=_font(18), fill=_INK)
        draw.text((x + _CELL + 14, head + 30), "before, and the region", font=_font(15), fill=_FAINT)
        for index, title in enumerate(_COLUMNS):
            middle = x + index * (_CELL + _GAP) + _CELL // 2
            draw.text((middle, top - 8), title, font=_font(16), fill=_FAINT, anchor="ms")
    for index, row in enumerate(rows):
        y = top + index * (_CELL + _GAP)
        if index:
            draw.line([(_MARGIN, y - 3), (left - 14, y - 3)], fill=_RULE)
        _write_label(draw, evaluation.rows[row].title, y)
        for column, seed in enumerate(seeds):
            x = left + column * (block + _BLOCK_GAP)
            for cell, picture in enumerate(_cells(evaluation, seed, row, region)):
                page.paste(picture, (x + cell * (_CELL + _GAP), y))
    return page


def pareto(evaluation: Evaluation) -> Image.Image | None:
    """Each row's locality and how unlike unedited images its edits are inside, over all regions, at the first
    of the larger changes, if there is one: rows that no other beats in both are in colour, joined by a line;
    rows that mostly tint are crossed out.

    Returns:
        None unless the study measured both.
    """
    target = targets_of(evaluation)[:2][-1]
    regions, points = list(evaluation.areas), []
    for row in measured_rows(evaluation):
        records = [each for region in regions for each in evaluation.select(row, region, region)]
        ratio = summary(evaluation.values("ratio", records, 1, target)).median
        unlike = unlikeness(evaluation, row, regions, target)
        tints = [tint for tint in evaluation.values("tint", records, 1, target) if tint is not None]
        if ratio == ratio and unlike == unlike and ratio > 0.0:
            points.append((row, math.log10(ratio), max(unlike, 0.0), float(np.mean(tints)) > MOST_TINT))
    if not points:
        return None
    best = [
        point
        for point in points
        if not any(
            other[1] >= point[1] and other[2] <= point[2] and other[1:3] != point[1:3] for other in points
        )
    ]
    side, legend = 620, 560
    page = Image.new("RGB", (side + legend, max(side, 90 + 24 * len(points))), "white")
    draw = ImageDraw.Draw(page)
    low, high = (edge([point[1] for point in points]) for edge in (min, max))
    most = max(max(point[2] for point in points), 1e-3)
    left, top, right, bottom = 70, 60, side - 30, side - 60

    def place(point: tuple[int, float, float, bool]) -> tuple[float, float]:
        return (
            left + (right - left) * (0.04 + 0.92 * (point[1] - low) / max(high - low, 1e-9)),
            top + (bottom - top) * (0.04 + 0.92 * point[2] / most),
        )

    change = changes_of(evaluation)[:2][-1]
    title = f"Locality and how natural edits are, changed by {change:g} inside"
    draw.text((left, 18), title, font=_font(18), fill=_INK)
    draw.rectangle([left, top, right, bottom], outline=_RULE)
    draw.text(
        (right, bottom + 10), "change inside / outside, more local", font=_font(15), fill=_FAINT, anchor="ra"
    )
    draw.text((left, top - 18), "like unedited ones", font=_font(15), fill=_FAINT)
    draw.text((left, bottom - 22), f"unlike: distance {most:.2g}", font=_font(15), fill=_FAINT)
    for tenfold in range(math.ceil(low), math.floor(high) + 1):
        x = place((0, float(tenfold), 0.0, False))[0]
        draw.line([(x, top), (x, bottom)], fill=_RULE)
        draw.text((x, bottom + 30), f"{10.0**tenfold:g}", font=_font(15), fill=_FAINT, anchor="ma")
    draw.line([place(point) for point in sorted(best, key=lambda point: point[1])], fill=_BEST, width=2)
    for number, point in enumerate(points, 1):
        x, y = place(point)
        colour = _BEST if point in best else _FAINT
        draw.ellipse([x - 9, y - 9, x + 9, y + 9], fill=colour)
        draw.text((x, y), str(number), font=_font(12), fill="white", anchor="mm")
        if point[3]:
            draw.line([(x - 11, y + 11), (x + 11, y - 11)], fill=_TINTS, width=2)
        said = f"{number}  {printable(evaluation.rows[point[0]].title)}{' (tints)' if point[3] else ''}"
        draw.text((side, 42 + 24 * number), said[:70], font=_font(15), fill=_INK if point in best else _FAINT)
    return page


def _area(evaluation: Evaluation, seed: int, region: str) -> Region:
    """The region on the image of a seed."""
    own = evaluation.pictures[seed].get(AREA + region)
    return evaluation.regions[region] if own is None else Region.from_mask(own)


def _cells(evaluation: Evaluation, seed: int, row: int, region: str) -> list[Image.Image]:
    """The edits backwards and forwards, then what they change."""
    kept = evaluation.pictures[seed]
    records = [r for r in evaluation.select(row, region, region) if r.seed == seed]
    if f"{row}|{region}" not in kept or not records:
        return [_unreachable()] * len(_COLUMNS)
    before, edited = kept["before"][0], kept[f"{row}|{region}"]
    ratios: Numbers = evaluation.values("ratio", records[:1], 1)
    area = _area(evaluation, seed, region)
    shown = [
        _unreachable() if ratio is None else _enlarged(after)
        for after, ratio in zip(edited, ratios, strict=True)
    ]
    changes = [
        _unreachable() if ratio is None else _change(before, after, area, amount(ratio))
        for after, ratio in zip(edited, ratios, strict=True)
    ]
    return shown + changes


def _change(before: _Pixels, after: _Pixels, region: Region, text: str) -> Image.Image:
    """The mean absolute change of a pixel, amplified, with the region's outline and a line of text."""
    difference = np.abs(after.astype(np.int16) - before.astype(np.int16)).mean(axis=2)
    map_ = heat_map(GAIN * difference / 255.0)
    cell = _outlined(map_.resize((_CELL, _CELL), Image.Resampling.NEAREST), region)
    draw = ImageDraw.Draw(cell, "RGBA")
    box = draw.textbbox((0, 0), text, font=_font(17))
    wide, x, y = box[2] - box[0], _CELL - 5, _CELL - 5
    draw.rounded_rectangle([x - wide - 10, y - 22, x, y], radius=6, fill=(0, 0, 0, 170))
    draw.text((x - 5, y - 11), text, font=_font(17), fill="white", anchor="rm")
    return cell


def _outlined(cell: Image.Image, region: Region) -> Image.Image:
    """A cell with the edge of the region drawn over it."""
    inside = np.pad(region.mask(_CELL, _CELL, check=False).numpy() >= 0.5, 1)
    core = inside[1:-1, 1:-1].copy()
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        core &= inside[rows : rows + _CELL, columns : columns + _CELL]
    pixels = np.array(cell)
    pixels[inside[1:-1, 1:-1] & ~core] = _OUTLINE
    return Image.fromarray(pixels)


def _unreachable() -> Image.Image:
    cell = Image.new("RGB", (_CELL, _CELL), (236, 237, 240))
    draw = ImageDraw.Draw(cell)
    draw.text((_CELL // 2, _CELL // 2), "unreachable", font=_font(15), fill=_FAINT, anchor="mm")
    return cell


def _enlarged(picture: _Pixels) -> Image.Image:
    return Image.fromarray(picture).resize((_CELL, _CELL), Image.Resampling.BICUBIC)


def _write_label(draw: ImageDraw.ImageDraw, title: str, y: int) -> None:
    """A row's title: its first part large, the others below it."""
    first, *rest = printable(title).split(", ")
    lines: list[tuple[str, Any, tuple[int, int, int]]] = [
        (line, _font(19), _INK) for line in textwrap.wrap(first, 18)[:2]
    ]
    lines += [(line, _font(15), _FAINT) for part in rest for line in textwrap.wrap(part, 24)]
    lines = lines[:5]
    height = sum(25 if colour == _INK else 20 for _, _, colour in lines)
    at = y + (_CELL - height) // 2
    for line, font, colour in lines:
        draw.text((_MARGIN, at), line, font=font, fill=colour)
        at += 25 if colour == _INK else 20


def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)


def joined(pages: Sequence[Image.Image]) -> Image.Image:
    """Pages one below the other."""
    whole = Image.new("RGB", (max(p.width for p in pages), sum(p.height for p in pages)), "white")
    at = 0
    for page in pages:
        whole.paste(page, (0, at))
        at += page.height
    return whole
