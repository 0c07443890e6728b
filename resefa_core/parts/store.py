"""Files of parts: small safetensors with axes and centres, the names, and whose parts they are.

A file comes from a stranger: all that it says is checked before it is used.
"""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

import torch

from ..bounds import Bounds, check_values, shown, whole
from ..errors import ParameterError, PartsFileError, ReSeFaError
from ..files import DAMAGE, read_tensors, write_tensors
from ..generators.description import GeneratorDescription
from ..kinds import PARTS_KEY
from ..regions import Selection
from ..spaces import SPACES
from .found import MOST, Parts

MAX_FILE_BYTES = 16 << 20

_VERSION = "1"
_KEY = "resefa.parts"
_VALUES = Bounds(-1e6, 1e6)
_MAX_DIMENSION = 1 << 16
_MAX_RANK = 256
_MAX_LAYERS = 1000
_MAX_TEXT = 1000
_TOLD = ("architecture", "resolution", "fingerprint", "name", "has_mapping")


def save_parts(parts: Parts, path: str | PathLike[str], overwrite: bool) -> None:
    """What `Parts.save` does."""
    header = {
        "names": parts.names,
        "generator": parts.generator.to_json(),
        "space": parts.space,
        "layers": parts.layers,
        "origin": parts.origin,
    }
    tensors = {"axes": parts.axes, "centres": parts.centres}
    metadata = {PARTS_KEY: _VERSION, _KEY: json.dumps(header)}
    write_tensors(path, tensors, metadata, PartsFileError, overwrite, MAX_FILE_BYTES)


def load_parts(path: str | PathLike[str]) -> Parts:
    """What `Parts.load` does."""
    tensors, metadata = read_tensors(path, PartsFileError, MAX_FILE_BYTES)
    if metadata.get(PARTS_KEY) != _VERSION:
        raise PartsFileError(f"{path}: not a file of parts of version {_VERSION}")
    try:
        header = json.loads(metadata[_KEY])
        if tensors.keys() != {"axes", "centres"}:
            raise ParameterError(f"its tensors are {str(sorted(tensors))[:200]}, expected axes and centres")
        layers = header["layers"]
        if not isinstance(layers, list) or not isinstance(header["names"], list):
            raise ParameterError("its names or layers are no lists")
        found = Parts(
            axes=tensors["axes"],
            centres=tensors["centres"],
            names=tuple(header["names"]),
            generator=GeneratorDescription.of(header["generator"]),
            space=header["space"],
            layers=tuple(whole(layer, "layer", 0, _MAX_LAYERS) for layer in layers),
            origin=header["origin"],
        )
        _check(found)
    except (*DAMAGE, ReSeFaError) as error:
        raise PartsFileError(f"{path}: {type(error).__name__}: {str(error)[:500]}") from error
    return found


def _check(parts: Parts) -> None:
    """Raise ParameterError or RegionError where parts contradict themselves, or are too many."""
    axes, centres = parts.axes, parts.centres
    for name, tensor in (("axes", axes), ("centres", centres)):
        if tensor.dtype != torch.float32:
            raise ParameterError(f"its {name} are of type {tensor.dtype}, expected float32")
        check_values(tensor, f"its {name}", _VALUES)
    if axes.ndim != 2 or axes.shape[0] > _MAX_DIMENSION or axes.shape[1] > _MAX_RANK:
        raise ParameterError(f"its axes have shape {tuple(axes.shape)[:8]}")
    if centres.ndim != 3 or centres.shape[2] != axes.shape[1] or max(centres.shape[:2]) > MOST:
        raise ParameterError(f"its centres have shape {tuple(centres.shape)[:8]}, axes {tuple(axes.shape)}")
    if len(parts.names) != len(centres) or not all(isinstance(name, str) for name in parts.names):
        raise ParameterError(f"{len(parts.names)} names for {len(centres)} clusters")
    for name in parts.names:
        Selection(name=name)
    if not isinstance(parts.space, str) or parts.space not in SPACES:
        raise ParameterError(f"its space is {shown(parts.space)}")
    if not parts.layers or list(parts.layers) != sorted(set(parts.layers)):
        raise ParameterError(f"its layers are {parts.layers[:20]}")
    origin: Any = parts.origin
    if not isinstance(origin, str) or len(origin) > _MAX_TEXT or not origin.isprintable():
        raise ParameterError(f"its origin is {shown(origin)}")
    missing = [key for key in _TOLD if key not in parts.generator]
    if missing:
        raise ParameterError(f"it does not say the {', '.join(missing)} of its generator")
