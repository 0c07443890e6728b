"""The model card of a published direction set. Texts of the set are shown as they are, never rendered."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from string import Template

from huggingface_hub import ModelCardData
from torch import Tensor

from ..checkpoints import bundled_names
from ..directions import Directions
from ..generators.description import GeneratorDescription

TAG = "resefa-directions"
DIRECTIONS_FILE = "directions.safetensors"
PREVIEW_FILE = "preview.png"

_TEMPLATE = Path(__file__).with_name("model_card.md")
_ROWS = 64
_MAX_TAGS = 16
_TAG = re.compile(r"[a-z0-9][a-z0-9 ._+-]{0,38}[a-z0-9]")


def model_card(
    directions: Directions, repo_id: str, license: str, base_model: str | None, preview: str | None
) -> str:
    """Markdown with a YAML front matter.

    Args:
        directions: the set; its texts may come from a stranger.
        repo_id, license, base_model: identifiers of the Hub, which have been checked.
        preview: the address of the picture that lies beside the card, or None.
    """
    described = directions.generator
    metadata = ModelCardData(
        license=license,
        library_name="resefa",
        base_model=base_model,
        tags=card_tags(directions),
        thumbnail=preview,
    )
    name = described.name or ""
    count = len(directions)
    body = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=code(directions.title or ", ".join(directions.names[:3])),
        preview="" if preview is None else f"![What the directions do]({PREVIEW_FILE})",
        count="One direction" if count == 1 else f"{count} directions",
        generator=_generator(directions),
        file=DIRECTIONS_FILE,
        description=_verbatim(directions.description),
        fingerprint=code(described.fingerprint or ""),
        space=code(directions.space),
        layers=code(ranges(directions.layers)),
        region=code(_region(directions)),
        samples=directions.num_samples,
        author=code(directions.author),
        license=code(directions.license if license == "other" and directions.license else license),
        table=_table(directions),
        repo=repo_id,
        source=name if name in bundled_names() else "path/to/generator.safetensors",
        jointly=_jointly(directions.num_samples, directions.confined),
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n" + re.sub(r"\n{3,}", "\n\n", body)


def card_tags(directions: Directions) -> list[str]:
    """What the set is found by: `TAG`, the generator, and those of its own tags that are plain words."""
    tags = described_tags(TAG, directions.generator)
    own = [tag.lower() for tag in directions.tags if _TAG.fullmatch(tag.lower())]
    return list(dict.fromkeys([*tags, *own[:_MAX_TAGS]]))


def described_tags(tag: str, generator: GeneratorDescription) -> list[str]:
    """What something is found by: its own tag, and those of the generator that it is for, of what is known of
    that."""
    tags = [tag, "resefa", "gan", "image-editing"]
    for kind, known in (("generator", generator.architecture), ("fingerprint", generator.fingerprint)):
        value = (known or "").lower()[:40]
        if _TAG.fullmatch(value):
            tags.append(f"{kind}:{value}")
    return tags


def one_line(text: object, limit: int) -> str:
    """Text of a stranger on one line, of bounded length, without characters that are not shown."""
    joined = " ".join(str(text)[: 8 * limit].split())
    return "".join(c for c in joined if unicodedata.category(c)[0] != "C")[:limit].strip()


def code(text: object) -> str:
    """Text as a code span, in which Markdown renders nothing; also within a table."""
    plain = one_line(text, 200).replace("`", "'").replace("|", "¦")
    return f"`{plain}`" if plain else "unknown"


def ranges(numbers: tuple[int, ...]) -> str:
    """Ascending numbers in short.

    Example:
        >>> ranges((0, 1, 2, 3, 7, 9, 10))
        '0-3, 7, 9-10'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _verbatim(text: str) -> str:
    lines = [one_line(line, 2000).replace("`", "'") for line in text.splitlines()[:100]]
    return "\n".join(["```text", *lines, "```"]) if any(lines) else ""


def _generator(directions: Directions) -> str:
    known = directions.generator
    sides = known.image_sides
    name = one_line(known.name or "", 100)
    parts = [code(known.architecture) if known.architecture else "an unknown generator"]
    parts += [f"{sides[0]} × {sides[1]}"] if sides is not None else []
    parts += [f"({code(name)})"] if name else []
    return " ".join(parts)


def _region(directions: Directions) -> str:
    if directions.region is None:
        return "not recorded"
    box = directions.region.to_json().get("box")
    if box is None:
        return "a mask, which is in the file"
    x, y, width, height = box
    return f"a box at x {x:.3g}, y {y:.3g}, {width:.3g} wide, {height:.3g} high, in fractions of the image"


def _table(directions: Directions) -> str:
    rows = ["| | name | change inside | change outside | step |", "|---:|---|---:|---:|---:|"]
    columns = (
        directions.names,
        directions.inside.tolist(),
        directions.outside.tolist(),
        _steps(directions).tolist(),
    )
    for index, (name, inside, outside, step) in enumerate(zip(*columns, strict=True)):
        changes = f"{inside:.3g} | {outside:.3g}" if inside > 0 else "unknown | unknown"
        rows.append(f"| {index} | {code(name)} | {changes} | {step:.3g} |")
    left = len(directions) - _ROWS
    more = f"\n\nThe file has {left} more." if left > 0 else ""
    return "\n".join(rows[: _ROWS + 2]) + more


def _steps(directions: Directions) -> Tensor:
    """The steps of the edits that they are for."""
    confined = directions.steps_confined if directions.confined else None
    return directions.steps if confined is None else confined


def _jointly(samples: int, confined: bool) -> str:
    alone = " They are for edits confined to the region, as `resefa.edit` makes them." if confined else ""
    if samples >= 6:
        return f"The directions were found on {samples} images jointly, so as to hold on others.{alone}"
    images = "one image" if samples == 1 else f"{samples} images"
    return f"The directions were found on {images}, and are most local there.{alone}"
