"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import resefa_core

MODULES = [
    module.name
    for module in pkgutil.walk_packages(resefa_core.__path__, "resefa_core.")
    if not module.name.endswith("__main__")
]
DEMO = [f"gradio_app.{name}" for name in ("files", "languages", "links", "methods", "presence")]


def test_no_module_of_the_demo_with_examples_is_left_out() -> None:
    folder = Path(__file__).parents[1] / "gradio_app"
    with_examples = [file.stem for file in folder.glob("*.py") if ">>> " in file.read_text(encoding="utf-8")]
    assert sorted(f"gradio_app.{name}" for name in with_examples) == DEMO


@pytest.mark.parametrize("name", [*MODULES, *DEMO])
def test_examples(name: str) -> None:
    if name in DEMO:
        pytest.importorskip("gradio")
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
