"""The types of the pack's sockets, and the check that a value is what its socket promises."""

from __future__ import annotations

from typing import Any, TypeVar

from comfy_api.latest import io

GAN = io.Custom("RESEFA_GAN")
GANLatent = io.Custom("RESEFA_LATENT")
GANRegion = io.Custom("RESEFA_REGION")
GANDirections = io.Custom("RESEFA_DIRECTIONS")
StyleGANLatent = io.Custom("STYLEGAN_LATENT")
StyleGANDirections = io.Custom("STYLEGAN_DIRECTIONS")

_T = TypeVar("_T")


def expect(value: Any, kind: type[_T], source: str) -> _T:
    """The value, known to be of its socket's kind.

    Args:
        source: the node that makes such values, for the error.

    Raises:
        TypeError: it is something else, which only a socket of any type or an API call can bring here.
    """
    if not isinstance(value, kind):
        raise TypeError(f"expected what the node {source} gives, got a {type(value).__name__}")
    return value
