"""StyleGAN2 and StyleGAN3 weights under NVIDIA's tensor names: safetensors, or a state dict that was pickled.

In safetensors, the metadata hold `arch` and `init_kwargs`, the JSON of the arguments that NVIDIA's generator
class takes (the ComfyUI-StyleGan pack writes them, and so does `convert`). What they leave out of a
StyleGAN2 is read off the tensors. A state dict says nothing but names and shapes: the rest is taken to be as
NVIDIA's releases have it.
"""

from __future__ import annotations

from ..errors import CheckpointError
from ..files import HASH_KEY, hash_tensors
from . import nvidia_arguments, stylegan_xl
from .container import Content, Tensors, Unpickled
from .registry import register_reader
from .state_dict import about_of, has_names, json_object, named_tensors
from .weights import Lazy, Weights, check_filters, explained

_LAYOUTS = {Tensors: "safetensors, NVIDIA's tensor names", Unpickled: "a state dict, NVIDIA's tensor names"}
_MARKS = ("mapping.fc0.weight", "mapping.w_avg")


def detect(content: Content) -> bool:
    """Whether the file's tensors are named as NVIDIA's generators name them."""
    return any(
        has_names(content.root, *_MARKS, mark) for mark in ("synthesis.b4.const", "synthesis.input.weight")
    )


@register_reader(
    "StyleGAN2 or StyleGAN3 as safetensors or a state dict, named as NVIDIA's (mapping.*, synthesis.*)",
    detect,
)
def read(content: Content) -> Weights:
    """The generator that the file describes; its hash is not checked yet, see `check_hash`.

    Raises:
        CheckpointError: damaged, another architecture, or arguments that are not supported.
    """
    file = content.file
    metadata = content.metadata if isinstance(content, Tensors) else {}
    found = "stylegan2" if has_names(content.root, "synthesis.b4.const") else "stylegan3"
    if found == "stylegan3" and metadata.get("arch") == stylegan_xl.ARCHITECTURE:
        found = stylegan_xl.ARCHITECTURE
    architecture = metadata.get("arch", found)
    if architecture != found:
        raise CheckpointError(
            f"{file}: architecture {architecture[:80]!r} is not supported, or not that of its tensors: "
            f"expected {found!r}"
        )
    with explained(file, f"its tensors do not make a {architecture}"):
        tensors = named_tensors(content)
        given = json_object(metadata.get("init_kwargs", "{}"))
        if architecture == "stylegan2":
            check_filters(lazy for name, lazy in tensors.items() if name.endswith("resample_filter"))
            arguments, tensors = nvidia_arguments.stylegan2(given, tensors)
        elif architecture == stylegan_xl.ARCHITECTURE:
            arguments = given
            stylegan_xl.check(arguments)
        elif stylegan_xl.is_stylegan_xl(tensors):
            raise ValueError(
                "it is a StyleGAN-XL generator, whose tensors do not tell how its layers are sampled: take "
                "its pickle, or what `convert` made of that"
            )
        else:
            assumed = given or nvidia_arguments.stylegan3_by_tensors(tensors)
            arguments = nvidia_arguments.stylegan3(assumed, tensors)
    about = {key: text for key, text in about_of(content).items() if key != "init_kwargs"}
    weights = Weights(file, _LAYOUTS[type(content)], architecture, arguments, tensors, about)
    if architecture == "stylegan3" and not given:
        _check_assumed(weights)
    return weights


def _check_assumed(weights: Weights) -> None:
    """Raise CheckpointError where the arguments of a StyleGAN3 are not as in NVIDIA's releases."""
    try:
        weights.outline()
    except CheckpointError as problem:
        raise CheckpointError(
            f"{problem}. The file does not say its arguments, and those of NVIDIA's T and R do not fit: "
            "write them, as JSON, to the metadata of a safetensors file, as init_kwargs"
        ) from problem


def check_hash(content: Content) -> None:
    """Raise CheckpointError where a safetensors file says what its tensors' SHA-256 is, and it is not."""
    if not isinstance(content, Tensors) or HASH_KEY not in content.metadata:
        return
    tensors = {name: lazy.read() for name, lazy in tensors_in(content).items()}
    if hash_tensors(tensors) != content.metadata[HASH_KEY]:
        raise CheckpointError(
            f"{content.file}: the tensors do not match the file's SHA-256: it was damaged or altered"
        )


def tensors_in(content: Tensors) -> dict[str, Lazy]:
    """The tensors of a safetensors file, still on the disk."""
    return {name: Lazy.of(tensor, name) for name, tensor in content.root.items()}
