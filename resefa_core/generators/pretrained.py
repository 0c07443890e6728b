"""What the Hub's mixin gives a model, under the same names, without needing its library for anything else."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch

from ..errors import CheckpointError

if TYPE_CHECKING:
    from .base import Generator

WEIGHTS_FILE = "model.safetensors"
_Made = TypeVar("_Made", bound="Pretrained")


class Pretrained:
    """`from_pretrained`, `save_pretrained` and `push_to_hub`; they need `huggingface_hub` where they talk to
    the Hub."""

    @classmethod
    def from_pretrained(
        cls: type[_Made],
        pretrained_model_name_or_path: str | PathLike[str],
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> _Made:
        """A generator of a repository of the Hugging Face Hub, or of a file or a folder of this machine.

        Args:
            pretrained_model_name_or_path: `owner/name` or `owner/name/file`, or a path. What is there on this
                machine goes first.
            force_download: fetch what was fetched before again.
            token: for private repositories; the one that this machine has for None or True.
            cache_dir: where to keep what is fetched; the Hub's own cache for None.
            local_files_only: fetch nothing.
            revision: a branch, a tag or a commit.
            device, dtype: as `load_generator` takes them.

        Raises:
            CheckpointError: there is none, or it is not a generator of this class.
            HubError: the Hub does not answer, or has no such repository.
        """
        from ..checkpoints import load_generator
        from ..checkpoints.remote import SCHEME, fetch

        name = Path(pretrained_model_name_or_path)
        if not name.exists():
            name = fetch(
                SCHEME + str(pretrained_model_name_or_path).removeprefix(SCHEME),
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        generator = load_generator(name, device, dtype)
        if not isinstance(generator, cls):
            raise CheckpointError(
                f"{pretrained_model_name_or_path} is a {type(generator).__name__}, not a {cls.__name__}: use "
                f"{type(generator).__name__}.from_pretrained, or load_generator"
            )
        return generator

    def save_pretrained(self, save_directory: str | PathLike[str]) -> None:
        """Write the generator into a folder, as the file that `from_pretrained` reads; one that is there is
        replaced.

        Raises:
            CheckpointError: it can't be written.
        """
        from ..files import make_folder

        folder = make_folder(Path(save_directory), CheckpointError)
        cast("Generator", self).save(folder / WEIGHTS_FILE, overwrite=True)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "",
        private: bool = False,
        token: str | None = None,
        license: str = "other",
    ) -> str:
        """Publish the generator in a repository of your account, with a model card.

        A repository of that name is updated if it holds a generator from here, or nothing yet; others are
        left alone.

        Args:
            repo_id: its name, with or without the account.
            commit_message: what the Hub's history says of it.
            private: make a new repository private; one that is there must be so already.
            token: of the account, with the right to write; the one that this machine has for None.
            license: of the weights, as the Hub writes it, such as `cc-by-4.0`.

        Returns:
            The repository's address.

        Raises:
            HubError: the Hub does not answer, or it is not allowed.
            CheckpointError: the generator can't be written.
        """
        from ..optional import the_hub

        generator = cast("Generator", self)
        published = the_hub().publish_generator(
            generator, repo_id, token, private=private, license=license, message=commit_message
        )
        return str(published.url)
