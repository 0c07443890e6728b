"""Which coordinate of the noise stands for what in a drawing.

Each attribute has a coordinate of z, cut at quantiles into one interval for each value, as wide as the value
is frequent; each variation has a coordinate of its own; the rest is free. The mapping network is set, not
learned: from it, w has an indicator for each value and a linear function of each variation.
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
SPREAD = 4.0


@dataclass(frozen=True)
class Layout:
    """Values of attributes and amounts of variations as coordinates of z.

    Attributes:
        labels: `(N, A)`, each drawing's value of each attribute.
        amounts: `(N, V)`, each drawing's amount of each variation.
        thresholds: for each attribute, where its coordinate goes over from one value to the next.
        slopes: for each threshold, one over the width of the passage.
    """

    labels: Tensor
    amounts: Tensor
    thresholds: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]

    @staticmethod
    def read(file: Path) -> Layout:
        """The layout of the drawings that a `labels.json` is about."""
        data = json.loads(file.read_text())
        labels = torch.tensor(list(data["labels"].values())).T
        amounts = torch.tensor(list(data["variations"].values())).T
        thresholds, slopes = [], []
        for column, values in zip(labels.T, data["values"].values(), strict=True):
            shares = torch.bincount(column, minlength=len(values)) / len(column)
            cuts = torch.special.ndtri(shares.cumsum(0)[:-1].double()).float()
            widths = torch.diff(cuts, prepend=cuts[:1] - 1.0, append=cuts[-1:] + 1.0)
            steep = 1.0 / (RAMP * torch.minimum(widths[:-1], widths[1:]))
            slope = torch.exp2(steep.log2().ceil()).clamp_max(STEEPEST)
            thresholds.append((cuts * slope * 2.0).round() / (slope * 2.0))
            slopes.append(slope)
        return Layout(labels, amounts, tuple(thresholds), tuple(slopes))

    def noise(self, rows: Tensor, z_dim: int) -> Tensor:
        """Noise `(B, z_dim)` that stands for the drawings of these rows, of mean square 1."""
        columns = [self._within(index, self.labels[rows, index]) for index in range(self.labels.shape[1])]
        fixed = torch.cat([torch.stack(columns, dim=1), self.amounts[rows]], dim=1)
        free = torch.randn(len(rows), z_dim - fixed.shape[1])
        left = (z_dim - fixed.square().sum(dim=1, keepdim=True)).clamp_min(1.0)
        return torch.cat([fixed, free * (left / free.square().sum(dim=1, keepdim=True)).sqrt()], dim=1)

    def _within(self, attribute: int, values: Tensor) -> Tensor:
        """Normal coordinates within the values' intervals, apart from the middle of the passages."""
        cuts, margin = self.thresholds[attribute], UNDECIDED / 2 / self.slopes[attribute]
        far = cuts.new_tensor([math.inf])
        low, high = torch.cat([-far, cuts + margin])[values], torch.cat([cuts - margin, far])[values]
        first, last = torch.special.ndtr(low), torch.special.ndtr(high)
        share = (first + (last - first) * torch.rand(len(values))).clamp(1e-4, 1.0 - 1e-4)
        return torch.special.ndtri(share)

    @torch.no_grad()
    def prepare(self, mapping: MappingNetwork) -> None:
        """Set both layers: w is an indicator for each value, then a linear function of each variation."""
        first, second = (mapping.get_submodule(f"fc{index}") for index in range(2))
        assert isinstance(first, FullyConnected)
        assert isinstance(second, FullyConnected)
        for layer in (first, second):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        unit, feature = 0, 0
        for index, (cuts, slopes) in enumerate(zip(self.thresholds, self.slopes, strict=True)):
            second.bias[feature] += 1.0
            for cut, slope in zip(cuts, slopes, strict=True):
                for shift, sign in ((0.5, 1.0), (-0.5, -1.0)):
                    first.weight[unit, index] = slope
                    first.bias[unit] = shift - cut * slope
                    second.weight[feature, unit] = -sign / (1.0 - SLOPE)
                    second.weight[feature + 1, unit] = sign / (1.0 - SLOPE)
                    unit += 1
                second.bias[feature] += SLOPE / (1.0 - SLOPE)
                second.bias[feature + 1] -= SLOPE / (1.0 - SLOPE)
                feature += 1
            feature += 1
        for index in range(len(self.thresholds), len(self.thresholds) + self.amounts.shape[1]):
            for sign in (1.0, -1.0):
                first.weight[unit, index] = sign
                second.weight[feature, unit] = sign * AMOUNT / (1.0 + SLOPE)
                unit += 1
            second.bias[feature] = 2.5 * AMOUNT
            feature += 1
        first.weight.div_(first.weight_gain)
        first.bias.div_(first.bias_gain)
        second.weight.mul_(SPREAD / (second.weight_gain * math.sqrt(2.0)))
        second.bias.mul_(SPREAD / second.bias_gain)
