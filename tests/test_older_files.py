"""What an older version wrote opens, and means what it meant: see `tests/older/README.md`."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from PIL import Image

import resefa_core as resefa
from resefa_core.latents.edits import Edited

OLDER = Path(__file__).parent / "older"
SETS = ("mouth_w", "mouth_layered", "mouth_styles", "mouth_confined")
SPACES = {"mouth_w": "w", "mouth_layered": "w+", "mouth_styles": "s", "mouth_confined": "w"}
MOST = 2
"""Levels of 255 by which a picture may differ: those of rounding, on another processor too."""


def pixels(name: str) -> np.ndarray:
    with Image.open(OLDER / name) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def differs(generator: resefa.Generator, latent: resefa.Latent, name: str) -> int:
    """By how much a latent's image is not the picture."""
    made = np.asarray(resefa.to_pil(generator.synthesize(latent)[0])).astype(int)
    return int(np.abs(made - pixels(name)).max())


@pytest.fixture(scope="module")
def plain() -> resefa.Latent:
    return resefa.Latent.load(OLDER / "plain.safetensors")


@pytest.mark.parametrize("name", SETS)
def test_a_direction_file_moves_as_it_did(name: str, avatars: resefa.Generator, plain: resefa.Latent) -> None:
    directions = resefa.Directions.load(OLDER / f"{name}.safetensors")
    assert directions.space == SPACES[name]
    assert directions.seeds == (7,)
    assert directions.confined == (name == "mouth_confined")
    assert directions.region is not None
    assert directions.origin_note(avatars) == ""
    moved = resefa.move(plain, resefa.prepared(avatars, plain, directions), {0: 3.0})
    assert differs(avatars, moved, f"{name}.png") <= MOST
    assert differs(avatars, plain, f"{name}.png") > 10 * MOST


def test_what_people_wrote_in_a_direction_file_is_there(avatars: resefa.Generator) -> None:
    directions = resefa.Directions.load(OLDER / "mouth_w.safetensors")
    assert (directions.title, directions.author, directions.license) == ("Mouth of seed 7", "A", "CC0-1.0")
    assert directions.steps_confined is not None
    alone = resefa.Directions.from_npy(OLDER / "mouth_w.npy", space="w", layers=directions.layers)
    torch.testing.assert_close(
        alone.vectors, directions.vectors, rtol=0.0, atol=1e-6
    )  # float32 at unit length


@pytest.mark.parametrize(
    ("file", "picture"),
    [
        ("plain.safetensors", "plain.png"),
        ("moved.safetensors", "moved.png"),
        ("confined.safetensors", "confined.png"),
        ("confined_latent.png", "confined.png"),
    ],
)
def test_a_latent_is_the_image_that_it_was(file: str, picture: str, avatars: resefa.Generator) -> None:
    opened = Edited.load(OLDER / file)
    for latent in (resefa.Latent.load(OLDER / file), opened.latent):
        assert (latent.seed, latent.truncation) == ((7,), pytest.approx(0.7))
        assert differs(avatars, latent, picture) <= MOST
    session = resefa.Session(avatars, latent=opened)
    session.edit(resefa.Directions.load(OLDER / "mouth_w.safetensors"), {1: 2.0})
    assert differs(avatars, session.latent, picture) > 5 * MOST
    assert session.undo()
    assert differs(avatars, session.latent, picture) <= MOST


@pytest.mark.parametrize("link", json.loads((OLDER / "links.json").read_text()))
def test_a_link_asks_for_what_it_asked_for(link: str, avatars: resefa.Generator) -> None:
    links = pytest.importorskip("gradio_app.links")
    asked, notes = links.read(dict(parse_qsl(link[1:])))
    assert notes == []
    assert asked["generator"] == "avatars"
    session = resefa.Session(avatars, asked["seed"], truncation=asked["truncation"])
    region = session.region(asked["region"])
    told = dict(parse_qsl(link[1:]))
    if "box" in told:
        assert region.to_json()["box"] == [float(number) for number in told["box"].split(",")]
    else:
        assert region.name == "eyes"
    assert asked.get("method") == told.get("method")
