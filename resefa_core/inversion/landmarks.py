"""Where a photo's face has its eyes and its mouth, found by dlib."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import PhotoError

_MODEL = "models/shape_predictor_68_face_landmarks.dat"
_MODELS = "face_recognition_models"
_NEEDED = (
    'finding a face needs dlib and its model of landmarks: pip install "resefa[faces]"; or give the places '
    "of both eyes and the mouth"
)
_SIDE = 800
"""The longer side of what faces are looked for in, in pixels; they must be a tenth of it."""


def can_find_faces() -> bool:
    """Whether dlib and its model are installed."""
    return importlib.util.find_spec("dlib") is not None and _model() is not None


def find_face(colours: Tensor) -> list[tuple[float, float]]:
    """The landmarks of a photo's largest face, x and y in pixels: the 68 of iBUG's 300-W.

    Faces are found by histograms of oriented gradients, and the landmarks by an ensemble of regression trees
    (Kazemi and Sullivan, 2014), of upright faces that look about ahead.

    Args:
        colours: `(H, W, 3)`, uint8.

    Raises:
        PhotoError: dlib is missing, or finds no face.
    """
    model = _model()
    try:
        import dlib
    except ImportError as error:
        raise PhotoError(_NEEDED) from error
    if model is None:
        raise PhotoError(_NEEDED)
    height, width = colours.shape[:2]
    scale = _SIDE / max(width, height)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    picture = np.asarray(Image.fromarray(colours.numpy()).resize(size, Image.Resampling.BICUBIC))
    boxes = list[Any](dlib.get_frontal_face_detector()(picture, 0))
    if not boxes:
        raise PhotoError("no face was found in the photo: give the places of both eyes and the mouth")
    largest = max(boxes, key=lambda box: box.area())
    shape = dlib.shape_predictor(str(model))(picture, largest)
    x, y = width / size[0], height / size[1]
    return [((point.x + 0.5) * x, (point.y + 0.5) * y) for point in shape.parts()]


def _model() -> Path | None:
    """The model's file, of a package that is not imported: it needs a module that newer setups lack."""
    package = importlib.util.find_spec(_MODELS)
    folders = [] if package is None else package.submodule_search_locations or []
    return next((file for folder in folders if (file := Path(folder) / _MODEL).is_file()), None)
