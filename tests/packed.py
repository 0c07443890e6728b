"""What the ComfyUI registry's archive of the pack holds: the files of the repository, without those that
`.comfyignore` names."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def packed_files() -> list[str]:
    """The files of the archive, from those that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    lines = (ROOT / ".comfyignore").read_text().split()
    assert all(line.startswith("/") for line in lines), (
        "other patterns hold in every folder, as in .gitignore"
    )
    ignored = [line.removeprefix("/") for line in lines]
    folders = tuple(line for line in ignored if line.endswith("/"))
    files = sorted({name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})
    return [name for name in files if name not in ignored and not name.startswith(folders)]


def write_archive(path: Path) -> Path:
    """The archive as the registry's tool makes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in packed_files():
            archive.write(ROOT / name, name)
    return path
