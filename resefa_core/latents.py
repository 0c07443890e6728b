"""Latents: the codes that a generator turns into images, their moves, and their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .errors import LatentError, RegionError
from .regions import Region
from .tensorfile import read_tensors, write_tensors

_FORMAT = "1"
_MAX_BYTES = 64 << 20
_MAX_CONFINED = 64


class ConfinedMove(NamedTuple):
    """A move that acts at `(1 - confine) + confine * mask` of its size over the image: offsets of
    codes `(B, L, D)`, style channels `(B, sum S)` or noise `(B, z_dim)`."""

    region: Region
    confine: float
    codes: Tensor | None = None
    styles: Tensor | None = None
    z: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Latent:
    """A batch of latents.

    Attributes:
        codes: `(B, L, D)`, one code per layer.
        label: classes `(B,)`, or None.
        seed: the seeds that they were drawn with, or None.
        truncation, truncation_layers: how far they were pulled to the mean, and on how many layers.
        z: the noise `(B, z_dim)` they were drawn from, or None.
        z_offset: a move of the noise, `(B, z_dim)`.
        style_offset: a move of the style channels of all layers, `(B, sum S)`.
        confined: moves that act inside a region only.
        generator: fingerprint of the generator they belong to, or None.
    """

    codes: Tensor
    label: Tensor | None = None
    seed: tuple[int, ...] | None = None
    truncation: float = 1.0
    truncation_layers: int | None = None
    z: Tensor | None = None
    z_offset: Tensor | None = None
    style_offset: Tensor | None = None
    confined: tuple[ConfinedMove, ...] = ()
    generator: str | None = None

    def __post_init__(self) -> None:
        if self.codes.ndim != 3:
            raise LatentError(f"codes have shape {tuple(self.codes.shape)}: expected (B, L, D)")
        for name, tensor in self._tensors().items():
            if tensor.shape[0] != len(self):
                raise LatentError(f"{name} is for {tensor.shape[0]} images, the codes for {len(self)}")
        if self.seed is not None and len(self.seed) != len(self):
            raise LatentError(f"{len(self.seed)} seeds were given for {len(self)} images")

    def __len__(self) -> int:
        return int(self.codes.shape[0])

    def __getitem__(self, index: int | slice) -> Latent:
        """One latent of the batch, or several, still as a batch."""
        rows = range(len(self))[index]
        chosen = slice(rows, rows + 1) if isinstance(rows, int) else index
        return self.map_tensors(
            lambda tensor: tensor[chosen],
            seed=None if self.seed is None else self.seed[chosen],
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Latent:
        """The same latent on a device, as a floating type."""
        return self.map_tensors(
            lambda t: t.to(device, dtype) if t.is_floating_point() and dtype else t.to(device),
        )

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of the latent by the name that they have in a file."""
        found = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                found[field.name] = value
        for index, move in enumerate(self.confined):
            for part in ("codes", "styles", "z"):
                value = getattr(move, part)
                if value is not None:
                    found[f"confined_{index:02d}_{part}"] = value
        return found

    def map_tensors(self, function: Callable[[Tensor], Tensor], **changes: Any) -> Latent:
        """The same latent with a function applied to each of its tensors, and other changes."""
        mapped = {
            field.name: function(getattr(self, field.name))
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        confined = tuple(
            move._replace(
                **{
                    part: function(getattr(move, part))
                    for part in ("codes", "styles", "z")
                    if getattr(move, part) is not None
                }
            )
            for move in self.confined
        )
        return replace(self, **mapped, confined=confined, **changes)

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the latent to a safetensors file, atomically.

        Raises:
            LatentError: the file exists and `overwrite` is false, or it can't be written.
        """
        tensors = {name: tensor.detach().cpu() for name, tensor in self._tensors().items()}
        for index, move in enumerate(self.confined):
            mask = move.region.mask(256, 256, check=False)
            tensors[f"confined_{index:02d}_mask"] = (mask * 255.0).round().to(torch.uint8)
        metadata = {
            "resefa.latent_version": _FORMAT,
            "resefa.seeds": json.dumps(self.seed),
            "resefa.truncation": json.dumps(self.truncation),
            "resefa.truncation_layers": json.dumps(self.truncation_layers),
            "resefa.generator": json.dumps(self.generator),
            "resefa.confined": json.dumps([[move.confine, move.region.to_json()] for move in self.confined]),
        }
        write_tensors(path, tensors, metadata, LatentError, overwrite)

    @staticmethod
    def load(path: str | PathLike[str]) -> Latent:
        """Read a latent: a file of `save`, or codes from a projector.

        `.npz` with key `w`, `.npy` and `.pt`/`.pth` (read with weights only; a tensor, or a dict with
        `w`, `latent` or `codes`) may hold `(D,)`, `(L, D)` or `(B, L, D)`; one code alone, `(D,)` or
        `(B, 1, D)`, is for all layers: give the generator's layers through `expand`.

        Raises:
            LatentError: the file is missing, damaged, or holds something else.
        """
        file = Path(path)
        if file.suffix.lower() in (".npz", ".npy", ".pt", ".pth"):
            return Latent(codes=_import_codes(file))
        tensors, metadata = read_tensors(file, LatentError, _MAX_BYTES)
        if metadata.get("resefa.latent_version") != _FORMAT:
            raise LatentError(
                f"{file}: not a latent file of version {_FORMAT}: its metadata has "
                f"resefa.latent_version = {metadata.get('resefa.latent_version')!r}"
            )
        try:
            return _from_file(tensors, metadata)
        except (ValueError, TypeError, KeyError, RecursionError, RegionError, LatentError) as error:
            raise LatentError(f"{file}: damaged latent file: {error}") from error

    def expand(self, num_layers: int) -> Latent:
        """One code per image, `(B, 1, D)`, repeated for all layers; other latents are returned as
        they are."""
        if self.codes.shape[1] != 1:
            return self
        return replace(self, codes=self.codes.repeat(1, num_layers, 1))


def stack(latents: Sequence[Latent]) -> Latent:
    """Several latents as one batch; they must be of one kind (the same fields in use).

    Raises:
        LatentError: nothing to stack, or latents that differ in kind or shape.
    """
    if not latents:
        raise LatentError("no latents were given to stack")
    first = latents[0]
    if any(latent.confined for latent in latents):
        raise LatentError("latents with confined edits can't be stacked: their regions differ")
    changes: dict[str, Any] = {}
    for name, tensor in first._tensors().items():
        parts = [getattr(latent, name) for latent in latents]
        if any(part is None or part.shape[1:] != tensor.shape[1:] for part in parts):
            raise LatentError(f"latents that differ in {name} can't be stacked")
        changes[name] = torch.cat([part.to(tensor) for part in parts])
    seeds = [latent.seed for latent in latents]
    changes["seed"] = None if None in seeds else tuple(s for seed in seeds for s in seed or ())
    return replace(first, **changes)


def draw_noise(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Standard normal noise `(B, z_dim)`, float32, the same on every machine.

    Each seed draws `numpy.random.RandomState(seed).randn(1, z_dim)`, as NVIDIA's tools do.

    Raises:
        LatentError: a seed outside [0, 2**32 - 1], or none.

    Example:
        >>> draw_noise([0], 2)
        tensor([[1.7641, 0.4002]])
    """
    if not seeds:
        raise LatentError("no seeds were given")
    if not all(0 <= seed < 2**32 for seed in seeds):
        raise LatentError(f"seeds {list(seeds)[:8]} are out of range: expected [0, 2**32 - 1]")
    draws = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(draws).astype(np.float32))


def _import_codes(file: Path) -> Tensor:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise LatentError(f"{file}: over {_MAX_BYTES >> 20} MB, too large for codes")
        if file.suffix.lower() == ".npz":
            with np.load(file, allow_pickle=False) as archive:
                if "w" not in archive.files:
                    raise LatentError(f"{file}: expected an array named 'w', found {archive.files[:8]}")
                info = archive.zip.getinfo("w.npy")
                if info.file_size > _MAX_BYTES:
                    raise LatentError(f"{file}: 'w' unpacks to {info.file_size} bytes, too large for codes")
                data: object = archive["w"]
        elif file.suffix.lower() == ".npy":
            data = np.load(file, mmap_mode="r", allow_pickle=False)
        else:
            data = torch.load(file, map_location="cpu", weights_only=True)
            if isinstance(data, dict):
                named = [data[key] for key in ("w", "latent", "codes") if key in data]
                if not named:
                    raise LatentError(f"{file}: expected 'w', 'latent' or 'codes', found {list(data)[:8]}")
                data = named[0]
        codes = data.detach() if isinstance(data, Tensor) else torch.from_numpy(np.array(data))
    except LatentError:
        raise
    except Exception as error:  # numpy and torch raise many kinds on damaged files
        raise LatentError(f"{file}: not readable as codes: {type(error).__name__}: {error}") from error
    if not codes.is_floating_point() or codes.layout != torch.strided or codes.device.type != "cpu":
        raise LatentError(f"{file}: expected an array of floating-point numbers, found {codes.dtype}")
    if codes.ndim == 1:
        codes = codes[None, None]
    elif codes.ndim == 2:
        codes = codes[:, None] if codes.shape[0] == 1 else codes[None]
    if codes.ndim != 3 or codes.numel() == 0:
        raise LatentError(
            f"{file}: codes have shape {tuple(codes.shape)}: expected (D,), (L, D) or (B, L, D)"
        )
    codes = codes.float()
    if not bool(codes.isfinite().all()):
        raise LatentError(f"{file}: the codes are not all finite")
    return codes.clone()


def _from_file(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Latent:
    seeds = json.loads(metadata["resefa.seeds"])
    if seeds is not None and not (isinstance(seeds, list) and all(type(s) is int for s in seeds)):
        raise LatentError("its seeds are not a list of whole numbers")
    truncation = json.loads(metadata["resefa.truncation"])
    layers = json.loads(metadata["resefa.truncation_layers"])
    generator = json.loads(metadata["resefa.generator"])
    if type(truncation) not in (int, float) or not -2 <= truncation <= 2:
        raise LatentError(f"its truncation is {truncation!r}")
    if layers is not None and (type(layers) is not int or layers < 0):
        raise LatentError(f"its truncation_layers is {layers!r}")
    if generator is not None and not isinstance(generator, str):
        raise LatentError(f"its generator is {generator!r}")
    moves = json.loads(metadata["resefa.confined"])
    if not isinstance(moves, list) or len(moves) > _MAX_CONFINED:
        raise LatentError("its list of confined moves is damaged")
    confined = []
    for index, (confine, region) in enumerate(moves):
        if type(confine) not in (int, float) or not 0 <= confine <= 1:
            raise LatentError(f"confined move {index} has confinement {confine!r}")
        prefix = f"confined_{index:02d}_"
        parts = {part: tensors.pop(prefix + part, None) for part in ("codes", "styles", "z")}
        mask = tensors.pop(prefix + "mask", None)
        confined.append(ConfinedMove(Region.from_json(region, mask), float(confine), **parts))
    known = {"codes", "label", "z", "z_offset", "style_offset"}
    if "codes" not in tensors or not set(tensors) <= known:
        raise LatentError(f"its tensors are {sorted(tensors)[:8]}: expected 'codes' and some of {known}")
    for name, tensor in tensors.items():
        floating = name != "label"
        if tensor.is_floating_point() != floating or tensor.ndim != {"codes": 3, "label": 1}.get(name, 2):
            raise LatentError(f"its {name} has type {tensor.dtype} and shape {tuple(tensor.shape)}")
    for move in confined:
        for part, dims in (("codes", 3), ("styles", 2), ("z", 2)):
            tensor = getattr(move, part)
            if tensor is not None and (tensor.ndim != dims or not tensor.is_floating_point()):
                raise LatentError(f"a confined move's {part} has shape {tuple(tensor.shape)}")
    return Latent(
        **tensors,
        seed=None if seeds is None else tuple(seeds),
        truncation=float(truncation),
        truncation_layers=layers,
        confined=tuple(confined),
        generator=generator,
    )
