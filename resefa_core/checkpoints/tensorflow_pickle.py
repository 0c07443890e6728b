"""NVIDIA's pickles of StyleGAN and StyleGAN2 for TensorFlow: three networks (G, D, G averaged), numpy arrays.

A network is a name, the arguments of the function that builds it, its variables and the networks it
consists of. Its source is ignored.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..files import MAX_TENSORS
from ..files.described import Name, Record, kind_of, said
from . import stylegan1
from .container import Content, Unpickled
from .registry import register_reader
from .state_dict import Change, convolution, first, plane, plus_one, renamed
from .weights import Lazy, Weights, explained, stylegan2_arguments

_LAYOUT = "NVIDIA TensorFlow pickle"
_NETWORKS = (Name("dnnlib.tflib.network", "Network"), Name("dnnlib.tflib", "Network"))
_MAX_DEPTH = 4
_MAX_BLOCKS = 12
_MAX_NETWORKS = 64
_LEAST_VERSION = 4
_ARGUMENTS = {
    "latent_size",
    "label_size",
    "dlatent_size",
    "resolution",
    "num_channels",
    "mapping_layers",
    "label_fmaps",
    "mapping_fmaps",
    "mapping_lrmul",
    "w_avg_beta",
    "fmap_base",
    "fmap_max",
    "fmap_min",
    "fmap_decay",
    "num_fp16_res",
    "conv_clamp",
    "truncation_psi",
    "truncation_cutoff",
    "style_mixing_prob",
    "structure",
    "dlatent_avg_beta",
    "truncation_psi_val",
    "truncation_cutoff_val",
    "randomize_noise",
    "dtype",
    "func_name",
    "mapping_func",
    "synthesis_func",
    "resolution_w",
    "resolution_h",
    "min_w",
    "min_h",
    "res_log2",
}
_FIXED = {
    "architecture": "skip",
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "act": "lrelu",
    "use_noise": True,
    "normalize_latents": True,
    "fused_modconv": True,
}


def detect(content: Content) -> bool:
    """Whether it is such a network of which a synthesis network is a part."""
    network = _network(content.root)
    parts = None if network is None else network.get("components")
    return isinstance(parts, dict) and "synthesis" in parts


def _network(root: object) -> dict[object, object] | None:
    """A network's state."""
    if isinstance(root, Record) and root.origin in _NETWORKS:
        return root.state if isinstance(root.state, dict) else None
    return None


@register_reader("StyleGAN and StyleGAN2 for TensorFlow by NVIDIA (.pkl)", detect)
def read(content: Content) -> Weights:
    """The generator.

    Raises:
        CheckpointError: another network than StyleGAN2's generator, or damaged.
    """
    assert isinstance(content, Unpickled)
    file, network = content.file, _network(content.root)
    assert network is not None
    with explained(file, "no StyleGAN for TensorFlow"):
        found = list(itertools.islice(_variables(network, "", 0), MAX_TENSORS + 1))
        if len(found) > MAX_TENSORS:
            raise ValueError(f"it has more than {MAX_TENSORS} variables")
        variables = dict(found)
        if any(name.endswith("/StyleMod/weight") for name in variables):
            arguments, tensors = stylegan1.from_tensorflow(variables, _stated(network))
            return Weights(file, _LAYOUT, "stylegan1", arguments, tensors)
        options = _options(network)
        if not any(name.endswith("/mod_weight") for name in variables):
            raise ValueError(f"its function is {said(network.get('build_func_name'))!r}, not StyleGAN2's")
        variables = _by_blocks({n: lazy for n, lazy in variables.items() if n != "lod"})
        tensors = renamed(variables, _rule)
        arguments = stylegan2_arguments(
            tensors, options.get("mapping_lrmul", 0.01), options.get("conv_clamp")
        )
        _check_shape(options, arguments)
    return Weights(file, _LAYOUT, "stylegan2", arguments, tensors)


def _options(network: dict[object, object]) -> dict[object, object]:
    """The arguments that the network was built with, after what is fixed here was compared."""
    version = network.get("version")
    if not isinstance(version, int) or version < _LEAST_VERSION:
        raise ValueError(f"its version is {kind_of(version)}: {_LEAST_VERSION} or later is supported")
    options = _stated(network)
    for name, value in options.items():
        if name in _FIXED and value != _FIXED[name]:
            raise ValueError(f"its {name} is {kind_of(value)}: {_FIXED[name]!r} is supported")
        if name == "resample_kernel":
            if not isinstance(value, (list, tuple)) or list(value) != [1, 3, 3, 1]:
                raise ValueError("its resample_kernel is another: [1, 3, 3, 1] is supported")
        elif name not in _ARGUMENTS and name not in _FIXED:
            raise ValueError(f"its generator takes {said(name)!r}, which NVIDIA's StyleGAN2 does not")
    return options


def _stated(network: dict[object, object]) -> dict[object, object]:
    """The arguments that the network was built with."""
    options = network.get("static_kwargs")
    if not isinstance(options, dict):
        raise ValueError(f"its arguments are {kind_of(options)}")
    return options


def _by_blocks(variables: dict[str, Lazy]) -> dict[str, Lazy]:
    """The variables with each block called by its number, `4x4` the first: in images that are not square a
    block's name is its height and width."""
    scope = re.compile(r"synthesis/(\d{1,5})x(\d{1,5})/(.+)")
    sizes = sorted({(int(m[1]), int(m[2])) for name in variables if (m := scope.fullmatch(name))})
    names = {size: f"{4 << index}x{4 << index}" for index, size in enumerate(sizes[:_MAX_BLOCKS])}
    found = {}
    for name, lazy in variables.items():
        match = scope.fullmatch(name)
        size = None if match is None else (int(match[1]), int(match[2]))
        found[name if match is None or size not in names else f"synthesis/{names[size]}/{match[3]}"] = lazy
    return found


def _check_shape(options: Mapping[object, object], arguments: Mapping[str, Any]) -> None:
    """Raise ValueError unless what the arguments say of the image's shape is what its tensors have."""
    height, width = arguments["init_res"]
    times = arguments["img_resolution"] // 4
    known = {
        "resolution_h": height * times,
        "resolution_w": width * times,
        "min_h": height,
        "min_w": width,
        "res_log2": times.bit_length() - 1,
    }
    for name, value in known.items():
        if options.get(name, value) != value:
            raise ValueError(f"its {name} is {kind_of(options[name])}; by its tensors {value}")


def _variables(
    network: dict[object, object], prefix: str, depth: int, walked: list[int] | None = None
) -> Iterator[tuple[str, Lazy]]:
    walked = [0] if walked is None else walked
    walked[0] += 1
    if depth > _MAX_DEPTH or walked[0] > _MAX_NETWORKS:
        raise ValueError("its networks are nested too deeply, or too many")
    variables, components = network.get("variables"), network.get("components")
    if not isinstance(variables, list) or not isinstance(components, dict):
        raise ValueError("a network has no variables, or no components")
    for pair in variables:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError("a variable is no pair of a name and an array")
        name = f"{prefix}{pair[0][:120]}"
        if isinstance(pair[1], (int, float)):
            value = float(pair[1])
            yield name, Lazy((), torch.float32, lambda value=value: torch.tensor(value))  # type: ignore[misc]
        else:
            yield name, Lazy.of(pair[1], name)
    for name, part in components.items():
        state = _network(part)
        if state is None or not isinstance(name, str):
            raise ValueError(f"a component of it is {kind_of(part)}")
        yield from _variables(state, f"{prefix}{name[:40]}/", depth + 1, walked)


def _rule(name: str) -> tuple[str, Change | None] | None:
    if name == "dlatent_avg":
        return "mapping.w_avg", None
    if match := re.fullmatch(r"mapping/(?:Dense(\d{1,2})|LabelEmbed)/(weight|bias)", name):
        target = "embed" if match[1] is None else f"fc{match[1]}"
        return f"mapping.{target}.{match[2]}", _transposed if match[2] == "weight" else None
    if name == "synthesis/4x4/Const/const":
        return "synthesis.b4.const", first
    if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        return f"{convolution(int(match[1]))}.noise_const", plane
    match = re.fullmatch(r"synthesis/(\d{1,4})x\1/(Conv|Conv0_up|Conv1|ToRGB)/(\w+)", name)
    if match is None or match[3] not in _PARTS:
        return None
    layer = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}[match[2]]
    part, change = _PARTS[match[3]]
    if part == "weight" and layer == "conv0":
        change = _flipped_kernel
    return f"synthesis.b{match[1]}.{layer}.{part}", change


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.T


def _kernel(tensor: Tensor) -> Tensor:
    """`(h, w, in, out)` as `(out, in, h, w)`."""
    return tensor.permute(3, 2, 0, 1)


def _flipped_kernel(tensor: Tensor) -> Tensor:
    return torch.flip(_kernel(tensor), (2, 3))


_PARTS: dict[str, tuple[str, Change | None]] = {
    "weight": ("weight", _kernel),
    "bias": ("bias", None),
    "noise_strength": ("noise_strength", None),
    "mod_weight": ("affine.weight", _transposed),
    "mod_bias": ("affine.bias", plus_one),
}
