"""The small pictures in direction files."""

from __future__ import annotations

import base64
import binascii
import io

from PIL import Image

THUMBNAIL_SIDE = 256


def decoded(uri: str | None) -> bytes | None:
    """Decode and encode again, so that nothing but pixels comes through; None if it is no picture."""
    if uri is None or not uri.startswith("data:image/") or ";base64," not in uri[:40]:
        return None
    try:
        return reencoded(base64.b64decode(uri.split(",", 1)[1], validate=True))
    except binascii.Error:
        return None


def reencoded(data: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            if max(picture.size) > 4 * THUMBNAIL_SIDE:
                return None
            return encode_thumbnail(picture)
    except Exception:  # Pillow raises many kinds on damaged pictures
        return None


def encode_thumbnail(picture: Image.Image) -> bytes:
    """A PNG of at most 256 x 256."""
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
