"""Every layout loads to the generator that was written, whatever the file is called."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoint_files as layouts
import numpy as np
import pytest
import safetensors.torch
import torch

from resefa_core import CheckpointError, Generator, StyleGAN2, load_generator
from resefa_core.generators.stylegan3 import StyleGAN3


def image(generator: Generator, label: int | None = None) -> torch.Tensor:
    return generator.synthesize(generator.sample([3, 4], truncation=0.7, label=label))


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
@pytest.mark.parametrize("name", ["model.pkl", "model"])
def test_images_are_those_of_the_weights_that_were_written(layout: str, name: str, tmp_path: Path) -> None:
    source = layouts.tiny()
    layouts.LAYOUTS[layout](tmp_path / name, source)
    loaded = load_generator(tmp_path / name)
    assert loaded.name == "model"
    assert not loaded.training
    assert {t.dtype for t in loaded.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(image(loaded), image(source), rtol=0, atol=1e-5)
    assert image(source).abs().max() > 0.1


@pytest.mark.parametrize("layout", ["nvidia pickle", "tensorflow pickle", "hammer", "genforce", "comfyui"])
def test_classes_are_kept(layout: str, tmp_path: Path) -> None:
    source = layouts.tiny(c_dim=3)
    layouts.LAYOUTS[layout](tmp_path / "c", source)
    loaded = load_generator(tmp_path / "c")
    assert loaded.num_classes == 3
    torch.testing.assert_close(image(loaded, 2), image(source, 2), rtol=0, atol=1e-5)
    assert (image(loaded, 1) - image(loaded, 2)).abs().max() > 1e-3


def test_a_training_snapshot_gives_the_averaged_generator_and_a_mean_code(tmp_path: Path) -> None:
    source = layouts.tiny()
    layouts.rosinality_snapshot(tmp_path / "000100.pt", source)
    loaded = load_generator(tmp_path / "000100.pt")
    plain, own = source.sample(1), loaded.sample(1)
    assert torch.equal(plain.codes, own.codes)
    torch.testing.assert_close(loaded.synthesize(own), source.synthesize(plain))
    mean = source.map(torch.randn(20_000, 8))[:, 0].mean(dim=0)
    torch.testing.assert_close(
        loaded.mean_codes()[0], mean, rtol=0, atol=0.05 * float(mean.abs().max()) + 0.05
    )


@pytest.mark.parametrize("nested", [True, False])
def test_both_releases_of_nvidias_arguments_and_their_clamping(nested: bool, tmp_path: Path) -> None:
    source = layouts.tiny(c_dim=3, embed=5, clamp=0.4)
    synthesis = {"channel_base": 32, "channel_max": 8, "conv_clamp": 0.4, "num_fp16_res": 2}
    arguments: dict[str, Any] = {"synthesis_kwargs": synthesis} if nested else synthesis
    mapping = {"num_layers": 2, "embed_features": 5}
    layouts.nvidia_pickle(tmp_path / "g.pkl", source, 0.4, mapping_kwargs=mapping, **arguments)
    loaded = load_generator(tmp_path / "g.pkl")
    torch.testing.assert_close(image(loaded, 1), image(source, 1))
    unclamped = layouts.tiny(c_dim=3, embed=5)
    assert (image(unclamped, 1) - image(source, 1)).abs().max() > 0.1


def test_generators_without_noise_are_silent(tmp_path: Path) -> None:
    source = layouts.tiny()
    for name, tensor in source.state_dict().items():
        if name.endswith("noise_strength"):
            tensor.zero_()
    network = layouts.nvidia_network(source, synthesis_kwargs={"use_noise": False})
    _remove(network, "noise_const")
    _remove(network, "noise_strength")
    with layouts.other_modules():
        (tmp_path / "g.pkl").write_bytes(pickle.dumps({"G_ema": network}))
    torch.testing.assert_close(image(load_generator(tmp_path / "g.pkl")), image(source))


def _remove(module: layouts.Persistent, name: str) -> None:
    state = module.meta["state"]
    for part in ("_parameters", "_buffers"):
        state[part].pop(name, None)
    for child in state["_modules"].values():
        _remove(child, name)


@pytest.mark.parametrize("rotated", [False, True])
def test_stylegan3_loads_from_pickles_and_safetensors(rotated: bool, tmp_path: Path) -> None:
    torch.manual_seed(2)
    small: dict[str, Any] = {"channel_base": 256, "channel_max": 8, "num_layers": 4, "num_critical": 1}
    if rotated:
        small |= {"conv_kernel": 1, "use_radial_filters": True}
    source = StyleGAN3(z_dim=8, w_dim=8, img_resolution=16, **small).eval()
    arguments = {**small, "mapping_kwargs": {"num_layers": 2}, "num_fp16_res": 4, "magnitude_ema_beta": 0.9}
    layouts.nvidia_pickle(tmp_path / "g.pkl", source, 256, **arguments)
    loaded = load_generator(tmp_path / "g.pkl")
    assert loaded.architecture == "stylegan3"
    torch.testing.assert_close(image(loaded), image(source))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_protocol_are_read(protocol: int, tmp_path: Path) -> None:
    source = layouts.tiny()
    layouts.tensorflow_pickle(tmp_path / "g.pkl", source, protocol)
    torch.testing.assert_close(image(load_generator(tmp_path / "g.pkl")), image(source), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_brought_to_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    source = layouts.tiny()
    layouts.hammer(tmp_path / "g.pth", source.to(dtype))
    loaded = load_generator(tmp_path / "g.pth")
    assert all(torch.equal(t, source.state_dict()[n].float()) for n, t in loaded.state_dict().items())


def test_views_of_one_storage_are_told_apart(tmp_path: Path) -> None:
    source = layouts.tiny()
    state = layouts.hammer_state(source)
    state["w_avg"] = torch.arange(40.0).reshape(4, 10)[1:3, 2:10:2].reshape(8)[:]
    both = torch.arange(64.0).reshape(8, 8)
    state["mapping.dense1.weight"] = both.T
    torch.save({"generator_smooth": state}, tmp_path / "g.pth")
    loaded = load_generator(tmp_path / "g.pth")
    assert torch.equal(loaded.mapping.fc1.weight, both.T)
    assert torch.equal(loaded.mean_codes()[0], state["w_avg"])


def changed_tensorflow(**arguments: Any) -> Callable[[Path], None]:
    return lambda file: layouts.tensorflow_pickle(file, layouts.tiny(), **arguments)


def changed_nvidia(**arguments: Any) -> Callable[[Path], None]:
    return lambda file: layouts.nvidia_pickle(file, layouts.tiny(), **arguments)


def changed_state(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        state = layouts.hammer_state(layouts.tiny())
        change(state)
        torch.save({"generator_smooth": state}, file)

    return write


def save(value: object) -> Callable[[Path], None]:
    return lambda file: torch.save(value, file)


def orig(file: Path) -> None:
    network = layouts.nvidia_network(layouts.tiny())
    network.meta["state"]["_modules"]["synthesis"].meta["state"]["_modules"]["b4"].meta["state"][
        "_modules"
    ].pop("torgb")
    with layouts.other_modules():
        file.write_bytes(pickle.dumps({"G_ema": network}))


def fastgan(file: Path) -> None:
    network = layouts._module("Generator", {"synthesis.init.weight": torch.ones(1)})
    network.meta["state"]["_modules"]["synthesis"].meta["class_name"] = "FastganSynthesis"
    with layouts.other_modules():
        file.write_bytes(pickle.dumps({"G_ema": network}))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (changed_nvidia(mapping_kwargs={"rand_embedding": True}), "rand_embedding"),
        (changed_nvidia(synthesis_kwargs={"architecture": "resnet"}), "'skip' is supported"),
        (changed_nvidia(synthesis_kwargs={"resample_filter": [1, 2, 1]}), "resample_filter"),
        (changed_nvidia(img_resolution=16), "img_resolution"),
        (orig, "'orig' or 'resnet'"),
        (fastgan, "FastGAN"),
        (changed_tensorflow(architecture="orig"), "architecture is the text 'orig'"),
        (changed_tensorflow(square=True), "square"),
        (changed_state(lambda s: s.pop("w_avg")), "mapping.w_avg"),
        (changed_state(lambda s: s.update(extra=torch.ones(1))), "extra"),
        (changed_state(lambda s: s.update({"synthesis.filter": torch.ones(4, 4)})), "[1, 3, 3, 1]"),
        (changed_state(lambda s: s.update({"w_avg": torch.ones(9)})), "(9,)"),
        (changed_state(lambda s: s.update({"w_avg": torch.ones(1).expand(8)})), "its 1 numbers"),
        (changed_state(lambda s: s["w_avg"].fill_(float("nan"))), "finite"),
        (changed_state(lambda s: s.update({"w_avg": torch.ones(8, dtype=torch.int64)})), "finite"),
        (changed_state(lambda s: s.update({"synthesis.residual1.weight": torch.ones(1)})), "resnet"),
        (save({"state_dict": {}, "epoch": 3}), "'state_dict', 'epoch'"),
        (save(torch.ones(3)), "a tensor"),
        (save([1, 2]), "a list"),
        (lambda file: file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        (lambda file: file.write_bytes(b"<!DOCTYPE html><html>"), "web page"),
        (lambda file: file.write_bytes(b""), "empty"),
        (lambda file: file.write_bytes(pickle.dumps(np.ones(3))), "a tensor"),
    ],
)
def test_refusals_say_what_was_found(write: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    write(tmp_path / "g.pkl")
    with pytest.raises(CheckpointError) as caught:
        load_generator(tmp_path / "g.pkl")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_an_unknown_object_is_refused_only_where_the_generator_depends_on_it(tmp_path: Path) -> None:
    state = layouts.hammer_state(layouts.tiny())
    torch.save(
        {"generator_smooth": state, "config": Path("x"), "loss": [torch.nn.ReLU()]}, tmp_path / "a.pth"
    )
    assert isinstance(load_generator(tmp_path / "a.pth"), StyleGAN2)
    torch.save({"generator_smooth": {**state, "w_avg": Path("x")}}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match=r"pathlib\S*Path"):
        load_generator(tmp_path / "b.pth")


def test_a_hash_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    tensors = layouts.tiny().state_dict()
    safetensors.torch.save_file(tensors, tmp_path / "g.safetensors", {"modelspec.hash_sha256": "00"})
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_generator(tmp_path / "g.safetensors")
