"""Sums over images: what joint solving takes, the same bits however they are made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import resefa_core as resefa
from resefa_core.atlas.plan import Plan
from resefa_core.atlas.summing import Growing, sum_up
from resefa_core.atlas.tree import Node, Tree
from resefa_core.errors import AtlasError, LatentError, ParameterError, RegionError
from resefa_core.solve.sums import Sums
from resefa_core.workers import Inline, Workers
from resefa_core.workers.pool import Pool
from tests.atlas.tasks import Backwards, Killed, children, is_there, start
from tests.models import tiny_stylegan2

BOXES = ("0.2,0.2,0.5,0.4", "0.5,0.5,0.5,0.5")
SEEDS = range(21)


@pytest.fixture(scope="module")
def generator() -> resefa.Generator:
    return tiny_stylegan2(16)


@pytest.fixture(scope="module")
def plan(generator: resefa.Generator) -> Plan:
    return Plan.of(generator, SEEDS, BOXES)


@pytest.fixture(scope="module")
def wanted(generator: resefa.Generator, plan: Plan) -> Growing:
    return sum_up(generator, plan)


def assert_same_bits(found: Growing, wanted: Growing) -> None:
    for mine, theirs in zip(found.total.tensors(), wanted.total.tensors(), strict=True):
        assert torch.equal(mine, theirs)
    assert found.own.keys() == wanted.own.keys()
    assert all(torch.equal(own, wanted.own[place]) for place, own in found.own.items())


@pytest.mark.parametrize("objective", [resefa.PAPER, resefa.SHAPE])
def test_sums_lead_to_the_directions_of_joint_solving(
    generator: resefa.Generator, wanted: Growing, objective: resefa.Objective
) -> None:
    jacobians = [resefa.compute_jacobian(generator, generator.sample(seed, 0.7), "w") for seed in SEEDS]
    joint = resefa.factorize(
        jacobians, resefa.Region.from_text(BOXES[0], generator), 4, 1e-3, objective=objective
    )
    summed = wanted.total.pencil(0, objective).solve(4, 1e-3)
    torch.testing.assert_close(summed.vectors.float(), joint.vectors, atol=1e-5, rtol=0)
    torch.testing.assert_close(summed.quotients.float(), joint.eigenvalues, atol=0, rtol=1e-5)
    assert summed.damping == pytest.approx(joint.damping, rel=1e-5)


def test_no_image_counts_for_more_because_it_changes_more(generator: resefa.Generator, plan: Plan) -> None:
    jacobian = resefa.compute_jacobian(generator, generator.sample(3, 0.7), "w").formed()
    regions = [region for region in plan.regions.values() if isinstance(region, resefa.Region)]
    louder = type(jacobian)(100.0 * jacobian.matrix, jacobian.subject)
    quiet, loud = Sums.of(jacobian, regions), Sums.of(louder, regions)
    torch.testing.assert_close(loud.inside, quiet.inside, rtol=1e-6, atol=0)
    assert float(quiet.total[0].trace()) == pytest.approx(1.0)


def test_threads_and_blocks_do_not_matter(generator: resefa.Generator, plan: Plan, wanted: Growing) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for block in (1, 4, 32):
            assert_same_bits(sum_up(generator, plan, block=block), wanted)
    finally:
        torch.set_num_threads(before)


def test_a_pool_gives_the_same_bits_even_if_its_processes_are_killed(
    generator: resefa.Generator, plan: Plan, wanted: Growing, tmp_path: Path
) -> None:
    killed = Killed(Pool(2), tmp_path, deaths=3)
    assert_same_bits(sum_up(generator, plan, killed, block=4), wanted)
    assert killed.died == 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[Workers]:
    ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "resefa[cluster]"')
    from resefa_core.workers.cluster import Cluster

    start(ray)
    yield Cluster()
    ray.shutdown()


@pytest.mark.parametrize("deaths", [0, 3])
def test_ray_gives_the_same_bits_even_if_its_workers_are_killed(
    generator: resefa.Generator, plan: Plan, wanted: Growing, cluster: Workers, tmp_path: Path, deaths: int
) -> None:
    assert cluster.count == 2
    killed = Killed(cluster, tmp_path, deaths)
    assert_same_bits(sum_up(generator, plan, killed, block=2), wanted)
    assert killed.died == deaths


DRIVER = """
import sys, time
from pathlib import Path
from resefa_core.atlas.plan import Plan
from resefa_core.atlas.summing import sum_up
from resefa_core.workers.pool import Pool
from tests.atlas.test_sums import BOXES, SEEDS
from tests.models import tiny_stylegan2

if __name__ == "__main__":
    generator = tiny_stylegan2(16)
    plan = Plan.of(generator, SEEDS, BOXES)
    file = Path(sys.argv[1])
    sum_up(generator, plan, Pool(1), file, block=2, kept_every=0.0, on_block=lambda _: time.sleep(0.5))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_a_killed_driver_goes_on_and_leaves_no_process(
    generator: resefa.Generator, plan: Plan, wanted: Growing, tmp_path: Path
) -> None:
    script, file = tmp_path / "driver.py", tmp_path / "sums.safetensors"
    script.write_text(DRIVER, encoding="utf-8")
    root = str(Path(resefa.__file__).parents[1])
    driver = subprocess.Popen([sys.executable, script, file], env={**os.environ, "PYTHONPATH": root})
    until = time.monotonic() + 120.0
    while not file.exists() and driver.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    workers = children(driver.pid)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = Growing.load(file, plan)
    assert 0 < len(kept.tree) < len(SEEDS)
    assert workers
    assert_same_bits(sum_up(generator, plan, checkpoint=file), wanted)
    while any(map(is_there, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(is_there, workers))


@pytest.mark.parametrize("stop", [1, 5, 8, 13, 20])
def test_stopped_anywhere_sums_go_on(
    generator: resefa.Generator, plan: Plan, wanted: Growing, tmp_path: Path, stop: int
) -> None:
    file = tmp_path / "sums.safetensors"

    def report(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sum_up(generator, plan, checkpoint=file, block=1, progress=report)
    assert len(Growing.load(file, plan).tree) == stop
    seen: list[int] = []
    found = sum_up(generator, plan, checkpoint=file, block=8, progress=lambda done, total: seen.append(done))
    assert seen[-1] == len(SEEDS)
    assert_same_bits(found, wanted)
    assert_same_bits(Growing.load(file, plan), wanted)


def one_image(place: int) -> Node:
    one = Sums.none(1, 2)
    one.images[0] = 1
    one.inside[0] = torch.rand(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(place)) / 3
    return Node(0, place, one)


def test_memory_does_not_grow_with_the_images() -> None:
    tree, held = Tree(), 300
    for image in range(1000):
        if image != held:
            tree.add([one_image(image)])
        assert len(tree.nodes) <= 2 * (image.bit_length() + 1)
    assert list(tree.missing(1001)) == [(held, held + 1), (1000, 1001)]
    tree.add([one_image(held)])
    assert len(tree.nodes) == (1000).bit_count()
    total = tree.total()
    assert total is not None
    assert int(total.images) == len(tree) == 1000
    with pytest.raises(ValueError, match="too many"):
        list(tree.missing(900))
    with pytest.raises(ValueError, match="twice"):
        list(Tree([one_image(3), Node(1, 1, Sums.none(1, 2))]).missing(4))


def test_sums_are_the_same_in_whatever_order_images_come() -> None:
    wanted = Tree(map(one_image, range(100))).total()
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0)).tolist()
    found = Tree(map(one_image, order)).total()
    assert wanted is not None
    assert found is not None
    assert torch.equal(found.inside, wanted.inside)
    plain = torch.stack([one_image(place).sums.inside for place in order]).sum(dim=0)
    assert not torch.equal(found.inside, plain)


def test_holes_are_filled(generator: resefa.Generator, plan: Plan, wanted: Growing, tmp_path: Path) -> None:
    file = tmp_path / "sums.safetensors"

    def report(done: int, total: int) -> None:
        if done >= 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sum_up(generator, plan, Backwards(Inline()), file, block=2, progress=report)
    assert list(Growing.load(file, plan).tree.missing(len(SEEDS))) == [(0, 12)]
    assert_same_bits(sum_up(generator, plan, Backwards(Inline()), file, block=4), wanted)


def test_a_checkpoint_of_something_else_is_refused(generator: resefa.Generator, tmp_path: Path) -> None:
    file = tmp_path / "sums.safetensors"
    one = Plan.of(generator, range(2), BOXES)
    sum_up(generator, one, checkpoint=file)
    for other in (
        Plan.of(generator, range(3), BOXES),
        Plan.of(generator, range(2), BOXES[:1]),
        Plan.of(generator, range(2), BOXES, space="w+"),
        Plan.of(tiny_stylegan2(16, seed=1), range(2), BOXES),
    ):
        with pytest.raises(AtlasError, match="other images"):
            sum_up(generator, other, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(AtlasError):
        sum_up(generator, one, checkpoint=file)


def test_images_that_do_not_respond_are_counted() -> None:
    generator = tiny_stylegan2(16)
    generator.requires_grad_(False)
    for parameter in generator.parameters():
        parameter.zero_()
    total = sum_up(generator, Plan.of(generator, range(3), BOXES)).total
    assert (int(total.seen), int(total.collapsed), total.images.tolist()) == (3, 3, [0, 0])
    with pytest.raises(RegionError, match="none of the images"):
        total.pencil(0)


def test_plans_are_checked(generator: resefa.Generator) -> None:
    for seeds in ([], [1, 1], [-1], [2**32]):
        with pytest.raises(ParameterError):
            Plan.of(generator, seeds, BOXES)
    with pytest.raises(RegionError, match="no parts are known"):
        Plan.of(generator, SEEDS)
    for text in ("at:0.5,0.5", "part:mouth"):
        with pytest.raises(RegionError):
            Plan.of(generator, SEEDS, [text])
    with pytest.raises(LatentError):
        Plan.of(generator, SEEDS, BOXES, space="z+")
    with pytest.raises(ParameterError, match="power of two"):
        sum_up(generator, Plan.of(generator, SEEDS, BOXES), block=3)
