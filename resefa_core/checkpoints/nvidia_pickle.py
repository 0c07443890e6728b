"""NVIDIA's pickles of StyleGAN2-ADA and StyleGAN3, and of projects that build on them.

A network is pickled as its class's name and source, the arguments it was made with, and its state: a
tree of modules with their parameters and buffers. The source is ignored; what a layer does that its
tensors do not tell (activation, clamping) is read off the attributes that were pickled with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..files import MAX_TENSORS
from ..files.described import Name, Record, StoredArray, StoredTensor, kind_of, said
from . import nvidia_arguments
from .container import Content, Unpickled
from .registry import register_reader
from .stylegan_xl import ARCHITECTURE, is_stylegan_xl, stylegan_xl
from .weights import Lazy, Weights, check_filters, explained

_LAYOUT = "NVIDIA pickle"
_LAYOUT_XL = "StyleGAN-XL pickle"
_PERSISTENT = Name("torch_utils.persistence", "_reconstruct_persistent_obj")
_MAX_DEPTH = 8
_MAX_MODULES = 10_000
_POSITIONAL = (
    "z_dim",
    "c_dim",
    "w_dim",
    "img_resolution",
    "img_channels",
    "mapping_kwargs",
    "synthesis_kwargs",
)
_VARIANTS = {
    "fastgan": "a FastGAN generator, as Projected GAN trains by default",
    "triplane": "an EG3D generator",
}


@dataclass(frozen=True)
class Module:
    """A pickled network or layer."""

    class_name: str
    state: dict[object, object]

    @property
    def size(self) -> int:
        """How many parameters and buffers it has of its own."""
        return len(self.part("_parameters")) + len(self.part("_buffers"))

    def part(self, name: str) -> dict[object, object]:
        value = self.state.get(name)
        return value if isinstance(value, dict) else {}


def detect(content: Content) -> bool:
    """Whether it is a generator that was pickled with its source, as NVIDIA's code and its relatives do."""
    return isinstance(content, Unpickled) and _network(content.root) is not None


def _network(root: object) -> Module | None:
    if not isinstance(root, Record) or root.origin != _PERSISTENT:
        return None
    network = _module(root)
    if network is None or (
        "synthesis" not in network.part("_modules") and "enerator" not in network.class_name
    ):
        return None
    return network


def _module(value: object) -> Module | None:
    """The module that a value describes, if it does: a persistent one, or one of torch.nn."""
    if not isinstance(value, Record):
        return None
    if value.origin == _PERSISTENT:
        arguments = value.arguments
        meta = arguments[0] if isinstance(arguments, tuple) and arguments else None
        if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
            return None
        return Module(said(meta.get("class_name")), meta["state"])
    if isinstance(value.state, dict) and "_modules" in value.state:
        return Module(value.origin.name[:80], value.state)
    return None


@register_reader("NVIDIA's StyleGAN2-ADA and StyleGAN3 pickles (.pkl)", detect)
def read(content: Content) -> Weights:
    """The generator.

    Raises:
        CheckpointError: a variant that is not supported, or damaged.
    """
    assert isinstance(content, Unpickled)
    file, network = content.file, _network(content.root)
    assert network is not None
    with explained(file, "a generator that is not supported"):
        modules = dict(_modules(network, "", 0))
        if sum(module.size for module in modules.values()) > MAX_TENSORS:
            raise ValueError(f"it has more than {MAX_TENSORS} parameters")
        tensors = {name: lazy for path, module in modules.items() for name, lazy in _tensors(path, module)}
        given = _arguments(network)
        if "synthesis.b4.conv1" in modules:
            architecture = "stylegan2"
            check_filters(lazy for name, lazy in tensors.items() if name.endswith("resample_filter"))
            given = {**given, **_stylegan2_attributes(modules, given)}
            arguments, tensors = nvidia_arguments.stylegan2(given, tensors)
        elif "synthesis.input.freqs" in tensors and is_stylegan_xl(tensors):
            states = {path: module.state for path, module in modules.items()}
            arguments, tensors, names = stylegan_xl(states, tensors)
            return Weights(file, _LAYOUT_XL, ARCHITECTURE, arguments, tensors, spelled=names)
        elif "synthesis.input" in modules and "synthesis.input.freqs" in tensors:
            architecture = "stylegan3"
            arguments = nvidia_arguments.stylegan3(given, tensors)
        else:
            raise ValueError(_what_it_is(network, modules))
    return Weights(file, _LAYOUT, architecture, arguments, tensors)


def _what_it_is(network: Module, modules: dict[str, Module]) -> str:
    words = _variant(" ".join(module.class_name for module in modules.values()))
    if words is not None:
        return f"it is {words}; StyleGAN2 and StyleGAN3 generators are supported"
    parts = ", ".join(sorted(path for path in modules if path.count(".") == 0 and path)[:6])
    return (
        f"its class is {network.class_name!r} with the parts {parts[:200] or 'none'}; "
        "StyleGAN2 and StyleGAN3 generators are supported"
    )


def _variant(names: str) -> str | None:
    """What a generator with classes of these names is, where it is another than NVIDIA's."""
    return next((words for mark, words in _VARIANTS.items() if mark in names.lower()), None)


def _modules(module: Module, path: str, depth: int) -> Iterator[tuple[str, Module]]:
    """All modules by their path, the network itself under the empty one."""
    counted = [0]

    def walk(module: Module, path: str, depth: int) -> Iterator[tuple[str, Module]]:
        counted[0] += 1
        if depth > _MAX_DEPTH or counted[0] > _MAX_MODULES:
            raise ValueError("its modules are nested too deeply, or too many")
        yield path, module
        for name, value in module.part("_modules").items():
            if value is None:
                continue
            child = _module(value)
            if child is None or not isinstance(name, str):
                raise ValueError(f"it depends on {kind_of(value)}, which is not known here")
            yield from walk(child, f"{path}.{name[:80]}" if path else name[:80], depth + 1)

    return walk(module, path, depth)


def _tensors(path: str, module: Module) -> Iterator[tuple[str, Lazy]]:
    for part in ("_parameters", "_buffers"):
        for name, value in module.part(part).items():
            if value is None:
                continue
            full = f"{path}.{said(name)}" if path else said(name)
            if not isinstance(value, (StoredTensor, StoredArray)):
                raise ValueError(f"{full[:160]!r} depends on {kind_of(value)}, which is not known here")
            yield full, Lazy.of(value, full)


def _arguments(network: Module) -> dict[str, Any]:
    """What the network was made with, by name."""
    options = network.state.get("_init_kwargs")
    values = network.state.get("_init_args")
    given: dict[str, Any] = {}
    if isinstance(values, tuple):
        given.update(zip(_POSITIONAL, values, strict=False))
    if isinstance(options, dict):
        given.update({said(key): value for key, value in options.items()})
    return given


def _stylegan2_attributes(modules: dict[str, Module], given: dict[str, Any]) -> dict[str, Any]:
    """What the layers were made with, as they say themselves: defaults differ between releases."""
    said: dict[str, Any] = {}
    clamps: set[object] = set()
    for path, module in modules.items():
        inside = path.startswith("synthesis.b")
        if inside and path.rpartition(".")[2] in ("conv0", "conv1", "torgb") and "conv_clamp" in module.state:
            value = module.state["conv_clamp"]
            clamps.add(value if value is None else float(value) if isinstance(value, (int, float)) else "?")
        wanted = {"architecture": "skip"} if inside and path.count(".") == 1 else {}
        if path.rpartition(".")[2] in ("conv0", "conv1") or path.startswith("mapping.fc"):
            wanted = {"activation": "lrelu"}
        for name, value in wanted.items():
            if module.state.get(name, value) != value:
                raise ValueError(f"its {name} is {kind_of(module.state[name])}: {value!r} is supported")
    if len(clamps) > 1:
        raise ValueError("its layers are clamped differently")
    nested = given.get("synthesis_kwargs")
    mapping = given.get("mapping_kwargs")
    first = modules.get("mapping.fc0")
    if first is not None and isinstance(first.state.get("bias_gain"), (int, float)):
        said["mapping_kwargs"] = {
            **(mapping if isinstance(mapping, dict) else {}),
            "lr_multiplier": first.state["bias_gain"],
        }
    if clamps and isinstance(nested, dict):
        said["synthesis_kwargs"] = {**nested, "conv_clamp": clamps.pop()}
    elif clamps:
        said["conv_clamp"] = clamps.pop()
    return said
