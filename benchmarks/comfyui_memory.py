"""What does the pack's node hold of ComfyUI's memory, and does ComfyUI's "free" give it back?

    COMFYUI_DIR=/path/to/ComfyUI python benchmarks/comfyui_memory.py [--seeds N] [--layers LIST]

Regions of N seeds are factorized in a real server, one after another. Then `POST /free` is
sent, as the buttons "Unload Models" and "Free model and node cache" do. Printed is its resident memory at the
start, at every tenth seed, and after each kind of freeing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "comfyui"))

from comfy_server import DIRECTORY, ComfyUI, graph  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--layers", default="0-9", help="fewer are quicker and smaller")
    options = parser.parse_args()
    if DIRECTORY is None:
        parser.error("COMFYUI_DIR names no ComfyUI")
    factorize = {"layer_list": options.layers, "num_directions": 1}
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyUI(Path(folder) / "comfyui")
        try:
            server.run(graph())
            print(f"at the start: {server.resident_mb()} MB")
            for seed in range(options.seeds):
                server.run(graph(sample={"seed": seed}, factorize=factorize))
                if (seed + 1) % 10 == 0:
                    print(f"after {seed + 1} seeds: {server.resident_mb()} MB", flush=True)
            for what in ({"unload_models": True}, {"free_memory": True}):
                server.free(what)
                print(f"after {next(iter(what))}: {server.resident_mb()} MB")
        finally:
            server.stop()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
