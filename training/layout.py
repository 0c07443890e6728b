"""Which coordinate of the noise stands for what in a drawing.

Each attribute has a coordinate of z, cut at quantiles into one interval for each value, as wide as the value
is frequent; each variation has a coordinate of its own; the rest is free. The mapping network is set, not
learned: in w, the values of a part are points that lie equally far apart, a colour is its red, green and
blue, and a shape's variation is a number.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resefa_core.generators.mapping import FullyConnected, MappingNetwork

RAMP = 0.05
STEEPEST = 256.0
UNDECIDED = 0.3
SLOPE = 0.2
AMOUNT = 0.2
COLOUR = 1.5
SPREAD = 4.0

_LIGHTNESS = (10.0, 10.0, 10.0)
_WARMTH = (7.0, 0.0, -7.0)
"""What a unit of either adds to a colour's channels, of 255; as in `draw_faces.mjs`."""


@dataclass(frozen=True)
class Layout:
    """Values of attributes and amounts of variations as coordinates of z and w.

    Attributes:
        labels: `(N, A)`, each drawing's value of each attribute.
        amounts: `(N, V)`, each drawing's amount of each variation.
        thresholds: for each attribute, where its coordinate goes over from one value to the next.
        slopes: for each threshold, one over the width of the passage.
        intervals: `(A, most values, 2)`, the normal distribution's values at the ends of each value's
            interval, apart from the middle of the passages.
        codes: for each attribute, the columns of w that it has, and what each value is there:
            `(columns, values)`.
        shifts: for each variation, the first column of w that it moves, and by how much it moves columns.
    """

    labels: Tensor
    amounts: Tensor
    thresholds: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]
    intervals: Tensor
    codes: tuple[Tensor, ...]
    shifts: tuple[tuple[int, Tensor], ...]

    @staticmethod
    def read(file: Path, device: torch.device | str = "cpu") -> Layout:
        """The layout of the drawings that a `labels.json` is about; their labels lie on a device."""
        data = json.loads(file.read_text())
        values: dict[str, list[str]] = data["values"]
        labels = torch.tensor(list(data["labels"].values())).T
        amounts = torch.tensor(list(data["variations"].values())).T
        thresholds, slopes = [], []
        for column, names in zip(labels.T, values.values(), strict=True):
            shares = torch.bincount(column, minlength=len(names)) / len(column)
            cuts = torch.special.ndtri(shares.cumsum(0)[:-1].double()).float()
            widths = torch.diff(cuts, prepend=cuts[:1] - 1.0, append=cuts[-1:] + 1.0)
            steep = 1.0 / (RAMP * torch.minimum(widths[:-1], widths[1:]))
            slope = torch.exp2(steep.log2().ceil()).clamp_max(STEEPEST)
            thresholds.append((cuts * slope * 2.0).round() / (slope * 2.0))
            slopes.append(slope)
        codes = tuple(_colours(v) if name.endswith("Color") else _apart(len(v)) for name, v in values.items())
        starts = dict(zip(values, _starts(codes), strict=True))
        free, shifts = sum(len(code) for code in codes), []
        for name in data["variations"]:
            for ending, shift in (("Lightness", _LIGHTNESS), ("Warmth", _WARMTH)):
                colour = name.removesuffix(ending)
                if colour.endswith("Color") and colour in starts:
                    shifts.append((starts[colour], COLOUR / 255.0 * torch.tensor(shift)))
                    break
            else:
                shifts.append((free, torch.tensor([AMOUNT])))
                free += 1
        ends = _intervals(thresholds, slopes).to(device)
        return Layout(
            labels.to(device),
            amounts.to(device),
            tuple(thresholds),
            tuple(slopes),
            ends,
            codes,
            tuple(shifts),
        )

    @property
    def w_dim(self) -> int:
        """How many numbers of w are used."""
        return max(start + len(shift) for start, shift in (*self.shifts, *self._ends()))

    def _ends(self) -> list[tuple[int, Tensor]]:
        return [(start, code[:, 0]) for start, code in zip(_starts(self.codes), self.codes, strict=True)]

    def noise(self, rows: Tensor, z_dim: int) -> Tensor:
        """Noise `(B, z_dim)` that stands for the drawings of these rows, of mean square 1."""
        labels = self.labels[rows]
        first, last = self.intervals[torch.arange(labels.shape[1], device=labels.device), labels].unbind(
            dim=2
        )
        shares = first + (last - first) * torch.rand(labels.shape, device=labels.device)
        within = torch.special.ndtri(shares.clamp(1e-4, 1.0 - 1e-4))
        fixed = torch.cat([within, self.amounts[rows]], dim=1)
        free = torch.randn(len(rows), z_dim - fixed.shape[1], device=labels.device)
        left = (z_dim - fixed.square().sum(dim=1, keepdim=True)).clamp_min(1.0)
        return torch.cat([fixed, free * (left / free.square().sum(dim=1, keepdim=True)).sqrt()], dim=1)

    @torch.no_grad()
    def prepare(self, mapping: MappingNetwork) -> None:
        """Set both layers of a mapping network."""
        first, second = (mapping.get_submodule(f"fc{index}") for index in range(2))
        assert isinstance(first, FullyConnected)
        assert isinstance(second, FullyConnected)
        for layer in (first, second):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        unit = 0
        attributes = zip(self.thresholds, self.slopes, _starts(self.codes), self.codes, strict=True)
        for index, (cuts, slopes, start, code) in enumerate(attributes):
            columns = slice(start, start + len(code))
            second.bias[columns] += code[:, 0]
            for cut, slope, change in zip(cuts, slopes, code.diff(dim=1).T, strict=True):
                for shift, sign in ((0.5, 1.0), (-0.5, -1.0)):
                    first.weight[unit, index] = slope
                    first.bias[unit] = shift - cut * slope
                    second.weight[columns, unit] = sign * change / (1.0 - SLOPE)
                    unit += 1
                second.bias[columns] -= change * SLOPE / (1.0 - SLOPE)
        for index, (start, moved) in enumerate(self.shifts, len(self.thresholds)):
            columns = slice(start, start + len(moved))
            for sign in (1.0, -1.0):
                first.weight[unit, index] = sign
                second.weight[columns, unit] = sign * moved / (1.0 + SLOPE)
                unit += 1
            second.bias[columns] += 2.5 * moved.abs()
        first.weight.div_(first.weight_gain)
        first.bias.div_(first.bias_gain)
        second.weight.mul_(SPREAD / (second.weight_gain * math.sqrt(2.0)))
        second.bias.mul_(SPREAD / second.bias_gain)


def _apart(count: int) -> Tensor:
    """Points equally far apart, `(count - 1, count)`, none of them negative: Helmert's basis, moved."""
    rows = torch.arange(1.0, count)[:, None]
    columns = torch.arange(float(count))[None]
    basis = torch.where(columns < rows, 1.0, torch.where(columns == rows, -rows, 0.0))
    basis = basis / (rows * (rows + 1.0)).sqrt()
    return basis - basis.amin(dim=1, keepdim=True)


def _colours(values: list[str]) -> Tensor:
    """Red, green and blue of colours in hexadecimal digits, `(3, count)`."""
    channels = [[int(value[i : i + 2], 16) / 255.0 for value in values] for i in (0, 2, 4)]
    return COLOUR * torch.tensor(channels)


def _starts(codes: tuple[Tensor, ...]) -> list[int]:
    """The first column of each attribute."""
    return [sum(len(code) for code in codes[:index]) for index in range(len(codes))]


def _intervals(thresholds: list[Tensor], slopes: list[Tensor]) -> Tensor:
    most = 1 + max(len(cuts) for cuts in thresholds)
    ends = torch.zeros(len(thresholds), most, 2)
    for index, (cuts, slope) in enumerate(zip(thresholds, slopes, strict=True)):
        margin, far = UNDECIDED / 2 / slope, torch.tensor([math.inf])
        bounds = torch.stack([torch.cat([-far, cuts + margin]), torch.cat([cuts - margin, far])], dim=1)
        ends[index, : len(cuts) + 1] = torch.special.ndtr(bounds)
    return ends
