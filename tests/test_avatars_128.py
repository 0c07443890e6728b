"""The bundled generator of faces at 128 pixels: that it comes along whole, and draws what `avatars` does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import resefa_core as resefa
from resefa_core.cli import main
from resefa_core.directions.about import credit_of, generator_rows
from resefa_core.evaluation.attributes import AttributeClassifier, probabilities
from resefa_core.latents.crop import FACES
from resefa_core.regions import preset_family

NAME = "avatars-128"
MOST_BYTES = 4_000_000
SEEDS = range(5000, 5048)


@pytest.fixture(scope="module")
def larger() -> resefa.Generator:
    return resefa.load_generator(NAME)


def test_it_is_small_and_says_what_it_is(
    larger: resefa.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(resefa.__file__).parent / "bundled" / f"{NAME}.safetensors"
    assert file.stat().st_size < MOST_BYTES
    assert (larger.image_size, larger.latent_dim, larger.num_layers) == ((128, 128), 84, 12)
    assert "Pablo Stanley" in credit_of(larger)
    assert dict(generator_rows(larger))["license"] == "free for personal and commercial use"
    assert main(["info", NAME]) == 0
    assert f"title                  {NAME}\n" in capsys.readouterr().out


def test_its_images_are_of_the_family_of_avatars(larger: resefa.Generator) -> None:
    family = preset_family(larger)
    assert family == preset_family(NAME) == "avatars"
    assert resefa.presets_of(larger).keys() == resefa.PRESETS["avatars"].keys()
    assert family in FACES


def test_a_seed_is_the_same_face_in_both(avatars: resefa.Generator, larger: resefa.Generator) -> None:
    """What of two faces the classifier tells alike, and of a face and the next one."""
    classifier = AttributeClassifier.load("avatars")
    told = []
    for generator in (avatars, larger):
        found = probabilities(classifier, generator.synthesize(generator.sample(SEEDS, 0.7)))
        told.append(torch.stack([scores.argmax(dim=1) for scores in found.values()]))
    alike = (told[0] == told[1]).float().mean()
    assert alike > 0.8
    assert alike > 2.0 * (told[0] == told[1].roll(1, dims=1)).float().mean()


def test_its_parts_are_called_as_those_of_avatars_and_lie_where_those_do(
    avatars: resefa.Generator, larger: resefa.Generator
) -> None:
    here, there = resefa.Session(larger, 13), resefa.Session(avatars, 13)
    assert set(here.part_names) <= set(there.part_names)
    for part in ("mouth", "eyes", "hair", "skin", "clothes", "background"):
        mine, theirs = here.part(part).mask(64, 64) >= 0.5, there.part(part).mask(64, 64) >= 0.5
        assert (mine & theirs).sum() > 0.5 * (mine | theirs).sum(), part


def test_its_directions_change_their_parts_and_hardly_the_rest(larger: resefa.Generator) -> None:
    sets = resefa.bundled_directions(larger)
    assert {name.removeprefix(f"{NAME}-") for name in sets} == {
        "clothes",
        "eyebrows",
        "eyes",
        "hair",
        "mouth",
    }
    session = resefa.Session(larger, 29)
    for name, directions in sets.items():
        directions.check(larger)
        for index, each in enumerate(directions.names):
            effect = session.measure(
                directions, which=index, seeds=(29, 13, 2012), strength=max(directions.strength_range)
            )
            assert effect.inside > 0.1, (name, each)
            assert effect.ratio > 10.0, (name, each)
