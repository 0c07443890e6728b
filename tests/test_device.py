"""What a graphics card would refuse, found without one: `device/main_paths.py` on a simulated device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent


def test_main_paths_on_a_simulated_device() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(TESTS / "device" / "main_paths.py"),
    ]
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent), "RESEFA_TEST_DEVICE": "sim"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TESTS.parent)
    if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and "skipped" in done.stdout:
        pytest.skip("this PyTorch has no backends in Python")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
