"""Does an edited face stay the same person? The cosine between a face recogniser's embeddings.

No recogniser comes with this package. `FaceRecogniser` reads any that is stored as ONNX, e.g. ArcFace (Deng
et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019); any function from images
to embeddings serves as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import EvaluationError, ParameterError
from ..files import read_bytes
from .distances import features_of

Embedding = Callable[[Tensor], Tensor]
"""Images `(B, 3, H, W)` in [-1, 1] to embeddings `(B, d)`, of any length."""
Layout = Literal["nchw", "nhwc"]
Box = tuple[float, float, float, float]

WHERE_FROM = (
    "w600k_r50.onnx in buffalo_l.zip at https://github.com/deepinsight/insightface/releases (ArcFace, for "
    "non-commercial research only), or face_recognition_sface_2021dec.onnx at "
    "https://huggingface.co/opencv/face_recognition_sface (SFace, Apache-2.0)"
)
"""Where users find recognisers."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
FFHQ_CROP: Box = (32 / 256, 35 / 256, 188 / 256, 188 / 256)
"""The part of an aligned FFHQ face that recognisers expect, x, y, width and height: the one of
pixel2style2pixel's identity loss (Richardson et al., CVPR 2021)."""

_MAX_BYTES = 1 << 30
_MAX_SIDE = 2048
_CHUNK = 64
_FIRST_NODES = 8
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


def identity_similarity(embedding: Embedding, before: Tensor, after: Tensor) -> Tensor:
    """The cosine between each face's embedding before and after, `(n,)` in [-1, 1]; 1 is the same person.

    Read it beside `stranger_similarity`: that is how alike a recogniser finds different people.

    Args:
        embedding: a `FaceRecogniser`, or any function.
        before, after: `(n, 3, H, W)` in [-1, 1].

    Raises:
        EvaluationError: the recogniser does not take such images.
        ParameterError: images of different shapes.
    """
    if before.shape != after.shape or before.ndim != 4 or 0 in before.shape:
        raise ParameterError(
            f"images of shapes {tuple(before.shape)} and {tuple(after.shape)} were given: expected one "
            "after each one before, (n, 3, H, W)"
        )
    first, second = (features_of(embedding, images.split(_CHUNK)) for images in (before, after))
    return F.cosine_similarity(first.double(), second.double(), dim=1)


def stranger_similarity(embedding: Embedding, images: Tensor) -> float:
    """The mean cosine between the embeddings of different faces. Near 1, the recogniser can't tell these
    faces apart: they are drawn, or it is given the wrong crop or normalisation.

    Args:
        images: different people, `(n, 3, H, W)` in [-1, 1], at least 2.

    Raises:
        EvaluationError, ParameterError: as `identity_similarity`.
    """
    if images.ndim != 4 or len(images) < 2:
        raise ParameterError(f"images of shape {tuple(images.shape)} were given: expected at least 2 faces")
    directions = F.normalize(features_of(embedding, images.split(_CHUNK)).double(), dim=1)
    count = len(directions)
    return float((directions.sum(dim=0).square().sum() - count) / (count * (count - 1)))


class FaceRecogniser:
    """A face recogniser in an ONNX file, run by onnxruntime: images to embeddings `(B, d)`.

    What the file says of its input is read: size, layout, type, batch size, and whether the model begins by
    subtracting and scaling, as some do. The rest is for the caller to know: ArcFace and SFace take RGB, and
    expect an aligned face.

    Args:
        path: the file, at most 1 GB, with its weights inside.
        size: of the model's input, where its file leaves it open.
        layout: of the model's input, where its shape does not tell.
        channels: in which order the model takes colours.
        mean, std: the model is given `(pixel - mean) / std`, pixels in [0, 255]; by default 127.5 and 127.5,
            or 0 and 1 where the model subtracts itself or takes bytes.
        crop: the part of the image that is the face, e.g. `FFHQ_CROP`.
        providers: onnxruntime's; by default its CUDA where it has it, then its CPU.

    Raises:
        EvaluationError: onnxruntime is missing, or the file is no model of images.
        ParameterError: a number out of range, or one that is missing.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        size: int | None = None,
        layout: Layout | None = None,
        channels: Literal["rgb", "bgr"] = "rgb",
        mean: float | None = None,
        std: float | None = None,
        crop: Box = WHOLE,
        providers: Sequence[str] | None = None,
    ) -> None:
        left, top, width, height = crop
        if not (0 <= left < left + width <= 1 and 0 <= top < top + height <= 1):
            raise ParameterError(f"crop {crop} leaves the image: expected fractions x, y, width, height")
        if std is not None and not std > 0:
            raise ParameterError(f"std {std} is out of range: expected more than 0")
        self.file = Path(path)
        self._providers = providers
        data = read_bytes(self.file, EvaluationError, _MAX_BYTES)
        self._session = _open(self.file, data, providers)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise EvaluationError(
                f"{self.file}: not a model of images: its inputs are {found[:200]}; expected one of four "
                f"dimensions, of one of {', '.join(_TYPES)}"
            )
        self._input, self._dtype = inputs[0].name, _TYPES[inputs[0].type]
        batch, *shape = (side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape)
        self._batch = batch
        self.layout = layout or _layout(self.file, shape)
        known = shape[1:] if self.layout == "nchw" else shape[:2]
        self.size = _size(self.file, known, size)
        self._reverse = channels == "bgr"
        ready = self._dtype is np.uint8 or _subtracts(data)
        self.mean = mean if mean is not None else 0.0 if ready else 127.5
        self.std = std if std is not None else 1.0 if ready else 127.5
        self.crop = crop

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, which may not have the file."""
        return self.__dict__ | {"_session": read_bytes(self.file, EvaluationError, _MAX_BYTES)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state | {"_session": _open(state["file"], state["_session"], state["_providers"])}

    def __call__(self, images: Tensor) -> Tensor:
        """Embeddings `(B, d)`, float32, of images `(B, 3, H, W)` in [-1, 1].

        Raises:
            EvaluationError: the model fails on them, or does not return one vector for each.
        """
        ready = self._prepared(images)
        count = self._batch or len(ready)
        found = [self._run(ready[start : start + count], count) for start in range(0, len(ready), count)]
        return torch.from_numpy(np.concatenate(found))

    def _prepared(self, images: Tensor) -> np.ndarray[Any, Any]:
        """What the model is given: cropped, resized, in its range, order and type."""
        rows, columns = images.shape[2:]
        left, top, width, height = self.crop
        box = images[
            :,
            :,
            round(top * rows) : round((top + height) * rows),
            round(left * columns) : round((left + width) * columns),
        ]
        resized = F.interpolate(box.float(), size=self.size, mode="bilinear", antialias=True)
        pixels = (resized.clamp(-1.0, 1.0) + 1.0) * 127.5
        values = (pixels - self.mean) / self.std
        if self._reverse:
            values = values.flip(1)
        if self.layout == "nhwc":
            values = values.permute(0, 2, 3, 1)
        if self._dtype is np.uint8:
            values = values.round().clamp(0, 255)
        return values.contiguous().cpu().numpy().astype(self._dtype)

    def _run(self, ready: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
        """Embeddings of at most `count` images, which is how many the model is given."""
        missing = count - len(ready)
        padded = np.concatenate([ready, np.repeat(ready[-1:], missing, axis=0)]) if missing else ready
        try:
            output = np.asarray(self._session.run(None, {self._input: padded})[0])
        except Exception as error:  # onnxruntime's errors have no common base
            raise EvaluationError(f"{self.file}: the model fails on images: {str(error)[:300]}") from error
        if output.ndim < 2 or len(output) != count:
            raise EvaluationError(
                f"{self.file}: the model returns {output.shape} for {count} images: expected (B, d)"
            )
        return output.reshape(count, -1)[: len(ready)].astype(np.float32)


def _open(file: Path, data: bytes, providers: Sequence[str] | None) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise EvaluationError(
            f'a recogniser needs onnxruntime: pip install "resefa[evaluate]"; and its file: {WHERE_FROM}'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if providers is None:
        available = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
    try:
        return onnxruntime.InferenceSession(data, options, providers=list(providers))
    except Exception as error:  # onnxruntime's errors have no common base
        raise EvaluationError(
            f"{file}: not a model that onnxruntime can run: {str(error)[:300]}. For example: {WHERE_FROM}"
        ) from error


def _layout(file: Path, shape: Sequence[int | None]) -> Layout:
    """Where the colours are in the three dimensions of an image."""
    if shape[0] == 3 and shape[2] != 3:
        return "nchw"
    if shape[2] == 3 and shape[0] != 3:
        return "nhwc"
    raise ParameterError(f"{file}: its input, {shape}, does not tell where the colours are: give the layout")


def _size(file: Path, known: Sequence[int | None], size: int | None) -> tuple[int, int]:
    """The input's height and width."""
    height, width = (size if side is None else side for side in known)
    if height is None or width is None:
        raise ParameterError(f"{file}: it does not say the size of its input: give it (ArcFace: 112)")
    if size is not None and (height, width) != (size, size):
        raise ParameterError(f"size {size} does not fit {file}: its input is {height} x {width}")
    if not 8 <= min(height, width) <= max(height, width) <= _MAX_SIDE:
        raise ParameterError(f"{file}: an input of {height} x {width}: expected sides of 8 to {_MAX_SIDE}")
    return height, width


def _subtracts(model: bytes) -> bool:
    """Whether an ONNX model begins by subtracting and scaling, before its first convolution."""
    early = []
    for operation in islice(_operations(memoryview(model)), _FIRST_NODES):
        if operation == "Conv":
            break
        early.append(operation)
    return "Sub" in early and ("Mul" in early or "Div" in early)


def _operations(model: memoryview) -> Iterator[str]:
    """The types of an ONNX model's operations, in their order: `graph.node[i].op_type`, fields 7, 1 and 4
    of its protocol buffers."""
    for graph in _messages(model, 7):
        for node in _messages(graph, 1):
            for name in _messages(node, 4):
                yield bytes(name).decode("utf-8", "replace")


def _messages(data: memoryview, wanted: int) -> Iterator[memoryview]:
    """The contents of a protocol buffer's fields of one number, where they have a length."""
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _number(data, at)
        elif kind == 2:
            length, at = _number(data, at)
            if key >> 3 == wanted:
                yield data[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return


def _number(data: memoryview, at: int) -> tuple[int, int]:
    """A variable-length number of a protocol buffer, and where it ends."""
    value = shift = 0
    for byte in data[at : at + 10]:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        if byte < 128:
            break
    return value, at
