from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from models import tiny_stylegan2, tiny_stylegan3
from older_gans import TINY, sampled
from torch import Tensor

import resefa_core as resefa

GENERATORS: dict[str, Callable[[], resefa.Generator]] = {
    "stylegan2": tiny_stylegan2,
    "stylegan3": tiny_stylegan3,
    **TINY,
}


@pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)
def test_threads_that_analyse_at_once_find_what_each_finds_alone(
    make: Callable[[], resefa.Generator],
) -> None:
    generator = make()

    def columns(seed: int) -> Tensor:
        latent = sampled(generator, seed)
        space = "z" if "z" in generator.spaces else generator.spaces[0]
        return resefa.compute_jacobian(generator, latent, space, kind="dense").columns()

    seeds = range(4)
    alone = [columns(seed) for seed in seeds]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(columns, [*seeds] * 5))

    for seed, found in zip([*seeds] * 5, together, strict=True):
        torch.testing.assert_close(found, alone[seed], rtol=0, atol=0)
        assert found.any()
