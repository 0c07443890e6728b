"""What browsers send: whatever it is, it is read, or refused in the project's own words."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gradio_app import links, payloads
from resefa_core import Directions, ParameterError, RegionError, ReSeFaError
from resefa_core.latents.samples import SEEDS

URL = "data:image/png;base64,"
KEYS = ("box", "preset", "mask", "part", "parts", "version", "strengths", "names", "kept", "region")
DEEP = json.loads("[" * 900 + "]" * 900)
HUGE = 10**400
LARGEST = 10**4299

texts = (
    st.text(max_size=12) | st.characters(categories=["Cs"]) | st.sampled_from(["mouth", "\0", "\ud800", ""])
)
numbers = st.integers() | st.floats() | st.sampled_from([HUGE, -HUGE, LARGEST, True, 2**64, 1e308])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=5)
    ),
    max_leaves=15,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
boxes = st.lists(numbers | texts | values, min_size=4, max_size=4).map(lambda box: {"box": box})
sent = values | objects | boxes


def directions(count: int = 3) -> Directions:
    ones = torch.ones(count)
    return Directions(
        vectors=torch.eye(count, 8), eigenvalues=ones, inside=ones, outside=ones, steps=ones, space="w",
        layers=(0, 1),
    )  # fmt: skip


def png(picture: Image.Image, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return URL + base64.b64encode(buffer.getvalue()).decode("ascii")


@settings(max_examples=300, deadline=None)
@given(sent)
def test_any_json_is_a_region_or_is_refused(payload: object) -> None:
    try:
        region = payloads.read_region(payload, "avatars")
    except ReSeFaError as error:
        str(error).encode("utf-8")
    else:
        if isinstance(region, tuple):
            assert region[0][1] is True
        else:
            assert region.mask(32, 32, check=False).isfinite().all()


@settings(max_examples=300, deadline=None)
@given(sent, st.integers(0, 3))
def test_any_json_gives_finite_strengths_of_the_range_or_none(payload: object, version: int) -> None:
    read = payloads.read_strengths(payload, version, 3, (-6.0, 6.0))
    assert read is None or all(0 <= i < 3 and abs(value) <= 6.0 and value for i, value in read.items())


@settings(max_examples=300, deadline=None)
@given(objects | sent)
def test_any_json_keeps_some_directions_or_is_refused(payload: object) -> None:
    if isinstance(payload, dict):
        payload["version"] = 7
    try:
        kept = payloads.read_choice(payload, 7, directions())
    except ReSeFaError as error:
        str(error).encode("utf-8")
    else:
        assert 1 <= len(kept) <= 3
        "".join(kept.names).encode("utf-8")


@settings(max_examples=300, deadline=None)
@given(values | numbers)
def test_any_json_is_a_number_of_the_range_or_is_refused(value: object) -> None:
    refused = ""
    try:
        read = payloads.read_number(value, -2.0, 5.0, "number")
    except ParameterError as error:
        refused = str(error)
    else:
        assert type(read) is float
        assert -2.0 <= read <= 5.0
    assert len(refused.encode("utf-8")) < 200


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["seed", "truncation", "box", "region", "generator", "class"]),
        texts | st.text("0123456789.,-e_naif", max_size=200),
    )
)
def test_any_query_is_read(query: dict[str, str]) -> None:
    asked, notes = links.read(query)
    assert all(note.encode("utf-8") for note in notes)
    assert 0 <= asked.get("seed", 0) < SEEDS
    assert 0.0 <= asked.get("truncation", 0.0) <= 1.0
    assert all(math.isfinite(number) for number in asked.get("region", {}).get("box", ()))
    assert all(len(text) <= 100 for text in asked.values() if isinstance(text, str))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: b"\x89PNG\r\n\x1a\n" + data))
def test_any_bytes_are_a_mask_or_are_refused(data: bytes) -> None:
    with pytest.raises(RegionError):
        payloads.read_region({"mask": URL + base64.b64encode(data).decode("ascii")})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_a_damaged_png_is_a_mask_or_is_refused(changes: list[tuple[int, int]], mend_sums: bool) -> None:
    picture = Image.fromarray((np.arange(400, dtype=np.uint8) % 251).reshape(20, 20))
    data = bytearray(base64.b64decode(png(picture, icc_profile=b"x" * 30)[len(URL) :]))
    for place, value in changes:
        data[8 + place % (len(data) - 8)] = value
    if mend_sums:
        data = with_sums(data)
    with contextlib.suppress(RegionError):
        payloads.read_region({"mask": URL + base64.b64encode(bytes(data)).decode("ascii")})


def with_sums(data: bytearray) -> bytearray:
    """A PNG whose chunks have the right check sums, so that a reader goes on to what is in them."""
    place = 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + size
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return data


def test_regions_that_browsers_draw() -> None:
    box = payloads.read_region({"box": [0.25, 0.5, 0.5, 0.25]})
    assert payloads.show_region(box) == {"box": [0.25, 0.5, 0.5, 0.25]}
    assert payloads.read_region({"preset": "mouth"}, "avatars").name == "mouth"
    painted = Image.new("RGB", (128, 128))
    painted.paste((255, 255, 255), (0, 0, 64, 128))
    mask = payloads.read_region({"mask": png(painted)}).mask(2, 2)
    assert mask.tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_a_painted_region_comes_back_as_it_was_drawn() -> None:
    painted = np.zeros((128, 128), dtype=np.uint8)
    painted[30:70, 50:120] = 200
    left = payloads.read_region({"mask": png(Image.fromarray(painted))})
    shown = payloads.show_region(left)
    assert shown is not None
    picture = Image.open(io.BytesIO(base64.b64decode(shown["mask"][len(URL) :])))
    assert picture.mode == "RGBA"
    on_black = Image.new("RGBA", picture.size, "black")
    on_black.alpha_composite(picture)
    again = payloads.read_region({"mask": png(on_black)})
    assert torch.allclose(again.mask(64, 64), left.mask(64, 64), atol=0.02)
    assert payloads.show_region(None) is None


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "mouth",
        {},
        {"box": "0.1,0.1,0.2,0.2"},
        {"box": ["0.1", "0.1", "0.2", "0.2"]},
        {"box": [True, False, 0.5, 0.5]},
        {"box": [0.1, 0.1, 0.2]},
        {"box": [0.1, 0.1, math.nan, 0.2]},
        {"box": [0.1, 0.1, HUGE, 0.2]},
        {"box": [LARGEST, 0.1, 0.2, 0.2]},
        {"box": [0.1, DEEP, 0.2, 0.2]},
        DEEP,
        {"box": [0.0, 0.0, 1.0, 1.0]},
        {"preset": "nothing"},
        {"preset": ["mouth"]},
        {"mask": "data:text/html;base64,AAAA"},
        {"mask": URL + "é"},
        {"mask": URL},
        {"mask": URL + "A" * 1_000_000},
        {"mask": "data:image/png;base64,"},
    ],
)
def test_what_is_no_region_is_refused(payload: object) -> None:
    with pytest.raises(RegionError):
        payloads.read_region(payload, "avatars")


@pytest.mark.parametrize("size", [(513, 4), (4, 513), (20_000, 20_000)])
def test_large_masks_are_refused_before_they_are_unpacked(size: tuple[int, int]) -> None:
    header = b"IHDR" + size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big") + b"\x08\0\0\0\0"
    data = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    data += b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    with pytest.raises(RegionError):
        payloads.read_region({"mask": URL + base64.b64encode(data).decode("ascii")})


@pytest.mark.parametrize("values", [[0] * 4096, [255] * 4096])
def test_empty_and_full_masks_are_refused(values: list[int]) -> None:
    picture = Image.fromarray(np.array(values, dtype=np.uint8).reshape(64, 64))
    with pytest.raises(RegionError):
        payloads.read_region({"mask": png(picture)})


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_masks_of_every_kind_of_png(mode: str) -> None:
    plain = np.zeros((16, 16), dtype=np.uint8)
    plain[:8] = 255
    if mode == "I;16":
        picture = Image.fromarray(plain.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(plain).convert(mode)
    assert payloads.read_region({"mask": png(picture)}).mask(2, 1).tolist() == [[1.0], [0.0]]


def test_strengths() -> None:
    good = {"version": 4, "strengths": [1.5, 0, -9, 2]}
    assert payloads.read_strengths(good, 4, 6, (-6.0, 6.0)) == {0: 1.5, 2: -6.0, 3: 2.0}
    assert payloads.read_strengths(good, 5, 6, (-6.0, 6.0)) is None
    assert payloads.read_strengths(good, 4, 3, (-6.0, 6.0)) is None


@pytest.mark.parametrize("bad", [True, "1", None, math.nan, math.inf, [], {}])
def test_strengths_that_make_no_sense_are_left(bad: object) -> None:
    assert payloads.read_strengths({"version": 4, "strengths": [bad]}, 4, 6, (-6.0, 6.0)) is None


def test_a_huge_strength_is_the_largest() -> None:
    sent = {"version": 1, "strengths": [HUGE, -HUGE, LARGEST]}
    assert payloads.read_strengths(sent, 1, 3, (-6.0, 6.0)) == {0: 6.0, 1: -6.0, 2: 6.0}


def test_the_version_is_a_whole_number() -> None:
    assert payloads.read_strengths({"version": True, "strengths": [1]}, 1, 3, (-6.0, 6.0)) is None
    assert payloads.read_choice({"version": True, "kept": [False] * 3}, 1, directions()) is not None


def test_choices() -> None:
    choice = {"version": 2, "names": ["smile", "  two   words ", 7], "kept": [True, True, False]}
    kept = payloads.read_choice(choice, 2, directions())
    assert kept.names == ("smile", "two words")
    assert len(payloads.read_choice(choice, 3, directions())) == 3
    assert payloads.read_choice({"version": 2, "kept": [True, False]}, 2, directions()).names == (
        "direction 0",
        "direction 2",
    )
    with pytest.raises(ParameterError, match="ticked"):
        payloads.read_choice({"version": 2, "kept": [False] * 3}, 2, directions())


@pytest.mark.parametrize("name", ["x" * 500, "\0", "\x1b[31m", "\ud800", "\u202egnp.exe"])
def test_names_that_no_file_may_hold_are_refused_or_harmless(name: str) -> None:
    choice = {"version": 2, "names": [name]}
    try:
        kept = payloads.read_choice(choice, 2, directions())
    except ParameterError as error:
        str(error).encode("utf-8")
    else:
        kept.names[0].encode("utf-8")


@pytest.mark.parametrize(
    "value", [True, None, "3", [3], DEEP, math.nan, math.inf, -math.inf, HUGE, LARGEST, -1, 11]
)
def test_numbers_that_are_refused(value: object) -> None:
    with pytest.raises(ParameterError, match="expected a number from 0 to 10"):
        payloads.read_number(value, 0, 10, "count")


def test_parameters_are_numbers_or_what_stands_there() -> None:
    values = {"edge": " 1 ", "colour": "", "regularization": "0,1", "lambda": " ", "grid": 64}
    assert payloads.read_parameters({"method": "resefa", "values": values}) == (
        "resefa",
        {"edge": 1.0, "regularization": "0,1", "grid": 64},
    )


@pytest.mark.parametrize("payload", [None, 3, [], {}, {"method": {}, "values": 3}, {"values": [DEEP]}])
def test_parameters_that_are_none_are_none(payload: object) -> None:
    assert payloads.read_parameters(payload)[1] == {}


@pytest.mark.parametrize("size", [(64, 64), (2048, 1024), (480, 96), (1, 1)])
def test_pictures_are_sent_small(size: tuple[int, int]) -> None:
    url = payloads.data_url(Image.new("RGB", size))
    picture = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    assert url.startswith("data:image/webp;base64,")
    assert max(picture.size) <= 512
    assert picture.format == "WEBP"
