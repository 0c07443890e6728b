"""Directions of other projects, as their files have them: arrays, tensors, and what stands beside them.

The layouts that are known:

- an array `(D,)`, `(k, D)`, `(k, 1, D)`, `(L, D)` or `(k, L, D)`, as `.npy` or as a tensor in a `.pt` file;
- a dictionary of such arrays by name;
- GANSpace's components (`lat_comp` and `lat_stdev` of an .npz file; `comp` and `std` of a .pt file made of
one;
  a direction that its viewer saved), whose steps are their standard deviations;
- rosinality's closed-form factorization (`eigvec`), whose columns are the directions;
- the ComfyUI-StyleGan packs' safetensors, one tensor for each direction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..defaults import MAX_DIRECTIONS
from ..files.contents import Contents, numbers_of
from ..generators import PUBLISHED
from ..generators.description import GeneratorDescription
from ..kinds import COMPONENT_ORDER, MAX_BYTES, Kind, kind_of_contents, names_of_directions
from ..spaces import SPACES, space_named

_ALIKE = 1e-5
_MOST_LAYERS = 100
_METHODS = ("sefa", "ganspace")
_LAYER_COUNTS = range(8, 20, 2)
"""How many layers StyleGAN2 has from 32 to 1024 pixels."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Directions as they were found in a file.

    Attributes:
        values: `(k, D)`, or `(k, L, D)` where each has a vector for each of L layers; of any length.
        names: of each, or none.
        space, layers: where they live and what they move, where the file says it.
        rows: how many layers the file has a vector for, all of them the same; 0 where it does not say so.
        is_table: whether the array is `(N, D)`, and may be a single direction of N layers as well.
        may_be_codes: whether nothing tells them from codes.
        scales: by which each is multiplied to make a step, `(k,)`, or None.
        title, method, generator: as a direction set has them.
    """

    values: Tensor
    names: tuple[str, ...] = ()
    space: str | None = None
    layers: tuple[int, ...] | None = None
    rows: int = 0
    is_table: bool = False
    may_be_codes: bool = False
    scales: Tensor | None = None
    title: str = ""
    method: str = "imported"
    generator: GeneratorDescription = field(default_factory=GeneratorDescription)


def read_vectors(contents: Contents) -> Vectors:
    """The directions in another project's file.

    Raises:
        ValueError, TypeError, KeyError: the file holds something else, and what it is.
    """
    root, metadata = contents.root, contents.metadata
    kind = kind_of_contents(contents)
    if kind not in (Kind.DIRECTIONS, Kind.VECTORS, Kind.UNKNOWN):
        raise ValueError(f"it is {kind.value}")
    if not isinstance(root, Mapping):
        found = _known(_array(numbers_of(root, MAX_BYTES)), contents)
        return replace(found, may_be_codes=kind == Kind.VECTORS)
    names = names_of_directions(root)
    if COMPONENT_ORDER in metadata:
        return _components(root, metadata)
    if names == ("lat_comp",):
        return _ganspace(root)
    if names == ("comp", "std"):
        scales = numbers_of(root["std"], MAX_BYTES).flatten()
        return replace(
            _array(numbers_of(root["comp"], MAX_BYTES)), space="w", scales=scales, method="ganspace"
        )
    if names == ("eigvec",):
        columns = numbers_of(root["eigvec"], MAX_BYTES)
        if columns.ndim != 2:
            raise ValueError(
                f"eigvec has shape {tuple(columns.shape)}: expected (D, k), a direction a column"
            )
        return Vectors(columns.T[:MAX_DIRECTIONS].contiguous(), space="w", method="sefa")
    return _by_name(root)


def _array(array: Tensor) -> Vectors:
    """Directions in an array; one with the same vector for each layer is a single vector."""
    if array.ndim not in (1, 2, 3) or 0 in array.shape:
        raise ValueError(
            f"an array of shape {tuple(array.shape)}: expected (D,), (k, D) or (L, D), (k, 1, D) or (k, L, D)"
        )
    if array.ndim == 1:
        return Vectors(array[None])
    rows = array.shape[-2]
    if rows == 1:
        return Vectors(array[:, 0] if array.ndim == 3 else array)
    if array.ndim == 3 and array.shape[0] > 1:
        return Vectors(array, space="w+")
    table = array.reshape(rows, -1)
    if rows <= _MOST_LAYERS and bool((table - table[:1]).abs().max() <= _ALIKE * table.abs().max()):
        return Vectors(table[:1], space="w", rows=rows)
    return Vectors(table, is_table=True) if array.ndim == 2 else Vectors(array, space="w+")


def _ganspace(root: Mapping[Any, object]) -> Vectors:
    found = _array(numbers_of(root["lat_comp"], MAX_BYTES))
    deviations = root.get("lat_stdev", 1.0)
    if isinstance(deviations, float):
        scales = torch.full(found.values.shape[:1], deviations)
    else:
        scales = numbers_of(deviations, MAX_BYTES).flatten()
    said = root.get("latent_space")
    space = "z" if bool((scales == 1).all()) else "w"  # deviations are measured in w alone
    if isinstance(said, str):
        space = said.lower() if said.lower() in SPACES else space
    first, end = root.get("edit_start"), root.get("edit_end")
    layers = None
    if type(first) is int and type(end) is int and 0 <= first < end <= 1000:
        layers = tuple(range(first, end))
    title = root.get("name")
    made_for = " ".join(
        text for key in ("model_name", "output_class") if isinstance(text := root.get(key), str)
    )
    return replace(
        found,
        space=space,
        layers=layers,
        scales=scales,
        title=title if isinstance(title, str) else "",
        method="ganspace",
        generator=GeneratorDescription.of({"name": made_for} if made_for else {}),
    )


def _components(root: Mapping[Any, object], metadata: Mapping[str, str]) -> Vectors:
    order = json.loads(metadata[COMPONENT_ORDER])
    named = isinstance(order, list) and all(type(name) is str for name in order)
    if not named or not 1 <= len(order) <= MAX_DIRECTIONS:
        raise ValueError(
            f"its {COMPONENT_ORDER} is {str(order)[:80]}: expected the names of up to {MAX_DIRECTIONS} "
            "tensors"
        )
    if sorted(order) != sorted(root):
        raise ValueError(f"its {COMPONENT_ORDER} is {str(order)[:80]}, its tensors {str(sorted(root))[:80]}")
    method = metadata.get("method", "")
    return replace(
        _by_name({name: root[name] for name in order}),
        space="w",
        method=method if method in _METHODS else "imported",
    )


def _by_name(root: Mapping[Any, object]) -> Vectors:
    """One direction for each name of a dictionary."""
    if not root or not all(type(name) is str for name in root):
        raise ValueError("expected an array, or a dictionary of arrays by name")
    each = {name: _one(name, numbers_of(value, MAX_BYTES)) for name, value in root.items()}
    first = next(iter(each.values()))
    if any(one.values.shape != first.values.shape for one in each.values()):
        raise ValueError(f"its arrays {', '.join(each)[:200]} differ in shape: expected a direction in each")
    return replace(first, values=torch.cat([one.values for one in each.values()]), names=tuple(each))


def _one(name: str, array: Tensor) -> Vectors:
    """The only direction of an array that has a name of its own."""
    found = _array(array)
    if found.is_table:
        return Vectors(found.values[None], space="w+")
    if found.values.shape[0] != 1:
        raise ValueError(f"{name[:40]!r} has shape {tuple(array.shape)}: expected one direction")
    return found


def _known(found: Vectors, contents: Contents) -> Vectors:
    """The same, with what is known of it where it is a published direction, whatever its file's name."""
    if found.values.ndim != 2 or found.values.shape[0] != 1:
        return found
    digest = hashlib.sha256(found.values.numpy().astype("<f4").tobytes()).hexdigest()
    stem = contents.file.stem
    name = next((key for key, each in PUBLISHED.items() if each.sha256 == digest), stem)
    if name not in PUBLISHED:
        return found
    known = PUBLISHED[name]
    about = GeneratorDescription(known.architecture, known.resolution, name=name)
    return replace(found, space="w", layers=known.layers, title=name, method="published", generator=about)


@dataclass(frozen=True, eq=False)
class Settled:
    """Vectors of a space, `(k, D)` or `(k, len(layers), D)`, and a note where the file may mean something
    else."""

    values: Tensor
    space: str
    layers: tuple[int, ...]
    note: str = ""


def settle(
    found: Vectors, space: str | None, layers: Sequence[int] | None, num_layers: int | None
) -> Settled:
    """Where directions live and what they move, from their file and what was said beside it.

    Args:
        space, layers: as given; None where not.
        num_layers: of the generator in use; None where none is.

    Raises:
        ValueError: neither the file nor anyone said it, or what was said contradicts the file.
        ParameterError: there is no such space.
    """
    chosen = space or found.space
    if chosen is None:
        raise ValueError(_asked(found))
    moved = found.layers if layers is None else tuple(sorted(set(layers)))
    place = _layered if space_named(chosen).layered else _shared
    settled = place(replace(found, space=chosen, layers=moved), chosen, num_layers)
    return replace(settled, note=_doubt(found, settled, space, num_layers))


def _shared(found: Vectors, space: str, num_layers: int | None) -> Settled:
    """Directions of one vector, which moves all their layers."""
    if found.values.ndim == 3:
        rows = found.values.shape[1]
        raise ValueError(f"its directions have a vector for each of {rows} layers: expected w+, not {space}")
    layers = found.layers or tuple(range(found.rows or num_layers or 0))
    if not layers:
        raise ValueError(_asked(found))
    return Settled(found.values, space, layers)


def _layered(found: Vectors, space: str, num_layers: int | None) -> Settled:
    """Directions of a vector for each layer."""
    values, layers = found.values, found.layers
    if found.is_table:
        values = values[None]
    elif values.ndim == 2:
        count = found.rows or len(layers or range(num_layers or 0))
        if not count:
            raise ValueError(_asked(found))
        values = values[:, None].expand(-1, count, -1)
    rows = values.shape[1]
    layers = layers or tuple(range(rows))
    if len(layers) == rows:
        return Settled(values, space, layers)
    if layers[-1] >= rows:
        raise ValueError(
            f"its directions have a vector for each of {rows} layers: expected layers among 0 to {rows - 1}, "
            f"or {rows} of them, not {list(layers)[:20]}"
        )
    return Settled(values[:, list(layers)], space, layers)


def _doubt(found: Vectors, settled: Settled, space: str | None, num_layers: int | None) -> str:
    """What else the file may mean than what was made of it; empty where that was said, or is sure."""
    count = len(settled.values)
    likely = count == num_layers or (num_layers is None and count in _LAYER_COUNTS)
    if found.is_table and settled.values.ndim == 2 and likely:
        return (
            f"read as {count} directions in {settled.space}; give the space w+ to read it as one direction "
            f"with a vector for each of {count} layers"
        )
    if found.may_be_codes and space is None:
        return (
            f"read as directions in {settled.space}, {count} of them; latents may look alike: give those as "
            "what they are (--latent, Load GAN Latent)"
        )
    return ""


def _asked(found: Vectors) -> str:
    """What to give where the file leaves it open."""
    if found.space is not None:
        return f"the file does not say which layers its directions in {found.space} move: give the layers"
    if not found.is_table:
        return (
            "the file does not say its space and layers, and its directions are no published ones: give a "
            f"space ({', '.join(SPACES)}) and the layers it applies to"
        )
    rows = len(found.values)
    return (
        f"an array of {rows} vectors does not say its space and layers: give a space, w+ for one direction "
        f"with a vector for each of {rows} layers, w or z for {rows} directions, and the layers they apply to"
    )
