"""A perceptual distance by the features of a network in an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ParameterError
from ..files import read_bytes

_MAX_BYTES = 1 << 30
_EPSILON = 1e-8
_SAME = (b"SAME_UPPER", b"SAME_LOWER")

_Inputs: TypeAlias = Sequence[Any]
_Attributes: TypeAlias = Mapping[str, Any]


class FeatureDistance:
    """How far images differ in a network's features, for `invert` and `tune`.

    The mean squared distance of unit-length features, over the places of each map, and over the maps: LPIPS
    (Zhang et al., 2018) without its learned weights. torch runs the network, as onnxruntime takes no
    derivatives: convolutions, poolings, linear layers, activations, and what joins and shapes them.

    Args:
        path: the file, at most 1 GB, with its weights inside.
        values: the names of what is compared, of the network's outputs or anything on the way; its outputs
            for none.
        size: height and width that images are brought to; for None the network's own, or the images' where
            it takes any.
        mean, std: the network is given `(pixel - mean) / std`, pixels in [0, 255]; a number, or three for
            red, green and blue.

    Raises:
        ParameterError: the package onnx is missing, or the file is no such network.

    """

    def __init__(
        self,
        path: str | PathLike[str],
        values: Sequence[str] = (),
        *,
        size: tuple[int, int] | None = None,
        mean: float | Sequence[float] = 127.5,
        std: float | Sequence[float] = 127.5,
    ) -> None:
        self.file = Path(path)
        graph = _read(self.file)
        self._nodes = [(node, _attributes(node)) for node in graph.node]
        self._weights = _weights(self.file, graph)
        self._input, own_size = self._input_of(graph)
        known = [node.output[0] for node in graph.node]
        self.values = tuple(values) or tuple(output.name for output in graph.output)
        missing = [name for name in self.values if name not in known]
        if missing:
            raise ParameterError(
                f"{self.file}: it has no value {missing[0]!r}: expected one of {', '.join(known)[:400]}"
            )
        unknown = {node.op_type for node, _ in self._nodes} - set(_OPERATIONS)
        if unknown:
            raise ParameterError(
                f"{self.file}: it needs {', '.join(sorted(unknown))[:200]}, which is unknown here: expected "
                f"a network of {', '.join(_OPERATIONS)}"
            )
        self.size = size or own_size
        self._mean, self._std = _colours(mean, "mean"), _colours(std, "std")
        if not bool((self._std > 0).all()):
            raise ParameterError(f"std {std} is out of range: expected more than 0")

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        """The distance `(B,)`, from 0 to 4, of images `(B, 3, H, W)` in [-1, 1] from others; differentiable.

        Raises:
            ParameterError: the network can't take them.
        """
        pairs = zip(self.features(images), self.features(others), strict=True)
        return torch.stack([_apart(first, second) for first, second in pairs]).mean(dim=0)

    def features(self, images: Tensor) -> list[Tensor]:
        """The values that are compared, of images `(B, 3, H, W)` in [-1, 1]; each `(B, C, ...)`.

        Raises:
            ParameterError: the network can't take them.
        """
        if self.size is not None and images.shape[2:] != self.size:
            images = F.interpolate(images, size=self.size, mode="bilinear", antialias=True)
        pixels = (images + 1.0) * 127.5
        made: dict[str, Any] = {name: weight.to(images.device) for name, weight in self._weights.items()}
        made[self._input] = (pixels - self._mean.to(images)) / self._std.to(images)
        left = set(self.values)
        try:
            for node, attributes in self._nodes:
                inputs = [made[name] if name else None for name in node.input]
                made[node.output[0]] = _OPERATIONS[node.op_type](inputs, attributes)
                left.discard(node.output[0])
                if not left:
                    break
            return [made[name].float() for name in self.values]
        except Exception as error:  # shapes and types that a graph may have are without number
            shape = tuple(images.shape)
            raise ParameterError(f"{self.file}: it fails on images of {shape}: {str(error)[:300]}") from error

    def _input_of(self, graph: Any) -> tuple[str, tuple[int, int] | None]:
        """The name of the network's input, and its height and width where they are fixed."""
        inputs = [each for each in graph.input if each.name not in self._weights]
        sides = [side.dim_value for side in inputs[0].type.tensor_type.shape.dim] if len(inputs) == 1 else []
        if len(sides) != 4 or sides[1] not in (0, 3):
            raise ParameterError(
                f"{self.file}: not a network of images: expected one input of batch, 3 colours, height, width"
            )
        return inputs[0].name, (sides[2], sides[3]) if sides[2] > 0 and sides[3] > 0 else None


def _apart(first: Tensor, second: Tensor) -> Tensor:
    """The mean squared distance `(B,)` of features `(B, C, ...)`, each of unit length over the channels."""
    units = [each / each.square().sum(dim=1, keepdim=True).add(_EPSILON).sqrt() for each in (first, second)]
    return (units[0] - units[1]).square().sum(dim=1).reshape(len(first), -1).mean(dim=1)


def _read(file: Path) -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ParameterError("a network in an ONNX file needs onnx: pip install onnx") from error
    data = read_bytes(file, ParameterError, _MAX_BYTES)
    try:
        return onnx.load_model_from_string(data).graph
    except Exception as error:  # protobuf's errors differ between its releases
        raise ParameterError(f"{file}: not an ONNX file: {str(error)[:200]}") from error


def _weights(file: Path, graph: Any) -> dict[str, Tensor]:
    from onnx import numpy_helper

    try:
        return {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    except Exception as error:  # sizes that don't fit, or weights in a file beside it
        raise ParameterError(
            f"{file}: its weights can't be read: {str(error)[:200]}; expected all of them inside"
        ) from error


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _colours(values: float | Sequence[float], what: str) -> Tensor:
    given = [values] * 3 if isinstance(values, (int, float)) else list(values)
    if len(given) != 3:
        raise ParameterError(f"{what} has {len(given)} numbers: expected one, or one for each colour")
    return torch.tensor(given, dtype=torch.float32).reshape(1, 3, 1, 1)


# ONNX's operations: (inputs, attributes) to the first output


def _padded(x: Tensor, size: Sequence[int], attributes: _Attributes, fill: float) -> Tensor:
    """A map with the padding of a window that moves over it."""
    sides = len(size)
    begins_ends = attributes.get("pads") or [0] * 2 * sides
    kind = attributes.get("auto_pad", b"NOTSET")
    if kind in _SAME:
        steps = attributes.get("strides") or [1] * sides
        spread = attributes.get("dilations") or [1] * sides
        begins, ends = [], []
        for length, window, step, apart in zip(x.shape[2:], size, steps, spread, strict=True):
            total = max(0, (-(-length // step) - 1) * step + (window - 1) * apart + 1 - length)
            small, large = total // 2, total - total // 2
            begins.append(small if kind == _SAME[0] else large)
            ends.append(large if kind == _SAME[0] else small)
        begins_ends = [*begins, *ends]
    if not any(begins_ends):
        return x
    pairs = zip(begins_ends[:sides][::-1], begins_ends[sides:][::-1], strict=True)
    return F.pad(x, [each for pair in pairs for each in pair], value=fill)


def _convolution(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    x, weight, bias = (*inputs, None)[:3]
    moved = _padded(x, weight.shape[2:], attributes, 0.0)
    return F.conv2d(
        moved,
        weight,
        bias,
        stride=tuple(attributes.get("strides") or (1, 1)),
        dilation=tuple(attributes.get("dilations") or (1, 1)),
        groups=attributes.get("group", 1),
    )


def _largest(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    size = attributes["kernel_shape"]
    moved = _padded(inputs[0], size, attributes, -torch.inf)
    strides, spread = (tuple(attributes.get(name) or (1, 1)) for name in ("strides", "dilations"))
    return F.max_pool2d(
        moved, tuple(size), strides, dilation=spread, ceil_mode=bool(attributes.get("ceil_mode"))
    )


def _mean(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    size, strides = tuple(attributes["kernel_shape"]), tuple(attributes.get("strides") or (1, 1))
    ceil = bool(attributes.get("ceil_mode"))
    moved = _padded(inputs[0], size, attributes, 0.0)
    mean = F.avg_pool2d(moved, size, strides, ceil_mode=ceil)
    if attributes.get("count_include_pad") or moved is inputs[0]:
        return mean
    inside = _padded(torch.ones_like(inputs[0]), size, attributes, 0.0)
    return mean / F.avg_pool2d(inside, size, strides, ceil_mode=ceil)


def _normalized(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    x, scale, shift, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, shift, eps=attributes.get("epsilon", 1e-5))


def _linear(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    a, b = (
        each.mT if attributes.get(name) else each
        for each, name in zip(inputs[:2], ("transA", "transB"), strict=True)
    )
    product = attributes.get("alpha", 1.0) * (a @ b)
    return product + attributes.get("beta", 1.0) * inputs[2] if len(inputs) > 2 else product


def _reshaped(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    x, shape = inputs
    return x.reshape([x.shape[at] if side == 0 else side for at, side in enumerate(shape.tolist())])


def _clipped(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    x, least, most = (*inputs, None, None)[:3]
    return x.clamp(
        attributes.get("min") if least is None else least, attributes.get("max") if most is None else most
    )


def _axes(inputs: _Inputs, attributes: _Attributes) -> list[int]:
    return attributes["axes"] if "axes" in attributes else inputs[1].tolist()


def _unsqueezed(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    x = inputs[0]
    for axis in sorted(_axes(inputs, attributes)):
        x = x.unsqueeze(axis)
    return x


def _constant(inputs: _Inputs, attributes: _Attributes) -> Tensor:
    from onnx import numpy_helper

    return torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())


_OPERATIONS: dict[str, Callable[[_Inputs, _Attributes], Tensor]] = {
    "Add": lambda x, a: x[0] + x[1],
    "AveragePool": _mean,
    "BatchNormalization": _normalized,
    "Clip": _clipped,
    "Concat": lambda x, a: torch.cat(tuple(x), dim=a["axis"]),
    "Constant": _constant,
    "Conv": _convolution,
    "Div": lambda x, a: x[0] / x[1],
    "Dropout": lambda x, a: x[0],
    "Flatten": lambda x, a: x[0].flatten(a.get("axis", 1)),
    "Gemm": _linear,
    "GlobalAveragePool": lambda x, a: x[0].mean(dim=(2, 3), keepdim=True),
    "Identity": lambda x, a: x[0],
    "LeakyRelu": lambda x, a: F.leaky_relu(x[0], a.get("alpha", 0.01)),
    "MatMul": lambda x, a: x[0] @ x[1],
    "MaxPool": _largest,
    "Mul": lambda x, a: x[0] * x[1],
    "PRelu": lambda x, a: torch.where(x[0] < 0, x[0] * x[1], x[0]),
    "ReduceMean": lambda x, a: x[0].mean(dim=_axes(x, a), keepdim=bool(a.get("keepdims", 1))),
    "Relu": lambda x, a: F.relu(x[0]),
    "Reshape": _reshaped,
    "Sigmoid": lambda x, a: x[0].sigmoid(),
    "Squeeze": lambda x, a: x[0].squeeze(tuple(_axes(x, a))),
    "Sub": lambda x, a: x[0] - x[1],
    "Tanh": lambda x, a: x[0].tanh(),
    "Transpose": lambda x, a: x[0].permute(a["perm"]),
    "Unsqueeze": _unsqueezed,
}
