"""Translations of the nodes: every language has every text, in the form that the interface reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ["de", "en", "es", "fr", "ja", "ko", "zh"]
SCHEMAS = json.loads((ROOT / "tests" / "comfyui" / "schemas.json").read_text())
_SYNTAX = re.compile(r"[{}|@]")
"""What the interface's message format reads as something else than text."""


def texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All texts of a file, and where they are."""
    for key, value in node.items():
        if isinstance(value, str):
            yield f"{path}/{key}", value
        else:
            yield from texts(value, f"{path}/{key}")


def read(language: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))
    return found


def test_there_is_a_folder_for_each_language_and_no_other() -> None:
    assert sorted(folder.name for folder in (ROOT / "locales").iterdir()) == LANGUAGES


def test_english_has_every_node_input_and_output() -> None:
    english = read("en")
    assert set(english) == set(SCHEMAS)
    for name, schema in SCHEMAS.items():
        assert set(english[name]["inputs"]) == {*schema["required"], *schema["optional"]}, name
        assert len(english[name]["outputs"]) == len(schema["output"]), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text_and_none_is_empty(language: str) -> None:
    expected = [path for path, _ in texts(read("en"))]
    found = dict(texts(read(language)))
    assert list(found) == expected
    for path, text in found.items():
        assert text.strip() == text != "", path
        assert not _SYNTAX.search(text), path


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_texts_are_translated_and_say_the_same_numbers(language: str) -> None:
    english, found = dict(texts(read("en"))), dict(texts(read(language)))
    same = [path for path, text in found.items() if path.endswith("tooltip") and text == english[path]]
    assert same == []
    for path, text in found.items():
        for literal in re.findall(r"hf://\S+|models/\w+|output/\w+|\d\.\d+", english[path]):
            assert literal.rstrip(".,") in text, path
