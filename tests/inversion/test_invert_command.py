"""`resefa invert`, and `resefa edit --photo`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resefa_core as resefa
from resefa_core.cli import main
from resefa_core.generators.base import Generator
from resefa_core.inversion import edited_mark


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def photo(tmp_path: Path, avatars: Generator) -> Path:
    face = resefa.to_pil(avatars.synthesize(avatars.sample(77, 0.7))[0]).resize((192, 192))
    picture = Image.new("RGB", (320, 240), (40, 90, 60))
    picture.paste(face, (60, 30))
    picture.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def mouth(tmp_path: Path) -> Path:
    file = tmp_path / "mouth.safetensors"
    assert run("factorize", "--region", "mouth", "--space", "w", "-k", "1", "--all", "-o", file) == 0
    return file


def test_from_a_photo_to_an_edited_one(
    photo: Path, mouth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latent, sheet, edited = (tmp_path / name for name in ("photo.latent.safetensors", "two.png", "new.png"))
    place = ("--box", "60,30,192,192")
    assert run("invert", photo, *place, "--steps", "25", "-o", latent, "--picture", sheet) == 0
    assert "mean squared error" in capsys.readouterr().out
    assert Image.open(sheet).width > 512
    assert run("info", latent) == 0
    assert "192 x 192 pixels around (156, 126) of 320 x 240" in capsys.readouterr().out
    assert run("edit", mouth, "--photo", photo, "--latent", latent, "--move", "0=3", "-o", edited) == 0
    before, after = (np.asarray(Image.open(file)) for file in (photo, edited))
    changed = (before != after).any(axis=2)
    assert 0 < changed.sum() < 0.2 * changed.size
    assert "Comment" in Image.open(edited).info

    again = tmp_path / "again.png"
    arguments = ("edit", mouth, "--photo", photo, *place, "--steps", "25", "--move", "0=3", "-o", again)
    assert run(*arguments, "--no-mark") == 0
    assert np.array_equal(np.asarray(Image.open(again)), after)
    assert "Comment" not in Image.open(again).info
    assert run(*arguments) == 1
    assert "exists" in capsys.readouterr().err


def test_every_picture_of_a_photos_latent_says_what_it_is(photo: Path, mouth: Path, tmp_path: Path) -> None:
    latent, found, edited, plain, strips, shown = (
        tmp_path / name for name in ("l.safetensors", "f.png", "e.png", "p.png", "s.png", "d.png")
    )
    assert run("invert", photo, "--steps", "2", "-o", latent, "--picture", found) == 0
    edit = ("edit", mouth, "--latent", latent, "--move", "0=1", "-o")
    assert run(*edit, edited) == 0
    assert run(*edit, plain, "--no-mark") == 0
    assert run("sweep", mouth, "--latent", latent, "--strengths", "0,1", "-o", strips) == 0
    directions = ("--space", "w", "-k", "1", "--all", "-o", tmp_path / "own.safetensors", "--sheet", shown)
    assert run("factorize", "--latent", latent, "--region", "mouth", *directions) == 0
    drawn = tmp_path / "drawn.png"
    assert run("edit", mouth, "--seed", "3", "--move", "0=1", "-o", drawn) == 0
    marks = set(edited_mark())
    for file in (found, edited, strips, shown):
        assert marks <= set(Image.open(file).info), file.name
    for file in (plain, drawn):
        assert not marks & set(Image.open(file).info), file.name


def test_what_can_not_be_used_is_said(
    photo: Path, mouth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("-o", tmp_path / "x.safetensors")
    assert run("invert", mouth, *out) == 1
    assert "not readable as a PNG" in capsys.readouterr().err
    assert run("invert", tmp_path / "missing.png", *out) == 1
    with pytest.raises(SystemExit) as stopped:  # as of any argument that can't be read
        run("invert", photo, "--face", "1,2,3,4", *out)
    assert stopped.value.code == 2
    assert "x and y of both eyes" in capsys.readouterr().err
    assert run("invert", photo, "--ignore", "nowhere", *out) == 1
    assert run("invert", photo, "--steps", "0", *out) == 1
    assert not (tmp_path / "x.safetensors").exists()
    latent = tmp_path / "latent.safetensors"
    assert run("invert", photo, "--steps", "1", "-o", latent) == 0
    other = tmp_path / "other.png"
    Image.new("RGB", (320, 240), (1, 2, 3)).save(other)
    moved = ("--move", "0=1", "-o", tmp_path / "new.png")
    assert run("edit", mouth, "--photo", other, "--latent", latent, *moved) == 1
    assert "another photo" in capsys.readouterr().err


def test_a_tuned_generator_is_written_and_used(photo: Path, mouth: Path, tmp_path: Path) -> None:
    latent, tuned = tmp_path / "photo.latent.safetensors", tmp_path / "tuned.safetensors"
    assert run("invert", photo, "--steps", "5", "-o", latent, "--tune", tuned, "--tune-steps", "3") == 0
    assert resefa.load_generator(tuned).tuned_from == resefa.load_generator("avatars").fingerprint
    moved = ("--move", "0=1", "-o", tmp_path / "new.png")
    assert run("edit", mouth, "-g", tuned, "--photo", photo, "--latent", latent, *moved) == 0
    assert run("invert", photo, "--steps", "5", "-o", latent, "--tune", tuned, "--tune-steps", "3") == 1
