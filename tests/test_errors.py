from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import resefa_core as resefa
from resefa_core.checkpoints import BUNDLED
from resefa_core.cli import main
from resefa_core.errors import ReSeFaError, printable

KINDS = [ReSeFaError, *ReSeFaError.__subclasses__()]
HOSTILE = {
    "a byte that is not UTF-8": "gut\udce9.safetensors",
    "a lone surrogate": "a\ud800b",
    "escape codes": "\x1b[2J\x1b]0;title\x07",
    "line breaks": "one\ntwo\r\nresefa: error: forged\u2028three",
    "turned round": "\u202egnp.exe",
    "a null": "a\0b",
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_message_can_be_encoded_and_printed(kind: type[ReSeFaError], text: str) -> None:
    error = kind(f"{text}: can't be read")
    said = str(error)
    assert said.isprintable()
    assert said.endswith(": can't be read")
    said.encode("utf-8")
    assert [said] == list(error.args)


@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_any_text_becomes_printable_once_and_for_all(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert shown.isprintable()
    assert printable(shown) == shown


def test_plain_text_of_any_language_stays_as_it_is() -> None:
    for text in ("models/gesichter/müller.pt: 3 × 4", "目 と 口", "C:\\models\\x.pt", "it's 'quoted'"):
        assert str(ReSeFaError(text)) == text


def test_very_long_messages_keep_their_beginning_and_end() -> None:
    said = str(ReSeFaError("the file " + 3_000_000 * "x\n" + ": choose another name"))
    assert len(said) <= 2000
    assert said.startswith("the file x")
    assert said.endswith("x\\n: choose another name")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_survive_copies_and_pickles(kind: type[ReSeFaError]) -> None:
    error = kind("a\nb" + 5000 * "\udce9")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is kind
        assert str(other) == str(error)


def test_a_file_whose_name_is_not_utf8_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(resefa.CheckpointError) as caught:
        resefa.load_generator(str(tmp_path / "gut\udce9\n.safetensors"))
    str(caught.value).encode("utf-8")
    assert "gut\\udce9\\n.safetensors" in str(caught.value)


def test_files_whose_names_are_not_utf8_open(tmp_path: Path) -> None:
    generator = tmp_path / "gut\udce9.safetensors"
    generator.write_bytes((BUNDLED / "avatars.safetensors").read_bytes())
    loaded = resefa.load_generator(generator)
    assert loaded.fingerprint == resefa.load_generator("avatars").fingerprint
    latent, directions = tmp_path / "latent\udce9.safetensors", tmp_path / "directions\udce9.safetensors"
    loaded.sample(3).save(tmp_path / "latent.safetensors")
    (tmp_path / "latent.safetensors").rename(latent)
    resefa.Directions.from_vectors(torch.eye(3, loaded.latent_dim), "w", loaded).save(
        tmp_path / "d.safetensors"
    )
    (tmp_path / "d.safetensors").rename(directions)
    assert resefa.Latent.load(latent).seed == (3,)
    assert len(resefa.Directions.load(directions)) == 3
    assert (
        main(["info", str(generator)]) == main(["info", str(latent)]) == main(["info", str(directions)]) == 0
    )
    converted = tmp_path / "converted.safetensors"
    assert main(["convert", str(generator), str(converted)]) == 0
    assert resefa.load_generator(converted).fingerprint == loaded.fingerprint
