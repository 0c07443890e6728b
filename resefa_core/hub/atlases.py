"""Atlases in repositories of the Hub: publish and fetch them."""

from __future__ import annotations

from pathlib import Path
from string import Template

from huggingface_hub import ModelCardData
from PIL import Image

from ..atlas import Atlas, Entry
from .card import PREVIEW_FILE, code, described_tags, ranges
from .repositories import LICENSES, Kind, Published, load_file, put_file

ATLAS_FILE = "atlas.safetensors"
ATLASES = Kind("resefa-atlas", "atlas", (PREVIEW_FILE,))

_TEMPLATE = Path(__file__).with_name("atlas_card.md")
_NAMES = 3


def publish_atlas(
    atlas: Atlas,
    name: str,
    token: str | None = None,
    *,
    sheet: Image.Image | None = None,
    private: bool = False,
    license: str = LICENSES[0],
) -> Published:
    """Publish an atlas in a repository of the token's account, as one commit: the file, a card, a picture.

    Args:
        atlas: of a generator.
        name: of the repository, with or without the account.
        token: of whoever publishes, with the right to write; the one that this machine has for None.
        sheet: a picture of what its directions do.
        private: make a new repository private; one that is there must be so already.
        license: one of `LICENSES`.

    Raises:
        HubError: the Hub does not answer, or it is not allowed.
    """
    return put_file(
        atlas.save,
        ATLAS_FILE,
        name,
        token,
        ATLASES,
        lambda repo_id, preview: _card(atlas, repo_id, license, preview),
        sheet=sheet,
        private=private,
        license=license,
    )


def load_atlas(repo_id: str, filename: str = "", token: str | None = None) -> Atlas:
    """An atlas of a repository; it is a stranger's, and checked as `Atlas.load` checks a file.

    Args:
        repo_id: `author/name`; or an address, `hf://author/name` or `hf://author/name/file`.
        filename: the one that `publish_atlas` writes for "".
        token: for a private repository.

    Raises:
        HubError: it can't be fetched.
        AtlasError: what was fetched is no atlas.
    """
    return load_file(Atlas.load, repo_id, filename, ATLAS_FILE, token)


def _card(atlas: Atlas, repo_id: str, license: str, preview: bool) -> str:
    generator = atlas.generator
    metadata = ModelCardData(
        license=license, library_name="resefa", tags=described_tags(ATLASES.tag, generator)
    )
    body = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=code(f"Atlas of {generator.name or ''}"),
        preview=f"![What its directions do]({PREVIEW_FILE})\n\n" if preview else "",
        generator=code(generator.name or ""),
        architecture=code(generator.architecture or ""),
        fingerprint=code(generator.fingerprint or ""),
        space=code(atlas.space),
        layers=code(ranges(atlas.layers)),
        images=atlas.images,
        seeds=code(atlas.seeds),
        regions="\n".join(_row(entry, atlas.images) for entry in atlas.entries),
        file=ATLAS_FILE,
        repo=repo_id,
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}"


def _row(entry: Entry, images: int) -> str:
    joint = () if entry.joint is None else entry.joint.directions.names
    besides = 0 if entry.missed is None else len(entry.missed)
    names = ", ".join(code(name) for name in joint[:_NAMES])
    return (
        f"| {code(entry.name)} | {entry.images / max(images, 1):.0%} | {len(joint)} | {names} | {besides} |"
    )
