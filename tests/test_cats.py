"""The bundled generator of cats: that it comes along whole, whom it credits, and what edits of it change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import resefa_core as resefa
from resefa_core.cli import main
from resefa_core.directions.about import credit_of, generator_rows
from resefa_core.evaluation.attributes import (
    REGION_ATTRIBUTES,
    AttributeClassifier,
    attribute_changes,
    probabilities,
)

MOST_BYTES = 4_000_000
SEEDS = (13, 41, 21, 29)
MANY = range(40, 72)


@pytest.fixture(scope="module")
def cats() -> resefa.Generator:
    return resefa.load_generator("cats")


def test_it_is_small_and_comes_along() -> None:
    assert resefa.bundled_names() == ["avatars", "avatars-128", "cats"]
    folder = Path(resefa.__file__).parent
    assert (folder / "bundled" / "cats.safetensors").stat().st_size < MOST_BYTES
    assert (folder / "evaluation" / "cats.safetensors").stat().st_size < 1_000_000


def test_it_says_whom_to_credit(cats: resefa.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    assert "David Revoy" in credit_of(cats)
    assert credit_of(cats).endswith("CC BY 4.0")
    assert dict(generator_rows(cats))["license"] == "CC BY 4.0"
    assert main(["info", "cats"]) == 0
    assert "David Revoy" in capsys.readouterr().out


def test_cats_differ_and_truncation_draws_them_together(cats: resefa.Generator) -> None:
    assert cats.image_size == (128, 128)
    near, far = (
        cats.synthesize(cats.sample(range(8), truncation)).var(dim=0).mean() for truncation in (0.3, 1.0)
    )
    assert 0.0 < near < far


def test_presets_have_their_attributes() -> None:
    classifier = AttributeClassifier.load("cats")
    shown = REGION_ATTRIBUTES["cats"]
    assert shown.keys() == resefa.PRESETS["cats"].keys() == resefa.presets_of("cats").keys()
    assert {name for names in shown.values() for name in names} <= classifier.attributes.keys()
    assert set(classifier.seen_with["mouth"][1]).isdisjoint({"redScarf", "blueScarf"})


@pytest.mark.parametrize("part", ["mouth", "eyes"])
def test_an_edit_changes_its_part(cats: resefa.Generator, part: str) -> None:
    classifier = AttributeClassifier.load("cats")
    before, after = [], []
    for seed in SEEDS:
        session = resefa.Session(cats, seed)
        found = session.find(part, space="w", count=2)
        for index in range(len(found)):
            before.append(session.before)
            after.append(cats.synthesize(resefa.move(session.latent, found, {index: 4.0}))[0])
            assert session.measure(found, which=index).ratio > 20.0
    changes = attribute_changes(
        classifier, torch.stack(before), torch.stack(after), *REGION_ATTRIBUTES["cats"][part]
    )
    assert float(changes.others_changed.nanmean()) < 0.1
    assert float(changes.target_moved.nanmean()) > 2.0 * float(changes.others_moved.nanmean())


@pytest.mark.parametrize(
    ("part", "which", "strength", "attribute", "value"),
    [
        ("mouth", "opens / closes", 4.0, "mouth", "openWide"),
        ("mouth", "smiles / whistles", 4.0, "mouth", "broadCurl"),
        ("mouth", "smiles / whistles", -4.0, "mouth", "whistling"),
        ("scarf", "red scarf", 4.0, "accessories", "redScarf"),
    ],
)
def test_directions_do_what_they_are_called(
    cats: resefa.Generator, part: str, which: str, strength: float, attribute: str, value: str
) -> None:
    classifier = AttributeClassifier.load("cats")
    latent = cats.sample(list(MANY), 0.7)
    moved = resefa.move(latent, resefa.bundled_directions(cats)[f"cats-{part}"], {which: strength})
    index = classifier.attributes[attribute].index(value)
    before, after = (
        float(probabilities(classifier, cats.synthesize(each))[attribute][:, index].sum())
        for each in (latent, moved)
    )
    assert after > 1.5 * before
    assert after > before + len(MANY) / 16


def test_a_cat_has_any_fur_and_any_colour(cats: resefa.Generator) -> None:
    classifier = AttributeClassifier.load("cats")
    seen = probabilities(classifier, cats.synthesize(cats.sample(list(range(200)), 0.7)))
    for name in ("fur", "furColor", "eyes", "mouth"):
        shares = seen[name].mean(dim=0)
        assert shares.min() > 0.1 / len(shares), (name, classifier.attributes[name], shares)
