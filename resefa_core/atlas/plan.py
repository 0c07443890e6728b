"""What decides the numbers of an atlas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis import analysis_size, chosen_kind
from ..bounds import TRUNCATION, number, whole
from ..defaults import TRUNCATION as USUAL
from ..errors import ParameterError, RegionError
from ..generators.base import Generator
from ..generators.description import GeneratorDescription
from ..latents.samples import SEEDS
from ..parsing import shown_seeds
from ..parts import PartFinder, Parts, parts_of_generator
from ..regions import Region, Selection
from ..spaces import latent_space, quick_space

MOST_IMAGES = 1 << 40
MOST_REGIONS = 64
ALONE = 256
"""Images whose own directions are kept, evenly among all."""
OWN = 4
"""How many of each."""
BLOCK = 8
"""Images of a task; a power of two."""

_MOST_BYTES = 4 << 30
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """What an atlas is of.

    Attributes:
        generator: its description, as `Generator.describe` gives it.
        seeds: of the images, in the order in which they are summed.
        truncation, label: as `Generator.sample` takes them.
        space, layers: where directions live, and the layers that they move.
        regions: by name: a part of each image's own, or a region that is the same on all.
        parts: what the names of parts stand for; None where no region is a part.
        dimension: d of the space.
        image_size: height and width of analysed images.
    """

    generator: GeneratorDescription
    seeds: Sequence[int]
    truncation: float
    label: int | None
    space: str
    layers: tuple[int, ...]
    regions: dict[str, Region | Selection]
    parts: Parts | None
    dimension: int
    image_size: tuple[int, int]

    @staticmethod
    def of(
        generator: Generator,
        seeds: Sequence[int],
        regions: Sequence[str] = (),
        *,
        parts: Parts | None = None,
        space: str | None = None,
        layers: Sequence[int] | None = None,
        truncation: float | None = None,
        label: int | None = None,
    ) -> Plan:
        """A plan, checked before any work is done.

        Args:
            seeds: a range or a list, each once.
            regions: names of parts, or texts that `Region.from_text` reads; all parts for none.
            parts: of the generator; those that come with it for None.
            space: one in which an image is analysed in a moment for None.
            layers: all for None.
            truncation: the usual one for None, where the generator has a mapping network.

        Raises:
            RegionError: no such region, or one that is chosen by clicks on an image.
            LatentError: the generator has no such space or layers.
            ParameterError: seeds that are none or come twice, a number out of range, or a space too large for
                sums.
        """
        whole(len(seeds), "number of images", 1, MOST_IMAGES)
        if not isinstance(seeds, range):
            seeds = tuple(whole(seed, "seed", 0, SEEDS - 1) for seed in seeds)
            if len(set(seeds)) < len(seeds):
                raise ParameterError("a seed was given twice: an image would count twice")
        for end in (seeds[0], seeds[-1]):
            whole(end, "seed", 0, SEEDS - 1)
        if truncation is None:
            truncation = USUAL if generator.has_mapping else 1.0
        known = PartFinder.known(generator, parts) if parts is not None else parts_of_generator(generator)
        if label is None and generator.num_classes:
            label = 0
        names = list(regions) or ([] if known is None else list(known.part_names))
        if not names:
            raise RegionError(
                f"no parts are known of {generator.name or generator.architecture!r}: find them first "
                "(resefa parts --find), or say which regions"
            )
        whole(len(names), "number of regions", 1, MOST_REGIONS)
        meant = {name: _meant(name, generator, known) for name in names}
        space = quick_space(generator) if space is None else space
        first = generator.sample(seeds[0], truncation, label)
        chosen = latent_space(generator, first, space, layers)
        if chosen_kind(generator, space, chosen.layers) != "dense":
            raise ParameterError(
                f"{space} on {len(chosen.layers)} layers has {chosen.dimension} dimensions, too many for "
                "sums of matrices: choose w or z, or fewer layers"
            )
        plan = Plan(
            generator=generator.describe(),
            seeds=seeds,
            truncation=number(truncation, "truncation", *TRUNCATION),
            label=label,
            space=space,
            layers=chosen.layers,
            regions=meant,
            parts=known if any(isinstance(each, Selection) for each in meant.values()) else None,
            dimension=chosen.dimension,
            image_size=analysis_size(generator),
        )
        if plan.nbytes > _MOST_BYTES:
            raise ParameterError(
                f"sums of {len(names)} regions in {plan.dimension} dimensions take {plan.nbytes >> 20} MB, "
                f"more than {_MOST_BYTES >> 20}: choose fewer regions or layers, or w"
            )
        return plan

    @property
    def names(self) -> tuple[str, ...]:
        """The regions' names."""
        return tuple(self.regions)

    @property
    def nbytes(self) -> int:
        """The memory that the sums take, in bytes: one set of them for each binary digit of how many images
        there are."""
        return len(self.seeds).bit_length() * 3 * 8 * len(self.regions) * self.dimension**2

    @property
    def alone(self) -> tuple[int, ...]:
        """The places among the seeds of the images whose own directions are kept."""
        count, kept = len(self.seeds), min(len(self.seeds), ALONE)
        return tuple(index * count // kept for index in range(kept))

    @property
    def digest(self) -> str:
        """Short text that plans which lead to other sums don't share."""
        told = {
            "version": _VERSION,
            "fingerprint": self.generator.fingerprint,
            "seeds": shown_seeds(self.seeds),
            "truncation": self.truncation,
            "class": self.label,
            "space": self.space,
            "layers": self.layers,
            "regions": {
                name: each.to_text() if isinstance(each, Selection) else each.to_json(embed=True)
                for name, each in self.regions.items()
            },
            "parts": None if self.parts is None else self.parts.digest,
            "alone": [ALONE, OWN],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _meant(text: str, generator: Generator, parts: Parts | None) -> Region | Selection:
    chosen = Selection.meant(text, () if parts is None else parts.part_names)
    if chosen is None:
        region = Region.from_text(text, generator)
        region.mask(*analysis_size(generator))
        return region
    if chosen.clicks:
        raise RegionError(f"{text[:80]!r} is a place on one image: name a part, or give a box")
    if parts is None or chosen.name not in parts.part_names:
        known = "" if parts is None else ", ".join(parts.part_names)
        raise RegionError(f"there is no part {chosen.name[:60]!r}: expected one of {known or 'none'}")
    return chosen
