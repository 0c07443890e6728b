"""Generators: one file per architecture, one small base class."""

from __future__ import annotations

from .base import Generator
from .stylegan2 import StyleGAN2
from .stylegan3 import StyleGAN3
from .wrapped import WrappedGenerator

__all__ = ["Generator", "StyleGAN2", "StyleGAN3", "WrappedGenerator"]
