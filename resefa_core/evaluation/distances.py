"""Distances between sets of images, in the features of a network, and between pairs: FID, KID, LPIPS.

They are torchmetrics'. The features may be anyone's: the bundled attribute classifier's for the drawn
faces, `inception()` for what papers report, or any function from images to `(B, d)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..errors import EvaluationError, ParameterError

Features = Callable[[Tensor], Tensor]
"""Images `(B, 3, H, W)` in [-1, 1] to features `(B, d)`."""

_NEEDED = 'this needs torchmetrics: pip install "resefa[evaluate]"'


class KernelDistance(NamedTuple):
    """The mean of the squared kernel distance over subsets, and its standard deviation."""

    mean: float
    deviation: float


def features_of(extractor: Features, batches: Iterable[Tensor]) -> Tensor:
    """Features `(n, d)` of images as 8-bit files show them, float32, on the CPU.

    Args:
        extractor: e.g. `AttributeClassifier.load().features`.
        batches: images `(B, 3, H, W)` in [-1, 1], batch by batch; they may be made as they are asked for.

    Raises:
        EvaluationError: the extractor does not return one vector of finite numbers for each image.
        ParameterError: there are no images.
    """
    found = []
    for images in batches:
        shown = _as_bytes(images).float() / 127.5 - 1.0
        with torch.no_grad():
            features = extractor(shown)
        if features.ndim != 2 or len(features) != len(images) or not bool(features.isfinite().all()):
            raise EvaluationError(
                f"the extractor turned images of shape {tuple(images.shape)} into {tuple(features.shape)}: "
                "expected (B, d), all finite"
            )
        found.append(features.float().cpu())
    if not found:
        raise ParameterError("no images were given")
    return torch.cat(found)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Between Gaussians fitted to features (Heusel et al., GANs Trained by a Two Time-Scale Update Rule
    Converge to a Local Nash Equilibrium, NeurIPS 2017); FID where the features are Inception's.

        |m₁ − m₂|² + tr(C₁ + C₂ − 2 (C₁ C₂)^½)

    It is biased: of few images it is too large. Compare numbers of as many images only.

    Args:
        first, second: `(n, d)`, at least 2 of each, on any devices.

    Raises:
        EvaluationError: torchmetrics is missing.
        ParameterError: features that do not fit.
    """
    _check(first, second, least=2)
    metric = _torchmetrics("fid").FrechetInceptionDistance(feature=_Given(first.shape[1]))
    metric.update(first.cpu().double(), real=True)
    metric.update(second.cpu().double(), real=False)
    return float(metric.compute())


def kernel_distance(
    first: Tensor, second: Tensor, subset_size: int = 1000, subsets: int = 100, seed: int = 0
) -> KernelDistance:
    """The squared maximum mean discrepancy of features under the kernel `(xᵀy / d + 1)³` (Bińkowski et al.,
    Demystifying MMD GANs, ICLR 2018), without bias; KID where the features are Inception's.

    Args:
        first, second: `(n, d)`, at least 2 of each, on any devices.
        subset_size: of the random subsets it is measured on; at most as many as there are.
        subsets: how many.
        seed: of the subsets.

    Raises:
        EvaluationError: torchmetrics is missing.
        ParameterError: features that do not fit, or a number out of range.
    """
    _check(first, second, least=2)
    if subset_size < 2 or subsets < 1:
        raise ParameterError(f"{subsets} subsets of {subset_size}: expected at least one of at least 2")
    size = min(subset_size, len(first), len(second))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        metric = _torchmetrics("kid").KernelInceptionDistance(
            feature=_Given(first.shape[1]), subsets=subsets, subset_size=size
        )
        metric.update(first.cpu().double(), real=True)
        metric.update(second.cpu().double(), real=False)
        mean, deviation = metric.compute()
    return KernelDistance(float(mean), float(deviation))


def inception() -> Features:
    """Inception's features `(B, 2048)`, those of published FIDs and KIDs.

    torch-fidelity fetches the weights (92 MB) when it has none yet; it needs torchvision.

    Raises:
        EvaluationError: torchmetrics or torch-fidelity is missing.
    """
    fid = _torchmetrics("fid")
    try:
        network = fid.FrechetInceptionDistance(feature=2048).inception
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "Inception's features need torch-fidelity: pip install torch-fidelity"
        ) from error
    return partial(_seen_by, network)


def _seen_by(network: nn.Module, images: Tensor) -> Tensor:
    return cast(Tensor, network.to(images.device)(_as_bytes(images)))


def perceptual_distance(
    before: Tensor, after: Tensor, network: Literal["alex", "vgg", "squeeze"] = "alex"
) -> Tensor:
    """LPIPS of each pair of images (Zhang et al., The Unreasonable Effectiveness of Deep Features as a
    Perceptual Metric, CVPR 2018), `(n,)`.

    Args:
        before, after: `(n, 3, H, W)` in [-1, 1], at least 64 pixels wide; compared where `before` lies.

    Raises:
        EvaluationError: torchmetrics or torchvision, whose weights it takes, is missing.
        ParameterError: images of different shapes.
    """
    if before.shape != after.shape or before.ndim != 4 or 0 in before.shape:
        raise ParameterError(
            f"images of shapes {tuple(before.shape)} and {tuple(after.shape)} were given: expected one "
            "after each one before, (n, 3, H, W)"
        )
    lpip = _torchmetrics("lpip")
    try:
        metric = lpip.LearnedPerceptualImagePatchSimilarity(net_type=network).to(before.device)
    except ModuleNotFoundError as error:
        raise EvaluationError("LPIPS needs torchvision: see pytorch.org for the build that fits") from error
    after = after.to(before.device)
    pairs = zip(before.clamp(-1, 1).split(1), after.clamp(-1, 1).split(1), strict=True)
    with torch.no_grad():
        return torch.stack([metric(*pair) for pair in pairs]).cpu()


class _Given(nn.Module):
    """Stands where torchmetrics expects a network: the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _torchmetrics(name: Literal["fid", "kid", "lpip"]) -> Any:
    """A module of torchmetrics' image metrics."""
    try:
        import torchmetrics.image.fid
        import torchmetrics.image.kid
        import torchmetrics.image.lpip
    except ModuleNotFoundError as error:
        raise EvaluationError(_NEEDED) from error
    return getattr(torchmetrics.image, name)


def _as_bytes(images: Tensor) -> Tensor:
    """Images as 8-bit files have them, uint8 `(B, 3, H, W)`."""
    return ((images.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)


def _check(first: Tensor, second: Tensor, least: int) -> None:
    for features in (first, second):
        if features.ndim != 2 or len(features) < least or features.shape[1] != first.shape[1]:
            raise ParameterError(
                f"features of shapes {tuple(first.shape)} and {tuple(second.shape)} were given: expected "
                f"(n, d), of one d and at least {least} images each"
            )
        if not bool(features.isfinite().all()):
            raise ParameterError("there are features that are not finite")
