from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import resefa_core
from resefa_core import threads

threads.settle(most=2)  # most tensors here are small


@pytest.fixture(scope="session")
def avatars() -> resefa_core.Generator:
    return resefa_core.load_generator("avatars")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB that has 8 left."""
    folder = tmp_path / "full-disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    (folder / "filling").write_bytes(bytes(56 << 10))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
