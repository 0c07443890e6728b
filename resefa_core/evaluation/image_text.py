"""Words for edits from an image–text model that the user has, CLIP or another; none comes along."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from ..errors import EvaluationError, ParameterError
from ..files import read_tensors
from ..plain import MAX_NAME, is_plain
from .distances import features_of
from .identity import Embedding, FaceRecogniser

Namer = Callable[[Tensor, str], Sequence[str]]
"""Pairs of images `(2n, 3, H, W)` in [-1, 1], each forwards and backwards, and the region's name, to n pairs
of words `smiling / sad`; empty where there is nothing to say."""

_MEAN, _STD = 114.5, 68.5
_MAX_BYTES = 64 << 20
_CHUNK = 16


class ImageText:
    """A `Namer`: of some words, the one that a change of images goes towards, and the one that it comes from.

    Args:
        embedding: the model's image encoder, images `(B, 3, H, W)` in [-1, 1] to `(B, d)`.
        words: what may be said: `a smiling mouth`, `a sad mouth`, …
        vectors: what the model's text encoder makes of them, `(len(words), d)`.
        least: how much more alike, as a cosine, both images must be to their words than the other one is.

    Raises:
        ParameterError: not one vector for each word, or words that are no names.
    """

    def __init__(
        self, embedding: Embedding, words: Sequence[str], vectors: Tensor, least: float = 0.01
    ) -> None:
        if vectors.ndim != 2 or len(vectors) != len(words) or len(words) < 2:
            raise ParameterError(
                f"{len(words)} words and vectors of shape {tuple(vectors.shape)} were given: expected at "
                "least two words, and a vector for each"
            )
        unplain = [word for word in words if not is_plain(word, MAX_NAME, one_line=True) or "/" in word]
        if unplain:
            raise ParameterError(f"{str(unplain[0])[:40]!r} is no name: expected a line of text without /")
        self.embedding, self.words, self.least = embedding, tuple(words), least
        self._vectors = F.normalize(vectors.double(), dim=1)

    def __call__(self, pairs: Tensor, region: str = "") -> list[str]:
        """Words for each pair of images; see `Namer`.

        Raises:
            EvaluationError: the model does not take such images, or its vectors are of another length.
        """
        found = F.normalize(features_of(self.embedding, pairs.split(_CHUNK)).double(), dim=1)
        if found.shape[1] != self._vectors.shape[1]:
            raise EvaluationError(
                f"the model's vectors of images have {found.shape[1]} numbers, those of the words "
                f"{self._vectors.shape[1]}: expected both of one model"
            )
        told = []
        for towards in (found[::2] - found[1::2]) @ self._vectors.T:
            clear = float(towards.max()) > self.least and float(towards.min()) < -self.least
            names = self.words[int(towards.argmax())], self.words[int(towards.argmin())]
            told.append(" / ".join(names) if clear else "")
        return told

    @staticmethod
    def load(model: str | PathLike[str], words: str | PathLike[str], size: int | None = None) -> ImageText:
        """From files.

        Args:
            model: the image encoder, ONNX; it is given pixels as CLIP is, shifted and scaled by the mean of
                its three colours.
            words: safetensors: a tensor `vectors`, and in the metadata `words`, a JSON list of texts.
            size: of the model's input, where its file leaves it open.

        Raises:
            EvaluationError: onnxruntime is missing, or a file is none of these.
        """
        file = Path(words)
        tensors, metadata = read_tensors(file, EvaluationError, _MAX_BYTES)
        try:
            texts = json.loads(metadata.get("words", "null"))
        except (ValueError, RecursionError):
            texts = None
        if "vectors" not in tensors or not isinstance(texts, list):
            raise EvaluationError(
                f"{file}: not vectors of words: expected a tensor 'vectors', and a JSON list 'words' in the "
                "metadata"
            )
        return ImageText(FaceRecogniser(model, size=size, mean=_MEAN, std=_STD), texts, tensors["vectors"])
