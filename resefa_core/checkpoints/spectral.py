"""Spectral norms: files keep a weight and the vectors that its largest singular value was estimated with;
generators here keep the quotient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .weights import Lazy

_TORCH = (".weight_orig", ".weight_u", ".weight_v")


def without_torch_norms(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """Tensors with each `weight_orig`, `weight_u`, `weight_v` of `torch.nn.utils.spectral_norm` made one
    `weight`, as it evaluates them: `W / (u . W v)`. Files of PyTorch before 1.0 have the quotient itself in
    `weight`, and no `weight_v`.

    Raises:
        KeyError: a vector is missing.
        ValueError: a vector of another length than its weight's.
    """
    found = {name: lazy for name, lazy in tensors.items() if not name.endswith(_TORCH)}
    for name in tensors:
        if not name.endswith(_TORCH[0]):
            continue
        stem = name.removesuffix(_TORCH[0])
        if f"{stem}.weight" in found and f"{stem}.weight_v" not in tensors:
            continue
        weight, left, right = (tensors[f"{stem}{end}"] for end in _TORCH)
        rows, columns = _sides(name, weight)
        _check_length(f"{stem}.weight_u", left, rows)
        _check_length(f"{stem}.weight_v", right, columns)

        def norm(matrix: Tensor, left: Lazy = left, right: Lazy = right) -> Tensor:
            u, v = (each.read().to(matrix).flatten() for each in (left, right))
            return torch.dot(u, torch.mv(matrix, v))

        found[f"{stem}.weight"] = _divided(weight, norm, (left, right))
    return found


def without_biggan_norms(tensors: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """Tensors with the vectors of BigGAN-PyTorch's spectral norm, `u0` and what is recorded beside it, taken
    into each `weight`. It evaluates `W / |W v|` with v the unit vector along `u0 W`.

    Raises:
        KeyError: a weight is missing.
        ValueError: a vector of another length than its weight's.
    """
    ends = {name: name.rpartition(".") for name in tensors}
    found = {name: lazy for name, lazy in tensors.items() if not _is_record(ends[name][2])}
    for name, (stem, _, end) in ends.items():
        if end != "u0":
            continue
        weight, start = tensors[f"{stem}.weight"], tensors[name]
        _check_length(name, start, _sides(f"{stem}.weight", weight)[0])

        def norm(matrix: Tensor, start: Lazy = start) -> Tensor:
            v = F.normalize(start.read().to(matrix).reshape(1, -1) @ matrix)
            u = F.normalize(v @ matrix.T)
            return (v @ matrix.T @ u.T).squeeze()

        found[f"{stem}.weight"] = _divided(weight, norm, (start,))
    return found


def _is_record(end: str) -> bool:
    """Whether a name ends as what BigGAN-PyTorch keeps of a weight's norm does: u0, sv0, u1, ..."""
    return end.rstrip("0123456789") in ("u", "sv") and end[-1:].isdecimal()


def _sides(name: str, weight: Lazy) -> tuple[int, int]:
    if len(weight.shape) < 2 or 0 in weight.shape:
        raise ValueError(f"{name[:80]} has shape {weight.shape}: expected that of a weight")
    return weight.shape[0], math.prod(weight.shape[1:])


def _check_length(name: str, vector: Lazy, length: int) -> None:
    if math.prod(vector.shape) != length or len(vector.shape) > 2:
        raise ValueError(f"{name[:80]} has shape {vector.shape}, expected {length} numbers")


def _divided(weight: Lazy, norm: Callable[[Tensor], Tensor], vectors: tuple[Lazy, ...]) -> Lazy:
    """A weight over its norm, in the type that the weight has; the norm is computed in float32 at least."""

    def read() -> Tensor:
        whole = weight.read()
        wide = whole if whole.dtype == torch.float64 else whole.float()
        return (wide / norm(wide.flatten(1))).to(whole.dtype)

    return Lazy(weight.shape, weight.dtype, read, weight.stored + sum(each.stored for each in vectors))
