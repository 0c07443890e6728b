"""Masks as arrays: read from what people give, resampled, blurred, and as PNG within JSON."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import RegionError

MAX_MASK_SIDE = 8192
EMBEDDED_SIDE = 512
_EMBEDDED_TEXT = 400_000
_PNG_URL = "data:image/png;base64,"


def coverage(start: float, stop: float, count: int) -> Tensor:
    """How much of each of `count` equal cells of [0, 1] lies in [start, stop]."""
    edges = torch.arange(count + 1, dtype=torch.float64) / count
    covered = (edges[1:].clamp(max=stop) - edges[:-1].clamp(min=start)).clamp(min=0.0) * count
    # Edges given as rounded decimals would otherwise leave traces in the neighbouring pixels.
    covered[covered < 1e-4] = 0.0
    covered[covered > 1.0 - 1e-4] = 1.0
    return covered.float()


def blur(size: int, sigma: float) -> Tensor:
    """A Gaussian blur of `size` pixels as a matrix; the first and the last pixel go on for ever."""
    if sigma < 0.1:
        return torch.eye(size)
    reach = math.ceil(3.0 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
    cumulative = F.pad(kernel.cumsum(0) / kernel.sum(), (1, 0))
    pixels = torch.arange(size)
    upto = cumulative[(pixels - pixels[:, None] + reach + 1).clamp(0, 2 * reach + 1)]
    upto[:, -1] = 1.0
    return upto.diff(dim=1, prepend=upto.new_zeros(size, 1)).float()


def resampled(values: Tensor, height: int, width: int) -> Tensor:
    """A mask `(H, W)` at another resolution: by areas where it shrinks, else smoothly."""
    known = values[None, None]
    if known.shape[2:] == (height, width):
        return values.clone()
    if height <= known.shape[2] and width <= known.shape[3]:
        return F.interpolate(known, size=(height, width), mode="area")[0, 0]
    return F.interpolate(known, size=(height, width), mode="bilinear", antialias=True, align_corners=False)[
        0, 0
    ]


def mask_values(mask: object) -> Tensor:
    """What was given as a mask, `(H, W)` in [0, 1]; see `Region.from_mask`."""
    try:
        array = _mask_array(mask)
    except (TypeError, ValueError, RuntimeError, OSError, SyntaxError) as error:
        raise RegionError(f"a mask was given that can't be read: {error}") from error
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array.squeeze(0 if array.shape[0] == 1 else 2)
    if array.ndim != 2 or 0 in array.shape or max(array.shape) > MAX_MASK_SIDE:
        raise RegionError(
            f"a mask of shape {array.shape} was given: expected (H, W) with sides up to {MAX_MASK_SIDE}"
        )
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255.0
    elif array.dtype != np.bool_ and not np.issubdtype(array.dtype, np.floating):
        raise RegionError(f"a mask of type {array.dtype} was given: expected bool, uint8 or floating")
    if not np.isfinite(array).all() or array.min() < -1e-4 or array.max() > 1.0 + 1e-4:
        raise RegionError("the mask has values outside [0, 1] (or not finite)")
    return torch.from_numpy(array.astype(np.float32).clip(0.0, 1.0))


def _mask_array(mask: object) -> np.ndarray[Any, Any]:
    if hasattr(mask, "convert") and hasattr(mask, "getextrema"):
        return _image_values(mask)
    if isinstance(mask, Tensor):
        mask = mask.detach().cpu()
        return (mask.float() if mask.is_floating_point() else mask).numpy()
    return np.asarray(mask)


def _image_values(image: Any) -> np.ndarray[Any, Any]:
    if max(image.size) > MAX_MASK_SIDE:
        raise RegionError(f"a mask of {image.size} pixels was given: sides may have up to {MAX_MASK_SIDE}")
    if image.mode == "F":
        return np.asarray(image)
    if image.mode.startswith("I"):
        return np.asarray(image) / 65535.0
    luminance = np.asarray(image.convert("L"))
    if "A" in image.getbands() and luminance.min() == luminance.max():
        return np.asarray(image.getchannel("A"))
    return luminance


def mask_to_json(mask: Tensor) -> dict[str, Any]:
    """A mask `(H, W)`, uint8, as JSON."""
    buffer = io.BytesIO()
    Image.fromarray(mask.numpy()).save(buffer, "PNG", optimize=True)
    return {"mask": _PNG_URL + base64.b64encode(buffer.getvalue()).decode("ascii")}


def mask_from_text(text: str) -> Image.Image:
    """Undo `mask_to_json`; the text may come from a stranger."""
    unreadable = "the painted mask can't be read: paint it again"
    if len(text) > _EMBEDDED_TEXT or not text.startswith(_PNG_URL):
        raise RegionError(unreadable)
    try:
        data = base64.b64decode(text[len(_PNG_URL) :], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if max(picture.size) > EMBEDDED_SIDE:
                raise RegionError(
                    f"the painted mask has {picture.size} pixels: at most {EMBEDDED_SIDE} a side"
                )
            return picture.convert("L")
    except (ValueError, OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise RegionError(unreadable) from error
