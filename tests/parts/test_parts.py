from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest
import torch
from known import SIDE, analysis_of, overlap, places
from models import tiny_stylegan2, tiny_stylegan3
from torch import Tensor

import resefa_core as resefa
from resefa_core import (
    Click,
    JacobianError,
    ParameterError,
    Parts,
    PartsFileError,
    Region,
    RegionError,
    Selection,
)
from resefa_core.parts import found, part_by_clicks
from resefa_core.parts.clicks import LARGEST_SIDE
from resefa_core.parts.edges import connected, guided, largest_piece
from resefa_core.parts.naming import suggested_names
from resefa_core.workers import Inline
from resefa_core.workers.pool import Pool
from tests.atlas.tasks import Backwards

EYE, OTHER_EYE, MOUTH, HAT, AROUND = (0.28, 0.4), (0.72, 0.4), (0.5, 0.78), (0.5, 0.1), (0.05, 0.6)


@pytest.mark.parametrize(("point", "part"), [(AROUND, 0), (EYE, 1), (OTHER_EYE, 1), (MOUTH, 2), (HAT, 3)])
def test_a_click_chooses_what_moves_together_whatever_its_colour(
    point: tuple[float, float], part: int
) -> None:
    region = resefa.part_at(analysis_of(places()), *point)
    assert overlap(region.mask(SIDE, SIDE), places() == part) == 1.0


@pytest.mark.parametrize(("point", "part"), [(EYE, 1), (MOUTH, 2), (HAT, 3)])
def test_dark_parts_are_found_as_well_as_light_ones(point: tuple[float, float], part: int) -> None:
    dark = analysis_of(places(), brightness=(1.0, 0.02, 0.1, 0.05))
    assert overlap(resefa.part_at(dark, *point).mask(SIDE, SIDE), places() == part) == 1.0


def test_islands_are_kept_or_not() -> None:
    analysis = analysis_of(places())
    one = resefa.part_at(analysis, *EYE, islands=False).mask(SIDE, SIDE)
    left = (places() == 1) & (torch.arange(SIDE) < SIDE // 2)
    assert overlap(one, left) == 1.0


def test_further_clicks_add_and_take_away() -> None:
    analysis = analysis_of(places())
    clicks = (Click(*EYE), Click(*MOUTH))
    both = part_by_clicks(analysis, Selection("", clicks)).mask(SIDE, SIDE)
    assert overlap(both, (places() == 1) | (places() == 2)) == 1.0
    less = part_by_clicks(analysis, Selection("", (*clicks, Click(*EYE, add=False))))
    assert overlap(less.mask(SIDE, SIDE), places() == 2) == 1.0


def test_size_is_how_much_belongs_to_it() -> None:
    generator = tiny_stylegan2()
    analysis = resefa.compute_jacobian(generator, generator.sample(3), "w")
    areas = [
        float(resefa.part_at(analysis, 0.4, 0.6, size).mask(16, 16).sum()) for size in (0.0, 0.3, 0.5, 0.7)
    ]
    assert areas == sorted(areas)
    assert 0.0 < areas[0] < areas[-1]


def test_what_does_not_move_is_refused() -> None:
    still = analysis_of(places(), brightness=(1.0, 0.0, 1.0, 1.0))
    with pytest.raises(RegionError, match="does not move"):
        resefa.part_at(still, *EYE)
    with pytest.raises(RegionError, match="out of range"):
        resefa.part_at(still, 1.2, 0.5)
    alike = analysis_of(torch.zeros(SIDE, SIDE, dtype=torch.long))
    with pytest.raises(RegionError, match="whole image"):
        resefa.part_at(alike, 0.5, 0.5)


def test_a_click_finds_the_same_part_on_another_image() -> None:
    here, there = analysis_of(places()), analysis_of(places(shift=1), seed=1)
    selection = Selection("", (Click(*MOUTH),))
    region = part_by_clicks(there, selection, chosen_on=here)
    assert overlap(region.mask(SIDE, SIDE), places(shift=1) == 2) == 1.0
    (own,) = region.selections
    assert torch.equal(part_by_clicks(there, own).mask(SIDE, SIDE), region.mask(SIDE, SIDE))
    bare = places()
    bare[bare == 2] = 0
    with pytest.raises(RegionError, match="nothing of this image"):
        part_by_clicks(analysis_of(bare), selection, chosen_on=here)
    other = tiny_stylegan2()
    with pytest.raises(JacobianError):
        part_by_clicks(resefa.compute_jacobian(other, other.sample(0), "w"), selection, chosen_on=here)


@pytest.mark.parametrize("space", ["w", "w+", "s"])
def test_a_sketch_serves_as_the_jacobian_does(space: str) -> None:
    generator = tiny_stylegan2()
    latent = generator.sample(2)
    formed, applied = (
        resefa.compute_jacobian(generator, latent, space, kind=method)  # type: ignore[arg-type]
        for method in ("dense", "matrix-free")
    )
    masks = [resefa.part_at(each, 0.3, 0.6, 0.3).mask(16, 16) for each in (formed, applied)]
    assert overlap(masks[1], masks[0] >= 0.5) > (0.95 if space == "w" else 0.7)


@pytest.mark.parametrize("make", [tiny_stylegan2, tiny_stylegan3])
def test_any_generator_has_parts(make: object) -> None:
    generator = make()  # type: ignore[operator]
    session = resefa.Session(generator, seed=1)
    region = session.part_at(0.5, 0.5)
    assert 0.0 < float(region.mask(16, 16).mean()) < 1.0


@pytest.fixture(scope="module")
def shifted() -> list[resefa.analysis.DenseJacobian]:
    return [analysis_of(places(shift), seed=shift) for shift in (0, 1, 2)]


def test_parts_have_the_same_number_on_all_images(shifted: list[resefa.Jacobian]) -> None:
    parts = resefa.find_parts(shifted, 4)
    for shift, analysis in enumerate(shifted):
        labels = parts.labels(analysis)
        place = places(shift)
        number = [int(labels[place == part].mode().values) for part in range(4)]
        assert sorted(number) == [0, 1, 2, 3]
        assert number[0] == 0  # the largest first
        assert torch.equal(labels, torch.tensor(number)[place])


def test_parts_are_the_same_for_the_same_input(shifted: list[resefa.Jacobian]) -> None:
    first, second = (resefa.find_parts(shifted, 5) for _ in range(2))
    assert torch.equal(first.axes, second.axes)
    assert torch.equal(first.centres, second.centres)


def test_parts_found_on_some_images_are_found_on_others(shifted: list[resefa.Jacobian]) -> None:
    parts = resefa.find_parts(shifted[:2], 4)
    for part, point in enumerate((AROUND, EYE, MOUTH, HAT)):
        name = parts.name_at(shifted[0], *point)
        region = parts.region(shifted[2], name)
        assert overlap(region.mask(SIDE, SIDE), places(2) == part) == 1.0
        assert region.name == name


def test_clusters_of_one_name_are_one_part(shifted: list[resefa.Jacobian]) -> None:
    found = resefa.find_parts(shifted, 4)
    numbers = found.labels(shifted[0])
    face = [int(numbers[places() == part].mode().values) for part in (1, 2)]
    parts = found.named(["face" if k in face else f"other {k}" for k in range(4)])
    assert len(parts) == 3
    region = parts.region(shifted[0], "face")
    assert overlap(region.mask(SIDE, SIDE), (places() == 1) | (places() == 2)) == 1.0
    assert set(parts.regions(shifted[0])) == set(parts.part_names)
    with pytest.raises(RegionError, match="expected one of"):
        parts.region(shifted[0], "wheel")
    with pytest.raises(RegionError, match="expected one for each"):
        found.named(["face"])


def test_parts_are_named_by_somebody_who_knows(shifted: list[resefa.Jacobian]) -> None:
    found = resefa.find_parts(shifted, 6)
    classes = [places(shift).repeat_interleave(2, dim=0).repeat_interleave(2, dim=1) for shift in (0, 1, 2)]
    names = ("around", "eyes", "mouth", "hat")
    parts = found.named_by(shifted, classes, names)
    assert set(parts.part_names) <= {*names, *found.names}
    for shift, analysis in enumerate(shifted):
        for part, name in enumerate(names):
            region = parts.region(analysis, name)
            assert overlap(region.mask(SIDE, SIDE), places(shift) == part) > 0.9
    with pytest.raises(ParameterError, match="2 maps of classes were given for 3"):
        found.named_by(shifted, classes[:2], names)
    with pytest.raises(ParameterError, match="from 0 to 3: expected"):
        found.named_by(shifted, classes, names[:3])


def test_a_part_that_an_image_lacks_is_refused(shifted: list[resefa.Jacobian]) -> None:
    parts = resefa.find_parts(shifted, 4)
    hat = parts.name_at(shifted[0], *HAT)
    bare = places()
    bare[bare == 3] = 0
    with pytest.raises(RegionError, match="this image has no"):
        parts.region(analysis_of(bare), hat)
    assert hat not in parts.regions(analysis_of(bare))


def test_files_keep_parts(shifted: list[resefa.Jacobian], tmp_path: Path) -> None:
    parts = resefa.find_parts(shifted, 4, origin="three drawings").named(["a", "b", "b", "c"])
    file = tmp_path / "parts.safetensors"
    parts.save(file)
    again = Parts.load(file)
    for field in ("names", "generator", "space", "layers", "origin"):
        assert getattr(again, field) == getattr(parts, field)
    assert torch.equal(again.region(shifted[0], "b").mask(16, 16), parts.region(shifted[0], "b").mask(16, 16))
    with pytest.raises(PartsFileError, match="exists"):
        parts.save(file)


def test_parts_of_another_generator_are_refused(shifted: list[resefa.Jacobian]) -> None:
    parts = resefa.find_parts(shifted, 4)
    other = tiny_stylegan2()
    with pytest.raises(JacobianError, match="parts are of"):
        parts.labels(resefa.compute_jacobian(other, other.sample(0), "w"))
    with pytest.raises(RegionError, match="no parts are known"):
        resefa.Session(other, seed=0).part("hair")


@pytest.mark.parametrize(
    "text",
    [
        "part:hair",
        "at:0.5,0.68",
        "at:0.5,0.68+0.4,0.4-0.1,0.1",
        "at:0.5,0.68 size:0.7 alone",
        "part:left eye size:0.2",
    ],
)
def test_selections_are_text_and_json(text: str) -> None:
    selection = Selection.from_text(text)
    assert selection.to_text() == text
    assert Selection.from_json(selection.to_json()) == selection


@pytest.mark.parametrize(
    "text",
    ["part:", "at:", "at:0.5", "at:0.5,2", "at:nan,0.5", "at:-0.5,0.5", "at:a,b", "part:hair size:9", "hair"],
)
def test_other_texts_select_nothing(text: str) -> None:
    with pytest.raises(RegionError):
        Selection.from_text(text)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"name": "a", "clicks": [[0.1, 0.1, True]]},
        {"name": 3},
        {"name": "a\n"},
        {"name": "a" * 100},
        {"clicks": [[0.1, 0.1]]},
        {"clicks": [[0.1, 1e400, True]]},
        {"clicks": [[0.1, 0.1, 1]]},
        {"clicks": [[0.1, 0.1, False]]},
        {"clicks": [[0.1, 0.1, True]] * 33},
        {"name": "a", "size": "b"},
        {"name": "a", "islands": 1},
    ],
)
def test_other_json_selects_nothing(data: object) -> None:
    with pytest.raises(RegionError):
        Selection.from_json(data)


def test_regions_remember_what_they_are_parts_of() -> None:
    selection = Selection(name="hat")
    place = Region.from_mask((places() == 3).float())
    elsewhere = Region.from_mask((places(2) == 3).float())
    region = Region.of_part(place, selection)
    assert region.follows
    assert region.words == "the hat"
    again = Region.from_json(region.to_json(embed=True))
    assert again.to_json(embed=True) == region.to_json(embed=True)
    assert region.to_json() == {"mask": True}
    box = Region.from_box(0.0, 0.5, 0.5, 0.25)
    both = (~(again | box)).feather(0.05)
    moved = both.on(lambda which: elsewhere if which == selection else place)
    expected = (~(elsewhere | box)).feather(0.05)
    assert torch.equal(moved.mask(32, 32), expected.mask(32, 32))
    assert not box.follows
    assert box.on(lambda which: elsewhere) is box


def test_a_session_chooses_parts_and_links_keep_them(avatars: resefa.Generator) -> None:
    session = resefa.Session(avatars, seed=13)
    region = session.select("at:0.05,0.05")
    mask = region.mask(64, 64)
    assert mask[:8, :8].mean() > 0.9
    assert mask[24:40, 24:40].max() == 0.0
    again = resefa.Session.from_text(session.to_text(), avatars)
    assert again.selected is not None
    assert torch.equal(again.selected.mask(64, 64), mask)
    assert again.selected.follows
    whole = resefa.Session(avatars, seed=13).part_at(0.05, 0.05)
    assert torch.equal(whole.mask(64, 64), mask)


def test_a_plain_name_is_the_part_where_the_generator_has_one(avatars: resefa.Generator) -> None:
    session = resefa.Session(avatars, seed=13)
    part, box = session.part("mouth").mask(64, 64), Region.preset("mouth").mask(64, 64)
    for text in ("mouth", " mouth ", "part:mouth"):
        region = session.region(text)
        assert torch.equal(region.mask(64, 64), part)
        assert region.selections == (Selection("mouth"),)
    assert session.region("mouth size:0.7 alone").selections == (Selection("mouth", (), 0.7, False),)
    assert session.region("hat").selections == (Selection("hat"),)
    for what in ("box:mouth", "avatars/mouth", {"preset": "mouth"}, {"preset": "avatars/mouth"}):
        region = session.region(what)
        assert torch.equal(region.mask(64, 64), box)
        assert not region.follows
    assert not session.region("nose").follows
    with pytest.raises(RegionError, match="no preset 'mouths'"):
        session.region("mouths")
    known = resefa.parts_of_generator(avatars)
    assert known is not None
    session.parts = known.named([f"my {name}" for name in known.names])
    assert not session.region("mouth").follows
    assert torch.equal(session.region("my mouth").mask(64, 64), part)
    sly = ("box:mouth", "avatars/mouth", "0.1,0.1,0.2,0.2", '{"preset":"avatars/mouth"}')
    session.parts = known.named([sly[index % len(sly)] for index in range(len(known.names))])
    assert not any(session.region(text).follows for text in sly)
    assert not resefa.Session(tiny_stylegan2(), seed=0).part_names


def test_what_is_tuned_from_a_generator_has_its_parts(avatars: resefa.Generator) -> None:
    tuned = resefa.load_generator("avatars")
    tuned.state_dict()["synthesis.b64.torgb.bias"].add_(0.01)
    assert resefa.parts_of_generator(tuned) is None
    known = resefa.parts_of_generator(avatars)
    with pytest.raises(JacobianError, match="parts are of 'avatars'"):
        resefa.Session(tuned, seed=13, parts=known).region("mouth")
    tuned.tuned_from = avatars.fingerprint
    for parts in (None, known):
        region = resefa.Session(tuned, seed=13, parts=parts).region("mouth")
        expected = resefa.Session(avatars, seed=13).region("mouth")
        assert float((region.mask(64, 64) - expected.mask(64, 64)).abs().max()) < 0.2


def test_what_is_clicked_on_one_image_is_clicked_in_its_place_on_another() -> None:
    here, there = analysis_of(places()), analysis_of(places(shift=1), seed=1)
    clicks = (Click(*EYE), Click(*MOUTH), Click(*HAT, add=False))
    region = part_by_clicks(there, Selection("", clicks, islands=False), chosen_on=here)
    eye = (places(1) == 1) & (torch.arange(SIDE) < SIDE // 2)
    assert overlap(region.mask(SIDE, SIDE), eye | (places(1) == 2)) == 1.0
    (selection,) = region.selections
    assert [click.add for click in selection.clicks] == [True, True, False]
    without = places(1)
    without[(without == 1) | (without == 3)] = 0
    rest = part_by_clicks(analysis_of(without), Selection("", clicks), chosen_on=here)
    assert overlap(rest.mask(SIDE, SIDE), places(1) == 2) == 1.0


def test_choices_are_what_their_selections_lead_to(avatars: resefa.Generator) -> None:
    plain = tiny_stylegan2()
    for generator, start in ((avatars, "part:"), (plain, "at:")):
        session = resefa.Session(generator, seed=13)
        choices = session.choices_here()
        assert len(choices) > 1
        for region in choices.values():
            (selection,) = region.selections
            assert selection.to_text().startswith(start)
            again = session.region(selection.to_text())
            assert torch.equal(again.mask(16, 16), region.mask(16, 16))


def test_maps_get_the_edges_of_the_picture() -> None:
    picture = -torch.ones(3, 64, 64)
    picture[:, :, 27:] = 1.0
    coarse = torch.zeros(16, 16)
    coarse[:, 7:] = 1.0  # at 28 of 64
    fine = guided(coarse[None], picture)[0]
    assert fine.shape == (64, 64)
    assert fine[:, 24:27].max() < 0.5 < fine[:, 27:30].min()


def test_large_pictures_give_masks_of_bounded_size() -> None:
    picture = torch.rand(3, 2 * LARGEST_SIDE, 2 * LARGEST_SIDE) * 2.0 - 1.0
    region = resefa.part_at(analysis_of(places()), *HAT, picture=picture)
    assert len(str(region.to_json(embed=True))) < 400_000


def reference(inside: Tensor, seeds: Tensor) -> Tensor:
    """Flood fill, pixel by pixel."""
    height, width = inside.shape
    reached = inside & seeds
    queue = deque(reached.nonzero().tolist())
    while queue:
        row, column = queue.popleft()
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= r < height and 0 <= c < width and inside[r, c] and not reached[r, c]:
                reached[r, c] = True
                queue.append([r, c])
    return reached


@pytest.mark.parametrize("seed", range(12))
def test_pieces_are_those_of_a_flood_fill(seed: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    inside = torch.rand(20, 31, generator=noise) < 0.6
    seeds = torch.rand(20, 31, generator=noise) < 0.02
    assert torch.equal(connected(inside, seeds), reference(inside, seeds))


def test_the_largest_piece_is_the_one_of_most_weight() -> None:
    weights = torch.zeros(8, 8)
    weights[0, :4] = 0.6
    weights[4, :3] = 1.0
    assert torch.equal(largest_piece(weights), weights == 1.0)


def test_the_bundled_parts_follow_each_face(avatars: resefa.Generator) -> None:
    for seed in (13, 21, 30):
        here = resefa.Session(avatars, seed=seed).parts_here()
        assert {"skin", "background", "eyes", "mouth", "clothes"} <= set(here)
        for name in ("mouth", "eyes"):
            mask = here[name].mask(64, 64)
            box = Region.preset(name).feather(0.03).mask(64, 64) > 0.05
            assert float(mask[box].sum() / mask.sum()) > 0.8
            assert float(mask.mean()) < 0.7 * float(Region.preset(name).mask(64, 64).mean())


def test_parts_of_a_generator_are_found_on_its_samples() -> None:
    generator = tiny_stylegan2()
    parts = resefa.find_parts_of(generator, (3, 4, 5), count=4)
    analyses = [resefa.compute_jacobian(generator, generator.sample(seed, 0.7), "w") for seed in (3, 4, 5)]
    again = resefa.find_parts(analyses, count=4)
    torch.testing.assert_close(parts.centres, again.centres)
    assert parts.names == again.names
    assert "seeds 3-5" in parts.origin
    with pytest.raises(ParameterError):
        resefa.find_parts_of(generator, (), count=4)
    with pytest.raises(ParameterError):
        resefa.find_parts_of(generator, (1,), count=1)


def test_what_does_not_fit_memory_together_is_projected_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "_TOGETHER", 0)
    generator = tiny_stylegan2()
    parts = resefa.find_parts_of(generator, (3, 4), count=4)
    first, second = (resefa.compute_jacobian(generator, generator.sample(seed, 0.7), "w") for seed in (3, 4))
    torch.testing.assert_close(parts.axes, resefa.find_parts(first, count=4).axes)
    assert parts.labels(second).shape == (16, 16)


def test_parts_are_the_same_whoever_analyses_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2()
    one = resefa.compute_jacobian(generator, generator.sample(3, 0.7), "w").nbytes
    monkeypatch.setattr(found, "_TOGETHER", 2 * one)
    steps: list[tuple[int, int]] = []
    here = resefa.find_parts_of(generator, (3, 4, 5, 6), count=4, progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (4000, 4000)
    for workers in (Pool(2), Backwards(Inline())):
        there = resefa.find_parts_of(generator, (3, 4, 5, 6), count=4, workers=workers)
        assert (there.digest, there.names) == (here.digest, here.names)


def test_names_say_where_parts_lie() -> None:
    names = suggested_names([places(), places(1)], 5)
    assert names == ("surroundings", "middle", "lower", "top", "rare")
    assert suggested_names([torch.tensor([[0, 0, 0], [0, 1, 2], [0, 0, 0]])], 3)[1:] == (
        "middle",
        "middle right",
    )
