"""Files of atlases: safetensors with a direction file for each set of directions, and an index beside them.

A file comes from a stranger: all that it says is checked before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from ..bounds import TRUNCATION, number, whole
from ..directions import Directions
from ..errors import AtlasError, ReSeFaError
from ..files import DAMAGE, read_tensors, write_tensors
from ..generators.description import GeneratorDescription
from ..kinds import ATLAS_KEY
from ..latents.samples import SEEDS
from ..plain import is_plain
from ..spaces import SPACES
from .atlas import EXAMPLES, QUANTILES, Atlas, Entry, Found
from .plan import MOST_IMAGES, MOST_REGIONS

MAX_FILE_BYTES = 64 << 20

_VERSION = "1"
_KEY = "resefa.atlas"
_SETS = ("joint", "missed")
_MOST_RATIO = 1e30
_MAX_NAME, _MAX_TEXT = 200, 100_000
_MAX_LAYERS = 1000


def save_atlas(atlas: Atlas, path: str | PathLike[str], overwrite: bool) -> None:
    """What `Atlas.save` does."""
    tensors: dict[str, Tensor] = {}
    entries = []
    for index, entry in enumerate(atlas.entries):
        told: dict[str, Any] = {
            "name": entry.name,
            "images": entry.images,
            "area": entry.area,
            "measured": entry.measured,
            "examples": entry.examples,
            "missed_share": entry.missed_share,
        }
        for key in _SETS:
            found: Found | None = getattr(entry, key)
            if found is not None:
                packed = bytearray(found.directions.to_bytes(dated=False))
                tensors[f"{index}.{key}"] = torch.frombuffer(packed, dtype=torch.uint8)
                told[key] = {
                    "quantiles": found.quantiles.tolist(),
                    "responding": found.responding.tolist(),
                    "shares": found.shares.tolist(),
                }
        entries.append(told)
    if not tensors:
        raise AtlasError("none of the images responds in any region: there is nothing to write")
    index_of_all = {
        "generator": atlas.generator.to_json(),
        "seeds": atlas.seeds,
        "images": atlas.images,
        "collapsed": atlas.collapsed,
        "truncation": atlas.truncation,
        "class": atlas.label,
        "space": atlas.space,
        "layers": atlas.layers,
        "quantiles": QUANTILES,
        "entries": entries,
    }
    metadata = {ATLAS_KEY: _VERSION, _KEY: json.dumps(index_of_all)}
    write_tensors(path, tensors, metadata, AtlasError, overwrite, MAX_FILE_BYTES)


def load_atlas(path: str | PathLike[str]) -> Atlas:
    """What `Atlas.load` does."""
    tensors, metadata = read_tensors(path, AtlasError, MAX_FILE_BYTES)
    if metadata.get(ATLAS_KEY) != _VERSION:
        raise AtlasError(f"{path}: not an atlas of version {_VERSION}")
    try:
        return _read(tensors, json.loads(metadata[_KEY]))
    except (*DAMAGE, ReSeFaError) as problem:
        raise AtlasError(f"{path}: {type(problem).__name__}: {str(problem)[:500]}") from problem


def _read(tensors: dict[str, Tensor], told: Mapping[str, Any]) -> Atlas:
    if told["quantiles"] != list(QUANTILES):
        raise ValueError(f"its quantiles are {str(told['quantiles'])[:80]}, expected {QUANTILES}")
    images = whole(told["images"], "images", 0, MOST_IMAGES)
    space, layers = told["space"], _list(told["layers"], _MAX_LAYERS)
    if space not in list(SPACES):
        raise ValueError(f"its space is {str(space)[:40]!r}")
    entries = tuple(
        _entry(index, entry, images, tensors)
        for index, entry in enumerate(_list(told["entries"], MOST_REGIONS))
    )
    if tensors:
        raise ValueError(f"tensors that belong to no region: {str(sorted(tensors))[:200]}")
    atlas = Atlas(
        generator=GeneratorDescription.of(told["generator"]),
        seeds=_text(told["seeds"], _MAX_TEXT),
        images=images,
        collapsed=whole(told["collapsed"], "collapsed", 0, images),
        truncation=number(told["truncation"], "truncation", *TRUNCATION),
        label=None if told["class"] is None else whole(told["class"], "class", 0, 1 << 20),
        space=space,
        layers=tuple(whole(layer, "layer", 0, _MAX_LAYERS) for layer in layers),
        entries=entries,
    )
    for entry in entries:
        for found in (entry.joint, entry.missed):
            if found is not None:
                _check_alike(found.directions, atlas)
    return atlas


def _entry(index: int, told: Mapping[str, Any], images: int, tensors: dict[str, Tensor]) -> Entry:
    having = whole(told["images"], "images", 0, images)
    examples = _list(told["examples"], EXAMPLES)
    return Entry(
        name=_text(told["name"], _MAX_NAME),
        images=having,
        area=number(told["area"], "area", 0.0, 1.0),
        measured=whole(told["measured"], "measured", 0, having),
        examples=tuple(whole(seed, "seed", 0, SEEDS - 1) for seed in examples),
        missed_share=number(told["missed_share"], "missed_share", 0.0, 1.0),
        **{
            key: _found(tensors.pop(f"{index}.{key}"), told[key])
            for key in _SETS
            if f"{index}.{key}" in tensors
        },
    )


def _found(packed: Tensor, told: Mapping[str, Any]) -> Found:
    if packed.dtype != torch.uint8 or packed.ndim != 1:
        raise ValueError(f"directions of type {packed.dtype} and shape {tuple(packed.shape)[:8]}")
    directions = Directions.from_bytes(packed.numpy().tobytes())
    count = len(directions)
    quantiles = [_numbers(row, len(QUANTILES), _MOST_RATIO) for row in _list(told["quantiles"], count)]
    if len(quantiles) != count:
        raise ValueError(f"quantiles of {len(quantiles)} directions, expected {count}")
    return Found(
        directions=directions,
        quantiles=torch.tensor(quantiles, dtype=torch.float64),
        responding=torch.tensor(_numbers(told["responding"], count, 1.0), dtype=torch.float64),
        shares=torch.tensor(_numbers(told["shares"], count, 1.0), dtype=torch.float64),
    )


def _check_alike(directions: Directions, atlas: Atlas) -> None:
    mine = (directions.space, directions.layers, directions.generator)
    if mine != (atlas.space, atlas.layers, atlas.generator):
        raise ValueError("directions of another generator, space or layers than the atlas says")


def _numbers(values: object, count: int, most: float) -> list[float]:
    found = [number(value, "value", 0.0, most) for value in _list(values, count)]
    if len(found) != count:
        raise ValueError(f"{len(found)} numbers, expected {count}")
    return found


def _list(value: object, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"{str(value)[:80]}: expected a list of at most {most}")
    return value


def _text(value: object, most: int) -> str:
    if not isinstance(value, str) or not is_plain(value, most, one_line=True):
        raise ValueError(f"{str(value)[:80]!r}: expected plain text of at most {most} characters")
    return value
