"""Which further images stand beside the one at hand, where several are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ..bounds import whole
from ..defaults import LARGEST_JOINT
from ..generators.base import Generator
from .points import Latent

SEEDS = 2**32
"""Seeds are whole numbers from 0 up to this, less one."""


def further_seeds(given: Sequence[Latent], count: int) -> list[int]:
    """The seeds that follow the largest one of some latents, from 0 where they have none."""
    last = max((seed for latent in given for seed in latent.seed or ()), default=-1)
    return [(last + 1 + index) % SEEDS for index in range(count)]


def like(generator: Generator, latent: Latent, seed: int) -> Latent:
    """Another sample of a seed, drawn as a latent was: with its truncation, and its first class."""
    label = None if latent.label is None else int(latent.label[0])
    return generator.sample(seed, latent.truncation, label, latent.truncation_layers)


def joint_samples(generator: Generator, given: Sequence[Latent], total: int) -> list[Latent]:
    """Latents to solve together: the given ones, and further ones drawn as the first was, by the seeds after
    the largest of theirs.

    Args:
        given: batches of one.
        total: how many latents there are to be in all; as many as are given at least.
    """
    further = further_seeds(given, total - len(given))
    return [*given, *(like(generator, given[0], seed) for seed in further)]


def check_samples(samples: object) -> int:
    """The number of images that are to be solved together, the one at hand among them.

    Raises:
        ParameterError: no whole number, or out of range.
    """
    return whole(samples, "samples", 1, LARGEST_JOINT)
