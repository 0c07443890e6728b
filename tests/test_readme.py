"""What the README and the pages of `docs/` say can be done as it stands."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch

from resefa_core.cli import parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (
        ROOT / "README.md",
        *sorted(ROOT.glob("*/*.md")),
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
    )
}
EXAMPLES = {
    name: "\n".join(found)
    for name, page in PAGES.items()
    if name in ("README.md", "docs/python.md")
    and (found := re.findall(r"```python\n(.*?)```", page, re.DOTALL))
}


def test_there_are_examples() -> None:
    assert set(EXAMPLES) == {"README.md", "docs/python.md"}


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_python_examples_run_as_they_stand(page: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(EXAMPLES[page], encoding="utf-8")
    image = runpy.run_path(str(tmp_path / "example.py"))["image"]
    assert isinstance(image, torch.Tensor)
    assert image.shape[:2] == (1, 3)


COMMANDS = [
    command for page in PAGES.values() for command in re.findall(r"^    (resefa .*)$", page, re.MULTILINE)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_ones_that_the_program_takes(command: str) -> None:
    parser().parse_args(shlex.split(command, comments=True)[1:])


@pytest.mark.parametrize("name", PAGES)
def test_pictures_and_files_that_are_linked_exist(name: str) -> None:
    folder, page = (ROOT / name).parent, PAGES[name]
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)[)#]", page)
    links += re.findall(r' (?:src|srcset)="([^"]+)"', page)
    assert all((folder / link).exists() for link in links), [
        link for link in links if not (folder / link).exists()
    ]
