"""BigGAN-deep, BigGAN, DCGAN and PGGAN: what they draw, their derivatives, files, classes and edits."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import older_gans
import pytest
import safetensors.torch
import scipy.stats
import torch
import torch.nn.functional as F
from dcgan import DATA, FACE_SEED, MOUTH, load_dcgan
from models import double, reference_jacobian
from older_gans import TINY, sampled, save, tiny_biggan, tiny_dcgan, tiny_deep, tiny_pggan
from test_hostile_checkpoints import watched

import resefa_core as resefa
from resefa_core import DCGAN, PGGAN, BigGAN, BigGANDeep, CheckpointError, Generator, LatentError
from resefa_core.checkpoints import convert_generator, describe
from resefa_core.checkpoints.spectral import without_torch_norms
from resefa_core.checkpoints.weights import Lazy
from resefa_core.cli import main
from resefa_core.generators.biggan_deep import published_layers
from resefa_core.generators.classes import find_name, imagenet_names
from resefa_core.generators.styles import Style
from resefa_core.latents import draw_truncated_noise

BOX = resefa.Region.from_box(0.25, 0.25, 0.375, 0.375)
NAMES = list(TINY)


def apart(generator: Generator) -> resefa.Latent:
    """A latent with another code for each layer."""
    latent = sampled(generator)
    noise = torch.Generator().manual_seed(4)
    return replace(latent, codes=latent.codes + torch.randn(latent.codes.shape, generator=noise))


@pytest.mark.parametrize("truncation", [0.0, 0.4, 0.5, 0.87, 1.0])
def test_biggan_deep_draws_what_was_published(truncation: float) -> None:
    generator = tiny_deep()
    latent = replace(apart(generator), truncation=truncation)
    precise = double(generator)
    image = precise.render(precise.styles(latent), precise.condition(latent))[0]
    expected = older_gans.deep_image(generator, latent.codes[0].double(), 2, truncation)
    torch.testing.assert_close(image, expected, atol=1e-6, rtol=1e-5)
    assert image.std() > 0.02


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("biggan ") or name == "biggan"])
def test_biggan_draws_what_was_published(name: str) -> None:
    generator = TINY[name]()
    assert isinstance(generator, BigGAN)
    latent = apart(generator)
    precise = double(generator)
    image = precise.render(precise.styles(latent), precise.condition(latent))[0]
    expected = older_gans.biggan_image(generator, latent.codes[0].double(), 2)
    torch.testing.assert_close(image, expected)


def test_dcgan_is_a_sequence_of_layers() -> None:
    generator = tiny_dcgan()
    layers: list[torch.nn.Module] = []
    for index, (inputs, outputs) in enumerate([(9, 16), (16, 8), (8, 3)]):
        stride, padding = (1, 0) if index == 0 else (2, 1)
        layers.append(torch.nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False))
        layers += [torch.nn.BatchNorm2d(outputs), torch.nn.ReLU()] if index < 2 else [torch.nn.Tanh()]
    sequence = torch.nn.Sequential(*layers).eval()
    ours = list(generator.state_dict().values())
    state = sequence.state_dict()
    convolutions, norms = ours[:3], [ours[3:7], ours[7:11]]
    for index, weight in enumerate(convolutions):
        state[f"{3 * index}.weight"].copy_(weight)
    for index, tensors in enumerate(norms):
        for part, tensor in zip(("weight", "bias", "running_mean", "running_var"), tensors, strict=True):
            state[f"{3 * index + 1}.{part}"].copy_(tensor)
    latent = sampled(generator)
    with torch.no_grad():
        expected = sequence(latent.codes[:, 0, :, None, None])
    torch.testing.assert_close(generator.synthesize(latent), expected)


@pytest.mark.parametrize("fused", [False, True])
def test_pggan_draws_what_its_paper_states(fused: bool) -> None:
    generator = double(tiny_pggan(fused))
    weights = generator.state_dict()
    latent = sampled(generator)

    def norm(x: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()

    z = norm(norm(latent.codes[:, 0].double()))
    kernel = weights["layer0.weight"].flip(2, 3) * (2.0 / (9 * 16)) ** 0.5
    x = torch.einsum("bi,oiyx->boyx", z, kernel) + weights["layer0.bias"][:, None, None]
    x = F.leaky_relu(x, 0.2)
    for index in range(1, 6):
        weight, bias = weights[f"layer{index}.weight"], weights[f"layer{index}.bias"]
        x = norm(x)
        if index in (2, 4) and fused:
            scaled = weight * (2.0 / (weight.shape[0] * 9)) ** 0.5
            wide = torch.zeros(*weight.shape[:2], 4, 4, dtype=torch.float64)
            for row in range(2):
                for column in range(2):
                    wide[:, :, row : row + 3, column : column + 3] += scaled
            x = F.conv_transpose2d(x, wide, bias, stride=2, padding=1)
        else:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3) if index in (2, 4) else x
            x = F.conv2d(x, weight * (2.0 / (weight.shape[1] * 9)) ** 0.5, bias, padding=1)
        x = F.leaky_relu(x, 0.2)
    expected = F.conv2d(norm(x), weights["output.weight"] / 6**0.5, weights["output.bias"])
    torch.testing.assert_close(generator.synthesize(latent).double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_equals_finite_differences_and_automatic_differentiation(name: str) -> None:
    generator = TINY[name]()
    latent = apart(generator)
    precise = double(generator)
    styles, condition = precise.styles(latent.to("cpu", torch.float64)), precise.condition(latent)
    noise = torch.Generator().manual_seed(0)
    tangents = {
        i: torch.randn(style.base.shape, generator=noise, dtype=torch.float64)
        for i, style in enumerate(styles)
    }
    ahead, behind = (
        precise.render([Style(style.base + h * tangents[i]) for i, style in enumerate(styles)], condition)
        for h in (1e-6, -1e-6)
    )
    derivative = precise.linearize(styles, condition)
    pushed = derivative.push(tangents)
    torch.testing.assert_close(pushed, (ahead - behind) / 2e-6, atol=1e-6, rtol=1e-5)
    cotangents = torch.randn(2, *pushed.shape[1:], generator=noise, dtype=torch.float64)
    pulled = derivative.pull(cotangents, list(tangents))
    backward = sum(pulled[i] @ tangents[i].T for i in tangents)
    torch.testing.assert_close(backward, cotangents.flatten(1) @ pushed.flatten(1).T)


@pytest.mark.parametrize(("name", "space"), [("biggan-deep", "z"), ("biggan", "z+"), ("dcgan", "z")])
def test_the_dense_jacobian_is_that_of_the_definition(name: str, space: str) -> None:
    generator = TINY[name]()
    latent = sampled(generator)
    jacobian = resefa.compute_jacobian(generator, latent, space, kind="dense")
    assert isinstance(jacobian, resefa.analysis.DenseJacobian)
    expected = reference_jacobian(
        generator, latent, space, tuple(range(generator.num_layers)), jacobian.dimension
    )
    torch.testing.assert_close(jacobian.matrix.double(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_path(name: str, tmp_path: Path) -> None:
    source = TINY[name]()
    file = save(tmp_path, source)
    generator = resefa.load_generator(file)
    latent = sampled(generator)
    torch.testing.assert_close(generator.synthesize(latent), source.synthesize(sampled(source)))
    assert generator.spaces == source.spaces

    converted = tmp_path / "converted.safetensors"
    convert_generator(file / "pytorch_model.bin" if file.is_dir() else file, converted)
    again = resefa.load_generator(converted)
    assert again.fingerprint == generator.fingerprint
    assert torch.equal(again.synthesize(latent), generator.synthesize(latent))
    assert describe(converted)["resolution"] == generator.resolution
    assert describe(converted)["parameters"] > 0

    jacobian = resefa.compute_jacobian(generator, latent)
    directions = resefa.factorize(jacobian, BOX, 2)
    directions.save(tmp_path / "directions.safetensors")
    directions = resefa.Directions.load(tmp_path / "directions.safetensors")
    strips = resefa.sweep(generator, latent, directions, (-2.0, 0.0, 2.0))
    torch.testing.assert_close(strips[0, 1], generator.synthesize(latent)[0])
    moved = resefa.move(latent, directions, {0: 2.0})
    moved.save(tmp_path / "latent.safetensors")
    edited = again.synthesize(resefa.Latent.load(tmp_path / "latent.safetensors"))
    torch.testing.assert_close(edited[0], strips[0, 2], atol=1e-5, rtol=1e-4)
    change = (edited - generator.synthesize(latent)).square().mean(dim=1)[0]
    assert change.max() > 1e-4
    if not generator.can_confine:
        with pytest.raises(LatentError, match="do not vary over the image"):
            resefa.edit(generator, latent, directions, {0: 1.0}, confine=1.0)


@pytest.mark.parametrize("make", [tiny_deep, tiny_biggan])
def test_a_code_that_varies_over_the_image_is_the_codes_of_its_places(make) -> None:  # type: ignore[no-untyped-def]
    generator = double(make())
    latent = sampled(generator)
    noise = torch.Generator().manual_seed(5)
    delta = torch.randn(latent.codes.shape, generator=noise, dtype=torch.float64)
    halves = [resefa.Region.from_box(left, 0.0, 0.5, 1.0) for left in (0.0, 0.5)]
    confined = replace(
        latent, confined=tuple(resefa.latents.ConfinedMove(half, 1.0, delta) for half in halves)
    )
    everywhere = replace(latent, codes=latent.codes + delta)
    torch.testing.assert_close(generator.synthesize(confined), generator.synthesize(everywhere))

    last = torch.zeros_like(delta)
    last[:, -1] = delta[:, -1]
    corner = resefa.Region.from_box(0.0, 0.0, 0.25, 0.25)
    before = generator.synthesize(latent)
    inside = generator.synthesize(replace(latent, confined=(resefa.latents.ConfinedMove(corner, 1.0, last),)))
    changed = (inside - before).abs().amax(dim=(0, 1)) > 1e-7
    assert changed[:4, :4].any()
    assert not changed[10:].any()
    assert not changed[:, 10:].any()


def test_confining_keeps_an_edit_local_up_to_what_attention_and_coarse_layers_carry() -> None:
    generator = tiny_deep()
    latent = sampled(generator)
    directions = resefa.factorize(resefa.compute_jacobian(generator, latent), BOX, 1)
    before = generator.synthesize(latent)
    mask = BOX.mask(16, 16)
    ratios = []
    for confine in (0.0, 1.0):
        change = (resefa.edit(generator, latent, directions, {0: 1.0}, confine) - before).square().mean(1)[0]
        ratios.append(
            float((change * mask).sum() / mask.sum() / ((change * (1 - mask)).sum() / (1 - mask).sum()))
        )
    assert ratios[1] > 1.5 * ratios[0]


@pytest.mark.parametrize("name", [name for name in NAMES if "biggan" in name])
def test_the_class_stays_while_the_noise_moves(name: str) -> None:
    generator = TINY[name]()
    with pytest.raises(LatentError, match="needs a class"):
        generator.sample(1, 0.5)
    latents = [generator.sample(1, 0.5, label=label) for label in range(3)]
    images = [generator.synthesize(latent) for latent in latents]
    assert (images[0] - images[1]).abs().max() > 1e-3
    directions = resefa.factorize(resefa.compute_jacobian(generator, latents[0]), BOX, 1)
    for latent, image in zip(latents, images, strict=True):
        moved = resefa.move(latent, directions, {0: 2.0})
        assert torch.equal(moved.label, latent.label)
        assert (generator.synthesize(moved) - image).abs().max() > 1e-3
    bare = replace(latents[0], label=None)
    for call in (generator.synthesize, lambda latent: resefa.compute_jacobian(generator, latent)):
        with pytest.raises(LatentError, match="needs a class"):
            call(bare)


def test_noise_is_drawn_as_the_published_sampler_draws_it() -> None:
    for seed in (0, 7):
        state = np.random.RandomState(seed)
        expected = scipy.stats.truncnorm.rvs(-2, 2, size=(1, 40), random_state=state)
        np.testing.assert_allclose(draw_truncated_noise([seed], 40).numpy(), expected, atol=1e-6)
    generator = tiny_deep()
    latent = generator.sample([7, 8], 0.5, label=[1, 2])
    torch.testing.assert_close(latent.codes[0, 3], 0.5 * draw_truncated_noise([7], 6)[0])


@pytest.mark.parametrize("truncation", [-0.1, 1.1])
def test_biggan_deep_has_no_statistics_beyond_its_truncations(truncation: float) -> None:
    generator = tiny_deep()
    with pytest.raises(LatentError, match=r"\[0, 1\]"):
        generator.sample(0, truncation, label=0)
    with pytest.raises(LatentError, match=r"\[0, 1\]"):
        generator.synthesize(replace(sampled(generator), truncation=truncation))


def test_biggan_takes_its_noise_apart() -> None:
    generator = tiny_biggan()
    assert (generator.num_layers, generator.latent_dim, generator.spaces) == (3, 4, ("z+",))
    noise = resefa.latents.draw_noise([3], 12)
    torch.testing.assert_close(sampled(generator, 3, 1.0).codes.flatten(1), noise)


@pytest.mark.parametrize(("resolution", "layers"), [(128, 11), (256, 13), (512, 15)])
def test_the_published_sizes(resolution: int, layers: int) -> None:
    with torch.device("meta"):
        generator = BigGANDeep(layers=published_layers(resolution))
    assert (generator.resolution, generator.num_layers) == (resolution, layers)


def test_spectral_norms_are_those_of_pytorch() -> None:
    torch.manual_seed(0)
    layer = torch.nn.utils.spectral_norm(torch.nn.Conv2d(5, 4, 3)).eval()
    lazies = {
        f"layer.{name}": Lazy(tuple(t.shape), t.dtype, lambda t=t: t.detach())  # type: ignore[misc]
        for name, t in layer.state_dict().items()
    }
    layer(torch.zeros(1, 5, 3, 3))
    torch.testing.assert_close(without_torch_norms(lazies)["layer.weight"].read(), layer.weight.detach())


def test_without_a_configuration_every_second_block_doubles_the_size(tmp_path: Path) -> None:
    folder = older_gans.save_deep(tmp_path / "deep", tiny_deep())
    expected = resefa.load_generator(folder)
    assert expected.name == "deep"
    (folder / "config.json").unlink()
    alone = resefa.load_generator(folder / "pytorch_model.bin")
    assert torch.equal(alone.synthesize(sampled(alone)), expected.synthesize(sampled(expected)))


def test_safetensors_under_hugging_faces_names(tmp_path: Path) -> None:
    folder = older_gans.save_deep(tmp_path / "deep", tiny_deep())
    expected = resefa.load_generator(folder)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    safetensors.torch.save_file({n: t.contiguous() for n, t in state.items()}, folder / "model.safetensors")
    (folder / "pytorch_model.bin").unlink()
    assert resefa.load_generator(folder).fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"z_dim": 7}, "z_dim is 7; by its tensors 6"),
        ({"n_stats": 1 << 40}, "n_stats"),
        ({"layers": [[False, 4, 4]]}, "what its 4 blocks are"),
        ({"layers": [[0, 4, 4]] * 4}, "which blocks double"),
        ({"channel_width": 0}, "multiples of 0"),
        ({"eps": -1.0}, "eps is -1.0"),
        ({"eps": "x" * 100}, "eps is no number"),
        ({"noise": True}, "not known here"),
        ({"output_dim": 128}, "output_dim is 128"),
    ],
)
def test_a_configuration_that_is_not_that_of_the_tensors_is_refused(
    config: dict[str, object], said: str, tmp_path: Path
) -> None:
    folder = older_gans.save_deep(tmp_path / "deep", tiny_deep(), **config)
    with pytest.raises(CheckpointError, match=said):
        resefa.load_generator(folder)


@pytest.mark.parametrize("text", ["", "[]", "[" * 50_000, "{" + " " * (1 << 17) + "}", "\x00\xff"])
def test_a_damaged_configuration_is_refused(text: str, tmp_path: Path) -> None:
    folder = older_gans.save_deep(tmp_path / "deep", tiny_deep())
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError):
        resefa.load_generator(folder)


@pytest.mark.parametrize("name", ["biggan-deep", "biggan", "dcgan", "pggan"])
def test_damaged_state_dicts_are_refused(name: str, tmp_path: Path) -> None:
    file = save(tmp_path, TINY[name]())
    file = file / "pytorch_model.bin" if file.is_dir() else file
    root = torch.load(file, weights_only=True)
    state = root.get("generator_smooth", root)
    random = np.random.RandomState(0)
    names = sorted(state)
    for index in range(40):
        damaged = dict(state)
        victim = names[random.randint(len(names))]
        kind = index % 4
        if kind == 0:
            del damaged[victim]
        elif kind == 1:
            damaged[victim] = torch.full_like(state[victim], float("nan"), dtype=torch.float32)
        elif kind == 2:
            damaged[victim] = torch.zeros(3, 5, 2)
        else:
            damaged[victim] = torch.zeros(1).expand(10**6, 10**6)
        torch.save({"generator_smooth": damaged} if root is not state else damaged, file)
        try:
            loaded = resefa.load_generator(file)
        except CheckpointError:
            continue
        assert bool(loaded.synthesize(sampled(loaded)).isfinite().all()), victim


class Evil:
    """Runs a command where a pickle is executed."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize("name", ["biggan-deep", "biggan", "dcgan", "pggan"])
def test_nothing_in_a_file_is_run(name: str, tmp_path: Path) -> None:
    file = save(tmp_path, TINY[name]())
    if file.is_dir():
        (file / "config.json").unlink()
        file = file / "pytorch_model.bin"
    root = torch.load(file, weights_only=True)
    root.get("generator_smooth", root)["evil.weight"] = Evil()
    torch.save(root, file)
    given, seen = watched(file, resefa.load_generator)
    assert isinstance(given, CheckpointError)
    assert not seen


def test_a_small_file_can_not_ask_for_a_huge_image(tmp_path: Path) -> None:
    state = {f"{i}.weight": torch.ones(1, 1, 4, 4) for i in range(14)}
    safetensors.torch.save_file(state, tmp_path / "a.safetensors", {"init_kwargs": '{"activation": "relu"}'})
    with pytest.raises(CheckpointError, match="larger than 2048 pixels"):
        resefa.load_generator(tmp_path / "a.safetensors")


def test_standing_statistics_are_divided_by_their_number(tmp_path: Path) -> None:
    plain = resefa.load_generator(older_gans.save_biggan(tmp_path / "plain.pth", tiny_biggan()))
    summed = resefa.load_generator(older_gans.save_biggan(tmp_path / "sums.pth", tiny_biggan(), standing=16))
    torch.testing.assert_close(
        summed.synthesize(sampled(summed)), plain.synthesize(sampled(plain)), atol=1e-6, rtol=1e-5
    )


def test_a_converted_tf_hub_module_has_its_own_epsilon(tmp_path: Path) -> None:
    file = older_gans.save_biggan(tmp_path / "G.pth", tiny_biggan())
    state = {n: t for n, t in torch.load(file, weights_only=True).items() if not n.endswith("sv0")}
    torch.save(state, tmp_path / "hub.pth")
    for name, eps in (("G.pth", 1e-5), ("hub.pth", 1e-4)):
        arguments = json.loads(describe(tmp_path / name)["arguments"])
        assert arguments["eps"] == eps


def test_variants_that_are_not_read_are_named(tmp_path: Path) -> None:
    file = older_gans.save_biggan(tmp_path / "G.pth", tiny_biggan())
    state = torch.load(file, weights_only=True)
    torch.save({**state, "blocks.0.0.bn1.bn.running_mean": torch.zeros(12)}, file)
    with pytest.raises(CheckpointError, match="across replicas"):
        resefa.load_generator(file)
    torch.save({**state, "blocks.0.0.conv4.weight": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="own BigGAN-deep"):
        resefa.load_generator(file)
    with pytest.raises(CheckpointError, match="half grown"):
        resefa.load_generator(older_gans.save_pggan(tmp_path / "p.pth", tiny_pggan(), lod=1.5))


def test_pggan_of_the_gan_zoo(tmp_path: Path) -> None:
    noise = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=noise)

    state = {"formatLayer.module.weight": drawn(16 * 6, 5), "formatLayer.module.bias": drawn(16 * 6)}
    for name, inputs, outputs, side in (
        ("groupScale0.0", 6, 6, 3),
        ("scaleLayers.0.0", 6, 4, 3),
        ("scaleLayers.0.1", 4, 4, 3),
        ("toRGBLayers.0", 6, 3, 1),
        ("toRGBLayers.1", 4, 3, 1),
    ):
        state[f"{name}.module.weight"] = drawn(outputs, inputs, side, side)
        state[f"{name}.module.bias"] = drawn(outputs)
    torch.save({"config": {"depth": 2}, "avgG": state}, tmp_path / "pgan.pth")
    generator = resefa.load_generator(tmp_path / "pgan.pth")
    assert isinstance(generator, PGGAN)
    latent = sampled(generator)

    def norm(x: torch.Tensor) -> torch.Tensor:
        return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()

    def layer(x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = state[f"{name}.module.weight"], state[f"{name}.module.bias"]
        if weight.ndim == 2:
            return (x @ weight.T + bias) * (2.0 / weight.shape[1]) ** 0.5
        y = F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
        return y * (2.0 / weight[0].numel()) ** 0.5

    x = F.leaky_relu(layer(norm(latent.codes[:, 0]), "formatLayer"), 0.2).reshape(1, 6, 4, 4)
    x = norm(F.leaky_relu(layer(norm(x), "groupScale0.0"), 0.2))
    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    for part in ("scaleLayers.0.0", "scaleLayers.0.1"):
        x = norm(F.leaky_relu(layer(x, part), 0.2))
    torch.testing.assert_close(generator.synthesize(latent), layer(x, "toRGBLayers.1"), atol=1e-4, rtol=1e-4)


def test_a_dcgan_without_batch_norm_needs_its_activation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = DCGAN((4, 8, 3), norms=[False], activation="clamp", slope=0.9, noise_range=(-1.0, 0.9))
    state = source.state_dict()
    safetensors.torch.save_file(state, tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match="what follows its convolutions is not known"):
        resefa.load_generator(tmp_path / "bare.safetensors")
    given = {"activation": "clamp", "slope": 0.9, "noise_range": [-1.0, 0.9]}
    safetensors.torch.save_file(state, tmp_path / "told.safetensors", {"init_kwargs": json.dumps(given)})
    loaded = resefa.load_generator(tmp_path / "told.safetensors")
    torch.testing.assert_close(loaded.synthesize(loaded.sample(1)), source.synthesize(source.sample(1)))
    given["activation"] = "__import__"
    safetensors.torch.save_file(state, tmp_path / "evil.safetensors", {"init_kwargs": json.dumps(given)})
    with pytest.raises(CheckpointError, match="activation"):
        resefa.load_generator(tmp_path / "evil.safetensors")


def test_a_discriminator_is_no_dcgan(tmp_path: Path) -> None:
    state = {
        f"main.{i}.weight": torch.zeros(o, c, 4, 4) for i, (o, c) in enumerate([(8, 3), (16, 8), (1, 16)])
    }
    torch.save(state, tmp_path / "netD.pth")
    with pytest.raises(CheckpointError, match="not a generator that is known here"):
        resefa.load_generator(tmp_path / "netD.pth")


def test_a_trained_dcgan_from_its_file(tmp_path: Path) -> None:
    expected = load_dcgan()
    state = safetensors.torch.load_file(DATA / "dcgan_celeba64" / "generator.safetensors")
    given = {"activation": "clamp", "slope": 15 / 16, "noise_range": [-1.0, 0.992]}
    file = tmp_path / "faces.safetensors"
    safetensors.torch.save_file(state, file, {"init_kwargs": json.dumps(given)})
    generator = resefa.load_generator(file)
    latent = generator.sample(FACE_SEED)
    torch.testing.assert_close(
        generator.synthesize(latent), expected.synthesize(expected.sample(FACE_SEED)), atol=1e-4, rtol=1e-4
    )
    region = resefa.Region.from_box(*MOUTH)
    directions = resefa.factorize(resefa.compute_jacobian(generator, latent), region, 1)
    assert directions.inside[0] > 3.0 * directions.outside[0]


def test_classes_in_words() -> None:
    names = imagenet_names()
    assert len(names) == len({name.lower() for name in names}) == 1000
    assert (names[0], names[207], names[933], names[999]) == (
        "tench",
        "golden retriever",
        "cheeseburger",
        "toilet tissue",
    )
    for words, index in (
        ("golden retriever", 207),
        ("Golden  Retriever", 207),
        ("samoyed", 258),
        ("tabby", 281),
        ("tibetan mast", 244),
        ("volcano", 980),
        ("crane (bird)", 134),
    ):
        assert find_name(words, names) == index, words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("retriever", r"not one alone: flat-coated retriever \(205\)"),
        ("crane", r"crane \(bird\) \(134\), crane \(machine\) \(517\)"),
        ("golden retreiver", r"close to it: golden retriever \(207\)"),
        ("xyzzy", "a name like tench"),
        ("", "there is no class"),
        ("x" * 10_000, "there is no class"),
        ("1000", "there is no class"),
        ("(", "not one alone"),
    ],
)
def test_words_that_name_no_class_or_several(words: str, said: str) -> None:
    with pytest.raises(LatentError, match=said) as caught:
        find_name(words, imagenet_names())
    assert len(str(caught.value)) < 500


def test_classes_of_generators() -> None:
    generator = BigGANDeep(4, 1000, 8, ((True, 1, 1),), -1, n_stats=2)
    assert generator.find_class("golden retriever") == generator.find_class(" 207 ") == 207
    assert len(generator.class_names) == 1000
    assert tiny_deep().find_class("3") == 3
    with pytest.raises(LatentError, match="names of this biggan-deep's classes are not known"):
        tiny_deep().find_class("tench")
    with pytest.raises(LatentError, match="has no classes"):
        tiny_dcgan().find_class("tench")


def test_classes_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    generator = BigGANDeep(4, 1000, 16, ((True, 1, 1),), -1, n_stats=6)
    state = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    given = {"channel_width": 16, "layers": [[True, 1, 1]]}
    file = tmp_path / "deep.safetensors"
    safetensors.torch.save_file(state, file, {"init_kwargs": json.dumps(given)})

    def generate(name: str, *options: str) -> int:
        where = str(tmp_path / name)
        return main(["generate", "-g", str(file), "--seeds", "1", "-o", where, *options])

    assert generate("words.png", "--class", "golden retriever") == 0
    assert generate("number.png", "--label", "207") == 0
    assert generate("other.png", "--class", "tench") == 0
    words, number, other = ((tmp_path / f"{n}.png").read_bytes() for n in ("words", "number", "other"))
    assert words == number
    assert words != other
    assert generate("none.png") == 1
    assert "needs a class" in capsys.readouterr().err
    assert generate("bad.png", "--class", "goldn retriever") == 1
    assert "golden retriever (207)" in capsys.readouterr().err
