from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import resefa_core as resefa
from resefa_core import EvaluationError
from resefa_core.evaluation.identity import (
    FFHQ_CROP,
    FaceRecogniser,
    identity_similarity,
    stranger_similarity,
)
from resefa_core.evaluation.image_text import ImageText
from resefa_core.files import write_tensors

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

SIDE, WIDTH, DIMENSION = 16, 5, 7
RANDOM = np.random.RandomState(0)
KERNEL = RANDOM.randn(WIDTH, 3, 3, 3).astype(np.float32)
MATRIX = RANDOM.randn(WIDTH * 14 * 14, DIMENSION).astype(np.float32)


def write_model(
    file: Path,
    shape: tuple[Any, ...] = ("n", 3, SIDE, SIDE),
    nhwc: bool = False,
    subtract: bool = False,
    dtype: Any = np.float32,
) -> Path:
    """A small recogniser, convolution, ReLU and a matrix, as ONNX; it subtracts 100 and divides by 50 itself
    if asked to."""
    make = onnx.helper.make_node
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    constants: dict[str, Any] = {
        "kernel": KERNEL,
        "matrix": MATRIX,
        "mean": np.float32(100),
        "std": np.float32(50),
    }
    nodes, x = [make("Cast", ["images"], ["cast"], to=onnx.TensorProto.FLOAT)], "cast"
    if nhwc:
        nodes.append(make("Transpose", [x], ["nchw"], perm=[0, 3, 1, 2]))
        x = "nchw"
    if subtract:
        nodes += [make("Sub", [x, "mean"], ["shifted"]), make("Div", ["shifted", "std"], ["scaled"])]
        x = "scaled"
    nodes += [
        make("Conv", [x, "kernel"], ["edges"]),
        make("Relu", ["edges"], ["active"]),
        make("Flatten", ["active"], ["flat"]),
        make("MatMul", ["flat", "matrix"], ["embedding"]),
        make("Sub", ["embedding", "mean"], ["ignored"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "recogniser",
        [onnx.helper.make_tensor_value_info("images", kind, shape)],
        [onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, [shape[0], DIMENSION])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, file)
    return file


def expected(given: Tensor) -> Tensor:
    """What the network makes of what it is given, `(B, 3, 16, 16)`."""
    active = F.relu(F.conv2d(given, torch.from_numpy(KERNEL)))
    return active.flatten(1) @ torch.from_numpy(MATRIX)


def faces(count: int = 3, side: int = SIDE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    levels = torch.randint(0, 256, (count, 3, side, side), generator=generator)
    return levels / 127.5 - 1.0


def pixels(images: Tensor) -> Tensor:
    return (images + 1.0) * 127.5


def assert_alike(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("batch", ["n", 1, 2, 8])
@pytest.mark.parametrize("nhwc", [False, True])
def test_a_recogniser_is_given_images_as_its_input_says(tmp_path: Path, batch: Any, nhwc: bool) -> None:
    shape = (batch, SIDE, SIDE, 3) if nhwc else (batch, 3, SIDE, SIDE)
    recogniser = FaceRecogniser(write_model(tmp_path / "face.onnx", shape, nhwc))
    assert (recogniser.layout, recogniser.size) == ("nhwc" if nhwc else "nchw", (SIDE, SIDE))
    assert (recogniser.mean, recogniser.std) == (127.5, 127.5)
    images = faces()
    embeddings = recogniser(images)
    assert embeddings.dtype == torch.float32
    assert_alike(embeddings, expected((pixels(images) - 127.5) / 127.5))


def test_a_recogniser_goes_to_processes_that_do_not_have_its_file(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx")
    recogniser = FaceRecogniser(file, channels="bgr", mean=10.0)
    packed = pickle.dumps(recogniser)
    file.unlink()
    other = pickle.loads(packed)
    assert torch.equal(other(faces()), recogniser(faces()))


def test_a_model_that_subtracts_itself_is_given_pixels(tmp_path: Path) -> None:
    recogniser = FaceRecogniser(write_model(tmp_path / "face.onnx", subtract=True))
    assert (recogniser.mean, recogniser.std) == (0.0, 1.0)
    assert_alike(recogniser(faces()), expected((pixels(faces()) - 100) / 50))
    forced = FaceRecogniser(tmp_path / "face.onnx", mean=10, std=2)
    assert_alike(forced(faces()), expected(((pixels(faces()) - 10) / 2 - 100) / 50))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float64])
def test_inputs_of_other_types(tmp_path: Path, dtype: Any) -> None:
    recogniser = FaceRecogniser(write_model(tmp_path / "face.onnx", dtype=dtype))
    given = pixels(faces()) if dtype is np.uint8 else (pixels(faces()) - 127.5) / 127.5
    assert_alike(recogniser(faces()), expected(given))


def test_colours_may_be_asked_for_in_the_other_order(tmp_path: Path) -> None:
    recogniser = FaceRecogniser(write_model(tmp_path / "face.onnx"), channels="bgr")
    assert_alike(recogniser(faces()), expected(faces().flip(1)))


def test_images_are_cropped_and_brought_to_size(tmp_path: Path) -> None:
    file = write_model(tmp_path / "face.onnx")
    large = faces(2, 64)
    recogniser = FaceRecogniser(file, crop=(0.25, 0.5, 0.25, 0.25))
    assert_alike(recogniser(large), expected(large[:, :, 32:48, 16:32]))
    flat = torch.full((1, 3, 256, 256), -1.0)
    flat[:, :, 35:223, 32:220] = 0.5
    ffhq = FaceRecogniser(file, crop=FFHQ_CROP)
    assert_alike(ffhq(flat), expected(torch.full((1, 3, SIDE, SIDE), 0.5)))


def test_what_the_file_leaves_open_must_be_given(tmp_path: Path) -> None:
    file = write_model(tmp_path / "face.onnx", ("n", 3, "h", "w"))
    with pytest.raises(resefa.ParameterError, match="size of its input"):
        FaceRecogniser(file)
    assert_alike(FaceRecogniser(file, size=SIDE)(faces()), expected(faces()))
    open_layout = write_model(tmp_path / "open.onnx", ("n", "c", "h", "w"))
    with pytest.raises(resefa.ParameterError, match="give the layout"):
        FaceRecogniser(open_layout, size=SIDE)
    assert_alike(FaceRecogniser(open_layout, size=SIDE, layout="nchw")(faces()), expected(faces()))
    with pytest.raises(resefa.ParameterError, match="does not fit"):
        FaceRecogniser(write_model(tmp_path / "fixed.onnx"), size=112)
    for size in (0, 4, 100_000):
        with pytest.raises(resefa.ParameterError, match="expected sides"):
            FaceRecogniser(file, size=size)
    with pytest.raises(EvaluationError, match="the model fails"):
        FaceRecogniser(file, size=SIDE + 1)(faces())


@pytest.mark.parametrize(
    "options",
    [{"crop": (0.5, 0.5, 0.6, 0.1)}, {"crop": (0.5, 0.5, 0.0, 0.1)}, {"std": 0.0}, {"std": float("nan")}],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(resefa.ParameterError):
        FaceRecogniser(write_model(tmp_path / "face.onnx"), **options)


def test_files_that_are_no_recognisers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="can't be read"):
        FaceRecogniser(tmp_path / "missing.onnx")
    whole = write_model(tmp_path / "face.onnx").read_bytes()
    for name, data in (("text", b"hello"), ("empty", b""), ("cut", whole[: len(whole) // 2])):
        file = tmp_path / f"{name}.onnx"
        file.write_bytes(data)
        with pytest.raises(EvaluationError, match="insightface"):
            FaceRecogniser(file)
    flat = write_model(tmp_path / "five.onnx", ("n", 3, SIDE, SIDE))
    model = onnx.load(flat)
    model.graph.input[0].CopyFrom(
        onnx.helper.make_tensor_value_info("images", onnx.TensorProto.INT64, ["n", 3, SIDE, SIDE])
    )
    onnx.save(model, flat)
    with pytest.raises(EvaluationError, match="not a model of images"):
        FaceRecogniser(flat)


def test_weights_outside_the_file_are_not_read(tmp_path: Path) -> None:
    write_model(tmp_path / "face.onnx")
    model = onnx.load(tmp_path / "face.onnx")
    onnx.save(
        model,
        tmp_path / "split.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(EvaluationError):
        FaceRecogniser(tmp_path / "split.onnx")


def test_without_onnxruntime_the_error_says_what_to_install_and_where_models_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_model(tmp_path / "face.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EvaluationError, match=r"pip install \"resefa\[evaluate\]\".*non-commercial"):
        FaceRecogniser(file)


def test_similarity_is_the_cosine_of_embeddings(tmp_path: Path) -> None:
    recogniser = FaceRecogniser(write_model(tmp_path / "face.onnx"))
    before, after = faces(4), faces(4).flip(0)
    found = identity_similarity(recogniser, before, after)
    first, second = (expected(each).double().numpy() for each in (before, after))
    cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    assert found.tolist() == pytest.approx(cosines.tolist(), abs=1e-4)
    assert identity_similarity(recogniser, before, before).tolist() == pytest.approx([1.0] * 4)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    pairs = [first[i] @ first[j] for i in range(4) for j in range(4) if i != j]
    assert stranger_similarity(recogniser, before) == pytest.approx(np.mean(pairs), abs=1e-4)


def test_any_function_serves_as_a_recogniser() -> None:
    before = torch.tensor([1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4)
    after = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4)

    def sides(images: Tensor) -> Tensor:
        value = images.mean(dim=(1, 2, 3))
        return torch.stack([3.0 * (value > 0), 5.0 * (value < 0)], dim=1)

    assert identity_similarity(sides, before, after).tolist() == pytest.approx([1.0, 0.0])
    assert stranger_similarity(sides, torch.cat([before, after])) == pytest.approx(0.5)
    with pytest.raises(resefa.ParameterError, match="expected one after each"):
        identity_similarity(sides, before, after[:1])
    with pytest.raises(resefa.ParameterError, match="at least 2 faces"):
        stranger_similarity(sides, before[:1])
    with pytest.raises(EvaluationError, match="expected"):
        identity_similarity(lambda images: images, before, after)


def test_an_image_text_model_names_directions_by_the_words_they_go_towards(
    tmp_path: Path, avatars: resefa.Generator
) -> None:
    write_model(tmp_path / "model.onnx")
    session = resefa.Session(avatars, seed=29)
    found = session.find("box:mouth", quick=True, only_good=True)
    model = FaceRecogniser(tmp_path / "model.onnx", mean=114.5, std=68.5)
    there, back = (
        F.normalize(model(avatars.synthesize(resefa.move(session.original, found, {0: far}))))[0]
        for far in (2.0, -2.0)
    )
    vectors = torch.stack([there - back, back - there, torch.zeros(DIMENSION) + 1e-3])
    words = {"words": json.dumps(["happy", "sad", "nothing"])}
    write_tensors(tmp_path / "words.safetensors", {"vectors": vectors}, words, resefa.EvaluationError)
    namer = ImageText.load(tmp_path / "model.onnx", tmp_path / "words.safetensors")
    namer.least = 0.0
    named = resefa.Session(avatars, seed=29, namer=namer).find("box:mouth", quick=True, only_good=True)
    assert named.names[0] == "happy / sad"
    assert torch.equal(named.vectors, found.vectors)
    namer.least = 2.0
    unsure = resefa.Session(avatars, seed=29, namer=namer).find("box:mouth", quick=True, only_good=True)
    assert "happy / sad" not in unsure.names


def test_vectors_of_words_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def embedding(images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))

    with pytest.raises(resefa.ParameterError, match="a vector for each"):
        ImageText(embedding, ["a", "b"], torch.ones(3, 4))
    with pytest.raises(resefa.ParameterError, match="is no name"):
        ImageText(embedding, ["a", "b\u202e"], torch.ones(2, 3))
    with pytest.raises(EvaluationError, match="both of one model"):
        ImageText(embedding, ["a", "b"], torch.ones(2, 4))(torch.zeros(2, 3, 8, 8))
    write_model(tmp_path / "model.onnx")
    faulty: list[dict[str, str]] = [{}, {"words": "1"}, {"words": "["}]
    for number, metadata in enumerate(faulty):
        file = tmp_path / f"{number}.safetensors"
        write_tensors(file, {"vectors": torch.ones(2, 3)}, metadata, EvaluationError)
        with pytest.raises(EvaluationError, match="not vectors of words"):
            ImageText.load(tmp_path / "model.onnx", file)
