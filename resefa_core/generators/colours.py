"""Colour channels: what generators draw beside RGB, as the image that everything else sees."""

from __future__ import annotations

from torch import Tensor

IMAGE_CHANNELS = (1, 3, 4)
"""Grey, RGB, RGB with opacity."""

_BACKGROUND = 1.0


def as_rgb(image: Tensor) -> Tensor:
    """An image of 1, 3 or 4 channels in [-1, 1] as RGB, `(B, 3, H, W)`: grey repeated, and what is not opaque
    over white."""
    channels = image.shape[1]
    if channels == 1:
        return image.expand(-1, 3, -1, -1)
    if channels == 3:
        return image
    return _BACKGROUND + opacity(image) * (image[:, :3] - _BACKGROUND)


def opacity(image: Tensor) -> Tensor:
    """The opacity of an image of 4 channels, `(B, 1, H, W)` in [0, 1]."""
    return (0.5 * (image[:, 3:] + 1.0)).clamp(0.0, 1.0)


def check_channels(channels: int) -> None:
    """Raise ValueError unless images of so many channels can be shown."""
    if channels not in IMAGE_CHANNELS:
        raise ValueError(f"it has {channels} colour channels: expected 1 (grey), 3 (RGB) or 4 (RGB, opacity)")
