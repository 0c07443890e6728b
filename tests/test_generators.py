from __future__ import annotations

from typing import Any

import pytest
import torch
from dcgan import FACE_SEED, load_dcgan
from models import double, tiny_stylegan2, weight_modulated_image
from torch import nn

import resefa_core as resefa
from resefa_core.generators.linearization import Linearization
from resefa_core.generators.styles import Gate, Style


@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_stylegan2_draws_what_its_paper_states(resolution: int) -> None:
    generator = double(tiny_stylegan2(resolution))
    assert isinstance(generator, resefa.StyleGAN2)
    latent = generator.sample(3, truncation=0.8)
    codes = latent.codes + torch.randn(latent.codes.shape, generator=torch.Generator().manual_seed(0))
    image = generator.render([Style(generator.style(i, codes[:, i])) for i in range(generator.num_layers)])
    torch.testing.assert_close(image[0], weight_modulated_image(generator, codes[0]))


def test_the_bundled_generator_draws_what_the_stylegan2_paper_states(avatars: resefa.StyleGAN2) -> None:
    latent = avatars.sample(0, truncation=0.7)
    expected = weight_modulated_image(avatars, latent.codes[0])
    torch.testing.assert_close(avatars.synthesize(latent)[0], expected, atol=1e-4, rtol=0)


def test_a_resolution_has_two_layers_less_than_twice_its_exponent_and_its_rgb() -> None:
    generator = tiny_stylegan2(64)
    assert generator.num_layers == 10
    assert len(generator.layer_sizes) == 10


def test_classes_change_the_image_and_are_required_where_there_are_some() -> None:
    generator = tiny_stylegan2(c_dim=3)
    first, second = (generator.synthesize(generator.sample(0, label=label)) for label in (0, 2))
    assert not torch.allclose(first, second)
    with pytest.raises(resefa.LatentError, match="needs a class"):
        generator.sample(0)
    with pytest.raises(resefa.LatentError, match="out of range"):
        generator.sample(0, label=3)
    with pytest.raises(resefa.LatentError, match="no classes"):
        tiny_stylegan2().sample(0, label=1)


def test_images_of_a_batch_do_not_depend_on_each_other(avatars: resefa.Generator) -> None:
    together = avatars.synthesize(avatars.sample([1, 2], truncation=0.7))
    alone = avatars.synthesize(avatars.sample(2, truncation=0.7))
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=1e-4)


def test_the_written_out_derivative_equals_automatic_differentiation() -> None:
    generator = double(tiny_stylegan2(32))
    styles = generator.styles(generator.sample(1))
    written, automatic = generator.linearize(styles, None), Linearization(generator, styles, None)
    assert type(written) is not type(automatic)
    noise = torch.Generator().manual_seed(0)
    tangents = {
        i: torch.randn(3, style.base.shape[1], generator=noise, dtype=torch.float64)
        for i, style in enumerate(styles)
    }
    torch.testing.assert_close(written.push(tangents), automatic.push(tangents))
    for layer in range(generator.num_layers):
        alone = {layer: tangents[layer]}
        torch.testing.assert_close(written.push(alone), automatic.push(alone))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("confined", [False, True])
@pytest.mark.parametrize(
    "change", [{}, {"img_channels": 4}, {"img_channels": 1}, {"conv_clamp": 0.5}, {"init_res": (4, 6)}]
)
def test_the_written_out_transpose_equals_automatic_differentiation(
    dtype: torch.dtype, confined: bool, change: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    generator = resefa.StyleGAN2(
        z_dim=8, w_dim=8, img_resolution=16, num_mapping_layers=2, channel_base=128, **change
    ).to(dtype)
    styles = generator.styles(generator.sample(1))
    gate = Gate(resefa.Region.from_box(0.2, 0.3, 0.5, 0.4), 1.0) if confined else None
    written, automatic = generator.linearize(styles, None, gate), Linearization(generator, styles, None, gate)
    noise = torch.Generator().manual_seed(0)
    cotangents = torch.randn(3, 3, *generator.image_size, generator=noise, dtype=dtype)
    for layers in (list(range(generator.num_layers)), [0], [3], [2, 5]):
        found, wanted = written.pull(cotangents, layers), automatic.pull(cotangents, layers)
        assert sorted(found) == sorted(wanted) == layers
        for layer in layers:
            error = (found[layer] - wanted[layer]).norm() / wanted[layer].norm()
            assert float(error) < (2e-6 if dtype == torch.float32 else 1e-13)


def test_the_derivative_equals_finite_differences() -> None:
    generator = double(tiny_stylegan2(16))
    styles = generator.styles(generator.sample(1))
    tangents = {i: torch.ones_like(style.base) for i, style in enumerate(styles)}
    ahead, behind = (
        generator.render([Style(style.base + h * tangents[i]) for i, style in enumerate(styles)])
        for h in (1e-6, -1e-6)
    )
    pushed = generator.linearize(styles, None).push(tangents)
    torch.testing.assert_close(pushed, (ahead - behind) / 2e-6, atol=1e-6, rtol=1e-6)


def test_reverse_mode_is_the_transpose_of_forward_mode() -> None:
    generator = double(tiny_stylegan2(16))
    styles = generator.styles(generator.sample(1))
    derivative = generator.linearize(styles, None)
    noise = torch.Generator().manual_seed(0)
    layers = [1, 3, 4]
    tangents = {
        i: torch.randn(2, styles[i].base.shape[1], generator=noise, dtype=torch.float64) for i in layers
    }
    cotangents = torch.randn(4, 3, 16, 16, generator=noise, dtype=torch.float64)
    pulled = derivative.pull(cotangents, layers)
    backward = sum(pulled[i] @ tangents[i].T for i in layers)
    forward = cotangents.flatten(1) @ derivative.push(tangents).flatten(1).T
    torch.testing.assert_close(backward, forward)


def test_a_code_that_varies_over_the_image_is_demodulated_at_each_output_pixel() -> None:
    generator = double(tiny_stylegan2(16))
    layer = generator.get_submodule("synthesis.b16.conv1")
    kernel = generator.get_submodule("synthesis.b16").resample_filter
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(1, layer.weight.shape[1], 16, 16, generator=noise, dtype=torch.float64)
    base, first, second = (torch.randn(1, x.shape[1], generator=noise, dtype=torch.float64) for _ in range(3))
    gates = [
        Gate(resefa.Region.from_box(0.2, 0.3, 0.5, 0.4).feather(0.05), 1.0),
        Gate(resefa.Region.from_box(0.5, 0.0, 0.5, 0.6), 0.6),
    ]
    fields = [gate.at(16, 16, x) for gate in gates]
    out = layer(x, Style(base, ((gates[0], first), (gates[1], second))), kernel)
    style = base[..., None, None] + fields[0] * first[..., None, None] + fields[1] * second[..., None, None]
    convolved = torch.nn.functional.conv2d(x * style, layer.weight, padding=1)
    for row, column in ((0, 0), (5, 7), (9, 3), (15, 15)):
        weight = layer.weight * style[0, :, row, column][None, :, None, None]
        energy = weight.square().sum(dim=(1, 2, 3)) + 1e-8
        before = convolved[0, :, row, column] / energy.sqrt()
        before = before + layer.noise_const[row, column] * layer.noise_strength + layer.bias
        expected = torch.nn.functional.leaky_relu(before, 0.2) * 2**0.5
        torch.testing.assert_close(out[0, :, row, column], expected)


def test_the_fingerprint_is_of_the_weights_and_not_of_their_type() -> None:
    generator = tiny_stylegan2()
    fingerprint = generator.fingerprint
    assert tiny_stylegan2().half().fingerprint == fingerprint
    with torch.no_grad():
        generator.mapping.w_avg[0] += 1.0
    assert generator.fingerprint != fingerprint


def test_half_precision_does_not_overflow_where_styles_are_large() -> None:
    generator = tiny_stylegan2(16, channels=256)
    with torch.no_grad():
        for name, tensor in generator.named_parameters():
            if name.endswith("affine.bias"):
                tensor.mul_(8.0)
    expected = generator.synthesize(generator.sample(0))
    image = generator.half().synthesize(generator.sample(0))
    assert (image - expected).norm() < 0.05 * expected.norm()


def test_functions_are_told_apart_by_their_names() -> None:
    def paint(z: torch.Tensor) -> torch.Tensor:
        return z.reshape(-1, 3, 1, 1).expand(-1, 3, 4, 4)

    first, second = (resefa.WrappedGenerator(paint, 3, name=name) for name in ("first", "second"))
    assert first.fingerprint != second.fingerprint


def test_a_wrapped_function_becomes_a_generator() -> None:
    module = nn.Sequential(nn.Linear(5, 48), nn.Unflatten(1, (3, 4, 4)), nn.Tanh())
    generator = resefa.WrappedGenerator(module, latent_dim=5)
    assert (generator.resolution, generator.spaces, generator.num_layers) == (4, ("z",), 1)
    assert generator.synthesize(generator.sample([1, 2])).shape == (2, 3, 4, 4)
    grey = resefa.WrappedGenerator(
        lambda z: z.mean(dim=(1, 2)).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8), 5, 2
    )
    assert grey.spaces == ("z+", "z")
    assert grey.synthesize(grey.sample(0)).shape == (1, 3, 8, 8)
    with pytest.raises(resefa.CheckpointError, match="expected"):
        resefa.WrappedGenerator(lambda z: z, latent_dim=5)


def test_a_wrapped_generator_says_that_it_cannot_confine_edits() -> None:
    generator = load_dcgan()
    latent = generator.sample(FACE_SEED)
    region = resefa.Region.from_box(0.3, 0.3, 0.3, 0.3)
    directions = resefa.factorize(resefa.compute_jacobian(generator, latent), region, 2)
    with pytest.raises(resefa.LatentError, match="cannot confine"):
        resefa.edit(generator, latent, directions, {0: 1.0}, confine=1.0)


def test_unknown_names_say_what_is_bundled() -> None:
    with pytest.raises(resefa.CheckpointError, match="avatars"):
        resefa.load_generator("no-such-generator")


def test_a_generator_loads_under_inference_mode_and_can_still_be_analysed() -> None:
    with torch.inference_mode():
        generator = resefa.load_generator("avatars")
        latent = generator.sample(0, truncation=0.7)
        jacobian = resefa.compute_jacobian(generator, latent, "w", layers=[0])
    assert jacobian.trace > 0


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("all", tuple(range(10))),
        ("coarse", (0, 1, 2, 3)),
        ("Middle", (4, 5, 6, 7)),
        (" fine", (8, 9)),
        ("0-2, 7", (0, 1, 2, 7)),
        ("3", (3,)),
        ("5,1-2,2", (1, 2, 5)),
    ],
)
def test_layers_in_words(text: str, layers: tuple[int, ...], avatars: resefa.Generator) -> None:
    assert avatars.choose_layers(text) == layers


@pytest.mark.parametrize("text", ["", "two", "1-", "-1", "3-1", "8-10", "6-3, 1", "1;2", "0-9999", "٣"])
def test_layers_that_are_none_are_refused(text: str, avatars: resefa.Generator) -> None:
    with pytest.raises(resefa.LatentError):
        avatars.choose_layers(text)


def test_a_small_generator_has_no_fine_layers() -> None:
    with pytest.raises(resefa.LatentError, match="has no fine layers"):
        tiny_stylegan2(16).choose_layers("fine")
