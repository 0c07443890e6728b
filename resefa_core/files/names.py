"""What a file that this package writes may be called, and what text may name a file at all."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from ..errors import ReSeFaError

MAX_NAME_BYTES = 255
_MAX_PATH = 4096
_NOT_IN_NAMES = set("<>" + (':"|?*' if os.name == "nt" else ""))
_NOT_LETTERS = {"Cc", "Cs", "Zl", "Zp"}


def check_text(text: object, what: str, error: type[ReSeFaError]) -> str:
    """Text that may name a file that is there; `what` is for the error: "the latent's file"."""
    if not isinstance(text, str):
        raise error(f"{what} is {type(text).__name__}, not text: choose a file")
    if len(text) > _MAX_PATH or "\0" in text:
        raise error(f"{what} {text[:80]!r} ({len(text)} characters) names no file: choose one")
    return text


def is_file(path: str | Path) -> bool:
    """Whether a path leads to a file; text that can't be a path does not."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def check_save_name(text: object, extension: str, error: type[ReSeFaError]) -> str:
    """The name that a graph or a browser gives to a new file: plain, or with subfolders before it.

    Args:
        text: the name, with or without its extension.
        extension: of the file to write, with its dot.
        error: the exception to raise.

    Returns:
        The name without its extension.
    """
    if not isinstance(text, str):
        raise error(f"{type(text).__name__} was given to name a file: expected text")
    name = text.strip().removesuffix(extension)
    parts = name.replace(os.sep, "/").split("/")
    if parts[0].startswith("~") and (len(parts) > 1 or parts[0] == "~"):
        raise error(f"{name[:80]!r} can't name a file: ~ is not replaced here; expected a plain name")
    if parts[0] == "" and len(parts) > 1:
        raise error(f"{name[:80]!r} can't name a file: expected a plain name, or one with subfolders")
    for part in parts[:-1]:
        _check_part(part, error)
    _check_part(parts[-1], error, extension)
    return name


def check_written(file: Path, error: type[ReSeFaError]) -> None:
    """Refuse a path at which no file should be written, whoever names it."""
    if file.parts[:1] == ("~",):
        raise error(f"{str(file)[:200]!r}: ~ was not replaced by your home folder: write the folder out")
    _check_part(file.name, error)


def _check_part(name: str, error: type[ReSeFaError], extension: str = "") -> None:
    odd = [letter for letter in name if unicodedata.category(letter) in _NOT_LETTERS]
    wrong = [letter for letter in name if letter in _NOT_IN_NAMES]
    size = len((name + extension).encode("utf-8", "surrogatepass"))
    if not name.strip():
        why = "it is empty"
    elif not name.strip(". "):
        why = "it has nothing but dots"
    elif odd:
        why = f"it has {odd[0]!r}: line breaks, control characters and bytes that are not UTF-8 are refused"
    elif wrong:
        why = f"it has {wrong[0]!r}"
    elif size > MAX_NAME_BYTES:
        why = f"it has {size} bytes, more than the {MAX_NAME_BYTES} that a file's name may have"
    else:
        return
    raise error(f"{name[:80]!r} can't name a file: {why}; choose another name")
