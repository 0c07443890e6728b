"""Latents: the codes that a generator turns into images, their moves, and their files."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..bounds import CODE, CONFINE, TRUNCATION, check_values, number, shown, whole
from ..errors import LatentError, RegionError
from ..files import DAMAGE, hash_tensors, pack_tensors, parse_tensors, read_bytes, write_tensors
from ..files.contents import PNG
from ..kinds import LATENT_KEY, MAX_BYTES, OURS, Kind, kind_of_metadata, open_small
from ..regions import Region
from .codes import Codes, find_codes
from .crop import Crop

if TYPE_CHECKING:
    from .edits import Edited

_FORMAT = "1"
_CROP_KEY = "resefa.crop"
_MAX_CONFINED = 64
_MAX_LAYERS = 1000
_MAX_TEXT = 1 << 20
_DIGEST_SIDE = 256
PNG_KEY = "resefa_latent"
"""The name of the text in a PNG that holds its image's latent."""
_DIMENSIONS = {"codes": 3, "label": 1, "z": 2, "z_offset": 2, "style_offset": 2, "styles": 2}


class ConfinedMove(NamedTuple):
    """A move that acts at `(1 - confine) + confine * mask` of its size over the image: offsets of
    codes `(B, L, D)`, style channels `(B, sum S)` or noise `(B, z_dim)`."""

    region: Region
    confine: float
    codes: Tensor | None = None
    styles: Tensor | None = None
    z: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The offsets that there are, by name."""
        parts = {"codes": self.codes, "styles": self.styles, "z": self.z}
        return {name: tensor for name, tensor in parts.items() if tensor is not None}

    def map_tensors(self, function: Callable[[Tensor], Tensor]) -> ConfinedMove:
        """The same move with a function applied to each of its offsets."""
        mapped: dict[str, Any] = {name: function(tensor) for name, tensor in self.tensors().items()}
        return self._replace(**mapped)


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
        made_by: the edit that led here and where it started, for files to carry; None if there was none. Not
            part of what decides the image.
        crop: where the image lies in the photo that it was found for; None where there is none. Not part of
            what decides the image either.
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
    made_by: Edited | None = field(default=None, repr=False)
    crop: Crop | None = None

    def __post_init__(self) -> None:
        number(self.truncation, "truncation", *TRUNCATION, LatentError)
        if self.truncation_layers is not None:
            whole(self.truncation_layers, "truncation_layers", 0, _MAX_LAYERS, LatentError)
        if self.codes.ndim != 3 or 0 in self.codes.shape:
            raise LatentError(f"codes have shape {tuple(self.codes.shape)}: expected (B, L, D)")
        for name, tensor in self._tensors().items():
            dimensions = _DIMENSIONS.get(name) or _DIMENSIONS[name.rpartition("_")[2]]
            fits = tensor.dtype == torch.int64 if name == "label" else tensor.is_floating_point()
            if tensor.ndim != dimensions or not fits:
                raise LatentError(
                    f"{name} has type {tensor.dtype} and shape {tuple(tensor.shape)}: expected "
                    f"{'int64' if name == 'label' else 'floating-point'} numbers in {dimensions} dimensions"
                )
            if tensor.shape[0] != len(self):
                raise LatentError(f"{name} is for {tensor.shape[0]} images, the codes for {len(self)}")
            moved = self.codes if dimensions == 3 else self.z if name.endswith(("z", "z_offset")) else None
            if moved is not None and tensor.shape != moved.shape:
                raise LatentError(
                    f"{name} has shape {tuple(tensor.shape)}, what it moves {tuple(moved.shape)}"
                )
        if self.seed is not None:
            if len(self.seed) != len(self):
                raise LatentError(f"{len(self.seed)} seeds were given for {len(self)} images")
            _check_seeds(self.seed)
        if self.generator is not None and not isinstance(self.generator, str):
            raise LatentError(f"the generator's fingerprint {shown(self.generator)} is not text")

    def __repr__(self) -> str:
        seeds = "" if self.seed is None else f", seed {', '.join(map(str, self.seed[:3]))}"
        seeds += ", ..." if self.seed is not None and len(self.seed) > 3 else ""
        moves = sum(each is not None for each in (self.z_offset, self.style_offset)) + len(self.confined)
        moved = f", {moves} moves of its own" if moves else ""
        return f"Latent({tuple(self.codes.shape)}{seeds}, truncation {self.truncation:g}{moved})"

    def __len__(self) -> int:
        return int(self.codes.shape[0])

    @property
    def codes_to_tell(self) -> Tensor | None:
        """`(L, D)`, the codes of one image as direction files tell them, float32; None for those of a photo,
        which show what it shows."""
        return self.codes[0].float().cpu() if self.crop is None else None

    def __getitem__(self, index: int | slice) -> Latent:
        """One latent of the batch, or several, still as a batch."""
        rows = range(len(self))[index]
        chosen = [rows] if isinstance(rows, int) else list(rows)
        return self.map_tensors(
            lambda tensor: tensor[chosen],
            seed=None if self.seed is None else tuple(self.seed[row] for row in chosen),
            made_by=None if self.made_by is None else self.made_by[index],
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Latent:
        """The same latent on a device, as a floating type."""
        return self.map_tensors(
            lambda t: t.to(device, dtype) if t.is_floating_point() and dtype else t.to(device),
        )

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of the latent by the name that they have in a file."""
        found = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Tensor):
                found[each.name] = value
        for index, move in enumerate(self.confined):
            for part, tensor in move.tensors().items():
                found[f"confined_{index:02d}_{part}"] = tensor
        return found

    def map_tensors(self, function: Callable[[Tensor], Tensor], **changes: Any) -> Latent:
        """The same latent with a function applied to each of its tensors, and other changes."""
        mapped: dict[str, Any] = {
            each.name: function(getattr(self, each.name))
            for each in fields(self)
            if isinstance(getattr(self, each.name), Tensor)
        }
        confined = tuple(move.map_tensors(function) for move in self.confined)
        return replace(self, **mapped, confined=confined, **changes)

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the latent to a safetensors file, atomically.

        Raises:
            LatentError: the file exists and `overwrite` is false, or it can't be written, or it would
                be larger than `load` accepts.
            RegionError: a confined move's painted region is too small for the mask that is stored.
        """
        tensors, metadata = self.file_content()
        write_tensors(path, tensors, metadata, LatentError, overwrite, MAX_BYTES)

    def file_content(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The tensors and the metadata that stand for the latent in a file."""
        if len(self.confined) > _MAX_CONFINED:
            raise LatentError(
                f"{len(self.confined)} confined moves, more than the {_MAX_CONFINED} that a file may have"
            )
        tensors = {name: tensor.detach().cpu() for name, tensor in self._tensors().items()}
        _check_range(tensors)
        for index, move in enumerate(self.confined):
            if "mask" in move.region.to_json():
                tensors[f"confined_{index:02d}_mask"] = move.region.stored_mask()
        metadata = {
            LATENT_KEY: _FORMAT,
            "resefa.seeds": json.dumps(None if self.seed is None else [int(seed) for seed in self.seed]),
            "resefa.truncation": json.dumps(self.truncation),
            "resefa.truncation_layers": json.dumps(self.truncation_layers),
            "resefa.generator": json.dumps(self.generator),
            "resefa.confined": json.dumps([[move.confine, move.region.to_json()] for move in self.confined]),
        }
        if self.crop is not None:
            metadata[_CROP_KEY] = json.dumps(self.crop.to_json())
        if self.made_by is not None:
            metadata |= self.made_by.metadata(self)
        return tensors, metadata

    def to_text(self) -> str:
        """The latent as text that fits a PNG, where it goes under the key `PNG_KEY`.

        Raises:
            LatentError: it would be larger than readers of PNG files accept.
        """
        tensors, metadata = self.file_content()
        data = pack_tensors(Path("latent"), tensors, metadata, LatentError)
        text = base64.b64encode(data).decode("ascii")
        if len(text) > _MAX_TEXT and self.made_by is not None:
            return replace(self, made_by=None).to_text()
        if len(text) > _MAX_TEXT:
            raise LatentError(
                f"the latent takes {len(text)} characters, more than the {_MAX_TEXT} a PNG may hold"
            )
        return text

    @staticmethod
    def from_text(text: str) -> Latent:
        """Undo `to_text`; the text may come from a stranger.

        Raises:
            LatentError: the text is damaged, or something else.
        """
        return Latent.from_file_content(Path("latent"), *content_of_text(Path("latent"), text))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides the image, beside the generator."""
        digest = hashlib.sha256(
            hash_tensors({k: t.detach().cpu() for k, t in self._tensors().items()}).encode()
        )
        digest.update(repr((self.truncation, self.truncation_layers)).encode())
        for move in self.confined:
            digest.update(repr(move.confine).encode())
            digest.update(move.region.mask(_DIGEST_SIDE, _DIGEST_SIDE, check=False).numpy().tobytes())
        return digest.hexdigest()

    @staticmethod
    def load(path: str | PathLike[str]) -> Latent:
        """Read a latent: a file of `save`, a PNG that carries one, or codes from a projector or an encoder.

        Codes are `.npz`, `.npy`, `.safetensors`, `.pt` or `.pth` (read as data, nothing in it is run) with an
        array `(D,)`, `(L, D)` or `(B, L, D)`, a list of those, a dictionary with `w`, `dlatents`, `latent` or
        the like, or such a dictionary for each picture, as rosinality's projector writes. One code alone,
        `(D,)` or `(B, 1, D)`, is for all layers: give the generator's layers through `expand`. An array
        `(L, D)` is taken to be one latent of L layers: `resefa.open_latent` knows how many a generator has.

        Raises:
            LatentError: the file is missing, damaged, or holds something else, and what it is.
        """
        file = Path(path)
        content = read_content(file)
        if isinstance(content, Codes):
            return Latent(codes=content.values)
        return Latent.from_file_content(file, *content)

    @staticmethod
    def from_file_content(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Latent:
        """Undo `file_content`; `file` is for the errors.

        Raises:
            LatentError: the content is damaged, or something else.
        """
        version = metadata.get(LATENT_KEY)
        if version != _FORMAT:
            raise LatentError(
                f"{file}: not a latent file of version {_FORMAT}: its metadata has {LATENT_KEY} = "
                f"{str(version)[:40]}"
            )
        try:
            return _from_file(tensors, metadata)
        except KeyError as error:
            raise LatentError(f"{file}: damaged latent file: its metadata lack {error}") from error
        except (*DAMAGE, LatentError, RegionError) as error:
            raise LatentError(f"{file}: damaged latent file: {error}") from error

    def expand(self, num_layers: int) -> Latent:
        """One code per image, `(B, 1, D)`, repeated for all layers; other latents are returned as
        they are."""
        if self.codes.shape[1] != 1:
            return self
        return replace(self, codes=self.codes.repeat(1, num_layers, 1))


def stack(latents: Sequence[Latent]) -> Latent:
    """Several latents as one batch; they must be of one kind: the same fields in use, one generator,
    one truncation.

    Raises:
        LatentError: nothing to stack, or latents that differ in kind or shape.
    """
    if not latents:
        raise LatentError("no latents were given to stack")
    first = latents[0]
    for name in ("generator", "truncation", "truncation_layers"):
        values = {getattr(latent, name) for latent in latents}
        if len(values) > 1:
            raise LatentError(f"latents that differ in {name} can't be stacked: {list(values)[:8]}")
    if any(latent.confined for latent in latents):
        raise LatentError("latents with confined edits can't be stacked: their regions differ")
    changes: dict[str, Any] = {"made_by": None, "crop": None}
    for name in sorted({name for latent in latents for name in latent._tensors()}):
        parts = [getattr(latent, name) for latent in latents]
        tensor = parts[0]
        if tensor is None or any(part is None or part.shape[1:] != tensor.shape[1:] for part in parts):
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
    _check_seeds(seeds)
    draws = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(draws).astype(np.float32))


def draw_truncated_noise(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Standard normal noise between -2 and 2, `(B, z_dim)`, float32, the same on every machine.

    Each seed draws `z_dim` numbers of `numpy.random.RandomState(seed).uniform` and turns them by the inverse
    of the truncated distribution's cumulative function, as `scipy.stats.truncnorm.rvs(-2, 2, ...)` does.

    Raises:
        LatentError: a seed outside [0, 2**32 - 1], or none.
    """
    if not seeds:
        raise LatentError("no seeds were given")
    _check_seeds(seeds)
    draws = np.stack([np.random.RandomState(seed).uniform(size=z_dim) for seed in seeds])
    low, high = torch.special.ndtr(torch.tensor([-2.0, 2.0], dtype=torch.float64))
    return torch.special.ndtri(low + (high - low) * torch.from_numpy(draws)).float()


def _check_seeds(seeds: Sequence[int]) -> None:
    for seed in seeds:
        try:
            known = not isinstance(seed, bool) and 0 <= operator.index(seed) < 2**32
        except TypeError:
            known = False
        if not known:
            raise LatentError(f"seed {shown(seed)} is not a whole number in [0, 2**32 - 1]")


def read_content(file: Path) -> tuple[dict[str, Tensor], dict[str, str]] | Codes:
    """The tensors and metadata of a latent's own file, or of a PNG that carries one; or another program's
    codes.

    Raises:
        LatentError: the file can't be read, or holds something else.
    """
    if file.suffix.lower() == ".png":
        return _from_png(file)
    contents = open_small(file, LatentError)
    if contents.form == PNG:
        return _from_png(file)
    if any(key.startswith(OURS) for key in contents.metadata) and isinstance(contents.root, dict):
        kind = kind_of_metadata(contents.metadata)
        if kind not in (Kind.LATENT, Kind.UNKNOWN):
            raise LatentError(f"{file}: no latent: it is {kind.value}")
        return contents.root, contents.metadata
    return find_codes(contents)


def _from_png(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of the latent that a PNG carries; its pixels are not decoded."""
    data = read_bytes(file, LatentError, MAX_BYTES)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            text = picture.info.get(PNG_KEY)
    except Exception as error:  # Pillow raises many kinds on damaged pictures
        raise LatentError(f"{file}: not readable as a PNG: {error}") from error
    if not isinstance(text, str):
        raise LatentError(f"{file}: this PNG carries no latent (it has no text named {PNG_KEY!r})")
    return content_of_text(file, text)


def content_of_text(file: Path, text: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata in what `Latent.to_text` wrote; `file` is for the errors."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:
        raise LatentError(f"{file}: the text that should hold a latent is damaged: {error}") from error
    return parse_tensors(file, content, LatentError)


def _check_range(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel():
            check_values(tensor, name, CODE, LatentError)


def _from_file(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Latent:
    _check_range(tensors)
    seeds = json.loads(metadata["resefa.seeds"])
    if seeds is not None and not isinstance(seeds, list):
        raise LatentError(f"its seeds are {str(seeds)[:80]}")
    truncation = json.loads(metadata["resefa.truncation"])
    layers = json.loads(metadata["resefa.truncation_layers"])
    generator = json.loads(metadata["resefa.generator"])
    crop = metadata.get(_CROP_KEY)
    moves = json.loads(metadata["resefa.confined"])
    if not isinstance(moves, list) or len(moves) > _MAX_CONFINED:
        raise LatentError("its list of confined moves is damaged")
    confined = []
    for index, (confine, region) in enumerate(moves):
        confine = number(confine, f"confinement of move {index}", *CONFINE, LatentError)
        prefix = f"confined_{index:02d}_"
        parts = {part: tensors.pop(prefix + part, None) for part in ("codes", "styles", "z")}
        mask = tensors.pop(prefix + "mask", None)
        confined.append(ConfinedMove(Region.from_json(region, mask), confine, **parts))
    known = {"codes", "label", "z", "z_offset", "style_offset"}
    if "codes" not in tensors or not set(tensors) <= known:
        raise LatentError(
            f"its tensors are {str(sorted(tensors))[:200]}: expected 'codes' and some of {known}"
        )
    return Latent(
        **tensors,  # type: ignore[arg-type]
        seed=None if seeds is None else tuple(seeds),
        truncation=truncation,
        truncation_layers=layers,
        confined=tuple(confined),
        generator=generator,
        crop=None if crop is None else Crop.from_json(json.loads(crop)),
    )
