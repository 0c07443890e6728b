"""The published code's forms against the literal formula in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models import image_of_vector, reference_jacobian, tiny_stylegan2
from older_gans import tiny_biggan, tiny_dcgan
from torch import Tensor
from torch.func import jacfwd

import resefa_core as resefa
from resefa_core import Latent, Region, RegionError, find_directions
from resefa_core.methods.published import published_vectors, untruncated

REGION = Region.from_box(0.25, 0.25, 0.5, 0.3)


def literal(jacobian: Tensor, hard: Tensor) -> np.ndarray:  # type: ignore[type-arg]
    """Directions `(d, d)` of a Jacobian `(d, C, h, w)`: inv(B) A, each Gram matrix over its rows."""
    fore = np.stack([channel[:, hard.numpy()] for channel in jacobian.movedim(1, 0).numpy()], axis=1)
    back = np.stack([channel[:, ~hard.numpy()] for channel in jacobian.movedim(1, 0).numpy()], axis=1)
    fore, back = (rows.reshape(len(jacobian), -1) for rows in (fore, back))
    a, b = (rows @ rows.T / rows.shape[1] for rows in (fore, back))
    values, vectors = np.linalg.eig(np.linalg.inv(b) @ a)
    return np.real(vectors).T[np.argsort(-np.real(values))]


@pytest.mark.parametrize("method", ["published", "published-large"])
@pytest.mark.parametrize("layers", [None, [1, 2]])
def test_directions_are_the_eigenvectors_of_the_literal_formula(
    method: str, layers: list[int] | None
) -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3, truncation=0.5)
    every = tuple(range(generator.num_layers))
    jacobian = reference_jacobian(generator, generator.sample(3), "w", every, 8)
    if method == "published-large":
        jacobian = jacobian.sum(dim=1, keepdim=True)
    expected = literal(jacobian, REGION.mask(16, 16) > 0.5)
    found = find_directions(generator, latent, REGION, method, num_directions=8, layers=layers)
    assert found.layers == (every if layers is None else tuple(layers))
    cosines = np.abs((found.vectors.double().numpy() * expected).sum(axis=1))
    np.testing.assert_allclose(cosines[:4], 1.0, atol=1e-2)
    assert found.truncation == 0.5


def test_above_256_pixels_every_nth_pixel_is_kept() -> None:
    generator = tiny_stylegan2(resolution=512, channels=2)
    latent = generator.sample(3)
    every = tuple(range(generator.num_layers))
    image = image_of_vector(generator, latent, "w", every)

    def small(vector: Tensor) -> Tensor:
        return F.interpolate(image(vector)[None], scale_factor=0.5)[0].sum(dim=0, keepdim=True)

    jacobian = jacfwd(small)(torch.zeros(8)).detach().movedim(-1, 0).double()
    expected = literal(jacobian, REGION.mask(256, 256) > 0.5)
    found = find_directions(generator, latent, REGION, "published-large", num_directions=3)
    cosines = np.abs((found.vectors.double().numpy() * expected[:3]).sum(axis=1))
    np.testing.assert_allclose(cosines, 1.0, atol=1e-2)


def test_several_images_are_solved_together() -> None:
    noise = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 5, 3, 4, 4, generator=noise)
    hard = torch.zeros(4, 4, dtype=torch.bool)
    hard[1:3, :2] = True
    together = published_vectors([first, second], hard)
    both = torch.cat([first, second], dim=1)
    cosines = np.abs((together.double().numpy() * literal(both.double(), hard)).sum(axis=1))
    np.testing.assert_allclose(cosines, 1.0, atol=1e-3)


def test_regions_without_pixels_and_a_rest_that_can_not_be_inverted_are_refused() -> None:
    noise = torch.Generator().manual_seed(0)
    matrix = torch.randn(4, 3, 4, 4, generator=noise)
    for hard in (torch.zeros(4, 4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool)):
        with pytest.raises(RegionError, match="no pixels inside"):
            published_vectors([matrix], hard)
    hard = torch.zeros(4, 4, dtype=torch.bool)
    hard[:2] = True
    still = matrix.clone()
    still[:, :, 2:] = 0.0
    with pytest.raises(RegionError, match="does not regularize"):
        published_vectors([still], hard)


def test_truncation_is_undone_and_moves_are_kept() -> None:
    generator = tiny_stylegan2()
    whole = generator.sample(3)
    for latent in (generator.sample(3, 0.5), generator.sample(3, 0.0), generator.sample(3, -0.5, None, 2)):
        torch.testing.assert_close(untruncated(generator, latent).codes, whole.codes)
        moved = replace(latent, codes=latent.codes + 0.25, style_offset=torch.ones(1, 7))
        found = untruncated(generator, moved)
        torch.testing.assert_close(found.codes, whole.codes + 0.25)
        assert found.style_offset is moved.style_offset
        assert (found.truncation, found.truncation_layers) == (1.0, None)
    assert untruncated(generator, whole) is whole
    mixed = replace(generator.sample(3, 0.5, None, 4), z=None, seed=None)
    torch.testing.assert_close(untruncated(generator, mixed).codes, whole.codes)


@pytest.mark.parametrize("make", [tiny_dcgan, tiny_biggan])
def test_truncation_is_undone_without_a_mapping_network(make: type[resefa.Generator]) -> None:
    generator = make()
    label = 2 if generator.num_classes else None
    whole = generator.sample(3, 1.0, label)
    for truncation in (0.5, 0.0):
        latent = generator.sample(3, truncation, label)
        torch.testing.assert_close(untruncated(generator, latent).codes, whole.codes)
    nothing = replace(generator.sample(3, 0.0, label), seed=None)
    assert isinstance(untruncated(generator, nothing), Latent)
