"""What files may be called."""

from __future__ import annotations

from pathlib import Path

import pytest

import resefa_core as resefa
from resefa_core.errors import ReSeFaError
from resefa_core.files import check_save_name, write_bytes

GOOD = ["anna", "faces/anna", "Müller & Söhne", "目/口 1", ".hidden", "v1.2", "a..b", "~anna", "x" * 243]
BAD = {
    "nothing": ("", "empty"),
    "spaces": ("   ", "empty"),
    "dots": ("..", "dots"),
    "a dot": (".", "dots"),
    "many dots": ("....", "dots"),
    "dots in folders": ("faces/../../anna", "dots"),
    "a folder alone": ("faces/", "empty"),
    "no folder": ("faces//anna", "empty"),
    "absolute": ("/etc/anna", "plain name"),
    "home": ("~/anna", "~"),
    "another's home": ("~root/anna", "~"),
    "home itself": ("~", "~"),
    "long": ("x" * 244, "256 bytes"),
    "long in bytes": ("ä" * 130, "272 bytes"),
    "a long folder": ("x" * 256 + "/anna", "256 bytes"),
    "a line break": ("an\nna", r"\n"),
    "a null": ("an\0na", r"\x00"),
    "an escape": ("an\x1b[2Jna", r"\x1b"),
    "a lone surrogate": ("an\ud800na", r"\ud800"),
    "not UTF-8": ("gut\udce9", r"\udce9"),
    "a placeholder": ("<name>", "'<'"),
    "None": (None, "NoneType"),
    "a number": (7, "int"),
    "a list": (["anna"], "list"),
}


@pytest.mark.parametrize("name", GOOD)
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert check_save_name(name, ".safetensors", ReSeFaError) == name
    assert check_save_name(f" {name}.safetensors ", ".safetensors", ReSeFaError) == name


@pytest.mark.parametrize(("name", "why"), BAD.values(), ids=BAD)
def test_names_that_are_none_are_refused_in_words(name: object, why: str) -> None:
    with pytest.raises(resefa.LatentError) as caught:
        check_save_name(name, ".safetensors", resefa.LatentError)
    assert why in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["<faces>.png", "a\nb.png", "gut\udce9.png", "x" * 252 + ".png", "..."])
def test_no_file_is_written_under_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReSeFaError, match="can't name a file"):
        write_bytes(tmp_path / name, b"", ReSeFaError, overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_a_home_folder_that_no_shell_replaced_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    with pytest.raises(ReSeFaError, match="home folder"):
        write_bytes("~/faces.png", b"", ReSeFaError, overwrite=True)
