"""What the studies found, as figures (matplotlib); see `studies.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.studies_text import SPACES, find
from resefa_core.directions import CONFINED
from resefa_core.evaluation.config import Row
from resefa_core.evaluation.results import Evaluation
from resefa_core.evaluation.tables import Summary, measured_rows, summary, variation_changes

INK, FAINT, GRID = "#1c1e24", "#70747e", "#e0e2e7"
OURS, THEIRS = "#0b7a75", "#b4562a"
SPACE_COLOURS = {"w": "#7a8ca6", "w+": "#2f6db3", "s": "#0b7a75", "z": "#7a8ca6"}
ROW_HEIGHT = 0.3
FAMILIES = ("resefa", CONFINED, "paper")


def canvas(columns: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    """A figure with panels side by side that share their vertical axis."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    panels = figure.subplots(1, columns, sharey=True, squeeze=False)[0].tolist()
    for panel in panels:
        panel.grid(color=GRID, linewidth=0.8)
        panel.set_axisbelow(True)
        panel.tick_params(colors=FAINT, labelsize=8.5, length=0)
        for side in panel.spines.values():
            side.set_visible(False)
    return figure, panels


def plain_logarithms(axis: Any) -> None:
    """Label a logarithmic axis by 1, 10, 100."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def ratios(evaluation: Evaluation, row: int, region: str) -> Summary:
    return summary(evaluation.values("ratio", evaluation.select(row, region, region), 1))


def peers(evaluation: Evaluation) -> Figure:
    """A line for each method and space: on the image itself, confined, and found on other images."""
    groups: dict[str, list[int]] = {}
    for index in measured_rows(evaluation):
        groups.setdefault(_name(evaluation.rows[index]), []).append(index)
    names = list(groups)
    figure, panels = canvas(len(evaluation.areas), 9.6, 1.2 + ROW_HEIGHT * 1.25 * len(names))
    for panel, region in zip(panels, evaluation.areas, strict=True):
        for at, name in enumerate(names):
            for index in groups[name]:
                row = evaluation.rows[index]
                colour = OURS if row.method in FAMILIES else THEIRS
                kind = "others" if row.samples else "confined" if row.confine else "itself"
                offset = {"itself": 0.0, "confined": -0.24, "others": 0.24}[kind]
                _range(panel, ratios(evaluation, index, region), at + offset, colour, kind)
    _label_ratios(evaluation, panels, names)
    confined = any(evaluation.rows[index].confine for index in measured_rows(evaluation))
    _kinds_legend(figure, list(_KINDS) if confined else ["itself", "others"])
    return figure


def _name(row: Row) -> str:
    """The method, its space and its layers."""
    return Row(row.method, row.space, row.layers, label=row.label).title


_KINDS = {
    "confined": "confined to the region",
    "itself": "found on the image itself",
    "others": "found jointly on eight others",
}
_MARKERS = {"itself": ("o", True), "confined": ("s", True), "others": ("o", False)}


def _range(panel: Any, found: Summary, at: float, colour: str, kind: str) -> None:
    """The median, and a line from the tenth to the ninetieth percentile."""
    if found.median != found.median:
        return
    marker, filled = _MARKERS[kind]
    panel.plot([found.tenth, found.ninetieth], [at, at], color=colour, alpha=0.35, linewidth=2.2)
    panel.plot(
        found.median,
        at,
        marker,
        color=colour,
        markersize=5.5 if marker == "o" else 5,
        markerfacecolor=colour if filled else "white",
        markeredgewidth=1.3,
    )


def _kinds_legend(figure: Figure, kinds: Sequence[str]) -> None:
    handles = []
    for kind in kinds:
        marker, filled = _MARKERS[kind]
        (handle,) = figure.axes[0].plot(
            [],
            [],
            marker,
            color=INK,
            markerfacecolor=INK if filled else "white",
            label=_KINDS[kind],
            markersize=5,
        )
        handles.append(handle)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, labelcolor=INK
    )


def robustness(evaluation: Evaluation) -> Figure:
    """How much of its locality in the region itself each method keeps, by how the region was drawn."""
    rows = measured_rows(evaluation)
    every = [evaluation.rows[row].parameters.get("relaxation") for row in rows]
    relaxations = sorted(value for value in every if value is not None)
    figure, panels = canvas(len(evaluation.areas), 9.6, 4.0)
    for panel, region in zip(panels, evaluation.areas, strict=True):
        for row in rows:
            changes = variation_changes(evaluation, row, region)
            medians = [summary(change.ratios).median for change in changes.values()]
            style = _style_of(evaluation.rows[row], relaxations)
            panel.plot(range(len(medians)), medians, "o", markersize=4, **style)
            for start, stop in _runs(list(changes)):
                panel.plot(
                    range(start, stop), medians[start:stop], linewidth=1.4, **(style | {"label": None})
                )
        kinds = list(variation_changes(evaluation, rows[0], region))
        panel.set_yscale("log")
        plain_logarithms(panel.yaxis)
        panel.set_xticks(range(len(kinds)), kinds, rotation=45, ha="right", color=INK, fontsize=8.5)
        panel.set_title(region, fontsize=11, color=INK, loc="left")
    panels[0].set_ylabel("change inside / outside, in the region itself", fontsize=8.5, color=FAINT)
    _lines_legend(figure, panels[0], 4)
    return figure


def _style_of(row: Row, relaxations: Sequence[float]) -> dict[str, Any]:
    """LowRankGAN darker the more it is relaxed."""
    relaxation = row.parameters.get("relaxation")
    if relaxation is None:
        return {"color": OURS if row.space == "w" else SPACE_COLOURS[str(row.space)], "label": row.title}
    shade = (relaxations.index(relaxation) + 1) / len(relaxations)
    return {"color": _mixed(THEIRS, 0.2 + 0.8 * shade), "label": f"LowRankGAN, relaxation {relaxation:g}"}


def _mixed(colour: str, amount: float) -> tuple[float, ...]:
    """A colour on white."""
    return tuple(1.0 - amount * (1.0 - part) for part in to_rgb(colour))


def _runs(kinds: Sequence[str]) -> list[tuple[int, int]]:
    """Where drawings of one sort, by growing amounts, lie beside each other."""
    runs: list[tuple[int, int]] = []
    for index, kind in enumerate(kinds):
        if runs and kinds[runs[-1][0]].split()[0] == kind.split()[0]:
            runs[-1] = runs[-1][0], index + 1
        else:
            runs.append((index, index + 1))
    return runs


def samples(evaluation: Evaluation) -> Figure:
    """Locality on other images by how many were solved jointly; dashed: the image's own directions."""
    counts = sorted({row.samples for row in evaluation.rows} - {0})
    figure, panels = canvas(len(evaluation.areas), 9.6, 3.4)
    for panel, region in zip(panels, evaluation.areas, strict=True):
        for space in SPACES:
            rows = [find(evaluation, space=space, samples=count) for count in counts]
            found = [
                (c, ratios(evaluation, r, region)) for c, r in zip(counts, rows, strict=True) if r is not None
            ]
            _curve(panel, found, SPACE_COLOURS[space], space.upper())
            own = find(evaluation, space=space, samples=0)
            if own is not None:
                level = ratios(evaluation, own, region).median
                panel.axhline(level, color=SPACE_COLOURS[space], linewidth=1, linestyle=(0, (4, 3)))
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        plain_logarithms(panel.yaxis)
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_title(region, fontsize=11, color=INK, loc="left")
        panel.set_xlabel("images solved jointly", fontsize=8.5, color=FAINT)
    panels[0].set_ylabel("change inside / outside, on other images", fontsize=8.5, color=FAINT)
    _lines_legend(figure, panels[0], 3)
    return figure


def regularization(evaluation: Evaluation) -> Figure:
    """Locality by λ, in each space, and dashed, for confined edits."""
    values = sorted({row.parameters["regularization"] for row in evaluation.rows})
    figure, panels = canvas(len(evaluation.areas), 9.6, 3.6)
    for panel, region in zip(panels, evaluation.areas, strict=True):
        for space in SPACES:
            for method, dashed in (("resefa", False), (CONFINED, True)):
                found = []
                for value in values:
                    row = find(evaluation, method=method, space=space, regularization=value)
                    if row is not None:
                        found.append((value, ratios(evaluation, row, region)))
                if found:
                    label = f"{space.upper()}, for confined edits" if dashed else space.upper()
                    _curve(panel, found, SPACE_COLOURS[space], label, dashed)
        panel.set_xscale("log")
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_yscale("log")
        plain_logarithms(panel.yaxis)
        panel.set_title(region, fontsize=11, color=INK, loc="left")
        panel.set_xlabel("λ", fontsize=9.5, color=FAINT)
    panels[0].set_ylabel("change inside / outside", fontsize=8.5, color=FAINT)
    _lines_legend(figure, panels[0], 3)
    return figure


def _curve(
    panel: Any, found: Sequence[tuple[float, Summary]], colour: str, label: str, dashed: bool = False
) -> None:
    """Medians; solid ones in a band from the tenth to the ninetieth percentile."""
    at = [position for position, _ in found]
    medians = [each.median for _, each in found]
    if dashed:
        panel.plot(at, medians, "o--", color=colour, label=label, linewidth=1.2, markersize=4, mfc="white")
        return
    low, high = ([each[index] for _, each in found] for index in (1, 2))
    panel.fill_between(at, low, high, color=colour, alpha=0.1)
    panel.plot(at, medians, "o-", color=colour, label=label, linewidth=1.6, markersize=4.5)


def spaces(evaluation: Evaluation) -> Figure:
    """A line for each space and choice of layers: confined or not."""
    rows = [index for index in measured_rows(evaluation) if not evaluation.rows[index].confine]
    figure, panels = canvas(len(evaluation.areas), 9.6, 1.2 + ROW_HEIGHT * len(rows))
    for panel, region in zip(panels, evaluation.areas, strict=True):
        for at, index in enumerate(rows):
            row = evaluation.rows[index]
            colour = SPACE_COLOURS[str(row.space)] if row.method in FAMILIES else THEIRS
            _range(panel, ratios(evaluation, index, region), at + 0.14, colour, "itself")
            confined = find(evaluation, method=row.method, space=row.space, layers=row.layers, confine=1.0)
            if confined is not None:
                _range(panel, ratios(evaluation, confined, region), at - 0.14, colour, "confined")
    _label_ratios(evaluation, panels, [evaluation.rows[index].title for index in rows])
    _kinds_legend(figure, ["confined", "itself"])
    return figure


def confined(evaluation: Evaluation) -> Figure:
    """A line for each row; those of directions that were found for confined edits stand out."""
    rows = measured_rows(evaluation)
    figure, panels = canvas(len(evaluation.areas), 9.6, 1.2 + ROW_HEIGHT * len(rows))
    for panel, region in zip(panels, evaluation.areas, strict=True):
        for at, index in enumerate(rows):
            row = evaluation.rows[index]
            colour = OURS if row.method == CONFINED else SPACE_COLOURS[str(row.space)]
            kind = "confined" if row.confine else "itself"
            _range(panel, ratios(evaluation, index, region), at, colour, kind)
    _label_ratios(evaluation, panels, [evaluation.rows[index].title for index in rows])
    _kinds_legend(figure, ["confined", "itself"])
    return figure


def _label_ratios(evaluation: Evaluation, panels: Sequence[Any], names: Sequence[str]) -> None:
    """A panel for each region, with ratios to the right and a name for each line."""
    for panel, region in zip(panels, evaluation.areas, strict=True):
        panel.set_xscale("log")
        plain_logarithms(panel.xaxis)
        panel.set_title(region, fontsize=11, color=INK, loc="left")
        panel.set_xlabel("change inside / outside", fontsize=8.5, color=FAINT)
        panel.set_yticks(range(len(names)), names, color=INK, fontsize=9)
        panel.grid(axis="y", visible=False)
    panels[0].invert_yaxis()


def _lines_legend(figure: Figure, panel: Any, columns: int) -> None:
    figure.legend(
        handles=panel.get_legend_handles_labels()[0],
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )


FIGURES: dict[str, Callable[[Evaluation], Figure]] = {
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
