"""What is measured of edits besides pixels: attributes, identity, and features for FID and KID."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from .attributes import REGION_ATTRIBUTES, AttributeClassifier, Predictor, attribute_changes, sure_of
from .config import Study
from .distances import Features, inception
from .identity import Embedding, FaceRecogniser, identity_similarity
from .results import Numbers, numbers

_ATTRIBUTES = ("target_changed", "target_valid", "target_moved", "others_changed", "others_moved")


@dataclass(frozen=True)
class Meters:
    """The networks that measure; None for what is not asked for.

    `sure` is as in `attribute_changes`; `family`, a key of `REGION_ATTRIBUTES`, tells which classifier comes
    along, and what regions show.
    """

    classifier: Predictor | None = None
    embedding: Embedding | None = None
    features: Features | None = None
    sure: Mapping[str, float] | None = None
    family: str = "avatars"

    def completed(self, study: Study) -> Meters:
        """These, and those that a study asks for besides.

        Raises:
            EvaluationError: a model's file is damaged, or a package for it is missing.
        """
        classifier, embedding, features = self.classifier, self.embedding, self.features
        if study.attributes and classifier is None:
            classifier = AttributeClassifier.load(self.family)
        if study.identity_model is not None and embedding is None:
            embedding = FaceRecogniser(study.identity_model, crop=study.identity_crop)
        if study.fid and features is None:
            drawn = study.fid != "inception"
            features = AttributeClassifier.load(self.family).features if drawn else inception()
        return replace(self, classifier=classifier, embedding=embedding, features=features)

    def accustomed(self, images: Tensor) -> Meters:
        """These, told by unedited images `(n, 3, H, W)` which values of attributes are valid ones."""
        if self.classifier is None:
            return self
        return replace(self, sure=sure_of(self.classifier, images))

    @property
    def names(self) -> list[str]:
        """Which of them there are."""
        return [name for name in ("classifier", "embedding", "features") if getattr(self, name) is not None]

    def measures(self, before: Tensor, after: Tensor, region: str) -> dict[str, Numbers]:
        """What each of n edits changes, by the measures of `Record`.

        Args:
            before, after: `(n, 3, H, W)` in [-1, 1].
            region: its name, which tells the attributes that the edits were for.
        """
        found: dict[str, Numbers] = {}
        if self.classifier is not None:
            targets = [t for t in self._shown(region) if t in self.classifier.attributes]
            changes = attribute_changes(self.classifier, before, after, *targets, sure=self.sure)
            for name in _ATTRIBUTES:
                found[name] = numbers(getattr(changes, name))
        if self.embedding is not None:
            found["identity"] = numbers(identity_similarity(self.embedding, before, after))
        return found

    def _shown(self, region: str) -> tuple[str, ...]:
        return REGION_ATTRIBUTES[self.family].get(region, ())
