"""From a photo to its latent: L-BFGS on one code for all layers, then on a code for each."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..bounds import Bounds, number, whole
from ..errors import LatentError
from ..generators.base import Generator
from ..generators.styles import Style
from ..latents import Latent
from ..precision import as_float32, full_precision
from ..progress import Progress
from ..regions import Region
from .losses import ImageDistance, Perceptual, distance_from, weighted_error, with_gradient
from .photos import Photo
from .prior import CodePrior, squared_distance, squared_spread

STEPS = 200
"""Each draws the image once and takes its derivative once."""
MOST_STEPS = 10_000
SHOWN_EVERY = 5
"""After how many steps the image so far is shown."""
PRIOR = 1e-2
"""What a squared distance of 1 from the mean code, and between layers, counts beside the squared error."""
PRIORS = Bounds(0.0, 1e3)

_TOGETHER = 0.2
_REMEMBERED = 20
_DRAWN = 64
_FAR = 1.5

Show = Callable[[Tensor], None]
"""Takes the image as it is found so far, `(3, H, W)` in about [-1, 1]."""


@dataclass(frozen=True, eq=False)
class Inversion:
    """A latent that was found for a photo.

    Attributes:
        latent: a batch of one; it knows where its image lies in the photo (`Latent.crop`).
        image: what the generator draws of it, `(3, H, W)` in about [-1, 1].
        target: what it was to draw, `(3, H, W)`, on the image's device.
        counted: how much each pixel counted, `(H, W)` in [0, 1].
        error: the mean squared error where pixels count, on the [-1, 1] scale.
        distance: how far the code lies from the generator's mean code, as root mean square in coordinates in
            which its codes are standard normal: about 1 for an image that it draws by itself, more where
            edits may not work as they do there.
        spread: how far the layers' codes lie from their mean, likewise; 0 where all have the same.
        history: the error before each step.
    """

    latent: Latent
    image: Tensor
    target: Tensor
    counted: Tensor
    error: float
    distance: float
    spread: float
    history: tuple[float, ...]

    def error_of(self, image: Tensor) -> float:
        """The `error` of another image `(3, H, W)` on the same device, such as a tuned generator's."""
        return float(weighted_error(image[None], self.target, self.counted))

    @property
    def is_far(self) -> bool:
        """Whether the code lies farther out than those that the generator draws, so that edits may not work
        as they do there."""
        return self.distance > _FAR


def invert(
    generator: Generator,
    image: Photo | Image.Image | np.ndarray[Any, Any] | Tensor,
    *,
    label: int | str | None = None,
    steps: int = STEPS,
    prior: float = PRIOR,
    ignore: Region | None = None,
    perceptual: Perceptual | None = None,
    perceptual_weight: float = 1.0,
    progress: Progress | None = None,
    show: Show | None = None,
) -> Inversion:
    """The latent whose image is most like a photo, and is one that edits work on.

    Minimises `distance(G(codes), photo) + prior * (|v|^2 + |v - mean of layers|^2)` by L-BFGS (Liu and
    Nocedal, 1989) over whitened codes v, in which the generator's own codes are standard normal: first, for
    a fifth of the steps, one code for all layers (W), then a code for each (W+; Abdal et al., 2019). Where
    layers' codes are drawn apart, all steps are for all of them. It starts at the mean code; where that does
    not move, at the nearest of 64 samples. Nothing is random: the same call gives the
    same bytes on the same machine with as many threads; elsewhere rounding differs, and steps enlarge that.

    Args:
        image: a photo, whose crop says where the image lies in it, the middle if it has none; or what
            `Photo.of` reads.
        label: the class, or its name, where there are classes; for None the one whose mean image is closest.
        steps: how many at most, from 1 to 10,000; it stops where nothing more is gained.
        prior: how much more the generator's own codes are preferred: 0 for the closest image; edits work the
            better the more.
        ignore: what does not count, such as a hand before the face; a region of the generator's image.
        perceptual: a further distance of images `(B, 3, H, W)` in [-1, 1], such as LPIPS, beside that of
            pixels at several scales.
        perceptual_weight: what it counts.
        progress: called with (steps done, steps); the work stops if it raises.
        show: called now and then with the image so far.

    Raises:
        PhotoError: the photo can't be used, or nothing of it counts.
        LatentError: no such class, or the generator draws nothing finite.
        ParameterError: a number out of range.

    Example:
        >>> import resefa_core as resefa
        >>> generator = resefa.load_generator("avatars")
        >>> photo = generator.synthesize(generator.sample(seed=7, truncation=0.7))
        >>> found = resefa.invert(generator, photo, steps=30)
        >>> found.error < 0.5 * found.history[0]
        True
    """
    count = whole(steps, "steps", 1, MOST_STEPS)
    weight = number(prior, "prior", *PRIORS)
    with torch.inference_mode(False), full_precision:
        photo = Photo.of(image)
        crop = photo.crop_for(generator)
        distance = distance_from(photo, crop, generator, perceptual, perceptual_weight, ignore)
        network = as_float32(generator)
        chosen = _class_of(network, distance, label)
        search = _Search(network, distance, CodePrior.of(network, chosen), chosen, weight, count)
        search.progress, search.show = progress, show
        coordinates = search.run()
        codes = search.prior.codes(coordinates).detach()
    latent = Latent(
        codes=codes.to(generator.dtype),
        label=search.labels,
        generator=generator.fingerprint,
        crop=crop,
    )
    drawn = generator.synthesize(latent)
    return Inversion(
        latent=latent,
        image=drawn[0],
        target=distance.target[0],
        counted=distance.weight[0, 0],
        error=float(distance.error(drawn)[0]),
        distance=math.sqrt(float(squared_distance(coordinates)[0])),
        spread=math.sqrt(float(squared_spread(coordinates)[0])),
        history=tuple(search.history),
    )


class _Enough(Exception):  # noqa: N818
    """All passes are made."""


class _Search:
    """The steps to one photo's codes."""

    progress: Progress | None = None
    show: Show | None = None

    def __init__(
        self,
        generator: Generator,
        distance: ImageDistance,
        prior: CodePrior,
        label: int | None,
        weight: float,
        steps: int,
    ) -> None:
        self.generator = generator
        self.distance = distance
        self.prior = prior
        self.labels = None if label is None else torch.tensor([label], device=generator.device)
        self.weight = weight
        self.steps = steps
        self.history: list[float] = []

    def run(self) -> Tensor:
        """The whitened coordinates `(1, L, D)` that were found."""
        layers, size = self.generator.num_layers, self.generator.latent_dim
        together = round(_TOGETHER * self.steps) if self.prior.shared and layers > 1 else 0
        start = torch.zeros(1, 1 if together else layers, size, device=self.generator.device)
        first = together or self.steps
        found = self._descend(start, first)
        if len(self.history) == 1 < first:  # the mean code's image does not move, as where all starts at zero
            found = self._descend(self._nearest_drawn()[:, : start.shape[1]], first - 1)
        if together:
            found = self._descend(found.expand(-1, layers, -1), self.steps - together)
        if self.progress is not None:
            self.progress(self.steps, self.steps)
        return found

    def _nearest_drawn(self) -> Tensor:
        """The whitened coordinates `(1, L, D)` of that of some samples whose image is closest."""
        label = None if self.labels is None else int(self.labels[0])
        nearest, least = torch.empty(0), math.inf
        for seed in range(_DRAWN):
            codes = self.generator.sample(seed, 1.0, label).codes
            with torch.no_grad():
                apart = float(self.distance(draw(self.generator, codes, self.labels))[0])
            if apart < least or not seed:
                nearest, least = codes, apart
            if self.progress is not None:
                self.progress(len(self.history), self.steps)
        return self.prior.coordinates(nearest.to(self.prior.mean))

    def _descend(self, start: Tensor, passes: int) -> Tensor:
        """The best coordinates of so many passes of L-BFGS from a start, or fewer where it comes to rest."""
        moved, best, least = with_gradient(start), start, math.inf
        left = passes

        def closure() -> Tensor:
            nonlocal best, least, left
            if not left:
                raise _Enough
            left -= 1
            loss = self._loss(moved)
            value = float(loss.detach())
            if value < least:
                best, least = moved.detach().clone(), value
            (moved.grad,) = torch.autograd.grad(loss, [moved])
            if self.progress is not None and len(self.history) < self.steps:
                self.progress(len(self.history), self.steps)
            return loss.detach()

        optimizer = torch.optim.LBFGS(
            [moved], max_iter=passes, history_size=_REMEMBERED, line_search_fn="strong_wolfe"
        )
        with contextlib.suppress(_Enough):
            optimizer.step(closure)
        return best

    def _loss(self, moved: Tensor) -> Tensor:
        coordinates = moved.expand(-1, self.generator.num_layers, -1)
        drawn = draw(self.generator, self.prior.codes(coordinates), self.labels)
        with torch.no_grad():
            self.history.append(float(self.distance.error(drawn)[0]))
        if self.show is not None and (len(self.history) - 1) % SHOWN_EVERY == 0:
            self.show(drawn[0].detach())
        total = self.distance(drawn)
        if self.weight:
            total = total + self.weight * (squared_distance(coordinates) + squared_spread(coordinates))
        if not bool(torch.isfinite(total).all()):
            raise LatentError(
                "the image is not finite on the way to the photo: the generator's weights, or the perceptual "
                "distance, are damaged"
            )
        return total.sum()


def draw(generator: Generator, codes: Tensor, labels: Tensor | None) -> Tensor:
    """The images of codes `(B, L, D)`, with their derivatives."""
    condition = generator.condition(Latent(codes.detach(), label=labels))
    styles = [Style(generator.style(layer, codes[:, layer])) for layer in range(generator.num_layers)]
    return generator.render(styles, condition).float()


def _class_of(generator: Generator, distance: ImageDistance, label: int | str | None) -> int | None:
    """The class that is meant, or whose mean image is closest to the photo; None where there are none."""
    if isinstance(label, str):
        label = generator.find_class(label) if label.strip() else None
    if label is not None or not generator.num_classes:
        known = generator.sample(0, 0.0, label)
        return None if known.label is None else int(known.label[0])
    apart = []
    with torch.no_grad():
        for each in range(generator.num_classes):
            mean = generator.sample(0, 0.0, each)
            apart.append(float(distance(draw(generator, mean.codes, mean.label))[0]))
    return min(range(len(apart)), key=apart.__getitem__)
