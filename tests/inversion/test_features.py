"""A perceptual distance by a network in an ONNX file: the same numbers as onnxruntime's, and followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import resefa_core as resefa
from resefa_core.cli import main
from resefa_core.evaluation.attributes import AttributeClassifier
from resefa_core.generators.base import Generator
from resefa_core.inversion import FeatureDistance

onnx = pytest.importorskip("onnx")


def model(nodes: list[Any], weights: dict[str, Tensor], outputs: list[str], shape: tuple[Any, ...]) -> Any:
    values = onnx.helper.make_tensor_value_info
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "features",
        [values("image", real, list(shape))],
        [values(name, real, None) for name in outputs],
        [onnx.numpy_helper.from_array(weight.numpy(), name) for name, weight in weights.items()],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


@pytest.fixture(scope="module")
def classifier_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled classifier's four stages and its features, with its weights."""
    node, classifier = onnx.helper.make_node, AttributeClassifier.load()
    weights: dict[str, Tensor] = {}
    nodes, last = [], "image"
    for index, stage in enumerate(classifier.stages):
        convolution, normalize, _ = stage
        own = {
            f"w{index}": convolution.weight,
            f"scale{index}": normalize.weight,
            f"shift{index}": normalize.bias,
            f"mean{index}": normalize.running_mean,
            f"variance{index}": normalize.running_var,
        }
        weights |= own
        names = list(own)
        nodes += [
            node("Conv", [last, names[0]], [f"c{index}"], strides=[2, 2], pads=[1, 1, 1, 1]),
            node("BatchNormalization", [f"c{index}", *names[1:]], [f"n{index}"]),
            node("Relu", [f"n{index}"], [f"stage{index}"]),
        ]
        last = f"stage{index}"
    weights |= {"h": classifier.hidden.weight, "hb": classifier.hidden.bias}
    nodes += [
        node("Flatten", [last], ["flat"]),
        node("Gemm", ["flat", "h", "hb"], ["linear"], transB=1),
        node("Relu", ["linear"], ["features"]),
    ]
    file = tmp_path_factory.mktemp("onnx") / "classifier.onnx"
    kept = {name: weight.detach().float() for name, weight in weights.items()}
    onnx.save(model(nodes, kept, ["features"], ("n", 3, 64, 64)), file)
    return file


def test_the_features_are_the_networks(classifier_file: Path, avatars: Generator) -> None:
    images = avatars.synthesize(avatars.sample([1, 2], 0.7)).clamp(-1, 1)
    network = FeatureDistance(classifier_file, ("stage1", "features"))
    stage, features = network.features(images)
    classifier = AttributeClassifier.load()
    assert torch.allclose(features, classifier.features(images), atol=1e-4)
    assert torch.allclose(stage, classifier.stages[:2](images), atol=1e-4)
    apart = network(images, images.flip(0))
    assert apart.shape == (2,)
    assert float(apart[0]) == pytest.approx(float(apart[1]), rel=1e-4)
    assert 0.01 < float(apart[0]) < 4
    assert float(network(images, images).abs().max()) < 1e-6
    larger = F.interpolate(images, size=(128, 128), mode="nearest")
    assert float(network(larger, images).max()) < 0.2 * float(apart[0])


def test_a_search_follows_the_network(classifier_file: Path, avatars: Generator) -> None:
    photo = avatars.synthesize(avatars.sample(123_456, 0.8))[0].clamp(-1, 1)
    network = FeatureDistance(classifier_file, ("stage2", "features"))
    plain = resefa.invert(avatars, photo, steps=30)
    followed = resefa.invert(avatars, photo, steps=30, perceptual=network, perceptual_weight=0.5)
    apart = [float(network(found.image[None], found.target[None])) for found in (plain, followed)]
    assert apart[1] < 0.7 * apart[0]
    assert followed.error < followed.history[0] / 5


def test_the_command_line_follows_it(classifier_file: Path, avatars: Generator, tmp_path: Path) -> None:
    photo, plain, followed = (tmp_path / name for name in ("p.png", "a.safetensors", "b.safetensors"))
    resefa.save_png(resefa.to_pil(avatars.synthesize(avatars.sample(77, 0.7))[0]), photo)
    for file, options in ((plain, ()), (followed, ("--perceptual", str(classifier_file)))):
        assert main(["invert", str(photo), "--steps", "5", "-o", str(file), *options]) == 0
    codes = [resefa.Latent.load(file).codes for file in (plain, followed)]
    assert not torch.equal(codes[0], codes[1])
    assert main(["invert", str(photo), "--perceptual", str(photo), "-o", str(tmp_path / "c")]) == 1


def test_every_operation_is_that_of_onnx(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    node = onnx.helper.make_node
    whole = onnx.numpy_helper.from_array
    nodes = [
        node("Constant", [], ["two"], value=whole(np.array(2.0, np.float32))),
        node("Mul", ["image", "two"], ["m"]),
        node("Conv", ["m", "w", "b"], ["conv"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Conv", ["m", "w", "b"], ["lower"], auto_pad="SAME_LOWER", strides=[2, 2]),
        node("Conv", ["conv", "deep"], ["dilated"], pads=[2, 1, 2, 3], dilations=[2, 2], group=2),
        node("PRelu", ["dilated", "slope"], ["prelu"]),
        node("MaxPool", ["prelu"], ["pool"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("MaxPool", ["prelu"], ["up"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node("AveragePool", ["lower"], ["mean"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("AveragePool", ["lower"], ["all"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
        node("LeakyRelu", ["mean"], ["leaky"], alpha=0.2),
        node("Clip", ["all", "least", "most"], ["clip"]),
        node("Sigmoid", ["clip"], ["sigmoid"]),
        node("Tanh", ["leaky"], ["tanh"]),
        node("Add", ["sigmoid", "tanh"], ["sum"]),
        node("Sub", ["sum", "two"], ["less"]),
        node("Div", ["less", "two"], ["half"]),
        node("Concat", ["half", "lower"], ["joined"], axis=1),
        node("GlobalAveragePool", ["joined"], ["global"]),
        node("Squeeze", ["global", "places"], ["vector"]),
        node("Unsqueeze", ["vector", "places"], ["back"]),
        node("Identity", ["back"], ["same"]),
        node("Reshape", ["same", "shape"], ["shaped"]),
        node("Transpose", ["shaped"], ["turned"], perm=[0, 2, 1]),
        node("MatMul", ["turned", "matrix"], ["product"]),
        node("ReduceMean", ["product"], ["reduced"], axes=[1], keepdims=0),
        node("Gemm", ["reduced", "matrix", "row"], ["gemm"], alpha=0.5, beta=2.0, transB=1),
        node("Dropout", ["gemm"], ["kept"]),
        node("Flatten", ["pool"], ["flat"]),
        node("Relu", ["flat"], ["relu"]),
    ]
    weights = {
        "w": torch.randn(4, 3, 3, 3),
        "b": torch.randn(4),
        "deep": torch.randn(4, 2, 3, 3),
        "slope": torch.rand(4, 1, 1),
        "least": torch.tensor(-0.5),
        "most": torch.tensor(0.7),
        "places": torch.tensor([2, 3]),
        "shape": torch.tensor([0, 2, -1]),
        "matrix": torch.randn(2, 2),
        "row": torch.randn(2),
    }
    outputs = ["up", "kept", "relu", "pool", "conv", "lower", "mean", "all"]
    made = model(nodes, weights, outputs, ("n", 3, "h", "w"))
    onnx.save(made, tmp_path / "all.onnx")
    images = torch.rand(2, 3, 15, 17) * 2 - 1
    session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(outputs, {"image": images.numpy()})
    found = FeatureDistance(tmp_path / "all.onnx").features(images)
    for name, theirs, ours in zip(outputs, expected, found, strict=True):
        assert ours.shape == theirs.shape, name
        assert np.allclose(ours.numpy(), theirs, atol=1e-4), name


def test_files_that_are_no_such_network_are_refused(classifier_file: Path, tmp_path: Path) -> None:
    with pytest.raises(resefa.ParameterError, match="no value 'nowhere'"):
        FeatureDistance(classifier_file, ("nowhere",))
    with pytest.raises(resefa.ParameterError, match="one for each colour"):
        FeatureDistance(classifier_file, mean=(1.0, 2.0))
    with pytest.raises(resefa.ParameterError, match="std"):
        FeatureDistance(classifier_file, std=0.0)
    node, file = onnx.helper.make_node, tmp_path / "x.onnx"
    for nodes, weights, shape, why in (
        ([node("LSTM", ["image"], ["out"])], {}, (1, 3, 8, 8), "LSTM, which is unknown"),
        ([node("Relu", ["image"], ["out"])], {}, (1, 3), "not a network of images"),
        ([node("Relu", ["image"], ["out"])], {}, (1, 1, 8, 8), "not a network of images"),
    ):
        onnx.save(model(nodes, weights, ["out"], shape), file)
        with pytest.raises(resefa.ParameterError, match=why):
            FeatureDistance(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(resefa.ParameterError, match="not an ONNX file"):
        FeatureDistance(file)
    onnx.save(
        model([node("Add", ["image", "w"], ["out"])], {"w": torch.ones(7)}, ["out"], (1, 3, 8, 8)), file
    )
    with pytest.raises(resefa.ParameterError, match="fails on images"):
        FeatureDistance(file)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def test_weights_beside_the_file_are_not_read(tmp_path: Path) -> None:
    node = onnx.helper.make_node
    made = model([node("Add", ["image", "w"], ["out"])], {"w": torch.ones(3, 8, 8)}, ["out"], (1, 3, 8, 8))
    file = tmp_path / "x.onnx"
    onnx.save(made, file, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").exists()
    with pytest.raises(resefa.ParameterError, match="inside"):
        FeatureDistance(file)
