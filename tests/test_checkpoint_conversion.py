"""Converting keeps every number; telling what a file holds builds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoint_files as layouts
import pytest
import safetensors.torch
import torch
from torch import nn

from resefa_core import CheckpointError, StyleGAN2, load_generator
from resefa_core.checkpoints import convert_generator, describe
from resefa_core.cli import main
from resefa_core.generators.stylegan3 import StyleGAN3


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_a_converted_generator_is_the_same_to_the_bit(layout: str, tmp_path: Path) -> None:
    layouts.LAYOUTS[layout](tmp_path / "in.bin", layouts.tiny(c_dim=0))
    convert_generator(tmp_path / "in.bin", tmp_path / "out.safetensors")
    before, after = load_generator(tmp_path / "in.bin"), load_generator(tmp_path / "out.safetensors")
    assert all(torch.equal(t, after.state_dict()[n]) for n, t in before.state_dict().items())
    convert_generator(tmp_path / "out.safetensors", tmp_path / "again.safetensors")
    assert before.fingerprint == load_generator(tmp_path / "again.safetensors").fingerprint


def test_types_clamping_classes_and_texts_are_kept(tmp_path: Path) -> None:
    source = layouts.tiny(c_dim=3, embed=5, clamp=0.4).half()
    arguments = {"synthesis_kwargs": {"conv_clamp": 0.4}, "mapping_kwargs": {"embed_features": 5}}
    layouts.nvidia_pickle(tmp_path / "in.pkl", source, 0.4, **arguments)
    calls: list[tuple[int, int]] = []
    output = tmp_path / "out.safetensors"
    convert_generator(
        tmp_path / "in.pkl", output, origin="a page", license="CC0", progress=lambda *now: calls.append(now)
    )
    tensors = safetensors.torch.load_file(output)
    assert {t.dtype for n, t in tensors.items() if not n.endswith("filter")} == {torch.float16}
    assert calls[0][0] == 1
    assert calls[-1] == (2 * len(tensors), 2 * len(tensors))
    loaded = load_generator(output)
    assert isinstance(loaded, StyleGAN2)
    assert loaded.synthesis.block(8).conv1.clamp == 0.4
    told = describe(output)
    assert (told["origin"], told["license"], told["converted from"]) == ("a page", "CC0", "NVIDIA pickle")
    assert (told["classes"], told["stored as"]) == (3, ["float16", "float32"])
    with safetensors.safe_open(output, framework="pt") as opened:
        assert json.loads(opened.metadata()["init_kwargs"])["mapping_kwargs"]["embed_features"] == 5


def test_a_stylegan3_is_converted(tmp_path: Path) -> None:
    small = {"channel_base": 256, "channel_max": 8, "num_layers": 4, "num_critical": 1}
    source = StyleGAN3(z_dim=8, w_dim=8, img_resolution=16, **small).eval()
    layouts.nvidia_pickle(tmp_path / "in.pkl", source, 256, **small)
    convert_generator(tmp_path / "in.pkl", tmp_path / "out.safetensors")
    latent = source.sample(5)
    loaded = load_generator(tmp_path / "out.safetensors")
    assert torch.equal(loaded.synthesize(loaded.sample(5)), source.synthesize(latent))
    assert describe(tmp_path / "out.safetensors")["architecture"] == "stylegan3"


def test_the_metadata_guard_the_numbers(tmp_path: Path) -> None:
    layouts.hammer(tmp_path / "in.pth", layouts.tiny())
    output = tmp_path / "out.safetensors"
    convert_generator(tmp_path / "in.pth", output)
    data = bytearray(output.read_bytes())
    data[-2] ^= 1
    output.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_generator(output)


def test_nothing_is_built_to_tell_what_a_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {}
    for name, write in layouts.LAYOUTS.items():
        files[name] = tmp_path / f"{name.replace(' ', '-')}.pt"
        write(files[name], layouts.tiny())
    built = []
    register = nn.Module.register_parameter

    def watch(self: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        built.append(parameter is not None and parameter.device.type != "meta")
        register(self, name, parameter)

    monkeypatch.setattr(nn.Module, "register_parameter", watch)
    for name, file in files.items():
        assert run("info", file, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["architecture"], told["resolution"], told["layers"]) == ("stylegan2", 8, 4), name
    assert built
    assert not any(built)


def test_what_can_not_be_converted_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = layouts.tiny()
    layouts.hammer(tmp_path / "good.pth", source)
    source.mapping.w_avg[3] = float("inf")
    layouts.hammer(tmp_path / "bad.pth", source)
    (tmp_path / "kept.safetensors").write_text("mine")
    assert run("convert", tmp_path / "bad.pth", tmp_path / "x.safetensors") == 1
    assert "finite" in capsys.readouterr().err
    assert run("convert", tmp_path / "good.pth", tmp_path / "kept.safetensors") == 1
    assert (tmp_path / "kept.safetensors").read_text() == "mine"
    assert run("convert", tmp_path / "missing.pth", tmp_path / "x.safetensors") == 1
    assert sorted(f.name for f in tmp_path.iterdir()) == ["bad.pth", "good.pth", "kept.safetensors"]


def test_stopping_a_conversion_leaves_nothing(tmp_path: Path) -> None:
    layouts.hammer(tmp_path / "in.pth", layouts.tiny())

    def stop(done: int, total: int) -> None:
        if done == total - 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_generator(tmp_path / "in.pth", tmp_path / "out.safetensors", progress=stop)
    assert [f.name for f in tmp_path.iterdir()] == ["in.pth"]


def test_a_folder_is_converted_past_files_that_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    layouts.hammer(source / "a.pth", layouts.tiny())
    (source / "b.pkl").write_bytes(b"\x80\x04N.")
    layouts.rosinality(source / "c.pt", layouts.tiny())
    (source / "notes.txt").write_text("not a checkpoint")
    assert run("convert", source, output) == 1
    said = capsys.readouterr()
    assert said.out.count("wrote") == 2
    assert "1 of 3 files" in said.err
    assert sorted(f.name for f in output.iterdir()) == ["a.safetensors", "c.safetensors"]
    (source / "b.pkl").unlink()
    assert run("convert", source, output) == 1
    assert run("convert", source, output, "--force") == 0
    assert run("convert", tmp_path / "out", tmp_path / "out", "--force") == 1
    assert run("convert", tmp_path, tmp_path / "none") == 1
