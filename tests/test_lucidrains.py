"""The StyleGAN2 of stylegan2_pytorch: what it draws, by its definition, and its files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import whole_path
from torch import Tensor

import resefa_core as resefa
from resefa_core import CheckpointError
from resefa_core.generators import LucidrainsStyleGAN2


def tiny(img_channels: int = 3) -> LucidrainsStyleGAN2:
    torch.manual_seed(0)
    generator = LucidrainsStyleGAN2(8, (6, 6, 5, 4), img_channels, num_mapping_layers=2)
    for name, tensor in generator.state_dict().items():
        if name.endswith("bias") or "noise" in name:
            tensor.add_(0.3 * torch.randn_like(tensor) + ("to_style" in name or "style1" in name))
    return generator.eval()


def own_state(generator: LucidrainsStyleGAN2) -> dict[str, Tensor]:
    """The averaged networks' tensors as that project names and scales them."""
    found = {}
    for name, tensor in generator.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "mapping":
            if rest == "w_avg":
                continue
            layer, kind = rest.split(".")
            index = int(layer[2:])
            gain = math.sqrt(2.0) if kind == "bias" or index == 0 else math.sqrt(2.0 / tensor.shape[1])
            found[f"SE.net.{2 * index}.{kind}"] = gain * tensor
        elif name == "initial_block":
            found["GE.initial_block"] = tensor[None]
        elif name != "noise":
            style = name.endswith((".to_style.bias", "style1.bias", "style2.bias"))
            found[f"GE.{name}"] = tensor - 1.0 if style else tensor
    found["GE.blocks.0.to_rgb.upsample.1.f"] = torch.tensor([1.0, 2.0, 1.0])
    return found


def save(file: Path, generator: LucidrainsStyleGAN2) -> None:
    state = own_state(generator)
    plain = {name.replace("SE.", "S.").replace("GE.", "G."): 2.0 * tensor for name, tensor in state.items()}
    torch.save({"GAN": {**plain, "D.to_logit.weight": torch.zeros(1, 4), **state}, "version": "1.8"}, file)


def drawn(generator: LucidrainsStyleGAN2, codes: Tensor) -> Tensor:
    """What that project draws of one image's codes `(L, D)`: modulated weights, in float64, in [0, 1]."""
    state = {name: tensor.double() for name, tensor in own_state(generator).items()}
    x = state["GE.initial_block"]
    x = F.conv2d(x, state["GE.initial_conv.weight"], state["GE.initial_conv.bias"], padding=1)
    image = torch.zeros(1, 1, 1, 1, dtype=torch.float64)

    def modulated(x: Tensor, stem: str, to_style: str, code: Tensor, demodulate: bool) -> Tensor:
        style = state[f"{stem}{to_style}.weight"] @ code + state[f"{stem}{to_style}.bias"] + 1.0
        name = {"to_style1": "conv1", "to_style2": "conv2"}.get(to_style, "to_rgb.conv")
        weight = state[f"{stem}{name}.weight"] * style[:, None, None]
        if demodulate:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        return F.conv2d(x, weight, padding=weight.shape[2] // 2)

    for index, code in enumerate(codes.double()):
        stem = f"GE.blocks.{index}."
        if index:
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
        for part in (1, 2):
            noise = generator.noise.double()[: x.shape[2], : x.shape[3]]
            scale = state[f"{stem}to_noise{part}.weight"][:, 0, None, None]
            shift = scale * noise + state[f"{stem}to_noise{part}.bias"][:, None, None]
            x = F.leaky_relu(modulated(x, stem, f"to_style{part}", code, True) + shift, 0.2)
        image = image + modulated(x, stem, "to_rgb.to_style", code, False)
        if index < generator.num_layers - 1:
            image = F.pad(F.interpolate(image, scale_factor=2, mode="bilinear"), (1, 1, 1, 1), mode="reflect")
            image = 0.25 * image[..., :-2] + 0.5 * image[..., 1:-1] + 0.25 * image[..., 2:]
            image = 0.25 * image[..., :-2, :] + 0.5 * image[..., 1:-1, :] + 0.25 * image[..., 2:, :]
    return image


def test_it_draws_what_that_project_draws() -> None:
    generator = tiny()
    latent = resefa.Latent(torch.randn(1, 3, 8))
    expected = 2.0 * drawn(generator, latent.codes[0]) - 1.0
    torch.testing.assert_close(generator.synthesize(latent).double(), expected, rtol=0, atol=1e-5)


def test_its_mapping_network_is_that_projects() -> None:
    generator = tiny()
    state = own_state(generator)
    z = torch.randn(4, 8)
    w = F.normalize(z, dim=1)
    for index in range(2):
        weight, bias = (0.1 * state[f"SE.net.{2 * index}.{part}"] for part in ("weight", "bias"))
        w = F.leaky_relu(F.linear(w, weight, bias), 0.2)
    torch.testing.assert_close(generator.map(z)[:, 0], w, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 4])
def test_the_whole_path(channels: int, tmp_path: Path) -> None:
    source = tiny(channels)
    save(tmp_path / "model_7.pt", source)
    read = resefa.load_generator(tmp_path / "model_7.pt")
    source.noise.copy_(read.noise)
    source.mapping.w_avg.copy_(read.mapping.w_avg)
    loaded = whole_path.take(tmp_path / "model_7.pt", source, tmp_path)
    assert loaded.architecture == "stylegan2-lucidrains"


def test_variants_that_are_not_read_are_named(tmp_path: Path) -> None:
    state = own_state(tiny())
    for extra, words in (("attns.0.x", "attn_layers"), ("to_initial_block.weight", "no_const")):
        torch.save({"GAN": {**state, f"GE.{extra}": torch.zeros(1)}}, tmp_path / "m.pt")
        with pytest.raises(CheckpointError, match=words):
            resefa.load_generator(tmp_path / "m.pt")
    del state["GE.blocks.1.to_noise2.bias"]
    torch.save({"GAN": state}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"missing \['blocks\.1\.to_noise2\.bias'\]"):
        resefa.load_generator(tmp_path / "m.pt")
