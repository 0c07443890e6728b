"""GANSpace against numpy's singular vectors of the same samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models import tiny_stylegan2, tiny_stylegan3
from older_gans import TINY, sampled
from torch import Tensor

from resefa_core import Generator, ParameterError, Region, find_directions

REGION = Region.from_box(0.25, 0.25, 0.5, 0.3)
COUNT = 1300


def directions(generator: Generator, label: int | None) -> np.ndarray:  # type: ignore[type-arg]
    latent = generator.sample(3, label=label)
    parameters = {"candidates": 0, "num_samples": COUNT}
    found = find_directions(generator, latent, REGION, "ganspace", num_directions=512, parameters=parameters)
    return found.vectors.double().numpy()


@pytest.mark.parametrize("make", [tiny_stylegan2, tiny_stylegan3])
@pytest.mark.parametrize("classes", [0, 3])
def test_with_a_mapping_network_they_are_principal_components_of_w(
    make: type[Generator], classes: int
) -> None:
    generator = make(c_dim=classes)  # type: ignore[call-arg]
    label = 1 if classes else None
    samples = generator.sample(list(range(COUNT)), 1.0, label).codes[:, 0].double().numpy()
    _, sizes, components = np.linalg.svd(samples - samples.mean(axis=0), full_matrices=False)
    assert (sizes[:-1] / sizes[1:]).min() > 1.005
    found = directions(generator, label)
    np.testing.assert_allclose(np.abs((found * components).sum(axis=1)), 1.0, atol=1e-4)


def first_features(generator: Generator, name: str, codes: Tensor) -> Tensor:
    """What the first layer makes of codes `(n, D)`, `(n, features)`."""
    weights = generator.state_dict()
    if name == "dcgan":
        return F.conv_transpose2d(codes[:, :, None, None], weights["convolutions.0.weight"]).flatten(1)
    if name == "pggan":
        normal = codes / codes.square().mean(dim=1, keepdim=True).sqrt()
        kernel = weights["layer0.weight"] * generator.get_submodule("layer0").scale
        return F.conv2d(normal[:, :, None, None], kernel, padding=3).flatten(1)
    if name == "biggan":
        return F.linear(codes, weights["linear.weight"], weights["linear.bias"])
    embedding = weights["embeddings.weight"][:, 2].expand(len(codes), -1)
    both = torch.cat([codes, embedding], dim=1)
    return F.linear(both, weights["generator.gen_z.weight"], weights["generator.gen_z.bias"])


@pytest.mark.parametrize("name", ["dcgan", "pggan", "biggan", "biggan-deep"])
def test_without_one_they_are_regressed_on_the_components_of_the_first_features(name: str) -> None:
    generator = TINY[name]()
    label = 2 if generator.num_classes else None
    codes = generator.sample(list(range(COUNT)), 1.0, label).codes[:, 0]
    features = first_features(generator, name, codes).double().numpy()
    left, sizes, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    kept = sizes > 1e-5 * sizes[0]
    coordinates = left[:, kept] * np.sqrt(COUNT)
    expected = np.linalg.lstsq(coordinates, codes.double().numpy(), rcond=None)[0]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = directions(generator, label)
    if name == "biggan":
        assert not found[:, 1:].any()
        found = found[:, 0]
    assert len(found) == generator.latent_dim
    np.testing.assert_allclose(np.abs((found * expected[: len(found)]).sum(axis=1)), 1.0, atol=1e-4)


def test_layers_without_the_first_one_are_refused_where_it_has_a_code_of_its_own() -> None:
    generator = TINY["biggan"]()
    with pytest.raises(ParameterError, match="layer 0"):
        find_directions(generator, sampled(generator), REGION, "ganspace", layers=[1, 2])
    generator = TINY["biggan-deep"]()
    found = find_directions(
        generator, sampled(generator), REGION, "ganspace", layers=[1, 2], parameters={"num_samples": 100}
    )
    assert (found.space, found.layers) == ("z", (1, 2))
