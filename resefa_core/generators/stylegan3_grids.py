"""How StyleGAN3's layers sample what they draw: grids, and the filters between them.

Signals are continuous in space: every layer has a sampling rate and a band limit, and its grid reaches
over the image's border by a margin. All grids share the image's centre, so that a place of the image is
the same place in every layer, whatever the transform that the first code or the user gives the input.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Grid(NamedTuple):
    """How a layer samples its output (Section 3.2, "Flexible layer specifications").

    Attributes:
        rate: samples per image width.
        size: samples per side, the margin on both sides included.
        cutoff, half_width: where its band ends, and half the width of the transition, in cycles per
            image width.
        channels: how many features.
    """

    rate: int
    size: int
    cutoff: float
    half_width: float
    channels: int

    @property
    def margin(self) -> int:
        """Samples on each side that lie outside the image."""
        return (self.size - self.rate) // 2


def plan_grids(
    img_resolution: int,
    img_channels: int,
    channel_base: int,
    channel_max: int,
    num_layers: int,
    num_critical: int,
    first_cutoff: float,
    first_stopband: float,
    last_stopband_rel: float,
    margin_size: int,
) -> list[Grid]:
    """The output grids of the layers, the to-RGB layer last; the first is the Fourier features' as well.

    Cutoffs and stopbands rise geometrically from layer to layer, up to the critically sampled ones; the
    rate is the next power of two that holds the stopband.

    Raises:
        ValueError: sizes that no such network has.
    """
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise ValueError(f"resolution {img_resolution} is not a power of two, 4 or more")
    if not 1 <= num_critical < num_layers or margin_size < 0:
        raise ValueError(
            f"{num_layers} layers, {num_critical} of them critically sampled, with a margin of "
            f"{margin_size}: expected 1 to {num_layers - 1} critical ones, and 0 or more"
        )
    last_cutoff = img_resolution / 2
    last_stopband = last_cutoff * last_stopband_rel
    grids = []
    for index in range(num_layers + 1):
        exponent = min(index / (num_layers - num_critical), 1.0)
        cutoff = first_cutoff * (last_cutoff / first_cutoff) ** exponent
        stopband = first_stopband * (last_stopband / first_stopband) ** exponent
        rate = 2 ** max(0, math.ceil(math.log2(min(2.0 * stopband, img_resolution))))
        last = index >= num_layers - 1
        channels = round(min(channel_base / 2 / cutoff, channel_max))
        grids.append(
            Grid(
                rate=rate,
                size=img_resolution if last else rate + 2 * margin_size,
                cutoff=cutoff,
                half_width=max(stopband, rate / 2) - cutoff,
                channels=img_channels if index == num_layers else channels,
            )
        )
    return grids


def lowpass_filter(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """A Kaiser-windowed low-pass filter of unit sum, `(taps,)`, float32 (Appendix C).

    Args:
        cutoff, half_width: where the band ends and half the width of the transition, in the unit of
            `rate`.
    """
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    kernel = torch.sinc(2.0 * cutoff * places) * _kaiser_window(taps, half_width, rate)
    return (kernel / kernel.sum()).float()


def radial_lowpass_filter(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """The low-pass filter that is the same in every direction but for its window, of unit sum,
    `(taps, taps)`, float32: `J1(2 pi f r) / r`, the transform of a disc (Appendix C)."""
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    angle = 2.0 * math.pi * cutoff * torch.hypot(places[:, None], places[None, :])
    disc = torch.where(angle == 0.0, 0.5, torch.special.bessel_j1(angle) / angle)
    window = _kaiser_window(taps, half_width, rate)
    kernel = disc * window[:, None] * window[None, :]
    return (kernel / kernel.sum()).float()


def _kaiser_window(taps: int, half_width: float, rate: float) -> Tensor:
    """Kaiser's window for a transition of twice `half_width`, by his formulas for its attenuation (dB)
    and its shape."""
    attenuation = 2.285 * (taps - 1) * math.pi * (2.0 * half_width / (rate / 2.0)) + 7.95
    if attenuation > 50.0:
        shape = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21.0:
        shape = 0.5842 * (attenuation - 21.0) ** 0.4 + 0.07886 * (attenuation - 21.0)
    else:
        shape = 0.0
    return torch.kaiser_window(taps, periodic=False, beta=shape, dtype=torch.float64)
