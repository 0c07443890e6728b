"""What drawn faces show, attribute by attribute, and which of it an edit changes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import EvaluationError, ParameterError
from ..files import DAMAGE, read_tensors, write_tensors

REGION_ATTRIBUTES: dict[str, dict[str, tuple[str, ...]]] = {
    "avatars": {
        "mouth": ("mouth",),
        "eyes": ("eyes", "accessories", "accessoriesColor"),
        "eyebrows": ("eyebrows",),
        "nose": (),
        "hair": ("top", "hairColor", "hatColor"),
        "clothes": ("clothing", "clothesColor"),
    },
    "cats": {
        "eyes": ("eyes",),
        "mouth": ("mouth",),
        "ears": ("body", "accessories"),
        "fur": ("fur", "furColor"),
        "collar": ("accessories",),
        "tail": ("body", "fur", "furColor"),
    },
}
"""What each preset of the drawings shows, by families of presets that a classifier comes along for: its shape
first. Every drawn face has the same nose; a face's accessories are glasses."""

_SURE = 0.8
_PLAIN = ("default", "none")
_FORMAT = "1"
_WIDTHS = {64: (32, 64, 96, 128), 128: (16, 32, 64, 96, 128)}
"""The features of each stage, by the side of the pictures in pixels; the last stage has 4 x 4 of them."""
_NUM_FEATURES = 128
_MAX_BYTES = 64 << 20
_MAX_VALUES = 4096
_CHUNK = 256

Labels = dict[str, NDArray[np.int64]]


class Predictor(Protocol):
    """Anything that tells attributes: `AttributeClassifier`, or another for other pictures."""

    @property
    def attributes(self) -> Mapping[str, Sequence[str]]:
        """The values of each attribute."""

    @property
    def seen_with(self) -> Mapping[str, tuple[str, Sequence[str]]]:
        """For an attribute that other parts may hide: which attribute, and with which values of it this one
        is seen."""

    def __call__(self, images: Tensor, /) -> Mapping[str, Tensor]:
        """Images `(B, 3, H, W)` in [-1, 1] to logits `(B, V)` by attribute."""


class AttributeClassifier(nn.Module):
    """A small convolutional network that tells the attributes of drawn faces.

    Images `(B, 3, H, W)` in [-1, 1], on any device, brought to its own side, to logits `(B, V)` by attribute;
    `features` are what it tells them from.

    Args:
        attributes: the values of each attribute.
        seen_with: see `Predictor`.
        about: what is known of it, as texts; kept in its file.
        side: of the pictures that it looks at, in pixels: 64 or 128.

    Raises:
        ParameterError: another side.
    """

    num_features = _NUM_FEATURES

    def __init__(
        self,
        attributes: Mapping[str, Sequence[str]],
        seen_with: Mapping[str, tuple[str, Sequence[str]]] | None = None,
        about: Mapping[str, str] | None = None,
        side: int = 64,
    ) -> None:
        super().__init__()
        if side not in _WIDTHS:
            raise ParameterError(f"side={side!r} was given: expected one of {', '.join(map(str, _WIDTHS))}")
        self.side = side
        widths = _WIDTHS[side]
        self.attributes = {name: tuple(values) for name, values in attributes.items()}
        self.seen_with = {name: (other, tuple(with_)) for name, (other, with_) in (seen_with or {}).items()}
        self.about = dict(about or {})
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                )
                for inputs, outputs in zip((3, *widths[:-1]), widths, strict=True)
            )
        )
        self.hidden = nn.Linear(widths[-1] * (side // 2 ** len(widths)) ** 2, _NUM_FEATURES)
        heads = {name: nn.Linear(_NUM_FEATURES, len(values)) for name, values in self.attributes.items()}
        self.heads = nn.ModuleDict(heads)

    def features(self, images: Tensor) -> Tensor:
        """Features `(B, 128)`, for `frechet_distance` and `kernel_distance`, on the classifier's device."""
        images = images.to(self.hidden.weight.device)
        if images.shape[2:] != (self.side, self.side):
            images = F.adaptive_avg_pool2d(images, self.side)
        return F.relu(self.hidden(self.stages(images).flatten(1)))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the weights as float16, atomically.

        Raises:
            EvaluationError: the file exists and `overwrite` is false, or it can't be written.
        """
        tensors = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in self.state_dict().items()
        }
        metadata = self.about | {
            "resefa.classifier_version": _FORMAT,
            "resefa.attributes": json.dumps(self.attributes),
            "resefa.seen_with": json.dumps(self.seen_with),
            "resefa.side": str(self.side),
        }
        write_tensors(path, tensors, metadata, EvaluationError, overwrite, _MAX_BYTES)

    @staticmethod
    def load(name: str | PathLike[str] = "avatars") -> AttributeClassifier:
        """Load a classifier, in float32 and in evaluation mode.

        Args:
            name: a bundled one's name, or a file of `save`.

        Raises:
            EvaluationError: the file is missing, damaged, or holds something else.
        """
        bundled = str(name) in REGION_ATTRIBUTES
        file = Path(__file__).parent / f"{name}.safetensors" if bundled else Path(name)
        tensors, metadata = read_tensors(file, EvaluationError, _MAX_BYTES)
        if metadata.get("resefa.classifier_version") != _FORMAT:
            raise EvaluationError(
                f"{file}: not an attribute classifier of version {_FORMAT}: its metadata has "
                f"resefa.classifier_version = {str(metadata.get('resefa.classifier_version'))[:40]}"
            )
        try:
            return _from_file(tensors, metadata)
        except (*DAMAGE, EvaluationError, ParameterError) as error:
            raise EvaluationError(f"{file}: damaged attribute classifier: {str(error)[:400]}") from error


@dataclass(frozen=True, eq=False)
class AttributeChanges:
    """Which attributes n edits change.

    Attributes:
        names: A attributes.
        targets: those that the edits were for; may be none.
        changed: `(n, A)`, 1 where the most likely value is another after the edit, else 0; NaN where the
            attribute is hidden before it or after.
        moved: `(n, A)`, how much of an attribute's probability went over to other values (the total
            variation distance), in [0, 1]; NaN where it is hidden.
        valid: `(n, A)`, 1 where an attribute's likeliest value changed to one that the classifier is sure of,
            else 0; NaN where it is hidden.
    """

    names: tuple[str, ...]
    targets: tuple[str, ...]
    changed: Tensor
    moved: Tensor
    valid: Tensor

    @property
    def target_valid(self) -> Tensor:
        """Whether an edit changes any targeted attribute to another value that is one, `(n,)`: 1 or 0."""
        return self._of_targets(self.valid)

    @property
    def target_changed(self) -> Tensor:
        """Whether an edit changes any targeted attribute's value, 1 or 0, `(n,)`; NaN where there is none, or
        all are hidden. The mean of those that are numbers, `.nanmean()`, is the share of edits that do."""
        return self._of_targets(self.changed)

    @property
    def target_moved(self) -> Tensor:
        """How much of the probability of the targeted attribute that moved most went over, `(n,)`."""
        return self._of_targets(self.moved)

    @property
    def others_changed(self) -> Tensor:
        """The share of the other attributes that change their value, `(n,)`."""
        return self._of_others(self.changed)

    @property
    def others_moved(self) -> Tensor:
        """How much of the other attributes' probabilities went over, on average, `(n,)`."""
        return self._of_others(self.moved)

    def _of_targets(self, values: Tensor) -> Tensor:
        columns = [self.names.index(name) for name in self.targets]
        if not columns:
            return values.new_full((len(values),), torch.nan)
        largest = values[:, columns].nan_to_num(nan=-1.0).amax(dim=1)
        return largest.masked_fill(largest < 0.0, torch.nan)

    def _of_others(self, values: Tensor) -> Tensor:
        return values[:, [name not in self.targets for name in self.names]].nanmean(dim=1)


def sure_of(classifier: Predictor, images: Tensor) -> dict[str, float]:
    """How sure a classifier is of each attribute's likeliest value in nine of ten unedited images
    `(n, 3, H, W)`: the tenth percentile of its probability."""
    found = probabilities(classifier, images)
    shown = seen(classifier, found)
    return {
        name: float(scores.amax(dim=1)[own].quantile(0.1)) if bool(own.any()) else 1.0
        for (name, scores), own in zip(found.items(), shown.T, strict=True)
    }


def attribute_changes(
    classifier: Predictor,
    before: Tensor,
    after: Tensor,
    *targets: str,
    sure: Mapping[str, float] | None = None,
) -> AttributeChanges:
    """Which attributes edits change, as a classifier sees them.

    Args:
        before, after: n images each, `(n, 3, H, W)` in [-1, 1].
        targets: the attributes that the edits were for, e.g. `*REGION_ATTRIBUTES["avatars"]["mouth"]`.
        sure: from which probability each attribute's value is a valid one, by `sure_of`; 0.5 for None.

    Raises:
        ParameterError: images of different shapes, or a target that the classifier does not know.

    Example:
        >>> classifier = AttributeClassifier.load("avatars")
        >>> face = torch.zeros(1, 3, 64, 64)
        >>> attribute_changes(classifier, face, face, "mouth").target_changed
        tensor([0.])
    """
    if before.shape != after.shape or before.ndim != 4 or 0 in before.shape:
        raise ParameterError(
            f"images of shapes {tuple(before.shape)} and {tuple(after.shape)} were given: expected one "
            "after each one before, (n, 3, H, W)"
        )
    names = tuple(classifier.attributes)
    unknown = [name for name in targets if name not in names]
    if unknown:
        raise ParameterError(f"the classifier has no attribute {unknown[0]!r}: expected {', '.join(names)}")
    first, second = probabilities(classifier, before), probabilities(classifier, after)
    hidden = ~(seen(classifier, first) & seen(classifier, second))
    changed = torch.stack([first[name].argmax(dim=1) != second[name].argmax(dim=1) for name in names], dim=1)
    moved = torch.stack([(first[name] - second[name]).abs().sum(dim=1) / 2 for name in names], dim=1)
    bounds = dict.fromkeys(names, 0.5) if sure is None else sure
    certain = torch.stack([second[name].amax(dim=1) >= bounds[name] for name in names], dim=1)
    nan = torch.nan
    return AttributeChanges(
        names,
        targets,
        changed.float().masked_fill(hidden, nan),
        moved.masked_fill(hidden, nan),
        (changed & certain).float().masked_fill(hidden, nan),
    )


def value_words(classifier: Predictor, pairs: Tensor, attribute: str) -> list[str]:
    """Which value of an attribute the first and the second of each pair of images show, as words: `smile /
    sad`; empty where both show the same, or the classifier isn't sure of either.

    Args:
        pairs: `(2n, 3, H, W)` in [-1, 1], one pair after the other.
    """
    found = probabilities(classifier, pairs)
    column = list(classifier.attributes).index(attribute)
    sure = seen(classifier, found)[:, column] & (found[attribute].amax(dim=1) >= _SURE)
    values = [classifier.attributes[attribute][index] for index in found[attribute].argmax(dim=1).tolist()]
    told = ["plain" if value in _PLAIN else _in_words(value) for value in values]
    return [
        f"{told[at]} / {told[at + 1]}" if bool(sure[at : at + 2].all()) and told[at] != told[at + 1] else ""
        for at in range(0, len(told), 2)
    ]


def _in_words(value: str) -> str:
    """A value's name in words.

    Example:
        >>> _in_words("screamOpen"), _in_words("straight01")
        ('scream open', 'straight 01')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", value).lower()


def probabilities(classifier: Predictor, images: Tensor) -> dict[str, Tensor]:
    """The probability of each value of each attribute, `(n, V)` on the CPU, of images `(n, 3, H, W)` in
    [-1, 1]."""
    with torch.no_grad():
        logits = [classifier(part) for part in images.split(_CHUNK)]
    return {
        name: torch.cat([part[name] for part in logits]).float().softmax(dim=1).cpu()
        for name in classifier.attributes
    }


def seen(classifier: Predictor, found: Mapping[str, Tensor]) -> Tensor:
    """Which attributes are seen, by the most likely values: `(n, A)`, boolean.

    Args:
        found: probabilities or logits `(n, V)` by attribute.
    """
    values = {name: scores.argmax(dim=1) for name, scores in found.items()}
    columns = []
    for name in classifier.attributes:
        other, with_ = classifier.seen_with.get(name, (name, classifier.attributes[name]))
        indices = torch.tensor([classifier.attributes[other].index(value) for value in with_])
        columns.append(torch.isin(values[other], indices))
    return torch.stack(columns, dim=1)


def to_images(pixels: NDArray[np.uint8] | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 `(B, H, W, 3)` to images `(B, 3, H, W)` in [-1, 1]."""
    whole = pixels.to(device) if isinstance(pixels, Tensor) else torch.tensor(pixels, device=device)
    return whole.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def read_labels(
    file: Path,
) -> tuple[dict[str, list[str]], dict[str, tuple[str, list[str]]], Labels]:
    """What a `labels.json` of drawings says: the values of each attribute, what hides which (see
    `Predictor`), and each face's index into the values; -1 where the attribute is hidden."""
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    values: dict[str, list[str]] = data["values"]
    labels: Labels = {name: np.array(indices) for name, indices in data["labels"].items()}
    seen_with = {name: (other, list(with_)) for name, (other, with_) in data["seenWith"].items()}
    for name, (other, with_) in seen_with.items():
        shown = np.isin(labels[other], [values[other].index(value) for value in with_])
        labels[name][~shown] = -1
    return values, seen_with, labels


def accuracy(classifier: AttributeClassifier, faces: NDArray[np.uint8], labels: Labels) -> dict[str, float]:
    """The share of faces `(n, H, W, 3)` of which each attribute is told, among those where it is seen."""
    right: dict[str, list[bool]] = {name: [] for name in labels}
    for start in range(0, len(faces), _CHUNK):
        rows = slice(start, start + _CHUNK)
        found = probabilities(classifier, to_images(faces[rows]))
        for name, scores in found.items():
            known = labels[name][rows]
            right[name] += (scores.argmax(dim=1).numpy() == known)[known >= 0].tolist()
    return {name: float(np.mean(values)) for name, values in right.items()}


def _from_file(tensors: dict[str, Tensor], metadata: dict[str, str]) -> AttributeClassifier:
    attributes = json.loads(metadata["resefa.attributes"])
    seen_with = json.loads(metadata["resefa.seen_with"])
    if not all(_is_texts(values) for values in attributes.values()):
        raise EvaluationError("its attributes' values are not lists of text")
    if sum(len(values) for values in attributes.values()) > _MAX_VALUES:
        raise EvaluationError(f"it has more than {_MAX_VALUES} values of attributes")
    for name, (other, with_) in seen_with.items():
        if name not in attributes or not set(with_) <= set(attributes[other]) or not with_:
            raise EvaluationError(f"it does not say with which values {name[:80]!r} is seen")
    about = {key: text for key, text in metadata.items() if not key.startswith(("resefa.", "modelspec.hash"))}
    classifier = AttributeClassifier(attributes, seen_with, about, int(metadata.get("resefa.side", "64")))
    classifier.load_state_dict(tensors)
    return classifier.eval().requires_grad_(False)


def _is_texts(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, str) for value in values)
