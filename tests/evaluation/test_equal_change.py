from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import tiny_stylegan2
from torch import Tensor

import resefa_core as resefa
from resefa_core.evaluation.equal_change import MAX_STEPS, edits_of, equal_change, images

REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)
LEFT = resefa.Region.from_box(0.0, 0.0, 0.5, 1.0)


def painter(change: float = 0.1) -> resefa.WrappedGenerator:
    """The left half is z, the right half `change` times z."""
    columns = torch.tensor([1.0] * 4 + [change] * 4)
    return resefa.WrappedGenerator(
        lambda z: (z[:, :1, None, None] * columns).expand(-1, 3, 8, 8), latent_dim=2, name="painter"
    )


def latent_of(*values: float) -> resefa.Latent:
    return resefa.Latent(torch.tensor([[[value, 0.0]] for value in values]))


def first_axis(generator: resefa.Generator) -> resefa.Directions:
    return resefa.Directions.from_vectors(torch.tensor([1.0, 0.0]), "z", generator)


def find(generator: resefa.Generator, latent: resefa.Latent, space: str, count: int = 3) -> resefa.Directions:
    layers = None if space in ("z", "z+") else [0, 2, 3]
    return resefa.factorize(resefa.compute_jacobian(generator, latent[0], space, layers), REGION, count)


def layered() -> resefa.WrappedGenerator:
    torch.manual_seed(2)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3 * 64), torch.nn.Tanh())
    return resefa.WrappedGenerator(lambda z: network(z).reshape(-1, 3, 8, 8), latent_dim=3, num_layers=4)


@pytest.mark.parametrize(
    ("space", "confine", "feather"),
    [(space, 0.0, 0.0) for space in ("w", "w+", "s", "z", "z+")]
    + [(space, 1.0, 0.0) for space in ("w", "w+", "s", "z")]
    + [("w+", 0.6, 0.1)],
)
def test_each_edit_is_the_move_that_it_says_and_changes_the_region_by_the_target(
    space: str, confine: float, feather: float
) -> None:
    generator = layered() if space == "z+" else tiny_stylegan2(16)
    latent = generator.sample([3, 4], truncation=0.8)
    directions = find(generator, latent, space)
    target = 0.004
    edits = edits_of(latent, directions, confine, feather)
    result = equal_change(generator, edits, REGION, target)
    assert edits.shape == (2, 3, 2)
    assert len(edits) == len(result.distance) == 12
    ones = torch.ones(3)
    unit = replace(directions, steps=ones, steps_confined=ones)
    mask = REGION.mask(generator.resolution, generator.resolution)
    assert int(result.reached.sum()) >= 6
    for row in result.reached.nonzero()[:, 0].tolist():
        image, direction, sign = row // 6, row // 2 % 3, (-1.0, 1.0)[row % 2]
        distance = float(result.distance[row])
        moved = resefa.move(latent[image], unit, {direction: sign * distance}, confine, feather)
        before, after = (generator.synthesize(each).clamp(-1, 1)[0] for each in (latent[image], moved))
        square = (after - before).square().mean(dim=0)
        inside = float((square * mask).sum() / mask.sum())
        outside = float((square * (1 - mask)).sum() / (1 - mask).sum())
        assert inside == pytest.approx(target, rel=0.006)
        assert float(result.inside[row]) == pytest.approx(inside, rel=1e-3)
        assert float(result.outside[row]) == pytest.approx(outside, rel=1e-3, abs=1e-9)
        assert float(result.ratio[row]) == pytest.approx(inside / outside, rel=2e-3)
        share = float((square * mask).sum() / square.sum())
        assert float(result.fraction_inside[row]) == pytest.approx(share, rel=1e-3)
        shown = images(generator, edits, result.distance[row : row + 1], torch.tensor([row]))
        assert torch.allclose(shown[0], after, atol=1e-4)


def test_a_generator_that_is_linear_gives_the_distance_that_follows() -> None:
    generator = painter(0.1)
    result = equal_change(generator, edits_of(latent_of(0.0, 0.3), first_axis(generator)), LEFT)
    assert result.distance.tolist() == pytest.approx([math.sqrt(0.02)] * 4, rel=0.003)
    assert result.ratio.tolist() == pytest.approx([100.0] * 4, rel=1e-4)
    assert result.fraction_inside.tolist() == pytest.approx([100 / 101] * 4, rel=1e-4)
    assert result.distance.dtype == torch.float64


def test_the_targeted_region_need_not_be_the_one_that_edits_are_confined_to(
    avatars: resefa.Generator,
) -> None:
    mouth, eyes = (resefa.Region.preset(name) for name in ("mouth", "eyes"))
    latent = avatars.sample(1, truncation=0.7)
    directions = resefa.factorize(resefa.compute_jacobian(avatars, latent, "w"), mouth, 1)
    edits = edits_of(latent, directions, confine=1.0)
    near, far = (equal_change(avatars, edits, region) for region in (mouth, eyes))
    assert float(near.ratio.min()) > 100
    assert float(far.ratio.max()) < 5
    assert float((far.distance / near.distance).min()) > 5


def test_what_is_unreachable_is_not_a_number_and_says_how_far_it_came() -> None:
    generator = resefa.WrappedGenerator(
        lambda z: 0.12 * z[:, :1, None, None].tanh().expand(-1, 3, 8, 8) * torch.linspace(1, 0.5, 8), 2
    )
    edits = edits_of(latent_of(0.0, 2.0), first_axis(generator))
    result = equal_change(generator, edits, LEFT)
    assert result.reached.tolist() == [False, False, True, False]
    for tensor in (result.distance, result.inside, result.outside, result.ratio, result.fraction_inside):
        assert tensor.isnan().tolist() == [True, True, False, True]
    left = float(torch.linspace(1, 0.5, 8)[:4].square().mean())
    assert result.most[:2].tolist() == pytest.approx([0.12**2 * left] * 2, rel=1e-3)
    assert float(result.most[3]) < 1e-3


def test_an_image_that_stops_being_finite_ends_the_search() -> None:
    generator = resefa.WrappedGenerator(
        lambda z: (0.3 * (1.0 - z[:, :1, None, None]).sqrt()).expand(-1, 3, 8, 8), 2, prior=torch.tanh
    )
    result = equal_change(generator, edits_of(latent_of(0.95), first_axis(generator)), LEFT)
    assert result.reached.tolist() == [True, False]


@settings(deadline=None, max_examples=40)
@given(
    power=st.floats(0.4, 3.0),
    scale=st.floats(1e-3, 30.0),
    start=st.floats(-0.3, 0.3),
    target=st.floats(1e-3, 0.2),
)
def test_the_search_finds_what_is_within_reach(
    power: float, scale: float, start: float, target: float
) -> None:
    def curve(z: Tensor) -> Tensor:
        return start + (scale * z.abs()) ** power * z.sign()

    generator = resefa.WrappedGenerator(lambda z: curve(z[:, :1, None, None]).expand(-1, 3, 8, 8), 2)
    result = equal_change(generator, edits_of(latent_of(0.0), first_axis(generator)), LEFT, target)
    room = torch.tensor([1.0 + start, 1.0 - start])
    needed = math.sqrt(target) ** (1 / power) / scale
    probed = torch.minimum(torch.tensor((0.1 * scale) ** power), room)
    limit = MAX_STEPS * 0.1 * 0.1 / probed.clamp_min(1e-8)
    for row in range(2):
        if needed < 0.98 * float(limit[row]):
            assert float(result.inside[row]) == pytest.approx(target, rel=0.0051)
            assert float(result.distance[row]) == pytest.approx(needed, rel=0.01 / power)
        elif needed > 1.02 * float(limit[row]):
            assert not bool(result.reached[row])


def test_earlier_moves_and_classes_stay() -> None:
    generator = tiny_stylegan2(16, c_dim=3)
    latent = generator.sample([0, 1], truncation=0.8, label=[2, 0])
    for space, confine in (("z", 0.0), ("s", 0.0), ("w+", 0.5)):
        earlier = find(generator, latent, space)
        earlier = resefa.prepared(generator, latent, earlier, confine)
        latent = resefa.move(latent, earlier, {0: 2.0}, confine)
    before = generator.synthesize(latent).clamp(-1, 1)
    for space in ("z", "s", "w", "w+"):
        for confine in (0.0, 1.0):
            directions = find(generator, latent, space, 2)
            edits = edits_of(latent, directions, confine)
            rows = torch.tensor([0, 3, 4, 7])
            assert edits.sources(rows).tolist() == [0, 0, 1, 1]
            unmoved = images(generator, edits, torch.zeros(4), rows)
            assert torch.allclose(unmoved, before[[0, 0, 1, 1]], atol=1e-5)
            ones = torch.ones(2)
            unit = replace(directions, steps=ones, steps_confined=ones)
            moved = resefa.move(latent[1], unit, {1: 0.3}, confine)
            expected = generator.synthesize(moved).clamp(-1, 1)
            shown = images(generator, edits, torch.tensor([0.3]), torch.tensor([7]))
            assert torch.allclose(shown, expected, atol=1e-5)
            assert not torch.allclose(shown[0], before[1], atol=1e-3)


def test_batches_do_not_matter() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample([5, 6, 7], truncation=0.8)
    directions = find(generator, latent, "w+", 8)
    whole = equal_change(generator, edits_of(latent, directions), REGION, 0.004)
    assert len(whole.distance) == 48
    apart = [equal_change(generator, edits_of(latent[i], directions), REGION, 0.004) for i in range(3)]
    for name in ("distance", "inside", "outside", "most"):
        joined = torch.cat([getattr(each, name) for each in apart])
        assert torch.allclose(getattr(whole, name), joined, rtol=1e-3, equal_nan=True)


def test_half_precision_generators_are_measured_from_exact_offsets(avatars: resefa.Generator) -> None:
    latent = avatars.sample(2, truncation=0.7)
    mouth = resefa.Region.preset("mouth")
    directions = resefa.factorize(resefa.compute_jacobian(avatars, latent, "w+"), mouth, 2)
    full = equal_change(avatars, edits_of(latent, directions), mouth)
    rounded = latent.to("cpu", torch.float16)
    edits = edits_of(rounded, directions)
    assert edits.codes is not None
    assert torch.equal(edits.codes, directions.vectors)
    half = equal_change(avatars, edits, mouth)
    assert torch.allclose(half.distance, full.distance, rtol=0.02)


def test_progress_counts_up_to_all_edits_and_may_stop_the_search() -> None:
    generator = painter()
    edits = edits_of(latent_of(*torch.linspace(-0.3, 0.3, 40).tolist()), first_axis(generator))
    calls: list[tuple[int, int]] = []
    equal_change(generator, edits, LEFT, progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1] == (80, 80)
    assert len(calls) > 4

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        equal_change(generator, edits, LEFT, progress=stop)


def test_what_does_not_fit_is_refused_before_any_image_is_made() -> None:
    generator = painter()
    calls: list[int] = []
    latent, directions = latent_of(0.0), first_axis(generator)
    edits = edits_of(latent, directions)
    for target in (0.0, -1.0, 4.0, math.nan, math.inf):
        with pytest.raises(resefa.ParameterError, match="target"):
            equal_change(generator, edits, LEFT, target, progress=lambda done, total: calls.append(done))
    confined = edits_of(latent, replace(directions, region=LEFT), confine=1.0)
    with pytest.raises(resefa.LatentError, match="cannot confine"):
        equal_change(generator, confined, LEFT, progress=lambda done, total: calls.append(done))
    with pytest.raises(resefa.LatentError, match="codes have shape"):
        equal_change(tiny_stylegan2(16), edits, LEFT, progress=lambda done, total: calls.append(done))
    with pytest.raises(resefa.RegionError):
        equal_change(generator, edits, resefa.Region.from_box(0.1, 0.1, 1e-5, 1e-5))
    with pytest.raises(resefa.LatentError, match="no region"):
        edits_of(latent, directions, confine=1.0)
    with pytest.raises(resefa.ParameterError, match="confine"):
        edits_of(latent, directions, confine=1.5)
    assert not calls


@pytest.mark.parametrize(
    ("distances", "rows", "said"),
    [
        ([math.nan, 0.1], [0, 1], "not finite"),
        ([0.1], [2], "expected 0 to 1"),
        ([0.1], [-1], "expected 0 to 1"),
        ([0.1, 0.2], [0], "one of each"),
        ([], [], "one of each"),
    ],
)
def test_images_of_what_is_not_there_are_refused(distances: list[float], rows: list[int], said: str) -> None:
    generator = painter()
    edits = edits_of(latent_of(0.0), first_axis(generator))
    with pytest.raises(resefa.ParameterError, match=said):
        images(generator, edits, torch.tensor(distances), torch.tensor(rows, dtype=torch.long))
