"""What the studies found, as pieces of Markdown for the documentation; see `studies.py`."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from resefa_core.directions import CONFINED
from resefa_core.evaluation.config import Row
from resefa_core.evaluation.results import Evaluation
from resefa_core.evaluation.tables import (
    advantage,
    amount,
    change_table,
    measured_rows,
    overview,
    skipped_list,
    spread,
    summary,
    table,
    targets_of,
    unavailable_list,
    variation_changes,
)

SPACES = ("w", "w+", "s")
_SAME = "how alike a face recogniser finds faces before and after, at each change"
_ATTRIBUTES = (
    "**Attributes**: the share of edits that change the attribute that the region shows, and how many of the "
    "other attributes change along"
)


def find(evaluation: Evaluation, **wanted: object) -> int | None:
    """The first row that could be measured with these fields; `regularization=` and the like look at
    parameters."""
    for index in measured_rows(evaluation):
        row = evaluation.rows[index]
        if all(_field(row, name) == value for name, value in wanted.items()):
            return index
    return None


def _field(row: Row, name: str) -> object:
    return row.parameters.get(name) if not hasattr(row, name) else getattr(row, name)


def ratio(evaluation: Evaluation, row: int | None, region: str, with_range: bool = False) -> str:
    """The median of the first direction's ratio, if the row is there."""
    if row is None:
        return "–"
    found = summary(evaluation.values("ratio", evaluation.select(row, region, region), 1))
    if found.median != found.median:
        return "–"
    return spread(found) if with_range else amount(found.median)


def peers(evaluation: Evaluation) -> str:
    rows = evaluation.rows
    groups = {
        "Found on the image itself": [i for i in measured_rows(evaluation) if _plain(rows[i])],
        "The same, edits confined to the region": [
            i for i in measured_rows(evaluation) if rows[i].confine and not rows[i].samples
        ],
        "Found jointly on eight other images": [i for i in measured_rows(evaluation) if rows[i].samples],
    }
    parts = [_counted(evaluation)]
    for title, chosen in groups.items():
        if chosen:
            parts.append(f"**{title}**\n\n{overview(evaluation, chosen)}")
            if evaluation.setup.get("larger"):
                parts.append(change_table(evaluation, rows=chosen))
    parts.append(
        "**Image by image**: how many times more local, as the geometric mean, and on which share of the "
        f"images\n\n{_pairs(evaluation)}"
    )
    if "embedding" in evaluation.setup["measured"]:
        lines = [
            [evaluation.rows[i].title, *(_same_person(evaluation, i, region) for region in evaluation.areas)]
            for i in measured_rows(evaluation)
        ]
        parts.append(f"**The same person**: {_SAME}\n\n{table(['', *evaluation.areas], lines)}")
    if "classifier" in evaluation.setup["measured"]:
        shown = [
            i
            for i in measured_rows(evaluation)
            if _plain(rows[i]) or (rows[i].method == CONFINED and not rows[i].samples)
        ]
        parts.append(f"{_ATTRIBUTES}\n\n{_attributes(evaluation, shown)}")
    parts += [part for part in (unavailable_list(evaluation), skipped_list(evaluation)) if part]
    return "\n\n".join(parts)


def _same_person(evaluation: Evaluation, row: int, region: str) -> str:
    """How alike a recogniser finds the first direction's edits at each change, as medians."""
    records = list(evaluation.select(row, region, region))
    found = (summary(evaluation.values("identity", records, 1, target)) for target in targets_of(evaluation))
    return " / ".join("–" if each.median != each.median else f"{each.median:.2f}" for each in found)


def _plain(row: Row) -> bool:
    return not row.confine and not row.samples


def _counted(evaluation: Evaluation) -> str:
    """How much was measured, in a sentence."""
    setup = evaluation.setup
    seen = {record.seed for record in evaluation.select()}
    edits = evaluation.values("ratio", evaluation.select())
    lost = sum(value is None for value in edits)
    return (
        f"{len(seen)} images of `{setup['generator']}` (fingerprint {setup['fingerprint'][:12]}) at "
        f"truncation {setup['truncation']:g}; {len(edits):,} edits, of which {lost:,} did not reach the "
        "target."
    )


def _pairs(evaluation: Evaluation) -> str:
    first = find(evaluation, method="paper", confine=0.0, samples=0)
    space = evaluation.rows[first].space if first is not None else None
    pairs = [
        (first, find(evaluation, method=method, space=space, confine=0.0, samples=0))
        for method in ("published", "published-large", "lowrankgan", "sefa", "ganspace")
    ]
    own = {
        name: find(evaluation, method="resefa", space=name, confine=0.0, samples=0) for name in ("w+", "s")
    }
    confined = find(evaluation, method="resefa", space="w+", confine=1.0)
    stylespace = find(evaluation, method="stylespace", confine=0.0, samples=0)
    pairs += [(own["s"], stylespace), (own["w+"], first), (own["s"], own["w+"]), (confined, own["w+"])]
    for_confined = {
        name: find(evaluation, method=CONFINED, space=name, layers=None, samples=0) for name in ("w", "w+")
    }
    pairs += [
        (for_confined["w"], find(evaluation, method="paper", space="w", confine=1.0)),
        (for_confined["w+"], confined),
    ]
    lines = []
    for row, other in pairs:
        if row is None or other is None:
            continue
        cells = [f"{evaluation.rows[row].title} / {evaluation.rows[other].title}"]
        for region in evaluation.areas:
            found = advantage(evaluation, row, other, region)
            cells.append("–" if found is None else f"{amount(found.factor)} × ({100 * found.share:.0f} %)")
        lines.append(cells)
    return table(["", *evaluation.areas], lines)


def _attributes(evaluation: Evaluation, rows: Sequence[int]) -> str:
    heads = [""]
    for region in evaluation.areas:
        heads += [f"{region}: this", "others"]
    lines = []
    for row in rows:
        cells = [evaluation.rows[row].title]
        for region in evaluation.areas:
            for name in ("target_changed", "others_changed"):
                records = evaluation.select(row, region, region)
                known = [value for value in evaluation.values(name, records, 1) if value is not None]
                cells.append(f"{100 * statistics.fmean(known):.0f} %" if known else "–")
        lines.append(cells)
    return table(heads, lines)


def robustness(evaluation: Evaluation) -> str:
    parts = [_counted(evaluation)]
    rows = measured_rows(evaluation)
    for region in evaluation.areas:
        changes = [variation_changes(evaluation, row, region) for row in rows]
        lines = []
        for kind in changes[0]:
            cells = [kind]
            for change in changes:
                found = change[kind]
                text = _median(summary(found.ratios).median)
                angle = f" · {statistics.median(found.first_angles):.0f}°" if found.first_angles else ""
                cells.append(text + angle)
            lines.append(cells)
        heads = [_short(evaluation.rows[row]) for row in rows]
        parts.append(f"**{region}**\n\n{table(['drawn', *heads], lines)}")
    return "\n\n".join(parts)


def _short(row: Row) -> str:
    relaxation = row.parameters.get("relaxation")
    return row.title if relaxation is None else f"LowRankGAN {relaxation:g}"


def _median(value: float) -> str:
    return "–" if value != value else amount(value)


def samples(evaluation: Evaluation) -> str:
    counts = sorted({row.samples for row in evaluation.rows})
    names = {0: "the image itself", 1: "1 other image"}
    lines = [
        [
            names.get(count, f"{count} others, jointly"),
            *(
                ratio(evaluation, find(evaluation, space=space, samples=count), region, with_range=True)
                for region in evaluation.areas
                for space in SPACES
            ),
        ]
        for count in counts
    ]
    return f"{_counted(evaluation)}\n\n{table(['found on', *_by_space(evaluation)], lines)}"


def _by_space(evaluation: Evaluation) -> list[str]:
    return [f"{region}, {space.upper()}" for region in evaluation.areas for space in SPACES]


def regularization(evaluation: Evaluation) -> str:
    values = sorted({row.parameters["regularization"] for row in evaluation.rows})

    def block(measure: str) -> str:
        lines = []
        for value in values:
            cells = [f"{value:g}"]
            for region in evaluation.areas:
                for space in SPACES:
                    row = find(evaluation, method="resefa", space=space, regularization=value, samples=0)
                    records = () if row is None else evaluation.select(row, region, region)
                    cells.append(spread(summary(evaluation.values(measure, records, 1))))
            lines.append(cells)
        return table(["λ", *_by_space(evaluation)], lines)

    blocks = {
        "First direction": block("ratio"),
        "First direction: the distance moved, in the space": block("distance"),
        "Both regions": change_table(evaluation),
    }
    return "\n\n".join([_counted(evaluation), *(f"**{title}**\n\n{text}" for title, text in blocks.items())])


def spaces(evaluation: Evaluation) -> str:
    lines = []
    for space in SPACES:
        for layers in dict.fromkeys(row.layers for row in evaluation.rows if row.method == "resefa"):
            cells = [f"{space.upper()}, {'all' if layers is None else layers}"]
            for confine in (0.0, 1.0):
                row = find(evaluation, method="resefa", space=space, layers=layers, confine=confine)
                cells += [ratio(evaluation, row, region, with_range=True) for region in evaluation.areas]
            lines.append(cells)
    for index in measured_rows(evaluation):
        if evaluation.rows[index].method != "resefa":
            cells = [ratio(evaluation, index, region, with_range=True) for region in evaluation.areas]
            lines.append([evaluation.rows[index].title, *cells, *["–"] * len(cells)])
    heads = ["", *evaluation.areas, *(f"{region}, confined" for region in evaluation.areas)]
    return f"{_counted(evaluation)}\n\n{table(heads, lines)}"


def confined(evaluation: Evaluation) -> str:
    rows = measured_rows(evaluation)
    parts = [_counted(evaluation), overview(evaluation, rows)]
    if evaluation.setup["measured"]:
        parts.append(f"{_ATTRIBUTES}\n\n{_attributes(evaluation, rows)}")
    return "\n\n".join(parts)


FRAGMENTS: dict[str, Callable[[Evaluation], str]] = {
    "peers": peers,
    "ordinary": peers,
    "natural": peers,
    "rendered": peers,
    "robustness": robustness,
    "samples": samples,
    "regularization": regularization,
    "spaces": spaces,
    "confined": confined,
}
"""What each study puts into `docs/evaluation.md`."""


def readme(peers_found: Evaluation, samples_found: Evaluation) -> str:
    """The table of `docs/spaces.md`: every method on the image itself, and how directions carry over."""
    shown = [row for row in measured_rows(peers_found) if _plain(peers_found.rows[row])]
    shown += [
        row
        for row in measured_rows(peers_found)
        if peers_found.rows[row].method in ("resefa", CONFINED) and peers_found.rows[row].confine
    ]
    lines = [
        [peers_found.rows[row].title, *(ratio(peers_found, row, region) for region in peers_found.areas)]
        for row in shown
    ]
    carried = [
        " and ".join(
            ratio(samples_found, find(samples_found, space="w+", samples=count), region)
            for region in samples_found.areas
        )
        for count in (1, 8)
    ]
    regions = " and ".join(samples_found.areas)
    return (
        f"{table(['', *peers_found.areas], lines)}\n\n"
        f"For a direction in W+ that was found on other images than the one it is applied to ({regions}): "
        f"{carried[0]} if it was found on one, {carried[1]} if on eight jointly."
    )


def replace_fragment(file: Path, name: str, text: str) -> None:
    """Put a text between the comments `<!-- name -->` and `<!-- end of name -->` of a file.

    Raises:
        SystemExit: the file does not have both, once each.
    """
    content = file.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(content)) != 1 or content.count(start) != 1:
        raise SystemExit(f"{file}: expected {start} and {end} once")
    file.write_text(pattern.sub(lambda _: f"{start}\n\n{text}\n\n{end}", content), encoding="utf-8")
