"""Eyes and mouth of a photo's face, found by dlib."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resefa_core as resefa
from resefa_core.cli import main
from resefa_core.generators.base import Generator
from resefa_core.inversion.landmarks import can_find_faces, find_face
from resefa_core.latents.crop import FACES
from resefa_core.parsing import parse_face

needs_dlib = pytest.mark.skipif(
    not can_find_faces(), reason='dlib or its model is not installed: pip install "resefa[faces]"'
)
SEED, SIDE, LEFT, TOP = 11, 400, 150, 60


@pytest.fixture
def picture(avatars: Generator) -> Image.Image:
    """A drawn face, large, within a wider picture."""
    picture = Image.new("RGB", (700, 500), (40, 90, 60))
    face = resefa.to_pil(avatars.synthesize(avatars.sample(SEED, 0.7))[0])
    picture.paste(face.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (LEFT, TOP))
    return picture


@needs_dlib
def test_eyes_and_mouth_are_found_where_they_were_drawn(picture: Image.Image, avatars: Generator) -> None:
    for scale in (1.0, 3.0, 0.5):
        size = (round(scale * picture.width), round(scale * picture.height))
        photo = resefa.Photo.of(picture.resize(size, Image.Resampling.BICUBIC))
        landmarks = np.array(find_face(photo.colours)) / scale
        assert landmarks.shape == (68, 2)
        found = [landmarks[part].mean(axis=0) for part in (range(36, 42), range(42, 48), [48, 54])]
        for place, (u, v) in zip(found, FACES["avatars"], strict=True):
            assert np.hypot(*(place - (LEFT + SIDE * u, TOP + SIDE * v))) < 0.1 * SIDE
        crop = photo.aligned(avatars, face="auto").crop
        assert crop is not None
        assert crop.x / scale == pytest.approx(LEFT + SIDE / 2, abs=0.1 * SIDE)
        assert crop.y / scale == pytest.approx(TOP + SIDE / 2, abs=0.1 * SIDE)
        assert crop.wide / scale == pytest.approx(SIDE, rel=0.3)  # it takes drawn faces for larger
        assert abs(crop.turn) < 10


@needs_dlib
def test_the_largest_face_is_taken(picture: Image.Image) -> None:
    alone = np.array(find_face(resefa.Photo.of(picture).colours))
    two = Image.new("RGB", (1000, 500), (40, 90, 60))
    two.paste(picture, (0, 0))
    two.paste(picture.crop((LEFT, TOP, LEFT + SIDE, TOP + SIDE)).resize((220, 220)), (700, 200))
    found = np.array(find_face(resefa.Photo.of(two).colours))
    assert np.abs(found - alone).max() < 0.1 * SIDE


@needs_dlib
def test_a_photo_without_a_face_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(resefa.PhotoError, match="no face was found"):
        find_face(torch.full((50, 70, 3), 90, dtype=torch.uint8))
    Image.new("RGB", (90, 60)).save(tmp_path / "plain.png")
    arguments = ("invert", str(tmp_path / "plain.png"), "--face", "auto", "-o", str(tmp_path / "x"))
    assert main(list(arguments)) == 1
    assert "no face was found" in capsys.readouterr().err


def test_without_dlib_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, avatars: Generator
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    photo = resefa.Photo.of(Image.new("RGB", (90, 60)))
    with pytest.raises(resefa.PhotoError, match=r"resefa\[faces\]"):
        photo.aligned(avatars, face="auto")
    with pytest.raises(resefa.ParameterError, match="expected three"):
        photo.aligned(avatars, face="find")  # type: ignore[arg-type]


def test_without_its_model_dlib_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "face_recognition_models" else find(name)
    )
    assert not can_find_faces()
    with pytest.raises(resefa.PhotoError, match=r"resefa\[faces\]"):
        find_face(torch.zeros(9, 9, 3, dtype=torch.uint8))


def test_a_face_is_typed_as_numbers_or_to_be_found() -> None:
    assert parse_face("1,2,3,4,5,6.5") == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]]
    assert parse_face(" auto ") == "auto"
    for wrong in ("1,2,3", "", "find", "1,2,3,4,5,6,7"):
        with pytest.raises(resefa.ParameterError):
            parse_face(wrong)
