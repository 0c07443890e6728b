"""An atlas for people: a contact sheet, and a page of HTML that needs nothing else."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from string import Template
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from ..directions import about
from ..directions.about import Fit
from ..errors import AtlasError
from ..generators.base import Generator
from ..latents.editing import draw_all, move
from ..progress import Progress
from ..sheets import contact_sheet, printable, to_pil
from .atlas import QUANTILES, Atlas, Entry, Found

_CELL = 96
_MOST_RATIO = 1000.0
_BAR = (160, 14)
_JPEG_QUALITY = 88
_MEDIAN = QUANTILES.index(0.5)


class Row(NamedTuple):
    """A direction on the example images of its region.

    Attributes:
        found, number: the set that it belongs to, and its place there.
        images: of each example as far as may be backwards, as it is, and as far forwards, `(3, H, W)`.
    """

    found: Found
    number: int
    images: list[tuple[Tensor, Tensor, Tensor]]

    @property
    def name(self) -> str:
        return self.found.directions.names[self.number]

    @property
    def median(self) -> float:
        return float(self.found.quantiles[self.number, _MEDIAN])

    @property
    def responding(self) -> float:
        return float(self.found.responding[self.number])


def rows_of(
    atlas: Atlas, entry: Entry, generator: Generator, most: int | None = None, missed: bool = True
) -> Iterator[Row]:
    """What an entry's directions do on its examples, the joint ones first.

    Args:
        most: directions of each set; all for None.
        missed: whether the groups that joint directions miss are shown too.

    Raises:
        AtlasError: the atlas is of another generator.
    """
    check_generator(atlas, generator)
    latents = [generator.sample(seed, atlas.truncation, atlas.label) for seed in entry.examples]
    for found in (entry.joint, entry.missed if missed else None):
        if found is None:
            continue
        low, high = found.directions.strength_range
        for index in range(len(found))[:most]:
            points = [
                point
                for latent in latents
                for point in (
                    move(latent, found.directions, {index: low}),
                    latent,
                    move(latent, found.directions, {index: high}),
                )
            ]
            images = [image.cpu() for image in draw_all(generator, points)]
            yield Row(found, index, list(zip(images[::3], images[1::3], images[2::3], strict=True)))


def check_generator(atlas: Atlas, generator: Generator) -> None:
    """Raise AtlasError unless an atlas is of a generator, or of the one that it was tuned from."""
    if atlas.generator.fingerprint not in generator.fits:
        raise AtlasError(
            f"the atlas is of {atlas.generator.name!r}, other weights than those of {generator.name!r}"
        )


def atlas_table(atlas: Atlas, entries: Sequence[Entry]) -> str:
    """Each direction in a line: how local it is on four fifths of the edits, and on how many images it
    works. Texts of a file are as they are there, still to be made printable."""
    lines = [
        f"{atlas.images} images of {atlas.generator.name}, seeds {atlas.seeds[:60]}, in {atlas.space}",
        f"{'region: direction':<48} {'inside : outside':>20} {'works on':>9}",
    ]
    for entry in entries:
        share = entry.images / max(atlas.images, 1)
        lines.append(f"{entry.name} (on {share:.0%} of images, misses {entry.missed_share:.0%})")
        for found, mark in ((entry.joint, ""), (entry.missed, "some: ")):
            if found is None:
                continue
            for index, name in enumerate(found.directions.names):
                low, _, middle, _, high = found.quantiles[index].tolist()
                ratios = f"{middle:.0f} ({low:.0f}-{high:.0f})" if middle else "out of reach"
                lines.append(f"  {mark + name:<46} {ratios:>20} {float(found.responding[index]):>8.0%}")
    return "\n".join(lines)


def atlas_rows(atlas: Atlas, source: str = "", fitting: Fit | None = None) -> list[tuple[str, str]]:
    """An atlas for people to look at before they use it, with the labels of `about.rows`; texts may come from
    a stranger's file."""
    count = sum(len(entry.joint) for entry in atlas.entries if entry.joint is not None)
    plain = replace(atlas.directions(), title="", description="", author="", license="")
    rows = dict(about.rows(plain, source, fitting))
    rows["Directions"] = f"{count}: {', '.join(atlas.having())}"
    rows["Found on"] = f"{atlas.images} images"
    return list(rows.items())


def atlas_sheet(
    atlas: Atlas,
    entries: Sequence[Entry],
    generator: Generator,
    most: int = 3,
    progress: Progress | None = None,
) -> Image.Image:
    """The first joint directions of some entries on their examples, as far as they may go to both sides.

    Args:
        most: directions of each entry.

    Raises:
        AtlasError: the atlas is of another generator, or none of the entries has directions.
    """
    rows, labels = [], []
    for done, entry in enumerate(entries):
        for row in rows_of(atlas, entry, generator, most, missed=False):
            rows.append([image for three in row.images for image in three])
            labels.append(f"{entry.name}: {row.name}\n{_said(row)}")
        if progress is not None:
            progress(done + 1, len(entries))
    if not rows:
        raise AtlasError("there are no directions to show")
    title = f"{atlas.generator.name or ''}: {atlas.images} images, {atlas.space}"
    return contact_sheet(rows, labels, cell=_CELL, title=title)


def _said(row: Row) -> str:
    ratio = f"{row.median:.0f} : 1" if row.median else "out of reach"
    return f"{ratio}, on {row.responding:.0%}"


def atlas_page(
    atlas: Atlas, entries: Sequence[Entry], generator: Generator, progress: Progress | None = None
) -> str:
    """A page with all directions of some entries: names, how local they are, on how many images they work,
    and pictures. All of it is in the text.

    Raises:
        AtlasError: the atlas is of another generator.
    """
    sections = []
    for done, entry in enumerate(entries):
        rows = list(rows_of(atlas, entry, generator))
        sections.append(_section(atlas, entry, rows))
        if progress is not None:
            progress(done + 1, len(entries))
    name = atlas.generator.name or ""
    about = (
        f"{atlas.images} images (seeds {atlas.seeds[:80]}, truncation {atlas.truncation:g}), {atlas.space}"
    )
    if atlas.collapsed:
        about += f"; {atlas.collapsed} do not respond to their latent"
    links = " ".join(
        f'<a href="#region-{index}">{_text(entry.name)}</a>' for index, entry in enumerate(entries)
    )
    sections = [text.replace("<section>", f'<section id="region-{i}">', 1) for i, text in enumerate(sections)]
    return Template(_PAGE).substitute(
        title=_text(f"Atlas of {name}"), about=_text(about), links=links, sections="\n".join(sections)
    )


def _section(atlas: Atlas, entry: Entry, rows: Sequence[Row]) -> str:
    share = entry.images / max(atlas.images, 1)
    told = f"on {entry.images} of {atlas.images} images ({share:.0%}), {entry.area:.1%} of each"
    if entry.measured:
        told += f"; measured on {entry.measured}; {entry.missed_share:.0%} of single images' own directions "
        told += "are missed by the joint ones"
    parts = [f"<section><h2>{_text(entry.name)}</h2><p>{_text(told)}</p>"]
    for found, heading in ((entry.joint, ""), (entry.missed, "What some images can do besides")):
        own = [row for row in rows if row.found is found]
        if not own:
            continue
        parts.append(f"<h3>{heading}</h3>" if heading else "")
        parts += [_figure(row, heading != "") for row in own]
    if not rows:
        parts.append("<p>No image responds here.</p>")
    return "\n".join([*parts, "</section>"])


def _figure(row: Row, of_some: bool) -> str:
    about = f"{_said(row)} of images"
    if of_some:
        about += f"; found on {float(row.found.shares[row.number]):.0%} alone"
    alternative = f"{row.name}: {len(row.images)} images, each backwards, as it is, and forwards"
    return (
        f"<figure><figcaption><b>{_text(row.name)}</b> {_bar(row.found.quantiles[row.number].tolist())} "
        f"<span>{_text(about)}</span></figcaption>"
        f'<img alt="{_text(alternative)}" src="data:image/jpeg;base64,{_picture(row)}"></figure>'
    )


def _bar(quantiles: Sequence[float]) -> str:
    """A box plot of ratios, on a logarithmic scale from 1 to 1000."""
    wide, high = _BAR
    if not any(quantiles):
        return ""
    x = [wide * min(max(math.log(max(value, 1e-9)) / math.log(_MOST_RATIO), 0.0), 1.0) for value in quantiles]
    told = f"inside to outside, 10 to 90 % of edits: {quantiles[0]:.0f} to {quantiles[-1]:.0f}"
    middle = high / 2
    return (
        f'<svg role="img" aria-label="{_text(told)}" width="{wide}" height="{high}">'
        f'<line x1="0" x2="{wide}" y1="{middle}" y2="{middle}" class="scale"/>'
        f'<line x1="{x[0]:.1f}" x2="{x[-1]:.1f}" y1="{middle}" y2="{middle}" class="all"/>'
        f'<rect x="{x[1]:.1f}" y="2" width="{max(x[3] - x[1], 1.0):.1f}" height="{high - 4}" class="most"/>'
        f'<line x1="{x[2]:.1f}" x2="{x[2]:.1f}" y1="0" y2="{high}" class="middle"/></svg>'
    )


def _picture(row: Row) -> str:
    pictures = [[to_pil(image.clamp(-1.0, 1.0)) for image in three] for three in row.images]
    first = pictures[0][0]
    size = (_CELL, max(1, round(_CELL * first.height / first.width)))
    gap = 6
    strip = Image.new("RGB", (len(pictures) * (3 * size[0] + gap) - gap, size[1]), (255, 255, 255))
    for place, three in enumerate(pictures):
        for side, picture in enumerate(three):
            resized = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
            strip.paste(resized, (place * (3 * size[0] + gap) + side * size[0], 0))
    buffer = io.BytesIO()
    strip.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _text(text: str) -> str:
    return escape(printable(text), quote=True)


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem }
nav a { margin-right: .75rem }
h2 { margin: 2.5rem 0 0 }
figure { margin: 1rem 0 }
figcaption { align-items: center; display: flex; flex-wrap: wrap; gap: .75rem }
img { display: block; height: auto; max-width: 100% }
.scale { stroke: #8888 } .all { stroke: currentColor } .most { fill: #48f8 }
.middle { stroke: currentColor; stroke-width: 2 }
</style>
<h1>$title</h1>
<p>$about. Each picture is an image with the region, moved backwards, as it is, and moved forwards, as far
as images stay such images. Beside a name: how many times the squared change inside the region is that
outside, at equal change, from 1 to 1000; the box has half of all edits, the line four fifths, the mark the
median. Then on how many images the region changes that much within reach.</p>
<nav>$links</nav>
$sections
</html>
"""
