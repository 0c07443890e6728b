"""Starts the Space in a clean environment, as Hugging Face does: `python space/check.py [--python PYTHON]`.

Makes a virtual environment of PYTHON (this one by default), installs what the Space declares and nothing else
(its requirements, and Gradio in the version of its README), starts the assembled demo and asks it for a
picture, directions and an edit. PyTorch comes as pip gives it: gigabytes, which are removed at the end.
Exit codes: 0 the demo answered and its log holds no traceback; 1 not so, with the reason on standard error.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "gradio_app"))

import serving  # noqa: E402
from assemble import assemble  # noqa: E402

ON_A_SPACE = {"SYSTEM": "spaces", "SPACE_ID": "ada/resefa"}


def check(python: Path, folder: Path) -> None:
    """Install, start and ask, all within an empty folder; prints the versions and the answer.

    Raises:
        subprocess.CalledProcessError, OSError: a step failed.
        RuntimeError: the demo did not start, or there is a traceback in its log.
    """
    space, environment = folder / "space", folder / "environment"
    assemble(space)
    (gradio,) = re.findall(
        r"^sdk_version: (\S+)$", (space / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    subprocess.run([str(python), "-m", "venv", str(environment)], check=True)
    own = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(own), "-m", "pip", "--disable-pip-version-check"]
    declared = ["--requirement", str(space / "requirements.txt"), f"gradio[oauth,mcp]=={gradio}"]
    subprocess.run([*pip, "install", "--quiet", *declared], check=True)
    subprocess.run([str(own), "--version"], check=True)
    subprocess.run([*pip, "freeze"], check=True)
    variables = {**serving.inherited(), **ON_A_SPACE, "PYTHONUNBUFFERED": "1"}
    with serving.Server(environment=variables, root=space, python=own) as server:
        asked = subprocess.run([str(own), str(ROOT / "space" / "ask.py"), server.url], check=False)
        log = server.log.read_text(encoding="utf-8", errors="replace")
    if asked.returncode != 0 or "Traceback" in log:
        raise RuntimeError(f"the demo's log:\n{log}")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="space/check.py", description="Start the Space in a clean environment."
    )
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="this one by default")
    options = parser.parse_args(arguments)
    try:
        with TemporaryDirectory(prefix="resefa-space-") as folder:
            check(options.python, Path(folder))
    except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
        print(f"The Space does not run with {options.python}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
