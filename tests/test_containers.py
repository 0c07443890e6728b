"""Generators open however they are wrapped, by one rule, and what a file lacks is called by its own names."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoint_files as layouts
import older_gans
import pytest
import safetensors.torch
import torch
from older_gans import tiny_biggan
from torch import Tensor, nn

import resefa_core as resefa
from resefa_core import CheckpointError, StyleGAN2
from resefa_core.checkpoints import describe

STATE = {name: tensor.clone() for name, tensor in layouts.rosinality_state(layouts.tiny()).items()}
DISCRIMINATOR = {f"convs.{i}.conv.weight": torch.zeros(8, 4, 3, 3) for i in range(4)}
ENCODER = {f"encoder.body.{i}.weight": torch.zeros(4, 4, 3, 3) for i in range(6)}
OTHER = {name: 3.0 * tensor if tensor.ndim < 4 else tensor for name, tensor in STATE.items()}


class Tree(nn.Module):
    """Modules by the dots in tensors' names, as a project's own class has them."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        inside: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            head, _, rest = name.partition(".")
            if rest:
                inside.setdefault(head, {})[rest] = tensor
            else:
                self.register_buffer(head, tensor)
        for name, own in inside.items():
            self.add_module(name, Tree(own))
        self.register_buffer("_passing", torch.zeros(3), persistent=False)


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


WRAPPED: dict[str, tuple[Callable[[], Any], str | None]] = {
    "bare": (lambda: STATE, None),
    "g": (lambda: {"g": STATE, "g_optim": {"state": {0: {"step": 1}}, "param_groups": []}}, "g"),
    "netG_state_dict": (
        lambda: {"netD_state_dict": DISCRIMINATOR, "netG_state_dict": STATE, "epoch": 3},
        "netG_state_dict",
    ),
    "averaged first": (
        lambda: {"generator": OTHER, "args": argparse.Namespace(size=8), "generator_smooth": STATE},
        "generator_smooth",
    ),
    "encoder": (
        lambda: {"state_dict": {**ENCODER, **prefixed("decoder.", STATE)}, "opts": argparse.Namespace(a=1)},
        "state_dict / decoder",
    ),
    "lightning": (
        lambda: {"state_dict": {**prefixed("net.G.", OTHER), **prefixed("net.G_ema.", STATE)}},
        "state_dict / net / G_ema",
    ),
    "a tuple": (lambda: (OTHER, DISCRIMINATOR, STATE), "2"),
    "a module": (lambda: Tree(STATE), None),
    "parallel modules in a tuple": (lambda: (nn.DataParallel(Tree(STATE)), Tree(DISCRIMINATOR)), "0"),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_generator_is_found_in_its_wrapping(name: str, tmp_path: Path) -> None:
    make, place = WRAPPED[name]
    torch.save(make(), tmp_path / "w.pt")
    loaded = resefa.load_generator(tmp_path / "w.pt")
    source = layouts.tiny().state_dict()
    for key, tensor in loaded.state_dict().items():
        assert key == "mapping.w_avg" or torch.equal(tensor, source[key]), key
    assert describe(tmp_path / "w.pt").get("found under") == place


def test_further_generators_of_a_file_are_told(tmp_path: Path) -> None:
    torch.save({"g": OTHER, "g_ema": STATE, "best": {"g_ema": STATE}}, tmp_path / "w.pt")
    assert describe(tmp_path / "w.pt")["found under"] == "g_ema"
    assert describe(tmp_path / "w.pt")["further generators"] == ["best / g_ema", "g"]


@pytest.mark.parametrize("prefix", ["", "G_ema.", "model.decoder."])
def test_safetensors_under_a_prefix(prefix: str, tmp_path: Path) -> None:
    for number, state in enumerate((STATE, layouts.tiny().state_dict())):
        file = tmp_path / f"{number}.safetensors"
        safetensors.torch.save_file({**prefixed(prefix, state), **ENCODER} if prefix else state, file)
        loaded = resefa.load_generator(file)
        assert torch.equal(loaded.synthesis.b8.conv1.weight, layouts.tiny().synthesis.b8.conv1.weight)


@pytest.mark.parametrize("rows", [0, 1, 6])
def test_an_encoders_mean_code_is_taken_where_its_rows_agree(rows: int, tmp_path: Path) -> None:
    mean = torch.arange(8.0) if rows == 0 else torch.arange(8.0).repeat(rows, 1)
    root = {"state_dict": {**ENCODER, **prefixed("decoder.", STATE)}, "latent_avg": mean}
    torch.save(root, tmp_path / "e.pt")
    assert torch.equal(resefa.load_generator(tmp_path / "e.pt").mean_codes()[0], torch.arange(8.0))
    torch.save({**root, "latent_avg": torch.randn(6, 8)}, tmp_path / "e.pt")
    estimated = resefa.load_generator(tmp_path / "e.pt").mean_codes()[0]
    torch.save({**root, "latent_avg": None}, tmp_path / "e.pt")
    assert torch.equal(resefa.load_generator(tmp_path / "e.pt").mean_codes()[0], estimated)
    torch.save({**root, "latent_avg": torch.zeros(6, 7)}, tmp_path / "e.pt")
    with pytest.raises(CheckpointError, match=r"latent_avg has shape \(6, 7\): expected 8 numbers"):
        resefa.load_generator(tmp_path / "e.pt")


def test_nvidias_names_and_biggan_under_a_key(tmp_path: Path) -> None:
    state = layouts.tiny().state_dict()
    torch.save({"G_ema": state, "D": DISCRIMINATOR}, tmp_path / "n.pt")
    loaded = resefa.load_generator(tmp_path / "n.pt")
    assert isinstance(loaded, StyleGAN2)
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())
    big = torch.load(older_gans.save_biggan(tmp_path / "b.pth", tiny_biggan()), weights_only=True)
    for key in ("G_ema", "state_dict"):
        torch.save({key: big}, tmp_path / "k.pt")
        assert describe(tmp_path / "k.pt")["found under"] == key
        own = resefa.load_generator(tmp_path / "k.pt")
        assert own.fingerprint == resefa.load_generator(tmp_path / "b.pth").fingerprint


def test_pickled_networks_of_nvidias_in_a_tuple(tmp_path: Path) -> None:
    other = layouts._module("Discriminator", {"b8.conv.weight": torch.zeros(1)})
    for root in (
        (layouts.nvidia_network(layouts.tiny()), other),
        (other, layouts.nvidia_network(layouts.tiny())),
    ):
        with layouts.other_modules():
            (tmp_path / "t.pkl").write_bytes(pickle.dumps(root))
        assert isinstance(resefa.load_generator(tmp_path / "t.pkl"), StyleGAN2)


def test_missing_noise_is_drawn_from_fixed_seeds(tmp_path: Path) -> None:
    torch.save({"g_ema": {n: t for n, t in STATE.items() if not n.startswith("noises.")}}, tmp_path / "n.pt")
    first, second = (resefa.load_generator(tmp_path / "n.pt") for _ in range(2))
    assert first.fingerprint == second.fingerprint
    expected = resefa.latents.draw_noise([1], 64).reshape(8, 8)
    assert torch.equal(first.synthesis.b8.conv0.noise_const, expected)
    first.save(tmp_path / "c.safetensors")
    assert resefa.load_generator(tmp_path / "c.safetensors").fingerprint == first.fingerprint


@pytest.mark.parametrize("missing", ["convs.1.activate.bias", "to_rgbs.0.bias", "noises.noise_1"])
def test_a_missing_tensor_is_called_as_the_file_would(missing: str, tmp_path: Path) -> None:
    torch.save({n: t for n, t in STATE.items() if n != missing}, tmp_path / "n.pt")
    with pytest.raises(CheckpointError, match=rf"missing \['{missing}'\], unexpected \[\]"):
        resefa.load_generator(tmp_path / "n.pt")


def test_what_no_generator_is_in_stays_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {**ENCODER, **prefixed("d.", DISCRIMINATOR)}, "deep": {}}, tmp_path / "n.pt")
    with pytest.raises(CheckpointError, match="a dictionary with 'state_dict', 'deep'"):
        resefa.load_generator(tmp_path / "n.pt")


CLOSED = {
    "lightweight-gan": {"GAN": {"GE.layers.0.0.1.weight": torch.zeros(1), "D.x": torch.zeros(1)}},
    "style-based-gan-pytorch": {"g_running": {"generator.progression.0.conv1.0.weight": torch.zeros(1)}},
    "lernapparat": {"g_synthesis.blocks.4x4.const": torch.zeros(1)},
    "FastGAN": {"g": {"module.feat_8.1.weight_orig": torch.zeros(1)}},
    "SWAGAN": {"g_ema": {**STATE, "to_rgbs.0.iwt.ll": torch.zeros(2, 2)}},
    "EG3D": {"backbone.synthesis.b4.const": torch.zeros(1)},
    "diffusion": {"state_dict": {"model.diffusion_model.out.weight": torch.zeros(1)}},
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_is_known_and_not_read_is_named(name: str, tmp_path: Path) -> None:
    torch.save(CLOSED[name], tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=name):
        resefa.load_generator(tmp_path / "c.pt")


def test_a_pggan_of_tensorflow_is_named(tmp_path: Path) -> None:
    network = b"ctfutil\nNetwork\n)\x81}X\x07\x00\x00\x00versionK\x02sb"
    (tmp_path / "c.pkl").write_bytes(b"\x80\x02(" + 3 * network + b"t.")
    with pytest.raises(CheckpointError, match="a PGGAN of NVIDIA's TensorFlow code: known, and not read"):
        resefa.load_generator(tmp_path / "c.pkl")


def test_arguments_that_change_nothing_are_let_pass(tmp_path: Path) -> None:
    frozen = {"num_layers": 2, "freeze_layers": 1, "freeze_embed": True}
    layouts.nvidia_pickle(tmp_path / "f.pkl", layouts.tiny(), mapping_kwargs=frozen)
    assert isinstance(resefa.load_generator(tmp_path / "f.pkl"), StyleGAN2)


def test_a_channel_base_that_is_no_multiple_of_the_resolution(tmp_path: Path) -> None:
    source = StyleGAN2(8, 0, 8, 16, num_mapping_layers=1, channel_base=75, channel_max=16).eval()
    torch.save(source.state_dict(), tmp_path / "c.pt")
    loaded = resefa.load_generator(tmp_path / "c.pt")
    assert loaded.fingerprint == source.fingerprint
    synthesis = json.loads(describe(tmp_path / "c.pt")["arguments"])["synthesis_kwargs"]
    assert synthesis["channel_base"] == 72
