"""Generators in repositories of the Hub: publish them. `Generator.from_pretrained` fetches them."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from huggingface_hub import ModelCardData

from ..errors import HubError
from ..generators import Generator
from ..generators.pretrained import WEIGHTS_FILE
from .card import code, one_line
from .client import own_token
from .repositories import Kind, Published, put

GENERATORS = Kind("resefa-generator", "generator")

_TEMPLATE = Path(__file__).with_name("generator_card.md")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")


def publish_generator(
    generator: Generator,
    name: str,
    token: str | None = None,
    *,
    private: bool = False,
    license: str = "other",
    message: str = "",
) -> Published:
    """Publish a generator in a repository of the token's account, as one commit: the file and a model card.

    Args:
        generator: of an architecture that is registered.
        name: of the repository, with or without the account.
        token: of whoever publishes, with the right to write; the one that this machine has for None.
        private: make a new repository private; one that is there must be so already.
        license: of the weights, as the Hub writes it.
        message: what the Hub's history says.

    Raises:
        HubError: the Hub does not answer, or it is not allowed.
        CheckpointError: the generator can't be saved.
    """
    token = own_token(token)
    if not _LICENSE.fullmatch(license):
        raise HubError(
            f"the licence {one_line(license, 40)!r} is not written as the Hub does: e.g. cc-by-4.0"
        )
    with TemporaryDirectory() as folder:
        file = Path(folder) / WEIGHTS_FILE
        generator.save(file)
        return put(
            name,
            token,
            GENERATORS,
            lambda repo_id: {"README.md": _card(generator, repo_id, license).encode(), WEIGHTS_FILE: file},
            private=private,
            message=one_line(message, 200),
        )


def _card(generator: Generator, repo_id: str, license: str) -> str:
    metadata = ModelCardData(
        license=license,
        library_name="resefa",
        pipeline_tag="unconditional-image-generation",
        tags=[GENERATORS.tag, "resefa", "gan", generator.architecture],
    )
    body = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=code(generator.name or generator.architecture),
        architecture=code(generator.architecture),
        side=generator.resolution,
        layers=generator.num_layers,
        dimension=generator.latent_dim,
        classes=generator.num_classes or "none",
        spaces=", ".join(generator.spaces),
        fingerprint=code(generator.fingerprint),
        file=WEIGHTS_FILE,
        repo=repo_id,
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}"
