"""Generators: one file per architecture, one small base class."""

from __future__ import annotations

from .base import Generator
from .biggan import BigGAN
from .biggan_deep import BigGANDeep
from .dcgan import DCGAN
from .pggan import PGGAN
from .stylegan2 import StyleGAN2
from .stylegan3 import StyleGAN3
from .wrapped import WrappedGenerator

__all__ = [
    "DCGAN",
    "PGGAN",
    "BigGAN",
    "BigGANDeep",
    "Generator",
    "StyleGAN2",
    "StyleGAN3",
    "WrappedGenerator",
]
