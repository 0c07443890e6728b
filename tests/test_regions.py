from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import tiny_stylegan2
from older_gans import tiny_deep
from PIL import Image
from torch import Tensor

from resefa_core import PRESETS, Region, RegionError, presets_of

DISC = np.hypot(*np.mgrid[-1:1:40j, -1:1:60j]) < 0.6  # type: ignore[misc]


def rows_columns(mask: Tensor) -> tuple[int, int, int, int]:
    """The half-open rows and columns of a mask that must be a sharp box."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    assert bool((mask[top:bottom, left:right] == 1.0).all())
    assert float(mask.sum()) == (bottom - top) * (right - left)
    return top, bottom, left, right


def test_a_box_weighs_a_pixel_by_the_area_inside() -> None:
    box = Region.from_box(0.25, 0.5, 0.5, 0.375)
    expected = torch.zeros(4, 4)
    expected[2, 1:3] = 1.0
    expected[3, 1:3] = 0.5
    assert torch.equal(box.mask(4, 4), expected)
    assert rows_columns(box.mask(8, 8)) == (4, 7, 2, 6)
    assert rows_columns(box.mask(256, 64)) == (128, 224, 16, 48)


@pytest.mark.parametrize("side", [4, 7, 64, 100, 256])
def test_a_box_has_the_same_area_at_every_resolution(side: int) -> None:
    mask = Region.from_box(0.13, 0.4, 0.31, 0.27).mask(side, side)
    assert (mask.dtype, mask.shape) == (torch.float32, (side, side))
    assert float(mask.mean()) == pytest.approx(0.31 * 0.27, rel=1e-3)


def test_a_box_may_touch_every_edge() -> None:
    assert float(Region.from_box(0, 0, 1, 0.5).mask(8, 8).sum()) == 32
    assert float(Region.from_box(0.5, 0, 0.5, 1).mask(8, 8).sum()) == 32
    assert float(Region.from_box(0.9, 0.9, 0.1, 0.1).mask(10, 10)[9, 9]) == 1.0


def grey(array: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * array).astype(np.uint8))


def with_alpha(mode: str) -> Image.Image:
    image = Image.new(mode, (60, 40))
    image.putalpha(grey(DISC))
    return image


MASKS = {
    "bool array": DISC,
    "uint8 array": (255 * DISC).astype(np.uint8),
    "float array": DISC.astype(np.float64),
    "float16 array": DISC.astype(np.float16),
    "channel first": DISC[None].astype(np.float32),
    "channel last": DISC[:, :, None],
    "list": DISC.tolist(),
    "bool tensor": torch.from_numpy(DISC),
    "float tensor": torch.from_numpy(DISC).float()[None],
    "bfloat16 tensor": torch.from_numpy(DISC).bfloat16(),
    "tensor with a gradient": torch.from_numpy(DISC).float().requires_grad_(),
    "L": grey(DISC),
    "1": Image.fromarray(DISC),
    "P": grey(DISC).convert("P"),
    "RGB": grey(DISC).convert("RGB"),
    "F": Image.fromarray(DISC.astype(np.float32)),
    "I;16": Image.fromarray(DISC.astype(np.uint16) * 65535),
    "RGBA, painted in its alpha": with_alpha("RGBA"),
    "LA, painted in its alpha": with_alpha("LA"),
    "RGBA, painted in white on black": grey(DISC).convert("RGBA"),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_masks_of_every_kind_mean_the_same(mask: object) -> None:
    region = Region.from_mask(mask)  # type: ignore[arg-type]
    assert torch.equal(region.mask(40, 60), torch.from_numpy(DISC).float())


def test_sixteen_bit_masks_keep_their_soft_edge() -> None:
    ramp = np.tile(np.linspace(0, 65535, 50).astype(np.uint16), (4, 1))
    mask = Region.from_mask(Image.fromarray(ramp)).mask(4, 50)
    torch.testing.assert_close(mask[0], torch.linspace(0, 1, 50), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(20, 30), (16, 16), (80, 120), (333, 77)])
def test_masks_are_scaled_to_any_resolution(size: tuple[int, int]) -> None:
    mask = Region.from_mask(DISC).mask(*size)
    assert mask.shape == size
    assert 0.0 <= float(mask.min()) <= float(mask.max()) <= 1.0
    assert float(mask.mean()) == pytest.approx(DISC.mean(), abs=0.01)


def test_painted_masks_weigh_a_pixel_by_the_area_inside_like_boxes() -> None:
    box = Region.from_box(0.25, 0.5, 0.3125, 0.125)
    for side in (4, 8, 64):
        torch.testing.assert_close(
            Region.from_mask(box.mask(256, 256)).mask(side, side), box.mask(side, side), atol=1e-5, rtol=0
        )


LEFT, TOP = Region.from_box(0, 0, 0.5, 1), Region.from_box(0, 0, 1, 0.5)


def test_regions_combine_as_sets() -> None:
    assert torch.equal((LEFT | TOP).mask(2, 2), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    assert torch.equal((LEFT & TOP).mask(2, 2), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert torch.equal((~LEFT).mask(2, 2), torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    assert (~~LEFT) is LEFT
    soft = LEFT.feather(0.1)
    torch.testing.assert_close((soft & TOP).mask(8, 8), torch.minimum(soft.mask(8, 8), TOP.mask(8, 8)))
    for other in (None, 3, "mouth"):
        with pytest.raises(TypeError):
            LEFT | other  # type: ignore[operator]
        with pytest.raises(TypeError):
            LEFT & other  # type: ignore[operator]


def test_a_feather_is_a_gaussian_of_a_fraction_of_the_height() -> None:
    mask = LEFT.feather(0.05).mask(200, 200)
    position = (torch.arange(200) + 0.5 - 100) / 10.0
    expected = 0.5 * torch.erfc(position / 2**0.5)
    torch.testing.assert_close(mask[50], expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(mask[0], mask[199])
    torch.testing.assert_close(TOP.feather(0.05).mask(200, 200), mask.T)
    assert float(LEFT.feather(0.05).mask(20, 40)[0, 20]) == pytest.approx(0.31, abs=0.02)
    assert float(LEFT.feather(0.05).mask(64, 64).mean()) == pytest.approx(0.5, abs=1e-4)
    assert LEFT.feather(0) is LEFT
    assert torch.equal(LEFT.feather(1e-300).mask(8, 8), LEFT.mask(8, 8))


@pytest.mark.parametrize("radius", [-0.1, 0.6, float("nan"), True, "0.1", None, 10**400])
def test_feathers_out_of_range_are_refused(radius: object) -> None:
    with pytest.raises(RegionError, match="feather"):
        LEFT.feather(radius)  # type: ignore[arg-type]


FFHQ = {
    "left_eye": (110, 130, 76, 114),
    "right_eye": (110, 130, 140, 178),
    "eyes": (110, 130, 71, 186),
    "nose": (122, 162, 108, 154),
    "mouth": (169, 199, 92, 162),
    "chin": (196, 238, 75, 185),
    "eyebrows": (98, 113, 67, 185),
}
BIGGAN = {
    "center_80": (80, 160, 80, 160),
    "center_130": (55, 185, 55, 185),
    "center_200": (20, 220, 20, 220),
    "left_half": (0, 256, 0, 128),
    "top_half": (0, 128, 0, 256),
}


@pytest.mark.parametrize(("family", "boxes"), [("ffhq", FFHQ), ("biggan", BIGGAN)])
def test_presets_are_the_papers_rows_and_columns(
    family: str, boxes: dict[str, tuple[int, int, int, int]]
) -> None:
    assert set(PRESETS[family]) == set(boxes)
    for name, expected in boxes.items():
        assert rows_columns(Region.preset(f"{family}/{name}").mask(256, 256)) == expected


def test_every_preset_is_a_region_at_every_usual_resolution() -> None:
    for family, names in PRESETS.items():
        for name in names:
            for side in (32, 64, 256, 1024):
                Region.preset(name, family).mask(side, side)
    assert Region.preset("mouth").to_json() == Region.preset("avatars/mouth").to_json()


@pytest.mark.parametrize("name", ["tail", "ffhq/tail", "dogs/mouth", "", "/", "ffhq/mouth/left"])
def test_unknown_presets_are_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(RegionError, match="expected one of"):
        Region.preset(name)


fractions = st.floats(0.0, 1.0, exclude_max=True)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(fractions, fractions, fractions, fractions, st.floats(0.0, 0.5), st.integers(1, 40))
def test_any_box_survives_json(
    x: float, y: float, width: float, height: float, soft: float, side: int
) -> None:
    try:
        box = Region.from_box(x, y, (1 - x) * width, (1 - y) * height)
    except RegionError:
        return
    for region in (box, box.feather(soft), ~box, box | LEFT, box & TOP):
        found = Region.from_json(json.loads(json.dumps(region.to_json())))
        assert found.to_json() == region.to_json()
        assert torch.equal(found.mask(side, side, check=False), region.mask(side, side, check=False))


@pytest.mark.parametrize(
    "region",
    [
        Region.from_mask(DISC),
        ~Region.from_mask(DISC),
        Region.from_mask(DISC).feather(0.1),
        LEFT | Region.from_mask(DISC),
    ],
)
def test_a_painted_part_makes_the_mask_tell_the_region(region: Region) -> None:
    assert region.to_json() == {"mask": True}
    found = Region.from_json(region.to_json(), region.stored_mask())
    torch.testing.assert_close(found.mask(256, 256), region.mask(256, 256), atol=1 / 255, rtol=0)
    with pytest.raises(RegionError, match="missing"):
        Region.from_json(region.to_json())


def test_a_region_of_very_many_parts_is_told_by_its_mask() -> None:
    region = LEFT
    for index in range(100):
        region = region | Region.from_box(0.5, index / 128, 0.25, 1 / 128)
    found = Region.from_json(region.to_json(), region.stored_mask())
    assert torch.equal(found.mask(256, 256), region.mask(256, 256))


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 1, 1),
        (0, 0, 0, 0.5),
        (0, 0, 0.5, -0.5),
        (-0.1, 0, 0.5, 0.5),
        (0.6, 0, 0.5, 0.5),
        (0, 0.9, 0.5, 0.2),
        (float("nan"), 0, 0.5, 0.5),
        (0, 0, float("inf"), 0.5),
        (True, 0, 0.5, 0.5),
        ("0", 0, 0.5, 0.5),
        (None, 0, 0.5, 0.5),
        (10**400, 0, 0.5, 0.5),
    ],
    ids=str,
)
def test_boxes_that_are_no_part_of_the_image_are_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(RegionError):
        Region.from_box(*box)
    with pytest.raises(RegionError):
        Region.from_json({"box": list(box)})


def too_large() -> Image.Image:
    return Image.new("1", (8193, 1))


class Broken:
    """A picture whose file turns out to be damaged when its pixels are needed."""

    size, mode = (4, 4), "L"
    getextrema = None

    def convert(self, mode: str) -> Image.Image:
        raise OSError("image file is truncated")


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((4, 4)),
        np.ones((4, 4)),
        np.full((4, 4), 2.0),
        np.full((4, 4), -1.0),
        np.full((4, 4), np.nan),
        np.array([[0.0, np.inf]]),
        np.array([[0.0, 1e300]]),
        np.ones((4, 4), dtype=np.int64),
        np.ones((4, 4), dtype=np.complex64),
        np.ones((3, 4, 4)),
        np.ones(4),
        np.ones((0, 4)),
        np.zeros((1, 8193), dtype=bool),
        np.array([["a", "b"]]),
        [[0.0], [0.0, 1.0]],
        torch.ones(2, 2).to_sparse(),
        Image.new("RGBA", (4, 4)),
        too_large(),
        Broken(),
        None,
        0.5,
        True,
        "mask.png",
        {"mask": 1},
    ],
    ids=lambda mask: type(mask).__name__,
)
def test_masks_that_are_no_part_of_the_image_are_refused(mask: object) -> None:
    with pytest.raises(RegionError):
        Region.from_mask(mask)  # type: ignore[arg-type]


def test_a_region_may_be_lost_or_fill_the_image_at_a_resolution() -> None:
    with pytest.raises(RegionError, match="no pixel"):
        Region.from_box(0.5, 0.5, 1e-6, 1e-6).mask(64, 64)
    with pytest.raises(RegionError, match="no pixel"):
        (LEFT & ~LEFT).mask(64, 64)
    with pytest.raises(RegionError, match="whole image"):
        (LEFT | ~LEFT).mask(64, 64)
    for size in ((0, 4), (4, -1), (4, 1 << 20)):
        with pytest.raises(RegionError, match="was asked for"):
            LEFT.mask(*size)


def nested(depth: int) -> object:
    data: object = {"box": [0.0, 0.0, 0.5, 0.5]}
    for _ in range(depth):
        data = {"feather": 0.5, "of": data}
    return data


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "box",
        {},
        {"box": None},
        {"box": [0, 0, 1]},
        {"box": {"x": 0}},
        {"box": [[0], 0, 0.5, 0.5]},
        {"union": []},
        {"union": [{"box": [0, 0, 0.5, 0.5]}]},
        {"not": 3},
        {"not": {"not": None}},
        {"feather": 0.1},
        {"feather": "0.1", "of": {"box": [0, 0, 0.5, 0.5]}},
        {"feather": 1e400, "of": {"box": [0, 0, 0.5, 0.5]}},
        {"mask": True},
        {"mask": 1},
        nested(64),
        {"union": [nested(40), nested(40)]},
    ],
    ids=lambda data: str(data)[:40],
)
def test_json_that_is_no_region_is_refused(data: object) -> None:
    with pytest.raises(RegionError):
        Region.from_json(data)


def test_the_most_deeply_nested_region_is_still_drawn_quickly() -> None:
    mask = Region.from_json(nested(63)).mask(256, 256, check=False)
    assert bool(mask.isfinite().all())


def test_text_names_a_box_a_mask_image_or_a_preset(tmp_path: Path) -> None:
    box = Region.from_text("0.25,0.5,0.5,0.25").mask(16, 16)
    assert rows_columns(box) == (8, 12, 4, 12)
    Image.fromarray((DISC * 255).astype(np.uint8)).save(tmp_path / "disc.png")
    disc = Region.from_text(str(tmp_path / "disc.png")).mask(*DISC.shape)
    assert torch.equal(disc > 0.5, torch.from_numpy(DISC))
    preset = Region.preset("mouth").mask(64, 64)
    assert torch.equal(Region.from_text("mouth", "avatars").mask(64, 64), preset)
    assert torch.equal(Region.from_text("avatars/mouth").mask(64, 64), preset)


@pytest.mark.parametrize("text", ["", "mouth", "a,b,c,d", "0.9,0.9,0.5,0.5", "no/such", "x\0y", "x" * 5000])
def test_text_that_names_no_region_is_refused(text: str) -> None:
    with pytest.raises(RegionError):
        Region.from_text(text, "mine")


def test_a_preset_is_a_box_by_its_other_name() -> None:
    assert Region.from_text("box:mouth", "avatars").to_text() == "avatars/mouth"
    with pytest.raises(RegionError, match="no preset 'wheel'"):
        Region.from_text("box:wheel", "avatars")
    with pytest.raises(RegionError, match="no presets are known"):
        Region.from_text("box:mouth", "something")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("avatars", "avatars"),
        ("avatars64", "avatars"),
        ("avatars-128", "avatars"),
        ("stylegan2-ffhq-config-f", "ffhq"),
        ("My_FFHQ_faces", "ffhq"),
        ("cats", "cats"),
        ("stylegan2-afhqcats", ""),
        ("cars", ""),
        ("", ""),
    ],
)
def test_presets_of_a_generator_go_by_its_name(name: str, family: str, tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    generator.name = name
    assert set(presets_of(generator)) == set(presets_of(name)) == set(PRESETS.get(family, ()))
    if family:
        expected = Region.preset(f"{family}/mouth").mask(64, 64)
        assert torch.equal(Region.from_text("mouth", generator).mask(64, 64), expected)
        assert torch.equal(Region.from_text("mouth", name).mask(64, 64), expected)
        assert presets_of(name)["mouth"] is presets_of(generator)["mouth"]
    else:
        with pytest.raises(RegionError, match="no presets"):
            Region.from_text("mouth", generator)


def test_an_architecture_may_have_presets_whatever_its_name() -> None:
    generator = tiny_deep()
    generator.name = "dogs"
    assert set(presets_of(generator)) == set(PRESETS["biggan"])


def test_regions_know_their_names() -> None:
    mouth = Region.preset("left_eye", "ffhq")
    assert (mouth.name, mouth.words, mouth.to_text()) == ("left_eye", "the left eye", "ffhq/left_eye")
    assert mouth.feather(0.1).name == "left_eye"
    assert Region.from_json(mouth.feather(0.1).to_json(embed=True)).name == "left_eye"
    for other in (~mouth, mouth | Region.preset("nose", "ffhq"), Region.from_box(0, 0, 0.5, 0.5)):
        assert (other.name, other.words) == ("", "this part")


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0.0, 0.5))
def test_painted_regions_survive_json_and_text(height: int, width: int, seed: int, feather: float) -> None:
    values = torch.randint(0, 256, (height, width), generator=torch.Generator().manual_seed(seed))
    values[0, 0] = 255 if height * width > 1 else 128
    values[-1, -1] = 0 if height * width > 1 else 128
    painted = Region.from_mask(values.to(torch.uint8)).feather(feather)
    region = ~painted | Region.preset("mouth")
    for each in (painted, region):
        read = Region.from_json(json.loads(json.dumps(each.to_json(embed=True))))
        assert torch.equal(read.mask(64, 64, check=False), each.mask(64, 64, check=False))
        assert torch.equal(Region.from_text(each.to_text()).mask(64, 64, False), each.mask(64, 64, False))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        '{"box": [1, 2]}',
        '{"mask": "data:image/png;base64,AAAA"}',
        "{" * 9999,
        '{"a":' * 9999,
    ],
)
def test_text_that_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(RegionError):
        Region.from_text(text)


def test_boxes_in_pixels_are_cut_to_the_image() -> None:
    region, note = Region.from_pixels(16, 8, 32, 16, 64, 64)
    assert (region.to_json(), note) == ({"box": [0.25, 0.125, 0.5, 0.25]}, "")
    region, note = Region.from_pixels(-16, 48, 32, 32, 64, 64)
    assert region.to_json() == {"box": [0.0, 0.75, 0.25, 0.25]}
    assert note == "the box was cut to the image: 16 x 16 at (0, 48)"
    assert "covers only 1 x 2" in Region.from_pixels(3, 3, 1, 2, 64, 64)[1]
    for box in ((64, 0, 9, 9), (0, 0, 0, 9), (0, 0, 64, 64), (float("nan"), 0, 9, 9)):
        with pytest.raises(RegionError):
            Region.from_pixels(*box, 64, 64)
