"""Puts together what a Hugging Face Space needs: `python space/assemble.py OUT`.

OUT is made, and must be empty if it is there. Upload it with `hf upload ACCOUNT/NAME OUT --repo-type space`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FOLDERS = ("gradio_app", "resefa_core")
SUFFIXES = (".py", ".md", ".html", ".css", ".js", ".json", ".txt", ".typed", ".safetensors")


def assemble(out: Path) -> list[Path]:
    """Copy the demo, the library, the licence, and the Space's own README and requirements.

    Returns:
        The files, relative to `out`.

    Raises:
        FileExistsError: `out` is there and not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty")
    sources = {file.relative_to(ROOT): file for folder in FOLDERS for file in _files(ROOT / folder)}
    sources[Path("LICENSE")] = ROOT / "LICENSE"
    for name in ("README.md", "requirements.txt"):
        sources[Path(name)] = HERE / name
    for relative, source in sources.items():
        target = out / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return sorted(sources)


def _files(folder: Path) -> list[Path]:
    """What belongs to a package: no caches, nothing hidden."""
    return [
        file
        for file in folder.rglob("*")
        if file.suffix in SUFFIXES
        and file.is_file()
        and not any(part.startswith((".", "__pycache__")) for part in file.relative_to(folder).parts)
    ]


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    out = Path(arguments[0])
    try:
        files = assemble(out)
    except OSError as error:
        print(f"The Space can't be assembled: {error}", file=sys.stderr)
        return 1
    print(f"{len(files)} files in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
