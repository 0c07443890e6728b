"""lightweight-gan: what it draws, by PyTorch's layers, and its files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import whole_path
from torch import Tensor, nn

import resefa_core as resefa
from resefa_core import CheckpointError
from resefa_core.generators import LightweightGAN

HEADS, WIDTH = 8, 64


def tiny(
    channels: tuple[int, ...] = (6, 5, 4, 4, 3),
    attention: tuple[bool, ...] = (True, False, False, False, False),
    img_channels: int = 3,
    excitation: str = "context",
) -> LightweightGAN:
    torch.manual_seed(0)
    generator = LightweightGAN(4, channels, attention, img_channels, excitation)
    for name, tensor in generator.state_dict().items():
        if name.endswith(("bias", "offset", "gain", "noise_strength", "running_mean")):
            tensor.add_(0.3 * torch.randn_like(tensor))
        elif name.endswith("running_var"):
            tensor.mul_(0.2)
    return generator.eval()


def own_state(generator: LightweightGAN) -> dict[str, Tensor]:
    """A generator's tensors as that project names and shapes them."""
    parts = {"expand": "0.0.net.0", "conv": "0.2.1", "norm": "0.4", "noise_strength": "0.3.weight"}
    parts |= {"to_weights": "1.to_k", "first": "1.net.0", "second": "1.net.2", "frequencies": "1.dct_weights"}
    parts |= {"to_global_query": "2.fn.to_lin_q", "around": "2.fn.to_lin_kv.net.0.weight"}
    parts |= {"to_global": "2.fn.to_lin_kv.net.1", "to_query": "2.fn.to_q", "to_local": "2.fn.to_kv"}
    parts |= {"to_out": "2.fn.to_out", "gain": "2.norm.g", "offset": "2.norm.b"}
    ends = {"init": "initial_conv.0", "init_norm": "initial_conv.1", "to_image": "out_conv"}
    state = {"initial_conv.1.num_batches_tracked": torch.tensor(3)}
    for name, tensor in generator.state_dict().items():
        first, rest = name.split(".", 1)
        if first in ends:
            state[f"{ends[first]}.{rest}"] = tensor
        elif not name.endswith(".noise"):
            index, part, *kind = rest.split(".")
            batched = part in ("gain", "offset", "frequencies")
            state[".".join([f"layers.{index}", parts[part], *kind])] = tensor[None] if batched else tensor
    for index in range(len(generator.blocks)):
        state[f"layers.{index}.0.1.f"] = torch.tensor([1.0, 2.0, 1.0])
    return state


def save(file: Path, generator: LightweightGAN) -> None:
    state = own_state(generator)
    plain = {f"G.{name}": 2 * tensor for name, tensor in state.items()}
    averaged = {f"GE.{name}": tensor for name, tensor in state.items()}
    torch.save(
        {"GAN": {**plain, "D.to_logits.0.weight": torch.zeros(1), **averaged}, "version": "1.2.1"}, file
    )


def drawn(state: dict[str, Tensor], z: Tensor, noise: list[Tensor], side: int) -> Tensor:
    """What that project draws, in [0, 1] and in float64, place by place where layers attend."""
    state = {name: tensor.double() for name, tensor in state.items()}

    def layer(x: Tensor, stem: str) -> Tensor:
        return F.conv2d(x, state[f"{stem}.weight"], state.get(f"{stem}.bias"))

    def normed(x: Tensor, stem: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{stem}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return nn.GLU(1)((x - mean) / (variance + 1e-5).sqrt() * weight + bias)

    def attended(x: Tensor, stem: str) -> Tensor:
        mean, variance = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt() * state[f"{stem}.norm.g"] + state[f"{stem}.norm.b"]
        around = F.conv2d(x, state[f"{stem}.fn.to_lin_kv.net.0.weight"], padding=1, groups=x.shape[1])
        wide_query, wide = layer(x, f"{stem}.fn.to_lin_q"), layer(around, f"{stem}.fn.to_lin_kv.net.1")
        query, near = layer(x, f"{stem}.fn.to_q"), F.pad(layer(x, f"{stem}.fn.to_kv"), (1, 1, 1, 1))
        height, width = x.shape[2:]
        out = torch.zeros(1, 2 * HEADS * WIDTH, height, width, dtype=x.dtype)
        for head in range(HEADS):
            here = slice(head * WIDTH, (head + 1) * WIDTH)
            there = slice(HEADS * WIDTH + here.start, HEADS * WIDTH + here.stop)
            context = wide[0, here].flatten(1).softmax(1) @ wide[0, there].flatten(1).T
            for i in range(height):
                for j in range(width):
                    weights = wide_query[0, here, i, j].softmax(0) / math.sqrt(WIDTH)
                    out[0, here, i, j] = nn.GELU()(weights @ context)
                    key, value = (near[0, part, i : i + 3, j : j + 3].flatten(1) for part in (here, there))
                    out[0, there, i, j] = value @ (query[0, here, i, j] / math.sqrt(WIDTH) @ key).softmax(0)
        return layer(out, f"{stem}.fn.to_out")

    x = F.conv_transpose2d(
        z.double()[:, :, None, None], state["initial_conv.0.weight"], state["initial_conv.0.bias"]
    )
    x = F.normalize(normed(x, "initial_conv.1"), dim=1)
    kernel = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype)
    gains = {}
    for index, added in enumerate(noise):
        stem = f"layers.{index}"
        if f"{stem}.2.norm.g" in state:
            x = x + attended(x, f"{stem}.2")
        x = F.pad(nn.PixelShuffle(2)(nn.SiLU()(layer(x, f"{stem}.0.0.net.0"))), (1, 1, 1, 1), mode="reflect")
        filters = torch.outer(kernel, kernel).expand(x.shape[1], 1, 3, 3) / 16
        x = layer(nn.ZeroPad2d((2, 1, 2, 1))(F.conv2d(x, filters, groups=x.shape[1])), f"{stem}.0.2.1")
        x = normed(x + state[f"{stem}.0.3.weight"] * added.double(), f"{stem}.0.4")
        seen = None
        if f"{stem}.1.to_k.weight" in state:
            weights = layer(x, f"{stem}.1.to_k").flatten(2).softmax(2)
            seen = (x.flatten(2) * weights).sum(2)[:, :, None, None]
        elif f"{stem}.1.dct_weights" in state:
            seen = (x * state[f"{stem}.1.dct_weights"]).sum((2, 3), keepdim=True)
        if seen is not None:
            seen = nn.LeakyReLU(0.1)(layer(seen, f"{stem}.1.net.0"))
            gains[2 * x.shape[2] * 4] = layer(seen, f"{stem}.1.net.2").sigmoid()
        x = x * gains.get(x.shape[2], 1.0)
    assert x.shape[2] == side
    return F.conv2d(x, state["out_conv.weight"], state["out_conv.bias"], padding=1)


@pytest.mark.parametrize("excitation", ["context", "frequencies"])
def test_it_draws_what_that_project_draws(excitation: str, tmp_path: Path) -> None:
    source = tiny(excitation=excitation)
    save(tmp_path / "model_3.pt", source)
    generator = resefa.load_generator(tmp_path / "model_3.pt")
    latent = generator.sample(1)
    noise = [generator.get_buffer(f"blocks.{index}.noise") for index in range(5)]
    expected = 2.0 * drawn(own_state(source), latent.codes[:, 0], noise, 128) - 1.0
    assert expected.std() > 0.01
    rounding = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(generator.synthesize(latent).double(), expected, rtol=0, atol=rounding)


def test_the_whole_path(tmp_path: Path) -> None:
    source = tiny((5, 4), (True, False), 4)
    source.to_image.weight.mul_(5.0)
    save(tmp_path / "model_7.pt", source)
    read = resefa.load_generator(tmp_path / "model_7.pt")
    for name, noise in read.named_buffers():
        if name.endswith(".noise"):
            source.get_buffer(name).copy_(noise)
    loaded = whole_path.take(tmp_path / "model_7.pt", source, tmp_path)
    assert loaded.architecture == "lightweight-gan"
    assert loaded.image_size == (16, 16)


def test_without_an_average_and_bare_it_opens(tmp_path: Path) -> None:
    state = own_state(tiny((5,), (False,), 1))
    opened = []
    for wrapped in ({"GAN": {f"G.{name}": tensor for name, tensor in state.items()}}, state):
        torch.save(wrapped, tmp_path / "m.pt")
        opened.append(resefa.load_generator(tmp_path / "m.pt"))
    assert opened[0].fingerprint == opened[1].fingerprint
    assert opened[0].image_size == (8, 8)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("layers.0.0.0.net.0.weight", "PixelShuffleUpsample"),
        ("layers.0.0.1.f", "Blur, antialias"),
        ("layers.0.0.3.weight", "early versions"),
        ("layers.1.0.2.1.bias", r"missing \['layers\.1\.0\.2\.1\.bias'\]"),
        ("layers.1.0.4.running_var", r"missing \['layers\.1\.0\.4\.running_var'\]"),
    ],
)
def test_variants_that_are_not_read_are_named(missing: str, words: str, tmp_path: Path) -> None:
    state = own_state(tiny((5, 4), (False, False)))
    del state[missing]
    torch.save({"GAN": {f"GE.{name}": tensor for name, tensor in state.items()}}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=words):
        resefa.load_generator(tmp_path / "m.pt")
