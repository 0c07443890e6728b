"""The product calls nothing that runs what a file holds, anywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = sorted(
    file
    for part in ("resefa_core", "nodes", "gradio_app", "space")
    for file in (ROOT / part).rglob("*.py")
    if "__pycache__" not in file.parts
)
RUNS = {
    "eval",
    "exec",
    "compile",
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.loads",
    "joblib.load",
    "shelve.open",
}
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
TALK = {"pool.py", "cluster.py"}
"""In `resefa_core/workers`: what processes that this program started send each other, which is no file."""


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def runs_of(text: str) -> Iterator[str]:
    """Calls and imports in a program that can run what a file holds."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in RUNS:
                yield name
            if name.endswith(("np.load", "numpy.load")) and not any(
                word.arg == "allow_pickle" and isinstance(word.value, ast.Constant) and not word.value.value
                for word in node.keywords
            ):
                yield f"{name} without allow_pickle=False"
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            if module in MODULES or {f"{module}.{name.name}" for name in node.names} & RUNS:
                yield module


@pytest.mark.parametrize("file", PRODUCT, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_product_calls_nothing_that_runs_what_a_file_holds(file: Path) -> None:
    found = set(runs_of(file.read_text("utf-8")))
    talks = file.parent == ROOT / "resefa_core" / "workers" and file.name in TALK
    assert found == ({"pickle", "pickle.loads"} if talks else set())


def test_such_calls_would_be_found() -> None:
    for text in (
        "import pickle",
        "from pickle import loads",
        "from torch import load",
        "torch.load(f, weights_only=True)",
        "np.load(f)",
        "numpy.load(f, allow_pickle=True)",
        "eval('1')",
        "torch.jit.load(f)",
    ):
        assert list(runs_of(text))
    assert list(runs_of("np.load(f, allow_pickle=False); model.eval(); re.compile('x')")) == []
