"""GANSpace: principal components of what a generator's first steps make of noise."""

from __future__ import annotations

import torch
from torch import Tensor

from ..directions import Directions
from ..errors import ParameterError
from ..generators.base import Generator
from ..memo import Memo
from ..precision import analysis_mode, as_float32, wide
from ..progress import Progress, stage
from ..spaces import ONE_VECTOR, SPACES
from .base import Parameter, Request, candidates, ranked, register_method
from .entry import entry_maps, unknown_layers

_CHUNK = 1024
_NEGLIGIBLE = 1e-12
_known: Memo[Tensor] = Memo(8)


@register_method(
    key="ganspace",
    title="GANSpace",
    citation="Härkönen, Hertzmann, Lehtinen and Paris: GANSpace: Discovering Interpretable GAN Controls. "
    "NeurIPS 2020",
    summary="Principal components of sampled codes: no region; those most local to the region are kept.",
    spaces=ONE_VECTOR,
    one_space=True,
    uses_region=False,
    parameters=(
        Parameter(
            name="num_samples",
            default=20_000,
            minimum=100,
            maximum=1_000_000,
            help="how many samples the components are of",
            published="1,000,000 in the paper, 300,000 in the code",
            whole=True,
        ),
        candidates("components", "none: the region plays no part (0)"),
    ),
    refuses=unknown_layers,
)
def find(request: Request) -> Directions:
    """Principal components that are most local to the region."""
    generator = request.generator
    if SPACES[request.space].layered and 0 not in request.layers:
        raise ParameterError(
            f"GANSpace's directions of this {generator.architecture} move layer 0, which layers "
            f"{str(list(request.layers))[:80]} leave out"
        )
    count, label = int(request.parameters["num_samples"]), request.latents[0].label
    vectors = _known.get(
        (generator.fingerprint, count, None if label is None else int(label[0])),
        lambda: _components(generator, count, label, stage(request.progress, 0, 2)),
    )
    if SPACES[request.space].layered:
        whole = vectors.new_zeros(len(vectors), len(request.layers), generator.latent_dim)
        whole[:, 0] = vectors
        vectors = whole
    return ranked(request, vectors, stage(request.progress, 1, 2))


def _components(
    generator: Generator, num_samples: int, label: Tensor | None, progress: Progress | None
) -> Tensor:
    with analysis_mode():
        return components(as_float32(generator), num_samples, label, progress)


def components(
    generator: Generator, num_samples: int, label: Tensor | None, progress: Progress | None = None
) -> Tensor:
    """Principal components by descending variance, as unit vectors `(k, D)` in float64.

    With a mapping network, those of w. Else those of the first layer's features, carried back: the code
    that is regressed, by least squares, on a component's coordinate. The first layer is linear, so that
    its features, of many thousand entries, need not be formed: with inputs x of covariance C, and weights
    A, the components are `u = A C^½ v / s`, v and s² the eigenvectors and eigenvalues of `C^½ AᵀA C^½`,
    and the regressed codes are along `uᵀ A cov(x, code)`.

    Args:
        num_samples: how many are drawn, by the seeds from 0, without truncation.
        label: the class, where the generator has classes, `(1,)`.
    """
    inputs, across = _covariances(generator, num_samples, label, progress)
    if generator.has_mapping:
        squares, axes = torch.linalg.eigh(inputs)
        kept = squares > _NEGLIGIBLE * squares[-1]
        return axes[:, kept].flip(1).T
    matrix = entry_maps(generator)[0]
    gram = matrix.T @ matrix
    sizes, axes = torch.linalg.eigh(inputs)
    root = (axes * sizes.clamp_min(0.0).sqrt()) @ axes.T
    squares, coordinates = torch.linalg.eigh(root @ gram @ root)
    kept = squares > _NEGLIGIBLE * squares[-1]
    vectors = coordinates[:, kept].flip(1).T @ root @ gram @ across
    return vectors / vectors.norm(dim=1, keepdim=True)


def _covariances(
    generator: Generator, num_samples: int, label: Tensor | None, progress: Progress | None
) -> tuple[Tensor, Tensor]:
    """Of the first layer's inputs, and of these with its codes, `(D, D)` each, in float64."""
    size = generator.latent_dim
    sums = torch.zeros(2 * size, dtype=torch.float64)
    products = torch.zeros(2 * size, 2 * size, dtype=torch.float64)
    for start in range(0, num_samples, _CHUNK):
        seeds = range(start, min(start + _CHUNK, num_samples))
        noise = generator.draw(seeds).to(generator.device)
        classes = None if label is None else label[:1].to(generator.device).expand(len(seeds))
        codes = generator.map(noise, classes)[:, 0]
        inputs = generator.entry_input(codes)
        both = wide(torch.cat([inputs, codes], dim=1)).cpu()
        sums += both.sum(dim=0)
        products += both.T @ both
        if progress is not None:
            progress(start + len(seeds), num_samples)
    mean = sums / num_samples
    covariance = products / num_samples - torch.outer(mean, mean)
    return covariance[:size, :size], covariance[:size, size:]
