"""The main paths on a device, each against the CPU.

The device is the simulated one, or that of `RESEFA_TEST_DEVICE`. `tests/test_device.py` runs this file in a
process of its own.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simulated
import torch
from PIL import Image
from torch import Tensor

DEVICE = os.environ.get("RESEFA_TEST_DEVICE", simulated.NAME)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))
if DEVICE == simulated.NAME:
    if not simulated.AVAILABLE:
        pytest.skip("this PyTorch has no backends in Python", allow_module_level=True)
    simulated.install()

import adversarial  # noqa: E402
import paired  # noqa: E402
import runs  # noqa: E402
from difference import Difference  # noqa: E402
from layout import Layout  # noqa: E402

import resefa_core as resefa  # noqa: E402
from gradio_app.studio import Studio  # noqa: E402
from resefa_core.evaluation import attributes, distances  # noqa: E402
from resefa_core.evaluation.config import Row, Study  # noqa: E402
from resefa_core.evaluation.equal_change import edits_of, equal_change  # noqa: E402
from resefa_core.evaluation.study import evaluate  # noqa: E402
from tests.models import tiny_stylegan2, tiny_stylegan3  # noqa: E402
from tests.older_gans import tiny_biggan, tiny_dcgan, tiny_deep, tiny_pggan  # noqa: E402
from tests.test_training import draw  # noqa: E402

DRAWINGS = Path(__file__).resolve().parents[1] / "evaluation"
REGION = resefa.Region.from_box(0.25, 0.25, 0.5, 0.375)
MAKERS: dict[str, Callable[[], resefa.Generator]] = {
    "stylegan2": functools.partial(tiny_stylegan2, 8, channels=4),
    "stylegan3": functools.partial(tiny_stylegan3, channels=3),
    "biggan": tiny_biggan,
    "biggan-deep": tiny_deep,
    "dcgan": tiny_dcgan,
    "pggan": tiny_pggan,
}
SPACES = [("stylegan2", space) for space in ("w", "w+", "s", "z")] + [
    ("stylegan3", "w"),
    ("biggan-deep", "z+"),
    ("biggan", "z+"),
    ("dcgan", "z"),
    ("pggan", "z"),
]


@pytest.fixture(autouse=True)
def on_device() -> Iterator[None]:
    if DEVICE != simulated.NAME:
        yield
        return
    with simulated.OnDevice():
        yield


@functools.cache
def host(name: str) -> resefa.Generator:
    return MAKERS[name]()


@functools.cache
def there(name: str) -> resefa.Generator:
    return copy.deepcopy(host(name)).to(DEVICE)


def sample(generator: resefa.Generator, seed: int = 3) -> resefa.Latent:
    return generator.sample(seed, 0.7, 2 if generator.num_classes else None)


def is_there(tensor: Tensor) -> bool:
    return tensor.device.type == torch.device(DEVICE).type


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=tolerance * float(wanted.abs().max()))


def both(function: Callable[[resefa.Generator], Tensor], name: str = "stylegan2") -> None:
    close(function(there(name)), function(host(name)))


@functools.cache
def found(name: str = "stylegan2", space: str = "w") -> resefa.Directions:
    jacobian = resefa.compute_jacobian(host(name), sample(host(name)), space, kind="dense")
    return resefa.factorize(jacobian, REGION, 2)


def test_the_cpus_tensors_are_refused() -> None:
    with pytest.raises(RuntimeError, match="same device"):
        torch.zeros(2, device=DEVICE) + torch.zeros(2)


@pytest.mark.parametrize("name", MAKERS)
def test_images(name: str) -> None:
    generator = there(name)
    assert is_there(generator.synthesize(sample(generator)))
    both(lambda each: each.synthesize(sample(each)), name)
    both(lambda each: each.synthesize(sample(each).to("cpu")), name)


def test_loading(tmp_path: Path) -> None:
    generator = resefa.load_generator("avatars", DEVICE)
    assert generator.device.type == torch.device(DEVICE).type
    assert generator.fingerprint == resefa.load_generator("avatars").fingerprint
    latent = generator.sample([1, 2], 0.7)
    latent.save(tmp_path / "latent.safetensors")
    read = resefa.Latent.load(tmp_path / "latent.safetensors")
    close(generator.synthesize(read), generator.synthesize(latent).cpu())


@pytest.mark.parametrize(
    ("name", "space", "method"),
    [(*each, "dense") for each in SPACES] + [(*each, "matrix-free") for each in SPACES[:6]],
)
def test_directions(name: str, space: str, method: Any) -> None:
    def directions(generator: resefa.Generator) -> resefa.Directions:
        jacobian = resefa.compute_jacobian(generator, sample(generator), space, kind=method)
        return resefa.factorize(jacobian, REGION, 2)

    on_host, on_device = directions(host(name)), directions(there(name))
    assert on_device.vectors.device.type == "cpu"
    close(on_device.eigenvalues, on_host.eigenvalues, 1e-2)
    close(on_device.steps, on_host.steps, 1e-2)


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
def test_directions_that_were_moved(space: str, tmp_path: Path) -> None:
    generator, here = there("stylegan2"), found("stylegan2", space)
    on_device = resefa.with_confined_steps(generator, sample(generator), here.to(DEVICE))
    tensors = [value for value in vars(on_device).values() if isinstance(value, Tensor)]
    assert len(tensors) == 7
    assert all(is_there(tensor) for tensor in tensors)
    for confine in (0.0, 1.0):
        images = resefa.edit(generator, sample(generator), on_device[:1], {0: 2.0}, confine)
        steps = on_device.to("cpu")
        close(images, resefa.edit(host("stylegan2"), sample(host("stylegan2")), steps[:1], {0: 2.0}, confine))
    on_device.save(tmp_path / "moved.safetensors")
    on_device.to_npy(tmp_path / "moved.npy")
    assert torch.equal(resefa.Directions.load(tmp_path / "moved.safetensors").vectors, here.vectors)


def test_solvers_and_several_images() -> None:
    def directions(generator: resefa.Generator, solver: Any, prepared: bool) -> Tensor:
        jacobians = [
            resefa.compute_jacobian(generator, sample(generator, seed), "w", kind="dense") for seed in (3, 4)
        ]
        alone = jacobians[0]
        if prepared:
            alone.prepare()
        chosen = alone if prepared else jacobians
        return resefa.factorize(chosen, REGION, 2, solver=solver).eigenvalues

    for solver, prepared in (("cholesky", False), ("woodbury", False), ("auto", True)):
        both(functools.partial(directions, solver=solver, prepared=prepared))


@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_analyses_are_kept_and_saved(tmp_path: Path, method: Any) -> None:
    generator = there("stylegan2")
    latent, cache = sample(generator), resefa.JacobianCache(1 << 24)
    for _ in range(2):
        kept = cache.analyse(generator, latent, "w", kind=method, prepared=True)
        assert resefa.factorize(kept, REGION, 2).eigenvalues[0] > 0.0
    jacobian = resefa.compute_jacobian(generator, latent, "w", kind=method)
    jacobian.save(tmp_path / "jacobian.safetensors")
    read = resefa.load_jacobian(tmp_path / "jacobian.safetensors", generator)
    assert read.device.type == torch.device(DEVICE).type
    close(resefa.factorize(read, REGION, 2).eigenvalues, resefa.factorize(jacobian, REGION, 2).eigenvalues)


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3", "biggan-deep"])
def test_confined_edits_and_their_analyses(name: str) -> None:
    space = host(name).spaces[-1]
    directions = found(name, space)

    def edited(generator: resefa.Generator) -> Tensor:
        return resefa.edit(generator, sample(generator), directions, {0: 2.0}, confine=0.7, feather=0.05)

    def confined(generator: resefa.Generator) -> Tensor:
        jacobian = resefa.compute_jacobian(generator, sample(generator), space, confine_to=REGION)
        return resefa.factorize(jacobian, REGION, 2).eigenvalues

    both(edited, name)
    both(confined, name)


@pytest.mark.parametrize("space", ["w", "w+", "s", "z"])
def test_edits(space: str) -> None:
    directions = found(space=space)

    def edits(generator: resefa.Generator, on_host: bool) -> Tensor:
        latent = sample(generator).to("cpu") if on_host else sample(generator)
        free = resefa.edit(generator, latent, directions, {0: 1.5, 1: -1.0})
        strips = resefa.sweep(generator, latent, directions, (-1.0, 1.0))
        moved = resefa.move(latent, resefa.prepared(generator, latent, directions, 1.0), {0: 1.0}, 1.0)
        mixed = resefa.mix(generator, moved, sample(generator, 5), 0.5, [1, 2])
        joined = resefa.stack([latent, latent])
        images = [free, strips.flatten(0, 1), generator.synthesize(mixed), generator.synthesize(joined)]
        return torch.cat(images)

    for on_host in (False, True):
        both(functools.partial(edits, on_host=on_host))


@pytest.mark.parametrize("key", resefa.METHODS)
def test_methods(key: str) -> None:
    def directions(generator: resefa.Generator) -> Tensor:
        latents = [sample(generator, seed) for seed in (3, 4)]
        chosen = {"lowrankgan": {"lambda": 1.0}, "ganspace": {"num_samples": 500}}.get(key)
        return resefa.find_directions(
            generator, latents, REGION, key, num_directions=2, parameters=chosen
        ).inside

    method = resefa.METHODS[key]
    if method.unavailable(host("stylegan2")):
        pytest.skip(f"{key} is not defined for this generator")
    both(directions)


@pytest.mark.parametrize("confine", [0.0, 1.0])
def test_equal_change(confine: float) -> None:
    def ratios(generator: resefa.Generator) -> Tensor:
        latent = generator.sample([3, 4], 0.7)
        edits = edits_of(latent, found(), confine=confine)
        return equal_change(generator, edits, REGION, 0.004).ratio

    both(ratios)


def test_a_study(tmp_path: Path) -> None:
    study = Study(
        rows=(Row("resefa", "w"), Row("sefa")),
        regions={"middle": REGION},
        seeds=(5000,),
        directions=1,
        references=16,
    )
    evaluation = evaluate(study, there("stylegan2"), tmp_path)
    assert len(evaluation.records) == 2


def test_attributes() -> None:
    classifier = attributes.AttributeClassifier.load()
    moved = copy.deepcopy(classifier).to(DEVICE)
    faces, labels = drawings()
    assert attributes.accuracy(moved, faces, labels) == attributes.accuracy(classifier, faces, labels)
    before = attributes.to_images(faces[:4])
    on_host = attributes.attribute_changes(classifier, before, before.flip(0), "mouth")
    on_device = attributes.attribute_changes(
        moved, attributes.to_images(faces[:4], DEVICE), before.to(DEVICE).flip(0), "mouth"
    )
    torch.testing.assert_close(on_device.moved, on_host.moved, atol=1e-4, rtol=1e-3, equal_nan=True)


def drawings() -> tuple[np.ndarray, attributes.Labels]:
    """Drawings that nothing was trained on, and what they show."""
    sheet = np.asarray(Image.open(DRAWINGS / "drawings.png"))
    rows, columns = sheet.shape[0] // 64, sheet.shape[1] // 64
    faces = sheet.reshape(rows, 64, columns, 64, 3).swapaxes(1, 2).reshape(-1, 64, 64, 3)
    return faces, attributes.read_labels(DRAWINGS / "drawings.json")[2]


def test_distances() -> None:
    pytest.importorskip("torchmetrics")
    noise = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 40, 8, generator=noise)
    for one, other in ((first.to(DEVICE), second.to(DEVICE)), (first, second.to(DEVICE))):
        assert distances.frechet_distance(one, other) == pytest.approx(
            distances.frechet_distance(first, second), rel=1e-6
        )
        assert distances.kernel_distance(one, other, subsets=2) == pytest.approx(
            distances.kernel_distance(first, second, subsets=2), rel=1e-6
        )
    seen = distances.features_of(
        lambda images: images.flatten(1)[:, :5], [torch.zeros(2, 3, 4, 4).to(DEVICE)]
    )
    assert seen.shape == (2, 5)


def test_pictures() -> None:
    generator = there("stylegan2")
    latent = sample(generator)
    images = generator.synthesize(latent)
    strips = resefa.sweep(generator, latent, found(), (-1.0, 1.0))
    resefa.to_pil(images[0])
    resefa.contact_sheet(strips, resefa.change_labels(found()), resefa.sheets.strength_labels((-1.0, 1.0)))
    resefa.show_region(images[0], REGION)
    resefa.encode_thumbnail(resefa.to_pil(images[0]))
    mask = torch.zeros(8, 8, device=DEVICE)
    mask[2:5, 2:6] = 1.0
    region = resefa.Region.from_mask(mask)
    jacobian = resefa.compute_jacobian(generator, latent, "w")
    assert resefa.factorize(jacobian, region | REGION.feather(0.1), 1).eigenvalues[0] > 0.0


def test_logic_of_the_nodes() -> None:
    from tests.test_nodes import pictures, selection

    shown = pictures.to_comfy(there("stylegan2").synthesize(sample(there("stylegan2"))))
    assert shown.device.type == "cpu"
    assert pictures.from_comfy(shown.to(DEVICE)).device.type == "cpu"
    mask = torch.zeros(1, 8, 8, device=DEVICE)
    mask[:, 2:5, 2:6] = 1.0
    region, note = selection.select({"x": 0, "y": 0, "width": 4, "height": 4}, 8, 8, mask)
    assert note == "the mask is used, not the box"
    torch.testing.assert_close(region.mask(8, 8), mask[0].cpu())


def test_engine_of_the_demo() -> None:
    small = there("stylegan2")
    studio = Studio({"small": small})
    session = studio.session("small", 3, 0.7)
    for space in ("w", None):
        session.analyse(space, prepared=True)
        directions = session.find(REGION, space=space, count=2)
        assert len(list(studio.in_turns(session.strips(directions)))) == len(directions)
    assert len(list(session.strips(directions, confine=1.0, feather=0.05))) == len(directions)
    session.edit(directions, {0: 2.0}, confine=1.0, feather=0.05)
    session.edit(directions, {0: 2.0})
    joint = session.find(REGION, space="w", count=1, samples=2)
    assert session.measure(joint, seeds=(3, 4)).inside > 0.0
    assert len(session.find(REGION, method="sefa", count=1)) == 1
    uploaded = studio.generator(
        studio.add_uploaded(Path(resefa.__file__).parent / "bundled/avatars.safetensors")
    )
    assert uploaded.device.type == torch.device(DEVICE).type


def test_an_analysis_on_another_thread() -> None:
    def analyse() -> Tensor:
        generator = there("stylegan2")
        jacobian = resefa.compute_jacobian(generator, sample(generator), "w", kind="matrix-free")
        return resefa.factorize(jacobian, REGION, 2).eigenvalues

    with ThreadPoolExecutor(1) as pool:
        close(pool.submit(analyse).result(), analyse())


def test_training(tmp_path: Path) -> None:
    device, autocast = torch.device(DEVICE), torch.autocast("cpu", enabled=False)
    draw(tmp_path)
    drawn, layout = runs.Drawings(tmp_path, device), Layout.read(tmp_path / "labels.json", device)
    pairs = paired.Run(layout, 8, {"channel_base": 64, "channel_max": 8}, device)
    for run in (pairs, pairs.grown()):
        rows, drawings = drawn.batch(4, run.resolution)
        assert is_there(rows)
        assert is_there(run.step(drawings, rows, 1e-3, autocast, Difference(drawn.detail, symmetry=1.0)))
    run.adopt(copy.deepcopy(run.average))
    settings = adversarial.Settings(
        0.5, 4, 1e-3, 1e-3, 0.5, 5.0, 1.0, 1.0, drawn.detail, 0.7, True, True, True, 0
    )
    against = adversarial.Run(settings, copy.deepcopy(run.average), layout, device)
    metrics = against.step(drawings, rows, 0.5, autocast)
    assert all(is_there(value) for value in metrics.values())
    runs.write(tmp_path, against.state(), against, {}, drawn.about)


def test_photos(tmp_path: Path) -> None:
    photo = host("stylegan2").synthesize(sample(host("stylegan2"), 9))[0]

    def tuned(generator: resefa.Generator) -> Tensor:
        found = resefa.invert(generator, photo.to(generator.device), steps=4, ignore=REGION)
        again = resefa.tune(generator, found.latent, photo, steps=2, ignore=REGION)
        drawn = again.synthesize(found.latent)[0]
        assert found.error_of(found.image) == pytest.approx(found.error, rel=1e-3)
        assert found.error_of(drawn) > 0.0
        resefa.contact_sheet([[found.target, found.image, drawn]])
        moved = resefa.move(found.latent, mouth, {0: 2.0})
        assert resefa.paste_edit(generator, resefa.Photo.of(photo), moved, REGION).picture.size == (8, 8)
        return drawn

    mouth = found()
    both(tuned)


def test_a_session(tmp_path: Path) -> None:
    def images(generator: resefa.Generator) -> Tensor:
        session = resefa.Session(generator, seed=3)
        free = session.find(REGION, space="w", count=2)
        strips = [strip.images for strip in session.strips(free, (-1.0, 0.0, 1.0))]
        session.edit(free, {0: 2.0})
        session.edit(free, {1: 1.0}, confine=1.0, feather=0.05)
        session.undo()
        session.redo()
        told = resefa.Session.from_json(session.to_json(embed=True), generator)
        others = [carried.image for carried in session.carry(2)]
        file = tmp_path / f"{generator.device.type}.safetensors"
        session.finished(free).save(file)
        measured = session.measure(resefa.Directions.load(file), seeds=(5,))
        assert session.generalize(free, 2).directions.num_samples == 2
        assert measured.inside > 0.0
        return torch.cat([*strips, session.image[None], told.image[None], torch.stack(others)])

    both(images)
