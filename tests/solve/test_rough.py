"""Directions that are searched for with products in bfloat16."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core import precision
from resefa_core.analysis import DenseJacobian
from resefa_core.regions import Region

MOUTH = Region.from_box(0.31, 0.59, 0.38, 0.19)
CPU = torch.device("cpu")


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("confined", [False, True])
@pytest.mark.parametrize(
    "change", [{}, {"img_channels": 4}, {"img_channels": 1}, {"conv_clamp": 0.5}, {"init_res": (4, 6)}]
)
def test_products_in_bfloat16_are_off_by_a_percent(confined: bool, change: dict[str, int]) -> None:
    torch.manual_seed(0)
    generator = resefa.StyleGAN2(
        z_dim=8, w_dim=8, img_resolution=16, num_mapping_layers=2, channel_base=256, **change
    )
    latent = generator.sample(1)
    region = MOUTH if confined else None
    jacobian = resefa.compute_jacobian(
        generator, latent, "w+", kind="matrix-free", confine_to=region, rough=True
    )
    noise = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, jacobian.dimension, generator=noise)
    images = torch.randn(4, 3, *jacobian.image_size, generator=noise)
    rough = jacobian.searched
    assert 1e-4 < relative(rough.jvp(vectors), jacobian.jvp(vectors)) < 2e-2
    assert 1e-4 < relative(rough.vjp(images), jacobian.vjp(images)) < 2e-2


@pytest.mark.parametrize("objective", [resefa.PAPER, resefa.SHAPE_ALONE])
@pytest.mark.parametrize("count", [1, 2])
def test_what_is_found_is_as_good_and_its_figures_are_those_of_float32(
    objective: resefa.Objective, count: int
) -> None:
    generator = tiny_stylegan2(32)
    latent = generator.sample(list(range(count)))
    free = resefa.compute_jacobian(generator, latent, "s", kind="matrix-free", rough=True)
    dense = resefa.compute_jacobian(generator, latent, "s", kind="dense")
    found = resefa.factorize(free, MOUTH, 4, objective=objective)
    exact = resefa.compute_jacobian(generator, latent, "s", kind="matrix-free", rough=False)
    wanted = resefa.factorize(exact, MOUTH, 4, objective=objective)
    assert bool((found.eigenvalues >= 0.99 * wanted.eigenvalues).all())
    mask = MOUTH.mask(dense[0].height, dense[0].width)
    inside = torch.zeros(4, dtype=torch.float64)
    for each in dense:
        assert isinstance(each, DenseJacobian)
        changes = each.jvp(found.vectors.flatten(1)).double()
        inside += (changes.square() * mask).sum(dim=(1, 2, 3)) / (3 * float(mask.sum()) * count)
    torch.testing.assert_close(found.inside.double(), inside, rtol=1e-4, atol=0)


def test_a_rough_jacobian_can_be_formed_on_request() -> None:
    generator = tiny_stylegan2(32)
    latent = generator.sample(1)
    exact, rough = (
        resefa.compute_jacobian(generator, latent, "w+", kind="dense", rough=rough) for rough in (None, True)
    )
    assert isinstance(exact, DenseJacobian)
    assert isinstance(rough, DenseJacobian)
    assert 1e-4 < relative(rough.matrix, exact.matrix) < 2e-2
    total = rough.matrix.flatten(1).double()
    assert relative(rough.gram(), total @ total.T) < 1e-6
    found, wanted = (resefa.factorize(each, MOUTH, 4) for each in (rough, exact))
    torch.testing.assert_close(found.eigenvalues, wanted.eigenvalues, rtol=0.02, atol=0)
    changes = exact.jvp(found.vectors.flatten(1)).double().square().sum(dim=1)
    mask = MOUTH.mask(exact.height, exact.width).double()
    inside, outside = ((changes * each).sum(dim=(1, 2)) for each in (mask, 1.0 - mask))
    assert bool((inside / (outside + wanted.damping) >= 0.99 * wanted.eigenvalues).all())


def test_float32_is_kept_for_little_regularization() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(1)
    found = [
        resefa.factorize(
            resefa.compute_jacobian(generator, latent, "w+", kind="matrix-free", rough=rough),
            MOUTH,
            2,
            regularization=1e-6,
        )
        for rough in (True, False)
    ]
    torch.testing.assert_close(found[0].eigenvalues, found[1].eigenvalues, rtol=0.01, atol=0)


CPUINFO = Path("/proc/cpuinfo")


@pytest.mark.skipif(
    not CPUINFO.exists() or not hasattr(torch.cpu, "_is_avx512_bf16_supported"),
    reason="nothing here tells what the processor has",
)
def test_the_processor_decides() -> None:
    flags = set(CPUINFO.read_text().split())
    uses = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # not where ONEDNN_MAX_CPU_ISA says otherwise
    has = uses and bool(flags & {"avx512_bf16", "amx_bf16"})
    assert precision.rough_type(CPU) is (torch.bfloat16 if has else None)


def test_devices_that_are_not_known_keep_to_float32() -> None:
    assert precision.rough_type(torch.device("mps")) is None


def test_generators_without_it_search_in_float32() -> None:
    generator = resefa.WrappedGenerator(
        torch.nn.Sequential(torch.nn.Linear(6, 48), torch.nn.Unflatten(1, (3, 4, 4))), 6
    )
    jacobian = resefa.compute_jacobian(generator, generator.sample(1), kind="matrix-free", rough=True)
    vectors = torch.randn(2, 6)
    assert torch.equal(jacobian.searched.jvp(vectors), jacobian.jvp(vectors))
    formed, rough = (
        resefa.compute_jacobian(generator, generator.sample(1), kind="dense", rough=rough)
        for rough in (False, True)
    )
    assert torch.equal(rough.gram(), formed.gram())
