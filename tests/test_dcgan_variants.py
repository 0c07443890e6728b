"""DCGANs whose layers come in another order, are bounded otherwise, or take a class, as PyTorch draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
import whole_path
from torch import Tensor, nn

import resefa_core as resefa
from resefa_core import DCGAN, CheckpointError


def sequence(norms_last: bool = False, output: type[nn.Module] = nn.Tanh, inputs: int = 9) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate([(inputs, 16), (16, 8), (8, 3)]):
        stride, padding = (1, 0) if index == 0 else (2, 1)
        layers.append(nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False))
        if index < 2:
            norm, activation = nn.BatchNorm2d(after), nn.ReLU()
            for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                tensor.add_(torch.rand(after))
            layers += [activation, norm] if norms_last else [norm, activation]
    return nn.Sequential(*layers, output()).eval()


def drawn(network: nn.Module, noise: Tensor) -> Tensor:
    with torch.no_grad():
        image: Tensor = network(noise[:, :, None, None])
    return image


@pytest.mark.parametrize("norms_last", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_the_order_of_layers_is_read_off_their_numbers(norms_last: bool, whole: bool, tmp_path: Path) -> None:
    network = sequence(norms_last)
    torch.save(network if whole else network.state_dict(), tmp_path / "g.pth")
    loaded = resefa.load_generator(tmp_path / "g.pth")
    latent = loaded.sample([1, 2])
    torch.testing.assert_close(loaded.synthesize(latent), drawn(network, latent.codes[:, 0]))


def test_a_pickled_modules_sigmoid_and_slope_are_taken(tmp_path: Path) -> None:
    network = sequence(output=nn.Sigmoid)
    for index in (2, 5):
        network[index] = nn.LeakyReLU(0.3)
    torch.save({"G": network}, tmp_path / "g.pth")
    loaded = resefa.load_generator(tmp_path / "g.pth")
    latent = loaded.sample([1, 2])
    torch.testing.assert_close(loaded.synthesize(latent), 2.0 * drawn(network, latent.codes[:, 0]) - 1.0)


def test_layers_of_both_orders_are_refused(tmp_path: Path) -> None:
    network = sequence(norms_last=True)
    network[1], network[2] = network[2], network[1]
    torch.save(network.state_dict(), tmp_path / "g.pth")
    with pytest.raises(CheckpointError, match="after the activation in some layers"):
        resefa.load_generator(tmp_path / "g.pth")


def test_a_class_as_zeros_and_a_one_stays_while_the_noise_moves(tmp_path: Path) -> None:
    network = sequence(inputs=12)
    given = {"num_classes": 3, "output": "tanh"}
    state = {name: tensor for name, tensor in network.state_dict().items() if "tracked" not in name}
    safetensors.torch.save_file(state, tmp_path / "g.safetensors", {"init_kwargs": json.dumps(given)})
    source = resefa.load_generator(tmp_path / "g.safetensors")
    assert (source.num_classes, source.z_dim) == (3, 9)
    latent = source.sample([1, 2], label=[2, 0])
    classes = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    expected = drawn(network, torch.cat([latent.codes[:, 0], classes], dim=1))
    torch.testing.assert_close(source.synthesize(latent), expected)
    whole_path.take(tmp_path / "g.safetensors", source, tmp_path)


def test_the_whole_path_of_each_variant(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = DCGAN((9, 16, 8, 3), norms_last=True, output="sigmoid").eval()
    source.save(tmp_path / "g.safetensors")
    loaded = whole_path.take(tmp_path / "g.safetensors", source, tmp_path)
    assert loaded.fingerprint != DCGAN((9, 16, 8, 3)).fingerprint


@pytest.mark.parametrize(
    "given", [{"output": "exec"}, {"num_classes": -1}, {"num_classes": 12}, {"norms_last": 1}]
)
def test_what_metadata_say_is_checked(given: dict[str, object], tmp_path: Path) -> None:
    state = {n: t for n, t in sequence(inputs=12).state_dict().items() if "tracked" not in n}
    safetensors.torch.save_file(state, tmp_path / "g.safetensors", {"init_kwargs": json.dumps(given)})
    with pytest.raises(CheckpointError):
        resefa.load_generator(tmp_path / "g.safetensors")
