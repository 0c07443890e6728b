"""Small files in the layouts that other projects write, made without those projects.

Each function takes a generator with random weights and writes it under another project's names, in its
container. Classes that a pickle refers to are stand-ins with the right module and name.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from models import tiny_stylegan2
from torch import Tensor, nn

from resefa_core import StyleGAN2

SOURCE = "import os\nos.system('exit 1')\nraise SystemExit('a pickled source was run')\n"
FILTER = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64.0


class Persistent:
    """Pickled as NVIDIA's persistent classes are: a class's name, its source and an object's state."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


class Network:
    """Pickled as a network of dnnlib.tflib is: its state."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


class EasyDict(dict):  # type: ignore[type-arg]
    """A dictionary of another project."""


@contextmanager
def other_modules() -> Iterator[None]:
    """While pickling, the modules exist that the stand-ins say they are from."""

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
        raise AssertionError("a persistent object was made")

    places = {
        "torch_utils.persistence": [_reconstruct_persistent_obj],
        "dnnlib.tflib.network": [Network],
        "dnnlib.util": [EasyDict],
    }
    made = []
    for name, members in places.items():
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            path = ".".join(parts[:count])
            if path not in sys.modules:
                sys.modules[path] = types.ModuleType(path)
                made.append(path)
        for member in members:
            setattr(sys.modules[name], member.__name__, member)
            member.__module__, member.__qualname__ = name, member.__name__
    try:
        yield
    finally:
        for path in made:
            del sys.modules[path]


def tiny(c_dim: int = 0, embed: int | None = None, clamp: float | None = None, depth: int = 2) -> StyleGAN2:
    """A StyleGAN2 of 8 pixels with random weights, biases and noise."""
    plain = tiny_stylegan2(8, channels=4)
    torch.manual_seed(1)
    generator = StyleGAN2(
        z_dim=8,
        c_dim=c_dim,
        w_dim=8,
        img_resolution=8,
        num_mapping_layers=depth,
        channel_base=32,
        channel_max=8,
        embed_features=embed,
        conv_clamp=clamp,
    )
    for name, tensor in generator.state_dict().items():
        if name in plain.state_dict() and tensor.shape == plain.state_dict()[name].shape:
            tensor.copy_(plain.state_dict()[name])
        elif not name.endswith("affine.bias"):
            tensor.copy_(torch.randn_like(tensor) * (100.0 if name.startswith("mapping.fc") else 1.0))
    return generator.eval()


def _module(class_name: str, tensors: dict[str, Tensor], **attributes: Any) -> Persistent:
    """A tree of modules by the dots in the tensors' names, with attributes as NVIDIA's layers have."""
    own = {name: tensor for name, tensor in tensors.items() if "." not in name}
    children: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".")
        if rest:
            children.setdefault(head, {})[rest] = tensor
    buffers = ("w_avg", "noise_const", "resample_filter", "freqs", "phases", "transform", "magnitude_ema")
    buffers += ("up_filter", "down_filter")
    state: dict[str, Any] = {
        "training": False,
        "_parameters": OrderedDict(
            (name, nn.Parameter(t, False)) for name, t in own.items() if name not in buffers
        ),
        "_buffers": OrderedDict((name, t.clone()) for name, t in own.items() if name in buffers),
        "_backward_hooks": OrderedDict(),
        "_modules": OrderedDict(),
        **attributes,
    }
    for name, inside in children.items():
        said: dict[str, Any] = {}
        if name in ("conv0", "conv1"):
            said = {"activation": "lrelu", "conv_clamp": attributes.get("conv_clamp"), "use_noise": True}
        elif name == "torgb":
            said = {"conv_clamp": attributes.get("conv_clamp")}
        elif name.startswith("fc"):
            said = {"activation": "lrelu", "bias_gain": 0.01}
        elif name == "synthesis":
            said = {"conv_clamp": attributes.get("conv_clamp")}
        elif name.startswith("b") and name[1:].isdecimal():
            said = {"architecture": attributes.get("architecture", "skip"), **said}
            said["conv_clamp"] = attributes.get("conv_clamp")
        classes = {"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork"}
        state["_modules"][name] = _module(classes.get(name, "Layer"), inside, **said)
    return Persistent(class_name, state)


def nvidia_network(generator: Any, clamp: float | None = None, **arguments: Any) -> Persistent:
    """A generator as NVIDIA's pickles have it."""
    tensors = dict(generator.state_dict())
    if isinstance(generator, StyleGAN2):
        for name in list(tensors):
            if name.endswith("conv0.weight"):
                tensors[name.replace("weight", "resample_filter")] = FILTER
    given = {
        "z_dim": generator.z_dim,
        "c_dim": generator.num_classes,
        "w_dim": generator.latent_dim,
        "img_resolution": generator.resolution,
        "img_channels": 3,
        **arguments,
    }
    return _module("Generator", tensors, conv_clamp=clamp, _init_args=(), _init_kwargs=EasyDict(given))


def nvidia_pickle(file: Path, generator: Any, clamp: float | None = None, **arguments: Any) -> None:
    network = nvidia_network(generator, clamp, **arguments)
    root = {"G": None, "D": None, "G_ema": network, "training_set_kwargs": EasyDict(path="x")}
    with other_modules():
        file.write_bytes(pickle.dumps(root))


def tensorflow_pickle(file: Path, generator: StyleGAN2, protocol: int = 4, **arguments: Any) -> None:
    mapping, synthesis, top = [], [], [("lod", np.float32(0.0))]
    for name, tensor in generator.state_dict().items():
        value = tensor.numpy()
        part, _, rest = name.partition(".")
        if name == "mapping.w_avg":
            top.append(("dlatent_avg", value))
        elif part == "mapping":
            layer, kind = rest.split(".")
            called = "LabelEmbed" if layer == "embed" else layer.replace("fc", "Dense")
            mapping.append((f"{called}/{kind}", value.T if kind == "weight" else value))
        else:
            synthesis.append(_tensorflow_variable(rest, value))
    given = {
        "resolution": generator.resolution,
        "mapping_layers": len(mapping) // 2,
        "fmap_base": 16,
        **arguments,
    }

    def network(name: str, variables: list[Any], components: dict[str, Any]) -> Network:
        state = {
            "version": 4,
            "name": name,
            "static_kwargs": EasyDict(given),
            "components": EasyDict(components),
            "build_module_src": SOURCE,
            "build_func_name": "G_main",
            "variables": variables,
        }
        return Network(state)

    parts = {"synthesis": network("G_synthesis", synthesis, {}), "mapping": network("G_mapping", mapping, {})}
    averaged = network("Gs", top, parts)
    with other_modules():
        file.write_bytes(pickle.dumps((network("G", [], {}), network("D", [], {}), averaged), protocol))


def _tensorflow_variable(name: str, value: Any) -> tuple[str, Any]:
    block, rest = name.split(".", 1)
    size = int(block[1:])
    if rest == "const":
        return f"{size}x{size}/Const/const", value[None]
    layer, kind = rest.split(".", 1)
    index = 2 * (size.bit_length() - 3) - (layer == "conv0")
    if kind == "noise_const":
        return f"noise{index}", value[None, None]
    called = {"conv0": "Conv0_up", "conv1": "Conv" if size == 4 else "Conv1", "torgb": "ToRGB"}[layer]
    if kind == "weight":
        value = value.transpose(2, 3, 1, 0)
        value = value[::-1, ::-1] if layer == "conv0" else value
    elif kind == "affine.weight":
        kind, value = "mod_weight", value.T
    elif kind == "affine.bias":
        kind, value = "mod_bias", value - 1
    return f"{size}x{size}/{called}/{kind}", np.array(value, order="C")


def rosinality_state(generator: StyleGAN2) -> dict[str, Tensor]:
    """The state dict under the names of stylegan2-pytorch."""
    found: dict[str, Tensor] = {}
    for name, tensor in generator.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "mapping":
            if rest != "w_avg":
                layer, kind = rest.split(".")
                found[f"style.{int(layer[2:]) + 1}.{kind}"] = tensor
            continue
        block, rest = rest.split(".", 1)
        step = int(block[1:]).bit_length() - 3
        if rest == "const":
            found["input.input"] = tensor[None]
            continue
        layer, kind = rest.split(".", 1)
        index = 2 * step - (layer == "conv0")
        stem = "conv1" if index == 0 else f"convs.{index - 1}"
        if layer == "torgb":
            stem = "to_rgb1" if step == 0 else f"to_rgbs.{step - 1}"
        if kind == "noise_const":
            found[f"noises.noise_{index}"] = tensor[None, None]
        elif kind == "noise_strength":
            found[f"{stem}.noise.weight"] = tensor[None]
        elif kind == "weight":
            found[f"{stem}.conv.weight"] = tensor[None]
        elif kind == "bias":
            colour = layer == "torgb"
            found[f"{stem}.bias" if colour else f"{stem}.activate.bias"] = (
                tensor.reshape(1, -1, 1, 1) if colour else tensor
            )
        else:
            found[f"{stem}.conv.modulation.{kind.partition('.')[2]}"] = tensor
    found["convs.0.conv.blur.kernel"] = found["to_rgbs.0.upsample.kernel"] = 4.0 * FILTER
    return found


def rosinality(file: Path, generator: StyleGAN2) -> None:
    torch.save({"g_ema": rosinality_state(generator), "latent_avg": generator.mapping.w_avg}, file)


def rosinality_snapshot(file: Path, generator: StyleGAN2) -> None:
    """A snapshot of a training run: everything twice, an optimizer, the command line, no mean code."""
    state = rosinality_state(generator)
    optimizer = {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}},
        "param_groups": [{"lr": 0.1}],
    }
    options = argparse.Namespace(size=8, path="/data", betas=(0.0, 0.99))
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    root = {"g": state, "d": {}, "g_ema": parallel, "g_optim": optimizer, "args": options, "ada_aug_p": 0.0}
    torch.save(root, file)


def hammer_state(generator: StyleGAN2) -> dict[str, Tensor]:
    """The state dict under Hammer's names."""
    found: dict[str, Tensor] = {"synthesis.filter": FILTER}
    for name, tensor in generator.state_dict().items():
        part, _, rest = name.partition(".")
        if name == "mapping.w_avg":
            found["w_avg"] = tensor
        elif part == "mapping":
            found[f"mapping.{rest.replace('fc', 'dense').replace('embed.', 'embedding.')}"] = tensor
        else:
            block, rest = rest.split(".", 1)
            step = int(block[1:]).bit_length() - 3
            if rest == "const":
                found["synthesis.early_layer.const"] = tensor[None]
                continue
            layer, kind = rest.split(".", 1)
            stem = f"output{step}" if layer == "torgb" else f"layer{2 * step - (layer == 'conv0')}"
            kind = kind.replace("affine", "style").replace("noise_const", "noise")
            found[f"synthesis.{stem}.{kind}"] = tensor[None, None] if kind == "noise" else tensor
    found["synthesis.layer1.filter"] = FILTER
    return found


def hammer(file: Path, generator: StyleGAN2) -> None:
    torch.save({"generator_smooth": hammer_state(generator)}, file)


def hammer_snapshot(file: Path, generator: StyleGAN2) -> None:
    other = {name: 2 * tensor for name, tensor in hammer_state(generator).items()}
    models = {"generator": other, "discriminator": {}, "generator_smooth": hammer_state(generator)}
    torch.save({"models": models, "running_metadata": {"iter": 3}}, file)


def genforce(file: Path, generator: StyleGAN2) -> None:
    """As genforce wrote it: unflipped up-sampling weights, style biases without their one."""
    found = {}
    for name, tensor in hammer_state(generator).items():
        if name.endswith("filter"):
            name, tensor = (
                f"{name}.kernel" if "layer" in name else "synthesis.upsample.kernel",
                4.0 * tensor[None, None],
            )
        elif name.endswith("style.bias"):
            tensor = tensor - 1
        elif name.startswith("synthesis.layer") and name.endswith("r1.weight"):
            tensor = tensor.flip(2, 3)
        found[name.replace("embedding", "LabelEmbed") if name != "w_avg" else "truncation.w_avg"] = tensor
    torch.save({"generator_smooth": found}, file, _use_new_zipfile_serialization=False)


def comfyui(file: Path, generator: StyleGAN2) -> None:
    safetensors.torch.save_file(generator.state_dict(), file, {"arch": "stylegan2", "init_kwargs": "{}"})


LAYOUTS: dict[str, Callable[[Path, StyleGAN2], None]] = {
    "nvidia pickle": nvidia_pickle,
    "tensorflow pickle": tensorflow_pickle,
    "rosinality": rosinality,
    "hammer": hammer,
    "hammer snapshot": hammer_snapshot,
    "genforce": genforce,
    "comfyui": comfyui,
}
