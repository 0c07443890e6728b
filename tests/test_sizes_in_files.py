"""What a generator's file states of sizes is held against its bytes, before memory is taken or work done."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoint_files as layouts
import pytest
import safetensors.torch
import torch
from models import tiny_stylegan3
from torch import Tensor

from resefa_core import PGGAN, BigGAN, CheckpointError, StyleGAN2, StyleGAN3, load_generator
from resefa_core.checkpoints import convert_generator, describe
from resefa_core.files.tensors import DTYPES

MOST_MEMORY = 100 << 20


def peak_of(action: Callable[[], object]) -> int:
    """By how many bytes an action's memory grew at most."""
    counters = Path("/proc/self/clear_refs")
    if not counters.exists():
        pytest.skip("the system does not count the peak of memory")

    def peak() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

    counters.write_text("5")
    before = peak()
    action()
    return peak() - before


def rosinality(file: Path, z_dim: int) -> None:
    """A file without a mean code whose mapping network takes wide noise."""
    state = layouts.rosinality_state(layouts.tiny(depth=2))
    state["style.1.weight"] = torch.randn(1, z_dim)
    state["style.1.bias"] = torch.randn(1)
    state["style.2.weight"] = torch.randn(8, 1)
    torch.save({"g_ema": state}, file)


def test_a_mean_code_is_not_estimated_from_endless_noise(tmp_path: Path) -> None:
    rosinality(tmp_path / "g.pt", 120_000)
    assert (tmp_path / "g.pt").stat().st_size < 600_000

    def load() -> None:
        with pytest.raises(CheckpointError, match="noise of 120000 numbers"):
            load_generator(tmp_path / "g.pt")

    assert peak_of(load) < MOST_MEMORY


def test_a_mean_code_is_estimated_in_parts(tmp_path: Path) -> None:
    """4,096 draws of 4,096 numbers are 128 MB in float64."""
    rosinality(tmp_path / "g.pt", 4096)
    found: list[Any] = []
    assert peak_of(lambda: found.append(load_generator(tmp_path / "g.pt"))) < MOST_MEMORY
    generator = found[0]
    codes = generator.sample(list(range(200))).codes[:, 0]
    away = (codes.mean(dim=0) - generator.mapping.w_avg).abs()
    assert bool((away < 0.3 * codes.std(dim=0) + 1e-6).all())


def silent(file: Path, resolution: int) -> None:
    """A StyleGAN2 of one channel that says it has no noise: its noise maps would be the most of it."""
    with torch.device("meta"):
        outline = StyleGAN2(8, 0, 8, resolution, num_mapping_layers=1, channel_base=resolution, channel_max=1)
    kept = {n: torch.ones(t.shape) for n, t in outline.state_dict().items() if ".noise_" not in n}
    arguments = {"synthesis_kwargs": {"use_noise": False}}
    safetensors.torch.save_file(kept, file, {"arch": "stylegan2", "init_kwargs": json.dumps(arguments)})


def test_noise_that_a_file_does_not_have_is_no_more_than_the_file(tmp_path: Path) -> None:
    silent(tmp_path / "small.safetensors", 8)
    assert load_generator(tmp_path / "small.safetensors").resolution == 8
    silent(tmp_path / "large.safetensors", 4096)
    assert (tmp_path / "large.safetensors").stat().st_size < 20_000

    def load() -> None:
        with pytest.raises(CheckpointError, match="bytes of memory for a file of"):
            load_generator(tmp_path / "large.safetensors")

    assert peak_of(load) < MOST_MEMORY


def test_classes_without_numbers_are_refused(tmp_path: Path) -> None:
    """A class vector of 2^40 entries costs nothing in a tensor that has no rows, and a terabyte when used."""
    state = layouts.hammer_state(layouts.tiny(c_dim=3, embed=4))
    weight = state["mapping.dense0.weight"]
    state["mapping.dense0.weight"] = weight[:, :8].contiguous()
    state["mapping.embedding.weight"] = torch.empty(0, 1 << 40)
    state["mapping.embedding.bias"] = torch.empty(0)
    torch.save({"generator_smooth": state}, tmp_path / "g.pth")
    for read in (describe, load_generator):
        with pytest.raises(CheckpointError, match="not empty"):
            read(tmp_path / "g.pth")


def zeros(file: Path, state: dict[str, Tensor], arguments: dict[str, Any] | None = None) -> None:
    """A state dict of zeros as safetensors, its tensors a hole in the file: gigabytes take no disk."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"init_kwargs": json.dumps(arguments or {})}}
    end = 0
    for name, tensor in state.items():
        start, end = end, end + tensor.numel() * tensor.dtype.itemsize
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + end)


def big_attention() -> BigGAN:
    return BigGAN(12, 2, 4, channels=(8,) * 8, attention=(6,), bottom_width=4, hierarchical=False)


def wide_pggan() -> PGGAN:
    return PGGAN(z_dim=8, channels=(8,) * 9 + (512,))


@pytest.mark.parametrize("make", [big_attention, wide_pggan])
def test_images_that_no_machine_can_make_are_refused(make: Callable[[], Any], tmp_path: Path) -> None:
    with torch.device("meta"):
        state = make().state_dict()
    zeros(tmp_path / "g.safetensors", {name: tensor.half() for name, tensor in state.items()})

    def load() -> None:
        with pytest.raises(CheckpointError, match="an image would take"):
            load_generator(tmp_path / "g.safetensors")

    assert peak_of(load) < MOST_MEMORY


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filter_size": 64, "lrelu_upsampling": 8, "first_stopband": 1e-9}, "taps"),
        ({"first_stopband": 1e-300, "first_cutoff": 1e-300}, "stylegan3"),
        ({"first_stopband": 4096.0, "last_stopband_rel": 1e-9, "use_radial_filters": True}, "stylegan3"),
        ({"margin_size": 256, "lrelu_upsampling": 8}, "samples a side|stylegan3"),
        ({"channel_base": 1 << 20, "channel_max": 1 << 14, "first_cutoff": 1e-6}, "missing"),
    ],
)
def test_stylegan3_filters_and_grids_are_bounded(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    made = tiny_stylegan3(resolution=8, channels=2)
    arguments = {"num_layers": 4, "first_cutoff": 1.0, "first_stopband": 2.0, "margin_size": 4}
    arguments |= {"channel_base": 16, "channel_max": 4}
    layouts.nvidia_pickle(tmp_path / "good.pkl", made, **arguments)
    assert isinstance(load_generator(tmp_path / "good.pkl"), StyleGAN3)
    layouts.nvidia_pickle(tmp_path / "bad.pkl", made, **{**arguments, **changes})

    def load() -> None:
        with pytest.raises(CheckpointError, match=words):
            load_generator(tmp_path / "bad.pkl")

    assert peak_of(load) < MOST_MEMORY


LOADED_IN_LITTLE_MEMORY = """
import resource, sys
import torch
from pathlib import Path
from resefa_core import load_generator

torch.set_num_threads(1)
load_generator("avatars")  # what is imported late is there
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (56 << 20), size + (56 << 20)))
try:
    load_generator(sys.argv[1])
except BaseException as problem:
    print(f"{type(problem).__name__}: {problem}", end="")
else:
    print("nothing was raised", end="")
"""
"""In a process of its own: one that has freed memory before has more than it is allowed."""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is for Linux")
@pytest.mark.parametrize("form", ["safetensors", "zip", "older"])
def test_a_file_larger_than_the_memory_is_refused_in_words(form: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        outline = StyleGAN2(64, 0, 64, 4, num_mapping_layers=1, channel_base=4096, channel_max=1024)
    state = OrderedDict((name, torch.zeros(tensor.shape)) for name, tensor in outline.state_dict().items())
    file = tmp_path / "g.pt"
    if form == "safetensors":
        safetensors.torch.save_file(state, file, {"arch": "stylegan2", "init_kwargs": "{}"})
    else:
        buffer = io.BytesIO()
        layouts_of = layouts.hammer_state(_filled(outline, state))
        torch.save({"generator_smooth": layouts_of}, buffer, _use_new_zipfile_serialization=form == "zip")
        file.write_bytes(buffer.getvalue())
    assert file.stat().st_size > 30 << 20
    said = subprocess.run(
        [sys.executable, "-c", LOADED_IN_LITTLE_MEMORY, str(file)], check=True, capture_output=True, text=True
    ).stdout
    assert said.startswith("CheckpointError: "), said
    assert str(file) in said


def _filled(outline: StyleGAN2, state: dict[str, Tensor]) -> StyleGAN2:
    outline.load_state_dict(state, assign=True)
    return outline


def test_converting_is_bounded_as_loading_is(tmp_path: Path) -> None:
    silent(tmp_path / "large.safetensors", 4096)
    with pytest.raises(CheckpointError, match="bytes of memory for a file of"):
        convert_generator(tmp_path / "large.safetensors", tmp_path / "out.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["large.safetensors"]
