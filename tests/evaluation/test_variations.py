from __future__ import annotations

import math

import pytest
import torch

from resefa_core import Directions, Region
from resefa_core.evaluation.config import Variations
from resefa_core.evaluation.variations import principal_angles, varied

BOX = Region.from_box(0.25, 0.5, 0.25, 0.125)


def extent(region: Region) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a box, whose edges may be a little soft, in pixels of 64."""
    mask = region.mask(64, 64)
    rows, columns = (mask > 0.5).any(dim=1).nonzero()[:, 0], (mask > 0.5).any(dim=0).nonzero()[:, 0]
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    inside = mask[box[1] : box[3], box[0] : box[2]]
    assert float(inside.min()) > 0.9
    assert float(mask.sum()) == pytest.approx(inside.numel(), rel=0.02)
    return box


def test_boxes_are_shifted_grown_and_shrunk_by_what_is_said() -> None:
    drawn = varied(BOX, Variations(shifted=(0.5,), grown=(0.5,), shrunk=(0.25,)))
    assert {name: extent(region) for name, region in drawn.items()} == {
        "shifted 50 % left": (8, 32, 24, 40),
        "shifted 50 % right": (24, 32, 40, 40),
        "shifted 50 % up": (16, 28, 32, 36),
        "shifted 50 % down": (16, 36, 32, 44),
        "grown 50 %": (12, 30, 36, 42),
        "shrunk 25 %": (18, 33, 30, 39),
    }


def test_what_leaves_the_image_is_cut_off() -> None:
    corner = Region.from_box(0.75, 0.0, 0.25, 0.25)
    drawn = varied(corner, Variations(shifted=(0.5,)))
    assert extent(drawn["shifted 50 % right"]) == (56, 0, 64, 16)
    assert extent(drawn["shifted 50 % up"]) == (48, 0, 64, 8)


def test_scribbles_are_the_same_for_a_seed_and_lie_about_where_the_region_is() -> None:
    first = varied(BOX, Variations(scribbles=10, seed=3))
    again = varied(BOX, Variations(scribbles=10, seed=3))
    other = varied(BOX, Variations(scribbles=10, seed=4))
    masks = [region.mask(64, 64) for region in first.values()]
    assert list(first) == [f"scribble {index}" for index in range(1, 11)]
    assert all(torch.equal(a, b.mask(64, 64)) for a, b in zip(masks, again.values(), strict=True))
    assert not any(torch.equal(a, b.mask(64, 64)) for a, b in zip(masks, other.values(), strict=True))
    box = BOX.mask(64, 64)
    for mask in masks:
        assert float((mask * box).sum() / mask.sum()) > 0.8
        assert float((mask * box).sum() / box.sum()) > 0.25
        assert float((mask - masks[0]).abs().max()) > 0.5 or mask is masks[0]


def directions(*vectors: list[float]) -> Directions:
    return Directions.from_vectors(torch.tensor(vectors), "w", {}, layers=[0])


@pytest.mark.parametrize("angle", [0.0, 1e-3, 30.0, 90.0])
def test_angles_are_between_subspaces_whatever_spans_them(angle: float) -> None:
    turned = [math.cos(math.radians(angle)), 0.0, math.sin(math.radians(angle))]
    plane = directions([1.0, 1.0, 0.0], [2.0, -1.0, 0.0])
    other = directions([0.0, -3.0, 0.0], [turned[0], 1.0, turned[2]])
    assert principal_angles(plane, other).tolist() == pytest.approx([0.0, angle], abs=1e-3)
    assert principal_angles(plane[:1], plane).tolist() == pytest.approx([0.0], abs=1e-3)
