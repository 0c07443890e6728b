"""StyleSpace against gradients that torch's autograd takes backwards."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from models import double, image_of_vector, reference_jacobian, tiny_stylegan2, tiny_stylegan3
from torch import Tensor

import resefa_core as resefa
from resefa_core import Generator, Latent, ParameterError, Region, RegionError, find_directions
from resefa_core.latents.samples import joint_samples
from resefa_core.methods import stylespace
from resefa_core.methods.stylespace import channels_of_convolutions, gradient_maps, overlaps

REGION = Region.from_box(0.25, 0.25, 0.5, 0.3)
LAYERS = (1, 2, 3)


def backward_gradients(generator: Generator, latent: Latent, side: int) -> Tensor:
    """The derivative along every channel of each pixel of the image, reduced to a side, `(S, 3, h, w)`: a
    pass backwards for each pixel."""
    precise, point = double(generator), latent.to("cpu", torch.float64)
    image = image_of_vector(precise, point, "s", LAYERS)
    size = sum(generator.layer_sizes[layer] for layer in LAYERS)

    def small(vector: Tensor) -> Tensor:
        return F.avg_pool2d(image(vector), generator.resolution // side)

    jacobian = torch.autograd.functional.jacobian(small, torch.zeros(size, dtype=torch.float64))
    assert isinstance(jacobian, Tensor)
    return jacobian.movedim(-1, 0)


@pytest.mark.parametrize("make", [tiny_stylegan2, tiny_stylegan3])
def test_maps_are_the_gradients_of_each_channel(make: type[Generator]) -> None:
    generator = make()
    latent = generator.sample(3)
    expected = backward_gradients(generator, latent, 4).abs().mean(dim=1)
    channels = torch.tensor([0, 3, 7, 20, len(expected) - 1])
    maps = gradient_maps(generator, latent, LAYERS, channels, (4, 4))
    torch.testing.assert_close(maps, expected[channels], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("overlap", [0, 1])
@pytest.mark.parametrize("make", [tiny_stylegan2, tiny_stylegan3])
def test_the_channels_with_the_largest_share_in_the_region_are_found(
    make: type[Generator], overlap: int
) -> None:
    generator = make()
    known = channels_of_convolutions(generator, LAYERS)
    mask = REGION.mask(4, 4)
    scores = []
    for seed in (3, 4):
        maps = backward_gradients(generator, generator.sample(seed), 4).abs().mean(dim=1)
        if overlap:
            count = int((mask > 0.5).sum())
            limits = maps.flatten(1).sort(dim=1, descending=True).values[:, count - 1]
            largest = maps >= limits[:, None, None]
            scores.append((largest & (mask > 0.5)).sum(dim=(1, 2)) / count)
        else:
            scores.append((maps * mask).sum(dim=(1, 2)) / maps.sum(dim=(1, 2)))
    score = torch.stack(scores).double().mean(dim=0)
    score[~known] = -1.0
    found = find_directions(
        generator,
        generator.sample(3),
        REGION,
        "stylespace",
        layers=LAYERS,
        num_directions=6,
        parameters={"num_samples": 2, "candidates": 0, "grid": 4, "overlap": overlap},
    )
    assert (found.space, found.num_samples, found.seeds) == ("s", 2, (3, 4))
    vectors = found.vectors
    assert bool(((vectors == 0) | (vectors == 1)).all())
    channels = vectors.argmax(dim=1)
    torch.testing.assert_close(score[channels], score.sort(descending=True).values[:6], rtol=1e-4, atol=1e-6)
    assert bool(known[channels].all())


def test_overlap_is_that_of_the_largest_pixels() -> None:
    mask = torch.tensor([[1.0, 1.0], [0.2, 0.0]])
    maps = torch.tensor([[[4.0, 3.0], [1.0, 2.0]], [[4.0, 1.0], [2.0, 3.0]], [[1.0, 2.0], [3.0, 4.0]]])
    assert overlaps(maps, mask).tolist() == [1.0, 0.5, 0.0]


def test_a_coarse_look_at_all_channels_estimates_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(3)
    squares = reference_jacobian(generator, latent, "s", LAYERS, 120).square().sum(dim=1)
    mask = REGION.mask(16, 16).double()
    exact = (squares * mask).sum(dim=(1, 2)) / squares.sum(dim=(1, 2))
    errors = []
    for probes in (16, 1024):
        monkeypatch.setattr(stylespace, "_PROBES", probes)
        guess = stylespace.probed_shares(generator, latent, REGION, LAYERS, None)
        errors.append(float((guess - exact).abs().mean()))
    assert errors[0] < 0.1
    assert errors[1] < 0.015


def test_the_coarse_look_keeps_the_best_channels(avatars: resefa.Generator) -> None:
    region = Region.preset("mouth")
    latent = avatars.sample(13, 0.7)

    def best(candidates: int) -> Tensor:
        parameters = {"num_samples": 1, "candidates": candidates}
        layers = (4, 5, 6)
        found = find_directions(
            avatars, latent, region, "stylespace", layers=layers, num_directions=4, parameters=parameters
        )
        return found.vectors.argmax(dim=1)

    assert best(48).tolist() == best(0).tolist()


def test_channels_of_to_rgb_and_of_the_placement_are_left_out() -> None:
    generator = tiny_stylegan2()
    last = generator.num_layers - 1
    known = channels_of_convolutions(generator, (1,))
    (rgb, (start, stop)), (convolution, (first, end)) = generator.style_slices(1)
    assert rgb.weight.shape[0] == 3
    assert convolution.weight.shape[2] == 3
    assert not bool(known[start:stop].any())
    assert bool(known[first:end].all())
    assert not bool(channels_of_convolutions(generator, (last,)).any())
    with pytest.raises(ParameterError, match="no channels"):
        find_directions(generator, generator.sample(0), REGION, "stylespace", layers=[last])
    other = tiny_stylegan3()
    for layer in range(other.num_layers):
        expected = 0 < layer < other.num_layers - 1
        assert bool(channels_of_convolutions(other, (layer,)).any()) == expected


def test_further_samples_are_drawn_as_the_first_was() -> None:
    generator = tiny_stylegan2(c_dim=4)
    given = (generator.sample(7, 0.5, 2, truncation_layers=3), generator.sample(9, 0.5, 2, 3))
    found = joint_samples(generator, given, 4)
    assert [latent.seed for latent in found] == [(7,), (9,), (10,), (11,)]
    expected = generator.sample(10, 0.5, 2, truncation_layers=3)
    torch.testing.assert_close(found[2].codes, expected.codes)
    assert len(joint_samples(generator, given, 1)) == 2
    assert joint_samples(generator, (generator.sample(2**32 - 1, label=0),), 2)[1].seed == (0,)
    imported = Latent(given[0].codes, label=given[0].label)
    assert joint_samples(generator, (imported,), 2)[1].seed == (0,)


def test_a_region_that_the_grid_loses_is_refused_for_the_overlap() -> None:
    generator = tiny_stylegan2()
    tiny = Region.from_box(0.5, 0.5, 1 / 16, 1 / 16)
    parameters = {"grid": 4, "overlap": 1, "num_samples": 1}
    with pytest.raises(RegionError, match="larger grid"):
        find_directions(generator, generator.sample(0), tiny, "stylespace", parameters=parameters)
    parameters["overlap"] = 0
    found = find_directions(
        generator, generator.sample(0), tiny, "stylespace", num_directions=8, parameters=parameters
    )
    assert len(found) == 8
