"""Photos as files have them, crops, and edits put back."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

import resefa_core as resefa
from resefa_core.generators.base import Generator
from resefa_core.inversion import edited_mark, photos
from resefa_core.inversion.pasting import FADE
from resefa_core.latents.crop import FACES
from resefa_core.session import Session

MOUTH = resefa.Region.preset("mouth")


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.RandomState(1).randint(0, 256, (height, width, len(mode)), dtype=np.uint8)
    return Image.fromarray(values.squeeze(), mode)


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def test_pictures_of_all_kinds_are_read() -> None:
    colours = np.asarray(noise(9, 7))
    assert np.array_equal(resefa.Photo.from_bytes(encoded(noise(9, 7))).colours.numpy(), colours)
    grey = resefa.Photo.from_bytes(encoded(noise(9, 7, "L")))
    assert torch.equal(grey.colours[:, :, 0], grey.colours[:, :, 2])
    deep = Image.fromarray((np.arange(63, dtype=np.uint16) * 1000).reshape(7, 9))
    assert resefa.Photo.from_bytes(encoded(deep)).colours[-1, -1].tolist() == [241, 241, 241]
    for form in ("JPEG", "WEBP"):
        assert resefa.Photo.from_bytes(encoded(noise(9, 7), form)).colours.shape == (7, 9, 3)
    cmyk = resefa.Photo.from_bytes(encoded(noise(9, 7).convert("CMYK"), "JPEG"))
    assert cmyk.colours.shape == (7, 9, 3)
    palette = resefa.Photo.from_bytes(encoded(noise(9, 7).convert("P")))
    assert palette.colours.shape == (7, 9, 3)


def test_phones_turn_their_pictures() -> None:
    picture = noise(9, 7)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = resefa.Photo.from_bytes(encoded(picture, exif=exif))
    assert (photo.width, photo.height) == (7, 9)
    turned = np.rot90(np.asarray(picture), -1)
    assert np.array_equal(photo.colours.numpy(), turned)


def test_what_is_not_opaque_is_seen_over_white_and_stays_as_it_is(avatars: Generator) -> None:
    picture = noise(64, 64, "RGBA")
    photo = resefa.Photo.from_bytes(encoded(picture))
    assert photo.opacity is not None
    crop = photo.crop_for(avatars)
    seen, inside = photo.image(crop, 64, 64)
    values = np.asarray(picture).astype(np.float64) / 255
    expected = values[..., 3:] * values[..., :3] + 1 - values[..., 3:]
    assert np.allclose(seen.permute(1, 2, 0).numpy() / 2 + 0.5, expected, atol=1e-5)
    assert bool((inside == 1).all())
    image = avatars.synthesize(avatars.sample(3, 0.7))[0]
    out = resefa.paste(photo, image, image + 0.5, crop, MOUTH)
    assert np.array_equal(np.asarray(out.picture)[..., 3], np.asarray(picture)[..., 3])
    whole = encoded(noise(8, 8).convert("RGBA"))
    assert resefa.Photo.from_bytes(whole).opacity is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not readable"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 40, "not readable"),
        (encoded(noise(90, 70))[:-300], "not readable"),
        (encoded(noise(9, 7), "GIF"), "not readable"),
        (encoded(noise(9, 7), "BMP"), "not readable"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not readable"),
    ],
)
def test_other_files_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(resefa.PhotoError, match=says):
        resefa.Photo.from_bytes(data, "a.png")


def _declares(width: int, height: int) -> bytes:
    """A small PNG that says it is large: its pixels must not be decoded."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (20_000, 10), (9_000, 9_000)])
def test_bombs_are_not_decoded(width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(resefa.PhotoError):
        resefa.Photo.from_bytes(_declares(width, height))


def test_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(photos, "MAX_BYTES", 1000)
    (tmp_path / "photo.png").write_bytes(encoded(noise(90, 70)))
    with pytest.raises(resefa.PhotoError, match=r"photo\.png: [0-9]+ bytes"):
        resefa.Photo.open(tmp_path / "photo.png")
    with pytest.raises(resefa.PhotoError, match=r"missing\.png"):
        resefa.Photo.open(tmp_path / "missing.png")
    with pytest.raises(resefa.PhotoError):
        resefa.Photo.from_bytes(encoded(noise(90, 70)))


@pytest.mark.parametrize(
    "wrong",
    [
        "photo.png",
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        torch.zeros(4, 4),
        torch.full((3, 4, 4), math.nan),
        torch.zeros(2, 3, 4, 4),
        None,
    ],
)
def test_what_is_no_picture_is_refused(wrong: Any) -> None:
    with pytest.raises(resefa.PhotoError):
        resefa.Photo.of(wrong)


# Crops


def smooth(width: int, height: int) -> tuple[resefa.Photo, Any]:
    """A photo whose colours are a smooth function of the place, and the function."""

    def colours(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([torch.sin(x / 40), torch.cos(y / 50), torch.sin((x + y) / 60)], dim=-1) * 0.9

    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    values = colours(x[None, :].expand(height, -1), y[:, None].expand(-1, width))
    return resefa.Photo((values * 127.5 + 127.5).round().to(torch.uint8)), colours


@pytest.mark.parametrize("turn", [0.0, 17.0, -90.0])
@pytest.mark.parametrize("side", [40.0, 250.0, 500.0])
def test_a_crop_shows_the_place_that_it_says(turn: float, side: float) -> None:
    photo, colours = smooth(700, 600)
    crop = resefa.Crop(700, 600, 350.0, 300.0, side, side, turn)
    shown, inside = photo.image(crop, 32, 32)
    middle = (torch.arange(32) + 0.5) / 32
    x, y = crop.in_photo(middle[None, :].expand(32, -1), middle[:, None].expand(-1, 32))
    error = (shown.permute(1, 2, 0) - colours(x, y)).abs()[inside > 0]
    assert float(error.max()) < 0.035
    u, v = crop.in_image(x, y)
    assert torch.allclose(u, middle[None, :].expand(32, -1), atol=1e-5)
    assert torch.allclose(v, middle[:, None].expand(-1, 32), atol=1e-5)


def test_beyond_the_photo_nothing_counts() -> None:
    photo, _ = smooth(100, 100)
    crop = resefa.Crop(100, 100, 0.0, 50.0, 100.0, 100.0)
    shown, inside = photo.image(crop, 10, 10)
    assert inside.tolist() == [[0.0] * 5 + [1.0] * 5] * 10
    assert bool(torch.isfinite(shown).all())
    with pytest.raises(resefa.PhotoError, match="beside the photo"):
        photo.image(resefa.Crop(100, 100, -500.0, 50.0, 100.0, 100.0), 10, 10)


def test_faces_are_cut_as_in_ffhq() -> None:
    upright = resefa.Crop.of_face(1000, 1000, [(400, 400), (600, 400), (500, 620)])
    assert upright.turn == 0.0
    assert (upright.x, upright.y) == (500.0, 422.0)
    assert upright.wide == upright.high == pytest.approx(2 * max(2 * 200, 1.8 * 220))
    angle = 0.4
    points = [
        (
            500 + (x - 500) * math.cos(angle) - (y - 422) * math.sin(angle),
            422 + (x - 500) * math.sin(angle) + (y - 422) * math.cos(angle),
        )
        for x, y in [(400, 400), (600, 400), (500, 620)]
    ]
    turned = resefa.Crop.of_face(1000, 1000, points)
    assert turned.turn == pytest.approx(math.degrees(angle))
    assert (turned.x, turned.y) == (pytest.approx(500), pytest.approx(422))
    assert turned.wide == pytest.approx(upright.wide)
    landmarks = np.zeros((68, 2), np.float32)
    landmarks[36:42], landmarks[42:48] = (400, 400), (600, 400)
    landmarks[36], landmarks[39] = (390, 400), (410, 400)
    landmarks[48], landmarks[54] = (450, 620), (550, 620)
    assert resefa.Crop.of_face(1000, 1000, landmarks) == upright


def test_drawn_faces_are_cut_where_the_bundled_generator_has_them(avatars: Generator) -> None:
    crop = resefa.Crop(800, 700, 390.0, 310.0, 280.0, 280.0, 12.0)
    points = []
    for u, v in FACES["avatars"]:
        x, y = crop.in_photo(torch.tensor(u), torch.tensor(v))
        points.append((float(x), float(y)))
    photo = resefa.Photo.of(noise(800, 700)).aligned(avatars, face=points)
    assert photo.crop is not None
    for name in ("x", "y", "wide", "high", "turn"):
        assert getattr(photo.crop, name) == pytest.approx(getattr(crop, name), abs=1e-2)
    assert photo.aligned(avatars, box=(10, 20, 100, 100)).crop == resefa.Crop(800, 700, 60, 70, 100, 100)
    with pytest.raises(resefa.ParameterError, match="less than a pixel"):
        photo.aligned(avatars, face=[(5, 5), (5, 5), (5, 9)])
    with pytest.raises(resefa.ParameterError, match="expected three"):
        photo.aligned(avatars, face=[(5, 5), (9, 5)])
    with pytest.raises(resefa.PhotoError, match="both a face and a box"):
        photo.aligned(avatars, face=points, box=(0, 0, 5, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        "crop",
        {},
        {"size": [64, 64], "centre": [1, 2], "sides": [0, 1]},
        {"size": [64, 64], "centre": [math.nan, 2], "sides": [9, 9]},
        {"size": [64.5, 64], "centre": [1, 2], "sides": [9, 9]},
        {"size": [1 << 40, 64], "centre": [1, 2], "sides": [9, 9]},
        {"size": [64, 64], "centre": [1, 2], "sides": [9, 9], "turn": "north"},
        {"size": [64, 64], "centre": [1, 2], "sides": [9, 9], "digest": "abc"},
        {"size": [64, 64], "centre": [1, 2, 3], "sides": [9, 9]},
    ],
)
def test_crops_of_strangers_are_checked(wrong: Any) -> None:
    with pytest.raises(resefa.LatentError):
        resefa.Crop.from_json(wrong)


# Back into the photo


@pytest.fixture(scope="module")
def images(avatars: Generator) -> tuple[Tensor, Tensor]:
    """A face, and the same one with its lower half and its border changed too."""
    before = avatars.synthesize(avatars.sample(3, 0.7))[0].clamp(-1, 1)
    after = before.clone()
    after[:, 30:] = -before[:, 30:]
    after[:, :, :2] += 0.5
    return before, after.clamp(-1, 1)


@pytest.mark.parametrize("turn", [0.0, 20.0])
@pytest.mark.parametrize("fade", [0.0, 0.02, FADE, 0.2])
def test_beyond_the_fade_the_photo_keeps_its_bytes(
    images: tuple[Tensor, Tensor], fade: float, turn: float
) -> None:
    photo = resefa.Photo.of(noise(300, 260))
    crop = resefa.Crop(300, 260, 150.0, 130.0, 190.0, 190.0, turn)
    out = resefa.paste(photo, *images, crop, MOUTH, fade)
    changed = (out.colours != photo.colours).any(dim=2)
    assert bool(changed.any())
    x, y = torch.arange(300) + 0.5, torch.arange(260) + 0.5
    u, v = crop.in_image(x[None, :], y[:, None])
    slack = fade + 1.0 / 64
    left, upper, right, lower = 20 / 64, 38 / 64, 44 / 64, 50 / 64
    near = (u > left - slack) & (u < right + slack) & (v > upper - slack) & (v < lower + slack)
    assert not bool((changed & ~near).any())
    assert not bool((changed & (out.mask == 0)).any())
    inside = (u > left + 0.01) & (u < right - 0.01) & (v > upper + 0.01) & (v < lower - 0.01)
    assert float(out.mask[inside].min()) > 0.999


def test_a_photo_of_the_generators_size_gets_exactly_the_change(images: tuple[Tensor, Tensor]) -> None:
    before, after = images
    photo = resefa.Photo.of(before)
    crop = resefa.Crop.middle(64, 64, (64, 64))
    out = resefa.paste(photo, before, after, crop, MOUTH)
    rows, columns = slice(38, 50), slice(20, 44)
    change = (after - before)[:, rows, columns].permute(1, 2, 0) * 127.5
    expected = (photo.colours[rows, columns].float() + change).round().clamp(0, 255)
    assert float((out.colours[rows, columns].float() - expected).abs().max()) <= 1.0
    nothing = resefa.paste(photo, before, before, crop, MOUTH)
    assert torch.equal(nothing.colours, photo.colours)
    assert nothing.seam == 1.0


def test_what_an_edit_redraws_shows_nothing_of_what_was_there() -> None:
    flat = torch.zeros(3, 64, 64)
    photo = flat.clone()
    photo[:, 40:48, 24:40:2] = 0.4  # contours that the generator did not find
    given, crop = resefa.Photo.of(photo), resefa.Crop.middle(64, 64, (64, 64))

    def contours(change: float) -> float:
        image = resefa.paste(given, flat, flat + change, crop, MOUTH).image[:, 41:47, 24:40]
        return float((image[..., ::2] - image[..., 1::2]).mean())

    kept = [contours(change) for change in (0.02, 0.1, 0.3, 0.9)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > 0.95 * 0.4
    assert kept[2] == pytest.approx(0.2, abs=0.01)
    assert kept[3] < 0.05


def test_without_a_region_all_that_changes_is_pasted(images: tuple[Tensor, Tensor]) -> None:
    before, _ = images
    after = before.clone()
    after[:, 10:20, 30:40] += 0.6
    after[:, 50, 5] += 0.01
    photo = resefa.Photo.of(noise(128, 128))
    out = resefa.paste(photo, before, after.clamp(-1, 1), resefa.Crop.middle(128, 128, (64, 64)))
    assert float(out.mask[24:36, 64:76].min()) > 0.99
    assert float(out.mask[95:, :40].max()) == 0.0


def test_the_whole_image_fades_out_only_where_the_photo_goes_on(images: tuple[Tensor, Tensor]) -> None:
    before, after = images
    full = resefa.Photo.of(noise(128, 128))
    out = resefa.paste(full, before, after, resefa.Crop.middle(128, 128, (64, 64)), whole=True)
    assert float(out.mask.min()) == 1.0
    coarse = torch.nn.functional.avg_pool2d(out.image, 2)
    assert float((coarse - after).abs().mean()) < 0.03
    wide = resefa.Photo.of(noise(200, 128))
    out = resefa.paste(wide, before, after, resefa.Crop.middle(200, 128, (64, 64)), whole=True)
    assert float(out.mask[:, :36].max()) == 0.0
    assert float(out.mask[:, 37].max()) < 0.3
    assert float(out.mask[0, 100]) == 1.0


def test_a_soft_edge_makes_less_of_a_seam(images: tuple[Tensor, Tensor]) -> None:
    before, _ = images
    after = (before + 0.4).clamp(-1, 1)
    photo = resefa.Photo.of(before)
    crop = resefa.Crop.middle(64, 64, (64, 64))
    hard, soft = (resefa.paste(photo, before, after, crop, MOUTH, fade).seam for fade in (0.0, 0.1))
    assert hard > 1.5 * soft
    assert soft < 1.5


def test_a_part_is_edited_where_the_photo_has_it(avatars: Generator) -> None:
    directions = resefa.Session(avatars, seed=13).find("part:hair", quick=True)
    latent = avatars.sample(77, 0.7)
    session = resefa.Session(avatars)
    session.set_photo(resefa.Photo.of(avatars.synthesize(latent)[0]), latent)
    session.edit(directions, {0: 1.0})
    masks = [session.pasted(region).mask for region in (None, session.part("hair"), directions.region)]
    assert torch.equal(masks[0], masks[1])
    assert (masks[0] - masks[2]).abs().max() > 0.5


def test_the_latent_of_another_photo_is_refused(images: tuple[Tensor, Tensor]) -> None:
    photo, other = resefa.Photo.of(noise(64, 64)), resefa.Photo.of(noise(64, 64).rotate(90))
    crop = replace(resefa.Crop.middle(64, 64, (64, 64)), digest=other.digest)
    with pytest.raises(resefa.PhotoError, match="another photo"):
        resefa.paste(photo, *images, crop)
    with pytest.raises(resefa.PhotoError, match="another photo"):
        resefa.paste(resefa.Photo.of(noise(65, 64)), *images, crop)


def test_the_mark_is_in_the_file_and_nothing_else_of_the_camera(
    images: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    photo = resefa.Photo.from_bytes(encoded(noise(64, 64), exif=exif))
    out = resefa.paste(photo, *images, resefa.Crop.middle(64, 64, (64, 64)), MOUTH)
    out.save(tmp_path / "marked.png")
    out.save(tmp_path / "plain.png", mark=False)
    with pytest.raises(resefa.PhotoError, match="exists"):
        out.save(tmp_path / "marked.png")
    with Image.open(tmp_path / "marked.png") as marked, Image.open(tmp_path / "plain.png") as plain:
        assert marked.tobytes() == plain.tobytes()
        assert set(edited_mark()) <= set(marked.info)
        description = ElementTree.fromstring(marked.info["XML:com.adobe.xmp"])[0][0]
        source = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
        assert description.get(source, "").endswith("/compositeWithTrainedAlgorithmicMedia")
        assert not set(edited_mark()) & set(plain.info)
        assert not marked.getexif()
    assert xmp_chunks(tmp_path / "marked.png") == [b"iTXt"]


def xmp_chunks(file: Path) -> list[bytes]:
    """The types of a PNG's chunks that hold XMP."""
    data, at, found = file.read_bytes(), 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 8 : at + 8 + length].startswith(b"XML:com.adobe.xmp\0"):
            found.append(data[at + 4 : at + 8])
        at += length + 12
    return found


# In a session


@pytest.fixture(scope="module")
def photographed(avatars: Generator) -> resefa.Photo:
    """A drawn face within a larger picture."""
    face = resefa.to_pil(avatars.synthesize(avatars.sample(77, 0.7))[0]).resize((192, 192))
    picture = noise(320, 240)
    picture.paste(face, (60, 30))
    return resefa.Photo.of(picture).aligned(avatars, box=(60, 30, 192, 192))


def test_a_session_finds_edits_and_pastes(
    avatars: Generator, photographed: resefa.Photo, tmp_path: Path
) -> None:
    session = Session(avatars, seed=4)
    session.edit(session.find("eyes", quick=True, count=1), {0: 2.0})
    found = session.set_photo(photographed, steps=30)
    assert found is not None
    assert session.photo is photographed
    assert session.moves == ()
    assert torch.equal(session.pasted().colours, photographed.colours)
    mouth = session.find("mouth", quick=True, count=2)
    session.edit(mouth, {0: 3.0})
    out = session.pasted()
    changed = (out.colours != photographed.colours).any(dim=2)
    assert 0 < int(changed.sum()) <= int((out.mask > 0).sum()) < 0.25 * changed.numel()
    assert session.pasted(whole=True).mask.sum() > 3 * out.mask.sum()
    assert session.pasted("hair").mask[40:60].sum() > 0
    session.undo()
    session.undo()
    assert session.photo is None
    assert session.seed == 4
    assert len(session.moves) == 1
    with pytest.raises(resefa.PhotoError, match="no photo"):
        session.pasted()
    session.redo()
    assert session.photo is photographed


def test_a_photo_goes_into_no_link_and_no_direction_file(
    avatars: Generator, photographed: resefa.Photo, tmp_path: Path
) -> None:
    session = Session(avatars, seed=4)
    session.set_photo(photographed, steps=2)
    mouth = session.find("mouth", quick=True, count=1)
    with pytest.raises(resefa.PhotoError, match="link"):
        session.to_text()
    session.save(tmp_path / "mouth.safetensors")
    assert resefa.Directions.load(tmp_path / "mouth.safetensors").base_codes is None
    session.edit(mouth, {0: 1.0})
    session.save_picture(tmp_path / "face.png")
    with Image.open(tmp_path / "face.png") as picture:
        assert set(edited_mark()) <= set(picture.info)
    assert xmp_chunks(tmp_path / "face.png") == [b"iTXt"]
    again = Session.from_json(session.to_json(), avatars)
    assert again.photo is None
    assert again.original.crop == session.original.crop
    session.undo()
    session.undo()
    assert session.to_text()
    with pytest.raises(resefa.PhotoError, match="link"):
        session.to_text(history=True)


def test_codes_that_others_computed_take_the_photo_beside_them(
    avatars: Generator, photographed: resefa.Photo, tmp_path: Path
) -> None:
    codes = resefa.invert(avatars, photographed, steps=2).latent.codes
    np.save(tmp_path / "e4e.npy", codes[0].numpy())
    edited, _ = resefa.open_latent(tmp_path / "e4e.npy", avatars)
    session = Session(avatars, seed=0)
    assert session.set_photo(photographed, edited) is None
    assert torch.equal(session.original.codes, codes)
    session.edit(session.find("mouth", quick=True, count=1), {0: 3.0})
    out = session.pasted()
    assert not torch.equal(out.colours, photographed.colours)
    session.latent.save(tmp_path / "edited.safetensors")
    reopened = Session(avatars, seed=0)
    reopened.set_photo(photographed, resefa.Edited.load(tmp_path / "edited.safetensors"))
    assert len(reopened.moves) == 1
    assert torch.equal(reopened.pasted().colours, out.colours)
    other = resefa.Photo.of(noise(320, 240))
    with pytest.raises(resefa.PhotoError, match="another photo"):
        reopened.set_photo(other, resefa.Edited.load(tmp_path / "edited.safetensors"))
