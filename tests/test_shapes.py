"""Images that are not square, not of three colours, or not opaque, in all that is done with images."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import checkpoint_files as layouts
import numpy as np
import pytest
import torch
import whole_path
from PIL import Image

import resefa_core as resefa
from resefa_core import CheckpointError, StyleGAN2, StyleGAN3
from resefa_core.checkpoints import describe
from resefa_core.cli.program import main

SHAPES: dict[str, tuple[int, tuple[int, int]]] = {
    "grey": (1, (4, 4)),
    "with opacity": (4, (4, 4)),
    "twice as tall": (3, (4, 2)),
    "three by five": (3, (3, 5)),
    "wide and with opacity": (4, (4, 6)),
}


def randomized(generator: Any) -> Any:
    with torch.no_grad():
        for name, tensor in generator.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                tensor.add_(0.3 * torch.randn_like(tensor))
            if name.endswith("torgb.weight"):
                tensor.mul_(0.4)
    return generator.eval()


def shaped(channels: int = 3, start: tuple[int, int] = (4, 2), resolution: int = 16) -> StyleGAN2:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "num_mapping_layers": 2, "channel_base": 128}
    return randomized(
        StyleGAN2(img_resolution=resolution, img_channels=channels, channel_max=8, init_res=start, **sizes)
    )


def coloured_stylegan3(channels: int) -> StyleGAN3:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_layers": 4, "first_cutoff": 1.0, "first_stopband": 2.0, "margin_size": 4}
    return randomized(
        StyleGAN3(8, 0, 8, 16, channels, channel_base=64, channel_max=8, output_scale=1.0, **sizes)
    )


@pytest.mark.parametrize("name", SHAPES)
def test_the_whole_path_of_a_stylegan2(name: str, tmp_path: Path) -> None:
    channels, start = SHAPES[name]
    source = shaped(channels, start)
    torch.save({"G_ema": source.state_dict()}, tmp_path / "g.pt")
    generator = whole_path.take(tmp_path / "g.pt", source, tmp_path)
    assert generator.image_size == (4 * start[0], 4 * start[1])
    assert generator.resolution == max(generator.image_size)


@pytest.mark.parametrize("channels", [1, 4])
def test_the_whole_path_of_a_stylegan3(channels: int, tmp_path: Path) -> None:
    source = coloured_stylegan3(channels)
    source.save(tmp_path / "g.safetensors")
    whole_path.take(tmp_path / "g.safetensors", source, tmp_path)


@pytest.mark.parametrize("layout", ["nvidia", "tensorflow", "rosinality"])
def test_other_projects_files_of_images_that_are_not_square(layout: str, tmp_path: Path) -> None:
    source = shaped(start=(4, 2), resolution=8)
    file = tmp_path / "g.pkl"
    if layout == "nvidia":
        layouts.nvidia_pickle(file, source, square=False, img_resolution=8)
    elif layout == "rosinality":
        layouts.rosinality(file, source)
    else:
        told = {"resolution": 8, "min_h": 4, "min_w": 2, "res_log2": 1, "resolution_h": 8, "resolution_w": 4}
        layouts.tensorflow_pickle(file, source, **told)
    loaded = resefa.load_generator(file)
    assert loaded.image_size == (8, 4)
    latent = source.sample([1, 2])
    torch.testing.assert_close(loaded.synthesize(latent), source.synthesize(latent), rtol=0, atol=1e-5)
    assert describe(file)["image size"] == "4 x 8"


def test_what_a_file_says_of_its_shape_is_compared(tmp_path: Path) -> None:
    layouts.nvidia_pickle(tmp_path / "g.pkl", shaped(resolution=8), square=True, img_resolution=8)
    with pytest.raises(CheckpointError, match="not those of its constant of 4 x 2"):
        resefa.load_generator(tmp_path / "g.pkl")
    layouts.nvidia_pickle(tmp_path / "g.pkl", shaped(resolution=8), init_res=[2, 4], img_resolution=8)
    with pytest.raises(CheckpointError, match="not those of its constant of 4 x 2"):
        resefa.load_generator(tmp_path / "g.pkl")
    layouts.tensorflow_pickle(tmp_path / "g.pkl", layouts.tiny(), min_h=2)
    with pytest.raises(CheckpointError, match="min_h"):
        resefa.load_generator(tmp_path / "g.pkl")
    source = coloured_stylegan3(3)
    network = layouts.nvidia_network(
        source,
        num_layers=4,
        first_cutoff=1.0,
        first_stopband=2.0,
        margin_size=4,
        channel_base=64,
        square=False,
    )
    with layouts.other_modules():
        (tmp_path / "g.pkl").write_bytes(pickle.dumps({"G_ema": network}))
    with pytest.raises(CheckpointError, match="StyleGAN-Human's StyleGAN3"):
        resefa.load_generator(tmp_path / "g.pkl")


def test_square_files_say_nothing_of_their_shape(tmp_path: Path) -> None:
    source = shaped(start=(4, 4))
    assert "init_res" not in str(source.file_arguments(source.arguments))
    assert "width" not in source.describe()
    tall = shaped()
    assert (tall.describe()["width"], tall.describe()["height"]) == (8, 16)


def test_opacity_is_laid_over_white_and_kept_in_files(tmp_path: Path) -> None:
    source = shaped(4, (4, 2))
    latent = source.sample(5)
    raw = source.synthesize(latent, cut_out=True)
    assert raw.shape == (1, 4, 16, 8)
    opacity = ((raw[:, 3:] + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(source.synthesize(latent), raw[:, :3] * opacity + 1 - opacity)
    assert torch.equal(shaped().synthesize(latent, cut_out=True), shaped().synthesize(latent))
    session = resefa.Session(source, latent=latent)
    session.save_picture(tmp_path / "own.png")
    source.save(tmp_path / "g.safetensors")
    command = ["generate", "-g", str(tmp_path / "g.safetensors"), "--seeds", "5", "--truncation", "1"]
    main([*command, "-o", str(tmp_path / "one.png")])
    for name in ("own.png", "one.png"):
        with Image.open(tmp_path / name) as picture:
            assert (picture.mode, picture.size) == ("RGBA", (8, 16))
            assert np.array_equal(np.asarray(picture), np.asarray(resefa.to_pil(raw[0])))
    command[4] = "0-3"
    main([*command, "-o", str(tmp_path / "sheet.png")])
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.mode == "RGB"


def test_large_images_are_analysed_in_their_own_shape() -> None:
    source = shaped(3, (40, 20), 32)
    assert source.image_size == (320, 160)
    jacobian = resefa.compute_jacobian(source, source.sample(1), "w", kind="dense")
    assert (jacobian.height, jacobian.width) == (256, 128)
    free = resefa.compute_jacobian(source, source.sample(1), "w", kind="matrix-free")
    vector, cotangent = torch.randn(1, 8), torch.randn(1, 3, 256, 128)
    assert float((free.jvp(vector) * cotangent).sum()) == pytest.approx(
        float((free.vjp(cotangent) * vector).sum()), rel=1e-3
    )
    torch.testing.assert_close(free.jvp(vector), jacobian.jvp(vector), rtol=1e-3, atol=1e-3)


REGIONAL = [name for name, method in resefa.METHODS.items() if method.uses_region and name != "lowrankgan"]
"""LowRankGAN refuses random weights, which have no low-rank part."""


@pytest.mark.parametrize("method", REGIONAL)
def test_methods_find_directions_in_images_that_are_not_square(method: str) -> None:
    session = resefa.Session(shaped(3, (4, 2)), seed=2)
    found = session.find(resefa.Region.from_box(0.1, 0.1, 0.6, 0.3), method=method, count=2)
    assert len(found) > 0


def test_channels_that_can_not_be_shown_are_refused(tmp_path: Path) -> None:
    state = shaped(3).state_dict()
    for name in list(state):
        if name.endswith(("torgb.weight", "torgb.bias")):
            state[name] = torch.cat([state[name], state[name]])
    torch.save(state, tmp_path / "six.pt")
    with pytest.raises(CheckpointError, match="6 colour channels: expected 1"):
        resefa.load_generator(tmp_path / "six.pt")
