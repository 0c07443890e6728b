from __future__ import annotations

import gc
import weakref

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.analysis import DenseJacobian, budget
from resefa_core.evaluation.analyses import Analyses


def layered(num_layers: int = 4) -> resefa.WrappedGenerator:
    """Without a mapping network: z and z+."""
    torch.manual_seed(2)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * num_layers, 192), torch.nn.Tanh())
    return resefa.WrappedGenerator(
        lambda z: network(z).reshape(-1, 3, 8, 8), latent_dim=3, num_layers=num_layers
    )


@pytest.mark.parametrize("spaces", [("s", "w+", "w"), ("w+", "w"), ("w",), ("z+", "z")])
@pytest.mark.parametrize("layers", [None, (1, 2)])
def test_what_follows_from_a_wider_space_is_what_would_be_computed(
    spaces: tuple[str, ...], layers: tuple[int, ...] | None
) -> None:
    generator: resefa.Generator = layered() if "z" in spaces else tiny_stylegan2()
    latent = generator.sample(3, truncation=0.8)
    known = Analyses(generator, spaces)
    known.prepare(latent)
    for space in spaces:
        found = known(latent, space, layers)
        expected = resefa.compute_jacobian(generator, latent, space, layers, kind="dense")
        assert isinstance(found, DenseJacobian)
        assert isinstance(expected, DenseJacobian)
        scale = float(expected.matrix.abs().max())
        assert float((found.matrix - expected.matrix).abs().max()) < 2e-5 * scale
        trace = float(expected.gram().trace())
        assert float((found.gram() - expected.gram()).abs().max()) < 1e-5 * trace
        for name in ("space", "layers", "shape", "layer_sizes", "passes", "height", "width", "described"):
            assert getattr(found, name) == getattr(expected, name), name
    assert set(known.seconds) == {spaces[0]}


def test_only_the_widest_space_is_differentiated_and_only_once() -> None:
    generator = tiny_stylegan2()
    known = Analyses(generator, ("w", "s", "w+"))
    latent = generator.sample(3)
    known.prepare(latent)
    for space in ("w", "s", "w+", "w"):
        known(latent, space, None)
    assert {space: len(seconds) for space, seconds in known.seconds.items()} == {"s": 1}
    other = generator.sample(4)
    known(other, "w", None)
    assert {space: len(seconds) for space, seconds in known.seconds.items()} == {"s": 1, "w": 1}


def test_what_would_be_too_large_is_not_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2()
    monkeypatch.setattr(budget, "DEFAULT_BUDGET", 2 * 4 * 8 * 3 * 16 * 16)
    known = Analyses(generator, ("w", "w+"))
    latent = generator.sample(3)
    known.prepare(latent)
    assert set(known.seconds) == {"w"}
    assert known(latent, "w", None).kind == "dense"
    assert known(latent, "w+", None).kind == "matrix-free"


def test_analyses_go_with_the_last_who_holds_them() -> None:
    """They are too large to wait for the collector of cycles, which may not come for hundreds of images."""
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    gc.disable()
    try:
        known = Analyses(generator, ("w", "w+"))
        gone = [weakref.ref(known(latent, space, None)) for space in ("w+", "w")]
        gone.append(weakref.ref(known))
        del known
        assert [each() for each in gone] == [None, None, None]
    finally:
        gc.enable()
