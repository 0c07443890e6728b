"""What was measured for an atlas, kept as it grows: a command that is killed goes on from there."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import AtlasError, ReSeFaError
from ..files import DAMAGE, read_bytes, write_bytes
from ..regions import Region
from .measuring import Measured
from .plan import Plan

_VERSION = 1
_MAX_BYTES = 1 << 28


class Results:
    """What directions do on images, by region and the images' places.

    Args:
        plan: of the atlas.
        vectors: the directions `(k, d)` of each region. What a file has of others is left out.
        file: where they are kept; nowhere for None.

    Raises:
        AtlasError: the file is damaged, or something else.
    """

    def __init__(self, plan: Plan, vectors: Mapping[str, Tensor], file: Path | None = None) -> None:
        self.file = file
        self.found: dict[str, dict[int, Measured]] = {name: {} for name in vectors}
        self._keys = {name: _key(plan, name, each) for name, each in vectors.items()}
        if file is not None and file.exists():
            self._load(file, {name: len(each) for name, each in vectors.items()})

    def missing(self, places: Mapping[str, Iterable[int]]) -> list[tuple[int, tuple[str, ...]]]:
        """The places at which regions are not measured yet, each with these regions.

        Args:
            places: where each region is to be measured.
        """
        wanted: dict[int, list[str]] = {}
        for name, chosen in places.items():
            for place in chosen:
                if place not in self.found[name]:
                    wanted.setdefault(place, []).append(name)
        return [(place, tuple(wanted[place])) for place in sorted(wanted)]

    def add(self, place: int, measured: Mapping[str, Measured]) -> None:
        """Take what was measured at a place, by region."""
        for name, each in measured.items():
            self.found[name][place] = each

    def save(self) -> None:
        """Write the file, atomically.

        Raises:
            AtlasError: it can't be written.
        """
        if self.file is None:
            return
        regions = {
            name: {"key": self._keys[name], "images": {place: _told(each) for place, each in found.items()}}
            for name, found in self.found.items()
        }
        text = json.dumps({"version": _VERSION, "regions": regions}, allow_nan=False)
        write_bytes(self.file, text.encode(), AtlasError, overwrite=True)

    def _load(self, file: Path, counts: Mapping[str, int]) -> None:
        content = read_bytes(file, AtlasError, _MAX_BYTES)
        try:
            data = json.loads(content)
            if data["version"] != _VERSION:
                raise ValueError("another version")
            for name, kept in data["regions"].items():
                if kept["key"] == self._keys.get(name):
                    self.found[name] = {
                        int(place): _measured(each, counts[name]) for place, each in kept["images"].items()
                    }
        except (*DAMAGE, ReSeFaError, RecursionError) as problem:
            raise AtlasError(
                f"{file}: not what an atlas keeps of its measures, or damaged: {str(problem)[:200]}; "
                "delete it, and they are made again"
            ) from problem


def _key(plan: Plan, name: str, vectors: Tensor) -> str:
    """Short text that what leads to other results doesn't share."""
    digest = hashlib.sha256(f"{plan.digest}\0{name}\0".encode())
    digest.update(vectors.cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def _told(measured: Measured) -> dict[str, Any]:
    return {
        "region": measured.region,
        "inside": measured.inside.tolist(),
        "outside": measured.outside.tolist(),
        "ratios": [
            [None if math.isnan(each) else each for each in pair] for pair in measured.ratios.tolist()
        ],
        "told": measured.told,
    }


def _measured(told: Mapping[str, Any], count: int) -> Measured:
    inside, outside = (_numbers(told[side], count) for side in ("inside", "outside"))
    flat = [math.nan if each is None else each for pair in told["ratios"] for each in pair]
    ratios = torch.tensor(flat, dtype=torch.float64).reshape(count, 2)
    words = tuple(tuple(str(each) for each in words) for words in told["told"])
    if len(words) != count:
        raise ValueError(f"words of {len(words)} directions, expected {count}")
    Region.from_json(told["region"])
    return Measured(told["region"], inside, outside, ratios, words)


def _numbers(values: list[float], count: int) -> Tensor:
    found = torch.tensor(values, dtype=torch.float64)
    if found.shape != (count,) or not bool(found.isfinite().all()):
        raise ValueError(f"{len(values)} numbers, expected {count}, all finite")
    return found
