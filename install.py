"""Set-up without anything but Python 3.10 or newer.

    python install.py demo          install into .venv, open the demo in a browser
    python install.py test          install into .venv, check the code and run the tests
    python install.py test --fast   the same with the tests that take no minute together
    python install.py               check what is installed here and report; changes nothing

The last is what ComfyUI-Manager calls: ComfyUI's own Python already has what `requirements.txt` names,
or its manager installs it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
LOCKS = ROOT / "locks"
QUIETLY = ("--quiet", "--disable-pip-version-check", "--no-compile")
"""How packages are installed; what of them is imported is compiled then."""
SIDE_BY_SIDE = ("-n", str(min(4, (os.cpu_count() or 1) + 1)), "--dist", "worksteal")
"""How all tests run: a process for each core and one more, as tests in a browser wait much; a gigabyte or two
of memory for each."""
OLDEST_PYTHON = (3, 10)
MODULES = {"numpy": "numpy", "pillow": "PIL", "safetensors": "safetensors", "tqdm": "tqdm", "torch": "torch"}


def main(arguments: list[str]) -> int:
    """Run one job; returns the exit code."""
    if sys.version_info < OLDEST_PYTHON:
        print(f"ReSeFa needs Python 3.10 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    jobs: dict[tuple[str, ...], Callable[[], int]] = {
        (): report,
        ("demo",): demo,
        ("test",): check,
        ("test", "--fast"): partial(check, fast=True),
    }
    job = jobs.get(tuple(arguments))
    if job is None:
        print(__doc__, file=sys.stderr)
        return 2
    return job()


def report() -> int:
    """Say which of the needed packages this Python has."""
    missing = [name for name, module in MODULES.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"ReSeFa: missing here: {', '.join(missing)}. Install with: pip install -r requirements.txt")
        if "torch" in missing:
            print("ReSeFa: torch comes with ComfyUI; elsewhere, see pytorch.org for your machine's build")
        return 1
    print("ReSeFa: everything it needs is installed")
    return 0


def demo() -> int:
    """Install, then serve the demo's page to this machine and open it, until interrupted."""
    python = environment("demo")
    print(f"Starting the demo; Ctrl+C ends it. The command line: {python} -m resefa_core --help", flush=True)
    try:
        return run(python, str(Path("gradio_app", "app.py")), "--browser")
    except KeyboardInterrupt:
        return 0


def check(fast: bool = False) -> int:
    """Install, then check format and style, and run the tests, or the fast ones; types are checked beside
    them, and told of at the end."""
    python = environment("test")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the servers and commands that tests start compile once
    codes = [run(python, "-m", "ruff", *words, ".") for words in (("format", "--check"), ("check",))]
    with tempfile.TemporaryFile() as told:
        command = [str(python), "-m", "mypy"]
        types = subprocess.Popen(command, cwd=ROOT, stdout=told, stderr=subprocess.STDOUT)
        codes.append(run(python, "-m", "pytest", *(("--fast",) if fast else SIDE_BY_SIDE)))
        codes.append(types.wait())
        told.seek(0)
        print(told.read().decode(errors="replace"), end="", flush=True)
    return max(codes)


def environment(job: str) -> Path:
    """A virtual environment with the package and what a job needs; its Python.

    Everything is checked against the hashes of `locks/JOB.txt`, except PyTorch with its CUDA libraries: which
    build is the right one depends on the machine, so its version alone is fixed, in `constraints.txt`.
    """
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    works = python.is_file() and run(python, "-m", "pip", "--version", quiet=True) == 0
    if not works:
        print(f"Making a virtual environment in {ENVIRONMENT} ...", flush=True)
        if run(Path(sys.executable), "-m", "venv", "--clear", str(ENVIRONMENT)) != 0:
            sys.exit("The venv module does not work here (on Debian and Ubuntu: apt install python3-venv)")
    print("Installing (the first time, torch takes a while) ...", flush=True)
    steps = (
        ("--require-hashes", "--no-deps", "--requirement", str(LOCKS / f"{job}.txt")),
        ("--constraint", str(ROOT / "constraints.txt"), "torch"),
        ("--no-deps", "--no-build-isolation", "--editable", str(ROOT)),
    )
    for step in steps:
        if run(python, "-m", "pip", "install", *QUIETLY, *step) != 0:
            sys.exit("Installing failed: pip's message above says why")
    return python


def run(python: Path, *arguments: str, quiet: bool = False) -> int:
    """Run Python with arguments in the project's folder; its exit code."""
    silence = subprocess.DEVNULL if quiet else None
    command = [str(python), *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, stdout=silence, stderr=silence).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
