"""Generators in repositories of the Hugging Face Hub, fetched with its client library into its cache."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from .._version import __version__
from ..errors import CheckpointError, HubError
from ..optional import the_hub
from .biggan_deep import CONFIG, WEIGHTS
from .container import MAX_BYTES

SCHEME = "hf://"
"""What addresses in the Hub begin with."""
_ADDRESS = re.compile(SCHEME + r"([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w.-]{1,96}))?(?:/([^\\?#]{1,300}))?")
_SUFFIXES = (".safetensors", ".pkl", ".pt", ".pth", ".bin")


def fetch(
    address: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """The file of a generator in a repository, from the Hub or from the cache of what was fetched before.

    Args:
        address: `hf://owner/name` where the repository has one such file, else `hf://owner/name/file`; a
            version goes behind the name, `hf://owner/name@version`. Private repositories take the token that
            this machine has.
        revision: a version, instead of the address's.
        token, cache_dir, force_download: as the client library takes them.
        local_files_only: ask the cache alone, for a file of the names that the Hub's libraries give weights.

    Raises:
        CheckpointError: no such address, the client library is not installed, there is no such file or more
            than one, or it is larger than 16 GB, or does not arrive.
        HubError: the Hub does not answer, or has no such repository.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or ".." in address:
        raise CheckpointError(f"{address[:200]}: expected hf://owner/name or hf://owner/name/file")
    try:
        client = the_hub().client
    except HubError as missing:
        raise CheckpointError(f"{address[:200]}: {missing}, or fetch the file with a browser") from missing
    from huggingface_hub import HfApi, try_to_load_from_cache

    repository, version, file = match.groups()
    version = revision or version
    if local_files_only:
        for name in [file] if file else WEIGHTS:
            found = try_to_load_from_cache(repository, name, cache_dir, version)
            if isinstance(found, str):
                return Path(found)
        raise CheckpointError(f"{address}: not fetched yet, and only what was is to be used")
    api = HfApi(client.endpoint(), token, library_name="resefa", library_version=__version__)
    with client.talking():
        about = api.model_info(repository, revision=version, files_metadata=True)
    files = {each.rfilename: each.size for each in about.siblings or []}
    chosen = _chosen(address, list(files), file)
    beside = str(PurePosixPath(chosen).with_name(CONFIG))
    wanted = [chosen, beside] if beside in files and PurePosixPath(chosen).name in WEIGHTS else [chosen]
    for each in wanted:
        size = files[each]
        if size is None or size > MAX_BYTES:
            raise CheckpointError(f"{address}: {each} has {size} bytes: expected at most {MAX_BYTES}")
    try:
        paths = [
            api.hf_hub_download(
                repository, each, revision=about.sha, cache_dir=cache_dir, force_download=force_download
            )
            for each in wanted
        ]
    except Exception as problem:  # the client library raises many kinds
        raise CheckpointError(f"{address}: can't be fetched: {str(problem)[:300]}") from problem
    return Path(paths[0])


def _chosen(address: str, files: list[str], file: str | None) -> str:
    """The file that was asked for, or the only one that may be a generator."""
    if file is not None:
        if file not in files:
            raise CheckpointError(f"{address}: the repository has no such file")
        return file
    found = [name for name in files if name in WEIGHTS][:1] or [
        name for name in files if name.lower().endswith(_SUFFIXES)
    ]
    if len(found) != 1:
        named = ", ".join(found[:6]) or "none"
        raise CheckpointError(
            f"{address}: which of the repository's files is the generator? There is {named}: name one, "
            "hf://owner/name/file"
        )
    return found[0]
