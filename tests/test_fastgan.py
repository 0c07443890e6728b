"""FastGAN of Projected GAN: what it draws, by PyTorch's layers, and its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import whole_path
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

import resefa_core as resefa
from resefa_core import CheckpointError
from resefa_core.generators import FastGAN

CHANNELS = {4: 8, 8: 6, 16: 6, 32: 4, 64: 4, 128: 3, 256: 2}
LIGHT = pytest.mark.parametrize("light", [False, True])


class Noise(nn.Module):
    """Adds a map that is not in the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 0.3))
        self.map = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight * self.map


class Original(nn.Module):
    """A network with that project's names, of PyTorch's own layers."""

    def __init__(self, light: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        first = spectral_norm(nn.ConvTranspose2d(5, 16, 4, bias=False))
        self.init = nn.ModuleDict({"init": nn.Sequential(first, nn.BatchNorm2d(16), nn.GLU(1))})
        for side in (8, 16, 32, 64, 128, 256):
            layers: list[nn.Module] = [nn.Upsample(scale_factor=2)]
            inputs = CHANNELS[side // 2]
            for _ in range(1 if light else 2):
                layers.append(spectral_norm(nn.Conv2d(inputs, 2 * CHANNELS[side], 3, padding=1, bias=False)))
                layers += [] if light else [Noise()]
                layers += [nn.BatchNorm2d(2 * CHANNELS[side]), nn.GLU(1)]
                inputs = CHANNELS[side]
            self.add_module(f"feat_{side}", nn.Sequential(*layers))
        for side in (64, 128, 256):
            before, after = CHANNELS[side // 16], CHANNELS[side]
            convolutions = [
                spectral_norm(nn.Conv2d(*sizes, bias=False))
                for sizes in ((before, after, 4), (after, after, 1))
            ]
            gate = nn.Sequential(
                nn.AdaptiveAvgPool2d(4), convolutions[0], nn.SiLU(), convolutions[1], nn.Sigmoid()
            )
            self.add_module(f"se_{side}", nn.ModuleDict({"main": gate}))
        self.to_big = spectral_norm(nn.Conv2d(CHANNELS[128], 3, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        """The image of 128 pixels; the layers for 256 stand by, as in that project."""
        x = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
        x = self.init["init"](x[:, :, None, None])
        seen = {4: x}
        for side in (8, 16, 32, 64, 128):
            x = self.get_submodule(f"feat_{side}")(x)
            x = x * self.get_submodule(f"se_{side}.main")(seen[side // 16]) if side >= 64 else x
            seen[side] = x
        image: Tensor = self.to_big(x)
        return image


def original(light: bool) -> Original:
    network = Original(light)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.add_(0.3 * torch.randn(module.num_features))
            module.bias.data.add_(0.3 * torch.randn(module.num_features))
    with torch.no_grad():
        network(torch.randn(8, 5))
    return network.eval()


def save(file: Path, network: nn.Module) -> None:
    state = {f"synthesis.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"G": {n: t for n, t in state.items() if "init" in n}, "G_ema": state}, file)


@LIGHT
def test_it_draws_what_pytorchs_layers_draw(light: bool, tmp_path: Path) -> None:
    network = original(light)
    save(tmp_path / "g.pkl", network)
    loaded = resefa.load_generator(tmp_path / "g.pkl")
    assert isinstance(loaded, FastGAN)
    assert loaded.resolution == 128
    names = sorted(name for name, _ in loaded.named_buffers() if name.endswith(".noise"))
    for name, module in zip(names, (m for m in network.modules() if isinstance(m, Noise)), strict=False):
        module.map = loaded.get_buffer(name)
    latent = loaded.sample([1, 2])
    with torch.no_grad():
        expected = network(latent.codes[:, 0])
    torch.testing.assert_close(loaded.synthesize(latent), expected, rtol=1e-4, atol=1e-5)


def test_the_whole_path(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = FastGAN(5, (8, 6, 6, 4, 4), (True,)).eval()
    source.to_image.weight.mul_(30.0)
    source.init.weight.mul_(5.0)
    source.save(tmp_path / "g.safetensors")
    whole_path.take(tmp_path / "g.safetensors", source, tmp_path)


def test_one_with_classes_is_named(tmp_path: Path) -> None:
    network = original(False)
    network.embed = nn.Embedding(3, 5)
    save(tmp_path / "g.pkl", network)
    with pytest.raises(CheckpointError, match="it has classes"):
        resefa.load_generator(tmp_path / "g.pkl")
