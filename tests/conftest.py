from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import resefa_core
from resefa_core import threads

threads.settle(most=1 if "PYTEST_XDIST_WORKER" in os.environ else 2)  # most tensors here are small


FAST = (
    "files",
    "test_bounds.py",
    "test_codes.py",
    "test_directions.py",
    "test_errors.py",
    "test_latents.py",
    "test_parsing.py",
    "test_precision.py",
    "test_project.py",
    "test_regions.py",
)
"""What takes less than a minute together."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true", help="only the tests that take less than a minute together"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--fast"):
        return None
    here = Path(__file__).parent
    parts = collection_path.relative_to(here).parts if collection_path.is_relative_to(here) else ()
    return True if parts and parts[0] not in FAST and parts != ("conftest.py",) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the demo come first: they wait for a browser, while other processes compute, and would be what
    is left at the end."""
    items.sort(key=lambda item: "gradio_app" not in item.path.parts)


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
