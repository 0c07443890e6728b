"""Generators: one file per architecture, one small base class, one registry."""

from __future__ import annotations

from .base import Generator
from .biggan import BigGAN
from .biggan_bottleneck import BottleneckBigGAN
from .biggan_deep import BigGANDeep
from .dcgan import DCGAN
from .description import GeneratorDescription
from .fastgan import FastGAN
from .lightweight_gan import LightweightGAN
from .pggan import PGGAN
from .registry import GENERATORS, PUBLISHED, register_generator
from .stylegan1 import StyleGAN1
from .stylegan2 import StyleGAN2
from .stylegan2_lucidrains import LucidrainsStyleGAN2
from .stylegan3 import StyleGAN3
from .stylegan_xl import StyleGANXL
from .wrapped import WrappedGenerator

__all__ = [
    "DCGAN",
    "GENERATORS",
    "PGGAN",
    "PUBLISHED",
    "BigGAN",
    "BigGANDeep",
    "BottleneckBigGAN",
    "FastGAN",
    "Generator",
    "GeneratorDescription",
    "LightweightGAN",
    "LucidrainsStyleGAN2",
    "StyleGAN1",
    "StyleGAN2",
    "StyleGAN3",
    "StyleGANXL",
    "WrappedGenerator",
    "register_generator",
]
