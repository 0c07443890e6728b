"""The analyses of a batch of latents."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import resefa_core as resefa
from tests.models import tiny_stylegan2

BOX = resefa.Region.from_box(0.3, 0.3, 0.4, 0.4)


@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_a_batch_is_analysed_image_by_image(method: str) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample([1, 2, 3], 0.7)
    joint = resefa.compute_jacobian(generator, latent, "w", kind=method)  # type: ignore[arg-type]
    alone = [
        resefa.compute_jacobian(generator, latent[index], "w", kind=method)  # type: ignore[arg-type]
        for index in range(3)
    ]
    assert len(joint) == 3
    assert (joint.kind, joint.shape, joint.latent.seed) == (method, (8,), (1, 2, 3))
    vectors = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    for one, own in zip(joint, alone, strict=True):
        assert torch.equal(one.jvp(vectors), own.jvp(vectors))
    found, wanted = resefa.factorize(joint, BOX, 3), resefa.factorize(alone, BOX, 3)
    assert found.seeds == (1, 2, 3)
    torch.testing.assert_close(found.vectors, wanted.vectors, rtol=0, atol=0)
    torch.testing.assert_close(found.eigenvalues, wanted.eigenvalues, rtol=0, atol=0)


def test_layers_may_be_given_by_an_iterator() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample([1, 2])
    joint = resefa.compute_jacobian(generator, latent, "w+", (layer for layer in (0, 2)))
    assert [part.layers for part in joint] == [(0, 2), (0, 2)]


def test_as_an_operator_it_shows_the_images_one_below_the_other() -> None:
    generator = tiny_stylegan2(16)
    joint = resefa.compute_jacobian(generator, generator.sample([1, 2], 0.7), "w")
    noise = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, joint.dimension, generator=noise)
    images = torch.randn(3, 3, *joint.image_size, generator=noise)
    pushed = joint.jvp(vectors)
    assert pushed.shape == (2, 3, 32, 16)
    torch.testing.assert_close(pushed[:, :, 16:], joint[1].jvp(vectors))
    forward = torch.einsum("vchw,nchw->vn", pushed, images)
    torch.testing.assert_close(vectors @ joint.vjp(images).T, forward, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(joint.jvp(torch.eye(8)), joint.columns())
    assert joint.trace == pytest.approx(joint[0].trace + joint[1].trace)


def test_a_batch_of_one_is_what_it_was() -> None:
    generator = tiny_stylegan2(16)
    alone = resefa.compute_jacobian(generator, generator.sample(1), "w")
    assert [part is alone for part in alone] == [True]
    assert alone[0] is alone
    with pytest.raises(IndexError):
        alone[1]


def test_progress_runs_once_from_start_to_end() -> None:
    generator, seen = tiny_stylegan2(16), []
    resefa.compute_jacobian(
        generator, generator.sample([1, 2]), "w+", progress=lambda done, total: seen.append(done / total)
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_file_holds_one_image(tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    joint = resefa.compute_jacobian(generator, generator.sample([1, 2]), "w")
    with pytest.raises(resefa.JacobianError, match=r"save each of these 2, jacobian\[i\]"):
        joint.save(tmp_path / "both.safetensors")


def test_a_session_and_a_cache_take_it() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample([1, 2], 0.7)
    cache = resefa.JacobianCache(1 << 24)
    joint = cache.analyse(generator, latent, "w")
    assert len(cache.analyse(generator, latent, "w")) == 2
    assert cache.holds(generator, latent, "w")
    given = resefa.Session(generator, latent=latent).find(BOX, space="w", count=2, jacobian=joint)
    wanted = resefa.Session(generator, latent=latent).find(BOX, space="w", count=2)
    torch.testing.assert_close(given.vectors, wanted.vectors, rtol=0, atol=0)
