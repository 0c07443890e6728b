"""Codes in .pt and .npz files are read as data: nothing runs, damage is told in words, each format opens."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from dcgan import DATA
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from watching import watched

from resefa_core import Latent, LatentError
from resefa_core.latents import PNG_KEY

HOSTILE = DATA / "hostile"
CODES = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1))
CONTENTS = {
    "tensor": CODES,
    "half": CODES.half(),
    "bfloat16": CODES.bfloat16(),
    "double": CODES.double(),
    "transposed": CODES.transpose(1, 2).contiguous().transpose(1, 2),
    "part of a storage": torch.cat([CODES, CODES])[2:],
    "parameter": torch.nn.Parameter(CODES),
    "w": {"w": CODES, "iterations": 3, "name": "anna"},
    "latent": {"latent": CODES, "noise": [torch.ones(2), None]},
    "codes": {"codes": torch.nn.Parameter(CODES), "losses": (0.1, 0.2)},
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
@pytest.mark.parametrize("older", [False, True], ids=["zip", "older"])
def test_codes_of_torch_save_are_read_in_both_formats(content: object, older: bool, tmp_path: Path) -> None:
    file = tmp_path / "l.pt"
    torch.save(content, file, _use_new_zipfile_serialization=not older)
    latent, done = watched(file, Latent.load)
    assert done == []
    assert isinstance(latent, Latent)
    kept = next(iter(content.values())) if isinstance(content, dict) else content
    assert isinstance(kept, torch.Tensor)
    assert torch.equal(latent.codes, kept.detach().float())
    assert latent.codes.dtype == torch.float32


class Effect:
    """Pickled as a call that leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


class Program(torch.nn.Module):
    """A module whose loading as TorchScript writes a file on torch 2.4 and 2.5."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(CODES)

    def forward(self) -> torch.Tensor:
        return self.weight


def script(file: Path) -> None:
    torch.jit.script(Program()).save(str(file))


def with_attribute(file: Path) -> None:
    codes = CODES.clone()
    codes.detach = None  # type: ignore[method-assign, assignment]
    torch.save(codes, file)


def escaping(file: Path) -> None:
    torch.save({"\x1b[2J\x1b]0;owned\x07" * 9: torch.ones(3)}, file)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_refused_in_words_and_not_run(tmp_path: Path) -> None:
    script(tmp_path / "l.pt")
    assert "constants.pkl" in "".join(zipfile.ZipFile(tmp_path / "l.pt").namelist())
    problem, done = watched(tmp_path / "l.pt", Latent.load)
    assert done == []
    assert isinstance(problem, LatentError)
    assert "TorchScript" in str(problem)
    assert "state_dict" in str(problem)


@pytest.mark.parametrize("older", [False, True], ids=["zip", "older"])
@pytest.mark.parametrize("where", ["alone", "under w", "beside w"])
def test_calls_in_a_pt_file_are_inert(older: bool, where: str, tmp_path: Path) -> None:
    effect = Effect(tmp_path / "trace")
    content = {"alone": effect, "under w": {"w": effect}, "beside w": {"w": CODES, "other": effect}}[where]
    file = tmp_path / "l.pt"
    torch.save(content, file, _use_new_zipfile_serialization=not older)
    found, done = watched(file, Latent.load)
    assert done == []
    assert isinstance(found, Latent if where == "beside w" else LatentError)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("write", [with_attribute, escaping])
def test_messages_about_pt_files_are_ours_and_plain(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "l.pt")
    problem, done = watched(tmp_path / "l.pt", Latent.load)
    assert done == []
    assert isinstance(problem, LatentError)
    assert str(problem).isprintable()
    assert "weights_only" not in str(problem)


@pytest.mark.parametrize(
    "name", ["torchscript.pt", "pt_detach_shadow.pt", "pt_detach_size.pt", "latent_error_escape.pt"]
)
def test_files_that_broke_something_are_refused_in_words(name: str) -> None:
    file = HOSTILE / name
    if not file.is_file():
        pytest.skip(f"the hostile files are not there: {file.name} in {file.parent.name}")
    problem, done = watched(file, Latent.load)
    assert done == []
    assert isinstance(problem, LatentError)
    assert str(problem).isprintable()
    assert "weights_only" not in str(problem)


def npz(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_damage_in_an_npz_file_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "l.npz"
    data = npz(w=npy(CODES.numpy()))
    file.write_bytes(data)
    assert torch.equal(Latent.load(file).codes, CODES)
    start = data.index(b"w.npy") + 5
    for place in (start + 40, start + 200, data.index(b"PK\x01\x02") + 16, data.index(b"PK\x01\x02") + 24):
        damaged = bytearray(data)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(LatentError, match="damaged"):
            Latent.load(file)


def test_an_archive_of_a_great_many_entries_is_refused_before_they_are_listed(tmp_path: Path) -> None:
    entry = b"PK\x01\x02" + bytes(42)
    count = 1_000_000
    end = b"PK\x06\x06" + bytes(28) + struct.pack("<QQQ", count, count * 46, 4)
    locator = b"PK\x06\x07" + bytes(4) + struct.pack("<QI", 4 + count * 46, 1)
    data = b"PK\x03\x04" + entry * count + end + locator + b"PK\x05\x06" + b"\xff" * 16 + bytes(2)
    for suffix in (".npz", ".pt"):
        (tmp_path / f"l{suffix}").write_bytes(data)
        with pytest.raises(LatentError, match="1000000 entries"):
            Latent.load(tmp_path / f"l{suffix}")


def test_a_numpy_array_in_a_pt_file_is_read(tmp_path: Path) -> None:
    torch.save({"w": CODES.numpy()}, tmp_path / "l.pt")
    assert torch.equal(Latent.load(tmp_path / "l.pt").codes, CODES)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pt", ".safetensors", ".png"])
def test_files_whose_names_are_not_utf8_open(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"gut\xe9" + suffix.encode())
    if suffix == ".npz":
        file.write_bytes(npz(w=npy(CODES.numpy())))
    elif suffix == ".npy":
        file.write_bytes(npy(CODES.numpy()))
    elif suffix == ".pt":
        buffer = io.BytesIO()
        torch.save(CODES, buffer)
        file.write_bytes(buffer.getvalue())
    elif suffix == ".png":
        text = PngInfo()
        text.add_text(PNG_KEY, Latent(CODES).to_text())
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=text)
        file.write_bytes(buffer.getvalue())
    else:
        Latent(CODES).save(tmp_path / "plain.safetensors")
        (tmp_path / "plain.safetensors").rename(file)
    assert torch.equal(Latent.load(file).codes, CODES)
    file.write_bytes(b"something else")
    with pytest.raises(LatentError, match="gut") as caught:
        Latent.load(file)
    str(caught.value).encode("utf-8")
