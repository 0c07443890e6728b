"""A generator as read from a file, before it is built: its arguments and its tensors, still on the disk."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import CheckpointError, printable
from ..files import DAMAGE
from ..files.described import StoredArray, StoredTensor, kind_of
from ..files.reading import reason
from ..generators import GENERATORS, Generator
from ..generators.colours import check_channels
from ..generators.mapping import MappingNetwork
from ..latents import draw_noise
from ..precision import wide

FILTERS = ("resample_filter",)
MEAN_CODE = "mapping.w_avg"
_MEAN_DRAWS = 4096
_MEAN_NUMBERS = 1 << 20
TUNED_FROM = "resefa.tuned_from"
"""What names, in a file's metadata, the fingerprint of the generator that it was tuned from."""
AUTHOR, LICENSE = "modelspec.author", "modelspec.license"
"""What names, there, whom to credit for a generator's images, and their license."""
_MAX_CREDIT = 200
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_MAX_MEAN_NOISE = 4096
_MAX_SHARING = 2
_MAX_GROWTH = 4
_MAX_START = 64
_MAX_IMAGE_BYTES = 8 << 30


@dataclass(frozen=True, eq=False)
class Lazy:
    """A tensor that is read from its file each time it is asked for."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]
    stored: int = 0
    """Bytes of the file that it stands for, where the file only describes it."""

    @staticmethod
    def of(value: object, name: str) -> Lazy:
        """Of a tensor or array that a pickle describes.

        Raises:
            ValueError: it is something else, or does not fit the bytes that there are.
        """
        if not isinstance(value, (StoredTensor, StoredArray)):
            raise ValueError(f"{name[:80]!r} should be a tensor and is {kind_of(value)}")
        value.check()
        return Lazy(value.shape, value.dtype, value.tensor, math.prod(value.shape) * value.dtype.itemsize)

    def then(self, change: Callable[[Tensor], Tensor]) -> Lazy:
        """The tensor with a change of its layout, like a transposition."""
        changed = change(torch.empty(self.shape, dtype=self.dtype, device="meta"))
        return Lazy(tuple(changed.shape), self.dtype, lambda: change(self.read()), self.stored)


@dataclass(frozen=True, eq=False)
class Weights:
    """A generator that a file holds.

    Attributes:
        file: the file.
        layout: what kind of file it is, in words.
        architecture: one of `GENERATORS`.
        arguments: what the class of that architecture is built with.
        tensors: by the names of that class, in the type that the file has.
        about: what the file says about itself: origin, license and the like.
        name: what to call it, where the file's own name says nothing.
        spelled: what the file calls its tensors, by the names of that class, those that it lacks included.
        place: the keys that it stood under in the file, outermost first.
        others: the places of further generators in the file.
    """

    file: Path
    layout: str
    architecture: str
    arguments: dict[str, Any]
    tensors: dict[str, Lazy]
    about: dict[str, str] = field(default_factory=dict)
    name: str = ""
    spelled: Mapping[str, str] = field(default_factory=dict)
    place: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name, or the file's."""
        return printable(self.name or self.file.stem)

    def outline(self) -> Generator:
        """The generator without numbers, after its tensors' names and shapes were compared.

        What it will take is bounded: sizes that the file states alone, like those of noise that it says it
        does not have, are held against the file's bytes.

        Raises:
            CheckpointError: the tensors are not those of the architecture with these arguments, or it would
                take much more memory than the file has bytes, or an image more than 8 GB.
        """
        claimed, size = sum(lazy.stored for lazy in self.tensors.values()), self.file.stat().st_size
        with self._explained(), torch.device("meta"):
            if claimed > _MAX_SHARING * size:
                raise ValueError(f"its tensors claim {claimed} bytes of a file of {size}")
            outline = GENERATORS[self.architecture](**self.arguments)
            _compare(
                {name: t.shape for name, t in outline.state_dict().items()}, self._needed(), self.spelled
            )
            total = sum(4 * tensor.numel() for tensor in (*outline.parameters(), *outline.buffers()))
            if total > _MAX_GROWTH * size:
                raise ValueError(f"it would take {total} bytes of memory for a file of {size}")
            image = 4 * outline.activation_floats()
            if image > _MAX_IMAGE_BYTES:
                raise ValueError(f"an image would take {image >> 30} GB of memory to make")
        return outline

    def build(self) -> Generator:
        """The generator in float32.

        Raises:
            CheckpointError: the tensors do not fit, or have values that are not finite.
        """
        self.outline()
        with self._explained():
            with _Undrawn():
                generator = GENERATORS[self.architecture](**self.arguments)
            own = generator.state_dict()
            for name, lazy in self._needed().items():
                tensor = lazy.read()
                own[name].copy_(tensor)
                if not tensor.is_floating_point() or not bool(own[name].isfinite().all()):
                    raise ValueError(f"tensor {name[:80]!r} is not all finite floating-point numbers")
        generator.name = self.title
        told = self.about.get(TUNED_FROM, "")
        generator.tuned_from = told if _FINGERPRINT.fullmatch(told) else ""
        generator.author, generator.license = (
            printable(self.about.get(key, "")[:_MAX_CREDIT]) for key in (AUTHOR, LICENSE)
        )
        return generator.eval()

    def _needed(self) -> dict[str, Lazy]:
        return {name: lazy for name, lazy in self.tensors.items() if not name.endswith(FILTERS)}

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self.file, f"its tensors do not make a {self.architecture}")


class _Undrawn(TorchFunctionMode):
    """Leaves random tensors as the memory has them: each will be overwritten, and drawing takes time."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (torch.empty if function is torch.randn else function)(*args, **(kwargs or {}))


@contextmanager
def explained(file: Path, what: str) -> Iterator[None]:
    """Turns what goes wrong with a file's content into CheckpointError: `file: what: the problem`."""
    try:
        yield
    except KeyError as problem:
        raise CheckpointError(f"{file}: {what}: {problem} is missing") from problem
    except DAMAGE as problem:
        raise CheckpointError(f"{file}: {what}: {reason(problem)}") from problem


def _compare(
    expected: Mapping[str, torch.Size], found: Mapping[str, Lazy], spelled: Mapping[str, str]
) -> None:
    """Raise ValueError unless the tensors are those expected, before memory is taken for any. Tensors are
    called as the file calls them."""
    missing, unexpected = (
        sorted(spelled.get(name, name) for name in names)
        for names in (expected.keys() - found.keys(), found.keys() - expected.keys())
    )
    if missing or unexpected:
        raise ValueError(f"missing {_listed(missing)}, unexpected {_listed(unexpected)}")
    for name, shape in expected.items():
        if found[name].shape != tuple(shape) or 0 in shape:
            raise ValueError(
                f"{spelled.get(name, name)} has shape {found[name].shape}, expected {tuple(shape)}, not empty"
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{str(list(names[:4]))[:300]}{more}"


def stylegan2_arguments(
    tensors: Mapping[str, Lazy], lr_multiplier: object = 0.01, conv_clamp: object = None
) -> dict[str, Any]:
    """StyleGAN2's arguments, from its tensors' shapes and what shapes do not tell.

    Args:
        tensors: by NVIDIA's names.
        lr_multiplier: the mapping network's.
        conv_clamp: where activations are cut off, or None.

    Raises:
        ValueError, KeyError: they are no StyleGAN2's, or one of images that can't be shown.
    """
    resolutions = [
        int(name.split(".")[1][1:])
        for name in tensors
        if name.startswith("synthesis.b") and name.endswith(".torgb.weight")
    ]
    resolution = max(resolutions, default=0)
    if not 4 <= resolution <= 4096 or resolution != 2 ** round(math.log2(resolution)):
        raise ValueError(f"its resolution is {resolution}")
    if len(resolutions) == 1 < resolution // 4:
        raise ValueError(
            "only its last block makes colours (architecture 'orig' or 'resnet'): 'skip' is supported"
        )
    channels = {r: tensors[f"synthesis.b{r}.conv1.weight"].shape[0] for r in resolutions}
    depth = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in tensors)
    first, last = tensors["mapping.fc0.weight"].shape, tensors[f"mapping.fc{depth - 1}.weight"].shape
    embed = tensors.get("mapping.embed.weight")
    z_dim = first[1] - (0 if embed is None else embed.shape[0])
    img_channels = tensors[f"synthesis.b{resolution}.torgb.weight"].shape[0]
    check_channels(img_channels)
    start = tensors["synthesis.b4.const"].shape[1:]
    if z_dim < 1 or len(start) != 2 or not all(1 <= side <= _MAX_START for side in start):
        raise ValueError(
            f"it has z of size {z_dim} and starts from a constant of {start}: expected 1 or more, and "
            f"sides of up to {_MAX_START}"
        )
    return {
        "z_dim": z_dim,
        "c_dim": 0 if embed is None else embed.shape[1],
        "w_dim": last[0],
        "img_resolution": resolution,
        "img_channels": img_channels,
        "num_mapping_layers": depth,
        "mapping_features": first[0] if depth > 1 else None,
        "embed_features": None if embed is None else embed.shape[0],
        "lr_multiplier": positive("lr_multiplier", lr_multiplier),
        "channel_base": max(size * count for size, count in channels.items()),
        "channel_max": max(channels.values()),
        "conv_clamp": None if conv_clamp is None else positive("conv_clamp", conv_clamp),
        "init_res": start,
    }


def positive(name: str, value: object) -> float:
    """A number that must be above zero, as float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e6:
        raise ValueError(
            f"its {name} is {str(value)[:40] if isinstance(value, (int, float)) else 'no number'}"
        )
    return float(value)


def check_filters(filters: Iterable[Lazy]) -> None:
    """Raise ValueError unless each is the two-dimensional filter of [1, 3, 3, 1], up to its gain."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    for lazy in filters:
        if math.prod(lazy.shape) != 16:
            raise ValueError(f"a filter has shape {lazy.shape}: expected [1, 3, 3, 1] along both axes")
        values = lazy.read().float().reshape(4, 4)
        if not torch.allclose(64.0 * values / values.sum(), torch.outer(taps, taps), atol=1e-3):
            raise ValueError("a filter is not [1, 3, 3, 1] along both axes")


def with_mean_code(weights: Mapping[str, Lazy], lr_multiplier: float = 0.01) -> dict[str, Lazy]:
    """StyleGAN2's tensors and a mean code, estimated from 4,096 draws where the file has none.

    Raises:
        ValueError, KeyError, RuntimeError: the mapping network's tensors do not fit together.
    """
    if MEAN_CODE in weights:
        return dict(weights)
    arguments = stylegan2_arguments(weights, lr_multiplier)
    if arguments["c_dim"]:
        raise ValueError("it has classes and no mean code")
    z_dim, width, depth = arguments["z_dim"], arguments["w_dim"], arguments["num_mapping_layers"]
    features = arguments["mapping_features"] or width
    return {**weights, MEAN_CODE: estimated_mean(weights, z_dim, width, depth, features, lr_multiplier)}


def estimated_mean(
    weights: Mapping[str, Lazy], z_dim: int, width: int, depth: int, features: int, lr_multiplier: float
) -> Lazy:
    """The mean code of a mapping network without classes, of 4,096 draws.

    Args:
        weights: by the names of `MappingNetwork`, under `mapping.`.
        z_dim, width, depth, features, lr_multiplier: of that network.

    Raises:
        ValueError: its noise is too large.
    """
    if z_dim > _MAX_MEAN_NOISE:
        raise ValueError(
            f"it has no mean code, and noise of {z_dim} numbers, more than the {_MAX_MEAN_NOISE} that one is "
            "estimated from"
        )

    def estimate() -> Tensor:
        mapping = MappingNetwork(z_dim, 0, width, depth, features, lr_multiplier)
        for name, tensor in mapping.state_dict().items():
            if name != "w_avg":
                tensor.copy_(weights[f"mapping.{name}"].read())
        rows = max(1, _MEAN_NUMBERS // max(z_dim, features, width))
        total = torch.zeros(width, dtype=torch.float64)
        with torch.no_grad():
            for start in range(0, _MEAN_DRAWS, rows):
                noise = wide(draw_noise(range(start, min(start + rows, _MEAN_DRAWS)), z_dim))
                total += mapping(noise, None).sum(dim=0).to(total)
        return (total / _MEAN_DRAWS).float()

    return Lazy((width,), torch.float32, estimate)
