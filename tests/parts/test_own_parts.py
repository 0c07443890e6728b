"""Directions found on several images together, each with its own part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import resefa_core as resefa
from resefa_core import Directions, Region, RegionError, Session


@pytest.fixture(scope="module")
def cache() -> resefa.JacobianCache:
    return resefa.JacobianCache(1 << 30)


@pytest.fixture
def session(avatars: resefa.Generator, cache: resefa.JacobianCache) -> Session:
    return Session(avatars, seed=13, cache=cache)


def found(session: Session, region: object, samples: int, **options: object) -> Directions:
    return session.find(region, space="w", samples=samples, count=2, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "text"),
    [(method, "part:hair") for method in ("resefa", "paper", "published", "lowrankgan", "sefa")]
    + [("resefa", "at:0.5,0.62")],
)
def test_each_image_has_its_own_part(
    session: Session, avatars: resefa.Generator, method: str, text: str
) -> None:
    parameters = {"max_iterations": 50} if method == "lowrankgan" else None
    directions = found(session, text, 3, method=method, parameters=parameters)
    seeds = directions.seeds
    assert seeds is not None
    assert len(seeds) == directions.num_samples == 3
    assert directions.region is session.selected
    places = {}
    for seed in seeds:
        other = Session(avatars, seed=seed, cache=session.cache)
        places[seed] = other.follow(session.selected, session.original) if seed != 13 else session.selected
    expected = resefa.find_directions(
        avatars,
        avatars.sample(list(seeds), 0.7),
        session.selected,
        method,
        num_directions=2,
        space="w",
        place=lambda latent: places[latent.seed[0]],
        parameters=parameters,
    )
    torch.testing.assert_close(directions.vectors, expected.vectors)
    torch.testing.assert_close(directions.inside, expected.inside)
    assert directions.recipe is not None
    alike = replace(directions.recipe, own_parts=None)
    assert not torch.allclose(session.find_again(alike).inside, directions.inside, rtol=1e-3)


def test_confined_edits_end_at_each_image_s_own_part(session: Session) -> None:
    mouths = found(session, "part:mouth", 2, confine=1.0)
    assert mouths.confined
    assert mouths.recipe is not None
    alike = session.find_again(replace(mouths.recipe, own_parts=None))
    assert not torch.allclose(alike.vectors, mouths.vectors, atol=1e-3)


@pytest.mark.parametrize("text", ["part:eyes", "at:0.5,0.62 alone"])
def test_links_find_them_again_to_the_bit(session: Session, avatars: resefa.Generator, text: str) -> None:
    directions = found(session, text, 3)
    session.edit(directions, {0: 1.0})
    again = Session.from_text(session.to_text(), avatars)
    assert torch.equal(again.latent.codes, session.latent.codes)
    assert again.directions is not None
    assert torch.equal(again.directions.vectors, directions.vectors)
    assert directions.recipe is not None
    told = json.loads(json.dumps(directions.recipe.to_json()))
    assert resefa.Recipe.from_json(told).to_json() == told


def test_recipes_of_earlier_versions_have_one_region_for_all(
    session: Session, avatars: resefa.Generator
) -> None:
    directions = found(session, "part:eyes", 3)
    assert directions.recipe is not None
    told = directions.recipe.to_json()
    assert told.pop("own_parts")
    again = session.find_again(resefa.Recipe.from_json(told))
    assert session.selected is not None
    mask = Region.from_mask(session.selected.mask(64, 64))
    expected = resefa.find_directions(
        avatars, avatars.sample([13, 14, 15], 0.7), mask, num_directions=2, space="w"
    )
    torch.testing.assert_close(again.vectors, expected.vectors)
    for region in ("box:mouth", [0.3, 0.5, 0.3, 0.1]):
        recipe = found(session, region, 2).recipe
        assert recipe is not None
        assert "own_parts" not in recipe.to_json()


def test_images_without_the_part_are_passed_over(
    session: Session, avatars: resefa.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.select("part:mouth")
    find = session._finder.__class__.find

    def only_some(finder: object, generator: object, latent: resefa.Latent, *rest: object) -> Region:
        if latent.seed in ((14,), (16,)):
            raise RegionError("this image has no mouth")
        return find(finder, generator, latent, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(session._finder.__class__, "find", only_some)
    assert found(session, None, 3).seeds == (13, 15, 17)

    def none(*_: object) -> Region:
        raise RegionError("this image has no mouth")

    monkeypatch.setattr(session._finder.__class__, "find", none)
    with pytest.raises(RegionError, match="no other image has the mouth"):
        found(session, None, 3)


def test_other_parts_of_the_same_names_are_refused(session: Session, avatars: resefa.Generator) -> None:
    directions = found(session, "part:mouth", 2)
    known = resefa.parts_of_generator(avatars)
    assert known is not None
    assert directions.recipe is not None
    assert directions.recipe.own_parts == known.digest
    others = known.named(["mouth" if name == "eyes" else "rest" for name in known.names])
    changed = Session(avatars, seed=13, cache=session.cache, parts=others)
    with pytest.raises(RegionError, match="other parts"):
        changed.find_again(directions.recipe)


def test_files_keep_what_is_a_part(session: Session, tmp_path: Path) -> None:
    directions = found(session, "part:mouth", 2)
    directions.save(tmp_path / "mouth.safetensors")
    again = Directions.load(tmp_path / "mouth.safetensors")
    assert again.region is not None
    assert directions.region is not None
    assert again.region.selections == directions.region.selections
    assert torch.equal(again.region.mask(64, 64), directions.region.mask(64, 64))
    box = found(session, "box:mouth", 1)
    box.save(tmp_path / "box.safetensors")
    loaded = Directions.load(tmp_path / "box.safetensors").region
    assert loaded is not None
    assert not loaded.follows


def test_measures_on_other_images_follow_the_part(session: Session) -> None:
    directions = found(session, "part:mouth", 2)
    own = session.measure(directions, seeds=(3000,))
    fixed = replace(directions, region=Region.from_mask(directions.region.mask(64, 64)))  # type: ignore[union-attr]
    assert own != session.measure(fixed, seeds=(3000,))
    loaded = replace(directions, recipe=None)
    assert session.measure(loaded, seeds=(3000,)) == own


def test_edits_that_are_confined_to_a_part_stay_in_each_image_s_own(
    session: Session, avatars: resefa.Generator
) -> None:
    directions = found(session, "part:mouth", 1)
    session.edit(directions, {0: 2.0}, confine=1.0, feather=0.0)
    (carried,) = session.carry([21])
    before = Session(avatars, seed=21, cache=session.cache)
    change = (carried.image - before.before).abs().amax(dim=0)
    own = before.part("mouth").feather(0.02).mask(64, 64) > 0.01
    assert float(change[own].max()) > 0.1
    assert float(change[own].square().sum()) > 0.95 * float(change.square().sum())
