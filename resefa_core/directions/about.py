"""What there is to know of direction sets, latents and generators, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import LatentError
from ..files.contents import Contents
from ..generators.base import Generator
from ..kinds import Kind, kind_of_contents, lengths
from ..latents import Latent
from ..latents.codes import find_codes
from ..methods import METHODS
from .imported import read_vectors
from .sets import Directions


class Fit(NamedTuple):
    """Whether a direction set fits a generator.

    Attributes:
        fits: whether it can be used.
        note: why not, or what is to be known of its origin; empty where there is nothing.
    """

    fits: bool
    note: str


def fit(directions: Directions, generator: Generator) -> Fit:
    """Whether a direction set fits a generator, and what is to be known of that."""
    try:
        directions.check(generator)
    except LatentError as error:
        return Fit(False, str(error))
    return Fit(True, directions.origin_note(generator))


def method_title(key: str) -> str:
    """A method's name for people; files may name one that is not known here."""
    return METHODS[key].title if key in METHODS else key


def title_of(directions: Directions, generator: Generator) -> str:
    """A title for a set that has none: `mouth of avatars`, and the method where it isn't the usual one."""
    name = label_of(directions)
    whose = "" if directions.method == "resefa" else f", {method_title(directions.method)}"
    return f"{name} of {generator.name}{whose}"


def label_of(directions: Directions) -> str:
    """What a set's directions are named after: its region, in a word."""
    return (directions.region.name if directions.region is not None else "") or "region"


def made_for(directions: Directions) -> str:
    """The generator that a set was made for: its architecture and name."""
    known = directions.generator
    return f"{known.architecture or 'unknown'} {known.name or ''}".strip()


def rows(directions: Directions, source: str = "", fitting: Fit | None = None) -> list[tuple[str, str]]:
    """A direction set for people to look at before they use it: labels and plain texts, which may come from
    a stranger's file.

    Args:
        source: where it is from.
        fitting: whether it fits the generator in use.
    """
    count, images = len(directions), directions.num_samples
    layers = f"layers {directions.layers[0]} to {directions.layers[-1]}"
    found = [
        ("Title", directions.title),
        ("Author", directions.author),
        ("License", directions.license),
        ("About", directions.description[:500]),
        ("Made for", made_for(directions)),
        ("Directions", f"{count}: {', '.join(directions.names[:12])}"),
        ("Moves", f"{directions.space.upper()}, {layers}"),
        ("Method", method_title(directions.method)),
        ("Found on", f"{images} image{'s' if images > 1 else ''}"),
        ("From", source),
    ]
    if fitting is not None:
        found += [("Fits", "yes" if fitting.fits else "no"), ("Note", fitting.note)]
    return [(label, text) for label, text in found if text]


def as_text(found: list[tuple[str, str]]) -> str:
    """Rows as lines of text."""
    return "\n".join(f"{label}: {text}" for label, text in found)


def facts(directions: Directions) -> dict[str, Any]:
    """A direction set for programs; what is not known is left out."""
    known = directions.generator
    told: dict[str, Any] = {
        "kind": "directions",
        "method": method_title(directions.method),
        "title": directions.title,
        "author": directions.author,
        "description": directions.description,
        "license": directions.license,
        "date": directions.date,
        "generator": known.get("name", "unknown"),
        "architecture": known.get("architecture", "unknown"),
        "resolution": known.get("resolution", "unknown"),
        "fingerprint": known.get("fingerprint", "unknown"),
        "space": directions.space,
        "layers": list(directions.layers),
        "region": None if directions.region is None else json.dumps(directions.region.to_json()),
        "samples": directions.num_samples,
        "seeds": list(directions.seeds or ()),
        "names": list(directions.names),
    }
    if float(directions.outside.max()) > 0:
        told["inside : outside"] = [f"{ratio:.1f}" for ratio in directions.ratios]
    return {key: value for key, value in told.items() if value not in ("", None, [])}


def facts_of_latent(latent: Latent) -> dict[str, Any]:
    """A latent for programs."""
    told: dict[str, Any] = {
        "kind": "latents",
        "images": len(latent),
        "layers": latent.codes.shape[1],
        "latent dimension": latent.codes.shape[2],
        "seeds": list(latent.seed or ()),
        "truncation": latent.truncation,
        "confined moves": len(latent.confined),
        "generator": latent.generator,
    }
    if latent.crop is not None:
        told["photo"] = latent.crop.words
    if latent.made_by is not None:
        told["edit"] = latent.made_by.edit.words
    return told


def facts_of_arrays(contents: Contents) -> dict[str, Any]:
    """An array of vectors that may be directions or codes, for programs: by its shape, and by their lengths.

    Raises:
        LatentError: it is neither.
    """
    if kind_of_contents(contents) == Kind.DIRECTIONS:
        found = read_vectors(contents)
        told = {"kind": "directions", "shape": list(found.values.shape), "method": method_title(found.method)}
        return told | {
            "space": found.space or "not said: give --space",
            "layers": "not said: --layers, or all",
        }
    codes = find_codes(contents)
    batch, count, size = codes.values.shape
    norms = lengths(codes.values)
    if codes.is_table:
        latents = f"one of {count} layers, or {count} images in w (--latent FILE --rows layers or images)"
        directions = f"one of {count} layers (--space w+), or {count} (--space w)"
    else:
        latents = (
            f"{batch}, of {count} layers (--latent FILE)" if count > 1 else f"{batch} in w (--latent FILE)"
        )
        directions = f"{batch}, of {count} layers (--space w+)" if count > 1 else f"{batch} (--space w)"
    return {
        "kind": "latents, or directions: the file does not say which",
        "vectors": f"{batch * count} of {size} numbers",
        "lengths": f"{float(norms.min()):.4g} to {float(norms.max()):.4g}",
        "as latents": latents,
        "as directions": directions,
    }


def generator_rows(generator: Generator) -> list[tuple[str, str]]:
    """What a generator is: labels and texts."""
    found: list[tuple[str, Any]] = [
        ("generator", generator.name),
        ("architecture", generator.architecture),
        ("resolution", "{1} x {0}".format(*generator.image_size)),
        ("layers", f"{generator.num_layers}, codes of {generator.latent_dim}"),
        ("spaces", ", ".join(generator.spaces)),
    ]
    if generator.num_classes:
        found.append(("classes", generator.num_classes))
    credit = [("images by", generator.author), ("license", generator.license)]
    found += [(label, text) for label, text in credit if text]
    return [(label, str(value)) for label, value in found]


def credit_of(generator: Generator) -> str:
    """Whom to credit for a generator's images, and their license; empty where its file doesn't say."""
    return ", ".join(text for text in (generator.author, generator.license) if text)


def reading_note(directions: Directions) -> str:
    """How a file of another project was read where it may mean something else; empty for others. Those that
    are saved have a date."""
    unsaved = directions.recipe is None and not directions.date
    return f"note: {directions.description}" if unsaved and directions.description else ""


def in_range(directions: Directions, strengths: Mapping[int | str, float]) -> str:
    """A note on strengths beyond those that a set says are worth offering; empty where there are none."""
    low, high = directions.strength_range
    beyond = [
        f"{directions.names[directions.index(key)]} {value:+g}"
        for key, value in strengths.items()
        if not low <= value <= high
    ]
    if not beyond:
        return ""
    return f"note: beyond the range of {low:g} to {high:g} that these directions are for: {', '.join(beyond)}"
