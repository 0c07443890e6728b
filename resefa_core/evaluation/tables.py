"""A study's results as tables in Markdown."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..directions.looks import MOST_TINT
from ..parsing import shown_seeds
from .results import Evaluation, Numbers, Record

_NOTHING = "–"


class Summary(NamedTuple):
    """Of edits: the median, tenth and ninetieth percentile of those that reach the target, the share that
    does not, and how many were tried. NaN where none reaches it."""

    median: float
    tenth: float
    ninetieth: float
    unreachable: float
    edits: int


def summary(values: Numbers) -> Summary:
    """Summarize edits' numbers, None where they are unreachable.

    Example:
        >>> summary([1.0, 2.0, 3.0, None])
        Summary(median=2.0, tenth=1.2, ninetieth=2.8, unreachable=0.25, edits=4)
    """
    reached = [value for value in values if value is not None]
    if not reached:
        return Summary(float("nan"), float("nan"), float("nan"), float(bool(values)), len(values))
    tenth, median, ninetieth = (float(value) for value in np.percentile(reached, [10, 50, 90]))
    return Summary(median, tenth, ninetieth, 1.0 - len(reached) / len(values), len(values))


def report(evaluation: Evaluation) -> str:
    """All tables of a study, with what was measured and what could not be."""
    parts = [preface(evaluation)]
    if len(evaluation.areas) > 1:
        parts.append(f"## All regions: the first direction's ratio\n\n{overview(evaluation)}")
    for region in evaluation.areas:
        parts.append(f"## {_escaped(region)}\n\n{ratio_table(evaluation, region)}")
        if evaluation.setup.get("larger"):
            parts.append(f"### The larger the change\n\n{change_table(evaluation, [region])}")
        if evaluation.setup.get("variations"):
            parts.append(f"### Drawn otherwise\n\n{variation_table(evaluation, region)}")
    parts += [part for part in (unavailable_list(evaluation), skipped_list(evaluation)) if part]
    return "\n\n".join(parts) + "\n"


def preface(evaluation: Evaluation) -> str:
    """What was measured, in a paragraph."""
    setup = evaluation.setup
    target = setup["target"]
    seconds = ", ".join(
        f"{statistics.median(each):.2g} s in {space}" for space, each in evaluation.analysis_seconds.items()
    )
    return (
        f"Generator `{setup['generator']}` ({setup['fingerprint'][:12]}), seeds "
        f"{shown_seeds(evaluation.seeds)}, truncation {setup['truncation']:g}. Each direction is followed "
        f"backwards and forwards until the region has changed by {target:g} (mean squared, on [−1, 1]); "
        "the ratio is that change over the mean squared change outside. Medians, with the tenth and "
        "ninetieth percentile in brackets; an edit that does not get there is unreachable and enters no "
        "median. Tint is the mean share of the change inside that is one uniform colour, in bold above "
        f"{100 * MOST_TINT:.0f} %; border the edge energy along the region's edge over that of the unedited "
        "image; texture the energy inside that is outside the principal components of what the generator "
        "draws there, over that of the unedited image. "
        "Passes are forward-mode products for the analyses that directions are found from; seconds are for "
        f"these analyses{f' (which took {seconds})' if seconds else ''}, each as if no other row had asked "
        "for it, and for finding."
    )


def change_table(
    evaluation: Evaluation, regions: Sequence[str] | None = None, rows: Sequence[int] | None = None
) -> str:
    """What becomes of the first direction's edits of each row as they grow: a number for each change.

    Args:
        regions: pooled; all for None.
        rows: their numbers; all that could be measured for None.
    """
    chosen = list(evaluation.areas if regions is None else regions)
    targets = targets_of(evaluation)
    names = {name for record in evaluation.select() for name in record.measures}
    heads = ["", "ratio", "tint", "border"]
    heads += ["texture"] if "texture" in names else []
    heads += ["unlike unedited (p)"] if evaluation.natural else []
    heads += ["to another valid attribute"] if "target_valid" in names else []
    heads += ["unreachable"]
    lines = []
    for row in measured_rows(evaluation, rows):
        records = [each for region in chosen for each in evaluation.select(row, region, region)]

        def told(measure: str, tell: Callable[[Numbers], str], own: list[Record] = records) -> str:
            return " / ".join(tell(evaluation.values(measure, own, 1, target)) for target in targets)

        cells = [
            _escaped(evaluation.rows[row].title),
            told("ratio", lambda values: _amount_or_nothing(summary(values).median)),
            told("tint", _tint),
            told("border", lambda values: _fixed(summary(values).median)),
        ]
        if "texture" in names:
            cells.append(told("texture", lambda values: _fixed(summary(values).median)))
        if evaluation.natural:
            cells.append(" / ".join(_unlike(evaluation, row, chosen, target) for target in targets))
        if "target_valid" in names:
            cells.append(told("target_valid", _mean_percent))
        cells.append(told("ratio", lambda values: _percent(summary(values).unreachable)))
        lines.append(cells)
    shown = " / ".join(f"{change:g}" for change in changes_of(evaluation))
    return f"At changes of {shown}.\n\n{table(heads, lines)}"


def targets_of(evaluation: Evaluation) -> list[str | None]:
    """The changes at which a study measures, as `Evaluation.values` takes them."""
    return [None, *(f"{target:g}" for target in evaluation.setup.get("larger", []))]


def changes_of(evaluation: Evaluation) -> list[float]:
    """The same as numbers."""
    return [evaluation.setup["target"], *evaluation.setup.get("larger", [])]


def unlikeness(evaluation: Evaluation, row: int, regions: Sequence[str], target: str | None) -> float:
    """The mean distance over regions of what a row's edits draw inside from what unedited images show there;
    NaN where it wasn't measured."""
    known = _natural(evaluation, row, regions, target)
    return statistics.fmean(each["distance"] for each in known) if known else float("nan")


def _natural(
    evaluation: Evaluation, row: int, regions: Sequence[str], target: str | None
) -> list[dict[str, float]]:
    change = f"{evaluation.setup['target']:g}" if target is None else target
    keys = [f"{row}|{region}|{change}" for region in regions]
    return [evaluation.natural[key] for key in keys if key in evaluation.natural]


def _unlike(evaluation: Evaluation, row: int, regions: Sequence[str], target: str | None) -> str:
    """`0.03 (0.2)`: the mean distance, and the smallest p."""
    known = _natural(evaluation, row, regions, target)
    if not known:
        return _NOTHING
    distance = unlikeness(evaluation, row, regions, target)
    return f"{distance:.2f} ({min(each['p'] for each in known):.2g})"


def overview(evaluation: Evaluation, rows: Sequence[int] | None = None, costs: bool = True) -> str:
    """The first direction's ratio of each row in each region.

    Args:
        rows: their numbers; all that could be measured for None.
        costs: whether to tell what is unreachable in all regions, and what rows cost.
    """
    heads = ["", *map(_escaped, evaluation.areas), *(["unreachable", "passes", "seconds"] if costs else [])]
    lines = []
    for row in measured_rows(evaluation, rows):
        every = [each for region in evaluation.areas for each in evaluation.select(row, region, region)]
        cells = [
            spread(summary(evaluation.values("ratio", [each for each in every if each.region == region], 1)))
            for region in evaluation.areas
        ]
        if costs:
            unreachable = summary(evaluation.values("ratio", every, 1)).unreachable
            cells += [_percent(unreachable), _whole(every), _seconds(every)]
        lines.append([_escaped(evaluation.rows[row].title), *cells])
    return table(heads, lines)


def measured_rows(evaluation: Evaluation, rows: Sequence[int] | None = None) -> list[int]:
    """Those of some rows, or of all, that could be measured."""
    chosen = range(len(evaluation.rows)) if rows is None else rows
    return [row for row in chosen if row not in evaluation.unavailable]


def ratio_table(evaluation: Evaluation, region: str, rows: Sequence[int] | None = None) -> str:
    """How local each row's edits are in a region, and what else was measured of them.

    Args:
        rows: their numbers; all that could be measured for None.
    """
    records = {row: list(evaluation.select(row, region, region)) for row in measured_rows(evaluation, rows)}
    every = [record for each in records.values() for record in each]
    most = int(evaluation.setup["directions"])
    names = {name for record in every for name in record.measures}
    heads = ["", "ratio, first direction", f"ratio, first {most} pooled", "change inside", "unreachable"]
    if most == 1:
        heads.remove("ratio, first 1 pooled")
    if "tint" in names:
        heads += ["tint", "border"]
    if "texture" in names:
        heads.append("texture")
    if "others_changed" in names:
        heads += ["target attribute changes", "others change"]
    if "identity" in names:
        heads.append("same person")
    if evaluation.distances:
        heads += ["FID", "KID"]
    heads += ["passes", "seconds"]
    lines = []
    for row, own in records.items():
        first = summary(evaluation.values("ratio", own, 1))
        cells = [_escaped(evaluation.rows[row].title), spread(first)]
        if most > 1:
            pooled = evaluation.rows[row].directions in (None, most)
            cells.append(spread(summary(evaluation.values("ratio", own))) if pooled else _NOTHING)
        cells.append(_percent(summary(evaluation.values("fraction", own, 1)).median))
        cells.append(_percent(first.unreachable))
        if "tint" in names:
            cells += [_tint(evaluation.values("tint", own, 1)), _fixed(_middle(evaluation, own, "border"))]
        if "texture" in names:
            cells.append(_fixed(_middle(evaluation, own, "texture")))
        if "others_changed" in names:
            cells += [_mean_percent(evaluation.values(f"{n}_changed", own, 1)) for n in ("target", "others")]
        if "identity" in names:
            cells.append(_fixed(summary(evaluation.values("identity", own, 1)).median))
        if evaluation.distances:
            distances = evaluation.distances.get(f"{row}|{region}", {})
            cells += [_fixed(distances.get(name, float("nan"))) for name in ("fid", "kid")]
        cells += [_whole(own), _seconds(own)]
        lines.append(cells)
    return table(heads, lines)


def variation_table(evaluation: Evaluation, region: str) -> str:
    """How the directions for a region drawn otherwise differ from its own, and how local they are in it."""
    heads = ["", "drawn", "angle, first", f"angle, first {evaluation.setup['directions']}", "ratio", "kept"]
    lines = []
    for row in measured_rows(evaluation):
        for kind, change in variation_changes(evaluation, row, region).items():
            lines.append(
                [
                    _escaped(evaluation.rows[row].title),
                    kind,
                    _degrees(change.first_angles),
                    _degrees(change.mean_angles),
                    spread(summary(change.ratios)),
                    _percent(summary(list(change.kept)).median),
                ]
            )
    return table(heads, lines)


class VariationChange(NamedTuple):
    """What drawing a region otherwise in one way does to a row, over seeds and drawings.

    Attributes:
        first_angles: between the first directions, in degrees.
        mean_angles: the mean of the principal angles between all directions.
        ratios: of the first direction's edits, in the region itself.
        kept: each image's median ratio, as a share of what the region's own direction has there.
    """

    first_angles: list[float]
    mean_angles: list[float]
    ratios: Numbers
    kept: list[float]


def variation_changes(evaluation: Evaluation, row: int, region: str) -> dict[str, VariationChange]:
    """By kind of variation, in the order of drawing; the region itself as `as it is`."""
    own = {(each.seed, each.sources): each for each in evaluation.select(row, region, region)}
    changes = {"as it is": VariationChange([], [], evaluation.values("ratio", own.values(), 1), [])}
    for record in evaluation.select(row, region):
        if record.drawn == region:
            continue
        change = changes.setdefault(kind_of(record.drawn), VariationChange([], [], [], []))
        if record.angles:
            change.first_angles.append(record.angles[0])
            change.mean_angles.append(statistics.fmean(record.angles[1:]))
        change.ratios.extend(evaluation.values("ratio", [record], 1))
        itself = own.get((record.seed, record.sources))
        before = _median(evaluation, [] if itself is None else [itself])
        after = _median(evaluation, [record])
        if before is not None and after is not None:
            change.kept.append(after / before)
    return changes


class Advantage(NamedTuple):
    """How much more local one row is than another, image by image.

    Attributes:
        factor: the geometric mean over images of how many times higher its ratio is.
        share: the share of images on which it is higher at all.
    """

    factor: float
    share: float


def advantage(evaluation: Evaluation, row: int, other: int, region: str) -> Advantage | None:
    """Compare two rows on the images on which the first directions of both reach the target; None if there
    are no such images. An image's ratio is the median over signs and sets of sources."""
    ratios: list[dict[int, float]] = []
    for each in (row, other):
        by_seed: dict[int, list[Record]] = {}
        for record in evaluation.select(each, region, region):
            by_seed.setdefault(record.seed, []).append(record)
        medians = {seed: _median(evaluation, records) for seed, records in by_seed.items()}
        ratios.append({seed: median for seed, median in medians.items() if median is not None})
    factors = [ratios[0][seed] / ratios[1][seed] for seed in ratios[0] if seed in ratios[1]]
    if not factors:
        return None
    return Advantage(statistics.geometric_mean(factors), statistics.fmean(factor > 1 for factor in factors))


def kind_of(drawn: str) -> str:
    """What variations that differ by chance or side alone have in common.

    Example:
        >>> kind_of("shifted 25 % left"), kind_of("scribble 3"), kind_of("grown 10 %")
        ('shifted 25 %', 'scribbles', 'grown 10 %')
    """
    return "scribbles" if drawn.startswith("scribble ") else re.sub(r" % [a-z]+$", " %", drawn)


def unavailable_list(evaluation: Evaluation) -> str:
    """The rows that are not defined for the generator, with reasons."""
    lines = [
        f"- {_escaped(evaluation.rows[row].title)}: {_escaped(reason)}"
        for row, reason in evaluation.unavailable.items()
    ]
    return "\n".join(["Not available here:", "", *lines]) if lines else ""


def skipped_list(evaluation: Evaluation) -> str:
    """The seeds that were left out, and the rows that found no directions somewhere."""
    lines = [f"- seed {seed}: {_escaped(reason)}" for seed, reason in evaluation.skipped.items()]
    problems: dict[tuple[int, str], int] = {}
    for record in evaluation.select():
        if record.found.problem:
            key = record.row, record.found.problem
            problems[key] = problems.get(key, 0) + 1
    lines += [
        f"- {_escaped(evaluation.rows[row].title)}, {count} ×: {_escaped(problem)}"
        for (row, problem), count in problems.items()
    ]
    return "\n".join(["Left out, or counted as unreachable:", "", *lines]) if lines else ""


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, numbers to the right."""
    rule = "|---|" + "---:|" * (len(heads) - 1)
    return "\n".join([f"| {' | '.join(heads)} |", rule, *(f"| {' | '.join(cells)} |" for cells in lines)])


def spread(of: Summary) -> str:
    """`215 (97–480)`: the median, the tenth and ninetieth percentile."""
    return (
        _NOTHING
        if of.median != of.median
        else f"{amount(of.median)} ({amount(of.tenth)}–{amount(of.ninetieth)})"
    )


def amount(value: float) -> str:
    """A ratio in as many digits as it is worth."""
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _amount_or_nothing(value: float) -> str:
    return _NOTHING if value != value else amount(value)


def _median(evaluation: Evaluation, records: Sequence[Record]) -> float | None:
    """The median ratio of the first directions' edits."""
    reached = [value for value in evaluation.values("ratio", records, 1) if value is not None]
    return statistics.median(reached) if reached else None


def _middle(evaluation: Evaluation, records: Sequence[Record], measure: str) -> float:
    """The median of a measure over the first directions' edits."""
    return summary(evaluation.values(measure, records, 1)).median


def _tint(values: Numbers) -> str:
    """The mean share, in bold where a row is mostly recolouring."""
    known = [value for value in values if value is not None]
    if not known:
        return _NOTHING
    share = statistics.fmean(known)
    return f"**{_percent(share)}**" if share > MOST_TINT else _percent(share)


def _mean_percent(values: Numbers) -> str:
    known = [value for value in values if value is not None]
    return _percent(statistics.fmean(known)) if known else _NOTHING


def _percent(share: float) -> str:
    if share != share:
        return _NOTHING
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.1f} %"


def _fixed(value: float) -> str:
    return _NOTHING if value != value else f"{value:.3g}"


def _degrees(angles: Sequence[float]) -> str:
    return f"{statistics.median(angles):.0f}°" if angles else _NOTHING


def _whole(records: Sequence[Record]) -> str:
    return f"{statistics.median(record.found.passes for record in records):,.0f}" if records else _NOTHING


def _seconds(records: Sequence[Record]) -> str:
    return f"{statistics.median(record.found.seconds for record in records):.2f}" if records else _NOTHING


def _escaped(text: str) -> str:
    return re.sub(r"([|`*_<>\[\]\\])", r"\\\1", text)
