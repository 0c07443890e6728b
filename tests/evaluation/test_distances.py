from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

import resefa_core as resefa
from resefa_core import EvaluationError
from resefa_core.evaluation.attributes import AttributeClassifier
from resefa_core.evaluation.distances import (
    features_of,
    frechet_distance,
    inception,
    kernel_distance,
    perceptual_distance,
)

needs_torchmetrics = pytest.mark.skipif(
    importlib.util.find_spec("torchmetrics") is None, reason="torchmetrics is not installed"
)


def samples(count: int, shift: float, seed: int, size: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=generator)
    return torch.randn(count, size, generator=generator) @ mixing + shift


@needs_torchmetrics
def test_the_frechet_distance_is_that_of_the_fitted_gaussians() -> None:
    first, second = samples(400, 0.0, 0), samples(300, 0.7, 1)
    means = [features.double().numpy().mean(axis=0) for features in (first, second)]
    spreads = [np.cov(features.double().numpy(), rowvar=False) for features in (first, second)]
    root = scipy.linalg.sqrtm(spreads[0] @ spreads[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(spreads[0] + spreads[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-6)


@needs_torchmetrics
def test_the_frechet_distance_of_a_shift_is_its_square() -> None:
    features = samples(200, 0.0, 2)
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(features, features + 2.0) == pytest.approx(4.0 * 6, rel=1e-6)
    few = samples(3, 0.0, 3, size=40)
    assert frechet_distance(few, few + 1.0) == pytest.approx(40.0, rel=1e-4)


def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T / first.shape[1] + 1.0) ** 3


@needs_torchmetrics
def test_the_kernel_distance_is_the_unbiased_discrepancy() -> None:
    first, second = samples(60, 0.0, 4), samples(60, 0.3, 5)
    a, b = first.double().numpy(), second.double().numpy()
    between = [
        sum(kernel(x, x)[i, j] for i in range(60) for j in range(60) if i != j) / (60 * 59) for x in (a, b)
    ]
    expected = between[0] + between[1] - 2 * kernel(a, b).mean()
    whole = kernel_distance(first, second, subset_size=1000, subsets=1)
    assert whole.mean == pytest.approx(expected, rel=1e-9)
    assert whole.deviation == 0.0


@needs_torchmetrics
def test_the_kernel_distance_is_the_same_again_and_leaves_random_numbers_alone() -> None:
    first, second = samples(90, 0.0, 6), samples(80, 0.3, 7)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    one = kernel_distance(first, second, subset_size=40, subsets=8)
    assert torch.equal(torch.rand(3), expected)
    assert kernel_distance(first, second, subset_size=40, subsets=8) == one
    assert kernel_distance(first, second, subset_size=40, subsets=8, seed=1) != one
    assert one.deviation > 0.0
    assert kernel_distance(first, first + 0.0, subset_size=40).mean < one.mean


@needs_torchmetrics
def test_more_truncation_is_further_from_all_that_a_generator_draws(avatars: resefa.Generator) -> None:
    features = AttributeClassifier.load().features

    def seen(first: int, truncation: float) -> Tensor:
        starts = range(first, first + 96, 48)
        batches = (avatars.sample(range(start, start + 48), truncation) for start in starts)
        return features_of(features, (avatars.synthesize(latent) for latent in batches))

    reference = seen(0, 1.0)
    same, less, least = (seen(1000, truncation) for truncation in (1.0, 0.7, 0.3))
    assert reference.shape == (96, AttributeClassifier.num_features)
    distances = [frechet_distance(reference, each) for each in (same, less, least)]
    assert distances == sorted(distances)
    kernels = [kernel_distance(reference, each, subset_size=80).mean for each in (same, less, least)]
    assert kernels == sorted(kernels)


def test_features_are_of_what_files_show() -> None:
    shown = []

    def extractor(images: Tensor) -> Tensor:
        shown.append(images)
        return images.flatten(1)

    batches: Iterator[Tensor] = (torch.full((2, 3, 2, 2), value) for value in (-3.0, 0.1003, 1.0))
    features = features_of(extractor, batches)
    assert features.shape == (6, 12)
    levels = ((torch.stack(shown) + 1.0) * 127.5)[:, 0, 0, 0, 0]
    assert levels.tolist() == pytest.approx([0.0, 140.0, 255.0], abs=1e-4)


def test_extractors_that_do_not_fit_are_refused() -> None:
    images = torch.zeros(2, 3, 4, 4)
    for extractor in (lambda x: x, lambda x: x[:1].flatten(1), lambda x: x.flatten(1) / 0.0 * 0.0):
        with pytest.raises(EvaluationError, match="expected"):
            features_of(extractor, [images])
    with pytest.raises(resefa.ParameterError, match="no images"):
        features_of(lambda x: x.flatten(1), [])


def test_features_that_do_not_fit_are_refused() -> None:
    good = samples(5, 0.0, 8)
    for bad in (good[:1], good[:, :4], good[0], good * float("nan")):
        for distance in (frechet_distance, kernel_distance):
            with pytest.raises(resefa.ParameterError, match="features"):
                distance(good, bad)
            with pytest.raises(resefa.ParameterError, match="features"):
                distance(bad, good)
    for size, subsets in ((1, 5), (0, 5), (5, 0)):
        with pytest.raises(resefa.ParameterError, match="expected at least one"):
            kernel_distance(good, good, size, subsets)
    with pytest.raises(resefa.ParameterError, match="expected one after each"):
        perceptual_distance(torch.zeros(2, 3, 64, 64), torch.zeros(1, 3, 64, 64))


def test_without_torchmetrics_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchmetrics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    good, images = samples(5, 0.0, 9), torch.zeros(1, 3, 64, 64)
    for call in (
        lambda: frechet_distance(good, good),
        lambda: kernel_distance(good, good),
        lambda: perceptual_distance(images, images),
        inception,
    ):
        with pytest.raises(EvaluationError, match=r"pip install \"resefa\[evaluate\]\""):
            call()


@needs_torchmetrics
@pytest.mark.skipif(importlib.util.find_spec("torch_fidelity") is not None, reason="torch-fidelity is here")
def test_without_torch_fidelity_inception_says_what_to_install() -> None:
    with pytest.raises(EvaluationError, match="pip install torch-fidelity"):
        inception()


@needs_torchmetrics
@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is here")
def test_without_torchvision_lpips_says_what_is_missing() -> None:
    with pytest.raises(EvaluationError, match="LPIPS needs torchvision"):
        perceptual_distance(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
