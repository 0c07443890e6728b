"""Which kind of file one is, by its content: directions, latents, a generator; and where that goes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from torch import Tensor

from .errors import ReSeFaError
from .files import read_header
from .files.contents import PNG, Contents, numbers_of, open_contents
from .files.described import Record

OURS = "resefa."
"""What the metadata of the package's own files begin with."""
DIRECTIONS_KEY = "resefa.format_version"
LATENT_KEY = "resefa.latent_version"
ANALYSIS_KEY = "resefa.jacobian_version"
PARTS_KEY = "resefa.parts_version"
ATLAS_KEY = "resefa.atlas_version"
SUMS_KEY = "resefa.sums_version"
COMPONENT_ORDER = "component_order"
"""What the metadata of direction files have, the package's own and those of the ComfyUI-StyleGan packs."""
CODE_NAMES = ("w", "dlatents", "latent", "latents", "codes", "w_plus")
"""What projectors and encoders call the codes that they write."""
DIRECTION_NAMES = (("lat_comp",), ("comp", "std"), ("eigvec",))
"""The arrays that tell a file of directions: of GANSpace, of its components in PyTorch, and of rosinality's
factorization."""

DIRECTION_SUFFIXES = (".safetensors", ".npy", ".npz", ".pkl", ".pt", ".pth")
"""How files that may hold directions are called."""
MAX_BYTES = 64 << 20
"""The largest file of directions or of latents that is accepted, and what an archive of them may unpack
to."""
_UNIT = 1e-4
_MOST_NAMED = 64


class Kind(Enum):
    """What a file is, and where it goes, in words for messages."""

    DIRECTIONS = (
        "a direction file: open it as directions (resefa edit FILE, Load Directions, the demo's Open)"
    )
    LATENT = "a latent: give it as one (--latent FILE, Load GAN Latent)"
    ANALYSIS = "an analysis of an image: give it to resefa factorize (--jacobian FILE)"
    PARTS = "named parts of a generator: give them as such (--parts FILE)"
    ATLAS = (
        "an atlas of directions: open it as one (resefa atlas show FILE, Load Atlas, the demo's Open), or "
        "export its direction files (resefa atlas export FILE)"
    )
    SUMS = "the sums of an atlas: give them to resefa atlas build (--sums FILE)"
    WEIGHTS = "a network's weights: open them as a generator (--generator FILE, Load GAN)"
    VECTORS = (
        "an array or a tensor of vectors: a latent is given as one (--latent FILE, Load GAN Latent), "
        "directions are opened with a space (resefa edit FILE --space w, Load Directions, the demo's Open)"
    )
    PICTURE = "a picture: one that carries a latent is given as that (--latent FILE, Load GAN Latent)"
    UNKNOWN = ""


def open_small(file: Path, error: type[ReSeFaError]) -> Contents:
    """What a file of directions or latents holds; raises `error` for one that can't be read or is too
    large."""
    return open_contents(file, error, MAX_BYTES)


def kind_of_file(file: Path) -> Kind:
    """What a file is; `UNKNOWN` for one that can't be read, and for large ones that do not say it."""
    try:
        if file.suffix.lower() == ".safetensors":
            kind = kind_of_metadata(read_header(file, ReSeFaError)[1])
            if kind != Kind.UNKNOWN:
                return kind
        return kind_of_contents(open_small(file, ReSeFaError))
    except ReSeFaError:
        return Kind.UNKNOWN


def kind_of_contents(contents: Contents) -> Kind:
    """What a file's contents are; `UNKNOWN` for none of these."""
    if contents.form == PNG:
        return Kind.PICTURE
    if (kind := kind_of_metadata(contents.metadata)) != Kind.UNKNOWN:
        return kind
    root = contents.root
    if not isinstance(root, Mapping):
        if are_unit(root):
            return Kind.DIRECTIONS
        parts = root if isinstance(root, (list, tuple)) else [root]
        return Kind.VECTORS if parts and all(map(_are_vectors, parts)) else Kind.UNKNOWN
    if names_of_directions(root):
        return Kind.DIRECTIONS
    if any(name in root for name in CODE_NAMES) or is_nested(root):
        return Kind.LATENT
    if len(root) > _MOST_NAMED or any(isinstance(part, (Mapping, Record)) for part in root.values()):
        return Kind.WEIGHTS
    return Kind.DIRECTIONS if root and all(map(are_unit, root.values())) else Kind.UNKNOWN


def kind_of_metadata(metadata: Mapping[str, str]) -> Kind:
    """What the metadata of a safetensors file say that it is."""
    for key, kind in (
        (DIRECTIONS_KEY, Kind.DIRECTIONS),
        (ANALYSIS_KEY, Kind.ANALYSIS),
        (LATENT_KEY, Kind.LATENT),
        (PARTS_KEY, Kind.PARTS),
        (ATLAS_KEY, Kind.ATLAS),
        (SUMS_KEY, Kind.SUMS),
        (COMPONENT_ORDER, Kind.DIRECTIONS),
        ("init_kwargs", Kind.WEIGHTS),
    ):
        if key in metadata:
            return kind
    return Kind.UNKNOWN


def names_of_directions(root: Mapping[object, object]) -> tuple[str, ...]:
    """Which of `DIRECTION_NAMES` a dictionary has; empty for none."""
    return next((names for names in DIRECTION_NAMES if all(name in root for name in names)), ())


def is_nested(root: Mapping[object, object]) -> bool:
    """Whether a dictionary has codes for each of several pictures, as rosinality's projector writes them."""
    parts = list(root.values())
    return bool(parts) and all(
        isinstance(part, Mapping) and any(name in part for name in CODE_NAMES) for part in parts
    )


def _are_vectors(value: object) -> bool:
    try:
        array = numbers_of(value, MAX_BYTES)
    except Exception:  # as damaged files raise
        return False
    return 1 <= array.ndim <= 3 and array.numel() > 1


def are_unit(value: object) -> bool:
    """Whether a value is an array `(..., D)` of vectors that are all of unit length, as directions often are
    and codes never."""
    try:
        vectors = numbers_of(value, MAX_BYTES)
    except Exception:  # as damaged files raise
        return False
    if not 1 <= vectors.ndim <= 3 or vectors.numel() == 0 or vectors.shape[-1] < 2:
        return False
    return bool((lengths(vectors) - 1.0).abs().max() < _UNIT)


def lengths(vectors: Tensor) -> Tensor:
    """The lengths of vectors `(..., D)`, in double precision."""
    return vectors.double().norm(dim=-1)
