"""Codes that projectors and encoders write: .npz, .npy, safetensors, and what `torch.save` makes of
tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..bounds import CODE, check_values
from ..errors import LatentError
from ..files import DAMAGE
from ..files.contents import NPZ, Contents, numbers_of
from ..files.described import kind_of
from ..files.reading import reason
from ..kinds import CODE_NAMES, MAX_BYTES, Kind, are_unit, is_nested, kind_of_contents

Rows = Literal["layers", "images"]
"""What the N vectors of an array `(N, D)` are: of one latent, a vector for each layer, or of N images in
w."""
ROWS: tuple[Rows, ...] = ("layers", "images")


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of a file.

    Attributes:
        values: `(B, L, D)`, float32, finite; L is 1 where a code is for all layers.
        is_table: whether the file has `(N, D)`, here `(1, N, D)`, which may be N codes in w as well.
    """

    values: Tensor
    is_table: bool = False

    def read_as(self, rows: Rows | None, num_layers: int) -> tuple[Tensor, str]:
        """The codes for a generator of so many layers, and a note where the file may mean something else.

        Args:
            rows: what the rows of a table are; for None, layers where there are as many of them, else images.
        """
        count = self.values.shape[1]
        if not self.is_table:
            return self.values, ""
        if rows == "layers" or (rows is None and count == num_layers):
            values, meant = self.values, f"one latent, a vector for each of {count} layers"
            alike = torch.equal(values, values[:, :1].expand_as(values))
            other = "" if alike else f"{count} images in w"
        else:
            values, meant = self.values[0][:, None], f"{count} images in w"
            other = f"one latent of {count} layers, which is for another generator"
        if rows is not None or not other:
            return values, ""
        return values, f"note: the file's {count} vectors were read as {meant}; they might be {other}"


def find_codes(contents: Contents) -> Codes:
    """The codes in another program's file: an array `(D,)`, `(N, D)` or `(B, L, D)`; a list of those; or a
    dictionary that has one under a name of `CODE_NAMES`, or such a dictionary for each picture. `(D,)` and
    `(1, D)` are one code for all layers.

    Raises:
        LatentError: the file holds something else.
    """
    file, kind = contents.file, kind_of_contents(contents)
    if kind not in (Kind.LATENT, Kind.VECTORS, Kind.UNKNOWN):
        raise LatentError(f"{file}: no latent: it is {kind.value}")
    try:
        found = _find(contents.root, contents.form)
    except DAMAGE as error:
        raise LatentError(f"{file}: not readable as codes: {reason(error)}") from error
    if are_unit(found.values):
        raise LatentError(
            f"{file}: no latent, as its vectors are all of length 1: it is {Kind.DIRECTIONS.value}"
        )
    if found.values.numel() * 4 > MAX_BYTES:
        raise LatentError(f"{file}: codes of shape {tuple(found.values.shape)} are over {MAX_BYTES >> 20} MB")
    check_values(found.values, f"{file}: the codes", CODE, LatentError)
    return found


def _find(root: object, form: str = "") -> Codes:
    if isinstance(root, Mapping):
        named = [root[name] for name in CODE_NAMES if name in root]
        if not named and is_nested(root):
            return _joined([_find(part) for part in root.values()])
        if not named:
            names = ", ".join(repr(name) for name in CODE_NAMES[1:])
            if form == NPZ:
                listed = str([f"{name}.npy" for name in root])[:200]
                raise ValueError(f"expected {names} or an array named 'w', found {listed}")
            keys = ", ".join(kind_of(key) for key in list(root)[:8]) or "an empty dictionary"
            raise ValueError(f"expected 'w', {names}, found {keys}")
        return _find(named[0])
    if isinstance(root, (list, tuple)):
        if not root:
            raise ValueError("expected codes, found an empty list")
        return _joined([_of(numbers_of(part, MAX_BYTES)) for part in root])
    return _of(numbers_of(root, MAX_BYTES))


def _of(array: Tensor) -> Codes:
    if array.ndim not in (1, 2, 3) or array.numel() == 0:
        raise ValueError(f"codes have shape {tuple(array.shape)}: expected (D,), (L, D) or (B, L, D)")
    if array.ndim == 1:
        return Codes(array[None, None].contiguous())
    if array.ndim == 3:
        return Codes(array.contiguous())
    return Codes(array[None].contiguous(), is_table=array.shape[0] > 1)


def _joined(parts: list[Codes]) -> Codes:
    """The codes of several pictures, each an array of its own, as a batch."""
    shapes = {tuple(part.values.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"codes of shapes {', '.join(map(str, sorted(shapes)))[:200]}: expected all alike")
    if sum(part.values.numel() for part in parts) * 4 > MAX_BYTES:
        raise ValueError(f"{len(parts)} codes are over {MAX_BYTES >> 20} MB together")
    return Codes(torch.cat([part.values for part in parts]))
