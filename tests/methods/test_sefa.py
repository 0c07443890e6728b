"""SeFa against weights read by name and numpy's eigenvectors."""

from __future__ import annotations

import numpy as np
import pytest
from models import tiny_stylegan2, tiny_stylegan3
from numpy.typing import NDArray
from older_gans import TINY, sampled

from resefa_core import Generator, Region, find_directions

REGION = Region.from_box(0.25, 0.25, 0.5, 0.3)
Matrix = NDArray[np.float64]


def weights_of(name: str) -> tuple[Generator, list[Matrix]]:
    """A generator and, layer by layer, what its codes are multiplied by: `(outputs, D)`."""
    generator = {"stylegan2": tiny_stylegan2, "stylegan3": tiny_stylegan3, **TINY}[name]()
    state = {key: tensor.double().numpy() for key, tensor in generator.state_dict().items()}
    if name == "stylegan2":
        layers = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b16.torgb"]
        return generator, [state[f"synthesis.{layer}.affine.weight"] for layer in layers]
    if name == "stylegan3":
        affine = [key for key in state if key.endswith("affine.weight")]
        return generator, [state[key] for key in affine]
    if name == "dcgan":
        kernel = state["convolutions.0.weight"]
        return generator, [kernel.reshape(kernel.shape[0], -1).T]
    if name == "pggan":
        kernel = state["layer0.weight"]
        places = [kernel[:, :, row, column] for row in range(4) for column in range(4)]
        return generator, [np.concatenate(places)]
    size = generator.latent_dim
    if name == "biggan":
        norms = [f"blocks.{i}.0.bn{n}" for i in (0, 1) for n in (1, 2)]
        parts = [
            np.concatenate([state[f"{n}.{part}.weight"][:, 7:] for part in ("gain", "bias")]) for n in norms
        ]
        return generator, [
            state["linear.weight"],
            np.concatenate(parts[:2]),
            np.concatenate(parts[2:]),
        ]
    blocks = sorted({key.split(".")[2] for key in state if ".bn_0." in key}, key=int)
    maps = [state["generator.gen_z.weight"][:, :size]]
    for block in blocks:
        names = [
            f"generator.layers.{block}.bn_{n}.{part}.weight" for n in range(4) for part in ("scale", "offset")
        ]
        maps.append(np.concatenate([state[each][:, :size] for each in names]))
    return generator, maps


@pytest.mark.parametrize("layers", [None, [1, 3]], ids=["all layers", "two layers"])
@pytest.mark.parametrize("name", ["stylegan2", "stylegan3", "dcgan", "pggan", "biggan", "biggan-deep"])
def test_directions_are_eigenvectors_of_the_normalized_weights(name: str, layers: list[int] | None) -> None:
    generator, maps = weights_of(name)
    assert len(maps) == generator.num_layers
    chosen = [layer for layer in layers or range(generator.num_layers) if layer < generator.num_layers]
    if not chosen or (layers and len(chosen) < len(layers)):
        chosen = list(range(generator.num_layers))
    parts = [maps[layer] for layer in chosen]
    normalized = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    if name == "biggan":
        size = generator.latent_dim
        whole = np.zeros((sum(len(part) for part in parts), size * len(parts)))
        row = 0
        for index, part in enumerate(normalized):
            whole[row : row + len(part), index * size : (index + 1) * size] = part
            row += len(part)
    else:
        whole = np.concatenate(normalized)

    latent = generator.sample(3) if name.startswith("style") else sampled(generator)
    found = find_directions(
        generator,
        latent,
        REGION,
        "sefa",
        num_directions=whole.shape[1],
        layers=chosen,
        parameters={"candidates": 0},
    )
    vectors = found.vectors.flatten(1).double().numpy()
    assert len(vectors) == whole.shape[1]
    values = np.sort(np.linalg.eigvalsh(whole.T @ whole))[::-1]
    np.testing.assert_allclose(whole.T @ whole @ vectors.T, vectors.T * values, atol=1e-4 * values[0])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=1e-5)
    moved = np.linalg.norm(whole @ vectors[0])
    noise = np.random.default_rng(0).standard_normal((1000, whole.shape[1]))
    others = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    assert moved > np.linalg.norm(whole @ others.T, axis=0).max()
