"""Direction sets and their file format: safetensors, so that loading one can run nothing."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bounds import CHANGE, CODE, STEP, STRENGTH, TRUNCATION, check_values, number, whole
from ..defaults import MAX_DIRECTIONS
from ..errors import DirectionFileError, LatentError, ParameterError, RegionError
from ..files import DAMAGE, pack_tensors, parse_tensors, write_bytes, write_tensors
from ..files.contents import Contents
from ..files.reading import reason
from ..generators import Generator
from ..generators.description import GeneratorDescription
from ..kinds import (
    DIRECTIONS_KEY,
    MAX_BYTES,
    OURS,
    Kind,
    kind_of_metadata,
    lengths,
    open_small,
)
from ..plain import MAX_NAME, is_plain, plain
from ..regions import Region
from ..spaces import channel_sizes, space_named, vector_shape
from .format import FORMAT_VERSION, fields_of, to_metadata, to_tensors
from .imported import read_vectors, settle
from .objective import PAPER, Objective
from .recipes import Recipe
from .texts import MAX_TEXT, split_tags

MAX_FILE_BYTES = MAX_BYTES
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
METHOD_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


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
    generator: GeneratorDescription = field(default_factory=GeneratorDescription)
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
        object.__setattr__(self, "generator", GeneratorDescription.of(self.generator))
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
        known = self.generator
        made_for = "an unknown generator" if known.architecture is None else known.architecture
        mine = f"{made_for} {known.name or ''}".strip()
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
        return self.generator.fingerprint == generator.fingerprint

    def origin_note(self, generator: Generator) -> str:
        """What people should know where they were made with other weights, than those that the generator was
        tuned from as well; else nothing."""
        if self.generator.fingerprint in (None, *generator.fits):
            return ""
        return (
            f"note: these directions were made with {self.generator.name}, other weights than those "
            f"of {generator.name}: they may do something else here"
        )

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write a direction file, atomically.

        Raises:
            DirectionFileError: the file exists and `overwrite` is false, or it can't be written, or it
                would be larger than `load` accepts, or the thumbnail is no picture.
            RegionError: the region was painted and is too small for the mask that is stored.
        """
        tensors, metadata = to_tensors(self), to_metadata(self)
        write_tensors(path, tensors, metadata, DirectionFileError, overwrite, MAX_FILE_BYTES)

    def to_bytes(self, dated: bool = True) -> bytes:
        """The bytes of a direction file, in which a region has its mask only where nothing else tells it.

        Args:
            dated: whether they say when they were made; the same directions make the same bytes otherwise.
        """
        tensors, metadata = to_tensors(self), to_metadata(self)
        if not dated:
            del metadata["modelspec.date"]
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
            generator=_described(generator),
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
        title = plain(vectors.title or file.stem, MAX_NAME - 4) or "direction"
        whose = vectors.generator if generator is None else generator
        found = Directions.from_vectors(settled.values, settled.space, whose, settled.layers, region, title)
        steps = found.steps if vectors.scales is None else found.steps * vectors.scales
        names = tuple(plain(name, MAX_NAME) or "direction" for name in vectors.names) or found.names
        if len(found) == 1 and vectors.method == "published":
            names = (plain(file.stem, MAX_NAME) or title,)
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
        return Directions(**fields_of(tensors, metadata))
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
    if len(d.names) != count or not all(is_plain(name, MAX_NAME, one_line=True) for name in d.names):
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


def _described(generator: Generator | Mapping[str, Any]) -> GeneratorDescription:
    return generator.describe() if isinstance(generator, Generator) else GeneratorDescription.of(generator)


def _check_whole(values: Sequence[object], what: str, stop: int) -> None:
    for value in values:
        whole(value, what, 0, stop - 1)


def _check_texts(directions: Directions) -> None:
    """Raise ParameterError for texts that would come back from a file changed."""
    d = directions
    for name in ("title", "description", "author", "license", "date"):
        if getattr(d, name) and not is_plain(getattr(d, name), MAX_TEXT):
            raise ParameterError(f"the {name} is over {MAX_TEXT} characters long, or has control characters")
    if any("," in tag for tag in d.tags) or split_tags(plain(", ".join(d.tags), MAX_TEXT)) != d.tags:
        raise ParameterError(
            f"tags {str(d.tags)[:200]} are empty, or have commas, spaces around them or control characters, "
            f"or over {MAX_TEXT} characters together"
        )
