from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
import scipy.special
import torch
from models import alias_free_image, double, reference_jacobian, slope_along, tiny_stylegan3
from torch import Tensor

import resefa_core as resefa
from resefa_core.analysis import DenseJacobian
from resefa_core.generators import stylegan3_grids as module
from resefa_core.generators import stylegan3_layers
from resefa_core.generators.linearization import Linearization
from resefa_core.generators.styles import Gate, Style

BOX = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)


def tangents_of(styles: list[Style], count: int = 2) -> dict[int, Tensor]:
    noise = torch.Generator().manual_seed(0)
    return {
        i: torch.randn(count, style.base.shape[1], generator=noise, dtype=torch.float64)
        for i, style in enumerate(styles)
    }


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_stylegan3_draws_what_its_paper_states(radial: bool, moved: bool) -> None:
    generator = double(tiny_stylegan3(radial, conv_clamp=1.5))
    assert isinstance(generator, resefa.StyleGAN3)
    if moved:
        inverse = torch.tensor([[1.5, 0.4, 0.1], [-0.2, 1.2, -0.05], [0.0, 0.0, 1.0]])
        generator = generator.transformed(inverse)
    latent = generator.sample(3, truncation=0.8)
    codes = latent.codes + torch.randn(latent.codes.shape, generator=torch.Generator().manual_seed(0))
    image = generator.render([Style(generator.style(i, codes[:, i])) for i in range(generator.num_layers)])
    torch.testing.assert_close(image[0], alias_free_image(generator, codes[0]))


def test_layers_are_named_and_sized_as_in_the_published_models() -> None:
    with torch.device("meta"):
        generator = resefa.StyleGAN3()
        rotating = resefa.StyleGAN3(
            img_resolution=256, conv_kernel=1, use_radial_filters=True, channel_base=65536, channel_max=1024
        )
    assert generator.synthesis.layer_names == [
        *("L0_36_512", "L1_36_512", "L2_52_512", "L3_52_512", "L4_84_512", "L5_148_512", "L6_148_512"),
        *("L7_276_323", "L8_276_203", "L9_532_128", "L10_1044_81", "L11_1044_51", "L12_1044_32"),
        *("L13_1024_32", "L14_1024_3"),
    ]
    assert generator.num_layers == 16
    assert generator.layer_sizes[:2] == (4, 512)
    shapes = {name: tuple(tensor.shape) for name, tensor in rotating.state_dict().items()}
    first = rotating.synthesis.layer_names[0]
    assert shapes[f"synthesis.{first}.down_filter"] == (12, 12)
    assert shapes[f"synthesis.{rotating.synthesis.layer_names[-2]}.down_filter"] == (12,)
    assert f"synthesis.{rotating.synthesis.layer_names[-1]}.up_filter" not in shapes


@pytest.mark.parametrize("taps", [1, 6, 12, 13, 24])
@pytest.mark.parametrize(
    ("cutoff", "half_width", "rate"), [(2.0, 6.0, 32), (128.0, 29.6, 512), (3.0, 0.3, 64)]
)
def test_low_pass_filters_are_those_of_scipy(taps: int, cutoff: float, half_width: float, rate: int) -> None:
    expected = scipy.signal.firwin(taps, cutoff, width=2 * half_width, fs=rate)
    found = module.lowpass_filter(taps, cutoff, half_width, rate)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    beta = scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(taps, 2 * half_width / (rate / 2)))
    window = np.kaiser(taps, beta)
    places = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.hypot(*np.meshgrid(places, places)) + 1e-12
    disc = scipy.special.j1(2 * np.pi * cutoff * radius) / radius * np.outer(window, window)
    found = module.radial_lowpass_filter(taps, cutoff, half_width, rate)
    np.testing.assert_allclose(found, disc / disc.sum(), atol=1e-7)


def test_a_radial_filter_is_the_same_in_every_direction_and_a_separable_one_is_not() -> None:
    taps, cutoff, half_width, rate = 12, 8.0, 8.0, 64
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    spread = []
    one = module.lowpass_filter(taps, cutoff, half_width, rate).double()
    for kernel in (module.radial_lowpass_filter(taps, cutoff, half_width, rate).double(), one[:, None] * one):
        responses = []
        for angle in np.linspace(0.0, math.pi / 4, 7):
            wave_x = torch.cos(2 * math.pi * 12.0 * math.cos(angle) * places)
            wave_y = torch.cos(2 * math.pi * 12.0 * math.sin(angle) * places)
            responses.append(float(wave_y @ kernel @ wave_x))
        spread.append(max(responses) - min(responses))
    assert spread[0] < 0.02
    assert spread[1] > 5 * spread[0]


def test_moving_the_input_moves_the_image_to_the_right_and_down() -> None:
    generator = tiny_stylegan3(resolution=32, margin_size=8)
    latent = generator.sample(1)
    image = generator.synthesize(latent)
    moved = generator.placed((0.25, 0.5)).synthesize(latent)
    torch.testing.assert_close(moved[..., 20:28, 12:28], image[..., 4:12, 4:20], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(moved[..., 4:12, 4:20], image[..., 20:28, 12:28], atol=1e-2)


def test_a_quarter_turn_of_the_input_is_one_of_the_image_where_filters_are_radial() -> None:
    generator = tiny_stylegan3(radial=True)
    latent = generator.sample(1)
    turned = generator.placed(rotate=90.0).synthesize(latent)
    torch.testing.assert_close(turned, generator.synthesize(latent).rot90(1, (2, 3)), atol=1e-5, rtol=1e-4)


def test_a_placed_generator_shares_weights_but_is_another_and_keeps_its_place_when_saved() -> None:
    generator = tiny_stylegan3()
    before = generator.fingerprint
    placed = generator.placed((0.1, 0.0), 15.0)
    assert generator.synthesis.input.weight.data_ptr() == placed.synthesis.input.weight.data_ptr()
    assert placed.fingerprint != before == generator.fingerprint == placed.placed().fingerprint
    loaded = tiny_stylegan3(seed=1)
    loaded.load_state_dict(placed.state_dict())
    assert loaded.fingerprint == placed.fingerprint
    latent = generator.sample(0)
    torch.testing.assert_close(loaded.synthesize(latent), placed.synthesize(latent))
    placed.double()
    assert {tensor.dtype for tensor in generator.state_dict().values()} == {torch.float32}
    with pytest.raises(resefa.ParameterError, match="finite"):
        generator.placed((float("nan"), 0.0))


def test_the_fingerprint_tells_output_scales_apart() -> None:
    assert tiny_stylegan3().fingerprint != tiny_stylegan3(output_scale=1.0).fingerprint


def test_sizes_that_no_such_network_has_are_refused() -> None:
    for wrong in ({"resolution": 24}, {"num_critical": 0}, {"num_critical": 4}, {"conv_kernel": 2}):
        with pytest.raises(ValueError, match=r"expected|power of two"):
            tiny_stylegan3(**wrong)  # type: ignore[arg-type]


def test_classes_change_the_image_and_images_of_a_batch_do_not_depend_on_each_other() -> None:
    generator = tiny_stylegan3(c_dim=3)
    together = generator.synthesize(generator.sample([4, 5], label=[0, 2]))
    alone = generator.synthesize(generator.sample(5, label=2))
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(generator.synthesize(generator.sample(5, label=0)), alone, atol=1e-2)


@pytest.mark.parametrize("radial", [False, True])
def test_channels_taken_in_parts_give_the_same_image_and_derivative(
    radial: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = tiny_stylegan3(radial, channels=10)
    styles = generator.styles(generator.sample(0))
    tangents = {i: tangent.float() for i, tangent in tangents_of(styles).items()}
    results = []
    for floats in (1, 1 << 30):
        monkeypatch.setattr(stylegan3_layers, "_PART_FLOATS", floats)
        derivative = generator.linearize(styles, None)
        results.append((derivative.image, derivative.push(tangents)))
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("radial", [False, True])
def test_the_written_out_derivative_equals_automatic_differentiation(radial: bool) -> None:
    generator = double(tiny_stylegan3(radial, channels=3, margin_size=2, conv_clamp=1.0))
    styles = generator.styles(generator.sample(1))
    written, automatic = generator.linearize(styles, None), Linearization(generator, styles, None)
    assert type(written) is not type(automatic)
    tangents = tangents_of(styles)
    torch.testing.assert_close(written.push(tangents), automatic.push(tangents))
    for layer in range(generator.num_layers):
        alone = {layer: tangents[layer]}
        torch.testing.assert_close(written.push(alone), automatic.push(alone))
    assert written.nbytes > automatic.nbytes


@pytest.mark.parametrize("radial", [False, True])
def test_the_derivative_equals_finite_differences(radial: bool) -> None:
    """Rounding in float64 makes the differences' error some eps / h, 1e-9; a longer step crosses the kink of
    a leaky ReLU here, which costs 5e-7."""
    generator = double(tiny_stylegan3(radial, channels=3, margin_size=2))
    styles = generator.styles(generator.sample(1))
    tangents = tangents_of(styles, 1)
    ahead, behind = (
        generator.render([Style(style.base + h * tangents[i]) for i, style in enumerate(styles)])
        for h in (1e-7, -1e-7)
    )
    pushed = generator.linearize(styles, None).push(tangents)
    torch.testing.assert_close(pushed, (ahead - behind) / 2e-7, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("confined", [False, True])
def test_the_written_out_transpose_equals_automatic_differentiation(radial: bool, confined: bool) -> None:
    generator = double(tiny_stylegan3(radial, channels=3, margin_size=2, conv_clamp=0.5))
    styles = generator.styles(generator.sample(1))
    gate = Gate(resefa.Region.from_box(0.2, 0.3, 0.5, 0.4), 1.0) if confined else None
    written, automatic = generator.linearize(styles, None, gate), Linearization(generator, styles, None, gate)
    noise = torch.Generator().manual_seed(0)
    cotangents = torch.randn(3, 3, 16, 16, generator=noise, dtype=torch.float64)
    for layers in (list(range(generator.num_layers)), [0], [3], [2, 5]):
        found, wanted = written.pull(cotangents, layers), automatic.pull(cotangents, layers)
        assert sorted(found) == sorted(wanted) == layers
        for layer in layers:
            torch.testing.assert_close(found[layer], wanted[layer])


def test_reverse_mode_is_the_transpose_of_forward_mode() -> None:
    generator = double(tiny_stylegan3(radial=True, channels=3, margin_size=2))
    styles = generator.styles(generator.sample(1))
    derivative = generator.linearize(styles, None)
    tangents = tangents_of(styles)
    noise = torch.Generator().manual_seed(1)
    cotangents = torch.randn(3, 3, 16, 16, generator=noise, dtype=torch.float64)
    pulled = derivative.pull(cotangents, list(tangents))
    backward = sum(pulled[i] @ tangents[i].T for i in tangents)
    forward = cotangents.flatten(1) @ derivative.push(tangents).flatten(1).T
    torch.testing.assert_close(backward, forward)


@pytest.mark.parametrize(
    ("space", "layers"), [("w", None), ("w+", None), ("s", None), ("z", None), ("w+", (0, 2)), ("s", (1, 4))]
)
def test_the_dense_jacobian_equals_jacfwd_over_everything(space: str, layers: tuple[int, ...] | None) -> None:
    generator = tiny_stylegan3(radial=space == "s", channels=2, margin_size=2)
    latent = generator.sample(2, truncation=0.8, truncation_layers=3)
    found = resefa.compute_jacobian(generator, latent, space, layers, kind="dense")
    assert isinstance(found, DenseJacobian)
    expected = reference_jacobian(generator, latent, space, found.layers, found.dimension)
    torch.testing.assert_close(found.matrix.double(), expected, atol=2e-4, rtol=1e-3)


def test_a_gate_covers_the_margin_with_the_edge_of_its_mask() -> None:
    like = torch.zeros(())
    field = Gate(resefa.Region.from_box(0.0, 0.25, 0.5, 0.5), 1.0).at(12, 12, like, margin=2)[0, 0]
    expected = torch.zeros(12, 12)
    expected[4:8, :6] = 1.0
    torch.testing.assert_close(field, expected)
    inner = Gate(BOX.feather(0.1), 0.5).at(12, 12, like, margin=2)[..., 2:-2, 2:-2]
    torch.testing.assert_close(inner, Gate(BOX.feather(0.1), 0.5).at(8, 8, like))


def test_a_confined_code_is_modulated_and_demodulated_at_each_place_of_the_layers_own_grid() -> None:
    generator = double(tiny_stylegan3())
    layer = generator.synthesis.layer(3)
    noise = torch.Generator().manual_seed(0)
    source = layer.source
    x = torch.randn(1, source.channels, source.size, source.size, generator=noise, dtype=torch.float64)
    base, delta = (torch.randn(1, source.channels, generator=noise, dtype=torch.float64) for _ in range(2))
    style = Style(base, ((Gate(BOX, 1.0), delta),))

    def styles_on(size: int) -> Tensor:
        """The style at each place of a grid of the source's rate around the image's centre."""
        places = 0.5 + (torch.arange(size) - (size - 1) / 2) / source.rate
        rows, columns = ((places >= 0.25) & (places <= stop) for stop in (0.625, 0.75))
        assert 0 < rows.sum() < columns.sum() < size
        return base[..., None, None] + delta[..., None, None] * (rows[:, None] & columns)

    scaled = x * styles_on(source.size) / layer.magnitude_ema.sqrt()
    convolved = torch.nn.functional.conv2d(scaled, layer.weight, padding=2)
    energy = layer.weight.square().sum(dim=(2, 3))
    scale = (2.0 / torch.einsum("oi,bihw->bohw", energy, styles_on(source.size + 2).square())).sqrt()
    expected = layer.resample(torch.addcmul(layer.shift(), convolved, scale))
    torch.testing.assert_close(layer(x, style), expected)


def test_confining_the_inputs_motion_moves_what_is_inside_and_nothing_outside() -> None:
    generator = tiny_stylegan3()
    layer = generator.synthesis.input
    base, delta = torch.tensor([[1.0, 0.2, 0.1, 0.0]]), torch.tensor([[-0.3, 0.4, 0.2, -0.1]])
    gate = Gate(BOX, 1.0)
    mixed = layer(Style(base, ((gate, delta),)))
    inside = gate.at(layer.grid.size, layer.grid.size, mixed, layer.grid.margin)
    assert set(inside.unique().tolist()) >= {0.0, 1.0}
    for value, open_at in ((base, 0.0), (base + delta, 1.0)):
        chosen = (inside == open_at).expand_as(mixed)
        torch.testing.assert_close(mixed[chosen], layer(Style(value))[chosen])


@pytest.mark.parametrize("radial", [False, True])
def test_a_confined_edit_leaks_less_and_more_confinement_leaks_still_less(radial: bool) -> None:
    generator = tiny_stylegan3(radial, resolution=64, num_layers=6)
    latent = generator.sample(1)
    region = resefa.Region.from_box(0.25, 0.25, 0.5, 0.5)
    jacobian = resefa.compute_jacobian(generator, latent, "w", [4, 5, 6], kind="dense")
    directions = resefa.factorize(jacobian, region, 1)
    before = generator.synthesize(latent)[0]
    mask = region.mask(64, 64)
    shares = []
    for confine in (0.0, 0.5, 1.0):
        after = resefa.edit(generator, latent, directions, {0: 1.0}, confine=confine)[0]
        square = (after - before).square().mean(dim=0)
        shares.append(float((square * mask).mean() / (square * (1 - mask)).mean()))
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 5 * shares[0]


def test_an_edit_confined_by_nothing_is_the_plain_edit_and_confined_steps_are_true() -> None:
    generator = tiny_stylegan3()
    latent = generator.sample(0)
    directions = resefa.factorize(resefa.compute_jacobian(generator, latent, "w+"), BOX, 2)
    directions = resefa.with_confined_steps(generator, latent, directions)
    plain = resefa.edit(generator, latent, directions, {0: 2.0})
    barely = resefa.move(latent, directions, {0: 2.0}, confine=1e-9)
    torch.testing.assert_close(generator.synthesize(barely), plain, atol=1e-4, rtol=1e-3)
    image, mask = generator.synthesize(latent)[0], BOX.mask(16, 16)
    for confine in (0.0, 1.0):
        change = resefa.edit(generator, latent, directions, {0: 0.01}, confine=confine)[0] - image
        inside = float((change.square().mean(dim=0) * mask).sum() / mask.sum())
        assert inside**0.5 == pytest.approx(0.001, rel=0.1)


@pytest.mark.parametrize("radial", [False, True])
def test_the_whole_path_from_a_seed_to_a_confined_edit(radial: bool, tmp_path) -> None:  # type: ignore[no-untyped-def]
    generator = tiny_stylegan3(radial, c_dim=2).placed((0.05, 0.0), 10.0)
    latent = generator.sample(7, truncation=0.7, label=1)
    layers = [0, 2, 3]
    free = resefa.compute_jacobian(generator, latent, layers=layers, kind="matrix-free")
    directions = resefa.factorize(free, BOX, 2)
    full = resefa.compute_jacobian(generator, latent, layers=layers, kind="dense")
    dense = resefa.factorize(full, BOX, 2)
    assert float(directions.eigenvalues[0]) == pytest.approx(float(dense.eigenvalues[0]), rel=0.05)
    assert directions.matches(generator)
    strips = resefa.sweep(generator, latent, directions, (-1.0, 0.0, 1.0))
    assert strips.shape == (2, 3, 3, 16, 16)
    torch.testing.assert_close(strips[0, 1:2], generator.synthesize(latent))
    torch.testing.assert_close(strips[1, 2:], resefa.edit(generator, latent, directions, {1: 1.0}))
    directions = resefa.with_confined_steps(generator, latent, directions)
    moved = resefa.move(latent, directions, {0: 2.0}, confine=1.0, feather=0.05)
    moved.save(tmp_path / "latent.safetensors")
    loaded = resefa.Latent.load(tmp_path / "latent.safetensors")
    image = generator.synthesize(loaded)
    torch.testing.assert_close(image, generator.synthesize(moved), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(image, generator.synthesize(latent), atol=1e-3)
    again = resefa.compute_jacobian(generator, moved, "w", [2], kind="dense")
    assert isinstance(again, DenseJacobian)
    unit = torch.zeros_like(moved.codes)
    unit[0, 2, 0] = 1.0
    slope = slope_along(generator, moved, unit)[0].float()
    torch.testing.assert_close(again.matrix[0], slope, atol=2e-4, rtol=1e-3)


def test_weights_stored_in_half_precision_draw_nearly_the_same_image() -> None:
    generator = tiny_stylegan3()
    latent = generator.sample(0)
    expected = generator.synthesize(latent)
    image = tiny_stylegan3().half().synthesize(latent)
    assert (image - expected).norm() < 0.02 * expected.norm()


def test_rates_and_sizes_rise_to_the_images() -> None:
    grids = module.plan_grids(256, 3, 32768, 512, 14, 2, 2.0, 2.0**2.1, 2.0**0.3, 10)
    assert (grids[0].rate, grids[0].size, grids[-1].size, grids[-1].channels) == (16, 36, 256, 3)
    assert all(first.rate <= second.rate for first, second in pairwise(grids))
    assert all(grid.margin == (10 if grid.size != 256 else 0) for grid in grids)
