"""The conversion of a face recogniser, on a graph of the same operations."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resefa_core.evaluation.identity import FaceRecogniser

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
ROOT = Path(__file__).resolve().parents[2]


def text(value: str) -> dict[str, str]:
    return {"s": base64.b64encode(value.encode()).decode()}


def integers(*values: int) -> dict[str, Any]:
    return {"list": {"i": [str(value) for value in values]}}


def convolution(stride: int, padding: str = "VALID") -> dict[str, Any]:
    return {
        "padding": text(padding),
        "data_format": text("NHWC"),
        "strides": integers(1, stride, stride, 1),
        "dilations": integers(1, 1, 1, 1),
    }


def write_model(folder: Path, padding: str = "VALID") -> dict[str, torch.Tensor]:
    """A small recogniser as TensorFlow.js stores it, and its weights."""
    random = np.random.default_rng(0)
    weights: dict[str, np.ndarray[Any, Any]] = {
        "mean": np.array(127.5, np.float32),
        "scale": np.array(0.0078125, np.float32),
        "pads": np.array([[0, 0], [1, 2], [1, 1], [0, 0]], dtype=np.int32),
        "w": random.normal(size=(3, 3, 3, 4)).astype(np.float32),
        "zero": np.array(0.0, np.float32),
        "slope": random.normal(size=4).astype(np.float32),
        "d": random.normal(size=(2, 2, 4, 1)).astype(np.float32),
        "flat": np.array([-1, 48], dtype=np.int32),
        "m": random.normal(size=(48, 5)).astype(np.float32),
    }
    operations: list[tuple[str, str, list[str], dict[str, Any]]] = [
        ("data", "Placeholder", [], {}),
        ("sub", "Sub", ["data", "mean"], {}),
        ("mul", "Mul", ["sub", "scale"], {}),
        ("pad", "Pad", ["mul", "pads"], {}),
        ("conv", "Conv2D", ["pad", "w"], convolution(2, padding)),
        ("above", "Maximum", ["zero", "conv"], {}),
        ("below", "Minimum", ["zero", "conv"], {}),
        ("sloped", "Mul", ["slope", "below"], {}),
        ("prelu", "AddV2", ["above", "sloped"], {}),
        ("deep", "DepthwiseConv2dNative", ["prelu", "d"], convolution(1)),
        ("flattened", "Reshape", ["deep", "flat"], {}),
        ("told", "MatMul", ["flattened", "m"], {}),
    ]
    nodes = [{"name": name, "op": "Const"} for name in weights]
    nodes += [
        {"name": name, "op": kind, "input": given, "attr": attributes}
        for name, kind, given, attributes in operations
    ]
    names = {np.dtype(np.float32): "float32", np.dtype(np.int32): "int32"}
    model = {
        "modelTopology": {"node": nodes},
        "signature": {
            side: {f"{name}:0": {"tensorShape": {"dim": [{"size": str(size)} for size in sizes]}}}
            for side, name, sizes in (("inputs", "data", (-1, 9, 8, 3)), ("outputs", "told", (-1, 5)))
        },
        "weightsManifest": [
            {
                "paths": ["m.bin"],
                "weights": [
                    {"name": name, "shape": list(each.shape), "dtype": names[each.dtype]}
                    for name, each in weights.items()
                ],
            }
        ],
    }
    (folder / "m.json").write_text(json.dumps(model))
    (folder / "m.bin").write_bytes(b"".join(each.tobytes() for each in weights.values()))
    return {name: torch.tensor(each) for name, each in weights.items()}


def convert(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks" / "mobileface.py", folder / "m.json", folder / "m.onnx"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_converted_model_computes_the_same(tmp_path: Path) -> None:
    w = write_model(tmp_path)
    done = convert(tmp_path)
    assert done.returncode == 0, done.stderr
    faces = torch.rand(3, 3, 9, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    pixels = ((faces + 1) * 127.5).round()
    scaled = F.pad((pixels - w["mean"]) * w["scale"], (1, 1, 1, 2))
    first = F.conv2d(scaled, w["w"].permute(3, 2, 0, 1), stride=2)
    active = first.clamp_min(0) + w["slope"].reshape(1, -1, 1, 1) * first.clamp_max(0)
    deep = F.conv2d(active, w["d"].permute(2, 3, 0, 1), groups=4)
    expected = deep.permute(0, 2, 3, 1).flatten(1) @ w["m"]
    found = FaceRecogniser(tmp_path / "m.onnx")(pixels / 127.5 - 1)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_what_it_does_not_know_is_refused_in_words(tmp_path: Path) -> None:
    write_model(tmp_path, padding="SAME")
    assert "SAME" in convert(tmp_path).stderr
    write_model(tmp_path)
    (tmp_path / "m.bin").write_bytes((tmp_path / "m.bin").read_bytes() + b"more")
    assert "its weights are" in convert(tmp_path).stderr
