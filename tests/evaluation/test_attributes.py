from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import resefa_core as resefa
from resefa_core import EvaluationError
from resefa_core.evaluation import attributes
from resefa_core.evaluation.attributes import (
    REGION_ATTRIBUTES,
    AttributeClassifier,
    accuracy,
    attribute_changes,
    probabilities,
    read_labels,
    seen,
    to_images,
)
from resefa_core.evaluation.equal_change import edits_of, equal_change, images

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def classifier() -> AttributeClassifier:
    return AttributeClassifier.load("avatars")


@pytest.fixture(scope="module")
def drawings() -> np.ndarray:
    """48 drawings of the held-out set, `(48, 64, 64, 3)`."""
    sheet = np.asarray(Image.open(HERE / "drawings.png"))
    return sheet.reshape(6, 64, 8, 64, 3).transpose(0, 2, 1, 3, 4).reshape(48, 64, 64, 3)


def test_the_bundled_classifier_tells_what_was_drawn(
    classifier: AttributeClassifier, drawings: np.ndarray
) -> None:
    values, seen_with, labels = read_labels(HERE / "drawings.json")
    assert {name: tuple(kinds) for name, kinds in values.items()} == classifier.attributes
    assert {name: (other, tuple(kinds)) for name, (other, kinds) in seen_with.items()} == classifier.seen_with
    told = accuracy(classifier, drawings, labels)
    assert {name for name, share in told.items() if share == 1.0} >= {"top", "eyes", "mouth", "accessories"}
    assert min(told.values()) > 0.95
    shown = seen(classifier, probabilities(classifier, to_images(drawings)))
    expected = np.stack([labels[name] >= 0 for name in classifier.attributes], axis=1)
    assert (shown.numpy() == expected).all()
    assert not expected.all()


def test_the_bundled_classifier_is_small_and_says_how_good_it_is(classifier: AttributeClassifier) -> None:
    file = Path(attributes.__file__).parent / "avatars.safetensors"
    assert file.stat().st_size < 1_000_000
    recorded = json.loads(classifier.about["held_out_accuracy"])
    assert recorded.keys() == classifier.attributes.keys()
    assert all(0.95 < share <= 1.0 for share in recorded.values())
    assert classifier.about["license"] == "Apache-2.0"


def test_every_preset_of_the_drawn_faces_has_its_attributes(classifier: AttributeClassifier) -> None:
    shown = REGION_ATTRIBUTES["avatars"]
    assert shown.keys() == resefa.PRESETS["avatars"].keys()
    assert {name for names in shown.values() for name in names} <= classifier.attributes.keys()


def test_changes_between_drawings_are_those_of_their_labels(
    classifier: AttributeClassifier, drawings: np.ndarray
) -> None:
    _, _, labels = read_labels(HERE / "drawings.json")
    pictures = to_images(drawings)
    result = attribute_changes(classifier, pictures, pictures.roll(-1, dims=0), "mouth")
    agree = []
    for column, name in enumerate(result.names):
        before, after = labels[name], np.roll(labels[name], -1)
        known = (before >= 0) & (after >= 0)
        assert (result.changed[:, column].isnan().numpy() == ~known).all()
        assert (result.moved[:, column].isnan().numpy() == ~known).all()
        agree += (result.changed[:, column].numpy()[known] == (before != after)[known]).tolist()
    assert np.mean(agree) > 0.95
    mouths = (labels["mouth"] != np.roll(labels["mouth"], -1)).astype(float)
    assert result.target_changed.tolist() == mouths.tolist()
    assert result.target_moved.tolist() == pytest.approx(mouths.tolist(), abs=0.1)


def test_other_sizes_are_brought_to_the_classifiers(
    classifier: AttributeClassifier, drawings: np.ndarray
) -> None:
    pictures = to_images(drawings)
    large = F.interpolate(pictures, size=(128, 128), mode="nearest")
    expected = probabilities(classifier, pictures)
    for name, found in probabilities(classifier, large).items():
        assert torch.allclose(found, expected[name], atol=1e-4)


def test_a_mouth_edit_of_the_bundled_generator_changes_mouths(
    avatars: resefa.Generator, classifier: AttributeClassifier
) -> None:
    latent = avatars.sample(range(4), truncation=0.7)
    mouth = resefa.Region.preset("mouth")
    jacobians = [resefa.compute_jacobian(avatars, latent[index], "w") for index in range(2)]
    edits = edits_of(latent, resefa.factorize(jacobians, mouth, 2))
    found = equal_change(avatars, edits, mouth)
    rows = found.reached.nonzero()[:, 0]
    before = images(avatars, edits, torch.zeros(len(rows)), rows)
    after = images(avatars, edits, found.distance[rows], rows)
    changes = attribute_changes(classifier, before, after, *REGION_ATTRIBUTES["avatars"]["mouth"])
    assert changes.target_changed.nanmean() > 3 * changes.others_changed.nanmean()
    assert changes.target_moved.nanmean() > 3 * changes.others_moved.nanmean()
    still = attribute_changes(classifier, before, before, "mouth")
    for values in (still.target_changed, still.target_moved, still.others_changed, still.others_moved):
        assert values.tolist() == [0.0] * len(rows)


class Brightness:
    """Tells whether the left and the right half are light; the right one's colour is seen where it is."""

    attributes: Mapping[str, tuple[str, ...]] = {
        "left": ("dark", "light"),
        "right": ("dark", "light"),
        "colour": ("red", "green"),
    }
    seen_with: Mapping[str, tuple[str, tuple[str, ...]]] = {"colour": ("right", ("light",))}

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        half = pictures.shape[3] // 2
        left, right = pictures[..., :half].mean(dim=(1, 2, 3)), pictures[..., half:].mean(dim=(1, 2, 3))
        green = pictures[:, 1].mean(dim=(1, 2)) - pictures[:, 0].mean(dim=(1, 2))
        zero = torch.zeros_like(left)
        return {
            "left": torch.stack([zero, left], dim=1),
            "right": torch.stack([zero, right], dim=1),
            "colour": torch.stack([zero, green], dim=1),
        }


def picture(left: float, right: float) -> Tensor:
    values = torch.tensor([left, left, right, right], dtype=torch.float32)
    return values.expand(1, 3, 4, 4).clone()


def test_shares_and_probabilities_of_any_predictor() -> None:
    before = torch.cat([picture(-1.0, 1), picture(-1.0, -1), picture(-1.0, 1)])
    after = torch.cat([picture(1, 1), picture(1, -1), picture(-0.5, -1)])
    result = attribute_changes(Brightness(), before, after, "left")
    assert torch.equal(
        result.changed.nan_to_num(nan=-1.0),
        torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, -1.0], [0.0, 1.0, -1.0]]),
    )

    def light(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    moved = [light(1) - light(-1), light(1) - light(-1), light(-0.5) - light(-1)]
    assert result.moved[:, 0].tolist() == pytest.approx(moved, abs=1e-6)
    assert result.target_changed.tolist() == [1.0, 1.0, 0.0]
    assert result.target_moved.tolist() == pytest.approx(moved, abs=1e-6)
    assert result.others_changed.tolist() == [0.0, 0.0, 1.0]
    assert result.others_moved.tolist() == pytest.approx([0.0, 0.0, light(1) - light(-1)], abs=1e-6)
    both = attribute_changes(Brightness(), before, after, "left", "right")
    assert both.target_changed.tolist() == [1.0, 1.0, 1.0]
    assert both.others_changed.nan_to_num(nan=-1.0).tolist() == [0.0, -1.0, -1.0]
    hidden = attribute_changes(Brightness(), before, after, "colour")
    assert hidden.target_changed.isnan().tolist() == [False, True, True]
    nothing = attribute_changes(Brightness(), before, after)
    assert nothing.target_changed.isnan().all()
    assert nothing.others_changed.tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 2])


def test_images_and_targets_that_do_not_fit_are_refused(classifier: AttributeClassifier) -> None:
    face = torch.zeros(2, 3, 64, 64)
    for before, after in ((face, face[:1]), (face[0], face[0]), (face[:0], face[:0])):
        with pytest.raises(resefa.ParameterError, match="expected one after each"):
            attribute_changes(classifier, before, after, "mouth")
    with pytest.raises(resefa.ParameterError, match=r"'beak'.*mouth"):
        attribute_changes(classifier, face, face, "beak")


@pytest.mark.parametrize("side", [64, 128])
def test_a_saved_classifier_comes_back(tmp_path: Path, side: int) -> None:
    torch.manual_seed(0)
    written = AttributeClassifier(
        {"hat": ["yes", "no"], "colour": ["red", "blue", "green"]},
        {"colour": ("hat", ["yes"])},
        {"title": "hats"},
        side,
    ).eval()
    file = tmp_path / "hats.safetensors"
    written.save(file)
    read = AttributeClassifier.load(file)
    assert (read.attributes, read.seen_with, read.about, read.side) == (
        written.attributes,
        written.seen_with,
        {"title": "hats"},
        side,
    )
    pictures = torch.rand(3, 3, 128, 128)
    for name, logits in written(pictures).items():
        assert torch.allclose(read(pictures)[name], logits, atol=0.01)
    assert not read.training
    with pytest.raises(EvaluationError, match="exists"):
        written.save(file)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resefa.classifier_version": "9"}, "version 1"),
        ({"resefa.attributes": "{"}, "damaged"),
        ({"resefa.attributes": '{"hat": "yes"}'}, "lists of text"),
        ({"resefa.attributes": '["hat"]'}, "damaged"),
        ({"resefa.attributes": '{"hat": []}'}, "lists of text"),
        ({"resefa.attributes": '{"hat": ["yes"]}'}, "damaged"),
        ({"resefa.attributes": '{"a.b": ["yes", "no"]}'}, "damaged"),
        ({"resefa.attributes": json.dumps({"hat": ["x"] * 5000})}, "4096"),
        ({"resefa.seen_with": '{"hat": ["shoe", ["yes"]]}'}, "damaged"),
        ({"resefa.seen_with": '{"hat": ["hat", ["maybe"]]}'}, "seen"),
        ({"resefa.seen_with": '{"hat": ["hat", []]}'}, "seen"),
        ({"resefa.seen_with": '{"hat": 3}'}, "damaged"),
        ({"resefa.side": "72"}, "side=72 was given: expected one of 64, 128"),
        ({"resefa.side": "wide"}, "damaged"),
        ({"resefa.side": "128"}, "damaged"),
    ],
)
def test_damaged_classifiers_are_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    metadata = {
        "resefa.classifier_version": "1",
        "resefa.attributes": '{"hat": ["yes", "no"]}',
        "resefa.seen_with": "{}",
    }
    tensors = AttributeClassifier({"hat": ["yes", "no"]}).state_dict()
    file = tmp_path / "hats.safetensors"
    save_file(tensors, file, metadata)
    AttributeClassifier.load(file)
    save_file(tensors, file, metadata | changes)
    with pytest.raises(EvaluationError, match=said):
        AttributeClassifier.load(file)


def test_files_that_are_no_classifiers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="can't be read"):
        AttributeClassifier.load(tmp_path / "missing.safetensors")
    with pytest.raises(EvaluationError, match="not an attribute classifier"):
        AttributeClassifier.load(Path(resefa.__file__).parent / "bundled" / "avatars.safetensors")
    (tmp_path / "text.safetensors").write_text("hello, this is not a classifier")
    with pytest.raises(EvaluationError, match="not a safetensors file"):
        AttributeClassifier.load(tmp_path / "text.safetensors")


def test_hidden_attributes_have_no_label() -> None:
    values, _, labels = read_labels(HERE / "drawings.json")
    glasses = labels["accessories"] != values["accessories"].index("none")
    assert glasses.any()
    assert (labels["eyes"][glasses] == -1).all()
    assert (labels["eyes"][~glasses] >= 0).all()
    assert ((labels["accessoriesColor"] >= 0) == glasses).all()
    tops = np.array(values["top"])[labels["top"]]
    assert {"hijab", "froBand"} < set(tops)
    for name, with_hijab, with_band in (
        ("hatColor", True, False),
        ("hairColor", False, True),
        ("clothing", False, True),
        ("clothesColor", False, True),
    ):
        assert ((labels[name] >= 0) == with_hijab)[tops == "hijab"].all()
        assert ((labels[name] >= 0) == with_band)[tops == "froBand"].all()
