"""Jacobians' files: safetensors that hold the matrix or the sketch, and the latent.

A file comes from a stranger: all that it says is checked before it is used.
"""

from __future__ import annotations

import json
import math
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import JacobianError, ReSeFaError
from ..files import DAMAGE, read_tensors, write_tensors
from ..generators.base import Generator
from ..generators.description import GeneratorDescription
from ..kinds import ANALYSIS_KEY
from ..latents import Latent
from ..spaces import SPACES
from .budget import ANALYSIS_SIDE, memory_for
from .dense import DenseJacobian
from .derivative import derivative_at
from .jacobian import Jacobian, Subject
from .matrix_free import MatrixFreeJacobian
from .sketch import Sketch

_FILE_VERSION = "1"
_MAX_FILE_BYTES = 16 << 30
_LATENT = "latent."
_MAX_LAYERS = 1000
_MAX_DIMENSION = 1 << 22


def save_jacobian(jacobian: Jacobian, path: str | PathLike[str], overwrite: bool) -> None:
    """What `Jacobian.save` does."""
    if jacobian.confined_to is not None:
        raise JacobianError("an analysis of confined edits serves one region: save its directions instead")
    tensors = {name: tensor.cpu() for name, tensor in jacobian.file_tensors().items()}
    latent_tensors, metadata = jacobian.latent.file_content()
    tensors |= {_LATENT + name: tensor for name, tensor in latent_tensors.items()}
    header = {
        "kind": jacobian.kind,
        "space": jacobian.space,
        "layers": jacobian.layers,
        "shape": jacobian.shape,
        "image": jacobian.image_size,
        "layer_sizes": jacobian.layer_sizes,
        "generator": jacobian.described.to_json(),
        "passes": jacobian.passes,
    }
    metadata |= {ANALYSIS_KEY: _FILE_VERSION, "resefa.jacobian": json.dumps(header)}
    write_tensors(path, tensors, metadata, JacobianError, overwrite, _MAX_FILE_BYTES)


def load_jacobian(path: str | PathLike[str], generator: Generator | None = None) -> Jacobian:
    """Read a Jacobian that was saved.

    Args:
        path: the file.
        generator: the generator that it was computed with, whose device it goes to; needed for a
            matrix-free one.

    Raises:
        JacobianError: the file is damaged, or belongs to another generator.
    """
    tensors, metadata = read_tensors(path, JacobianError, _MAX_FILE_BYTES)
    if metadata.get(ANALYSIS_KEY) != _FILE_VERSION:
        raise JacobianError(f"{path}: not a Jacobian file of version {_FILE_VERSION}")
    try:
        parts = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_LATENT)}
        parts = {name.removeprefix(_LATENT): tensor for name, tensor in parts.items()}
        latent = Latent.from_file_content(Path(path), parts, metadata)
        return _from_file(tensors, json.loads(metadata["resefa.jacobian"]), latent, generator)
    except (*DAMAGE, ReSeFaError) as error:
        raise JacobianError(f"{path}: {type(error).__name__}: {str(error)[:500]}") from error


def _from_file(
    tensors: dict[str, Tensor], header: dict[str, Any], latent: Latent, generator: Generator | None
) -> Jacobian:
    described = GeneratorDescription.of(header["generator"])
    if described.fingerprint is None:
        raise JacobianError("what it says of its generator is damaged")
    height, width = _whole_numbers(header["image"], ANALYSIS_SIDE)
    subject = Subject(
        space=header["space"],
        layers=_whole_numbers(header["layers"], _MAX_LAYERS),
        shape=_whole_numbers(header["shape"], _MAX_DIMENSION),
        latent=latent,
        described=described,
        image_size=(height, width),
        layer_sizes=_whole_numbers(header["layer_sizes"], _MAX_DIMENSION),
    )
    (passes,) = _whole_numbers([header["passes"]], 2**53)
    _check_subject(subject)
    dimension, image = math.prod(subject.shape), (3, height, width)
    if generator is not None and generator.fingerprint != described.fingerprint:
        raise JacobianError(
            f"it was computed with {described.name!r}, not with the given generator {generator.name!r}"
        )
    if header["kind"] == "dense":
        _check_shapes(tensors, {"matrix": (dimension, *image)})
        device = torch.device("cpu") if generator is None else generator.device
        jacobian: Jacobian = DenseJacobian(tensors["matrix"].to(device), subject)
    elif header["kind"] == "matrix-free":
        probes, rank = (tensors[name].shape[:1] for name in ("probe_images", "basis"))
        _check_shapes(
            tensors,
            {
                "probe_images": (*probes, *image),
                "probe_latents": (*probes, dimension),
                "basis": (*rank, dimension),
                "basis_images": (*rank, *image),
            },
        )
        jacobian = _applied(Sketch(**tensors), subject, generator)
    else:
        raise JacobianError(f"its kind is {str(header['kind'])[:40]}: expected 'dense' or 'matrix-free'")
    jacobian.passes = passes
    return jacobian


def _applied(sketch: Sketch, subject: Subject, generator: Generator | None) -> MatrixFreeJacobian:
    if generator is None:
        raise JacobianError("a matrix-free Jacobian needs its generator: pass generator=...")
    budget = memory_for(generator.device) // 2
    derivative = derivative_at(generator, subject.latent, subject.space, subject.layers, budget)
    space = derivative.space
    if (space.shape, derivative.image_size) != (subject.shape, subject.image_size):
        raise JacobianError(f"its shape is {subject.shape}, the generator's in {space.name} {space.shape}")
    return MatrixFreeJacobian(generator, subject, derivative, sketch.to(derivative.device))


def _whole_numbers(values: object, most: int) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(v) is int and 0 <= v <= most for v in values):
        raise JacobianError(f"{str(values)[:80]} are not whole numbers up to {most}")
    return tuple(values)


def _check_subject(subject: Subject) -> None:
    """Raise JacobianError where what an analysis is of contradicts itself."""
    space, layers, shape, latent = subject.space, subject.layers, subject.shape, subject.latent
    known = isinstance(space, str) and space in SPACES
    layered = known and SPACES[space].layered
    if not known or len(shape) != (2 if layered else 1):
        raise JacobianError(f"its space is {str(space)[:40]}, of shape {shape[:8]}")
    if not layers or list(layers) != sorted(set(layers)) or layers[-1] >= latent.codes.shape[1]:
        raise JacobianError(f"its layers are {layers[:20]}, its latent has {latent.codes.shape[1]}")
    if len(latent) != 1 or 0 in shape or (layered and shape[0] != len(layers)):
        raise JacobianError(f"its shape is {shape} for {len(latent)} latents and {len(layers)} layers")


def _check_shapes(tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> None:
    if tensors.keys() != expected.keys():
        raise JacobianError(f"its tensors are {str(sorted(tensors))[:200]}, expected {sorted(expected)}")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name] or tensor.dtype != torch.float32:
            raise JacobianError(
                f"its {name} has type {tensor.dtype} and shape {tuple(tensor.shape)}, "
                f"expected float32 and {expected[name]}"
            )
