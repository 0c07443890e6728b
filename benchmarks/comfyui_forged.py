"""Do forged prompts harm a ComfyUI? Graphs with damaged inputs and links, sent to a real server.

    COMFYUI_DIR=/path/to/ComfyUI python benchmarks/comfyui_forged.py [--prompts N] [--seed N] [--report FILE]

Every prompt must end: refused, failed with a printable error of the pack, or done. The worker
must run whole graphs afterwards, and the log must hold no traceback of the pack's that isn't one of its own
errors. The exit status is 1 if anything else happened; `--report` names a file for what did.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "comfyui"))

from comfy_server import DIRECTORY, ComfyUI  # noqa: E402
from forged_graphs import Findings, Forger, foreign_tracebacks, plant, whole  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    if DIRECTORY is None:
        parser.error("COMFYUI_DIR names no ComfyUI")
    findings = Findings()
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyUI(Path(folder) / "comfyui")
        try:
            plant(server)
            server.run(whole())
            start, size = time.monotonic(), len(server.log())
            forger = Forger(server.get("/object_info"), options.seed)
            for index in range(options.prompts):
                findings.take(server, forger.prompt())
                if (index + 1) % 100 == 0:
                    print(f"{index + 1}: {dict(findings.ends)}, {len(findings.faults)} faults", flush=True)
            seconds, size = time.monotonic() - start, len(server.log()) - size
            server.run(whole())
            traces = foreign_tracebacks(server.log())
        finally:
            log = server.log()
            server.stop()
    print(f"{options.prompts} prompts in {seconds:.0f} s: {dict(findings.ends)}")
    print(f"log: {size / options.prompts:.0f} bytes a prompt; the worker runs afterwards")
    print(f"{len(findings.faults)} faults, {len(traces)} foreign tracebacks in the log")
    if options.report:
        texts = [f"{words}\n{json.dumps(prompt)[:4000]}" for words, prompt in findings.faults]
        options.report.write_text("\n\n".join([*texts, *traces, log]), errors="backslashreplace")
    return 1 if findings.faults or traces else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
