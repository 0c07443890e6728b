"""Where the pack's files are: generators, direction files and latents, among ComfyUI's folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import folder_paths

from .core import bundled_file, bundled_sets, entry_of, kinds, resefa

GENERATORS = "stylegan"
DIRECTIONS = "stylegan_directions"
PARTS = "stylegan_parts"
ATLASES = "stylegan_atlases"
_EXTENSIONS = {
    GENERATORS: {".safetensors", ".bin", ".pkl", ".pt", ".pth"},
    DIRECTIONS: set(kinds.DIRECTION_SUFFIXES),
    PARTS: {".safetensors"},
    ATLASES: {".safetensors"},
}
_LATENTS = "gan_latents"
_LATENT_EXTENSIONS = (".safetensors", ".png", ".npz", ".npy", ".pt", ".pth")
_OUTPUT = " [output]"
_NUMBERED = "_00001_.png"
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
    return _needed(GENERATORS, "generator", name, resefa.CheckpointError)


def directions_file(name: str) -> Path:
    """The file of a direction set, or of a bundled one.

    Raises:
        DirectionFileError: there is no such file; the message says where it was looked for.
    """
    if name in [*bundled_sets()]:
        return bundled_file(name)
    return _needed(DIRECTIONS, "direction file", name, resefa.DirectionFileError)


def direction_names() -> list[str]:
    """The direction files, then the bundled sets: first those of the generator that new graphs begin with."""
    bundled = sorted(bundled_sets(), key=lambda name: name.rpartition("-")[0] != resefa.defaults.SHOWN_FIRST)
    return [*_model_names(DIRECTIONS), *bundled]


def parts_file(name: str) -> Path:
    """The file of a generator's parts.

    Raises:
        PartsFileError: there is no such file; the message says where it was looked for.
    """
    return _needed(PARTS, "file of parts", name, resefa.PartsFileError)


def parts_names() -> list[str]:
    """The files of parts, or a line that says where they belong."""
    return _model_names(PARTS) or [f"(no file in models/{PARTS})"]


def atlas_file(name: str) -> Path:
    """The file of an atlas.

    Raises:
        AtlasError: there is no such file; the message says where it was looked for.
    """
    return _needed(ATLASES, "atlas", name, resefa.AtlasError)


def atlas_names() -> list[str]:
    """The files of atlases, or a line that says where they belong."""
    return _model_names(ATLASES) or [f"(no file in models/{ATLASES})"]


def directions_folder() -> Path:
    """Where new direction files go."""
    return resefa.files.make_folder(
        Path(folder_paths.get_folder_paths(DIRECTIONS)[0]), resefa.DirectionFileError
    )


def latent_names() -> list[str]:
    """Files that may hold a latent: those of the input folder and those saved by the pack, subfolders
    included; or a line that says where they belong."""
    source = Path(folder_paths.get_input_directory())
    saved = Path(folder_paths.get_output_directory())
    names = [file.relative_to(source).as_posix() for file in _files(source)]
    names += [f"{file.relative_to(saved).as_posix()}{_OUTPUT}" for file in _files(saved / _LATENTS)]
    return names or ["(no latent in the input folder)"]


def latent_file(name: str) -> Path:
    """The file of a latent.

    Raises:
        LatentError: there is no such file in the input or the output folder.
    """
    name = resefa.files.check_text(name, "the latent's file", resefa.LatentError)
    folder = Path(folder_paths.get_input_directory())
    if name.endswith(_OUTPUT):
        folder, name = Path(folder_paths.get_output_directory()), name.removesuffix(_OUTPUT)
    file = folder / name
    if not (_is_within(file, folder) and resefa.files.is_file(file)):
        raise resefa.LatentError(f"there is no latent file {name[:120]!r} in {folder}")
    return file


def latents_folder() -> Path:
    """Where new latents go."""
    return resefa.files.make_folder(Path(folder_paths.get_output_directory()) / _LATENTS, resefa.LatentError)


def free_file(folder: Path, name: str, extension: str) -> Path:
    """A file of that name, or of the first free number after it: nothing is ever replaced.

    Args:
        folder: where to.
        name: plain, or with subfolders, which are made; with or without the extension.
        extension: with its dot.

    Raises:
        ReSeFaError: the name can't be a file's, or leads out of the folder.
    """
    stem = resefa.files.check_save_name(name, extension, resefa.ReSeFaError)
    file = folder / f"{stem}{extension}"
    if not _is_within(file, folder):
        raise resefa.ReSeFaError(f"{name[:120]!r} leads out of {folder}: choose another name")
    resefa.files.make_folder(file.parent, resefa.ReSeFaError)
    number = 2
    while file.exists() and number < _MAX_COPIES:
        file = folder / f"{stem}_{number}{extension}"
        number += 1
    return file


def numbered_images(prefix: str, count: int, height: int, width: int) -> tuple[list[Path], str]:
    """Files for images, named and numbered as ComfyUI's Save Image does it, none of them there yet.

    Args:
        prefix: plain, or with subfolders of the output folder; `%width%`, `%date%` and the like are
            replaced, and `%batch_num%` by the image's place in the batch.
        count: of images.
        height, width: of the images, in pixels.

    Returns:
        The files, and the subfolder that they are in.

    Raises:
        ReSeFaError: the prefix can't be a name, or the subfolder can't be made.
    """
    output = folder_paths.get_output_directory()
    if isinstance(prefix, str) and Path(prefix).is_absolute():
        prefix = os.path.relpath(prefix, output)
    prefix = resefa.files.check_save_name(prefix, _NUMBERED, resefa.ReSeFaError)
    if not _is_within(Path(output, prefix), Path(output)):
        raise resefa.ReSeFaError(f"{prefix[:120]!r} leads out of {output}: choose another name")
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
    except OSError as problem:
        raise resefa.ReSeFaError(resefa.files.unwritten(Path(output, prefix), problem)) from problem
    stems = [name.replace("%batch_num%", str(index)) for index in range(count)]
    while True:
        files = [Path(folder, f"{stem}_{counter + index:05}_.png") for index, stem in enumerate(stems)]
        if not any(resefa.files.is_file(file) for file in files):
            return files, subfolder
        counter += 1


def validated(find: Callable[[str], object], name: str | None) -> bool | str:
    """What ComfyUI's check of a file's name answers: True, or why it can't be found.

    Args:
        find: `generator_file`, `directions_file`, `parts_file`, `atlas_file` or `latent_file`.
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


def _needed(kind: str, what: str, name: str, error: type[resefa.ReSeFaError]) -> Path:
    """A file of a folder of models; raises `error`, with where it was looked for, if it is not there."""
    path = folder_paths.get_full_path(
        kind, resefa.files.check_text(name, f"the file in models/{kind}", error)
    )
    if path is not None:
        return Path(path)
    folders = ", ".join(folder_paths.get_folder_paths(kind))
    message = f"there is no {what} {name[:120]!r} in {folders}: put the file there and refresh (R)"
    if kind == GENERATORS:
        message = f"{message}, or choose {' or '.join(resefa.bundled_names())} as *{what}*, which comes along"
        entry = entry_of(Path(name))
        message = message if entry is None else f"{message}. The file is at {entry.url}"
    raise error(message)


def _model_names(kind: str) -> list[str]:
    """The files of a folder that are of a kind this pack reads; other packs may list others there."""
    names = folder_paths.get_filename_list(kind)
    return [name for name in names if Path(name).suffix.lower() in _EXTENSIONS[kind]]


def _files(folder: Path) -> list[Path]:
    """The files of a folder and its subfolders that may hold a latent: of its pictures only those that say
    so. Links that lead out of the folder are left out."""
    files = []
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            if file.suffix.lower() not in _LATENT_EXTENSIONS:
                continue
            if file.suffix.lower() == ".png" and not _carries_latent(file):
                continue
            if not file.is_symlink() or _is_within(file, folder):
                files.append(file)
    return sorted(files)


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
