"""The registry's archive: what nodes need and no more, and nothing that installs or starts programs."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packed import ROOT, packed_files, write_archive

FORBIDDEN_MODULES = {"subprocess", "pip", "ensurepip", "pickle", "marshal", "ctypes"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {("os", "system"), ("os", "popen"), ("torch", "load")}
MOST_BYTES = 13_500_000

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="this is not a git checkout"
)


def offences(source: str) -> list[str]:
    """What a file does that a registry refuses, by line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [(node.module or "").split(".")[0]]
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS
        ):
            found.append(f"{node.lineno}: {node.func.id}")
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id, node.attr) in FORBIDDEN_ATTRIBUTES
        ):
            found.append(f"{node.lineno}: {node.value.id}.{node.attr}")
        found += [f"{node.lineno}: {name}" for name in names if name in FORBIDDEN_MODULES]
    return found


def test_offences_are_found() -> None:
    source = (
        "import subprocess\nfrom pip import main\neval('1')\nos.system('x')\ntorch.load(f)\nre.compile('a')"
    )
    assert len(offences(source)) == 5


def test_it_holds_what_nodes_need_and_no_more() -> None:
    files = packed_files()
    for needed in ("__init__.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        assert needed in files
    tops = {name.split("/")[0] for name in files if "/" in name}
    assert tops == {"example_workflows", "locales", "nodes", "resefa_core", "web"}
    assert "web/docs/ReSeFa_LoadGAN.md" in files
    assert not [name for name in files if name.startswith("resefa_core/cli/")]
    workers = {name for name in files if name.startswith("resefa_core/workers/")}
    assert workers == {"resefa_core/workers/__init__.py", "resefa_core/workers/base.py"}


def test_nothing_in_it_installs_or_starts_programs() -> None:
    found = {name: offences((ROOT / name).read_text()) for name in packed_files() if name.endswith(".py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_it_is_small(tmp_path: Path) -> None:
    assert write_archive(tmp_path / "node.zip").stat().st_size < MOST_BYTES


def test_the_library_in_it_draws_and_edits_without_what_was_left_out(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    shutil.unpack_archive(write_archive(tmp_path / "node.zip"), pack)
    script = (
        "import resefa_core as resefa, sys\n"
        "import resefa_core.atlas, resefa_core.evaluation, resefa_core.hub, resefa_core.parts\n"
        "session = resefa.Session(resefa.load_generator('avatars'), seed=7)\n"
        "assert session.image.shape[-2:] == (64, 64)\n"
        "assert sys.modules['resefa_core'].__file__.startswith(sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", script, str(pack)], cwd=pack, check=True)


def test_the_registry_finds_the_pictures_that_it_is_told_of() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    pictures = re.findall(r'^(?:Icon|Banner) = "https://raw\.[^"]*/main/([^"]+)"$', project, re.MULTILINE)
    assert len(pictures) == 2
    assert all((ROOT / name).is_file() for name in pictures)
