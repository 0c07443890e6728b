"""How long does loading a generator take, and how much memory, next to `torch.load`?

Writes a StyleGAN2 with random weights in layouts that this package reads without the projects they are
from (PyTorch's zip and older format under Hammer's names, safetensors under NVIDIA's), then loads each in
fresh processes, on Linux. Memory is the growth of the largest resident size, in multiples of the size of
the file; pages of a mapped file count once they were read. `torch.load` with `weights_only=True` gives a
dictionary of tensors; `load_generator` gives a generator in float32, its values checked.

    python benchmarks/loading.py --resolution 1024 --runs 5
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import resefa_core as resefa
from resefa_core.checkpoints.conversion import convert_generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--file", type=Path, help="measure this file instead")
    parser.add_argument("--measure", nargs=2, metavar=("HOW", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure is not None:
        measure(options.measure[0], Path(options.measure[1]))
        return
    print("| file | MB | torch.load, s | ours, s | ours, first in a process, s | ours, memory / file |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        files = (
            {options.file.name: options.file} if options.file else written(Path(folder), options.resolution)
        )
        for name, file in files.items():
            plain, ours = run("torch", file, options.runs), run("ours", file, options.runs)
            theirs = "–" if plain is None else f"{plain[1]:.2f}"
            assert ours is not None
            size = file.stat().st_size
            figures = f"{theirs} | {ours[1]:.2f} | {ours[0]:.2f} | {ours[2] / size:.2f}"
            print(f"| {name} | {size / 1e6:.0f} | {figures} |", flush=True)


def written(folder: Path, resolution: int) -> dict[str, Path]:
    """The files, by what they are."""
    generator = resefa.StyleGAN2(img_resolution=resolution)
    state = hammer_names(generator)
    zipped, legacy, converted = folder / "zip.pth", folder / "legacy.pth", folder / "nvidia.safetensors"
    torch.save({"generator_smooth": state}, zipped)
    torch.save({"generator_smooth": state}, legacy, _use_new_zipfile_serialization=False)
    convert_generator(zipped, converted)
    return {"PyTorch zip": zipped, "PyTorch before 1.6": legacy, "safetensors": converted}


def hammer_names(generator: resefa.StyleGAN2) -> dict[str, torch.Tensor]:
    """The generator's tensors under Hammer's names."""
    found = {}
    for name, tensor in generator.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "mapping":
            found["w_avg" if rest == "w_avg" else f"mapping.{rest.replace('fc', 'dense')}"] = tensor
            continue
        block, rest = rest.split(".", 1)
        step = int(block[1:]).bit_length() - 3
        layer, _, kind = rest.partition(".")
        stem = f"output{step}" if layer == "torgb" else f"layer{2 * step - (layer == 'conv0')}"
        if rest == "const":
            found["synthesis.early_layer.const"] = tensor[None]
        elif kind == "noise_const":
            found[f"synthesis.{stem}.noise"] = tensor[None, None]
        else:
            found[f"synthesis.{stem}.{kind.replace('affine', 'style')}"] = tensor
    return found


def run(how: str, file: Path, runs: int) -> tuple[float, float, float] | None:
    """Medians over fresh processes: seconds of the first load and of the second, and bytes of memory."""
    results = []
    for _ in range(runs):
        command = [sys.executable, __file__, "--measure", how, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return None
        results.append([float(number) for number in done.stdout.split()])
    first, second, memory = (statistics.median(column) for column in zip(*results, strict=True))
    return first, second, memory


def measure(how: str, file: Path) -> None:
    """Load twice in this process; print the seconds of each and the memory of the first."""
    load = resefa.load_generator if how == "ours" else lambda path: torch.load(path, weights_only=True)
    if how == "ours":
        resefa.load_generator("avatars")
    seconds = []
    before = most_memory()
    for _ in range(2):
        start = time.perf_counter()
        loaded = load(file)
        seconds.append(time.perf_counter() - start)
        if len(seconds) == 1:
            memory = most_memory() - before
        del loaded
    print(*seconds, memory)


def most_memory() -> int:
    """The largest resident size of this process so far, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    main()
