"""Styles: what drives a layer, possibly varying over the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ..regions import Region

State: TypeAlias = "tuple[Tensor, ...]"


@dataclass(frozen=True)
class Gate:
    """How strongly a move acts at each place: `(1 - confine) + confine * mask`.

    `confine` is in [0, 1]: 0 acts everywhere alike, 1 acts inside the region only.
    """

    region: Region
    confine: float

    def at(self, height: int, width: int, like: Tensor, margin: int = 0) -> Tensor:
        """The gate over a `height` x `width` feature map, `(1, 1, H, W)`, as `like`'s type and device.

        Args:
            margin: how many of the map's rows and columns on each side lie outside the image. The mask's
                edge goes on there: what is moved at the image's border is moved beyond it as well.
        """
        return _opening(self, height, width, margin, like.device, like.dtype)


@lru_cache(maxsize=32)
def _opening(
    gate: Gate, height: int, width: int, margin: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """What `Gate.at` gives: layers and passes ask for the same few again and again, and a card would wait."""
    with torch.inference_mode(False):
        mask = gate.region.mask(height - 2 * margin, width - 2 * margin, check=False)
        if margin:
            mask = F.pad(mask[None, None], (margin,) * 4, mode="replicate")[0, 0]
        opened = (1.0 - gate.confine) + gate.confine * mask
        return opened.to(device=device, dtype=dtype)[None, None]


def gated(x: Tensor, gate: Gate | None, margin: int = 0) -> Tensor:
    """Features `(B, C, H, W)` times the gate at each place; as they are for None."""
    return x if gate is None else x * gate.at(x.shape[2], x.shape[3], x, margin)


class Style(NamedTuple):
    """A layer's style, `(B, S)`, and the moves added to it where their gates are open, each `(B, S)`."""

    base: Tensor
    moves: tuple[tuple[Gate, Tensor], ...] = ()


def modulate(x: Tensor, style: Style, margin: int = 0) -> Tensor:
    """Features `(B, S, H, W)`, of which `margin` on each side lie outside the image, times the style."""
    scale = style.base[:, :, None, None]
    for gate, delta in style.moves:
        scale = scale + gate.at(x.shape[2], x.shape[3], x, margin) * delta[:, :, None, None]
    return x * scale


def styled_energy(energy: Tensor, style: Style, height: int, width: int, margin: int = 0) -> Tensor:
    """`sum_i energy[o, i] s_i(x)^2` at each place x, `(B, O, H, W)`; `(B, O, 1, 1)` for a constant style.

    With a style that varies over the image as `s(x) = sum_i g_i(x) v_i`, this is the quadratic form
    `sum_ij g_i(x) g_j(x) energy (v_i * v_j)`: one small product for each pair.

    Args:
        energy: `(O, S)`, the squares of a layer's weights, summed over its kernel.
        height, width, margin: of the layer's output; see `Gate.at`.
    """
    base = style.base.to(energy)
    total = F.linear(base.square(), energy)[:, :, None, None]
    parts: list[tuple[Tensor | None, Tensor]] = [(None, base)]
    parts += [(gate.at(height, width, energy, margin), delta.to(energy)) for gate, delta in style.moves]
    for i, (gate_i, vector_i) in enumerate(parts):
        for j, (gate_j, vector_j) in enumerate(parts[max(i, 1) :], max(i, 1)):
            term = F.linear(vector_i * vector_j, energy)[:, :, None, None] * (1.0 if i == j else 2.0)
            for gate in (gate_i, gate_j):
                if gate is not None:
                    term = term * gate
            total = total + term
    return total


def widened(tensor: Tensor) -> Tensor:
    """Half precision as float32, for what needs its range or its digits."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
