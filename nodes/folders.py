"""Where the pack's files are: generators, direction files and latents, among ComfyUI's folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import folder_paths

from .. import resefa_core as resefa

GENERATORS = "stylegan"
DIRECTIONS = "stylegan_directions"
_EXTENSIONS = {
    GENERATORS: {".safetensors", ".bin", ".pkl", ".pt", ".pth"},
    DIRECTIONS: {".safetensors", ".npy"},
}
_LATENTS = "gan_latents"
_LATENT_EXTENSIONS = (".safetensors", ".png", ".npz", ".npy", ".pt", ".pth")
_OUTPUT = " [output]"
_MAX_COPIES = 100_000
_PNG_MARK = b"tEXt" + resefa.PNG_KEY.encode()
_PNG_HEAD = 1 << 20


def register() -> None:
    """Make ComfyUI know the folders, beside what other packs and `extra_model_paths.yaml` say of them."""
    for name, extensions in _EXTENSIONS.items():
        known = name in folder_paths.folder_names_and_paths
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))
        paths, listed = folder_paths.folder_names_and_paths[name]
        if listed or not known:
            folder_paths.folder_names_and_paths[name] = (paths, set(listed) | extensions)


def generator_names() -> list[str]:
    """The bundled generators, then the files."""
    return [*resefa.bundled_names(), *_model_names(GENERATORS)]


def generator_file(name: str) -> Path | None:
    """The file of a generator; None for a bundled one.

    Raises:
        CheckpointError: there is no such generator; the message says where it was looked for.
    """
    if name in resefa.bundled_names():
        return None
    found = _model_file(GENERATORS, name)
    if found is None:
        raise resefa.CheckpointError(_missing("generator", name, GENERATORS, resefa.bundled_names()))
    return found


def directions_file(name: str) -> Path:
    """The file of a direction set.

    Raises:
        DirectionFileError: there is no such file; the message says where it was looked for.
    """
    found = _model_file(DIRECTIONS, name)
    if found is None:
        raise resefa.DirectionFileError(_missing("direction file", name, DIRECTIONS))
    return found


def direction_names() -> list[str]:
    """The direction files, or a line that says where they belong."""
    return _model_names(DIRECTIONS) or [f"(no file in models/{DIRECTIONS})"]


def directions_folder() -> Path:
    """Where new direction files go."""
    folder = Path(folder_paths.get_folder_paths(DIRECTIONS)[0])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def latent_names() -> list[str]:
    """Files that may hold a latent: those of the input folder, and those saved by the pack; or a line
    that says where they belong."""
    source = Path(folder_paths.get_input_directory())
    saved = Path(folder_paths.get_output_directory())
    names = [file.name for file in _files(source)]
    names += [f"{_LATENTS}/{file.name}{_OUTPUT}" for file in _files(saved / _LATENTS)]
    return names or ["(no latent in the input folder)"]


def latent_file(name: str) -> Path:
    """The file of a latent.

    Raises:
        LatentError: there is no such file in the input or the output folder.
    """
    folder = Path(folder_paths.get_input_directory())
    if name.endswith(_OUTPUT):
        folder, name = Path(folder_paths.get_output_directory()), name.removesuffix(_OUTPUT)
    file = folder / name
    if not (_is_within(file, folder) and file.is_file()):
        raise resefa.LatentError(f"there is no latent file {name[:120]!r} in {folder}")
    return file


def latents_folder() -> Path:
    """Where new latents go."""
    folder = Path(folder_paths.get_output_directory()) / _LATENTS
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_file(folder: Path, name: str, extension: str) -> Path:
    """A file of that name, or of the first free number after it: nothing is ever replaced.

    Raises:
        ReSeFaError: the name is empty or leads out of the folder.
    """
    stem = name.strip().removesuffix(extension)
    file = folder / f"{stem}{extension}"
    if not stem or not _is_within(file, folder):
        raise resefa.ReSeFaError(
            f"{name[:120]!r} can't name a file in {folder}: expected a plain name, or one with subfolders"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    number = 2
    while file.exists() and number < _MAX_COPIES:
        file = folder / f"{stem}_{number}{extension}"
        number += 1
    return file


def validated(find: Callable[[str], object], name: str | None) -> bool | str:
    """What ComfyUI's check of a file's name answers: True, or why it can't be found.

    Args:
        find: `generator_file`, `directions_file` or `latent_file`.
        name: None where it comes from another node, and is not known yet.
    """
    if name is None:
        return True
    try:
        find(name)
    except resefa.ReSeFaError as error:
        return str(error)
    return True


def fingerprint(find: Callable[[str], Path | None], name: str | None) -> str:
    """What tells ComfyUI that a file's content has changed, see `validated`: its SHA-256, computed again only
    where its size or time has changed; or the name where there is no file."""
    file = None if name is None else find(name)
    if file is None:
        return name or ""
    stat = file.stat()
    return _hash(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash(file: Path, size: int, time: int) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _model_file(kind: str, name: str) -> Path | None:
    path = folder_paths.get_full_path(kind, name)
    return None if path is None else Path(path)


def _missing(what: str, name: str, kind: str, bundled: list[str] | None = None) -> str:
    folders = ", ".join(folder_paths.get_folder_paths(kind))
    message = f"there is no {what} {name[:120]!r} in {folders}"
    return (
        message if bundled is None else f"{message}, and none of that name is bundled ({', '.join(bundled)})"
    )


def _model_names(kind: str) -> list[str]:
    """The files of a folder that are of a kind this pack reads; other packs may list others there."""
    names = folder_paths.get_filename_list(kind)
    return [name for name in names if Path(name).suffix.lower() in _EXTENSIONS[kind]]


def _files(folder: Path) -> list[Path]:
    """The files of a folder, its subfolders left out, that may hold a latent: of its pictures only those
    that say so."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        files = sorted(Path(entry.path) for entry in entries if entry.is_file())
    files = [file for file in files if file.suffix.lower() in _LATENT_EXTENSIONS]
    return [file for file in files if file.suffix.lower() != ".png" or _carries_latent(file)]


def _carries_latent(file: Path) -> bool:
    try:
        stat = file.stat()
        return _names_latent(file, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=65536)
def _names_latent(file: Path, size: int, time: int) -> bool:
    with file.open("rb") as stream:
        return _PNG_MARK in stream.read(_PNG_HEAD)


def _is_within(file: Path, folder: Path) -> bool:
    try:
        return file.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        return False
