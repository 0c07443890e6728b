"""BigGAN-PyTorch's own BigGAN-deep: what it draws, by its definition, and its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import whole_path
from older_gans import _attend, save_biggan
from torch import Tensor

import resefa_core as resefa
from resefa_core import CheckpointError
from resefa_core.generators import BottleneckBigGAN


def tiny() -> BottleneckBigGAN:
    torch.manual_seed(0)
    generator = BottleneckBigGAN(6, 3, 5, (16, 16, 8, 8, 4), attention=(1,))
    for name, tensor in generator.state_dict().items():
        if name.endswith(("stored_mean", ".bias", "stored_var")):
            tensor.add_(0.4 * torch.rand_like(tensor))
    return generator.eval()


def drawn(generator: BottleneckBigGAN, codes: Tensor, label: int) -> Tensor:
    """What that project draws of one image's codes `(L, D)`, in float64."""
    weights = {name: tensor.double() for name, tensor in generator.state_dict().items()}
    embedding = weights["shared.weight"][label]

    def norm(x: Tensor, name: str, code: Tensor) -> Tensor:
        condition = torch.cat([embedding, code])
        gain, offset = (weights[f"{name}.{part}.weight"] @ condition for part in ("gain", "bias"))
        mean, variance = (weights[f"{name}.stored_{part}"][:, None, None] for part in ("mean", "var"))
        return (
            (x - mean) / (variance + 1e-5).sqrt() * (1 + gain)[:, None, None] + offset[:, None, None]
        ).relu()

    def conv(x: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[2] // 2)

    first = weights["linear.weight"] @ torch.cat([embedding, codes[0].double()]) + weights["linear.bias"]
    x = first.reshape(1, -1, 4, 4)
    for index, code in enumerate(codes[1:].double()):
        name = f"blocks.{index}.0"
        inner = norm(conv(norm(x, f"{name}.bn1", code), f"{name}.conv1"), f"{name}.bn2", code)
        x = x[:, : weights[f"{name}.conv4.weight"].shape[0]]
        if index % 2:
            inner, x = (each.repeat_interleave(2, 2).repeat_interleave(2, 3) for each in (inner, x))
        inner = norm(conv(inner, f"{name}.conv2"), f"{name}.bn3", code)
        x = x + conv(norm(conv(inner, f"{name}.conv3"), f"{name}.bn4", code), f"{name}.conv4")
        if index == 1:
            x = _attend(x, weights, "blocks.1.1")
    mean, variance = (weights[f"output_layer.0.stored_{part}"][:, None, None] for part in ("mean", "var"))
    x = (x - mean) / (variance + 1e-5).sqrt() * weights["output_layer.0.gain"][:, None, None]
    return conv((x + weights["output_layer.0.bias"][:, None, None]).relu(), "output_layer.2").tanh()


def test_it_draws_what_that_project_draws() -> None:
    generator = tiny()
    latent = resefa.Latent(torch.randn(1, 5, 6), label=torch.tensor([2]))
    expected = drawn(generator, latent.codes[0], 2)
    torch.testing.assert_close(generator.synthesize(latent).double(), expected, rtol=0, atol=1e-5)


def test_the_whole_path(tmp_path: Path) -> None:
    source = tiny()
    file = save_biggan(tmp_path / "G_ema.pth", source)
    loaded = whole_path.take(file, source, tmp_path)
    assert (loaded.architecture, loaded.resolution, loaded.num_layers) == ("biggan-bottleneck", 16, 5)


def test_damage_is_refused(tmp_path: Path) -> None:
    state = torch.load(save_biggan(tmp_path / "G.pth", tiny()), weights_only=True)
    for name in ("blocks.3.0.conv4.weight", "shared.weight", "linear.bias"):
        torch.save({key: value for key, value in state.items() if key != name}, tmp_path / "d.pth")
        with pytest.raises(CheckpointError, match=r"BigGAN|biggan"):
            resefa.load_generator(tmp_path / "d.pth")
