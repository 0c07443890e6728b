from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core import StyleGAN2
from resefa_core.analysis import DenseJacobian

REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)


def counting() -> tuple[list[int], Callable[[int, int], None]]:
    """A list that grows with each report of progress, and the reporter."""
    reports: list[int] = []
    return reports, lambda done, total: reports.append(done)


def test_a_kept_analysis_is_not_made_again() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    cache = resefa.JacobianCache(1 << 24)
    first = cache.analyse(generator, latent)
    reports, progress = counting()
    assert cache.analyse(generator, latent, progress=progress) is first
    assert reports == []
    assert len(cache) == 1
    assert cache.nbytes == first.nbytes > first.matrix.nbytes
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


@pytest.mark.parametrize("change", ["latent", "offset", "confined", "space", "layers", "weights"])
def test_whatever_changes_the_analysis_makes_it_anew(change: str) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    cache = resefa.JacobianCache(1 << 24)
    first = cache.analyse(generator, latent)
    space, layers = "w+", None
    if change == "latent":
        latent = generator.sample(1)
    elif change in ("offset", "confined"):
        directions = resefa.factorize(first, REGION, 1)
        latent = (
            resefa.move(latent, directions, {0: 1.0})
            if change == "offset"
            else resefa.move(latent, resefa.prepared(generator, latent, directions, 1.0), {0: 1.0}, 1.0)
        )
    elif change == "space":
        space = "s"
    elif change == "layers":
        layers = [1, 2]
    else:
        generator.synthesis.block(4).const.mul_(1.1)
    reports, progress = counting()
    cache.analyse(generator, latent, space, layers, progress=progress)
    assert reports
    assert len(cache) == 2


def test_the_same_latent_drawn_again_is_found() -> None:
    generator = tiny_stylegan2(16)
    cache = resefa.JacobianCache(1 << 24)
    first = cache.analyse(generator, generator.sample(0))
    assert cache.analyse(generator, generator.sample(0)) is first


def test_the_least_recently_used_goes_first_and_the_bound_holds() -> None:
    generator = tiny_stylegan2(16)
    latents = [generator.sample(seed) for seed in range(3)]
    size = resefa.compute_jacobian(generator, latents[0], kind="dense").nbytes
    cache = resefa.JacobianCache(2 * size + 8)
    kept = [cache.analyse(generator, latent) for latent in latents[:2]]
    assert cache.analyse(generator, latents[0]) is kept[0]
    cache.analyse(generator, latents[2])
    assert cache.nbytes <= cache.max_bytes
    assert cache.analyse(generator, latents[0]) is kept[0]
    assert cache.analyse(generator, latents[1]) is not kept[1]


def test_a_prepared_analysis_is_kept_so_within_the_bound() -> None:
    generator = tiny_stylegan2(16)
    latents = [generator.sample(seed) for seed in range(3)]
    plain = resefa.compute_jacobian(generator, latents[0], kind="dense")
    cache = resefa.JacobianCache(4 * plain.nbytes)
    kept = [cache.analyse(generator, latent) for latent in latents]
    assert [each.spectrum for each in kept] == [None] * 3
    assert len(cache) == 3
    again = cache.analyse(generator, latents[2], prepared=True)
    assert again is kept[2]
    assert again.spectrum is not None
    assert cache.nbytes <= cache.max_bytes
    assert len(cache) < 3
    assert cache.analyse(generator, latents[2]).spectrum is again.spectrum
    assert cache.analyse(generator, generator.sample(5), prepared=True).spectrum is not None
    small = resefa.JacobianCache(2 * plain.nbytes)
    assert small.analyse(generator, latents[0], prepared=True).spectrum is None
    assert len(small) == 1


def test_preparing_stops_when_nobody_waits() -> None:
    class Enough(Exception):  # noqa: N818
        pass

    def stop(done: int, total: int) -> None:
        raise Enough

    generator = tiny_stylegan2(16)
    cache = resefa.JacobianCache(1 << 24)
    kept = cache.analyse(generator, generator.sample(0))
    with pytest.raises(Enough):
        cache.analyse(generator, generator.sample(0), prepared=True, progress=stop)
    assert kept.spectrum is None
    assert cache.analyse(generator, generator.sample(0)) is kept


def test_what_could_not_be_kept_is_not_formed_unless_asked_for() -> None:
    generator = tiny_stylegan2(16)
    cache = resefa.JacobianCache(1 << 14)
    assert cache.analyse(generator, generator.sample(0)).kind == "matrix-free"
    assert cache.analyse(generator, generator.sample(0), kind="dense").kind == "dense"
    assert cache.nbytes <= cache.max_bytes
    with pytest.raises(resefa.ParameterError, match="max_bytes"):
        resefa.JacobianCache(-1)


def test_another_kind_is_analysed_anew_and_what_was_asked_before_does_not_decide() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    cache = resefa.JacobianCache(1 << 24)
    free = cache.analyse(generator, latent, kind="matrix-free")
    reports, progress = counting()
    again = cache.analyse(generator, latent, kind="matrix-free", progress=progress)
    assert (reports, again.kind) == ([], "matrix-free")
    found = [resefa.factorize(each, REGION, 2, max_passes=0).vectors for each in (free, again)]
    torch.testing.assert_close(*found)
    dense = cache.analyse(generator, latent)
    assert dense.kind == "dense"
    assert cache.analyse(generator, latent, kind="dense") is dense
    assert cache.analyse(generator, latent, kind="matrix-free").kind == "matrix-free"
    assert cache.analyse(generator, latent) is dense


def test_a_kept_analysis_works_on_the_generator_that_is_given() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    cache = resefa.JacobianCache(1 << 24)
    first = cache.analyse(generator, latent, kind="matrix-free")
    expected = resefa.factorize(first, REGION, 2).vectors
    twin = copy.deepcopy(generator)
    for parameter in (*generator.parameters(), *generator.buffers()):
        parameter.data.fill_(float("nan"))
    again = cache.analyse(twin, latent, kind="matrix-free")
    torch.testing.assert_close(resefa.factorize(again, REGION, 2).vectors, expected)


def test_a_kept_analysis_goes_under_the_name_of_the_generator_that_asks() -> None:
    generator = tiny_stylegan2(16)
    cache = resefa.JacobianCache(1 << 24)
    first = cache.analyse(generator, generator.sample(0))
    twin = copy.deepcopy(generator)
    twin.name = "twin"
    assert cache.analyse(twin, generator.sample(0)).described["name"] == "twin"
    assert first.described["name"] == ""


def test_a_kept_dense_analysis_over_the_budget_is_not_used() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(0)
    cache = resefa.JacobianCache(1 << 24)
    assert cache.analyse(generator, latent).kind == "dense"
    assert cache.analyse(generator, latent, memory_budget=1 << 14).kind == "matrix-free"


def test_several_images_are_solved_with_one_set_of_states_at_a_time() -> None:
    generator = tiny_stylegan2(16)
    free = [resefa.compute_jacobian(generator, generator.sample(seed), kind="matrix-free") for seed in (0, 1)]
    held = [each.nbytes for each in free]
    joint = resefa.factorize(free, REGION, 2, 1e-3)
    assert all(each.nbytes < before for each, before in zip(free, held, strict=True))
    dense = [resefa.compute_jacobian(generator, generator.sample(seed), kind="dense") for seed in (0, 1)]
    overlap = joint.vectors * resefa.factorize(dense, REGION, 2, 1e-3).vectors
    assert float(overlap.flatten(1).sum(dim=1).abs().min()) > 0.98


def test_a_matrix_free_solution_can_be_stopped_in_the_middle_of_a_block() -> None:
    generator = tiny_stylegan2(16)
    free = resefa.compute_jacobian(generator, generator.sample(0), kind="matrix-free")
    before = free.passes

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resefa.factorize(free, REGION, 2, progress=stop)
    assert free.passes - before <= 32


def test_threads_that_ask_for_the_same_share_one_analysis() -> None:
    generator = tiny_stylegan2(16)
    cache = resefa.JacobianCache(1 << 24)
    started, go_on = threading.Event(), threading.Event()
    found: list[resefa.Jacobian] = []

    def slow(done: int, total: int) -> None:
        started.set()
        go_on.wait(30)

    def ask(progress: Callable[[int, int], None] | None) -> None:
        found.append(cache.analyse(generator, generator.sample(0), progress=progress))

    first = threading.Thread(target=ask, args=(slow,))
    first.start()
    assert started.wait(30)
    reports, progress = counting()
    second = threading.Thread(target=ask, args=(progress,))
    second.start()
    other = cache.analyse(generator, generator.sample(1))
    go_on.set()
    for thread in (first, second):
        thread.join(60)
    assert reports == []
    assert found[0] is found[1] is not other


def test_an_analysis_that_is_stopped_leaves_nothing_behind() -> None:
    generator = tiny_stylegan2(16)
    cache = resefa.JacobianCache(1 << 24)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.analyse(generator, generator.sample(0), progress=stop)
    assert len(cache) == 0
    assert cache.analyse(generator, generator.sample(0)).kind == "dense"


def test_a_dense_jacobian_moves_with_its_gram_matrix() -> None:
    generator = tiny_stylegan2(16)
    jacobian = resefa.compute_jacobian(generator, generator.sample(0), kind="dense")
    assert isinstance(jacobian, DenseJacobian)
    assert jacobian.to("cpu") is jacobian
    elsewhere = jacobian.to("meta")
    assert elsewhere.device.type == "meta"
    assert jacobian.device.type == "cpu"
    torch.testing.assert_close(jacobian.gram().trace().float(), jacobian.matrix.square().sum())


class Elsewhere(StyleGAN2):
    """A generator that says it is on another device; what is computed is computed here."""

    @property
    def device(self) -> torch.device:
        return torch.device("meta")


def test_the_last_formed_analyses_stay_on_the_accelerator_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tiny_stylegan2(16)
    there = copy.deepcopy(here)
    there.__class__ = Elsewhere
    copies: list[str] = []
    to = DenseJacobian.to

    def counted(jacobian: DenseJacobian, device: torch.device | str) -> DenseJacobian:
        moved = to(jacobian, device)
        if moved is not jacobian and torch.device(device).type == "meta":
            copies.append(str(device))
        return moved

    def compute(generator: resefa.Generator, *what: object, **how: object) -> resefa.Jacobian:
        return resefa.compute_jacobian(here, *what, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(DenseJacobian, "to", counted)
    latents = [here.sample(seed) for seed in range(3)]
    size = compute(here, latents[0], kind="dense").nbytes
    cache = resefa.JacobianCache(1 << 24, compute, max_device_bytes=2 * size)
    for latent in latents:
        cache.analyse(there, latent)
    first = cache.analyse(there, latents[0])
    assert first.device.type == "meta"
    assert cache.analyse(there, latents[0]) is first
    assert copies == ["meta"]
    for latent in latents[1:]:
        cache.analyse(there, latent)
    assert cache.analyse(there, latents[0]) is not first, "the least recently used is dropped"
    assert len(copies) == 4
    cache.clear()
    none = resefa.JacobianCache(1 << 24, compute, max_device_bytes=0)
    for _ in range(3):
        none.analyse(there, latents[0])
    assert len(copies) == 6
