"""Which directions are offered, how far, in which order, and under which names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from models import tiny_stylegan2, tiny_stylegan3
from torch import Tensor

import resefa_core as resefa
from resefa_core.defaults import STRENGTHS, strengths_within
from resefa_core.directions.effects import Effect, edge_energy, tint_share
from resefa_core.directions.looks import Look, look_of, names_of
from resefa_core.directions.words import descriptions, words_for
from resefa_core.evaluation.attributes import AttributeClassifier, probabilities, value_words
from resefa_core.latents import Latent
from resefa_core.latents.reach import most_distance, steps_within_reach, typical_distance, within_reach
from resefa_core.session import Session
from resefa_core.session.choosing import _kept, worth_offering

MASK = torch.ones(32, 32)


def blob(
    x: float = 16.0, y: float = 16.0, wide: float = 6.0, high: float = 3.0, light: float = 0.0
) -> Tensor:
    """A soft dark ellipse on a light ground, `(3, 32, 32)`."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    distance = ((columns - x) / wide).square() + ((rows - y) / high).square()
    return (0.5 - torch.exp(-distance)).expand(3, 32, 32) + light


@pytest.mark.parametrize(
    ("backwards", "forwards", "words"),
    [
        (blob(x=15), blob(x=17), "right / left"),
        (blob(y=17), blob(y=15), "up / down"),
        (blob(wide=5), blob(wide=7), "wider / narrower"),
        (blob(high=4), blob(high=2.5), "shorter / taller"),
        (blob(), blob(light=0.2), "lighter / darker"),
        (blob(), blob() + torch.tensor([0.3, 0.0, 0.0]).reshape(3, 1, 1), "redder / greener"),
        (blob(), blob() - torch.tensor([0.1, 0.1, -0.2]).reshape(3, 1, 1), "bluer / yellower"),
        (blob(), blob(), "another shape"),
    ],
)
def test_words_say_what_changes(backwards: Tensor, forwards: Tensor, words: str) -> None:
    assert words_for(backwards, forwards, MASK) == words
    there, _, back = words.partition(" / ")
    turned = f"{back} / {there}" if back else words
    assert words_for(forwards, backwards, MASK) == turned


def test_a_mouth_opens() -> None:
    assert words_for(blob(high=2.5), blob(high=4), MASK, "mouth") == "opens / closes"


def test_what_only_grows_is_called_larger() -> None:
    small, large = torch.ones(3, 32, 32), torch.ones(3, 32, 32)
    small[:, 4:6, 4:6] = -1.0
    large[:, 4:6, 4:6] = large[:, 20:26, 20:28] = -1.0
    assert words_for(small, large, MASK) in ("larger / smaller", "darker / lighter")


def test_tint_is_the_share_of_one_uniform_colour() -> None:
    noise = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = resefa.Region.from_box(0.25, 0.25, 0.5, 0.5).feather(0.05).mask(32, 32)
    colour = torch.tensor([0.5, -0.2, 0.1]).reshape(3, 1, 1)
    assert float(tint_share(colour.expand(3, 32, 32), mask)) == pytest.approx(1.0)
    assert bool((tint_share(noise, mask) < 0.05).all())
    flat = noise - ((noise * mask).sum((2, 3)) / mask.sum())[:, :, None, None]
    assert bool((tint_share(flat, mask) < 1e-6).all())


def test_edge_energy_sees_a_rectangle_where_it_ends() -> None:
    box = resefa.Region.from_box(0.25, 0.25, 0.5, 0.5)
    mask = box.mask(32, 32)
    assert float(edge_energy(0.1 * mask.expand(3, 32, 32), mask)) == pytest.approx(0.01 * 3 * 64)
    assert float(edge_energy(torch.ones(3, 32, 32), mask)) == 0.0
    inside = torch.zeros(3, 32, 32)
    inside[:, 12:20, 12:20] = 1.0
    assert float(edge_energy(inside, mask)) == 0.0


def looks(effect: Effect, tint: float = 0.0, border: float = 1.0, change: int = 0) -> Look:
    pixels = torch.zeros(3, 4, 4)
    pixels.view(-1)[change] = 1.0
    return Look(effect, tint, border, pixels, "wider / narrower")


def test_flawed_directions_and_those_that_look_alike_are_left_out_and_the_nearest_comes_first() -> None:
    generator = tiny_stylegan2(16)
    region = resefa.Region.from_box(0.25, 0.25, 0.5, 0.5)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), "w", kind="dense")
    found = resefa.factorize(jacobian, region, 6, objective=resefa.SHAPE)
    good = Effect(0.2, 0.01)
    seen = [
        looks(good, change=0),
        looks(Effect(0.03, 0.001), change=1),
        looks(Effect(0.2, 0.1), change=2),
        looks(good, tint=0.3, change=3),
        looks(good, border=5.0, change=4),
        looks(good, change=0),
    ]
    assert _kept(seen, [4.0, 9.0, 9.0, 9.0, 5.0, 3.0], found) == [4, 0]
    assert _kept(seen, [2.0, 9.0, 9.0, 9.0, 5.0, 3.0], found) == [4, 5]
    confined = resefa.find_directions(generator, generator.sample(0), region, "resefa-confined", space="w")
    assert _kept(seen, [4.0, 9.0, 9.0, 9.0, 5.0, 3.0], confined) == [0]
    assert _kept([seen[3], seen[0]], [2.0, 1.0], found) == [1], "a far one rather than a tint"
    assert _kept(seen[1:4], [1.0, 2.0, 1.5], found) in ([1], [2]), "one is left whatever its flaws"


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
def test_the_typical_distance_is_that_of_samples_from_their_mean(space: str) -> None:
    for generator in (tiny_stylegan2(16), tiny_stylegan3()):
        drawn = generator.sample(list(range(64)), 1.0)
        layers = range(generator.num_layers)
        rows = {
            "w": drawn.codes[:, 0],
            "w+": drawn.codes.flatten(1),
            "s": torch.cat([style.base for style in generator.styles(drawn)], dim=1),
            "z": drawn.z,
        }[space]
        assert rows is not None
        expected = float((rows - rows.mean(0)).square().sum(1).mean().sqrt())
        assert typical_distance(generator, space, layers) == pytest.approx(expected, rel=1e-4)


def test_no_direction_of_a_set_goes_beyond_its_reach_and_files_sessions_and_strips_obey() -> None:
    generator = tiny_stylegan2(16)
    session = Session(generator, seed=3)
    region = resefa.Region.from_box(0.25, 0.25, 0.5, 0.5)
    assert session.find(region, space="w", count=4).strength_range == (-6.0, 6.0)
    found = session.find(region, space="w", count=4, only_good=True)
    limit = most_distance("w") * typical_distance(generator, "w", found.layers)
    reaches = steps_within_reach(generator, found)
    assert reaches == pytest.approx([limit / step for step in found.steps.tolist()], rel=1e-5)
    low, high = found.strength_range
    assert -low == high == max(1.0, min(6.0, int(2 * min(reaches)) / 2))
    assert resefa.Directions.from_bytes(found.to_bytes()).strength_range == (low, high)
    again = Session.from_json(json.loads(json.dumps(session.to_json())), generator)
    assert again.directions is not None
    assert again.directions.strength_range == (low, high)
    strip = next(session.strips(found))
    assert strip.strengths == strengths_within((low, high))
    assert max(strip.strengths) <= max(high, 0.0)
    assert within_reach(generator, found[:1]).strength_range[1] >= high
    assert strengths_within((-6.0, 6.0)) == STRENGTHS


def test_sessions_offer_what_can_be_seen_named_and_find_it_again(avatars: resefa.Generator) -> None:
    session = Session(avatars, seed=29)
    every = session.find("box:eyes", quick=True, only_good=False)
    good = session.find("box:eyes", quick=True, only_good=True)
    assert 2 <= len(good) < len(every)
    assert good.recipe is not None
    assert good.recipe.chosen is not None
    assert torch.equal(good.vectors, every.vectors[list(good.recipe.chosen)])
    assert len(set(good.names)) == len(good)
    assert not any(name.startswith("direction") for name in good.names)
    reaches = steps_within_reach(avatars, good)
    assert reaches == sorted(reaches, reverse=True)
    for strip in session.strips(good, (-2.0, 2.0)):
        look = look_of(session.before, strip.images[0], strip.images[1], good.region)  # type: ignore[arg-type]
        assert look.flaws(confined=False, colour=False) == ()
    again = Session.from_text(session.to_text(), avatars, cache=session.cache)
    assert again.directions is not None
    assert again.directions.names == good.names
    assert again.directions.strength_range == good.strength_range
    assert torch.equal(again.directions.vectors, good.vectors)
    others = session.find("eyes", method="sefa", only_good=True)
    assert all(name.startswith("direction") for name in others.names)


def test_a_change_of_colour_is_called_by_the_colour_and_a_second_name_tells_more() -> None:
    whole = resefa.Region.from_box(0.125, 0.125, 0.75, 0.75)
    red = torch.tensor([0.3, 0.0, 0.0]).reshape(3, 1, 1) * whole.mask(32, 32)
    look = look_of(blob(), blob() - red, blob() + red, whole)
    assert look.recolours
    moved = look_of(blob(), blob(x=15), blob(x=17), whole)
    assert not moved.recolours
    assert names_of([look, moved]) == ("colour: redder / greener", "right / left")
    first, second = names_of([replace(moved, more=()), replace(moved, more=("opens / closes",))])
    assert (first, second) == ("right / left", "right, opens / left, closes")
    assert names_of([replace(moved, more=())] * 2) == ("right / left", "right / left 2")


def test_no_two_names_are_the_same_or_each_other_the_other_way_round() -> None:
    red = resefa.Region.from_box(0.125, 0.125, 0.75, 0.75)
    moved = look_of(blob(), blob(x=15), blob(x=17), red)
    back = look_of(blob(), blob(x=17, wide=7), blob(x=15, wide=5), red)
    first, second = names_of([moved, back])
    assert (first, second.split(", ")[0]) == ("right / left", "left")
    assert len(second) > len("left / right")
    assert names_of([replace(moved, more=()), replace(back, more=())]) == ("right / left", "left / right 2")
    painted = torch.tensor([0.3, 0.1, 0.0]).reshape(3, 1, 1) * red.mask(32, 32)
    colours = [look_of(blob(), blob() - sign * painted, blob() + sign * painted, red) for sign in (1, -1)]
    assert names_of(colours) == (
        "colour: lighter / darker",
        "colour: darker, bluer / lighter, yellower",
    )


def face(high: float = 3.0, teeth: float = 0.0, contrast: float = 1.0) -> Tensor:
    """A dark mouth on a brown ground, some rows of it white, `(3, 32, 32)`."""
    image = torch.full((3, 32, 32), 0.2)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    inside = ((columns - 16) / 6).square() + ((rows - 16) / high).square() <= 1.0
    image[:, inside] -= 1.1 * contrast
    image[:, inside & (rows < 16 - high + 2 * high * teeth)] = 0.9
    return image


@pytest.mark.parametrize(
    ("backwards", "forwards", "words"),
    [
        (face(high=2), face(high=5), "opens / closes"),
        (face(), face(teeth=0.8), "shows teeth / hides teeth"),
        (face(contrast=0.3), face(contrast=0.9), "bolder / fainter"),
    ],
)
@pytest.mark.parametrize("size", [0.5, 0.95])
def test_a_mouth_opens_shows_teeth_and_fades_rather_than_changes_its_colour(
    backwards: Tensor, forwards: Tensor, words: str, size: float
) -> None:
    region = resefa.Region.from_box(0.5 - size / 2, 0.5 - size / 2, size, size)
    mask = region.mask(32, 32)
    assert words_for(backwards, forwards, mask, "mouth") == words
    assert words_for(forwards, backwards, mask, "mouth") == " / ".join(reversed(words.split(" / ")))
    assert words_for(backwards, forwards, mask, "hair") != words
    look = replace(look_of(face(), backwards, forwards, region), tint=0.5, effect=Effect(0.2, 0.001))
    assert names_of([replace(look, openings=(words,))]) == (words,)
    assert look.recolours


def test_soft_parts_and_edits_that_change_nothing_have_words_too() -> None:
    soft = torch.full((32, 32), 0.3)
    assert words_for(face(high=2), face(high=5), soft, "mouth") == "opens / closes"
    corner = torch.zeros(32, 32)
    corner[:4, :4], corner[4:8, 4:8] = 1.0, 0.2
    changed = face()
    changed[:, 5, 5] = 0.9
    assert words_for(face(), changed, corner, "eyes")
    assert words_for(face(), face(), soft, "mouth") == "another shape"


def test_eyes_open_where_their_whites_grow() -> None:
    shut, wide = face(high=2, teeth=0.2), face(high=5, teeth=0.9)
    assert words_for(shut, wide, resefa.Region.from_box(0.2, 0.2, 0.6, 0.6).mask(32, 32), "eyes") == (
        "opens / closes"
    )


def test_places_are_told_where_nothing_moves() -> None:
    half = torch.zeros(3, 32, 32)
    half[:, :, 16:] = 0.3
    flat = torch.zeros(3, 32, 32)
    assert "lighter on the right / darker on the right" in descriptions(flat, half, MASK)
    assert "lighter below / darker below" in descriptions(flat, half.transpose(1, 2), MASK)


def test_words_of_the_classifier_take_the_place_of_empty_ones() -> None:
    moved = look_of(blob(), blob(x=15), blob(x=17), resefa.Region.from_box(0.1, 0.1, 0.8, 0.8))
    assert moved.called("") is moved
    assert moved.called("smile / sad").words == "right / left"
    assert moved.called("smile / sad").more[0] == "smile / sad"
    empty = replace(moved, words="another shape")
    assert empty.called("smile / sad").words == "smile / sad"


def test_values_of_drawn_faces_are_told_where_the_classifier_is_sure(avatars: resefa.Generator) -> None:
    classifier = AttributeClassifier.load()
    faces = avatars.synthesize(avatars.sample(list(range(16)), 0.7)).clamp(-1, 1)
    found = probabilities(classifier, faces)["mouth"]
    told = value_words(classifier, faces, "mouth")
    assert len(told) == 8
    for at, words in enumerate(told):
        first, second = found[2 * at], found[2 * at + 1]
        alike = int(first.argmax()) == int(second.argmax())
        unsure = min(float(first.max()), float(second.max())) < 0.8
        assert bool(words) == (not alike and not unsure)


def test_colours_come_last_or_first_or_not_at_all() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    region = resefa.Region.from_box(0.25, 0.25, 0.5, 0.5)
    jacobian = resefa.compute_jacobian(generator, latent, "w", kind="dense")
    found = resefa.factorize(jacobian, region, 2, objective=resefa.SHAPE)
    short = replace(found, steps=torch.full_like(found.steps, 1e-3))
    before = torch.zeros(3, 16, 16)
    mask = region.mask(16, 16)
    shape = torch.zeros(3, 16, 16)
    shape[:, 4:8, 4:8], shape[:, 8:12, 4:8] = 0.4, -0.4

    def draw(latents: Sequence[Latent]) -> list[Tensor]:
        """The first direction recolours the region, the second changes its shape."""
        images = []
        for each in latents:
            moves = (each.codes - latent.codes)[0, 0] @ short.vectors.T * 1e3
            images.append(before + 0.1 * moves[0] * mask + moves[1] * shape)
        return images

    offered = {
        colour: worth_offering(generator, latent, short, draw, colour) for colour in (None, True, False)
    }
    names = {colour: each.names for colour, each in offered.items()}
    assert len(names[None]) == len(names[True]) == 2
    assert names[None][1] == names[True][0]
    assert names[None][1].startswith("colour: ")
    assert names[False] == names[None][:1]


def test_colour_as_a_parameter_is_colour_asked_for(avatars: resefa.Generator) -> None:
    session = Session(avatars, seed=29)
    asked = session.find("hair", quick=True, only_good=True, colour=True)
    assert session.find("hair", quick=True, only_good=True, parameters={"colour": 1}).names == asked.names
