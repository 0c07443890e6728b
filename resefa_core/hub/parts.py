"""Parts of generators in repositories of the Hub: publish and fetch them."""

from __future__ import annotations

from pathlib import Path
from string import Template

from huggingface_hub import ModelCardData
from PIL import Image

from ..parts import Parts
from .card import PREVIEW_FILE, code, described_tags
from .repositories import LICENSES, Kind, Published, load_file, put_file

PARTS_FILE = "parts.safetensors"
SETS_OF_PARTS = Kind("resefa-parts", "set of parts", (PREVIEW_FILE,))

_TEMPLATE = Path(__file__).with_name("parts_card.md")


def publish_parts(
    parts: Parts,
    name: str,
    token: str | None = None,
    *,
    sheet: Image.Image | None = None,
    private: bool = False,
    license: str = LICENSES[0],
) -> Published:
    """Publish parts in a repository of the token's account, as one commit: the file, a card, a picture.

    Args:
        parts: of a generator, with the names that they are to have.
        name: of the repository, with or without the account.
        token: of whoever publishes, with the right to write; the one that this machine has for None.
        sheet: a picture of what each part is.
        private: make a new repository private; one that is there must be so already.
        license: one of `LICENSES`.

    Raises:
        HubError: the Hub does not answer, or it is not allowed.
    """
    return put_file(
        parts.save,
        PARTS_FILE,
        name,
        token,
        SETS_OF_PARTS,
        lambda repo_id, preview: _card(parts, repo_id, license, preview),
        sheet=sheet,
        private=private,
        license=license,
    )


def load_parts(repo_id: str, filename: str = "", token: str | None = None) -> Parts:
    """Parts of a repository; they are a stranger's, and checked as `Parts.load` checks a file.

    Args:
        repo_id: `author/name`; or an address, `hf://author/name` or `hf://author/name/file`.
        filename: the one that `publish_parts` writes for "".
        token: for a private repository.

    Raises:
        HubError: they can't be fetched.
        PartsFileError: what was fetched is no file of parts.
    """
    return load_file(Parts.load, repo_id, filename, PARTS_FILE, token)


def _card(parts: Parts, repo_id: str, license: str, preview: bool) -> str:
    metadata = ModelCardData(
        license=license, library_name="resefa", tags=described_tags(SETS_OF_PARTS.tag, parts.generator)
    )
    body = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=code(f"Parts of {parts.generator.name or ''}"),
        preview=f"![What each part is]({PREVIEW_FILE})\n\n" if preview else "",
        names=code(", ".join(parts.part_names)),
        generator=code(parts.generator.name or ""),
        architecture=code(parts.generator.architecture or ""),
        fingerprint=code(parts.generator.fingerprint or ""),
        space=code(parts.space),
        clusters=len(parts.names),
        origin=code(parts.origin),
        file=PARTS_FILE,
        repo=repo_id,
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}"
