"""BigGAN as ajbrock's BigGAN-PyTorch saves it: the bare state dict of its generator, averaged or not.

Shapes tell the configuration, attention and chunks included. What they do not tell is the batch norms'
epsilon: 1e-5 unless the file lacks the values (`sv0`) that training records beside each spectral norm. Then
it was made by that project's converter of TF-Hub modules, whose models have 1e-4.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .container import Content
from .registry import register_reader
from .spectral import without_biggan_norms
from .state_dict import about_of, has_names, named_tensors
from .weights import Lazy, Weights, explained, positive

_LAYOUT = "ajbrock's BigGAN-PyTorch"
_MARKS = ("linear.weight", "blocks.0.0.conv1.weight", "blocks.0.0.bn1.gain.weight", "output_layer.2.weight")
_EPS, _HUB_EPS = 1e-5, 1e-4
_MAX_BLOCKS = 16


def detect(content: Content) -> bool:
    """Whether the file's tensors are named as that project names them."""
    return has_names(content.root, *_MARKS)


@register_reader("BigGAN of ajbrock's BigGAN-PyTorch (.pth, the generator's state dict)", detect)
def read(content: Content) -> Weights:
    """The generator, its spectral norms divided out of its weights.

    Raises:
        CheckpointError: damaged, or a variant that is not supported.
    """
    file, about = content.file, about_of(content)
    deep = has_names(content.root, "blocks.0.0.conv4.weight")
    with explained(file, f"no {'own BigGAN-deep' if deep else 'BigGAN'} of {_LAYOUT}"):
        found = named_tensors(content)
        given = json.loads(about.pop("init_kwargs", "{}"))
        _refuse_variants(found)
        trained = any(name.endswith(".sv0") for name in found) or not any(n.endswith(".u0") for n in found)
        tensors = _with_statistics(without_biggan_norms(found))
        arguments = _deep_arguments(tensors, given) if deep else _arguments(tensors)
        arguments["eps"] = positive("eps", given.get("eps", _EPS if trained else _HUB_EPS))
    architecture = "biggan-bottleneck" if deep else "biggan"
    return Weights(file, _LAYOUT, architecture, arguments, tensors, about)


def _refuse_variants(tensors: Mapping[str, Lazy]) -> None:
    if "blocks.0.0.bn1.bn.running_mean" in tensors:
        raise ValueError(
            "its batch norms were trained across replicas (cross_replica): outside of training that project "
            "adds their gains where it should multiply by them, so that it is not known what its images are"
        )


def _with_statistics(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """Batch norms' statistics under the names that they have without `mybn`. That keeps them in a module of
    its own, as sums where they were accumulated (standing statistics), with the number of summands."""
    found = {}
    for name, lazy in tensors.items():
        if name.endswith(".gamma") and math.prod(lazy.shape) == 1:
            found[name] = lazy.then(lambda tensor: tensor.reshape(1))
            continue
        match = re.fullmatch(r"(.+)\.bn\.(stored_mean|stored_var|accumulation_counter)", name)
        if match is None:
            found[name] = lazy
        elif match[2] != "accumulation_counter":
            counter = tensors[f"{match[1]}.bn.accumulation_counter"]
            if math.prod(counter.shape) != 1:
                raise ValueError(f"{match[1][:80]}.bn.accumulation_counter has shape {counter.shape}")
            found[f"{match[1]}.{match[2]}"] = _averaged(lazy, counter)
    return found


def _averaged(sums: Lazy, counter: Lazy) -> Lazy:
    def read() -> Tensor:
        count = float(counter.read())
        return sums.read() / count if count > 0.0 else sums.read()

    return Lazy(sums.shape, sums.dtype, read, sums.stored)


def _deep_arguments(tensors: Mapping[str, Lazy], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the deep variant's class. How many blocks a resolution has shows in no shape: two,
    that project's default, unless the metadata say otherwise.

    Raises:
        ValueError, KeyError: they do not fit together.
    """
    indices = {int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d{1,3})\.", name))}
    count = len(indices)
    if sorted(indices) != list(range(count)) or not 0 < count <= 4 * _MAX_BLOCKS:
        raise ValueError(f"its blocks are {str(sorted(indices))[:80]}")
    depth = given.get("depth", 2)
    inputs = tensors["blocks.0.0.conv1.weight"].shape[1]
    outputs = [tensors[f"blocks.{index}.0.conv4.weight"].shape[0] for index in range(count)]
    rows, condition = tensors["linear.weight"].shape
    num_classes, shared_dim = tensors["shared.weight"].shape
    side = math.isqrt(rows // max(inputs, 1))
    if type(depth) is not int or not 0 < depth <= count or inputs * side**2 != rows or not 1 <= side <= 64:
        raise ValueError(
            f"its linear layer gives {rows} numbers for {inputs} channels, or its depth is no number"
        )
    if not num_classes or condition <= shared_dim or side << (count // depth) > 4096:
        raise ValueError(f"it has {num_classes} classes and a condition of {condition} numbers")
    return {
        "z_dim": condition - shared_dim,
        "num_classes": num_classes,
        "shared_dim": shared_dim,
        "channels": [inputs, *outputs],
        "attention": [index for index in range(count) if f"blocks.{index}.1.gamma" in tensors],
        "bottom_width": side,
        "depth": depth,
    }


def _arguments(tensors: Mapping[str, Lazy]) -> dict[str, Any]:
    """The arguments of our class, from the tensors' shapes.

    Raises:
        ValueError, KeyError: they do not fit together.
    """
    indices = {int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d{1,3})\.", name))}
    count = len(indices)
    if sorted(indices) != list(range(count)) or not 0 < count <= _MAX_BLOCKS:
        raise ValueError(f"its blocks are {str(sorted(indices))[:80]}")
    inputs = tensors["blocks.0.0.conv1.weight"].shape[1]
    outputs = [tensors[f"blocks.{index}.0.conv1.weight"].shape[0] for index in range(count)]
    rows, chunk = tensors["linear.weight"].shape
    side = math.isqrt(rows // max(inputs, 1))
    if inputs * side**2 != rows or not 1 <= side <= 64:
        raise ValueError(
            f"its linear layer gives {rows} numbers for {inputs} channels: expected squares of them"
        )
    gain = tensors["blocks.0.0.bn1.gain.weight"].shape
    shared = tensors.get("shared.weight")
    num_classes, shared_dim = (gain[0], 0) if shared is None else shared.shape
    hierarchical = shared is not None and gain[1] == shared_dim + chunk
    if not num_classes or side << count > 4096:
        raise ValueError(f"it has {num_classes} classes and images of {side << count} pixels")
    return {
        "z_dim": chunk * (count + 1) if hierarchical else chunk,
        "num_classes": num_classes,
        "shared_dim": shared_dim,
        "channels": [inputs, *outputs],
        "attention": [index for index in range(count) if f"blocks.{index}.1.gamma" in tensors],
        "bottom_width": side,
        "hierarchical": hierarchical,
    }
