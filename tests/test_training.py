"""Training as it is called, on small drawings: it runs to its end, goes on, and takes generators over."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import resefa_core as resefa
from resefa_core.generators.stylegan2_layers import upsample
from resefa_core.generators.styles import Style

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))

import adversarial
import bundle
import bundled_directions
import draw_cats
import paired
from discriminator import Discriminator
from layout import Layout

VALUES = {
    "mouth": ["sad", "smile", "open"],
    "skinColor": ["614335", "edb98a", "ffdbb4"],
    "accessories": ["round", "none"],
}
VARIATIONS = ["mouthWidth", "skinColorLightness", "skinColorWarmth"]
COUNT, SIDE = 48, 16
SMALL = ("--device", "cpu", "--batch", "4", "--keep-every", "1000")


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("drawings"))


def draw(folder: Path) -> Path:
    """Squares of the skin's colour with a dark mouth, as tall as it is wide open."""
    random = np.random.RandomState(0)
    labels = {name: random.randint(len(values), size=COUNT) for name, values in VALUES.items()}
    faces = np.empty((COUNT, SIDE, SIDE, 3), np.uint8)
    for face, colour, mouth in zip(faces, labels["skinColor"], labels["mouth"], strict=True):
        face[:] = list(bytes.fromhex(VALUES["skinColor"][colour]))
        face[10 : 11 + mouth, 4:12] = 20
    np.save(folder / "faces.npy", faces)
    amounts = {name: random.randn(COUNT).clip(-2, 2).round(3).tolist() for name in VARIATIONS}
    told: dict[str, Any] = {"values": VALUES, "labels": {n: v.tolist() for n, v in labels.items()}}
    told |= {"variations": amounts, "detail": [10 / SIDE, 14 / SIDE, 0.0, 1.0]}
    told["about"] = {"title": "mouths", "description": "drawn mouths", "license": "any", "author": "nobody"}
    (folder / "labels.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def pairs(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    widths = ("--channel-base", "128", "--channel-max", "16")
    paired.main([str(drawings), str(folder), "--images", "1200", *widths, *SMALL])
    return folder


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_pairs_are_learned_at_growing_sizes(pairs: Path) -> None:
    told = lines(pairs)
    assert [line["resolution"] for line in told] == [8, 16, 16]
    assert told[-1]["images"] == 1200
    generator = resefa.load_generator(pairs / "generator.safetensors")
    assert (generator.resolution, generator.latent_dim) == (SIDE, 2 + 3 + 1 + 1)
    assert (generator.name, generator.author, generator.license) == ("generator", "nobody", "any")
    assert len(list((pairs / "samples").glob("*.png"))) == 1


def test_a_layout_is_what_the_mapping_network_gives(drawings: Path) -> None:
    layout = Layout.read(drawings / "labels.json")
    rows = torch.arange(COUNT)
    noise = layout.noise(rows, 128)
    assert noise.square().mean(dim=1).tolist() == pytest.approx([1.0] * COUNT, rel=1e-4)
    run = paired.Run(layout, 4, {"channel_base": 64, "channel_max": 16}, torch.device("cpu"))
    codes = torch.stack([run.generator.mapping(layout.noise(rows, 128), None) for _ in range(9)]).median(0)[0]
    codes = codes.detach() / (4.0 * 2**0.5)
    values = layout.codes[0].T
    torch.testing.assert_close(codes[:, :2], values[layout.labels[:, 0]], atol=0.05, rtol=0.0)
    assert torch.pdist(values).tolist() == pytest.approx([2**0.5] * 3)
    colours = torch.tensor([list(bytes.fromhex(each)) for each in VALUES["skinColor"]]) / 255.0
    moved = 10.0 * layout.amounts[:, 1:2] + torch.tensor([7.0, 0.0, -7.0]) * layout.amounts[:, 2:]
    wanted = colours[layout.labels[:, 1]] + moved / 255.0 + 2.5 * torch.tensor([17.0, 10.0, 17.0]) / 255.0
    torch.testing.assert_close(codes[:, 2:5] / 1.5, wanted, atol=0.05, rtol=0.0)


def test_a_run_goes_on(drawings: Path, tmp_path: Path) -> None:
    widths = ("--channel-base", "128", "--channel-max", "16")
    for images in ("80", "160"):
        paired.main([str(drawings), str(tmp_path), "--images", images, *widths, *SMALL])
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["run"]["images"] == 160
    assert [line["images"] for line in lines(tmp_path)] == [80, 160]


@pytest.mark.parametrize("side", [SIDE, 2 * SIDE])
def test_a_generator_is_taken_over_wider_and_larger(pairs: Path, drawings: Path, side: int) -> None:
    old = resefa.load_generator(pairs / "generator.safetensors")
    assert isinstance(old, resefa.StyleGAN2)
    layout = Layout.read(drawings / "labels.json")
    run = paired.Run(layout, side, {"channel_base": 384, "channel_max": 24}, torch.device("cpu"))
    run.adopt(old)
    noise = layout.noise(torch.arange(8), 128)
    for generator in (run.generator, run.average):
        before, after = (
            each.render([Style(each.style(i, code)) for i, code in enumerate(each.map(noise).unbind(1))])
            for each in (old, generator)
        )
        wanted = before if side == SIDE else upsample(before)
        torch.testing.assert_close(after, wanted, atol=2e-3, rtol=0.0)


def test_adversarial_training_goes_on_from_pairs(pairs: Path, drawings: Path, tmp_path: Path) -> None:
    start = str(pairs / "generator.safetensors")
    options = (*SMALL, "--mirror", "--jitter", "--symmetry-weight", "1")
    for images in ("80", "160"):
        adversarial.main([str(drawings), start, str(tmp_path), "--images", images, *options])
    told = lines(tmp_path)
    assert [line["images"] for line in told] == [80, 160]
    assert all(np.isfinite(list(line.values())).all() for line in told)
    made = resefa.load_generator(tmp_path / "generator.safetensors")
    assert made.fingerprint != resefa.load_generator(start).fingerprint


def test_a_discriminator_is_taken_over_and_comes_to_see_mirror_images(
    pairs: Path, drawings: Path, tmp_path: Path
) -> None:
    start = str(pairs / "generator.safetensors")
    adversarial.main([str(drawings), start, str(tmp_path / "first"), "--images", "80", *SMALL])
    checkpoint = tmp_path / "first" / "checkpoint.pt"
    state = torch.load(checkpoint, weights_only=True)["run"]["modules"]["discriminator"]
    channels = [state[f"b{side}.from_rgb.weight"].shape[0] for side in (16, 8)] + [
        len(state["logit.weight"][0])
    ]
    before, after = Discriminator(channels), Discriminator(channels, beside_mirror=True)
    before.load_state_dict(state)
    after.take_over(state)
    images = torch.randn(8, 3, SIDE, SIDE)
    torch.testing.assert_close(after(images), before(images), atol=1e-4, rtol=1e-4)
    further = ("--beside-mirror", "--discriminator", str(checkpoint))
    adversarial.main([str(drawings), start, str(tmp_path / "second"), "--images", "80", *further, *SMALL])
    run = torch.load(tmp_path / "second" / "checkpoint.pt", weights_only=True)["run"]
    assert (run["images"], run["images_before"]) == (80, 80)
    assert bool(run["modules"]["discriminator"]["b16.from_rgb.weight"][:, 3:].any())


def test_a_run_s_generator_is_bundled_under_its_name(pairs: Path, tmp_path: Path) -> None:
    run = pairs / "generator.safetensors"
    bundle.main([str(run), "larger-faces", "--folder", str(tmp_path)])
    generator, trained = (
        resefa.load_generator(tmp_path / "larger-faces.safetensors"),
        resefa.load_generator(run),
    )
    about = resefa.checkpoints.describe(tmp_path / "larger-faces.safetensors")
    assert (generator.name, about["title"]) == ("larger-faces", "larger-faces")
    assert (generator.author, generator.license) == (trained.author, trained.license)
    assert generator.fingerprint == trained.fingerprint


def test_what_does_the_same_is_suggested(
    avatars: resefa.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    known = resefa.bundled_directions(avatars)["avatars-eyes"]
    turned = replace(known[[1, 0]], vectors=-known.vectors[[1, 0]])
    bundled_directions.suggest(avatars, turned, avatars, "eyes")
    assert capsys.readouterr().out.splitlines() == [
        f'eyes: Kept({1 - index}, -4, "{name}"),  # 1.00' for index, name in enumerate(known.names)
    ]


def test_minutes_end_a_run(drawings: Path, tmp_path: Path) -> None:
    widths = ("--channel-base", "64", "--channel-max", "8")
    paired.main([str(drawings), str(tmp_path), "--minutes", "0.02", *widths, *SMALL])
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert 1.2 <= content["run"]["seconds"] < 60.0
    assert content["run"]["resolution"] == SIDE


def test_cats_are_layers_over_a_colour() -> None:
    side = 8
    pixels = {part: np.zeros((2, side, side, 4), np.float32) for part in draw_cats.PARTS}
    pixels["body"][1, 4:] = (0.5, 0.5, 0.5, 0.5)
    pixels["eyes"][1, 3, 5] = 1.0
    colours = {"furColor": draw_cats.FURS, "backgroundColor": draw_cats.BACKGROUNDS}
    values = {part: ["none", part] for part in draw_cats.PARTS}
    values |= {name: list(known) for name, known in colours.items()}
    layers = draw_cats.Layers(values, pixels)
    seen = set()
    for index in range(20):
        cat, drawn, amounts = draw_cats.draw(index, layers)
        again, _, _ = draw_cats.draw(index, layers)
        assert (cat == again).all()
        assert all(abs(amount) <= 2.0 for amount in amounts.values())
        fur, background = (
            np.array(list(bytes.fromhex(known[drawn[name]])), float)
            + 10.0 * amounts[f"{name}Lightness"]
            + np.array([7.0, 0.0, -7.0]) * amounts[f"{name}Warmth"]
            for name, known in colours.items()
        )
        assert np.abs(cat[0, 0] - background.clip(0.0, 255.0)).max() <= 0.51
        covered = 0.5 * (background + fur) if drawn["body"] else background
        assert np.abs(cat[-1, 0] - covered.clip(0.0, 255.0)).max() <= 0.51
        seen.add((drawn["body"], drawn["eyes"]))
    assert len(seen) == 4


def test_bodies_lose_their_colour_and_patterns_gain_strength(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = tmp_path / "robohash" / "sets" / "set4"
    for number, (part, names) in enumerate(draw_cats.NAMES.items()):
        (folders / f"{number:02}{part}").mkdir(parents=True)
        for index, _ in enumerate(names.split()):
            layer = np.zeros((16, 16, 4), np.uint8)
            if part == "body":
                layer[:, 4:] = (200, 100, 50, 255)
                layer[:4, 4:] = (100, 50, 25, 255)
            elif part == "fur" and index not in (2, 6):
                layer[:8] = (255, 255, 255, 40 + 10 * index)
            Image.fromarray(layer).save(folders / f"{number:02}{part}" / f"{index:02}.png")
    (tmp_path / "robohash" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    layers = draw_cats.read_layers(8)
    assert all("-" not in values for values in layers.values.values())
    assert {part: len(drawn) for part, drawn in layers.pixels.items()} == {
        part: len(layers.values[part]) for part in draw_cats.PARTS
    }
    body = layers.pixels["body"][0]
    assert np.allclose(body[2:, 2:], 1.0, atol=1e-3)
    assert np.allclose(body[:2, 2:, :3], 0.5, atol=1e-3)
    assert not body[:, :2].any()
    for value, fur in zip(layers.values["fur"], layers.pixels["fur"], strict=True):
        assert np.allclose(fur[:4], 0.0 if value == "none" else 0.6, atol=1e-3)
        assert not fur[4:].any()
