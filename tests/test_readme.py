from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch

from resefa_core.cli import parser

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    image = runpy.run_path(str(tmp_path / "example.py"))["image"]
    assert isinstance(image, torch.Tensor)
    assert image.shape[:2] == (1, 3)


COMMANDS = re.findall(r"^    (resefa .*)$", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_ones_that_the_program_takes(command: str) -> None:
    parser().parse_args(shlex.split(command)[1:])


def test_pictures_and_files_that_are_linked_exist() -> None:
    root = Path(__file__).resolve().parents[1]
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    links += re.findall(r' (?:src|srcset)="([^"]+)"', README)
    assert "docs/demo-desktop-light.jpg" in links
    assert all((root / link).is_file() for link in links)
