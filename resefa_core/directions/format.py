"""What a direction file holds: safetensors' tensors and metadata, from a set and back."""

from __future__ import annotations

import base64
import json
import math
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._version import __version__
from ..defaults import MAX_DIRECTIONS
from ..errors import DirectionFileError
from ..generators.description import GeneratorDescription
from ..kinds import COMPONENT_ORDER, DIRECTIONS_KEY
from ..plain import plain
from ..regions import Region
from .objective import PAPER, Objective
from .texts import MAX_TEXT, split_tags
from .thumbnails import THUMBNAIL_SIDE, decoded, reencoded

if TYPE_CHECKING:
    from .sets import Directions

FORMAT_VERSION = "1"
_FOLLOWING = "resefa.region_of_parts"
"""Of a region that follows each image: all of it, beside what older readers take."""
_IMPLEMENTATION = "https://github.com/zhujiapeng/resefa"


def to_tensors(directions: Directions) -> dict[str, Tensor]:
    """The tensors of a set's file, by name."""
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


def to_metadata(directions: Directions) -> dict[str, str]:
    """What a set's file says beside its tensors."""
    d = directions
    architecture = "unknown" if d.generator.architecture is None else d.generator.architecture
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
        "resefa.generator": json.dumps(d.generator.to_json()),
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
    if d.region is not None and d.region.follows:
        metadata[_FOLLOWING] = json.dumps(d.region.to_json(embed=True))
    if d.objective != PAPER:
        metadata["resefa.objective"] = json.dumps(d.objective.name)
    sides = d.generator.image_sides
    if sides is not None:
        metadata["modelspec.resolution"] = f"{sides[0]}x{sides[1]}"
    if d.thumbnail is not None:
        picture = reencoded(d.thumbnail)
        if picture is None:
            raise DirectionFileError(f"the thumbnail is no PNG or JPEG of up to {4 * THUMBNAIL_SIDE} pixels")
        encoded = base64.b64encode(picture).decode("ascii")
        metadata["modelspec.thumbnail"] = f"data:image/png;base64,{encoded}"
    return metadata


def fields_of(tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Any]:
    """The arguments of the set that a file holds.

    Raises:
        KeyError, ValueError: the file is damaged.
    """
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
    region = json.loads(metadata.get(_FOLLOWING, metadata["resefa.region"]))
    seeds = json.loads(metadata.get("resefa.seeds", "null"))
    low, high = _json(metadata, "resefa.strength_range", list)
    return dict(
        vectors=torch.stack(vectors),
        **tensors,
        space=metadata["resefa.space"],
        layers=_whole_numbers(_json(metadata, "resefa.layers", list)),
        layer_sizes=_whole_numbers(json.loads(metadata.get("resefa.layer_sizes", "[]"))),
        names=tuple(_json(metadata, "resefa.names", list)),
        region=None if region is None else Region.from_json(region, mask),
        generator=GeneratorDescription.of(_json(metadata, "resefa.generator", dict)),
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
        tags=split_tags(_text(metadata, "tags")),
        date=_text(metadata, "date"),
        thumbnail=decoded(metadata.get("modelspec.thumbnail")),
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
    return plain(metadata.get(f"modelspec.{key}", ""), MAX_TEXT)
