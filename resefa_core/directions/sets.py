"""Direction sets and their file format: safetensors, so that loading one can run nothing."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .._version import __version__
from ..bounds import CHANGE, CODE, STEP, STRENGTH, TRUNCATION, check_values, number, whole
from ..errors import DirectionFileError, LatentError, ParameterError, RegionError
from ..files import DAMAGE, pack_tensors, parse_tensors, write_bytes, write_tensors
from ..files.contents import Contents
from ..files.reading import reason
from ..generators import Generator
from ..kinds import (
    COMPONENT_ORDER,
    DIRECTIONS_KEY,
    MAX_BYTES,
    OURS,
    Kind,
    kind_of_metadata,
    lengths,
    open_small,
)
from ..regions import Region
from ..spaces import channel_sizes, space_named, vector_shape
from .imported import read_vectors, settle
from .objective import PAPER, Objective
from .recipes import Recipe

FORMAT_VERSION = "1"
MAX_FILE_BYTES = MAX_BYTES
MAX_DIRECTIONS = 512
MAX_NAME = 200
MAX_TEXT = 4096
THUMBNAIL_SIDE = 256
CONFINED = "resefa-confined"
"""The method whose directions are for edits that are confined to the region."""

_ROUNDING = 1e-5
"""How far from 1 the length of a unit vector may be, which is left as it is."""
_UNIT_RANGE = (-10.0, 10.0)
"""Strengths for vectors of unit length, as the paper's code applies its own."""
_OWN_RANGE = (-3.0, 3.0)
"""Strengths for vectors whose length says how far to move, as GANSpace applies its standard deviations."""

_MAX_LAYERS = 1000
_MAX_CHANNELS = 1 << 22
_UNPLAIN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_GENERATOR_TYPES = {
    "architecture": str,
    "resolution": int,
    "fingerprint": str,
    "name": str,
    "has_mapping": bool,
    "height": int,
    "width": int,
}
METHOD_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_IMPLEMENTATION = "https://github.com/zhujiapeng/resefa"


@dataclass(frozen=True, eq=False)
class Directions:
    """k directions of a latent space.

    Attributes:
        vectors: unit vectors, float32: `(k, D)` in w and z, `(k, len(layers), D)` in w+ and z+,
            `(k, S)` in s, S the style channels of the layers one after the other.
        eigenvalues: the generalized Rayleigh quotients, `(k,)`.
        inside, outside: mean squared change per pixel and channel inside and outside the region, for
            a move of length 1, to first order, `(k,)`.
        steps: the distance that strength 1 moves, `(k,)`.
        steps_confined: the same for an edit that is fully confined to the region, or None.
        names: one name for each.
        space, layers: where the directions live and the layers that they move.
        layer_sizes: in s, the number of style channels of every layer of the generator.
        region: the region they were found for, or None.
        generator: what is known of the generator: `architecture`, `resolution`, `fingerprint`, `name`.
        regularization, damping: λ, and the number `a` that it came to (Eq. 10).
        objective: what of a change counted when they were found; the paper's in files that don't say.
        truncation, seeds, num_samples: of the images they were found on.
        base_codes: `(L, D)`, the codes of that image if it was one.
        strength_range: the strengths worth offering.
        title, description, author, license, tags, date: for people; plain text.
        thumbnail: a picture of at most 256 x 256, PNG, or None.
        method: what found them, a key of `METHODS`, or `imported`.
        recipe: how to find them again, where that is known; files do not keep it.
    """

    vectors: Tensor
    eigenvalues: Tensor
    inside: Tensor
    outside: Tensor
    steps: Tensor
    space: str
    layers: tuple[int, ...]
    steps_confined: Tensor | None = None
    names: tuple[str, ...] = ()
    layer_sizes: tuple[int, ...] = ()
    region: Region | None = None
    generator: Mapping[str, Any] = field(default_factory=dict)
    regularization: float = 0.0
    damping: float = 0.0
    objective: Objective = PAPER
    truncation: float = 1.0
    seeds: tuple[int, ...] | None = None
    num_samples: int = 1
    base_codes: Tensor | None = None
    strength_range: tuple[float, float] = (-6.0, 6.0)
    title: str = ""
    description: str = ""
    author: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    date: str = ""
    thumbnail: bytes | None = None
    method: str = "resefa"
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", tuple(f"direction {i}" for i in range(len(self))))
        object.__setattr__(self, "generator", _described(self.generator))
        _check_consistent(self)

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    def __getitem__(self, key: int | str | slice | Sequence[int]) -> Directions:
        """Some of the directions, as a set: by index, name, slice or list of indices."""
        if isinstance(key, slice):
            chosen = list(range(len(self)))[key]
        elif isinstance(key, (int, str, np.integer)):
            chosen = [self.index(key)]
        else:
            chosen = [self.index(k) for k in key]
        if not chosen:
            raise ParameterError(f"no directions are left: the set has {len(self)}")
        confined = self.steps_confined
        return replace(
            self,
            vectors=self.vectors[chosen],
            eigenvalues=self.eigenvalues[chosen],
            inside=self.inside[chosen],
            outside=self.outside[chosen],
            steps=self.steps[chosen],
            steps_confined=None if confined is None else confined[chosen],
            names=tuple(self.names[i] for i in chosen),
            recipe=None if self.recipe is None else self.recipe.take(chosen),
        )

    def to(self, device: torch.device | str) -> Directions:
        """The same directions, their tensors on a device."""
        tensors = {
            each.name: getattr(self, each.name).to(device)
            for each in fields(self)
            if isinstance(getattr(self, each.name), Tensor)
        }
        return replace(self, **tensors)

    def __repr__(self) -> str:
        names = ", ".join(self.names[:3]) + (", ..." if len(self) > 3 else "")
        return (
            f"Directions({len(self)} in {self.space}, vectors {tuple(self.vectors.shape)}, {names}; layers "
            f"{list(self.layers)}, by {self.method})"
        )

    @property
    def confined(self) -> bool:
        """Whether they are for edits that are confined to the region."""
        return self.method == CONFINED

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times the mean squared change inside is that outside, of each; NaN where nothing is known
        of it."""
        quotients = (self.inside / self.outside.clamp_min(1e-30)).tolist()
        return tuple(
            quotient if inside > 0 else math.nan
            for quotient, inside in zip(quotients, self.inside.tolist(), strict=True)
        )

    def __iter__(self) -> Iterator[Directions]:
        return (self[i] for i in range(len(self)))

    def index(self, key: int | str) -> int:
        """The position of a direction given by index (negative from the end) or by name.

        Raises:
            ParameterError: there is no such direction.
        """
        if isinstance(key, str):
            if key in self.names:
                return self.names.index(key)
            raise ParameterError(f"no direction is named {key!r}: the names are {', '.join(self.names[:20])}")
        if not -len(self) <= key < len(self):
            raise ParameterError(
                f"direction {key} is out of range: the set has {len(self)}, 0 to {len(self) - 1}"
            )
        return key % len(self)

    def renamed(self, names: Mapping[int | str, str]) -> Directions:
        """The same directions with some names changed, by index or by old name."""
        changed = list(self.names)
        for key, name in names.items():
            changed[self.index(key)] = name
        return replace(self, names=tuple(changed))

    def check(self, generator: Generator) -> None:
        """Raise LatentError unless the directions fit a generator's layers and sizes."""
        made_for = self.generator.get("architecture", "an unknown generator")
        mine = f"{made_for} {self.generator.get('name', '')}".strip()
        theirs = f"{generator.architecture} {generator.name}".strip()
        if self.space not in generator.spaces:
            raise LatentError(
                f"these directions are for the space {self.space} of {mine}; {theirs} has "
                f"{', '.join(generator.spaces)}"
            )
        if max(self.layers) >= generator.num_layers:
            raise LatentError(
                f"these directions, made for {mine}, move layers up to {max(self.layers)}; {theirs} has "
                f"layers 0 to {generator.num_layers - 1}"
            )
        expected = vector_shape(generator, self.space, self.layers)
        if tuple(self.vectors.shape[1:]) != expected:
            raise LatentError(
                f"these directions, made for {mine}, have shape {tuple(self.vectors.shape[1:])}; {theirs} "
                f"expects {expected} in {self.space}"
            )
        if self.layer_sizes and self.layer_sizes != generator.layer_sizes:
            raise LatentError(
                f"these directions are for style layers of sizes {self.layer_sizes}; {theirs} has "
                f"{generator.layer_sizes}"
            )

    def matches(self, generator: Generator) -> bool:
        """Whether they were made with exactly this generator's weights."""
        return self.generator.get("fingerprint") == generator.fingerprint

    def origin_note(self, generator: Generator) -> str:
        """What people should know where they were made with other weights, else nothing."""
        if "fingerprint" not in self.generator or self.matches(generator):
            return ""
        return (
            f"note: these directions were made with {self.generator.get('name')}, other weights than those "
            f"of {generator.name}: they may do something else here"
        )

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write a direction file, atomically.

        Raises:
            DirectionFileError: the file exists and `overwrite` is false, or it can't be written, or it
                would be larger than `load` accepts, or the thumbnail is no picture.
            RegionError: the region was painted and is too small for the mask that is stored.
        """
        tensors, metadata = _to_tensors(self), _to_metadata(self)
        write_tensors(path, tensors, metadata, DirectionFileError, overwrite, MAX_FILE_BYTES)

    def to_bytes(self) -> bytes:
        """The bytes of a direction file, in which a region has its mask only where nothing else tells it."""
        tensors, metadata = _to_tensors(self), _to_metadata(self)
        if self.region is not None and self.region.to_json() != {"mask": True}:
            del tensors["region_mask"]
        return pack_tensors(Path("directions"), tensors, metadata, DirectionFileError, MAX_FILE_BYTES)

    @staticmethod
    def from_bytes(data: bytes) -> Directions:
        """Undo `to_bytes`; the bytes may come from a stranger.

        Raises:
            DirectionFileError: they are no direction file.
        """
        file = Path("directions")
        if len(data) > MAX_FILE_BYTES:
            raise DirectionFileError(f"{len(data)} bytes of directions: expected up to {MAX_FILE_BYTES}")
        return _read(file, *parse_tensors(file, data, DirectionFileError))

    @staticmethod
    def load(
        path: str | PathLike[str],
        space: str | None = None,
        layers: Sequence[int] | None = None,
        num_layers: int | None = None,
    ) -> Directions:
        """Read a direction file, which may come from a stranger: the package's own, or another project's, as
        `from_npy` says.

        Args:
            space, layers: where another project's directions live and what they move; for None, as the file
                says it.
            num_layers: of the generator in use: directions of one vector move all of its layers, where
            neither
                the file nor `layers` says it.

        Raises:
            DirectionFileError: the file is missing, over 64 MB, damaged, inconsistent, or no direction file;
            or
                what can't be known from it was not given.
        """
        contents = open_small(Path(path), DirectionFileError)
        if any(key.startswith(OURS) for key in contents.metadata):
            return _read(contents.file, contents.root, contents.metadata)
        return _imported(contents, space, layers, num_layers)

    @staticmethod
    def from_npy(
        path: str | PathLike[str],
        space: str | None = None,
        layers: Sequence[int] | None = None,
        generator: Generator | Mapping[str, Any] | None = None,
        region: Region | None = None,
    ) -> Directions:
        """Directions of another project: an array `(k, D)`, `(D,)`, `(k, 1, D)`, `(L, D)` or `(k, L, D)` as
        `.npy` or as a tensor in a `.pt` file; arrays by name; GANSpace's components, rosinality's
        factorization, a file of a ComfyUI-StyleGan pack. Nothing in a file is run.

        The directions that were published with the paper are known by their numbers, whatever their files are
        called; those of `PUBLISHED` by their files' names, too. Where all rows of `(L, D)` are the same, they
        are one direction. Vectors are brought to unit length, and their length becomes the step: strength 1
        adds a vector as it was in the file; of GANSpace's, one standard deviation.

        Args:
            space, layers: as in `load`.
            generator: what they are for, in place of what the file says.

        Raises:
            DirectionFileError: the file can't be read, or what can't be known from it was not given.
        """
        contents = open_small(Path(path), DirectionFileError)
        return _imported(contents, space, layers, None, generator, region)

    @staticmethod
    def from_vectors(
        vectors: Tensor,
        space: str,
        generator: Generator | Mapping[str, Any],
        layers: Sequence[int] | None = None,
        region: Region | None = None,
        title: str = "direction",
    ) -> Directions:
        """Directions that another method found. They are brought to unit length, and their length becomes the
        step: strength 1 adds a vector as it was given.

        Args:
            vectors: `(k, D)`, or `(D,)` for one; in w+, z+ `(k, L, D)` or `(L, D)`.
            generator: what they are for.
            layers: what they move; all of the generator's for None.
            title: of the set; the directions are named after it.

        Raises:
            ParameterError: vectors that are no directions, or do not fit the space.
        """
        if layers is None:
            if not isinstance(generator, Generator):
                raise ParameterError("the layers that the directions move are not known: give them")
            layers = range(generator.num_layers)
        vectors = vectors.detach().float().cpu()
        if vectors.ndim == 1 or (space_named(space).layered and vectors.ndim == 2):
            vectors = vectors[None]
        norms = lengths(vectors.flatten(1)) if vectors.ndim > 1 else vectors
        if vectors.numel() == 0 or not bool(norms.isfinite().all()) or float(norms.min()) <= 0:
            raise ParameterError("there are directions that are empty, zero or not finite")
        norms = torch.where((norms - 1.0).abs() < _ROUNDING, 1.0, norms)
        count = vectors.shape[0]
        steps = norms.float()
        return Directions(
            vectors=(vectors / norms.reshape(-1, *[1] * (vectors.ndim - 1))).float(),
            eigenvalues=torch.zeros(count),
            inside=torch.zeros(count),
            outside=torch.zeros(count),
            steps=steps,
            space=space,
            layers=tuple(sorted(set(layers))),
            layer_sizes=channel_sizes(generator, space) if isinstance(generator, Generator) else (),
            names=(title,) if count == 1 else tuple(f"{title} {i}" for i in range(count)),
            region=region,
            generator=generator.describe() if isinstance(generator, Generator) else dict(generator),
            strength_range=_UNIT_RANGE if bool((steps == 1.0).all()) else _OWN_RANGE,
            title=title,
            method="imported",
        )

    def to_npy(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the vectors alone, as the paper's code reads them: `(k, D)`, or `(k, L, D)`.

        Raises:
            DirectionFileError: the file exists and `overwrite` is false, or it can't be written.
        """
        buffer = io.BytesIO()
        np.save(buffer, self.vectors.cpu().numpy())
        write_bytes(path, buffer.getvalue(), DirectionFileError, overwrite)


def _imported(
    contents: Contents,
    space: str | None,
    layers: Sequence[int] | None,
    num_layers: int | None = None,
    generator: Generator | Mapping[str, Any] | None = None,
    region: Region | None = None,
) -> Directions:
    """Another project's directions; see `Directions.load` and `Directions.from_npy`."""
    file = contents.file
    try:
        vectors = read_vectors(contents)
        settled = settle(vectors, space, layers, num_layers)
        title = _plain(vectors.title or file.stem, MAX_NAME - 4) or "direction"
        whose = vectors.generator if generator is None else generator
        found = Directions.from_vectors(settled.values, settled.space, whose, settled.layers, region, title)
        steps = found.steps if vectors.scales is None else found.steps * vectors.scales
        names = tuple(_plain(name, MAX_NAME) or "direction" for name in vectors.names) or found.names
        if len(found) == 1 and vectors.method == "published":
            names = (_plain(file.stem, MAX_NAME) or title,)
        return replace(
            found,
            steps=steps,
            names=names,
            strength_range=_UNIT_RANGE if bool((steps == 1.0).all()) else _OWN_RANGE,
            description=settled.note,
            method=vectors.method,
        )
    except (*DAMAGE, ParameterError) as problem:
        raise DirectionFileError(f"{file}: no directions can be read: {reason(problem)}") from problem


def _read(file: Path, root: object, metadata: dict[str, str]) -> Directions:
    tensors = dict(root) if isinstance(root, Mapping) else {}
    version, kind = metadata.get(DIRECTIONS_KEY), kind_of_metadata(metadata)
    if version is None and kind not in (Kind.DIRECTIONS, Kind.UNKNOWN):
        raise DirectionFileError(f"{file}: no direction file: it is {kind.value}")
    if version != FORMAT_VERSION:
        found = "no version" if version is None else f"version {version[:20]!r}"
        raise DirectionFileError(
            f"{file}: not a direction file of version {FORMAT_VERSION}: it has {found}; "
            f"its tensors are {str(sorted(tensors))[:200]}"
        )
    try:
        return _from_file(tensors, metadata)
    except KeyError as error:
        raise DirectionFileError(f"{file}: damaged direction file: it lacks {error}") from error
    except (*DAMAGE, RegionError) as error:
        raise DirectionFileError(f"{file}: damaged direction file: {error}") from error


def _check_consistent(directions: Directions) -> None:
    """Raise ParameterError where a set's parts contradict each other."""
    d = directions
    count = d.vectors.shape[0] if d.vectors.ndim else 0
    if not 1 <= count <= MAX_DIRECTIONS:
        raise ParameterError(f"{count} directions: expected 1 to {MAX_DIRECTIONS}")
    space = space_named(d.space)
    _check_whole(d.layers, "layers", _MAX_LAYERS)
    if not d.layers or list(d.layers) != sorted(set(d.layers)):
        raise ParameterError(f"layers {list(d.layers)[:20]} are not distinct, ascending indices")
    dims = 3 if space.layered else 2
    if d.vectors.ndim != dims or 0 in d.vectors.shape:
        raise ParameterError(f"vectors of shape {tuple(d.vectors.shape)} do not fit the space {d.space}")
    if dims == 3 and d.vectors.shape[1] != len(d.layers):
        raise ParameterError(f"{d.vectors.shape[1]} vectors per direction for {len(d.layers)} layers")
    lengths = d.vectors.flatten(1).norm(dim=1)
    if d.vectors.dtype != torch.float32 or not bool(((lengths - 1.0).abs() < 1e-3).all()):
        raise ParameterError(f"vectors of type {d.vectors.dtype} are not float32, of unit length")
    _check_whole(d.layer_sizes, "layer_sizes", _MAX_CHANNELS)
    if len(d.layer_sizes) > _MAX_LAYERS or sum(d.layer_sizes) > _MAX_CHANNELS:
        raise ParameterError(
            f"{len(d.layer_sizes)} layers of {sum(d.layer_sizes)} style channels are too many"
        )
    if space.channels:
        known = len(d.layer_sizes) > d.layers[-1]
        width = sum(d.layer_sizes[layer] for layer in d.layers) if known else 0
        if width != d.vectors.shape[1]:
            raise ParameterError(
                f"layers {list(d.layers)[:20]} of sizes {d.layer_sizes[:20]} have {width} style channels, "
                f"the directions {d.vectors.shape[1]}"
            )
    if d.confined and d.region is None:
        raise ParameterError("directions for confined edits have no region: expected the one they are for")
    for name in ("eigenvalues", "inside", "outside", "steps", "steps_confined"):
        values = getattr(d, name)
        if values is None:
            continue
        if tuple(values.shape) != (count,):
            raise ParameterError(f"{name} has shape {tuple(values.shape)}, expected ({count},)")
        check_values(values, name, STEP if "steps" in name else CHANGE)
    if d.base_codes is not None:
        check_values(d.base_codes, "base_codes", CODE)
        shape = tuple(d.base_codes.shape)
        fits = len(shape) == 2 and shape[0] > d.layers[-1]
        if not fits or (space.of_codes and shape[1] != d.vectors.shape[-1]):
            raise ParameterError(
                f"base_codes of shape {shape} do not fit vectors of shape {tuple(d.vectors.shape)}"
            )
    if len(d.names) != count or not all(_is_plain(name, MAX_NAME, one_line=True) for name in d.names):
        raise ParameterError(
            f"{len(d.names)} names for {count} directions: expected one for each, of 1 to {MAX_NAME} "
            "characters, without line breaks and control characters"
        )
    low, high = d.strength_range
    if not number(low, "strength", *STRENGTH) < number(high, "strength", *STRENGTH):
        raise ParameterError(f"strength range {d.strength_range} is not two ascending numbers")
    _check_whole(() if d.seeds is None else d.seeds, "seeds", 2**32)
    whole(d.num_samples, "num_samples", 1, 2**32)
    number(d.truncation, "truncation", *TRUNCATION)
    for name in ("regularization", "damping"):
        number(getattr(d, name), name, *CHANGE)
    if not isinstance(d.method, str) or not METHOD_NAME.fullmatch(d.method):
        raise ParameterError(f"method {str(d.method)[:40]!r} is no name: expected up to 40 of a-z, 0-9 and -")
    _check_texts(d)


def _check_whole(values: Sequence[object], what: str, stop: int) -> None:
    for value in values:
        whole(value, what, 0, stop - 1)


def _check_texts(directions: Directions) -> None:
    """Raise ParameterError for texts that would come back from a file changed."""
    d = directions
    for name in ("title", "description", "author", "license", "date"):
        if getattr(d, name) and not _is_plain(getattr(d, name), MAX_TEXT):
            raise ParameterError(f"the {name} is over {MAX_TEXT} characters long, or has control characters")
    if any("," in tag for tag in d.tags) or _split_tags(_plain(", ".join(d.tags), MAX_TEXT)) != d.tags:
        raise ParameterError(
            f"tags {str(d.tags)[:200]} are empty, or have commas, spaces around them or control characters, "
            f"or over {MAX_TEXT} characters together"
        )
    for key, kind in _GENERATOR_TYPES.items():
        if key in d.generator and type(d.generator[key]) is not kind:
            raise ParameterError(f"the generator's {key} is {d.generator[key]!r}, expected {kind.__name__}")


def image_sides(generator: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of a generator's images, of what is known of it; None where that says nothing."""
    side = generator.get("resolution")
    if not isinstance(side, int):
        return None
    width, height = generator.get("width", side), generator.get("height", side)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (side, side)


def _is_plain(text: object, limit: int, one_line: bool = False) -> bool:
    if not isinstance(text, str) or not text or len(text) > limit:
        return False
    return _plain(text, limit) == text and not (one_line and set(text) & set("\t\n\r"))


def _plain(text: str, limit: int) -> str:
    """Text without control characters, lone surrogates and what turns the reading direction round."""
    return _UNPLAIN.sub("", text)[:limit]


def _split_tags(text: str) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def _to_tensors(directions: Directions) -> dict[str, Tensor]:
    d = directions
    tensors = {
        name: vector.float().cpu() for name, vector in zip(_components(len(d)), d.vectors, strict=True)
    }
    for name in ("eigenvalues", "inside", "outside", "steps", "steps_confined", "base_codes"):
        value = getattr(d, name)
        if value is not None:
            tensors[name] = value.float().cpu()
    if d.region is not None:
        tensors["region_mask"] = d.region.stored_mask()
    return tensors


def _components(count: int) -> list[str]:
    return [f"component_{index:02d}" for index in range(count)]


def _to_metadata(directions: Directions) -> dict[str, str]:
    d = directions
    architecture = str(d.generator.get("architecture", "unknown"))
    metadata = {
        "method": "resefa",
        "num_components": str(len(d)),
        "w_dim": str(d.vectors.shape[-1]),
        COMPONENT_ORDER: json.dumps(_components(len(d))),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{architecture}/local-direction",
        "modelspec.implementation": _IMPLEMENTATION,
        "modelspec.title": d.title or ", ".join(d.names[:3]),
        "modelspec.description": d.description,
        "modelspec.author": d.author,
        "modelspec.date": d.date or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "modelspec.license": d.license,
        "modelspec.tags": ", ".join(d.tags),
        "resefa.version": __version__,
        "resefa.method": d.method,
        DIRECTIONS_KEY: FORMAT_VERSION,
        "resefa.generator": json.dumps(dict(d.generator)),
        "resefa.space": d.space,
        "resefa.layers": json.dumps(d.layers),
        "resefa.layer_sizes": json.dumps(d.layer_sizes),
        "resefa.region": json.dumps(None if d.region is None else d.region.to_json()),
        "resefa.names": json.dumps(d.names),
        "resefa.strength_range": json.dumps(d.strength_range),
        "resefa.regularization": json.dumps(d.regularization),
        "resefa.damping": json.dumps(d.damping),
        "resefa.truncation": json.dumps(d.truncation),
        "resefa.seeds": json.dumps(d.seeds),
        "resefa.num_samples": json.dumps(d.num_samples),
    }
    if d.objective != PAPER:
        metadata["resefa.objective"] = json.dumps(d.objective.name)
    sides = image_sides(d.generator)
    if sides is not None:
        metadata["modelspec.resolution"] = f"{sides[0]}x{sides[1]}"
    if d.thumbnail is not None:
        picture = _reencoded(d.thumbnail)
        if picture is None:
            raise DirectionFileError(f"the thumbnail is no PNG or JPEG of up to {4 * THUMBNAIL_SIDE} pixels")
        encoded = base64.b64encode(picture).decode("ascii")
        metadata["modelspec.thumbnail"] = f"data:image/png;base64,{encoded}"
    return metadata


def _from_file(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Directions:
    order = _json(metadata, COMPONENT_ORDER, list)
    if order != _components(len(order)) or not 1 <= len(order) <= MAX_DIRECTIONS:
        raise ValueError(f"its component_order is {str(order)[:80]}")
    if metadata["num_components"] != str(len(order)):
        raise ValueError(f"it says {metadata['num_components'][:20]!r} components and lists {len(order)}")
    vectors = [tensors.pop(name) for name in order]
    if any(v.shape != vectors[0].shape or v.dtype != torch.float32 for v in vectors):
        raise ValueError("its components differ in shape, or are not float32")
    if vectors[0].ndim == 0 or metadata["w_dim"] != str(vectors[0].shape[-1]):
        raise ValueError(f"it says w_dim {metadata['w_dim'][:20]!r} of shape {tuple(vectors[0].shape)}")
    optional = ("steps_confined", "base_codes", "region_mask")
    required = ("eigenvalues", "inside", "outside", "steps")
    unknown = set(tensors) - set(required) - set(optional)
    if unknown or any(name not in tensors for name in required):
        raise ValueError(
            f"its tensors are {str(sorted(tensors))[:200]}, expected {required} and some of {optional}"
        )
    for name, tensor in tensors.items():
        if tensor.dtype != (torch.uint8 if name == "region_mask" else torch.float32):
            raise ValueError(f"its {name} has type {tensor.dtype}")
    mask = tensors.pop("region_mask", None)
    if mask is not None and (mask.ndim != 2 or not 1 <= min(mask.shape) <= max(mask.shape) <= 256):
        raise ValueError(f"its region_mask has shape {tuple(mask.shape)}")
    region = json.loads(metadata["resefa.region"])
    seeds = json.loads(metadata.get("resefa.seeds", "null"))
    low, high = _json(metadata, "resefa.strength_range", list)
    return Directions(
        vectors=torch.stack(vectors),
        **tensors,  # type: ignore[arg-type]
        space=metadata["resefa.space"],
        layers=_whole_numbers(_json(metadata, "resefa.layers", list)),
        layer_sizes=_whole_numbers(json.loads(metadata.get("resefa.layer_sizes", "[]"))),
        names=tuple(_json(metadata, "resefa.names", list)),
        region=None if region is None else Region.from_json(region, mask),
        generator=_json(metadata, "resefa.generator", dict),
        regularization=_finite(metadata, "resefa.regularization"),
        damping=_finite(metadata, "resefa.damping"),
        objective=Objective.from_name(json.loads(metadata.get("resefa.objective", json.dumps(PAPER.name)))),
        truncation=_finite(metadata, "resefa.truncation"),
        seeds=None if seeds is None else _whole_numbers(seeds),
        num_samples=_whole_numbers([json.loads(metadata.get("resefa.num_samples", "1"))])[0],
        strength_range=(_number(low), _number(high)),
        title=_text(metadata, "title"),
        description=_text(metadata, "description"),
        author=_text(metadata, "author"),
        license=_text(metadata, "license"),
        tags=_split_tags(_text(metadata, "tags")),
        date=_text(metadata, "date"),
        thumbnail=_thumbnail(metadata.get("modelspec.thumbnail")),
        method=metadata.get("resefa.method", "resefa"),
    )


def _json(metadata: dict[str, str], key: str, kind: type) -> Any:
    value = json.loads(metadata[key])
    if not isinstance(value, kind):
        raise ValueError(f"its {key} is not a {kind.__name__}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]} is not a finite number")
    return float(value)


def _finite(metadata: dict[str, str], key: str) -> float:
    return _number(json.loads(metadata.get(key, "0")))


def _whole_numbers(values: object) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(v) is int and 0 <= v < 2**32 for v in values):
        raise ValueError(f"{str(values)[:80]} are not whole numbers")
    return tuple(values)


def _text(metadata: dict[str, str], key: str) -> str:
    """Text for people, without control characters and of bounded length; escape it before showing."""
    return _plain(metadata.get(f"modelspec.{key}", ""), MAX_TEXT)


def _described(generator: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a generator, without what is not short text or a usual number."""
    known: dict[str, Any] = {}
    for key, value in list(generator.items())[:32]:
        if isinstance(value, str):
            known[_plain(key, 64)] = _plain(value, MAX_NAME)
        elif isinstance(value, (bool, int, float)) and abs(value) < 2**53:
            known[_plain(key, 64)] = value
    return known


def _thumbnail(uri: str | None) -> bytes | None:
    """Decode and encode again, so that nothing but pixels comes through; None if it is no picture."""
    if uri is None or not uri.startswith("data:image/") or ";base64," not in uri[:40]:
        return None
    try:
        return _reencoded(base64.b64decode(uri.split(",", 1)[1], validate=True))
    except binascii.Error:
        return None


def _reencoded(data: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            if max(picture.size) > 4 * THUMBNAIL_SIDE:
                return None
            return encode_thumbnail(picture)
    except Exception:  # Pillow raises many kinds on damaged pictures
        return None


def encode_thumbnail(picture: Image.Image) -> bytes:
    """A PNG of at most 256 x 256."""
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
